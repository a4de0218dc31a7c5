"""Dibeklioglu et al. 2010: movements of the eyelids alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from smilelab.baselines import ByClip, register
from smilelab.baselines.by_clip import stacked
from smilelab.baselines.classifiers import (
    Classifier,
    Clips,
    HiddenMarkov,
    NaiveBayes,
    Neighbours,
    SupportVectorsOfRows,
)
from smilelab.baselines.clip_samples import Extractor, Features, View
from smilelab.baselines.landmark_signals import EYES, LongestIn, checked, signals_of, smoothed
from smilelab.baselines.machines import Floats, State, inner_folds
from smilelab.baselines.phase_features import statistics
from smilelab.signals import within

__all__ = ["CLASSIFIERS", "Dibeklioglu2010", "cosines", "lid_angles"]

CLASSIFIERS = ("svm", "knn", "naive-bayes", "hmm")
_COEFFICIENTS = 8
_SAMPLES = 32
_PREFIX = "classifier."


@register("dibeklioglu2010")
class Dibeklioglu2010(ByClip):
    """Distance and angle of the upper lids in each phase of the smile; the best of four kinds of classifiers.

    Parameters
    ----------
    longest_in : {"time", "signal"}
        Which increase of the lip corners is the onset and which decrease the offset; see `smilelab.signals.phases`.
    classifiers : sequence of {"svm", "knn", "naive-bayes", "hmm"}
        Between which inner folds choose.
    costs, widths : sequence of float
        Candidates of the support vector machine, see `smilelab.baselines.machines.SupportVectors`.
    neighbours : sequence of int
        Candidates, odd.
    states : sequence of int
        Candidates for the states of the hidden Markov models.
    folds : int
        Inner folds by subject. The candidate with the most correct clips wins, of equal ones the first.

    Raises
    ------
    ValueError
        An unknown classifier or value, or no candidate.

    Source: Dibeklioglu, Valenti, Salah & Gevers 2010, "Eyes do not lie: spontaneous versus posed smiles". Verified: the
    distance and the angle at the middle of the upper lid. Our choice: the 25 statistics of the same authors' later work
    and 8 DCT-II coefficients a phase, the classifiers' candidates, and hidden Markov models on both signals and their
    speeds.
    """

    def __init__(
        self,
        *,
        longest_in: LongestIn = "time",
        classifiers: Sequence[str] = CLASSIFIERS,
        costs: Sequence[float] = (1.0, 10.0, 100.0),
        widths: Sequence[float] = (0.1, 1.0),
        neighbours: Sequence[int] = (3, 9, 21),
        states: Sequence[int] = (2, 4),
        folds: int = 5,
    ) -> None:
        if set(classifiers) - set(CLASSIFIERS):
            raise ValueError(f"classifiers are {classifiers!r}; expected some of {', '.join(CLASSIFIERS)}")
        if any(count < 1 or count % 2 == 0 for count in neighbours) or any(count < 1 for count in states):
            raise ValueError(
                f"neighbours are {neighbours!r} and states {states!r}; expected odd numbers, and from 1 on"
            )
        self.extractors = [Extractor("dibeklioglu2010", 1, _compute, longest_in=checked(longest_in))]
        self.folds = folds
        known: dict[str, list[tuple[float, float, float]]] = {
            "svm": [(0, cost, width) for cost in costs for width in widths],
            "knn": [(1, count, 0) for count in neighbours],
            "naive-bayes": [(2, 0, 0)],
            "hmm": [(3, count, 0) for count in states],
        }
        self.candidates = [each for name in classifiers for each in known[name]]
        if not self.candidates:
            raise ValueError("no candidate for a classifier; expected one at least")
        self._chosen = self.candidates[0]
        self._classifier: Classifier | None = None

    def learn(
        self, features: list[Features], labels: NDArray[np.int64], subjects: NDArray[np.str_], *, seed: int
    ) -> None:
        """See :meth:`smilelab.baselines.ByClip.learn`."""
        clips = _clips(features)
        correct = np.zeros(len(self.candidates))
        for train, test in inner_folds(labels, subjects, count=self.folds, seed=seed):
            for number, candidate in enumerate(self.candidates):
                classifier = _built(*candidate)
                classifier.fit(clips.take(train), labels[train], seed=seed)
                told = classifier.decide(clips.take(test))
                correct[number] += ((told > 0) == (labels[test] == 1)).sum()
        self._chosen = self.candidates[int(np.argmax(correct))]
        self._classifier = _built(*self._chosen)
        self._classifier.fit(clips, labels, seed=seed)

    def decide(self, features: list[Features]) -> Floats:
        """See :meth:`smilelab.baselines.ByClip.decide`."""
        if self._classifier is None:
            raise ValueError("not fitted; call fit or load_state first")
        return self._classifier.decide(_clips(features))

    def state(self) -> State:
        """See :meth:`smilelab.baselines.ByClip.state`.

        ``chosen`` is the number of the classifier among `CLASSIFIERS` and its constants.
        """
        if self._classifier is None:
            return {}
        own = {f"{_PREFIX}{name}": value for name, value in self._classifier.state().items()}
        return {"chosen": np.array(self._chosen, np.float64), **own}

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """See :meth:`smilelab.baselines.ByClip.load_state`."""
        kind, first, second = np.asarray(state["chosen"], np.float64)
        self._chosen = (float(kind), float(first), float(second))
        self._classifier = _built(*self._chosen)
        own = {name.removeprefix(_PREFIX): value for name, value in state.items() if name.startswith(_PREFIX)}
        self._classifier.load_state(own)


def lid_angles(points: Floats) -> Floats:
    """Angle at the middle of the upper lid between the corners of its eye.

    Parameters
    ----------
    points : (T, 68, 2) array
        Landmarks, y downwards.

    Returns
    -------
    (2, T) array
        Of the subject's right and left eye, rad; pi where the lid lies between the corners, more where it is below.
    """
    found = []
    for side, (outer, lid, inner) in zip((1, -1), EYES, strict=True):
        top = points[:, lid, :].mean(1)
        first, second = points[:, outer] - top, points[:, inner] - top
        cross = side * (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
        # Counted from the outer corner through below to the inner one.
        found.append(np.mod(-np.arctan2(cross, (first * second).sum(1)), 2 * np.pi))
    return np.stack(found)


def cosines(values: Floats) -> Floats:
    """First 8 coefficients of the DCT-II of a signal (n,) stretched to 32 samples; zeros where n < 2.

    They do not depend on how many samples a second it has; the first is its mean.
    """
    if len(values) < 2:
        return np.zeros(_COEFFICIENTS)
    middles = (np.arange(_SAMPLES) + 0.5) / _SAMPLES * (len(values) - 1)
    stretched = np.interp(middles, np.arange(len(values)), values)
    return np.asarray(dct(stretched, norm="forward")[:_COEFFICIENTS])


def _built(kind: float, first: float, second: float) -> Classifier:
    if kind == 0:
        return SupportVectorsOfRows(first, second)
    if kind == 1:
        return Neighbours(int(first))
    return NaiveBayes() if kind == 2 else HiddenMarkov(int(first))


def _clips(features: list[Features]) -> Clips:
    return Clips(stacked(features, "statistics", "cosines"), [clip["course"] for clip in features])


def _compute(view: View, *, longest_in: LongestIn) -> Features:
    clip = signals_of(view, longest_in)
    sides = np.stack([clip.sides[1], smoothed(lid_angles(clip.points))])
    means = sides.mean(1)
    spans = [within(span, clip.times) for span in clip.phases]
    speeds = np.gradient(means, clip.times, axis=1) if len(clip.times) > 1 else np.zeros_like(means)
    return {
        "statistics": statistics(sides, clip.times, clip.phases),
        "cosines": np.concatenate([cosines(signal[span]) for signal in means for span in spans]),
        "course": np.concatenate([means, speeds]).T,
    }
