"""Which cue of a smile each method relies on: the same simulated people with one cue after the other switched off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from smilelab import comparison, metrics, resampling
from smilelab.artifacts import yang_methods, yang_rows
from smilelab.artifacts.catalogue import makes
from smilelab.artifacts.method_study import ALL_OFF, ALL_ON
from smilelab.artifacts.numbers import AUC_NOTE, about_few_subjects, percent
from smilelab.artifacts.product import NOT_RUN, Product
from smilelab.artifacts.study import TRACES
from smilelab.artifacts.yang_methods import METHODS, NETWORK, name_of
from smilelab.artifacts.yang_rows import Cell, Results, p_value, paired, points
from smilelab.clips import ClipStore
from smilelab.comparison import Comparison
from smilelab.simulator import cues as simulated_cues

NONE_CERTAIN = "none certain"
_Row = tuple[str, str]  # kind of database, method
_COLOURS = "cividis"  # of one lightness scale, for any eye and in grey
_LOW = 0.4


@makes("cues", metrics, resampling, comparison, yang_methods, yang_rows, simulated_cues)
def cues(stores: Mapping[tuple[str, str], ClipStore], results: Mapping[tuple[str, str, str], Results]) -> Product:
    """Accuracy of every method with all cues on and with each cue off, and how much each cue is worth to it.

    Parameters
    ----------
    stores : mapping of (str, str) to ClipStore
        By kind of database and setting of the cues: the clips that the methods see, of the same people.
    results : mapping of (str, str, str) to runs
        By kind of database, method and setting; methods are trained and tested under the same setting.

    Returns
    -------
    Product

    Source: ours; with recorded smiles no cue can be switched off.
    """
    settings = _settings(stores)
    rows = _rows(results)
    cells = {
        (kind, method, setting): Cell(_title((kind, method)), stores[kind, setting], runs)
        for (kind, method, setting), runs in results.items()
        if runs
    }
    done = {key: cell for key, cell in cells.items() if cell.complete}
    drops = {key: found for key in done if key[2] != ALL_ON and (found := _drop(done, key)) is not None}
    relied = {row: _relied(done.get((*row, ALL_ON)), row, drops) for row in rows}
    main = [
        {"method": _title(row), **{s: _accuracy(cells.get((*row, s))) for s in settings}, "relies on": relied[row]}
        for row in rows
    ]
    tables = {
        "Accuracy in percent with each cue off (95 % intervals from a bootstrap over subjects)": main,
        "What each cue is worth: all cues on less the cue off, on the same clips (points, 95 % intervals)": [
            _told(key, drop) for key, drop in drops.items()
        ],
        "The company of every accuracy (percent)": [_company(key, cell) for key, cell in done.items()],
    }
    notes = [
        "Simulated smiles of the same people, clips and folds throughout; a method is trained and tested anew on each "
        "setting. A cue that is off is drawn alike in both classes, from both classes' distributions, and all else as "
        "before: smilelab.simulator.cues says which parameters belong to which cue.",
        "'relies on' is the cue whose loss costs most among those whose drop has an interval that leaves zero, of a "
        "method that passes the larger class with all cues on; it is not corrected for the number of cues. With "
        f"'{ALL_OFF}' the label decides nothing: a control at chance.",
        "Eyelids and texture hardly tell the published kinematics' classes apart, where clip length is matched not at "
        "all: their columns show what no loss looks like. A small drop beside a large one may be the part of a cue "
        "that another one carries as well (speed is amplitude times timing).",
        *_chance(done),
        *([] if any(cue != NONE_CERTAIN for cue in relied.values()) else [_too_few(done)]),
        *_about(stores),
        AUC_NOTE,
        *about_few_subjects(cell.summary.subjects for cell in done.values()),
        *(f"{setting}: {cell.failed}" for (_, _, setting), cell in cells.items() if cell.failed),
    ]
    every = [run for runs in results.values() for run in runs]
    return Product(
        {caption: pd.DataFrame(lines) for caption, lines in tables.items() if lines},
        figure=_figure(settings, rows, done, drops, relied),
        notes=notes,
        stores=[*stores.values()],
        runs=every,
    )


def _chance(done: Mapping[tuple[str, str, str], Cell]) -> list[str]:
    """What it means that methods pass the larger class although the label decides nothing."""
    found = [(key, cell) for key, cell in done.items() if key[2] == ALL_OFF and cell.against == "above"]
    if not found:
        return []
    named = ", ".join(f"{_title(key[:2])} ({cell.accuracy}; {percent(cell.majority)})" for key, cell in found)
    most = max(cell.summary.accuracy - cell.majority for _, cell in found)
    return [
        f"Although the label decides nothing with '{ALL_OFF}', the interval lies above the larger class for {named}. "
        "That is chance, of these people or of the folds: intervals draw subjects and leave trained methods as they "
        f"are, so that they are too narrow. A difference of {percent(most)} points may be chance elsewhere in the "
        "table too."
    ]


def _too_few(done: Mapping[tuple[str, str, str], Cell]) -> str:
    """What it means that no loss at all is certain."""
    clips = max((cell.summary.n for cell in done.values()), default=0)
    each = f", one of which is {100 / clips:.1f} points" if clips else ""
    return (
        f"No loss is certain with at most {clips} clips{each}: that is no sign that the methods rely on nothing. More "
        "simulated clips (cue_simulated in the profile) narrow the intervals."
    )


def _settings(stores: Mapping[tuple[str, str], ClipStore]) -> list[str]:
    return list(dict.fromkeys(setting for _, setting in stores))


def _rows(results: Mapping[tuple[str, str, str], Results]) -> list[_Row]:
    """Rows in the order of the papers' table, the network last, each kind of database apart."""
    order = [method for method in METHODS if method != NETWORK]
    found = dict.fromkeys((kind, method) for kind, method, _ in results)

    def place(row: _Row) -> tuple[bool, bool, int]:
        kind, method = row
        return kind == TRACES, method == NETWORK, order.index(method) if method in order else len(order)

    return sorted(found, key=place)


