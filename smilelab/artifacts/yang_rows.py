"""Cells of Yang et al.'s tables: a method's runs on a database over folds and trials, and what is printed of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from smilelab import comparison, metrics
from smilelab.artifacts.numbers import AUC_NOTE, about_few_subjects, percent
from smilelab.artifacts.product import NOT_RUN, database_label
from smilelab.clips import ClipStore
from smilelab.options import TrainingOptions, as_dict
from smilelab.protocols import ELSEWHERE, FOLDS, divisions
from smilelab.runs import RunFailure, RunResult, predictions_of
from smilelab.specs import RunSpec

Results = Sequence[RunResult | RunFailure]

SELECTION_LABELS = {
    "validation": "epoch chosen on held-out training subjects",
    "last": "last epoch",
    "best-on-test": "epoch chosen on the test fold itself, as the released code does: optimistic",
}
REPORTED_NOTE = (
    "Reported numbers are of the real databases, as Yang et al. print them: the paper calls them averages of ten "
    "trials, and its released code keeps, of each fold, the epoch that is best on that very test fold."
)
TIME_NOTE = (
    "Wall time is that of the runs themselves, one process each, on a CPU of one thread, added up: runs that share a "
    "machine take less by the clock. Other work on the machine lengthens it, and hardly the processor time, which is "
    "what a run takes on a core of its own."
)
ALONG_NOTE = (
    "Where the last epoch came along with best-on-test, one training gave both: their wall time is that training's, "
    "and not to be added."
)
# What is always said of a training; anything else only where it is not as usual.
_SAID = ("epochs", "batch_size", "learning_rate", "weight_decay", "loss")
_ROUNDING = 1e-9


@dataclass(eq=False)
class Cell:
    """A method on a database.

    Attributes
    ----------
    name : str
        What it is, in words.
    store : ClipStore
        The clips that are tested.
    runs : sequence of RunResult or RunFailure
        Over folds and trials, of one setting.
    tested : str
        Of runs that are tested on several databases, the one.
    """

    name: str
    store: ClipStore
    runs: Results
    tested: str = ""

    @property
    def complete(self) -> bool:
        """Whether there are runs and none of them failed."""
        return bool(self.runs) and all(isinstance(run, RunResult) for run in self.runs)

    @property
    def failed(self) -> str:
        """What is to be said of runs that failed; empty where none did."""
        errors = [run.error for run in self.runs if isinstance(run, RunFailure)]
        return f"{self.name}: {len(errors)} of {len(self.runs)} runs failed, first: {errors[0]}" if errors else ""

    @property
    def label(self) -> str:
        """How the tested database is called."""
        return database_label(self.store.database, simulated=self.store.simulated)

    @cached_property
    def spec(self) -> RunSpec:
        """The setting of all runs: specification of fold 1, trial 0.

        Raises
        ------
        ValueError
            The runs are of several settings.
        """
        settings = {replace(run.spec, fold=1, seed=0) for run in self.runs}
        if len(settings) != 1:
            raise ValueError(f"{self.name}: found runs of {len(settings)} settings, expected one; show them apart.")
        return settings.pop()

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """Predictions of all runs.

        Raises
        ------
        ValueError
            The runs were not tested on the named database.
        """
        every = predictions_of(self.runs)
        if not self.tested:
            return every
        found = every[every["database"] == self.tested].reset_index(drop=True)
        if found.empty:
            known = ", ".join(every["database"].unique())
            raise ValueError(f"{self.name}: found predictions of {known}, expected some of {self.tested}.")
        return found

    @cached_property
    def summary(self) -> metrics.Summary:
        """Scores of the predictions."""
        return metrics.summarize(self.predictions)

    @cached_property
    def right(self) -> pd.Series:
        """Whether each prediction is right."""
        return (self.predictions["probability"] >= metrics.THRESHOLD) == (self.predictions["label"] == 1)

    @property
    def trials(self) -> pd.Series:
        """Accuracy of each trial."""
        return self.right.groupby(self.predictions["seed"]).mean()

    @cached_property
    def folds(self) -> str:
        """How many folds (or draws) were run: "10", or "2 of 10" where some were not."""
        protocol = self.runs[0].spec.protocol
        every = 1
        if protocol != ELSEWHERE:
            tests = [division.test for division in divisions(self.store, protocol)]
            # A fold in which a group has no clip cannot be run; those of the whole database are always counted.
            every = len(tests) if protocol == FOLDS else sum(map(bool, tests))
        run = self.predictions["fold"].nunique()
        return str(run) if run == every else f"{run} of {every}"

    @property
    def accuracy(self) -> str:
        """Accuracy with its interval, and how many folds of how many where some were not run."""
        if not self.complete:
            return NOT_RUN
        part = f" ({self.folds} folds)" if " of " in self.folds else ""
        return percent(self.summary.accuracy, self.summary.accuracy_low, self.summary.accuracy_high) + part

    @property
    def majority(self) -> float:
        """Accuracy of always answering the larger class, on the very clips, folds and trials that are predicted."""
        return metrics.majority_share(self.predictions["label"])

    @property
    def against(self) -> str:
        """How the accuracy stands to the share of the larger class."""
        return against(self.summary.accuracy, self.majority, self.summary.accuracy_low)

    def details(self) -> dict[str, str]:
        """What the second table carries of it."""
        if not self.complete:
            return {"accuracy": NOT_RUN}
        found = self.summary
        spread = percent(float(self.trials.std(ddof=1))) if len(self.trials) > 1 else ""
        return {
            "accuracy": percent(found.accuracy, found.accuracy_low, found.accuracy_high),
            "sd over trials": spread,
            "majority": percent(self.majority),
            "against the majority": self.against,
            "balanced accuracy": percent(
                found.balanced_accuracy, found.balanced_accuracy_low, found.balanced_accuracy_high
            ),
            "AUC": percent(found.auc, found.auc_low, found.auc_high),
            "clips": str(found.n),
            "subjects": str(found.subjects),
            "folds": self.folds,
            "trials": str(len(self.trials)),
            **wall_time(self.runs),
        }


def against(accuracy: float, majority: float, low: float | None = None) -> str:
    """Say how an accuracy stands to the share of the larger class, and whether its interval reaches that."""
    if abs(accuracy - majority) < _ROUNDING:
        return "equal"
    if accuracy < majority:
        return "below"
    if low is not None and np.isnan(low):
        return "above, without an interval"
    return "above, but its interval reaches it" if low is not None and low <= majority else "above"


def wall_time(runs: Results) -> dict[str, str]:
    """Wall time of all runs together, and of one in the mean, on the clock and of the processor."""
    efforts = [run.effort for run in runs if isinstance(run, RunResult)]
    wall, processor = [effort.wall for effort in efforts], [effort.processor for effort in efforts]
    return {
        "wall time, all runs": duration(sum(wall)),
        "wall time, a run": duration(float(np.mean(wall))),
        "processor time, a run": "not measured" if np.isnan(processor).any() else duration(float(np.mean(processor))),
    }


def duration(seconds: float) -> str:
    """Print a duration: "12.3 s", "4.5 min" or "6.7 h"."""
    for size, unit in ((3600, "h"), (60, "min")):
        # What would print as "60.0 s" is a minute.
        if seconds >= size - size / 1200:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def points(value: float, low: float | None = None, high: float | None = None) -> str:
    """Print a difference of shares in points, "-3.6" or "-3.6 [-8.1, 0.9]"; empty for NaN."""
    return percent(value, low, high)


def p_value(value: float) -> str:
    """Print a p value; empty for NaN."""
    return "" if np.isnan(value) else "<0.001" if value < 0.0005 else f"{value:.3f}"


def differences(spec: RunSpec, other: RunSpec) -> list[str]:
    """In what two settings differ apart from model, store, fold and trial: "epochs 20 (not 60)"."""
    one, two = (_flat(each) for each in (spec, other))
    shared = [name for name in dict.fromkeys([*one, *two]) if one.get(name) != two.get(name)]
    return [f"{name} {one.get(name, 'default')} (not {two.get(name, 'default')})" for name in shared]


def _flat(spec: RunSpec) -> dict[str, Any]:
    content = spec.as_dict()
    nested = [content.pop(name) for name in ("training", "model_options")]
    for name in ("model", "database", "store", "split", "fold", "seed", "tests", "algorithm"):
        content.pop(name, None)
    return {**content, **nested[0], **nested[1]}


def paired(first: Cell, second: Cell) -> tuple[comparison.Comparison, pd.DataFrame] | None:
    """Compare two methods on the clips, folds and trials that both have.

    Parameters
    ----------
    first, second : Cell
        Both complete, on one store.

    Returns
    -------
    comparison.Comparison
        The first less the second.
    pandas.DataFrame
        Accuracy of either, ``first`` and ``second``, in each fold and trial (the index). None, in place of both, where
        nothing is in common.
    """
    both = comparison.in_common(first.predictions, second.predictions)
    if both[0].empty:
        return None
    by_model = {
        name: frame.assign(right=(frame["probability"] >= metrics.THRESHOLD) == (frame["label"] == 1))
        .groupby(["fold", "seed"])["right"]
        .mean()
        for name, frame in zip(("first", "second"), both, strict=True)
    }
    return comparison.compare(*both), pd.DataFrame(by_model)


def p_of_folds(by_model: pd.DataFrame, first: Cell) -> float:
    """P value of the corrected resampled t test of the folds' accuracies, trials averaged.

    Parameters
    ----------
    by_model : pandas.DataFrame
        As :func:`paired` returns it.
    first : Cell
        One of the two, whose runs tell how many clips were trained on and tested.
    """
    by_fold = by_model.groupby(level="fold").mean()
    runs = [run for run in first.runs if isinstance(run, RunResult) and run.spec.fold in by_fold.index]
    share = np.mean([run.metrics["n"] / run.metrics["train_clips"] for run in runs])
    return comparison.corrected_t((by_fold["first"] - by_fold["second"]).to_numpy(), test_per_train=float(share))[1]


def notes_of(cells: Iterable[Cell], stores: Mapping[str, ClipStore], subjects: Iterable[int] = ()) -> list[str]:
    """What is said below every table: selection, training, folds, few subjects, majorities not passed, failures, time.

    Parameters
    ----------
    cells : iterable of Cell
        All of the artifact.
    stores : mapping of str to ClipStore
        Those whose folds are told, by database name.
    subjects : iterable of int
        Subjects behind further intervals than those of the cells.
    """
    every = [cell for cell in cells if cell.runs]
    run = [cell for cell in every if cell.complete]
    rules = dict.fromkeys(cell.runs[0].spec.selection for cell in every)
    notes = [f"Measured: {'; '.join(SELECTION_LABELS[rule] for rule in rules) or NOT_RUN}."]
    notes += about_training(run)
    notes += [f"{database_label(n, simulated=s.simulated)}: {s.folds_source}." for n, s in stores.items()]
    notes += [AUC_NOTE] if run else []
    notes += about_few_subjects([*(cell.summary.subjects for cell in run), *subjects])
    if lower := _by_database([(cell, "") for cell in run if cell.against in ("below", "equal")]):
        notes.append(f"The accuracy does not exceed the share of the tested clips' larger class: {lower}.")
    if part := [cell for cell in run if " of " in cell.folds]:
        alike = len({cell.folds for cell in run}) == 1
        named = _by_database([(cell, f" ({cell.folds})") for cell in part])
        notes.append(f"Only some folds or draws were run: {f'{part[0].folds}, in every row' if alike else named}.")
    notes += [cell.failed for cell in every if cell.failed]
    return notes + about_time(run)


def about_time(cells: Iterable[Cell]) -> list[str]:
    """What the wall time of complete cells is, and whether some of it may be there twice."""
    specs = {run.spec for cell in cells for run in cell.runs}
    if not specs:
        return []
    return [TIME_NOTE, ALONG_NOTE] if any(spec.along in specs for spec in specs) else [TIME_NOTE]


def about_training(cells: Iterable[Cell]) -> list[str]:
    """How the networks of complete cells were trained, and how Yang et al. train RealSmileNet where that differs."""
    ways: dict[str, list[tuple[Cell, str]]] = {}
    printed, ours = _trained(TrainingOptions()), set()
    for cell in cells:
        spec, said = cell.spec, _trained(cell.spec.training)
        ways.setdefault(f"{said}, loss weights: {spec.training.loss}, epoch kept: {spec.selection}", []).append(
            (cell, "")
        )
        ours |= {said} if spec.model.startswith("realsmilenet") else set()
    if not ways:
        return []
    # The way of most cells is that of all others.
    *some, most = sorted(ways, key=lambda way: len(ways[way]))
    parts = [*(f"{way} ({_by_database(ways[way])})" for way in some), f"{most} (all others)" if some else most]
    end = f" Yang et al. print for RealSmileNet: {printed}." if ours - {printed} else ""
    return [f"Trained with {'; '.join(parts)}.{end}"]


def _trained(options: TrainingOptions) -> str:
    usual = as_dict(TrainingOptions())
    more = [f"{k} {value}" for k, value in as_dict(options).items() if k not in _SAID and value != usual.get(k)]
    rates = f"learning rate {options.learning_rate:g}, weight decay {options.weight_decay:g}"
    return ", ".join([f"{options.epochs} epochs, batches of {options.batch_size}, {rates}", *more])


def _by_database(cells: Iterable[tuple[Cell, str]]) -> str:
    """Name cells, each with what is said of it, by their database: "BBC: no TSA, softmax; SPOS: softmax"."""
    named: dict[str, list[str]] = {}
    for cell, said in cells:
        named.setdefault(cell.label, []).append(cell.name.removesuffix(f", {cell.label}") + said)
    return "; ".join(f"{label}: {', '.join(names)}" for label, names in named.items())


def larger_class(store: ClipStore) -> float:
    """Share of the larger class among all usable clips."""
    return metrics.majority_share(store.usable["label"])
