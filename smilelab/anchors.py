"""Anchors: what a subject's smiles are compared with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, get_args, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smilelab.clips import ClipStore
from smilelab.signals import mouth_width
from smilelab.windows import LENGTH, Windows, window_starts

__all__ = ["Anchor", "AnchorRule", "AnchorSource", "Anchored", "Anchors", "find"]

AnchorRule = Literal["neutral", "posed", "none"]
AnchorSource = Literal["recording", "median"]


class Anchor(NamedTuple):
    """The window that a subject's smiles are compared with: `length` frames of a clip from frame `start` on."""

    clip_id: str
    start: int
    length: int = LENGTH

    def frames(self, store: ClipStore, every: int = 1) -> NDArray[np.uint8]:
        """(length / every, S, S, 3), a view into the store."""
        return store.frames(self.clip_id)[self.start : self.start + self.length : every]


class Anchors(dict[str, Anchor]):
    """Anchors by subject; `missing` are the subjects for whom there is none, whose windows cannot be compared."""

    def __init__(self, found: Mapping[str, Anchor], missing: Iterable[str] = ()) -> None:
        super().__init__(found)
        self.missing = tuple(missing)


class Anchored(Sequence[NDArray[np.uint8]]):
    """Windows, each with the anchor of its subject beside it: what a Siamese model is trained on and scores.

    A sequence of the same windows. A batch is completed by the anchors of its windows, each of them once.

    Parameters
    ----------
    windows : Windows
    anchors : mapping of str to Anchor
        By subject, from the same store.

    Attributes
    ----------
    windows : Windows
    anchor_frames : list of (T, S, S, 3) uint8 arrays
        The anchors of all subjects here.
    anchor_of : (n,) int array
        Which of them belongs to each window.

    Raises
    ------
    ValueError
        A window's subject has no anchor.
    """

    def __init__(self, windows: Windows, anchors: Mapping[str, Anchor]) -> None:
        subjects = windows.table["subject"]
        used = [str(subject) for subject in subjects.cat.categories[np.unique(subjects.cat.codes)]]
        if lacking := [subject for subject in used if subject not in anchors]:
            raise ValueError(
                f"subject {lacking[0]} has no anchor; leave their windows out (Windows.of_subjects) or give one"
            )
        self.windows = windows
        self._anchors = [anchors[subject] for subject in used]
        self.anchor_frames = [anchor.frames(windows.store, windows.every) for anchor in self._anchors]
        place = {subject: number for number, subject in enumerate(used)}
        of_category = np.array([place.get(str(subject), -1) for subject in subjects.cat.categories])
        self.anchor_of = of_category[subjects.cat.codes.to_numpy()]

    def __len__(self) -> int:
        return len(self.windows)

    @overload
    def __getitem__(self, at: int) -> NDArray[np.uint8]: ...

    @overload
    def __getitem__(self, at: slice) -> Windows: ...

    def __getitem__(self, at: int | slice) -> NDArray[np.uint8] | Windows:
        """One window, or those of a slice as `Windows` without anchors."""
        return self.windows[at]

    @property
    def store(self) -> ClipStore:
        """The store of windows and anchors."""
        return self.windows.store

    @property
    def table(self) -> pd.DataFrame:
        """One row a window, as `Windows.table`."""
        return self.windows.table

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,) label of each window."""
        return self.windows.labels

    @property
    def fingerprint(self) -> str:
        """16 hex digits over the windows and their anchors."""
        about = [self.windows.fingerprint, [list(anchor) for anchor in self._anchors]]
        return hashlib.sha256(json.dumps(about).encode() + self.anchor_of.tobytes()).hexdigest()[:16]


def find(
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
        starts = window_starts(store, clip_id, length, 1)
        if len(starts):
            away = np.lib.stride_tricks.sliding_window_view((width - median) ** 2, length).mean(1)[starts]
            least = int(away.argmin())
            if best is None or away[least] < best[0]:
                best = float(away[least]), Anchor(clip_id, int(starts[least]), length)
    return None if best is None else best[1]


def _widest(store: ClipStore, clip_ids: Iterable[str], length: int) -> Anchor | None:
    """The window of the first clip that has any in which the mouth is widest on average: around the apex."""
    for clip_id in map(str, clip_ids):
        starts = window_starts(store, clip_id, length, 1)
        if len(starts):
            width = mouth_width(store.track(clip_id)["landmarks"])
            mean = np.lib.stride_tricks.sliding_window_view(width, length).mean(1)[starts]
            return Anchor(clip_id, int(starts[mean.argmax()]), length)
    return None
