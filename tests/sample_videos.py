"""Rendered people to preprocess, with the truth about them, and a database of them in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from smilelab.simulator.dynamics import draw_clip, draw_subject
from smilelab.simulator.face import FaceRenderer
from smilelab.simulator.identity import draw_identity
from smilelab.simulator.scene import draw_scene

FPS = 25
REAL_CLIPS = Path(__file__).parents[2] / "shared" / "clips"


@dataclass
class Rendered:
    """Frames of a rendered person, and where the landmarks really are."""

    times: np.ndarray
    images: list[np.ndarray]
    landmarks: np.ndarray

    @property
    def frames(self) -> list[tuple[float, np.ndarray]]:
        return list(zip(self.times.tolist(), self.images, strict=True))


@dataclass
class StandIn:
    """What `build` needs of a database, from rows in memory."""

    rows: list[dict[str, Any]]
    name: str = "stand-in"
    simulated: bool = True
    provenance: dict[str, Any] = field(default_factory=lambda: {"seed": 7})

    def index(self) -> pd.DataFrame:
        return pd.DataFrame(self.rows)

    def folds(self) -> SimpleNamespace:
        ids = [row["clip_id"] for row in self.rows]
        return SimpleNamespace(tests=[ids[::2], ids[1::2]], source="seeded, not the official folds")

    def fingerprint(self) -> str:
        return "0123abcd"


def render(
    seed: int, *, seconds: float, width: int = 320, height: int = 240, iod_px: float | None = None, yaw: float = 0.0
) -> Rendered:
    """Render one smiling person; 320x240 and from the front unless told (`yaw` in rad)."""
    rng = np.random.default_rng(seed)
    renderer = FaceRenderer(
        draw_identity(rng, age=30, sex="female"), draw_scene(rng), width=width, height=height, iod_px=iod_px
    )
    clip = draw_clip(draw_subject(rng, age=30, sex="female"), seed % 2, FPS, rng, length_s=seconds)
    pairs = list(zip(clip.action_units, np.add(clip.pose, [yaw, 0, 0, 0, 0, 0]), strict=True))
    return Rendered(
        np.asarray(clip.times, float),
        [renderer.render(units, pose) for units, pose in pairs],
        np.array([renderer.landmarks(units, pose) for units, pose in pairs]),
    )


def blank(count: int, width: int = 320, height: int = 240) -> list[np.ndarray]:
    """Frames of a faceless blurred pattern that drifts."""
    noise = np.random.default_rng(0).integers(40, 200, (height, width + count, 3), np.uint8)
    soft = cv2.GaussianBlur(noise, (0, 0), 12)
    return [np.ascontiguousarray(soft[:, index : index + width]) for index in range(count)]


def real_clip(name: str) -> Path:
    """A real face video, where the machine has them."""
    path = REAL_CLIPS / name
    if not path.is_file():
        pytest.skip(f"{name} is not there: real face videos are not part of the project")
    return path
