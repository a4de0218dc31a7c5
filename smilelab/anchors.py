"""Anchors: what a subject's smiles are compared with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smilelab.clips import ClipStore
from smilelab.signals import mouth_width
from smilelab.windows import LENGTH, Windows, window_starts

__all__ = [
    "Anchor",
    "AnchorRule",
    "AnchorSource",
    "Anchored",
    "Anchors",
    "clip_length",
    "comparable",
    "find",
    "possible",
    "source_of",
]

AnchorRule = Literal["neutral", "posed", "none"]
AnchorSource = Literal["auto", "recording", "median", "rest"]

_CLIP_SECONDS = 1.0
_REST_SECONDS = 0.2


class Anchor(NamedTuple):
    """What a subject's smiles are compared with: `length` frames of a clip from frame `start` on.

    Where a model takes more frames than the face stays at rest for, they are held until there are `shown` of them; 0
    shows each once.
    """

    clip_id: str
    start: int
    length: int = LENGTH
    shown: int = 0

    def frames(self, store: ClipStore, every: int = 1) -> NDArray[np.uint8]:
        """(shown / every, S, S, 3); a view into the store where no frame is held."""
        frames = store.frames(self.clip_id)[self.start : self.start + self.length]
        if self.shown in (0, self.length):
            return frames[::every]
        return frames[np.arange(0, self.shown, every) * self.length // self.shown]


class Anchors(dict[str, Anchor]):
    """Anchors by subject; `missing` are the subjects for whom there is none, whose smiles cannot be compared."""

    def __init__(self, found: Mapping[str, Anchor], missing: Iterable[str] = ()) -> None:
        super().__init__(found)
        self.missing = tuple(missing)


class Anchored(Sequence[NDArray[np.uint8]]):
    """Smiles, each with the anchor of its subject beside it: what a model with an anchor is trained on and scores.

    A sequence of the same windows or whole clips. A batch is completed by the anchors of its smiles, each of them once.

    Parameters
    ----------
    samples : Windows, or sequence of uint8 arrays (T, S, S, 3)
        The smiles. Whole clips come with `store` and `table`.
    anchors : mapping of str to Anchor
        By subject, from the same store.
    store : ClipStore, optional
        Of whole clips: where they are from.
    table : pandas.DataFrame, optional
        Of whole clips: a row each, with ``clip_id``, ``subject`` and ``label``.

    Attributes
    ----------
    samples : Windows or sequence of uint8 arrays
    store : ClipStore
        The store of smiles and anchors.
    anchor_frames : list of (A, S, S, 3) uint8 arrays
        The anchors of all subjects here, all of one length, which need not be that of the smiles.
    anchor_of : (n,) int array
        Which of them belongs to each smile.

    Raises
    ------
    ValueError
        A smile's subject has no anchor, anchors differ in length, or whole clips come without store or table.
    """

    def __init__(
        self,
        samples: Windows | Sequence[NDArray[np.uint8]],
        anchors: Mapping[str, Anchor],
        *,
        store: ClipStore | None = None,
        table: pd.DataFrame | None = None,
    ) -> None:
        every = 1
        if isinstance(samples, Windows):
            store, table, every = samples.store, samples.table, samples.every
        if store is None or table is None or len(table) != len(samples):
            rows = "no table" if table is None else f"a table of {len(table)} rows"
            raise ValueError(
                f"found {len(samples)} clips with {'no' if store is None else 'a'} store and {rows}; expected a store "
                "and a row a clip"
            )
        subjects = table["subject"]
        if not isinstance(subjects.dtype, pd.CategoricalDtype):
            subjects = subjects.astype("category")
        used = [str(subject) for subject in subjects.cat.categories[np.unique(subjects.cat.codes)]]
        if lacking := [subject for subject in used if subject not in anchors]:
            raise ValueError(
                f"subject {lacking[0]} has no anchor; leave their smiles out (comparable, Windows.of_subjects) or give "
                "one"
            )
        self.samples = samples
        self.store = store
        self._table = None if isinstance(samples, Windows) else table
        self._anchors = [anchors[subject] for subject in used]
        self.anchor_frames = [anchor.frames(store, every) for anchor in self._anchors]
        if len(lengths := sorted({len(frames) for frames in self.anchor_frames})) > 1:
            raise ValueError(f"found anchors of {lengths[0]} and of {lengths[-1]} frames; expected one length")
        place = {subject: number for number, subject in enumerate(used)}
        of_category = np.array([place.get(str(subject), -1) for subject in subjects.cat.categories])
        self.anchor_of = of_category[subjects.cat.codes.to_numpy()]

    def __len__(self) -> int:
        return len(self.samples)

    @overload
    def __getitem__(self, at: int) -> NDArray[np.uint8]: ...

    @overload
    def __getitem__(self, at: slice) -> Windows | Sequence[NDArray[np.uint8]]: ...

    def __getitem__(self, at: int | slice) -> NDArray[np.uint8] | Windows | Sequence[NDArray[np.uint8]]:
        """One smile, or those of a slice without anchors."""
        return self.samples[at]

    @property
    def windows(self) -> Windows:
        """The smiles, where they are windows."""
        if not isinstance(self.samples, Windows):
            raise TypeError("found whole clips, expected windows; see samples")
        return self.samples

    @property
    def table(self) -> pd.DataFrame:
        """One row a smile: that of `Windows.table`, or of the table that came with whole clips."""
        if isinstance(self.samples, Windows):
            return self.samples.table
        assert self._table is not None
        return self._table

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,) label of each smile."""
        return self.table["label"].to_numpy(np.int64)

    @property
    def fingerprint(self) -> str:
        """16 hex digits over the smiles and their anchors."""
        own: Any = (
            self.samples.fingerprint
            if isinstance(self.samples, Windows)
            else [self.store.hash, self.table["clip_id"].astype(str).tolist()]
        )
        about = [own, [list(anchor) for anchor in self._anchors]]
        return hashlib.sha256(json.dumps(about).encode() + self.anchor_of.tobytes()).hexdigest()[:16]


