"""Runs whose predictions were made by hand, and a store that tells the subjects' sex and age."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from memory_store import FOLDS, MemoryStore

from smilelab import protocols, runs, specs
from smilelab.effort import Effort
from smilelab.training import TrainingOptions

SECONDS = 30.0


class PeopleStore(MemoryStore):
    """Subjects s00, s01, ... with a clip of each class; the first half female, every other one a child.

    Fold k + 1 tests the subjects whose number is k modulo 3.
    """

    def __init__(self, database="uva-nemo", subjects=12, posed=True):
        super().__init__()
        self.database, self.hash = database, f"{database}............"[:12]
        numbers = [n for n in range(subjects) for _ in (0, 1)]
        table = pd.DataFrame({"label": [0, 1] * subjects, "subject": [f"s{n:02d}" for n in numbers]})
        table["clip_id"] = table["subject"] + "_" + table["label"].astype(str)
        table["sex"] = ["female" if n < subjects / 2 else "male" for n in numbers]
        table["age"] = [12.0 if n % 2 else 40.0 for n in numbers]
        if not posed:
            # Only the first two subjects pose.
            table = table[(table["label"] == 1) | table["subject"].isin(["s00", "s01"])]
        self.usable = self.manifest = table.set_index("clip_id")

    def folds(self):
        at = [int(subject[1:]) % FOLDS for subject in self.usable["subject"]]
        return [list(group) for _, group in self.usable.index.to_series().groupby(at)]


class Run(runs.RunResult):
    """A run that is in no folder."""

    predictions = None
    metrics = None
    effort = Effort(SECONDS, SECONDS / 2)


def made_runs(store, wrong=lambda row: False, *, tests=(), epoch=3, options=None, **fields):
    """Runs of a specification on a store, right but where `wrong(row)` says so.

    A row has ``clip_id, subject, label, fold, seed``, ``place`` (of the clip in its fold) and of other databases
    ``database``. Probabilities are .9 and .1 where right, .8 and .2 where wrong.
    """
    training = options or TrainingOptions(epochs=7)
    results = []
    for spec in specs.specify(store, tests=list(tests), training=training, **fields):
        division = protocols.divisions(store, spec.protocol)[spec.fold - 1]
        if tests:
            table = pd.concat([_tested(other, other.usable.index).assign(database=other.database) for other in tests])
        else:
            table = _tested(store, list(division.test))
        table = table.reset_index(drop=True).assign(fold=spec.fold, seed=spec.seed)
        table["place"] = range(len(table))
        table["probability"] = [
            (0.2 if wrong(row) else 0.9) if row["label"] else (0.8 if wrong(row) else 0.1)
            for row in table.to_dict("records")
        ]
        counts = {"n": len(table), "train_clips": len(division.train), "epoch": epoch}
        results.append(run_of(spec, table.drop(columns="place"), counts))
    return results


def run_of(spec, predictions, counts):
    kind = type("Run", (Run,), {"predictions": predictions, "metrics": counts})
    return kind(spec, Path("nowhere"))


def _tested(store, clip_ids):
    return store.usable.loc[clip_ids, ["subject", "label"]].rename_axis("clip_id").reset_index()
