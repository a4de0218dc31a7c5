"""Smiles by descriptors of each frame and their course over the clip (Mandal, Lee & Ouarti 2016)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from skimage.feature import hog

from smilelab.baselines import courses, footage, local_phase, magnification, motion, register
from smilelab.baselines.by_clip import ByClip, stacked
from smilelab.baselines.clip_samples import Extractor, Features, View
from smilelab.baselines.kernels import Groups, KernelSum
from smilelab.baselines.machines import Floats, State, inner_folds
from smilelab.preprocess.threads import one_thread

__all__ = ["BAND_HZ", "FAMILIES", "TOGETHER", "Mandal2016", "descriptors"]

FAMILIES = ("hog", "lpq", "flow")
TOGETHER = "all"
BAND_HZ = (0.4, 3.0)
_CELLS, _ORIENTATIONS, _LPQ_BLOCKS, _FLOW_BLOCKS = 6, 9, 3, 4
Image = NDArray[np.uint8]
Singles = NDArray[np.float32]


@one_thread()
def descriptors(
    view: View,
    *,
    size: int,
    rate: float,
    coefficients: int,
    decorrelated: bool,
    magnify: float,
    band: magnification.Band,
) -> Features:
    """Cosine coefficients of HOG, LPQ and flow histograms over a clip.

    Parameters
    ----------
    view : View
    size : int
        Side of the crops that are described, px.
    rate : float
        Frames per second at most.
    coefficients : int
        Kept of each dimension.
    decorrelated : bool
        See `local_phase.filters`.
    magnify : float
        How many times what varies within `BAND_HZ` is added; 0 leaves the clip as it is.
    band : {"butterworth", "ideal"}
        See `magnification.within_band`.

    Returns
    -------
    dict
        ``hog`` (coefficients, 900), ``lpq`` (coefficients, 9 blocks, 256), ``flow`` (coefficients, 16 blocks, 8; sides
        of the crop a second).
    """
    kept = footage.thinned(view.times, rate)
    times = view.times[kept]
    frames = footage.grey(view.frames[kept], size)
    if magnify and len(frames) > 1:
        frames = magnification.magnified(frames, (len(times) - 1) / (times[-1] - times[0]), magnify, BAND_HZ, band)
    between = (times[1:] + times[:-1]) / 2 if len(times) > 1 else times
    described = {"hog": _hog(frames), "lpq": _lpq(frames, decorrelated), "flow": _flow(frames, times, size)}
    return {
        name: courses.cosines(values, between if name == "flow" else times, coefficients)
        for name, values in described.items()
    }


def _hog(frames: Image) -> Singles:
    cell = (frames.shape[1] // _CELLS,) * 2
    found = [hog(frame, _ORIENTATIONS, pixels_per_cell=cell, cells_per_block=(2, 2)) for frame in frames]
    return np.asarray(found, np.float32)


def _lpq(frames: Image, decorrelated: bool) -> Singles:
    found = np.zeros((len(frames), _LPQ_BLOCKS**2, local_phase.CODES), np.float32)
    for number, frame in enumerate(frames):
        codes = local_phase.codes(frame, decorrelated=decorrelated)
        blocks = [block for row in np.array_split(codes, _LPQ_BLOCKS) for block in np.array_split(row, _LPQ_BLOCKS, 1)]
        for which, block in enumerate(blocks):
            found[number, which] = np.bincount(block.ravel(), minlength=local_phase.CODES) / block.size
    return found


def _flow(frames: Image, times: Floats, size: int) -> Singles:
    fields = motion.velocities(frames, times, size)
    blocks = [
        block for rows in np.array_split(fields, _FLOW_BLOCKS, 2) for block in np.array_split(rows, _FLOW_BLOCKS, 3)
    ]
    return np.stack([motion.directed_speeds(block) for block in blocks], 1)


@register("mandal2016")
class Mandal2016(ByClip):
    """HOG, LPQ or flow histograms of every frame, their course by cosine coefficients, and a support vector machine.

    Parameters
    ----------
    size : int
        Side of the crops that are described, px.
    rate : float
        Frames per second at most; speeds are by time, and so are courses.
    coefficients : int
        Cosine coefficients kept of each dimension.
    families : sequence of {"hog", "lpq", "flow", "all"}
        Candidates; all is the equal sum of the three's kernels.
    decorrelated : bool
        Decorrelate the Fourier coefficients of LPQ before their signs are taken.
    magnify : float
        Eulerian magnification of 0.4 to 3 Hz by this factor before anything is described; 0 for none.
    band : {"butterworth", "ideal"}
        Filter of the magnification.
    components : int
        Principal components kept of each family.
    folds : int
        Inner folds by subject that choose family and constants.

    Notes
    -----
    Mandal, Lee & Ouarti 2016, "Distinguishing posed and spontaneous smiles by facial dynamics". Verified: per frame
    LPQ, HOG and flow histograms; optional Eulerian magnification, which gained nothing there; the first
    coefficients of a cosine transform over time for a fixed length; a support vector machine; HOG was best.
    Features of a face network (VGG-Face) are left out: its weights are hundreds of megabytes under a licence of
    their own, and none are shipped or fetched here. Our choice: HOG of 9 orientations in 6 x 6 cells; LPQ of 7 x 7
    px in 3 x 3 blocks; Farneback's flow in 4 x 4 blocks, by 8 directions; 10 coefficients; magnification in one
    spatial scale; each dimension standardised, and principal components of the training clips; family, kernel and
    constants by inner folds.
    """

    revision = 2

    def __init__(
        self,
        *,
        size: int = 96,
        rate: float = 25.0,
        coefficients: int = 10,
        families: Sequence[str] = (*FAMILIES, TOGETHER),
        decorrelated: bool = True,
        magnify: float = 0.0,
        band: magnification.Band = "butterworth",
        components: int = 48,
        folds: int = 5,
    ) -> None:
        if not families or set(families) - {*FAMILIES, TOGETHER}:
            raise ValueError(f"families are {families!r}; expected some of {', '.join((*FAMILIES, TOGETHER))}")
        if band not in magnification.BANDS:
            raise ValueError(f"band is {band!r}; expected one of {', '.join(magnification.BANDS)}")
        if not 1 <= coefficients <= 100:
            raise ValueError(f"coefficients is {coefficients!r}; expected a whole number from 1 to 100")
        if not rate > 0 or magnify < 0 or size < 2 * _CELLS:
            raise ValueError(
                f"found rate {rate!r}, magnify {magnify!r}, size {size!r}; expected frames per second, no negative "
                f"factor and {2 * _CELLS} px at least"
            )
        options = {"size": size, "rate": float(rate), "coefficients": coefficients, "decorrelated": decorrelated}
        magnifying = {"magnify": float(magnify), "band": band}
        self.extractors = [Extractor("frame-descriptors", 2, descriptors, **options, **magnifying)]
        self.families, self.folds = tuple(families), folds
        self._machine = KernelSum(components=components, standardise=True)
        self._family = 0

    def learn(
        self, features: list[Features], labels: NDArray[np.int64], subjects: NDArray[np.str_], *, seed: int
    ) -> None:
        """See :meth:`smilelab.baselines.ByClip.learn`."""
        groups = [self._groups(features, number) for number in range(len(self.families))]
        variants: list[Callable[[NDArray[np.int64]], Groups]] = [lambda _, own=own: own for own in groups]  # type: ignore[misc]
        folds = inner_folds(labels, subjects, count=self.folds, seed=seed)
        choice = self._machine.choose(variants, labels, folds, seed=seed)
        self._family = choice.variant
        self._machine.fit(groups[self._family], labels, choice.candidate, seed=seed)

    def decide(self, features: list[Features]) -> Floats:
        """See :meth:`smilelab.baselines.ByClip.decide`."""
        return self._machine.decide(self._groups(features, self._family))

    def state(self) -> State:
        """See :meth:`smilelab.baselines.ByClip.state`."""
        return {"family": np.array([self._family]), **self._machine.state("svm.")}

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """See :meth:`smilelab.baselines.ByClip.load_state`."""
        self._family = int(state["family"][0])
        self._machine.load_state(state, "svm.")

    def _groups(self, features: list[Features], number: int) -> list[Floats]:
        family = self.families[number]
        return [stacked(features, name) for name in (FAMILIES if family == TOGETHER else (family,))]
