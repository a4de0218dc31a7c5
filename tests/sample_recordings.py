"""A person on film with the true action units, and recordings of nobody in particular with tables of action units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sample_videos import FPS, StandIn

from smilelab.datasets.splits import Folds
from smilelab.preprocess import video
from smilelab.preprocess.action_units import ActionUnits
from smilelab.simulator.dynamics import draw_clip, draw_subject
from smilelab.simulator.face import FaceRenderer
from smilelab.simulator.identity import draw_identity
from smilelab.simulator.scene import draw_scene


@dataclass
class Person:
    """A filmed person: the video, and what is true of each of its frames."""

    video: Path
    times: np.ndarray
    landmarks: np.ndarray
    au06: np.ndarray
    au12: np.ndarray
    smile: tuple[float, float]


def film(path: Path, seed: int, *, seconds: float, width: int = 320, height: int = 240, rest: bool = False) -> Person:
    """Render one smile, or with `rest` the same person in the same place who does not smile."""
    rng = np.random.default_rng(seed)
    renderer = FaceRenderer(draw_identity(rng, age=30, sex="female"), draw_scene(rng), width=width, height=height)
    clip = draw_clip(draw_subject(rng, age=30, sex="female"), 1, FPS, rng, length_s=seconds)
    units = np.where([True] * 6 + [False], 0, clip.action_units) if rest else clip.action_units
    pairs = list(zip(units, clip.pose, strict=True))
    video.write(path, (renderer.render(*pair) for pair in pairs), FPS)
    return Person(
        path,
        np.asarray(clip.times, float),
        np.array([renderer.landmarks(*pair) for pair in pairs]),
        units[:, :2].mean(1),
        units[:, 2:4].mean(1),
        (clip.phases[0].onset_s, clip.phases[-1].end_s),
    )


def bumps(*smiles: tuple[float, float, float], length_s: float = 20.0, fps: float = 30.0) -> ActionUnits:
    """AU12 with a trapezoid for each (start, end, height), ramps of 0.4 s; AU06 is half of it."""
    times = np.arange(0, length_s, 1 / fps)
    au12 = np.zeros(len(times))
    for start, end, height in smiles:
        au12 += np.interp(times, [start, start + 0.4, end - 0.4, end], [0, height, height, 0])
    return ActionUnits(times, au12 / 2, au12, np.ones(len(times), bool), "openface")


def write_openface(path: Path, units: ActionUnits) -> None:
    """Write action units as OpenFace does, blanks after commas included."""
    table = pd.DataFrame(
        {
            "frame": np.arange(1, len(units.times) + 1),
            " timestamp": units.times.round(3),
            " confidence": 0.98,
            " success": units.valid.astype(int),
            " AU06_r": units.au06.round(2),
            " AU12_r": units.au12.round(2),
            " AU12_c": (units.au12 >= 1).astype(float),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)


@dataclass
class Recordings(StandIn):
    """Recordings in memory; each subject is a fold."""

    name: str = "recordings"

    def folds(self) -> Folds:  # type: ignore[override]
        rows = [row for row in self.rows if row["kind"] != "neutral"]
        subjects = sorted({row["subject"] for row in rows})
        tests = tuple(tuple(row["clip_id"] for row in rows if row["subject"] == subject) for subject in subjects)
        return Folds(tests, "by subject", official=False)


def recordings(folder: Path, names: Sequence[str], **others: Any) -> Recordings:
    """Rows for names such as ``S1_posed``, ``S2_spontaneous`` and ``S1_neutral``; videos are `folder`/NAME.mp4."""
    labels = {"posed": 0, "spontaneous": 1, "neutral": -1}
    rows = []
    for name in names:
        subject, manner = name.split("_")
        row = {
            "clip_id": name, "path": str(folder / f"{name}.mp4"), "label": labels[manner], "subject": subject,
            "sex": "", "age": np.nan, "fps": np.nan, "start_s": np.nan, "end_s": np.nan, "view": "frontal",
            "kind": "neutral" if manner == "neutral" else "recording",
        }  # fmt: skip
        rows.append(row | others)
    return Recordings(rows)
