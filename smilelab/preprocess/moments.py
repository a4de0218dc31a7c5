"""From recordings to smile moments: find them, let a person correct them, and offer them as a database of clips.

A database's moments lie in a folder of their own::

    moments.csv     a row a smile; written last and once, then it belongs to the person who corrects it
    neutral.csv     where each subject's neutral face is
    failures.csv    recordings that could not be used, or only in part, and why

Beside it, what was measured in every frame is kept for other thresholds, and so that an interrupted run goes on.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import joblib
import numpy as np
import pandas as pd
from tqdm import tqdm

from smilelab import parallel
from smilelab.clips import file_stem
from smilelab.datasets import trace_files
from smilelab.files import locked, write_atomically
from smilelab.preprocess.action_units import (
    ActionUnitError,
    ActionUnits,
    Measures,
    estimate,
    measure,
    read_openface,
)
from smilelab.preprocess.build import Database, fingerprint
from smilelab.preprocess.detection import DEFAULT, Moment, Thresholds, detect, quiet_stretch
from smilelab.preprocess.index import checked
from smilelab.preprocess.moment_table import (
    COLUMNS,
    FAILURE_COLUMNS,
    FAILURES_FILE,
    LABELS,
    MOMENTS_FILE,
    NEUTRAL_COLUMNS,
    NEUTRAL_FILE,
    MomentDatabase,
    MomentError,
    write_table,
)
from smilelab.preprocess.traces import UNITS, action_units, read_trace
from smilelab.preprocess.video import VideoError
from smilelab.signals import phases

__all__ = ["Moment", "MomentDatabase", "MomentError", "Neutral", "Thresholds", "detect", "find", "read_measures"]

Neutral = Literal["recording", "median"]

# Raised whenever the same videos come to give other measures; other moments.
_MEASURES, _MOMENTS = 1, 2
_MARGIN = 0.25  # of the time between two frames: a part of a video holds what lies clearly inside, and no frame beyond
_INDEX_FILE = "clips.csv"  # of the recordings themselves: no table of OpenFace, whatever a video is called


def find(
    database: Database,
    root: str | os.PathLike[str] = "data/moments",
    *,
    thresholds: Thresholds = DEFAULT,
    neutral: Neutral = "recording",
    openface: str | os.PathLike[str] | None = None,
    fps: float | None = None,
    jobs: int | None = None,
    progress: bool = True,
) -> MomentDatabase:
    """Find the smile moments of every recording, or read those that were found before.

    A recording with an OpenFace table named after its video is detected by that, others by our own estimate; one that
    is a file of traces itself is detected by that. Moments
    that were found are never found again over a person's corrections: another setting, another OpenFace table or other
    videos have a table of their own. A recording that cannot be used is a row of ``failures.csv``.

    Parameters
    ----------
    database : Database
        From `smilelab.datasets.open`.
    root : path-like
        Folder of the tables; those of this call are in ``<root>/<name>-<hash of settings>-<database fingerprint>``.
    thresholds : Thresholds
        What counts as a smile, for both classes.
    neutral : {"recording", "median"}
        The neutral face is that of the subject's neutral recording, where there is one that can be used; or always the
        quietest two seconds near the median of activity in the subject's other recordings.
    openface : path-like, optional
        Folder of OpenFace tables, besides each video's own folder; ``<name of the video>.csv``, or the same in a
        subfolder as the video has.
    fps : float, optional
        Frames per second looked at by our own estimate; None takes every frame.
    jobs : int, optional
        Processes, each of one thread; by default one per core.
    progress : bool
        Show a bar, and the recordings that cannot be used plainly.

    Returns
    -------
    MomentDatabase

    Raises
    ------
    ValueError
        If `neutral` is neither of the two.
    MomentError
        If `openface` is no folder, the database has no recording, or the table was corrected to something that cannot
        be.

    Source: Lee & Lee 2020, section 3.2.1.
    """
    if neutral not in get_args(Neutral):
        raise ValueError(f"neutral is {neutral!r}; expected one of {', '.join(get_args(Neutral))}")
    index = checked(database.index(), database.name)
    recordings = index[index["kind"] == "recording"]
    if recordings.empty:
        raise MomentError(f"{database.name}: has no row of kind recording; expected at least one to find smiles in.")
    tables = _openface_tables(recordings, openface)
    settings = {
        "algorithm": [_MEASURES, _MOMENTS], "thresholds": asdict(thresholds), "neutral": neutral, "fps": fps,
        "openface": {clip_id: hashlib.sha256(path.read_bytes()).hexdigest() for clip_id, path in tables.items()},
    }  # fmt: skip
    folder = Path(root) / f"{database.name}-{_hash(settings)}-{database.fingerprint()}"
    measures = Path(root) / f"{database.name}-measures-{_hash([_MEASURES, fps])}"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock", lambda: _say(f"{folder.name}: another process is at it; waiting", progress)):
        if not (folder / MOMENTS_FILE).is_file():
            _say_what_is_new(folder, database.name, recordings, tables, openface, progress)
            finder = _Finder(index, tables, measures, thresholds, neutral, fps)
            finder.measure(jobs, progress)
            finder.write(folder)
        else:
            _say(f"{folder / MOMENTS_FILE}: found before; corrections in it are kept", progress)
        _report(folder, progress)
    return MomentDatabase(database, folder)


class _Finder:
    """One run of `find` over an index."""

    def __init__(
        self,
        index: pd.DataFrame,
        tables: dict[str, Path],
        folder: Path,
        thresholds: Thresholds,
        neutral: Neutral,
        fps: float | None,
    ) -> None:
        rows = [{str(key): value for key, value in row.items()} for row in index.to_dict("records")]
        self.recordings = [row for row in rows if row["kind"] == "recording"]
        self.neutrals = [row for row in rows if row["kind"] == "neutral" and neutral == "recording"]
        self.tables = tables
        self.folder = folder
        self.thresholds = thresholds
        self.fps = fps
        self.failures: list[tuple[str, str, str]] = []
        self._files: dict[str, Path] = {}

    def measure(self, jobs: int | None, progress: bool) -> None:
        """Measure, in parallel, the recordings that have no OpenFace table, and the neutral faces that those need."""
        self.folder.mkdir(parents=True, exist_ok=True)
        recordings = [row for row in self.recordings if row["clip_id"] not in self.tables]
        subjects = {row["subject"] for row in recordings}
        rows = [*(row for row in self.neutrals if row["subject"] in subjects), *recordings]
        tasks = [(row, self._file(row), self.fps) for row in rows if not self._file(row).is_file()]
        jobs = min(jobs or joblib.cpu_count(), max(len(tasks), 1))
        bar = tqdm(
            parallel.each(_measure_to_disk, tasks, jobs=jobs, died=_died), total=len(rows),
            initial=len(rows) - len(tasks), desc="moments", unit="recording", disable=not progress,
        )  # fmt: skip
        self.failures += [(clip_id, "failed", reason) for clip_id, reason in bar if reason]

    def write(self, folder: Path) -> None:
        """Find moments and neutral faces and write the three tables."""
        failed = {clip_id for clip_id, _, _ in self.failures}
        neutrals = [row for row in self.neutrals if row["clip_id"] not in failed]
        faces = {row["subject"]: row for row in reversed(neutrals)}
        moments: list[dict[str, Any]] = []
        quiet: dict[str, list[tuple[float, dict[str, Any]]]] = {}
        for row in self.recordings:
            units = self._units(row, faces.get(row["subject"]))
            if units is None:
                continue
            found = detect(units, self.thresholds)
            moments += [_as_row(row, number, moment, units) for number, moment in enumerate(found, start=1)]
            if not found:
                reason = f"no smile in {np.ptp(units.times):.1f} s at these thresholds"
                self.failures.append((row["clip_id"], "no smile", reason))
            if row["subject"] not in faces and (stretch := quiet_stretch(units, found)):
                start, end, restless = stretch
                part = {"clip_id": f"{row['clip_id']}.neutral", **_named(row), "start_s": start, "end_s": end}
                quiet.setdefault(row["subject"], []).append((restless, part))
        neutral = [{**_named(row), **row} for row in neutrals]
        neutral += [min(parts, key=lambda part: part[0])[1] for parts in quiet.values()]
        self.failures += self._of_another_source()
        self.failures += self._without_neutral({str(part["subject"]) for part in neutral})
        write_table(folder / NEUTRAL_FILE, pd.DataFrame(neutral, columns=list(NEUTRAL_COLUMNS)))
        write_table(folder / FAILURES_FILE, pd.DataFrame(sorted(self.failures), columns=list(FAILURE_COLUMNS)))
        write_table(folder / MOMENTS_FILE, pd.DataFrame(moments, columns=list(COLUMNS)))

    def _of_another_source(self) -> Iterator[tuple[str, str, str]]:
        """Recordings that are estimated while others have an OpenFace table: where smiles begin and end may differ."""
        reason = f"estimated, while {len(self.tables)} recordings have an OpenFace table: not the same yardstick"
        for row in self.recordings if self.tables else ():
            if row["clip_id"] not in self.tables and self._file(row).is_file():
                yield row["clip_id"], "no table", reason

    def _without_neutral(self, known: set[str]) -> Iterator[tuple[str, str, str]]:
        first = {row["subject"]: row["clip_id"] for row in reversed(self.recordings)}
        for subject in first.keys() - known:
            yield first[subject], "no neutral", f"subject {subject}: no neutral recording and no quiet second"

    def _units(self, row: dict[str, Any], neutral: dict[str, Any] | None) -> ActionUnits | None:
        clip_id = row["clip_id"]
        if clip_id in self.tables:
            try:
                if self.tables[clip_id] == Path(row["path"]):
                    return _part(_of_traces(self.tables[clip_id], row["fps"]), row)
                return _part(read_openface(self.tables[clip_id]), row)
            except ActionUnitError as error:
                self.failures.append((clip_id, "failed", str(error)))
                return None
        if not self._file(row).is_file():
            return None
        measures = read_measures(self._file(row))
        if measures.warning:
            self.failures.append((clip_id, "partial", measures.warning))
        return estimate(measures, read_measures(self._file(neutral)) if neutral else None)

    def _file(self, row: dict[str, Any]) -> Path:
        """Where a recording's measures are kept: by the video itself, whatever else is in the database."""
        clip_id = row["clip_id"]
        if clip_id not in self._files:
            video = [fingerprint(Path(row["path"])), str(row["start_s"]), str(row["end_s"]), str(row["fps"])]
            self._files[clip_id] = self.folder / f"{file_stem(clip_id)}-{_hash(video)}.npz"
        return self._files[clip_id]


