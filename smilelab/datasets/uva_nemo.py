"""UvA-NEMO Smile Database: 1240 clips of 400 subjects."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from smilelab.datasets import splits
from smilelab.datasets.base import POSED, SPONTANEOUS, Database, DatabaseError

_STEM = re.compile(r"^(?P<subject>\d{3})_(?P<kind>deliberate|spontaneous)_smile_\d+$")
_DETAILS = "UvA-NEMO_Smile_Database_File_Details.txt"
_HEADING_LINES = 5
_LABELS = {"deliberate": POSED, "spontaneous": SPONTANEOUS}
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
    fps: ClassVar[float] = 50.0

    missing: list[str]
    unlisted: list[str]

    def read_index(self) -> pd.DataFrame:
        """Read ``UvA-NEMO_Smile_Database_File_Details.txt``; videos it lists but the copy lacks go to ``missing``.

        Raises
        ------
        DatabaseError
            No detail file, no ``videos`` folder, or a line that cannot be read.
        """
        details = self._one(_DETAILS)
        videos = self.root / "videos"
        if not videos.is_dir():
            raise DatabaseError(f"{self.root}: no folder videos/ here, expected the clips there. {self.how_to_obtain}")
        rows, self.missing = [], []
        for number, line in enumerate(details.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            if number <= _HEADING_LINES or not line.strip():
                continue
            row = self._row(line, f"{details.name}, line {number}")
            path = videos / f"{row['clip_id']}.mp4"
            if path.is_file():
                rows.append({**row, "path": str(path)})
            else:
                self.missing.append(str(row["clip_id"]))
        listed = {str(row["clip_id"]) for row in rows}
        self.unlisted = sorted(path.stem for path in videos.glob("*.mp4") if path.stem not in listed)
        if not rows:
            raise DatabaseError(
                f"{videos}: none of the {len(self.missing)} videos of {details.name} is here. {self.how_to_obtain}"
            )
        return pd.DataFrame(rows)

    def counts(self) -> dict[str, int]:
        """Count clips and subjects on disk under the names of :attr:`published`."""
        index = self._index
        subjects = index.drop_duplicates("subject")
        spontaneous = index["label"] == SPONTANEOUS
        return {
            "clips": len(index),
            "spontaneous clips": int(spontaneous.sum()),
            "posed clips": int((~spontaneous).sum()),
            "subjects": len(subjects),
            "subjects with a spontaneous clip": index.loc[spontaneous, "subject"].nunique(),
            "subjects with a posed clip": index.loc[~spontaneous, "subject"].nunique(),
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
        found = splits.read_official(self.root, index)
        if found is None:
            return splits.seeded(index, folds=10, seed=0)
        return replace(found, source=splits.SIMULATED, official=False) if self.simulated else found

    def metadata_say_simulated(self) -> bool:
        """Whether the heading of the file details names the simulator."""
        with self._one(_DETAILS).open(encoding="utf-8", errors="replace") as lines:
            return any("simulated by smilelab" in line.lower() for line in islice(lines, _HEADING_LINES))

    def _one(self, name: str) -> Path:
        path = self.root / name
        if not path.is_file():
            raise DatabaseError(f"{self.root}: no {name} here. {self.how_to_obtain}")
        return path

    def _row(self, line: str, place: str) -> dict[str, object]:
        fields = [field.strip() for field in line.split("\t")]
        fields = [field for field in fields if field]
        expected = "expected: file <TAB> subject <TAB> gender <TAB> age <TAB> type"
        if len(fields) != 5:
            raise DatabaseError(f"{place}: found {len(fields)} fields; {expected}.")
        stem, subject, sex, age, kind = fields[0].removesuffix(".mp4"), *fields[1:]
        match = _STEM.match(stem)
        if match is None:
            raise DatabaseError(f"{place}: found file {fields[0]}, expected NNN_(deliberate|spontaneous)_smile_K.mp4.")
        if match["subject"] != subject.zfill(3) or match["kind"] != kind:
            raise DatabaseError(f"{place}: file {stem} contradicts subject {subject} and type {kind}.")
        if sex not in ("female", "male") or not age.isdigit():
            raise DatabaseError(f"{place}: found gender {sex!r} and age {age!r}; expected female or male, and years.")
        return {
            "clip_id": stem,
            "label": _LABELS[kind],
            "subject": match["subject"],
            "sex": sex,
            "age": float(age),
            "fps": self.fps,
            "start_s": np.nan,
            "end_s": np.nan,
            "kind": "clip",
        }
