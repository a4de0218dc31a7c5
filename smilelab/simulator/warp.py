"""Moving a lit head: folds come and go, skin is displaced, and the result is laid over the backdrop."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from smilelab.simulator.geometry import (
    FEATURES,
    GRID,
    LEFT,
    SPAN,
    TOP,
    Array,
    coordinates,
    displacement,
    eye_plane,
    height,
)
from smilelab.simulator.identity import Identity
from smilelab.simulator.scene import Scene
from smilelab.simulator.texture import head_texture

_STEPS = 4
# Both coordinates are in the first map; the stubs do not know that the second may then be absent.
_NO_MAP: Any = None


class HeadWarp:
    """The head of one person in one scene, ready to be drawn in any expression and pose.

    Parameters
    ----------
    identity, scene : Identity, Scene
        Who and under which light.
    iod_px : float
        Nominal distance between the eye centres in pixels of the frame.
    blur_px : float
        Standard deviation of the lens blur in pixels of the frame.
    features : bool
        False blanks brows, eyes, nose and mouth.

    Attributes
    ----------
    bounds : tuple of float
        Left, top, right, bottom in canvas units of everything that any expression may touch.
    """

    def __init__(self, identity: Identity, scene: Scene, iod_px: float, blur_px: float, *, features: bool) -> None:
        self.identity = identity
        # A little finer than the frame, so that the warp's interpolation does not blur.
        density = iod_px * (1.25 if iod_px < 130 else 1.0)
        self._size = round(density * SPAN)
        self._texture = head_texture(identity, scene, self._size, blur_px=blur_px * density / iod_px, features=features)
        rows, columns = np.nonzero(self._texture.coverage)
        scale = SPAN / self._size
        # Room for the widest pose and an open jaw around the head at rest.
        self.bounds = (
            LEFT + float(columns.min()) * scale - 0.2,
            TOP + float(rows.min()) * scale - 0.15,
            LEFT + float(columns.max() + 1) * scale + 0.2,
            TOP + float(rows.max() + 1) * scale + 0.32,
        )
        gx, gy = coordinates(GRID)
        z: Array = height(identity, gx, gy) - eye_plane(identity)
        # Beyond the outline the depth stays that of the rim; a cliff there would fold the warp.
        z = cv2.GaussianBlur(np.maximum(z, -0.6), (0, 0), 1.0)
        bases = displacement(identity, gx.ravel(), gy.ravel(), z.ravel())
        self._bases = np.ascontiguousarray(bases.reshape(len(FEATURES), -1))
        self._cell = SPAN / GRID
        self._index = np.stack(np.meshgrid(np.arange(GRID), np.arange(GRID)), -1).astype(np.float32)

    def _fold_weights(self, weights: Array) -> dict[tuple[str, str], float]:
        gain = self.identity.fold_gain
        w = dict(zip(FEATURES, weights.tolist(), strict=True))
        out = {}
        for side in "RL":
            smile, cheek = w[f"AU12_{side}"], w[f"AU06_{side}"]
            out["nasolabial", side] = gain * (0.75 * smile + 0.15 * cheek)
            out["crow", side] = gain * 0.95 * cheek
            out["infraorbital", side] = 0.35 * gain * cheek + 0.55 * cheek
            out["apple", side] = 0.45 * smile + 0.75 * cheek
            out["dimple", side] = self.identity.dimple * smile
            out["corner", side] = 0.8 * smile
        return out

    def draw(self, roi: NDArray[np.uint8], weights: Array, matrix: Array, left: int, top: int) -> None:
        """Draw the head in place.

        Parameters
        ----------
        roi : numpy.ndarray
            (h, w, 3) uint8 part of the frame.
        weights : numpy.ndarray
            (len(FEATURES),) how strongly each feature acts.
        matrix : numpy.ndarray
            (2, 3) canvas to frame.
        left, top : int
            Where the part begins in the frame.
        """
        colour = self._texture.colour.copy()
        strength = self._fold_weights(weights)
        for patch in self._texture.folds:
            amount = strength[patch.name, patch.side]
            if amount > 0.01:
                target = colour[patch.window]
                target[...] = np.clip(target + np.float32(amount) * patch.delta + np.float32(0.5), 0, 255)

        field = (weights @ self._bases).reshape(GRID, GRID, 2)
        # The field says where skin goes; frames need where each pixel's skin comes from.
        index_field = field / np.float32(self._cell)
        source = self._index - index_field
        for _ in range(_STEPS):
            source = self._index - cv2.remap(
                index_field, source, _NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
        back = source - self._index

        h, w = roi.shape[:2]
        inverse = cv2.invertAffineTransform(matrix)
        origin = inverse @ np.array([left, top, 1.0])
        to_grid = np.empty((2, 3))
        to_grid[:, :2] = inverse[:, :2] / self._cell
        to_grid[:, 2] = (origin - (LEFT, TOP)) / self._cell - 0.5
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        maps: Array = cv2.warpAffine(back, to_grid, (w, h), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        ratio = np.float32(self._size / GRID)
        maps *= ratio
        columns, rows = np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32)
        pixel = inverse[:, :2] * (self._size / SPAN)
        start = (origin - (LEFT, TOP)) * (self._size / SPAN) - 0.5
        maps[..., 0] += (np.float32(pixel[0, 0]) * columns + np.float32(start[0]))[None, :]
        maps[..., 0] += (np.float32(pixel[0, 1]) * rows)[:, None]
        maps[..., 1] += (np.float32(pixel[1, 0]) * columns + np.float32(start[1]))[None, :]
        maps[..., 1] += (np.float32(pixel[1, 1]) * rows)[:, None]
        head = cv2.remap(colour, maps, _NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
        cover = cv2.remap(self._texture.coverage, maps, _NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        behind = cv2.bitwise_not(cover)
        behind = cv2.merge((behind, behind, behind))
        np.copyto(roi, cv2.add(head, cv2.multiply(np.ascontiguousarray(roi), behind, scale=1 / 255.0)))
