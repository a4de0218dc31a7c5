"""Support vector machines on sums of kernels over groups of features, for features that outnumber clips by far."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.decomposition import PCA
from sklearn.svm import SVC

from smilelab.baselines.machines import Floats, Rows, State

__all__ = ["KERNELS", "WEIGHTINGS", "Candidate", "Choice", "Fold", "Groups", "KernelSum", "Projection"]

KERNELS = ("rbf", "linear")
WEIGHTINGS = ("equal", "aligned")
Groups = Sequence[Floats]
Fold = tuple[Rows, Rows]


class Candidate(NamedTuple):
    """Constants of a machine: its kernel, C, the kernels' width in mean squared distances, and what weighs them."""

    kernel: str
    cost: float
    width: float
    weighting: str


class Choice(NamedTuple):
    """What inner folds have chosen: which variant of the features, which constants, and how many clips were correct."""

    variant: int
    candidate: Candidate
    correct: int


class Projection:
    """Principal components of some clips' features (scikit-learn's), as single-precision arrays.

    Parameters
    ----------
    components : int
        At most; never more than clips less one, or features.
    standardise : bool
        Divide each feature by its standard deviation first, for features of different units.
    """

    def __init__(self, components: int, *, standardise: bool = False) -> None:
        self.components, self.standardise = components, standardise
        self._state: State = {}

    def fit(self, features: ArrayLike, *, seed: int) -> Projection:
        """Find the components of these clips (n, d); no class is looked at."""
        x = np.asarray(features, np.float64)
        spread = x.std(0) if self.standardise else np.ones(x.shape[1])
        scale = np.where(spread > 1e-12, spread, 1.0)
        kept = max(min(self.components, len(x) - 1, x.shape[1]), 1)
        varying = bool((spread > 1e-12).any()) if self.standardise else bool(np.ptp(x, axis=0).any())
        axes = PCA(kept, random_state=seed).fit(x / scale).components_ / scale if varying else np.zeros((1, x.shape[1]))
        self._state = {"mean": x.mean(0).astype(np.float32), "axes": np.ascontiguousarray(axes, np.float32)}
        # The power of the kept components makes distances comparable between groups.
        power = float((self._apply(x) ** 2).mean(0).sum())
        self._state["power"] = np.array([power if power > 1e-12 else 1.0])
        return self

    def apply(self, features: ArrayLike) -> Floats:
        """Components (n, k), scaled so that two of the fitted clips are 2 apart in mean squared distance."""
        return self._apply(np.asarray(features, np.float64)) / np.sqrt(float(self._state["power"][0]))

    def state(self, prefix: str) -> State:
        """What was fitted, as arrays, each name with a prefix."""
        return {prefix + name: value for name, value in self._state.items()}

    def load_state(self, state: Mapping[str, NDArray[np.generic]], prefix: str) -> None:
        """Take over what another projection was fitted to."""
        self._state = {name: np.asarray(state[prefix + name]) for name in ("mean", "axes", "power")}

    def _apply(self, x: Floats) -> Floats:
        mean, axes = (np.asarray(self._state[name], np.float64) for name in ("mean", "axes"))
        return np.asarray((x - mean) @ axes.T)


