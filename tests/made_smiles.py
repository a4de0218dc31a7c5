"""Smiles of a drawn face, as landmarks over time: made so that posed ones rise faster and further."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from drawn_faces import placed, symmetric_face

from smilelab.baselines.clip_samples import ClipSamples


def smile(
    times,
    *,
    onset=0.6,
    start=0.4,
    held=0.8,
    offset=0.6,
    size=0.15,
    left=1.0,
    blink=None,
    lids=0.02,
    noise=0.0,
    seed=0,
    raised=0.0,
):
    """(T, 68, 2) in face coordinates: lip corners go out and up by `size`, cheeks up, lids down by `lids`.

    The left side goes `left` times as far, the brows up by `raised` of the smile; a blink shuts the eyes at its time.
    """
    knots = np.cumsum([start, onset, held, offset])
    course = np.interp(times, knots, [0.0, 1.0, 1.0, 0.0])
    course = course**2 * (3 - 2 * course)
    points = np.repeat(symmetric_face()[None], len(times), 0)
    points[:, 48] += size * course[:, None] * [-1, -0.5]
    points[:, 54] += left * size * course[:, None] * [1, -0.5]
    points[:, [2, 14, 31, 35], 1] -= 0.2 * size * course[:, None]
    points[:, 17:27, 1] -= raised * course[:, None]
    shut = lids * course
    if blink is not None:
        shut = np.maximum(shut, 0.18 * np.exp(-(((np.asarray(times) - blink) / 0.08) ** 2)))
    points[:, [37, 38, 43, 44], 1] += shut[:, None]
    return points + noise * np.random.default_rng(seed).normal(size=points.shape)


def manifest_of(clips):
    """What a manifest says of the content of clips."""
    return pd.DataFrame({"sha256": [f"of {clip}" for clip in clips], "source": ""}, index=list(clips))


@dataclass
class SmileStore:
    """A store of landmarks alone; features are kept below `path`."""

    path: object
    clips: dict = field(default_factory=dict)
    rows: list = field(default_factory=list)
    has_frames = True
    database = "drawn"

    def add(self, clip_id, times, landmarks, label=0, subject="a"):
        bridged = np.zeros(len(times), bool)
        self.clips[clip_id] = {"times": np.asarray(times), "landmarks": np.asarray(landmarks), "bridged": bridged}
        self.rows.append((clip_id, subject, label))
        return self

    def track(self, clip_id):
        return self.clips[clip_id]

    @property
    def manifest(self):
        return manifest_of(self.clips)

    @property
    def table(self):
        return pd.DataFrame(self.rows, columns=["clip_id", "subject", "label"])

    def samples(self, chosen=slice(None)):
        """Clips of these rows, and their labels."""
        table = self.table.iloc[chosen].reset_index(drop=True)
        return ClipSamples(table, [self]), table["label"].to_numpy()


@dataclass
class TraceStore:
    """A store of traces of action units."""

    path: object
    clips: dict
    has_frames = False
    database = "drawn traces"

    @property
    def manifest(self):
        return manifest_of(self.clips)

    def traces(self, clip_id):
        return self.clips[clip_id]

    def track(self, clip_id):
        return {"times": self.clips[clip_id]["time_s"].to_numpy()}


def store_of_smiles(folder, *, subjects=12, each=2, seed=0, fps=25.0):
    """Clips of either class of every subject; posed ones rise in half the time and further."""
    generator = np.random.default_rng(seed)
    store = SmileStore(folder)
    times = np.arange(int(3 * fps)) / fps
    for subject in range(subjects):
        own = generator.normal(1.0, 0.05)
        for label in (0, 1):
            for take in range(each):
                kind = {
                    "onset": own * (0.4 if label == 0 else 0.9) * generator.normal(1, 0.05),
                    "size": own * (0.2 if label == 0 else 0.14) * generator.normal(1, 0.1),
                    "lids": 0.05 if label else 0.0,
                    "raised": 0.03 * label,
                }
                points = smile(times, **kind, noise=0.002, seed=int(generator.integers(2**31)))
                store.add(f"s{subject:02d}_{label}_{take}", times, placed(points), label, f"s{subject:02d}")
    return store
