"""Machines whose decisions on training clips can be learned from: each is made without the clip's subject."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_selection import RFE
from sklearn.svm import SVC, LinearSVC

from smilelab.baselines.machines import Floats, SupportVectors, inner_folds

__all__ = ["StackedVectors", "eliminated"]

_STEP = 0.2  # share of the features that each round of elimination takes away
_VALIDATION = 5  # one part of so many
_LINEAR_COST = 0.01  # of standardised features, of which there are about as many as clips


class StackedVectors(SupportVectors):
    """A radial support vector classifier that keeps, of each training clip, a decision of a machine that never saw it.

    Attributes
    ----------
    out_of_fold : (n,) float64
        After `fit`: decisions on the training clips by inner folds by subject, with the constants that these same folds
        favour. Where no inner folds can be made, those of the machine itself.

    Parameters
    ----------
    costs, widths, folds
        As of `SupportVectors`.
    """

    out_of_fold: Floats

    def _best(self, x: Floats, y: NDArray[np.int64], subjects: NDArray[np.generic], seed: int) -> tuple[float, float]:
        parts = inner_folds(y, subjects, count=self.folds, seed=seed)
        decisions = np.zeros((len(self.candidates), len(y)))
        for train, test in parts:
            mean, spread = x[train].mean(0), x[train].std(0)
            scaled = (x - mean) / np.where(spread > 1e-12, spread, 1.0)
            # Distances once a fold: a matrix product is far quicker than libsvm's own kernel of so many features.
            squares = (scaled**2).sum(1)
            apart = np.maximum(squares[:, None] + squares[train] - 2 * scaled @ scaled[train].T, 0) / x.shape[1]
            for number, (cost, width) in enumerate(self.candidates):
                kernel = np.exp(-width * apart)
                machine = SVC(kernel="precomputed", C=cost).fit(kernel[train], y[train])
                decisions[number, test] = machine.decision_function(kernel[test])
        correct = ((decisions > 0) == (y == 1)).sum(1)
        best = int(np.argmax(correct)) if parts else 0
        self.out_of_fold = decisions[best]
        if not parts:
            mean, spread = x.mean(0), x.std(0)
            scaled = (x - mean) / np.where(spread > 1e-12, spread, 1.0)
            machine = self._machine(*self.candidates[best], x.shape[1]).fit(scaled, y)
            self.out_of_fold = np.asarray(machine.decision_function(scaled), np.float64)
        return self.candidates[best]


def eliminated(
    features: Floats, labels: NDArray[np.int64], subjects: NDArray[np.generic], *, seed: int
) -> NDArray[np.int64]:
    """Choose features by recursive elimination, and how many by a part of the clips that ranks none.

    The weights of a linear support vector machine rank them, a fifth being taken away each round; of the nested sets
    the one is kept with which a radial machine (C = 1, width 1) is most often correct on the validation part, of equal
    ones the smallest.

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
    spread = features[train].std(0)
    scaled = (features - features[train].mean(0)) / np.where(spread > 1e-12, spread, 1.0)
    linear = LinearSVC(C=_LINEAR_COST, dual="auto", random_state=seed, max_iter=5000)
    ranking = RFE(linear, n_features_to_select=1, step=_STEP).fit(scaled[train], labels[train]).ranking_
    best, most = np.arange(features.shape[1]), -1
    for rank in np.unique(ranking):
        kept = np.flatnonzero(ranking <= rank)
        machine = SVC(gamma=1 / len(kept)).fit(scaled[train][:, kept], labels[train])
        correct = int((machine.predict(scaled[validation][:, kept]) == labels[validation]).sum())
        if correct > most:
            best, most = kept, correct
    return best
