"""Amplitude signals of lip corners, eyelids and cheeks, and their statistics in each phase of a smile.

What a D-marker pipeline computes from landmarks, as far as its time is to be measured: no method to compare accuracies
with, which would also select features and learn each region by itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from smilelab.signals import LIP_CORNERS, phases, smooth_4253h_twice

__all__ = ["SIGNALS", "STATISTICS", "amplitudes", "smoothed", "statistics"]

Array = NDArray[np.float64]

SIGNALS = ("lip corners", "eyelids", "cheeks")
STATISTICS = 25
_PHASES = 3
# Of each eye its outer corner, upper lid and inner corner; the lid is the middle of two points.
_EYES = ((36, (37, 38), 39), (45, (43, 44), 42))
# The cheeks lie midway between the jaw and the side of the nose: dlib has no points there.
_CHEEKS = ((2, 31), (14, 35))


def amplitudes(points: Array) -> Array:
    """How far lip corners, eyelids and cheeks have moved, on either side of the face.

    Parameters
    ----------
    points : (T, 68, 2) array
        Landmarks in face coordinates (`smilelab.signals.face_coordinates`), finite.

    Returns
    -------
    (3, 2, T) array
        Signal, side (the subject's right, then left), frame. Lip corners and cheeks: distance from the middle between
        both in the first frame, over their distance in it. Eyelids: height of the upper lid over the line between the
        eye's corners, over the eye's width; negative where the lid is below.

    Source: Dibeklioglu et al. 2015, the amplitude signals; the mean over both sides is theirs. The places of the cheeks
    are our choice.
    """
    corners = points[:, LIP_CORNERS, :]
    cheeks = np.stack([points[:, pair, :].mean(1) for pair in _CHEEKS], 1)
    lids = []
    for outer, lid, inner in _EYES:
        corner, other, above = points[:, outer], points[:, inner], points[:, lid, :].mean(1)
        away = above - (corner + other) / 2
        # y runs downwards.
        height = -np.sign(away[:, 1]) * np.linalg.norm(away, axis=-1)
        lids.append(height / np.linalg.norm(corner - other, axis=-1))
    return np.stack([_from_the_middle(corners), np.stack(lids), _from_the_middle(cheeks)])


def smoothed(sides: Array) -> Array:
    """Smooth each of the signals (3, 2, T) by 4253H, twice."""
    return np.apply_along_axis(smooth_4253h_twice, -1, sides)


def statistics(sides: Array, times: Array) -> Array:
    """Describe the signals in each phase of the smile by 25 numbers.

    Parameters
    ----------
    sides : (3, 2, T) array
        From `smoothed`.
    times : (T,) array
        Seconds, increasing.

    Returns
    -------
    (225,) array
        By signal, phase (onset, apex, offset, found on the lip corners) and statistic: duration of what rises, of what
        falls and of all, s; both as shares; largest amplitude; mean amplitude, rise and fall a frame; standard
        deviation; sums of rises and of falls and their difference; both sums as shares; largest and mean speed up and
        down; largest and mean acceleration up and down; net rise a second; difference between the sides. Zeros for a
        phase that is missing.

    Source: Dibeklioglu et al. 2015, 25 features a phase and region; that rises and falls are counted from frame to
    frame is our reading.
    """
    found = phases(sides[0].mean(0), times)
    rows = []
    for both in sides:
        for span in found:
            frames = (times >= span[0]) & (times <= span[1]) if span else np.zeros(len(times), bool)
            rows.append(_describe(both[:, frames], times[frames]))
    return np.concatenate(rows)


def _from_the_middle(pair: Array) -> Array:
    """Distances (2, T) of a pair of points (T, 2, 2) from its first middle, over its first distance."""
    first = pair[0]
    return np.asarray(np.linalg.norm(pair - first.mean(0), axis=-1).T / np.linalg.norm(first[0] - first[1]))


def _describe(both: Array, times: Array) -> Array:
    """The 25 statistics of one signal's sides (2, n) at so many times."""
    count = len(times)
    if count < 2:
        return np.zeros(STATISTICS)
    amplitude = both.mean(0)
    rate = (count - 1) / (times[-1] - times[0])
    steps = np.diff(amplitude)
    rises, falls = steps[steps > 0], -steps[steps < 0]
    moved = rises.sum() + falls.sum()
    net = rises.sum() - falls.sum()
    speed = np.gradient(amplitude) * rate
    acceleration = np.gradient(speed) * rate
    return np.array(
        [
            *(len(rises) / rate, len(falls) / rate, count / rate, len(rises) / count, len(falls) / count),
            *(amplitude.max(), amplitude.mean(), _mean(rises), _mean(falls), amplitude.std()),
            *(rises.sum(), falls.sum(), net),
            *(rises.sum() / moved if moved else 0.0, falls.sum() / moved if moved else 0.0),
            *_up_and_down(speed),
            *_up_and_down(acceleration),
            net * rate / count,
            abs(float(both[0].sum() - both[1].sum())) / count,
        ]
    )


def _up_and_down(values: Array) -> tuple[float, float, float, float]:
    """Largest positive and negative size, and their means; 0 where there is none."""
    up, down = values[values > 0], -values[values < 0]
    return float(up.max(initial=0.0)), float(down.max(initial=0.0)), _mean(up), _mean(down)


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else 0.0
