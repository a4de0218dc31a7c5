"""What is known of one face over time: bridging short gaps and smoothing."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Sequence
from dataclasses import dataclass, fields
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from smilelab.preprocess.crops import KERNEL_REACH, Image, face_pose, iou, pose_box, smooth

Box = NDArray[np.float64]
Boxes = Literal["smooth", "per-frame"]

SAME_FACE = 0.3  # overlap of two boxes, intersection over union, from which they are taken for one face
SMOOTHING_S = 0.15
REACH_S = KERNEL_REACH * SMOOTHING_S  # frames further apart do not influence each other's boxes
_EPSILON_S = 5e-7


class Sighting(NamedTuple):
    """What was seen in one frame.

    `time` s; `image` (H, W, 3) uint8; `landmarks` (68, 2) float32 px or None; `detection` (4,) px: the detector's box,
    or None where it did not run or saw nothing; `faces`: how many the detector saw, -1 where it did not run.
    """

    time: float
    image: Image
    landmarks: NDArray[np.float32] | None
    detection: Box | None
    faces: int


@dataclass(frozen=True)
class FaceTrack:
    """One face over time; T frames.

    Attributes
    ----------
    times : (T,) float64
        Seconds.
    boxes : (T, 4) float32
        The box to crop, px; NaN where there is no face.
    rolls : (T,) float32
        Roll of the face, rad, smoothed as the boxes are; NaN where there is no face.
    landmarks : (T, 68, 2) float32
        dlib's points, px, not smoothed; interpolated where bridged; NaN where there is no face.
    outlines : (T, 68, 2) float32
        The same, smoothed as the boxes are.
    detected : (T,) bool
        A face was found in this frame.
    bridged : (T,) bool
        None was found, but so shortly before and after that the face is taken to be between.
    detections : (T, 4) float32
        The detector's own box at key frames, px; NaN elsewhere.
    faces : (T,) int16
        How many faces the detector saw at key frames; -1 elsewhere.
    """

    times: NDArray[np.float64]
    boxes: NDArray[np.float32]
    rolls: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    outlines: NDArray[np.float32]
    detected: NDArray[np.bool_]
    bridged: NDArray[np.bool_]
    detections: NDArray[np.float32]
    faces: NDArray[np.int16]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """(T,) bool: detected or bridged."""
        return self.detected | self.bridged

    def part(self, which: slice | NDArray[np.bool_]) -> FaceTrack:
        """Select frames."""
        return FaceTrack(**{item.name: getattr(self, item.name)[which] for item in fields(self)})

    @classmethod
    def join(cls, parts: Sequence[FaceTrack]) -> FaceTrack:
        """Append tracks to each other; none gives a track of no frames."""
        parts = parts or [cls.assemble([])]
        return cls(**{item.name: np.concatenate([getattr(p, item.name) for p in parts]) for item in fields(cls)})

    @classmethod
    def assemble(cls, sightings: Sequence[Sighting], boxes: Boxes = "smooth", bridge_s: float = 0.5) -> FaceTrack:
        """Bridge short gaps and smooth.

        Parameters
        ----------
        sightings : sequence of Sighting
            In order of time.
        boxes : {"smooth", "per-frame"}
            The box from landmarks, smoothed; or the detector's own in every frame, as it is.
        bridge_s : float
            Longest time between two sightings of the face that is bridged, s.

        Returns
        -------
        FaceTrack
        """
        count = len(sightings)
        times = np.array([s.time for s in sightings], np.float64)
        landmarks = np.full((count, 68, 2), np.nan)
        detections = np.full((count, 4), np.nan)
        for index, sighting in enumerate(sightings):
            if sighting.landmarks is not None:
                landmarks[index] = sighting.landmarks
            if sighting.detection is not None:
                detections[index] = sighting.detection
        detected = ~np.isnan(landmarks[:, 0, 0])
        bridged = _bridge(times, detected, landmarks, bridge_s)
        poses = np.full((count, 4), np.nan)
        outlines = np.full((count, 136), np.nan)
        for part in _unbroken(detected | bridged, landmarks):
            pose = face_pose(landmarks[part])
            pose[:, 3] = np.unwrap(pose[:, 3])
            signals = smooth(times[part], np.hstack([pose, landmarks[part].reshape(-1, 136)]), SMOOTHING_S)
            poses[part], outlines[part] = signals[:, :4], signals[:, 4:]
        chosen = pose_box(poses) if boxes == "smooth" else _filled(times, detections, bridged)
        return cls(
            times=times,
            boxes=chosen.astype(np.float32),
            rolls=poses[:, 3].astype(np.float32),
            landmarks=landmarks.astype(np.float32),
            outlines=outlines.reshape(-1, 68, 2).astype(np.float32),
            detected=detected,
            bridged=bridged,
            detections=detections.astype(np.float32),
            faces=np.array([s.faces for s in sightings], np.int16),
        )


def _bridge(
    times: NDArray[np.float64], detected: NDArray[np.bool_], landmarks: NDArray[np.float64], bridge_s: float
) -> NDArray[np.bool_]:
    """Fill short gaps in `landmarks` in place; returns where."""
    bridged = np.zeros(len(times), bool)
    found = np.flatnonzero(detected)
    for left, right in itertools.pairwise(found):
        gap_s = times[right] - times[left]
        if right - left == 1 or gap_s > bridge_s + _EPSILON_S or not _same(landmarks[left], landmarks[right]):
            continue
        inner = slice(left + 1, right)
        share = ((times[inner] - times[left]) / max(gap_s, _EPSILON_S))[:, None, None]
        landmarks[inner] = (1 - share) * landmarks[left] + share * landmarks[right]
        bridged[inner] = True
    return bridged


def _unbroken(usable: NDArray[np.bool_], landmarks: NDArray[np.float64]) -> Generator[slice]:
    """Runs of frames with one and the same face."""
    start: int | None = None
    for index, here in enumerate(usable):
        if start is not None and not (here and _same(landmarks[index - 1], landmarks[index])):
            yield slice(start, index)
            start = None
        if here and start is None:
            start = index
    if start is not None:
        yield slice(start, len(usable))


def _same(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    return bool(iou(pose_box(face_pose(first)), pose_box(face_pose(second))) >= SAME_FACE)


def _filled(times: NDArray[np.float64], boxes: Box, bridged: NDArray[np.bool_]) -> Box:
    result = boxes.copy()
    known = ~np.isnan(boxes[:, 0])
    for column in range(4 if known.any() else 0):
        result[bridged, column] = np.interp(times[bridged], times[known], boxes[known, column])
    return result
