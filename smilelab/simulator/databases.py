"""Whole simulated databases in the layouts of the real ones, with ground truth beside them."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import smilelab
from smilelab.files import write_atomically
from smilelab.preprocess import video
from smilelab.simulator import au_traces as readings
from smilelab.simulator import bbc, mmi, recordings, spos, uva_nemo
from smilelab.simulator import truth as ground_truth
from smilelab.simulator.cues import checked as checked_cues
from smilelab.simulator.production import Production, Settings
from smilelab.simulator.roster import COMMENT, Clip, SimulationError
from smilelab.simulator.truth import folder as truth_folder
from smilelab.simulator.views import View

__all__ = ["SimulationError", "has_metadata", "names", "simulate", "truth_folder"]

SIMULATOR_VERSION = 1  # raised whenever the same seed gives other pictures
MARKER = "SIMULATED.json"

_LAYOUTS = {
    "bbc": bbc.LAYOUT,
    "mmi": mmi.LAYOUT,
    "recordings": recordings.LAYOUT,
    "spos": spos.LAYOUT,
    "uva-nemo": uva_nemo.LAYOUT,
}


def names() -> list[str]:
    """Names of the databases that can be simulated.

    Returns
    -------
    list of str
    """
    return sorted(_LAYOUTS)


def has_metadata(database: str) -> bool:
    """Whether a database holds anything besides videos, which `simulate` can write alone.

    Parameters
    ----------
    database : str
        One of `names`.

    Returns
    -------
    bool
    """
    return _LAYOUTS[database].write_metadata is not None


def simulate(
    database: str,
    root: str | os.PathLike[str],
    *,
    subjects: int | None = None,
    clips: int | None = None,
    seed: int = 0,
    resolution: tuple[int, int] | None = None,
    length_matched: bool = False,
    asymmetry: bool = True,
    max_length_s: float | None = None,
    confounds: bool = True,
    cues_off: Iterable[str] = (),
    metadata_only: bool = False,
    au_traces: bool = False,
    jobs: int | None = None,
    progress: bool = True,
) -> Path:
    """Make a simulated database in the layout of the real one.

    It can be stopped at any moment, `kill -9` included: called again with the same settings it finishes what is
    missing, and the result is the same, byte for byte, as if it had not been stopped.

    Parameters
    ----------
    database : str
        One of `names`.
    root : path-like
        Becomes the database's root; missing or empty at first. The ground truth goes to `truth_folder`: ``truth.csv``,
        one row a clip, and ``<clip_id>.npz`` with times (T,), action_units (T, 7), pose (T, 6), landmarks (T, 68, 2),
        phases (n, 4): onset, apex, offset and end of each apex, smiles (m, 2): start and end of each smile, and blinks.
    subjects, clips : int, optional
        How many; by default the real counts. With one of them the other follows in the real proportion.
    seed : int
        Another seed is another database.
    resolution : (int, int), optional
        Width and height of the videos in pixels, both even. In "mmi" that of one of its two cameras; the other's
        follows in the real proportion.
    length_matched : bool
        Clip length carries no information about the class; in "recordings" the length of each smile.
    asymmetry : bool
        Whether left and right differ at all.
    max_length_s : float, optional
        Longer clips are made this long, with a whole smile in them.
    confounds : bool
        Whether, in "mmi", each class has a camera of its own, as in the real one. The other databases have no such
        confound and stay as they are.
    cues_off : iterable of str
        Of :data:`smilelab.simulator.cues.CUES`, those that shall not tell the class. People, scenes, cameras and all
        else of the same seed stay as they are.
    metadata_only : bool
        Write everything but videos and ground truth. A later call without it adds those.
    au_traces : bool
        Write action-unit traces as a detector would have measured them, too, to
        :func:`smilelab.simulator.au_traces.folder`. They need no videos, and take a minute for 1240 clips.
    jobs : int, optional
        Processes of one thread each; by default one for each processor. Does not change the result.
    progress : bool
        Whether to show a bar with rate and remaining time.

    Returns
    -------
    Path
        The root.

    Raises
    ------
    SimulationError
        For an unknown database, settings that cannot be met, or a folder that holds anything else than a simulation
        with the same settings.
    """
    layout = _LAYOUTS.get(database)
    if layout is None:
        raise SimulationError(f"database {database!r}: cannot be simulated; expected one of {', '.join(names())}")
    if metadata_only and not au_traces and layout.write_metadata is None:
        having = ", ".join(name for name in names() if has_metadata(name))
        raise SimulationError(f"{database}: holds videos alone and no metadata to write; expected one of {having}")
    if not isinstance(seed, int) or seed < 0:
        raise SimulationError(f"seed {seed!r}: expected a whole number from 0")
    if jobs is not None and jobs < 1:
        raise SimulationError(f"jobs {jobs}: expected the number of processes, 1 or more")
    try:
        off = checked_cues(cues_off)
    except ValueError as error:
        raise SimulationError(str(error)) from None
    settings = Settings(
        database, seed, *layout.counts.scaled(subjects, clips), _checked_size(resolution or layout.resolution),
        length_matched, asymmetry, _checked_length(max_length_s), confounds, off,
    )  # fmt: skip
    production = Production(settings=settings, layout=layout)
    roster = production.roster()
    root = Path(root).resolve()
    _claim(root, production)
    if layout.write_metadata is not None:
        layout.write_metadata(root, roster, production)
    if au_traces:
        readings.write(root, roster, production, MARKER, _provenance(production))
    if not metadata_only:
        _film(root, roster, production, jobs, progress)
    return root


def _film(root: Path, roster: list[Clip], production: Production, jobs: int | None, progress: bool) -> None:
    truth, name = truth_folder(root), production.settings.database
    truth.mkdir(parents=True, exist_ok=True)
    for clip in roster:
        (root / production.layout.path(clip)).parent.mkdir(parents=True, exist_ok=True)
    for leftover in [*root.rglob(".*.part"), *truth.glob(".*.part")]:
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
    open_clips = [clip for clip in roster if not _finished(root / production.layout.path(clip), truth, clip)]
    tasks = (joblib.delayed(_make)(production.settings, clip, root, truth) for clip in open_clips)
    # Processes, each with one thread: frames of one clip depend on each other, clips do not.
    done = joblib.Parallel(n_jobs=jobs or joblib.cpu_count(), backend="loky", return_as="generator_unordered")(tasks)
    already = len(roster) - len(open_clips)
    with tqdm(total=len(roster), initial=already, desc=f"simulating {name}", unit="clip", disable=not progress) as bar:
        for _ in done:
            bar.update()
    table = pd.DataFrame([ground_truth.row(clip, production, truth / f"{clip.clip_id}.npz") for clip in roster])
    write_atomically(truth / "truth.csv", table.to_csv(index=False, lineterminator="\n"))


def _checked_size(resolution: tuple[int, int]) -> tuple[int, int]:
    width, height = resolution
    if min(width, height) < 96 or width % 2 or height % 2:
        raise SimulationError(f"resolution {width}x{height}: expected even numbers from 96, as the video format needs")
    return int(width), int(height)


def _checked_length(max_length_s: float | None) -> float | None:
    if max_length_s is not None and not max_length_s >= 1.0:
        raise SimulationError(f"max_length_s {max_length_s!r}: expected 1 s or more, room for a smile")
    return None if max_length_s is None else float(max_length_s)


def _claim(root: Path, production: Production) -> None:
    """Make both folders ours, or refuse: another simulation or a real database must not be written over."""
    wanted = _provenance(production)
    marker, truth = root / MARKER, truth_folder(root)
    if marker.is_file():
        try:
            found = json.loads(marker.read_text(encoding="utf-8"))
            old, new = (
                {"cues_off": [], **content, **content["settings"], "settings": None} for content in (found, wanted)
            )
        except (ValueError, KeyError, TypeError):
            raise SimulationError(f"{marker}: not written by the simulator; delete {root} and simulate again") from None
        other = "; ".join(f"{key} {old.get(key)!r}, now {new[key]!r}" for key in new if old.get(key) != new[key])
        if other:
            raise SimulationError(
                f"{root}: holds a simulation with other settings ({other}). Use another folder, delete this one and "
                f"{truth.name}, or repeat its settings to finish it"
            )
        return
    for folder in (root, truth):
        if folder.exists() and (not folder.is_dir() or any(x.suffix != ".part" for x in folder.iterdir())):
            raise SimulationError(
                f"{folder}: is not empty and no simulation (there is no {MARKER}); expected a new or empty folder"
            )
    root.mkdir(parents=True, exist_ok=True)
    write_atomically(marker, json.dumps(wanted, indent=2) + "\n")


def _provenance(production: Production) -> dict[str, Any]:
    fields, layout = dataclasses.asdict(production.settings), production.layout
    if not layout.confounds:
        del fields["confounds"]
    # Databases that were made before there were cues to switch off go on unchanged.
    cues_off = fields.pop("cues_off")
    fields |= {"cues_off": list(cues_off)} if cues_off else {}
    rates = list(layout.frame_rates)
    return {
        "simulator": f"smilelab {smilelab.__version__}, simulator {SIMULATOR_VERSION}",
        "database": fields.pop("database"),
        "seed": fields.pop("seed"),
        "settings": {
            **fields, "resolution": list(production.settings.resolution), "fps": rates[0] if len(rates) == 1 else rates
        },
    }  # fmt: skip


def _finished(path: Path, truth: Path, clip: Clip) -> bool:
    return path.exists() and (truth / f"{clip.clip_id}.npz").is_file()


def _make(settings: Settings, clip: Clip, root: Path, truth: Path) -> None:
    """Make one clip: its ground truth first, then its video, each complete or absent."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(limits=1):
            production = Production(settings=settings, layout=_LAYOUTS[settings.database])
            dynamics, view = production.dynamics(clip), production.view(clip)
            rows = list(zip(dynamics.action_units, dynamics.pose, strict=True))
            landmarks = np.stack([view.landmarks(*row) for row in rows]).astype(np.float32)
            ground_truth.write(truth / f"{clip.clip_id}.npz", dynamics, landmarks)
            path, frames = root / production.layout.path(clip), _frames(view, rows)
            if path.suffix:
                fps, crf = production.camera(clip).fps, production.layout.crf
                # Encoding is a fifth of the time; the fastest preset makes larger files, which are small still.
                video.write(path, frames, fps, metadata={"comment": COMMENT}, crf=crf, preset="ultrafast")
            else:
                video.write_images(path, frames, gray=True, trailer=COMMENT.encode())
    except Exception as error:
        error.add_note(f"while simulating {clip.clip_id}")
        raise
    finally:
        cv2.setNumThreads(threads)


def _frames(view: View, rows: list[Any]) -> Iterator[NDArray[np.uint8]]:
    for action_units, pose in rows:
        yield view.render(action_units, pose)
