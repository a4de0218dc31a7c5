"""Accuracy and its company, with intervals over subjects; predictions of windows joined to those of moments.

Predictions are one row a sample: a clip, or a window where there is a column ``start``. Labels are 1 spontaneous and
0 posed; a table that takes posed as the positive class asks for it (`precision_recall`, `smilelab.roc`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from smilelab.resampling import MODEL, Resampled, compared_between_subjects, interval

THRESHOLD = 0.5
PREDICTION_COLUMNS = ("clip_id", "subject", "label", "probability")
_SAMPLE = ("clip_id", "start")
_CLASSES = {1: "spontaneous", 0: "posed"}


class MetricError(ValueError):
    """Predictions that cannot be scored."""


@dataclass(frozen=True)
class Summary:
    """What is reported about a set of predictions; shares lie between 0 and 1, NaN where undefined.

    Intervals are undefined where what they are of comes from one subject alone.
    """

    n: int
    subjects: int
    spontaneous: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    balanced_accuracy: float
    balanced_accuracy_low: float
    balanced_accuracy_high: float
    auc: float
    auc_low: float
    auc_high: float
    majority: float

    def as_dict(self) -> dict[str, float]:
        """Return the fields as a plain dictionary."""
        return asdict(self)


@dataclass(frozen=True)
class Detection:
    """How one class, the positive one, is found; shares lie between 0 and 1, NaN where undefined.

    Precision is undefined where nothing is called positive, recall where nothing is; intervals also where that is from
    one subject alone.
    """

    positive: int
    precision: float
    precision_low: float
    precision_high: float
    recall: float
    recall_low: float
    recall_high: float


def checked(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the predictions if they can be scored.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Columns ``clip_id``, ``subject``, ``label`` (1 spontaneous, 0 posed) and ``probability`` of spontaneous.

    Raises
    ------
    MetricError
        Missing columns, no rows, other labels than 0 and 1, probabilities outside [0, 1] or NaN.
    """
    absent = [column for column in PREDICTION_COLUMNS if column not in predictions]
    if absent:
        raise MetricError(f"predictions lack the column(s) {', '.join(absent)}.")
    if predictions["subject"].isna().any():
        raise MetricError("found predictions without a subject, expected one for each; intervals are over subjects.")
    if predictions.empty:
        raise MetricError("found no predictions, expected at least one row.")
    if not predictions["label"].isin((0, 1)).all():
        raise MetricError(f"found labels {sorted(set(predictions['label']))}, expected 0 (posed) and 1 (spontaneous).")
    probability = predictions["probability"].to_numpy(float)
    if not ((probability >= 0) & (probability <= 1)).all():
        bad = predictions.loc[~((probability >= 0) & (probability <= 1)), "clip_id"].iloc[0]
        raise MetricError(f"{bad}: probability is NaN or outside [0, 1]; the model diverged or was not applied.")
    return predictions


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the receiver operating characteristic, ties counted half; NaN when a class is absent.

    Parameters
    ----------
    labels : numpy.ndarray, (n,)
        1 spontaneous, 0 posed.
    scores : numpy.ndarray, (n,)
        Larger means more spontaneous.
    """
    labels = np.asarray(labels, bool)
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if not positives or not negatives:
        return float("nan")
    ranks = rankdata(scores)
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def majority_share(labels: Iterable[int]) -> float:
    """Accuracy of always answering the more frequent class of these very labels."""
    values = np.asarray(list(labels))
    share = float(np.mean(values == 1))
    return max(share, 1 - share)


def summarize(
    predictions: pd.DataFrame, *, threshold: float = THRESHOLD, resamples: int = 2000, seed: int = 0
) -> Summary:
    """Score predictions, with intervals from a bootstrap over subjects.

    Clips of one subject are not independent, so whole subjects are drawn with replacement. When a clip was predicted
    several times (trials), all its predictions stay with its subject: the interval is about new subjects.

    Scores of different models share no scale, so the area under the curve compares clips only within a fold and trial,
    where the predictions name them (columns ``fold`` and ``seed``), and weighs every comparison equally.

    Parameters
    ----------
    predictions : pandas.DataFrame
        See :func:`checked`.
    threshold : float
        A clip is called spontaneous from this probability on (Yang et al. 2020, equation 1).
    resamples : int
        Bootstrap resamples.
    seed : int
        Seed of the resampling.

    Returns
    -------
    Summary
        ``n`` counts clips, each once.
    """
    frame = checked(predictions)
    label = frame["label"].to_numpy(int)
    correct = _called(frame, threshold) == label
    of_class = [label == value for value in (0, 1)]
    resampled = Resampled(frame["subject"], resamples=resamples, seed=seed)
    wins, pairs = compared_between_subjects(frame, resampled)
    drawn_recalls = [resampled.shares(correct & chosen, chosen) for chosen in of_class]
    recalls = [_share(correct & chosen, chosen) for chosen in of_class]
    accuracy_interval = interval(resampled.shares(correct, np.ones(len(frame))))
    balanced_interval = interval((drawn_recalls[0] + drawn_recalls[1]) / 2)
    auc_interval = interval(resampled.shares_of_pairs(wins, pairs))
    samples = frame.drop_duplicates([column for column in _SAMPLE if column in frame])
    return Summary(
        n=len(samples),
        subjects=resampled.count,
        spontaneous=int(samples["label"].sum()),
        accuracy=float(correct.mean()),
        accuracy_low=accuracy_interval.low,
        accuracy_high=accuracy_interval.high,
        balanced_accuracy=float(np.mean(recalls)),
        balanced_accuracy_low=balanced_interval.low,
        balanced_accuracy_high=balanced_interval.high,
        auc=_share(wins, pairs),
        auc_low=auc_interval.low,
        auc_high=auc_interval.high,
        majority=majority_share(samples["label"]),
    )


def precision_recall(
    predictions: pd.DataFrame, *, positive: int, threshold: float = THRESHOLD, resamples: int = 2000, seed: int = 0
) -> Detection:
    """Precision and recall of one class, with intervals from a bootstrap over subjects.

    Predictions of several folds and trials are pooled: precision is the share of right ones among all that are called
    positive. Draws in which a share is undefined are left out of its interval.

    Parameters
    ----------
    predictions : pandas.DataFrame
        See :func:`checked`.
    positive : int
        1 to find spontaneous smiles, 0 to find posed ones (as Lee & Lee 2020 do; see the audit).
    threshold, resamples, seed
        As for :func:`summarize`.

    Returns
    -------
    Detection
    """
    frame = checked(predictions)
    is_positive = frame["label"].to_numpy(int) == positive
    called = _called(frame, threshold) == positive
    resampled = Resampled(frame["subject"], resamples=resamples, seed=seed)
    precision, recall = (interval(resampled.shares(called & is_positive, of)) for of in (called, is_positive))
    return Detection(
        positive=positive,
        precision=_share(called & is_positive, called),
        precision_low=precision.low,
        precision_high=precision.high,
        recall=_share(called & is_positive, is_positive),
        recall_low=recall.low,
        recall_high=recall.high,
    )


def of_moments(predictions: pd.DataFrame) -> pd.DataFrame:
    """Join the predictions of a smile moment's windows to one: their mean probability.

    Parameters
    ----------
    predictions : pandas.DataFrame
        One row a window; see :func:`checked`. Windows are joined within fold, trial (``seed``) and ``part``, where
        there are such columns.

    Returns
    -------
    pandas.DataFrame
        One row a moment (``clip_id``), in the order of their first windows: columns ``clip_id, subject, label,
        probability, windows`` (how many were joined) and those of ``part, fold, seed`` that were there.

    Raises
    ------
    MetricError
        As :func:`checked`; also where a moment has several labels or subjects.
    """
    frame = checked(predictions)
    named = frame[["clip_id", "subject", "label"]].drop_duplicates()
    if len(twice := named[named["clip_id"].duplicated()]):
        raise MetricError(f"{twice['clip_id'].iloc[0]}: found several labels or subjects, expected one of each.")
    return _averaged(frame, ["clip_id", "subject", "label"])


def of_subjects(predictions: pd.DataFrame) -> pd.DataFrame:
    """Join the predictions of all windows of a subject's smiles of one class to one: their mean probability.

    Long moments weigh more than short ones. Which smiles belong together is known from their label: this describes a
    model, and is nothing that could be done for a new person's smile.

    Parameters
    ----------
    predictions : pandas.DataFrame
        As for :func:`of_moments`.

    Returns
    -------
    pandas.DataFrame
        As :func:`of_moments` returns it, one row a subject and class; ``clip_id`` names both.
    """
    joined = _averaged(checked(predictions), ["subject", "label"])
    joined.insert(0, "clip_id", joined["subject"].astype(str) + ", " + joined["label"].map(_CLASSES))
    return joined


def _called(frame: pd.DataFrame, threshold: float) -> np.ndarray:
    return (frame["probability"].to_numpy(float) >= threshold).astype(int)


def _share(part: np.ndarray, whole: np.ndarray) -> float:
    return float(part.sum() / whole.sum()) if whole.any() else float("nan")


def _averaged(frame: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    columns = [*by, *(column for column in ("part", *MODEL) if column in frame)]
    groups = frame.groupby(columns, sort=False, observed=True)["probability"]
    joined = groups.agg(probability="mean", windows="size").reset_index()
    return joined[[*by, "probability", "windows", *columns[len(by) :]]]
