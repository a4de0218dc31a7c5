"""Which clips of a store fit what is asked for, and what a network said about all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from smilelab import metrics, results, training
from smilelab.clips import ClipStore
from smilelab.inspector.clip import InspectionError
from smilelab.inspector.scores import Scorer

__all__ = ["ANY", "CLASSES", "OUTCOMES", "chosen", "class_name", "predicted"]

ANY = "any"
CLASSES = {"spontaneous": 1, "posed": 0}
OUTCOMES = ("right", "wrong")
_MOST_ROUNDS = 10
_AT_ONCE = 16


def class_name(label: int | None) -> str:
    """Name of a class as the inspector prints it; "class not known" where there is none."""
    return {1: "spontaneous", 0: "posed", -1: "neutral"}.get(-2 if label is None else int(label), "class not known")


def chosen(
    store: ClipStore,
    *,
    label: str = ANY,
    subject: str = ANY,
    outcome: str = ANY,
    probabilities: pd.Series | None = None,
) -> pd.DataFrame:
    """Rows of a store's usable clips that fit.

    Parameters
    ----------
    store : ClipStore
    label : {"any", "spontaneous", "posed"}
    subject : str
        A subject, or "any".
    outcome : {"any", "right", "wrong"}
        What became of the clip's prediction: on the right side of 0.5 or not.
    probabilities : pandas.Series, optional
        As `predicted` gives them; clips that are not in it are neither right nor wrong.

    Returns
    -------
    pandas.DataFrame
        Rows of ``store.usable``, in its order.

    Raises
    ------
    ValueError
        An `outcome` is asked for without `probabilities`.
    """
    table = store.usable
    if label != ANY:
        table = table[table["label"] == CLASSES[label]]
    if subject != ANY:
        table = table[table["subject"] == subject]
    if outcome != ANY:
        if probabilities is None:
            raise ValueError(f"outcome {outcome!r}: no probabilities, expected one of each clip.")
        table = table[table.index.isin(probabilities.index)]
        right = (probabilities[table.index] >= 0.5) == (table["label"] == 1)
        table = table[right.to_numpy() == (outcome == "right")]
    return table


def predicted(
    scorer: Scorer, store: ClipStore, runs: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> pd.Series:
    """Probability of a spontaneous smile of each clip of a store.

    Of a network that was trained here those are the predictions on the test folds of all runs with its settings, as
    they were written: each clip's by a network that was not trained on its subject. The weights that ship with the
    package score the whole store now.

    Parameters
    ----------
    scorer : Scorer
    store : ClipStore
    runs : Path
        Folder of all runs.
    progress : callable
        Takes how many clips are scored, and of how many.

    Returns
    -------
    pandas.Series
        By ``clip_id``; clips whose fold has not been run are not in it.

    Raises
    ------
    InspectionError
        The network has been tested on no clip of the store.
    """
    if scorer.run is None:
        ids = list(store.usable.index)
        found: list[float] = []
        for start in range(0, len(ids), _AT_ONCE):
            progress(start, len(ids))
            found.extend(training.predict(scorer.model, [store.frames(one) for one in ids[start : start + _AT_ONCE]]))
        return pd.Series(found, index=ids, dtype="float64")
    rounds = range(1, max(len(store.folds()), _MOST_ROUNDS) + 1)
    finished = [results.find(replace(scorer.run.spec, fold=number), runs) for number in rounds]
    table = results.predictions_of([one for one in finished if one is not None])
    if "part" in table:
        table = table[table["part"] == "test"]
    if scorer.run.spec.windows is not None and len(table):
        table = metrics.of_moments(table)
    table = table[table["clip_id"].isin(store.usable.index)] if len(table) else table
    if table.empty:
        raise InspectionError(f"{scorer.name} was tested on no clip of this database; choose another model.")
    return table.groupby("clip_id")["probability"].mean()
