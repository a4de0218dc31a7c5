"""Yang et al.'s Table 2, reported beside measured: a pure function from stores and runs to a product."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from smilelab import audit, metrics, resampling
from smilelab.artifacts import yang_rows
from smilelab.artifacts.catalogue import makes
from smilelab.artifacts.data_tables import PROBES_CAPTION, YANG_DATABASES, probes_of
from smilelab.artifacts.numbers import about_few_subjects, reported
from smilelab.artifacts.product import NOT_RUN, Product, database_label
from smilelab.artifacts.yang_rows import SELECTION_LABELS, Cell, Results, about_time, about_training
from smilelab.clips import ClipStore

__all__ = ["SELECTION_LABELS", "Results", "yang2020_table2"]


@makes("yang2020-table2", metrics, resampling, audit.probes, yang_rows)
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
            row[column] = Cell(method, store, runs).accuracy
        rows.append(row)
    protocols = [
        Cell(_protocol(name, runs), stores[database], runs)
        for database in results
        for name, runs in results[database].items()
    ]
    details = [{"database": cell.label, "protocol": cell.name, **cell.details()} for cell in protocols]
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
    done = [cell for cell in protocols if cell.complete]
    notes += [*about_training(done), *about_few_subjects(cell.summary.subjects for cell in done)]
    # A control is there to fall to the majority.
    tried = [cell for cell in done if cell.runs[0].spec.labels == "true"]
    lower = [cell for cell in tried if cell.against in ("below", "equal")]
    notes += [f"{c.label}, {c.name}: accuracy does not exceed the majority ({c.against})." for c in lower]
    notes += [f"{cell.label}, {cell.failed}" for cell in protocols if cell.failed]
    notes += about_time(done)
    every = [run for by in results.values() for runs in by.values() for run in runs]
    return Product(tables, notes=notes, stores=[*stores.values()], runs=every)


def _main_rule(results: Mapping[str, Mapping[str, Results]]) -> str:
    rules = [next(iter(by)) for by in results.values() if by]
    return SELECTION_LABELS[rules[0]] if rules else NOT_RUN


def _protocol(name: str, runs: Results) -> str:
    label = SELECTION_LABELS.get(runs[0].spec.selection if runs else name, NOT_RUN)
    return f"control with shuffled training labels; {label}" if name == "shuffled" else label
