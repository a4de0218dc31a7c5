"""Recordings: a folder of videos and a table of them, for Lee and Lee's layout and for anyone's own videos."""

from __future__ import annotations

import math
import os
from operator import itemgetter
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from smilelab.datasets import splits, trace_files
from smilelab.datasets.base import NEUTRAL, POSED, SPONTANEOUS, Database, DatabaseError
from smilelab.datasets.table import Row, read_table
from smilelab.datasets.tree import VIDEO_SUFFIXES, child, located

TABLE = "clips.csv"
COLUMNS = ("path", "label", "subject", "sex", "age", "start_s", "end_s", "kind")
_NUMBERS = ("age", "start_s", "end_s")
_LABELS = {
    **dict.fromkeys(("spontaneous", "1", "1.0"), SPONTANEOUS),
    **dict.fromkeys(("posed", "0", "0.0"), POSED),  # with a point as pandas writes them beside blanks
}
_SEXES = {"": "", "female": "female", "f": "female", "male": "male", "m": "male"}
_KINDS = ("clip", "recording", "neutral")
_OLDEST = 150.0
_EXAMPLES = 5


class Recordings(Database):
    """Videos of one's own, or recordings as Lee and Lee 2020 made them.

    Lee and Lee filmed 88 adults of 20 to 80 years, 1280x720 at 30 frames per second: a minute of spontaneous smiles,
    posed smiles on command, and a neutral face each. They never released them, so there are no published counts to
    check; the layout is ours.

    Layout: a folder of videos and ``clips.csv`` with ``path, label, subject`` and optional ``sex, age, start_s, end_s,
    kind``, a row a clip. ``path`` is relative to the folder. ``kind`` is "clip" (one smile; the default), "recording"
    (its smiles are found by their action units) or "neutral" (no label).
    """

    name: ClassVar[str] = "recordings"
    title: ClassVar[str] = "recordings with a table of clips"
    published: ClassVar[dict[str, int]] = {}
    how_to_obtain: ClassVar[str] = (
        f"Write {TABLE} beside your videos (data/README.md says how); "
        "`smilelab simulate recordings DIR` makes simulated recordings in the same layout."
    )
    layout: ClassVar[str] = f"{TABLE} with a row for each video: {', '.join(COLUMNS)}"
    columns: ClassVar[tuple[str, ...]] = COLUMNS
    numbers: ClassVar[tuple[str, ...]] = _NUMBERS

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether the table is here, and not one of traces."""
        return child(root, TABLE) is not None and not trace_files.are_listed(root)

    def read_index(self) -> pd.DataFrame:
        """Read ``clips.csv``.

        Raises
        ------
        DatabaseError
            There is none, it is no table, or rows are faulty: the message lists all of these by number, where row 2 is
            the first below the heading.
        """
        path = child(self.root, TABLE)
        if path is None or not path.is_file():
            raise DatabaseError(f"{self.root}: no {TABLE} here. {self.how_to_obtain}")
        table = read_table(path, self.columns, required=("path", "label", "subject"), numbers=self.numbers)
        read = [(row.number, *self._row(row)) for row in table.rows]
        if self.require_videos and read and not any(Path(row["path"]).is_file() for _, row, _ in read):
            raise DatabaseError(
                f"{path}: none of its {len(read)} {self.medium}s is here, such as {table.rows[0].cells['path']!r}; "
                "expected them in the folder of the table, with paths relative to it. "
                f"Copy the {self.medium}s here or correct the paths."
            )
        faults = [*table.faults, *((number, problem) for number, _, problems in read for problem in problems)]
        usable = [(number, row) for number, row, problems in read if not problems]
        faults += [*_repeated(usable), *_contradicting(usable), *_of_two_spellings(usable)]
        if faults:
            lines = [f"row {number}: {problem}" for number, problem in sorted(faults, key=itemgetter(0))]
            raise DatabaseError("\n".join([f"{path}: correct these rows:", *lines]))
        if table.others:
            self.notes.append(
                f"{path.name}: columns {', '.join(table.others)} are not used; known are {', '.join(self.columns)}."
            )
        index = pd.DataFrame([row for _, row in usable])
        self._note_unlisted(set(index["path"]))
        return index

    def counts(self) -> dict[str, int]:
        """Count rows of each class and kind."""
        index = self._index
        kinds = {f"rows of kind {kind}": int((index["kind"] == kind).sum()) for kind in _KINDS}
        return super().counts() | {"clips": int((index["label"] != NEUTRAL).sum())} | kinds

    def deviations(self) -> pd.DataFrame:
        """Classes without any row."""
        found = self.counts()
        rows = [(name, "at least 1", 0) for name in ("spontaneous clips", "posed clips") if not found[name]]
        return pd.DataFrame(rows, columns=["count", "expected", "found"])

    def folds(self) -> splits.Folds:
        """Ten seeded folds that keep subjects together; neutral rows are in none.

        Raises
        ------
        smilelab.datasets.splits.SplitError
            Fewer than two subjects.
        """
        return splits.seeded(self._index, folds=10, seed=0, published=False)

    def _row(self, row: Row) -> tuple[dict[str, Any], list[str]]:
        """Read a row, with what is wrong with it."""
        cells, problems = row.cells, []
        kind = cells["kind"].lower() or "clip"
        if kind not in _KINDS:
            problems.append(f"kind is {cells['kind']!r}, expected {', '.join(_KINDS)} or blank")
        label = NEUTRAL if kind == "neutral" else _LABELS.get(cells["label"].lower())
        if kind == "neutral" and cells["label"]:
            problems.append(f"label is {cells['label']!r}, expected it blank in a row of kind neutral")
        elif label is None:
            problems.append(f"label is {cells['label']!r}, expected spontaneous or posed (or 1 or 0)")
        if not cells["subject"]:
            problems.append("subject is blank, expected a name or number for the person shown")
        sex = _SEXES.get(cells["sex"].lower())
        if sex is None:
            problems.append(f"sex is {cells['sex']!r}, expected female, male or blank")
        values = {name: _number(cells[name]) for name in _NUMBERS}
        wrong = [name for name in _NUMBERS if values[name] is None]
        problems += [f"{name} is {cells[name]!r}, expected a number or blank" for name in wrong]
        age, start, end = (math.nan if value is None else value for value in values.values())
        if age < 0 or age > _OLDEST:
            problems.append(f"age is {cells['age']}, expected years from 0 to {_OLDEST:g}")
        if start < 0:
            problems.append(f"start_s is {cells['start_s']}, expected 0 or more")
        if end <= (0 if math.isnan(start) else start):
            problems.append(
                f"end_s is {cells['end_s']}, expected more than start_s, which is {cells['start_s'] or 'blank'}"
            )
        place, in_path = self._place(cells["path"])
        problems += in_path
        return {
            "clip_id": _clip_id(place, start, end),
            "path": str(self.root / place),
            "label": label,
            "subject": cells["subject"],
            "sex": sex,
            "age": age,
            "fps": np.nan,
            "start_s": start,
            "end_s": end,
            "kind": kind,
        }, problems

    def _place(self, written: str) -> tuple[PurePosixPath, list[str]]:
        """Path of a video relative to the root as it is on disk, with what is wrong with it."""
        if not written:
            return PurePosixPath(), [f"path is blank, expected the {self.medium}'s, relative to the folder"]
        relative = written if "\\" not in written or (self.root / written).exists() else written.replace("\\", "/")
        place = PurePosixPath(os.path.normpath(relative))
        inside = f"expected a {self.medium} in the folder, as a path relative to it"
        if place.is_absolute() or PureWindowsPath(written).drive or place.parts[:1] == ("..",):
            return place, [f"path {written!r} leads out of the folder, {inside}; copy the {self.medium} here"]
        try:
            found = located(self.root, place)
            if found is None or not found.is_file():
                lacking = f"no such file {written!r}, {inside}; copy the {self.medium} again or correct the path"
                return place, [lacking] if self.require_videos else []
            if not found.resolve().is_relative_to(self.root):
                return place, [f"path {written!r} is a link out of the folder, {inside}; copy the {self.medium} here"]
        except (OSError, ValueError) as error:
            return place, [f"path {written!r} cannot be used ({getattr(error, 'strerror', None) or error}), {inside}"]
        return PurePosixPath(found.relative_to(self.root)), []

    def _note_unlisted(self, listed: set[str]) -> None:
        found = []
        for folder, inner, names in os.walk(self.root):
            inner[:] = sorted(name for name in inner if not name.startswith("."))
            paths = [Path(folder, name) for name in sorted(names) if not name.startswith(".")]
            found += [path for path in paths if path.suffix.lower() in VIDEO_SUFFIXES and str(path) not in listed]
        if found:
            some = ", ".join(self.shown(path) for path in found[:_EXAMPLES])
            more = ", ..." if len(found) > _EXAMPLES else ""
            self.notes.append(f"{len(found)} videos of the folder are not in {TABLE} and are not used: {some}{more}")


def _clip_id(place: PurePosixPath, start: float, end: float) -> str:
    name = place.with_suffix("").as_posix() if place.name else ""
    if math.isnan(start) and math.isnan(end):
        return name
    first, last = ("0" if math.isnan(start) else f"{start:g}"), ("end" if math.isnan(end) else f"{end:g}")
    return f"{name}@{first}-{last}"


def _repeated(rows: list[tuple[int, dict[str, Any]]]) -> list[tuple[int, str]]:
    first: dict[str, int] = {}
    return [
        (
            number,
            f"the clip {row['clip_id']!r} is in row {first[row['clip_id']]} already, expected each once; remove one, "
            "or give each its own start_s and end_s or file name",
        )
        for number, row in rows
        if first.setdefault(row["clip_id"], number) != number
    ]


def _contradicting(rows: list[tuple[int, dict[str, Any]]]) -> list[tuple[int, str]]:
    first: dict[str, tuple[int, str]] = {}
    found = []
    for number, row in rows:
        where, sex = first.setdefault(row["subject"], (number, row["sex"])) if row["sex"] else (number, "")
        if sex != row["sex"]:
            problem = f"sex of subject {row['subject']!r} is {row['sex']}, but {sex} in row {where}; expected the same"
            found.append((number, problem))
    return found


def _of_two_spellings(rows: list[tuple[int, dict[str, Any]]]) -> list[tuple[int, str]]:
    """Subjects that differ in case or blanks alone: as two they could be trained and tested on at once."""
    first: dict[str, tuple[int, str]] = {}
    found = []
    for number, row in rows:
        where, written = first.setdefault(" ".join(row["subject"].casefold().split()), (number, row["subject"]))
        if written != row["subject"]:
            problem = f"subject is {row['subject']!r}, but {written!r} in row {where}; write one person in one way"
            found.append((number, problem))
    return found


def _number(cell: str) -> float | None:
    """Read a number, NaN where the cell is blank, None where it holds something else."""
    if not cell:
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
