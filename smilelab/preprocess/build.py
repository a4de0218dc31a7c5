"""Build a clip store from a database: in parallel, restartable, the same bytes every time.

A store's folder::

    store.json      what it is; written last, so its presence says that the store is finished
    manifest.csv    a row for every clip of the database
    folds.json      test clips of each fold
    clips/ID.npy    face crops (T, S, S, 3) uint8
    clips/ID.npz    times, boxes, landmarks, ...
    clips/ID.json   outcome; written after the two above, so its presence says that the clip is finished
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import sys
from collections.abc import Generator
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol

import cv2
import joblib
import numpy as np
import pandas as pd
from tqdm import tqdm

from smilelab import clips, parallel
from smilelab.clips import ClipStore, file_stem
from smilelab.files import locked, write_atomically
from smilelab.preprocess.index import checked
from smilelab.preprocess.process import ProcessedClip, Recipe, failed, process

__all__ = ["Database", "ProcessedClip", "Recipe", "build", "fingerprint", "process"]

_BLOCK = 1 << 16


class Database(Protocol):
    """What `build` needs of a database; those of `smilelab.datasets` have it."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def simulated(self) -> bool:
        """Whether the videos come from the simulator."""

    @property
    def provenance(self) -> dict[str, Any]:
        """The simulator's settings."""

    def index(self) -> pd.DataFrame:
        """One row a clip."""

    def folds(self) -> Any:
        """Folds, with `tests` (lists of clip ids) and `source`."""

    def fingerprint(self) -> str:
        """Eight hex digits."""


def build(
    database: Database,
    recipe: Recipe,
    root: str | os.PathLike[str] = "data/clips",
    *,
    jobs: int | None = None,
    progress: bool = True,
    limit: int | None = None,
) -> ClipStore:
    """Preprocess every clip of a database, or those that are not yet.

    A build that was interrupted, in whatever way, is completed by calling it again, to the same bytes. A clip whose
    video has changed is processed again. A second build of the same store waits for the first.

    Parameters
    ----------
    database : Database
        From `smilelab.datasets.open`.
    recipe : Recipe
        How to crop and sample.
    root : path-like
        Folder of the stores; this one is ``<root>/<name>-<recipe hash>-<database fingerprint>``.
    jobs : int, optional
        Processes, each of one thread; by default one per core.
    progress : bool
        Show a progress bar, and at the end a table of the clips that are not plainly usable.
    limit : int, optional
        Only the first so many clips of the index; such a store has a folder of its own.

    Returns
    -------
    ClipStore

    Raises
    ------
    ValueError
        If the database's index cannot be used: columns missing, a clip id twice, a label that is no class, ...
    """
    index = checked(database.index(), database.name)
    folds = database.folds()  # asked first: hours of work must not end in folds that cannot be
    folder = Path(root) / f"{database.name}-{recipe.hash}-{database.fingerprint()}"
    if limit is not None:
        index, folder = index.head(limit), folder.with_name(f"{folder.name}-first{limit}")
    (folder / clips.CLIPS_FOLDER).mkdir(parents=True, exist_ok=True)

    def waiting() -> None:
        if progress:
            print(f"{folder.name} is being built by another process; waiting for it", file=sys.stderr)

    with locked(folder / ".lock", waiting):
        _process_all(folder, index, recipe, jobs, progress)
        manifest = _manifest(folder, index)
        _finish(folder, database, folds, recipe, manifest)
    if progress:
        _report(manifest)
    return ClipStore(folder)


def _process_all(folder: Path, index: pd.DataFrame, recipe: Recipe, jobs: int | None, progress: bool) -> None:
    rows = _rows(index)
    todo = [row for row in rows if _outcome(folder, row) is None]
    if not todo:
        return
    (folder / clips.STORE_FILE).unlink(missing_ok=True)
    tasks = [(folder, row, recipe) for row in todo]
    done = parallel.each(_process_to_disk, tasks, jobs=min(jobs or joblib.cpu_count(), len(todo)), died=_crashed)
    bar = tqdm(
        done, total=len(rows), initial=len(rows) - len(todo), desc="preprocess", unit="clip", disable=not progress
    )
    for _ in bar:
        pass


def _rows(index: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in index.to_dict("records")]


def _process_to_disk(folder: Path, row: dict[str, Any], recipe: Recipe) -> None:
    source = fingerprint(Path(row["path"]))
    with _one_thread():
        try:
            clip = process(
                row["path"],
                recipe,
                start_s=row["start_s"],
                end_s=row["end_s"],
                image_fps=row["fps"],
                view=row["view"],
            )
        except Exception as error:  # one clip must not stop a thousand others; the reason goes into the manifest
            clip = failed(" ".join(f"unexpected {type(error).__name__}: {error}".split()))
    _to_disk(folder, row, clip, source)


