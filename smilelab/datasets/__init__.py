"""Databases on disk: ``open("uva-nemo", folder)`` gives an index with one row a clip. No video is decoded here."""

from __future__ import annotations

from pathlib import Path

from smilelab.datasets.au_traces import AuTraces
from smilelab.datasets.base import INDEX_COLUMNS, NEUTRAL, POSED, SPONTANEOUS, Database, DatabaseError
from smilelab.datasets.bbc import Bbc
from smilelab.datasets.mmi import Mmi
from smilelab.datasets.recordings import Recordings
from smilelab.datasets.splits import Folds, SplitError
from smilelab.datasets.spos import Spos
from smilelab.datasets.tree import entries
from smilelab.datasets.uva_nemo import UvaNemo

_DATABASES: dict[str, type[Database]] = {cls.name: cls for cls in (AuTraces, Bbc, Mmi, Recordings, Spos, UvaNemo)}
_DEEPEST = 2  # folders below the one asked for: what archives unpack to

__all__ = [
    "INDEX_COLUMNS",
    "NEUTRAL",
    "POSED",
    "SPONTANEOUS",
    "Database",
    "DatabaseError",
    "Folds",
    "SplitError",
    "find",
    "kind",
    "names",
    "open",
    "recognise",
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


def recognise(root: str | Path) -> list[str]:
    """Names of the databases that a folder looks like, by the names of what is in it.

    Parameters
    ----------
    root : str or Path
        A folder; one that does not exist or may not be listed looks like none.

    Returns
    -------
    list of str
    """
    return [name for name, database in sorted(_DATABASES.items()) if _recognises(database, Path(root).expanduser())]


def find(root: str | Path) -> list[tuple[str, Path]]:
    """Find databases: the folder itself, else those in it, else those in its folders.

    Parameters
    ----------
    root : str or Path
        A folder.

    Returns
    -------
    list of (str, Path)
        Name of each database and its folder.

    Raises
    ------
    DatabaseError
        There is no such folder.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise DatabaseError(f"{root}: no such folder; expected the folder of a database, or one with such folders.")
    level = [root]
    for _ in range(_DEEPEST + 1):
        if found := [(name, folder) for folder in level for name in recognise(folder)]:
            return found
        level = [inner for folder in level for inner in _folders(folder)]
    return []


def _folders(folder: Path) -> list[Path]:
    try:
        return [path for path in entries(folder) if path.is_dir()]
    except OSError:
        return []


def _recognises(database: type[Database], root: Path) -> bool:
    try:
        return root.is_dir() and database.recognises(root)
    except OSError:
        return False


def open(name: str, root: str | Path, *, strict: bool = False, require_videos: bool = True) -> Database:
    """Open a database on disk.

    Parameters
    ----------
    name : str
        One of :func:`names`.
    root : str or Path
        The folder its owners distribute, or one made by ``smilelab simulate``.
    strict : bool
        Raise where the counts differ from the published ones, or a clip or file is faulty.
    require_videos : bool
        Leave clips out whose video is not here. False keeps them, for a copy of the metadata alone.

    Returns
    -------
    Database
        With ``index()``, ``folds()``, ``deviations()`` and ``faults``.

    Raises
    ------
    DatabaseError
        An unknown name, or a folder that is not that database.
    """
    return kind(name)(root, strict=strict, require_videos=require_videos)
