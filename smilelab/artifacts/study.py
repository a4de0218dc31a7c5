"""A study: the databases, clip stores and runs behind one profile's artifacts, made where they are missing."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from smilelab import datasets, runs
from smilelab.artifacts.gallery import Gallery
from smilelab.clips import ClipStore
from smilelab.preprocess import moments
from smilelab.preprocess.build import Recipe, build
from smilelab.preprocess.moments import MomentDatabase
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
    simulated : mapping of str to mapping, optional
        Database name to the options it is simulated with (see :func:`smilelab.simulator.databases.simulate`); what is
        not said is as in the real database.
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
        simulated: Mapping[str, Mapping[str, Any]] | None = None,
        recipe: Recipe | None = None,
        jobs: int = 0,
    ) -> None:
        self.home = home()
        self.folders = {name: str(folder) for name, folder in (databases or {}).items()}
        self.simulated = {name: dict(options or {}) for name, options in (simulated or {}).items()}
        for name in (*self.folders, *self.simulated):
            datasets.kind(name)
        known = set(inspect.signature(simulate).parameters) - {"database", "root", "jobs", "progress"}
        for name, options in self.simulated.items():
            if unknown := sorted(set(options) - known):
                raise ValueError(
                    f"simulated {name}: found option {unknown[0]!r}, expected some of {', '.join(sorted(known))}."
                )
        self.recipe = recipe or Recipe()
        self.jobs = jobs or None
        self.gallery = Gallery(profile, self.home / "figures", self.home)
        self._stores: dict[tuple[str, str], ClipStore] = {}
        self._sources: dict[str, datasets.Database | MomentDatabase] = {}

    @property
    def runs_root(self) -> Path:
        """Folder of all runs."""
        return self.home / "data" / "runs"

    def database(self, name: str) -> datasets.Database:
        """Open a database: the user's copy where a folder was given, else a simulated one, made if it is missing."""
        if name in self.folders:
            return datasets.open(name, self.home / Path(self.folders[name]).expanduser())
        options = {"seed": 1, **self.simulated.get(name, {})}
        if "resolution" in options:
            width, height = options["resolution"]
            options["resolution"] = (int(width), int(height))
        root = self.home / "data" / "raw" / "simulated" / _folder_name(name, options)
        simulate(name, root, jobs=self.jobs, **options)
        return datasets.open(name, root)

    def source(self, name: str) -> datasets.Database | MomentDatabase:
        """Return what the clips of a store are: those of the database, or the smile moments where it has recordings."""
        if name not in self._sources:
            database = self.database(name)
            recordings = (database.index()["kind"] == "recording").any()
            found = moments.find(database, self.home / "data" / "moments", jobs=self.jobs) if recordings else database
            self._sources[name] = found
        return self._sources[name]

    def store(self, name: str, recipe: Recipe | None = None) -> ClipStore:
        """Preprocess a database with the study's recipe or another, or open the store when that is done already."""
        recipe = recipe or self.recipe
        key = name, recipe.hash
        if key not in self._stores:
            self._stores[key] = build(self.source(name), recipe, self.home / "data" / "clips", jobs=self.jobs)
        return self._stores[key]

    def specs(
        self, name: str, *, training: TrainingOptions, folds: Sequence[int] = (), trials: int = 1, **fields: Any
    ) -> list[RunSpec]:
        """Specify runs on a database: one per fold and trial."""
        return specify(self.store(name), folds=folds, trials=trials, training=training, **fields)

    def run(self, name: str, specs: Sequence[RunSpec], recipe: Recipe | None = None) -> list[RunResult | RunFailure]:
        """Run what is not finished on a database's store, on a GPU where there is one, and return all results."""
        device = "cuda" if torch.cuda.is_available() else "cpu"
        # Networks on windows fill a GPU's memory one at a time.
        alone = device == "cuda" and any(spec.windows is not None for spec in specs)
        store = self.store(name, recipe)
        return runs.run_all(specs, store, self.runs_root, jobs=1 if alone else self.jobs, device=device)

    def finished(self, specs: Sequence[RunSpec]) -> list[RunResult]:
        """Return those of the runs that are finished, without running any."""
        found = (runs.find(spec, self.runs_root) for spec in specs)
        return [result for result in found if result is not None]


def _folder_name(name: str, options: Mapping[str, Any]) -> str:
    """Name of a simulated database's folder, another one for other settings."""
    options = dict(options)
    # The version is in the name: a newer simulator makes a database of its own beside an older one's.
    parts = [name, f"v{SIMULATOR_VERSION}"]
    parts += [f"{options.pop(what)}-{what}" for what in ("subjects", "clips") if options.get(what) is not None]
    parts.append(f"seed-{options.pop('seed')}")
    if size := options.pop("resolution", None):
        parts.append(f"{size[0]}x{size[1]}")
    for key, value in sorted(options.items()):
        text = key.replace("_", "-")
        parts.append(text if value is True else f"no-{text}" if value is False else f"{text}-{value}")
    return "-".join(parts)
