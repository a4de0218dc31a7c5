"""The roster and table of recordings: of each subject a spontaneous, a posed and a neutral one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from smilelab.datasets.labels import NEUTRAL, POSED, SPONTANEOUS
from smilelab.files import write_atomically
from smilelab.simulator.dynamics import ClipDynamics
from smilelab.simulator.production import Layout, Production
from smilelab.simulator.recording import draw_neutral, draw_recording
from smilelab.simulator.roster import Clip, Counts, SimulationError

__all__ = ["LAYOUT", "dynamics", "path", "recruit", "write_metadata"]

COUNTS = Counts(
    subjects=88, clips=3 * 88, spontaneous=88, subjects_spontaneous=88, subjects_posed=88, female=44, young=0
)
AGES = (20, 80)
KINDS = {SPONTANEOUS: "spontaneous", POSED: "posed", NEUTRAL: "neutral"}
MOVIE_S = 60.0  # as long as the film that the subjects watched
CRF = 23  # x264's own default; less would spend a quarter of a gigabyte a minute on the noise of a dim room
NEUTRAL_S = 10.0  # our choice; the source does not say
# Our choice, after the source's 427 posed smiles of 88 subjects.
COMMANDS, COMMANDS_SHARES = (4, 5, 6), (0.3, 0.55, 0.15)


def path(clip: Clip) -> str:
    """Path of a clip's video below the root.

    Parameters
    ----------
    clip : Clip

    Returns
    -------
    str
    """
    return f"{clip.clip_id}.mp4"


def recruit(rng: np.random.Generator, subjects: int, clips: int) -> list[Clip]:
    """Draw the roster.

    Parameters
    ----------
    rng : numpy.random.Generator
    subjects, clips : int
        Three clips a subject.

    Returns
    -------
    list of Clip
        By subject: spontaneous, posed, neutral.

    Raises
    ------
    SimulationError
        More subjects than three-digit codes, or another number of clips.
    """
    if subjects > 999:
        raise SimulationError(f"subjects {subjects}: expected at most 999, since codes have three digits")
    if clips != len(KINDS) * subjects:
        raise SimulationError(f"clips {clips} of {subjects} subjects: expected {len(KINDS)} a subject")
    female = rng.permutation(subjects) < round(subjects * COUNTS.female / COUNTS.subjects)
    ages = rng.integers(AGES[0], AGES[1] + 1, subjects)
    return [
        Clip(
            clip_id=f"S{code:03d}_{name}",
            code=code,
            subject=f"S{code:03d}",
            sex="female" if is_female else "male",
            age=int(age),
            label=label,
            number=number,
            kind="neutral" if label == NEUTRAL else "recording",
        )
        for code, (is_female, age) in enumerate(zip(female, ages, strict=True), start=1)
        for number, (label, name) in enumerate(KINDS.items(), start=1)
    ]


def dynamics(clip: Clip, production: Production) -> ClipDynamics:
    """Draw what a subject does: a minute of smiles that come by themselves, smiles on command, or nothing.

    Parameters
    ----------
    clip : Clip
    production : Production

    Returns
    -------
    ClipDynamics
    """
    settings, fps = production.settings, production.camera(clip).fps
    rng, limit = production.rng(2, clip.code, clip.number, 0), settings.max_length_s or np.inf
    if clip.label == NEUTRAL:
        return draw_neutral(fps, rng, length_s=min(NEUTRAL_S, limit))
    posed = clip.label == POSED
    commands = int(production.rng(2, clip.code, clip.number, 3).choice(COMMANDS, p=COMMANDS_SHARES))
    return draw_recording(
        production.subject(clip), clip.label, fps, rng, length_s=limit if posed else min(MOVIE_S, limit),
        smiles=commands if posed else None, length_matched=settings.length_matched, asymmetry=settings.asymmetry,
        cues_off=settings.cues_off,
    )  # fmt: skip


def write_metadata(root: Path, roster: list[Clip], production: Production) -> None:
    """Write ``clips.csv``.

    Parameters
    ----------
    root : Path
    roster : list of Clip
    production : Production
        Not needed.
    """
    del production
    rows = [
        {
            "path": path(clip),
            "label": "" if clip.label == NEUTRAL else KINDS[clip.label],
            "subject": clip.subject,
            "sex": clip.sex,
            "age": clip.age,
            "kind": clip.kind,
        }
        for clip in roster
    ]
    write_atomically(root / "clips.csv", pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))


def _recruit(production: Production) -> list[Clip]:
    return recruit(production.rng(0), production.settings.subjects, production.settings.clips)


LAYOUT = Layout(
    number=5,
    resolution=(1280, 720),
    frame_rates=(30.0,),
    iod=0.17,
    counts=COUNTS,
    recruit=_recruit,
    path=path,
    write_metadata=write_metadata,
    dynamics=dynamics,
    crf=CRF,
)