def clip_length(store: ClipStore) -> int:
    """Frames of the anchors that whole clips are compared with: one second of the store's, at least two.

    Source: Lee & Lee 2020, section 3.2.3, whose windows are one second; for whole clips it is our choice.
    """
    return max(2, round(_CLIP_SECONDS * _rate(store)))


def source_of(store: ClipStore) -> Literal["recording", "rest"]:
    """Where :func:`find` looks for faces at rest by itself.

    In neutral recordings where the store has any, else in the smiles' own clips.
    """
    return "recording" if len(store.neutral) else "rest"


def comparable(store: ClipStore, found: Mapping[AnchorRule, Anchors]) -> list[str]:
    """Clips that models with any of these anchors, and with none, are trained and judged on alike.

    Parameters
    ----------
    store : ClipStore
    found : mapping of rule to Anchors
        As :func:`find` gives them.

    Returns
    -------
    list of str
        Usable clips of the subjects who have all of the anchors, without the clips that an anchor is cut from: a clip
        is like itself, and who has few clips more often meets their own, so that this would tell the class wherever it
        tells how many clips a subject has. Where nobody has a second clip, each is compared with its own face at rest.
    """
    subjects, kept = store.usable["subject"], pd.Series(True, store.usable.index)
    for rule, some in found.items():
        kept &= subjects.isin(list(some))
        if rule == "posed" or not subjects.is_unique:
            kept &= ~kept.index.isin([anchor.clip_id for anchor in some.values()])
    return [str(clip_id) for clip_id in kept.index[kept]]


def possible(store: ClipStore) -> tuple[AnchorRule, ...]:
    """Anchors that clips of both classes, of two subjects at least, can be compared with, all on the same clips.

    On BBC nobody was filmed twice and on MMI nobody shows both kinds of smile: there are no posed anchors there.
    """
    found: dict[AnchorRule, Anchors] = {}
    rules: tuple[AnchorRule, ...] = ("neutral", "posed")
    for rule in rules:
        more = {**found, rule: find(store, rule, length=clip_length(store))}
        left = store.usable.loc[comparable(store, more)]
        if all(len(set(left.loc[left["label"] == label, "subject"])) > 1 for label in (0, 1)):
            found = more
    return tuple(found)


