"""Reading a table that a person wrote: CSV in UTF-8, with comma or semicolon, as spreadsheets save it."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from smilelab.datasets.base import DatabaseError

__all__ = ["Row", "Table", "read_table"]

_SAVE = 'save it as CSV in UTF-8 (spreadsheets: "CSV UTF-8")'


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes
    ----------
    number : int
        As a spreadsheet counts: 2 is the first below the heading.
    cells : dict of str to str
        Every known column, blank where the row has no such cell; without blanks around.
    """

    number: int
    cells: dict[str, str]


@dataclass(frozen=True)
class Table:
    """What was read.

    Attributes
    ----------
    rows : tuple of Row
        Without the blank ones.
    faults : tuple of (int, str)
        Numbers of the rows that could not be taken apart, and why.
    others : tuple of str
        Columns that are not known.
    """

    rows: tuple[Row, ...]
    faults: tuple[tuple[int, str], ...]
    others: tuple[str, ...]


def read_table(
    path: Path,
    columns: Collection[str],
    *,
    required: Collection[str],
    numbers: Collection[str],
    may_be_empty: bool = False,
) -> Table:
    """Read a table.

    Parameters
    ----------
    path : Path
        CSV in UTF-8, with or without a byte order mark; comma or semicolon between cells, in which case a comma in
        `numbers` is the decimal sign. The heading may have other upper and lower case.
    columns, required, numbers : collection of str
        Those that are known, those among them that must be there, and those that hold numbers.
    may_be_empty : bool
        Whether a table without a row is one too.

    Returns
    -------
    Table

    Raises
    ------
    DatabaseError
        Not UTF-8, no CSV, no heading, a column missing or there twice, or no row.
    """
    lines = _text(path)
    separator = ";" if lines.partition("\n")[0].count(";") > lines.partition("\n")[0].count(",") else ","
    reader = csv.reader(io.StringIO(lines, newline=""), delimiter=separator)
    try:
        heading = [name.strip().lower() for name in next(reader, [])]
        records = list(enumerate(reader, start=2))
    except csv.Error as error:
        raise DatabaseError(f"{path}: line {reader.line_num} is no CSV ({error}); {_SAVE}.") from None
    expected = f"expected {', '.join(columns)}"
    if missing := [name for name in required if name not in heading]:
        found = ", ".join(filter(None, heading)) or "an empty file"
        raise DatabaseError(f"{path}: no column {', '.join(missing)}; found {found}, {expected}. Restore the heading.")
    if twice := [name for name in columns if heading.count(name) > 1]:
        raise DatabaseError(f"{path}: column {twice[0]} is there twice, expected once. Remove one of them.")
    rows, faults = [], []
    for number, record in records:
        cells = [cell.strip() for cell in record]
        if not any(cells):
            continue
        if any(cells[len(heading) :]):
            mark = "a semicolon" if separator == ";" else "a comma"
            problem = f"{len(cells)} cells, expected {len(heading)} as in the heading; quote cells that hold {mark}"
            faults.append((number, problem))
            continue
        row = dict.fromkeys(columns, "") | {n: c for n, c in zip(heading, cells, strict=False) if n in columns}
        if separator == ";":
            row |= {name: row[name].replace(",", ".") for name in numbers}
        rows.append(Row(number, row))
    if not rows and not faults and not may_be_empty:
        raise DatabaseError(f"{path}: no row below the heading, expected one for each clip. Write them.")
    return Table(tuple(rows), tuple(faults), tuple(name for name in heading if name and name not in columns))


def _text(path: Path) -> str:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        found = f"byte 0x{content[error.start]:02x} in line {line} (byte {error.start + 1} of the file)"
        raise DatabaseError(f"{path}: {found} is not UTF-8; {_SAVE}.") from None
    if "\0" in text:
        line = text.partition("\0")[0].count("\n") + 1
        raise DatabaseError(f"{path}: byte 0x00 in line {line} is no text, perhaps UTF-16; {_SAVE}.")
    return text
