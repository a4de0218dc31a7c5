"""What a trained network takes of one clip: the whole clip or its windows, with an anchor beside it if it has one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from smilelab import anchors, models
from smilelab.anchors import Anchor, Anchored, AnchorRule, Anchors, AnchorSource
from smilelab.clips import ClipStore
from smilelab.inspector.clip import OpenedClip
from smilelab.inspector.scorer import Scorer
from smilelab.scoring import Clips
from smilelab.windows import Windows

__all__ = ["CannotScoreError", "Samples", "anchors_in", "samples_of", "store_samples"]

_found: WeakKeyDictionary[ClipStore, dict[Any, Anchors]] = WeakKeyDictionary()


class CannotScoreError(ValueError):
    """A network cannot be given this clip; the message says why in one sentence."""


@dataclass(frozen=True)
class Samples:
    """A clip as a network takes it.

    Attributes
    ----------
    clips : sequence of uint8 arrays (T, S, S, 3)
        The whole clip, or its windows; with anchors an `Anchored`.
    starts : (n,) int array
        First crop of each; 0 for a whole clip.
    length, every : int
        How many crops of the clip each spans, and every which of them it holds.
    anchor : Anchor, optional
        What they are compared with.
    """

    clips: Clips
    starts: NDArray[np.int64]
    length: int
    every: int
    anchor: Anchor | None = None

    def take(self, which: NDArray[np.int64]) -> Samples:
        """Some of the windows, with their anchor."""
        if isinstance(self.clips, Anchored):
            anchored = self.clips.windows.take(which)
            beside = dict.fromkeys(self.clips.table["subject"].astype(str), self.anchor)
            clips: Clips = Anchored(anchored, {name: some for name, some in beside.items() if some is not None})
        else:
            assert isinstance(self.clips, Windows)
            clips = self.clips.take(which)
        return replace(self, clips=clips, starts=self.starts[which])


def samples_of(scorer: Scorer, clip: OpenedClip, *, stride: int | None = None, ends: Sequence[int] = ()) -> Samples:
    """Give a clip the form that a network takes.

    Parameters
    ----------
    scorer : Scorer
    clip : OpenedClip
    stride : int, optional
        Crops from one window to the next; by default as the run was tested.
    ends : sequence of int
        Of networks on whole clips: not the clip, but its first so many crops for each number.

    Returns
    -------
    Samples

    Raises
    ------
    CannotScoreError
        Cropped in another way, too short, no anchor, or the clip is what this network compares with.
    """
    if clip.recipe.hash != scorer.recipe.hash:
        raise CannotScoreError(f"{scorer.name} takes crops of another kind than those of {clip.clip_id}.")
    store, options = clip.store, scorer.spec.windows
    beside: Clips
    rule = models.anchor_rule(scorer.model)
    anchor = _anchor(scorer, clip, rule)
    if options is None:
        if anchor is not None and rule == "posed" and anchor.clip_id == clip.clip_id:
            raise CannotScoreError(f"{clip.clip_id} is the posed smile that others of this subject are compared with.")
        crops = np.asarray(clip.crops)
        whole = [crops[:end] for end in ends or (len(crops),)]
        table = store.manifest.loc[[clip.clip_id] * len(whole), ["subject", "label"]].reset_index()
        beside = whole
        if anchor is not None:
            beside = Anchored(whole, {str(table["subject"].iloc[0]): anchor}, store=store, table=table)
        return Samples(beside, np.zeros(len(whole), np.int64), len(crops), 1, anchor)
    windows = Windows(
        store.reduced(options.reduce),
        [clip.clip_id],
        length=options.length,
        stride=stride or options.test_stride,
        every=options.every,
    )
    if anchor is not None:
        windows = windows.without({"": anchor})
    if not len(windows):
        raise CannotScoreError(f"{clip.clip_id} is too short: {len(clip.crops)} crops, a window is {options.length}.")
    starts = windows.table["start"].to_numpy(np.int64)
    subject = str(store.manifest["subject"][clip.clip_id])
    beside = windows if anchor is None else Anchored(windows, {subject: anchor})
    return Samples(beside, starts, options.length, options.every, anchor)


def store_samples(scorer: Scorer, store: ClipStore) -> tuple[list[str], Clips]:
    """Every usable clip of a store as a network takes it: whole, or by its middle window.

    Parameters
    ----------
    scorer : Scorer
    store : ClipStore

    Returns
    -------
    clip_ids : list of str
        Those that the network can take; without clips that it compares with.
    clips : sequence of uint8 arrays
        In their order.
    """
    options, rule = scorer.spec.windows, models.anchor_rule(scorer.model)
    found: Anchors | None = None
    clip_ids = [str(clip_id) for clip_id in store.usable.index]
    if rule != "none":
        found = _found_by(scorer, store, rule)
        subjects = store.usable["subject"].astype(str)
        own = {anchor.clip_id for anchor in found.values()} if rule == "posed" else set()
        clip_ids = [clip_id for clip_id in clip_ids if subjects[clip_id] in found and clip_id not in own]
    if options is None:
        whole = [np.asarray(store.frames(clip_id)) for clip_id in clip_ids]
        if found is None:
            return clip_ids, whole
        table = store.usable.loc[clip_ids, ["subject", "label"]].rename_axis("clip_id").reset_index()
        return clip_ids, Anchored(whole, found, store=store, table=table)
    windows = Windows(store.reduced(options.reduce), clip_ids, length=options.length, every=options.every)
    if found is not None:
        windows = windows.without(found)
    of_clip: dict[str, list[int]] = {}
    for number, clip_id in enumerate(windows.table["clip_id"]):
        of_clip.setdefault(str(clip_id), []).append(number)
    chosen = windows.take([numbers[len(numbers) // 2] for numbers in of_clip.values()])
    return list(of_clip), chosen if found is None else Anchored(chosen, found)


def anchors_in(
    store: ClipStore, rule: AnchorRule, length: int, source: AnchorSource = "auto", seed: int = 0
) -> Anchors:
    """As `smilelab.anchors.find`, found once for a store that is at hand."""
    kept = _found.setdefault(store, {})
    key = (rule, length, source, seed)
    if key not in kept:
        kept[key] = anchors.find(store, rule, length=length, source=source, seed=seed)
    return kept[key]


def _found_by(scorer: Scorer, store: ClipStore, rule: AnchorRule) -> Anchors:
    spec = scorer.spec
    length = anchors.clip_length(store) if spec.windows is None else spec.windows.length
    source = spec.neutral_from if store is scorer.store else "auto"
    return anchors_in(store, rule, length, source, spec.partition_seed or 0)


def _anchor(scorer: Scorer, clip: OpenedClip, rule: AnchorRule) -> Anchor | None:
    """What the network compares the clip with; None for a network without anchors."""
    if rule == "none":
        return None
    subject = str(clip.store.manifest["subject"][clip.clip_id])
    anchor = _found_by(scorer, clip.store, rule).get(subject)
    if anchor is None:
        what = "posed smile" if rule == "posed" else "face at rest"
        raise CannotScoreError(f"{clip.clip_id}: no {what} of {subject or 'this person'} to compare with.")
    return anchor
