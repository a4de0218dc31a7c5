"""A store of action-unit traces on disk, written by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from smilelab.clips import CLIPS_FOLDER, MANIFEST_COLUMNS, ClipStore, file_stem
from smilelab.preprocess.traces import UNITS

Written = tuple[int, str, np.ndarray, np.ndarray]


def write_traces(folder: Path, clips: Mapping[str, Written], *, units: Sequence[str] = UNITS) -> ClipStore:
    """Write clips by their ids: label, subject, times (T,) s, traces (T, K)."""
    (folder / CLIPS_FOLDER).mkdir(parents=True)
    rows = [",".join(MANIFEST_COLUMNS)]
    for clip_id, (label, subject, times, traces) in clips.items():
        values = {
            **dict.fromkeys(MANIFEST_COLUMNS, "0"),
            **{"clip_id": clip_id, "label": str(label), "subject": subject, "kind": "clip", "frames": str(len(times))},
            **{"status": "ok", "reason": "", "fps_source": "50.0", "length_s": repr(float(np.ptp(times)))},
        }
        rows.append(",".join(values[column] for column in MANIFEST_COLUMNS))
        base = folder / CLIPS_FOLDER / file_stem(clip_id)
        np.savez(f"{base}.npz", times=times, traces=np.asarray(traces, np.float32), units=np.array(units))
    about = {
        **{"format": 1, "database": "stand-in", "simulated": True, "provenance": {}, "folds_source": "for a test"},
        **{"recipe": {"traces": "action units"}, "recipe_hash": "0" * 12, "hash": "e" * 12},
    }
    (folder / "store.json").write_text(json.dumps(about))
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    (folder / "folds.json").write_text(json.dumps({"tests": []}))
    return ClipStore(folder)
