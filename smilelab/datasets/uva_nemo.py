"""UvA-NEMO Smile Database: 1240 clips of 400 subjects."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path
from typing import ClassVar

import pandas as pd

from smilelab.datasets import splits, trace_files
from smilelab.datasets.base import POSED, SPONTANEOUS, Database, DatabaseError
from smilelab.datasets.official_folds import read_official
from smilelab.datasets.tree import child, entries, videos

STEM = re.compile(r"^(?P<subject>\d{3})_(?P<kind>deliberate|spontaneous)_smile_\d+$")
DETAILS = "UvA-NEMO_Smile_Database_File_Details.txt"
_HEADING_LINES = 5
LABELS = {"deliberate": POSED, "spontaneous": SPONTANEOUS}
_ADULT_FROM_YEARS = 18


class UvaNemo(Database):
    """UvA-NEMO Smile Database.

    597 spontaneous and 643 posed ("deliberate") smiles of 400 subjects aged 8 to 76, 1920x1080 at 50 frames per
    second. Licence-gated: free for research, on request from the University of Amsterdam. Reference: Dibeklioglu,
    Salah and Gevers, "Are you really smiling at me?", ECCV 2012.

    Layout: ``videos/NNN_(deliberate|spontaneous)_smile_K.mp4``, ``UvA-NEMO_Smile_Database_File_Details.txt`` (five
    heading lines, then TAB-separated file, subject, gender, age, type), and the official ten folds anywhere up to
    three levels below the root.
    """

    name: ClassVar[str] = "uva-nemo"
    title: ClassVar[str] = "the UvA-NEMO Smile Database"
    published: ClassVar[dict[str, int]] = {
        "clips": 1240,
        "spontaneous clips": 597,
        "posed clips": 643,
        "subjects": 400,
        "subjects with a spontaneous clip": 357,
        "subjects with a posed clip": 368,
        "female subjects": 185,
        "male subjects": 215,
        "subjects under 18": 149,
        "subjects from 18": 251,
        "listed videos that are missing": 0,
        "videos that are not listed": 0,
    }
    how_to_obtain: ClassVar[str] = (
        "UvA-NEMO is handed out by the University of Amsterdam on request (data/README.md says how); "
        "`smilelab simulate uva-nemo DIR` makes a simulated database in the same layout."
    )
    layout: ClassVar[str] = f"{DETAILS} and videos/NNN_(deliberate|spontaneous)_smile_K.mp4"
    fps: ClassVar[float] = 50.0

    missing: list[str]
    unlisted: list[str]

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether the file details are here, beside no traces, or videos named as UvA-NEMO names them."""
        folder = child(root, "videos")
        if folder is not None and folder.is_dir() and any(STEM.match(path.stem) for path in entries(folder)):
            return True
        return child(root, DETAILS) is not None and not trace_files.of_stems(root, STEM)

    def read_index(self) -> pd.DataFrame:
        """Read ``UvA-NEMO_Smile_Database_File_Details.txt``; videos it lists but the copy lacks go to ``missing``.

        Raises
        ------
        DatabaseError
            No detail file, no ``videos`` folder, or a line that cannot be read.
        """
        details = self._one(DETAILS)
        folder = child(self.root, "videos")
        if self.require_videos and (folder is None or not folder.is_dir()):
            raise DatabaseError(f"{self.root}: no folder videos/ here, expected the clips there. {self.how_to_obtain}")
        folder = folder if folder is not None and folder.is_dir() else self.root / "videos"
        here = {path.stem.lower(): path for path in videos(folder)} if folder.is_dir() else {}
        rows, self.missing = [], []
        for number, line in enumerate(details.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            if number <= _HEADING_LINES or not line.strip():
                continue
            row = self._row(line, f"{details.name}, line {number}")
            stem = str(row["clip_id"])
            if self.require_videos and stem not in here:
                self.missing.append(stem)
                self.faults.append(
                    f"videos/{stem}.mp4: not here, but {details.name} lists it in line {number}. Copy the video again."
                )
                continue
            rows.append({**row, "path": str(here.get(stem, folder / f"{stem}.mp4"))})
        self.unlisted = sorted(set(here) - {str(row["clip_id"]) for row in rows})
        self.faults += [
            f"{self.shown(here[stem])}: {details.name} does not list it, expected every video there; it is not used. "
            "Take it out of the folder, or restore the line."
            for stem in self.unlisted
        ]
        if not rows and self.missing:
            raise DatabaseError(
                f"{folder}: none of the {len(self.missing)} videos of {details.name} is here. {self.how_to_obtain}"
            )
        return pd.DataFrame(rows)

    def counts(self) -> dict[str, int]:
        """Count clips and subjects on disk under the names of :attr:`published`."""
        subjects = self._index.drop_duplicates("subject")
        return {
            **super().counts(),
            "female subjects": int((subjects["sex"] == "female").sum()),
            "male subjects": int((subjects["sex"] == "male").sum()),
            "subjects under 18": int((subjects["age"] < _ADULT_FROM_YEARS).sum()),
            "subjects from 18": int((subjects["age"] >= _ADULT_FROM_YEARS).sum()),
            "listed videos that are missing": len(self.missing),
            "videos that are not listed": len(self.unlisted),
        }

    def folds(self) -> splits.Folds:
        """Official ten folds where the copy holds them, else a seeded ten-fold split that says so.

        Raises
        ------
        smilelab.datasets.splits.SplitError
            Fold files that leak, leave clips out or contradict the labels.
        """
        index = self.index()
        found = read_official(self.root, index)
        return splits.seeded(index, folds=10, seed=0) if found is None else self._as_simulated(found)

    def metadata_say_simulated(self) -> bool:
        """Whether the heading of the file details names the simulator."""
        with self._one(DETAILS).open(encoding="utf-8", errors="replace") as lines:
            return any("simulated by smilelab" in line.lower() for line in islice(lines, _HEADING_LINES))

    def _one(self, name: str) -> Path:
        path = child(self.root, name)
        if path is None or not path.is_file():
            raise DatabaseError(f"{self.root}: no {name} here. {self.how_to_obtain}")
        return path

    def _row(self, line: str, place: str) -> dict[str, object]:
        fields = [field.strip() for field in line.split("\t")]
        fields = [field for field in fields if field]
        expected = "expected: file <TAB> subject <TAB> gender <TAB> age <TAB> type"
        if len(fields) != 5:
            raise DatabaseError(f"{place}: found {len(fields)} fields; {expected}.")
        file, subject, sex, age, kind = (field.lower() for field in fields)
        stem = Path(file).stem if Path(file).suffix.lower() == ".mp4" else file
        match = STEM.match(stem)
        if match is None:
            raise DatabaseError(f"{place}: found file {file}, expected NNN_(deliberate|spontaneous)_smile_K.mp4.")
        if match["subject"] != subject.zfill(3) or match["kind"] != kind:
            raise DatabaseError(f"{place}: file {stem} contradicts subject {subject} and type {kind}.")
        if sex not in ("female", "male") or not age.isdecimal():
            raise DatabaseError(f"{place}: found gender {sex!r} and age {age!r}; expected female or male, and years.")
        return {
            "clip_id": stem,
            "label": LABELS[kind],
            "subject": match["subject"],
            "sex": sex,
            "age": float(age),
            "fps": self.fps,
        }
