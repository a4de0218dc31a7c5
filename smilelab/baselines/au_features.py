"""What AUDA computes of a clip's action units: each by itself, and each pair, over a smile and its phases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smilelab.baselines.au_dynamics import (
    SmilePhases,
    adjusted,
    find_smiles,
    largest_smile,
    median_of_3,
    slopes,
    smile_intensity,
)

__all__ = ["RANGES", "WINDOWS", "au_wise", "cross_au", "of_clip"]

Array = NDArray[np.float64]
RANGES = ("whole", "onset", "apex", "offset")
WINDOWS = (9, 27)


def au_wise(traces: Array, slope: Sequence[Array]) -> Array:
    """Features of each unit over a range of frames.

    Parameters
    ----------
    traces : (n, K) array
        Of the range, one frame at least.
    slope : sequence of (n, K) arrays
        One for each window.

    Returns
    -------
    (3 + 2 W, K) array
        Largest less smallest value, mean, largest value; mean slope of each window, largest slope of each window.
    """
    of_values = [np.ptp(traces, axis=0), traces.mean(0), traces.max(0)]
    return np.stack([*of_values, *(one.mean(0) for one in slope), *(one.max(0) for one in slope)])


def cross_au(slope: Array, adjusted_slope: Array, rate: float) -> Array:
    """Features of each pair of units over a range of frames, for one window.

    Parameters
    ----------
    slope, adjusted_slope : (n, K) arrays
        Of the range, one frame at least.
    rate : float
        Frames per second.

    Returns
    -------
    (4, K (K - 1) / 2) array
        For each pair, first unit less second: smallest and largest difference of their slopes; s between their largest
        r-adjusted slopes, and between their smallest. Pairs in the order of `numpy.triu_indices`.
    """
    one, other = np.triu_indices(slope.shape[1], 1)
    difference = slope[:, one] - slope[:, other]
    places = [extreme(adjusted_slope, axis=0) / rate for extreme in (np.argmax, np.argmin)]
    return np.stack([difference.min(0), difference.max(0), *(place[one] - place[other] for place in places)])


def of_clip(traces: ArrayLike, units: Sequence[str], rate: float) -> Mapping[str, Array]:
    """Features of one clip.

    Parameters
    ----------
    traces : (T, K) array
        Evenly sampled.
    units : sequence of str
        Their names, with AU06 and AU12.
    rate : float
        Frames per second.

    Returns
    -------
    mapping
        ``au_<range>`` (7, K) and ``cross_<range>`` (2, 4, K (K - 1) / 2) for each of :data:`RANGES`. A phase that is
        missing gives zeros; where there is no smile, the whole clip takes the place of the whole smile.
    """
    smoothed = median_of_3(traces)
    slope = [slopes(smoothed, window, rate) for window in WINDOWS]
    fitting = [adjusted(smoothed, window, rate) for window in WINDOWS]
    intensity = smile_intensity(*(smoothed[:, list(units).index(name)] for name in ("AU06", "AU12")))
    smile = largest_smile(find_smiles(intensity, rate), intensity)
    if smile is None:
        smile = SmilePhases((0, len(smoothed) - 1), None, None, None)
    count = smoothed.shape[1]
    found: dict[str, Array] = {}
    for name in RANGES:
        if (span := getattr(smile, name)) is None:
            found[f"au_{name}"] = np.zeros((3 + 2 * len(WINDOWS), count))
            found[f"cross_{name}"] = np.zeros((len(WINDOWS), 4, count * (count - 1) // 2))
            continue
        frames = slice(span[0], span[1] + 1)
        parts = [one[frames] for one in slope]
        found[f"au_{name}"] = au_wise(smoothed[frames], parts)
        pairs = [cross_au(one, fit[frames], rate) for one, fit in zip(parts, fitting, strict=True)]
        found[f"cross_{name}"] = np.stack(pairs)
    return found
