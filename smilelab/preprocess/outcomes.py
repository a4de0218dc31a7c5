"""A clip's files in a store: written, and recognised again while its video stays the same."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from smilelab import clips
from smilelab.clips import file_stem
from smilelab.files import write_atomically
from smilelab.preprocess.process import ProcessedClip

_BLOCK = 1 << 16

Row = dict[str, Any]
Files = dict[str, bytes]


def write_outcome(folder: Path, row: Row, clip: ProcessedClip, source: str) -> None:
    """Write a clip's files, the outcome last.

    Parameters
    ----------
    folder : Path
        The store's.
    row : dict
        The clip's row of the index.
    clip : ProcessedClip
        What became of it.
    source : str
        Fingerprint of its video, from before that was decoded.
    """
    files: Files = {}
    sha256 = ""
    if clip.status != "failed":
        frames, track = io.BytesIO(), io.BytesIO()
        np.save(frames, clip.frames, allow_pickle=False)
        np.savez(track, **{item.name: getattr(clip.track, item.name) for item in fields(clip.track)})
        sha256 = hashlib.sha256(frames.getvalue() + clip.times.tobytes()).hexdigest()
        files = {".npy": frames.getvalue(), ".npz": track.getvalue()}
    outcome = {
        "status": clip.status,
        "reason": clip.reason,
        "frames": len(clip.frames) if clip.status != "failed" else 0,
        "sampled": clip.sampled,
        "decoded": clip.decoded,
        "faces": clip.faces,
        "width": clip.width,
        "height": clip.height,
        "fps_source": None if np.isnan(clip.fps) else clip.fps,
        "length_s": clip.length_s,
        "sha256": sha256,
    }
    write_files(folder, row, files, outcome, source)


def write_files(folder: Path, row: Row, files: Files, outcome: Row, source: str) -> None:
    """Write a clip's files by their endings, and then what became of it.

    Parameters
    ----------
    folder, row, source
        As in `write_outcome`.
    files : dict of str to bytes
        None where it failed.
    outcome : dict
        Columns of the manifest that are not the database's.
    """
    base = folder / clips.CLIPS_FOLDER / file_stem(row["clip_id"])
    for ending, content in files.items():
        write_atomically(base.with_name(base.name + ending), content)
    told = {**outcome, "source": source, "part": _part(row)}
    write_atomically(base.with_name(base.name + ".json"), as_json(told))


def read_outcome(
    folder: Path, row: Row, source: str, endings: Sequence[str] = (".npy", ".npz")
) -> dict[str, Any] | None:
    """Read what became of a clip.

    Parameters
    ----------
    folder, row
        As in `write_outcome`.
    source : str
        Fingerprint of its video as it is now.
    endings : sequence of str
        Files that a clip which did not fail has.

    Returns
    -------
    dict or None
        None if the clip is still to be processed, or its video or what is asked of it is no longer the same.
    """
    base = folder / clips.CLIPS_FOLDER / file_stem(row["clip_id"])
    try:
        outcome: dict[str, Any] = json.loads(base.with_name(base.name + ".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if outcome["source"] != source or outcome["part"] != _part(row):
        return None
    if outcome["frames"] and not all(base.with_name(base.name + end).is_file() for end in endings):
        return None
    return outcome


def _part(row: Row) -> list[Any]:
    """What was asked of the video, besides the recipe."""
    asked: list[Any] = [None if np.isnan(row[name]) else float(row[name]) for name in ("start_s", "end_s")]
    if row["view"] != "frontal":
        asked.append(row["view"])
    if Path(row["path"]).is_dir() and not np.isnan(row["fps"]):
        asked.append(float(row["fps"]))
    return asked


def fingerprint(path: Path) -> str:
    """16 hex digits over a file's size, first, middle and last 64 KiB: videos that differ, differ there.

    Of a folder, over the names and sizes of its files, and so over the first, the middle and the last of them.
    """
    digest = hashlib.sha256()
    try:
        if path.is_dir():
            files = sorted(item for item in path.iterdir() if item.is_file())
            digest.update(json.dumps([[item.name, item.stat().st_size] for item in files]).encode())
            chosen = [files[at] for at in sorted({0, len(files) // 2, len(files) - 1})] if files else []
        else:
            chosen = [path]
        for item in chosen:
            size = item.stat().st_size
            digest.update(str(size).encode())
            with item.open("rb") as file:
                for start in (0, size // 2, max(size - _BLOCK, 0)):
                    file.seek(start)
                    digest.update(file.read(_BLOCK))
    except OSError:
        return "unreadable"
    return digest.hexdigest()[:16]


def as_json(content: dict[str, Any]) -> bytes:
    """Equal content as equal bytes."""
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()
