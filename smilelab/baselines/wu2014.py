"""Posed against spontaneous smiles by textures of regions in the phases of a smile (Wu, Liu & Zhang 2014)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from smilelab.baselines import clbp, footage, register
from smilelab.baselines.by_clip import ByClip
from smilelab.baselines.clip_samples import Extractor, Features, View
from smilelab.baselines.kernels import KernelSum
from smilelab.baselines.landmark_signals import LongestIn, at_steady_rate, checked, signals_of
from smilelab.baselines.machines import Floats, State, inner_folds
from smilelab.preprocess.threads import one_thread
from smilelab.signals import LIP_CORNERS

__all__ = ["REGIONS", "Wu2014", "dominant", "regions", "textures"]

REGIONS = ("right eye", "left eye", "nose tip", "right lip corner", "left lip corner")
_NOSE_TIP = 30
_PATTERNS = 2 * clbp.CODES**2
Windows = NDArray[np.int64]


def regions(points: Floats, size: int, side: float) -> Windows:
    """Squares around the eyes, the nose tip and the lip corners.

    Parameters
    ----------
    points : (T, 68, 2) array
        Landmarks of the frames of one phase, px of the crops; each square stays at the median of its point.
    size : int
        Side of the crops, px.
    side : float
        Of a square, in sides of a crop.

    Returns
    -------
    (5, 4) int array
        Left, top, right, bottom (the last two exclusive), px, in the order of `REGIONS`; inside the crop.
    """
    eyes = [points[:, eye].mean(1) for eye in footage.EYES]
    middles = np.stack([*eyes, *(points[:, at] for at in (_NOSE_TIP, *LIP_CORNERS))], 1)
    width = max(round(side * size), 1)
    corner = np.rint(np.median(middles, 0) - (width - 1) / 2).astype(np.int64).clip(0, size - width)
    return np.concatenate([corner, corner + width], 1)


@one_thread()
def textures(
    view: View, *, size: int, rate: float, radii: Sequence[int], side: float, longest_in: LongestIn
) -> Features:
    """Histograms of joint codes in each phase and region.

    Parameters
    ----------
    view : View
    size : int
        Side of the crops at which textures are looked at, px.
    rate : float
        Frames per second at which they are.
    radii : sequence of int
        Px and frames (of that rate).
    side : float
        Of a region, in sides of a crop.
    longest_in : {"time", "signal"}
        See `smilelab.signals.phases`.

    Returns
    -------
    dict
        ``patterns``: (3 phases, 5 regions, 3 planes, radii, 200), shares of the joint codes of sign, magnitude and
        centre; zeros for a phase that the smile lacks.
    """
    times, points = at_steady_rate(view.times, footage.crop_points(view, size), rate)
    volume = footage.at_times(footage.grey(view.frames, size), view.times, times)
    found = np.zeros((3, len(REGIONS), len(clbp.PLANES), len(radii), _PATTERNS), np.float32)
    inside = [_within(times, phase, 0.5 / rate) for phase in signals_of(view, longest_in).phases]
    windows = [regions(points[some], size, side) if some.any() else None for some in inside]
    centre = clbp.bright(volume)
    for plane_number, plane in enumerate(clbp.PLANES):
        for radius_number, radius in enumerate(radii):
            codes = clbp.joint(clbp.codes(volume, plane, radius), centre)
            for phase, (some, squares) in enumerate(zip(inside, windows, strict=True)):
                for region, (left, top, right, bottom) in enumerate(squares if squares is not None else ()):
                    seen = codes[some, top:bottom, left:right]
                    found[phase, region, plane_number, radius_number] = clbp.shares(seen, _PATTERNS)
    return {"patterns": found.astype(np.float64)}


def dominant(histograms: Floats, share: float) -> NDArray[np.bool_]:
    """The fewest patterns of each histogram (..., P) that make up this share of it, the most frequent first."""
    order = np.argsort(-histograms, axis=-1, kind="stable")
    falling = np.take_along_axis(histograms, order, -1)
    before = np.cumsum(falling, -1) - falling
    total = histograms.sum(-1, keepdims=True)
    # Sums of shares are not exact.
    needed = (before < share * total - 1e-9) & (falling > 0)
    found = np.zeros(histograms.shape, bool)
    np.put_along_axis(found, order, needed, -1)
    return found


@register("wu2014")
class Wu2014(ByClip):
    """CLBP-TOP of regions in the phases of a smile, reduced to dominant discriminative patterns.

    Parameters
    ----------
    size : int
        Side of the crops at which textures are looked at, px.
    rate : float
        Frames per second at which they are.
    radii : sequence of int
        Of the patterns.
    side : float
        Of a region, in sides of a crop.
    shares : sequence of float
        Candidates: of a histogram, the share that its dominant patterns make up.
    agreement : float
        A pattern is a class's where it is dominant in at least so many of its clips.
    components : int
        Principal components kept.
    longest_in : {"time", "signal"}
        Whether onset and offset are what takes longest or what goes furthest; see `smilelab.signals.phases`.
    folds : int
        Inner folds by subject that choose share and constants.

    Notes
    -----
    Wu, Liu & Zhang 2014, "Spontaneous versus posed smile recognition using discriminative local spatial-temporal
    descriptors". Verified: regions from eyes, lip corners and nose tip; three temporal blocks that are the phases
    of the smile; CLBP-TOP of each; dominant discriminative patterns learned in two stages; a support vector
    machine. Our choice: the phases are those of `smilelab.signals` on the lip corners; squares of a quarter of the
    crop, each at the median place of its point in a phase; 25 frames a second, so that the video's rate does not
    matter; P = 8 and R = 1, 2, 3; joint codes of sign, magnitude and centre; the first stage takes each clip's
    dominant patterns of every block, the second those on which half the clips of a class agree, and the patterns of
    both classes are kept (after Guo et al. 2012, "Discriminative features for texture description"); square roots
    of the histograms (Hellinger); principal components of the training clips; share, kernel and constants by inner
    folds, inside of which patterns are learned anew.
    """

    def __init__(
        self,
        *,
        size: int = 96,
        rate: float = 25.0,
        radii: Sequence[int] = (1, 2, 3),
        side: float = 0.25,
        shares: Sequence[float] = (0.9, 0.8),
        agreement: float = 0.5,
        components: int = 64,
        longest_in: LongestIn = "time",
        folds: int = 5,
    ) -> None:
        if not radii or min(radii) < 1:
            raise ValueError(f"radii are {radii!r}; expected whole numbers from 1")
        if not shares or not all(0 < share <= 1 for share in shares):
            raise ValueError(f"shares are {shares!r}; expected numbers above 0, up to 1")
        for name, value in (("side", side), ("agreement", agreement)):
            if not 0 < value <= 1:
                raise ValueError(f"{name} is {value!r}; expected a number above 0, up to 1")
        if not rate > 0:
            raise ValueError(f"rate is {rate!r}; expected frames per second")
        options = {"size": size, "rate": float(rate), "radii": [*radii], "side": float(side)}
        self.extractors = [Extractor("clbp-regions", 1, textures, **options, longest_in=checked(longest_in))]
        self.shares, self.agreement, self.folds = tuple(shares), agreement, folds
        self._machine = KernelSum(components=components)
        self._kept = np.empty(0, np.int64)

    def learn(
        self, features: list[Features], labels: NDArray[np.int64], subjects: NDArray[np.str_], *, seed: int
    ) -> None:
        """See :meth:`smilelab.baselines.ByClip.learn`."""
        histograms = np.stack([clip["patterns"] for clip in features])
        flat = np.sqrt(histograms.reshape(len(histograms), -1))
        masks = [dominant(histograms, share).reshape(len(histograms), -1) for share in self.shares]

        def kept(number: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
            of_class = [masks[number][rows[labels[rows] == label]].mean(0) >= self.agreement for label in (0, 1)]
            found = np.flatnonzero(of_class[0] | of_class[1])
            return found if len(found) else np.arange(flat.shape[1])

        def variant(number: int, rows: NDArray[np.int64]) -> list[Floats]:
            return [flat[:, kept(number, rows)]]

        folds = inner_folds(labels, subjects, count=self.folds, seed=seed)
        variants = [lambda rows, number=number: variant(number, rows) for number in range(len(masks))]
        choice = self._machine.choose(variants, labels, folds, seed=seed)
        self._kept = kept(choice.variant, np.arange(len(labels)))
        self._machine.fit([flat[:, self._kept]], labels, choice.candidate, seed=seed)

    def decide(self, features: list[Features]) -> Floats:
        """See :meth:`smilelab.baselines.ByClip.decide`."""
        flat = np.sqrt(np.stack([np.ravel(clip["patterns"]) for clip in features]))
        return self._machine.decide([flat[:, self._kept]])

    def state(self) -> State:
        """See :meth:`smilelab.baselines.ByClip.state`."""
        return {"kept": self._kept, **self._machine.state("svm.")}

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """See :meth:`smilelab.baselines.ByClip.load_state`."""
        self._kept = np.asarray(state["kept"], np.int64)
        self._machine.load_state(state, "svm.")


def _within(times: Floats, phase: tuple[float, float] | None, slack: float) -> NDArray[np.bool_]:
    """Which frames belong to a phase, those nearest to its ends among them."""
    if phase is None:
        return np.zeros(len(times), bool)
    return np.asarray((times >= phase[0] - slack) & (times <= phase[1] + slack))
