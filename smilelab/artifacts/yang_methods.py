"""Yang et al.'s Table 2 whole: every method of the papers under one protocol, compared in pairs, with what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

from smilelab.artifacts import method_costs
from smilelab.artifacts.data_tables import YANG_DATABASES
from smilelab.artifacts.numbers import reported
from smilelab.artifacts.product import NOT_RUN, database_label
from smilelab.artifacts.yang_rows import Cell, Results, p_of_folds, p_value, paired, points
from smilelab.clips import ClipStore

__all__ = ["METHODS", "NETWORK", "Measured", "Method", "accuracies", "holm", "lacking", "name_of", "notes_of_methods"]
__all__ += ["method_tables"]

NETWORK = "realsmilenet"
PICTURES, TRACES = "face crops", "AU traces"


class Method(NamedTuple):
    """A method of the papers: how its row is called, and what it can be computed of."""

    row: str
    sees: tuple[str, ...] = (PICTURES,)


# Registry name to its row, in the order of Yang et al.'s Table 2; below it AUDA, which is later than both papers.
METHODS = {
    "cohn2004": Method("Cohn'04", (PICTURES, TRACES)),
    "dibeklioglu2010": Method("Dibeklioglu'10"),
    "pfister2011": Method("Pfister'11"),
    "wu2014": Method("Wu'14"),
    "dibeklioglu2015": Method("Dibeklioglu'15"),
    "mandal2017": Method("Mandal'17"),
    "mandal2016": Method("Mandal'16"),
    NETWORK: Method("RealSmileNet"),
    "auda2021": Method("AUDA'21", (TRACES,)),
    "valstar2007": Method("Valstar'07"),
    "gan2015": Method("Gan'15"),
    "wang2020": Method("Wang'20"),
}
RELATED = ("valstar2007", "gan2015", "wang2020")
_PLACES = {"yang2020": "Yang et al. 2020", "lee2020": "Lee & Lee 2020", "kawulok2021": "Kawulok et al. 2021"}


@dataclass(frozen=True)
class Measured:
    """What was run of the hand-crafted methods.

    Attributes
    ----------
    stores : mapping of str to ClipStore
        The clips that they see, by database.
    results : mapping of (str, str) to runs
        By database and method, over folds; none where a method was not run.
    """

    stores: Mapping[str, ClipStore] = field(default_factory=dict)
    results: Mapping[tuple[str, str], Results] = field(default_factory=dict)

    @property
    def methods(self) -> list[str]:
        """All methods of the tables, and those that were run besides."""
        return list(dict.fromkeys([*METHODS, *(method for _, method in self.results)]))

    def complete_on(self, database: str) -> dict[str, Cell]:
        """Cells of the methods of which every run on a database is finished, by method."""
        found = cells_of({}, {}, self)
        return {method: cell for (name, method), cell in found.items() if name == database and cell.complete}


def name_of(method: str) -> str:
    """How a method's row is called."""
    return METHODS[method].row if method in METHODS else method


