"""Folds over the rows of an index, disjoint in subjects by assertion."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from smilelab.datasets.labels import NEUTRAL

OFFICIAL = "official folds"
SEEDED = "not the official folds"
SIMULATED = "folds of the simulated copy"


class SplitError(ValueError):
    """Folds leak a subject, miss or repeat a clip, or contradict the labels."""


@dataclass(frozen=True)
class Folds:
    """Test clips of each fold; the training clips of a fold are all others.

    Attributes
    ----------
    tests : tuple of tuple of str
        Clip ids tested in each fold.
    source : str
        Where the folds come from, in words that can be printed under a table.
    official : bool
        Whether they are the folds of the database's owners.
    """

    tests: tuple[tuple[str, ...], ...]
    source: str
    official: bool

    def __len__(self) -> int:
        return len(self.tests)

    def restricted(self, clip_ids: Sequence[str]) -> Folds:
        """Return the folds with only those of their clips that are in ``clip_ids``."""
        kept = set(clip_ids)
        return Folds(tuple(tuple(c for c in test if c in kept) for test in self.tests), self.source, self.official)

    def fingerprint(self) -> str:
        """Eight hex digits over the membership of every fold."""
        content = json.dumps([sorted(test) for test in self.tests])
        return hashlib.sha256(content.encode()).hexdigest()[:8]

    def verify(self, index: pd.DataFrame) -> Folds:
        """Assert that the folds partition the clips of an index and share no subject.

        Parameters
        ----------
        index : pandas.DataFrame
            Columns ``clip_id``, ``label`` and ``subject``. Neutral rows belong to no fold.

        Returns
        -------
        Folds
            Itself.

        Raises
        ------
        SplitError
            A clip is in two folds or in none, a fold names an unknown clip, or a subject is in two folds.
        """
        classed = _classed(index)
        subject_of = dict(zip(classed["clip_id"], classed["subject"], strict=True))
        fold_of_clip: dict[str, int] = {}
        fold_of_subject: dict[str, int] = {}
        for number, test in enumerate(self.tests, start=1):
            for clip_id in test:
                if clip_id not in subject_of:
                    raise SplitError(
                        f"{self.source}: fold {number} names {clip_id}, which is no smile clip of the index."
                    )
                if clip_id in fold_of_clip:
                    raise SplitError(f"{self.source}: {clip_id} is in folds {fold_of_clip[clip_id]} and {number}.")
                fold_of_clip[clip_id] = number
                subject = subject_of[clip_id]
                if fold_of_subject.setdefault(subject, number) != number:
                    raise SplitError(
                        f"{self.source}: subject {subject} is in folds {fold_of_subject[subject]} and {number}; "
                        "expected every subject in one fold only."
                    )
        absent = [clip_id for clip_id in subject_of if clip_id not in fold_of_clip]
        if absent:
            raise SplitError(f"{self.source}: {len(absent)} clips are in no fold, e.g. {', '.join(absent[:5])}.")
        return self


def seeded(index: pd.DataFrame, *, folds: int = 10, seed: int = 0, published: bool = True) -> Folds:
    """Draw class-stratified folds that keep each subject together.

    Parameters
    ----------
    index : pandas.DataFrame
        Columns ``clip_id``, ``label`` and ``subject``; neutral rows are left out.
    folds : int
        Number of folds; lowered to the number of subjects where there are fewer.
    seed : int
        Seed of the draw.
    published : bool
        Whether the database has official folds, which these are not.

    Returns
    -------
    Folds
        Not official, and saying so where there are such.

    Raises
    ------
    SplitError
        Fewer than two subjects.
    """
    index = _classed(index)
    subjects = index["subject"].nunique()
    count = min(folds, subjects)
    if count < 2:
        raise SplitError(f"found {subjects} subject(s), expected at least two to test on unseen subjects.")
    clip_ids = index["clip_id"].to_numpy()
    labels, groups = index["label"].to_numpy(), index["subject"].to_numpy()
    tests: tuple[tuple[str, ...], ...] = ()
    # Where a class has fewer clips than there are folds, stratifying is impossible and whole subjects alone decide.
    splitters = [GroupKFold(n_splits=count, shuffle=True, random_state=seed)]
    if min(np.bincount(labels, minlength=2)) >= count:
        splitters.insert(0, StratifiedGroupKFold(n_splits=count, shuffle=True, random_state=seed))
    for splitter in splitters:
        tests = tuple(tuple(sorted(clip_ids[test])) for _, test in splitter.split(clip_ids, labels, groups))
        if all(tests):
            break
    said = SEEDED if published else "subjects kept together"
    return Folds(tests, f"seeded split (seed {seed}), {said}", official=False).verify(index)


def by_subjects(index: pd.DataFrame, groups: Sequence[Sequence[str]], source: str) -> Folds:
    """Make folds of published groups of subjects.

    Parameters
    ----------
    index : pandas.DataFrame
        Columns ``clip_id``, ``label`` and ``subject``; neutral rows are left out.
    groups : sequence of sequence of str
        Subjects tested in each fold. Folds of which the index has no clip are dropped.
    source : str
        Where the groups come from; says afterwards how many folds were dropped.

    Returns
    -------
    Folds
        Official where no fold was dropped.

    Raises
    ------
    SplitError
        A subject in two groups or in none, or clips of fewer than two groups.
    """
    times = Counter(subject for group in groups for subject in group)
    if repeated := [subject for subject, count in times.items() if count > 1]:
        raise SplitError(f"{source}: subject {repeated[0]} is in {times[repeated[0]]} folds, expected one.")
    index = _classed(index)
    if strangers := sorted(set(index["subject"]) - set(times)):
        raise SplitError(
            f"{source}: no fold names subject {', '.join(strangers[:5])}; expected {', '.join(sorted(times))}. "
            "Take the clips of others out of the folder, or split with smilelab.datasets.splits.seeded."
        )
    clips_of = index.groupby("subject")["clip_id"].apply(list).to_dict()
    tests = [tuple(sorted(clip for subject in group for clip in clips_of.get(subject, []))) for group in groups]
    kept = tuple(test for test in tests if test)
    if len(kept) < 2:
        raise SplitError(f"{source}: found clips of {len(kept)} fold(s), expected at least two to test on one of them.")
    complete = len(kept) == len(tests)
    if not complete:
        source += f", without {len(tests) - len(kept)} of {len(tests)} of which there is no clip"
    return Folds(kept, source, official=complete).verify(index)


@dataclass(frozen=True)
class Partition:
    """Subjects for training, validation and test.

    Attributes
    ----------
    train, validation, test : tuple of str
        Subjects, sorted.

    Raises
    ------
    SplitError
        A subject is in two of them.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        for one, other in combinations((self.train, self.validation, self.test), 2):
            if both := sorted(set(one) & set(other)):
                raise SplitError(f"subject {both[0]} is in two parts of a partition; expected every subject in one.")


