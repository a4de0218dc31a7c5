"""Cohn & Schmidt 2004: how far the lip corners move in the onset of a smile, and how long they take."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from smilelab.baselines import ByClip, register
from smilelab.baselines.by_clip import stacked
from smilelab.baselines.clip_samples import Extractor, FeatureError, Features, View
from smilelab.baselines.landmark_signals import LongestIn, amplitudes, at_steady_rate, checked, known_landmarks
from smilelab.baselines.machines import Floats, State
from smilelab.signals import face_coordinates, phases, smooth_4253h_twice

__all__ = ["Cohn2004", "onset"]

_UNIT = "AU12"


@register("cohn2004")
class Cohn2004(ByClip):
    """Amplitude of the onset, its duration and their ratio, told apart by a linear discriminant.

    Works on landmarks and on traces of action units, with AU12 as the amplitude.

    Parameters
    ----------
    longest_in : {"time", "signal"}
        Which increase is the onset; see `smilelab.signals.phases`.

    Raises
    ------
    ValueError
        Another value of `longest_in`.

    Source: Cohn & Schmidt 2004, "The timing of facial motion in posed and spontaneous smiles". Verified: radial
    displacement of the lip corners from their initial middle, the three measures, the linear discriminant. Our choice:
    the mean of both corners over the width of the mouth at rest, the onset as the longest continuous increase of the
    signal smoothed by 4253H, twice, and zeros where a clip has none; classes as frequent as in training.
    """

    def __init__(self, *, longest_in: LongestIn = "time") -> None:
        self.extractors = [Extractor("cohn2004", 1, _compute, longest_in=checked(longest_in))]
        self._state: State = {}

    def learn(
        self, features: list[Features], labels: NDArray[np.int64], subjects: NDArray[np.str_], *, seed: int
    ) -> None:
        """See :meth:`smilelab.baselines.ByClip.learn`; there is nothing to choose."""
        x = stacked(features, "onset")
        spread = x.std(0)
        scale = np.where(spread > 0, spread, 1.0)
        # Eigenvalues of the pooled scatter bound below: measures may be zero throughout a class.
        machine = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=1e-6).fit(x / scale, labels)
        self._state = {"weights": machine.coef_[0] / scale, "intercept": np.asarray(machine.intercept_, np.float64)}

    def decide(self, features: list[Features]) -> Floats:
        """See :meth:`smilelab.baselines.ByClip.decide`: the discriminant function."""
        if not self._state:
            raise ValueError("not fitted; call fit or load_state first")
        weights, intercept = (np.asarray(self._state[name], np.float64) for name in ("weights", "intercept"))
        return np.asarray(stacked(features, "onset") @ weights + intercept[0])

    def state(self) -> State:
        """See :meth:`smilelab.baselines.ByClip.state`."""
        return dict(self._state)

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """See :meth:`smilelab.baselines.ByClip.load_state`."""
        self._state = {name: np.asarray(state[name]) for name in ("weights", "intercept")}


def onset(amplitude: Floats, times: Floats, longest_in: LongestIn = "time") -> Floats:
    """Amplitude, duration (s) and amplitude over duration (a second) of the onset; zeros where there is none.

    Parameters
    ----------
    amplitude : (T,) array
    times : (T,) array
        s, increasing.
    longest_in : {"time", "signal"}
    """
    span = phases(amplitude, times, longest_in=longest_in).onset
    if span is None:
        return np.zeros(3)
    start, end = np.interp(span, times, smooth_4253h_twice(amplitude))
    return np.array([end - start, span[1] - span[0], (end - start) / (span[1] - span[0])])


def _compute(view: View, *, longest_in: LongestIn) -> Features:
    if view.store.has_frames:
        times, pixels = at_steady_rate(view.times, known_landmarks(view))
        amplitude = amplitudes(face_coordinates(pixels))[0].mean(0)
    else:
        if _UNIT not in view.traces:
            raise FeatureError(
                f"{view.clip_id}: found traces of {', '.join(map(str, view.traces))}; expected {_UNIT} with them."
            )
        times, amplitude = at_steady_rate(view.traces["time_s"], view.traces[_UNIT])
    return {"onset": onset(amplitude, times, longest_in)}
