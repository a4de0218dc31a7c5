"""Spontaneous against posed smiles by completed local binary patterns on three planes (Pfister et al. 2011)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from smilelab.baselines import clbp, footage, register
from smilelab.baselines.by_clip import ByClip, stacked
from smilelab.baselines.clip_samples import Extractor, Features, View
from smilelab.baselines.forest import Forest
from smilelab.baselines.kernels import WEIGHTINGS, KernelSum
from smilelab.baselines.machines import Floats, State, inner_folds
from smilelab.preprocess.threads import one_thread

__all__ = ["MACHINES", "Pfister2011", "texture"]

MACHINES = ("svm", "kernels", "forest")
# Of CLBP_S/M_C: signs, then magnitudes by the centre.
_CODES = clbp.CODES + 2 * clbp.CODES


@one_thread()
def texture(view: View, *, size: int, frames: int, radii: Sequence[int], blocks: Sequence[int], parts: int) -> Features:
    """Histograms of a clip's codes in blocks, one array a plane and radius.

    Parameters
    ----------
    view : View
    size : int
        Side of the crops at which textures are looked at, px.
    frames : int
        To which the clip is stretched or shrunk.
    radii : sequence of int
        Px and (stretched) frames.
    blocks : (int, int)
        Rows and columns of blocks.
    parts : int
        Of the time.

    Returns
    -------
    dict
        By names such as ``XT2``, each (parts, rows, columns, 30): shares of the 10 codes of signs, then of the 10 of
        magnitudes where the centre is dark, and where it is bright.
    """
    volume = footage.at_times(footage.grey(view.frames, size), view.times, footage.even_times(view.times, frames))
    centre = clbp.bright(volume)
    found: Features = {}
    for plane in clbp.PLANES:
        for radius in radii:
            codes = clbp.codes(volume, plane, radius)
            both = codes.magnitudes * np.uint8(2) + centre
            found[f"{plane}{radius}"] = np.concatenate(
                [_by_block(codes.signs, clbp.CODES, parts, blocks), _by_block(both, 2 * clbp.CODES, parts, blocks)], -1
            ).astype(np.float32)
    return found


def _by_block(codes: NDArray[np.uint8], count: int, parts: int, blocks: Sequence[int]) -> Floats:
    """Shares (parts, rows, columns, count) of codes in blocks as equal as whole pixels allow."""
    numbers = [np.arange(n) * k // n for n, k in zip(codes.shape, (parts, *blocks), strict=True)]
    block = (numbers[0][:, None, None] * blocks[0] + numbers[1][:, None]) * blocks[1] + numbers[2]
    total = parts * blocks[0] * blocks[1]
    found = np.bincount((block * count + codes).ravel(), minlength=total * count)
    found = found.reshape(parts, *blocks, count)
    return np.asarray(found / found.sum(-1, keepdims=True))


@register("pfister2011")
class Pfister2011(ByClip):
    """CLBP-TOP of the whole face, and whichever of three machines does best within the training clips.

    Parameters
    ----------
    size : int
        Side of the crops at which textures are looked at, px.
    frames : int
        To which each clip is interpolated over time.
    radii : sequence of int
        Of the patterns.
    blocks : (int, int)
        Rows and columns of blocks.
    parts : int
        Of the time.
    components : int
        Principal components kept of each plane and radius.
    machines : sequence of {"svm", "kernels", "forest"}
        Candidates: a support vector machine on the equal sum of all kernels, one whose kernels are weighed by how well
        they go with the classes, a random forest on the histograms themselves.
    folds : int
        Inner folds by subject that choose machine and constants.

    Notes
    -----
    Pfister, Li, Zhao & Pietikäinen 2011, "Differentiating spontaneous from posed facial expressions within a generic
    facial expression recognition framework". Verified: CLBP on three orthogonal planes of a clip whose length is
    normalised by temporal interpolation; support vector machines, multiple kernels and random forests as machines.
    Our choice: linear interpolation over time in place of their manifold's; P = 8 and R = 1, 2, 3, 60 frames, blocks of
    4 x 4 and three parts of the time; S/M_C histograms, whose square roots are compared (Hellinger); one kernel a plane
    and radius, on principal components of the training clips; kernels weighed by centred alignment; the machine is
    chosen, with its constants, by inner folds. Clips of different length look alike, as in the paper.
    """

    def __init__(
        self,
        *,
        size: int = 96,
        frames: int = 60,
        radii: Sequence[int] = (1, 2, 3),
        blocks: Sequence[int] = (4, 4),
        parts: int = 3,
        components: int = 32,
        machines: Sequence[str] = MACHINES,
        folds: int = 5,
    ) -> None:
        if not machines or set(machines) - set(MACHINES):
            raise ValueError(f"machines are {machines!r}; expected some of {', '.join(MACHINES)}")
        if not radii or min(radii) < 1:
            raise ValueError(f"radii are {radii!r}; expected whole numbers from 1")
        if min(*blocks, parts) < 1 or size < max(blocks) or frames < parts:
            raise ValueError(f"found blocks {blocks!r} in {parts} parts; expected 1 at least, of a pixel at least")
        options = {"size": size, "frames": frames, "radii": [*radii], "blocks": [*blocks], "parts": parts}
        self.extractors = [Extractor("clbp-top", 1, texture, **options)]
        self._groups = [f"{plane}{radius}" for plane in clbp.PLANES for radius in radii]
        weightings = [WEIGHTINGS[MACHINES.index(machine)] for machine in machines if machine != "forest"]
        self._kernels = KernelSum(components=components, weightings=weightings) if weightings else None
        self._forest = Forest()
        self.machines, self.folds = tuple(machines), folds
        self._grown = False

    def learn(
        self, features: list[Features], labels: NDArray[np.int64], subjects: NDArray[np.str_], *, seed: int
    ) -> None:
        """See :meth:`smilelab.baselines.ByClip.learn`."""
        groups, flat = self._rows(features)
        folds = inner_folds(labels, subjects, count=self.folds, seed=seed)
        if self._kernels is None:
            self._grown = True
        else:
            choice = self._kernels.choose([lambda _: groups], labels, folds, seed=seed)
            self._grown = "forest" in self.machines and choice.correct < sum(
                int(
                    (
                        (self._forest.fit(flat[train], labels[train], seed=seed).share(flat[test]) > 0.5)
                        == labels[test]
                    ).sum()
                )
                for train, test in folds
            )
            if not self._grown:
                self._kernels.fit(groups, labels, choice.candidate, seed=seed)
        if self._grown:
            self._forest.fit(flat, labels, seed=seed)

    def decide(self, features: list[Features]) -> Floats:
        """See :meth:`smilelab.baselines.ByClip.decide`."""
        groups, flat = self._rows(features)
        if self._grown or self._kernels is None:
            return self._forest.decide(flat)
        return self._kernels.decide(groups)

    def state(self) -> State:
        """See :meth:`smilelab.baselines.ByClip.state`."""
        fitted = self._forest.state("forest.") if self._grown or self._kernels is None else self._kernels.state("svm.")
        return {"grown": np.array([int(self._grown)]), **fitted}

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """See :meth:`smilelab.baselines.ByClip.load_state`."""
        self._grown = bool(state["grown"][0])
        if self._grown or self._kernels is None:
            self._forest.load_state(state, "forest.")
        else:
            self._kernels.load_state(state, "svm.")

    def _rows(self, features: list[Features]) -> tuple[list[Floats], Floats]:
        groups = [np.sqrt(stacked(features, name)) for name in self._groups]
        return groups, np.concatenate(groups, 1)