def partition(index: pd.DataFrame, *, test: int = 10, validation: int = 10, of: int = 88, seed: int = 0) -> Partition:
    """Draw subjects for training, validation and test, 68, 10 and 10 of 88 as in Lee Table 1.

    Parameters
    ----------
    index : pandas.DataFrame
        Columns ``label`` and ``subject``; neutral rows are left out.
    test, validation, of : int
        Subjects for test and for validation, of so many in all. Where the index has another number of subjects the
        shares stay the same, with one subject at least for each.
    seed : int
        Seed of the draw.

    Returns
    -------
    Partition

    Raises
    ------
    SplitError
        Fewer than three subjects, or shares that leave none for training.
    """
    subjects = _subjects(index)
    n_test, n_held = (_scaled(count, of, len(subjects)) for count in (test, validation))
    if len(subjects) < n_test + n_held + 1:
        raise SplitError(
            f"found {len(subjects)} subject(s), expected at least {n_test + n_held + 1}: "
            f"{n_test} for test, {n_held} for validation, and one for training."
        )
    drawn = np.random.default_rng(seed).permutation(subjects).tolist()
    return Partition(
        train=tuple(sorted(drawn[n_test + n_held :])),
        validation=tuple(sorted(drawn[n_test : n_test + n_held])),
        test=tuple(sorted(drawn[:n_test])),
    )


