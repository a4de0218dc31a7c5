"""SPOS corpus: 80 smiles of 7 subjects, as folders of gray pictures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import pandas as pd

from smilelab.datasets.base import POSED, SPONTANEOUS, Database, DatabaseError
from smilelab.datasets.splits import Folds
from smilelab.datasets.tree import child, entries, pictures

SUBJECTS = ("tomas", "nelly", "riku", "yi", "ying", "rui", "xiaopeng")
_CLIP = re.compile(r"([a-z]+)-(\d+)")
_NUMBER = re.compile(r"[0-9]{1,12}")
_FOLDERS = {"spontaneous": SPONTANEOUS, "posed": POSED}
_EMOTION = "happy"


class Spos(Database):
    """Spontaneous versus posed (SPOS) corpus, its smiles.

    66 spontaneous and 14 posed smiles of 7 subjects, gray pictures of 640x480 at 25 frames per second, cropped by the
    owners. Licence-gated: on request from the University of Oulu. Reference: Pfister, Li, Zhao and Pietikainen,
    "Differentiating spontaneous from posed facial expressions within a generic facial expression recognition
    framework", ICCV Workshops 2011.

    Layout: ``{posed,spontaneous}/happy/<subject>-<n>/<frame>.bmp``, frames named by their number. Other emotions are
    left out. Yang et al. 2020 test one subject at a time.
    """

    name: ClassVar[str] = "spos"
    title: ClassVar[str] = "the SPOS corpus"
    published: ClassVar[dict[str, int]] = {
        "clips": 80,
        "spontaneous clips": 66,
        "posed clips": 14,
        "subjects": 7,
        "subjects with a spontaneous clip": 7,
        "subjects with a posed clip": 7,
    }
    how_to_obtain: ClassVar[str] = (
        "SPOS is handed out by the University of Oulu on request (data/README.md says how); "
        "`smilelab simulate spos DIR` makes a simulated database in the same layout."
    )
    layout: ClassVar[str] = "posed/happy/<subject>-<n>/<frame>.bmp and spontaneous/happy/<subject>-<n>/<frame>.bmp"
    fps: ClassVar[float] = 25.0

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether ``posed/happy`` or ``spontaneous/happy`` is here."""
        return any(_smiles(root, name) is not None for name in _FOLDERS)

    def read_index(self) -> pd.DataFrame:
        """List the folders of pictures.

        Raises
        ------
        DatabaseError
            Neither ``posed/happy`` nor ``spontaneous/happy`` is here.
        """
        rows = []
        if not self.recognises(self.root):
            raise DatabaseError(f"{self.root}: no posed/happy/ and spontaneous/happy/ here. {self.how_to_obtain}")
        for name, label in _FOLDERS.items():
            folder = _smiles(self.root, name)
            if folder is None:
                self.faults.append(f"{name}/{_EMOTION}/: no such folder, expected clips there. {self.how_to_obtain}")
                continue
            clips = [path for path in entries(folder) if path.is_dir()]
            rows += [row for path in clips if (row := self._row(path, name, label)) is not None]
        return pd.DataFrame(rows)

    def folds(self) -> Folds:
        """Seven folds, each of one subject.

        Raises
        ------
        smilelab.datasets.splits.SplitError
            Clips of fewer than two subjects.
        """
        return self._published_folds([[subject] for subject in SUBJECTS])

    def _row(self, folder: Path, name: str, label: int) -> dict[str, object] | None:
        # Whole names: "yi" begins "ying" too.
        match = _CLIP.fullmatch(folder.name.lower())
        if match is None or match[1] not in SUBJECTS:
            self.faults.append(
                f"{self.shown(folder)}: found this name, expected <subject>-<n> of {', '.join(SUBJECTS)}; it is not "
                "used. Give it the name it was handed out with, or take it out of the folder."
            )
            return None
        if not self._check_pictures(folder) and self.require_videos:
            return None
        subject, number = match[1], match[2]
        clip_id = f"{name}_{subject}-{number}"
        return {"clip_id": clip_id, "path": str(folder), "label": label, "subject": subject, "fps": self.fps}

    def _check_pictures(self, folder: Path) -> bool:
        """Note what is wrong with a clip's pictures; whether there is any of use."""
        of_number: dict[int, Path] = {}
        for path in pictures(folder):
            place = self.shown(path)
            if not _NUMBER.fullmatch(path.stem):
                self.faults.append(f"{place}: found this name, expected the frame's number. Rename or remove it.")
                continue
            number = int(path.stem)
            if number in of_number:
                self.faults.append(f"{place}: frame {number} is {of_number[number].name} already. Remove one of them.")
            elif not path.is_file() or not path.stat().st_size:
                self.faults.append(
                    f"{place}: the picture is empty (0 bytes), so the clip ends before it. Copy it again."
                )
            of_number.setdefault(number, path)
        if not of_number:
            self.faults.append(
                f"{self.shown(folder)}: no frame in it, expected 1.bmp, 2.bmp, ...; it is not used. Copy it again."
            )
        elif lacking := max(of_number) - min(of_number) + 1 - len(of_number):
            self.notes.append(
                f"{self.shown(folder)}: {lacking} numbers between {min(of_number)} and {max(of_number)} have no frame; "
                "they are read as a pause."
            )
        return bool(of_number)


def _smiles(root: Path, name: str) -> Path | None:
    folder = child(root, name)
    smiles = child(folder, _EMOTION) if folder is not None and folder.is_dir() else None
    return smiles if smiles is not None and smiles.is_dir() else None
