"""What every database offers: an index with one row a clip, its folds, and where it differs from what was published."""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from smilelab.datasets import splits
from smilelab.datasets.labels import NEUTRAL, POSED, SPONTANEOUS
from smilelab.datasets.splits import Folds
from smilelab.datasets.tree import pictures

__all__ = [
    "INDEX_COLUMNS",
    "NEUTRAL",
    "POSED",
    "SIMULATION_MARKER",
    "SPONTANEOUS",
    "Database",
    "DatabaseError",
    "says_simulated",
    "some",
]

INDEX_COLUMNS = ("clip_id", "path", "label", "subject", "sex", "age", "fps", "start_s", "end_s", "kind", "view")
SIMULATION_MARKER = "SIMULATED.json"
_DEFAULTS: dict[str, Any] = {
    "sex": "",
    "age": np.nan,
    "start_s": np.nan,
    "end_s": np.nan,
    "kind": "clip",
    "view": "frontal",
}
_SAYS_SIMULATED = b"simulated by smilelab"
_ENDS = 1 << 16  # bytes: containers keep their comment at the start or at the end


class DatabaseError(ValueError):
    """A folder is not the database it was opened as, or its metadata contradict themselves.

    The message says what was found, what was expected, and what to do.
    """


class Database(ABC):
    """A database on disk, described without decoding a single video.

    Parameters
    ----------
    root : str or Path
        The folder the owners distribute.
    strict : bool
        Raise :class:`DatabaseError` where counts differ from the published ones or a clip or file is faulty; otherwise
        :meth:`deviations` and ``faults`` list that.
    require_videos : bool
        Leave clips out whose video is not here. False keeps them, for a copy of the metadata alone.

    Attributes
    ----------
    root : Path
    require_videos : bool
    faults : list of str
        A line for each clip or file that cannot be used or contradicts: where, found, expected, what to do.
    notes : list of str
        What else is worth knowing, such as files that belong to no clip.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    published: ClassVar[dict[str, int]]
    how_to_obtain: ClassVar[str]
    layout: ClassVar[str]
    medium: ClassVar[str] = "video"  # what a clip's file is, in messages

    def __init__(self, root: str | Path, *, strict: bool = False, require_videos: bool = True) -> None:
        self.root = Path(root).expanduser().resolve()
        self.require_videos = require_videos
        self.faults: list[str] = []
        self.notes: list[str] = []
        if not self.root.is_dir():
            raise DatabaseError(
                f"{self.root}: no such folder; expected the folder of {self.title}. {self.how_to_obtain}"
            )
        self._index = self._checked(self.read_index())
        self.faults += [
            f"{self.shown(path)}: the file is empty (0 bytes), expected a {self.medium}. Copy it again."
            for path in map(Path, self._index["path"].unique())
            if path.is_file() and not path.stat().st_size
        ]
        if strict:
            self._require_complete()

    @classmethod
    @abstractmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a folder looks like this database; nothing is read but names."""

    @abstractmethod
    def read_index(self) -> pd.DataFrame:
        """Read the metadata into a frame with :data:`INDEX_COLUMNS`, of which those after ``subject`` may be left out.

        Single faulty clips are left out and go to ``faults``.
        """

    @abstractmethod
    def folds(self) -> Folds:
        """Test folds of the official protocol, or seeded ones that say they are not official."""

    def index(self) -> pd.DataFrame:
        """One row a clip.

        Returns
        -------
        pandas.DataFrame
            Columns ``clip_id`` (str), ``path`` (str, absolute; a video or a folder of numbered pictures), ``label`` (1
            spontaneous, 0 posed, -1 of kind "neutral"), ``subject`` (str), ``sex`` ("female", "male" or ""), ``age``
            (years, NaN if unknown), ``fps`` (nominal frames per second, NaN if unknown), ``start_s`` and ``end_s``
            (seconds, NaN for a whole file), ``kind`` ("clip"; "recording", of which the smiles are to be found;
            "neutral") and ``view`` ("frontal"; "dual", a frontal and a profile face in one picture).
        """
        return self._index.copy()

    def counts(self) -> dict[str, int]:
        """Count what is on disk under the same names as :attr:`published`."""
        label, subject = self._index["label"], self._index["subject"]
        return {
            "clips": len(label),
            "spontaneous clips": int((label == SPONTANEOUS).sum()),
            "posed clips": int((label == POSED).sum()),
            "subjects": subject.nunique(),
            "subjects with a spontaneous clip": subject[label == SPONTANEOUS].nunique(),
            "subjects with a posed clip": subject[label == POSED].nunique(),
        }

    def expected(self) -> Mapping[str, int]:
        """Published counts of what this copy is one of; none where nothing was published."""
        return self.published

    def deviations(self) -> pd.DataFrame:
        """Published counts that the copy on disk does not have (columns ``count``, ``expected``, ``found``)."""
        found = self.counts()
        rows = [(name, count, found[name]) for name, count in self.expected().items() if found[name] != count]
        return pd.DataFrame(rows, columns=["count", "expected", "found"])

    @property
    def provenance(self) -> dict[str, Any]:
        """Settings of the simulator that made this database; empty for a real one."""
        marker = self.root / SIMULATION_MARKER
        if not marker.is_file():
            return {}
        try:
            content = json.loads(marker.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DatabaseError(
                f"{marker}: not readable as JSON ({error}); the simulator writes this file. Simulate again."
            ) from None
        if not isinstance(content, dict):
            raise DatabaseError(f"{marker}: holds {type(content).__name__}, expected an object. Simulate again.")
        return content

    @property
    def simulated(self) -> bool:
        """Whether the videos come from the simulator: its marker is here, or the files themselves say so."""
        return (self.root / SIMULATION_MARKER).is_file() or self.metadata_say_simulated()

    def metadata_say_simulated(self) -> bool:
        """Whether the files themselves name the simulator, so that a lost marker makes nothing look real.

        One video that does, or one folder of pictures whose first one does, is enough.
        """
        return self._files_say_simulated

    @cached_property
    def _files_say_simulated(self) -> bool:
        return any(says_simulated(Path(path)) for path in self._index["path"].unique())

    def files_from_simulator(self) -> tuple[int, int]:
        """How many of the clips' files name the simulator, and how many there are."""
        paths = self._index["path"].unique()
        return sum(says_simulated(Path(path)) for path in paths), len(paths)

    def fingerprint(self) -> str:
        """Eight hex digits over clip ids, labels, subjects and file sizes: another copy of the same data is equal."""
        digest = hashlib.sha256(b"simulated" if self.simulated else b"")
        for row in self._index.sort_values("clip_id").to_dict("records"):
            fields = [row["clip_id"], row["label"], row["subject"], _size(row["path"]), row["start_s"], row["end_s"]]
            fields += [row[name] for name in ("kind", "view") if row[name] != _DEFAULTS[name]]
            digest.update("|".join(map(str, fields)).encode() + b"\n")
        return digest.hexdigest()[:8]

    def shown(self, path: Path) -> str:
        """Path below the root, as messages print it."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)

    def _published_folds(self, groups: Sequence[Sequence[str]]) -> Folds:
        return self._as_simulated(splits.by_subjects(self._index, groups, splits.OFFICIAL))

    def _as_simulated(self, folds: Folds) -> Folds:
        """Folds of a simulated copy have the form of the official ones and are none."""
        return replace(folds, source=splits.SIMULATED, official=False) if self.simulated else folds

    def _require_complete(self) -> None:
        found = []
        if not (deviations := self.deviations()).empty:
            found.append(f"counts differ from the published ones:\n{deviations.to_string(index=False)}")
        if self.faults:
            found.append(f"{len(self.faults)} fault(s):\n{some(self.faults)}")
        if found:
            raise DatabaseError(
                f"{self.root}: {chr(10).join(found)}\nOpen it with strict=False to work with the part that can be used."
            )

    def _checked(self, index: pd.DataFrame) -> pd.DataFrame:
        if index.empty:
            faults = f" Faults:\n{some(self.faults, most=10)}\n" if self.faults else " "
            raise DatabaseError(f"{self.root}: no clip of {self.title} found.{faults}{self.how_to_obtain}")
        index = index.assign(**{name: value for name, value in _DEFAULTS.items() if name not in index.columns})
        index = index.loc[:, list(INDEX_COLUMNS)].reset_index(drop=True)
        repeated = index[index["clip_id"].duplicated(keep=False)]
        if len(repeated):
            places = [f"{row.clip_id} ({self.shown(Path(str(row.path)))})" for row in repeated.itertuples()]
            raise DatabaseError(
                f"{self.root}: clip ids listed more than once, expected each once: {', '.join(places[:10])}. "
                "Remove the repeated lines from the metadata, or the repeated files."
            )
        return index


def says_simulated(path: Path) -> bool:
    """Whether a video, or the first picture of a folder of pictures, names the simulator in its file.

    Parameters
    ----------
    path : Path
        A file, or a folder of numbered pictures; one that does not exist says nothing.
    """
    files = pictures(path)[:1] if path.is_dir() else [path]
    for one in files:
        if one.is_file() and (size := one.stat().st_size):
            with one.open("rb") as file:
                start = file.read(_ENDS)
                file.seek(max(0, size - _ENDS))
                return _SAYS_SIMULATED in start or _SAYS_SIMULATED in file.read()
    return False


def some(lines: Sequence[str], most: int = 30) -> str:
    """Join lines, no more than ``most`` and a last one that counts the others."""
    rest = [f"... and {len(lines) - most} more"] if len(lines) > most else []
    return "\n".join([*lines[:most], *rest])


def _size(path: str) -> int | str:
    """Bytes of a video, or number and bytes of the pictures in a folder; -1 where there is neither."""
    if os.path.isdir(path):
        sizes = [picture.stat().st_size for picture in pictures(Path(path)) if picture.is_file()]
        return f"{len(sizes)} of {sum(sizes)}"
    return os.path.getsize(path) if os.path.isfile(path) else -1
