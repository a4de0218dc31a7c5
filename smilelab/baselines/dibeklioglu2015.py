"""Dibeklioglu et al. 2015: statistics of lip, eyelid and cheek movements in each phase of a smile."""

from __future__ import annotations

from collections.abc import Sequence

from smilelab.baselines import mrmr, register
from smilelab.baselines.clip_samples import Extractor, Features, View
from smilelab.baselines.fusion import FusedByClip, FusedMachines
from smilelab.baselines.landmark_signals import SIGNALS, LongestIn, checked, signals_of
from smilelab.baselines.phase_features import statistics

__all__ = ["Dibeklioglu2015"]


@register("dibeklioglu2015")
class Dibeklioglu2015(FusedByClip):
    """The 225 statistics, selected by mRMR for one support vector machine a region, their decisions fused.

    Parameters
    ----------
    longest_in : {"time", "signal"}
        Which increase is the onset and which decrease the offset; see `smilelab.signals.phases`.
    counts : sequence of int
        Candidates for the number of features a region, out of its 75.
    costs, widths : sequence of float
        Candidates of the machines, see `smilelab.baselines.machines.SupportVectors`.
    rules : sequence of {"sum", "product", "vote"}
        Candidates for the fusion.
    folds : int
        Inner folds by subject, by which all of these are chosen.

    Raises
    ------
    ValueError
        An unknown value.

    Source: Dibeklioglu, Salah & Gevers 2012 and 2015. Verified: the signals, the phases, the 25 statistics a signal and
    phase, mRMR, one SVM a region, mid-level fusion by sum, product or vote. Our choice: landmarks of dlib in place of
    tracked ones, cheek points, the mutual information in three levels (`smilelab.baselines.mrmr`), the RBF kernel, and
    that everything is chosen by inner folds.
    """

    def __init__(
        self,
        *,
        longest_in: LongestIn = "time",
        counts: Sequence[int] = (10, 25, 50),
        costs: Sequence[float] = (1.0, 10.0, 100.0),
        widths: Sequence[float] = (0.1, 1.0),
        rules: Sequence[str] = ("sum", "product", "vote"),
        folds: int = 5,
    ) -> None:
        self.extractors = [Extractor("dibeklioglu2015", 1, _compute, longest_in=checked(longest_in))]
        self.machines = FusedMachines(
            SIGNALS, rules=rules, rank=mrmr.rank, counts=counts, costs=costs, widths=widths, folds=folds
        )


def _compute(view: View, *, longest_in: LongestIn) -> Features:
    clip = signals_of(view, longest_in)
    of_region = statistics(clip.sides, clip.times, clip.phases).reshape(len(SIGNALS), -1)
    return dict(zip(SIGNALS, of_region, strict=True))
