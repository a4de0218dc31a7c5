"""From an identity, a scene, action units and a pose to a frame and its ground-truth landmarks."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from smilelab.simulator.features import draw_eye, draw_mouth, palette
from smilelab.simulator.geometry import FEATURES, LID_POINTS, LIP_POINTS, Array, follow
from smilelab.simulator.identity import Identity, draw_identity
from smilelab.simulator.scene import DOMAINS, Scene, backdrop, develop, draw_scene
from smilelab.simulator.warp import HeadWarp

__all__ = ["DOMAINS", "FaceRenderer", "Identity", "Scene", "draw_identity", "draw_scene"]

# AU06_L AU06_R AU12_L AU12_R AU25 AU26 AU45, the order of the action units everywhere in the simulator.
_AU06_L, _AU06_R, _AU12_L, _AU12_R, _AU25, _AU26, _AU45 = range(7)
_FULL = 3.5
_PIVOT = 1.0


class FaceRenderer:
    """Renders one person in one scene.

    Parameters
    ----------
    identity : Identity
        Who.
    scene : Scene
        Where and how filmed.
    width, height : int
        Size of the frame in pixels.
    iod_px : float, optional
        Distance between the eye centres in pixels; by default .18 of the height, less where the frame is narrow.
    seed : int
        Seeds the sensor noise: the same calls in the same order give the same bytes.
    features : bool
        False blanks brows, eyes, nose and mouth; a control for face detectors.

    Raises
    ------
    ValueError
        If the frame is smaller than 32 pixels or the face would not fit.

    Notes
    -----
    Bone structure, skin and hair never depend on what the person does. An action unit reaches its full excursion
    (mouth corner .10 out and .08 up, cheek .065, jaw .22 of the distance between the eyes: our choice) at intensity
    3.5 of 5, linearly, and is softly limited above.
    """

    def __init__(
        self,
        identity: Identity,
        scene: Scene,
        *,
        width: int,
        height: int,
        iod_px: float | None = None,
        seed: int = 0,
        features: bool = True,
    ) -> None:
        if min(width, height) < 32:
            raise ValueError(f"found a frame of {width}x{height}; expected at least 32x32; ask for a larger frame")
        iod = float(iod_px) if iod_px is not None else 0.18 * min(height, 1.25 * width)
        if not 4.0 <= iod <= 0.4 * min(width, height):
            raise ValueError(
                f"found iod_px {iod:g} for {width}x{height}; expected 4 to {0.4 * min(width, height):g}; "
                "choose a value there"
            )
        self.identity, self.scene, self.iod_px = identity, scene, iod
        self.width, self.height = int(width), int(height)
        self._features = features
        centre_x = width / 2 + np.clip(scene.offset[0] * iod, -0.08 * width, 0.08 * width)
        self._centre = np.array([centre_x, 0.43 * height + scene.offset[1] * iod])
        self._noise_rng = np.random.default_rng(np.random.SeedSequence([seed, scene.seed]))
        blur = scene.blur * height / 480.0
        self._soft = max(0.5, 0.8 * blur) / iod
        self._head = HeadWarp(identity, scene, iod, blur, features=features)
        self._points = follow(identity)
        self._palette = palette(identity, scene)
        self._catch = (float(np.clip(2 * scene.light[0], -1, 1)), float(np.clip(2 * scene.light[1] - 0.2, -1, 0)))
        self._prepare_backdrop()

    def _prepare_backdrop(self) -> None:
        x, y = np.meshgrid(np.arange(self.width, dtype=np.float32), np.arange(self.height, dtype=np.float32))
        x, y = (x - self._centre[0]) / self.iod_px, (y - self._centre[1]) / self.iod_px
        picture = develop(backdrop(self.identity, self.scene, x.astype(np.float32), y.astype(np.float32)), self.scene)
        sigma = max(0.3, self.scene.blur * self.height / 480.0)
        self._background = np.clip(cv2.GaussianBlur(picture, (0, 0), sigma) + 0.5, 0, 255).astype(np.uint8)
        margin = 64
        shape = (self.height + margin, self.width + margin, 1 if self.scene.gray else 3)
        noise = self._noise_rng.standard_normal(shape, dtype=np.float32) * np.float32(self.scene.noise_sd)
        noise = np.repeat(noise, 3, axis=2) if self.scene.gray else noise
        self._brighter = np.clip(np.round(noise), 0, 255).astype(np.uint8)
        self._darker = np.clip(np.round(-noise), 0, 255).astype(np.uint8)
        self._margin = margin

    def _weights(self, action_units: ArrayLike, pose: ArrayLike) -> tuple[Array, Array, float]:
        aus = np.asarray(action_units, dtype=np.float64).ravel()
        place = np.asarray(pose, dtype=np.float64).ravel()
        if aus.shape != (7,) or place.shape != (6,):
            raise ValueError(
                f"found {aus.size} action units and {place.size} pose values; expected 7 and 6; "
                "pass one row of action_units and of pose"
            )
        if not (np.isfinite(aus).all() and np.isfinite(place).all()):
            raise ValueError("found NaN or infinity in action units or pose; expected finite numbers; drop such frames")
        level = np.clip(aus, 0.0, 10.0) / _FULL
        level = np.where(level <= 1.0, level, 1.0 + 0.25 * np.tanh((level - 1.0) / 0.25))
        yaw, pitch = np.clip(place[:2], -0.35, 0.35)
        closure = float(np.clip(aus[_AU45] / 5.0, 0.0, 1.0))
        smile = 0.5 * (level[_AU12_L] + level[_AU12_R])
        weights = np.array(
            [
                *level[[_AU12_R, _AU12_L, _AU06_R, _AU06_L, _AU25, _AU26]],
                level[_AU25] * smile,
                np.sin(yaw),
                np.sin(pitch),
            ],
            dtype=np.float32,
        )
        return weights, place, closure

    def _similarity(self, pose: Array) -> Array:
        """Canvas to frame, (2, 3): roll and scale about the middle of the face, then shift."""
        roll = float(np.clip(pose[2], -0.8, 0.8))
        scale = self.iod_px * float(np.clip(pose[5], 0.25, 2.0))
        shift = np.clip(pose[3:5], -2.0, 2.0) * self.iod_px
        matrix = scale * np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
        pivot = np.array([0.0, _PIVOT])
        offset = self._centre + np.array([0.0, _PIVOT * self.iod_px]) + shift - matrix @ pivot
        return np.concatenate([matrix, offset[:, None]], axis=1)

    def _curves(self, weights: Array, closure: float) -> dict[str, Array]:
        curves = self._points.at(weights)
        for side in "RL":
            upper, lower = curves[f"upper_lid_{side}"], curves[f"lower_lid_{side}"]
            # Cheeks may push the lower lid up to the upper one, never through it.
            lower[:, 1] = np.maximum(lower[:, 1], upper[:, 1])
            shut = 0.38 * upper[:, 1] + 0.62 * lower[:, 1]
            upper[:, 1] += closure * (shut - upper[:, 1])
            lower[:, 1] += closure * (shut - lower[:, 1])
        return curves

    def landmarks(self, action_units: ArrayLike, pose: ArrayLike) -> Array:
        """Ground truth in the order of the 68-point convention.

        Parameters
        ----------
        action_units : array_like
            (7,) intensities 0..5: AU06_L, AU06_R, AU12_L, AU12_R, AU25, AU26, AU45 (5 = shut); L the subject's left.
        pose : array_like
            (6,) yaw, pitch, roll (rad), shift_x, shift_y (eye distances), scale (1 = nominal).

        Returns
        -------
        numpy.ndarray
            (68, 2) float32, x then y in pixels of the frame.

        Raises
        ------
        ValueError
            If shapes are wrong or a value is not finite.
        """
        weights, place, closure = self._weights(action_units, pose)
        c = self._curves(weights, closure)
        lid = np.round(np.array([-1.0, -0.36, 0.32, 1.0]) * (LID_POINTS // 2)).astype(int) + LID_POINTS // 2
        lip = np.round(np.array([-1, -0.6, -0.27, 0, 0.27, 0.6, 1]) * (LIP_POINTS // 2))
        lip = lip.astype(int) + LIP_POINTS // 2
        inner = np.round(np.array([-1, -0.33, 0, 0.33, 1]) * (LIP_POINTS // 2)).astype(int) + LIP_POINTS // 2
        outer_ends = 0.5 * (c["upper_outer"] + c["lower_outer"])
        inner_ends = 0.5 * (c["upper_inner"] + c["lower_inner"])
        right_eye = [c["upper_lid_R"][lid[::-1]], c["lower_lid_R"][lid[1:3]]]
        left_eye = [c["upper_lid_L"][lid], c["lower_lid_L"][lid[2:0:-1]]]
        mouth = [
            outer_ends[:1], c["upper_outer"][lip[1:-1]], outer_ends[-1:], c["lower_outer"][lip[-2:0:-1]],
            inner_ends[:1], c["upper_inner"][inner[1:-1]], inner_ends[-1:], c["lower_inner"][inner[-2:0:-1]],
        ]  # fmt: skip
        parts = [c["jaw"], c["brow_R"][::-1], c["brow_L"], c["bridge"], c["nostrils"], *right_eye, *left_eye, *mouth]
        points = np.concatenate(parts).astype(np.float64)
        matrix = self._similarity(place)
        return (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)

    def render(self, action_units: ArrayLike, pose: ArrayLike) -> NDArray[np.uint8]:
        """One frame.

        Parameters
        ----------
        action_units, pose : array_like
            As for `landmarks`.

        Returns
        -------
        numpy.ndarray
            (height, width, 3) uint8 RGB, a new array.

        Raises
        ------
        ValueError
            If shapes are wrong or a value is not finite.
        """
        weights, place, closure = self._weights(action_units, pose)
        matrix = self._similarity(place)
        frame = self._background.copy()
        left, top, right, bottom = self._window(matrix, self._head.bounds)
        if right > left and bottom > top:
            roi = frame[top:bottom, left:right]
            self._head.draw(roi, weights, matrix, left, top)
            if self._features:
                self._draw_features(frame, weights, closure, matrix)
        dy, dx = self._noise_rng.integers(0, self._margin, 2)
        part = (slice(dy, dy + self.height), slice(dx, dx + self.width))
        cv2.add(frame, self._brighter[part], dst=frame)
        cv2.subtract(frame, self._darker[part], dst=frame)
        return frame

    def _window(self, matrix: Array, bounds: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
        x0, y0, x1, y1 = bounds
        corners = np.array([[x0, y0], [x1, y0], [x0, y1], [x1, y1]]) @ matrix[:, :2].T + matrix[:, 2]
        low, high = np.floor(corners.min(0)).astype(int), np.ceil(corners.max(0)).astype(int) + 1
        return (
            int(np.clip(low[0], 0, self.width)),
            int(np.clip(low[1], 0, self.height)),
            int(np.clip(high[0], 0, self.width)),
            int(np.clip(high[1], 0, self.height)),
        )

    def _draw_features(self, frame: NDArray[np.uint8], weights: Array, closure: float, matrix: Array) -> None:
        curves = self._curves(weights, closure)
        inverse = cv2.invertAffineTransform(matrix)
        soft = self._soft * self.iod_px / float(np.hypot(matrix[0, 0], matrix[1, 0]))
        for side, sign in (("R", -1.0), ("L", 1.0)):
            upper, lower = curves[f"upper_lid_{side}"], curves[f"lower_lid_{side}"]
            centre = (float(upper[:, 0].mean()), float(0.5 * (upper[0, 1] + upper[-1, 1])))
            bounds = (centre[0] - 0.34, centre[1] - 0.30, centre[0] + 0.34, centre[1] + 0.22)
            if sign < 0:
                upper, lower = upper[::-1], lower[::-1]
            window = self._window(matrix, bounds)
            patch, x, y = self._patch(frame, window, inverse)
            if patch.size:
                iris = (centre[0] - 0.005 * sign, centre[1] - 0.012)
                draw_eye(patch, x, y, upper, lower, iris, closure, self.identity, self._palette, soft, self._catch)
                self._put(frame, window, patch)
        mouth = np.concatenate([curves["upper_outer"], curves["lower_outer"]])
        low, high = mouth.min(0), mouth.max(0)
        bounds = (float(low[0]) - 0.08, float(low[1]) - 0.06, float(high[0]) + 0.08, float(high[1]) + 0.14)
        window = self._window(matrix, bounds)
        patch, x, y = self._patch(frame, window, inverse)
        if patch.size:
            jaw = float(weights[FEATURES.index("AU26")])
            # Teeth sit behind the lips and sway less when the head turns.
            sway = float(weights[FEATURES.index("yaw")]) * 0.3
            draw_mouth(patch, x, y, curves, jaw, self.identity, self._palette, soft, sway)
            self._put(frame, window, patch)

    @staticmethod
    def _patch(
        frame: NDArray[np.uint8], window: tuple[int, int, int, int], inverse: Array
    ) -> tuple[Array, Array, Array]:
        left, top, right, bottom = window
        patch = frame[top:bottom, left:right].astype(np.float32)
        columns, rows = np.arange(left, right, dtype=np.float32), np.arange(top, bottom, dtype=np.float32)
        m = inverse.astype(np.float32)
        x = m[0, 0] * columns[None, :] + m[0, 1] * rows[:, None] + m[0, 2]
        y = m[1, 0] * columns[None, :] + m[1, 1] * rows[:, None] + m[1, 2]
        return patch, x, y

    @staticmethod
    def _put(frame: NDArray[np.uint8], window: tuple[int, int, int, int], patch: Array) -> None:
        left, top, right, bottom = window
        frame[top:bottom, left:right] = np.clip(patch + np.float32(0.5), 0, 255)
