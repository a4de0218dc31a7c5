"""MMI's annotation files: sessions, emotions and action units, as XML."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["AnnotationError", "Session", "Track", "read_action_units", "read_emotions", "read_session"]

_SEXES = {"female": "female", "f": "female", "male": "male", "m": "male"}
_MARKERS = 3  # onset, apex, offset


class AnnotationError(ValueError):
    """An annotation that cannot be used; the message says what was found and what was expected."""


@dataclass(frozen=True)
class Track:
    """One video of a session.

    Attributes
    ----------
    filename : str
    view : int or None
        0 frontal, 1 profile, 2 both in one picture; None where the session does not say.
    annotations : tuple of str
        Names of its annotation files.
    """

    filename: str
    view: int | None
    annotations: tuple[str, ...]


@dataclass(frozen=True)
class Session:
    """What ``session.xml`` says.

    Attributes
    ----------
    subject : int or None
    sex : str
        "female", "male" or "".
    age : float
        Years, NaN if unknown.
    tracks : tuple of Track
        Videos alone.
    """

    subject: int | None
    sex: str
    age: float
    tracks: tuple[Track, ...]


def read_session(path: Path) -> Session:
    """Read ``session.xml``.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Session

    Raises
    ------
    AnnotationError
        Not readable as XML, or a track whose file or view is no such.
    """
    root = _parsed(path)
    subject = next((_attributes(element) for element in _all(root, "subject")), {})
    digits = re.search(r"\d+", subject.get("id", ""))
    age = subject.get("age", "")
    return Session(
        subject=int(digits[0]) if digits else None,
        sex=_SEXES.get(subject.get("gender", "").lower(), ""),
        age=float(age) if age.isdecimal() else np.nan,
        tracks=tuple(_track(element) for element in _all(root, "track") if _is_video(element)),
    )


def read_emotions(path: Path) -> set[int]:
    """Read the emotions that a video was annotated with.

    Parameters
    ----------
    path : Path

    Returns
    -------
    set of int
        4 is happiness. Empty where no emotion was annotated.

    Raises
    ------
    AnnotationError
        Not readable as XML, or an emotion that is no number.
    """
    tags = [_attributes(element) for element in _all(_parsed(path), "metatag")]
    values = [tag.get("value", "") for tag in tags if tag.get("name", "").lower() == "emotion"]
    if wrong := [value for value in values if not value.isdecimal()]:
        raise AnnotationError(f"found emotion {wrong[0]!r}, expected a number")
    return {int(value) for value in values}


def read_action_units(path: Path) -> list[tuple[int, float, float, float]]:
    """Read when action units begin, peak and end.

    Parameters
    ----------
    path : Path
        With markers in the order onset, apex, offset; a unit that comes again has three more.

    Returns
    -------
    list of (int, float, float, float)
        Action unit, onset, apex and offset; frames counted from 0, NaN where a marker is missing.

    Raises
    ------
    AnnotationError
        Not readable as XML, a unit or frame that is no number, or markers that go back in time.
    """
    rows = []
    for unit in _all(_parsed(path), "actionunit"):
        number = _attributes(unit).get("number", "")
        if not number.isdecimal():
            raise AnnotationError(f"found action unit {number!r}, expected a number")
        frames = [_frame(_attributes(marker).get("frame", "")) for marker in _all(unit, "marker")]
        known = [frame for frame in frames if not np.isnan(frame)]
        if known != sorted(known):
            said = " ".join(f"{frame + 1:g}" for frame in known)
            raise AnnotationError(f"found action unit {number} at frames {said}, expected onset, apex, offset in order")
        for first in range(0, max(len(frames), 1), _MARKERS):
            three = (frames[first : first + _MARKERS] + _MARKERS * [np.nan])[:_MARKERS]
            rows.append((int(number), three[0], three[1], three[2]))
    return rows


def _frame(text: str) -> float:
    if not text:
        return np.nan
    if not text.isdecimal() or int(text) < 1:
        raise AnnotationError(f"found frame {text!r}, expected a number from 1")
    return float(int(text) - 1)


def _track(element: Any) -> Track:
    attributes = _attributes(element)
    filename, view = attributes.get("filename", ""), attributes.get("view", "")
    if not filename or re.search(r"[/\\\0]", filename) or filename in (".", ".."):
        raise AnnotationError(f"found track file {filename!r}, expected the name of a file in the session's folder")
    if view and not view.isdecimal():
        raise AnnotationError(f"found view {view!r} of {filename}, expected 0 (frontal), 1 (profile) or 2 (both)")
    annotations = tuple(_attributes(inner).get("filename", "") for inner in _all(element, "annotation"))
    return Track(filename, int(view) if view else None, tuple(filter(None, annotations)))


def _is_video(element: Any) -> bool:
    return _attributes(element).get("type", "video").lower() == "video"


def _parsed(path: Path) -> Any:
    # Here and not above: training needs the folds of this package on machines without an XML parser of this kind.
    from defusedxml import DefusedXmlException, ElementTree

    try:
        return ElementTree.fromstring(path.read_bytes())
    except ElementTree.ParseError as error:
        raise AnnotationError(f"not readable as XML ({error})") from None
    except DefusedXmlException:
        raise AnnotationError("found XML with entities of its own, which is not read for safety") from None
    except (OSError, ValueError, LookupError) as error:
        raise AnnotationError(f"cannot be read ({error})") from None


def _all(root: Any, name: str) -> list[Any]:
    return [element for element in root.iter() if _local(element.tag) == name]


def _attributes(element: Any) -> dict[str, str]:
    return {_local(name): value.strip() for name, value in element.attrib.items()}


def _local(name: str) -> str:
    return name.rpartition("}")[2].lower()
