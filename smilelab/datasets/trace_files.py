"""Telling files of action-unit traces by their names."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from smilelab.datasets.tree import child, entries

__all__ = ["ENDING", "TABLE", "are_listed", "folder", "in_folder", "of_stems", "stem"]

ENDING = "_AUs.txt"
TABLE = "clips.csv"
_SUBFOLDERS = ("action_units", "processed")  # of the public traces; OpenFace's own
_ROWS = 20  # of a table that are looked at


def stem(path: Path) -> str | None:
    """Name of the clip of a file of traces, or None where the name is none of such a file."""
    if path.name.lower().endswith(ENDING.lower()):
        return path.name[: -len(ENDING)]
    return path.stem if path.suffix.lower() == ".csv" and path.name.lower() != TABLE else None


def in_folder(root: Path) -> list[tuple[str, Path]]:
    """Clip and file of everything in a folder that is named as a file of traces, sorted."""
    found = [(stem(path), path) for path in entries(root) if not path.is_dir()]
    return [(name, path) for name, path in found if name is not None]


def folder(root: Path) -> Path:
    """Where the traces of a copy lie: in its folder, or in one in it that is named as it usually is."""
    if in_folder(root):
        return root
    inner = (child(root, name) for name in _SUBFOLDERS)
    return next((path for path in inner if path is not None and path.is_dir() and in_folder(path)), root)


def of_stems(root: Path, pattern: re.Pattern[str]) -> bool:
    """Whether a copy holds traces of clips that are named so, or any that end in ``_AUs.txt``."""
    files = in_folder(folder(root))
    return any(pattern.match(name.lower()) or path.suffix.lower() == ".txt" for name, path in files)


def are_listed(root: Path) -> bool:
    """Whether a folder's table of clips lists traces and not videos; no more than its first rows are read."""
    table = child(root, TABLE)
    if table is None or not table.is_file():
        return False
    with table.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        try:
            rows = [row for _, row in zip(range(_ROWS), csv.reader(lines, delimiter=","), strict=False)]
        except csv.Error:
            return False
    # With semicolons between cells, each row is one cell.
    cells = [cell.strip().strip('"').lower() for row in rows[1:] for part in row for cell in part.split(";")]
    return any(cell.endswith((ENDING.lower(), ".csv")) for cell in cells)
