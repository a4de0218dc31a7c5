"""The roster and layout of SPOS: folders of gray pictures, cropped to the face."""

from __future__ import annotations

import numpy as np

from smilelab.datasets.labels import POSED, SPONTANEOUS
from smilelab.simulator.production import Layout, Production
from smilelab.simulator.roster import Clip, Counts, SimulationError

__all__ = ["LAYOUT", "path", "recruit"]

COUNTS = Counts(subjects=7, clips=80, spontaneous=66, subjects_spontaneous=7, subjects_posed=7, female=4, young=0)
# The published names; who of them is how old within the published 22 to 31 years is our choice.
PEOPLE = {
    "tomas": ("male", 28), "nelly": ("female", 24), "riku": ("male", 31), "yi": ("female", 26), "ying": ("female", 22),
    "rui": ("male", 27), "xiaopeng": ("female", 29),
}  # fmt: skip
KINDS = {SPONTANEOUS: "spontaneous", POSED: "posed"}


def path(clip: Clip) -> str:
    """Path of a clip's folder of pictures below the root.

    Parameters
    ----------
    clip : Clip

    Returns
    -------
    str
    """
    return f"{KINDS[clip.label]}/happy/{clip.subject}-{clip.number}"


def recruit(rng: np.random.Generator, subjects: int, clips: int) -> list[Clip]:
    """Draw the roster.

    Parameters
    ----------
    rng : numpy.random.Generator
    subjects, clips : int
        How many; each subject has a clip, and there are clips of both classes.

    Returns
    -------
    list of Clip
        By subject and number.

    Raises
    ------
    SimulationError
        More subjects than names.
    """
    if subjects > len(PEOPLE):
        raise SimulationError(f"subjects {subjects}: expected at most {len(PEOPLE)}, since they have fixed names")
    names = list(PEOPLE)
    codes = rng.permutation(len(names))[:subjects]
    posed = int(np.clip(round(clips * (1 - COUNTS.spontaneous / COUNTS.clips)), 1, clips - 1))
    # Posed clips go round from the first subject on and spontaneous ones from the last: nobody is left out.
    turns = [(codes[i % subjects], POSED) for i in range(posed)]
    turns += [(codes[-1 - i % subjects], SPONTANEOUS) for i in range(clips - posed)]
    roster = []
    for code in sorted(codes.tolist()):
        labels = rng.permutation([label for whose, label in turns if whose == code]).tolist()
        sex, age = PEOPLE[names[code]]
        roster += [
            Clip(
                clip_id=f"{KINDS[label]}_{names[code]}-{number}",
                code=code + 1,
                subject=names[code],
                sex=sex,
                age=age,
                label=label,
                number=number,
            )
            for number, label in enumerate(labels, start=1)
        ]
    return roster


def _recruit(production: Production) -> list[Clip]:
    return recruit(production.rng(0), production.settings.subjects, production.settings.clips)


LAYOUT = Layout(
    number=4, resolution=(640, 480), frame_rates=(25.0,), iod=0.30, counts=COUNTS, recruit=_recruit, path=path
)
