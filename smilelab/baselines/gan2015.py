"""Posed against spontaneous expressions by a deep network of binary units on apex minus onset (Gan et al. 2015)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.neural_network import BernoulliRBM

from smilelab.baselines import footage, register
from smilelab.baselines.by_clip import ByClip, stacked
from smilelab.baselines.clip_samples import Extractor, Features, View
from smilelab.baselines.kernels import KernelSum
from smilelab.baselines.landmark_signals import LongestIn, checked, signals_of, start_and_top
from smilelab.baselines.machines import Floats, State, inner_folds
from smilelab.preprocess.threads import one_thread

__all__ = ["Gan2015", "change"]


@one_thread()
def change(view: View, *, size: int, span: float, longest_in: LongestIn) -> Features:
    """Apex minus onset of a face.

    Parameters
    ----------
    view : View
    size : int
        Side of the pictures, px.
    span : float
        So many seconds about either moment are averaged.
    longest_in : {"time", "signal"}
        See `smilelab.signals.phases`.

    Returns
    -------
    dict
        ``change`` (size, size): grey levels as a share of white, between -1 and 1. The onset is where the lip
        corners' longest rise begins, or the first frame where they do not rise, the apex where they are farthest out
        from there on.
    """
    found = signals_of(view, longest_in)
    before, after = (_about(view, float(found.times[at]), span) for at in start_and_top(found))
    small = cv2.resize((after - before) / 255, (size, size), interpolation=cv2.INTER_AREA)
    return {"change": small.astype(np.float64)}


def _about(view: View, moment: float, span: float) -> NDArray[np.float32]:
    """Mean grey frame about a moment, of the nearest frame at least."""
    away = np.abs(view.times - moment)
    near = np.flatnonzero((away <= span / 2 + 1e-9) | (away == away.min()))
    return np.asarray(footage.grey(view.frames[near], view.frames.shape[1]).mean(0, dtype=np.float32))


@register("gan2015")
class Gan2015(ByClip):
    """Two stacked restricted Boltzmann machines on the picture apex minus onset, and a linear machine on top.

    Parameters
    ----------
    size : int
        Side of the pictures, px.
    span : float
        Seconds about apex and onset that are averaged.
    limit : float
        Change, as a share of white, that counts as full.
    units : sequence of int
        Hidden units of each layer, from below.
    passes : int
        Over the training clips, for each layer.
    learning_rate : float
        Of both layers.
    batch : int
        Clips a step.
    longest_in : {"time", "signal"}
        Whether the onset is the rise that takes longest or that goes furthest; see `smilelab.signals.phases`.
    folds : int
        Inner folds by subject that choose the linear machine's constant.

    Notes
    -----
    Gan, Wu, Wang & Ji 2015, "Posed and spontaneous facial expression differentiation using deep Boltzmann
    machines". Verified: differences of face images, apex minus onset; a deep Boltzmann machine of two layers. Our
    choice: apex and onset from the lip corners; brightening and darkening apart, as two pictures of 32 x 32 of
    values from 0 to 1; layers trained one after the other as restricted Boltzmann machines (scikit-learn's),
    without the joint training of a deep Boltzmann machine and with one network for both classes; a linear support
    vector machine on the activations. The layers see no class; the machine's constant is chosen by inner folds.
    """

    revision = 2

    def __init__(
        self,
        *,
        size: int = 32,
        span: float = 0.12,
        limit: float = 0.25,
        units: Sequence[int] = (128, 64),
        passes: int = 60,
        learning_rate: float = 0.1,
        batch: int = 10,
        longest_in: LongestIn = "time",
        folds: int = 5,
    ) -> None:
        if not units or min(*units, size, passes, batch) < 1:
            raise ValueError(f"found units {units!r}, size {size}, passes {passes}, batch {batch}; expected 1 at least")
        if not limit > 0 or not learning_rate > 0 or span < 0:
            raise ValueError(f"found limit {limit!r}, learning_rate {learning_rate!r}, span {span!r}; expected above 0")
        options = {"size": size, "span": float(span), "longest_in": checked(longest_in)}
        self.extractors = [Extractor("apex-minus-onset", 2, change, **options)]
        self.limit, self.units = limit, tuple(units)
        self.passes, self.learning_rate, self.batch = passes, learning_rate, batch
        self._layers: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
        self.folds = folds
        # Activations share a unit: standardised, one that hardly varies in training would count beyond all measure.
        self._machine = KernelSum(components=min(units), kernels=("linear",), costs=(1.0, 10.0, 100.0, 0.1))

    def learn(
        self, features: list[Features], labels: NDArray[np.int64], subjects: NDArray[np.str_], *, seed: int
    ) -> None:
        """See :meth:`smilelab.baselines.ByClip.learn`."""
        values = self._visible(features)
        self._layers = []
        for number, count in enumerate(self.units):
            machine = BernoulliRBM(
                count,
                learning_rate=self.learning_rate,
                batch_size=self.batch,
                n_iter=self.passes,
                random_state=np.random.RandomState([seed, number]),
            ).fit(values)
            weights = np.ascontiguousarray(machine.components_, np.float32)
            layer = (weights, machine.intercept_hidden_.astype(np.float32))
            self._layers.append(layer)
            values = _activation(values, layer)
        folds = inner_folds(labels, subjects, count=self.folds, seed=seed)
        choice = self._machine.choose([lambda _: [values]], labels, folds, seed=seed)
        self._machine.fit([values], labels, choice.candidate, seed=seed)

    def decide(self, features: list[Features]) -> Floats:
        """See :meth:`smilelab.baselines.ByClip.decide`."""
        values = self._visible(features)
        for layer in self._layers:
            values = _activation(values, layer)
        return self._machine.decide([values])

    def state(self) -> State:
        """See :meth:`smilelab.baselines.ByClip.state`."""
        layers = {
            f"layer{number}.{name}": value
            for number, layer in enumerate(self._layers)
            for name, value in zip(("weights", "offsets"), layer, strict=True)
        }
        return {**layers, **self._machine.state("svm.")}

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """See :meth:`smilelab.baselines.ByClip.load_state`."""
        self._layers = [
            (
                np.asarray(state[f"layer{number}.weights"], np.float32),
                np.asarray(state[f"layer{number}.offsets"], np.float32),
            )
            for number in range(len(self.units))
        ]
        self._machine.load_state(state, "svm.")

    def _visible(self, features: list[Features]) -> Floats:
        """Brightening and darkening (n, 2 size²), 0 to 1."""
        moved = stacked(features, "change") / self.limit
        return np.concatenate([moved.clip(0, 1), (-moved).clip(0, 1)], 1)


def _activation(values: Floats, layer: tuple[NDArray[np.float32], NDArray[np.float32]]) -> Floats:
    weights, offsets = (part.astype(np.float64) for part in layer)
    return np.asarray(expit(values @ weights.T + offsets))
