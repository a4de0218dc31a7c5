"""Action-unit traces in place of videos: what OpenFace and its like measured of UvA-NEMO, or of anyone's clips."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from smilelab.datasets import splits, trace_files
from smilelab.datasets.base import Database, DatabaseError
from smilelab.datasets.official_folds import read_official
from smilelab.datasets.recordings import COLUMNS, Recordings
from smilelab.datasets.table import Row
from smilelab.datasets.tree import child
from smilelab.datasets.uva_nemo import DETAILS, LABELS, STEM, UvaNemo

_EXAMPLES = 5
_HOW = (
    "Traces of UvA-NEMO's clips are public (Harvard Dataverse, doi:10.7910/DVN/X5QGLA; data/README.md says more); "
    "`smilelab simulate uva-nemo DIR --metadata-only --au-traces` makes simulated ones in DIR-aus."
)


class AuTraces(Database):
    """Action units over time, a file a clip.

    Layout: ``<stem>_AUs.txt`` (values separated by commas below a heading of action units, a row a frame) or
    ``<stem>.csv`` (as OpenFace 2 writes it), in the folder or in ``action_units/`` or ``processed/`` in it, with
    UvA-NEMO's stems, which tell class and subject. Where UvA-NEMO's file details lie in the folder, they say which
    clips there are, and sex and age; where its official folds do, they are used. For other clips, ``clips.csv`` as of
    recordings names them; an optional column ``fps`` says how many rows a second there are where the file does not.

    Source of the public traces: Kawulok et al. 2021, "Dynamics of facial actions for assessing smile genuineness".
    """

    name: ClassVar[str] = "au-traces"
    title: ClassVar[str] = "action-unit traces"
    published: ClassVar[dict[str, int]] = {
        name: UvaNemo.published[name]
        for name in (
            *("clips", "spontaneous clips", "posed clips"),
            *("subjects", "subjects with a spontaneous clip", "subjects with a posed clip"),
        )
    }
    how_to_obtain: ClassVar[str] = _HOW
    layout: ClassVar[str] = (
        f"NNN_(deliberate|spontaneous)_smile_K{trace_files.ENDING} or .csv, one for each clip, "
        f"or any such files with {trace_files.TABLE}"
    )
    medium: ClassVar[str] = "trace"
    fps: ClassVar[float] = UvaNemo.fps

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether traces with UvA-NEMO's stems are here, any ``_AUs.txt``, or a table of clips that lists traces."""
        if child(root, trace_files.TABLE) is not None:
            return trace_files.are_listed(root)
        return trace_files.of_stems(root, STEM)

    def read_index(self) -> pd.DataFrame:
        """Read ``clips.csv``, or UvA-NEMO's details, or the names of the files alone.

        Raises
        ------
        DatabaseError
            A table or details with rows that cannot be read, or none of their traces is here.
        """
        if self._table is not None:
            self.faults += self._table.faults
            self.notes += self._table.notes
            return self._table.index()
        files = self._files()
        listed = {row["clip_id"]: row for row in self._rows(files)}
        rows = []
        for clip_id, row in listed.items():
            if clip_id in files:
                rows.append({**row, "path": str(files[clip_id])})
            elif self.require_videos:
                self.faults.append(f"{clip_id}: no trace here, but {DETAILS} lists it. Copy the trace again.")
            else:
                rows.append({**row, "path": str(self.root / f"{clip_id}{trace_files.ENDING}")})
        self.faults += [
            f"{self.shown(path)}: {DETAILS} does not list it, expected every trace there; it is not used. "
            "Take it out of the folder, or restore the line."
            for clip_id, path in files.items()
            if clip_id not in listed
        ]
        return pd.DataFrame(rows)

    def expected(self) -> Mapping[str, int]:
        """UvA-NEMO's counts; none of clips that a table names."""
        return {} if self._table is not None else self.published

    def folds(self) -> splits.Folds:
        """Official folds where UvA-NEMO's fold files lie here, else ten seeded ones that say so.

        Raises
        ------
        smilelab.datasets.splits.SplitError
            Fold files that leak, leave clips out or contradict the labels; or fewer than two subjects.
        """
        index = self.index()
        found = read_official(self.root, index) if self._table is None else None
        return splits.seeded(index, folds=10, seed=0) if found is None else self._as_simulated(found)

    def metadata_say_simulated(self) -> bool:
        """Whether the heading of UvA-NEMO's file details, where they are here, names the simulator."""
        return self._details is not None and self._details.metadata_say_simulated()

    def fingerprint(self) -> str:
        """Eight hex digits over clip ids, labels, subjects and what is in the traces."""
        digest = hashlib.sha256(super().fingerprint().encode())
        for path in sorted(map(Path, self._index["path"].unique())):
            digest.update(hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b"missing")
        return digest.hexdigest()[:8]

    @cached_property
    def _table(self) -> _Table | None:
        here = child(self.root, trace_files.TABLE) is not None
        return _Table(self.root, require_videos=self.require_videos) if here else None

    @cached_property
    def _details(self) -> UvaNemo | None:
        here = self._table is None and child(self.root, DETAILS) is not None
        return UvaNemo(self.root, require_videos=False) if here else None

    def _rows(self, files: Mapping[str, Path]) -> list[dict[str, Any]]:
        """What is known of each clip but its file."""
        if self._details is not None:
            return [
                {str(name): value for name, value in row.items()} for row in self._details.index().to_dict("records")
            ]
        found = []
        for clip_id in files:
            match = STEM.match(clip_id)
            assert match is not None
            row = {"clip_id": clip_id, "label": LABELS[match["kind"]], "subject": match["subject"], "fps": self.fps}
            found.append(row)
        return found

    def _files(self) -> dict[str, Path]:
        """File of each clip; those that are no clip's, or one of several of a clip, go to ``faults``."""
        by_clip: dict[str, list[Path]] = defaultdict(list)
        others = []
        for stem, path in trace_files.in_folder(trace_files.folder(self.root)):
            if STEM.match(stem.lower()):
                by_clip[stem.lower()].append(path)
            elif path.suffix.lower() == ".txt":
                self.faults.append(
                    f"{self.shown(path)}: found the clip {stem}, expected NNN_(deliberate|spontaneous)_smile_K; it is "
                    f"not used. Traces of other clips need {trace_files.TABLE} (data/README.md says how)."
                )
            else:
                others.append(path.name)
        if others:
            some = ", ".join(others[:_EXAMPLES]) + (", ..." if len(others) > _EXAMPLES else "")
            self.notes.append(f"{len(others)} tables are not named as clips of UvA-NEMO and are not used: {some}")
        for clip_id, paths in by_clip.items():
            if len(paths) > 1:
                names = " and ".join(self.shown(path) for path in paths)
                self.faults.append(
                    f"{clip_id}: found {names}, expected one trace of a clip; none is used. Take all but one away."
                )
        return {clip_id: paths[0] for clip_id, paths in sorted(by_clip.items()) if len(paths) == 1}


