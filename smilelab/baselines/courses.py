"""Courses of many values over a clip, as a few numbers each: cosine coefficients, statistics, derivatives."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import dct
from scipy.ndimage import gaussian_filter1d

from smilelab.baselines.footage import at_times

__all__ = ["cosines", "derivatives", "statistics"]

Floats = NDArray[np.float64]
_SAMPLES = 100


def cosines(values: ArrayLike, times: ArrayLike, count: int) -> Floats:
    """First DCT-II coefficients over the whole clip, whatever its length and rate.

    Parameters
    ----------
    values : (T, ...) array
    times : (T,) array
        s, increasing.
    count : int
        Coefficients, at most 100.

    Returns
    -------
    (count, ...) array
        Of the values at a hundred even times between the first and the last, by linear interpolation; the first
        coefficient is the mean, the k-th half the amplitude of a wave of k - 1 half periods.
    """
    at = np.asarray(times, np.float64)
    wanted = at[0] + (np.arange(_SAMPLES) + 0.5) / _SAMPLES * (at[-1] - at[0])
    # Rounded to single precision: features of a clip are kept compressed, and more digits say nothing.
    found: Floats = dct(at_times(values, at, wanted), axis=0, norm="forward")[:count].astype(np.float64)
    return found


def statistics(values: ArrayLike, times: ArrayLike, count: int) -> Floats:
    """Mean, standard deviation and maximum over time (T, ...), then cosine coefficients from the second on.

    Returns
    -------
    (3 + count, ...) array
    """
    series = np.asarray(values, np.float64)
    waves = cosines(series, times, count + 1)[1:]
    return np.concatenate([np.stack([series.mean(0), series.std(0), series.max(0)]), waves])


def derivatives(values: ArrayLike, rate: float, spread: float) -> tuple[Floats, Floats, Floats]:
    """Smoothed values, and their first and second derivatives.

    Parameters
    ----------
    values : (T, ...) array
        At even times.
    rate : float
        Samples a second.
    spread : float
        Standard deviation of the Gaussian that smooths, s; beyond both ends the outermost values are repeated.

    Returns
    -------
    three (T, ...) arrays
        In units of the values, a second, and a second squared.
    """
    series = np.asarray(values, np.float64)
    smoothed = gaussian_filter1d(series, spread * rate, axis=0, mode="nearest")
    if len(series) < 2:
        return smoothed, np.zeros_like(series), np.zeros_like(series)
    # Differences, not derivatives of the Gaussian: those, sampled, do not sum to zero.
    speed = np.gradient(smoothed, 1 / rate, axis=0)
    return smoothed, speed, np.gradient(speed, 1 / rate, axis=0)
