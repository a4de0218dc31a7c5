"""Yang et al.'s Figure 6: accuracy over the size of the input and the frame rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from smilelab import comparison, metrics, resampling
from smilelab.artifacts import yang_rows
from smilelab.artifacts.catalogue import makes
from smilelab.artifacts.numbers import counted, percent
from smilelab.artifacts.product import NOT_RUN, Product
from smilelab.artifacts.yang_rows import Cell, Results, differences, notes_of, p_value, paired, points
from smilelab.clips import ClipStore

SIZES = (48, 64, 96, 112)
RATES = (1.0, 3.0, 5.0, 7.0)
CHOICE = (48, 5.0)

Setting = tuple[int, float]

# Okabe & Ito's colours; the markers tell the sizes apart without them.
_STYLES = (("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"), ("#000000", "D"), ("#cc79a7", "v"), ("#e69f00", "P"))
_LEGEND = 0.14
_CIRCLE = 2.0  # points of accuracy that the radius of the circle around the choice may take
_GROUP = 0.72  # width that the sizes of one frame rate take, where rates are 1 apart
_LEVEL = 0.05
_ROUNDING = 1e-9


@makes("yang2020-fig6", metrics, resampling, comparison, yang_rows)
def yang2020_fig6(stores: Mapping[Setting, ClipStore], results: Mapping[Setting, Results]) -> Product:
    """Yang Figure 6: accuracy of RealSmileNet over input sizes and frames per second.

    Parameters
    ----------
    stores : mapping of (int, float) to ClipStore
        Size in px and frames per second to the clips, all of one database.
    results : mapping of (int, float) to runs
        The same to the runs on those clips, over folds and trials, of one setting.

    Raises
    ------
    ValueError
        The stores are of several databases; one is of another recipe than it is filed under; there are runs on another
        store than that of their setting.
    """
    _check(stores, results)
    sizes = sorted({*SIZES, *(size for size, _ in stores)})
    rates = sorted({*RATES, *(float(fps) for _, fps in stores)})
    cells = {at: Cell(_name(at), store, results.get(at, ())) for at, store in stores.items()}
    done = {at: cell for at, cell in sorted(cells.items()) if cell.complete}
    every = [run for runs in results.values() for run in runs]
    tables = {
        "Accuracy in percent, 95 % intervals from a bootstrap over subjects": _overview(sizes, rates, cells),
        "Each setting (percent, 95 % intervals from a bootstrap over subjects)": pd.DataFrame(
            _details(at, cells.get(at)) for at in ((size, fps) for size in sizes for fps in rates)
        ),
    }
    notes = [
        "Yang et al. state that of these settings 48 px and 5 frames per second are the most accurate on UvA-NEMO. The "
        "heights in their figure are not printed as numbers: nothing is reported beside the measured ones."
    ]
    compared = _compared(done)
    if not compared.empty:
        caption = f"{_name(CHOICE)}, the paper's choice, less each other setting, on the clips that both have (points)"
        tables[caption] = compared.assign(**{name: compared[name].map(p_value) for name in ("p", "p, Holm")})
    notes += [_verdict(done, compared), *_uneven(done)]
    notes += notes_of(cells.values(), {store.database: store for store in stores.values()})
    figure = _drawn(sizes, rates, done) if done else None
    return Product(tables, figure, notes, [*stores.values()], every)


def _check(stores: Mapping[Setting, ClipStore], results: Mapping[Setting, Results]) -> None:
    for (size, fps), store in stores.items():
        made = store.recipe["size"], store.recipe["fps"]
        if made != (size, fps):
            raise ValueError(f"{_name((size, fps))}: found a store of size and fps {made}, expected that recipe's.")
    if len(names := sorted({store.database for store in stores.values()})) > 1:
        raise ValueError(f"stores: found those of {', '.join(names)}, expected one database.")
    for at, runs in results.items():
        if runs and (at not in stores or {run.spec.store for run in runs} != {stores[at].hash}):
            raise ValueError(f"{_name(at)}: found runs of another store, expected those of the one for this setting.")


def _name(setting: Setting) -> str:
    size, fps = setting
    return f"{size} px, {fps:g} per second"


def _overview(sizes: Sequence[int], rates: Sequence[float], cells: Mapping[Setting, Cell]) -> pd.DataFrame:
    rows = []
    for fps in rates:
        across = {size: cells.get((size, fps)) for size in sizes}
        shown = {f"{size} x {size} px": cell.accuracy if cell else NOT_RUN for size, cell in across.items()}
        rows.append({"frames per second": f"{fps:g}", **shown})
    return pd.DataFrame(rows)


def _details(at: Setting, cell: Cell | None) -> dict[str, str]:
    size, fps = at
    frames = f"{cell.store.usable['frames'].mean():.1f}" if cell else ""
    row = {"size, px": str(size), "frames per second": f"{fps:g}", "frames a clip, mean": frames}
    return {**row, **(cell.details() if cell else {"accuracy": NOT_RUN})}


def _compared(done: Mapping[Setting, Cell]) -> pd.DataFrame:
    """The paper's choice less each other setting; p values as numbers."""
    if CHOICE not in done:
        return pd.DataFrame()
    rows = []
    for at, cell in done.items():
        if at == CHOICE or (pair := paired(done[CHOICE], cell)) is None:
            continue
        found, _ = pair
        rows.append(
            {
                "size, px": str(at[0]),
                "frames per second": f"{at[1]:g}",
                "accuracy": points(found.accuracy, found.accuracy_low, found.accuracy_high),
                "AUC": points(found.auc, found.auc_low, found.auc_high),
                "clips": str(found.n),
                "subjects": str(found.subjects),
                "p": found.p,
            }
        )
    table = pd.DataFrame(rows)
    return table.assign(**{"p, Holm": _holm(table["p"])}) if rows else table


