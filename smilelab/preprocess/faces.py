"""Find and follow one face through a video with dlib: detector at key frames, 68 landmarks in every frame.

dlib's boxes are quantised to the steps of its image pyramid: on a still head they jump by a fifth of their size. The
boxes here are computed from landmarks and smoothed over time, so that the only movement in a crop is the face's.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any, Literal

import cv2
import dlib
import numpy as np
from numpy.typing import NDArray

from smilelab.preprocess.crops import Image, crop, face_pose, iou, pose_box, resample
from smilelab.preprocess.tracks import SAME_FACE, Box, Boxes, FaceTrack, Sighting

__all__ = ["Choice", "FaceTrack", "FaceTracker", "Following", "Sighting", "crop", "landmark_model_path"]

Choice = Literal["largest", "most frontal"]

_MODEL = "shape_predictor_68_face_landmarks.dat"
_SHORT_SIDES = (360, 720)  # px; tried in order, then the full frame. At 360 a face may be down to a fifth of the frame
_SMALL_FRAME = 480
_LANDMARK_SIDE = 256
_PLAUSIBLE = 0.4
_LOOK_SIDE = 16
# Correlation with a key frame below which the detector is asked too: an occlusion between two key frames has landmarks,
# but is no face. On real faces the lowest seen was .67, between boxes that dlib placed a fifth apart.
_ALIKE = 0.6
_AS_FRONTAL = 0.1  # of asymmetry, which a turn of the head by six degrees makes
_EPSILON_S = 5e-7


def landmark_model_path() -> Path:
    """Find dlib's 68-point model in the installed package face_recognition_models, without importing that.

    Returns
    -------
    Path

    Raises
    ------
    FileNotFoundError
        If the package is not installed or lacks the file.
    """
    spec = importlib.util.find_spec("face_recognition_models")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "models" / _MODEL
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"{_MODEL} not found; expected in the package face-recognition-models: pip install face-recognition-models"
    )


class FaceTracker:
    """Follow one face.

    Parameters
    ----------
    key_every_s : float
        The detector runs at least this often, s; and between two key frames that disagree, by halving, until the frame
        is found in which the face comes, goes or changes.
    boxes : {"smooth", "per-frame"}
        With ``per-frame`` the detector runs on every frame and its boxes are taken as they are.
    bridge_s : float
        As in `FaceTrack.assemble`.
    choice : {"largest", "most frontal"}
        Which of several. ``most frontal`` is that whose nose lies midway between the eyes, as needed of pictures that
        show one person from two sides.

    Source: our choice; ``per-frame`` is what the code published with Yang et al. 2020 does.
    """

    def __init__(
        self,
        key_every_s: float = 0.5,
        boxes: Boxes = "smooth",
        bridge_s: float = 0.5,
        choice: Choice = "largest",
    ) -> None:
        self.key_every_s = 0.0 if boxes == "per-frame" else key_every_s
        self.boxes: Boxes = boxes
        self.bridge_s = bridge_s
        self.choice: Choice = choice

    def track(self, frames: Iterable[tuple[float, Image]]) -> FaceTrack:
        """Follow the face through all frames.

        Parameters
        ----------
        frames : iterable of (time in s, (H, W, 3) uint8 RGB)
            In order of time; consumed as a stream, images are not kept.

        Returns
        -------
        FaceTrack
        """
        nothing = np.empty((0, 0, 3), np.uint8)
        sightings = [sighting._replace(image=nothing) for sighting in self.follow(frames)]
        return FaceTrack.assemble(sightings, self.boxes, self.bridge_s)

    def follow(self, frames: Iterable[tuple[float, Image]]) -> Generator[Sighting]:
        """Yield a `Sighting` per frame, in order, at most one key interval behind the input."""
        following = self.begin()
        for time, image in frames:
            yield from following.add(time, image)
        yield from following.end()

    def begin(self) -> Following:
        """Begin to follow a face through frames that are handed over one by one."""
        return Following(self.key_every_s, self.choice)


class Following:
    """A face that is being followed; made by `FaceTracker.begin`.

    Parameters
    ----------
    key_every_s, choice
        As in `FaceTracker`.
    """

    def __init__(self, key_every_s: float, choice: Choice) -> None:
        self._key_every_s = key_every_s
        self._detector = _Detector(choice)
        self._key: _Seen | None = None
        self._between: list[_Seen] = []

    def add(self, time: float, image: Image) -> Generator[Sighting]:
        """Sightings that are settled now that this frame is there, in order; to be exhausted before the next."""
        seen = _Seen(time, image)
        self._between.append(seen)
        if self._key is None or time - self._key.time >= self._key_every_s - _EPSILON_S:
            yield from self._settle()
            self._key, self._between = seen, []

    def end(self) -> Generator[Sighting]:
        """Sightings in the frames that are left."""
        if self._between:
            yield from self._settle()

    def _settle(self) -> Generator[Sighting]:
        detector, key, after = self._detector, self._key, self._between
        detector.inspect(after[-1], key)
        if key is not None:
            _resolve(detector, key, after[:-1], after[-1])
        looks = [end.look for end in (key, after[-1]) if end is not None and end.box is not None]
        for seen in after:
            landmarks = seen.landmarks()
            unsure = landmarks is None or max(float(seen.look @ look) for look in looks) < _ALIKE
            if unsure and seen.box is not None and seen.faces < 0:
                detector.inspect(seen, key)
                landmarks = seen.landmarks()
            yield Sighting(seen.time, seen.image, landmarks, seen.box if seen.faces > 0 else None, seen.faces)


class _Seen:
    """A frame on its way through the tracker."""

    def __init__(self, time: float, image: Image) -> None:
        self.time = time
        self.image = image
        self.gray: Image = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
        self.box: Box | None = None
        self.faces = -1

    @property
    def look(self) -> Box:
        """The inside of `box` in few pixels, as a vector of mean 0 and length 1."""
        if self.box is None:
            raise RuntimeError("a frame without a box has no look")
        step = (self.box[2:] - self.box[:2]) / _LOOK_SIDE
        to_source = np.array([[step[0], 0, self.box[0]], [0, step[1], self.box[1]]])
        pixels = resample(self.gray, to_source, _LOOK_SIDE).ravel().astype(np.float64)
        pixels -= pixels.mean()
        length = float(np.linalg.norm(pixels))
        return pixels / length if length else pixels

    def landmarks(self) -> NDArray[np.float32] | None:
        """Landmarks near `box`, or None where they do not look like a face in it."""
        if self.box is None:
            return None
        first = _predict(self.gray, self.box)
        # Once more from the box that these imply: the result then depends little on where the detector's steps fell.
        points = _predict(self.gray, pose_box(face_pose(first)))
        eyes_and_mouth = points[[36, 45, 48, 54]]
        across = eyes_and_mouth[1] - eyes_and_mouth[0]
        below = eyes_and_mouth[2:].mean(0) - eyes_and_mouth[:2].mean(0)
        upright = across[0] * below[1] - across[1] * below[0] > 0
        if not upright or iou(pose_box(face_pose(points)), self.box) < _PLAUSIBLE:
            return None
        return points.astype(np.float32)


class _Detector:
    """dlib's detector on a shrunken frame, at a larger scale if there is nothing; remembers the scale that worked."""

    def __init__(self, choice: Choice = "largest") -> None:
        self._choice = choice
        self._side = 0.0
        self._least_turned = np.inf

    def inspect(self, seen: _Seen, near: _Seen | None) -> None:
        boxes = self._boxes(seen.gray)
        seen.faces, seen.box = len(boxes), None
        if not boxes:
            return
        same = [b for b in boxes if near is not None and near.box is not None and iou(b, near.box) >= SAME_FACE]
        if self._choice == "most frontal":
            seen.box = self._most_frontal(seen.gray, boxes, same)
            return
        seen.box = max(boxes, key=_area)
        if same and 2 * _area(max(same, key=_area)) > _area(seen.box):
            seen.box = max(same, key=_area)

    def _most_frontal(self, gray: Image, boxes: list[Box], same: list[Box]) -> Box | None:
        """The face that was followed unless another is clearly less turned; none where all are turned that are new."""
        turns = [_asymmetry(_predict(gray, box)) for box in boxes]
        least = min(turns)
        followed = [(turn, box) for turn, box in zip(turns, boxes, strict=True) if any(box is b for b in same)]
        turn, box = min(followed, key=lambda pair: pair[0], default=(np.inf, boxes[0]))
        if turn > least + _AS_FRONTAL:
            turn, box = least, boxes[turns.index(least)]
            if turn > self._least_turned + _AS_FRONTAL:
                return None
        self._least_turned = min(self._least_turned, turn)
        return box

    def _boxes(self, gray: Image) -> list[Box]:
        short = min(gray.shape[:2])
        sides = [float(side) for side in _SHORT_SIDES if side < short] + [float(short)]
        if short < _SMALL_FRAME:
            sides.append(2.0 * short)
        for side in sides:
            if side < self._side:
                continue
            scale = side / short
            found = _detector()(_scaled(gray, scale), 0)
            if found:
                self._side = side
                return [np.array([r.left(), r.top(), r.right() + 1, r.bottom() + 1]) / scale - 0.5 for r in found]
        return []


