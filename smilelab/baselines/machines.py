"""Support vector machines whose constants are chosen inside the training clips, and whose state is plain arrays."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.svm import SVC

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
State = dict[str, NDArray[np.generic]]
KERNELS = ("linear", "rbf", "poly")
_DEGREE = 3


def inner_folds(labels: ArrayLike, subjects: ArrayLike, *, count: int, seed: int) -> list[tuple[Rows, Rows]]:
    """Folds inside the training clips, no subject on both sides, both classes on each.

    Parameters
    ----------
    labels : int (n,)
    subjects : (n,)
    count : int
        Most folds; there are fewer where a class has too few subjects.
    seed : int

    Returns
    -------
    list of (train, test)
        Row numbers; empty where no such folds can be made.
    """
    labels, subjects = np.asarray(labels), np.asarray(subjects).astype(str)
    of_class = [len(np.unique(subjects[labels == label])) for label in (0, 1)]
    for folds in range(min(count, *of_class), 1, -1):
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        found = list(splitter.split(np.zeros(len(labels)), labels, subjects))
        if all(len(np.unique(labels[side])) == 2 for fold in found for side in fold):
            return found
    return []


class SupportVectors:
    """A support vector classifier on standardised features, its constants chosen by inner folds by subject.

    Parameters
    ----------
    kernel : {"linear", "rbf", "poly"}
        The polynomial has degree 3 and a constant term of 1.
    costs : sequence of float
        Candidates for C.
    widths : sequence of float
        Candidates for gamma in units of one over the number of features; of no use to a linear kernel.
    folds : int
        Inner folds. The candidate with the most correct clips wins, of equal ones the first.

    Raises
    ------
    ValueError
        An unknown kernel, or no candidate.
    """

    def __init__(
        self,
        kernel: str = "rbf",
        *,
        costs: Sequence[float] = (0.1, 1.0, 10.0, 100.0),
        widths: Sequence[float] = (0.1, 1.0, 10.0),
        folds: int = 5,
    ) -> None:
        if kernel not in KERNELS:
            raise ValueError(f"kernel is {kernel!r}; expected one of {', '.join(KERNELS)}")
        if not costs or not widths:
            raise ValueError("no candidate for the cost or the width; expected one at least of each")
        self.kernel, self.folds = kernel, folds
        self.candidates = list(itertools.product(costs, widths[:1] if kernel == "linear" else widths))
        self._state: State = {}

    def fit(self, features: ArrayLike, labels: ArrayLike, subjects: ArrayLike, *, seed: int) -> SupportVectors:
        """Choose the constants inside these clips and fit on all of them.

        Parameters
        ----------
        features : float (n, d)
        labels : int (n,)
            1 spontaneous, 0 posed.
        subjects : (n,)
            Whose clips stay together in the inner folds.
        seed : int
            Of the inner folds.

        Raises
        ------
        ValueError
            Features that are not finite, or one class alone.
        """
        x, y = np.asarray(features, np.float64), np.asarray(labels, np.int64)
        if not np.isfinite(x).all():
            raise ValueError("found features that are not finite; expected numbers")
        if len(np.unique(y)) != 2:
            raise ValueError("found one class among the training clips; expected both")
        best = self._best(x, y, np.asarray(subjects), seed)
        mean, scale = standardisation(x)
        machine = self._machine(*best, x.shape[1]).fit((x - mean) / scale, y)
        self._state = {
            "mean": mean,
            "scale": scale,
            "vectors": np.array(machine.support_vectors_, np.float64),
            "weights": np.array(machine.dual_coef_[0], np.float64),
            "offset": np.array(machine.intercept_, np.float64),
            "chosen": np.array(best, np.float64),
        }
        return self

    def decide(self, features: ArrayLike) -> Floats:
        """Decision values (n,), positive for spontaneous."""
        if not self._state:
            raise ValueError("not fitted; call fit first")
        state = {name: np.asarray(value, np.float64) for name, value in self._state.items()}
        x = (np.asarray(features, np.float64) - state["mean"]) / state["scale"]
        return np.asarray(self._kernel(x, state["vectors"], state["chosen"][1]) @ state["weights"] + state["offset"][0])

    def state(self, prefix: str = "") -> State:
        """What was fitted, as arrays, each name with a prefix."""
        return {prefix + name: value for name, value in self._state.items()}

    def load_state(self, state: Mapping[str, NDArray[np.generic]], prefix: str = "") -> None:
        """Take over what another machine with the same options was fitted to."""
        own = ("mean", "scale", "vectors", "weights", "offset", "chosen")
        self._state = {name: np.asarray(state[prefix + name]) for name in own}

    def _best(self, x: Floats, y: NDArray[np.int64], subjects: NDArray[np.generic], seed: int) -> tuple[float, float]:
        if len(self.candidates) == 1:
            return self.candidates[0]
        correct = np.zeros(len(self.candidates))
        for train, test in inner_folds(y, subjects, count=self.folds, seed=seed):
            mean, scale = standardisation(x[train])
            inside, outside = (x[train] - mean) / scale, (x[test] - mean) / scale
            for number, candidate in enumerate(self.candidates):
                machine = self._machine(*candidate, x.shape[1]).fit(inside, y[train])
                correct[number] += (machine.predict(outside) == y[test]).sum()
        return self.candidates[int(np.argmax(correct))]

    def _machine(self, cost: float, width: float, features: int) -> SVC:
        gamma = width / features
        return SVC(kernel=self.kernel, C=cost, gamma=gamma, degree=_DEGREE, coef0=1.0)

    def _kernel(self, x: Floats, vectors: Floats, width: float) -> Floats:
        if self.kernel == "linear":
            return x @ vectors.T
        gamma = width / x.shape[1]
        if self.kernel == "poly":
            return (gamma * (x @ vectors.T) + 1.0) ** _DEGREE
        apart = (x**2).sum(1)[:, None] - 2 * x @ vectors.T + (vectors**2).sum(1)[None, :]
        return np.exp(-gamma * np.maximum(apart, 0.0))


def standardisation(x: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each column, 1 in the place of a deviation that is none."""
    spread = x.std(0)
    return x.mean(0), np.where(spread > 1e-12, spread, 1.0)
