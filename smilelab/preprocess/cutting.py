"""Follow a face and cut it out of the frames while they are decoded, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smilelab.preprocess.crops import Image, crop
from smilelab.preprocess.faces import Choice, FaceTracker
from smilelab.preprocess.recipe import Recipe
from smilelab.preprocess.tracks import REACH_S, Box, FaceTrack, Sighting
from smilelab.preprocess.video import Frame

_STEP_S = 0.5
_REGION = 0.8
_NOTHING = np.empty((0, 0, 3), np.uint8)


@dataclass
class _Held:
    sighting: Sighting
    origin: NDArray[np.float64]


class Cutter:
    """One face, followed once and cut out for recipes that differ in their pictures alone.

    A frame is cut as soon as no later one can change its box. Of frames that wait for that, only the surroundings of
    the face are kept.

    Parameters
    ----------
    recipes : sequence of Recipe
        Of one `fps` and one kind of `boxes`.
    choice : {"largest", "most frontal"}
        As in `FaceTracker`.

    Attributes
    ----------
    recipes : list of Recipe
    choice : str
    times : list of float
        Times of the frames looked at, s.
    faces : int
        Most faces seen at once.
    width, height : int
        Of the frames, px.
    """

    def __init__(self, recipes: Sequence[Recipe], choice: Choice) -> None:
        self.recipes = list(recipes)
        self.choice: Choice = choice
        self.times: list[float] = []
        self.faces = self.width = self.height = 0
        self._tracker = FaceTracker(boxes=recipes[0].boxes, choice=choice)
        self._following = self._tracker.begin()
        self._context_s = REACH_S + self._tracker.bridge_s
        self._last: tuple[float, Box] | None = None
        self._waiting: list[_Held] = []
        self._done: list[Sighting] = []
        self._tracks: list[FaceTrack] = []
        self._pictures: dict[Recipe, list[Image]] = {recipe: [] for recipe in recipes}

    @property
    def track(self) -> FaceTrack:
        """Of the frames that were cut."""
        return FaceTrack.join(self._tracks)

    def frames(self, recipe: Recipe) -> NDArray[np.uint8]:
        """(T, S, S, 3) crops of the frames that show the face."""
        empty = np.empty((0, recipe.size, recipe.size, 3), np.uint8)
        return np.stack(self._pictures[recipe]) if self._pictures[recipe] else empty

    def add(self, frame: Frame) -> None:
        """Take the next frame."""
        for sighting in self._following.add(*frame):
            self._take(sighting)

    def end(self) -> None:
        """Cut what waits: there are no more frames."""
        for sighting in self._following.end():
            self._take(sighting)
        self._cut(len(self._waiting))

    def _take(self, sighting: Sighting) -> None:
        self.times.append(sighting.time)
        self.faces = max(self.faces, sighting.faces)
        self.height, self.width = sighting.image.shape[:2]
        if sighting.landmarks is not None:
            low, high = sighting.landmarks.min(0), sighting.landmarks.max(0)
            self._last = sighting.time, np.concatenate([low, high]).astype(np.float64)
        seen_lately = self._last is not None and sighting.time - self._last[0] <= self._tracker.bridge_s
        self._waiting.append(_hold(sighting, self._last[1] if self._last is not None and seen_lately else None))
        if sighting.time - self._waiting[0].sighting.time > self._context_s + _STEP_S:
            self._cut(sum(held.sighting.time < sighting.time - self._context_s for held in self._waiting))

    def _cut(self, settled: int) -> None:
        """Cut the first so many of the frames that wait."""
        seen = [*self._done, *(held.sighting for held in self._waiting)]
        track = FaceTrack.assemble(seen, self._tracker.boxes, self._tracker.bridge_s)
        for index, held in enumerate(self._waiting[:settled], len(self._done)):
            if not track.usable[index] or np.isnan(track.boxes[index, 0]):
                continue
            self._tracks.append(track.part(slice(index, index + 1)))
            for recipe, pictures in self._pictures.items():
                picture = crop(
                    held.sighting.image,
                    track.boxes[index] - np.tile(held.origin, 2),
                    recipe.size,
                    kind=recipe.crop,
                    roll=float(track.rolls[index]),
                    landmarks=track.outlines[index] - held.origin,
                )
                pictures.append(picture)
        self._done += [held.sighting._replace(image=_NOTHING) for held in self._waiting[:settled]]
        self._done = [old for old in self._done if old.time >= self._done[-1].time - self._context_s]
        del self._waiting[:settled]


def _hold(sighting: Sighting, near: Box | None) -> _Held:
    height, width = sighting.image.shape[:2]
    if near is None:
        return _Held(sighting._replace(image=_NOTHING), np.zeros(2))
    reach = _REGION * max(near[2] - near[0], near[3] - near[1])
    left, top = np.clip((near[:2] - reach).astype(int), 0, (width - 1, height - 1))
    right, bottom = np.clip((near[2:] + reach).astype(int) + 1, (left + 1, top + 1), (width, height))
    return _Held(sighting._replace(image=sighting.image[top:bottom, left:right].copy()), np.array([left, top], float))
