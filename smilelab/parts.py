"""What a run trains on, validates on and is tested on: whole clips, or windows with or without anchors."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
import pandas as pd

from smilelab import anchors
from smilelab.anchors import Anchored, AnchorRule, Anchors
from smilelab.clips import ClipStore
from smilelab.datasets import splits
from smilelab.scoring import Clips
from smilelab.specs import RunError, RunSpec, WindowOptions, folds_of, rounds_name, rounds_of, split_name
from smilelab.windows import Windows


class Part(NamedTuple):
    """Samples in one order: `table` has a row each (``clip_id, subject, label``, and ``start`` of a window)."""

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


def parts_of(spec: RunSpec, store: ClipStore, anchor_rule: AnchorRule = "none") -> Parts:
    """Collect a run's samples; frames are read when they are asked for.

    Parameters
    ----------
    spec : RunSpec
    store : ClipStore
        The store that ``spec.store`` names.
    anchor_rule : {"neutral", "posed", "none"}
        What the model compares with.

    Returns
    -------
    Parts
        No subject is in two of them.

    Raises
    ------
    RunError
        Other folds than specified, a part without samples, or a model with an anchor on whole clips.
    """
    train, validation, test = _clip_ids(spec, store)
    if spec.windows is None:
        if anchor_rule != "none":
            raise RunError(f"{spec.model} compares windows with an anchor; give the specification windows.")
        return Parts(*(_whole_clips(store, some) for some in (train, validation, test)))
    options = spec.windows
    rules: list[AnchorRule] = ["neutral", "posed"] if options.comparable else [anchor_rule]
    found: dict[AnchorRule, Anchors] = {
        rule: anchors.find(store, rule, length=options.length, seed=spec.partition_seed or 0)
        for rule in rules
        if rule != "none"
    }
    cut = [
        _windows(store, some, options, stride, found, anchor_rule)
        for some, stride in ((train, options.stride), (validation, options.test_stride), (test, options.test_stride))
    ]
    for name, part, needed in (("training", cut[0], train), ("test", cut[2], test), ("validation", cut[1], validation)):
        if needed and not len(part.table):
            raise RunError(
                f"fold {spec.fold}: no {name} window of {options.length} frames is left of {len(needed)} clips; "
                "expected longer clips at the full frame rate, and of each subject a neutral face and a posed smile."
            )
    return Parts(*cut)


def seed_of(spec: RunSpec) -> int:
    """Seed of a run's initialisation, order, dropout and held-out subjects: that of its trial and fold alone."""
    return int.from_bytes(hashlib.sha256(f"{spec.seed}|{spec.fold}".encode()).digest()[:4], "big")


def _whole_clips(store: ClipStore, clip_ids: list[str]) -> Part:
    table = store.usable.loc[clip_ids, ["subject", "label"]].astype({"label": int}).rename_axis("clip_id").reset_index()
    return Part(table, [store.frames(clip_id) for clip_id in clip_ids])


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
    folds = folds_of(store).tests
    _check(spec, split_name(store), len(folds))
    test = list(folds[spec.fold - 1])
    rest = [clip_id for number, fold in enumerate(folds, start=1) if number != spec.fold for clip_id in fold]
    if not test or not rest:
        raise RunError(f"fold {spec.fold} has {len(test)} test and {len(rest)} training clips, expected some of both.")
    if shared := set(table.loc[test, "subject"]) & set(table.loc[rest, "subject"]):
        raise RunError(f"fold {spec.fold}: subject {min(shared)} is on both sides; expected unseen test subjects.")
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
