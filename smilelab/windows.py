"""Windows of fixed length over preprocessed clips, as views into the store, and anchors to compare them with.

Needs numpy and pandas alone. A window is never written: 30 frames at a stride of 1 would be 30 times the store.
"""

from __future__ import annotations

import hashlib
import json
import math
import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args, overload

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from smilelab.clips import ClipStore
from smilelab.signals import mouth_width

__all__ = ["LENGTH", "Anchor", "AnchorRule", "AnchorSource", "Anchors", "Windows", "anchors"]

LENGTH = 30
AnchorRule = Literal["neutral", "posed", "none"]
AnchorSource = Literal["recording", "median"]

_GAP = 1.5
_RATE_ERROR = 0.02  # of measured frame rates, as a share
_OPEN_MAPS = 64
_CLASSES = {1: "spontaneous", 0: "posed", -1: "neutral"}


class Anchor(NamedTuple):
    """The window that a subject's smiles are compared with: `length` frames of a clip from frame `start` on."""

    clip_id: str
    start: int
    length: int = LENGTH

    def frames(self, store: ClipStore) -> NDArray[np.uint8]:
        """(length, S, S, 3), a view into the store."""
        return store.frames(self.clip_id)[self.start : self.start + self.length]


class Anchors(dict[str, Anchor]):
    """Anchors by subject; `missing` are the subjects for whom there is none, whose windows cannot be compared."""

    def __init__(self, found: Mapping[str, Anchor], missing: Iterable[str] = ()) -> None:
        super().__init__(found)
        self.missing = tuple(missing)


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

    Attributes
    ----------
    store : ClipStore
    length, stride : int
    too_short : list of str
        Clips without a single window.

    Raises
    ------
    ValueError
        If `length` or `stride` is less than 1, or a clip is asked for twice.

    Source: Lee & Lee 2020, section 3.2.3: one second (30 frames) at a stride of 1, which of a clip of n frames gives
    n - 29.
    """

    def __init__(
        self, store: ClipStore, clip_ids: Sequence[str] | None = None, *, length: int = LENGTH, stride: int = 1
    ) -> None:
        if length < 1 or stride < 1:
            raise ValueError(f"length is {length} and stride {stride}; expected at least one frame each")
        chosen = list(store.usable.index if clip_ids is None else clip_ids)
        if len(set(chosen)) < len(chosen):
            twice = next(clip_id for clip_id in chosen if chosen.count(clip_id) > 1)
            raise ValueError(f"{twice!r} is listed more than once; expected each clip once")
        starts = [_starts(store, clip_id, length, stride) for clip_id in chosen]
        self.store = store
        self.length = length
        self.stride = stride
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
        return self._frames(int(self._clips[number]))[start : start + self.length]

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
        about = [self.store.hash, self.length, self._clip_ids]
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


def anchors(
    store: ClipStore,
    rule: AnchorRule,
    *,
    length: int = LENGTH,
    source: AnchorSource = "recording",
    seed: int = 0,
) -> Anchors:
    """Choose for each subject the window that their smiles are compared with.

    Parameters
    ----------
    store : ClipStore
        The clips.
    rule : {"neutral", "posed", "none"}
        ``neutral``: the face at rest. ``posed``: a posed smile around its apex, which must then be left out wherever
        a model is judged; see `Windows.without`. ``none``: no anchors.
    length : int
        Frames in a window.
    source : {"recording", "median"}
        Where the face at rest is found. ``recording``: in the subject's neutral recording; subjects without one are
        treated as under ``median``: in their clips, where the width of the mouth stays closest to its median (least
        mean squared difference, so that a window which moves is not taken). This holds where smiles are the lesser
        part of what was filmed; of clips cut closely around a smile the median is a half smile.
    seed : int
        Draws which of a subject's posed clips is taken.

    Returns
    -------
    Anchors
        By subject. Subjects with usable clips but nothing to take an anchor from are named in ``missing``.

    Raises
    ------
    ValueError
        If `rule` or `source` is none of these.

    Source: Lee & Lee 2020, section 3.3.1: a neutral anchor from a neutral video or by median selection; posed and no
    anchors are compared in section 4. Which window of a recording, and how its median is measured, is our choice.
    """
    if rule not in get_args(AnchorRule):
        raise ValueError(f"rule is {rule!r}; expected one of {', '.join(get_args(AnchorRule))}")
    if source not in get_args(AnchorSource):
        raise ValueError(f"source is {source!r}; expected one of {', '.join(get_args(AnchorSource))}")
    if rule == "none":
        return Anchors({})
    found: dict[str, Anchor | None] = {}
    for subject in sorted(store.usable["subject"].unique()):
        of_subject = store.usable[store.usable["subject"] == subject]
        if rule == "posed":
            rng = np.random.default_rng([seed, *subject.encode()])
            found[subject] = _widest(store, rng.permutation(of_subject.index[of_subject["label"] == 0]), length)
            continue
        neutral = store.neutral.index[store.neutral["subject"] == subject] if source == "recording" else []
        found[subject] = _at_rest(store, neutral, length) or _at_rest(store, of_subject.index, length)
    chosen = {subject: anchor for subject, anchor in found.items() if anchor is not None}
    return Anchors(chosen, [subject for subject in found if subject not in chosen])


def _at_rest(store: ClipStore, clip_ids: Iterable[str], length: int) -> Anchor | None:
    """The window in which the mouth stays closest to its median width over all these clips."""
    widths = {clip_id: mouth_width(store.track(clip_id)["landmarks"]) for clip_id in clip_ids}
    median = np.median(np.concatenate(list(widths.values()))) if widths else 0.0
    best: tuple[float, Anchor] | None = None
    for clip_id, width in widths.items():
        starts = _starts(store, clip_id, length, 1)
        if len(starts):
            away = np.lib.stride_tricks.sliding_window_view((width - median) ** 2, length).mean(1)[starts]
            least = int(away.argmin())
            if best is None or away[least] < best[0]:
                best = float(away[least]), Anchor(clip_id, int(starts[least]), length)
    return None if best is None else best[1]


def _widest(store: ClipStore, clip_ids: Iterable[str], length: int) -> Anchor | None:
    """The window of the first clip that has any in which the mouth is widest on average: around the apex."""
    for clip_id in map(str, clip_ids):
        starts = _starts(store, clip_id, length, 1)
        if len(starts):
            width = mouth_width(store.track(clip_id)["landmarks"])
            mean = np.lib.stride_tricks.sliding_window_view(width, length).mean(1)[starts]
            return Anchor(clip_id, int(starts[mean.argmax()]), length)
    return None


def _starts(store: ClipStore, clip_id: str, length: int, stride: int) -> NDArray[np.int32]:
    """First frames of a clip's windows; every stretch without a gap is counted off anew."""
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
