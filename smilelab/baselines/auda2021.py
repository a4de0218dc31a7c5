"""AUDA (Kawulok 2021): how action units change over a smile, alone and against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from smilelab.baselines import ByClip, register
from smilelab.baselines.au_features import RANGES, of_clip
from smilelab.baselines.by_clip import stacked
from smilelab.baselines.clip_samples import Extractor, FeatureError, Features, View
from smilelab.baselines.landmark_signals import at_steady_rate
from smilelab.baselines.machines import Floats, State, SupportVectors
from smilelab.baselines.stacking import StackedVectors
from smilelab.preprocess.traces import RATE, UNITS

__all__ = ["PIECES", "Auda2021", "Piece"]


class Piece(NamedTuple):
    """A part of the method that was published by itself: its vectors, and of which units."""

    vectors: tuple[str, ...]
    units: tuple[str, ...]


_LAST_COSTS, _LAST_WIDTHS = (0.01, 0.1, 1.0), (0.1, 1.0)
_AU_WISE = tuple(f"au_{name}" for name in RANGES)
_CROSS_AU = tuple(f"cross_{name}" for name in RANGES)
PIECES = {
    "ensemble": Piece((*_AU_WISE, *_CROSS_AU), UNITS),
    "au-wise whole": Piece(("au_whole",), UNITS),
    "au-wise": Piece(_AU_WISE, UNITS),
    "cross-au": Piece(_CROSS_AU, UNITS),
    "onset": Piece(("au_onset",), UNITS),
    "apex": Piece(("au_apex",), UNITS),
    "au12": Piece(("au_whole",), ("AU12",)),
}


@register("auda2021")
class Auda2021(ByClip):
    """Support vector machines on dynamics of 17 action units over a smile and its phases, and one on their decisions.

    Works on traces of action units alone.

    Parameters
    ----------
    piece : str
        One of :data:`PIECES`: the whole method ("ensemble") or a part that was published by itself.
    eliminate : bool
        Choose the features of each vector by recursive elimination, on a validation part of the clips that are learned
        from.
    costs, widths : sequence of float
        Candidates for the constants of each vector's machine; see `smilelab.baselines.machines.SupportVectors`.
    folds : int
        Inner folds, by subject.

    Raises
    ------
    ValueError
        An unknown piece.

    Source: Kawulok et al. 2021, "Dynamics of facial actions for assessing smile genuineness", and the description of
    its public data (Harvard Dataverse, doi:10.7910/DVN/X5QGLA). Verified: running median over 3 frames; slopes over 9
    and 27 frames at 50 a second, their slopes, r-adjusted slopes; the phases; the 119 features of each unit and the
    1088 of each pair; 4 ranges and so 8 vectors, each standardised, with a radial machine each; a polynomial machine
    on the 8 decisions.

    Our choice: traces of other rates are interpolated to 50 frames per second, so that windows last as long; smile
    intensity from AU06 and AU12, no frame being labelled smile or no smile; of several smiles the largest; the whole
    clip where there is no smile, and zeros for a phase that is missing; degree 3; the last machine learns from
    decisions on clips of subjects that the others were not trained on; "onset" and "apex" mean the 119 features of
    that range, and "au12" those of AU12 over the whole smile; all settings of the elimination.
    """

    revision = 2

    def __init__(
        self,
        *,
        piece: str = "ensemble",
        eliminate: bool = False,
        costs: Sequence[float] = (0.1, 1.0, 10.0, 100.0),
        widths: Sequence[float] = (0.1, 1.0, 10.0),
        folds: int = 5,
    ) -> None:
        if piece not in PIECES:
            raise ValueError(f"piece is {piece!r}; expected one of {', '.join(PIECES)}")
        self.extractors = [Extractor("auda2021", 2, _compute)]
        self.piece = PIECES[piece]
        self.machines = {
            name: StackedVectors(costs=costs, widths=widths, folds=folds, eliminate=eliminate)
            for name in self.piece.vectors
        }
        self.last = SupportVectors("poly", costs=_LAST_COSTS, widths=_LAST_WIDTHS, folds=folds)

    def learn(
        self, features: list[Features], labels: NDArray[np.int64], subjects: NDArray[np.str_], *, seed: int
    ) -> None:
        """See :meth:`smilelab.baselines.ByClip.learn`."""
        for name, machine in self.machines.items():
            machine.fit(self._vectors(features, name), labels, subjects, seed=seed)
        if len(self.machines) > 1:
            decisions = np.stack([machine.out_of_fold for machine in self.machines.values()], axis=1)
            self.last.fit(decisions, labels, subjects, seed=seed)

    def decide(self, features: list[Features]) -> Floats:
        """See :meth:`smilelab.baselines.ByClip.decide`."""
        decisions = np.stack(
            [machine.decide(self._vectors(features, name)) for name, machine in self.machines.items()], axis=1
        )
        return self.last.decide(decisions) if len(self.machines) > 1 else decisions[:, 0]

    def state(self) -> State:
        """See :meth:`smilelab.baselines.ByClip.state`."""
        found: State = {}
        for name, machine in self.machines.items():
            found |= machine.state(f"{name}_")
        return found | self.last.state("last_")

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """See :meth:`smilelab.baselines.ByClip.load_state`."""
        for name, machine in self.machines.items():
            machine.load_state(state, f"{name}_")
        if len(self.machines) > 1:
            self.last.load_state(state, "last_")

    def _vectors(self, features: Sequence[Features], name: str) -> Floats:
        if self.piece.units == UNITS:
            return stacked(features, name)
        columns = [UNITS.index(unit) for unit in self.piece.units]
        return np.stack([clip[name][:, columns].ravel() for clip in features])


def _compute(view: View) -> Features:
    traces = view.traces
    if missing := [unit for unit in UNITS if unit not in traces]:
        found = ", ".join(map(str, traces.columns))
        raise FeatureError(f"{view.clip_id}: found traces of {found}; expected {', '.join(missing)} with them.")
    _, even = at_steady_rate(traces["time_s"], traces[list(UNITS)], RATE)
    return dict(of_clip(even, UNITS, RATE))
