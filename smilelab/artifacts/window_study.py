"""What is trained on windows in one profile: structures and depths of the 3D DenseNet, and the method before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from smilelab.artifacts.study import Study
from smilelab.options import TrainingOptions
from smilelab.preprocess.build import Recipe
from smilelab.runs import RunFailure, RunResult
from smilelab.specs import RunSpec, WindowOptions, specify

__all__ = ["STRUCTURES", "WindowStudy"]

# Rows of Lee Table 4 and the model of each.
STRUCTURES = {"neutral": "siamese-neutral", "posed": "siamese-posed", "plain": "densenet3d"}
Results = list[RunResult | RunFailure]


@dataclass(frozen=True)
class WindowStudy:
    """Lee & Lee's protocol on one database: who is compared with whom, at what size, trained how.

    Parameters
    ----------
    study : Study
        Databases and where runs are kept.
    recipe : Recipe
        How frames are cropped; the paper's are 112 pixels along the face's outline, 30 a second.
    database : str
        Name of the database.
    training : TrainingOptions
        Of every network.
    windows : WindowOptions
        How clips are cut, and how far frames are reduced.
    model : mapping
        Options of every network besides its depth and the size of its input.
    selection : {"validation", "last", "best-on-test"}
        Which epoch is kept.
    partition_seed : int
        Draws the subjects.
    rounds : sequence of int
        Which of the five; empty means all.
    trials : int
        Repetitions with other seeds.
    """

    study: Study
    recipe: Recipe
    database: str
    training: TrainingOptions
    windows: WindowOptions
    model: Mapping[str, Any] = field(default_factory=dict)
    selection: str = "validation"
    partition_seed: int = 0
    rounds: Sequence[int] = ()
    trials: int = 1

    def specs(self, structure: str, depth: int) -> list[RunSpec]:
        """Specify the rounds of a structure ("neutral", "posed" or "plain") at a depth."""
        size, frames = self.recipe.size // self.windows.reduce, -(-self.windows.length // self.windows.every)
        options = {**self.model, "depth": depth, "size": size, "frames": frames}
        return self._specify(model=STRUCTURES[structure], model_options=tuple(options.items()))

    def baseline_specs(self) -> list[RunSpec]:
        """Specify the rounds of Lee'18, which sees the windows at their full size and rate."""
        whole = WindowOptions(self.windows.length, self.windows.stride, self.windows.test_stride)
        return self._specify(model="lee2018", windows=whole, training=TrainingOptions(), selection="last")

    def for_maps(self, reduce: int) -> WindowStudy:
        """Return the first round alone on frames that are reduced less.

        Maps of activation have as many cells as the last convolution has places: one at 28 px, 3 x 3 at 56, 7 x 7 at
        112. Where `reduce` is the study's own, these are runs that it has anyway.
        """
        windows = replace(self.windows, reduce=reduce)
        return replace(self, windows=windows, rounds=list(self.rounds[:1]) or [1], trials=1)

    def run(self, specs: Sequence[RunSpec]) -> Results:
        """Run what is not finished."""
        return self.study.run(self.database, specs, self.recipe)

    def finished(self, structure: str, depth: int) -> list[RunResult]:
        """Return the finished rounds of a structure at a depth, without running any."""
        return self.study.finished(self.specs(structure, depth))

    def _specify(self, **fields: Any) -> list[RunSpec]:
        common = {"training": self.training, "windows": self.windows, "selection": self.selection}
        return specify(
            self.study.store(self.database, self.recipe),
            folds=self.rounds,
            trials=self.trials,
            partition_seed=self.partition_seed,
            **{**common, **fields},
        )
