"""Selection of features by boosting: those that GentleBoost's stumps use."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["best_stump", "rank"]

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

_ROUNDS_A_FEATURE = 4


def rank(features: ArrayLike, labels: ArrayLike, count: int) -> Indices:
    """Features in the order in which boosting takes them.

    Parameters
    ----------
    features : (n, d) array
    labels : int (n,)
        1 or 0.
    count : int
        How many are wanted, at most. Boosting ends when it has used so many, or after four rounds for each of them.

    Returns
    -------
    int (k,)
        Columns, the first taken first.

    Source: Friedman, Hastie & Tibshirani 2000, Gentle AdaBoost with regression stumps; Valstar et al. 2007 select by
    it before a support vector machine.
    """
    x, target = np.asarray(features, np.float64), 2.0 * np.asarray(labels, np.float64) - 1
    order = np.argsort(x, 0, kind="stable")
    weights = np.full(len(x), 1 / len(x))
    taken: list[int] = []
    for _ in range(_ROUNDS_A_FEATURE * count):
        feature, threshold, below, above = best_stump(x, target, weights, order)
        if feature not in taken:
            taken.append(feature)
        if len(taken) == min(count, x.shape[1]):
            break
        weights = weights * np.exp(-target * np.where(x[:, feature] > threshold, above, below))
        weights /= weights.sum()
    return np.array(taken, np.int64)


def best_stump(
    x: Array, target: Array, weights: Array, order: Indices | None = None
) -> tuple[int, float, float, float]:
    """The step function of one feature with the least weighted squared error.

    Parameters
    ----------
    x : (n, d) array
    target : (n,) array
    weights : (n,) array
        Not negative.
    order : int (n, d), optional
        Rows that sort each column, where they are known.

    Returns
    -------
    feature : int
    threshold : float
        Midway between two values of the feature; all rows are above -inf where no feature has two.
    below, above : float
        The fitted values: weighted means of the target.
    """
    rows = np.argsort(x, 0, kind="stable") if order is None else order
    sorted_x = np.take_along_axis(x, rows, 0)
    of_row, weighed = weights[rows], (weights * target)[rows]
    mass, sums = np.cumsum(of_row, 0)[:-1], np.cumsum(weighed, 0)[:-1]
    rest, others = weights.sum() - mass, (weights * target).sum() - sums
    # Least squares: what a split takes off the error, above a constant of the data.
    gain = _share(sums**2, mass) + _share(others**2, rest)
    gain[sorted_x[1:] <= sorted_x[:-1]] = -np.inf
    if not len(gain) or not np.isfinite(gain).any():
        mean = float((weights * target).sum() / weights.sum())
        return 0, -np.inf, mean, mean
    at, feature = np.unravel_index(int(np.argmax(gain)), gain.shape)
    threshold = float((sorted_x[at, feature] + sorted_x[at + 1, feature]) / 2)
    below, above = (_share(top[at, feature], under[at, feature]) for top, under in ((sums, mass), (others, rest)))
    return int(feature), threshold, float(below), float(above)


def _share(above: Array, below: Array) -> Array:
    return np.divide(above, below, out=np.zeros_like(above, dtype=np.float64), where=below > 1e-300)
