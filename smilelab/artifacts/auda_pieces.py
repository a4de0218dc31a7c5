"""AUDA whole and in the pieces that were published by themselves, the printed accuracies beside the measured ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from smilelab import comparison, metrics, resampling
from smilelab.artifacts import yang_rows
from smilelab.artifacts.catalogue import makes
from smilelab.artifacts.numbers import AUC_NOTE, about_few_subjects, percent, reported
from smilelab.artifacts.product import NOT_RUN, Product, database_label
from smilelab.artifacts.yang_rows import Cell, Results, p_of_folds, p_value, paired, points
from smilelab.clips import ClipStore

__all__ = ["ENSEMBLE", "PIECES", "auda_pieces"]

ENSEMBLE = "ensemble"
# Row to the options of the method; see `smilelab.baselines.auda2021`.
PIECES: dict[str, dict[str, Any]] = {
    ENSEMBLE: {},
    "ensemble, features selected": {"eliminate": True},
    "AU-wise, all ranges": {"piece": "au-wise"},
    "AU-wise, whole smile": {"piece": "au-wise whole"},
    "cross-AU, all ranges": {"piece": "cross-au"},
    "AU12 alone, whole smile": {"piece": "au12"},
    "AU-wise, onset": {"piece": "onset"},
    "AU-wise, apex": {"piece": "apex"},
}
_TOLD = ("accuracy", "majority", "against the majority", "balanced accuracy", "AUC", "clips", "subjects", "folds")


@makes("auda-pieces", metrics, resampling, comparison, yang_rows)
def auda_pieces(store: ClipStore, results: Mapping[str, Results]) -> Product:
    """Accuracy of AUDA and of its pieces, and what each piece is short of the whole.

    Parameters
    ----------
    store : ClipStore
        Traces of action units.
    results : mapping of str to runs
        Row (one of :data:`PIECES`) to its runs over folds.

    Returns
    -------
    Product

    Raises
    ------
    ValueError
        A row of another name.

    Source: Kawulok et al. 2021, accuracies of the single pieces on UvA-NEMO's official folds.
    """
    if unknown := [name for name in results if name not in PIECES]:
        raise ValueError(f"found the row {unknown[0]!r}, expected some of {', '.join(PIECES)}.")
    label = database_label(store.database, simulated=store.simulated)
    cells = {name: Cell(name, store, results.get(name, ())) for name in PIECES}
    done = {name: cell for name, cell in cells.items() if cell.complete}
    printed = reported("auda-pieces").set_index(["row", "quantity"])["value"]
    main = [
        {
            "piece": name,
            "UvA-NEMO, reported": printed.get((name, "accuracy"), "-"),
            "reported, sd over folds": printed.get((name, "standard deviation"), "-"),
            f"{label}, measured [95 %]": cell.accuracy,
            "measured, sd over folds": _spread(cell),
            "less the ensemble, points [95 %]": _short(cell, done),
        }
        for name, cell in cells.items()
    ]
    made = {
        "Accuracy in percent of the whole and of pieces": pd.DataFrame(main),
        "Each piece (percent, 95 % intervals from a bootstrap over subjects)": pd.DataFrame(
            [{"piece": name} | {told: cell.details()[told] for told in _TOLD} for name, cell in done.items()]
        ),
        "Pieces less the ensemble, on the same clips (points, 95 % intervals over subjects)": pd.DataFrame(
            [row for name, cell in done.items() if (row := _against(cell, done))]
        ),
    }
    notes = [
        "AUDA is the method of Kawulok et al. 2021, 'Dynamics of facial actions for assessing smile genuineness'. "
        "Reported numbers are theirs, on the real UvA-NEMO database; their traces of action units are public.",
        "AU-wise features say how far and how fast each unit changes, cross-AU features how pairs of units differ in "
        "that. A range is the whole smile, its onset, apex or offset; 'all ranges' joins the decisions of the ranges "
        "by one more machine, the ensemble those of all AU-wise and all cross-AU ranges.",
        "What is in the rows of the onset, the apex and AU12 alone is our reading: the AU-wise features of that range, "
        "and those of AU12 over the whole smile.",
        "Constants, and features where they are selected, are chosen inside the training clips of each fold.",
        f"{label}: {store.folds_source}.",
        *([AUC_NOTE] if done else []),
        *about_few_subjects(cell.summary.subjects for cell in done.values()),
        *(cell.failed for cell in cells.values() if cell.failed),
    ]
    if low := [name for name, cell in done.items() if cell.against in ("below", "equal")]:
        notes.append(f"The accuracy does not exceed the share of the larger class: {', '.join(low)}.")
    return Product(
        {caption: table for caption, table in made.items() if len(table)},
        notes=notes,
        stores=[store],
        runs=[run for cell in cells.values() for run in cell.runs],
    )


def _spread(cell: Cell) -> str:
    """Standard deviation of the accuracy over the folds."""
    if not cell.complete:
        return NOT_RUN
    by_fold = cell.right.groupby(cell.predictions["fold"]).mean()
    return percent(float(by_fold.std(ddof=1))) if len(by_fold) > 1 else "one fold"


def _against(cell: Cell, done: Mapping[str, Cell]) -> dict[str, str]:
    """Paired tests of a piece against the ensemble; empty for the ensemble, and where they have no clip in common."""
    whole = done.get(ENSEMBLE)
    if whole is None or cell is whole or (both := paired(cell, whole)) is None:
        return {}
    found, by_fold = both
    return {
        "piece": cell.name,
        "accuracy": points(found.accuracy, found.accuracy_low, found.accuracy_high),
        "AUC": points(found.auc, found.auc_low, found.auc_high),
        "only it / only the ensemble right": f"{found.only_first} / {found.only_second}",
        "p, McNemar": p_value(found.p_mcnemar),
        "p, corrected t over folds": p_value(p_of_folds(by_fold, cell)),
        "clips": str(found.n),
        "subjects": str(found.subjects),
    }


def _short(cell: Cell, done: Mapping[str, Cell]) -> str:
    return _against(cell, done).get("accuracy", "-") if cell.complete else NOT_RUN
