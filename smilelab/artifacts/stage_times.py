"""How long each stage of both pipelines takes on clips of a database, measured once and kept."""

from __future__ import annotations

import hashlib
import inspect
import json
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import cv2
import dlib
import numpy as np
import pandas as pd
import sklearn
import torch
from numpy.typing import NDArray
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits
from torch import nn

from smilelab import models, scoring, signals
from smilelab.artifacts import timed_pipelines
from smilelab.artifacts.timed_pipelines import EVERY_FRAME, FORWARD, KEY_FRAMES, LANDMARKS, SVM, Clip, Stopwatch
from smilelab.baselines import landmark_signals, phase_features
from smilelab.clips import ClipStore
from smilelab.datasets import Database, UvaNemo
from smilelab.files import write_atomically
from smilelab.preprocess import crops, faces, sources, tracks, video
from smilelab.preprocess.recipe import Recipe

__all__ = ["CLIPS", "END_TO_END", "FOLDS", "StageTimes", "cpu_name", "stage_times"]

Array = NDArray[np.float64]

CLIPS = UvaNemo.published["clips"]
FOLDS = 10
END_TO_END = "end to end"
_DECISIONS = (SVM, FORWARD)
# What is said of a clip, and the manifest's name for it.
_ABOUT = {
    **{"length_s": "length_s", "fps": "fps_source", "width": "width", "height": "height"},
    **{"frames": "decoded", "sampled": "sampled"},
}
_TIMED = (
    *(timed_pipelines, landmark_signals, phase_features, signals, scoring),
    *(video, sources, crops, faces, tracks),
)
_NOISE = 1.0  # standard deviations
_SWAPPED = 0.2


@dataclass(frozen=True)
class StageTimes:
    """Wall times of one measurement.

    Attributes
    ----------
    database : str
        Name of the database.
    simulated : bool
        Whether its videos are.
    cpu : str
        Name of the processor.
    threads : int
    measured : str
        When.
    settings : dict
        How it was measured: clips and rounds asked for, seed, recipe, model.
    clips : list of dict
        ``clip_id``, ``length_s``, ``fps``, ``width``, ``height``, ``frames`` decoded and frames ``sampled`` by time of
        each clip that was measured.
    seconds : dict of str to dict of str to list of list of float
        Pipeline, stage, clip, round: s.
    svm_fits : list of float
        Seconds of a fit of the linear SVM at the size of the paper's training folds, and its test fold's scores.
    left_out : list of str
        Clips that were drawn and show no face, or cannot be decoded.
    """

    database: str
    simulated: bool
    cpu: str
    threads: int
    measured: str
    settings: dict[str, Any]
    clips: list[dict[str, Any]]
    seconds: dict[str, dict[str, list[list[float]]]]
    svm_fits: list[float]
    left_out: list[str]

    def stages(self, pipeline: str) -> list[str]:
        """Stages of a pipeline, in their order."""
        return list(self.seconds[pipeline])

    def per_clip(self, pipeline: str, stage: str) -> Array:
        """Seconds (clips,) of a stage, the median over rounds."""
        return np.median(np.array(self.seconds[pipeline][stage], np.float64), axis=1)

    def mean(self, pipeline: str, stage: str) -> float:
        """Seconds a clip, the mean over clips of `per_clip`: what many clips take, divided by their number."""
        return float(self.per_clip(pipeline, stage).mean())

    def preparation(self, pipeline: str) -> float:
        """Seconds a clip of all that comes before the decision."""
        return sum(self.mean(pipeline, stage) for stage in self.stages(pipeline) if stage not in _DECISIONS)

    def decision(self, pipeline: str) -> float:
        """Seconds a clip of the decision."""
        return sum(self.mean(pipeline, stage) for stage in self.stages(pipeline) if stage in _DECISIONS)

    @property
    def svm_fit(self) -> float:
        """Seconds of a fit, the median over rounds."""
        return float(np.median(self.svm_fits))


