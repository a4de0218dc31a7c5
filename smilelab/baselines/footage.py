"""Face crops as methods on textures and motion take them: grey, of one size, at even times."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from smilelab.baselines.clip_samples import FeatureError, View

__all__ = ["EYES", "LIPS", "at_times", "crop_points", "even_times", "grey", "thinned"]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Image = NDArray[np.uint8]

# dlib's points of the subject's right eye, left eye and mouth.
EYES = (tuple(range(36, 42)), tuple(range(42, 48)))
LIPS = tuple(range(48, 68))


def grey(frames: Image, size: int) -> Image:
    """Grey crops (T, size, size) uint8 of RGB crops (T, S, S, 3), averaged where they shrink."""
    found = np.empty((len(frames), size, size), np.uint8)
    for number, frame in enumerate(frames):
        plain = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
        if plain.shape != (size, size):
            how = cv2.INTER_AREA if len(plain) > size else cv2.INTER_LINEAR
            plain = cv2.resize(plain, (size, size), interpolation=how)
        found[number] = plain
    return found


def crop_points(view: View, size: int) -> Floats:
    """Landmarks (T, 68, 2) in px of crops of side `size`, interpolated over frames without a face.

    Raises
    ------
    FeatureError
        No frame has a face.
    """
    points = (view.crop_landmarks + 0.5) * (size / view.frames.shape[1]) - 0.5
    seen = np.isfinite(points).all((1, 2))
    if not seen.any():
        raise FeatureError(f"{view.clip_id}: none of {len(points)} frames has landmarks; expected one at least.")
    return points if seen.all() else np.asarray(at_times(points[seen], view.times[seen], view.times), np.float64)


def even_times(times: ArrayLike, count: int) -> Floats:
    """`count` times (s), evenly spaced from the first of `times` to the last."""
    at = np.asarray(times, np.float64)
    return np.linspace(at[0], at[-1], count)


def at_times(values: ArrayLike, times: ArrayLike, wanted: ArrayLike) -> Singles:
    """Values (K, ...) float32 at wanted times (K,), by linear interpolation between those (T, ...) at `times` (T,)."""
    series, at, to = np.asarray(values), np.asarray(times, np.float64), np.asarray(wanted, np.float64)
    place = np.interp(to, at, np.arange(len(at)))
    first = np.minimum(place.astype(np.int64), max(len(at) - 2, 0))
    second = np.minimum(first + 1, len(at) - 1)
    share = (place - first).astype(np.float32).reshape(-1, *[1] * (series.ndim - 1))
    before = series[first].astype(np.float32)
    return before + share * (series[second].astype(np.float32) - before)


def thinned(times: ArrayLike, rate: float) -> NDArray[np.int64]:
    """Numbers of the frames nearest to a grid of `rate` a second, each once; all frames where there are fewer."""
    at = np.asarray(times, np.float64)
    grid = np.arange(at[0], at[-1] + 0.5 / rate, 1 / rate)
    nearest = np.rint(np.interp(grid, at, np.arange(len(at)))).astype(np.int64)
    return np.unique(nearest)
