"""Which runs and which test windows the figures of the Siamese networks show, chosen by rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from smilelab.anchors import Anchored
from smilelab.artifacts.product import NOT_RUN, Product
from smilelab.artifacts.yang_rows import Results
from smilelab.clips import ClipStore
from smilelab.explain import cam
from smilelab.metrics import THRESHOLD
from smilelab.runs import RunFailure, RunResult
from smilelab.scoring import batch_of

ANCHORS = {"neutral": "neutral anchor", "posed": "posed anchor"}
_WINDOW = ["clip_id", "start"]
_SIZES = {"depth": "depth {}", "size": "{} px", "frames": "{} frames", "width": "width {}"}


@dataclass(frozen=True)
class Example:
    """A test window with its anchor, (T, S, S, 3) uint8 each, and what a model makes of them.

    `maps` and `guided`, (3, T, S, S), are the difference of the branches (Eq. 4) for the window's own class. With the
    spatial map are correlated, in ranks: `classes_alike`, that of the other class, and `random_alike`, that of the same
    network with shuffled weights.
    """

    name: str
    probability: float
    seconds: float
    smile: np.ndarray
    anchor: np.ndarray
    maps: cam.GradCam
    guided: np.ndarray
    classes_alike: float
    random_alike: float


def first_runs(results: Mapping[str, Results]) -> dict[str, RunResult]:
    """One finished run of each structure: of the first fold and trial that all structures with any finished share."""
    finished = {
        anchor: {(run.spec.fold, run.spec.seed): run for run in runs if not isinstance(run, RunFailure)}
        for anchor, runs in results.items()
    }
    finished = {anchor: runs for anchor, runs in finished.items() if runs}
    shared = set.intersection(*(set(runs) for runs in finished.values())) if finished else set()
    return {anchor: runs[min(shared or runs)] for anchor, runs in finished.items()}


def scored_windows(runs: Mapping[str, RunResult], store: ClipStore) -> pd.DataFrame:
    """Test windows that all of the runs scored.

    Parameters
    ----------
    runs : mapping of str to RunResult
        By anchor, at least one.
    store : ClipStore

    Returns
    -------
    pandas.DataFrame
        ``clip_id, start, subject, label``, and of each anchor's run ``probability_<anchor>`` and
        ``sample_<anchor>``, the window's number in the run's test part.
    """
    common: pd.DataFrame | None = None
    for anchor, run in runs.items():
        table, scored = run.samples(store, "test").table, run.predictions
        scored = scored[scored["part"] == "test"] if "part" in scored else scored
        scored = scored[[*_WINDOW, "probability"]].rename(columns={"probability": f"probability_{anchor}"})
        mine = table.assign(**{f"sample_{anchor}": np.arange(len(table))}).merge(scored, on=_WINDOW)
        common = mine if common is None else common.merge(mine.drop(columns=["label", "subject"]), on=_WINDOW)
    assert common is not None
    return common


def typical(windows: pd.DataFrame, label: int) -> tuple[pd.Series, str] | None:
    """Choose the window of a class that has the median probability among those that all models classify correctly.

    Parameters
    ----------
    windows : pandas.DataFrame
        As from `scored_windows`.
    label : int

    Returns
    -------
    window : pandas.Series
        Its row. With several models the median is that of their mean probability; where no window is classified
        correctly, that of all windows of the class.
    rule : str
        The rule in words, with the counts. None instead of both where there is no window of the class.
    """
    of_class = windows[windows["label"] == label]
    if of_class.empty:
        return None
    probabilities = of_class.filter(like="probability_")
    correct = ((probabilities >= THRESHOLD) == bool(label)).all(axis=1)
    several = probabilities.shape[1] > 1
    by, mean = ("by both models", "mean ") if several else ("", "")
    share = f"{correct.sum()} of {len(of_class)} test windows are classified correctly {by}".rstrip()
    rule = f"{share}, the one with the median {mean}probability {'of these' if correct.any() else 'of all'} is shown"
    pool = of_class[correct] if correct.any() else of_class
    order = pool.assign(mean=probabilities.mean(axis=1)).sort_values(["mean", *_WINDOW])
    return order.iloc[(len(order) - 1) // 2], rule


def explain(run: RunResult, anchor: str, window: pd.Series, store: ClipStore, device: str) -> Example:
    """Explain a model's decision on one of its test windows.

    Parameters
    ----------
    run : RunResult
    anchor : str
        The run's key in `scored_windows`.
    window : pandas.Series
        A row of it.
    store : ClipStore
    device : str

    Returns
    -------
    Example
    """
    model = run.model().to(device)
    clips, sample, label = anchored(run, store, "test"), int(window[f"sample_{anchor}"]), int(window["label"])
    frames, _, anchors, anchor_of = batch_of(clips, [sample]).inputs(device)
    maps, other_class = (
        cam.grad_cam(model, frames, anchors, anchor_of, target=target, part="difference")
        for target in (label, 1 - label)
    )
    random = cam.randomisation_check(model, frames, anchors, anchor_of, target=label, part="difference")
    guided = cam.guided_grad_cam(model, frames, anchors, anchor_of, target=label, part="difference")
    times = store.times(window["clip_id"])[window["start"] : window["start"] + clips.windows.length]
    return Example(
        name=f"{window['clip_id']} of {window['subject']} from {times[0]:.2f} s",
        probability=float(window[f"probability_{anchor}"]),
        seconds=float((times[-1] - times[0]) * len(times) / (len(times) - 1)),
        smile=clips[sample],
        anchor=clips.anchor_frames[clips.anchor_of[sample]],
        maps=maps,
        guided=guided[0],
        classes_alike=float(cam.rank_correlation(maps.spatial, other_class.spatial)[0]),
        random_alike=float(random["spatial"][0]),
    )


def upper_shares(runs: Mapping[str, RunResult], windows: pd.DataFrame, store: ClipStore, device: str) -> pd.DataFrame:
    """How much of Eq. 4's spatial map lies in the upper half of the crop, by structure.

    Parameters
    ----------
    runs : mapping of str to RunResult
    windows : pandas.DataFrame
        Rows of `scored_windows`.
    store : ClipStore
    device : str

    Returns
    -------
    pandas.DataFrame
        A row a structure: mean over subjects of the mean share of their windows, and its standard deviation.
    """
    rows = []
    for anchor, run in runs.items():
        model, clips = run.model().to(device), anchored(run, store, "test")
        shares = np.full(len(windows), np.nan)
        for number, (sample, label) in enumerate(zip(windows[f"sample_{anchor}"], windows["label"], strict=True)):
            frames, _, anchors, anchor_of = batch_of(clips, [sample]).inputs(device)
            maps = cam.grad_cam(model, frames, anchors, anchor_of, target=int(label), part="difference")
            of_rows = cam.upsample(maps.spatial, (frames.shape[3], frames.shape[4]))[0].sum(1)
            if of_rows.any():
                shares[number] = of_rows[: len(of_rows) // 2].sum() / of_rows.sum()
        by_subject = pd.Series(shares).groupby(windows["subject"].to_numpy()).mean().dropna()
        rows.append(
            {
                "structure": ANCHORS[anchor],
                "share": number_text(by_subject.mean()),
                "sd over subjects": number_text(by_subject.std()),
                "subjects": len(by_subject),
                "windows": len(windows),
                "of these with an empty map": int(np.isnan(shares).sum()),
            }
        )
    return pd.DataFrame(rows)


def anchored(run: RunResult, store: ClipStore, part: str) -> Anchored:
    """Windows of a part of a Siamese network's run, with their anchors."""
    clips = run.samples(store, part).clips
    if not isinstance(clips, Anchored):
        raise ValueError(f"{run.spec.model} takes no anchor; expected runs of siamese-neutral or siamese-posed.")
    return clips