def _holm(p: pd.Series) -> pd.Series:
    """P values adjusted for their number (Holm 1979), those left out that are NaN."""
    ordered = p.dropna().sort_values()
    steps = ordered * range(len(ordered), 0, -1)
    return steps.cummax().clip(upper=1.0).reindex(p.index)


def _verdict(done: Mapping[Setting, Cell], compared: pd.DataFrame) -> str:
    """Whether the paper's choice and the best setting here can be told apart."""
    if CHOICE not in done:
        return f"The paper's choice, {_name(CHOICE)}, was {NOT_RUN}: nothing can be compared with it."
    if compared.empty:
        return "No other setting was run on the same clips: the paper's choice cannot be compared."
    ranked = sorted(done, key=lambda at: done[at].summary.accuracy, reverse=True)
    top = done[ranked[0]].summary.accuracy
    leads = done[CHOICE].summary.accuracy >= top
    other = next(at for at in ranked if at != CHOICE)
    equal = sum(abs(cell.summary.accuracy - top) < _ROUNDING for cell in done.values())
    shared = f", which {equal} settings share," if equal > 1 else ""
    start = (
        f"The paper's choice, {_name(CHOICE)}, has the highest accuracy here ({percent(top)} %){shared} and next is "
        if leads
        else f"The highest accuracy here{shared} is that of "
    ) + _name(other)
    row = compared[(compared["size, px"] == str(other[0])) & (compared["frames per second"] == f"{other[1]:g}")]
    if row.empty:
        return f"{start}, on other clips than the paper's choice: the two cannot be compared."
    difference, p = row["accuracy"].item(), row["p, Holm"].item()
    start += f" ({percent(done[other].summary.accuracy)} %). The paper's choice less that, on the same clips: "
    if np.isnan(p):
        return f"{start}{difference} points; one subject tells nothing about others."
    told = "can" if p < _LEVEL else "cannot"
    count = compared["p"].notna().sum()
    return (
        f"{start}{difference} points, p {p_value(p)} after Holm's correction for {count} comparisons (sign flips over "
        f"subjects): the two {told} be told apart. Settings are ranked on the very clips they are tested on, which "
        "flatters the first."
    )


def _uneven(done: Mapping[Setting, Cell]) -> list[str]:
    """What besides size and rate differs between settings."""
    notes = []
    if len({cell.summary.n for cell in done.values()}) > 1:
        notes.append(
            "Settings are tested on different numbers of clips: a clip in which fewer than two sampled frames show a "
            "face is left out. Comparisons are on the clips that both have."
        )
    for cell in done.values():
        first = done.get(CHOICE, next(iter(done.values())))
        # The model takes the size of its input as an option.
        if apart := [text for text in differences(cell.spec, first.spec) if not text.startswith("size ")]:
            notes.append(f"{cell.name} differs from {first.name} also in {', '.join(apart)}.")
    return notes


