"""Machines whose decisions on training clips can be learned from: each is made without the clip's subject."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.svm import SVC, LinearSVC

from smilelab.baselines.machines import Floats, State, SupportVectors, inner_folds, standardisation

__all__ = ["StackedVectors", "eliminated", "nested_sets"]

_STEP = 0.2  # share of the features that are left, which each round of elimination takes away
_VALIDATION = 5  # one part of so many
_LINEAR_COST = 0.01  # of standardised features, of which there are about as many as clips


class StackedVectors:
    """A radial support vector classifier that keeps, of each training clip, a decision of a machine that never saw it.

    Attributes
    ----------
    out_of_fold : (n,) float64
        After `fit`: decisions on the training clips by inner folds by subject, with the constants that these same folds
        favour. Where no inner folds can be made, those of the machine itself.

    Parameters
    ----------
    costs, widths, folds
        As of `smilelab.baselines.machines.SupportVectors`.
    eliminate : bool
        Choose features by `eliminated`, in each inner fold anew, on its training clips alone.
    """

    out_of_fold: Floats

    def __init__(
        self,
        *,
        costs: Sequence[float] = (0.1, 1.0, 10.0, 100.0),
        widths: Sequence[float] = (0.1, 1.0, 10.0),
        folds: int = 5,
        eliminate: bool = False,
    ) -> None:
        self.candidates = list(itertools.product(costs, widths))
        self.folds, self.eliminate = folds, eliminate
        self._machine = SupportVectors(costs=costs, widths=widths, folds=folds)
        self._columns: NDArray[np.int64] = np.empty(0, np.int64)

    def fit(self, features: ArrayLike, labels: ArrayLike, subjects: ArrayLike, *, seed: int) -> StackedVectors:
        """Choose features and constants inside these clips and fit on all of them; as `SupportVectors.fit`."""
        x, y, subjects = np.asarray(features, np.float64), np.asarray(labels, np.int64), np.asarray(subjects)
        parts = inner_folds(y, subjects, count=self.folds, seed=seed)
        decisions = np.zeros((len(self.candidates), len(y)))
        for train, test in parts:
            columns = self._chosen(x[train], y[train], subjects[train], seed)
            mean, scale = standardisation(x[train][:, columns])
            scaled = (x[:, columns] - mean) / scale
            # Distances once a fold: a matrix product is far quicker than libsvm's own kernel of so many features.
            squares = (scaled**2).sum(1)
            apart = np.maximum(squares[:, None] + squares[train] - 2 * scaled @ scaled[train].T, 0) / len(columns)
            for number, (cost, width) in enumerate(self.candidates):
                kernel = np.exp(-width * apart)
                machine = SVC(kernel="precomputed", C=cost).fit(kernel[train], y[train])
                decisions[number, test] = machine.decision_function(kernel[test])
        best = int(np.argmax(((decisions > 0) == (y == 1)).sum(1))) if parts else 0
        cost, width = self.candidates[best]
        self._columns = self._chosen(x, y, subjects, seed)
        self._machine = SupportVectors(costs=[cost], widths=[width]).fit(x[:, self._columns], y, subjects, seed=seed)
        self.out_of_fold = decisions[best] if parts else self.decide(x)
        return self

    def decide(self, features: ArrayLike) -> Floats:
        """Decision values (n,), positive for spontaneous."""
        return self._machine.decide(np.asarray(features, np.float64)[:, self._columns])

    def state(self, prefix: str = "") -> State:
        """What was fitted, as arrays, each name with a prefix; ``kept`` are the columns of the features."""
        return {f"{prefix}kept": self._columns, **self._machine.state(prefix)}

    def load_state(self, state: Mapping[str, NDArray[np.generic]], prefix: str = "") -> None:
        """Take over what another one was fitted to."""
        self._columns = np.asarray(state[f"{prefix}kept"], np.int64)
        self._machine.load_state(state, prefix)

    def _chosen(self, x: Floats, y: NDArray[np.int64], subjects: NDArray[Any], seed: int) -> NDArray[np.int64]:
        return eliminated(x, y, subjects, seed=seed) if self.eliminate else np.arange(x.shape[1])


def eliminated(
    features: Floats, labels: NDArray[np.int64], subjects: NDArray[np.generic], *, seed: int
) -> NDArray[np.int64]:
    """Choose features by recursive elimination, and how many by a part of the clips that ranks none.

    The weights of a linear support vector machine rank them, a fifth of those left being taken away each round; of the
    nested sets the one is kept with which a radial machine (C = 1, width 1) is most often correct on the validation
    part, of equal ones the smallest.

    Parameters
    ----------
    features : float (n, d)
        Of training clips.
    labels : int (n,)
    subjects : (n,)
        Whose clips are all ranked with, or all validated on.
    seed : int

    Returns
    -------
    (k,) int64
        Columns, increasing; all where no part can be kept apart.

    Source: Kawulok et al. 2021 select features by recursive elimination on a validation part (verified); all settings
    are our choice.
    """
    parts = inner_folds(labels, subjects, count=_VALIDATION, seed=seed)
    if not parts:
        return np.arange(features.shape[1])
    train, validation = parts[0]
    mean, scale = standardisation(features[train])
    scaled = (features - mean) / scale
    best, most = np.arange(features.shape[1]), -1
    for kept in nested_sets(scaled[train], labels[train], seed=seed):
        machine = SVC(gamma=1 / len(kept)).fit(scaled[train][:, kept], labels[train])
        correct = int((machine.predict(scaled[validation][:, kept]) == labels[validation]).sum())
        if correct > most:
            best, most = kept, correct
    return best


def nested_sets(features: Floats, labels: NDArray[np.int64], *, seed: int) -> list[NDArray[np.int64]]:
    """Columns left after each round of recursive elimination, the smallest set first.

    Parameters
    ----------
    features : float (n, d)
        Standardised.
    labels : int (n,)
    seed : int

    Returns
    -------
    list of int64 arrays
        Each with its columns increasing, of one column, ..., of all.
    """
    left, found = np.arange(features.shape[1]), []
    while True:
        found.append(left)
        if len(left) == 1:
            return found[::-1]
        linear = LinearSVC(C=_LINEAR_COST, dual="auto", random_state=seed, max_iter=5000)
        weights = np.abs(linear.fit(features[:, left], labels).coef_[0])
        count = min(math.ceil((1 - _STEP) * len(left)), len(left) - 1)
        left = np.sort(left[np.argsort(-weights, kind="stable")[:count]])
