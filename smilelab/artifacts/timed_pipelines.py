"""A landmark pipeline and the end-to-end one, stage by stage under a stopwatch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from smilelab import training
from smilelab.baselines import landmark_signals, phase_features
from smilelab.preprocess import video
from smilelab.preprocess.crops import crop
from smilelab.preprocess.faces import Choice, FaceTracker
from smilelab.preprocess.recipe import Recipe
from smilelab.preprocess.tracks import FaceTrack
from smilelab.signals import face_coordinates

__all__ = ["EVERY_FRAME", "KEY_FRAMES", "LANDMARKS", "Clip", "Stopwatch", "end_to_end", "landmark_features"]

_Item = TypeVar("_Item")
_END: Any = object()

DECODE, SAMPLE = "decode every frame", "decode, keep frames by time"
EVERY_FRAME = "face and 68 landmarks, detector on every frame"
KEY_FRAMES = "face and 68 landmarks, detector on key frames"
LANDMARKS = (EVERY_FRAME, KEY_FRAMES)
NORMALISE, SIGNALS, STATISTICS = "face normalisation", "amplitude signals", "phases and statistics"
FACE, CROP, FORWARD = "find the face, detector on key frames", "crop and resize", "forward pass"
SVM = "linear SVM, decision"


class Stopwatch:
    """Wall time by stage; a stage inside another one stops the outer one, so that the stages sum to the whole.

    Parameters
    ----------
    clock : callable
        Seconds from some point on.

    Attributes
    ----------
    seconds : dict of str to float
        By stage.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[str, float] = {}
        self._clock = clock
        self._stage: str | None = None
        self._since = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the block to a stage."""
        outer = self._turn_to(name)
        try:
            yield
        finally:
            self._turn_to(outer)

    def during(self, name: str, items: Iterable[_Item]) -> Iterator[_Item]:
        """Pass items on; the waiting for each counts to a stage."""
        iterator = iter(items)
        while True:
            with self.stage(name):
                item = next(iterator, _END)
            if item is _END:
                return
            yield item

    def _turn_to(self, name: str | None) -> str | None:
        now = self._clock()
        if self._stage is not None:
            self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + now - self._since
        before, self._stage, self._since = self._stage, name, now
        return before


class Clip(NamedTuple):
    """A clip as a database's index gives it."""

    clip_id: str
    path: str
    start_s: float
    end_s: float
    image_fps: float
    view: str

    def frames(self, fps: float | None) -> video.Frames:
        """Open the video, for every frame (None) or by time."""
        return video.read(self.path, fps=fps, start_s=self.start_s, end_s=self.end_s, image_fps=self.image_fps)

    @property
    def choice(self) -> Choice:
        """Which of several faces."""
        return "most frontal" if self.view == "dual" else "largest"


def landmark_features(clip: Clip, find: str, watch: Stopwatch) -> NDArray[np.float64] | None:
    """Statistics of a clip's landmark signals.

    Parameters
    ----------
    clip : Clip
        The clip; every one of its frames is decoded and looked at.
    find : str
        `EVERY_FRAME`: the face detector runs on each frame. `KEY_FRAMES`: twice a second, and between where the face
        comes, goes or changes. Landmarks are found in each frame either way.
    watch : Stopwatch
        Gets the stages.

    Returns
    -------
    (225,) array, or None if no frame shows a face

    Source: Yang et al. 2020, section 4.3, detect and normalise the face with dlib and compute D-marker features; the
    signals and statistics are those of Dibeklioglu et al. 2015.
    """
    tracker = FaceTracker(boxes="per-frame" if find == EVERY_FRAME else "smooth", choice=clip.choice)
    with watch.stage(DECODE):
        frames = clip.frames(None)
    with watch.stage(find), frames:
        seen = [(s.time, s.landmarks) for s in tracker.follow(watch.during(DECODE, frames)) if s.landmarks is not None]
    if not seen:
        return None
    with watch.stage(NORMALISE):
        points = face_coordinates(np.stack([landmarks for _, landmarks in seen]))
    with watch.stage(SIGNALS):
        signals = landmark_signals.smoothed(landmark_signals.amplitudes(points))
    with watch.stage(STATISTICS):
        return phase_features.statistics(signals, np.array([at for at, _ in seen]))


def end_to_end(clip: Clip, recipe: Recipe, model: nn.Module, watch: Stopwatch) -> NDArray[np.uint8] | None:
    """Score a clip with a network, from its file on.

    Parameters
    ----------
    clip : Clip
        The clip; frames are sampled by time, and the face detector runs on key frames.
    recipe : Recipe
        How to crop and sample.
    model : torch.nn.Module
        Scores clips of that size; what it has learnt does not matter to its time.
    watch : Stopwatch
        Gets the stages.

    Returns
    -------
    (T, S, S, 3) uint8 array, or None if no frame shows a face
        The crops that were scored.

    Source: Yang et al. 2020, "Implementation details".
    """
    tracker = FaceTracker(boxes=recipe.boxes, choice=clip.choice)
    with watch.stage(SAMPLE):
        frames = clip.frames(recipe.fps)
    with watch.stage(FACE), frames:
        sightings = list(tracker.follow(watch.during(SAMPLE, frames)))
        track = FaceTrack.assemble(sightings, tracker.boxes, tracker.bridge_s)
    with watch.stage(CROP):
        crops = [
            crop(
                sightings[index].image,
                track.boxes[index],
                recipe.size,
                kind=recipe.crop,
                roll=float(track.rolls[index]),
                landmarks=track.outlines[index],
            )
            for index in np.flatnonzero(track.usable & ~np.isnan(track.boxes[:, 0]))
        ]
    if not crops:
        return None
    with watch.stage(FORWARD):
        scored = np.stack(crops)
        training.predict(model, [scored])
    return scored
