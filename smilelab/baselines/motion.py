"""How the pixels of a face move: speeds by direction, in places of the face, from dense flow."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smilelab.baselines.flow import farneback

__all__ = ["DIRECTIONS", "directed_speeds", "velocities"]

DIRECTIONS = 8
Singles = NDArray[np.float32]


def velocities(frames: NDArray[np.uint8], times: ArrayLike, unit: float) -> Singles:
    """Dense flow from each frame to the next, without the motion that the whole picture shares.

    Parameters
    ----------
    frames : (T, S, S) uint8 array
        Grey.
    times : (T,) array
        s, increasing.
    unit : float
        Px of a unit of length.

    Returns
    -------
    (max(T - 1, 1), 2, S, S) float32 array
        Units a second, rightwards and downwards; zeros where there is one frame alone.
    """
    at = np.asarray(times, np.float64)
    found = np.zeros((max(len(frames) - 1, 1), 2, *frames.shape[1:]), np.float32)
    for number, (before, after) in enumerate(itertools.pairwise(frames)):
        field = farneback(before, after)
        field -= field.mean((1, 2), keepdims=True)
        found[number] = field / (unit * (at[number + 1] - at[number]))
    return found


def directed_speeds(fields: Singles) -> Singles:
    """Mean speed of pixels by the direction in which they move.

    Parameters
    ----------
    fields : (F, 2, H, W) array
        Rightwards and downwards.

    Returns
    -------
    (F, 8) float32 array
        The sum over a row is the mean speed. The first direction is that of pixels that move rightwards to within an
        eighth of a half turn, the following ones turn clockwise on the screen.
    """
    x, y = fields[:, 0], fields[:, 1]
    speed = np.hypot(x, y)
    turn = np.arctan2(y, x) * np.float32(DIRECTIONS / (2 * np.pi))
    which = np.rint(turn).astype(np.int64) % DIRECTIONS
    which += DIRECTIONS * np.arange(len(fields))[:, None, None]
    total = np.bincount(which.ravel(), speed.ravel(), minlength=DIRECTIONS * len(fields))
    return (total.reshape(len(fields), DIRECTIONS) / speed[0].size).astype(np.float32)
