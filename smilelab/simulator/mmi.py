"""The roster, cameras, sessions and annotations of MMI."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from smilelab.datasets.labels import POSED, SPONTANEOUS
from smilelab.datasets.mmi import FOLDS
from smilelab.files import write_atomically
from smilelab.simulator.dynamics import AU_COLUMNS, ClipDynamics
from smilelab.simulator.production import Layout, Production
from smilelab.simulator.roster import Camera, Clip, Counts, SimulationError, dealt

__all__ = ["LAYOUT", "camera", "path", "recruit", "write_metadata"]

COUNTS = Counts(subjects=34, clips=187, spontaneous=138, subjects_spontaneous=9, subjects_posed=25, female=16, young=0)
AGES = (19, 62)
SPONTANEOUS_SUBJECTS = range(53, 62)
SESSIONS = {
    SPONTANEOUS: np.arange(2005, 2202),
    POSED: np.array([108, 109, 225, 226, 348, 576, *range(1763, 2004)]),
}  # fmt: skip
# Shares of the posed sessions that are filmed otherwise; the real ones are not published.
DUAL, SIDEWAYS = 0.15, 0.08
FRAME_RATES = (29.0, 25.0)  # spontaneous, posed
POSED_WIDER, POSED_HIGHER = 720 / 640, 576 / 480
HAPPINESS = 4
VIEWS = {"frontal": "0", "dual": "2"}


def path(clip: Clip) -> str:
    """Path of a clip's video below the root.

    Parameters
    ----------
    clip : Clip

    Returns
    -------
    str
    """
    return f"{_stem(clip)}.avi"


def _stem(clip: Clip) -> str:
    session, _, name = clip.clip_id.partition("_")
    return f"Sessions/{session}/{name}"


def recruit(rng: np.random.Generator, subjects: int, clips: int, *, confounds: bool = True) -> list[Clip]:
    """Draw the roster. Nobody shows both classes; fewer subjects come from as many folds as they can.

    Parameters
    ----------
    rng : numpy.random.Generator
    subjects, clips : int
        How many; from four subjects on, each class has two at least.
    confounds : bool
        Whether dual views and rotated pictures occur among posed clips alone.

    Returns
    -------
    list of Clip
        By session.

    Raises
    ------
    SimulationError
        More subjects than the folds name, or more clips of a class than its sessions have numbers.
    """
    if subjects > COUNTS.subjects:
        raise SimulationError(f"subjects {subjects}: expected at most {COUNTS.subjects}, since the folds name them")
    folds: list[tuple[int, ...]] = [FOLDS[i] for i in rng.permutation(len(FOLDS))]
    share = round(subjects * COUNTS.subjects_spontaneous / COUNTS.subjects)
    least = max(min(2, subjects // 2), subjects - COUNTS.subjects_posed)
    n_spontaneous = int(np.clip(share, least, COUNTS.subjects_spontaneous))
    people = {
        SPONTANEOUS: _taken(folds, n_spontaneous, spontaneous=True),
        POSED: _taken(folds[n_spontaneous:] + folds[:n_spontaneous], subjects - n_spontaneous, spontaneous=False),
    }
    total = round(clips * COUNTS.spontaneous / COUNTS.clips)
    total = int(np.clip(total, n_spontaneous, clips - len(people[POSED])))
    codes = [*people[SPONTANEOUS], *people[POSED]]
    female = rng.permutation(subjects) < round(subjects * COUNTS.female / COUNTS.subjects)
    ages = rng.integers(AGES[0], AGES[1] + 1, subjects)
    who = {code: ("female" if f else "male", int(age)) for code, f, age in zip(codes, female, ages, strict=True)}
    roster = []
    for label, count in ((SPONTANEOUS, total), (POSED, clips - total)):
        if count > len(SESSIONS[label]):
            raise SimulationError(
                f"clips {clips}: {count} of class {label}, expected at most {len(SESSIONS[label])}, since sessions "
                "have fixed numbers"
            )
        sessions = iter(np.sort(rng.choice(SESSIONS[label], count, replace=False)))
        for code, mine in zip(sorted(people[label]), dealt(rng, count, len(people[label])), strict=True):
            sex, age = who[code]
            roster += [
                Clip(
                    clip_id=f"{next(sessions)}_S{code:03d}-{number:03d}",
                    code=code,
                    subject=str(code),
                    sex=sex,
                    age=age,
                    label=label,
                    number=number,
                )
                for number in range(1, mine + 1)
            ]
    return _filmed(rng, roster, confounds)


def _taken(folds: list[tuple[int, ...]], count: int, *, spontaneous: bool) -> list[int]:
    """Subjects of one class, one of each fold before a second of any."""
    ranks = [[s for s in fold if (s in SPONTANEOUS_SUBJECTS) == spontaneous] for fold in folds]
    longest = max(map(len, ranks))
    return [fold[rank] for rank in range(longest) for fold in ranks if rank < len(fold)][:count]


def _filmed(rng: np.random.Generator, roster: list[Clip], confounds: bool) -> list[Clip]:
    """Let a few sessions show two views, and a few others be stored rotated."""
    posed = sum(clip.label == POSED for clip in roster)
    few = posed >= 3
    dual, sideways = (max(1, round(share * posed)) if few else 0 for share in (DUAL, SIDEWAYS))
    order = rng.permutation(len(roster))
    eligible = [i for i in order if roster[i].label == POSED or not confounds]
    for i in eligible[:dual]:
        roster[i] = dataclasses.replace(roster[i], view="dual")
    for i in eligible[dual : dual + sideways]:
        roster[i] = dataclasses.replace(roster[i], sideways=True)
    return sorted(roster, key=lambda clip: int(clip.clip_id.partition("_")[0]))


def camera(clip: Clip, production: Production) -> Camera:
    """Say what a clip is filmed with: a camera for each class, or both in turn, without looking at the class.

    Parameters
    ----------
    clip : Clip
    production : Production

    Returns
    -------
    Camera
    """
    if production.settings.confounds:
        second = clip.label == POSED
    else:
        # Taking turns within a subject leaves less to chance than drawing each clip's camera would.
        second = bool((clip.number + production.rng(1, clip.code, 4).integers(2)) % 2)
    width, height = production.settings.resolution
    if second:
        width, height = 2 * round(width * POSED_WIDER / 2), 2 * round(height * POSED_HIGHER / 2)
    return Camera(width, height, FRAME_RATES[second])


def write_metadata(root: Path, roster: list[Clip], production: Production) -> None:
    """Write the sessions with their annotations: emotion of all, action units of the posed upright ones.

    Parameters
    ----------
    root : Path
    roster : list of Clip
    production : Production
        Gives the true action units.
    """
    for clip in roster:
        session_id, _, name = clip.clip_id.partition("_")
        coded = clip.label == POSED and not clip.sideways
        session = ElementTree.Element("session", sessionId=session_id)
        ElementTree.SubElement(session, "subject", id=clip.subject, gender=clip.sex)
        track = ElementTree.SubElement(
            session, "track", trackNumber="1", type="Video", filename=f"{name}.avi", view=VIEWS[clip.view]
        )
        tags = ElementTree.Element("MetaTags")
        ElementTree.SubElement(tags, "Metatag", Name="Emotion", Value=str(HAPPINESS))
        files = {f"{name}.xml": tags}
        if coded:
            fps = production.camera(clip).fps
            files[f"{name}-oao_aucs.xml"] = _action_units(production.dynamics(clip), fps)
        for annotation in files:
            ElementTree.SubElement(track, "annotation", filename=annotation)
        folder = root / "Sessions" / session_id
        folder.mkdir(parents=True, exist_ok=True)
        for filename, content in {**files, "session.xml": session}.items():
            ElementTree.indent(content)
            write_atomically(folder / filename, ElementTree.tostring(content, encoding="unicode") + "\n")


def _action_units(dynamics: ClipDynamics, fps: float) -> ElementTree.Element:
    """Onset, apex and offset of the action units that a coder would see, in frames from 1."""
    first, last = dynamics.phases[0], dynamics.phases[-1]
    coded = {12: tuple(1 + round(time * fps) for time in (first.onset_s, first.apex_s, last.offset_s))}
    traces = dict(zip(AU_COLUMNS, dynamics.action_units.T, strict=True))
    others = {6: 0.5 * (traces["AU06_L"] + traces["AU06_R"]), 25: traces["AU25"], 26: traces["AU26"]}
    coded |= {number: _markers(trace) for number, trace in others.items() if trace.max() >= 1}
    annotation = ElementTree.Element("Annotation")
    for number in sorted(coded):
        unit = ElementTree.SubElement(annotation, "ActionUnit", Number=str(number))
        for frame in coded[number]:
            ElementTree.SubElement(unit, "Marker", Frame=str(frame))
    return annotation


def _markers(trace: NDArray[np.float32]) -> tuple[int, int, int]:
    """First frame above a tenth, first and last above nine tenths of the peak, from 1."""
    high = np.flatnonzero(trace >= 0.9 * trace.max())
    return int(np.argmax(trace >= 0.1 * trace.max())) + 1, int(high[0]) + 1, int(high[-1]) + 1


def _recruit(production: Production) -> list[Clip]:
    settings = production.settings
    return recruit(production.rng(0), settings.subjects, settings.clips, confounds=settings.confounds)


LAYOUT = Layout(
    number=3,
    resolution=(640, 480),
    frame_rates=FRAME_RATES,
    iod=0.19,
    counts=COUNTS,
    recruit=_recruit,
    path=path,
    write_metadata=write_metadata,
    camera=camera,
    confounds=True,
)
