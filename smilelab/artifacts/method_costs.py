"""What the hand-crafted methods cost: features of a clip, learning of a fold, and both beside the whole pipelines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from smilelab import baselines
from smilelab.artifacts.stage_times import CLIPS, StageTimes
from smilelab.artifacts.timed_pipelines import DECODE, KEY_FRAMES
from smilelab.artifacts.yang_rows import Cell, duration
from smilelab.baselines.clip_samples import View
from smilelab.clips import ClipStore
from smilelab.runs import RunResult

__all__ = ["beside_pipelines", "cost", "feature_seconds"]

_NOT_MEASURED = "not measured"


def feature_seconds(method: str, store: ClipStore) -> tuple[float, float]:
    """Processor time of a method's features and number of frames, both of a clip in the mean.

    Parameters
    ----------
    method : str
        One of :func:`smilelab.baselines.names`.
    store : ClipStore

    Returns
    -------
    seconds, frames : float
        Seconds are NaN where the features of some clip have not been computed. What several methods share is counted
        in each of them.
    """
    views = [View(store, str(clip_id)) for clip_id in store.usable.index]
    extractors = baselines.extractors(method)
    seconds = [sum(extractor.seconds(view) for extractor in extractors) for view in views]
    return float(np.mean(seconds)), float(store.usable["frames"].mean())


def cost(method: str, cell: Cell) -> dict[str, str]:
    """What a method costs on a database: features (not of networks), and learning and testing of a fold.

    Parameters
    ----------
    method : str
        Its registry name.
    cell : Cell
        Complete.

    Returns
    -------
    dict of str to str
        Text as printed.
    """
    trained, tested = (float(np.mean([run.metrics[name] for run in _finished(cell)])) for name in ("train_clips", "n"))
    row = {"database": cell.label, "method": cell.name, "features, s a clip": "", "features, ms a frame": ""}
    if method in baselines.names():
        seconds, frames = feature_seconds(method, cell.store)
        known = not np.isnan(seconds)
        row["features, s a clip"] = f"{seconds:.3f}" if known else _NOT_MEASURED
        row["features, ms a frame"] = f"{1e3 * seconds / frames:.1f}" if known else _NOT_MEASURED
    processor = _learning(cell)
    known = not np.isnan(processor)
    return {
        **row,
        "learning and testing, a fold": duration(processor) if known else _NOT_MEASURED,
        "the same, ms a clip": f"{1e3 * processor / (trained + tested):.1f}" if known else _NOT_MEASURED,
        "clips of a fold, training / test": f"{trained:.0f} / {tested:.0f}",
    }


def beside_pipelines(times: StageTimes, cells: Mapping[str, Cell]) -> pd.DataFrame:
    """Every method from a video file to its features, by the stages that were timed; cutting out faces is not in it.

    Parameters
    ----------
    times : StageTimes
        Of which decoding and landmarks of every frame are taken, with the detector on key frames: wall time.
    cells : mapping of str to Cell
        By method, complete, on the database that was timed.

    Returns
    -------
    pandas.DataFrame
        Text as printed.
    """
    before = times.mean(KEY_FRAMES, DECODE) + times.mean(KEY_FRAMES, KEY_FRAMES)
    rows = []
    for method, cell in cells.items():
        if method not in baselines.names():
            continue
        seconds, _ = feature_seconds(method, cell.store)
        if np.isnan(seconds):
            continue
        learning = _learning(cell)
        rows.append(
            {
                "method": cell.name,
                "decoding and landmarks of every frame, s a clip": f"{before:.2f}",
                "features, s a clip": f"{seconds:.3f}",
                f"both for {CLIPS} clips, h": f"{CLIPS * (before + seconds) / 3600:.2f}",
                "learning and testing, a fold as run": _NOT_MEASURED if np.isnan(learning) else duration(learning),
            }
        )
    return pd.DataFrame(rows)


def _learning(cell: Cell) -> float:
    """Processor time of a fold in the mean, s."""
    return float(np.mean([run.effort.processor for run in _finished(cell)]))


def _finished(cell: Cell) -> Sequence[RunResult]:
    return [run for run in cell.runs if isinstance(run, RunResult)]
