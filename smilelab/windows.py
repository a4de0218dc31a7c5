"""Windows of fixed length over preprocessed clips, as views into the store.

Needs numpy and pandas alone. A window is never written: 30 frames at a stride of 1 would be 30 times the store.
"""

from __future__ import annotations

import hashlib
import json
import math
import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from smilelab.clips import ClipStore

if TYPE_CHECKING:
    from smilelab.anchors import Anchor

__all__ = ["LENGTH", "Windows", "window_starts"]

LENGTH = 30

_GAP = 1.5
_RATE_ERROR = 0.02  # of measured frame rates, as a share
_OPEN_MAPS = 64
_CLASSES = {1: "spontaneous", 0: "posed", -1: "neutral"}


class Windows(Sequence[NDArray[np.uint8]]):
    """All windows of some clips: a sequence of uint8 arrays (length, S, S, 3), RGB, read from the store when asked for.

    No window crosses a gap, which is a step in time of more than 1.5 frame intervals.

    Parameters
    ----------
    store : ClipStore
        The clips.
    clip_ids : sequence of str, optional
        Which of them; by default all usable ones, which leaves out neutral recordings.
    length : int
        Frames in a window.
    stride : int
        Frames from the start of a window to that of the next.
    every : int
        Of a window's frames only every so manieth is read: a reduced rate at the same duration.

    Attributes
    ----------
    store : ClipStore
    length, stride, every : int
    too_short : list of str
        Clips without a single window.

    Raises
    ------
    ValueError
        If `length`, `stride` or `every` is less than 1, or a clip is asked for twice.

    Source: Lee & Lee 2020, section 3.2.3: one second (30 frames) at a stride of 1, which of a clip of n frames gives
    n - 29.
    """

    def __init__(
        self,
        store: ClipStore,
        clip_ids: Sequence[str] | None = None,
        *,
        length: int = LENGTH,
        stride: int = 1,
        every: int = 1,
    ) -> None:
        if length < 1 or stride < 1 or every < 1:
            raise ValueError(f"length is {length}, stride {stride}, every {every}; expected at least one frame each")
        chosen = list(store.usable.index if clip_ids is None else clip_ids)
        if len(set(chosen)) < len(chosen):
            twice = next(clip_id for clip_id in chosen if chosen.count(clip_id) > 1)
            raise ValueError(f"{twice!r} is listed more than once; expected each clip once")
        starts = [window_starts(store, clip_id, length, stride) for clip_id in chosen]
        self.store = store
        self.length = length
        self.stride = stride
        self.every = every
        self.too_short = [clip_id for clip_id, some in zip(chosen, starts, strict=True) if not len(some)]
        self._clip_ids = chosen
        self._clips = np.repeat(np.arange(len(chosen), dtype=np.int32), [len(some) for some in starts])
        self._starts = np.concatenate([np.empty(0, np.int32), *starts])
        self._maps: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()

    def __repr__(self) -> str:
        each = ", ".join(f"{count} {_CLASSES.get(label, label)}" for label, count in self.counts().items())
        return f"Windows of {self.length} frames over {self.store.database}: {each}"

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, at: int) -> NDArray[np.uint8]: ...

    @overload
    def __getitem__(self, at: slice) -> Windows: ...

    def __getitem__(self, at: int | slice) -> NDArray[np.uint8] | Windows:
        """One window, or those of a slice as `Windows`."""
        if isinstance(at, slice):
            return self.take(np.arange(len(self))[at])
        number = operator.index(at)
        if not -len(self) <= number < len(self):
            raise IndexError(f"window {number} of {len(self)}")
        start = int(self._starts[number])
        return self._frames(int(self._clips[number]))[start : start + self.length : self.every]

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (self[number] for number in range(len(self)))

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,) label of each window."""
        return self._of_clips("label").to_numpy(np.int64)[self._clips]

    @property
    def table(self) -> pd.DataFrame:
        """One row a window: ``clip_id`` and ``subject`` (categorical), ``start`` (frame, int32), ``label`` (int8)."""
        codes, subjects = pd.factorize(self._of_clips("subject"))
        return pd.DataFrame(
            {
                "clip_id": pd.Categorical.from_codes(self._clips, pd.Index(self._clip_ids)),
                "start": self._starts,
                "label": self.labels.astype(np.int8),
                "subject": pd.Categorical.from_codes(codes.astype(np.int32)[self._clips], pd.Index(subjects)),
            }
        )

    @property
    def fingerprint(self) -> str:
        """16 hex digits over the store and the places of all windows: equal ones are the same bytes in one order."""
        about = [self.store.hash, self.length, *([self.every] if self.every > 1 else []), self._clip_ids]
        digest = hashlib.sha256(json.dumps(about).encode())
        digest.update(self._clips.tobytes() + self._starts.tobytes())
        return digest.hexdigest()[:16]

    def counts(self) -> dict[int, int]:
        """Number of windows of each label: of 1 and 0 always, of -1 where there are any."""
        found = pd.Series(self.labels).value_counts()
        return {label: int(found.get(label, 0)) for label in _CLASSES if label in (1, 0) or label in found.index}

    def take(self, which: ArrayLike) -> Windows:
        """Some of the windows, in the order given.

        Parameters
        ----------
        which : (k,) int or (n,) bool array
            Their numbers, or which of all.

        Returns
        -------
        Windows
        """
        return self._part(np.asarray(which))

    def of_subjects(self, subjects: Iterable[str]) -> Windows:
        """The windows of some subjects, in their order here."""
        wanted = self._of_clips("subject").isin(list(subjects)).to_numpy(bool)
        return self._part(wanted[self._clips])

    def without(self, anchors: Mapping[str, Anchor]) -> Windows:
        """The windows that share no frame with an anchor: those on which a model with these anchors may be judged."""
        number = {clip_id: at for at, clip_id in enumerate(self._clip_ids)}
        kept = np.ones(len(self), bool)
        for anchor in anchors.values():
            apart = (self._starts >= anchor.start + anchor.length) | (self._starts + self.length <= anchor.start)
            kept &= apart | (self._clips != number.get(anchor.clip_id, -1))
        return self._part(kept)

    def __getstate__(self) -> dict[str, Any]:
        # Open maps would travel as the arrays that they map.
        return {**self.__dict__, "_maps": OrderedDict()}

    def _part(self, which: NDArray[Any]) -> Windows:
        part = Windows.__new__(Windows)
        part.__dict__.update(self.__dict__)
        part._clips, part._starts = self._clips[which], self._starts[which]
        return part

    def _of_clips(self, column: str) -> pd.Series:
        return self.store.manifest[column].reindex(self._clip_ids)

    def _frames(self, clip: int) -> NDArray[np.uint8]:
        frames = self._maps.get(clip)
        if frames is None:
            frames = self._maps[clip] = self.store.frames(self._clip_ids[clip])
            # An open map is a file handle, and its pages stay resident while it is open.
            while len(self._maps) > _OPEN_MAPS:
                self._maps.popitem(last=False)
        else:
            self._maps.move_to_end(clip)
        return frames


def window_starts(store: ClipStore, clip_id: str, length: int, stride: int) -> NDArray[np.int32]:
    """First frames (k,) of a clip's windows of `length` frames; every stretch without a gap is counted off anew."""
    times = store.times(clip_id)
    if len(times) < length:
        return np.empty(0, np.int32)
    steps = np.diff(times)
    after_gap = np.concatenate([[True], steps > _GAP * _interval(store, clip_id, steps)])
    frames = np.arange(len(times))
    stretch = np.maximum.accumulate(np.where(after_gap, frames, 0))
    first, last = frames[: len(times) - length + 1], frames[length - 1 :]
    whole = (stretch[first] == stretch[last]) & ((first - stretch[first]) % stride == 0)
    return first[whole].astype(np.int32)


def _interval(store: ClipStore, clip_id: str, steps: NDArray[np.float64]) -> float:
    """Longest regular step in time between the frames of a clip, s.

    Frames sampled at a rate that does not divide the video's are unevenly spaced: their steps are whole numbers of the
    video's own.
    """
    rate = float(store.manifest["fps_source"][clip_id])
    own = 1 / rate if rate > 0 else float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.0
    wanted = store.recipe.get("fps")
    if not wanted or not own:
        return own
    return own * max(math.ceil(1 / (wanted * own) - _RATE_ERROR), 1)
