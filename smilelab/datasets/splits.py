"""Folds over the rows of an index, disjoint in subjects by assertion."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

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
        """Assert that the folds partition the index and share no subject.

        Parameters
        ----------
        index : pandas.DataFrame
            Columns ``clip_id`` and ``subject``.

        Returns
        -------
        Folds
            Itself.

        Raises
        ------
        SplitError
            A clip is in two folds or in none, a fold names an unknown clip, or a subject is in two folds.
        """
        subject_of = dict(zip(index["clip_id"], index["subject"], strict=True))
        fold_of_clip: dict[str, int] = {}
        fold_of_subject: dict[str, int] = {}
        for number, test in enumerate(self.tests, start=1):
            for clip_id in test:
                if clip_id not in subject_of:
                    raise SplitError(f"{self.source}: fold {number} names {clip_id}, which is not in the index.")
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


def seeded(index: pd.DataFrame, *, folds: int = 10, seed: int = 0) -> Folds:
    """Draw class-stratified folds that keep each subject together.

    Parameters
    ----------
    index : pandas.DataFrame
        Columns ``clip_id``, ``label`` and ``subject``.
    folds : int
        Number of folds; lowered to the number of subjects where there are fewer.
    seed : int
        Seed of the draw.

    Returns
    -------
    Folds
        Not official, and saying so.

    Raises
    ------
    SplitError
        Fewer than two subjects.
    """
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
    return Folds(tests, f"seeded split (seed {seed}), {SEEDED}", official=False).verify(index)


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


def read_official(folder: Path, index: pd.DataFrame) -> Folds | None:
    """Find and read UvA-NEMO's official folds in either published form.

    The JSON form is ``<dir>/<k>/test.json`` (and ``train.json``) with ``{stem: label}``; the text form is
    ``P_fold_*_<k>.txt`` and ``S_fold_*_<k>.txt`` with one stem a line (P posed, S spontaneous), of which files with
    "train" in their name are skipped. Clips that the copy on disk lacks are left out of the folds.

    Parameters
    ----------
    folder : Path
        Where to look, at most three levels deep.
    index : pandas.DataFrame
        Columns ``clip_id``, ``label`` and ``subject``.

    Returns
    -------
    Folds or None
        None where neither form is found.

    Raises
    ------
    SplitError
        Fold files that are unreadable, leak, leave clips out, or contradict the labels; or the two forms disagree.
    """
    found = [form for form in (_json_form(folder), _text_form(folder)) if form is not None]
    if not found:
        return None
    results = [_official(labelled, index) for labelled in found]
    if len(results) == 2 and results[0].fingerprint() != results[1].fingerprint():
        raise SplitError(f"{folder}: the JSON and the text form of the folds differ; expected the same folds in both.")
    return results[0]


def _official(labelled: list[dict[str, int]], index: pd.DataFrame) -> Folds:
    label_of = dict(zip(index["clip_id"], index["label"], strict=True))
    for number, test in enumerate(labelled, start=1):
        wrong = [stem for stem, label in test.items() if stem in label_of and label_of[stem] != label]
        if wrong:
            raise SplitError(f"{OFFICIAL}: fold {number} gives {wrong[0]} another label than the metadata do.")
    tests = tuple(tuple(sorted(stem for stem in test if stem in label_of)) for test in labelled)
    return Folds(tests, OFFICIAL, official=True).verify(index)


def _json_form(folder: Path) -> list[dict[str, int]] | None:
    firsts = _shallow(folder, "1/test.json")
    if not firsts:
        return None
    base = firsts[0].parent.parent
    numbers = sorted(int(path.name) for path in base.iterdir() if path.name.isdigit())
    _require_consecutive(numbers, base)
    folds = []
    for number in numbers:
        test = _labels_in(base / str(number) / "test.json")
        train_file = base / str(number) / "train.json"
        if train_file.is_file() and (both := set(test) & set(_labels_in(train_file))):
            raise SplitError(f"{train_file.parent}: {sorted(both)[0]} is in train.json and in test.json.")
        folds.append(test)
    return folds


def _labels_in(path: Path) -> dict[str, int]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SplitError(f"{path}: {error}; expected JSON of the form {{stem: label}}.") from None
    if not isinstance(content, Mapping) or not all(value in (0, 1) for value in content.values()):
        raise SplitError(f"{path}: expected JSON of the form {{stem: 0 or 1}}.")
    return {str(stem).removesuffix(".mp4"): int(label) for stem, label in content.items()}


def _text_form(folder: Path) -> list[dict[str, int]] | None:
    by_fold: dict[int, dict[str, int]] = {}
    for label, letter in ((0, "P"), (1, "S")):
        for path in _shallow(folder, f"{letter}_fold_*.txt"):
            match = re.fullmatch(rf"{letter}_fold_.*?_?(\d+)\.txt", path.name)
            if match is None or "train" in path.name.lower():
                continue
            stems = path.read_text(encoding="utf-8", errors="replace").split()
            by_fold.setdefault(int(match.group(1)), {}).update({stem.removesuffix(".mp4"): label for stem in stems})
    if not by_fold:
        return None
    numbers = sorted(by_fold)
    _require_consecutive(numbers, folder)
    return [by_fold[number] for number in numbers]


def _require_consecutive(numbers: list[int], place: Path) -> None:
    if numbers != list(range(1, len(numbers) + 1)):
        raise SplitError(f"{place}: found folds {numbers}, expected 1, 2, ... without a gap.")


def _shallow(folder: Path, pattern: str) -> list[Path]:
    return sorted({path for depth in ("", "*/", "*/*/", "*/*/*/") for path in folder.glob(depth + pattern)})
