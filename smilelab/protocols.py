"""Who trains and who is tested: the folds of a database, groups of its subjects, a few clips, another database."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from smilelab.clips import ClipStore
from smilelab.datasets.splits import OFFICIAL, Folds, Partition, SplitError, five_fold

FOLDS, ELSEWHERE = "folds", "elsewhere"
ADULT_FROM = 18
DRAWS = 10
GROUPS: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "female": lambda table: table["sex"] == "female",
    "male": lambda table: table["sex"] == "male",
    "adult": lambda table: table["age"] >= ADULT_FROM,
    "young": lambda table: table["age"] < ADULT_FROM,
}


class Division(NamedTuple):
    """Clips for training and for test; no subject is in both. Without test clips, a fold of which none is left."""

    train: tuple[str, ...]
    test: tuple[str, ...]


def divisions(store: ClipStore, protocol: str) -> list[Division]:
    """Clips for training and for test in each fold of a protocol.

    Parameters
    ----------
    store : ClipStore
    protocol : str
        "folds": those of the store. "within GROUP": the same folds, of the clips of a group's subjects alone; groups
        are female, male, adult (from 18 years on) and young. "from GROUP to GROUP": all clips of one group train, all
        of another are tested. "subset N": N clips, as many of each class, are tested, all clips of other subjects
        train; :data:`DRAWS` draws. "elsewhere": all clips train, those of other stores are tested.

    Returns
    -------
    list of Division
        Fold 1 first.

    Raises
    ------
    SplitError
        No such protocol, a group that the store does not tell, a subject on both sides, or too few clips.

    Source: Yang et al. 2020, section 4.2, Figs. 7 and 8. How the 20 and 30 clips of Fig. 8 were chosen is not said:
    drawing them is ours, and one clip a subject where at least half of the subjects are left to train on.
    """
    table = store.usable
    match protocol.split():
        case ["folds"]:
            tests = folds_of(store).tests
            rest = [[clip for j, other in enumerate(tests) if j != i for clip in other] for i in range(len(tests))]
            found = [Division(tuple(train), test) for train, test in zip(rest, tests, strict=True)]
        case ["within", group]:
            inside = set(_members(store, group))
            found = [
                Division(*(tuple(clip for clip in part if clip in inside) for part in division))
                for division in divisions(store, FOLDS)
            ]
        case ["from", source, "to", target]:
            found = [Division(_members(store, source), _members(store, target))]
        case ["subset", count] if count.isdigit() and int(count) >= 2:
            found = [_subset(table, int(count), draw) for draw in range(1, DRAWS + 1)]
        case ["elsewhere"]:
            return [Division(tuple(table.index), ())]
        case _:
            raise SplitError(
                f"protocol: found {protocol!r}, expected folds, within GROUP, from GROUP to GROUP, subset N or "
                f"elsewhere; groups are {', '.join(GROUPS)}."
            )
    for number, division in enumerate(found, start=1):
        if shared := set(table.loc[list(division.test), "subject"]) & set(table.loc[list(division.train), "subject"]):
            raise SplitError(
                f"{protocol}, fold {number}: subject {min(shared)} is on both sides; expected unseen test subjects."
            )
    return found


def split_name(store: ClipStore, protocol: str = FOLDS) -> str:
    """Name of a store's folds under a protocol: their kind and a hash of their membership."""
    if protocol == FOLDS:
        folds = folds_of(store)
        return f"{'official' if folds.official else 'other'}-{folds.fingerprint()}"
    canonical = json.dumps([[sorted(part) for part in division] for division in divisions(store, protocol)])
    return f"{protocol.replace(' ', '-')}-{hashlib.sha256(canonical.encode()).hexdigest()[:8]}"


def folds_of(store: ClipStore) -> Folds:
    """Folds of a store, over its usable clips."""
    tests = tuple(tuple(test) for test in store.folds())
    return Folds(tests, store.folds_source, official=store.folds_source == OFFICIAL)


def rounds_name(rounds: Sequence[Partition]) -> str:
    """Name of the rounds of Lee & Lee's protocol: a hash of who is where."""
    canonical = json.dumps([[part.train, part.validation, part.test] for part in rounds])
    return f"rounds-{hashlib.sha256(canonical.encode()).hexdigest()[:12]}"


def rounds_of(store: ClipStore, seed: int) -> list[Partition]:
    """Training, validation and test subjects of each round of Lee & Lee's protocol on a store.

    Raises
    ------
    SplitError
        Too few subjects.
    """
    return five_fold(store.usable.reset_index()[["clip_id", "label", "subject"]], seed=seed)


def _members(store: ClipStore, group: str) -> tuple[str, ...]:
    if group not in GROUPS:
        raise SplitError(f"group: found {group!r}, expected one of {', '.join(GROUPS)}.")
    clips = tuple(store.usable.index[GROUPS[group](store.usable)])
    if not clips:
        raise SplitError(
            f"group {group}: {store.database} has no clip of such a subject; expected one's sex and age in the index."
        )
    return clips


def _subset(table: pd.DataFrame, count: int, draw: int) -> Division:
    """Draw `count` clips, half of each class, of as many subjects as leave half of all for training."""
    generator = np.random.default_rng([count, draw])
    each = -(-2 * count // table["subject"].nunique())
    left = {1: count - count // 2, 0: count // 2}
    test: list[str] = []
    for subject in generator.permutation(sorted(table["subject"].unique())):
        taken = 0
        for clip in generator.permutation(sorted(table.index[table["subject"] == subject])):
            label = int(table["label"][clip])
            if left[label] and taken < each:
                left[label] -= 1
                taken += 1
                test.append(str(clip))
    if any(left.values()):
        raise SplitError(f"subset {count}: found {len(test)} clips to test, expected {count}, half of each class.")
    train = table.index[~table["subject"].isin(table.loc[test, "subject"])]
    if table.loc[train, "label"].nunique() < 2:
        raise SplitError(f"subset {count}: {len(train)} clips of other subjects are left; expected both classes.")
    return Division(tuple(train), tuple(sorted(test)))
