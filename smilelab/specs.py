"""What decides a run's result: the frozen specification, and one per fold and trial of a store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from smilelab.clips import ClipStore
from smilelab.datasets.splits import OFFICIAL, Folds
from smilelab.training import TrainingOptions

SELECTIONS = ("validation", "last", "best-on-test")
LABELS = ("true", "shuffled")


class RunError(ValueError):
    """A specification that cannot be run."""


# Raised whenever the same specification comes to give another result: models, training, selection or seeding changed.
ALGORITHM = 1


@dataclass(frozen=True)
class RunSpec:
    """Everything that decides a run's result.

    Attributes
    ----------
    database : str
        Name of the database.
    store : str
        Hash of the clip store (recipe and content).
    split : str
        Name of the folds, as :func:`split_name` gives it.
    fold : int
        Test fold, counted from 1.
    seed : int
        Trial; decides initialisation, shuffling, dropout and the validation subjects.
    model : str
        Name in :func:`smilelab.models.names`.
    model_options : tuple of (str, value)
        The model's own options, sorted by name.
    training : TrainingOptions
        Options of the loop.
    selection : {"validation", "last", "best-on-test"}
        Which epoch is kept: the best on held-out training subjects, the last, or the best on the very test fold (what
        the released code of Yang et al. does; optimistic).
    validation_share : float
        Share of the training subjects held out under ``validation``.
    labels : {"true", "shuffled"}
        ``shuffled`` permutes the training labels: a control whose accuracy should not pass the majority.
    """

    database: str
    store: str
    split: str
    fold: int
    seed: int = 0
    model: str = "realsmilenet"
    model_options: tuple[tuple[str, Any], ...] = ()
    training: TrainingOptions = field(default_factory=TrainingOptions)
    selection: str = "validation"
    validation_share: float = 0.15
    labels: str = "true"

    def __post_init__(self) -> None:
        for name, value, allowed in (("selection", self.selection, SELECTIONS), ("labels", self.labels, LABELS)):
            if value not in allowed:
                raise RunError(f"{name}: found {value!r}, expected one of {', '.join(allowed)}.")
        object.__setattr__(self, "model_options", tuple(sorted((str(k), v) for k, v in self.model_options)))

    def as_dict(self) -> dict[str, Any]:
        """Return the specification as it is written to ``spec.json``."""
        return {**asdict(self), "model_options": dict(self.model_options), "algorithm": ALGORITHM}

    @property
    def hash(self) -> str:
        """Twelve hex digits over the canonical form."""
        canonical = json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    @staticmethod
    def from_dict(content: dict[str, Any]) -> RunSpec:
        """Read back what :meth:`as_dict` gave."""
        content = dict(content)
        content.pop("algorithm")
        options = tuple(content.pop("model_options").items())
        return RunSpec(training=TrainingOptions(**content.pop("training")), model_options=options, **content)


def folds_of(store: ClipStore) -> Folds:
    """Folds of a store, over its usable clips."""
    tests = tuple(tuple(test) for test in store.folds())
    return Folds(tests, store.folds_source, official=store.folds_source == OFFICIAL)


def split_name(store: ClipStore) -> str:
    """Name of a store's folds: their kind and a hash of their membership."""
    folds = folds_of(store)
    return f"{'official' if folds.official else 'other'}-{folds.fingerprint()}"


def specify(store: ClipStore, *, folds: Sequence[int] = (), trials: int = 1, **fields: Any) -> list[RunSpec]:
    """Specify one run per fold and trial on a store.

    Parameters
    ----------
    store : ClipStore
        The clips.
    folds : sequence of int
        Test folds, counted from 1; empty means all in which a usable clip is left.
    trials : int
        Seeds 0, 1, ... per fold.
    **fields
        Further fields of :class:`RunSpec`.

    Raises
    ------
    RunError
        A fold that the store does not have.
    """
    tests = folds_of(store).tests
    count = len(tests)
    chosen = list(folds) or [number for number, test in enumerate(tests, start=1) if test]
    if bad := [number for number in chosen if not 1 <= number <= count]:
        raise RunError(f"fold {bad[0]}: the store has folds 1 to {count}.")
    split = split_name(store)
    return [
        RunSpec(store.database, store.hash, split, number, seed, **fields)
        for seed in range(trials)
        for number in chosen
    ]
