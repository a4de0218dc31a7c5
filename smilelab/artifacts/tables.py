"""The papers' tables, reported beside measured: pure functions from stores and runs to products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources

import numpy as np
import pandas as pd

from smilelab import metrics
from smilelab.artifacts.catalogue import makes
from smilelab.artifacts.product import NOT_RUN, Product, database_label
from smilelab.clips import ClipStore
from smilelab.datasets import POSED, SPONTANEOUS
from smilelab.runs import RunFailure, RunResult, predictions_of

Results = Sequence[RunResult | RunFailure]

_TABLE2_DATABASES = ("uva-nemo", "mmi", "spos", "bbc")
SELECTION_LABELS = {
    "validation": "epoch chosen on held-out training subjects",
    "last": "last epoch",
    "best-on-test": "epoch chosen on the test fold itself, as the released code does: optimistic",
}


@cache
def _reported() -> pd.DataFrame:
    with resources.files("smilelab.artifacts").joinpath("reported.csv").open(encoding="utf-8") as handle:
        return pd.read_csv(handle, dtype=str, keep_default_na=False)


def reported(artifact_id: str | None = None) -> pd.DataFrame:
    """Every number the papers print, with its place.

    Parameters
    ----------
    artifact_id : str, optional
        Only the numbers of this artifact.

    Returns
    -------
    pandas.DataFrame
        Columns ``artifact, paper, database, row, quantity, value, unit, place, note``, all of them text as printed.
    """
    table = _reported()
    return (table if artifact_id is None else table[table["artifact"] == artifact_id]).copy()


def percent(value: float, low: float | None = None, high: float | None = None) -> str:
    """Print a share as "71.2" or, with an interval, as "71.2 [64.0, 78.1]"; empty for NaN."""
    if np.isnan(value):
        return ""
    text = f"{100 * value:.1f}"
    return text if low is None or high is None else f"{text} [{100 * low:.1f}, {100 * high:.1f}]"


@makes("yang2020-table1")
def yang2020_table1(stores: Mapping[str, ClipStore]) -> Product:
    """Yang Table 1: resolution, frame rate, clips and subjects per class, as decoded from the files on disk.

    Parameters
    ----------
    stores : mapping of str to ClipStore
        Database name to its clip store, whose manifest holds what decoding each file found.
    """
    rows = []
    for name in _TABLE2_DATABASES:
        printed = reported("yang2020-table1").query("database == @name").set_index("quantity")["value"]
        label = database_label(name, simulated=False) if name in stores else _plain_name(name)
        rows.append({"database": label, "": "reported", **printed.to_dict()})
        measured = dict.fromkeys(printed.index, NOT_RUN)
        if name in stores:
            label = database_label(name, simulated=stores[name].simulated)
            measured = _decoded(stores[name])
        rows.append({"database": label, "": "measured", **measured})
    notes = [
        f"{database_label(name, simulated=store.simulated)}: {len(store.manifest)} clips listed, {len(store.usable)} "
        f"usable; of the others the reasons are in the manifest. {store.folds_source.capitalize()}."
        for name, store in stores.items()
    ]
    return Product(
        {"Smile databases, reported and measured": pd.DataFrame(rows)}, notes=notes, stores=[*stores.values()]
    )


def _plain_name(name: str) -> str:
    return {"mmi": "MMI", "spos": "SPOS", "bbc": "BBC"}.get(name, name)


def _decoded(store: ClipStore) -> dict[str, str]:
    table = store.manifest
    clips = table["label"]
    decoded = table[table["width"] > 0]
    sizes = decoded["width"].astype(str) + "x" + decoded["height"].astype(str)
    rates = decoded["fps_source"].round(2).map("{:g}".format)
    subjects = {label: table.loc[clips == label, "subject"].nunique() for label in (SPONTANEOUS, POSED)}
    return {
        "resolution": "; ".join(sizes.value_counts().index),
        "frame rate": "; ".join(rates.value_counts().index),
        "spontaneous clips": str(int((clips == SPONTANEOUS).sum())),
        "posed clips": str(int((clips == POSED).sum())),
        "subjects with a spontaneous clip": str(subjects[SPONTANEOUS]),
        "subjects with a posed clip": str(subjects[POSED]),
    }


@makes("yang2020-table2", metrics)
def yang2020_table2(stores: Mapping[str, ClipStore], results: Mapping[str, Mapping[str, Results]]) -> Product:
    """Yang Table 2: accuracy of all methods, reported beside measured.

    Parameters
    ----------
    stores : mapping of str to ClipStore
        Database name to its clip store.
    results : mapping of str to mapping of str to runs
        Database name to protocol to its runs over folds and trials. Protocols are the selection rules, of which the
        first makes the main column, and ``shuffled`` for the control with permuted training labels.
    """
    printed = reported("yang2020-table2")
    methods = list(dict.fromkeys(printed["row"]))
    process = printed.drop_duplicates("row").set_index("row")["note"]
    cells = printed.set_index(["row", "database"])["value"]
    rows = []
    for method in methods:
        row = {"method": method, "process": process[method]}
        for name in _TABLE2_DATABASES:
            row[f"{_plain_label(name)}, reported"] = cells.get((method, name), "-")
        for name, store in stores.items():
            column = f"{database_label(name, simulated=store.simulated)}, measured [95 %]"
            runs = next(iter(results.get(name, {}).values()), ()) if method == "RealSmileNet" else ()
            row[column] = _accuracy_cell(runs, store)
        rows.append(row)
    details = [
        _details(name, stores[name], protocol, runs) for name in results for protocol, runs in results[name].items()
    ]
    tables = {"Accuracy in percent": pd.DataFrame(rows)}
    if details:
        tables["RealSmileNet, each protocol (percent, 95 % intervals from a bootstrap over subjects)"] = pd.DataFrame(
            details
        )
    notes = [
        "Reported numbers are as Yang et al. print them; they come from papers with different landmarks and selection.",
        f"Measured main column: {_main_rule(results)}. 'not run' marks a method without runs.",
    ]
    notes += [f"{database_label(n, simulated=s.simulated)}: {s.folds_source}." for n, s in stores.items()]
    notes += [_failed(runs) for by in results.values() for runs in by.values() if _failed(runs)]
    every = [run for by in results.values() for runs in by.values() for run in runs]
    return Product(tables, notes=notes, stores=[*stores.values()], runs=every)


def _main_rule(results: Mapping[str, Mapping[str, Results]]) -> str:
    rules = [next(iter(by)) for by in results.values() if by]
    return SELECTION_LABELS[rules[0]] if rules else NOT_RUN


def _plain_label(name: str) -> str:
    return "UvA-NEMO" if name == "uva-nemo" else _plain_name(name)


def _complete(runs: Results) -> bool:
    return bool(runs) and all(isinstance(run, RunResult) for run in runs)


def _accuracy_cell(runs: Results, store: ClipStore) -> str:
    if not _complete(runs):
        return NOT_RUN
    predictions = predictions_of(runs)
    summary = metrics.summarize(predictions)
    tested, every = predictions["fold"].nunique(), len(store.folds())
    part = "" if tested == every else f" ({tested} of {every} folds)"
    return percent(summary.accuracy, summary.accuracy_low, summary.accuracy_high) + part


def _details(name: str, store: ClipStore, protocol: str, runs: Results) -> dict[str, str]:
    shuffled = protocol == "shuffled"
    label = SELECTION_LABELS[runs[0].spec.selection if runs else protocol]
    label = f"control with shuffled training labels; {label}" if shuffled else label
    row = {"database": database_label(name, simulated=store.simulated), "protocol": label}
    if not _complete(runs):
        return {**row, "accuracy": NOT_RUN}
    predictions = predictions_of(runs)
    summary = metrics.summarize(predictions)
    by_trial = predictions.assign(correct=(predictions["probability"] >= metrics.THRESHOLD) == predictions["label"])
    trials = by_trial.groupby("seed")["correct"].mean()
    spread = percent(float(trials.std(ddof=1))) if len(trials) > 1 else ""
    return {
        **row,
        "accuracy": percent(summary.accuracy, summary.accuracy_low, summary.accuracy_high),
        "sd over trials": spread,
        "majority": percent(summary.majority),
        "balanced accuracy": percent(
            summary.balanced_accuracy, summary.balanced_accuracy_low, summary.balanced_accuracy_high
        ),
        "AUC": percent(summary.auc, summary.auc_low, summary.auc_high),
        "clips": str(summary.n),
        "subjects": str(summary.subjects),
        "folds": str(predictions["fold"].nunique()),
        "trials": str(len(trials)),
    }


def _failed(runs: Results) -> str:
    failed = [run for run in runs if isinstance(run, RunFailure)]
    return f"{len(failed)} of {len(runs)} runs failed, first: {failed[0].error}" if failed else ""