def find(
    store: ClipStore,
    rule: AnchorRule,
    *,
    length: int = LENGTH,
    source: AnchorSource = "auto",
    seed: int = 0,
) -> Anchors:
    """Choose for each subject what their smiles are compared with.

    Parameters
    ----------
    store : ClipStore
        The clips.
    rule : {"neutral", "posed", "none"}
        ``neutral``: the face at rest. ``posed``: a posed smile around its apex, which must then be left out wherever
        a model is judged; see `Windows.without` and `comparable`. ``none``: no anchors.
    length : int
        Frames of an anchor; see `clip_length` for whole clips.
    source : {"auto", "recording", "median", "rest"}
        Where the face at rest is found, by landmarks alone.

        ``recording``: in the subject's neutral recording; subjects without one are treated as under ``median``: in
        their clips, where the width of the mouth stays closest to its median (least mean squared difference, so that a
        window which moves is not taken). This holds where smiles are the lesser part of what was filmed; of clips cut
        closely around a smile the median is a half smile.

        ``rest``: for such clips. In one of the subject's clips, drawn by `seed`, the fifth of a second (at least two
        frames) in which the mouth is narrowest; these frames are held until there are `length` of them.

        ``auto``: as `source_of` says.
    seed : int
        Draws which of a subject's posed clips, or which clip at all under ``rest``, is taken.

    Returns
    -------
    Anchors
        By subject. Subjects with usable clips but nothing to take an anchor from are named in ``missing``.

    Raises
    ------
    ValueError
        If `rule` or `source` is none of these.

    Notes
    -----
    Clips cut around a smile begin some 0.3 s before it, posed ones later than spontaneous ones. A whole second that is
    taken from them is no face at rest (40 % of the smile's AU12 in simulated clips, a fifth of a second 3 %), and the
    narrowest mouth of all of a subject's clips is mostly found in a spontaneous one: the class would show in which clip
    the anchor is from. Where that clip is drawn, it does not.

    Source: Lee & Lee 2020, section 3.3.1: a neutral anchor from a neutral video or by median selection; posed and no
    anchors are compared in section 4. Which window of a recording, how its median is measured, and ``rest`` are our
    choice.
    """
    if rule not in get_args(AnchorRule):
        raise ValueError(f"rule is {rule!r}; expected one of {', '.join(get_args(AnchorRule))}")
    if source not in get_args(AnchorSource):
        raise ValueError(f"source is {source!r}; expected one of {', '.join(get_args(AnchorSource))}")
    if rule == "none":
        return Anchors({})
    if rule == "neutral" and source == "auto":
        source = source_of(store)
    found: dict[str, Anchor | None] = {}
    for subject in sorted(store.usable["subject"].unique()):
        of_subject = store.usable[store.usable["subject"] == subject]
        rng = np.random.default_rng([seed, *subject.encode()])
        if rule == "posed":
            posed = rng.permutation(of_subject.index[of_subject["label"] == 0])
            found[subject] = _extreme(store, posed, length, np.argmax)
        elif source == "rest":
            still = min(length, max(2, 1 + round(_REST_SECONDS * _rate(store))))
            anchor = _extreme(store, rng.permutation(of_subject.index), still, np.argmin)
            found[subject] = anchor if anchor is None or still == length else anchor._replace(shown=length)
        else:
            neutral = store.neutral.index[store.neutral["subject"] == subject] if source == "recording" else []
            found[subject] = _at_rest(store, neutral, length) or _at_rest(store, of_subject.index, length)
    chosen = {subject: anchor for subject, anchor in found.items() if anchor is not None}
    return Anchors(chosen, [subject for subject in found if subject not in chosen])


def _rate(store: ClipStore) -> float:
    """Frames of the store in a second; where it keeps every frame, of most of its clips."""
    rate = float(store.recipe.get("fps") or store.usable["fps_source"].median())
    if not rate > 0:
        raise ValueError(f"{store.path.name}: found frame rate {rate}, expected one; preprocess with frames per second")
    return rate


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


def _extreme(
    store: ClipStore, clip_ids: Iterable[str], length: int, most: Callable[[NDArray[np.float64]], Any]
) -> Anchor | None:
    """The window of the first clip that has any in which the mouth is on average widest (argmax) or narrowest."""
    for clip_id in map(str, clip_ids):
        starts = window_starts(store, clip_id, length, 1)
        if len(starts):
            width = mouth_width(store.track(clip_id)["landmarks"])
            mean = np.lib.stride_tricks.sliding_window_view(width, length).mean(1)[starts]
            return Anchor(clip_id, int(starts[most(mean)]), length)
    return None
