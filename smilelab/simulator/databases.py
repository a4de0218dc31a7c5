"""Whole simulated databases in the layouts of the real ones, with ground truth beside them.

Every subject and every clip has a generator of its own, seeded by the database's seed, the subject's code and the
clip's number: a clip is the same in whatever order and by however many processes a database is made. Only the action
units depend on the label: identity, scene and camera are drawn without it.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

import smilelab
from smilelab.files import write_atomically
from smilelab.preprocess import video
from smilelab.simulator import uva_nemo
from smilelab.simulator.dynamics import ClipDynamics, draw_clip, draw_subject
from smilelab.simulator.face import FaceRenderer, draw_identity, draw_scene
from smilelab.simulator.roster import Clip, Counts, SimulationError

__all__ = ["SimulationError", "names", "simulate", "truth_folder"]

SIMULATOR_VERSION = 1  # raised whenever the same seed gives other pictures
MARKER = "SIMULATED.json"
COMMENT = "simulated by smilelab"


@dataclass(frozen=True)
class _Layout:
    """What sets one database apart.

    Attributes
    ----------
    number : int
        Enters every seed, so that two databases of one seed do not share their subjects.
    resolution : (int, int)
        Width and height the simulator uses by default.
    fps : float
    iod : float
        Mean distance between the eyes over the frame's shorter side.
    counts : Counts
        Full size.
    recruit : callable
        (generator, subjects, clips) -> the roster.
    path : callable
        A clip's path below the root.
    write_metadata : callable
        (root, roster, seed) -> writes everything but videos.
    """

    number: int
    resolution: tuple[int, int]
    fps: float
    iod: float
    counts: Counts
    recruit: Callable[[np.random.Generator, int, int], list[Clip]]
    path: Callable[[Clip], str]
    write_metadata: Callable[[Path, list[Clip], int], None]


_LAYOUTS = {
    "uva-nemo": _Layout(
        number=1,
        resolution=(640, 360),
        fps=50.0,
        iod=0.19,
        counts=uva_nemo.COUNTS,
        recruit=uva_nemo.recruit,
        path=uva_nemo.path,
        write_metadata=uva_nemo.write_metadata,
    ),
}


@dataclass(frozen=True)
class _Settings:
    """What the pictures depend on, and so what a rerun must share with the first run."""

    database: str
    seed: int
    subjects: int
    clips: int
    resolution: tuple[int, int]
    length_matched: bool
    asymmetry: bool
    max_length_s: float | None


def names() -> list[str]:
    """Names of the databases that can be simulated.

    Returns
    -------
    list of str
    """
    return sorted(_LAYOUTS)


def truth_folder(root: str | os.PathLike[str]) -> Path:
    """Where the ground truth of a simulated database lies: beside it, as ``<root>-truth``.

    Parameters
    ----------
    root : path-like
        The simulated database.

    Returns
    -------
    Path
    """
    root = Path(root).resolve()
    return root.with_name(f"{root.name}-truth")


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
        phases (n, 4) and blinks.
    subjects, clips : int, optional
        How many; by default the real counts. With one of them the other follows in the real proportion.
    seed : int
        Another seed is another database.
    resolution : (int, int), optional
        Width and height of the videos in pixels, both even.
    length_matched : bool
        Clip length carries no information about the class.
    asymmetry : bool
        Whether left and right differ at all.
    max_length_s : float, optional
        Longer clips are made this long, with a whole smile in them.
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
    n_subjects, n_clips = layout.counts.scaled(subjects, clips)
    settings = _Settings(
        database, seed, n_subjects, n_clips, _checked_size(resolution or layout.resolution), length_matched, asymmetry,
        _checked_length(max_length_s),
    )  # fmt: skip
    if not isinstance(seed, int) or seed < 0:
        raise SimulationError(f"seed {seed!r}: expected a whole number from 0")
    if jobs is not None and jobs < 1:
        raise SimulationError(f"jobs {jobs}: expected the number of processes, 1 or more")
    roster = layout.recruit(_rng(settings, 0), n_subjects, n_clips)
    root, truth = Path(root).resolve(), truth_folder(root)
    _claim(root, truth, settings)
    layout.write_metadata(root, roster, seed)
    for clip in roster:
        (root / layout.path(clip)).parent.mkdir(parents=True, exist_ok=True)
    for leftover in [*root.rglob("*.part"), *truth.glob("*.part")]:
        leftover.unlink(missing_ok=True)
    open_clips = [clip for clip in roster if not _finished(root / layout.path(clip), truth, clip)]
    tasks = (joblib.delayed(_make)(settings, clip, root, truth) for clip in open_clips)
    # Processes, each with one thread: frames of one clip depend on each other, clips do not.
    done = joblib.Parallel(n_jobs=jobs or joblib.cpu_count(), backend="loky", return_as="generator_unordered")(tasks)
    already = len(roster) - len(open_clips)
    with tqdm(
        total=len(roster), initial=already, desc=f"simulating {database}", unit="clip", disable=not progress
    ) as bar:
        for _ in done:
            bar.update()
    table = pd.DataFrame([_truth_row(settings, clip, truth) for clip in roster])
    write_atomically(truth / "truth.csv", table.to_csv(index=False, lineterminator="\n"))
    return root


def _checked_size(resolution: tuple[int, int]) -> tuple[int, int]:
    width, height = resolution
    if min(width, height) < 96 or width % 2 or height % 2:
        raise SimulationError(f"resolution {width}x{height}: expected even numbers from 96, as the video format needs")
    return int(width), int(height)


def _checked_length(max_length_s: float | None) -> float | None:
    if max_length_s is not None and not max_length_s >= 1.0:
        raise SimulationError(f"max_length_s {max_length_s!r}: expected 1 s or more, room for a smile")
    return None if max_length_s is None else float(max_length_s)


def _rng(settings: _Settings, *key: int) -> np.random.Generator:
    """Return the generator of what `key` names: (0,) the roster, (1, subject), (2, subject, clip number)."""
    return np.random.default_rng(_seed(settings, *key))


def _seed(settings: _Settings, *key: int) -> int:
    sequence = np.random.SeedSequence(settings.seed, spawn_key=(_LAYOUTS[settings.database].number, *key))
    return int(sequence.generate_state(1, np.uint64)[0])


def _claim(root: Path, truth: Path, settings: _Settings) -> None:
    """Make both folders ours, or refuse: another simulation or a real database must not be written over."""
    wanted = _provenance(settings)
    marker = root / MARKER
    if marker.is_file():
        try:
            found = json.loads(marker.read_text(encoding="utf-8"))
            old, new = ({**content, **content["settings"], "settings": None} for content in (found, wanted))
        except (ValueError, KeyError, TypeError):
            raise SimulationError(f"{marker}: not written by the simulator; delete {root} and simulate again") from None
        other = "; ".join(f"{key} {old.get(key)!r}, now {new[key]!r}" for key in new if old.get(key) != new[key])
        if other:
            raise SimulationError(
                f"{root}: holds a simulation with other settings ({other}). Use another folder, delete this one and "
                f"{truth.name}, or repeat its settings to finish it"
            )
    else:
        for folder in (root, truth):
            if folder.exists() and (not folder.is_dir() or any(x.suffix != ".part" for x in folder.iterdir())):
                raise SimulationError(
                    f"{folder}: is not empty and no simulation (there is no {MARKER}); expected a new or empty folder"
                )
        root.mkdir(parents=True, exist_ok=True)
        write_atomically(marker, json.dumps(wanted, indent=2) + "\n")
    truth.mkdir(parents=True, exist_ok=True)


def _provenance(settings: _Settings) -> dict[str, Any]:
    fields = dataclasses.asdict(settings)
    return {
        "simulator": f"smilelab {smilelab.__version__}, simulator {SIMULATOR_VERSION}",
        "database": fields.pop("database"),
        "seed": fields.pop("seed"),
        "settings": {**fields, "resolution": list(settings.resolution), "fps": _LAYOUTS[settings.database].fps},
    }


def _finished(path: Path, truth: Path, clip: Clip) -> bool:
    return path.is_file() and (truth / f"{clip.clip_id}.npz").is_file()


def _dynamics(settings: _Settings, clip: Clip) -> ClipDynamics:
    layout = _LAYOUTS[settings.database]
    subject = draw_subject(_rng(settings, 1, clip.code, 0), age=clip.age, sex=clip.sex)

    def drawn(length_s: float | None) -> ClipDynamics:
        return draw_clip(
            subject, clip.label, layout.fps, _rng(settings, 2, clip.code, clip.number, 0), length_s=length_s,
            length_matched=settings.length_matched, asymmetry=settings.asymmetry,
        )  # fmt: skip

    dynamics = drawn(None)
    limit = settings.max_length_s
    return dynamics if limit is None or len(dynamics.times) <= round(limit * layout.fps) else drawn(limit)


def _renderer(settings: _Settings, clip: Clip) -> FaceRenderer:
    """Who, where and how filmed. Must not look at ``clip.label``."""
    width, height = settings.resolution
    layout = _LAYOUTS[settings.database]
    identity = draw_identity(_rng(settings, 1, clip.code, 1), age=clip.age, sex=clip.sex)
    scene = draw_scene(_rng(settings, 1, clip.code, 2), domain=settings.database)
    near = 1 + 0.08 * _rng(settings, 1, clip.code, 3).uniform(-1, 1)
    nearer = 1 + 0.04 * _rng(settings, 2, clip.code, clip.number, 1).uniform(-1, 1)
    iod = layout.iod * min(width, height) * near * nearer
    noise = _seed(settings, 2, clip.code, clip.number, 2)
    return FaceRenderer(identity, scene, width=width, height=height, iod_px=iod, seed=noise)


def _make(settings: _Settings, clip: Clip, root: Path, truth: Path) -> None:
    """Make one clip: its ground truth first, then its video, each complete or absent."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(limits=1):
            dynamics, renderer = _dynamics(settings, clip), _renderer(settings, clip)
            rows = list(zip(dynamics.action_units, dynamics.pose, strict=True))
            landmarks = np.stack([renderer.landmarks(*row) for row in rows]).astype(np.float32)
            _write_truth(truth / f"{clip.clip_id}.npz", dynamics, landmarks)
            path = root / _LAYOUTS[settings.database].path(clip)
            fps = _LAYOUTS[settings.database].fps
            # Encoding is a fifth of the time; the fastest preset makes files four times larger, which are small still.
            video.write(path, _frames(renderer, rows), fps, metadata={"comment": COMMENT}, preset="ultrafast")
    except Exception as error:
        error.add_note(f"while simulating {clip.clip_id}")
        raise
    finally:
        cv2.setNumThreads(threads)


