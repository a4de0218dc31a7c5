"""Stores of action-unit traces: what a detector measured of each clip, in place of its pictures.

A store is that of `build`, without pictures: ``clips/ID.npz`` holds ``times`` (T,) s, ``traces`` (T, K) float32, 0 to
5, ``units`` (K,) str and ``bridged`` (T,) bool.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from smilelab import clips
from smilelab.clips import ClipStore
from smilelab.files import locked
from smilelab.preprocess.action_units import CONFIDENCE, ActionUnitError, ActionUnits, as_numbers, read_text_table
from smilelab.preprocess.build import Database, as_rows, finish, summary
from smilelab.preprocess.index import checked
from smilelab.preprocess.outcomes import Row, fingerprint, read_outcome, write_files

__all__ = ["RATE", "UNITS", "Trace", "TraceRecipe", "action_units", "build_traces", "read_trace"]

# Those whose intensity OpenFace 2 measures.
UNITS = tuple(f"AU{number:02d}" for number in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45))
RATE = 50.0  # rows a second of files without times: UvA-NEMO's frame rate
_ADVICE = "Expected comma-separated values with a heading of 17 action units, AU01 to AU45, and a row a frame."
_HEADING = re.compile(r"^au0*(\d{1,2})(_r)?$", re.IGNORECASE)
_LONGEST_BRIDGE = 0.5  # s without a face that a straight line may stand for; our choice, the onset of a quick smile
_ENDINGS = (".npz",)
_ALGORITHM = 1  # raised whenever the same files come to give another store


@dataclass(frozen=True)
class TraceRecipe:
    """Stands in a store of traces where `Recipe` stands in one of crops; there is nothing to choose."""

    def as_dict(self) -> dict[str, Any]:
        """What a store of traces is, and the version of the algorithm."""
        return {"traces": "action units", "algorithm": _ALGORITHM}

    @property
    def hash(self) -> str:
        """12 hex digits."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True, eq=False)
class Trace:
    """Action units of one clip over time.

    Attributes
    ----------
    times : (T,) float64
        Seconds from the first frame of the video, increasing.
    intensities : (T, 17) float32
        Intensities of :data:`UNITS`, 0 to 5.
    bridged : (T,) bool
        Frames without a face, on a straight line between those before and after.
    rows : int
        Of the file, in the part asked for.
    reason : str
        Empty, or a sentence on what is missing.
    """

    times: NDArray[np.float64]
    intensities: NDArray[np.float32]
    bridged: NDArray[np.bool_]
    rows: int
    reason: str = ""


def read_trace(
    path: str | os.PathLike[str], *, fps: float = RATE, start_s: float = np.nan, end_s: float = np.nan
) -> Trace:
    """Read a clip's action units.

    Parameters
    ----------
    path : path-like
        Values separated by commas below a heading, a row a frame: the 17 units as ``AU01`` or ``AU01_r``, in whatever
        order, and any other columns, of which are used ``timestamp`` (s) or else ``frame`` (number), ``success`` and
        ``confidence`` (frames that failed, or below 0.8, count as without a face) and ``face_id`` (of several the one
        in most frames).
    fps : float
        Frames a second, where there is no ``timestamp``; rows a second, where there is no ``frame`` either.
    start_s, end_s : float
        Part of the file, s; NaN means open.

    Returns
    -------
    Trace
        Frames without a face are left out at both ends and bridged between, by up to half a second.

    Raises
    ------
    ActionUnitError
        The file is no such table, a cell is no number, times do not increase, or too little of it shows a face.
    """
    path = Path(path)
    table = read_text_table(path, (), _ADVICE)
    columns = _columns(path, table)
    faceless = _faceless(table)
    if "face_id" in table and not faceless.all():
        own = (table["face_id"] == table["face_id"][~faceless].value_counts(sort=False).idxmax()).to_numpy()
        table, faceless = table[own], faceless[own]
    values = np.stack([as_numbers(table[columns[unit]]) for unit in UNITS], axis=1)
    wrong = np.argwhere(~np.isfinite(values) & ~faceless[:, None])
    if len(wrong):
        row, unit = wrong[0]
        column = columns[UNITS[unit]]
        raise ActionUnitError(
            f"{path}: row {table.index[row] + 2}: {column} is {table[column].iloc[row]!r}, expected a number. Make the "
            "file again."
        )
    times = _times(path, table, fps)
    within = ~((times < start_s) | (times >= end_s))  # comparisons with NaN, an open end, are False
    return _bridged(path, times[within], values[within], faceless[within])


