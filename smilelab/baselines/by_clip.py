"""What methods on features of whole clips share: features once a clip, learning on rows, decisions as probabilities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from smilelab.baselines.clip_samples import ClipSamples, Extractor, Features
from smilelab.baselines.machines import Floats, State

__all__ = ["ByClip", "stacked"]


class ByClip(ABC):
    """A baseline that sees each clip only through features that are computed without its class.

    A subclass names its :attr:`extractors`, learns from what they give, and decides. A decision value is positive for
    spontaneous; the score is its logistic function, which keeps the order and the threshold and is not calibrated.
    Whenever it comes to give other results, it raises its `revision`, and an extractor its version.
    """

    takes = "clips"
    revision = 1
    extractors: Sequence[Extractor]

    @abstractmethod
    def learn(
        self, features: list[Features], labels: NDArray[np.int64], subjects: NDArray[np.str_], *, seed: int
    ) -> None:
        """Learn from training clips; every choice is made inside them.

        Parameters
        ----------
        features : list of dict
            Of each clip, what all extractors give.
        labels : int (n,)
        subjects : str (n,)
            For inner folds.
        seed : int
        """

    @abstractmethod
    def decide(self, features: list[Features]) -> Floats:
        """Decision values (n,)."""

    @abstractmethod
    def state(self) -> State:
        """Everything that was fitted, as arrays."""

    @abstractmethod
    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over what a baseline with the same options was fitted to."""

    def fit(self, samples: ClipSamples, labels: ArrayLike, *, seed: int) -> None:
        """See :meth:`smilelab.baselines.Baseline.fit`."""
        subjects = samples.table["subject"].to_numpy(str)
        self.learn(self._features(samples), np.asarray(labels, np.int64), subjects, seed=seed)

    def score(self, samples: ClipSamples) -> Floats:
        """See :meth:`smilelab.baselines.Baseline.score`."""
        return np.asarray(expit(self.decide(self._features(samples))), np.float64) if len(samples) else np.empty(0)

    def _features(self, samples: ClipSamples) -> list[Features]:
        found: list[Features] = [{} for _ in range(len(samples))]
        for extractor in self.extractors:
            for own, more in zip(found, samples.features(extractor), strict=True):
                if twice := own.keys() & more.keys():
                    raise ValueError(f"two extractors give {min(twice)!r}; expected other names")
                own |= more
        return found


def stacked(features: Sequence[Features], *names: str) -> Floats:
    """Named features of all clips, each flattened, side by side (n, d); all in the order of their names by default."""
    chosen = names or sorted(features[0])
    return np.stack([np.concatenate([np.ravel(clip[name]) for name in chosen]) for clip in features])
