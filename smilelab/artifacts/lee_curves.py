"""Lee & Lee's Figure 5: receiver operating characteristics of the three structures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smilelab import metrics, resampling, roc
from smilelab.artifacts import lee_rows
from smilelab.artifacts.catalogue import makes
from smilelab.artifacts.lee_rows import STRUCTURES, Row, depths_of, reduced
from smilelab.artifacts.numbers import UNDEFINED, about_few_subjects, counted, percent, reported
from smilelab.artifacts.product import NOT_RUN, Product, database_label
from smilelab.artifacts.tables import Results
from smilelab.clips import ClipStore
from smilelab.datasets import POSED, SPONTANEOUS
from smilelab.models.densenet3d import Depth

# Okabe & Ito's colours; the line styles tell the structures apart without them.
_STYLE = {"neutral": ("#0072b2", "-"), "posed": ("#d55e00", "--"), "plain": ("#000000", "-.")}
_UNITS = ("windows", "moments")
_CELLS = 500
_GRID = np.linspace(0, 1, 101)


@makes("lee2020-fig5", metrics, resampling, roc, lee_rows)
def lee2020_fig5(store: ClipStore, results: Mapping[tuple[str, Depth], Results]) -> Product:
    """Lee Figure 5: ROC curves of the three structures, of the test windows and of the test moments.

    Parameters
    ----------
    store : ClipStore
        Smile moments the runs were made on.
    results : mapping of (str, depth) to runs
        As for `lee_tables.lee2020_table4`. Each depth of which something ran is a row of panels.
    """
    rows = {(name, depth): _row(name, depth, results) for depth in depths_of(results) for name in STRUCTURES}
    depths = [depth for depth in depths_of(results) if any(rows[name, depth].measured for name in STRUCTURES)]
    runs = [run for some in results.values() for run in some]
    if not depths:
        return Product(notes=[f"{NOT_RUN}: no structure has finished runs.", *_failed(rows)], stores=[store], runs=runs)
    areas = {at: _area(row, store) for at, row in rows.items() if at[1] in depths}
    figure = Figure(figsize=(7.2, 3.9 * len(depths)), layout="constrained")
    axes = figure.subplots(len(depths), len(_UNITS), squeeze=False)
    points = pd.DataFrame({"false positive rate": _GRID})
    for depth, across in zip(depths, axes, strict=True):
        for axis, unit in zip(across, _UNITS, strict=True):
            for name, spoken in STRUCTURES.items():
                area = areas[name, depth]
                part = f" ({area['folds']})" if " of " in area.get("folds", "") else ""
                # In words "too few subjects" is so long that the legend would cover the curves.
                label = f"{spoken}: {area[f'measured, {unit}']}{part}".replace(UNDEFINED, "(no interval)")
                if rows[name, depth].measured:
                    samples = _samples(rows[name, depth], unit)
                    points[f"{spoken}, {depth}, {unit}"] = _draw(axis, samples, _STYLE[name], label)
                else:
                    axis.plot([], [], _STYLE[name][1], color=_STYLE[name][0], label=label)
            _finish(axis, next(rows[name, depth] for name in STRUCTURES if rows[name, depth].measured), depth, unit)
    label = database_label(store.database, simulated=store.simulated)
    figure.suptitle(f"Finding posed smiles, test subjects of {label}", fontsize=10)
    notes = [
        "Thick lines: mean true positive rate of the folds' models, thin ones each model's; bands are 95 % intervals "
        "from a bootstrap over subjects. A circle marks where a probability of one half puts the models on average; a "
        "moment is scored by the mean probability of its windows. Dotted: chance.",
        "Positive is posed, as in the paper. Smiles are compared within a model, whose scores share a scale.",
        *about_few_subjects(row.predictions("test")["subject"].nunique() for row in rows.values() if row.measured),
        *_failed(rows),
    ]
    tables = {
        "Area under the curve (percent, 95 % intervals from a bootstrap over subjects)": pd.DataFrame(areas.values()),
        "Mean true positive rate (percent)": points.map(lambda share: f"{100 * share:.1f}"),
    }
    return Product(tables, figure, notes, [store], runs)


def _row(structure: str, depth: Depth, results: Mapping[tuple[str, Depth], Results]) -> Row:
    name = STRUCTURES[structure]
    names = {"structure": name, "depth": str(depth)}
    return Row(names, f"{name}, {depth}", results.get((structure, depth), ()))


def _area(row: Row, store: ClipStore) -> dict[str, str]:
    printed = reported("lee2020-table4").query("quantity == 'AUC'").set_index("row")["value"]
    cells = {**row.names, "reported (Lee's own recordings)": str(printed.get(row.printed, ""))}
    if not row.measured:
        return {**cells, **{f"measured, {unit}": NOT_RUN for unit in _UNITS}}
    for unit in _UNITS:
        found = metrics.summarize(_samples(row, unit))
        cells[f"measured, {unit}"] = percent(found.auc, found.auc_low, found.auc_high) or "undefined"
    return {**cells, "folds": row.folds(store)}


def _draw(axis: Axes, samples: pd.DataFrame, style: tuple[str, str], label: str) -> np.ndarray:
    """Draw a structure's curves; its mean true positive rates on the grid."""
    color, line = style
    for _, one in samples.groupby(["fold", "seed"]):
        axis.plot(*_visible(roc.curve(one, positive=POSED)), color=color, lw=0.4, alpha=0.45)
    band = roc.band(samples, _GRID, positive=POSED)
    axis.fill_between(_GRID, band["low"], band["high"], color=color, alpha=0.1, lw=0)
    axis.plot(*_visible(roc.curve(samples, positive=POSED)), line, color=color, lw=1.6, label=label)
    called = samples["probability"] < metrics.THRESHOLD
    rates = [called[samples["label"] == value].mean() for value in (SPONTANEOUS, POSED)]
    axis.plot(*rates, "o", color=color, ms=5, mfc="white", mew=1.3, zorder=5)
    return band["true_positive_rate"].to_numpy()


