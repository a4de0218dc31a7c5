"""Signals of a smile from dlib's 68 landmarks, and the phases of a smile. Needs numpy alone."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "LIP_CORNERS",
    "Phases",
    "eye_centres",
    "face_coordinates",
    "lip_corner_distance",
    "mouth_width",
    "phases",
    "smooth_4253h_twice",
    "within",
]

Array = NDArray[np.float64]
Interval = tuple[float, float]

# On the subject's right and left, as dlib numbers them.
LIP_CORNERS = (48, 54)
_EYE_CORNERS = ((36, 39), (42, 45))
_EPSILON = 1e-9


class Phases(NamedTuple):
    """Phases of one smile, each (start, end) in s, or None where the signal has none."""

    onset: Interval | None
    apex: Interval | None
    offset: Interval | None


def eye_centres(landmarks: ArrayLike) -> Array:
    """Midpoints between the corners of each eye, which blinks do not move.

    Parameters
    ----------
    landmarks : (..., 68, 2) array
        dlib's points, px.

    Returns
    -------
    (..., 2, 2) array
        The subject's right eye, then the left one, px.
    """
    points = _points(landmarks)
    return np.stack([points[..., corners, :].mean(-2) for corners in _EYE_CORNERS], -2)


def face_coordinates(landmarks: ArrayLike) -> Array:
    """Landmarks without the head's place, size and roll.

    Parameters
    ----------
    landmarks : (..., 68, 2) array
        dlib's points, px; NaN where there is no face.

    Returns
    -------
    (..., 68, 2) array
        In distances between the eye centres, which lie at (-0.5, 0) and (0.5, 0); y runs downwards.

    Source: our choice for two-dimensional landmarks; Dibeklioglu et al. 2015 do so in three.
    """
    points = _points(landmarks)
    right, left = np.moveaxis(eye_centres(points), -2, 0)
    across = left - right
    down = np.stack([-across[..., 1], across[..., 0]], -1)
    axes = np.stack([across, down], -1) / (across**2).sum(-1)[..., None, None]
    return (points - (right + left)[..., None, :] / 2) @ axes


def mouth_width(landmarks: ArrayLike) -> Array:
    """Distance between the lip corners over that between the eye centres.

    Parameters
    ----------
    landmarks : (T, 68, 2) array
        dlib's points, px; NaN where there is no face.

    Returns
    -------
    (T,) array
    """
    points = _points(landmarks)
    eyes = eye_centres(points)
    first, second = LIP_CORNERS
    return _distance(points[..., first, :], points[..., second, :]) / _distance(eyes[..., 0, :], eyes[..., 1, :])


def lip_corner_distance(landmarks: ArrayLike, rest: ArrayLike | None = None) -> Array:
    """Mean distance of the lip corners from the middle of the mouth at rest, over its width at rest: D_lip.

    Parameters
    ----------
    landmarks : (T, 68, 2) array
        dlib's points, px; NaN where there is no face.
    rest : (68, 2) array, optional
        The face at rest; by default the first frame with a face.

    Returns
    -------
    (T,) array
        0.5 at rest. NaN where there is no face.

    Raises
    ------
    ValueError
        If no frame has a face and no `rest` is given.

    Source: Dibeklioglu et al. 2012 and 2015, lip corner displacement; place, size and roll of the head are taken out by
    the eyes, see `face_coordinates`.
    """
    corners = face_coordinates(landmarks)[..., LIP_CORNERS, :]
    if rest is not None:
        initial = face_coordinates(rest)[LIP_CORNERS, :]
    else:
        seen = np.flatnonzero(np.isfinite(corners).all((-2, -1)))
        if not len(seen):
            raise ValueError("no frame has landmarks; expected at least one, or the face at rest")
        initial = corners[seen[0]]
    middle = initial.mean(0)
    return _distance(corners, middle).sum(-1) / (2 * _distance(initial[0], initial[1]))


def smooth_4253h_twice(signal: ArrayLike) -> Array:
    """Smooth by running medians of 4, 2, 5 and 3 and a Hanning filter, and add the smoothed rest of the first pass.

    Parameters
    ----------
    signal : (T,) array
        Finite values; beyond both ends the outermost are repeated.

    Returns
    -------
    (T,) array

    Source: Velleman 1980, "Definition and comparison of robust nonlinear data smoothing algorithms" (4253H, twice).
    """
    values = np.asarray(signal, np.float64)
    once = _4253h(values)
    return once + _4253h(values - once)


def phases(signal: ArrayLike, times: ArrayLike, *, longest_in: Literal["time", "signal"] = "time") -> Phases:
    """Onset, apex and offset of one smile.

    Parameters
    ----------
    signal : (T,) array
        Rises with the smile, as `lip_corner_distance` does. Frames where it is NaN are left out.
    times : (T,) array
        Seconds, increasing.
    longest_in : {"time", "signal"}
        Whether the longest increase is the one that takes longest, or the one that rises furthest. A smile that is held
        for seconds may waver in slow waves that last longer than its onset, but hardly rise as far.

    Returns
    -------
    Phases
        The onset is the longest continuous increase of the smoothed signal, the offset its longest continuous decrease,
        the apex what lies between; of equally long ones the first. A phase that the signal lacks is None, and so is an
        apex whose offset does not follow the onset.

    Raises
    ------
    ValueError
        If the two differ in length.

    Source: Dibeklioglu et al. 2012 and 2015, on the lip-corner signal by time, smoothed by 4253H, twice.
    """
    values, at = np.asarray(signal, np.float64), np.asarray(times, np.float64)
    if values.shape != at.shape or values.ndim != 1:
        raise ValueError(f"signal of shape {values.shape} with times of shape {at.shape}; expected one value a time")
    seen = np.isfinite(values)
    values, at = values[seen], at[seen]
    if len(values) < 2:
        return Phases(None, None, None)
    smoothed = smooth_4253h_twice(values)
    step = np.diff(smoothed)
    measure = at if longest_in == "time" else smoothed
    # Rounding errors of the filter are neither a rise nor a fall.
    level = _EPSILON * max(float(np.ptp(values)), _EPSILON)
    onset, offset = (_longest(moving, at, measure) for moving in (step > level, step < -level))
    apex = (onset[1], offset[0]) if onset and offset and onset[1] <= offset[0] else None
    return Phases(onset, apex, offset)


def within(span: Interval | None, times: ArrayLike) -> NDArray[np.bool_]:
    """Which times (T,) lie in a phase, its ends included; none in one that is missing."""
    at = np.asarray(times, np.float64)
    return np.zeros(len(at), bool) if span is None else (at >= span[0]) & (at <= span[1])


def _points(landmarks: ArrayLike) -> Array:
    points = np.asarray(landmarks, np.float64)
    if points.shape[-2:] != (68, 2):
        raise ValueError(f"landmarks of shape {points.shape}; expected (..., 68, 2)")
    return points


def _distance(first: Array, second: Array) -> Array:
    return np.asarray(np.linalg.norm(first - second, axis=-1))


def _4253h(values: Array) -> Array:
    if not len(values):
        return values
    even = _running_median(values, 4, (2, 2))
    centred = (even[:-1] + even[1:]) / 2
    odd = _running_median(_running_median(centred, 5, (2, 2)), 3, (1, 1))
    padded = np.pad(odd, 1, mode="edge")
    return (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4


def _running_median(values: Array, width: int, reach: tuple[int, int]) -> Array:
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, reach, mode="edge"), width)
    return np.asarray(np.median(windows, axis=-1))


def _longest(moving: NDArray[np.bool_], times: Array, measure: Array) -> Interval | None:
    """Longest run of steps that move one way, as (start, end) in s; how long is read off `measure`."""
    edges = np.diff(np.concatenate([[False], moving, [False]]).astype(np.int8))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    if not len(starts):
        return None
    longest = int(np.argmax(np.abs(measure[ends] - measure[starts])))
    return float(times[starts[longest]]), float(times[ends[longest]])
