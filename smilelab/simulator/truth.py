"""The ground truth beside a simulated database: arrays of each clip, and a table of all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smilelab.simulator.dynamics import ClipDynamics
from smilelab.simulator.production import Production
from smilelab.simulator.roster import Clip

__all__ = ["folder", "row", "write"]


def folder(root: str | os.PathLike[str]) -> Path:
    """Where the ground truth of a simulated database lies: beside it, as ``<root>-truth``.

    Parameters
    ----------
    root : path-like
        The simulated database.

    Returns
    -------
    Path
    """
    root = Path(root).resolve()
    return root.with_name(f"{root.name}-truth")


def write(path: Path, dynamics: ClipDynamics, landmarks: NDArray[np.float32]) -> None:
    """Write one clip's arrays, completely or not at all.

    Parameters
    ----------
    path : Path
        Ends in ``.npz``.
    dynamics : ClipDynamics
    landmarks : numpy.ndarray
        (T, 68, 2) float32, pixels of the upright picture.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    phases = [(p.onset_s, p.apex_s, p.offset_s, p.end_s) for p in dynamics.phases]
    with part.open("wb") as file:
        np.savez_compressed(
            file, times=dynamics.times, action_units=dynamics.action_units, pose=dynamics.pose, landmarks=landmarks,
            phases=np.array(phases, dtype=np.float64).reshape(-1, 4), smiles=dynamics.smiles,
            blinks=np.array(dynamics.blinks, dtype=np.float64),
        )  # fmt: skip
    os.replace(part, path)


def row(clip: Clip, production: Production, path: Path) -> dict[str, Any]:
    """Summarise one clip; what a clip without a smile has no value for is None.

    Parameters
    ----------
    clip : Clip
    production : Production
    path : Path
        The clip's arrays.

    Returns
    -------
    dict
    """
    fps = production.camera(clip).fps
    with np.load(path) as arrays:
        units, phases, blinks, frames = arrays["action_units"], arrays["phases"], arrays["blinks"], len(arrays["times"])
    au6, au12 = units[:, :2].mean(1), units[:, 2:4].mean(1)
    onset, apex, offset, end = (*phases[0, :2], *phases[-1, 2:]) if len(phases) else [None] * 4
    moments = {"onset_s": onset, "apex_s": apex, "offset_s": offset, "end_s": end}
    return {
        "clip_id": clip.clip_id,
        "label": clip.label,
        "subject": clip.subject,
        "seed": production.seed(2, clip.code, clip.number, 0),
        "fps": fps,
        "frames": frames,
        "length_s": round(frames / fps, 6),
        **{name: None if moment is None else round(float(moment), 4) for name, moment in moments.items()},
        "apices": len(phases),
        "au12": round(float(au12.max()), 4),
        "au6": round(float(au6.max()), 4),
        "blinks": len(blinks),
    }