def _drawn(sizes: Sequence[int], rates: Sequence[float], done: Mapping[Setting, Cell]) -> Figure:
    # Room below is kept by hand: a legend outside would slip under the line that names the data.
    figure = Figure(figsize=(7.2, 4.4), layout=ConstrainedLayoutEngine(rect=(0, _LEGEND, 1, 1 - _LEGEND)))
    axis = figure.subplots()
    step = _GROUP / len(sizes)
    places = {
        (size, fps): group + (number - (len(sizes) - 1) / 2) * step
        for group, fps in enumerate(rates)
        for number, size in enumerate(sizes)
    }
    for number, size in enumerate(sizes):
        color, marker = _STYLES[number % len(_STYLES)]
        of_size = {places[at]: cell.summary for at, cell in done.items() if at[0] == size}
        heights = [100 * found.accuracy for found in of_size.values()]
        low = [100 * (found.accuracy - found.accuracy_low) for found in of_size.values()]
        high = [100 * (found.accuracy_high - found.accuracy) for found in of_size.values()]
        name = f"{size} × {size} px" + ("" if of_size else f", {NOT_RUN}")
        axis.errorbar(
            [*of_size], heights, (low, high), fmt=marker, color=color, ms=6, lw=0, elinewidth=1.3, capsize=3, label=name
        )
    for known, (at, cell) in enumerate(done.items()):
        ends = [places[at] - step / 2, places[at] + step / 2]
        label = None if known else "majority class"
        axis.plot(ends, [100 * cell.majority] * 2, color="0.45", lw=1.8, label=label, solid_capstyle="projecting")
        top = 100 * np.nanmax([cell.summary.accuracy, cell.summary.accuracy_high])
        # Where there is no interval, the circle around the paper's choice reaches above the mark.
        above = 9.0 if at == CHOICE and top - 100 * cell.summary.accuracy < _CIRCLE else 3.5
        _write(axis, f"{100 * cell.summary.accuracy:.1f}", (places[at], top), above, fontsize=6.5)
    if CHOICE in done:
        height = 100 * done[CHOICE].summary.accuracy
        axis.plot(places[CHOICE], height, "o", ms=14, mfc="none", mec="0.2", mew=1.2, label="the paper's choice")
    _finish(axis, rates, done)
    for place in (place for at, place in places.items() if at not in done):
        _write(axis, NOT_RUN, (place, axis.get_ylim()[0]), rotation=90, fontsize=7, color="0.35")
    figure.suptitle(_title(done), fontsize=10)
    return figure


def _finish(axis: Axes, rates: Sequence[float], done: Mapping[Setting, Cell]) -> None:
    found = [cell.summary for cell in done.values()]
    shown = [(each.accuracy, each.accuracy_low, each.accuracy_high) for each in found]
    lowest, highest = (
        float(end([end(shown), *(cell.majority for cell in done.values())])) for end in (np.nanmin, np.nanmax)
    )
    axis.set_ylim(max(100 * lowest - 6, -2), min(100 * highest + 5, 104))
    axis.yaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10]))
    bottom, top = axis.get_ylim()
    axis.spines["left"].set_bounds(bottom, min(top, 100))
    axis.set_xlim(-0.5, len(rates) - 0.5)
    axis.set_xticks(range(len(rates)), [f"{fps:g}" for fps in rates])
    for boundary in range(1, len(rates)):
        axis.axvline(boundary - 0.5, color="0.85", lw=0.8)
    axis.set_xlabel("frames per second", fontsize=9)
    axis.set_ylabel("accuracy, % (95 % interval over subjects)", fontsize=9)
    axis.tick_params(labelsize=9)
    axis.tick_params(axis="x", length=0)
    axis.grid(axis="y", color="0.9", lw=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.figure.legend(loc="lower center", bbox_to_anchor=(0.5, 0.03), ncols=3, fontsize=8, frameon=False)


def _write(axis: Axes, text: str, at: tuple[float, float], above: float = 3.5, **options: Any) -> None:
    """Write a word just above a place, by so many points."""
    axis.annotate(text, at, xytext=(0, above), textcoords="offset points", ha="center", va="bottom", **options)


def _title(done: Mapping[Setting, Cell]) -> str:
    clips, subjects, folds = (
        _range(found, thing)
        for thing, found in (
            ("clip", [cell.summary.n for cell in done.values()]),
            ("subject", [cell.summary.subjects for cell in done.values()]),
            ("fold", [cell.predictions["fold"].nunique() for cell in done.values()]),
        )
    )
    trials = _range([len(cell.trials) for cell in done.values()])
    parts = any(" of " in cell.folds for cell in done.values())
    label = next(iter(done.values())).label
    bare = any(np.isnan(cell.summary.accuracy_low) for cell in done.values())
    return (
        f"RealSmileNet over input size and frame rate, {label}\n"
        f"{clips} of {subjects}, {folds}{' (not all)' if parts else ''}, trials: {trials}"
        f"{'; no interval over one subject' if bare else ''}"
    )


def _range(numbers: Sequence[int], thing: str = "") -> str:
    low, high = min(numbers), max(numbers)
    if low != high:
        return f"{low:,}-{high:,} {thing}s" if thing else f"{low:,}-{high:,}"
    return counted(low, thing) if thing else f"{low:,}"
