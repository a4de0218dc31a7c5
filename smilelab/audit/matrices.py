"""Confusion matrices behind a printed accuracy, precision and recall, found by search in exact arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from operator import index

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smilelab.audit.errors import AuditError
from smilelab.audit.rounding import bounds, units

_MOST_SAMPLES = 10**9
_FIT_COLUMNS = ("row", "split", "positive", "removed_from", "removed", "tp", "fp", "fn", "tn")
_Bounds = tuple[int, int, int]


def confusion_matrices(
    accuracy: float | str,
    precision: float | str,
    recall: float | str,
    positives: int,
    negatives: int,
    *,
    decimals: int = 2,
    slack: int = 0,
) -> list[tuple[int, int, int, int]]:
    """Find all confusion matrices whose accuracy, precision and recall round to the printed percentages.

    Rounding is to the nearest; an exact half may have gone either way. Precision is undefined where nothing is called
    positive: no such matrix is returned.

    Parameters
    ----------
    accuracy, precision, recall : float or str
        Percentages as printed.
    positives, negatives : int
        Samples of the class that precision and recall are of (at least one), and of the other.
    decimals : int
        Digits that were printed after the point.
    slack : int
        Units of the last digit by which each number may be off beyond rounding.

    Returns
    -------
    list of tuple of int
        ``(tp, fp, fn, tn)``, ascending; empty where the numbers and the counts exclude each other.

    Raises
    ------
    AuditError
        Something else than a percentage with so many decimals, or impossible counts.
    """
    positives, negatives = _checked(positives, negatives)
    tp, fp = _search(*_sides(accuracy, precision, recall, decimals, slack), positives, negatives)
    return [(t, f, positives - t, negatives - f) for t, f in zip(tp.tolist(), fp.tolist(), strict=True)]


def _checked(positives: int, negatives: int) -> tuple[int, int]:
    positives, negatives = index(positives), index(negatives)
    if positives < 1 or negatives < 0 or positives + negatives > _MOST_SAMPLES:
        raise AuditError(
            f"found {positives} positives and {negatives} negatives, expected at least one positive "
            f"and no more than {_MOST_SAMPLES:,} samples."
        )
    return positives, negatives


def _sides(
    accuracy: float | str, precision: float | str, recall: float | str, decimals: int, slack: int = 0
) -> tuple[_Bounds, _Bounds, _Bounds]:
    return (
        bounds(accuracy, decimals, slack=slack),
        bounds(precision, decimals, slack=slack),
        bounds(recall, decimals, slack=slack),
    )


def _search(
    accuracy: _Bounds, precision: _Bounds, recall: _Bounds, positives: int, negatives: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """True and false positives of all matrices within the bounds: recall bounds the first, the others the second."""
    (a_low, a_high, scale), (p_low, p_high, _), (r_low, r_high, _) = accuracy, precision, recall
    n = positives + negatives
    tp = np.arange(-(-r_low * positives // scale), r_high * positives // scale + 1, dtype=np.int64)
    right_if_no_fp = tp + negatives
    least = np.maximum(right_if_no_fp - a_high * n // scale, -(-tp * (scale - p_high) // p_high))
    least = np.maximum(least, tp == 0)  # precision needs something that was called positive
    most = np.minimum(right_if_no_fp - -(-a_low * n // scale), negatives)
    if p_low:
        most = np.minimum(most, tp * (scale - p_low) // p_low)
    count = np.maximum(most - least + 1, 0)
    before = np.cumsum(count) - count
    return np.repeat(tp, count), np.repeat(least - before, count) + np.arange(count.sum())


def fits(
    rows: Mapping[str, Sequence[float | str]],
    splits: Mapping[str, Mapping[str, int]],
    *,
    removed: Iterable[int] = (0,),
    decimals: int = 2,
) -> pd.DataFrame:
    """Search every split, with either class as the positive one and some samples of either class left out.

    Parameters
    ----------
    rows : mapping of str to sequence of float or str
        Name of a row to its printed accuracy, precision and recall.
    splits : mapping of str to mapping of str to int
        Name of a split to the samples of each of its two classes.
    removed : iterable of int
        How many samples are left out, of the positive class and, separately, of the other.
    decimals : int
        Digits that were printed after the point.

    Returns
    -------
    pandas.DataFrame
        A row for each matrix: ``row``, ``split``, ``positive`` (a class), ``removed_from`` (a class, empty for none
        removed), ``removed``, ``tp``, ``fp``, ``fn``, ``tn``.

    Raises
    ------
    AuditError
        As `confusion_matrices`.
    """
    numbers = list(removed)
    found: list[tuple[object, ...]] = []
    for name, (accuracy, precision, recall) in rows.items():
        low, high = implied_share(accuracy, precision, recall, decimals=decimals)
        for split, counts in splits.items():
            for positive, other in (tuple(counts), tuple(counts)[::-1]):
                for left_out in (positive, other):
                    for number in numbers:
                        if number == 0 and left_out == other:
                            continue  # none removed is one case, not one for each class
                        kept = {key: count - number * (key == left_out) for key, count in counts.items()}
                        # The identity of `implied_share` holds for every matrix, so most cases need no search.
                        if min(kept.values()) < 1 or not low <= Fraction(kept[positive], sum(kept.values())) <= high:
                            continue
                        case = (name, split, positive, left_out if number else "", number)
                        matrices = confusion_matrices(
                            accuracy, precision, recall, kept[positive], kept[other], decimals=decimals
                        )
                        found += [(*case, *matrix) for matrix in matrices]
    return pd.DataFrame(found, columns=list(_FIT_COLUMNS))


def implied_share(
    accuracy: float | str, precision: float | str, recall: float | str, *, decimals: int = 2
) -> tuple[Fraction, Fraction]:
    """Share of positives that printed numbers imply, whatever the number of samples.

    Errors are missed positives and false alarms: 1 - accuracy = share * (1 - recall + recall * (1 - precision) /
    precision). The share falls or rises with each of the three alone, so its extremes are at the ends of their ranges.

    Parameters
    ----------
    accuracy, precision, recall : float or str
        Percentages as printed, of one confusion matrix.
    decimals : int
        Digits that were printed after the point.

    Returns
    -------
    tuple of fractions.Fraction
        Lowest and highest share; 0 and 1 where the numbers say nothing about it.

    Raises
    ------
    AuditError
        As `confusion_matrices`.
    """
    a, p, r = (
        (Fraction(low, scale), Fraction(high, scale))
        for low, high, scale in _sides(accuracy, precision, recall, decimals)
    )
    if not p[0]:
        return Fraction(0), Fraction(1)
    errors = [1 - recall_ + recall_ * (1 - precision_) / precision_ for recall_ in r for precision_ in p]
    high = (1 - a[0]) / min(errors) if min(errors) else Fraction(1)
    return (1 - a[1]) / max(errors), min(high, Fraction(1))


def misfit(
    accuracy: float | str,
    precision: float | str,
    recall: float | str,
    positives: int,
    negatives: int,
    *,
    decimals: int = 2,
) -> float:
    """Return how far printed numbers are from the nearest confusion matrix.

    Parameters
    ----------
    accuracy, precision, recall : float or str
        Percentages as printed.
    positives, negatives : int
        Samples of the class that precision and recall are of, and of the other.
    decimals : int
        Digits that were printed after the point.

    Returns
    -------
    float
        Points, in whole units of the last digit, by which the worst of the three must be off beyond rounding; 0 where a
        matrix rounds to them.

    Raises
    ------
    AuditError
        As `confusion_matrices`.
    """
    positives, negatives = _checked(positives, negatives)

    def fit(slack: int) -> bool:
        return bool(_search(*_sides(accuracy, precision, recall, decimals, slack), positives, negatives)[0].size)

    if fit(0):
        return 0.0
    too_little, enough = 0, 1
    while not fit(enough):
        too_little, enough = enough, 2 * enough
    while enough - too_little > 1:
        middle = (too_little + enough) // 2
        too_little, enough = (too_little, middle) if fit(middle) else (middle, enough)
    return float(enough / 10**decimals)


def accident_rate(
    accuracy: float | str,
    precision: float | str,
    recall: float | str,
    counts: Iterable[tuple[int, int]],
    *,
    within: float = 0.5,
    decimals: int = 2,
) -> float:
    """Share of all printable numbers near the printed ones that fit as well: what a fit is worth as evidence.

    Parameters
    ----------
    accuracy, precision, recall : float or str
        Percentages as printed.
    counts : iterable of tuple of int
        Positives and negatives of every case that was tried; a neighbour fits when it fits any of them.
    within : float
        How far a neighbour may lie from each of the three, in points.
    decimals : int
        Digits that were printed after the point.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    AuditError
        As `confusion_matrices`.
    """
    width = round(within * 10**decimals)
    centre = [units(value, decimals) for value in (accuracy, precision, recall)]
    sides = _sides(accuracy, precision, recall, decimals, width)
    fit = np.zeros((2 * width + 1,) * 3, bool)
    for positives, negatives in counts:
        positives, negatives = _checked(positives, negatives)
        tp, fp = _search(*sides, positives, negatives)
        shares = ((tp + negatives - fp, positives + negatives), (tp, tp + fp), (tp, positives))
        # Half up: a neighbour on a tie is counted once.
        nearest = [(2 * 100 * 10**decimals * k + n) // (2 * n) for k, n in shares]
        offsets = np.array([value - middle + width for value, middle in zip(nearest, centre, strict=True)])
        inside = ((offsets >= 0) & (offsets <= 2 * width)).all(axis=0)
        fit[tuple(offsets[:, inside])] = True
    printable = [min(middle + width, 100 * 10**decimals) - max(middle - width, 0) + 1 for middle in centre]
    return float(fit.sum() / np.prod(printable))


def precision_ceiling(
    accuracy: float | str, recall: float | str, positives: int, negatives: int, *, folds: int = 5, decimals: int = 2
) -> Fraction:
    """Bound from above the mean precision of several models on one and the same test set.

    Mean accuracy and recall fix the mean number of false positives. Precision is convex in them, so its mean is largest
    when as few models as possible make all of them; those models are granted every positive, the others precision 1.

    Parameters
    ----------
    accuracy, recall : float or str
        Means as printed, in percent.
    positives, negatives : int
        Samples of the set that every model is tested on.
    folds : int
        How many models.
    decimals : int
        Digits that were printed after the point.

    Returns
    -------
    fractions.Fraction
        No mean precision is larger, as a share; it need not be reached.

    Raises
    ------
    AuditError
        As `confusion_matrices`.
    """
    positives, negatives = _checked(positives, negatives)
    _, a_high, scale = bounds(accuracy, decimals)
    r_low, _, _ = bounds(recall, decimals)
    least_mean = Fraction(r_low * positives - a_high * (positives + negatives), scale) + negatives
    if least_mean <= 0:
        return Fraction(1)
    if least_mean > negatives:
        raise AuditError(f"no model has accuracy {accuracy} and recall {recall} on {positives} + {negatives} samples.")
    full, rest = divmod(folds * least_mean, negatives)
    makers = [negatives] * int(full) + [rest] * (rest > 0)
    return (folds - len(makers) + sum(Fraction(positives) / (positives + fp) for fp in makers)) / Fraction(folds)


def auc_range(tp: int, fp: int, fn: int, tn: int) -> tuple[float, float]:
    """Bound the area under a curve that passes through the point of one confusion matrix.

    A curve never falls: the least area is a step to the point and from it to the corner, the largest leaves out only
    what the point cuts off.

    Parameters
    ----------
    tp, fp, fn, tn : int
        The matrix; both classes must occur.

    Returns
    -------
    tuple of float
        Between 0 and 1.
    """
    hit, alarm = tp / (tp + fn), fp / (fp + tn)
    return hit * (1 - alarm), 1 - alarm * (1 - hit)