def _frames(renderer: FaceRenderer, rows: list[Any]) -> Iterator[NDArray[np.uint8]]:
    for action_units, pose in rows:
        yield renderer.render(action_units, pose)


def _write_truth(path: Path, dynamics: ClipDynamics, landmarks: NDArray[np.float32]) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    phases = [(p.onset_s, p.apex_s, p.offset_s, p.end_s) for p in dynamics.phases]
    with part.open("wb") as file:
        np.savez_compressed(
            file, times=dynamics.times, action_units=dynamics.action_units, pose=dynamics.pose, landmarks=landmarks,
            phases=np.array(phases), blinks=np.array(dynamics.blinks, dtype=np.float64),
        )  # fmt: skip
    os.replace(part, path)


def _truth_row(settings: _Settings, clip: Clip, truth: Path) -> dict[str, Any]:
    fps = _LAYOUTS[settings.database].fps
    with np.load(truth / f"{clip.clip_id}.npz") as arrays:
        units, phases, blinks, frames = arrays["action_units"], arrays["phases"], arrays["blinks"], len(arrays["times"])
    au6, au12 = units[:, :2].mean(1), units[:, 2:4].mean(1)
    return {
        "clip_id": clip.clip_id,
        "label": clip.label,
        "subject": clip.subject,
        "seed": _seed(settings, 2, clip.code, clip.number, 0),
        "fps": fps,
        "frames": frames,
        "length_s": round(frames / fps, 6),
        "onset_s": round(float(phases[0, 0]), 4),
        "apex_s": round(float(phases[0, 1]), 4),
        "offset_s": round(float(phases[-1, 2]), 4),
        "end_s": round(float(phases[-1, 3]), 4),
        "apices": len(phases),
        "au12": round(float(au12.max()), 4),
        "au6": round(float(au6.max()), 4),
        "blinks": len(blinks),
    }
