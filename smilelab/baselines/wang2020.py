"""Wang et al. 2020: where the points of a face move to, as each class of smiles would have it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import multivariate_normal
from sklearn.decomposition import FactorAnalysis

from smilelab.baselines import ByClip, register
from smilelab.baselines.by_clip import stacked
from smilelab.baselines.clip_samples import Extractor, Features, View
from smilelab.baselines.landmark_signals import LandmarkSignals, LongestIn, checked, signals_of, start_and_top
from smilelab.baselines.machines import Floats, State, inner_folds

__all__ = ["Wang2020", "displacement"]

# Brows, nose, eyes and lips; dlib's jaw follows the edge of the face, not the skin.
_INNER = slice(17, 68)


@register("wang2020")
class Wang2020(ByClip):
    """Displacement of landmarks from onset to apex; a generative model a class, and the larger likelihood wins.

    Parameters
    ----------
    longest_in : {"time", "signal"}
        Which increase of the lip corners is the onset; see `smilelab.signals.phases`.
    factors : sequence of int
        Candidates for the number of latent factors of each class.
    floors : sequence of float
        Candidates for the least noise of a coordinate, in its variance over all training clips.
    folds : int
        Inner folds by subject. The candidate with the most correct clips wins, of equal ones the first.

    Raises
    ------
    ValueError
        A value out of range, or no candidate.

    Source: Wang et al. 2020. Verified: displacement patterns of facial points between onset and apex, a model of them
    for each class, the larger likelihood wins. Our choice: factor analysis in the place of a latent regression Bayesian
    network, which has the same latent causes but no likelihood in closed form; 51 points; the floor of the noise,
    without which a class of few clips would be too sure of itself.
    """

    def __init__(
        self,
        *,
        longest_in: LongestIn = "time",
        factors: Sequence[int] = (1, 2, 4, 8),
        floors: Sequence[float] = (0.1, 0.3),
        folds: int = 5,
    ) -> None:
        if not factors or not floors or min(factors) < 1 or min(floors) <= 0:
            raise ValueError(
                f"factors are {factors!r} and floors {floors!r}; expected whole numbers from 1, and numbers above 0"
            )
        self.extractors = [Extractor("wang2020", 1, _compute, longest_in=checked(longest_in))]
        self.candidates = list(itertools.product(factors, floors))
        self.folds = folds
        self._state: State = {}

    def learn(
        self, features: list[Features], labels: NDArray[np.int64], subjects: NDArray[np.str_], *, seed: int
    ) -> None:
        """See :meth:`smilelab.baselines.ByClip.learn`."""
        x = stacked(features, "displacement")
        correct = np.zeros(len(self.candidates))
        for train, test in inner_folds(labels, subjects, count=self.folds, seed=seed):
            for number, candidate in enumerate(self.candidates):
                state = _fitted(x[train], labels[train], *candidate)
                correct[number] += ((_told(state, x[test]) > 0) == (labels[test] == 1)).sum()
        self._state = _fitted(x, labels, *self.candidates[int(np.argmax(correct))])

    def decide(self, features: list[Features]) -> Floats:
        """See :meth:`smilelab.baselines.ByClip.decide`: difference of both log likelihoods over the coordinates."""
        if not self._state:
            raise ValueError("not fitted; call fit or load_state first")
        return _told(self._state, stacked(features, "displacement"))

    def state(self) -> State:
        """See :meth:`smilelab.baselines.ByClip.state`."""
        return dict(self._state)

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """See :meth:`smilelab.baselines.ByClip.load_state`."""
        names = ("mean", "scale", *(f"{what}.{label}" for label in (0, 1) for what in ("mean", "loadings", "noise")))
        self._state = {name: np.asarray(state[name]) for name in names}


def displacement(clip: LandmarkSignals) -> Floats:
    """Where 51 points have moved between the start of the onset and the widest smile after it.

    Parameters
    ----------
    clip : LandmarkSignals

    Returns
    -------
    (51, 2) array
        To the subject's left and downwards, in distances between the eye centres. A clip without an onset is taken
        from its first sample.
    """
    start, top = start_and_top(clip)
    return np.asarray((clip.points[top] - clip.points[start])[_INNER])


def _compute(view: View, *, longest_in: LongestIn) -> Features:
    return {"displacement": displacement(signals_of(view, longest_in))}


def _fitted(x: Floats, labels: NDArray[np.int64], factors: int, floor: float) -> State:
    spread = x.std(0)
    mean, scale = x.mean(0), np.where(spread > 1e-12, spread, 1.0)
    state: State = {"mean": mean, "scale": scale}
    for label in (0, 1):
        own = ((x - mean) / scale)[labels == label]
        model = FactorAnalysis(min(factors, max(len(own) - 1, 1)), svd_method="lapack").fit(own)
        noise = np.maximum(model.noise_variance_, floor)
        state |= {f"mean.{label}": model.mean_, f"loadings.{label}": model.components_, f"noise.{label}": noise}
    return state


def _told(state: State, x: Floats) -> Floats:
    known = {name: np.asarray(value, np.float64) for name, value in state.items()}
    rows = (x - known["mean"]) / known["scale"]
    posed, spontaneous = (
        multivariate_normal(
            known[f"mean.{label}"],
            known[f"loadings.{label}"].T @ known[f"loadings.{label}"] + np.diag(known[f"noise.{label}"]),
        ).logpdf(rows)
        for label in (0, 1)
    )
    return np.atleast_1d(np.asarray(spontaneous - posed, np.float64)) / x.shape[1]
