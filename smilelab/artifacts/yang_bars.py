"""Bars of Yang et al.'s Figures 7 and 8: groups of subjects, wrong predictions, people beside a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from scipy.stats import binomtest

from smilelab.artifacts.numbers import reported
from smilelab.artifacts.product import NOT_RUN
from smilelab.artifacts.yang_rows import Cell
from smilelab.audit.rounding import numerators

# Okabe & Ito's colours; hatches tell the bars apart without them.
_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "0.82"
_WHISKER: dict[str, Any] = {"ecolor": "0.15", "elinewidth": 1.2, "capsize": 3}
_WIDTH = 0.62
_EVERYONE = "models of all subjects, same clips"

Rows = Mapping[str, Mapping[str, str]]


class Reported(NamedTuple):
    """A printed accuracy as right answers, with its binomial 95 % interval (Clopper-Pearson), shares."""

    right: int
    low: float
    high: float


def reported_rows() -> dict[str, dict[str, str]]:
    """Return the numbers printed for Figure 8: "human, 20 clips" and the like to ``value`` (percent) and ``note``."""
    table = reported("yang2020-fig8")
    return {
        str(row): {"value": str(value), "note": str(note)}
        for row, value, note in zip(table["row"], table["value"], table["note"], strict=True)
    }


def reported_share(printed: Rows, size: int) -> Reported | None:
    """What the printed accuracy of RealSmileNet on so many clips stands for.

    Parameters
    ----------
    printed : dict
        As :func:`reported_rows` returns it.
    size : int
        Number of clips.

    Returns
    -------
    Reported, optional
        None where nothing, or no number of right answers, is printed so.
    """
    key = f"RealSmileNet, {size} clips"
    counts = numerators(printed[key]["value"], size, decimals=0) if key in printed else []
    if len(counts) != 1:
        return None
    low, high = binomtest(counts[0], size).proportion_ci(method="exact")
    return Reported(counts[0], float(low), float(high))


def groups(axis: Axes, cells: Mapping[str, Cell], everyone: Mapping[str, float]) -> None:
    """Draw the accuracy of models trained and tested within each group.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
    cells : mapping of str to Cell
        Group to its runs.
    everyone : mapping of str to float
        Group to the accuracy, a share, of the models of all subjects on the same clips; of those that have one.
    """
    labels = []
    for at, (group, cell) in enumerate(cells.items()):
        labels.append(group)
        if not cell.complete:
            axis.text(at, 3, NOT_RUN, ha="center", va="bottom", rotation=90, fontsize=8, color="0.35")
            continue
        found = cell.summary
        _bar(axis, at, found.accuracy, (found.accuracy_low, found.accuracy_high), _WIDTH, color=_BLUE)
        _number(axis, at, found.accuracy, "white")
        ends = (at - _WIDTH / 2 - 0.08, at + _WIDTH / 2 + 0.08)
        known = "majority class" if not any(line.get_label() == "majority class" for line in axis.lines) else None
        axis.plot(ends, [100 * cell.majority] * 2, color="black", lw=2.2, label=known, solid_capstyle="butt")
        labels[-1] += f"\n{found.n} clips"
        labels[-1] += f"\n{cell.folds} folds" if " of " in cell.folds else ""
        labels[-1] += _without(found.accuracy_low)
        if group in everyone:
            known = _EVERYONE if not any(line.get_label() == _EVERYONE for line in axis.lines) else None
            axis.plot(ends, [100 * everyone[group]] * 2, color=_ORANGE, ls=(0, (2, 1)), lw=2.2, label=known, zorder=3)
    axis.set_xticks(range(len(labels)), labels, fontsize=8)
    axis.set_title("trained and tested within a group", fontsize=9, loc="left")
    axis.set_xlim(-0.6, len(labels) - 0.4)
    _whisker(axis)
    _finish(axis, "accuracy, %")


def errors(axis: Axes, spread: pd.DataFrame, everyone: Cell) -> None:
    """Draw each group's share of the wrong predictions beside its share of the clips.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
    spread : pandas.DataFrame
        As :func:`smilelab.artifacts.yang_errors.errors_by_group` returns it; two rows make a pair.
    everyone : Cell
        Runs on all subjects, whose wrong predictions they are.
    """
    of = f": {everyone.summary.n} clips, {everyone.folds} folds" if everyone.complete else ""
    axis.set_title(f"wrong predictions, models of all subjects{of}", fontsize=9, loc="left")
    if spread.empty:
        axis.text(0.5, 0.5, NOT_RUN, ha="center", va="center", transform=axis.transAxes, fontsize=9, color="0.35")
        axis.set_axis_off()
        return
    width = 0.36
    places = [number + 0.45 * (number // 2) for number in range(len(spread))]
    for at, (_, row) in zip(places, spread.iterrows(), strict=True):
        ends = (row["share_of_wrong_low"], row["share_of_wrong_high"])
        if np.isfinite(row["share_of_wrong"]):
            _bar(axis, at - width / 2, row["share_of_wrong"], ends, width, color=_ORANGE)
            _number(axis, at - width / 2, row["share_of_wrong"], "white", size=7)
        _bar(axis, at + width / 2, row["share_of_clips"], None, width, color=_GREY, hatch="///")
        _number(axis, at + width / 2, row["share_of_clips"], "black", size=7)
    _named(axis, "share of wrong predictions", color=_ORANGE)
    _named(axis, "share of clips", color=_GREY, hatch="///")
    _whisker(axis)
    labels = [
        f"{group}\n{100 * row['error_rate']:.1f} %\nwrong"
        + (_without(row["share_of_wrong_low"]) if np.isfinite(row["share_of_wrong"]) else "")
        for group, row in spread.iterrows()
    ]
    axis.set_xticks(places, labels, fontsize=8)
    _finish(axis, "share of the pair, %")


def people(axis: Axes, sizes: Sequence[int], printed: Rows, draws: Mapping[int, pd.Series]) -> None:
    """Draw people and model as reported, and the measured model's draws, for each number of clips.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
    sizes : sequence of int
        Numbers of clips.
    printed : dict
        As :func:`reported_rows` returns it.
    draws : mapping of int to pandas.Series
        Number of clips to the accuracy of each draw; of those that were run.
    """
    width = 0.26
    for at, size in enumerate(sizes):
        if (key := f"human, {size} clips") in printed:
            value = float(printed[key]["value"]) / 100
            _bar(axis, at - width, value, None, width, color=_GREY, hatch="///")
            _number(axis, at - width, value, "black", digits=0)
        if (found := reported_share(printed, size)) is not None:
            value = float(printed[f"RealSmileNet, {size} clips"]["value"]) / 100
            _bar(axis, at, value, (found.low, found.high), width, color=_ORANGE, hatch="...")
            _number(axis, at, value, "black", digits=0)
        if size not in draws:
            axis.text(at + width, 3, NOT_RUN, ha="center", va="bottom", rotation=90, fontsize=8, color="0.35")
            continue
        mean, sd = float(draws[size].mean()), float(draws[size].std(ddof=1)) if len(draws[size]) > 1 else 0.0
        _bar(axis, at + width, mean, (mean - sd, mean + sd) if sd else None, width, color=_BLUE)
        _number(axis, at + width, mean, "white")
        beside = np.linspace(-0.3, 0.3, len(draws[size])) * width if len(draws[size]) > 1 else np.zeros(1)
        axis.plot(at + width + beside, 100 * draws[size], "o", ms=4, mfc="white", mec="black", mew=0.8, ls="", zorder=4)
    _named(axis, "people, as reported", color=_GREY, hatch="///")
    _named(axis, "RealSmileNet, as reported (binomial 95 % interval)", color=_ORANGE, hatch="...")
    if draws:
        counts = sorted({len(some) for some in draws.values()})
        many = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])
        spread = "one draw" if counts == [1] else f"mean ± sd of {many} draws"
        _named(axis, f"RealSmileNet, measured: {spread}", color=_BLUE)
        axis.plot([], [], "o", ms=4, mfc="white", mec="black", mew=0.8, ls="", label="one draw")
    axis.axhline(50, color="0.4", ls=":", lw=1, label="one class for all measured clips", zorder=0.5)
    labels = []
    for size in sizes:
        key = f"human, {size} clips"
        labels.append(f"{size} clips" + (f"\n(people: {printed[key]['note']})" if key in printed else ""))
    axis.set_xticks(range(len(sizes)), labels, fontsize=8)
    axis.set_xlim(-0.55, len(sizes) - 0.45)
    _finish(axis, "accuracy, %")


def _without(low: float) -> str:
    """What stands below a bar without a whisker."""
    return "\nno interval" if np.isnan(low) else ""


def _bar(axis: Axes, at: float, share: float, ends: tuple[float, float] | None, width: float, **style: Any) -> None:
    reach = None
    if ends is not None and np.isfinite(ends).all():
        reach = [[100 * max(share - ends[0], 0)], [100 * max(ends[1] - share, 0)]]
    axis.bar(at, 100 * share, width, yerr=reach, error_kw=_WHISKER, edgecolor="0.25", lw=0.7, zorder=2, **style)


def _number(axis: Axes, at: float, share: float, color: str, *, size: float = 8, digits: int = 1) -> None:
    """Print a bar's height at its foot, where neither interval nor marker hides it."""
    plate = {"facecolor": "white", "edgecolor": "none", "pad": 0.8} if color == "black" else None
    axis.text(
        at, 3, f"{100 * share:.{digits}f}", ha="center", va="bottom", fontsize=size, color=color, zorder=5, bbox=plate
    )


