"""Geometry of face crops: the smooth box from landmarks, and resampling a face to a square picture.

Coordinates are pixels with pixel centres at integers, x to the right and y down. A box is (left, top, right, bottom).
The side of a face's box is that of dlib's detector, so crops are as wide as those that other work cuts with dlib.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Image = NDArray[np.uint8]
Kind = Literal["box", "chip", "outline"]
KINDS: tuple[str, ...] = get_args(Kind)

# Nose and eye corners: the landmarks that smiling, speaking and blinking move least. Our choice.
_RIGID = (*range(27, 36), 36, 39, 42, 45)
_RIGHT_EYE, _LEFT_EYE = (36, 39), (42, 45)
# Box side and centre below the rigid points' centroid, in units of their root-mean-square spread: what dlib's predictor
# answers on a blank image, which is its mean face in the detector's box (side 5.635, centre 0.166).
_SIDE, _DROP = 5.6, 0.2
KERNEL_REACH = 4.0  # standard deviations
_OUTLINE_MARGIN = 1.25
_FOREHEAD = 0.6


def face_pose(landmarks: NDArray[np.floating]) -> Array:
    """Place, size and roll of faces from the landmarks that expressions move least.

    Parameters
    ----------
    landmarks : (..., 68, 2) array
        dlib's 68 points, px.

    Returns
    -------
    (..., 4) array
        Box centre x and y, px; natural logarithm of the box's side in px; roll of the line through the eyes, rad,
        positive clockwise on screen.
    """
    points = np.asarray(landmarks, np.float64)
    rigid = points[..., _RIGID, :]
    centroid = rigid.mean(-2)
    spread = np.sqrt(((rigid - centroid[..., None, :]) ** 2).sum(-1).mean(-1))
    across = points[..., _LEFT_EYE, :].mean(-2) - points[..., _RIGHT_EYE, :].mean(-2)
    roll = np.arctan2(across[..., 1], across[..., 0])
    down = np.stack([-np.sin(roll), np.cos(roll)], -1)
    centre = centroid + _DROP * spread[..., None] * down
    side = np.log(np.maximum(_SIDE * spread, 1.0))
    return np.concatenate([centre, side[..., None], roll[..., None]], -1)


def pose_box(pose: NDArray[np.floating]) -> Array:
    """Square box (..., 4) px of a pose (..., 4) from `face_pose`."""
    pose = np.asarray(pose, np.float64)
    half = np.exp(pose[..., 2:3]) / 2
    return np.concatenate([pose[..., :2] - half, pose[..., :2] + half], -1)


def iou(first: NDArray[np.floating], second: NDArray[np.floating]) -> Array:
    """Intersection over union of boxes.

    Parameters
    ----------
    first, second : (..., 4) arrays
        Boxes, px.

    Returns
    -------
    (...) array
        Between 0 and 1.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    overlap = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    shared = overlap.clip(0).prod(-1)
    union = (first[..., 2:] - first[..., :2]).prod(-1) + (second[..., 2:] - second[..., :2]).prod(-1) - shared
    result: Array = shared / np.maximum(union, 1e-9)
    return result


def smooth(times: NDArray[np.floating], values: NDArray[np.floating], sigma_s: float) -> Array:
    """Smooth signals over time by local linear regression with a Gaussian kernel of finite support.

    Linear, so that a steady movement is followed without lag, up to both ends; by time, so that the result does not
    depend on the frame rate being constant.

    Parameters
    ----------
    times : (T,) array
        Seconds, not decreasing.
    values : (T, K) array
        Signals.
    sigma_s : float
        Standard deviation of the kernel, s; frames beyond 4 of it have no influence.

    Returns
    -------
    (T, K) array

    Source: our choice; Fan & Gijbels 1996, Local Polynomial Modelling, for the estimator.
    """
    times, values = np.asarray(times, np.float64), np.asarray(values, np.float64)
    result = np.empty_like(values)
    reach = KERNEL_REACH * sigma_s
    for index, now in enumerate(times):
        near = slice(np.searchsorted(times, now - reach, "left"), np.searchsorted(times, now + reach, "right"))
        lag = times[near] - now
        weight = np.exp(-0.5 * (lag / sigma_s) ** 2)
        total, first, second = weight.sum(), (weight * lag).sum(), (weight * lag**2).sum()
        spread = total * second - first**2
        if spread > 1e-12 * total**2:
            weight = weight * (second - first * lag) / spread
        else:
            weight = weight / total
        result[index] = weight @ values[near]
    return result


