"""UvA-NEMO's roster, file names, detail files and folds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from smilelab.datasets import splits
from smilelab.files import write_atomically
from smilelab.simulator.production import Layout, Production
from smilelab.simulator.roster import Clip, Counts, SimulationError

__all__ = ["COUNTS", "LAYOUT", "path", "recruit", "write_metadata"]

COUNTS = Counts(
    subjects=400, clips=1240, spontaneous=597, subjects_spontaneous=357, subjects_posed=368, female=185, young=149
)
LAST_CODE = 564  # subject codes run from 001 to 564, with gaps
LAST_NUMBER = 22  # the largest clip number
AGES = (8, 76)
ADULT = 18
FOLDS = 10
KINDS = {1: "spontaneous", 0: "deliberate"}


def path(clip: Clip) -> str:
    """Path of a clip's video below the root.

    Parameters
    ----------
    clip : Clip

    Returns
    -------
    str
    """
    return f"videos/{clip.clip_id}.mp4"


def recruit(rng: np.random.Generator, subjects: int, clips: int) -> list[Clip]:
    """Draw the roster: who is filmed, and which clips there are of each.

    Parameters
    ----------
    rng : numpy.random.Generator
    subjects, clips : int
        How many; the mix of classes, sexes and ages is the real one, as well as whole numbers allow.

    Returns
    -------
    list of Clip
        By subject, kind and number.

    Raises
    ------
    SimulationError
        More subjects than three-digit codes, or more clips than numbers 1 to 22 for each subject.
    """
    last_code = LAST_CODE if subjects <= LAST_CODE else 999
    if subjects > last_code:
        raise SimulationError(f"subjects {subjects}: expected at most {last_code}, since codes have three digits")
    if clips > subjects * LAST_NUMBER:
        raise SimulationError(f"clips {clips}: expected at most {LAST_NUMBER} for each of {subjects} subjects")
    codes = np.sort(rng.choice(np.arange(1, last_code + 1), subjects, replace=False))
    female = rng.permutation(subjects) < round(subjects * COUNTS.female / COUNTS.subjects)
    young = rng.permutation(subjects) < round(subjects * COUNTS.young / COUNTS.subjects)
    adult_ages = ADULT + (AGES[1] - ADULT + 1) * rng.beta(1.3, 2.4, subjects)
    ages = np.where(young, rng.integers(AGES[0], ADULT, subjects), adult_ages.astype(int))
    roster = []
    for code, is_female, age, counts in zip(codes, female, ages, _clips_each(rng, subjects, clips), strict=True):
        total = int(counts.sum())
        highest = min(LAST_NUMBER, max(total, round(1.6 * total) + 1))
        numbers = rng.permutation(rng.choice(np.arange(1, highest + 1), total, replace=False))
        for label, mine in ((0, numbers[: counts[0]]), (1, numbers[counts[0] :])):
            roster += [
                Clip(
                    clip_id=f"{code:03d}_{KINDS[label]}_smile_{number}",
                    code=int(code),
                    subject=f"{code:03d}",
                    sex="female" if is_female else "male",
                    age=int(age),
                    label=label,
                    number=int(number),
                )
                for number in np.sort(mine)
            ]
    return roster


def _clips_each(rng: np.random.Generator, subjects: int, clips: int) -> np.ndarray:
    """Clips of each subject, (subjects, 2): posed, spontaneous."""
    # Not every subject shows both kinds: some subjects have spontaneous clips alone, some posed clips alone.
    only_spontaneous = round(subjects * (COUNTS.subjects - COUNTS.subjects_posed) / COUNTS.subjects)
    only_posed = round(subjects * (COUNTS.subjects - COUNTS.subjects_spontaneous) / COUNTS.subjects)
    both = min(subjects - only_spontaneous - only_posed, clips - subjects)
    spare = subjects - both - only_spontaneous - only_posed
    only_spontaneous += spare // 2
    only_posed += spare - spare // 2
    spontaneous = round(clips * COUNTS.spontaneous / COUNTS.clips)
    spontaneous = int(np.clip(spontaneous, both + only_spontaneous, clips - both - only_posed))
    shows = np.ones((subjects, 2), dtype=int)
    shows[:only_spontaneous, 0] = 0
    shows[only_spontaneous : only_spontaneous + only_posed, 1] = 0
    shows = rng.permutation(shows)
    counts = shows.copy()
    eager = rng.gamma(1.5, size=subjects)
    for label, wanted in ((0, clips - spontaneous), (1, spontaneous)):
        for _ in range(wanted - int(counts[:, label].sum())):
            free = eager * shows[:, label] * (counts.sum(1) < LAST_NUMBER)
            if not free.any():
                free = (counts.sum(1) < LAST_NUMBER).astype(float)
            counts[rng.choice(subjects, p=free / free.sum()), label] += 1
    return counts


def write_metadata(root: Path, roster: list[Clip], seed: int) -> None:
    """Write both detail files and the folds in both published forms.

    Parameters
    ----------
    root : Path
    roster : list of Clip
    seed : int
        Seeds the folds.
    """
    people = {clip.subject: (clip.sex, clip.age) for clip in roster}
    files = [f"{c.clip_id}.mp4\t{c.subject}\t{c.sex:<6}\t{c.age}\t{KINDS[c.label]:<11}" for c in roster]
    subjects = [f"{code}\t{sex:<6}\t{age} " for code, (sex, age) in people.items()]
    _write_details(root, "File", "Filename\tSubject Code\tGender\tAge\tSmile Type", files)
    _write_details(root, "Subject", "Subject Code\tGender\tAge", subjects)
    index = pd.DataFrame({"clip_id": c.clip_id, "label": c.label, "subject": c.subject} for c in roster)
    label_of = {clip.clip_id: clip.label for clip in roster}
    for k, test in enumerate(splits.seeded(index, folds=FOLDS, seed=seed % 2**32).tests, start=1):
        tested = set(test)
        for name, chosen in (("train", set(label_of) - tested), ("test", tested)):
            content = {stem: label_of[stem] for stem in sorted(chosen)}
            folder = root / "folds" / "json" / str(k)
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / f"{name}.json", json.dumps(content, indent=1) + "\n")
        folder = root / "folds" / "text"
        folder.mkdir(parents=True, exist_ok=True)
        for letter, label in (("P", 0), ("S", 1)):
            stems = [stem for stem in sorted(tested) if label_of[stem] == label]
            write_atomically(folder / f"{letter}_fold_test_{k}.txt", "".join(f"{stem}\n" for stem in stems))


def _write_details(root: Path, what: str, columns: str, lines: list[str]) -> None:
    title = f"UvA-NEMO Smile Database - {what} Details"
    heading = [title, "=" * len(title), "Simulated by smilelab: no real person is shown.", "", columns]
    write_atomically(
        root / f"UvA-NEMO_Smile_Database_{what}_Details.txt", "".join(f"{x}\n" for x in [*heading, *lines])
    )


def _recruit(production: Production) -> list[Clip]:
    return recruit(production.rng(0), production.settings.subjects, production.settings.clips)


def _write_metadata(root: Path, roster: list[Clip], production: Production) -> None:
    write_metadata(root, roster, production.settings.seed)


LAYOUT = Layout(
    number=1,
    resolution=(640, 360),
    frame_rates=(50.0,),
    iod=0.19,
    counts=COUNTS,
    recruit=_recruit,
    path=path,
    write_metadata=_write_metadata,
)
