"""Build clip stores from a database: in parallel, restartable, the same bytes every time.

A store's folder::

    store.json      what it is; written last, so its presence says that the store is finished
    manifest.csv    a row for every clip of the database
    folds.json      test clips of each fold
    clips/ID.npy    face crops (T, S, S, 3) uint8
    clips/ID.npz    times, boxes, landmarks, ...
    clips/ID.json   outcome; written after the two above, so its presence says that the clip is finished
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import joblib
import pandas as pd
from tqdm import tqdm

from smilelab import clips, parallel
from smilelab.clips import ClipStore, file_stem
from smilelab.files import locked, write_atomically
from smilelab.preprocess.index import checked
from smilelab.preprocess.outcomes import Row, as_json, fingerprint, read_outcome, write_outcome
from smilelab.preprocess.process import ProcessedClip, Recipe, failed, process, process_all
from smilelab.preprocess.threads import one_thread

__all__ = ["Database", "ProcessedClip", "Recipe", "build", "build_all", "fingerprint", "process"]

Folders = dict[Recipe, Path]
Task = tuple[Row, Folders]


class Database(Protocol):
    """What `build` needs of a database; those of `smilelab.datasets` have it."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def simulated(self) -> bool:
        """Whether the videos come from the simulator."""

    @property
    def provenance(self) -> dict[str, Any]:
        """The simulator's settings."""

    def index(self) -> pd.DataFrame:
        """One row a clip."""

    def folds(self) -> Any:
        """Folds, with `tests` (lists of clip ids) and `source`."""

    def fingerprint(self) -> str:
        """Eight hex digits."""


def build(
    database: Database,
    recipe: Recipe,
    root: str | os.PathLike[str] = "data/clips",
    *,
    jobs: int | None = None,
    progress: bool = True,
    limit: int | None = None,
) -> ClipStore:
    """Preprocess every clip of a database, or those that are not yet.

    A build that was interrupted, in whatever way, is completed by calling it again, to the same bytes. A clip whose
    video has changed is processed again. A second build of the same store waits for the first.

    Parameters
    ----------
    database : Database
        From `smilelab.datasets.open`.
    recipe : Recipe
        How to crop and sample.
    root : path-like
        Folder of the stores; this one is ``<root>/<name>-<recipe hash>-<database fingerprint>``.
    jobs : int, optional
        Processes, each of one thread; by default one per core.
    progress : bool
        Show a progress bar, and at the end a table of the clips that are not plainly usable.
    limit : int, optional
        Only the first so many clips of the index; such a store has a folder of its own.

    Returns
    -------
    ClipStore

    Raises
    ------
    ValueError
        If the database's index cannot be used: columns missing, a clip id twice, a label that is no class, ...
    """
    return build_all(database, [recipe], root, jobs=jobs, progress=progress, limit=limit)[0]


def build_all(
    database: Database,
    recipes: Sequence[Recipe],
    root: str | os.PathLike[str] = "data/clips",
    *,
    jobs: int | None = None,
    progress: bool = True,
    limit: int | None = None,
) -> list[ClipStore]:
    """Preprocess every clip of a database as several recipes ask for it, and decode each video once.

    The stores are those that `build` makes of each recipe, to the byte; see `process.process_all` for what recipes
    share. Of each clip, only the recipes that lack it are processed. Where several together fail on a video, by an
    unexpected error or for lack of memory, each is tried by itself.

    Parameters
    ----------
    database, root, jobs, progress, limit
        As in `build`.
    recipes : sequence of Recipe
        How to crop and sample.

    Returns
    -------
    list of ClipStore
        In the order of `recipes`.

    Raises
    ------
    ValueError
        As `build`.
    """
    index = checked(database.index(), database.name)
    folds = database.folds()  # asked first: hours of work must not end in folds that cannot be
    suffix = ""
    if limit is not None:
        index, suffix = index.head(limit), f"-first{limit}"
    fingerprinted = database.fingerprint()
    folders = {
        recipe: Path(root) / f"{database.name}-{recipe.hash}-{fingerprinted}{suffix}"
        for recipe in dict.fromkeys(recipes)
    }

    def waiting(folder: Path) -> None:
        if progress:
            print(f"{folder.name} is being built by another process; waiting for it", file=sys.stderr)

    with contextlib.ExitStack() as locks:
        for folder in sorted(folders.values()):  # in one order, lest two builds wait for each other
            (folder / clips.CLIPS_FOLDER).mkdir(parents=True, exist_ok=True)
            locks.enter_context(locked(folder / ".lock", functools.partial(waiting, folder)))
        _process_missing(folders, as_rows(index), jobs, progress)
        manifests = _manifests(folders, as_rows(index))
        for recipe, folder in folders.items():
            finish(folder, database, folds, recipe, manifests[recipe])
    if progress:
        _report(manifests)
    return [ClipStore(folders[recipe]) for recipe in recipes]


def _process_missing(folders: Folders, rows: list[Row], jobs: int | None, progress: bool) -> None:
    tasks = []
    for row in rows:
        source = fingerprint(Path(row["path"]))
        missing = {recipe: folder for recipe, folder in folders.items() if read_outcome(folder, row, source) is None}
        if missing:
            tasks.append((row, missing))
    for folder in {folder for _, missing in tasks for folder in missing.values()}:
        (folder / clips.STORE_FILE).unlink(missing_ok=True)
    apart = _process_each(tasks, len(rows), jobs, progress)
    _process_each(apart, len(apart), jobs, progress)


