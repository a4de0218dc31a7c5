"""Databases on disk: ``open("uva-nemo", folder)`` gives an index with one row a clip. No video is decoded here."""

from __future__ import annotations

from pathlib import Path

from smilelab.datasets.base import INDEX_COLUMNS, POSED, SPONTANEOUS, Database, DatabaseError
from smilelab.datasets.splits import Folds, SplitError
from smilelab.datasets.uva_nemo import UvaNemo

_DATABASES: dict[str, type[Database]] = {UvaNemo.name: UvaNemo}

__all__ = [
    "INDEX_COLUMNS",
    "POSED",
    "SPONTANEOUS",
    "Database",
    "DatabaseError",
    "Folds",
    "SplitError",
    "kind",
    "names",
    "open",
]


def names() -> list[str]:
    """Names of the databases that :func:`open` knows."""
    return sorted(_DATABASES)


def kind(name: str) -> type[Database]:
    """Class of a database, for its title and its published counts without a copy on disk.

    Raises
    ------
    DatabaseError
        An unknown name.
    """
    if name not in _DATABASES:
        raise DatabaseError(f"unknown database {name!r}; expected one of {', '.join(names())}.")
    return _DATABASES[name]


def open(name: str, root: str | Path, *, strict: bool = False) -> Database:
    """Open a database on disk.

    Parameters
    ----------
    name : str
        One of :func:`names`.
    root : str or Path
        The folder its owners distribute, or one made by ``smilelab simulate``.
    strict : bool
        Raise where the counts differ from the published ones.

    Returns
    -------
    Database
        With ``index()``, ``folds()`` and ``deviations()``.

    Raises
    ------
    DatabaseError
        An unknown name, or a folder that is not that database.
    """
    return kind(name)(root, strict=strict)
