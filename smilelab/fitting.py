"""Fitting what a specification names, a network or a hand-crafted method, so that both give the same kind of run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from smilelab import models, training
from smilelab.clips import ClipStore
from smilelab.effort import NO_EFFORT, Effort
from smilelab.parts import Part, Parts, parts_of, seed_of
from smilelab.specs import RunError, RunSpec
from smilelab.windows import Windows


@dataclass(frozen=True)
class Fitted:
    """A fitted method.

    Attributes
    ----------
    spec : RunSpec
    parts : Parts
        What it was fitted on and is to be judged on.
    state : dict of str to Tensor
        Everything that was fitted.
    score : callable
        Samples of a part -> probability of spontaneous (n,).
    epoch : int
        The epoch kept; 0 where there are none.
    history : pandas.DataFrame
        A row an epoch.
    along : Fitted, optional
        What the same training gives for :attr:`RunSpec.along`.
    earlier : Effort
        Time that interrupted attempts had taken up to the checkpoint this one went on from.
    """

    spec: RunSpec
    parts: Parts
    state: dict[str, torch.Tensor]
    score: Callable[[Part], np.ndarray]
    epoch: int
    history: pd.DataFrame
    along: Fitted | None = None
    earlier: Effort = NO_EFFORT

    def scored(self, part: Part) -> pd.DataFrame:
        """Predictions of a part: a row a sample, with ``probability``, ``fold`` and ``seed``."""
        columns = [name for name in ("database", "clip_id", "start", "subject", "label") if name in part.table]
        probability = self.score(part) if len(part.table) else np.empty(0)
        return part.table[columns].assign(probability=probability, fold=self.spec.fold, seed=self.spec.seed)


def fit(spec: RunSpec, store: ClipStore, *, device: str, checkpoint: Path, others: Sequence[ClipStore] = ()) -> Fitted:
    """Fit a specification on its training part.

    Parameters
    ----------
    spec : RunSpec
    store : ClipStore
        The store that ``spec.store`` names.
    device : str
        A torch device.
    checkpoint : Path
        From which an interrupted training goes on.
    others : sequence of ClipStore
        The stores that ``spec.tests`` names, among others.

    Returns
    -------
    Fitted

    Raises
    ------
    RunError
        See :func:`smilelab.parts.parts_of`; or training options that contradict the variant of the model.
    """
    if spec.model in models.names():
        own = models.training_of(spec.model)
        if contradicted := [name for name, value in own.items() if getattr(spec.training, name) != value]:
            name = contradicted[0]
            raise RunError(f"{spec.model}: {name} is {getattr(spec.training, name)!r}, expected {own[name]!r}.")
        return _network(spec, store, device, checkpoint, others)
    return _baseline(spec, store, others)


def _network(spec: RunSpec, store: ClipStore, device: str, checkpoint: Path, others: Sequence[ClipStore]) -> Fitted:
    seed, settings = seed_of(spec), spec.training
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = models.build(spec.model, **dict(spec.model_options))
    parts = parts_of(spec, store, models.anchor_rule(model), others)
    select = {"validation": "validation", "last": "last", "best-on-test": "test"}[spec.selection]
    chosen_on = {"validation": parts.validation, "test": parts.test}
    trained = training.train(
        model,
        parts.train.clips,
        _training_labels(spec, parts.train),
        settings,
        seed=seed,
        device=device,
        evaluate={select: (chosen_on[select].clips, chosen_on[select].labels)} if select in chosen_on else {},
        select=select,
        checkpoint=checkpoint,
    )

    def kept(what: RunSpec, state: dict[str, torch.Tensor], epoch: int, history: pd.DataFrame) -> Fitted:
        def score(part: Part) -> np.ndarray:
            model.load_state_dict(state)
            return training.predict(
                model, part.clips, batch_size=settings.batch_size, device=device, precision=settings.precision
            )

        whole = {name: value.contiguous() for name, value in state.items()}
        return Fitted(what, parts, whole, score, epoch, history, earlier=trained.earlier)

    fitted = kept(spec, trained.state_dict, trained.best_epoch, trained.history)
    if spec.along is None:
        return fitted
    seen = trained.history[["epoch", "train_loss"]]
    return replace(fitted, along=kept(spec.along, trained.last_state_dict, settings.epochs, seen))


def _baseline(spec: RunSpec, store: ClipStore, others: Sequence[ClipStore]) -> Fitted:
    # Hand-crafted methods need OpenCV, which a machine that only trains networks does not have.
    from smilelab import baselines

    takes = baselines.takes(spec.model)
    if (takes == "windows") != (spec.windows is not None):
        raise RunError(
            f"{spec.model} is fitted on {'windows' if takes == 'windows' else 'whole clips'}; "
            + ("give the specification windows." if takes == "windows" else "expected a specification without windows.")
        )
    parts = parts_of(spec, store, others=others)
    model = baselines.build(spec.model, **dict(spec.model_options))

    def samples(part: Part) -> baselines.Samples:
        if isinstance(part.clips, Windows):
            return part.clips
        return baselines.ClipSamples(part.table, [store, *others])

    model.fit(samples(parts.train), _training_labels(spec, parts.train), seed=seed_of(spec))
    state = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in model.state().items()}
    return Fitted(spec, parts, state, lambda part: model.score(samples(part)), 0, pd.DataFrame({"epoch": []}))


def _training_labels(spec: RunSpec, train: Part) -> np.ndarray:
    """The labels of the training samples, permuted between clips where the specification is a control."""
    if spec.labels == "true":
        return train.labels
    shuffler = np.random.default_rng([seed_of(spec), 2])
    clips, which = np.unique(train.table["clip_id"].to_numpy(), return_inverse=True)
    if len(clips) == len(which):
        return shuffler.permutation(train.labels)
    # Windows of a clip share its label, and go on sharing a permuted one.
    of_clip = np.empty(len(clips), np.int64)
    of_clip[which] = train.labels
    return shuffler.permutation(of_clip)[which]
