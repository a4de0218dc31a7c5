"""What a run trains on, validates on and is tested on: whole clips, or windows with or without anchors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from smilelab import anchors
from smilelab.anchors import Anchored, AnchorRule, Anchors
from smilelab.clips import ClipStore
from smilelab.datasets import splits
from smilelab.protocols import divisions, rounds_name, rounds_of, split_name
from smilelab.scoring import Clips
from smilelab.specs import RunError, RunSpec, WindowOptions
from smilelab.windows import Windows


class Part(NamedTuple):
    """Samples in one order, a row each in `table`: ``clip_id, subject, label``.

    Of a window also ``start``; of clips of several databases also ``database``.
    """

    table: pd.DataFrame
    clips: Clips

    @property
    def labels(self) -> np.ndarray:
        """int64 (n,)."""
        return self.table["label"].to_numpy(np.int64)


class Parts(NamedTuple):
    """The three parts of a run; without held-out subjects `validation` is empty."""

    train: Part
    validation: Part
    test: Part


def parts_of(
    spec: RunSpec, store: ClipStore, anchor_rule: AnchorRule = "none", others: Sequence[ClipStore] = ()
) -> Parts:
    """Collect a run's samples; frames are read when they are asked for.

    Parameters
    ----------
    spec : RunSpec
    store : ClipStore
        The store that ``spec.store`` names.
    anchor_rule : {"neutral", "posed", "none"}
        What the model compares with.
    others : sequence of ClipStore
        The stores that ``spec.tests`` names, among others.

    Returns
    -------
    Parts
        No subject is in two of them.

    Raises
    ------
    RunError
        Other folds than specified, a part without samples, a store that is not given, or an anchor that is not among
        those compared or for other databases.
    """
    rules = _rules(spec, anchor_rule)
    length = anchors.clip_length(store) if spec.windows is None and rules else (spec.windows or WindowOptions()).length
    found: dict[AnchorRule, Anchors] = {
        rule: anchors.find(store, rule, length=length, source=spec.neutral_from, seed=spec.partition_seed or 0)
        for rule in rules
    }
    sides = [*_clip_ids(spec, store)]
    if found and (spec.windows is None or spec.compared):
        kept = set(anchors.comparable(store, found))
        sides = [[clip_id for clip_id in some if clip_id in kept] for some in sides]
    if spec.windows is None:
        if spec.tests and found:
            raise RunError(f"{spec.model} is tested on other databases; expected a model without an anchor.")
        parts = [_whole_clips(store, some, found.get(anchor_rule)) for some in sides]
        if spec.tests:
            parts[2] = _elsewhere(spec, others)
    else:
        strides = spec.windows.stride, spec.windows.test_stride, spec.windows.test_stride
        parts = [
            _windows(store, some, spec.windows, stride, found, anchor_rule)
            for some, stride in zip(sides, strides, strict=True)
        ]
    needed = (True, spec.selection == "validation" or spec.partition_seed is not None, True)
    for name, part, wanted in zip(("training", "validation", "test"), parts, needed, strict=True):
        if wanted and not len(part.table):
            what = "clip" if spec.windows is None else f"window of {spec.windows.length} frames"
            raise RunError(
                f"fold {spec.fold}: no {name} {what} is left; expected longer clips, for windows at the full frame "
                "rate, and of each subject the anchors that are compared."
            )
    return Parts(*parts)


def seed_of(spec: RunSpec) -> int:
    """Seed of a run's initialisation, order, dropout and held-out subjects: that of its trial and fold alone."""
    return int.from_bytes(hashlib.sha256(f"{spec.seed}|{spec.fold}".encode()).digest()[:4], "big")


def _rules(spec: RunSpec, anchor_rule: AnchorRule) -> list[AnchorRule]:
    """Anchors that decide what is left out: of all models that are compared, or of this one alone."""
    if spec.compared:
        if anchor_rule not in ("none", *spec.compared):
            raise RunError(f"{spec.model} has a {anchor_rule} anchor; expected it among {', '.join(spec.compared)}.")
        return [*spec.compared]
    if spec.windows is not None and spec.windows.comparable:
        return ["neutral", "posed"]
    return [] if anchor_rule == "none" else [anchor_rule]


def _whole_clips(store: ClipStore, clip_ids: list[str], some: Anchors | None = None) -> Part:
    table = store.usable.loc[clip_ids, ["subject", "label"]].astype({"label": int}).rename_axis("clip_id").reset_index()
    # What is fitted on traces of action units reads them by the table.
    clips = [store.frames(clip_id) for clip_id in clip_ids] if "traces" not in store.recipe else []
    return Part(table, clips if some is None else Anchored(clips, some, store=store, table=table))


def _elsewhere(spec: RunSpec, others: Sequence[ClipStore]) -> Part:
    by_hash = {other.hash: other for other in others}
    if missing := [name for name, store in spec.tests if store not in by_hash]:
        raise RunError(f"{spec.model} is tested on {missing[0]}; give the clip store of it too.")
    parts = [_whole_clips(by_hash[store], list(by_hash[store].usable.index)) for _, store in spec.tests]
    named = [part.table.assign(database=name) for (name, _), part in zip(spec.tests, parts, strict=True)]
    return Part(pd.concat(named, ignore_index=True), [clip for part in parts for clip in part.clips])


def _windows(
    store: ClipStore,
    clip_ids: list[str],
    options: WindowOptions,
    stride: int,
    found: dict[AnchorRule, Anchors],
    anchor_rule: AnchorRule,
) -> Part:
    windows = Windows(
        store.reduced(options.reduce), clip_ids, length=options.length, stride=stride, every=options.every
    )
    for some in found.values():
        windows = windows.of_subjects(some).without(some)
    table = windows.table[["clip_id", "start", "subject", "label"]].astype({"clip_id": str, "subject": str})
    return Part(table, windows if anchor_rule == "none" else Anchored(windows, found[anchor_rule]))


def _clip_ids(spec: RunSpec, store: ClipStore) -> tuple[list[str], list[str], list[str]]:
    table = store.usable
    if spec.partition_seed is not None:
        rounds = rounds_of(store, spec.partition_seed)
        _check(spec, rounds_name(rounds), len(rounds))
        chosen = rounds[spec.fold - 1]
        train, held, test = (
            table.index[table["subject"].isin(some)].tolist() for some in (chosen.train, chosen.validation, chosen.test)
        )
        return train, held, test
    folds = divisions(store, spec.protocol)
    _check(spec, split_name(store, spec.protocol), len(folds))
    rest, test = map(list, folds[spec.fold - 1])
    if not rest or not (test or spec.tests):
        raise RunError(f"fold {spec.fold} has {len(test)} test and {len(rest)} training clips, expected some of both.")
    held = []
    if spec.selection == "validation":
        # The validation subjects depend on fold and trial alone, so that variants are compared on equal ground.
        train_at, held_at = splits.hold_out_subjects(
            table.loc[rest, "label"].to_list(),
            table.loc[rest, "subject"].to_list(),
            share=spec.validation_share,
            seed=seed_of(spec),
        )
        rest, held = [rest[i] for i in train_at], [rest[i] for i in held_at]
    return rest, held, test


def _check(spec: RunSpec, split: str, count: int) -> None:
    if split != spec.split:
        raise RunError(f"found folds {split}, expected {spec.split}; specify the run anew on this store.")
    if not 1 <= spec.fold <= count:
        raise RunError(f"fold {spec.fold}: the store has folds 1 to {count}.")
