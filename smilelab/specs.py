"""What decides a run's result: the frozen specification, and one per fold and trial of a store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from smilelab.clips import ClipStore
from smilelab.datasets.splits import OFFICIAL, Folds, Partition, five_fold
from smilelab.options import LATER, TrainingOptions, as_dict
from smilelab.windows import LENGTH

SELECTIONS = ("validation", "last", "best-on-test")
LABELS = ("true", "shuffled")


class RunError(ValueError):
    """A specification that cannot be run."""


# Raised whenever the same specification comes to give another result: models, training, selection or seeding changed.
ALGORITHM = 1


@dataclass(frozen=True)
class WindowOptions:
    """How clips are cut into windows, for models that take windows rather than whole clips.

    Attributes
    ----------
    length : int
        Frames of a window.
    stride : int
        Frames from a training window to the next.
    test_stride : int
        The same for windows that are scored; neighbours differ by a frame, so a few tell as much as all.
    every : int
        Of a window's frames every so manieth is given to the model.
    reduce : int
        How many times smaller than in the store the frames are.
    comparable : bool
        Leave out, whatever the model, windows that share a frame with an anchor, neutral or posed, and subjects
        without either, so that models with other anchors are trained and judged on the same windows. False leaves out
        only what the model's own anchor asks for.
    """

    length: int = LENGTH
    stride: int = 1
    test_stride: int = 1
    every: int = 1
    reduce: int = 1
    comparable: bool = True


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
    windows : WindowOptions, optional
        For models that take windows; by default whole clips.
    partition_seed : int, optional
        Draws the subjects for training, validation and test as Lee & Lee do (:func:`splits.five_fold`), in place of
        the database's folds; ``fold`` is then the round, whose own subjects validate.
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
    windows: WindowOptions | None = field(default=None, metadata=LATER)
    partition_seed: int | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        for name, value, allowed in (("selection", self.selection, SELECTIONS), ("labels", self.labels, LABELS)):
            if value not in allowed:
                raise RunError(f"{name}: found {value!r}, expected one of {', '.join(allowed)}.")
        object.__setattr__(self, "model_options", tuple(sorted((str(k), v) for k, v in self.model_options)))

    def as_dict(self) -> dict[str, Any]:
        """Return the specification as it is written to ``spec.json``."""
        return {
            **as_dict(self),
            "training": as_dict(self.training),
            "model_options": dict(self.model_options),
            "algorithm": ALGORITHM,
        }

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
        windows = WindowOptions(**content.pop("windows")) if "windows" in content else None
        training = TrainingOptions(**content.pop("training"))
        return RunSpec(training=training, model_options=options, windows=windows, **content)


def folds_of(store: ClipStore) -> Folds:
    """Folds of a store, over its usable clips."""
    tests = tuple(tuple(test) for test in store.folds())
    return Folds(tests, store.folds_source, official=store.folds_source == OFFICIAL)


def split_name(store: ClipStore) -> str:
    """Name of a store's folds: their kind and a hash of their membership."""
    folds = folds_of(store)
    return f"{'official' if folds.official else 'other'}-{folds.fingerprint()}"


def rounds_name(rounds: Sequence[Partition]) -> str:
    """Name of the rounds of Lee & Lee's protocol: a hash of who is where."""
    canonical = json.dumps([[part.train, part.validation, part.test] for part in rounds])
    return f"rounds-{hashlib.sha256(canonical.encode()).hexdigest()[:12]}"


def rounds_of(store: ClipStore, seed: int) -> list[Partition]:
    """Training, validation and test subjects of each round of Lee & Lee's protocol on a store.

    Raises
    ------
    SplitError
        Too few subjects.
    """
    return five_fold(store.usable.reset_index()[["clip_id", "label", "subject"]], seed=seed)


def specify(
    store: ClipStore,
    *,
    folds: Sequence[int] = (),
    trials: int = 1,
    partition_seed: int | None = None,
    **fields: Any,
) -> list[RunSpec]:
    """Specify one run per fold and trial on a store.

    Parameters
    ----------
    store : ClipStore
        The clips.
    folds : sequence of int
        Test folds, counted from 1; empty means all in which a usable clip is left.
    trials : int
        Seeds 0, 1, ... per fold.
    partition_seed : int, optional
        See :class:`RunSpec`; ``folds`` are then rounds.
    **fields
        Further fields of :class:`RunSpec`.

    Raises
    ------
    RunError
        A fold that the store does not have.
    """
    if partition_seed is None:
        tests: Sequence[Sequence[str]] = folds_of(store).tests
        split = split_name(store)
    else:
        rounds = rounds_of(store, partition_seed)
        tests = [part.test for part in rounds]
        split = rounds_name(rounds)
        fields["partition_seed"] = partition_seed
    count = len(tests)
    chosen = list(folds) or [number for number, test in enumerate(tests, start=1) if test]
    if bad := [number for number in chosen if not 1 <= number <= count]:
        raise RunError(f"fold {bad[0]}: the store has folds 1 to {count}.")
    return [
        RunSpec(store.database, store.hash, split, number, seed, **fields)
        for seed in range(trials)
        for number in chosen
    ]
