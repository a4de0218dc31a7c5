"""Smile moments in the intensities of AU06 and AU12 over time."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from smilelab.preprocess.action_units import ActionUnits
from smilelab.preprocess.crops import smooth

__all__ = ["Moment", "Thresholds", "detect", "quiet_stretch"]

Array = NDArray[np.float64]

_SMOOTHING_S = 0.05
_REACH_S = 1.0  # the mean onset and offset of spontaneous smiles: further out lies no foot of this smile
_FOOT = 0.05  # share of the rise: little, and yet more than the noise of most smiles
_LONGEST_STEP = 3  # frames; time without a reliable frame beyond this and beyond `gap_s` ends a moment
_QUIET_S = (2.0, 1.0)


@dataclass(frozen=True)
class Thresholds:
    """What counts as a smile moment: the same for posed and spontaneous recordings.

    Parameters
    ----------
    high : float
        AU12 that a moment reaches, 0-5. By default the intensity that rounds to 1, FACS' trace.
    low : float
        AU12 that ends it. By default half of `high`, so that noise about one threshold does not cut a smile up.
    minimum_s : float
        Shortest moment, s. By default the shortest smile that Frank, Ekman & Friesen 1993 call felt.
    gap_s : float
        Moments less than this apart are one, s. By default the time in which an offset and another onset can hardly
        pass: a dip of one smile.
    au06 : float
        AU06 that a moment reaches, 0-5. By default that of `low`: cheeks that do not move at all go with dimpled or
        pressed lips, not with a smile.
    presence : bool
        Whether a detector's own verdict that AU12 occurs, `ActionUnits.present`, is needed besides, once in a moment.
        By default not: our own estimate has no such verdict, and both should find the same smiles.

    Raises
    ------
    ValueError
        If a value is not a number of 0 or more, or `low` exceeds `high`.

    Source: Lee & Lee 2020, section 3.2.1, detect by AU06 and AU12 with one threshold for both classes, which they do
    not state; the values are our choice.
    """

    high: float = 0.5
    low: float = 0.25
    minimum_s: float = 0.5
    gap_s: float = 0.5
    au06: float = 0.25
    presence: bool = False

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "presence" and not (np.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value!r}; expected a number, 0 or more")
        if not 0 < self.low <= self.high <= 5:
            raise ValueError(f"low is {self.low} and high {self.high}; expected 0 < low <= high <= 5")


DEFAULT = Thresholds()


class Moment(NamedTuple):
    """One smile: `start_s` and `end_s`, s from the video's first frame, and its strongest AU12 and AU06, 0-5."""

    start_s: float
    end_s: float
    peak_au12: float
    peak_au06: float


def detect(units: ActionUnits, thresholds: Thresholds = DEFAULT) -> list[Moment]:
    """Find the smile moments of a recording.

    A moment is where AU12 exceeds `low` and somewhere `high`; it begins and ends at the smile's feet, where 5 % of the
    rise from the level before, or after, are left.

    Parameters
    ----------
    units : ActionUnits
        Of one recording.
    thresholds : Thresholds
        One set for all recordings.

    Returns
    -------
    list of Moment
        In order of time, without overlap.

    Source: after Lee & Lee 2020, section 3.2.1.
    """
    at = np.flatnonzero(units.valid)
    if not len(at):
        return []
    times = units.times[at]
    pause = max(thresholds.gap_s, _LONGEST_STEP * float(np.median(np.diff(times))) if len(at) > 1 else 0.0)
    stretches = np.split(at, np.flatnonzero(np.diff(times) > pause) + 1)
    return [moment for stretch in stretches for moment in _in_stretch(units, stretch, thresholds)]


def _in_stretch(units: ActionUnits, at: NDArray[np.intp], thresholds: Thresholds) -> list[Moment]:
    times = units.times[at]
    au12, au06 = smooth(times, np.stack([units.au12[at], units.au06[at]], 1), _SMOOTHING_S).T
    spans = [span for span in _runs(au12 >= thresholds.low) if au12[slice(*span)].max() >= thresholds.high]
    merged: list[tuple[int, int]] = []
    for start, stop in spans:
        if merged and times[start] - times[merged[-1][1] - 1] < thresholds.gap_s:
            start = merged.pop()[0]
        merged.append((start, stop))
    moments = []
    after = 0
    for (start, stop), (following, _) in itertools.zip_longest(merged, merged[1:], fillvalue=(len(at), 0)):
        peak = float(au12[start:stop].max())
        first = start - _steps_to_foot(times[start::-1], au12[start::-1], start - after, peak)
        last = stop - 1 + _steps_to_foot(times[stop - 1 :], au12[stop - 1 :], following - stop, peak)
        after = last + 1
        within = slice(first, last + 1)
        if thresholds.presence and units.present is not None and not units.present[at[within]].any():
            continue
        if times[last] - times[first] < thresholds.minimum_s or au06[within].max() < thresholds.au06:
            continue
        moments.append(Moment(float(times[first]), float(times[last]), peak, float(au06[within].max())))
    return moments


def _runs(inside: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8))
    return list(zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True))


def _steps_to_foot(times: Array, au12: Array, most: int, peak: float) -> int:
    """Steps outwards, `most` at most, from the first frame given to the foot of the smile."""
    near = np.abs(times[: most + 1] - times[0]) <= _REACH_S
    outwards = au12[: most + 1][near]
    lowest = float(outwards.min())
    return int(np.argmax(outwards <= lowest + _FOOT * max(peak - lowest, 0.0)))


def quiet_stretch(units: ActionUnits, moments: Sequence[Moment]) -> tuple[float, float, float] | None:
    """Find where a face is most itself: neither smiling nor moving.

    Parameters
    ----------
    units : ActionUnits
        Of one recording.
    moments : sequence of Moment
        Its smiles.

    Returns
    -------
    (start_s, end_s, restlessness) or None
        Two seconds, or one where there are no two, outside the smiles: those whose lip-corner signal lies closest to
        its median and varies least. The restlessness is what was minimised: distance of the mean from the median, plus
        standard deviation. None where there is no such second.

    Source: Lee & Lee 2020, section 3.3, take the anchor from a neutral recording; choosing it by the median of activity
    where there is none is our choice.
    """
    free = np.isfinite(units.lip_signal)
    for moment in moments:
        free &= (units.times < moment.start_s) | (units.times > moment.end_s)
    times, lip = units.times[free], units.lip_signal[free]
    if not len(times):
        return None
    step = float(np.median(np.diff(units.times))) if len(units.times) > 1 else 0.0
    centre = float(np.median(lip))
    total, squares = (np.concatenate([[0.0], np.cumsum((lip - centre) ** power)]) for power in (1, 2))
    # A window may not reach over a smile or a loss of the face.
    stretch = np.concatenate([[0], np.cumsum(np.diff(times) > 1.5 * step)])
    for length_s in _QUIET_S:
        stop = np.searchsorted(times, times + length_s - step / 2)
        fits = (times[stop - 1] - times >= length_s - 1.5 * step) & (stretch[stop - 1] == stretch)
        if not fits.any() or step == 0:
            continue
        first, last = np.flatnonzero(fits), stop[fits]
        count = last - first
        mean = (total[last] - total[first]) / count
        spread = np.sqrt(np.maximum((squares[last] - squares[first]) / count - mean**2, 0))
        best = int(np.argmin(np.abs(mean) + spread))
        restless = float(np.abs(mean[best]) + spread[best])
        return float(times[first[best]]), float(times[last[best] - 1] + step), restless
    return None
