"""Facial geometry over time, and its asymmetry: the left half of a face against the right one, from dlib's landmarks.

Lee & Lee 2020, section 4.1, say of the method only that it takes "facial spatial and facial asymmetry information";
which measures and statistics those are is our choice.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smilelab.signals import face_coordinates

__all__ = ["ASYMMETRY", "BOTH_SIDES", "MIDLINE", "SIGNED", "SPATIAL", "Geometry", "features", "geometry"]

Array = NDArray[np.float64]

BOTH_SIDES = ("lip corner out", "lip corner up", "lip corner angle", "eye aperture", "brow height", "eye to lip corner")
MIDLINE = ("mouth opening", "lips' height")
SIGNED = ("mean", "slope", "lead")
_UNSIGNED = ("mean size", "variation")
_COURSE = ("mean", "variation", "slope", "fastest rise", "fastest fall")

# Names of the columns that `features` gives, in their order: first the spatial ones, then the asymmetry.
SPATIAL = tuple(f"{measure}, {what}" for what in _COURSE for measure in (*BOTH_SIDES, *MIDLINE))
ASYMMETRY = tuple(f"{measure}, asymmetry: {what}" for what in (*SIGNED, *_UNSIGNED) for measure in BOTH_SIDES)

# dlib's points on the subject's right and left; a mirrored face exchanges them one for one.
_LIP_CORNER = (48, 54)
_EYE_OUTER = (36, 45)
_BROW = ((17, 18, 19, 20, 21), (26, 25, 24, 23, 22))
_UPPER_LID = ((37, 38), (44, 43))
_LOWER_LID = ((41, 40), (46, 47))
_NOSE_BASE, _UPPER_LIP, _LOWER_LIP, _INNER_LIPS = 33, 51, 57, (62, 66)

# Speed is measured over so long, s: four frames at 30 a second, which is above the jitter of landmarks.
_REACH_S = 2 / 15
# Speeds are no more certain than this, measure's units a second: a face at rest has no side that leads.
_STILL = 0.05


class Geometry(NamedTuple):
    """Measures of a face, frame by frame, in distances between the eye centres (angles in rad).

    Attributes
    ----------
    shared : (T, 8) array
        Means of both sides for each of `BOTH_SIDES`, then `MIDLINE`.
    difference : (T, 6) array
        The subject's left side less the right one, for each of `BOTH_SIDES`.
    """

    shared: Array
    difference: Array


def geometry(landmarks: ArrayLike) -> Geometry:
    """Measure a face frame by frame.

    Parameters
    ----------
    landmarks : (T, 68, 2) array
        dlib's points, px. In frames where one is NaN the measures are interpolated over frames.

    Returns
    -------
    Geometry

    Raises
    ------
    ValueError
        If no frame has all landmarks.
    """
    points = face_coordinates(landmarks)
    seen: NDArray[np.bool_] = np.asarray(np.isfinite(points).all((-2, -1)))
    if not seen.any():
        raise ValueError(f"none of {len(points)} frames has all landmarks; expected at least one")
    sides = np.stack([_side(points[seen], side) for side in (0, 1)])
    opening = points[seen][:, _INNER_LIPS[1], 1] - points[seen][:, _INNER_LIPS[0], 1]
    height = points[seen][:, _LOWER_LIP, 1] - points[seen][:, _UPPER_LIP, 1]
    shared = np.column_stack([sides.mean(0), opening, height])
    return Geometry(_over_frames(shared, seen), _over_frames(sides[1] - sides[0], seen))


def features(measured: Geometry, times: ArrayLike) -> Array:
    """Statistics of a stretch of frames, of its own frames alone.

    Parameters
    ----------
    measured : Geometry
        Of T frames, at least two.
    times : (T,) array
        s, increasing.

    Returns
    -------
    (len(SPATIAL) + len(ASYMMETRY),) array
        In the order of those names. ``variation`` is the standard deviation, ``slope`` (a second) that of the
        least-squares line, ``fastest`` a speed (a second). Of the asymmetry, ``mean``, ``slope`` and ``lead`` change
        sign when the face is mirrored: positive is more, or sooner, on the subject's left. ``lead`` is by how many
        seconds the left side is ahead: the coefficient of the speed of both sides in the regression of their
        difference on it, drawn towards 0 where no speed changes. ``mean size`` is the mean absolute difference.
    """
    at = np.asarray(times, np.float64)
    shared, difference = measured
    lag = min(max(round(_REACH_S / float(np.median(np.diff(at)))), 1), len(at) - 1)
    speed = (shared[lag:] - shared[:-lag]) / (at[lag:] - at[:-lag])[:, None]
    between = difference[lag // 2 : lag // 2 + len(speed)]
    changing = speed[:, : len(BOTH_SIDES)] - speed[:, : len(BOTH_SIDES)].mean(0)
    lead = (between * changing).sum(0) / ((changing**2).sum(0) + len(changing) * _STILL**2)
    spatial = [shared.mean(0), shared.std(0), _slope(shared, at), speed.max(0), speed.min(0)]
    asymmetry = [difference.mean(0), _slope(difference, at), lead, np.abs(difference).mean(0), difference.std(0)]
    return np.concatenate([*spatial, *asymmetry])


def _side(points: Array, side: int) -> Array:
    """(T, 6) measures of one side in face coordinates, the same for the mirrored other side."""
    corner, outer = points[:, _LIP_CORNER[side]], points[:, _EYE_OUTER[side]]
    outwards = (-1.0, 1.0)[side]
    out = outwards * (corner[:, 0] - points[:, _NOSE_BASE, 0])
    up = points[:, _NOSE_BASE, 1] - corner[:, 1]
    from_lip = corner - points[:, _UPPER_LIP]
    angle = np.arctan2(-from_lip[:, 1], outwards * from_lip[:, 0])
    aperture = (points[:, _LOWER_LID[side], 1] - points[:, _UPPER_LID[side], 1]).mean(1)
    # The eye centres lie at y = 0.
    brow = -points[:, _BROW[side], 1].mean(1)
    return np.column_stack([out, up, angle, aperture, brow, np.hypot(*(corner - outer).T)])


def _over_frames(values: Array, seen: NDArray[np.bool_]) -> Array:
    if seen.all():
        return values
    frames = np.arange(len(seen))
    return np.column_stack([np.interp(frames, frames[seen], column) for column in values.T])


def _slope(values: Array, at: Array) -> Array:
    centred = at - at.mean()
    return np.asarray(centred @ (values - values.mean(0)) / (centred**2).sum())