def _title(row: _Row) -> str:
    return name_of(row[1]) + (" (AU traces)" if row[0] == TRACES else "")


def _accuracy(cell: Cell | None) -> str:
    return NOT_RUN if cell is None else cell.accuracy


def _drop(done: Mapping[tuple[str, str, str], Cell], key: tuple[str, str, str]) -> Comparison | None:
    """All cues on less the setting of a cell, on the clips of both."""
    whole = done.get((*key[:2], ALL_ON))
    both = None if whole is None else paired(whole, done[key])
    return None if both is None else both[0]


def _relied(whole: Cell | None, row: _Row, drops: Mapping[tuple[str, str, str], Comparison]) -> str:
    """The cue that costs most to lose, where that is certain; what is not better than chance relies on nothing."""
    if whole is None:
        return NOT_RUN
    certain = {
        key[2]: drop.accuracy
        for key, drop in drops.items()
        if key[:2] == row and key[2] != ALL_OFF and drop.accuracy_low > 0
    }
    above = whole.against == "above"
    return max(certain, key=lambda cue: certain[cue]) if certain and above else NONE_CERTAIN


def _told(key: tuple[str, str, str], drop: Comparison) -> dict[str, str]:
    return {
        "method": _title(key[:2]),
        "off": key[2],
        "accuracy lost": points(drop.accuracy, drop.accuracy_low, drop.accuracy_high),
        "AUC lost": points(drop.auc, drop.auc_low, drop.auc_high),
        "p, subjects flipped": p_value(drop.p),
        "right only with all on / only without": f"{drop.only_first} / {drop.only_second}",
        "clips": str(drop.n),
        "subjects": str(drop.subjects),
    }


def _company(key: tuple[str, str, str], cell: Cell) -> dict[str, str]:
    told = cell.details()
    wanted = ("accuracy", "majority", "against the majority", "balanced accuracy", "AUC", "clips", "subjects", "folds")
    return {"method": cell.name, "cues": key[2], **{name: told[name] for name in wanted}}


