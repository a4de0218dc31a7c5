"""The bootstrap over subjects: what is drawn, and shares in every draw.

Samples of one subject are not independent, so whole subjects are drawn with replacement. What comes from one subject
alone is the same in every draw: it tells nothing about other subjects, and its interval is undefined.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

# Fewest subjects whose interval says anything.
LEAST_SUBJECTS = 2

# Columns that tell apart the models that scored the samples.
MODEL = ("fold", "seed")


@dataclass(frozen=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


class Resampled:
    """The subjects of some samples, and bootstrap draws of as many subjects with replacement.

    Parameters
    ----------
    subjects : pandas.Series (n,)
        Subject of each sample.
    resamples : int
        Number of draws.
    seed : int
        Seed of the draws; the same subjects and seed give the same draws, so differences between models are paired.

    Attributes
    ----------
    codes : numpy.ndarray, int (n,)
        Number of each sample's subject.
    count : int
        Subjects.
    drawn : numpy.ndarray (resamples, count)
        How often each subject is in each draw.
    """

    def __init__(self, subjects: pd.Series, *, resamples: int = 2000, seed: int = 0) -> None:
        self.codes, names = pd.factorize(subjects, sort=True)
        self.count = len(names)
        generator = np.random.default_rng(seed)
        drawn = generator.multinomial(self.count, np.full(self.count, 1 / self.count), size=resamples)
        self.drawn = drawn.astype(float)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum of (n,) values over each subject, (count,)."""
        return np.bincount(self.codes, weights=values, minlength=self.count)

    def shares(self, part: np.ndarray, whole: np.ndarray) -> np.ndarray:
        """Share that `part` is of `whole`, two (n,) values of samples, in each draw.

        NaN where the whole is nothing, and in every draw where it is from fewer than :data:`LEAST_SUBJECTS`.
        """
        of = self.sums(whole)
        if np.count_nonzero(of) < LEAST_SUBJECTS:
            return np.full(len(self.drawn), np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            return (self.drawn @ self.sums(part)) / (self.drawn @ of)

    def shares_of_pairs(self, part: np.ndarray, whole: np.ndarray) -> np.ndarray:
        """The same for (count, count) values of pairs of subjects; NaN where the whole is from a single pair."""
        if np.count_nonzero(whole) < LEAST_SUBJECTS:
            return np.full(len(self.drawn), np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            one, other = (((self.drawn @ values) * self.drawn).sum(1) for values in (part, whole))
            return one / other


def interval(drawn: np.ndarray) -> Interval:
    """95 % interval of bootstrap draws (percentiles), those left out that are NaN; NaN where all are."""
    finite = drawn[np.isfinite(drawn)]
    if not len(finite):
        return Interval(float("nan"), float("nan"))
    low, high = np.percentile(finite, (2.5, 97.5))
    return Interval(float(low), float(high))


def models_of(frame: pd.DataFrame) -> list[np.ndarray]:
    """Rows of each fold and trial: the samples that one model scored."""
    named = [column for column in MODEL if column in frame]
    if not named:
        return [np.arange(len(frame))]
    return [np.asarray(rows) for rows in frame.groupby(named, sort=False).indices.values()]


def compared_between_subjects(frame: pd.DataFrame, resampled: Resampled) -> tuple[np.ndarray, np.ndarray]:
    """Wins of spontaneous over posed samples, and comparisons made, for each pair of subjects, within fold and trial.

    Parameters
    ----------
    frame : pandas.DataFrame (n rows)
        Predictions.
    resampled : Resampled
        Their subjects.

    Returns
    -------
    wins, pairs : numpy.ndarray (subjects, subjects)
        Rows are the subjects of the spontaneous samples, columns those of the posed ones; ties are half a win.
    """
    label, score = frame["label"].to_numpy(int), frame["probability"].to_numpy(float)
    codes, count = resampled.codes, resampled.count
    wins, pairs = np.zeros((count, count)), np.zeros((count, count))
    for at in models_of(frame):
        spontaneous, posed = at[label[at] == 1], at[label[at] == 0]
        number = np.bincount(codes[spontaneous], minlength=count).astype(float)
        # Sorted scores of a subject instead of all pairs: windows are too many for those.
        for subject in np.unique(codes[posed]):
            beaten = np.sort(score[posed[codes[posed] == subject]])
            below, not_above = (np.searchsorted(beaten, score[spontaneous], side) for side in ("left", "right"))
            wins[:, subject] += np.bincount(codes[spontaneous], weights=(below + not_above) / 2, minlength=count)
            pairs[:, subject] += number * len(beaten)
    return wins, pairs
