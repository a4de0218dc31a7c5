"""How wrong predictions are spread over groups of subjects (Yang et al., Figure 7, right)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from smilelab import metrics, protocols
from smilelab.artifacts.numbers import percent
from smilelab.artifacts.product import NOT_RUN
from smilelab.artifacts.yang_rows import Cell, points
from smilelab.resampling import Interval, Resampled, interval

PAIRS = (("female", "male"), ("adult", "young"))


def errors_by_group(everyone: Cell) -> pd.DataFrame:
    """How the wrong predictions of complete runs are spread over the groups.

    Parameters
    ----------
    everyone : Cell
        Runs on clips of all groups.

    Returns
    -------
    pandas.DataFrame
        Indexed by group, of the pairs that the store tells: ``clips``, ``subjects``, ``predictions``, ``wrong``,
        ``share_of_clips`` (of the pair's predictions), ``share_of_wrong`` (of the pair's wrong ones) and ``error_rate``
        (of the group's), the latter two with ``_low`` and ``_high``, 95 % intervals from a bootstrap over subjects.

    Source: Yang et al. 2020, Fig. 7 (right).
    """
    rows = {}
    for pair in PAIRS:
        frame, wrong, inside = _of_pair(everyone, pair)
        if not all(inside[group].any() for group in pair):
            continue
        resampled = Resampled(frame["subject"])
        for group in pair:
            mine = inside[group]
            rate = interval(resampled.shares(wrong & mine, mine))
            # Without a wrong prediction there is nothing to spread.
            share = interval(resampled.shares(wrong & mine, wrong)) if wrong.any() else Interval(np.nan, np.nan)
            rows[group] = {
                "clips": frame.loc[mine, "clip_id"].nunique(),
                "subjects": frame.loc[mine, "subject"].nunique(),
                "predictions": int(mine.sum()),
                "wrong": int((wrong & mine).sum()),
                "share_of_clips": float(mine.mean()),
                "share_of_wrong": float((wrong & mine).sum() / wrong.sum()) if wrong.any() else np.nan,
                "share_of_wrong_low": share.low,
                "share_of_wrong_high": share.high,
                "error_rate": float(wrong[mine].mean()),
                "error_rate_low": rate.low,
                "error_rate_high": rate.high,
            }
    return pd.DataFrame.from_dict(rows, orient="index")


def _of_pair(everyone: Cell, pair: tuple[str, str]) -> tuple[pd.DataFrame, np.ndarray, dict[str, np.ndarray]]:
    """Predictions of clips in either group, which are wrong, and which are of each group."""
    who = everyone.store.usable.reindex(everyone.predictions["clip_id"])
    inside = {group: protocols.GROUPS[group](who).to_numpy(bool) for group in pair}
    either = inside[pair[0]] | inside[pair[1]]
    wrong = ~everyone.right.to_numpy(bool)
    return everyone.predictions[either], wrong[either], {group: mine[either] for group, mine in inside.items()}


def printed(spread: pd.DataFrame) -> list[dict[str, str]]:
    """Print what :func:`errors_by_group` returns, a row a group."""

    def cell(row: pd.Series, name: str) -> str:
        return percent(row[name], row[f"{name}_low"], row[f"{name}_high"])

    return [
        {
            "group": str(group),
            "share of wrong predictions": cell(row, "share_of_wrong"),
            "share of clips": percent(row["share_of_clips"]),
            "error rate": cell(row, "error_rate"),
            "wrong / all predictions": f"{int(row['wrong']):,} / {int(row['predictions']):,}",
            "clips": str(int(row["clips"])),
            "subjects": str(int(row["subjects"])),
        }
        for group, row in spread.iterrows()
    ]


def between(everyone: Cell) -> list[dict[str, str]]:
    """Difference of the error rates of each pair."""
    rows: list[dict[str, str]] = []
    for pair in PAIRS if everyone.complete else ():
        frame, wrong, inside = _of_pair(everyone, pair)
        if not all(inside[group].any() for group in pair):
            continue
        resampled = Resampled(frame["subject"])
        drawn = [resampled.shares(wrong & inside[group], inside[group]) for group in pair]
        found = interval(drawn[0] - drawn[1])
        value = float(wrong[inside[pair[0]]].mean() - wrong[inside[pair[1]]].mean())
        rows.append({"groups": " less ".join(pair), "error rate": points(value, found.low, found.high)})
    return rows


def on_the_clips_of(cell: Cell, everyone: Cell) -> pd.DataFrame:
    """Predictions of the models of all subjects for the clips of a group's own models.

    Parameters
    ----------
    cell, everyone : Cell
        Runs within a group, and on clips of all groups.

    Returns
    -------
    pandas.DataFrame
        Rows of the latter's predictions, with a column ``right``; empty where one was not run.
    """
    if not (cell.complete and everyone.complete):
        return pd.DataFrame()
    every = everyone.predictions.assign(right=everyone.right)
    return every[every["clip_id"].isin(cell.predictions["clip_id"])]


def printed_of(found: pd.DataFrame | None, cell: Cell) -> str:
    """Print the accuracy of what :func:`on_the_clips_of` returns, and how many clips where some are missing."""
    if found is None or not cell.complete:
        return ""
    if found.empty:
        return NOT_RUN
    summary = metrics.summarize(found)
    part = f" ({summary.n} of {cell.summary.n} clips)" if summary.n < cell.summary.n else ""
    return percent(summary.accuracy, summary.accuracy_low, summary.accuracy_high) + part


def unknown(everyone: Cell) -> list[str]:
    """How many clips are of subjects whose group is not known."""
    if not everyone.complete:
        return []
    tested = everyone.store.usable.loc[everyone.predictions["clip_id"].unique()]
    left = {
        " or ".join(pair): int((~(protocols.GROUPS[pair[0]](tested) | protocols.GROUPS[pair[1]](tested))).sum())
        for pair in PAIRS
    }
    return [
        f"{count} clips are of subjects not known to be {name}; they are left out."
        for name, count in left.items()
        if count
    ]