def _about(stores: Mapping[tuple[str, str], ClipStore]) -> list[str]:
    """How the databases were simulated, apart from the cues."""
    notes = []
    for kind in dict.fromkeys(kind for kind, _ in stores):
        store = next(store for (own, _), store in stores.items() if own == kind)
        told = dict(store.provenance.get("settings", {}))
        size = "x".join(map(str, told.get("resolution", ())))
        matched = "matched" if told.get("length_matched") else "not matched"
        what = "AU traces" if kind == TRACES else f"videos of {size} pixels"
        notes.append(
            f"{what.capitalize() if kind != TRACES else what} of {told.get('subjects', '?')} simulated people, clip "
            f"length {matched} between the classes, seed {store.provenance.get('seed', '?')}. "
            f"Folds: {store.folds_source}."
        )
    return notes


def _figure(
    settings: list[str],
    rows: list[_Row],
    done: Mapping[tuple[str, str, str], Cell],
    drops: Mapping[tuple[str, str, str], Comparison],
    relied: Mapping[_Row, str],
) -> Figure:
    colours = colormaps[_COLOURS]
    # Margins in inches: left, right, above, below.
    west, east, north, south = 1.7, 1.1, 0.85, 0.75
    wide, high = 0.8 * len(settings), 0.5 * max(len(rows), 1)
    width, height = west + wide + east, north + high + south
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((west / width, south / height, wide / width, high / height))
    shares = np.full((len(rows), len(settings)), np.nan)
    for (kind, method, setting), cell in done.items():
        shares[rows.index((kind, method)), settings.index(setting)] = cell.summary.accuracy
    shown = axes.imshow(np.ma.masked_invalid(shares), cmap=colours, vmin=_LOW, vmax=1.0, aspect="auto")
    for at, row in enumerate(rows):
        for column, setting in enumerate(settings):
            share = shares[at, column]
            if np.isnan(share):
                axes.text(column, at, NOT_RUN, ha="center", va="center", fontsize=7, color="0.35")
                continue
            ink = "white" if share < 0.72 else "black"
            text: dict[str, Any] = {"ha": "center", "va": "center", "color": ink}
            drop = drops.get((*row, setting))
            axes.text(column, at - (0.0 if drop is None else 0.16), f"{100 * share:.0f}", fontsize=9, **text)
            if drop is not None:
                certain = drop.accuracy_low > 0
                said = (
                    f"{-100 * drop.accuracy:+.0f}".replace("-0", "0").replace("+0", "0").replace("-", "\N{MINUS SIGN}")
                )
                weight = "bold" if certain else "normal"
                axes.text(column, at + 0.24, said + ("*" if certain else ""), fontsize=7, fontweight=weight, **text)
        if relied[row] in settings:
            left, top = settings.index(relied[row]) - 0.46, at - 0.44
            axes.add_patch(Rectangle((left, top), 0.92, 0.88, fill=False, edgecolor="#d55e00", lw=2.5))
    names = {ALL_ON: "all on", ALL_OFF: "all off"}
    axes.set_xticks(range(len(settings)), [names.get(setting, f"{setting}\noff") for setting in settings])
    axes.set_yticks(range(len(rows)), [_title(row) for row in rows])
    axes.tick_params(length=0, labelsize=8)
    axes.xaxis.tick_top()
    axes.set_xticks(np.arange(len(settings) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", lw=1.5)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)
    beside = figure.add_axes(((west + wide + 0.15) / width, south / height, 0.16 / width, high / height))
    below = bool((shares < _LOW).any())  # of numbers; what was not run is none
    bar = figure.colorbar(shown, cax=beside, extend="min" if below else "neither")
    bar.ax.set_title("accuracy", fontsize=8, pad=8)
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    bar.ax.tick_params(labelsize=7)
    said = (
        "Large: accuracy on unseen people, percent. Small: points against all cues on;\n"
        "bold with *: a loss whose 95 % interval over subjects leaves zero.\n"
        "Framed: the cue that a method relies on, if with all cues on it passes the larger class."
    )
    figure.text(0.15 / width, 0.62 / height, said, fontsize=7.5, ha="left", va="top", linespacing=1.3)
    figure.suptitle("What each method loses without a cue (simulated smiles)", fontsize=10, y=1 - 0.15 / height)
    return figure
