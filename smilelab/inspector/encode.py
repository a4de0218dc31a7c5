"""Small pictures as bytes for the widget."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["enlarged_png", "placeholder_jpeg", "strip_png"]

_GREY = 200
_GAP = 2


def enlarged_png(picture: NDArray[np.uint8], least: int = 240) -> bytes:
    """Encode a small picture (S, S, 3), each pixel enlarged to a square so that the side is `least` px at least."""
    factor = max(-(-least // picture.shape[0]), 1)
    return _encoded(".png", picture.repeat(factor, 0).repeat(factor, 1))


def strip_png(frames: NDArray[np.uint8], count: int) -> bytes:
    """Encode `count` of the frames (K, S, S, 3), evenly spread, side by side; all where there are fewer."""
    chosen = frames[np.unique(np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int))]
    side = chosen.shape[1]
    gap = np.full((side, _GAP, 3), 255, np.uint8)
    parts = [part for frame in chosen for part in (np.asarray(frame), gap)][:-1]
    return _encoded(".png", np.concatenate(parts, 1).repeat(max(96 // side, 1), 0).repeat(max(96 // side, 1), 1))


def placeholder_jpeg(width: int = 640, height: int = 360) -> bytes:
    """Grey picture for a frame that cannot be shown."""
    return _encoded(".jpg", np.full((height, width, 3), _GREY, np.uint8))


def _encoded(suffix: str, picture: NDArray[np.uint8]) -> bytes:
    done, encoded = cv2.imencode(suffix, np.ascontiguousarray(picture[:, :, ::-1]))
    assert done
    return bytes(encoded)
