"""How fast action units change, and the phases of a smile by how fast its intensity does (Kawulok et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import median_filter

__all__ = ["SmilePhases", "adjusted", "find_smiles", "largest_smile", "median_of_3", "slopes", "smile_intensity"]

Array = NDArray[np.float64]
Range = tuple[int, int]

PHASE_WINDOW = 27
SHORTEST_SMILE = 1.0  # s
_LEAST_SPREAD = 0.25  # AU units: a unit that hardly moves is not stretched to the size of one that does
_CONSTANT = 1e-12
_STILL = 1e-9  # of what a signal spans: what it moves in a frame where it does not


class SmilePhases(NamedTuple):
    """One smile, by numbers of frames: first and last of it, of its onset, apex and offset; None where it has none."""

    whole: Range
    onset: Range | None
    apex: Range | None
    offset: Range | None


def median_of_3(traces: ArrayLike) -> Array:
    """Running median over three frames (T, ...); beyond both ends the outermost values are repeated."""
    values = np.asarray(traces, np.float64)
    return np.asarray(median_filter(values, size=(3,) + (1,) * (values.ndim - 1), mode="nearest"))


def slopes(signal: ArrayLike, window: int, rate: float) -> Array:
    """Slope of the least-squares line through the frames around each.

    Parameters
    ----------
    signal : (T, ...) array
        Evenly sampled; beyond both ends the outermost values are repeated.
    window : int
        Frames that a line goes through, odd.
    rate : float
        Frames per second.

    Returns
    -------
    (T, ...) array
        Units per second.

    Raises
    ------
    ValueError
        An even window, or one of a single frame.
    """
    windows, steps = _windows(signal, window)
    return np.asarray(windows @ steps / (steps @ steps) * rate)


def adjusted(signal: ArrayLike, window: int, rate: float) -> Array:
    """The same slope times the magnitude of the line's correlation with the signal: `slopes` that are r-adjusted.

    A steep line that fits badly counts less. Where the signal is constant both are 0.

    Parameters
    ----------
    signal, window, rate
        As of `slopes`.

    Returns
    -------
    (T, ...) array
    """
    windows, steps = _windows(signal, window)
    along = windows @ steps
    about = ((windows - windows.mean(-1, keepdims=True)) ** 2).sum(-1)
    moving = about > _CONSTANT
    correlation = np.abs(along) / np.sqrt(np.where(moving, about, 1.0) * (steps @ steps))
    return np.asarray(along / (steps @ steps) * rate * np.where(moving, np.minimum(correlation, 1.0), 0.0))


def smile_intensity(au06: ArrayLike, au12: ArrayLike) -> Array:
    """How strongly a face smiles (T,), from one clip's AU06 and AU12 (T,), 0 to 5.

    Sum of both, each standardised within the clip; a unit whose standard deviation is below 0.25 is divided by that.
    Our choice where no frames are labelled smile and no smile: with such labels the method takes the distance from the
    hyperplane of a support vector machine on all action units.
    """
    found = np.zeros(len(np.asarray(au12)))
    for unit in (np.asarray(au06, np.float64), np.asarray(au12, np.float64)):
        found += (unit - unit.mean()) / max(float(unit.std()), _LEAST_SPREAD)
    return found


def find_smiles(intensity: ArrayLike, rate: float, *, window: int = PHASE_WINDOW) -> list[SmilePhases]:
    """Find the smiles of a clip and their phases.

    A smile begins where the slope of the intensity becomes positive. It has passed once the intensity is back at half
    of its rise with a slope that is not positive, and it ends where the slope is positive again, or with the clip.
    Between the steepest rise and the steepest fall, the apex reaches from the first to the last local minimum of the
    slope's slope, or where there is none from the one to the other. Smiles shorter than 1 s are left out.

    Parameters
    ----------
    intensity : (T,) array
        As of `smile_intensity`; neither its level nor its scale matters.
    rate : float
        Frames per second.
    window : int
        Of all slopes.

    Returns
    -------
    list of SmilePhases
        In order of time. Onset, apex and offset share no frame; a smile whose steepest fall comes before its steepest
        rise has none of them.

    Source: Kawulok et al. 2021 (verified); what is done with a fall before the rise is our choice.
    """
    values = np.asarray(intensity, np.float64)
    first = slopes(values, window, rate)
    # Where nothing moves, rounding errors of the line are neither a rise nor a fall.
    still = max(_STILL * np.ptp(values), _CONSTANT * np.abs(values).max(initial=0.0))
    first[np.abs(first) <= still * rate] = 0.0
    second = slopes(first, window, rate)
    return [
        _phases(on, end, first, second) for on, end in _smiles(values, first) if (end - on) / rate >= SHORTEST_SMILE
    ]


def largest_smile(smiles: list[SmilePhases], intensity: ArrayLike) -> SmilePhases | None:
    """The smile whose intensity rises furthest above its beginning, the first of equals; None where there is none."""
    values = np.asarray(intensity, np.float64)
    rises = [values[on : end + 1].max() - values[on] for (on, end), *_ in smiles]
    return smiles[int(np.argmax(rises))] if smiles else None


def _windows(signal: ArrayLike, window: int) -> tuple[Array, Array]:
    if window < 3 or window % 2 == 0:
        raise ValueError(f"window of {window} frames; expected an odd number from 3")
    values = np.asarray(signal, np.float64)
    half = window // 2
    padded = np.pad(values, [(half, half)] + [(0, 0)] * (values.ndim - 1), mode="edge")
    return sliding_window_view(padded, window, axis=0), np.arange(-half, half + 1, dtype=np.float64)


def _smiles(values: Array, slope: Array) -> Iterator[Range]:
    """First and last frame of each rise and fall."""
    rising = slope > 0
    at = 0
    while len(later := np.flatnonzero(rising[at:])):
        on = at + int(later[0])
        highest = np.maximum.accumulate(values[on:])
        passed = np.flatnonzero((values[on:] <= (values[on] + highest) / 2) & ~rising[on:])
        again = np.flatnonzero(rising[on + passed[0] :]) if len(passed) else passed
        if not len(again):
            yield on, len(values) - 1
            return
        at = on + int(passed[0]) + int(again[0])
        yield on, at


def _phases(on: int, end: int, first: Array, second: Array) -> SmilePhases:
    rise, fall = (on + int(extreme(first[on : end + 1])) for extreme in (np.argmax, np.argmin))
    if rise >= fall:
        return SmilePhases((on, end), None, None, None)
    inner = second[rise : fall + 1]
    low = rise + 1 + np.flatnonzero((inner[1:-1] < inner[:-2]) & (inner[1:-1] <= inner[2:]))
    start, stop = (int(low[0]), int(low[-1])) if len(low) else (rise, fall)
    onset = (on, start - 1) if start > on else None
    offset = (stop + 1, end) if stop < end else None
    return SmilePhases((on, end), onset, (start, stop), offset)
