"""Action-unit traces of a simulated database: what a detector would have measured, in the form of the public traces.

Nothing is rendered and nothing is detected: the true action units are drawn as they are for a video, and the detector's
error is added to them. It is our choice, the same for every clip whatever its class, and was set before any method saw
such traces:

- each unit of each subject is read too large or too small by a factor (log-normal, sd 10 %) and has a level at rest
  (mean 0, sd 0.1), since detectors err by the face;
- a slow error (sd 0.1, forgotten within 0.2 s), since neighbouring frames look alike;
- and one from frame to frame (sd 0.05).

Readings are cut at 0 and 5 and rounded to two decimals, as OpenFace prints them. The units that the simulator does not
move hold this error alone. Against human coders detectors err more than that, in ways that this does not model: by the
pose of the head, and by taking one unit for another.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.signal import lfilter

from smilelab.files import write_atomically
from smilelab.simulator.dynamics import AU_COLUMNS, ClipDynamics
from smilelab.simulator.openface import INTENSITIES
from smilelab.simulator.production import Production
from smilelab.simulator.roster import Clip, SimulationError

__all__ = ["ERROR", "folder", "measured", "write"]

ERROR = {"factor_sd": 0.1, "level_sd": 0.1, "slow_sd": 0.1, "slow_s": 0.2, "frame_sd": 0.05}  # AU units of 0-5, s
UNITS = tuple(f"AU{number:02d}" for number in INTENSITIES)
ENDING = "_AUs.txt"
_PART = 17  # in the keys of seeds, which no other part of a clip or a subject has


def folder(root: str | os.PathLike[str]) -> Path:
    """Where the traces of a simulated database lie: beside it, as ``<root>-aus``.

    Parameters
    ----------
    root : path-like
        The simulated database.

    Returns
    -------
    Path
    """
    root = Path(root).resolve()
    return root.with_name(f"{root.name}-aus")


def measured(dynamics: ClipDynamics, subject: np.random.Generator, clip: np.random.Generator) -> NDArray[np.float64]:
    """Read a clip's action units with the error of a detector.

    Parameters
    ----------
    dynamics : ClipDynamics
    subject, clip : numpy.random.Generator
        Of the error that belongs to the face, and of that which belongs to the frames.

    Returns
    -------
    numpy.ndarray
        (T, 17), 0 to 5, two decimals; the mean of both sides.
    """
    true = np.zeros((len(dynamics.times), len(UNITS)))
    for column, unit in enumerate(UNITS):
        sides = [at for at, name in enumerate(AU_COLUMNS) if name[:4] == unit]
        if sides:
            true[:, column] = dynamics.action_units[:, sides].mean(1)
    factor = np.exp(ERROR["factor_sd"] * subject.standard_normal(len(UNITS)))
    level = ERROR["level_sd"] * subject.standard_normal(len(UNITS))
    step = float(np.median(np.diff(dynamics.times)))
    kept = np.exp(-step / ERROR["slow_s"])
    slow = clip.standard_normal(true.shape)
    slow[1:] *= np.sqrt(1 - kept**2)
    slow = ERROR["slow_sd"] * lfilter([1.0], [1.0, -kept], slow, axis=0)
    jitter = ERROR["frame_sd"] * clip.standard_normal(true.shape)
    return np.asarray(np.round(np.clip(true * factor + level + slow + jitter, 0, 5), 2))


def write(root: Path, roster: list[Clip], production: Production, marker: str, provenance: dict[str, Any]) -> Path:
    """Write the traces of every clip that has none yet, and what names clips, classes, people and folds.

    Parameters
    ----------
    root : Path
        The simulated database; the traces go to `folder`.
    roster : list of Clip
    production : Production
    marker : str
        Name of the file that says that all of this is simulated.
    provenance : dict
        What is in it, besides the detector's error.

    Returns
    -------
    Path
        Their folder.

    Raises
    ------
    SimulationError
        The folder holds anything else.
    """
    place = folder(root)
    told = json.dumps({**provenance, "traces": {"simulated": "readings of a detector", **ERROR}}, indent=2) + "\n"
    if place.exists() and (not place.is_dir() or (_holds_something(place) and _read(place / marker) != told)):
        raise SimulationError(
            f"{place}: holds anything else than simulated traces with these settings. Use another folder or delete it"
        )
    place.mkdir(parents=True, exist_ok=True)
    write_atomically(place / marker, told)
    if production.settings.database == "uva-nemo" and production.layout.write_metadata is not None:
        production.layout.write_metadata(place, roster, production)
    else:
        write_atomically(place / "clips.csv", _table(roster, production).to_csv(index=False, lineterminator="\n"))
    for clip in roster:
        path = place / f"{clip.clip_id}{ENDING}"
        if not path.exists():
            rngs = production.rng(1, clip.code, _PART), production.rng(2, clip.code, clip.number, _PART)
            rows = measured(production.dynamics(clip), *rngs)
            lines = [",".join(UNITS), *(",".join(f"{value:.2f}" for value in row) for row in rows.tolist())]
            write_atomically(path, "".join(f"{line}\n" for line in lines))
    return place


def _table(roster: list[Clip], production: Production) -> pd.DataFrame:
    labels = {1: "spontaneous", 0: "posed"}
    rows = [
        (f"{clip.clip_id}{ENDING}", labels.get(clip.label, ""), clip.subject, clip.sex, clip.age, clip.kind,
         production.camera(clip).fps)
        for clip in roster
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["path", "label", "subject", "sex", "age", "kind", "fps"])


def _holds_something(place: Path) -> bool:
    return any(path.suffix != ".part" for path in place.iterdir())


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