def action_units(traces: pd.DataFrame) -> ActionUnits:
    """Take AU06 and AU12 out of traces, to find smile moments (`preprocess.detection.detect`) and phases.

    Parameters
    ----------
    traces : DataFrame
        As `smilelab.clips.ClipStore.traces` gives it.

    Returns
    -------
    ActionUnits
    """
    times, au06, au12 = (traces[name].to_numpy(np.float64) for name in ("time_s", "AU06", "AU12"))
    return ActionUnits(times, au06, au12, np.ones(len(times), bool), "traces")


def build_traces(
    database: Database,
    root: str | os.PathLike[str] = "data/clips",
    *,
    progress: bool = True,
    limit: int | None = None,
) -> ClipStore:
    """Read the traces of every clip of a database into a store, or those that are not yet.

    A build that was interrupted is completed by calling it again, to the same bytes; a clip whose file has changed is
    read again. A file that cannot be used is a row of the manifest that says why.

    Parameters
    ----------
    database : Database
        From ``smilelab.datasets.open("au-traces", ...)``, or the smile moments found in such a one.
    root : path-like
        Folder of the stores; this one is ``<root>/<name>-<recipe hash>-<database fingerprint>``.
    progress : bool
        Show a progress bar, and at the end a table of the clips that are not plainly usable.
    limit : int, optional
        Only the first so many clips of the index; such a store has a folder of its own.

    Returns
    -------
    ClipStore
        With ``traces`` and without ``frames``.

    Raises
    ------
    ValueError
        As `smilelab.preprocess.build.build`.
    """
    index = checked(database.index(), database.name)
    folds = database.folds()
    recipe, suffix = TraceRecipe(), ""
    if limit is not None:
        index, suffix = index.head(limit), f"-first{limit}"
    folder = Path(root) / f"{database.name}-{recipe.hash}-{database.fingerprint()}{suffix}"
    (folder / clips.CLIPS_FOLDER).mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock", functools.partial(_say_waiting, folder, progress)):
        found: list[Row] = []
        for row in tqdm(as_rows(index), desc="traces", unit="clip", disable=not progress):
            source = fingerprint(Path(row["path"]))
            outcome = read_outcome(folder, row, source, _ENDINGS)
            if outcome is None:
                (folder / clips.STORE_FILE).unlink(missing_ok=True)
                _to_disk(folder, row, source)
                outcome = read_outcome(folder, row, source, _ENDINGS)
                assert outcome is not None
            found.append({**row, **outcome})
        manifest = pd.DataFrame(found)[list(clips.MANIFEST_COLUMNS)].set_index("clip_id")
        finish(folder, database, folds, recipe, manifest)
    if progress:
        print(summary(manifest))
    return ClipStore(folder)


def _faceless(table: pd.DataFrame) -> NDArray[np.bool_]:
    found = np.zeros(len(table), bool)
    if "success" in table:
        found |= as_numbers(table["success"]) != 1
    if "confidence" in table:
        found |= ~(as_numbers(table["confidence"]) >= CONFIDENCE)
    return found


def _columns(path: Path, table: pd.DataFrame) -> dict[str, str]:
    """Column of each unit; an intensity (``_r``) goes before a column without an ending."""
    found: dict[str, str] = {}
    for name in sorted(table.columns, key=lambda name: name.lower().endswith("_r"), reverse=True):
        if match := _HEADING.match(name):
            found.setdefault(f"AU{int(match[1]):02d}", name)
        elif _HEADING.match(name.partition(".")[0]):  # as pandas calls a second column of that name
            raise ActionUnitError(f"{path}: column {name.partition('.')[0]} is there twice, expected once. {_ADVICE}")
    if missing := [unit for unit in UNITS if unit not in found]:
        seen = ", ".join(repr(name[:20]) for name in table.columns[:4])
        raise ActionUnitError(f"{path}: has no column {', '.join(missing)}; found {seen}, ... {_ADVICE}")
    return found


