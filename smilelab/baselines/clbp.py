"""Completed local binary patterns of a volume of frames, on three orthogonal planes (CLBP-TOP).

Source: signs, magnitudes and centre are Guo, Zhang & Zhang 2010, "A completed modeling of local binary pattern operator
for texture classification" (v); the three planes are Zhao & Pietikäinen 2007, "Dynamic texture recognition using local
binary patterns with an application to facial expressions" (v). Our choice: beyond the volume its border is repeated, so
that every voxel has codes; differences are told to 1/64 of a grey level, so that even areas have no sign by chance;
thresholds are means over the whole volume, for magnitudes one a plane and radius.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["CODES", "NEIGHBOURS", "PLANES", "Codes", "bright", "codes", "joint", "shares"]

# Rows and columns of each plane in a volume (T, H, W).
PLANES = {"XY": (1, 2), "XT": (0, 2), "YT": (0, 1)}
NEIGHBOURS = 8
# Rotation-invariant uniform patterns: the number of ones of a uniform pattern, and one code for all others.
CODES = NEIGHBOURS + 2

_STEPS = 64
_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
_CHANGES = (np.roll(_BITS, 1, axis=1) != _BITS).sum(1)
_UNIFORM = np.where(_CHANGES <= 2, _BITS.sum(1), CODES - 1).astype(np.uint8)


class Codes(NamedTuple):
    """Codes 0 to `CODES` - 1 of every voxel, uint8 (T, H, W): of the signs of differences, and of their sizes."""

    signs: NDArray[np.uint8]
    magnitudes: NDArray[np.uint8]


def codes(volume: NDArray[np.floating] | NDArray[np.uint8], plane: str, radius: int) -> Codes:
    """Rotation-invariant uniform codes of eight neighbours on a circle, in one plane of a volume.

    Parameters
    ----------
    volume : (T, H, W) array
        Grey frames, 0 to 255.
    plane : {"XY", "XT", "YT"}
    radius : int
        Of the circle, px and frames; neighbours between pixels are interpolated bilinearly.

    Returns
    -------
    Codes
        A sign is set where a neighbour is no darker than the centre, a magnitude where it differs by no less than
        neighbours do on average.
    """
    rows, columns = PLANES[plane]
    reach = [radius if axis in (rows, columns) else 0 for axis in range(3)]
    grey = np.pad(np.asarray(volume, np.float32), [(r, r) for r in reach], mode="edge")
    shape = np.shape(volume)

    def shifted(down: int, right: int) -> NDArray[np.float32]:
        start = list(reach)
        start[rows] += down
        start[columns] += right
        return grey[tuple(slice(s, s + length) for s, length in zip(start, shape, strict=True))]

    centre = shifted(0, 0)
    apart = np.empty((NEIGHBOURS, *shape), np.int16)
    for number in range(NEIGHBOURS):
        angle = 2 * np.pi * number / NEIGHBOURS
        down, right = -radius * np.sin(angle), radius * np.cos(angle)
        apart[number] = np.rint((_between(shifted, down, right) - centre) * _STEPS)
    signs = np.zeros(shape, np.uint8)
    magnitudes = np.zeros(shape, np.uint8)
    for number in range(NEIGHBOURS):
        signs |= (apart[number] >= 0).astype(np.uint8) << number
    np.abs(apart, out=apart)
    threshold = apart.mean(dtype=np.float64)
    for number in range(NEIGHBOURS):
        magnitudes |= (apart[number] >= threshold).astype(np.uint8) << number
    return Codes(_UNIFORM[signs], _UNIFORM[magnitudes])


def bright(volume: NDArray[np.floating] | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Code of the centre, uint8 (T, H, W): 1 where a voxel is no darker than the mean of the volume."""
    grey = np.asarray(volume, np.float32)
    return (grey >= grey.mean(dtype=np.float64)).astype(np.uint8)


def joint(found: Codes, centre: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Joint code CLBP_S/M/C of every voxel: 200 of them."""
    return (found.signs * np.uint8(CODES) + found.magnitudes) * np.uint8(2) + centre


def shares(codes: NDArray[np.uint8], count: int) -> NDArray[np.float64]:
    """Histogram (count,) of codes, with a sum of 1; zeros where there are none."""
    found = np.bincount(codes.ravel(), minlength=count)
    return found / max(found.sum(), 1)


def _between(shifted, down: float, right: float) -> NDArray[np.float32]:  # type: ignore[no-untyped-def]
    """Volume shifted by a part of a pixel."""
    # Sines of whole turns are not quite whole numbers.
    down, right = round(down, 5), round(right, 5)
    low, left = int(np.floor(down)), int(np.floor(right))
    below, beside = np.float32(down - low), np.float32(right - left)
    if not below and not beside:
        return shifted(low, left)
    upper = shifted(low, left) * (1 - beside) + shifted(low, left + 1) * beside
    lower = shifted(low + 1, left) * (1 - beside) + shifted(low + 1, left + 1) * beside
    return upper * (1 - below) + lower * below
