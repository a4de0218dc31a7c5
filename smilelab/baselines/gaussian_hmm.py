"""Hidden Markov models with Gaussian observations, computed in logarithms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

__all__ = ["GaussianHMM"]

Array = NDArray[np.float64]

_STAYS = 0.9
_RARELY = 1e-6
_VARIANCE_FLOOR = 1e-2
_ENOUGH = 1e-4


class GaussianHMM(NamedTuple):
    """A hidden Markov model whose states emit Gaussian vectors with diagonal covariance.

    Attributes
    ----------
    start : (k,) array
        Log probability of each state in the first sample.
    transitions : (k, k) array
        Log probability of the second index after the first.
    means, variances : (k, d) arrays
    """

    start: Array
    transitions: Array
    means: Array
    variances: Array

    @classmethod
    def fit(cls, courses: Sequence[Array], states: int, *, seed: int, rounds: int = 20) -> GaussianHMM:
        """Fit by expectation maximisation, from k-means on all samples.

        Parameters
        ----------
        courses : sequence of (T, d) arrays
            Of any lengths from 1 on.
        states : int
            At most; there are no more than distinct samples.
        seed : int
            Of k-means.
        rounds : int
            At most; it ends sooner where the likelihood of a sample rises by less than 1e-4.

        Returns
        -------
        GaussianHMM
            Variances are at least a hundredth of the samples' own.

        Source: Rabiner 1989; any state may follow any other.
        """
        samples = np.concatenate(courses)
        count = min(states, len(np.unique(samples, axis=0)))
        nearest = KMeans(count, n_init=3, random_state=seed).fit(samples).labels_
        floor = np.maximum(_VARIANCE_FLOOR * samples.var(0), 1e-8)
        groups = [samples[nearest == state] for state in range(count)]
        means, variances = (np.stack([getattr(group, what)(0) for group in groups]) for what in ("mean", "var"))
        turns = np.full((count, count), (1 - _STAYS) / max(count - 1, 1))
        np.fill_diagonal(turns, _STAYS if count > 1 else 1.0)
        model = cls(np.full(count, -np.log(count)), np.log(turns), means, np.maximum(variances, floor))
        padded, known = _padded(courses)
        before = -np.inf
        for _ in range(rounds):
            likelihood, model = model._improved(padded, known, floor)
            if likelihood - before < _ENOUGH * len(samples):
                break
            before = likelihood
        return model

    def log_likelihood(self, courses: Sequence[Array]) -> Array:
        """Log likelihood (n,) of each of n courses (T, d)."""
        padded, known = _padded(courses)
        forward = self._forward(self._emissions(padded, known), known)
        return np.asarray(_log_sum(forward[:, -1], axis=1))

    def _emissions(self, padded: Array, known: NDArray[np.bool_]) -> Array:
        """(n, T, k); 0 beyond the end of a course."""
        away = (padded[:, :, None, :] - self.means) ** 2 / self.variances
        found = -0.5 * (away + np.log(2 * np.pi * self.variances)).sum(-1)
        return np.where(known[:, :, None], found, 0.0)

    def _forward(self, emissions: Array, known: NDArray[np.bool_]) -> Array:
        """(n, T, k): log probability of a course up to a sample and of the state there; constant beyond its end."""
        found = np.empty_like(emissions)
        found[:, 0] = self.start + emissions[:, 0]
        for at in range(1, emissions.shape[1]):
            moved = _log_sum(found[:, at - 1, :, None] + self.transitions, axis=1) + emissions[:, at]
            found[:, at] = np.where(known[:, at, None], moved, found[:, at - 1])
        return found

    def _backward(self, emissions: Array, known: NDArray[np.bool_]) -> Array:
        """(n, T, k): log probability of what follows a sample, given its state."""
        found = np.zeros_like(emissions)
        for at in range(emissions.shape[1] - 2, -1, -1):
            after = emissions[:, at + 1] + found[:, at + 1]
            moved = _log_sum(self.transitions + after[:, None, :], axis=2)
            found[:, at] = np.where(known[:, at + 1, None], moved, 0.0)
        return found

    def _improved(self, padded: Array, known: NDArray[np.bool_], floor: Array) -> tuple[float, GaussianHMM]:
        """Log likelihood of all courses under this model, and the model of the next round."""
        emissions = self._emissions(padded, known)
        forward, backward = self._forward(emissions, known), self._backward(emissions, known)
        whole = _log_sum(forward[:, -1], axis=1)
        share = np.exp(forward + backward - whole[:, None, None]) * known[:, :, None]
        after = (emissions + backward)[:, 1:, None, :] - whole[:, None, None, None]
        steps = np.exp(forward[:, :-1, :, None] + self.transitions + after) * known[:, 1:, None, None]
        turns = steps.sum((0, 1)) + _RARELY
        start = share[:, 0].sum(0) + _RARELY
        mass = share.sum((0, 1))[:, None] + _RARELY
        means = np.einsum("ntk,ntd->kd", share, padded) / mass
        away = (padded[:, :, None, :] - means) ** 2
        variances = np.einsum("ntk,ntkd->kd", share, away) / mass
        model = GaussianHMM(
            np.log(start / start.sum()),
            np.log(turns / turns.sum(1, keepdims=True)),
            means,
            np.maximum(variances, floor),
        )
        return float(whole.sum()), model


def _log_sum(values: Array, axis: int) -> Array:
    """Logarithm of the sum of exponentials of finite values: scipy's, without its care for infinite ones."""
    most = values.max(axis, keepdims=True)
    return np.asarray(np.log(np.exp(values - most).sum(axis)) + most.squeeze(axis))


def _padded(courses: Sequence[Array]) -> tuple[Array, NDArray[np.bool_]]:
    """Courses as one array (n, T, d), zeros beyond their ends, and where they are known (n, T)."""
    lengths = np.array([len(course) for course in courses])
    padded = np.zeros((len(courses), lengths.max(), courses[0].shape[1]))
    for row, course in zip(padded, courses, strict=True):
        row[: len(course)] = course
    return padded, np.arange(lengths.max()) < lengths[:, None]
