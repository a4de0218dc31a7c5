"""Accuracy and its company: majority baseline, balanced accuracy, area under the curve, intervals over subjects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

THRESHOLD = 0.5
PREDICTION_COLUMNS = ("clip_id", "subject", "label", "probability")


class MetricError(ValueError):
    """Predictions that cannot be scored."""


@dataclass(frozen=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """What is reported about a set of predictions; shares lie between 0 and 1, NaN where undefined."""

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
    probability = frame["probability"].to_numpy(float)
    correct = (probability >= threshold) == (label == 1)
    codes, subjects = pd.factorize(frame["subject"], sort=True)
    count = len(subjects)

    def per_subject(values: np.ndarray) -> np.ndarray:
        return np.bincount(codes, weights=values, minlength=count)

    generator = np.random.default_rng(seed)
    weights = generator.multinomial(count, np.full(count, 1 / count), size=resamples).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn_accuracy = weights @ per_subject(correct) / (weights @ per_subject(np.ones(len(frame))))
        by_class = []
        for value in (0, 1):
            is_class = label == value
            by_class.append(weights @ per_subject(correct & is_class) / (weights @ per_subject(is_class)))
        drawn_balanced = (by_class[0] + by_class[1]) / 2
        wins, pairs = _compared_between_subjects(frame, codes, count)
        drawn_auc = ((weights @ wins) * weights).sum(1) / ((weights @ pairs) * weights).sum(1)
    recalls = [correct[label == value].mean() if (label == value).any() else np.nan for value in (0, 1)]
    accuracy_interval, balanced_interval, auc_interval = map(_interval, (drawn_accuracy, drawn_balanced, drawn_auc))
    clips = frame.drop_duplicates("clip_id")
    return Summary(
        n=len(clips),
        subjects=count,
        spontaneous=int(clips["label"].sum()),
        accuracy=float(correct.mean()),
        accuracy_low=accuracy_interval.low,
        accuracy_high=accuracy_interval.high,
        balanced_accuracy=float(np.mean(recalls)),
        balanced_accuracy_low=balanced_interval.low,
        balanced_accuracy_high=balanced_interval.high,
        auc=float(wins.sum() / pairs.sum()) if pairs.any() else float("nan"),
        auc_low=auc_interval.low,
        auc_high=auc_interval.high,
        majority=majority_share(clips["label"]),
    )


def _compared_between_subjects(frame: pd.DataFrame, codes: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Wins of spontaneous over posed clips, and comparisons made, for each pair of subjects, within fold and trial."""
    label, score = frame["label"].to_numpy(int), frame["probability"].to_numpy(float)
    named = [column for column in ("fold", "seed") if column in frame]
    model = frame.groupby(named, sort=False).ngroup().to_numpy() if named else np.zeros(len(frame), int)
    wins, pairs = np.zeros((count, count)), np.zeros((count, count))
    for number in np.unique(model):
        spontaneous = np.flatnonzero((model == number) & (label == 1))[:, None]
        posed = np.flatnonzero((model == number) & (label == 0))[None, :]
        higher = (score[spontaneous] > score[posed]) + 0.5 * (score[spontaneous] == score[posed])
        np.add.at(wins, (codes[spontaneous], codes[posed]), higher)
        np.add.at(pairs, (codes[spontaneous], codes[posed]), 1.0)
    return wins, pairs


def _interval(drawn: np.ndarray) -> Interval:
    finite = drawn[np.isfinite(drawn)]
    if not len(finite):
        return Interval(float("nan"), float("nan"))
    low, high = np.percentile(finite, (2.5, 97.5))
    return Interval(float(low), float(high))