def _visible(curve: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Rates of a curve without points nearer to the one before than a printed line is wide: windows have thousands."""
    cells = (_CELLS * curve).round()
    kept = cells.ne(cells.shift()).any(axis=1)
    kept.iloc[-1:] = True
    points = curve[kept].to_numpy()
    return points[:, 0], points[:, 1]


def _finish(axis: Axes, row: Row, depth: Depth, unit: str) -> None:
    size = " (reduced)" if reduced(row.spec) else ""
    samples = _samples(row, unit)
    count = len(samples[[column for column in ("clip_id", "start") if column in samples]].drop_duplicates())
    title = f"depth {depth}{size}: {counted(count, unit[:-1])} of {counted(samples['subject'].nunique(), 'subject')}"
    axis.set_title(title, fontsize=9, loc="left")
    axis.plot([0, 1], [0, 1], ":", color="0.5", lw=1)
    axis.set_xlim(-0.02, 1.02)
    axis.set_ylim(-0.02, 1.02)
    axis.set_box_aspect(1)
    axis.set_xlabel("false positive rate (spontaneous called posed)", fontsize=8)
    axis.set_ylabel("true positive rate (posed called posed)", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.grid(color="0.9", lw=0.5)
    # Below the axes: curves near chance fill every corner.
    axis.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.17), frameon=False, fontsize=7, handlelength=2.6,
        title="AUC, %", title_fontsize=7,
    )  # fmt: skip


def _samples(row: Row, unit: str) -> pd.DataFrame:
    windows = row.predictions("test")
    return metrics.of_moments(windows) if unit == "moments" else windows


def _failed(rows: Mapping[tuple[str, Depth], Row]) -> list[str]:
    return [row.failed for row in rows.values() if row.failed]
