"""The numbers that the papers print, and how ours are printed."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import resources

import numpy as np
import pandas as pd

UNDEFINED = "[too few subjects]"
# In simulations of six clips a subject, the percentile bootstrap's 95 % interval holds the truth in about half of the
# cases with 2 subjects, three quarters with 3, 85 % with 5 to 7, and above 90 % from 10 on.
FEW_SUBJECTS = 10


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
    """Print a share as "71.2" or, with an interval, as "71.2 [64.0, 78.1]", zero without a sign; empty for NaN.

    An interval of NaN is undefined, and called :data:`UNDEFINED`.
    """
    if np.isnan(value):
        return ""
    text = f"{100 * value:z.1f}"
    if low is None or high is None:
        return text
    return f"{text} {UNDEFINED}" if np.isnan([low, high]).any() else f"{text} [{100 * low:z.1f}, {100 * high:z.1f}]"


def counted(count: int, thing: str) -> str:
    """Print a number of things: "1 subject", "7 subjects", "1,240 clips"."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


# Said wherever test folds have a few clips each.
AUC_NOTE = (
    "The AUC compares clips of different subjects within one test fold and trial, because the models of two folds "
    "share no scale: where a fold has a few clips, it rests on few pairs."
)


def about_few_subjects(subjects: Iterable[int]) -> list[str]:
    """What is to be said of intervals over few subjects; nothing where there are :data:`FEW_SUBJECTS` or more.

    Parameters
    ----------
    subjects : iterable of int
        Number of subjects behind each of an artifact's intervals.
    """
    few = sorted({count for count in subjects if count < FEW_SUBJECTS})
    notes = []
    if over := [count for count in few if count > 1]:
        found = f"{over[0]} to {over[-1]}" if len(over) > 1 else str(over[0])
        notes.append(
            f"Intervals over fewer than {FEW_SUBJECTS} subjects, here {found}, are too narrow: the fewer the subjects, "
            "the more often the true value lies outside."
        )
    if 1 in few:
        notes.append("One subject says nothing about others: of it there are neither intervals nor p values.")
    return notes
