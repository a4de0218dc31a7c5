"""What decides a run's result: the frozen specification, and one per fold and trial of a store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from smilelab import anchors, models
from smilelab.anchors import AnchorRule, AnchorSource
from smilelab.clips import ClipStore
from smilelab.options import LATER, TrainingOptions, as_dict
from smilelab.protocols import ELSEWHERE, FOLDS, divisions, rounds_name, rounds_of, split_name
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
        Name of the folds, as :func:`smilelab.protocols.split_name` gives it.
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
    protocol : str
        Who trains and who is tested; see :func:`smilelab.protocols.divisions`.
    tests : tuple of (str, str)
        Under the protocol "elsewhere": database and store hash of each store that is tested.
    compared : tuple of {"neutral", "posed"}
        Anchors of all models that are compared with this one, which may have none: clips that one of them cannot be
        judged on are left out; see :func:`smilelab.anchors.comparable`. By default what this model's own anchor asks
        for, or ``windows.comparable``.
    neutral_from : {"recording", "median", "rest"}
        Where neutral anchors are found, if the run has any to do with them; see :func:`smilelab.anchors.find`.
    revision : int
        Of a baseline; see :func:`smilelab.baselines.revision`.
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
    protocol: str = field(default=FOLDS, metadata=LATER)
    tests: tuple[tuple[str, str], ...] = field(default=(), metadata=LATER)
    compared: tuple[AnchorRule, ...] = field(default=(), metadata=LATER)
    neutral_from: AnchorSource = field(default="recording", metadata=LATER)
    revision: int = field(default=1, metadata=LATER)

    def __post_init__(self) -> None:
        for name, value, allowed in (("selection", self.selection, SELECTIONS), ("labels", self.labels, LABELS)):
            if value not in allowed:
                raise RunError(f"{name}: found {value!r}, expected one of {', '.join(allowed)}.")
        if (self.protocol == ELSEWHERE) != bool(self.tests):
            raise RunError(
                f"protocol {self.protocol!r}: found {len(self.tests)} other stores to test, expected "
                + ("one at least." if self.protocol == ELSEWHERE else "none.")
            )
        if self.protocol != FOLDS and (self.partition_seed is not None or (self.tests and self.windows is not None)):
            raise RunError(f"protocol {self.protocol!r} knows neither Lee & Lee's rounds nor, elsewhere, windows.")
        if repeated := [name for name, store in self.tests if store == self.store or name == self.database]:
            raise RunError(f"protocol 'elsewhere': found {repeated[0]}, on which it is trained; expected others.")
        if len({store for _, store in self.tests}) < len(self.tests):
            raise RunError("protocol 'elsewhere': found a store twice, expected each once.")
        if self.tests and self.selection == "best-on-test":
            raise RunError("protocol 'elsewhere': no epoch is chosen on other databases; select validation or last.")
        object.__setattr__(self, "model_options", tuple(sorted((str(k), v) for k, v in self.model_options)))
        object.__setattr__(self, "tests", tuple((str(name), str(store)) for name, store in self.tests))

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

    @property
    def along(self) -> RunSpec | None:
        """The run that the same training gives too: the last epoch, where the epoch is chosen on the test fold."""
        return replace(self, selection="last") if self.selection == "best-on-test" else None

    @staticmethod
    def from_dict(content: dict[str, Any]) -> RunSpec:
        """Read back what :meth:`as_dict` gave."""
        content = dict(content)
        content.pop("algorithm")
        options = tuple(content.pop("model_options").items())
        windows = WindowOptions(**content.pop("windows")) if "windows" in content else None
        training = TrainingOptions(**content.pop("training"))
        content["compared"] = tuple(content.pop("compared", ()))
        content["tests"] = tuple((name, store) for name, store in content.pop("tests", ()))
        return RunSpec(training=training, model_options=options, windows=windows, **content)


def specify(
    store: ClipStore,
    *,
    folds: Sequence[int] = (),
    trials: int = 1,
    partition_seed: int | None = None,
    protocol: str = FOLDS,
    tests: Sequence[ClipStore] = (),
    **fields: Any,
) -> list[RunSpec]:
    """Specify one run per fold and trial on a store.

    Options of the training that belong to a variant of a model (:func:`smilelab.models.training_of`) are set.

    Parameters
    ----------
    store : ClipStore
        The clips.
    folds : sequence of int
        Test folds, counted from 1; empty means all. Those in which no usable clip is left are left out.
    trials : int
        Seeds 0, 1, ... per fold.
    partition_seed : int, optional
        See :class:`RunSpec`; ``folds`` are then rounds.
    protocol : str
        See :func:`smilelab.protocols.divisions`.
    tests : sequence of ClipStore
        The stores that are tested under the protocol "elsewhere".
    **fields
        Further fields of :class:`RunSpec`.

    Raises
    ------
    RunError
        A fold that the store does not have.
    SplitError
        As :func:`smilelab.protocols.divisions`.
    """
    if partition_seed is None:
        some = [bool(division.test) or protocol == ELSEWHERE for division in divisions(store, protocol)]
        split = split_name(store, protocol)
    else:
        rounds = rounds_of(store, partition_seed)
        some = [bool(part.test) for part in rounds]
        split = rounds_name(rounds)
        fields["partition_seed"] = partition_seed
    if bad := [number for number in folds if not 1 <= number <= len(some)]:
        raise RunError(f"fold {bad[0]}: the store has folds 1 to {len(some)}.")
    chosen = [number for number in folds or range(1, len(some) + 1) if some[number - 1]]
    if variant := models.training_of(fields.get("model", RunSpec.model)):
        fields["training"] = replace(fields.get("training", TrainingOptions()), **variant)
    model, windows = fields.get("model", RunSpec.model), fields.get("windows")
    own = models.anchor_rule(model) if model in models.names() else "none"
    if own == "neutral" or "neutral" in fields.get("compared", ()) or (windows is not None and windows.comparable):
        fields.setdefault("neutral_from", anchors.source_of(store))
    if model not in models.names():
        from smilelab import baselines  # networks are specified without what hand-crafted methods need

        fields.setdefault("revision", baselines.revision(model))
    elsewhere = tuple((other.database, other.hash) for other in tests)
    return [
        RunSpec(store.database, store.hash, split, number, seed, protocol=protocol, tests=elsewhere, **fields)
        for seed in range(trials)
        for number in chosen
    ]
