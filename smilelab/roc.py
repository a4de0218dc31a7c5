"""Receiver operating characteristic: the mean curve of several models, and its band over subjects."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from smilelab.metrics import checked
from smilelab.resampling import LEAST_SUBJECTS, Resampled, models_of

__all__ = ["band", "curve"]

_ROWS = 250  # draws whose curves are held in memory at once


def curve(predictions: pd.DataFrame, *, positive: int) -> pd.DataFrame:
    """Points of the mean curve over models (folds and trials).

    Scores of different models share no scale, so each has its own curve; the mean is that of their true positive rates
    at a false positive rate, on both sides of every step. The area under it is the mean of the models' areas.

    Parameters
    ----------
    predictions : pandas.DataFrame
        See :func:`smilelab.metrics.checked`; columns ``fold`` and ``seed`` tell models apart, where there are any.
    positive : int
        1 to find spontaneous smiles, 0 to find posed ones.

    Returns
    -------
    pandas.DataFrame
        ``false_positive_rate`` and ``true_positive_rate``, from 0, 0 to 1, 1. No rows where no model scored both
        classes; models that scored one only have no curve.
    """
    curves = []
    for positives, negatives, _ in _counts(predictions, positive):
        if positives.any() and negatives.any():
            curves.append((_rates(negatives.sum(0)), _rates(positives.sum(0))))
    if not curves:
        return pd.DataFrame({"false_positive_rate": [], "true_positive_rate": []})
    rates = np.unique(np.concatenate([false for false, _ in curves]))
    # Of points with equal x, np.interp takes the last: the upper end of a step, and the lower one read backwards.
    lower = np.mean([np.interp(-rates, -false[::-1], true[::-1]) for false, true in curves], axis=0)
    upper = np.mean([np.interp(rates, false, true) for false, true in curves], axis=0)
    points = {"false_positive_rate": np.repeat(rates, 2), "true_positive_rate": np.ravel([lower, upper], order="F")}
    return pd.DataFrame(points).drop_duplicates(ignore_index=True)


def band(
    predictions: pd.DataFrame, at: np.ndarray, *, positive: int, resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Mean true positive rate at some false positive rates, with 95 % intervals from a bootstrap over subjects.

    Parameters
    ----------
    predictions, positive
        As for :func:`curve`.
    at : numpy.ndarray (k,)
        False positive rates, each an own interval.
    resamples, seed : int
        Draws of subjects and their seed.

    Returns
    -------
    pandas.DataFrame
        ``false_positive_rate``, ``true_positive_rate`` (upper end where the curve steps), ``low`` and ``high``; k rows,
        NaN where no model scored both classes; ``low`` and ``high`` also of fewer than two subjects.
    """
    at = np.asarray(at, float)
    found, drawn = [], []
    for positives, negatives, resampled in _counts(predictions, positive, resamples, seed):
        if not (positives.any() and negatives.any()):
            continue
        found.append(np.interp(at, _rates(negatives.sum(0)), _rates(positives.sum(0))))
        rows = np.full((resamples, len(at)), np.nan)
        for first in range(0, resamples, _ROWS):
            weights = resampled.drawn[first : first + _ROWS]
            for number, (false, true) in enumerate(zip(weights @ negatives, weights @ positives, strict=True), first):
                if false.any() and true.any():
                    rows[number] = np.interp(at, _rates(false), _rates(true))
        drawn.append(rows)
    points = {"false_positive_rate": at}
    if not found:
        return pd.DataFrame(points | dict.fromkeys(("true_positive_rate", "low", "high"), np.nan))
    mean = np.mean(drawn, axis=0)
    defined = mean[np.isfinite(mean[:, 0])]
    enough = checked(predictions)["subject"].nunique() >= LEAST_SUBJECTS and len(defined)
    low, high = np.percentile(defined, (2.5, 97.5), axis=0) if enough else (np.nan, np.nan)
    return pd.DataFrame(points | {"true_positive_rate": np.mean(found, axis=0), "low": low, "high": high})


def _counts(
    predictions: pd.DataFrame, positive: int, resamples: int = 0, seed: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray, Resampled]]:
    """For each model, positive and negative samples of each subject at each distinct score, the most positive first."""
    frame = checked(predictions)
    resampled = Resampled(frame["subject"], resamples=resamples, seed=seed)
    label = frame["label"].to_numpy(int) == positive
    score = frame["probability"].to_numpy(float) * (1 if positive == 1 else -1)
    for at in models_of(frame):
        distinct, place = np.unique(-score[at], return_inverse=True)
        cells = resampled.codes[at] * len(distinct) + place
        shape = resampled.count, len(distinct)
        of_class = (np.bincount(cells[label[at] == value], minlength=shape[0] * shape[1]) for value in (True, False))
        positives, negatives = (counts.reshape(shape).astype(float) for counts in of_class)
        yield positives, negatives, resampled


def _rates(counts: np.ndarray) -> np.ndarray:
    """Share of all that are called positive, from none at all to each of the scores down."""
    return np.concatenate([[0.0], counts.cumsum() / counts.sum()])