def _resolve(detector: _Detector, first: _Seen, between: list[_Seen], last: _Seen) -> None:
    """Give frames between two key frames a box each; find by halving where the two begin to disagree."""
    if not between:
        return
    if first.box is not None and last.box is not None and iou(first.box, last.box) >= SAME_FACE:
        for seen in between:
            share = (seen.time - first.time) / max(last.time - first.time, _EPSILON_S)
            seen.box = first.box + share * (last.box - first.box)
    elif first.box is not None or last.box is not None:
        half = len(between) // 2
        middle = between[half]
        detector.inspect(middle, first)
        _resolve(detector, first, between[:half], middle)
        _resolve(detector, middle, between[half + 1 :], last)


def _area(box: Box) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _asymmetry(landmarks: NDArray[np.float64]) -> float:
    """How far the tip of the nose lies from midway between the outer eye corners, in halves of their distance."""
    right, left, nose = landmarks[[36, 45, 30]]
    across = left - right
    return abs(2 * float((nose - right) @ across) / max(float(across @ across), 1e-9) - 1)


def _scaled(gray: Image, scale: float) -> Image:
    if scale == 1:
        return gray
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(gray, None, fx=scale, fy=scale, interpolation=method), np.uint8)


def _predict(gray: Image, box: Box) -> NDArray[np.float64]:
    """Landmarks (68, 2) px. The face is brought to one size first: dlib answers in whole pixels."""
    side = float(box[2] - box[0] + box[3] - box[1]) / 2
    step = side / _LANDMARK_SIDE
    origin = np.array([box[0] + box[2], box[1] + box[3]]) / 2 - side
    region = resample(gray, np.array([[step, 0, origin[0]], [0, step, origin[1]]]), 2 * _LANDMARK_SIDE)
    low, high = _LANDMARK_SIDE // 2, _LANDMARK_SIDE * 3 // 2 - 1
    shape = _predictor()(region, dlib.rectangle(low, low, high, high))
    points = np.array([(p.x, p.y) for p in shape.parts()], np.float64)
    return origin + (points + 0.5) * step


@functools.cache
def _detector() -> Any:
    return dlib.get_frontal_face_detector()


@functools.cache
def _predictor() -> Any:
    return dlib.shape_predictor(str(landmark_model_path()))