def _process_each(tasks: list[Task], total: int, jobs: int | None, progress: bool) -> list[Task]:
    """Process clips to disk; what is left to do: the recipes of those that failed with several, one by one."""
    if not tasks:
        return []
    done = parallel.each(_process_to_disk, tasks, jobs=min(jobs or joblib.cpu_count(), len(tasks)), died=_crashed)
    bar = tqdm(done, total=total, initial=total - len(tasks), desc="preprocess", unit="clip", disable=not progress)
    return [task for left in bar for task in left]


def as_rows(index: pd.DataFrame) -> list[Row]:
    """Rows of an index as dictionaries."""
    return [{str(key): value for key, value in row.items()} for row in index.to_dict("records")]


def _process_to_disk(row: Row, folders: Folders) -> list[Task]:
    source = fingerprint(Path(row["path"]))
    with one_thread():
        try:
            found = process_all(
                row["path"],
                [*folders],
                start_s=row["start_s"],
                end_s=row["end_s"],
                image_fps=row["fps"],
                view=row["view"],
            )
        except Exception as error:  # one clip must not stop a thousand others; the reason goes into the manifest
            if len(folders) > 1:
                return _apart(row, folders)
            found = [failed(" ".join(f"unexpected {type(error).__name__}: {error}".split()))]
    for folder, clip in zip(folders.values(), found, strict=True):
        write_outcome(folder, row, clip, source)
    return []


def _crashed(row: Row, folders: Folders) -> list[Task]:
    if len(folders) > 1:
        return _apart(row, folders)
    reason = "the process that worked on it died: its video crashes the decoder, or memory ran out"
    for folder in folders.values():
        write_outcome(folder, row, failed(reason), fingerprint(Path(row["path"])))
    return []


def _apart(row: Row, folders: Folders) -> list[Task]:
    return [(row, {recipe: folder}) for recipe, folder in folders.items()]


def _manifests(folders: Folders, rows: list[Row]) -> dict[Recipe, pd.DataFrame]:
    found: dict[Recipe, list[Row]] = {recipe: [] for recipe in folders}
    for row in rows:
        source = fingerprint(Path(row["path"]))
        for recipe, folder in folders.items():
            outcome = read_outcome(folder, row, source)
            if outcome is None:
                raise RuntimeError(f"{row['clip_id']}: changed while it was being processed. Preprocess again.")
            found[recipe].append({**row, **outcome})
    columns = list(clips.MANIFEST_COLUMNS)
    return {recipe: pd.DataFrame(table)[columns].set_index("clip_id") for recipe, table in found.items()}


class Described(Protocol):
    """A recipe, whatever it is of."""

    @property
    def hash(self) -> str:
        """Hex digits; equal recipes have equal ones."""

    def as_dict(self) -> dict[str, Any]:
        """What decides the result, as JSON can hold it."""


def finish(folder: Path, database: Database, folds: Any, recipe: Described, manifest: pd.DataFrame) -> None:
    """Write a store's tables, the last of them the one that says it is finished, and clear away what it does not hold.

    Parameters
    ----------
    folder : Path
        The store's; each clip's files are there.
    database : Database
    folds : Folds
        The database's.
    recipe : Described
    manifest : DataFrame
        As `smilelab.clips.ClipStore.manifest`, indexed by ``clip_id``.
    """
    known = set(manifest.index)
    tests = [[clip for clip in test if clip in known] for test in folds.tests]
    about = {
        "format": clips.FORMAT,
        "database": database.name,
        "simulated": bool(database.simulated),
        "provenance": database.provenance,
        "recipe": recipe.as_dict(),
        "recipe_hash": recipe.hash,
        "hash": clips.content_hash(recipe.as_dict(), manifest),
        "folds_source": folds.source,
    }
    files = {
        clips.MANIFEST_FILE: manifest.to_csv(lineterminator="\n").encode(),
        clips.FOLDS_FILE: as_json({"source": folds.source, "tests": tests}),
        clips.STORE_FILE: as_json(about),
    }
    for name, content in files.items():
        if not (folder / name).is_file() or (folder / name).read_bytes() != content:
            write_atomically(folder / name, content)
    wanted = {file_stem(clip) + end for clip in manifest.index for end in (".npy", ".npz", ".json")}
    failures = {file_stem(clip) + end for clip in manifest.index[manifest["frames"] == 0] for end in (".npy", ".npz")}
    for path in (folder / clips.CLIPS_FOLDER).iterdir():
        if path.name not in wanted - failures:
            path.unlink()


def _report(manifests: dict[Recipe, pd.DataFrame]) -> None:
    """Print what became of the clips, once where it is the same for several recipes."""
    told: dict[str, list[str]] = {}
    for recipe, manifest in manifests.items():
        told.setdefault(summary(manifest), []).append(str(recipe))
    for text, recipes in told.items():
        print("\n".join([*recipes, text] if len(manifests) > 1 else [text]))


def summary(manifest: pd.DataFrame) -> str:
    """Say how many clips can be used, and list those that cannot be used plainly."""
    counts = manifest["status"].value_counts()
    shares = ", ".join(f"{counts.get(status, 0)} {status}" for status in ("ok", "partial", "failed"))
    neutral = int((manifest["kind"] == clips.NEUTRAL_KIND).sum())
    beside = f" and {neutral} neutral recordings" if neutral else ""
    notable = manifest.loc[manifest["reason"] != "", ["status", "frames", "reason"]].sort_values(
        "status", kind="stable"
    )
    table = ["\n" + notable.to_string(max_colwidth=100)] if len(notable) else []
    return "".join([f"{len(manifest) - neutral} clips{beside}: {shares}", *table])
