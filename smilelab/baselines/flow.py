"""Dense optical flow of face crops, and stacks of it as a temporal stream takes them.

Source: stacks of flow with the mean of each field subtracted are Simonyan & Zisserman 2014 ("Two-stream convolutional
networks for action recognition in videos"), the temporal stream that Lee & Lee 2020 name in section 4.1. That the flow
is Farneback's, and all its settings, is our choice.
"""

from __future__ import annotations

import itertools

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["CODES", "clip_flow", "farneback", "side_speeds", "stack_starts"]

# Quantised flow lies between -CODES and CODES.
CODES = 127

# One pyramid level: at 56 px OpenCV builds no second one, and between two frames a face hardly moves by a pixel.
_PYRAMID_SCALE, _LEVELS, _WINDOW, _ITERATIONS, _NEIGHBOURHOOD, _SIGMA, _FLAGS = 0.5, 1, 9, 3, 5, 1.1, 0


def farneback(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How far each pixel moves from one frame to the next.

    Parameters
    ----------
    first, second : (H, W) uint8 arrays
        Grey.

    Returns
    -------
    (2, H, W) float32 array
        Along x (rightwards), then along y (downwards), px.
    """
    field = np.empty((*first.shape, 2), np.float32)
    cv2.calcOpticalFlowFarneback(
        first, second, field, _PYRAMID_SCALE, _LEVELS, _WINDOW, _ITERATIONS, _NEIGHBOURHOOD, _SIGMA, _FLAGS
    )
    moved: NDArray[np.float32] = field.transpose(2, 0, 1)
    return moved


def clip_flow(frames: NDArray[np.uint8], *, size: int, limit: float) -> NDArray[np.int8]:
    """Flow between all consecutive frames of a clip, without the motion that the whole picture shares.

    Parameters
    ----------
    frames : (T, S, S, 3) uint8 array
        RGB.
    size : int
        Pixels a side at which the flow is computed.
    limit : float
        Flow in px (of `size`) that the largest code stands for; what is beyond is clipped.

    Returns
    -------
    (T - 1, 2, size, size) int8 array
        x and y in steps of limit / 127 px, the mean of each field and axis subtracted before clipping.
    """
    fields = np.empty((max(len(frames) - 1, 0), 2, size, size), np.int8)
    greys = [_grey(frame, size) for frame in frames]
    for number, (before, after) in enumerate(itertools.pairwise(greys)):
        moved = farneback(before, after)
        moved -= moved.mean((1, 2), keepdims=True)
        fields[number] = np.rint(np.clip(moved * (CODES / limit), -CODES, CODES))
    return fields


def stack_starts(fields: int, length: int) -> NDArray[np.int64]:
    """Where the stacks of a sample begin: as few as cover all its flow fields, evenly spaced, overlapping if need be.

    Parameters
    ----------
    fields : int
        Flow fields of the sample, one less than its frames.
    length : int
        Flow fields in a stack, at most `fields`.

    Returns
    -------
    (ceil(fields / length),) int64 array
    """
    count = -(-fields // length)
    return np.rint(np.linspace(0, fields - length, count)).astype(np.int64)


def side_speeds(fields: NDArray[np.int8]) -> NDArray[np.float64]:
    """How fast each half of a face moves.

    Parameters
    ----------
    fields : (F, 2, H, W) int8 array
        From `clip_flow`, at least one.

    Returns
    -------
    (2,) array
        Mean length of the flow over both halves of the picture, as a share of the clipping limit, and the difference
        of the two over their sum: positive where the subject's left (the picture's right) half moves more, 0 where
        nothing moves.
    """
    length = np.hypot(*np.moveaxis(fields.astype(np.float32) / CODES, 1, 0)).mean((0, 1))
    half = len(length) // 2
    right, left = float(length[:half].mean()), float(length[-half:].mean())
    both = right + left
    return np.array([both / 2, (left - right) / both if both > 0 else 0.0])


def _grey(frame: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    grey = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
    if grey.shape != (size, size):
        grey = cv2.resize(grey, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.uint8)
