"""Smile moments as a database of clips, and their table as a person may correct it, checked row by row."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pandas as pd

from smilelab.datasets.base import NEUTRAL, POSED, SPONTANEOUS, DatabaseError
from smilelab.datasets.splits import Folds
from smilelab.datasets.table import read_table
from smilelab.files import write_atomically
from smilelab.preprocess.build import Database

__all__ = ["COLUMNS", "LABELS", "MomentDatabase", "MomentError", "read_moments", "write_table"]

MOMENTS_FILE, NEUTRAL_FILE, FAILURES_FILE = "moments.csv", "neutral.csv", "failures.csv"
COLUMNS = (
    *("clip_id", "recording", "subject", "label", "start_s", "end_s", "onset_s", "apex_s", "offset_s"),
    *("peak_au12", "peak_au06", "source", "keep"),
)
NEUTRAL_COLUMNS = ("clip_id", "recording", "subject", "start_s", "end_s")
FAILURE_COLUMNS = ("clip_id", "status", "reason")
LABELS = {SPONTANEOUS: "spontaneous", POSED: "posed"}
_NEEDED = ("recording", "start_s", "end_s")
_NUMBERS = ("start_s", "end_s", "onset_s", "apex_s", "offset_s", "peak_au12", "peak_au06")
_KEEP = {"yes": True, "no": False, "": True}
_MOST_FAULTS = 20
_Known = dict[str, dict[str, Any]]


class MomentError(ValueError):
    """The table of smile moments cannot be used; the message lists every faulty row."""


class MomentDatabase:
    """The smile moments of a database's recordings, as clips.

    Parameters
    ----------
    database : Database
        With rows of kind "recording", and of kind "clip" and "neutral" where it has them.
    folder : Path
        Where `find` has written its tables.

    Attributes
    ----------
    path : Path
        The table of moments, to be corrected by hand.
    moments : DataFrame
        The table as it is now; columns as in the file, ``label`` 1 or 0, ``keep`` bool, times in s.
    neutral : DataFrame
        ``clip_id``, ``recording``, ``subject``, ``start_s``, ``end_s`` of each neutral face.
    failures : DataFrame
        ``clip_id``, ``status`` ("failed", "partial", "no smile", "no neutral") and ``reason``.

    Raises
    ------
    MomentError
        If a row of the table was corrected to something that cannot be.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.path = folder / MOMENTS_FILE
        self._rows = database.index().set_index("clip_id", drop=False)
        self.moments = read_moments(self.path, self._rows[self._rows["kind"] == "recording"])
        text = dict.fromkeys([*NEUTRAL_COLUMNS[:3], *FAILURE_COLUMNS], str)
        self.neutral = pd.read_csv(
            folder / NEUTRAL_FILE, dtype=text, keep_default_na=False, na_values={"start_s": [""], "end_s": [""]}
        )
        self.failures = pd.read_csv(folder / FAILURES_FILE, dtype=text, keep_default_na=False)

    @property
    def name(self) -> str:
        """The database's name."""
        return self.database.name

    @property
    def simulated(self) -> bool:
        """Whether the videos come from the simulator."""
        return self.database.simulated

    @property
    def provenance(self) -> dict[str, Any]:
        """The simulator's settings; empty for real videos."""
        return self.database.provenance

    def index(self) -> pd.DataFrame:
        """One row a clip, in the columns of the database's own index.

        Returns
        -------
        DataFrame
            The database's clips as they are; each moment to keep, as a part of its recording; the neutral faces, of
            kind "neutral" and label -1.
        """
        kept = self.moments[self.moments["keep"]]
        moments = self._parts(kept, {"kind": "clip"})
        neutral = self._parts(self.neutral, {"kind": "neutral", "label": NEUTRAL})
        clips = self._rows[self._rows["kind"] == "clip"]
        parts = [part for part in (clips, moments, neutral) if len(part)]
        return pd.concat(parts or [clips], ignore_index=True).astype({"label": "int64"})

    def counts(self) -> dict[str, int]:
        """Moments to keep per class, by the class' name."""
        labels = self.moments.loc[self.moments["keep"], "label"]
        return {name: int((labels == label).sum()) for label, name in LABELS.items()}

    def folds(self) -> Folds:
        """Test clips of each fold: a moment is tested where its recording is; folds left empty are dropped."""
        base = self.database.folds()
        kept = self.moments[self.moments["keep"]]
        of = kept.groupby("recording", sort=False)["clip_id"].apply(list).to_dict()
        clips = set(self._rows.loc[self._rows["kind"] == "clip", "clip_id"])
        tests = [
            tuple(m for clip in test for m in ([clip] if clip in clips else of.get(clip, []))) for test in base.tests
        ]
        return Folds(tuple(filter(None, tests)), base.source, bool(getattr(base, "official", False)))

    def fingerprint(self) -> str:
        """Eight hex digits over the database's own and every row of the index."""
        rows = self.index()[["clip_id", "label", "subject", "start_s", "end_s", "kind"]]
        content = self.database.fingerprint() + rows.to_csv(index=False)
        return hashlib.sha256(content.encode()).hexdigest()[:8]

    def _parts(self, table: pd.DataFrame, values: dict[str, Any]) -> pd.DataFrame:
        rows = self._rows.loc[table["recording"]].reset_index(drop=True)
        own = {name: table[name].to_numpy() for name in ("clip_id", "start_s", "end_s")}
        return rows.assign(**own, **values)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as UTF-8 CSV, complete or not at all.

    Parameters
    ----------
    path : Path
    table : DataFrame
        Numbers are written to the millisecond; a missing one as an empty cell.
    """
    write_atomically(path, table.to_csv(index=False, float_format="%.3f", lineterminator="\n"))


def read_moments(path: Path, recordings: pd.DataFrame) -> pd.DataFrame:
    """Read a table of smile moments, corrected by hand or not.

    Parameters
    ----------
    path : Path
        CSV with a heading, in UTF-8, comma or semicolon between cells. ``recording``, ``start_s`` and ``end_s`` are
        needed. A blank ``clip_id`` is filled with the recording's next free ``.smileNN``, a blank ``keep`` means yes,
        blank ``subject`` and ``label`` are the recording's.
    recordings : DataFrame
        Indexed by the recording's id, with ``subject`` and ``label``.

    Returns
    -------
    DataFrame
        `COLUMNS`; ``label`` 1 or 0, ``keep`` bool, times in s.

    Raises
    ------
    MomentError
        Listing all faulty rows by number, where row 2 is the first below the heading.
    """
    try:
        table = read_table(path, COLUMNS, required=_NEEDED, numbers=_NUMBERS, may_be_empty=True)
    except DatabaseError as error:
        raise MomentError(f"{error} Or delete the file to have it made anew.") from None
    for name in table.others:
        if meant := get_close_matches(name, COLUMNS, 1, 0.7):
            raise MomentError(
                f"{path}: column {name!r} is not known, {meant[0]!r} is. Rename it, or call it otherwise."
            )
    rows = {row.number: row.cells for row in table.rows}
    parts = (recordings.index, recordings["subject"], recordings["label"])
    known: _Known = {of: {"subject": who, "label": int(label)} for of, who, label in zip(*parts, strict=True)}
    taken = {row["clip_id"] for row in rows.values()}
    faults, seen = [f"row {number}: {problem}" for number, problem in table.faults], dict[str, int]()
    result = []
    for number, row in rows.items():
        problems = [*_problems(row, known)]
        if row["clip_id"] in seen:
            problems.append(f"clip_id {row['clip_id']!r} is in row {seen[row['clip_id']]} too, expected each once")
        if problems:
            faults += [f"row {number}: {problem}" for problem in problems]
            continue
        row["clip_id"] = row["clip_id"] or _free(row["recording"], taken)
        seen[row["clip_id"]] = number
        result.append(_converted(row, known))
    faults += _overlaps({seen[row["clip_id"]]: row for row in result if row["keep"]})
    if faults:
        more = [f"... and {len(faults) - _MOST_FAULTS} more"] if len(faults) > _MOST_FAULTS else []
        raise MomentError(
            "\n".join(
                [f"{path}: correct these rows, or delete the file to have it made anew:", *faults[:_MOST_FAULTS], *more]
            )
        )
    return pd.DataFrame(result, columns=list(COLUMNS)).astype(
        {"label": "int64", "keep": "bool"} | dict.fromkeys(_NUMBERS, "float64")
    )


def _overlaps(kept: dict[int, dict[str, Any]]) -> Iterator[str]:
    """Two smiles to keep must not share a frame, which would count twice."""
    last: dict[str, tuple[int, float]] = {}
    for number, row in sorted(kept.items(), key=lambda item: (item[1]["recording"], item[1]["start_s"])):
        before, until = last.get(row["recording"], (0, 0.0))
        if row["start_s"] < until:
            yield f"row {number}: starts at {row['start_s']:g} s, before row {before} ends at {until:g} s"
        last[row["recording"]] = (number, max(until, row["end_s"]))


def _problems(row: dict[str, str], recordings: _Known) -> Iterator[str]:
    times = {name: _number(row[name]) for name in _NUMBERS}
    for name in _NUMBERS:
        if times[name] is None or (row[name] == "" and name in _NEEDED):
            yield f"{name} is {row[name]!r}, expected a number"
    start, end = times["start_s"], times["end_s"]
    if start is not None and start < 0:
        yield f"start_s is {start:g}, expected 0 or more"
    if start is not None and end is not None and end <= start:
        yield f"ends at {end:g} s, before or as it starts at {start:g} s"
    if row["keep"].lower() not in _KEEP:
        yield f"keep is {row['keep']!r}, expected yes or no"
    if row["recording"] not in recordings:
        example = next(iter(recordings), "")
        yield f"recording {row['recording']!r} is not in the database, expected an id such as {example!r}"
        return
    known = recordings[row["recording"]]
    label = LABELS[known["label"]]
    if row["subject"] not in ("", str(known["subject"])):
        yield f"subject is {row['subject']!r}, expected {known['subject']!r} as its recording says"
    if row["label"].lower() not in ("", label, str(known["label"])):
        yield f"label is {row['label']!r}, expected {label} as its recording says"


def _number(cell: str) -> float | None:
    """Read a number, NaN where the cell is blank, None where it holds something else."""
    try:
        value = float(cell or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) or not cell else None


def _free(recording: str, taken: set[str]) -> str:
    number = 1
    while (name := f"{recording}.smile{number:02d}") in taken:
        number += 1
    taken.add(name)
    return name


def _converted(row: dict[str, str], recordings: _Known) -> dict[str, Any]:
    known = recordings[row["recording"]]
    numbers = {name: _number(row[name]) for name in _NUMBERS}
    return {**row, **numbers, "subject": known["subject"], "label": known["label"], "keep": _keep(row["keep"])}


def _keep(cell: str) -> bool:
    return _KEEP[cell.lower()]