def _crashed(folder: Path, row: dict[str, Any], _recipe: Recipe) -> None:
    reason = "the process that worked on it died: its video crashes the decoder, or memory ran out"
    _to_disk(folder, row, failed(reason), fingerprint(Path(row["path"])))


def _to_disk(folder: Path, row: dict[str, Any], clip: ProcessedClip, source: str) -> None:
    base = folder / clips.CLIPS_FOLDER / file_stem(row["clip_id"])
    sha256 = ""
    if clip.status != "failed":
        frames, track = io.BytesIO(), io.BytesIO()
        np.save(frames, clip.frames, allow_pickle=False)
        np.savez(track, **{item.name: getattr(clip.track, item.name) for item in fields(clip.track)})
        sha256 = hashlib.sha256(frames.getvalue() + clip.times.tobytes()).hexdigest()
        write_atomically(base.with_name(base.name + ".npy"), frames.getvalue())
        write_atomically(base.with_name(base.name + ".npz"), track.getvalue())
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
        "source": source,
        "part": _part(row),
    }
    write_atomically(base.with_name(base.name + ".json"), _json(outcome))


def _outcome(folder: Path, row: dict[str, Any]) -> dict[str, Any] | None:
    """What became of a clip; None if it is still to be processed, or its video is no longer the same."""
    base = folder / clips.CLIPS_FOLDER / file_stem(row["clip_id"])
    try:
        outcome: dict[str, Any] = json.loads(base.with_name(base.name + ".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if outcome["source"] != fingerprint(Path(row["path"])) or outcome["part"] != _part(row):
        return None
    if outcome["frames"] and not all(base.with_name(base.name + end).is_file() for end in (".npy", ".npz")):
        return None
    return outcome


def _part(row: dict[str, Any]) -> list[Any]:
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


def _manifest(folder: Path, index: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for row in _rows(index):
        outcome = _outcome(folder, row)
        if outcome is None:
            raise RuntimeError(f"{row['clip_id']}: changed while it was being processed. Preprocess again.")
        rows.append({**row, **outcome})
    return pd.DataFrame(rows)[list(clips.MANIFEST_COLUMNS)].set_index("clip_id")


def _finish(folder: Path, database: Database, folds: Any, recipe: Recipe, manifest: pd.DataFrame) -> None:
    known = set(manifest.index)
    tests = [[clip for clip in test if clip in known] for test in folds.tests]
    about = {
        "format": clips.FORMAT,
        "database": database.name,
        "simulated": bool(database.simulated),
        "provenance": database.provenance,
        "recipe": recipe.as_dict(),
        "recipe_hash": recipe.hash,
        "hash": clips.content_hash(recipe.as_dict(), manifest),
        "folds_source": folds.source,
    }
    files = {
        clips.MANIFEST_FILE: manifest.to_csv(lineterminator="\n").encode(),
        clips.FOLDS_FILE: _json({"source": folds.source, "tests": tests}),
        clips.STORE_FILE: _json(about),
    }
    for name, content in files.items():
        if not (folder / name).is_file() or (folder / name).read_bytes() != content:
            write_atomically(folder / name, content)
    wanted = {file_stem(clip) + end for clip in manifest.index for end in (".npy", ".npz", ".json")}
    failures = {file_stem(clip) + end for clip in manifest.index[manifest["frames"] == 0] for end in (".npy", ".npz")}
    for path in (folder / clips.CLIPS_FOLDER).iterdir():
        if path.name not in wanted - failures:
            path.unlink()


def _report(manifest: pd.DataFrame) -> None:
    counts = manifest["status"].value_counts()
    summary = ", ".join(f"{counts.get(status, 0)} {status}" for status in ("ok", "partial", "failed"))
    neutral = int((manifest["kind"] == clips.NEUTRAL_KIND).sum())
    beside = f" and {neutral} neutral recordings" if neutral else ""
    print(f"{len(manifest) - neutral} clips{beside}: {summary}")
    notable = manifest.loc[manifest["reason"] != "", ["status", "frames", "reason"]].sort_values(
        "status", kind="stable"
    )
    if len(notable):
        print(notable.sort_values("status", kind="stable").to_string(max_colwidth=100))


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


@contextlib.contextmanager
def _one_thread() -> Generator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
