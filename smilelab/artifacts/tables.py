"""Yang et al.'s Table 2, reported beside measured: a pure function from stores and runs to a product."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from smilelab import audit, comparison, metrics, resampling
from smilelab.artifacts import method_costs, yang_methods, yang_rows
from smilelab.artifacts.catalogue import makes
from smilelab.artifacts.data_tables import PROBES_CAPTION, probes_of
from smilelab.artifacts.numbers import AUC_NOTE, about_few_subjects
from smilelab.artifacts.product import NOT_RUN, Product, database_label
from smilelab.artifacts.yang_methods import Measured
from smilelab.artifacts.yang_rows import SELECTION_LABELS, Cell, Results, about_time, about_training
from smilelab.clips import ClipStore

__all__ = ["SELECTION_LABELS", "Measured", "Results", "yang2020_table2"]


NO_METHODS = Measured()


@makes("yang2020-table2", metrics, resampling, comparison, audit.probes, method_costs, yang_methods, yang_rows)
def yang2020_table2(
    stores: Mapping[str, ClipStore],
    results: Mapping[str, Mapping[str, Results]],
    methods: Measured = NO_METHODS,
) -> Product:
    """Yang Table 2: accuracy of all methods, reported beside measured.

    Parameters
    ----------
    stores : mapping of str to ClipStore
        Database name to its clip store.
    results : mapping of str to mapping of str to runs
        Database name to protocol to its runs over folds and trials. Protocols are the selection rules, of which the
        first makes the main column, and ``shuffled`` for the control with permuted training labels.
    methods : Measured
        What was run of the hand-crafted methods.
    """
    network = {name: next(iter(by.values()), ()) for name, by in results.items()}
    cells = yang_methods.cells_of(stores, network, methods)
    protocols = [
        Cell(_protocol(name, runs), stores[database], runs)
        for database in results
        for name, runs in results[database].items()
    ]
    details = [{"database": cell.label, "protocol": cell.name, **cell.details()} for cell in protocols]
    tables = {"Accuracy in percent": yang_methods.accuracies(stores, cells, methods)}
    if details:
        tables["RealSmileNet, each protocol (percent, 95 % intervals from a bootstrap over subjects)"] = pd.DataFrame(
            details
        )
    every_store = {**stores, **{name: store for name, store in methods.stores.items() if name not in stores}}
    tables[PROBES_CAPTION] = probes_of(every_store)
    # The README takes the tables before by their numbers.
    tables |= yang_methods.method_tables(stores, cells, methods) if methods.results else {}
    notes = [
        "Reported numbers are as Yang et al. print them; they come from papers with different landmarks and selection.",
        f"Measured main column: {_main_rule(results)}. 'not run' marks a method without runs.",
    ]
    notes += [f"{database_label(n, simulated=s.simulated)}: {s.folds_source}." for n, s in every_store.items()]
    done = [cell for cell in protocols if cell.complete]
    tested = [*done, *(cell for cell in cells.values() if cell.complete)]
    notes += [*about_training(done), *([AUC_NOTE] if tested else [])]
    notes += about_few_subjects(cell.summary.subjects for cell in tested)
    notes += yang_methods.notes_of_methods(cells, methods)
    # A control is there to fall to the majority.
    tried = [cell for cell in done if cell.runs[0].spec.labels == "true"]
    lower = [cell for cell in tried if cell.against in ("below", "equal")]
    notes += [f"{c.label}, {c.name}: accuracy does not exceed the majority ({c.against})." for c in lower]
    notes += [f"{cell.label}, {cell.failed}" for cell in protocols if cell.failed]
    notes += about_time(done)
    every = [run for by in results.values() for runs in by.values() for run in runs]
    every += [run for runs in methods.results.values() for run in runs]
    return Product(tables, notes=notes, stores=[*stores.values(), *methods.stores.values()], runs=every)


def _main_rule(results: Mapping[str, Mapping[str, Results]]) -> str:
    rules = [next(iter(by)) for by in results.values() if by]
    return SELECTION_LABELS[rules[0]] if rules else NOT_RUN


def _protocol(name: str, runs: Results) -> str:
    label = SELECTION_LABELS.get(runs[0].spec.selection if runs else name, NOT_RUN)
    return f"control with shuffled training labels; {label}" if name == "shuffled" else label
