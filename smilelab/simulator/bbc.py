"""The roster and layout of BBC's "Spot the fake smile"."""

from __future__ import annotations

import numpy as np

from smilelab.datasets.bbc import GENUINE, PAIRS
from smilelab.datasets.labels import POSED, SPONTANEOUS
from smilelab.simulator.production import Layout, Production
from smilelab.simulator.roster import Clip, Counts, SimulationError

__all__ = ["LAYOUT", "path", "recruit"]

COUNTS = Counts(subjects=20, clips=20, spontaneous=10, subjects_spontaneous=10, subjects_posed=10, female=7, young=0)
AGES = (22, 62)  # our choice: adults of working age
FOLDERS = {SPONTANEOUS: "Genuine", POSED: "posed"}


def path(clip: Clip) -> str:
    """Path of a clip's video below the root.

    Parameters
    ----------
    clip : Clip

    Returns
    -------
    str
    """
    return f"{FOLDERS[clip.label]}/smilecontent {clip.clip_id}.mp4"


def recruit(rng: np.random.Generator, subjects: int, clips: int) -> list[Clip]:
    """Draw the roster: one clip a subject, of the published numbers; fewer come from as many folds as they can.

    Parameters
    ----------
    rng : numpy.random.Generator
    subjects, clips : int
        As many of one as of the other.

    Returns
    -------
    list of Clip
        By number.

    Raises
    ------
    SimulationError
        More subjects than there are numbers, or more clips than subjects.
    """
    if subjects > COUNTS.subjects:
        raise SimulationError(
            f"subjects {subjects}: expected at most {COUNTS.subjects}, since clips have fixed numbers"
        )
    if clips != subjects:
        raise SimulationError(f"clips {clips} of {subjects} subjects: expected one clip a subject")
    spontaneous = round(subjects * COUNTS.spontaneous / COUNTS.clips)
    wanted = {SPONTANEOUS: spontaneous, POSED: subjects - spontaneous}
    numbers: list[int] = []
    for pair in 2 * [*rng.permutation(PAIRS).tolist()]:
        free = [n for n in rng.permutation(pair).tolist() if n not in numbers and wanted[_label(n)]]
        if free:
            chosen = max(free, key=lambda n: wanted[_label(n)])
            wanted[_label(chosen)] -= 1
            numbers.append(chosen)
    female = rng.permutation(subjects) < round(subjects * COUNTS.female / COUNTS.subjects)
    ages = rng.integers(AGES[0], AGES[1] + 1, subjects)
    return [
        Clip(
            clip_id=f"q{number:02d}",
            code=number,
            subject=f"q{number:02d}",
            sex="female" if is_female else "male",
            age=int(age),
            label=_label(number),
            number=1,
        )
        for number, is_female, age in zip(sorted(numbers), female, ages, strict=True)
    ]


def _label(number: int) -> int:
    return SPONTANEOUS if number in GENUINE else POSED


def _recruit(production: Production) -> list[Clip]:
    return recruit(production.rng(0), production.settings.subjects, production.settings.clips)


LAYOUT = Layout(
    number=2, resolution=(314, 286), frame_rates=(25.0,), iod=0.20, counts=COUNTS, recruit=_recruit, path=path
)
