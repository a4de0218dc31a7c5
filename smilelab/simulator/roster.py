"""Who is filmed how often: the counts of a database, scaled, and what its clips are called."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

COMMENT = "simulated by smilelab"  # every video says so itself


class SimulationError(ValueError):
    """Settings that cannot be simulated, or a folder that must not be written to.

    The message says what was found, what was expected, and what to do.
    """


@dataclass(frozen=True)
class Clip:
    """One clip to be made.

    Attributes
    ----------
    clip_id : str
    code : int
        The subject's number.
    subject : str
        The subject as the database writes it.
    sex : str
    age : int
        Years.
    label : int
        1 spontaneous, 0 posed, -1 neutral.
    number : int
        The clip's number, unique within the subject.
    kind : str
        "clip", "recording" (several smiles) or "neutral" (none).
    view : str
        "frontal", or "dual": the frontal face and a turned one in one picture.
    sideways : bool
        Stored rotated by 90 degrees counter-clockwise.
    """

    clip_id: str
    code: int
    subject: str
    sex: str
    age: int
    label: int
    number: int
    kind: str = "clip"
    view: str = "frontal"
    sideways: bool = False


@dataclass(frozen=True)
class Camera:
    """What a clip is filmed with.

    Attributes
    ----------
    width, height : int
        Size of the stored picture in pixels.
    fps : float
    """

    width: int
    height: int
    fps: float


@dataclass(frozen=True)
class Counts:
    """Full size of a database.

    Attributes
    ----------
    subjects, clips, spontaneous : int
        Subjects, clips, and spontaneous ones among the clips.
    subjects_spontaneous, subjects_posed : int
        Subjects with a clip of that kind.
    female, young : int
        Subjects who are female; who are under 18.
    """

    subjects: int
    clips: int
    spontaneous: int
    subjects_spontaneous: int
    subjects_posed: int
    female: int
    young: int

    def scaled(self, subjects: int | None, clips: int | None) -> tuple[int, int]:
        """Complete the wanted size of a database; what is not given follows in the real proportion.

        Parameters
        ----------
        subjects, clips : int or None

        Returns
        -------
        subjects, clips : int

        Raises
        ------
        SimulationError
            Fewer than two subjects (folds need two) or fewer clips than subjects.
        """
        if subjects is None:
            subjects = self.subjects if clips is None else max(2, min(clips, round(clips * self.subjects / self.clips)))
        if clips is None:
            clips = max(subjects, round(subjects * self.clips / self.subjects))
        if subjects < 2:
            raise SimulationError(f"subjects {subjects}: expected two or more, since folds keep subjects apart")
        if clips < subjects:
            raise SimulationError(f"clips {clips} of {subjects} subjects: expected at least one clip a subject")
        return int(subjects), int(clips)


def dealt(rng: np.random.Generator, clips: int, subjects: int) -> np.ndarray:
    """Deal clips to subjects, of whom some are seen much oftener than others and each once at least.

    Parameters
    ----------
    rng : numpy.random.Generator
    clips, subjects : int

    Returns
    -------
    numpy.ndarray
        (subjects,) int, summing to `clips`.
    """
    eager = rng.gamma(1.5, size=subjects)
    return 1 + rng.multinomial(clips - subjects, eager / eager.sum())
