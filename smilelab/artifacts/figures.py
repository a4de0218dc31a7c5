"""The papers' figures that show data: pure functions from stores and runs to products."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from sklearn.metrics import silhouette_score

from smilelab.artifacts import cam_clips
from smilelab.artifacts.cam_clips import first_trial
from smilelab.artifacts.catalogue import makes
from smilelab.artifacts.product import NOT_RUN, Product, database_label
from smilelab.artifacts.yang_rows import Results
from smilelab.clips import ClipStore
from smilelab.datasets import POSED, SPONTANEOUS
from smilelab.explain import projection
from smilelab.explain.projection import MIN_CLIPS, embeddings, tsne
from smilelab.runs import RunFailure, RunResult

# The paper's figure 5: blue posed, green spontaneous.
CLASS_STYLE = {POSED: ("posed", "#2a6fbb", "o"), SPONTANEOUS: ("spontaneous", "#3a9a3f", "^")}
_COLUMNS = 5


@makes("yang2020-fig5", projection, cam_clips)
def yang2020_fig5(store: ClipStore, results: Results, *, seed: int = 0) -> Product:
    """Yang Figure 5: t-SNE of the classification block's ReLU output, one panel per test fold.

    Parameters
    ----------
    store : ClipStore
        The clips the runs were made on.
    results : sequence of runs
        One per fold; of several trials the first is shown, and folds without a finished run are left open.
    seed : int
        Seed of the projection.
    """
    first = first_trial(results)
    failed = [run for run in results if isinstance(run, RunFailure)]
    notes = [f"{len(failed)} of {len(results)} runs failed, first: {failed[0].error}."] if failed else []
    folds = range(1, len(store.folds()) + 1)
    rows = -(-len(folds) // _COLUMNS)
    columns = min(_COLUMNS, len(folds))
    figure = Figure(figsize=(2.1 * columns, 2.25 * rows + 0.5), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns, squeeze=False).ravel())
    for axis, fold in zip(axes, folds, strict=False):
        _fold_panel(axis, store, first.get(fold), seed, notes, fold)
    for axis in axes[len(folds) :]:
        axis.set_axis_off()
    handles = [
        Line2D([], [], color=color, marker=marker, linestyle="", label=name)
        for name, color, marker in CLASS_STYLE.values()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    label = database_label(store.database, simulated=store.simulated)
    figure.suptitle(f"t-SNE of the classification block, {label}, test clips of each fold", fontsize=10)
    if not first:
        said = f"{NOT_RUN}: found no finished run, expected one per fold; run notebook 02 first."
        return Product(figure=figure, notes=[said, *notes], stores=[store])
    notes.append(
        "Silhouette s is computed on the ReLU output itself, not on the picture: 1 separated, 0 mixed. t-SNE distances "
        "between groups mean little; every fold has its own model and its own axes."
    )
    return Product(figure=figure, notes=notes, stores=[store], runs=list(first.values()))


def _fold_panel(axis: Axes, store: ClipStore, run: RunResult | None, seed: int, notes: list[str], fold: int) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_box_aspect(1)
    predictions = pd.DataFrame() if run is None else run.predictions
    if run is None or len(predictions) < MIN_CLIPS:
        text = NOT_RUN if run is None else f"{len(predictions)} clips:\ntoo few to project"
        axis.set_title(f"fold {fold}", fontsize=8)
        axis.text(0.5, 0.5, text, ha="center", va="center", fontsize=7)
        return
    model = run.model()
    clips = [store.frames(clip_id) for clip_id in predictions["clip_id"]]
    features = embeddings(model, model.get_submodule("head.relu"), clips)
    points = tsne(features, seed=seed)
    labels = predictions["label"].to_numpy()
    for label, (_, color, marker) in CLASS_STYLE.items():
        of_class = points[labels == label]
        axis.scatter(of_class[:, 0], of_class[:, 1], s=14, c=color, marker=marker, alpha=0.8, linewidths=0)
    both = len(set(labels)) == 2
    separation = f", s {silhouette_score(features, labels):z.2f}" if both and len(labels) > 2 else ""
    axis.set_title(f"fold {fold}: n {len(labels)}{separation}", fontsize=8)
    if not both:
        notes.append(f"Fold {fold} holds one class only.")


def crops_over_time(store: ClipStore, *, clips: int = 4, frames: int = 10) -> Figure:
    """Crops of a few clips of both classes, equally spaced in time.

    Parameters
    ----------
    store : ClipStore
        The clips.
    clips : int
        Rows; classes take turns.
    frames : int
        Columns.
    """
    table = store.usable
    by_class = [table.index[table["label"].astype(int) == label][: -(-clips // 2)] for label in (SPONTANEOUS, POSED)]
    chosen = [clip_id for pair in zip(*by_class, strict=False) for clip_id in pair][:clips] or list(table.index[:clips])
    row_inches, head_inches = 1.3, 0.35
    height = row_inches * len(chosen) + head_inches
    figure = Figure(figsize=(frames, height))
    margins = {"left": 0.005, "right": 0.995, "bottom": 0.0, "top": 1 - (head_inches + 0.3) / height}
    grid = figure.subplots(len(chosen), frames, squeeze=False, gridspec_kw={**margins, "wspace": 0.06, "hspace": 0.36})
    for row, clip_id in zip(grid, chosen, strict=True):
        images, times = store.frames(clip_id), store.times(clip_id)
        for axis, at in zip(row, np.linspace(0, len(images) - 1, frames).round().astype(int), strict=True):
            axis.imshow(images[at], interpolation="nearest")
            axis.set_title(f"{times[at]:.1f} s", fontsize=6, pad=2)
            axis.set_axis_off()
        row[0].text(0, 1.2, str(clip_id), transform=row[0].transAxes, fontsize=7)
    label = database_label(store.database, simulated=store.simulated)
    figure.suptitle(
        f"Crops of {label}: {store.recipe['crop']}, {store.recipe['size']} px", fontsize=9, y=1 - 0.1 / height, va="top"
    )
    return figure
