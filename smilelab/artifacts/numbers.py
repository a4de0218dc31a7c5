"""The numbers that the papers print, and how ours are printed."""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np
import pandas as pd


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
