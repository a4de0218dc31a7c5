"""Eulerian magnification of small motions in a video.

Source: Wu et al. 2012, "Eulerian video magnification for revealing subtle changes in the world" (v): what varies
within a band of frequencies is amplified pixel by pixel. Our choice: one spatial scale, a Gaussian blur, in place of a
pyramid.
"""

from __future__ import annotations

from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import irfft, rfft, rfftfreq
from scipy.signal import butter, sosfiltfilt

__all__ = ["BANDS", "Band", "magnified", "within_band"]

Band = Literal["butterworth", "ideal"]
BANDS: tuple[str, ...] = get_args(Band)
_ORDER = 2
_BLUR = 2.0


def within_band(values: ArrayLike, rate: float, limits: tuple[float, float], band: Band) -> NDArray[np.float64]:
    """What of a course lies between two frequencies.

    Parameters
    ----------
    values : (T, ...) array
        At even times.
    rate : float
        Samples a second.
    limits : (float, float)
        Hz; the upper one counts as just below half the rate where it is above.
    band : {"butterworth", "ideal"}
        Of the second order, forwards and backwards; or all of the frequencies inside and none outside.

    Returns
    -------
    (T, ...) array
        Zeros where fewer than three samples, or half the rate below the lower limit, leave nothing.
    """
    series = np.asarray(values, np.float64)
    low, high = limits[0], min(limits[1], 0.495 * rate)
    if len(series) < 3 or low >= high:
        return np.zeros_like(series)
    series = series - series.mean(0)
    if band == "ideal":
        at = rfftfreq(len(series), 1 / rate)
        inside = ((at >= low) & (at <= high)).reshape(-1, *[1] * (series.ndim - 1))
        return np.asarray(irfft(rfft(series, axis=0) * inside, len(series), axis=0))
    sections = butter(_ORDER, (low, high), "bandpass", fs=rate, output="sos")
    beyond = min(int(rate / low), len(series) - 1)
    return np.asarray(sosfiltfilt(sections, series, axis=0, padlen=beyond))


def magnified(
    frames: NDArray[np.uint8], rate: float, factor: float, limits: tuple[float, float], band: Band
) -> NDArray[np.uint8]:
    """Grey frames (T, H, W) to whose pixels `factor` times what varies within a band is added; see `within_band`."""
    blurred = np.stack([cv2.GaussianBlur(frame, (0, 0), _BLUR) for frame in frames.astype(np.float32)])
    louder = frames + factor * within_band(blurred, rate, limits, band)
    return np.rint(louder.clip(0, 255)).astype(np.uint8)