def _whisker(axis: Axes) -> None:
    """Name the intervals in the legend."""
    axis.errorbar(np.nan, np.nan, yerr=1, fmt="none", label="95 % interval over subjects", **_WHISKER)


def _named(axis: Axes, label: str, **style: Any) -> None:
    """Name a kind of bar in the legend."""
    axis.bar(0, 0, 0, edgecolor="0.25", lw=0.7, label=label, **style)


def _finish(axis: Axes, quantity: str) -> None:
    axis.set_ylim(0, 100)
    axis.set_ylabel(quantity, fontsize=8)
    axis.tick_params(axis="y", labelsize=8)
    axis.tick_params(axis="x", length=0)
    axis.grid(axis="y", color="0.9", lw=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    entries = list(zip(*axis.get_legend_handles_labels(), strict=True))
    entries.sort(key=lambda entry: not isinstance(entry[0], BarContainer))
    lines = max(label.get_text().count("\n") + 1 for label in axis.get_xticklabels())
    below: dict[str, Any] = {
        "loc": "upper center",
        "bbox_to_anchor": (0.5, -0.17 - 0.055 * max(lines - 3, 0)),
        "fontsize": 7,
        "frameon": False,
        "ncols": 2,
    }
    axis.legend([handle for handle, _ in entries], [label for _, label in entries], **below)
