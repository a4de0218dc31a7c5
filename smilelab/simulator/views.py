"""Pictures that show a face otherwise than upright and alone."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smilelab.simulator.dynamics import POSE_COLUMNS
from smilelab.simulator.face import FaceRenderer, Identity, Scene
from smilelab.simulator.geometry import Array

TURN = 0.34  # rad of yaw, about as far as the renderer turns a head
FRONTAL_SHARE = 0.58  # of a dual view's width


class View(Protocol):
    """What a camera sees of a person: ``landmarks`` and ``render`` as of `FaceRenderer`."""

    def landmarks(self, action_units: ArrayLike, pose: ArrayLike) -> Array:
        """Ground truth of the frontal, upright face, (68, 2) float32 in pixels."""

    def render(self, action_units: ArrayLike, pose: ArrayLike) -> NDArray[np.uint8]:
        """One frame, (height, width, 3) uint8 RGB."""


class DualView:
    """A person from the front and, beside that, smaller and turned to the side, at the same moment.

    Parameters
    ----------
    identity, scene : Identity, Scene
    width, height : int
        Size of the whole picture in pixels.
    iod : float
        Distance between the eyes over the shorter side of the frontal part.
    seed : int
        Seeds the sensor noise.
    """

    def __init__(self, identity: Identity, scene: Scene, *, width: int, height: int, iod: float, seed: int) -> None:
        left = round(FRONTAL_SHARE * width)
        iod_px = iod * min(left, height)
        self._frontal = FaceRenderer(identity, scene, width=left, height=height, iod_px=iod_px, seed=seed)
        self._turned = FaceRenderer(
            identity, scene, width=width - left, height=height, iod_px=0.72 * iod_px, seed=seed + 1
        )

    def landmarks(self, action_units: ArrayLike, pose: ArrayLike) -> Array:
        """Ground truth of the frontal face."""
        return self._frontal.landmarks(action_units, pose)

    def render(self, action_units: ArrayLike, pose: ArrayLike) -> NDArray[np.uint8]:
        """Both views of one moment."""
        turned = np.array(pose, dtype=np.float64)
        turned[POSE_COLUMNS.index("yaw")] += TURN
        return np.hstack([self._frontal.render(action_units, pose), self._turned.render(action_units, turned)])


class Sideways:
    """A view whose pictures are stored rotated by 90 degrees counter-clockwise.

    Parameters
    ----------
    view : View
        The upright one, as wide as the stored picture is high.
    """

    def __init__(self, view: View) -> None:
        self._view = view

    def landmarks(self, action_units: ArrayLike, pose: ArrayLike) -> Array:
        """Ground truth in the upright picture."""
        return self._view.landmarks(action_units, pose)

    def render(self, action_units: ArrayLike, pose: ArrayLike) -> NDArray[np.uint8]:
        """One rotated frame."""
        return np.ascontiguousarray(np.rot90(self._view.render(action_units, pose)))