def five_fold(
    index: pd.DataFrame, *, seed: int = 0, folds: int = 5, validation: int = 10, of: int = 88
) -> list[Partition]:
    """Draw the partitions of a cross validation over the subjects that :func:`partition` does not test.

    Lee section 4.1 has 78 subjects, five folds and 10 validation subjects, which is no partition of the 78. Here the
    subjects are dealt into five groups; in each fold 10 of the group validate and the other 68 subjects train.

    Parameters
    ----------
    index : pandas.DataFrame
        Columns ``label`` and ``subject``; neutral rows are left out.
    seed : int
        Seed of both draws; the test subjects are those of ``partition(index, seed=seed)``.
    folds : int
        Number of folds; lowered to the number of subjects where there are fewer.
    validation, of : int
        Validation subjects in each fold, of so many in all; scaled as in :func:`partition`.

    Returns
    -------
    list of Partition
        Validation subjects of different folds are disjoint.

    Raises
    ------
    SplitError
        Fewer than three subjects.
    """
    whole = partition(index, validation=validation, of=of, seed=seed)
    rest = np.array(sorted(whole.train + whole.validation))
    held = _scaled(validation, of, len(rest) + len(whole.test))
    splitter = GroupKFold(n_splits=min(folds, len(rest)), shuffle=True, random_state=seed)
    generator = np.random.default_rng(seed)
    drawn = [set(generator.permutation(rest[group])[:held].tolist()) for _, group in splitter.split(rest, groups=rest)]
    return [
        Partition(tuple(s for s in rest.tolist() if s not in held_out), tuple(sorted(held_out)), whole.test)
        for held_out in drawn
    ]


def hold_out_subjects(
    labels: Sequence[int], subjects: Sequence[str], *, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Take whole subjects out of a training fold for validation.

    Subjects are drawn within strata of the classes they show, so that both parts keep both classes where possible.

    Parameters
    ----------
    labels, subjects : sequence, (n,)
        Label and subject of each training clip.
    share : float
        Share of subjects to hold out, between 0 and 1; at least one subject is held out.
    seed : int
        Seed of the draw.

    Returns
    -------
    train, validation : numpy.ndarray
        Positions into the given sequences.

    Raises
    ------
    SplitError
        A share outside (0, 1), or fewer than two subjects.
    """
    if not 0 < share < 1:
        raise SplitError(f"found share {share}, expected a number between 0 and 1.")
    frame = pd.DataFrame({"label": list(labels), "subject": list(subjects)})
    shows = frame.groupby("subject")["label"].agg(lambda values: "".join(sorted({str(value) for value in values})))
    if len(shows) < 2:
        raise SplitError(f"found {len(shows)} subject(s), expected at least two to hold one out.")
    generator = np.random.default_rng(seed)
    held: set[str] = set()
    for stratum in sorted(set(shows)):
        members = sorted(shows.index[shows == stratum])
        take = round(share * len(members))
        held.update(generator.permutation(members)[:take])
    everyone = sorted(shows.index)
    if not held:
        held.add(str(generator.choice(everyone)))
    if len(held) == len(everyone):
        held.remove(sorted(held)[0])
    is_held = frame["subject"].isin(held).to_numpy()
    return np.flatnonzero(~is_held), np.flatnonzero(is_held)


def _scaled(count: int, of: int, found: int) -> int:
    return max(1, round(count * found / of))


def _subjects(index: pd.DataFrame) -> list[str]:
    return sorted(_classed(index)["subject"].unique())


def _classed(index: pd.DataFrame) -> pd.DataFrame:
    return index[index["label"] != NEUTRAL]
