"""Landmarks of a face that is the same on both sides, and its mirror image."""

import numpy as np

# dlib's numbering: points on the subject's right, those opposite, and those in the middle.
RIGHT = [*range(8), *range(17, 22), 31, 32, *range(36, 40), 40, 41, 48, 49, 50, 58, 59, 60, 61, 67]
LEFT = [*range(16, 8, -1), *range(26, 21, -1), 35, 34, 45, 44, 43, 42, 47, 46, 54, 53, 52, 56, 55, 64, 63, 65]
MIDDLE = [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]
_PLACES = {
    **{k: (-1.1 + 0.12 * k, 0.05 + 0.19 * k) for k in range(8)},
    **{17 + k: (-0.85 + 0.14 * k, -0.25 - 0.06 * (k > 0) * (k < 4)) for k in range(5)},
    **{31: (-0.2, 0.72), 32: (-0.1, 0.76)},
    **{36: (-0.75, 0.0), 37: (-0.6, -0.1), 38: (-0.4, -0.1), 39: (-0.25, 0.0), 40: (-0.4, 0.08), 41: (-0.6, 0.08)},
    **{48: (-0.4, 1.1), 49: (-0.25, 1.04), 50: (-0.1, 1.0), 58: (-0.1, 1.24), 59: (-0.25, 1.2)},
    **{60: (-0.36, 1.1), 61: (-0.1, 1.07), 67: (-0.1, 1.13)},
    **{8: (0, 1.6), 27: (0, 0), 28: (0, 0.2), 29: (0, 0.4), 30: (0, 0.6), 33: (0, 0.78)},
    **{51: (0, 1.02), 57: (0, 1.25), 62: (0, 1.07), 66: (0, 1.14)},
}


def symmetric_face() -> np.ndarray:
    """(68, 2) in distances between the eye centres, which lie at (-0.5, 0) and (0.5, 0); y runs downwards."""
    points = np.full((68, 2), np.nan)
    for number, place in _PLACES.items():
        points[number] = place
    points[LEFT] = points[RIGHT] * [-1, 1]
    return points


def mirrored(landmarks: np.ndarray, width: float = 0.0) -> np.ndarray:
    """The landmarks that the mirror image of a picture `width` px wide has."""
    flipped = landmarks * [-1, 1] + [width, 0]
    result = flipped.copy()
    result[..., RIGHT, :], result[..., LEFT, :] = flipped[..., LEFT, :], flipped[..., RIGHT, :]
    return result


def placed(points: np.ndarray, *, scale: float = 60.0, roll: float = 0.3, at: tuple[float, float] = (200, 150)):
    """Face coordinates (..., 68, 2) as px of a picture, the head turned in its plane by `roll` rad."""
    turn = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    return scale * points @ turn + at
