"""Paired tests between two models that scored the same samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from scipy.stats import t as student

from smilelab.metrics import THRESHOLD, checked
from smilelab.resampling import LEAST_SUBJECTS, MODEL, Resampled, compared_between_subjects, interval

__all__ = ["Comparison", "ComparisonError", "compare", "corrected_t", "in_common", "mcnemar", "sign_flip"]

# Up to so many subjects on whom the models differ, all sign patterns are gone through.
EXACT_SUBJECTS = 20
_EQUAL = 1e-12  # shares that differ by rounding alone
_KEY = ("part", *MODEL, "clip_id", "start")


class ComparisonError(ValueError):
    """Predictions that cannot be compared."""


@dataclass(frozen=True)
class Comparison:
    """How much better the first model is than the second; shares lie between -1 and 1, NaN where undefined.

    Of one subject alone, intervals and p values are undefined.

    Attributes
    ----------
    n, subjects : int
        Samples, each once, and their subjects.
    accuracy, accuracy_low, accuracy_high : float
        Difference of the accuracies and its 95 % interval from a bootstrap over subjects.
    auc, auc_low, auc_high : float
        The same for the area under the curve, compared within fold and trial.
    p : float
        Of the accuracies' difference, two-sided, by flipping whole subjects; see :func:`sign_flip`.
    only_first, only_second : int
        Samples on which only one of the models is right, where folds and trials that scored the same sample decide by
        the mean of their probabilities.
    p_mcnemar : float
        Of these two counts, two-sided. The test takes samples for independent: clips of many subjects nearly are, the
        moments of a few hardly, and windows, which overlap, not at all: for those it is NaN.
    """

    n: int
    subjects: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    auc: float
    auc_low: float
    auc_high: float
    p: float
    only_first: int
    only_second: int
    p_mcnemar: float


def compare(
    first: pd.DataFrame,
    second: pd.DataFrame,
    *,
    threshold: float = THRESHOLD,
    resamples: int = 2000,
    permutations: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare two models on the same samples.

    Parameters
    ----------
    first, second : pandas.DataFrame
        Predictions of either; see :func:`smilelab.metrics.checked`. Rows are matched by ``clip_id`` and, where there
        are such columns, ``start``, ``fold``, ``seed`` and ``part``; their order does not matter.
    threshold : float
        A sample is called spontaneous from this probability on.
    resamples, permutations : int
        Draws of the bootstrap and of the permutation test.
    seed : int
        Seed of both.

    Returns
    -------
    Comparison

    Raises
    ------
    ComparisonError
        The samples, their labels or their subjects differ, or one is there twice. :func:`in_common` keeps what both
        models scored.
    """
    one, other = _matched(first, second)
    label = one["label"].to_numpy(int)
    correct = [(frame["probability"].to_numpy(float) >= threshold) == (label == 1) for frame in (one, other)]
    gain = correct[0].astype(float) - correct[1]
    resampled = Resampled(one["subject"], resamples=resamples, seed=seed)
    accuracy = interval(resampled.shares(gain, np.ones(len(gain))))
    wins, pairs = compared_between_subjects(one, resampled)
    more_wins = wins - compared_between_subjects(other, resampled)[0]
    areas = interval(resampled.shares_of_pairs(more_wins, pairs))
    right = [_verdicts(frame, threshold) for frame in (one, other)]
    several = resampled.count >= LEAST_SUBJECTS
    only_first, only_second = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    return Comparison(
        n=len(right[0]),
        subjects=resampled.count,
        accuracy=float(gain.mean()),
        accuracy_low=accuracy.low,
        accuracy_high=accuracy.high,
        auc=float(more_wins.sum() / pairs.sum()) if pairs.any() else float("nan"),
        auc_low=areas.low,
        auc_high=areas.high,
        p=sign_flip(resampled.sums(gain), permutations=permutations, seed=seed) if several else float("nan"),
        only_first=only_first,
        only_second=only_second,
        p_mcnemar=mcnemar(only_first, only_second) if several and "start" not in one else float("nan"),
    )


