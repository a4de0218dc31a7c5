"""A study: the databases, clip stores and runs behind one profile's artifacts, made where they are missing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from smilelab import datasets, runs
from smilelab.artifacts.gallery import Gallery
from smilelab.clips import ClipStore
from smilelab.preprocess.build import Recipe, build
from smilelab.runs import RunFailure, RunResult
from smilelab.simulator.databases import SIMULATOR_VERSION, simulate
from smilelab.specs import RunSpec, specify
from smilelab.training import TrainingOptions


def home() -> Path:
    """Return the project folder: ``SMILELAB_HOME``, else the nearest folder upwards with ``notebooks/profiles``."""
    if named := os.environ.get("SMILELAB_HOME"):
        return Path(named).expanduser().resolve()
    here = Path.cwd()
    return next((place for place in (here, *here.parents) if (place / "notebooks" / "profiles").is_dir()), here)


class Study:
    """What the notebooks of one profile share.

    Parameters
    ----------
    profile : str
        Name of the profile; artifacts go to ``figures/<profile>``.
    databases : mapping of str to str, optional
        Database name to its folder. A database that is not named is simulated.
    simulated_subjects : int
        Subjects per simulated database.
    simulated_seed : int
        Seed of the simulator.
    simulated_size : tuple of int
        Width and height of simulated videos in pixels.
    length_matched : bool
        Simulated clip lengths carry no information about the class.
    recipe : Recipe
        How clips are cropped, resized and sampled.
    jobs : int
        Processes; 0 means all cores.
    """

    def __init__(
        self,
        profile: str,
        *,
        databases: Mapping[str, str] | None = None,
        simulated_subjects: int = 20,
        simulated_seed: int = 1,
        simulated_size: Sequence[int] = (640, 360),
        length_matched: bool = False,
        recipe: Recipe | None = None,
        jobs: int = 0,
    ) -> None:
        self.home = home()
        self.folders = {name: str(folder) for name, folder in (databases or {}).items()}
        for name in self.folders:
            datasets.kind(name)
        width, height = simulated_size
        self.simulation: dict[str, Any] = {
            "subjects": simulated_subjects,
            "seed": simulated_seed,
            "resolution": (int(width), int(height)),
            "length_matched": length_matched,
        }
        self.recipe = recipe or Recipe()
        self.jobs = jobs or None
        self.gallery = Gallery(profile, self.home / "figures", self.home)
        self._stores: dict[str, ClipStore] = {}

    @property
    def runs_root(self) -> Path:
        """Folder of all runs."""
        return self.home / "data" / "runs"

    def database(self, name: str) -> datasets.Database:
        """Open a database: the user's copy where a folder was given, else a simulated one, made if it is missing."""
        if name in self.folders:
            return datasets.open(name, self.home / Path(self.folders[name]).expanduser())
        width, height = self.simulation["resolution"]
        # The version is in the name: a newer simulator makes a database of its own beside an older one's.
        parts = [
            name,
            f"v{SIMULATOR_VERSION}",
            f"{self.simulation['subjects']}-subjects",
            f"seed-{self.simulation['seed']}",
            f"{width}x{height}",
        ]
        if self.simulation["length_matched"]:
            parts.append("length-matched")
        root = self.home / "data" / "raw" / "simulated" / "-".join(parts)
        simulate(name, root, jobs=self.jobs, **self.simulation)
        return datasets.open(name, root)

    def store(self, name: str) -> ClipStore:
        """Preprocess a database with the study's recipe, or open the store when that is done already."""
        if name not in self._stores:
            database = self.database(name)
            self._stores[name] = build(database, self.recipe, self.home / "data" / "clips", jobs=self.jobs)
        return self._stores[name]

    def specs(
        self, name: str, *, training: TrainingOptions, folds: Sequence[int] = (), trials: int = 1, **fields: Any
    ) -> list[RunSpec]:
        """Specify runs on a database: one per fold and trial."""
        return specify(self.store(name), folds=folds, trials=trials, training=training, **fields)

    def run(self, name: str, specs: Sequence[RunSpec]) -> list[RunResult | RunFailure]:
        """Run what is not finished, on a GPU where there is one, and return all results."""
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return runs.run_all(specs, self.store(name), self.runs_root, jobs=self.jobs, device=device)

    def finished(self, specs: Sequence[RunSpec]) -> list[RunResult]:
        """Return those of the runs that are finished, without running any."""
        found = (runs.find(spec, self.runs_root) for spec in specs)
        return [result for result in found if result is not None]
