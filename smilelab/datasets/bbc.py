"""BBC's "Spot the fake smile": 20 clips of 20 subjects."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import pandas as pd

from smilelab.datasets.base import POSED, SPONTANEOUS, Database, DatabaseError
from smilelab.datasets.splits import Folds
from smilelab.datasets.tree import child, videos

# Test pairs of the ten folds that Yang et al. 2020 follow; some hold one class alone.
PAIRS = ((20, 2), (14, 19), (10, 1), (8, 13), (15, 16), (17, 4), (11, 3), (9, 18), (6, 7), (5, 12))
GENUINE = frozenset({1, 5, 6, 8, 10, 11, 15, 16, 17, 19})
_STEM = re.compile(r"smilecontent q(\d\d)", re.IGNORECASE)
_FOLDERS = {"Genuine": SPONTANEOUS, "posed": POSED}


class Bbc(Database):
    """Clips of the BBC's test "Spot the fake smile".

    Ten genuine and ten posed smiles of 20 subjects, 314x286 at 25 frames per second. Made for a web page of the BBC;
    used as a database since Dibeklioglu et al. 2010 and 2012.

    Layout: ``Genuine/smilecontent qNN.mp4`` and ``posed/smilecontent qNN.mp4``. NN is clip and subject, and tells the
    class as the folder does.
    """

    name: ClassVar[str] = "bbc"
    title: ClassVar[str] = 'BBC "Spot the fake smile"'
    published: ClassVar[dict[str, int]] = {
        "clips": 20,
        "spontaneous clips": 10,
        "posed clips": 10,
        "subjects": 20,
        "subjects with a spontaneous clip": 10,
        "subjects with a posed clip": 10,
    }
    how_to_obtain: ClassVar[str] = (
        "The clips are the BBC's; data/README.md says what is known about copies; "
        "`smilelab simulate bbc DIR` makes a simulated database in the same layout."
    )
    layout: ClassVar[str] = "Genuine/smilecontent qNN.mp4 and posed/smilecontent qNN.mp4"
    fps: ClassVar[float] = 25.0

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether one of the two folders is here with a clip named as the BBC's are."""
        folders = [folder for name in _FOLDERS if (folder := child(root, name)) is not None and folder.is_dir()]
        return any(_STEM.fullmatch(path.stem) for folder in folders for path in videos(folder))

    def read_index(self) -> pd.DataFrame:
        """List the clips of both folders.

        Raises
        ------
        DatabaseError
            Neither folder is here.
        """
        if not any(child(self.root, name) for name in _FOLDERS):
            raise DatabaseError(f"{self.root}: no folders Genuine/ and posed/ here. {self.how_to_obtain}")
        rows = []
        for name, label in _FOLDERS.items():
            folder = child(self.root, name)
            if folder is None or not folder.is_dir():
                self.faults.append(f"{name}/: no such folder, expected half of the clips there. {self.how_to_obtain}")
                continue
            rows += [row for path in videos(folder) if (row := self._row(path, label)) is not None]
        return pd.DataFrame(rows)

    def folds(self) -> Folds:
        """Ten folds of two clips, as published.

        Raises
        ------
        smilelab.datasets.splits.SplitError
            Clips of fewer than two folds.
        """
        return self._published_folds([[f"q{number:02d}" for number in pair] for pair in PAIRS])

    def _row(self, path: Path, label: int) -> dict[str, object] | None:
        match = _STEM.fullmatch(path.stem)
        number = int(match[1]) if match else 0
        if not any(number in pair for pair in PAIRS):
            self.faults.append(
                f"{self.shown(path)}: found this name, expected smilecontent qNN.mp4 with NN from 01 to 20; it is not "
                "used. Give it the name it was handed out with, or take it out of the folder."
            )
            return None
        if label != (SPONTANEOUS if number in GENUINE else POSED):
            right = "Genuine" if number in GENUINE else "posed"
            self.faults.append(
                f"{self.shown(path)}: the folder contradicts the name, expected q{number:02d} in {right}/; it is not "
                "used. Move it there."
            )
            return None
        clip_id = f"q{number:02d}"
        return {"clip_id": clip_id, "path": str(path), "label": label, "subject": clip_id, "fps": self.fps}