def in_common(first: pd.DataFrame, second: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Keep of two models' predictions the samples, folds and trials that both have.

    Parameters
    ----------
    first, second : pandas.DataFrame
        As for :func:`compare`.

    Returns
    -------
    first, second : pandas.DataFrame
        The rows that are left of either, possibly none.
    """
    key = _key(first, second)
    shared = first[key].merge(second[key]).drop_duplicates()
    return first.merge(shared), second.merge(shared)


def sign_flip(differences: np.ndarray, *, permutations: int = 10_000, seed: int = 0) -> float:
    """Two-sided p value of a sum of paired differences, from flipping their signs.

    If the models were exchangeable, each subject's difference could as well have the other sign. The p value is the
    share of sign patterns whose sum is at least as far from zero as the observed one: of all patterns up to 20
    differences that are not zero, else of random ones, the observed one counted in.

    Parameters
    ----------
    differences : numpy.ndarray (n,)
        Of the subjects, say: right answers of one model less those of the other.
    permutations : int
        Random patterns, where there are too many to go through.
    seed : int
        Their seed.
    """
    moved = np.asarray(differences, float)
    moved = moved[moved != 0]
    least = abs(moved.sum()) - 1e-12 * np.abs(moved).sum()
    if len(moved) <= EXACT_SUBJECTS:
        sums = np.zeros(1)
        for value in moved:
            sums = np.concatenate([sums - value, sums + value])
        return float(np.mean(np.abs(sums) >= least))
    generator = np.random.default_rng(seed)
    sums = generator.choice((-1.0, 1.0), (permutations, len(moved))) @ moved
    return float((1 + np.sum(np.abs(sums) >= least)) / (1 + permutations))


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p value of McNemar's test: discordant samples fall to either model with equal chance.

    Parameters
    ----------
    only_first, only_second : int
        Samples on which only that model is right.

    Returns
    -------
    float
        1 where the models never differ.
    """
    discordant = only_first + only_second
    return float(binomtest(only_first, discordant).pvalue) if discordant else 1.0


def corrected_t(differences: np.ndarray, *, test_per_train: float) -> tuple[float, float]:
    """Resampled t test of the folds' differences, corrected for training sets that overlap.

    Parameters
    ----------
    differences : numpy.ndarray (k,)
        Of the folds, each with test samples of its own: accuracy of one model less that of the other.
    test_per_train : float
        Size of a fold's test set by that of its training set.

    Returns
    -------
    t, p : float
        With k - 1 degrees of freedom, two-sided; 0 and 1 where no fold differs. NaN for fewer than two folds, or
        where all differ by the same.

    References
    ----------
    .. [1] Nadeau, C., Bengio, Y. (2003). Inference for the Generalization Error. Machine Learning 52, 239-281.
    """
    values = np.asarray(differences, float)
    if len(values) < 2:
        return float("nan"), float("nan")
    if np.ptp(values) <= _EQUAL:
        return (0.0, 1.0) if np.abs(values).max() <= _EQUAL else (float("nan"), float("nan"))
    statistic = values.mean() / np.sqrt((1 / len(values) + test_per_train) * values.var(ddof=1))
    return float(statistic), float(2 * student.sf(abs(statistic), len(values) - 1))


def _key(first: pd.DataFrame, second: pd.DataFrame) -> list[str]:
    return [column for column in _KEY if column in first and column in second]


def _matched(first: pd.DataFrame, second: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both predictions, checked, their rows in one order."""
    if lone := [column for column in _KEY if (column in first) != (column in second)]:
        raise ComparisonError(f"found column {lone[0]!r} in the predictions of one model, expected it in both or none.")
    key = _key(first, second)
    one, other = (checked(frame).sort_values(key, ignore_index=True) for frame in (first, second))
    for frame in (one, other):
        if (twice := frame.duplicated(key)).any():
            raise ComparisonError(f"{_named(frame[twice], key)}: found predictions twice, expected one of each model.")
    sides = one[key].merge(other[key], how="outer", indicator=True)
    if len(apart := sides[sides["_merge"] != "both"]):
        found = sides["_merge"].value_counts()
        raise ComparisonError(
            f"found {found['left_only']} samples of the first model alone and {found['right_only']} of the second "
            f"alone (one is {_named(apart, key)}), expected the same; comparison.in_common keeps those of both."
        )
    for column in ("label", "subject"):
        if (differs := one[column].astype(str) != other[column].astype(str)).any():
            raise ComparisonError(f"{_named(one[differs], key)}: found another {column} in each, expected the same.")
    return one, other


def _named(frame: pd.DataFrame, key: list[str]) -> str:
    """A sample in words."""
    return ", ".join(f"{column} {frame[column].iloc[0]}" for column in key)


def _verdicts(frame: pd.DataFrame, threshold: float) -> np.ndarray:
    """Whether each sample's mean probability is on the right side, in the order of the samples' names."""
    sample = [column for column in ("part", "clip_id", "start") if column in frame]
    joined = frame.groupby(sample, observed=True)[["label", "probability"]].mean()
    return ((joined["probability"] >= threshold) == (joined["label"] == 1)).to_numpy()
