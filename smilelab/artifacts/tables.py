"""The papers' tables, reported beside measured: pure functions from stores and runs to products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from smilelab import audit, metrics, resampling
from smilelab.artifacts.catalogue import makes
from smilelab.artifacts.data_tables import PROBES_CAPTION, YANG_DATABASES, probes_of
from smilelab.artifacts.numbers import percent, reported
from smilelab.artifacts.product import NOT_RUN, Product, database_label
from smilelab.clips import ClipStore
from smilelab.runs import RunFailure, RunResult, predictions_of

Results = Sequence[RunResult | RunFailure]

SELECTION_LABELS = {
    "validation": "epoch chosen on held-out training subjects",
    "last": "last epoch",
    "best-on-test": "epoch chosen on the test fold itself, as the released code does: optimistic",
}


@makes("yang2020-table2", metrics, resampling, audit.probes)
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
        for name in YANG_DATABASES:
            row[f"{database_label(name, simulated=False)}, reported"] = cells.get((method, name), "-")
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
    tables[PROBES_CAPTION] = probes_of(stores)
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