def _times(path: Path, table: pd.DataFrame, fps: float) -> NDArray[np.float64]:
    rate = fps if np.isfinite(fps) else RATE
    clock = next((name for name in ("timestamp", "frame") if name in table), None)
    if clock is None:
        return np.arange(len(table)) / rate
    times = as_numbers(table[clock])
    wrong = np.flatnonzero(~(np.diff(times, prepend=-np.inf) > 0))
    if len(wrong):
        expected = "times in seconds that increase" if clock == "timestamp" else "numbers of frames that increase"
        raise ActionUnitError(
            f"{path}: row {table.index[wrong[0]] + 2}: {clock} is {table[clock].iloc[wrong[0]]!r}, expected "
            f"{expected}. Is it one table of one video?"
        )
    return times if clock == "timestamp" else (times - times[0]) / rate


def _bridged(path: Path, times: NDArray[np.float64], values: NDArray[np.float64], faceless: NDArray[np.bool_]) -> Trace:
    seen = np.flatnonzero(~faceless)
    if len(seen) < 2:
        raise ActionUnitError(
            f"{path}: {len(seen)} of {len(times)} frames show a face, expected 2 at least. Run the detector again."
        )
    # Rows may be there and show no face, or be left out.
    steps = np.diff(times[seen])
    longest = int(np.argmax(steps))
    if steps[longest] > _LONGEST_BRIDGE:
        start, end = times[seen[longest]], times[seen[longest + 1]]
        raise ActionUnitError(
            f"{path}: no face from {start:.1f} to {end:.1f} s, expected gaps of {_LONGEST_BRIDGE:g} s at most. Run the "
            "detector again."
        )
    kept = slice(seen[0], seen[-1] + 1)
    whole = np.stack([np.interp(times[kept], times[seen], unit[seen]) for unit in values.T], axis=1)
    count = int(faceless.sum())
    reason = f"no face in {count} of {len(times)} frames" if count else ""
    return Trace(times[kept], np.clip(whole, 0, 5).astype(np.float32), faceless[kept], len(times), reason)


def _to_disk(folder: Path, row: Row, source: str) -> None:
    trace, reason = None, ""
    try:
        trace = read_trace(row["path"], fps=row["fps"], start_s=row["start_s"], end_s=row["end_s"])
    except ActionUnitError as error:
        # Without the path: a copy elsewhere is the same store.
        reason = str(error).removeprefix(f"{row['path']}: ")
    files, content = {}, io.BytesIO()
    if trace is not None:
        arrays = {"times": trace.times, "traces": trace.intensities, "units": np.array(UNITS), "bridged": trace.bridged}
        np.savez(content, **arrays)  # type: ignore[arg-type]
        files = {".npz": content.getvalue()}
        reason = trace.reason
    length = float(np.ptp(trace.times)) if trace is not None else 0.0
    frames, rows = (len(trace.times), trace.rows) if trace is not None else (0, 0)
    outcome = {
        "status": "failed" if trace is None else "partial" if trace.reason else "ok",
        "reason": reason,
        "frames": frames,
        "sampled": rows,
        "decoded": rows,
        "faces": int(trace is not None),
        "width": 0,
        "height": 0,
        "fps_source": (frames - 1) / length if frames else None,
        "length_s": length,
        "sha256": _digest(trace) if trace is not None else "",
    }
    write_files(folder, row, files, outcome, source)


def _digest(trace: Trace) -> str:
    return hashlib.sha256(trace.intensities.tobytes() + trace.times.tobytes()).hexdigest()


def _say_waiting(folder: Path, progress: bool) -> None:
    if progress:
        print(f"{folder.name} is being built by another process; waiting for it", file=sys.stderr)
