"""Amplitudes of lip corners, eyelids and cheeks over time, from dlib's landmarks, and the phases of the smile."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smilelab.baselines.clip_samples import FeatureError, View
from smilelab.signals import LIP_CORNERS, Phases, face_coordinates, phases, smooth_4253h_twice

__all__ = [
    "EYES",
    "RATE",
    "SIGNALS",
    "LandmarkSignals",
    "LongestIn",
    "amplitudes",
    "at_steady_rate",
    "checked",
    "known_landmarks",
    "signals_of",
    "smoothed",
]

Array = NDArray[np.float64]
LongestIn = Literal["time", "signal"]

SIGNALS = ("lips", "eyelids", "cheeks")
# Samples a second of all signals, whatever the video's: medians over samples, and speeds of a jittering landmark, would
# otherwise depend on the camera.
RATE = 25.0
# Of each eye its outer corner, upper lid and inner corner, on the subject's right and left; the lid is the middle of
# two points.
EYES = ((36, (37, 38), 39), (45, (43, 44), 42))
# dlib has no points on the cheeks: these lie midway between the jaw and the side of the nose.
_CHEEKS = ((2, 31), (14, 35))


class LandmarkSignals(NamedTuple):
    """A clip's landmarks and signals, `RATE` samples a second.

    Attributes
    ----------
    times : (n,) array
        s.
    pixels : (n, 68, 2) array
        dlib's points, px of the video.
    points : (n, 68, 2) array
        In face coordinates (`smilelab.signals.face_coordinates`).
    sides : (3, 2, n) array
        Smoothed amplitudes: of each of `SIGNALS` on the subject's right and left.
    phases : Phases
        Of the smile, found on the lip corners.
    """

    times: Array
    pixels: Array
    points: Array
    sides: Array
    phases: Phases


def signals_of(view: View, longest_in: LongestIn = "time") -> LandmarkSignals:
    """Signals of a clip.

    Parameters
    ----------
    view : View
    longest_in : {"time", "signal"}
        See `smilelab.signals.phases`.

    Returns
    -------
    LandmarkSignals

    Raises
    ------
    FeatureError
        A store of traces, or a clip without landmarks.

    Source: Dibeklioglu et al. 2012 and 2015: amplitudes, and phases on those of the lip corners (verified). Our choice:
    the head's pose is taken out in the plane of the picture, the smoothing (4253H, twice), and the rate.
    """
    times, pixels = at_steady_rate(view.times, known_landmarks(view))
    points = face_coordinates(pixels)
    raw = amplitudes(points)
    return LandmarkSignals(times, pixels, points, smoothed(raw), phases(raw[0].mean(0), times, longest_in=longest_in))


def start_and_top(clip: LandmarkSignals) -> tuple[int, int]:
    """Sample at which the smile begins to rise, and that of the widest smile from there on.

    A clip without an onset is taken from its first sample.
    """
    start = int(np.searchsorted(clip.times, clip.phases.onset[0])) if clip.phases.onset else 0
    return start, start + int(np.argmax(clip.sides[SIGNALS.index("lips")].mean(0)[start:]))


def checked(longest_in: LongestIn) -> LongestIn:
    """An option of methods that find phases, refused with a ValueError where it is neither "time" nor "signal"."""
    if longest_in not in get_args(LongestIn):
        raise ValueError(f"longest_in is {longest_in!r}; expected one of {', '.join(get_args(LongestIn))}")
    return longest_in


def known_landmarks(view: View) -> Array:
    """Landmarks (T, 68, 2) of a clip, px of the video, interpolated over time where there are none.

    Raises
    ------
    FeatureError
        A store of traces, or no frame with landmarks.
    """
    if not view.store.has_frames:
        raise FeatureError(
            f"{view.store.path.name}: holds traces of action units, expected landmarks; preprocess the videos of this "
            "database, or choose a method that works on traces."
        )
    points = view.landmarks
    seen = np.isfinite(points).all((-2, -1))
    if not seen.any():
        raise FeatureError(f"{view.clip_id}: none of {len(points)} frames has landmarks; expected one at least.")
    return points if seen.all() else _interpolated(view.times[seen], points[seen], view.times)


def at_steady_rate(times: ArrayLike, values: ArrayLike, rate: float = RATE) -> tuple[Array, Array]:
    """Interpolate samples linearly at evenly spaced times, from the first sample to the last.

    Parameters
    ----------
    times : (T,) array
        s, increasing.
    values : (T, ...) array
        Finite.
    rate : float
        Samples a second.

    Returns
    -------
    times (n,), values (n, ...)
    """
    at, known = np.asarray(times, np.float64), np.asarray(values, np.float64)
    # A clip of whole steps keeps its last sample whatever the rounding.
    count = int(np.floor((at[-1] - at[0]) * rate + 1e-6)) + 1
    even = np.minimum(at[0] + np.arange(count) / rate, at[-1])
    return even, _interpolated(at, known, even)


def amplitudes(points: ArrayLike) -> Array:
    """How far lip corners, eyelids and cheeks have moved, on either side of the face.

    Parameters
    ----------
    points : (T, 68, 2) array
        Landmarks in face coordinates (`smilelab.signals.face_coordinates`), finite.

    Returns
    -------
    (3, 2, T) array
        Signal, side (the subject's right, then left), frame. Lip corners and cheeks: distance from the middle between
        both in the first frame, over their distance in it. Eyelids: distance of the upper lid from the middle between
        the eye's corners, negative where the lid is below, over the width of the right eye.

    Source: Dibeklioglu et al. 2012 and 2015, whose D is the mean over both sides (verified). The places of the cheeks
    are our choice.
    """
    face = np.asarray(points, np.float64)
    right_outer, _, right_inner = EYES[0]
    width = np.linalg.norm(face[:, right_outer] - face[:, right_inner], axis=-1)
    lids = []
    for outer, lid, inner in EYES:
        away = face[:, lid, :].mean(1) - (face[:, outer] + face[:, inner]) / 2
        # y runs downwards.
        lids.append(-np.sign(away[:, 1]) * np.linalg.norm(away, axis=-1) / width)
    cheeks = np.stack([face[:, pair, :].mean(1) for pair in _CHEEKS], 1)
    return np.stack([_from_the_middle(face[:, LIP_CORNERS, :]), np.stack(lids), _from_the_middle(cheeks)])


def smoothed(sides: ArrayLike) -> Array:
    """Smooth each signal of an array (..., T) over its last axis by 4253H, twice."""
    return np.apply_along_axis(smooth_4253h_twice, -1, np.asarray(sides, np.float64))


def _from_the_middle(pair: Array) -> Array:
    """Distances (2, T) of a pair of points (T, 2, 2) from its first middle, over its first distance."""
    first = pair[0]
    return np.asarray(np.linalg.norm(pair - first.mean(0), axis=-1).T / np.linalg.norm(first[0] - first[1]))


def _interpolated(times: Array, values: Array, wanted: Array) -> Array:
    columns = values.reshape(len(values), -1)
    found = np.stack([np.interp(wanted, times, column) for column in columns.T], 1)
    return found.reshape(len(wanted), *values.shape[1:])
