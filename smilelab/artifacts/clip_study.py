"""What is trained on whole clips in one profile: RealSmileNet and its variants."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from smilelab.artifacts.study import TRACES, Study
from smilelab.clips import ClipStore
from smilelab.datasets.splits import SplitError
from smilelab.models.realsmilenet import SIZE
from smilelab.options import TrainingOptions
from smilelab.preprocess.build import Recipe
from smilelab.protocols import ELSEWHERE
from smilelab.specs import RunSpec, specify

__all__ = ["ClipStudy"]


@dataclass(frozen=True)
class ClipStudy:
    """Yang et al.'s protocol: which networks are trained how, on which folds.

    Parameters
    ----------
    study : Study
        Databases and where runs are kept.
    training : TrainingOptions
        Of every network; a variant's own options come on top.
    selection : {"validation", "last", "best-on-test"}
        Which epoch is kept.
    folds : sequence of int
        Test folds, counted from 1; empty means all. Every database must have them.
    trials : int
        Repetitions with other seeds.
    """

    study: Study
    training: TrainingOptions
    selection: str = "validation"
    folds: Sequence[int] = field(default=())
    trials: int = 1

    def stores(self, databases: Iterable[str]) -> dict[str, ClipStore]:
        """Clips of each of some databases that has pictures: action-unit traces are nothing for these networks.

        Parameters
        ----------
        databases : iterable of str

        Returns
        -------
        dict of str to ClipStore

        Raises
        ------
        ValueError
            None of them has pictures, or none is named.
        """
        found = {name: self.study.store(name) for name in dict.fromkeys(databases) if name != TRACES}
        if not found:
            raise ValueError("found no database of pictures to train on, expected one at least; see train_on.")
        return found

    def specs(
        self, database: str, model: str = "realsmilenet", *, recipe: Recipe | None = None, **fields: Any
    ) -> list[RunSpec]:
        """Specify the folds and trials of a model on a database.

        Parameters
        ----------
        database : str
        model : str
            One of :func:`smilelab.models.names` that take whole clips.
        recipe : Recipe, optional
            How frames are cropped; by default as in the study.
        **fields
            Fields of :class:`smilelab.specs.RunSpec`; ``tests`` are names of databases here.

        Returns
        -------
        list of RunSpec
            None, and a warning that says why, where the database does not allow the protocol.
        """
        store = self.study.store(database, recipe)
        size = (recipe or self.study.recipe).size
        tests = [self.study.store(name, recipe) for name in fields.pop("tests", ())]
        own = {} if size == SIZE else {"size": size}
        common = {"training": self.training, "selection": self.selection, "folds": self.folds, "trials": self.trials}
        common |= {"model": model, "model_options": tuple(own.items())}
        try:
            if fields.get("protocol") == ELSEWHERE and not tests:
                raise SplitError("found no other database, expected one at least to test on.")
            return specify(store, tests=tests, **{**common, **fields})
        except SplitError as error:
            warnings.warn(f"{database}, not run: {error}", stacklevel=2)
            return []
