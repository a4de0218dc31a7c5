"""A clip store on disk, written by hand: times, mouths and pictures as a test wants them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smilelab.clips import CLIPS_FOLDER, MANIFEST_COLUMNS, ClipStore, file_stem

EYE_DISTANCE = 100.0


@dataclass
class Clip:
    """One clip; `times` (T,) s, `width` of the mouth in eye distances (a number or (T,)). Frame k is painted k."""

    clip_id: str
    label: int
    subject: str
    times: np.ndarray
    width: float | np.ndarray = 0.8
    kind: str = "clip"
    fps: float = 30.0


def steady(count: int, fps: float = 30.0) -> np.ndarray:
    """Times of so many frames, s."""
    return np.arange(count) / fps


def write_store(folder: Path, clips: list[Clip], *, size: int = 2, fps: float | None = 30.0) -> ClipStore:
    """Write a store of `size` px crops under a recipe of `fps`."""
    (folder / CLIPS_FOLDER).mkdir(parents=True)
    rows = [",".join(MANIFEST_COLUMNS)]
    for clip in clips:
        count = len(clip.times)
        values = {
            **dict.fromkeys(MANIFEST_COLUMNS, "0"),
            **{"clip_id": clip.clip_id, "label": str(clip.label), "subject": clip.subject, "kind": clip.kind},
            **{"frames": str(count), "status": "ok", "reason": "", "fps_source": repr(clip.fps)},
        }
        rows.append(",".join(values[column] for column in MANIFEST_COLUMNS))
        base = folder / CLIPS_FOLDER / file_stem(clip.clip_id)
        painted = np.arange(count, dtype=np.uint32)[:, None, None, None] % 256
        np.save(f"{base}.npy", np.broadcast_to(painted, (count, size, size, 3)).astype(np.uint8))
        np.savez(f"{base}.npz", times=clip.times, landmarks=_face(np.broadcast_to(clip.width, count)))
    about = {
        **{"format": 1, "database": "stand-in", "simulated": True, "provenance": {}, "folds_source": "for a test"},
        **{"recipe": {"size": size, "fps": fps}, "recipe_hash": "0" * 12, "hash": "f" * 12},
    }
    (folder / "store.json").write_text(json.dumps(about))
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    (folder / "folds.json").write_text(json.dumps({"tests": []}))
    return ClipStore(folder)


def _face(widths: np.ndarray) -> np.ndarray:
    points = np.zeros((len(widths), 68, 2), np.float32)
    points[:, [36, 39], 0] = -EYE_DISTANCE / 2 + np.array([-10.0, 10.0])
    points[:, [42, 45], 0] = EYE_DISTANCE / 2 + np.array([-10.0, 10.0])
    points[:, 48, 0], points[:, 54, 0] = -widths * EYE_DISTANCE / 2, widths * EYE_DISTANCE / 2
    points[:, [48, 54], 1] = EYE_DISTANCE
    return points
