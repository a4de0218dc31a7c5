"""Local phase quantisation (LPQ): signs of a picture's Fourier coefficients in a small window about each pixel.

Source: Ojansivu & Heikkilä 2008, "Blur insensitive texture classification using local phase quantization" (v): four
frequencies, eight signs, and decorrelation under pixels whose correlation falls with distance. Signs are told of
coefficients above -1/1000 of a grey level, so that even areas have none by chance (our choice).
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["CODES", "codes", "filters"]

CODES = 256
_CORRELATION = 0.9
_NONE = -1e-3
_APART = 1e-6  # by which the coefficients' weights differ
_NEARLY_LARGEST = 0.9


@cache
def filters(width: int, decorrelated: bool) -> NDArray[np.float64]:
    """Eight filters whose responses' signs are the code's bits, the first the lowest.

    Parameters
    ----------
    width : int
        Of the window, odd, px.
    decorrelated : bool
        Turn the eight coefficients so that they are uncorrelated, nearly to a millionth, where neighbouring pixels
        correlate by 0.9.

    Returns
    -------
    (8, width, width) array
        Without decorrelation: real parts at the frequencies (1, 0), (0, 1), (1, 1) and (1, -1) over `width` (x, y;
        cycles a pixel), then imaginary ones; for correlation with the picture, not convolution.
    """
    reach = np.arange(width) - width // 2
    x, y = np.meshgrid(reach, reach)
    waves = [np.exp(-2j * np.pi * (u * x + v * y) / width) for u, v in ((1, 0), (0, 1), (1, 1), (1, -1))]
    bank = np.array([*(wave.real for wave in waves), *(wave.imag for wave in waves)])
    if decorrelated:
        flat, places = bank.reshape(8, -1), np.column_stack([x.ravel(), y.ravel()])
        apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
        # The covariance has pairs of equal eigenvalues, within which any turn is as good and every processor gives
        # another: weights that differ by millionths leave one. So do signs, of the first part that is nearly largest.
        weights = 1 + _APART * np.arange(8)[::-1]
        covariance = flat @ _CORRELATION**apart @ flat.T
        _, vectors = np.linalg.eigh(weights[:, None] * covariance * weights)
        large = np.abs(vectors) >= _NEARLY_LARGEST * np.abs(vectors).max(0)
        vectors = vectors * np.sign(vectors[large.argmax(0), np.arange(8)])
        bank = (vectors.T @ flat).reshape(bank.shape)
    return bank


def codes(picture: NDArray[np.uint8], width: int = 7, *, decorrelated: bool = True) -> NDArray[np.uint8]:
    """Codes (H, W) of a grey picture (H, W), whose border is repeated; parameters as of `filters`."""
    grey = picture.astype(np.float32)
    found = np.zeros(picture.shape, np.uint8)
    for number, kernel in enumerate(filters(width, decorrelated)):
        response = cv2.filter2D(grey, cv2.CV_32F, kernel.astype(np.float32), borderType=cv2.BORDER_REPLICATE)
        found |= (response >= _NONE * width**2).astype(np.uint8) << number
    return found
