"""Wall time of the landmark pipeline beside that of the end-to-end one (Yang et al., section 4.3)."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from smilelab.artifacts import method_costs, stage_times, timed_pipelines
from smilelab.artifacts.catalogue import makes
from smilelab.artifacts.numbers import reported
from smilelab.artifacts.product import NOT_RUN, Product, database_label
from smilelab.artifacts.stage_times import CLIPS, END_TO_END, FOLDS, StageTimes
from smilelab.artifacts.timed_pipelines import EVERY_FRAME, FORWARD, KEY_FRAMES, LANDMARKS, SVM
from smilelab.artifacts.yang_methods import Measured
from smilelab.artifacts.yang_pipelines import yang2020_fig1 as yang2020_fig1
from smilelab.artifacts.yang_rows import Results
from smilelab.baselines import landmark_signals, phase_features
from smilelab.clips import ClipStore
from smilelab.datasets import Database
from smilelab.options import TrainingOptions
from smilelab.runs import RunFailure, RunResult

EPOCHS = TrainingOptions().epochs
_NAMES = {
    EVERY_FRAME: "landmarks (D-marker), face detected on every frame",
    KEY_FRAMES: "landmarks (D-marker), face detected on key frames",
    END_TO_END: "end to end (RealSmileNet)",
}
_PRINTED = {EVERY_FRAME: "landmark pipeline", END_TO_END: "end to end"}
_LEARNING = {EVERY_FRAME: "linear SVM, fitting", KEY_FRAMES: "linear SVM, fitting", END_TO_END: "training"}
# Okabe and Ito's palette. Stages of one colour are drawn as one, their hatch tells neighbours apart in print.
_LOOKS = {
    "decode": ("#999999", ""),
    "face and landmarks": ("#e69f00", ""),
    "normalisation, signals, statistics": ("#0072b2", ""),
    "crop and resize": ("#56b4e9", ""),
    "decision": ("#d55e00", ""),
    "learning": ("#009e73", "////"),
}
_GROUPS = {
    timed_pipelines.DECODE: "decode",
    timed_pipelines.SAMPLE: "decode",
    EVERY_FRAME: "face and landmarks",
    KEY_FRAMES: "face and landmarks",
    timed_pipelines.FACE: "face and landmarks",
    timed_pipelines.NORMALISE: "normalisation, signals, statistics",
    timed_pipelines.SIGNALS: "normalisation, signals, statistics",
    timed_pipelines.STATISTICS: "normalisation, signals, statistics",
    timed_pipelines.CROP: "crop and resize",
    SVM: "decision",
    FORWARD: "decision",
}


class Cost(NamedTuple):
    """What a protocol costs.

    Attributes
    ----------
    preparation_h : float
        Hours for the clips' features or crops, once for all folds.
    learning_h : float or None
        Hours for fitting and testing in all folds; None where nothing was run.
    """

    preparation_h: float
    learning_h: float | None

    @property
    def total_h(self) -> float | None:
        """Both."""
        return None if self.learning_h is None else self.preparation_h + self.learning_h


def cost(times: StageTimes, pipeline: str, results: Results) -> Cost:
    """Extrapolate a pipeline to the paper's protocol on UvA-NEMO.

    Parameters
    ----------
    times : StageTimes
        Seconds a clip.
    pipeline : str
        Name of a pipeline in `times`.
    results : sequence of RunResult or RunFailure
        Of the network; only those finished count.

    Returns
    -------
    Cost
        Preparation: 1240 times the seconds of a clip. Learning of the SVM: ten times a fit. Training: the runs' seconds
        per training clip and epoch, times nine tenths of 1240 clips, 60 epochs and ten folds.
    """
    preparation_h = CLIPS * times.preparation(pipeline) / 3600
    if pipeline != END_TO_END:
        return Cost(preparation_h, FOLDS * times.svm_fit / 3600)
    per_epoch = seconds_per_clip_and_epoch(results)
    if per_epoch is None:
        return Cost(preparation_h, None)
    return Cost(preparation_h, per_epoch * CLIPS * (FOLDS - 1) * EPOCHS / 3600)


def seconds_per_clip_and_epoch(results: Results) -> float | None:
    """Processor time of all finished runs over the training clips that they went through; None without any.

    Scoring the validation and test clips is part of a run, and so of this.
    """
    runs = [run for run in results if isinstance(run, RunResult)]
    seen = sum(run.metrics["train_clips"] * run.spec.training.epochs for run in runs)
    if not seen:
        return None
    efforts = [run.effort for run in runs]
    return sum(effort.wall if math.isnan(effort.processor) else effort.processor for effort in efforts) / seen


@makes("yang2020-time", stage_times, timed_pipelines, landmark_signals, phase_features, method_costs)
def yang2020_time(
    database: Database,
    store: ClipStore,
    results: Results,
    methods: Measured | None = None,
    *,
    clips: int = 6,
    rounds: int = 3,
    seed: int = 0,
    kept: str | Path | None = None,
) -> Product:
    """Yang section 4.3, time complexity: wall time of each stage, and of the whole protocol, reported beside measured.

    Parameters
    ----------
    database : Database
        The videos.
    store : ClipStore
        Their clips under the recipe of the end-to-end pipeline.
    results : sequence of RunResult or RunFailure
        Runs of RealSmileNet on the store, for the time of training.
    methods : Measured, optional
        What was run of the hand-crafted methods, for the time of theirs on the same database.
    clips, rounds, seed, kept
        As in :func:`smilelab.artifacts.stage_times.stage_times`.
    """
    times = measured(database, store, results, clips=clips, rounds=rounds, seed=seed, kept=kept)
    costs = {pipeline: cost(times, pipeline, results) for pipeline in _NAMES}
    label = database_label(times.database, simulated=times.simulated)
    tables = {
        f"Whole protocol: {CLIPS} clips, {FOLDS} folds, hours": _protocol(times, costs),
        f"Stages, measured on {len(times.clips)} clips of {label}": _stages(times),
        "Clips that were measured": pd.DataFrame(times.clips).map(lambda v: v if isinstance(v, str) else f"{v:g}"),
    }
    notes = _notes(times, results, label)
    cells = {} if methods is None else methods.complete_on(store.database)
    if len(others := method_costs.beside_pipelines(times, cells)):
        tables[f"Hand-crafted methods on {label}, one core"] = others
        notes.append(
            "Hand-crafted methods: wall time of decoding and landmarks, of every frame though the methods keep fewer, "
            "and processor time of the features. Cutting faces out, which those of texture and motion need, is not in "
            "it; the end-to-end pipeline tells what that takes for its own frames."
        )
    return Product(tables, figure=_figure(times, costs, label), notes=notes, stores=[store], runs=list(results))


def measured(database: Database, store: ClipStore, results: Results, **options: Any) -> StageTimes:
    """Measure, or load, the stages with the network of the runs; RealSmileNet where there are none.

    Parameters
    ----------
    database, store, results
        As in `yang2020_time`.
    **options
        ``clips``, ``rounds``, ``seed`` and ``kept``.
    """
    if results:
        spec = results[0].spec
        options |= {"model": spec.model, "model_options": dict(spec.model_options)}
    return stage_times.stage_times(database, store, **options)


def _protocol(times: StageTimes, costs: dict[str, Cost]) -> pd.DataFrame:
    printed = reported("yang2020-time").set_index("row")
    rows = []
    for pipeline, name in _NAMES.items():
        row = printed.loc[_PRINTED[pipeline]] if pipeline in _PRINTED else None
        found = costs[pipeline]
        rows.append(
            {
                "pipeline": name,
                "reported": "-" if row is None else f"{row['note'].partition(';')[0]} {row['value']}",
                "measured and extrapolated": _hours(found.total_h),
                "of it preparation, once": _hours(found.preparation_h),
                "of it learning, all folds": _hours(found.learning_h),
                "one clip, seconds to its decision": f"{times.preparation(pipeline) + times.decision(pipeline):.2f}",
            }
        )
    return pd.DataFrame(rows)


def _stages(times: StageTimes) -> pd.DataFrame:
    footage = sum(clip["length_s"] for clip in times.clips)
    rows = []
    for pipeline, name in _NAMES.items():
        whole = times.preparation(pipeline) + times.decision(pipeline)
        for stage in times.stages(pipeline):
            each = times.per_clip(pipeline, stage)
            rounds = np.array(times.seconds[pipeline][stage])
            rows.append(
                {
                    "pipeline": name,
                    "stage": stage,
                    "ms a clip, mean": f"{1e3 * each.mean():.1f}",
                    "median [range] over clips": f"{1e3 * np.median(each):.1f} "
                    f"[{1e3 * each.min():.1f}, {1e3 * each.max():.1f}]",
                    "range over rounds, % of the median": f"{100 * np.median(np.ptp(rounds, axis=1) / each):.0f}",
                    "ms a second of video": f"{1e3 * each.sum() / footage:.1f}",
                    "share, %": f"{100 * each.mean() / whole:.1f}",
                }
            )
        last = {"pipeline": name, "stage": "together", "ms a clip, mean": f"{1e3 * whole:.1f}", "share, %": "100.0"}
        rows.append({**last, "ms a second of video": f"{1e3 * whole * len(times.clips) / footage:.1f}"})
    return pd.DataFrame(rows).fillna("")


def _hours(value: float | None) -> str:
    if value is None:
        return NOT_RUN
    return f"{value:.2f}" if value >= 0.01 else "< 0.01"


def _notes(times: StageTimes, results: Results, label: str) -> list[str]:
    lengths = [clip["length_s"] for clip in times.clips]
    sizes = sorted({f"{clip['width']:.0f}x{clip['height']:.0f}" for clip in times.clips})
    every, sampled = (np.mean([clip[name] for clip in times.clips]) for name in ("frames", "sampled"))
    looks = [(find, find, every) for find in LANDMARKS] + [(END_TO_END, timed_pipelines.FACE, sampled)]
    found = {pipeline: 1e3 * times.mean(pipeline, stage) / frames for pipeline, stage, frames in looks}
    notes = [
        f"Wall times on {times.cpu}, one thread, {times.measured}: {len(times.clips)} clips of {label} drawn by seed "
        f"{times.settings['seed']}, after a first look that is not counted, the median of {times.settings['rounds']} "
        "round(s); whatever else the machine did is in them.",
        f"Assumption: UvA-NEMO's {CLIPS} clips are as long and as large as those measured (mean {np.mean(lengths):.2f} "
        f"s, {', '.join(sizes)} px; its own are 1920x1080), worked off by one core; cores in parallel are not counted. "
        "Nothing is scaled to the paper's hardware (one V100, one Xeon Platinum 8268).",
        "Landmark pipeline: every frame is decoded and gets 68 landmarks by dlib. The detector sees frames shrunken "
        "to 360 px on their short side, as in our preprocessing, not at full size. Signals of lip corners, eyelids and "
        f"cheeks, {phase_features.STATISTICS} statistics each in three phases, linear SVM, whose fit is timed on nine "
        f"tenths of {CLIPS} rows: the measured ones repeated with noise. The paper does not say what its 28 hours "
        "include.",
        f"End to end: {times.settings['recipe']['fps']:g} frames per second, the detector on key frames, the network "
        "applied to one clip at a time. 'together' ends with the decision; learning is counted in the protocol alone.",
        f"The landmark pipeline looks at {every:.0f} frames a clip and the end-to-end one at {sampled:.0f}. To find "
        f"the face takes {found[EVERY_FRAME]:.0f} ms a frame with the detector on each, {found[KEY_FRAMES]:.0f} ms "
        f"with it on key frames, and end to end, where more of the frames are key frames, {found[END_TO_END]:.0f} ms; "
        "landmarks are part of it each time.",
    ]
    if times.left_out:
        notes.append(f"Drawn but left out, no face or not decodable: {', '.join(times.left_out)}.")
    return notes + _training_notes(results)


def _training_notes(results: Results) -> list[str]:
    runs = [run for run in results if isinstance(run, RunResult)]
    failed = [run for run in results if isinstance(run, RunFailure)]
    notes = []
    if per_epoch := seconds_per_clip_and_epoch(results):
        epochs = sorted({run.spec.training.epochs for run in runs})
        notes.append(
            f"Training: {1e3 * per_epoch:.2f} ms a training clip and epoch, from {len(runs)} run(s) of "
            f"{', '.join(map(str, epochs))} epochs on {', '.join(_devices(runs))}, one process each, on a CPU of one "
            f"thread, scoring included; times {CLIPS * (FOLDS - 1) // FOLDS} clips, {EPOCHS} epochs and {FOLDS} folds, "
            "one trial. Runs of few clips and epochs overstate it: their start and their end are in it too."
        )
    else:
        notes.append(f"Training: {NOT_RUN}, so the end-to-end pipeline has no total.")
    if failed:
        notes.append(f"{len(failed)} of {len(results)} runs failed, first: {failed[0].error}")
    return notes


def _devices(runs: Sequence[RunResult]) -> list[str]:
    files = [run.folder / "environment.json" for run in runs]
    return sorted({json.loads(file.read_text(encoding="utf-8"))["device"] for file in files})


def _figure(times: StageTimes, costs: dict[str, Cost], label: str) -> Figure:
    figure = Figure(figsize=(8.6, 3.5))
    left, right = figure.subplots(1, 2, sharey=True)
    figure.subplots_adjust(left=0.175, right=0.985, top=0.84, bottom=0.28, wspace=0.05)
    printed = reported("yang2020-time").set_index("row")
    for row, pipeline in enumerate(_NAMES):
        groups: dict[str, float] = {}
        for stage in times.stages(pipeline):
            groups[_GROUPS[stage]] = groups.get(_GROUPS[stage], 0.0) + times.mean(pipeline, stage)
        _bar(left, row, groups, f"{sum(groups.values()):.2f} s")
        found = costs[pipeline]
        parts = {name: CLIPS * seconds / 3600 for name, seconds in groups.items() if name != "decision"}
        total = f"learning: {NOT_RUN}" if found.total_h is None else f"{_hours(found.total_h)} h"
        _bar(right, row, {**parts, "learning": found.learning_h or 0.0}, total)
        thin = [f"{name} {1e3 * groups[name]:.1f} ms" for name in _THIN if name in groups]
        left.annotate("of it " + ", ".join(thin), (0, row + 0.37), **_UNDER)
        if pipeline in _PRINTED:
            said = printed.loc[_PRINTED[pipeline]]
            words = f"reported: {said['note'].partition(';')[0]} {said['value']} h"
            right.annotate(words, (0, row + 0.37), **_UNDER)
    names = [name.replace(" (", "\n(", 1).replace("), ", "),\n") for name in _NAMES.values()]
    left.set_yticks(range(len(_NAMES)), names)
    left.set_ylim(len(_NAMES) - 0.45, -0.45)
    left.set_xlabel("seconds, one core", fontsize=8)
    right.set_xlabel("hours, one core", fontsize=8)
    left.set_title("a new clip, from its file to a decision", fontsize=9)
    right.set_title(f"the protocol: {CLIPS} clips, {FOLDS} folds, {EPOCHS} epochs", fontsize=9)
    for axes in (left, right):
        axes.set_xlim(0, 1.24 * max(axes.dataLim.x1, 1e-9))
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        axes.tick_params(axis="y", length=0)
        axes.set_axisbelow(True)
        axes.grid(axis="x", color="0.9")
    handles = [Patch(facecolor=color, hatch=hatch, ec="white", label=name) for name, (color, hatch) in _LOOKS.items()]
    figure.legend(handles=handles, loc="lower center", ncols=3, frameon=False, fontsize=8, bbox_to_anchor=(0.5, 0.0))
    figure.suptitle(f"Wall time of both pipelines on {label}; {times.cpu}, one thread", fontsize=10)
    return figure


_UNDER: dict[str, Any] = {
    **{"xytext": (3, 0), "textcoords": "offset points"},
    **{"fontsize": 7, "color": "0.3", "ha": "left", "va": "center"},
}
# Too narrow to be seen where landmarks are found in every frame.
_THIN = ("normalisation, signals, statistics", "crop and resize", "decision")


def _bar(axes: Axes, row: int, parts: dict[str, float], text: str) -> None:
    start = 0.0
    for name, width in parts.items():
        color, hatch = _LOOKS[name]
        axes.barh(row, width, left=start, height=0.5, color=color, hatch=hatch, edgecolor="white", lw=0.5)
        start += width
    axes.annotate(text, (start, row), (4, 0), textcoords="offset points", va="center", ha="left", fontsize=8)
