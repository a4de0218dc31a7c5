"""Finished runs as they lie in their folders: found, loaded, and read together."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import load_file

from smilelab import models
from smilelab.clips import ClipStore
from smilelab.effort import Effort
from smilelab.parts import Part, parts_of
from smilelab.specs import RunError, RunSpec

# A subject may be called "NA"; and what was written is read back to the last bit.
_PLAIN_TEXT: dict[str, Any] = {"keep_default_na": False, "float_precision": "round_trip"}
_RESULT_FILES = ("spec.json", "metrics.json", "history.csv", "predictions.csv", "model.safetensors", "environment.json")


@dataclass(frozen=True)
class RunResult:
    """A finished run, read from its folder."""

    spec: RunSpec
    folder: Path

    @property
    def metrics(self) -> dict[str, float]:
        """Scores on the test fold, the epoch kept, clip and subject counts, seconds."""
        return json.loads((self.folder / "metrics.json").read_text(encoding="utf-8"))

    @property
    def history(self) -> pd.DataFrame:
        """One row an epoch."""
        return pd.read_csv(self.folder / "history.csv")

    @property
    def predictions(self) -> pd.DataFrame:
        """One row a test clip: ``clip_id, subject, label, probability, fold, seed``.

        Of a run on windows one row a window, with its first frame ``start``; under Lee & Lee's protocol also the
        validation subjects, told apart by ``part`` ("test" or "validation"); of one tested on other databases also
        ``database``.
        """
        return pd.read_csv(self.folder / "predictions.csv", dtype={"clip_id": str, "subject": str}, **_PLAIN_TEXT)

    @property
    def weights(self) -> Path:
        """The kept weights."""
        return self.folder / "model.safetensors"

    @property
    def effort(self) -> Effort:
        """Time of the run over all its attempts; of one that came along, that of the training both share.

        The processor's is NaN in runs of versions that did not measure it.
        """
        environment = json.loads((self.folder / "environment.json").read_text(encoding="utf-8"))
        return Effort(float(environment["seconds"]), float(environment.get("processor_seconds", math.nan)))

    def model(self) -> torch.nn.Module:
        """Build the network with the kept weights, in evaluation mode."""
        model = models.build(self.spec.model, **dict(self.spec.model_options))
        model.load_state_dict(load_file(self.weights))
        return model.eval()

    def samples(self, store: ClipStore, part: str = "test", *, others: Sequence[ClipStore] = ()) -> Part:
        """Return what the run was tested (or trained, or validated) on, with the anchors of its model.

        Parameters
        ----------
        store : ClipStore
            The store that the specification names.
        part : {"train", "validation", "test"}
        others : sequence of ClipStore
            Where it was tested on other databases, their stores.
        """
        rule = models.anchor_rule(self.spec.model) if self.spec.model in models.names() else "none"
        return getattr(_parts(self.spec, store, rule, tuple(others)), part)


# A figure asks for the same few runs' samples many times over, and reduced frames are made in memory.
_parts = functools.lru_cache(maxsize=4)(parts_of)


@dataclass(frozen=True)
class RunFailure:
    """A run that raised; the next :func:`run_all` tries it again."""

    spec: RunSpec
    error: str


def find(spec: RunSpec, root: str | Path) -> RunResult | None:
    """Return the finished run of a specification, None where there is none yet."""
    folder = Path(root) / spec.hash
    return RunResult(spec, folder) if all((folder / name).is_file() for name in _RESULT_FILES) else None


def load(folder: str | Path) -> RunResult:
    """Return the finished run in a folder.

    Raises
    ------
    RunError
        There is no finished run.
    """
    folder = Path(folder)
    if not all((folder / name).is_file() for name in _RESULT_FILES):
        raise RunError(f"{folder}: no finished run here; `smilelab status` and data/runs show which there are.")
    return RunResult(RunSpec.from_dict(json.loads((folder / "spec.json").read_text(encoding="utf-8"))), folder)


def predictions_of(results: Iterable[RunResult | RunFailure]) -> pd.DataFrame:
    """Stack the predictions of finished runs (folds and trials); failures contribute nothing."""
    frames = [result.predictions for result in results if isinstance(result, RunResult)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def collect(root: str | Path) -> pd.DataFrame:
    """One row per finished run under ``root``: its specification beside its metrics."""
    rows = []
    for path in sorted(Path(root).glob("*/metrics.json")):
        spec = json.loads((path.parent / "spec.json").read_text(encoding="utf-8"))
        rows.append({"run": path.parent.name, **spec, **json.loads(path.read_text(encoding="utf-8"))})
    return pd.DataFrame(rows)


def failures(root: str | Path) -> pd.DataFrame:
    """One row per recorded failure under ``root``: run and error."""
    paths = sorted(Path(root).glob("*.failed.json"))
    return pd.DataFrame([json.loads(path.read_text(encoding="utf-8")) for path in paths])
