"""What of the hand-crafted methods is run in one profile: on which databases, and with which cues of the smile."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from smilelab import baselines
from smilelab.artifacts.clip_study import ClipStudy
from smilelab.artifacts.study import TRACES, Study
from smilelab.artifacts.yang_methods import NETWORK, Measured, lacking
from smilelab.baselines.clip_samples import FeatureError, prepare
from smilelab.clips import ClipStore
from smilelab.datasets.splits import SplitError
from smilelab.options import TrainingOptions
from smilelab.preprocess.build import Recipe
from smilelab.runs import RunFailure, RunResult
from smilelab.simulator.cues import CUES
from smilelab.specs import RunSpec, specify

__all__ = ["RECIPE", "CueStudy", "MethodStudy"]

RECIPE = Recipe(crop="chip", size=96, fps=25.0)  # of every method, so that all see the same clips
ALL_ON, ALL_OFF = "all cues on", "all off"


@dataclass(frozen=True)
class MethodStudy:
    """Every hand-crafted method under one protocol: the same clips, landmarks and folds.

    The methods have no epoch to choose, and give the same scores for the same seed: the last, and one trial.

    Parameters
    ----------
    study : Study
        Databases and where runs are kept.
    methods : sequence of str
        Some of :func:`smilelab.baselines.names`, those that take whole clips.
    folds : sequence of int
        Test folds, counted from 1; empty means all. Every database must have them.
    recipe : Recipe
        How frames are cropped.

    Raises
    ------
    ValueError
        An unknown method, or one that takes windows.
    """

    study: Study
    methods: Sequence[str]
    folds: Sequence[int] = field(default=())
    recipe: Recipe = RECIPE

    def __post_init__(self) -> None:
        if wrong := [name for name in self.methods if baselines.takes(name) != "clips"]:
            raise ValueError(f"methods: found {wrong[0]!r}, which takes windows; expected some that take whole clips.")

    def store(self, database: str) -> ClipStore:
        """Preprocess a database under the methods' recipe, or open the store."""
        return self.study.store(database, self.recipe)

    def prepare(self, databases: Iterable[str]) -> None:
        """Compute, in parallel, what all methods look at in every clip of some databases, where it is missing.

        A method that cannot be computed on a clip is told, and fails in its runs.
        """
        for name in databases:
            store = self.store(name)
            wanted = [e for method in self._possible(store) for e in baselines.extractors(method)]
            try:
                prepare(store, list({(e.name, e.hash): e for e in wanted}.values()), jobs=self.study.jobs)
            except FeatureError as error:
                warnings.warn(f"{name}: {error}", stacklevel=2)

    def wanted(self, databases: Iterable[str]) -> dict[tuple[str, str], list[RunSpec]]:
        """Specify the folds of every method on every database; what cannot be run there has no specification.

        Parameters
        ----------
        databases : iterable of str

        Returns
        -------
        dict
            By database and method.
        """
        return {(name, method): self.specs(name, method) for name in databases for method in self.methods}

    def specs(self, database: str, method: str, **options: Any) -> list[RunSpec]:
        """Specify the folds of one method on one database; none where it cannot be run there.

        Parameters
        ----------
        database, method : str
        **options
            Of the method; by default its own.
        """
        store = self.store(database)
        if lacking(method, store):
            return []
        training = TrainingOptions()
        given = tuple(options.items())
        try:
            return specify(
                store, model=method, model_options=given, training=training, selection="last", folds=self.folds
            )
        except SplitError as error:
            warnings.warn(f"{database}, not run: {error}", stacklevel=2)
            return []

    def measured(self, databases: Iterable[str], results: Mapping[Any, Sequence[RunResult | RunFailure]]) -> Measured:
        """Put the results of :meth:`wanted`, as the study returns them, beside their stores."""
        named = list(databases)
        return Measured(
            {name: self.store(name) for name in named},
            {(name, method): results.get((name, method), []) for name in named for method in self.methods},
        )

    def _possible(self, store: ClipStore) -> list[str]:
        return [method for method in self.methods if not lacking(method, store)]


@dataclass(frozen=True)
class CueStudy:
    """The same people smiling with one cue after the other switched off, and methods trained and tested on each.

    Parameters
    ----------
    methods : MethodStudy
        Which methods, and how.
    cues : sequence of str
        Of :data:`smilelab.simulator.cues.CUES`, those that are switched off one at a time; at last all are.
    options : mapping
        How the databases are simulated; see :func:`smilelab.simulator.databases.simulate`.
    traced : mapping
        The same for action-unit traces, which need no pictures and so can be of more people; none where empty.
    clips : ClipStudy, optional
        How RealSmileNet is trained, where it is to be in the table.
    """

    methods: MethodStudy
    cues: Sequence[str] = CUES
    options: Mapping[str, Any] = field(default_factory=dict)
    traced: Mapping[str, Any] = field(default_factory=dict)
    clips: ClipStudy | None = None

    def databases(self) -> dict[tuple[str, str], str]:
        """What each database is called in the study, by kind ("uva-nemo" or "au-traces") and setting of the cues."""
        study, off = self.methods.study, {ALL_ON: [], **{cue: [cue] for cue in self.cues}, ALL_OFF: list(CUES)}
        kinds = {"uva-nemo": self.options, TRACES: self.traced}
        return {
            (kind, setting): study.vary(kind, setting, **{**options, **({"cues_off": cues} if cues else {})})
            for kind, options in kinds.items()
            if options
            for setting, cues in off.items()
        }

    def wanted(self) -> dict[tuple[str, str, str], list[RunSpec]]:
        """Specify everything; pictures and features are made first, where they are missing.

        Returns
        -------
        dict
            By kind of database, method and setting of the cues.
        """
        named, found = self.databases(), {}
        self.methods.prepare(named.values())
        for (kind, setting), name in named.items():
            for (_, method), specs in self.methods.wanted([name]).items():
                if specs:
                    found[kind, method, setting] = specs
            if self.clips is not None and kind != TRACES:
                found[kind, NETWORK, setting] = self.clips.specs(name)
        return found

    def stores(self) -> dict[tuple[str, str], ClipStore]:
        """Clips that the methods see, by kind of database and setting of the cues."""
        return {key: self.methods.store(name) for key, name in self.databases().items()}
