"""Ground truth in the form in which OpenFace 2 writes what it measures."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd

from smilelab.simulator.dynamics import AU_COLUMNS

__all__ = ["openface_table"]

INTENSITIES = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
PRESENCES = (*INTENSITIES[:-1], 28, 45)
PRESENT = 1.0  # FACS' A, a trace


def openface_table(truth: str | os.PathLike[str]) -> pd.DataFrame:
    """Write true action units as OpenFace 2 would have measured them without error.

    Parameters
    ----------
    truth : path-like
        A clip's ``.npz`` beside a simulated database.

    Returns
    -------
    pandas.DataFrame
        One row a frame: ``frame`` (from 1), ``face_id``, ``timestamp`` (s), ``confidence``, ``success``, intensities
        ``AU01_r`` ... (0-5, mean of both sides, two decimals as OpenFace prints them) and presences ``AU01_c`` ... (0
        or 1). Action units that the simulator does not move are 0.
    """
    with np.load(truth) as arrays:
        times, units = arrays["times"], arrays["action_units"].astype(np.float64)
    sides: dict[int, list[int]] = {}
    for column, name in enumerate(AU_COLUMNS):
        sides.setdefault(int(name[2:4]), []).append(column)
    still = np.zeros(len(times))
    moved = {number: np.round(units[:, columns].mean(1), 2) for number, columns in sides.items()}
    table = {
        "frame": np.arange(1, len(times) + 1),
        "face_id": np.zeros(len(times), dtype=int),
        "timestamp": np.round(times, 3),
        "confidence": np.full(len(times), 0.98),
        "success": np.ones(len(times), dtype=int),
    }
    table |= {f"AU{number:02d}_r": moved.get(number, still) for number in INTENSITIES}
    table |= {f"AU{number:02d}_c": (moved.get(number, still) >= PRESENT).astype(float) for number in PRESENCES}
    return pd.DataFrame(table)