def _openface_tables(recordings: pd.DataFrame, folder: str | os.PathLike[str] | None) -> dict[str, Path]:
    """OpenFace tables by the recording's id; a given folder goes before the video's own."""
    if folder is not None and not Path(folder).is_dir():
        raise MomentError(f"{folder}: no such folder; expected one with OpenFace tables named after the videos.")
    paths = {clip_id: Path(path) for clip_id, path in zip(recordings["clip_id"], recordings["path"], strict=True)}
    shared = Path(os.path.commonpath([path.parent for path in paths.values()]))
    stems = pd.Series({path: path.stem for path in set(paths.values())}).value_counts()
    tables: dict[str, Path] = {}
    for clip_id, path in paths.items():
        if trace_files.stem(path) is not None:
            tables[clip_id] = path
            continue
        beside = path.with_suffix(".csv")
        places = [beside] if beside.name != _INDEX_FILE else []
        if folder is not None:
            flat = Path(folder) / beside.name
            if flat.is_file() and stems[path.stem] > 1 and path.parent != shared:
                raise MomentError(
                    f"{flat}: belongs to any of {stems[path.stem]} videos called {path.stem}; expected the tables in "
                    "subfolders as the videos are."
                )
            places = [Path(folder) / beside.relative_to(shared), flat, *places]
        table = next((place for place in places if place.is_file()), None)
        if table is not None:
            tables[clip_id] = table
    return tables


