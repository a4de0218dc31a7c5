"""What is trained on windows in one profile: structures and depths of the 3D DenseNet, and the method before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from smilelab import anchors
from smilelab.artifacts.clip_study import ClipStudy
from smilelab.artifacts.study import Study
from smilelab.options import TrainingOptions
from smilelab.preprocess.build import Recipe
from smilelab.specs import RunSpec, WindowOptions, specify

__all__ = ["STRUCTURES", "WindowStudy", "every_anchor"]

# Rows of Lee Table 4 and the model of each.
STRUCTURES = {"neutral": "siamese-neutral", "posed": "siamese-posed", "plain": "densenet3d"}
# Anchor to the structure and to the variant of RealSmileNet that take it.
_TAKING = {
    "none": ("plain", "realsmilenet"),
    "neutral": ("neutral", "realsmilenet-neutral"),
    "posed": ("posed", "realsmilenet-posed"),
}


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
    partition_seed : int, optional
        Draws the subjects of Lee & Lee's rounds; None takes the folds of the database.
    rounds : sequence of int
        Which of the five rounds or of the folds; empty means all.
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
    partition_seed: int | None = 0
    rounds: Sequence[int] = ()
    trials: int = 1

    def specs(self, structure: str, depth: int, **fields: Any) -> list[RunSpec]:
        """Specify the rounds of a structure ("neutral", "posed" or "plain") at a depth."""
        size, frames = self.recipe.size // self.windows.reduce, -(-self.windows.length // self.windows.every)
        options = {**self.model, "depth": depth, "size": size, "frames": frames}
        return self._specify(model=STRUCTURES[structure], model_options=tuple(options.items()), **fields)

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

    def _specify(self, **fields: Any) -> list[RunSpec]:
        common = {"training": self.training, "windows": self.windows, "selection": self.selection}
        return specify(
            self.study.store(self.database, self.recipe),
            folds=self.rounds,
            trials=self.trials,
            partition_seed=self.partition_seed,
            **{**common, **fields},
        )


def every_anchor(
    clips: ClipStudy, windows: WindowStudy, databases: Sequence[str], depth: int, rules: Sequence[str]
) -> dict[tuple[str, str, str], list[RunSpec]]:
    """Specify both networks with every anchor that a database allows, on the same clips and folds.

    Parameters
    ----------
    clips : ClipStudy
        How RealSmileNet is trained.
    windows : WindowStudy
        How the 3D DenseNet is trained, with ``partition_seed`` None.
    databases : sequence of str
    depth : int
        Of the 3D DenseNet.
    rules : sequence of {"neutral", "posed"}
        Which anchors, besides none; see :func:`smilelab.anchors.possible`.

    Returns
    -------
    dict
        By network ("RealSmileNet" or "3D DenseNet"), anchor ("none", "neutral" or "posed") and database.
    """
    wanted: dict[tuple[str, str, str], list[RunSpec]] = {}
    for database in databases:
        compared = tuple(rule for rule in anchors.possible(clips.study.store(database)) if rule in rules)
        # Where nothing is compared, no clip is left out, whatever other anchors a window might be compared with.
        cut = windows.windows if compared else replace(windows.windows, comparable=False)
        on_database = replace(windows, database=database, windows=cut)
        for anchor, (structure, model) in _TAKING.items():
            if anchor in ("none", *compared):
                wanted["RealSmileNet", anchor, database] = clips.specs(database, model, compared=compared)
                wanted["3D DenseNet", anchor, database] = on_database.specs(structure, depth, compared=compared)
    return wanted