class KernelSum:
    """A support vector classifier whose kernel is a weighted sum of one kernel a group of features.

    Each group is reduced to its principal components within the training clips, which keeps what is stored small and
    no class has a say in; kernels are of those. A linear kernel is the inner product, a radial one exp(-width d² / 2)
    with d² in units in which training clips are 2 apart on average.

    Parameters
    ----------
    components : int
        Of each group, at most.
    kernels, costs, widths, weightings : sequences
        Candidates, see `Candidate`. Weights are equal, or as well as each kernel is aligned with the classes (centred,
        Cortes et al. 2012, "Algorithms for learning kernels based on centered alignment").
    standardise : bool
        See `Projection`.

    Raises
    ------
    ValueError
        No candidate, or an unknown kernel or weighting.
    """

    def __init__(
        self,
        *,
        components: int = 48,
        kernels: Sequence[str] = KERNELS,
        costs: Sequence[float] = (1.0, 10.0, 0.1),
        widths: Sequence[float] = (1.0, 0.3),
        weightings: Sequence[str] = ("equal",),
        standardise: bool = False,
    ) -> None:
        self.candidates = [
            Candidate(kernel, cost, width, weighting)
            for weighting, kernel, width, cost in itertools.product(weightings, kernels, widths, costs)
            if kernel != "linear" or width == widths[0]
        ]
        if not self.candidates:
            raise ValueError("no candidate for kernel, cost, width or weighting; expected one at least of each")
        for found, known in ((kernels, KERNELS), (weightings, WEIGHTINGS)):
            if unknown := set(found) - set(known):
                raise ValueError(f"found {min(unknown)!r}; expected one of {', '.join(known)}")
        self.components, self.standardise = components, standardise
        self._projections: list[Projection] = []
        self._state: State = {}

    def choose(
        self,
        variants: Sequence[Callable[[Rows], Groups]],
        labels: ArrayLike,
        folds: Sequence[Fold],
        *,
        seed: int,
    ) -> Choice:
        """Choose among variants of the features and the candidates by inner folds: the most correct clips, the first.

        Parameters
        ----------
        variants : sequence of callables
            Each gives the groups, arrays (n, d) of all clips, and may learn how from the rows that it is given.
        labels : int (n,)
        folds : list of (train, test)
            Rows, from `machines.inner_folds`; without any, the first of all is chosen.
        seed : int
        """
        y = np.asarray(labels, np.int64)
        correct = np.zeros((len(variants), len(self.candidates)), np.int64)
        for train, test in folds if correct.size > 1 else ():
            for number, variant in enumerate(variants):
                correct[number] += self._correct(variant(train), y, train, test, seed)
        variant_, candidate = np.unravel_index(int(np.argmax(correct)), correct.shape)
        return Choice(int(variant_), self.candidates[int(candidate)], int(correct.max()))

    def fit(self, groups: Groups, labels: ArrayLike, candidate: Candidate, *, seed: int) -> KernelSum:
        """Fit with these constants.

        Raises
        ------
        ValueError
            One class alone.
        """
        y = np.asarray(labels, np.int64)
        if len(np.unique(y)) != 2:
            raise ValueError("found one class among the training clips; expected both")
        self._projections, parts = self._projected(groups, seed)
        squares = [_products(part, part) for part in parts]
        weights = _weights(squares, y, candidate)
        machine = SVC(kernel="precomputed", C=candidate.cost).fit(_sum(squares, weights, candidate), y)
        kept = machine.support_
        self._state = {
            # In the order in which files keep them: products of other orders differ in their last bits.
            "vectors": np.ascontiguousarray(np.concatenate([part[kept] for part in parts], 1)),
            "shares": np.ascontiguousarray(machine.dual_coef_[0], np.float64),
            "offset": np.asarray(machine.intercept_, np.float64),
            "weights": weights,
            "chosen": np.array([KERNELS.index(candidate.kernel), candidate.width, candidate.cost]),
        }
        return self

    def decide(self, groups: Groups) -> Floats:
        """Decision values (n,), positive for spontaneous."""
        if not self._state:
            raise ValueError("not fitted; call fit first")
        state = {name: np.asarray(value, np.float64) for name, value in self._state.items()}
        parts = [projection.apply(group) for projection, group in zip(self._projections, groups, strict=True)]
        ends = np.cumsum([part.shape[1] for part in parts])[:-1]
        between = [_products(a, b) for a, b in zip(parts, np.split(state["vectors"], ends, axis=1), strict=True)]
        kernel, width, cost = state["chosen"]
        candidate = Candidate(KERNELS[int(kernel)], cost, width, "")
        return np.asarray(_sum(between, state["weights"], candidate) @ state["shares"] + state["offset"][0])

    def state(self, prefix: str = "") -> State:
        """What was fitted, as arrays, each name with a prefix."""
        found: State = {prefix + name: value for name, value in self._state.items()}
        for number, projection in enumerate(self._projections):
            found |= projection.state(f"{prefix}{number}.")
        return found

    def load_state(self, state: Mapping[str, NDArray[np.generic]], prefix: str = "") -> None:
        """Take over what another machine was fitted to."""
        own = ("vectors", "shares", "offset", "weights", "chosen")
        self._state = {name: np.asarray(state[prefix + name]) for name in own}
        self._projections = [Projection(self.components) for _ in range(len(self._state["weights"]))]
        for number, projection in enumerate(self._projections):
            projection.load_state(state, f"{prefix}{number}.")

    def _projected(self, groups: Groups, seed: int) -> tuple[list[Projection], list[Floats]]:
        found = [Projection(self.components, standardise=self.standardise).fit(group, seed=seed) for group in groups]
        return found, [projection.apply(group) for projection, group in zip(found, groups, strict=True)]

    def _correct(self, groups: Groups, y: Rows, train: Rows, test: Rows, seed: int) -> Rows:
        """How many of the test rows each candidate has right that is fitted to the training rows."""
        projections, inside = self._projected([group[train] for group in groups], seed)
        outside = [projection.apply(group[test]) for projection, group in zip(projections, groups, strict=True)]
        squares = [_products(part, part) for part in inside]
        between = [_products(new, part) for new, part in zip(outside, inside, strict=True)]
        found = np.zeros(len(self.candidates), np.int64)
        for number, candidate in enumerate(self.candidates):
            weights = _weights(squares, y[train], candidate)
            machine = SVC(kernel="precomputed", C=candidate.cost).fit(_sum(squares, weights, candidate), y[train])
            found[number] = (machine.predict(_sum(between, weights, candidate)) == y[test]).sum()
        return found


class _Products(NamedTuple):
    """Inner products of clips, and their squared distances."""

    inner: Floats
    apart: Floats


def _products(first: Floats, second: Floats) -> _Products:
    inner = first @ second.T
    apart = (first**2).sum(1)[:, None] - 2 * inner + (second**2).sum(1)[None, :]
    return _Products(inner, np.maximum(apart, 0.0))


def _kernel(products: _Products, candidate: Candidate) -> Floats:
    if candidate.kernel == "linear":
        return products.inner
    return np.asarray(np.exp(-candidate.width * products.apart / 2))


def _sum(products: Sequence[_Products], weights: Floats, candidate: Candidate) -> Floats:
    total = np.zeros_like(products[0].inner)
    for weight, part in zip(weights, products, strict=True):
        if weight > 0:
            total += weight * _kernel(part, candidate)
    return total


def _weights(squares: Sequence[_Products], y: Rows, candidate: Candidate) -> Floats:
    """Weights of the groups' kernels, with a sum of 1."""
    equal = np.full(len(squares), 1 / len(squares))
    if candidate.weighting == "equal":
        return equal
    classes = np.where(y == 1, 1.0, -1.0)
    classes = classes - classes.mean()
    found = np.zeros(len(squares))
    for number, part in enumerate(squares):
        kernel = _kernel(part, candidate)
        centred = kernel - kernel.mean(0) - kernel.mean(1)[:, None] + kernel.mean()
        size = np.linalg.norm(centred) * (classes @ classes)
        found[number] = max(classes @ centred @ classes / size, 0.0) if size > 1e-12 else 0.0
    return found / found.sum() if found.sum() > 1e-12 else equal