def _measure_to_disk(row: dict[str, Any], path: Path, fps: float | None) -> tuple[str, str]:
    """Measure one recording; returns its id, and why it failed or nothing."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        measures = measure(row["path"], fps=fps, start_s=row["start_s"], end_s=row["end_s"])
    except VideoError as error:
        return row["clip_id"], error.reason
    except ActionUnitError as error:
        return row["clip_id"], str(error)
    except Exception as error:  # one recording must not stop a hundred others; the reason goes into the table
        return row["clip_id"], " ".join(f"unexpected {type(error).__name__}: {error}".split())
    finally:
        cv2.setNumThreads(threads)
    content = io.BytesIO()
    np.savez_compressed(content, **vars(measures))
    write_atomically(path, content.getvalue())
    return row["clip_id"], ""


def _died(row: dict[str, Any], *_: Any) -> tuple[str, str]:
    return row["clip_id"], "the process that worked on it died: its video crashes the decoder, or memory ran out"


def read_measures(path: Path) -> Measures:
    """Read what `find` keeps of one recording.

    Parameters
    ----------
    path : Path
        A file in ``<root>/<name>-measures-...``, named by the recording's id.

    Returns
    -------
    Measures
    """
    with np.load(path, allow_pickle=False) as arrays:
        return Measures(arrays["times"], arrays["landmarks"], arrays["cheeks"], str(arrays["warning"]))


def _of_traces(path: Path, fps: float) -> ActionUnits:
    trace = read_trace(path, fps=fps)
    return action_units(pd.DataFrame(trace.intensities, columns=list(UNITS)).assign(time_s=trace.times))


def _part(units: ActionUnits, row: dict[str, Any]) -> ActionUnits:
    """Of a table over a whole video, the part that the row names."""
    start, end = (float(row[name]) for name in ("start_s", "end_s"))
    outside = (units.times < start) | (units.times >= end)  # comparisons with NaN, an open end, are False
    return ActionUnits(
        units.times, units.au06, units.au12, units.valid & ~outside, units.source, units.lip, units.present
    )


def _as_row(row: dict[str, Any], number: int, moment: Moment, units: ActionUnits) -> dict[str, Any]:
    within = (units.times >= moment.start_s) & (units.times <= moment.end_s)
    margin = _MARGIN * float(np.median(np.diff(units.times)))
    of = phases(units.lip_signal[within], units.times[within], longest_in="signal")
    return {
        "clip_id": f"{row['clip_id']}.smile{number:02d}", **_named(row), "label": LABELS[int(row["label"])],
        "start_s": max(moment.start_s - margin, 0.0), "end_s": moment.end_s + margin,
        **{f"{name}_s": phase[0] if phase else np.nan for name, phase in of._asdict().items()},
        "peak_au12": moment.peak_au12, "peak_au06": moment.peak_au06, "source": units.source, "keep": "yes",
    }  # fmt: skip


def _named(row: dict[str, Any]) -> dict[str, str]:
    return {"recording": row["clip_id"], "subject": row["subject"]}


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _say_what_is_new(
    folder: Path, name: str, recordings: pd.DataFrame, tables: dict[str, Path], openface: Any, progress: bool
) -> None:
    """Say what a new table is made from, and that older ones stay behind with whatever was corrected in them."""
    if openface is not None and not tables:
        raise MomentError(
            f"{openface}: holds no OpenFace table of any of the {len(recordings)} recordings; expected "
            f"{Path(str(recordings['path'].iloc[0])).stem}.csv and so on, named after the videos."
        )
    if tables:
        _say(
            f"OpenFace tables for {len(tables)} of {len(recordings)} recordings, own estimate for the others", progress
        )
    for other in sorted(folder.parent.glob(f"{name}-*/{MOMENTS_FILE}")):
        if other.parent != folder:
            _say(
                f"{other}: of another database or other settings; not used, and corrections there stay there",
                progress,
            )


def _report(folder: Path, progress: bool) -> None:
    failures = pd.read_csv(folder / FAILURES_FILE, dtype=str, keep_default_na=False)
    if progress and len(failures):
        print(failures.to_string(index=False, max_colwidth=100))


def _say(line: str, progress: bool) -> None:
    if progress:
        print(line, file=sys.stderr)