def stage_times(
    database: Database,
    store: ClipStore,
    *,
    clips: int = 6,
    rounds: int = 3,
    seed: int = 0,
    model: str = "realsmilenet",
    model_options: Mapping[str, Any] | None = None,
    kept: str | Path | None = None,
) -> StageTimes:
    """Measure both pipelines on a few clips, or load what was measured under the same conditions.

    Clips take turns within a round and pipelines within a clip, in one thread, after a first look at each clip that is
    not counted.

    Parameters
    ----------
    database : Database
        Where the videos are.
    store : ClipStore
        Clips of that database: those are drawn in which a face was found, as many of either class as of the other, and
        the recipe is that of the end-to-end pipeline.
    clips, rounds : int
        How many, and how often each.
    seed : int
        Draws the clips.
    model : str
        Name of the network.
    model_options : mapping, optional
        Its options; by default its size is the store's.
    kept : path-like, optional
        Folder of measurements, one small JSON file each. Its name is a hash of the database, the settings, the code
        that is timed with the versions of its libraries, and the processor.

    Returns
    -------
    StageTimes

    Raises
    ------
    ValueError
        Numbers below 1; clips that the database does not have; or fewer than two clips, or one class, with a face.
    """
    if clips < 2 or rounds < 1:
        raise ValueError(f"found clips {clips} and rounds {rounds}; expected at least 2 clips and 1 round.")
    recipe = Recipe.from_dict(store.recipe)
    options = {"size": recipe.size} if model_options is None else dict(model_options)
    network = models.build(model, **options).eval()
    drawn = _draw(database, store, seed)
    settings = {
        **{"clips": clips, "rounds": rounds, "seed": seed, "recipe": recipe.as_dict()},
        **{"model": model, "model_options": options},
    }
    conditions = {
        **{"settings": settings, "database": database.fingerprint(), "order": [clip.clip_id for clip in drawn]},
        **{"code": _code(network), "cpu": cpu_name(), "platform": platform.machine()},
    }
    canonical = json.dumps(conditions, sort_keys=True)
    path = Path(kept) / f"{hashlib.sha256(canonical.encode()).hexdigest()[:12]}.json" if kept is not None else None
    if path is not None and path.is_file():
        return StageTimes(**json.loads(path.read_text(encoding="utf-8")))
    with _one_thread():
        found = _measure(drawn, clips, rounds, seed, recipe, network, store)
    result = StageTimes(
        database=database.name,
        simulated=database.simulated,
        cpu=cpu_name(),
        threads=1,
        measured=time.strftime("%Y-%m-%d %H:%M"),
        settings=settings,
        **found,
    )
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(asdict(result), indent=1) + "\n")
    return result


def cpu_name() -> str:
    """Name of the processor, as far as the system tells it."""
    table = Path("/proc/cpuinfo")
    lines = table.read_text(encoding="utf-8").splitlines() if table.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (names and names[0]) or platform.processor() or platform.machine() or "unknown processor"


def _draw(database: Database, store: ClipStore, seed: int) -> list[Clip]:
    """All clips with a face in a drawn order in which the classes take turns."""
    rows = database.index().set_index("clip_id")
    if absent := sorted(set(store.usable.index) - set(rows.index)):
        raise ValueError(
            f"the database lacks {len(absent)} clip(s) of the store, first {absent[0]!r}; give the database that the "
            "store was built from."
        )
    generator = np.random.default_rng(seed)
    labels = store.usable["label"].astype(int)
    turn = pd.Series(0, index=labels.index)
    for _, group in sorted(labels.groupby(labels)):
        turn[sorted(group.index)] = generator.permutation(len(group))
    order = sorted(labels.index, key=lambda clip_id: (turn[clip_id], labels[clip_id], clip_id))
    rows = rows.loc[order, ["path", "start_s", "end_s", "fps", "view"]]
    return [Clip(*row) for row in rows.itertuples(name=None)]


