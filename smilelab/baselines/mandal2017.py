"""Smiles by tracked points and dense flow on eyes and lips (Mandal & Ouarti 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from smilelab.baselines import courses, footage, motion, register
from smilelab.baselines.by_clip import ByClip, stacked
from smilelab.baselines.clip_samples import Extractor, Features, View
from smilelab.baselines.kernels import WEIGHTINGS, KernelSum
from smilelab.baselines.landmark_signals import at_steady_rate
from smilelab.baselines.machines import Floats, State, inner_folds
from smilelab.preprocess.threads import one_thread
from smilelab.signals import eye_centres

__all__ = ["POINTS", "STREAMS", "Mandal2017", "movements", "tracked"]

STREAMS = ("points", "flow")
POINTS = (*footage.EYES[0], *footage.EYES[1], *footage.LIPS)
# Window and levels of the tracker in crops of 96 px, where an eye is about ten pixels wide.
_WINDOW, _LEVELS = (11, 11), 2
# A point that is not found again within so many px, tracked back, is lost.
_RETURN_PX = 1.0
# A blink takes the points of an eye along and leaves them anywhere: farther from its landmark than this, in distances
# between the eyes, none goes on.
_ASTRAY = 0.06
_MARGIN = 0.15


def tracked(frames: NDArray[np.uint8], landmarks: Floats, limit: float) -> Floats:
    """Points of a clip from frame to frame by Lucas and Kanade's tracker (OpenCV's pyramids).

    Parameters
    ----------
    frames : (T, S, S) uint8 array
        Grey.
    landmarks : (T, P, 2) array
        Px. The points start at those of the first frame; a lost one goes on as its landmark does in that step.
    limit : float
        Px from its landmark at which a point starts there anew.

    Returns
    -------
    (T, P, 2) array
        Px.
    """
    found = np.empty(landmarks.shape, np.float64)
    found[0] = landmarks[0]
    for number in range(1, len(frames)):
        before, after = frames[number - 1], frames[number]
        old = found[number - 1].astype(np.float32)[:, None]
        new, there, _ = cv2.calcOpticalFlowPyrLK(before, after, old, old.copy(), winSize=_WINDOW, maxLevel=_LEVELS)
        back, again, _ = cv2.calcOpticalFlowPyrLK(after, before, new, new.copy(), winSize=_WINDOW, maxLevel=_LEVELS)
        returned = np.linalg.norm((back - old)[:, 0], axis=1)
        good = (there[:, 0] == 1) & (again[:, 0] == 1) & (returned <= _RETURN_PX)
        step = landmarks[number] - landmarks[number - 1]
        reached = np.where(good[:, None], new[:, 0], found[number - 1] + step)
        astray = np.linalg.norm(reached - landmarks[number], axis=1) > limit
        found[number] = np.where(astray[:, None], landmarks[number], reached)
    return found


@one_thread()
def movements(view: View, *, size: int, rate: float, coefficients: int, smoothing: float) -> Features:
    """How the points and the skin about eyes and lips move.

    Parameters
    ----------
    view : View
    size : int
        Side of the crops in which motion is looked at, px.
    rate : float
        Frames per second at most.
    coefficients : int
        Cosine coefficients kept of each course.
    smoothing : float
        Standard deviation, s, of the Gaussian that smooths points before speeds are taken.

    Returns
    -------
    dict
        ``points`` (3 + coefficients, 3, 32): mean, deviation, maximum and coefficients of each point's distance from
        its first place, its speed and its acceleration, in distances between the eyes and seconds. ``flow``
        (3 + coefficients, 3, 9): the same of mean speed and of its part in 8 directions, of right eye, left eye, mouth.
    """
    kept = footage.thinned(view.times, rate)
    times = view.times[kept]
    frames = footage.grey(view.frames[kept], size)
    landmarks = footage.crop_points(view, size)[kept]
    right, left = np.moveaxis(eye_centres(landmarks), -2, 0)
    unit = float(np.median(np.linalg.norm(left - right, axis=-1)))
    at, places = at_steady_rate(times, tracked(frames, landmarks[:, POINTS], _ASTRAY * unit) / unit, rate)
    place, velocity, change = courses.derivatives(places, rate, smoothing)
    courses_ = np.stack([np.linalg.norm(x, axis=-1) for x in (place - place[0], velocity, change)], 1)
    between = (times[1:] + times[:-1]) / 2 if len(times) > 1 else times
    fields = motion.velocities(frames, times, unit)
    speeds = np.stack([_speeds(fields, box) for box in _boxes(landmarks, size)], 1)
    return {
        "points": courses.statistics(courses_, at, coefficients),
        "flow": courses.statistics(speeds, between, coefficients),
    }


def _speeds(fields: NDArray[np.float32], box: NDArray[np.int64]) -> NDArray[np.float32]:
    left, top, right, bottom = box
    by_direction = motion.directed_speeds(fields[:, :, top:bottom, left:right])
    return np.concatenate([by_direction.sum(1, keepdims=True), by_direction], 1)


def _boxes(landmarks: Floats, size: int) -> list[NDArray[np.int64]]:
    """Left, top, right, bottom of what each eye and the mouth cover in the course of the clip, and some skin."""
    found = []
    for points in (*footage.EYES, footage.LIPS):
        some = landmarks[:, points].reshape(-1, 2)
        margin = _MARGIN * np.ptp(landmarks[0, footage.LIPS, 0])
        start = np.floor(some.min(0) - margin).clip(0, size - 2)
        end = np.ceil(some.max(0) + margin + 1).clip(start + 2, size)
        found.append(np.concatenate([start, end]).astype(np.int64))
    return found


@register("mandal2017")
class Mandal2017(ByClip):
    """Two streams, tracked points and dense flow of eyes and lips, fused in a support vector machine.

    Parameters
    ----------
    size : int
        Side of the crops in which motion is looked at, px.
    rate : float
        Frames per second at most; all speeds are by time.
    coefficients : int
        Cosine coefficients kept of each course.
    smoothing : float
        Standard deviation, s, of the Gaussian that smooths points before speeds are taken.
    components : int
        Principal components kept of each stream.
    folds : int
        Inner folds by subject that choose weights and constants.

    Notes
    -----
    Mandal & Ouarti 2017, "Spontaneous versus posed smiles - can we tell the difference?". Verified: points of eyes and
    lips tracked by Kanade, Lucas and Tomasi's tracker, of which amplitude, speed and acceleration are taken; dense flow
    on eyes and lips; both streams fused; a support vector machine. Our choice: dlib's 12 points of the eyes and 20 of
    the mouth, each started anew where it strays from its landmark; Farneback's flow, by 8 directions; mean, deviation,
    maximum and six cosine coefficients of each course; each dimension standardised, and principal components of the
    training clips; fusion as a sum of one kernel a stream, equal or weighed by alignment with the classes; kernel,
    weights and constants by inner folds.
    """

    def __init__(
        self,
        *,
        size: int = 96,
        rate: float = 25.0,
        coefficients: int = 6,
        smoothing: float = 0.08,
        components: int = 48,
        weightings: Sequence[str] = WEIGHTINGS,
        folds: int = 5,
    ) -> None:
        if not 1 <= coefficients < 100:
            raise ValueError(f"coefficients is {coefficients!r}; expected a whole number from 1 to 99")
        if not rate > 0 or not smoothing > 0:
            raise ValueError(
                f"found rate {rate!r} and smoothing {smoothing!r}; expected frames per second, and seconds"
            )
        options = {"size": size, "rate": float(rate), "coefficients": coefficients, "smoothing": float(smoothing)}
        self.extractors = [Extractor("eye-lip-motion", 1, movements, **options)]
        self.folds = folds
        self._machine = KernelSum(components=components, weightings=weightings, standardise=True)

    def learn(
        self, features: list[Features], labels: NDArray[np.int64], subjects: NDArray[np.str_], *, seed: int
    ) -> None:
        """See :meth:`smilelab.baselines.ByClip.learn`."""
        groups = self._groups(features)
        folds = inner_folds(labels, subjects, count=self.folds, seed=seed)
        choice = self._machine.choose([lambda _: groups], labels, folds, seed=seed)
        self._machine.fit(groups, labels, choice.candidate, seed=seed)

    def decide(self, features: list[Features]) -> Floats:
        """See :meth:`smilelab.baselines.ByClip.decide`."""
        return self._machine.decide(self._groups(features))

    def state(self) -> State:
        """See :meth:`smilelab.baselines.ByClip.state`."""
        return self._machine.state()

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """See :meth:`smilelab.baselines.ByClip.load_state`."""
        self._machine.load_state(state)

    def _groups(self, features: list[Features]) -> list[Floats]:
        return [stacked(features, stream) for stream in STREAMS]
