"""Which clips there are to look at: the finished clip stores of a study, each beside the videos it was made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smilelab import datasets
from smilelab.artifacts.product import database_label
from smilelab.artifacts.study import Study
from smilelab.clips import STORE_FILE, ClipStore, ClipStoreError
from smilelab.preprocess import moments
from smilelab.preprocess.recipe import Recipe

__all__ = ["EXAMPLE", "Shelf", "example", "prepared"]

# Two people, a smile each: made within seconds where nothing was preprocessed yet.
EXAMPLE: dict[str, Any] = {"subjects": 2, "clips": 2, "seed": 1, "resolution": [640, 360], "max_length_s": 4.0}


@dataclass(frozen=True, eq=False)
class Shelf:
    """One clip store and what its clips were cut from.

    Attributes
    ----------
    label : str
        For the user: "simulated UvA-NEMO, 50 clips".
    store : ClipStore
    source : Database or MomentDatabase
        Its ``index()`` says in which video each clip is, and where.
    """

    label: str
    store: ClipStore
    source: Any


def prepared(study: Study, names: Iterable[str], recipes: Sequence[Recipe]) -> tuple[list[Shelf], list[str]]:
    """Finished stores of a study's databases; nothing is made, simulated or decoded.

    Parameters
    ----------
    study : Study
        Its folders and settings say which copy of a database is meant.
    names : iterable of str
        Databases.
    recipes : sequence of Recipe
        How the clips were cropped.

    Returns
    -------
    shelves : list of Shelf
        In the order of `names`, then of `recipes`.
    faults : list of str
        A sentence for each store that is damaged or whose videos are gone.
    """
    wanted, order = list(names), [recipe.hash for recipe in recipes]
    found, faults = [], []
    for path in sorted((study.home / "data" / "clips").glob(f"*/{STORE_FILE}")):
        if not any(path.parent.name.startswith(f"{name}-") for name in wanted):
            continue
        try:
            store = ClipStore(path.parent)
            if store.database in wanted and store.recipe_hash in order and _of_study(study, store):
                source = _source(study, store)
                if source is not None:
                    found.append((store, source, len(store)))
        except (ClipStoreError, datasets.DatabaseError) as error:
            faults.append(str(error))
    found.sort(key=lambda one: (wanted.index(one[0].database), order.index(one[0].recipe_hash)))
    all_of = [store.database for store, _, _ in found]
    shelves = [
        Shelf(_label(store, count, all_of.count(store.database) > 1), store, source) for store, source, count in found
    ]
    return shelves, faults


def example(study: Study) -> Shelf:
    """Simulate and preprocess two clips in UvA-NEMO's layout, or open them where that is done.

    Parameters
    ----------
    study : Study
        Where they are kept, and the recipe.

    Returns
    -------
    Shelf
    """
    own = Study(study.gallery.profile, simulated={"uva-nemo": EXAMPLE}, recipe=study.recipe, jobs=study.jobs or 0)
    store = own.store("uva-nemo")
    return Shelf(f"example: {_label(store, len(store), False)}", store, own.source("uva-nemo"))


def _label(store: ClipStore, count: int, with_recipe: bool) -> str:
    label = f"{database_label(store.database, simulated=store.simulated)}, {count} clips"
    rate = store.recipe["fps"]
    recipe = f", {store.recipe['size']} px, {f'{rate:g} a second' if rate else 'every frame'}"
    return label + recipe if with_recipe else label


def _of_study(study: Study, store: ClipStore) -> bool:
    """Whether a store can be of the copy of a database that the study means: any copy where it does not say which."""
    if store.database in study.folders or store.database not in study.simulated:
        return True
    made = {"seed": store.provenance.get("seed"), **store.provenance.get("settings", {})}
    wanted = {"seed": 1, **study.simulated.get(store.database, {})}
    if "resolution" in wanted:
        wanted["resolution"] = list(wanted["resolution"])
    return store.simulated and all(made.get(name) == value for name, value in wanted.items())


def _source(study: Study, store: ClipStore) -> Any:
    """Open what a store was made of, None where that is another copy or is gone."""
    if store.database in study.folders:
        roots = [study.home / Path(study.folders[store.database]).expanduser()]
    else:
        roots = sorted((study.home / "data" / "raw" / "simulated").glob(f"{store.database}-*"))
    for root in roots:
        if not root.is_dir() or (store.simulated and not (root / datasets.base.SIMULATION_MARKER).is_file()):
            continue
        try:
            database: Any = datasets.open(store.database, root)
        except datasets.DatabaseError:
            if store.database in study.folders:
                raise
            continue  # traces alone, or one that is being made
        if store.simulated and database.provenance != store.provenance:
            continue
        if (database.index()["kind"] == "recording").any():
            database = moments.find(database, study.home / "data" / "moments", jobs=study.jobs, progress=False)
        if store.path.name.endswith(f"-{database.fingerprint()}"):
            return database
    return None
