"""A study: the databases, clip stores and runs behind one profile's artifacts, made where they are missing."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from smilelab import datasets, plans, runs
from smilelab.artifacts.gallery import Gallery
from smilelab.clips import ClipStore
from smilelab.preprocess import moments
from smilelab.preprocess.build import Recipe, build_all
from smilelab.preprocess.moments import MomentDatabase
from smilelab.preprocess.traces import build_traces
from smilelab.runs import RunFailure, RunResult
from smilelab.simulator import au_traces
from smilelab.simulator.databases import SIMULATOR_VERSION, simulate
from smilelab.specs import RunSpec

Wanted = Mapping[Any, Sequence[RunSpec]]
Results = list[RunResult | RunFailure]

TRACES = "au-traces"
_TRACED = "uva-nemo"  # of which simulated traces are


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
        self._varied: dict[str, str] = {}
        self._wanted: dict[str, dict[Any, Sequence[RunSpec]]] = {}
        self._stores: dict[tuple[str, str], ClipStore] = {}
        self._sources: dict[str, datasets.Database | MomentDatabase] = {}

    @property
    def runs_root(self) -> Path:
        """Folder of all runs."""
        return self.home / "data" / "runs"

    def vary(self, name: str, label: str, **options: Any) -> str:
        """Give a simulated database with other options a name of its own, and return it.

        Parameters
        ----------
        name : str
            The database.
        label : str
            What tells it apart.
        **options
            As of `simulated`, and in place of those.

        Returns
        -------
        str
            Stands for it wherever a method of the study takes a database's name.
        """
        varied = f"{name}, {label}"
        self._varied[varied], self.simulated[varied] = name, dict(options)
        return varied

    def database(self, name: str) -> datasets.Database:
        """Open a database: the user's copy where a folder was given, else a simulated one, made if it is missing."""
        kind = self._varied.get(name, name)
        if name in self.folders:
            return datasets.open(kind, self.home / Path(self.folders[name]).expanduser())
        options = {"seed": 1, **self.simulated.get(name, {})}
        if "resolution" in options:
            width, height = options["resolution"]
            options["resolution"] = (int(width), int(height))
        traced = kind == TRACES
        made = _TRACED if traced else kind
        root = self.home / "data" / "raw" / "simulated" / _folder_name(made, options)
        # Traces need no videos; those of a database that has some come to lie beside them.
        more = {"metadata_only": True, "au_traces": True} if traced else {}
        simulate(made, root, jobs=self.jobs, **{**options, **more})
        return datasets.open(kind, au_traces.folder(root) if traced else root)

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
        return self.stores(name, [recipe or self.recipe])[0]

    def stores(self, name: str, recipes: Sequence[Recipe]) -> list[ClipStore]:
        """Preprocess a database with several recipes, each video decoded once; stores in the recipes' order."""
        if missing := [recipe for recipe in recipes if (name, recipe.hash) not in self._stores]:
            built = self._built(self.source(name), missing)
            self._stores |= {(name, recipe.hash): store for recipe, store in zip(missing, built, strict=True)}
        return [self._stores[name, recipe.hash] for recipe in recipes]

    def _built(self, source: datasets.Database | MomentDatabase, recipes: Sequence[Recipe]) -> list[ClipStore]:
        folder = self.home / "data" / "clips"
        if source.name == TRACES:  # nothing to crop
            return [build_traces(source, folder)] * len(recipes)
        return build_all(source, recipes, folder, jobs=self.jobs)

    def plan(self, experiment: str, wanted: Wanted) -> None:
        """Say what is going to run for an experiment, so that ``smilelab status`` can tell how far it is.

        Parameters
        ----------
        experiment : str
            Its name: the id of the artifact it is for.
        wanted : mapping of key to sequence of RunSpec
            Specifications by what they are for, on stores that this study has opened.
        """
        self._wanted[experiment] = dict(wanted)
        specs = [spec for some in wanted.values() for spec in some]
        plans.register(self.runs_root, self.gallery.profile, experiment, specs)

    def run(self, experiment: str) -> dict[Any, Results]:
        """Run what is not finished of a planned experiment, on a GPU where there is one; all its results, by key."""
        wanted = self._wanted[experiment]
        specs = [spec for some in wanted.values() for spec in some]
        device = "cuda" if torch.cuda.is_available() else "cpu"
        # Networks on windows fill a GPU's memory one at a time.
        alone = device == "cuda" and any(spec.windows is not None for spec in specs)
        stores = list(self._stores.values())
        results = iter(runs.run_all(specs, stores, self.runs_root, jobs=1 if alone else self.jobs, device=device))
        return {key: [next(results) for _ in some] for key, some in wanted.items()}

    def finished(self, wanted: Wanted) -> dict[Any, Results]:
        """Return those of the runs that are finished, by key, without running any."""
        return {
            key: [result for spec in some if (result := runs.find(spec, self.runs_root)) is not None]
            for key, some in wanted.items()
        }


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
        said = "+".join(map(str, value)) if isinstance(value, list | tuple) else value
        parts.append(text if value is True else f"no-{text}" if value is False else f"{text}-{said}")
    return "-".join(parts)
