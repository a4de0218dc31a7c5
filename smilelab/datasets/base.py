"""What every database offers: an index with one row a clip, its folds, and where it differs from what was published."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from smilelab.datasets.splits import Folds

INDEX_COLUMNS = ("clip_id", "path", "label", "subject", "sex", "age", "fps", "start_s", "end_s", "kind")
SIMULATION_MARKER = "SIMULATED.json"
SPONTANEOUS, POSED = 1, 0


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
        Raise :class:`DatabaseError` when the counts differ from the published ones; otherwise the
        differences are only listed by :meth:`deviations`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    published: ClassVar[dict[str, int]]
    how_to_obtain: ClassVar[str]

    def __init__(self, root: str | Path, *, strict: bool = False) -> None:
        self.root = Path(root).expanduser().resolve()
        if not self.root.is_dir():
            raise DatabaseError(
                f"{self.root}: no such folder; expected the folder of {self.title}. {self.how_to_obtain}"
            )
        self._index = self._checked(self.read_index())
        if strict and not (deviations := self.deviations()).empty:
            raise DatabaseError(
                f"{self.root}: counts differ from the published ones:\n{deviations.to_string(index=False)}\n"
                "Open it with strict=False to work with the part that is there."
            )

    @abstractmethod
    def read_index(self) -> pd.DataFrame:
        """Read the metadata into a frame with :data:`INDEX_COLUMNS`."""

    @abstractmethod
    def counts(self) -> dict[str, int]:
        """Count what is on disk under the same names as :attr:`published`."""

    @abstractmethod
    def folds(self) -> Folds:
        """Test folds of the official protocol, or seeded ones that say they are not official."""

    def index(self) -> pd.DataFrame:
        """One row a clip.

        Returns
        -------
        pandas.DataFrame
            Columns ``clip_id`` (str), ``path`` (str, absolute), ``label`` (1 spontaneous, 0 posed), ``subject``
            (str), ``sex`` ("female", "male" or ""), ``age`` (years, NaN if unknown), ``fps`` (nominal frames per
            second), ``start_s`` and ``end_s`` (seconds, NaN for a whole file), ``kind`` ("clip").
        """
        return self._index.copy()

    def deviations(self) -> pd.DataFrame:
        """Published counts that the copy on disk does not have (columns ``count``, ``expected``, ``found``)."""
        found = self.counts()
        rows = [(name, expected, found[name]) for name, expected in self.published.items() if found[name] != expected]
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
        """Whether the videos come from the simulator: its marker is here, or the metadata say so."""
        return (self.root / SIMULATION_MARKER).is_file() or self.metadata_say_simulated()

    def metadata_say_simulated(self) -> bool:
        """Whether the metadata themselves name the simulator, so that a lost marker makes nothing look real."""
        return False

    def fingerprint(self) -> str:
        """Eight hex digits over clip ids, labels, subjects and file sizes: another copy of the same data is equal."""
        digest = hashlib.sha256(b"simulated" if self.simulated else b"")
        for row in self._index.sort_values("clip_id").to_dict("records"):
            path = Path(row["path"])
            size = path.stat().st_size if path.is_file() else -1
            fields = (row["clip_id"], row["label"], row["subject"], size, row["start_s"], row["end_s"])
            digest.update("|".join(map(str, fields)).encode() + b"\n")
        return digest.hexdigest()[:8]

    def _checked(self, index: pd.DataFrame) -> pd.DataFrame:
        index = index.loc[:, list(INDEX_COLUMNS)].reset_index(drop=True)
        if index.empty:
            raise DatabaseError(f"{self.root}: no clip of {self.title} found. {self.how_to_obtain}")
        repeated = index.loc[index["clip_id"].duplicated(), "clip_id"].unique()
        if len(repeated):
            raise DatabaseError(
                f"{self.root}: clip ids listed more than once: {', '.join(sorted(repeated)[:10])}; expected each once. "
                "Remove the repeated lines from the metadata."
            )
        return index
