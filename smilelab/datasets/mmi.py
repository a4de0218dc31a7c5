"""MMI facial expression database, its smiles: 138 spontaneous and 49 posed ones of 34 subjects."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import pandas as pd

from smilelab.datasets.base import POSED, SPONTANEOUS, Database, DatabaseError
from smilelab.datasets.mmi_annotations import (
    AnnotationError,
    Session,
    Track,
    read_action_units,
    read_emotions,
    read_session,
)
from smilelab.datasets.splits import Folds
from smilelab.datasets.tree import child, entries

# Subjects tested in each fold of the published protocol; 53 to 61 show spontaneous smiles, the others posed ones.
FOLDS = (
    (54, 21, 46, 2, 34), (61, 35, 5, 44, 3), (55, 49, 45, 37), (60, 48, 41, 42), (53, 32, 1, 40), (59, 43, 47, 39),
    (56, 50), (57, 33, 30), (58, 36, 29),
)  # fmt: skip
_SPONTANEOUS_SUBJECTS = range(53, 62)
_SPONTANEOUS_SESSIONS = frozenset(range(2005, 2202))
_POSED_SESSIONS = frozenset({108, 109, 225, 226, 348, 576, *range(1763, 2004)})
_HAPPINESS = 4
_VIEWS = {0: "frontal", 2: "dual"}
_STEM = re.compile(r"S(\d+)-(\d+)", re.IGNORECASE)
_FPS = {SPONTANEOUS: 29.0, POSED: 25.0}
_CLASS = {SPONTANEOUS: "spontaneous", POSED: "posed"}
_AGAIN = "Download the session again."


class Mmi(Database):
    """Smiles of the MMI facial expression database.

    138 spontaneous smiles of 9 subjects (640x480, 29 frames per second) and 49 posed ones of 25 others (720x576, 25
    frames per second): the class is confounded with subject, camera and frame rate. Licence-gated. References: Pantic,
    Valstar, Rademaker and Maat, "Web-based database for facial expression analysis", ICME 2005; Valstar and Pantic,
    "Induced disgust, happiness and surprise", LREC Workshop EMOTION 2010.

    Layout: ``Sessions/<session id>/`` with ``session.xml``, ``SNNN-NNN.avi``, ``SNNN-NNN.xml`` (emotion) and, where
    action units were coded, ``SNNN-NNN-oao_aucs.xml``. The session id tells the class. Sessions of other emotions, of
    other ids, and profile views are left out; of a session with a frontal and a dual view the frontal one is used.
    Public lists of the clips hold 184 (138 and 46), Yang et al. 2020 say 187.
    """

    name: ClassVar[str] = "mmi"
    title: ClassVar[str] = "the MMI facial expression database (smiles)"
    published: ClassVar[dict[str, int]] = {
        "clips": 187,
        "spontaneous clips": 138,
        "posed clips": 49,
        "subjects": 34,
        "subjects with a spontaneous clip": 9,
        "subjects with a posed clip": 25,
    }
    how_to_obtain: ClassVar[str] = (
        "MMI is handed out at mmifacedb.eu to those who sign its agreement (data/README.md says how); "
        "`smilelab simulate mmi DIR` makes a simulated database in the same layout."
    )
    layout: ClassVar[str] = "Sessions/<session id>/session.xml with SNNN-NNN.avi and SNNN-NNN.xml beside it"

    _action_units: list[tuple[str, int, float, float, float]]

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether there are sessions with a ``session.xml``, in ``Sessions`` or here."""
        return any(child(folder, "session.xml") for folder in entries(_sessions(root)) if folder.name.isdecimal())

    def read_index(self) -> pd.DataFrame:
        """Read the sessions that hold a smile.

        Raises
        ------
        DatabaseError
            There are no sessions here.
        """
        folders = [path for path in entries(_sessions(self.root)) if path.is_dir()]
        numbered = sorted((path for path in folders if path.name.isdecimal()), key=lambda path: int(path.name))
        if not numbered:
            raise DatabaseError(f"{self.root}: no folders Sessions/<session id>/ here. {self.how_to_obtain}")
        for path in folders:
            if path not in numbered and child(path, "session.xml"):
                self._fault(path, "found this name, expected the session's number; it is not used. Rename it")
        self._action_units = []
        used = [path for path in numbered if int(path.name) in _SPONTANEOUS_SESSIONS | _POSED_SESSIONS]
        if others := len(numbered) - len(used):
            self.notes.append(f"{others} sessions are in neither of the published lists of smiles and are not used.")
        return pd.DataFrame([row for folder in used for row in self._rows(folder)])

    def folds(self) -> Folds:
        """Nine folds by subject, as published, with one subject of spontaneous smiles in each.

        Raises
        ------
        smilelab.datasets.splits.SplitError
            Clips of fewer than two folds.
        """
        return self._published_folds([[str(subject) for subject in fold] for fold in FOLDS])

    def action_units(self) -> pd.DataFrame:
        """When action units begin, peak and end, where they were coded.

        Returns
        -------
        pandas.DataFrame
            Columns ``clip_id``, ``action_unit``, ``onset_frame``, ``apex_frame``, ``offset_frame``: frames counted from
            0, NaN where a marker is missing. A unit that comes again has another row.
        """
        columns = ["clip_id", "action_unit", "onset_frame", "apex_frame", "offset_frame"]
        table = pd.DataFrame(self._action_units, columns=columns)
        return table.astype({"action_unit": "int64", **dict.fromkeys(columns[2:], "float64")})

    def _rows(self, folder: Path) -> list[dict[str, object]]:
        place = child(folder, "session.xml")
        if place is None:
            self._fault(folder / "session.xml", f"not here, expected it in every session. {_AGAIN}")
            return []
        try:
            session = read_session(place)
        except AnnotationError as error:
            self._fault(place, f"{error}. {_AGAIN}")
            return []
        if unclear := [track.filename for track in session.tracks if track.view is None]:
            self._fault(place, f"found no view of {unclear[0]}, expected 0, 1 or 2; it is not used. {_AGAIN}")
        best = min((track.view for track in session.tracks if track.view in _VIEWS), default=None)
        tracks = [track for track in session.tracks if track.view is not None and track.view == best]
        return [row for track in tracks if (row := self._row(folder, session, track)) is not None]

    def _row(self, folder: Path, session: Session, track: Track) -> dict[str, object] | None:
        name, video = Path(track.filename).stem, folder / track.filename
        if not self._smiles(folder, name):
            return None
        match = _STEM.fullmatch(name)
        if match is None:
            self._fault(video, f"found this name, expected SNNN-NNN with the subject's number. {_AGAIN}")
            return None
        number, label = int(match[1]), SPONTANEOUS if int(folder.name) in _SPONTANEOUS_SESSIONS else POSED
        if session.subject not in (None, number):
            self._fault(
                video, f"the name contradicts subject {session.subject} of session.xml; it is not used. {_AGAIN}"
            )
            return None
        if not any(number in fold for fold in FOLDS):
            self._fault(video, f"found subject {number}, expected one of the published folds; it is not used. {_AGAIN}")
            return None
        of_subject = SPONTANEOUS if number in _SPONTANEOUS_SUBJECTS else POSED
        if of_subject != label:
            self._fault(
                video,
                f"session {folder.name} is a {_CLASS[label]} one, but the name says subject {number}, who has "
                f"{_CLASS[of_subject]} ones alone; it is not used. {_AGAIN}",
            )
            return None
        found = child(folder, track.filename)
        if found is None and self.require_videos:
            self._fault(video, f"not here, but session.xml lists it. {_AGAIN}")
            return None
        clip_id = f"{folder.name}_{name}"
        self._read_action_units(folder, name, track, clip_id)
        return {
            "clip_id": clip_id,
            "path": str(found or video),
            "label": label,
            "subject": str(number),
            "sex": session.sex,
            "age": session.age,
            "fps": _FPS[label],
            "view": _VIEWS[track.view or 0],
        }

    def _smiles(self, folder: Path, name: str) -> bool:
        """Whether a video was annotated as showing happiness and nothing else."""
        place = child(folder, f"{name}.xml")
        if place is None:
            self._fault(folder / f"{name}.xml", f"not here, expected the emotion of {name}; it is not used. {_AGAIN}")
            return False
        try:
            emotions = read_emotions(place)
        except AnnotationError as error:
            self._fault(place, f"{error}; {name} is not used. {_AGAIN}")
            return False
        if _HAPPINESS in emotions and len(emotions) > 1:
            said = ", ".join(map(str, sorted(emotions)))
            self._fault(place, f"found emotions {said}, expected one; {name} is not used. {_AGAIN}")
        return emotions == {_HAPPINESS}

    def _read_action_units(self, folder: Path, name: str, track: Track, clip_id: str) -> None:
        listed = [file for file in track.annotations if file.lower().endswith("aucs.xml")]
        for file in listed or [f"{name}-oao_aucs.xml"]:
            place = child(folder, Path(file).name)
            if place is None:
                if listed:
                    self._fault(folder / file, f"not here, but session.xml lists it; {name} is used without. {_AGAIN}")
                continue
            try:
                self._action_units += [(clip_id, *row) for row in read_action_units(place)]
            except AnnotationError as error:
                self._fault(place, f"{error}; {name} is used without its action units. {_AGAIN}")

    def _fault(self, place: Path, what: str) -> None:
        self.faults.append(f"{self.shown(place)}: {what.rstrip('.')}.")


def _sessions(root: Path) -> Path:
    folder = child(root, "Sessions")
    return folder if folder is not None and folder.is_dir() else root
