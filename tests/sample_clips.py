"""A store of simulated clips, runs on it, and a network-free way to open a clip whose landmarks are made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from smilelab import datasets, runs, specs
from smilelab.clips import ClipStore
from smilelab.inspector import clip as opening
from smilelab.inspector.clip import OpenedClip
from smilelab.preprocess import video
from smilelab.preprocess.build import build
from smilelab.preprocess.process import ProcessedClip
from smilelab.preprocess.recipe import Recipe
from smilelab.preprocess.tracks import FaceTrack, Sighting
from smilelab.specs import WindowOptions
from smilelab.training import TrainingOptions

EYE_DISTANCE = 60.0
SMALL_DENSENET = {
    "depth": 14, "size": 24, "frames": 6, "growth": 4, "stem": 8, "last": 16, "width": 16, "dropout": 0.0,
}  # fmt: skip
WINDOWS = WindowOptions(length=6, stride=1, test_stride=1, reduce=2, comparable=False)


def simulated_store(root: Path, folder: Path) -> tuple[ClipStore, datasets.Database]:
    """Preprocess a simulated database of a few clips."""
    database = datasets.open("uva-nemo", root)
    return build(database, Recipe(), folder, jobs=1, progress=False), database


def train(store: ClipStore, root: Path, model: str, folds: list[int], **fields) -> list[runs.RunResult]:
    """Run a model for one epoch on some folds."""
    options = TrainingOptions(epochs=1, batch_size=4)
    found = specs.specify(store, folds=folds, training=options, model=model, selection="last", **fields)
    return [runs.run(spec, store, root) for spec in found]


def face(width: float, *, left: float = 0.0, open_eyes: tuple[float, float] = (0.3, 0.3)) -> np.ndarray:
    """dlib's points (68, 2), px: a mouth of `width` eye distances, its left corner `left` further out."""
    points = np.zeros((68, 2), np.float32)
    points[:, 1] = 20
    for side, (outer, inner, upper, lower) in enumerate([(36, 39, (37, 38), (41, 40)), (45, 42, (44, 43), (46, 47))]):
        middle = (-0.5, 0.5)[side] * EYE_DISTANCE
        outwards = (-1, 1)[side]
        points[outer], points[inner] = (middle + outwards * 10, 0), (middle - outwards * 10, 0)
        for pair, sign in ((upper, -1), (lower, 1)):
            for point, place in zip(pair, (4, -4), strict=True):
                points[point] = middle + outwards * place, sign * 10 * open_eyes[side]
    points[48] = -width * EYE_DISTANCE / 2, EYE_DISTANCE
    points[54] = (width / 2 + left) * EYE_DISTANCE, EYE_DISTANCE
    points[:17] = np.column_stack([np.linspace(-50, 50, 17), 40 + 50 * np.cos(np.linspace(-1.5, 1.5, 17))])
    return points + np.float32([160, 80])


def open_made(
    monkeypatch: pytest.MonkeyPatch, path: Path, times: np.ndarray, landmarks: np.ndarray, *, size: int = 24
) -> OpenedClip:
    """Open a grey video as if these landmarks (T, 68, 2) had been tracked at these times, s."""
    rate = round(1 / float(np.median(np.diff(times))))
    frames = [np.full((240, 320, 3), 128, np.uint8)] * (round(times[-1] * rate) + 1)
    video.write(path, frames, rate)
    sightings = [Sighting(float(at), frames[0], points, None, 1) for at, points in zip(times, landmarks, strict=True)]
    crops = np.random.default_rng(0).integers(0, 255, (len(times), size, size, 3), np.uint8)
    made = ProcessedClip(
        crops, FaceTrack.assemble(sightings), "ok", "", len(times), len(frames), float(times[-1]), rate, 320, 240, 1
    )
    monkeypatch.setattr(opening, "process", lambda path, recipe: made)
    return opening.of_video(path, Recipe(size=size, fps=rate))
