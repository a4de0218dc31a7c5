"""Classifiers between which a method chooses: all on the same clips, all with plain arrays as their state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from smilelab.baselines.gaussian_hmm import GaussianHMM
from smilelab.baselines.machines import Floats, State, SupportVectors, standardisation

__all__ = ["Classifier", "Clips", "HiddenMarkov", "NaiveBayes", "Neighbours", "SupportVectorsOfRows"]

Labels = NDArray[np.int64]

# Of a class, in variances of all clips: a feature may be constant in one class.
_VARIANCE_FLOOR = 1e-2


class Clips(NamedTuple):
    """Clips to tell apart.

    Attributes
    ----------
    rows : (n, d) array
        Features.
    courses : list of (T, k) array
        Signals over time, of any lengths.
    """

    rows: Floats
    courses: list[Floats]

    def take(self, at: NDArray[Any]) -> Clips:
        """The clips of those numbers."""
        return Clips(self.rows[at], [self.courses[number] for number in at])


class Classifier(Protocol):
    """What each of them does; decision values are positive for spontaneous."""

    def fit(self, clips: Clips, labels: Labels, *, seed: int) -> None: ...  # noqa: D102

    def decide(self, clips: Clips) -> Floats: ...  # noqa: D102

    def state(self) -> State: ...  # noqa: D102

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None: ...  # noqa: D102


class SupportVectorsOfRows:
    """A support vector machine with RBF kernel.

    Parameters
    ----------
    cost, width : float
        See `smilelab.baselines.machines.SupportVectors`.
    """

    def __init__(self, cost: float, width: float) -> None:
        self._machine = SupportVectors(costs=[cost], widths=[width])

    def fit(self, clips: Clips, labels: Labels, *, seed: int) -> None:
        """Fit on clips."""
        self._machine.fit(clips.rows, labels, np.arange(len(labels)), seed=seed)

    def decide(self, clips: Clips) -> Floats:
        """Decision values (n,)."""
        return self._machine.decide(clips.rows)

    def state(self) -> State:
        """What was fitted."""
        return self._machine.state()

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over what was fitted."""
        self._machine.load_state(state)


class _OfArrays:
    """Keeps what was fitted by name."""

    names: Sequence[str]

    def __init__(self) -> None:
        self._state: State = {}

    def state(self) -> State:
        """What was fitted."""
        return dict(self._state)

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over what was fitted."""
        self._state = {name: np.asarray(state[name]) for name in self.names}

    def _floats(self, name: str) -> Floats:
        return np.asarray(self._state[name], np.float64)


class Neighbours(_OfArrays):
    """The nearest training clips, in standardised features.

    Parameters
    ----------
    count : int
        How many; odd, so that no decision is 0. All of them, less one to be odd, where there are fewer.
    """

    names = ("mean", "scale", "rows", "labels")

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def fit(self, clips: Clips, labels: Labels, *, seed: int) -> None:
        """Keep the clips."""
        mean, scale = standardisation(clips.rows)
        rows = (clips.rows - mean) / scale
        self._state = {"mean": mean, "scale": scale, "rows": rows, "labels": np.asarray(labels, np.int64)}

    def decide(self, clips: Clips) -> Floats:
        """Share of spontaneous clips among the nearest, less a half."""
        rows, labels = self._floats("rows"), self._state["labels"]
        count = min(self.count, len(rows) - (len(rows) + 1) % 2)
        search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(rows)
        nearest = search.kneighbors((clips.rows - self._floats("mean")) / self._floats("scale"), return_distance=False)
        return np.asarray(labels[nearest].mean(1) - 0.5)


class NaiveBayes(_OfArrays):
    """Independent Gaussian features in each class, classes as frequent as in training."""

    names = ("means", "variances", "prior")

    def fit(self, clips: Clips, labels: Labels, *, seed: int) -> None:
        """Fit on clips."""
        of_class = [clips.rows[labels == label] for label in (0, 1)]
        floor = _VARIANCE_FLOOR * standardisation(clips.rows)[1] ** 2
        self._state = {
            "means": np.stack([rows.mean(0) for rows in of_class]),
            "variances": np.stack([rows.var(0) for rows in of_class]) + floor,
            "prior": np.log([len(rows) for rows in of_class]),
        }

    def decide(self, clips: Clips) -> Floats:
        """Log odds over the number of features: that keeps their sign, and apart what is nearly sure."""
        means, variances = self._floats("means"), self._floats("variances")
        away = (clips.rows[:, None, :] - means) ** 2 / variances
        told = -0.5 * (away + np.log(variances)).sum(-1) + self._floats("prior")
        return np.asarray((told[:, 1] - told[:, 0]) / clips.rows.shape[1])


class HiddenMarkov(_OfArrays):
    """A hidden Markov model a class on the courses, classes as frequent as in training.

    Parameters
    ----------
    states : int
        Of each model.
    """

    names = ("mean", "scale", "prior", *(f"{what}.{label}" for label in (0, 1) for what in GaussianHMM._fields))

    def __init__(self, states: int) -> None:
        super().__init__()
        self.states = states

    def fit(self, clips: Clips, labels: Labels, *, seed: int) -> None:
        """Fit on clips."""
        mean, scale = standardisation(np.concatenate(clips.courses))
        self._state = {"mean": mean, "scale": scale, "prior": np.log([(labels == 0).sum(), (labels == 1).sum()])}
        for label in (0, 1):
            own = [(clips.courses[at] - mean) / scale for at in np.flatnonzero(labels == label)]
            model = GaussianHMM.fit(own, self.states, seed=seed)
            self._state |= {f"{name}.{label}": value for name, value in model._asdict().items()}

    def decide(self, clips: Clips) -> Floats:
        """Log odds over the length of the course: that keeps their sign, and apart what is nearly sure."""
        mean, scale, prior = (self._floats(name) for name in ("mean", "scale", "prior"))
        courses = [(course - mean) / scale for course in clips.courses]
        told = []
        for label in (0, 1):
            model = GaussianHMM(*(self._floats(f"{name}.{label}") for name in GaussianHMM._fields))
            told.append(model.log_likelihood(courses) + prior[label])
        return (told[1] - told[0]) / np.array([len(course) for course in courses])
