"""The registry of baselines: the methods that the papers compare with, built by their names.

Every module of this package is imported: a new baseline is a new file.

A baseline is fitted on some samples and gives others the probability that the smile is spontaneous. Samples are windows
or whole clips of a store; whatever a baseline computes from a clip's frames it computes once per clip and call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smilelab.baselines.by_clip import ByClip
from smilelab.baselines.clip_samples import ClipSamples, Extractor
from smilelab.clips import ClipStore
from smilelab.registry import Registry, discover

__all__ = [
    "Baseline",
    "ByClip",
    "ClipSamples",
    "Extractor",
    "Samples",
    "build",
    "extractors",
    "names",
    "register",
    "revision",
    "takes",
]


class Samples(Protocol):
    """Stretches of the clips of a store, such as `smilelab.windows.Windows`.

    ``table`` has one row a sample with ``clip_id`` and ``start`` (frame of the clip); ``samples[i]`` is uint8
    (T, S, S, 3), the T frames of that clip from that frame on. T may differ from sample to sample.
    """

    @property
    def store(self) -> ClipStore: ...  # noqa: D102

    @property
    def table(self) -> pd.DataFrame: ...  # noqa: D102

    def __len__(self) -> int: ...

    def __getitem__(self, at: int, /) -> NDArray[np.uint8]: ...


class Baseline(Protocol):
    """What every baseline does."""

    def fit(self, samples: Samples, labels: NDArray[np.int64] | Sequence[int], *, seed: int) -> None:
        """Fit on labelled samples: nothing else is looked at, for no choice whatever.

        Parameters
        ----------
        samples : Samples
        labels : int (n,)
            1 spontaneous, 0 posed.
        seed : int
            The same seed gives the same scores, on one thread bit for bit. Global random states are left as they were.
        """

    def score(self, samples: Samples) -> NDArray[np.float64]:
        """Probability (n,) that each sample's smile is spontaneous."""

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Everything that was fitted, as arrays."""

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over what a baseline with the same options was fitted to; it then gives the same scores."""


_BASELINES: Registry[Baseline] = Registry("baseline")
register = _BASELINES.register
names = _BASELINES.names


def build(name: str, **options: object) -> Baseline:
    """Build a baseline that is not fitted yet.

    Parameters
    ----------
    name : str
        One of `names`.
    **options
        The baseline's own options; see its class.

    Returns
    -------
    Baseline

    Raises
    ------
    ValueError
        Unknown baseline, unknown option, or an option's value that the baseline refuses.
    """
    return _BASELINES.build(name, **options)


def takes(name: str) -> str:
    """What a baseline is fitted on: "windows" or whole "clips".

    Parameters
    ----------
    name : str
        One of `names`.

    Raises
    ------
    ValueError
        Unknown baseline.
    """
    if name not in _BASELINES.builders:
        raise ValueError(f"unknown baseline {name!r}; expected one of {', '.join(names())}")
    return str(getattr(_BASELINES.builders[name], "takes", "windows"))


def revision(name: str) -> int:
    """How often a baseline has come to give other results since its first version; runs of other revisions differ.

    Parameters
    ----------
    name : str
        One of `names`; of others it is 1.
    """
    return int(getattr(_BASELINES.builders.get(name), "revision", 1))


def extractors(name: str, **options: object) -> Sequence[Extractor]:
    """What a baseline on whole clips computes of each clip, to be prepared in parallel.

    Parameters
    ----------
    name : str
        One of `names`.
    **options
        The baseline's own options.
    """
    return tuple(getattr(build(name, **options), "extractors", ()))


discover(__name__, __path__)
