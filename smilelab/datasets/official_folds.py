"""UvA-NEMO's official folds, in either published form."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from smilelab.datasets.splits import OFFICIAL, Folds, SplitError


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