def lacking(method: str, store: ClipStore) -> str:
    """What a method would need that a store does not have; empty where it can be run."""
    sees = METHODS[method].sees if method in METHODS else (PICTURES,)
    here = PICTURES if store.has_frames else TRACES
    return "" if here in sees else f"needs {sees[0]}"


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for their number by Holm's step-down method.

    Parameters
    ----------
    p_values : sequence of float
        Of the tests of one family; NaN where there is none, which does not count.

    Returns
    -------
    list of float
        In their order: the smallest level at which the family-wise procedure rejects each.

    References
    ----------
    .. [1] Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scand. J. Statistics 6, 65-70.
    """
    values = np.asarray(p_values, float)
    adjusted = np.full(len(values), np.nan)
    order = [at for at in np.argsort(values, kind="stable") if not np.isnan(values[at])]
    so_far = 0.0
    for rank, at in enumerate(order):
        so_far = max(so_far, min(1.0, (len(order) - rank) * float(values[at])))
        adjusted[at] = so_far
    return [float(value) for value in adjusted]


def cells_of(
    stores: Mapping[str, ClipStore], network: Mapping[str, Results], measured: Measured
) -> dict[tuple[str, str], Cell]:
    """Cell of each method that was run on a database, by database and method; the network on its own store."""
    found = {}
    for name in dict.fromkeys([*stores, *measured.stores]):
        for method in measured.methods:
            own = method == NETWORK
            runs = network.get(name, ()) if own else measured.results.get((name, method), ())
            store = (stores if own else measured.stores).get(name)
            if store is not None and runs:
                found[name, method] = Cell(name_of(method), store, runs)
    return found


def accuracies(
    stores: Mapping[str, ClipStore], cells: Mapping[tuple[str, str], Cell], measured: Measured
) -> pd.DataFrame:
    """Accuracy of the methods of Yang et al.'s Table 2, of AUDA and of any other that was run, beside the reported.

    Parameters
    ----------
    stores : mapping of str to ClipStore
        The network's.
    cells : mapping of (str, str) to Cell
        As `cells_of` returns them.
    measured : Measured

    Returns
    -------
    pandas.DataFrame
        Text as printed; the related work of Lee & Lee is not in it.
    """
    printed = reported("yang2020-table2")
    further = reported("related").query("paper == 'kawulok2021'").assign(note="from traces of action units")
    every_number = pd.concat([printed, further])
    about = every_number.drop_duplicates("row").set_index("row")
    known = every_number.set_index(["row", "database"])["value"]
    every = {**measured.stores, **stores}
    rows = []
    for method in measured.methods:
        name = name_of(method)
        if method in RELATED or not (measured.results or name in set(printed["row"])):
            continue
        row = {"method": name}
        for database in dict.fromkeys([*YANG_DATABASES, *every]):
            if database in YANG_DATABASES:
                row[f"{database_label(database, simulated=False)}, reported"] = known.get((name, database), "-")
            beside = {database: every[database]} if database in every else {}
            row |= _measured_columns(beside, cells, method)
        row |= {"process": "", "reported by": "-"}
        if name in about.index:
            row["process"] = about["note"][name]
            row["reported by"] = f"{_PLACES[about['paper'][name]]}, {about['place'][name]}"
        rows.append(row)
    return pd.DataFrame(rows)


def _measured_columns(
    every: Mapping[str, ClipStore], cells: Mapping[tuple[str, str], Cell], method: str
) -> dict[str, str]:
    found = {}
    for name, store in every.items():
        label = f"{database_label(name, simulated=store.simulated)}, measured [95 %]"
        cell = cells.get((name, method))
        found[label] = cell.accuracy if cell is not None else lacking(method, store) or NOT_RUN
    return found


def method_tables(
    stores: Mapping[str, ClipStore], cells: Mapping[tuple[str, str], Cell], measured: Measured
) -> dict[str, pd.DataFrame]:
    """Tables that go with `accuracies`: related work, the company of every accuracy, paired tests, and what each costs.

    Parameters
    ----------
    stores, cells, measured
        As for `accuracies`.

    Returns
    -------
    dict of str to pandas.DataFrame
        Caption to table.
    """
    every = {**measured.stores, **stores}
    done = {key: cell for key, cell in cells.items() if cell.complete}
    told = ("majority", "against the majority", "balanced accuracy", "AUC", "clips", "subjects", "folds", "trials")
    company = [
        {"database": cell.label, "method": cell.name, "accuracy": cell.details()["accuracy"]}
        | {name: cell.details()[name] for name in told}
        for cell in done.values()
    ]
    tables = {
        "Related work of Lee & Lee, accuracy in percent: reported on other data": _related(every, cells),
        "Each method on each database (percent, 95 % intervals from a bootstrap over subjects)": pd.DataFrame(company),
        "Each method less the best of its database, on the same clips (points, 95 % intervals over subjects)": (
            pd.DataFrame([row for name in every for row in _against_the_best(name, done)])
        ),
        "What each method costs: processor time of one core, from clips and landmarks that are there": pd.DataFrame(
            [method_costs.cost(method, cell) for (_, method), cell in done.items()]
        ),
    }
    return {caption: table for caption, table in tables.items() if len(table)}


def _related(every: Mapping[str, ClipStore], cells: Mapping[tuple[str, str], Cell]) -> pd.DataFrame:
    printed = reported("related").query("paper == 'lee2020'")
    rows = []
    for method in RELATED:
        own = printed[printed["row"] == name_of(method)]
        said = [
            f"{_database(row['database'])} {row['value']}" + (f" ({row['note']})" if row["note"] else "")
            for row in own.to_dict("records")
        ]
        row = {"method": name_of(method), "reported": "; ".join(said)}
        row["reported by"] = f"{_PLACES['lee2020']}, {own['place'].iloc[0]}"
        rows.append({**row, **_measured_columns(every, cells, method)})
    return pd.DataFrame(rows)


def _database(name: str) -> str:
    return "NVIE" if name == "nvie" else database_label(name, simulated=False)


def _against_the_best(database: str, done: Mapping[tuple[str, str], Cell]) -> list[dict[str, str]]:
    """Paired tests of the methods of a database against that of the highest accuracy."""
    here = {method: cell for (name, method), cell in done.items() if name == database}
    if len(here) < 2:
        return []
    best = max(here.values(), key=lambda cell: cell.summary.accuracy)
    rows, tests = [], []
    for cell in here.values():
        if cell is best:
            continue
        row = {"database": cell.label, "method": cell.name, "best": best.name}
        if (both := paired(cell, best)) is None:
            rows.append({**row, "accuracy": f"{NOT_RUN}: no fold and trial in common"})
            tests.append((float("nan"), float("nan")))
            continue
        found, by_fold = both
        tests.append((found.p_mcnemar, p_of_folds(by_fold, cell)))
        rows.append(
            {
                **row,
                "accuracy": points(found.accuracy, found.accuracy_low, found.accuracy_high),
                "AUC": points(found.auc, found.auc_low, found.auc_high),
                "only it / only the best right": f"{found.only_first} / {found.only_second}",
                "clips": str(found.n),
            }
        )
    for name, values in zip(("McNemar", "corrected t over folds"), zip(*tests, strict=True), strict=True):
        for row, value, adjusted in zip(rows, values, holm(values), strict=True):
            row |= {f"p, {name}": p_value(value), f"p, {name}, Holm": p_value(adjusted)}
    return rows


def notes_of_methods(cells: Mapping[tuple[str, str], Cell], measured: Measured) -> list[str]:
    """What is to be said of the methods: how they were run, compared and timed, and which failed."""
    methods = [cell for (_, method), cell in cells.items() if method != NETWORK]
    if not methods:
        return []
    recipes = {
        "{crop} of {size} pixels, {fps:g} frames per second".format(**store.recipe)
        for store in measured.stores.values()
        if store.has_frames
    }
    seen = f", of one preprocessing ({'; '.join(sorted(recipes))})" if recipes else ""
    notes = [
        f"All methods but RealSmileNet see the same clips and landmarks{seen}; constants and features are chosen "
        "inside the training folds, by subject. They are our implementations: each docstring in smilelab.baselines "
        "says what of it is verified and what is our choice.",
        "Paired tests: McNemar's exact test takes clips for independent; the resampled t test is corrected for "
        "training sets that overlap (Nadeau & Bengio 2003). 'Holm' is adjusted for the number of methods that are "
        "compared with the best of their database, which is chosen by these very clips: that makes differences look "
        "larger.",
        "Features are timed as they are computed, without decoding, finding the face and cropping, which yang2020-time "
        "times. Learning includes every choice of constants, and reading features from the disk.",
    ]
    failed = [f"{cell.label}, {cell.failed}" for cell in methods if cell.failed]
    if failed:
        notes.append(f"Failed: {len(failed)} of {len(methods)} pairs of a method and a database.")
    low = [cell for cell in methods if cell.complete and cell.against in ("below", "equal")]
    if low:
        told = ", ".join(f"{cell.name} on {cell.label}" for cell in low)
        notes.append(f"The accuracy does not exceed the share of the larger class: {told}.")
    return notes + failed
