"""Rows of Lee & Lee's tables: a network's runs over folds and trials, and what is said of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from smilelab import models
from smilelab.artifacts.tables import Results
from smilelab.clips import ClipStore
from smilelab.datasets.splits import Partition
from smilelab.models.densenet3d import PUBLISHED, Depth
from smilelab.protocols import rounds_of
from smilelab.runs import RunFailure, RunResult, predictions_of
from smilelab.specs import RunSpec

# What results are keyed by, and how reported.csv calls it.
STRUCTURES = {"neutral": "neutral anchor", "posed": "posed anchor", "plain": "plain"}
# The size that the paper's networks have by our reading; what is smaller is called reduced.
_FULL = {"size": 112, "frames": 30, "growth": 20, "stem": 64, "last": 1024, "width": 1024}


@dataclass
class Row:
    """A row of a table.

    Attributes
    ----------
    names : dict of str to str
        What stands at its left, by column.
    printed : str
        Its name in reported.csv, if it is there.
    runs : sequence of RunResult or RunFailure
        Over folds and trials, of one setting.
    """

    names: dict[str, str]
    printed: str
    runs: Results

    @property
    def name(self) -> str:
        """The row in words."""
        return ", ".join(self.names.values())

    @property
    def measured(self) -> bool:
        """Whether there are runs and none of them failed."""
        return bool(self.runs) and all(isinstance(run, RunResult) for run in self.runs)

    @property
    def spec(self) -> RunSpec:
        """Specification of the first run."""
        return self.runs[0].spec

    @property
    def failed(self) -> str:
        """What is to be said of runs that failed; empty where none did."""
        errors = [run.error for run in self.runs if isinstance(run, RunFailure)]
        return f"{self.name}: {len(errors)} of {len(self.runs)} runs failed, first: {errors[0]}" if errors else ""

    @cached_property
    def _predictions(self) -> pd.DataFrame:
        return predictions_of(self.runs)

    def predictions(self, part: str) -> pd.DataFrame:
        """Predicted windows of a part, "test" or "validation", of all folds and trials."""
        return self._predictions.query("part == @part").drop(columns="part").reset_index(drop=True)

    def rounds(self, store: ClipStore) -> list[Partition]:
        """Who trains, validates and tests in each fold there could be.

        Raises
        ------
        ValueError
            The runs are of another protocol.
        """
        if self.spec.partition_seed is None:
            raise ValueError(f"{self.name}: found runs without partition_seed, expected Lee & Lee's protocol.")
        return rounds_of(store, self.spec.partition_seed)

    def folds(self, store: ClipStore) -> str:
        """How many folds were run, of how many where some were not, and trials where there are several."""
        run, every = len({result.spec.fold for result in self.runs}), len(self.rounds(store))
        trials = len({result.spec.seed for result in self.runs})
        return (str(run) if run == every else f"{run} of {every} folds") + (f", {trials} trials" if trials > 1 else "")


def depths_of(results: Iterable[tuple[str, Depth]], printed: tuple[Depth, ...] = ()) -> list[Depth]:
    """Depths of results by structure and depth, and the printed ones, in order.

    Raises
    ------
    ValueError
        A structure that Table 4 does not have.
    """
    if unknown := [structure for structure, _ in results if structure not in STRUCTURES]:
        raise ValueError(f"found structure {unknown[0]!r}, expected one of {', '.join(STRUCTURES)}.")
    return sorted({depth for _, depth in results} | set(printed), key=lambda depth: (isinstance(depth, str), depth))


def reduced(spec: RunSpec) -> str:
    """In what a 3D DenseNet is smaller than the paper's by our reading, in words; empty where in nothing."""
    if spec.model not in models.names():
        return ""
    options = dict(spec.model_options)
    depth = spec.model.rpartition("-")[2] if spec.model.startswith("densenet3d-") else options.get("depth", 94)
    differs = [] if str(depth) in map(str, PUBLISHED) else [f"depth {depth}"]
    differs += [f"{name} {options[name]}" for name, full in _FULL.items() if options.get(name) not in (None, full)]
    return ", ".join(differs)