def crop(
    image: Image,
    box: NDArray[np.floating],
    size: int,
    *,
    kind: Kind = "box",
    roll: float = 0.0,
    landmarks: NDArray[np.floating] | None = None,
) -> Image:
    """Cut a face out of a frame as a square picture.

    Boxes need not lie on whole pixels: the picture is resampled, so a box that moves by a fraction moves the picture by
    that fraction. Where the box reaches beyond the frame, the frame's border pixels are repeated.

    Parameters
    ----------
    image : (H, W, 3) or (H, W) uint8 array
        The frame.
    box : (4,) array
        The face's box, px.
    size : int
        Side of the picture, px.
    kind : {"box", "chip", "outline"}
        ``box`` cuts the box upright. ``chip`` turns it by `roll`, so that the eyes are level: a similarity alignment.
        ``outline`` is a chip 1.25 times as wide in which all outside the face's outline is black; the outline is the
        hull of the landmarks and of a forehead above the brows.
    roll : float
        Roll of the face, rad, for ``chip`` and ``outline``.
    landmarks : (68, 2) array, optional
        Needed for ``outline``.

    Returns
    -------
    (size, size, 3) or (size, size) uint8 array

    Raises
    ------
    ValueError
        If `kind` is unknown, or ``outline`` comes without landmarks.

    Source: ``outline`` follows Lee & Lee 2020, section 3.2.2 (facial region segmentation); the forehead's height of 0.6
    of the nose's length and the margin are our choice. ``box``: Yang et al. 2020, "Implementation details".
    """
    if kind not in KINDS:
        raise ValueError(f"crop kind is {kind!r}; expected one of {', '.join(KINDS)}")
    if kind == "box":
        return resample(image, _source_map(box, size, 0.0, 1.0), size)
    if kind == "chip":
        return resample(image, _source_map(box, size, roll, 1.0), size)
    if landmarks is None:
        raise ValueError("crop kind is 'outline' but there are no landmarks; expected a (68, 2) array")
    to_source = _source_map(box, size, roll, _OUTLINE_MARGIN)
    face = resample(image, to_source, size)
    mask = _outline_mask(face_outline(landmarks), to_source, size)
    if face.ndim == 3:
        mask = mask[..., None]
    return ((face.astype(np.uint16) * mask + 127) // 255).astype(np.uint8)


def in_picture(
    points: NDArray[np.floating],
    boxes: NDArray[np.floating],
    size: int,
    *,
    kind: Kind,
    rolls: NDArray[np.floating],
) -> Array:
    """Where points of frames lie in the pictures that `crop` cuts out of them.

    Parameters
    ----------
    points : (T, P, 2) array
        Px of the frames.
    boxes : (T, 4) array
        The faces' boxes, px.
    size : int
        Side of the pictures, px.
    kind : {"box", "chip", "outline"}
        As in `crop`.
    rolls : (T,) array
        Rolls of the faces, rad; of no influence on ``box``.

    Returns
    -------
    (T, P, 2) float64 array
        Px of the pictures, pixel centres at integers; outside of [0, size) where a point was cut off.
    """
    margin = _OUTLINE_MARGIN if kind == "outline" else 1.0
    found = np.empty(np.shape(points), np.float64)
    for index, (some, box, roll) in enumerate(zip(points, boxes, rolls, strict=True)):
        to_source = _source_map(box, size, 0.0 if kind == "box" else float(roll), margin)
        found[index] = np.linalg.solve(to_source[:, :2], (some - to_source[:, 2]).T).T - 0.5
    return found


def face_outline(landmarks: NDArray[np.floating]) -> Array:
    """Convex outline of a face: its landmarks, and the brows raised to a forehead.

    Parameters
    ----------
    landmarks : (68, 2) array
        dlib's 68 points, px.

    Returns
    -------
    (P, 2) array
        Corners of the convex hull, px.
    """
    points = np.asarray(landmarks, np.float64)
    up = points[27] - points[33]
    # Lower at the temples than in the middle, as hairlines are.
    arch = 0.4 + 0.6 * np.sin(np.pi * np.arange(0.5, 10) / 10)
    forehead = points[17:27] + _FOREHEAD * arch[:, None] * up
    hull = cv2.convexHull(np.concatenate([points, forehead]).astype(np.float32))
    return np.asarray(hull[:, 0], np.float64)


def resample(image: Image, to_source: Array, size: int) -> Image:
    """Resample a square picture out of a frame, averaging where it shrinks; border pixels are repeated.

    Parameters
    ----------
    image : (H, W, 3) or (H, W) uint8 array
        The frame.
    to_source : (2, 3) array
        Affine map from coordinates in the picture, where pixel (i, j) covers [i, i + 1) x [j, j + 1), to frame px.
    size : int
        Side of the picture, px.

    Returns
    -------
    (size, size, 3) or (size, size) uint8 array
    """
    step = math.hypot(to_source[0, 0], to_source[1, 0])
    fold = max(1, math.ceil(step - 1e-3))
    fine = np.array(to_source, np.float64)
    fine[:, 2] += to_source[:, :2] @ np.full(2, 0.5 / fold)
    fine[:, :2] /= fold
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    picture = cv2.warpAffine(image, fine, (size * fold, size * fold), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    if fold > 1:
        picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(picture, np.uint8)


def _source_map(box: NDArray[np.floating], size: int, roll: float, margin: float) -> Array:
    left, top, right, bottom = np.asarray(box, np.float64)
    scale = margin * np.array([right - left, bottom - top]) / size
    cos, sin = math.cos(roll), math.sin(roll)
    linear = np.array([[cos, -sin], [sin, cos]]) * scale
    centre = np.array([left + right, top + bottom]) / 2
    return np.column_stack([linear, centre - linear @ np.full(2, size / 2)])


def _outline_mask(outline: Array, to_source: Array, size: int) -> Image:
    fold, bits = 4, 4
    inside = np.linalg.solve(to_source[:, :2], (outline - to_source[:, 2]).T).T
    corners = np.round((inside * fold - 0.5) * 2**bits).astype(np.int32)
    fine = np.zeros((size * fold, size * fold), np.uint8)
    cv2.fillConvexPoly(fine, corners, 255, shift=bits)
    return np.asarray(cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
