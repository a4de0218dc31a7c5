"""Whole clips for hand-crafted methods: frames, landmarks and traces, and features that are computed once a clip."""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smilelab import parallel
from smilelab.clips import ClipStore, ClipStoreError, file_stem
from smilelab.files import write_atomically
from smilelab.preprocess.crops import KINDS, in_picture

Features = dict[str, NDArray[np.float64]]
FOLDER = "features"
_SECONDS, _CLIP = "extraction_seconds", "clip_digest"


class FeatureError(ValueError):
    """A clip from which a method cannot compute its features; the message says which and why."""


@dataclass(frozen=True)
class View:
    """One clip of a store, as methods look at it: not at its class, nor at its subject or name, which hold the class.

    Attributes
    ----------
    store : ClipStore
    clip_id : str
    """

    store: ClipStore
    clip_id: str

    @property
    def digest(self) -> str:
        """Of the clip's content and of the file it was made from."""
        row = self.store.manifest.loc[self.clip_id]
        return f"{row['sha256']}-{row['source']}"

    @cached_property
    def frames(self) -> NDArray[np.uint8]:
        """uint8 (T, S, S, 3): RGB face crops."""
        return self.store.frames(self.clip_id)

    @cached_property
    def track(self) -> Mapping[str, NDArray[Any]]:
        """See :meth:`smilelab.clips.ClipStore.track`."""
        return self.store.track(self.clip_id)

    @property
    def times(self) -> NDArray[np.float64]:
        """float64 (T,), s from the first frame of the video."""
        return np.asarray(self.track["times"], np.float64)

    @property
    def landmarks(self) -> NDArray[np.float64]:
        """float64 (T, 68, 2), px of the video's upright frame."""
        return np.asarray(self.track["landmarks"], np.float64)

    @cached_property
    def crop_landmarks(self) -> NDArray[np.float64]:
        """float64 (T, 68, 2), px of the crops, pixel centres at integers."""
        kind, size = str(self.store.recipe["crop"]), int(self.store.recipe["size"])
        if kind not in KINDS:
            raise FeatureError(f"{self.store.path.name}: no crops here; expected a store of crops for this method.")
        rolls = self.track["rolls"] if kind != "box" else np.zeros(len(self.times))
        return in_picture(self.landmarks, self.track["boxes"], size, kind=kind, rolls=rolls)  # type: ignore[arg-type]

    @cached_property
    def traces(self) -> pd.DataFrame:
        """Action units over time: ``time_s`` and a column an action unit, of stores that hold traces."""
        return self.store.traces(self.clip_id)


class Extractor:
    """Computes the features of a clip, whatever its class.

    Parameters
    ----------
    name : str
        For people and folders.
    version : int
        Raised whenever the same clip comes to give other features.
    compute : callable
        View -> arrays by name, the same names for every clip; none may hold NaN.
    **options
        What else decides the features; given to `compute`.
    """

    def __init__(self, name: str, version: int, compute: Callable[..., Features], **options: Any) -> None:
        self.name, self.version, self.compute, self.options = name, version, compute, options

    @property
    def hash(self) -> str:
        """Eight hex digits of name, version and options."""
        told = json.dumps([self.name, self.version, self.options], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:8]

    def of(self, view: View) -> Features:
        """Features of a clip, from the store's folder where they have been computed before.

        Raises
        ------
        FeatureError
            They cannot be computed, or hold NaN.
        """
        known = self._known(view)
        return self._computed(view) if known is None else known[0]

    def seconds(self, view: View) -> float:
        """Processor time, s, that the computation of a clip's features has taken; NaN where none has been."""
        known = self._known(view)
        return float("nan") if known is None else known[1]

    def are_known(self, view: View) -> bool:
        """Whether the features of a clip, as it is now, have been computed before."""
        return self._known(view) is not None

    def _known(self, view: View) -> tuple[Features, float] | None:
        try:
            with np.load(self._path(view), allow_pickle=False) as arrays:
                found = {name: arrays[name] for name in arrays.files}
                if str(found.pop(_CLIP)) != view.digest:
                    return None
                return found, float(found.pop(_SECONDS))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def _path(self, view: View) -> Path:
        return view.store.path / FOLDER / f"{self.name}-{self.hash}" / f"{file_stem(view.clip_id)}.npz"

    def _computed(self, view: View) -> Features:
        path = self._path(view)
        started = time.process_time()
        try:
            found = {name: np.asarray(value, np.float64) for name, value in self.compute(view, **self.options).items()}
        except ClipStoreError as error:
            raise FeatureError(f"{view.clip_id}: {error}") from None
        if bad := [name for name, value in found.items() if not np.isfinite(value).all()]:
            raise FeatureError(f"{view.clip_id}: {self.name} gives {bad[0]} that is not finite; expected numbers.")
        buffer = io.BytesIO()
        about = {_SECONDS: np.array(time.process_time() - started), _CLIP: np.array(view.digest)}
        np.savez_compressed(buffer, **found, **about)  # type: ignore[arg-type]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, buffer.getvalue())
        return found


class ClipSamples(Sequence[NDArray[np.uint8]]):
    """Whole clips, of one store or of several, as `smilelab.baselines.Samples`.

    Parameters
    ----------
    table : pandas.DataFrame
        ``clip_id, subject, label``, and ``database`` where there are several stores.
    stores : sequence of ClipStore
        The store, or those that ``database`` names.
    """

    def __init__(self, table: pd.DataFrame, stores: Sequence[ClipStore]) -> None:
        self.table = table.reset_index(drop=True)
        self._stores = {store.database: store for store in stores}
        self.store = stores[0]

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, at: int) -> NDArray[np.uint8]:  # type: ignore[override]
        return self.view(at).frames

    def view(self, at: int) -> View:
        """The clip of a row."""
        row = self.table.iloc[at]
        return View(self._stores[row["database"]] if "database" in self.table else self.store, str(row["clip_id"]))

    def features(self, extractor: Extractor) -> list[Features]:
        """Features of every clip, in the table's order."""
        return [extractor.of(self.view(at)) for at in range(len(self))]


def prepare(
    store: ClipStore, extractors: Iterable[Extractor], *, jobs: int | None = None, progress: bool = True
) -> None:
    """Compute the features of all usable clips of a store that have not been computed, in parallel processes.

    Parameters
    ----------
    store : ClipStore
    extractors : iterable of Extractor
    jobs : int, optional
        Processes; all cores by default.
    progress : bool
        Show a bar with rate and remaining time.

    Raises
    ------
    FeatureError
        A clip from which they cannot be computed, or whose process died.
    """
    from tqdm import tqdm

    views = [View(store, str(clip_id)) for clip_id in store.usable.index]
    tasks = [
        (extractor, os.fspath(store.path), view.clip_id)
        for extractor in extractors
        for view in views
        if not extractor.are_known(view)
    ]
    if not tasks:
        return
    done = parallel.each(_compute_one, tasks, jobs=jobs, died=_died)
    shown = tqdm(done, total=len(tasks), unit="clip", desc="features", disable=not progress)
    failed = [error for error in shown if error]
    if failed:
        raise FeatureError(f"{len(failed)} of {len(tasks)} could not be computed; first: {failed[0]}")


def _compute_one(extractor: Extractor, path: str, clip_id: str) -> str:
    try:
        extractor.of(View(ClipStore(path), clip_id))
    except FeatureError as error:
        return str(error)
    return ""


def _died(extractor: Extractor, _path: str, clip_id: str) -> str:
    return f"{clip_id}: the process that computed {extractor.name} died; it may have run out of memory"