class _Table(Recordings):
    """Clips that a table names, of which a file of traces is here."""

    title: ClassVar[str] = AuTraces.title
    how_to_obtain: ClassVar[str] = _HOW
    medium: ClassVar[str] = AuTraces.medium
    columns: ClassVar[tuple[str, ...]] = (*COLUMNS, "fps")
    numbers: ClassVar[tuple[str, ...]] = (*Recordings.numbers, "fps")

    def _row(self, row: Row) -> tuple[dict[str, Any], list[str]]:
        found, problems = super()._row(row)
        path = Path(found["path"])
        if row.cells["path"] and trace_files.stem(path) is None:
            problems.append(f"path is {row.cells['path']!r}, expected a file ending in {trace_files.ENDING} or .csv")
        ending = trace_files.ENDING.removesuffix(".txt").lower()
        place, at, part = found["clip_id"].partition("@")
        if place.lower().endswith(ending):
            found["clip_id"] = place[: -len(ending)] + at + part
        rate = row.cells["fps"]
        try:
            found["fps"] = float(rate) if rate else AuTraces.fps
        except ValueError:
            found["fps"] = math.nan
        if not 0 < found["fps"] <= 1000:
            problems.append(f"fps is {rate!r}, expected rows per second of the trace, or blank for {AuTraces.fps:g}")
        return found, problems


__all__ = ["AuTraces", "DatabaseError"]