def spaced(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """At most so many rows, evenly spaced."""
    return table.iloc[np.unique(np.linspace(0, len(table) - 1, min(count, len(table))).round().astype(int))]


def size_of(runs: Mapping[str, RunResult]) -> str:
    """The networks' sizes where they are not the published ones."""
    options = dict(next(iter(runs.values())).spec.model_options)
    return ", ".join(text.format(options[name]) for name, text in _SIZES.items() if name in options)


def described(runs: Mapping[str, RunResult]) -> str:
    """The networks, their sizes and the fold that is shown."""
    names = " and ".join(run.spec.model for run in runs.values())
    folds = " and ".join(dict.fromkeys(f"fold {run.spec.fold}, trial {run.spec.seed}" for run in runs.values()))
    return f"{names} ({size_of(runs) or 'as published'}), {folds}"


def not_run(store: ClipStore, results: Mapping[str, Results]) -> Product:
    """A product without a picture, which says why."""
    expected = " or ".join(ANCHORS[anchor] for anchor in results or ANCHORS)
    note = f"{NOT_RUN}: found no finished run of the Siamese network with a {expected}; run notebook 03 first."
    return Product(notes=[note, *failures(results)], stores=[store])


def failures(results: Mapping[str, Results]) -> list[str]:
    """Notes on runs that failed."""
    failed = {anchor: [run for run in runs if isinstance(run, RunFailure)] for anchor, runs in results.items()}
    return [
        f"{ANCHORS[anchor]}: {len(some)} of {len(results[anchor])} runs failed, first: {some[0].error}"
        for anchor, some in failed.items()
        if some
    ]


def number_text(value: float) -> str:
    """Two decimals, or "undefined"."""
    return "undefined" if np.isnan(value) else f"{value:z.2f}"