def _measure(
    drawn: Sequence[Clip], count: int, rounds: int, seed: int, recipe: Recipe, network: nn.Module, store: ClipStore
) -> dict[str, Any]:
    # The first look at each clip tells whether it can be used, loads the models and is not counted.
    features: list[Array] = []
    used: list[Clip] = []
    left_out: list[str] = []
    for clip in drawn:
        if len(used) == count:
            break
        try:
            found = timed_pipelines.landmark_features(clip, KEY_FRAMES, Stopwatch())
            usable = found is not None and timed_pipelines.end_to_end(clip, recipe, network, Stopwatch()) is not None
        except video.VideoError:
            usable = False
        if usable and found is not None:
            used.append(clip)
            features.append(found)
        else:
            left_out.append(clip.clip_id)
    labels = store.usable.loc[[clip.clip_id for clip in used], "label"].to_numpy(np.int64)
    if len(set(labels)) < 2:
        raise ValueError(
            f"{len(used)} of {len(drawn)} clips show a face, of {len(set(labels))} class(es); expected both classes."
        )
    timed_pipelines.landmark_features(used[0], EVERY_FRAME, Stopwatch())
    rows: dict[str, dict[str, list[list[float]]]] = {pipeline: {} for pipeline in (*LANDMARKS, END_TO_END)}
    for _ in range(rounds):
        for number, clip in enumerate(used):
            for pipeline in rows:
                watch = Stopwatch()
                if pipeline == END_TO_END:
                    timed_pipelines.end_to_end(clip, recipe, network, watch)
                else:
                    timed_pipelines.landmark_features(clip, pipeline, watch)
                for stage, seconds in watch.seconds.items():
                    rows[pipeline].setdefault(stage, [[] for _ in used])[number].append(seconds)
    fits, decisions = _svm(np.stack(features), labels, rounds, seed)
    for pipeline in LANDMARKS:
        rows[pipeline][SVM] = decisions
    about = store.usable.loc[[clip.clip_id for clip in used], list(_ABOUT.values())].astype(float)
    described = [
        {"clip_id": str(clip_id), **dict(zip(_ABOUT, map(float, values), strict=True))}
        for clip_id, *values in about.itertuples(name=None)
    ]
    return {"clips": described, "seconds": rows, "svm_fits": fits, "left_out": left_out}


def _svm(features: Array, labels: NDArray[np.int64], rounds: int, seed: int) -> tuple[list[float], list[list[float]]]:
    """Seconds of each fit at the paper's size, and of each decision (clip, round).

    How long a fit takes depends on how many rows there are and how well they separate: the few are repeated with noise,
    and a fifth of the labels is swapped, as many as such methods get wrong.
    """
    generator = np.random.default_rng(seed)
    at = np.arange(CLIPS) % len(features)
    every = features[at] + _NOISE * features.std(0) * generator.standard_normal((CLIPS, features.shape[1]))
    truth = np.where(generator.random(CLIPS) < _SWAPPED, 1 - labels[at], labels[at])
    train = np.arange(CLIPS) >= CLIPS // FOLDS
    fits: list[float] = []
    decisions: list[list[float]] = [[] for _ in features]
    for _ in range(rounds + 1):
        watch = Stopwatch()
        svm = make_pipeline(StandardScaler(), LinearSVC())
        with watch.stage("fit"):
            svm.fit(every[train], truth[train])
            svm.decision_function(every[~train])
        fits.append(watch.seconds["fit"])
        for row, seconds in zip(features, decisions, strict=True):
            with watch.stage(SVM):
                svm.decision_function(row[None])
            seconds.append(watch.seconds.pop(SVM))
    # The first round is the warm-up.
    return fits[1:], [seconds[1:] for seconds in decisions]


def _code(network: nn.Module) -> str:
    """A digest of the source that is timed, and the versions of the libraries that it calls."""
    names = {type(module).__module__ for module in network.modules()}
    own: list[ModuleType] = [sys.modules[name] for name in sorted(names) if name.startswith("smilelab.")]
    text = "\n".join(inspect.getsource(module) for module in (sys.modules[__name__], *_TIMED, *own))
    libraries = [library.__version__ for library in (av, cv2, dlib, np, sklearn, torch)]
    return hashlib.sha256("\n".join([text, *libraries]).encode()).hexdigest()


@contextmanager
def _one_thread() -> Iterator[None]:
    ours, theirs = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(ours)
        cv2.setNumThreads(theirs)
