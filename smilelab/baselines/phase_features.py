"""The 25 statistics of a signal in a phase of a smile."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smilelab.signals import Phases, phases, within

__all__ = ["NAMES", "PHASES", "STATISTICS", "describe", "statistics"]

Array = NDArray[np.float64]

PHASES = ("onset", "apex", "offset")
NAMES = (
    *("duration of rises", "duration of falls", "duration", "share of rises", "share of falls"),
    *("largest amplitude", "mean amplitude", "mean rise", "mean fall", "variation"),
    *("sum of rises", "sum of falls", "net rise", "rises of all moved", "falls of all moved"),
    *("largest speed up", "largest speed down", "mean speed up", "mean speed down"),
    *("largest acceleration up", "largest acceleration down", "mean acceleration up", "mean acceleration down"),
    *("net rise a second", "difference of the sides"),
)
STATISTICS = len(NAMES)


def statistics(sides: ArrayLike, times: ArrayLike, found: Phases | None = None) -> Array:
    """Describe signals in each phase of the smile by 25 numbers.

    Parameters
    ----------
    sides : (k, 2, T) array
        Signals on either side of the face, the lip corners first.
    times : (T,) array
        s, increasing by equal steps.
    found : Phases, optional
        Of the smile; by default those of the first signal.

    Returns
    -------
    (k * 3 * 25,) array
        By signal, phase and statistic (`NAMES`). Zeros for a phase that is missing.

    Source: Dibeklioglu et al. 2015, 25 features a phase and region (verified).
    """
    both, at = np.asarray(sides, np.float64), np.asarray(times, np.float64)
    spans = phases(both[0].mean(0), at) if found is None else found
    rows = []
    for signal in both:
        for span in spans:
            frames = within(span, at)
            rows.append(describe(signal[:, frames], at[frames]))
    return np.concatenate(rows)


def describe(both: ArrayLike, times: ArrayLike) -> Array:
    """The 25 statistics of one signal in one phase.

    Parameters
    ----------
    both : (2, n) array
        The signal on either side of the face.
    times : (n,) array
        s, increasing by equal steps.

    Returns
    -------
    (25,) array
        See `NAMES`. Durations in s, speeds a second; zeros where n < 2.

    Source: Dibeklioglu et al. 2015 (verified). That D+ and D- are the steps from sample to sample, and that speed and
    acceleration are central differences, is our reading.
    """
    sides, at = np.asarray(both, np.float64), np.asarray(times, np.float64)
    count = len(at)
    if count < 2:
        return np.zeros(STATISTICS)
    amplitude = sides.mean(0)
    rate = (count - 1) / (at[-1] - at[0])
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
            abs(float(sides[0].sum() - sides[1].sum())) / count,
        ]
    )


def _up_and_down(values: Array) -> tuple[float, float, float, float]:
    """Largest positive and negative size, and their means; 0 where there is none."""
    up, down = values[values > 0], -values[values < 0]
    return float(up.max(initial=0.0)), float(down.max(initial=0.0)), _mean(up), _mean(down)


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else 0.0
