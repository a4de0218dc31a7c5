"""Reading preprocessed clips: one array of face crops or of traces per clip, and a manifest.

Needs numpy and pandas alone.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FORMAT = 1
STORE_FILE, MANIFEST_FILE, FOLDS_FILE, CLIPS_FOLDER = "store.json", "manifest.csv", "folds.json", "clips"
TEXT_COLUMNS = ("clip_id", "subject", "sex", "kind", "status", "reason", "sha256", "source")
COUNT_COLUMNS = ("label", "frames", "sampled", "decoded", "faces", "width", "height")
NUMBER_COLUMNS = ("age", "fps", "fps_source", "length_s", "start_s", "end_s")
MANIFEST_COLUMNS = (
    *("clip_id", "label", "subject", "sex", "age", "kind", "status", "reason", "frames", "sampled", "decoded", "faces"),
    *("width", "height", "fps", "fps_source", "length_s", "start_s", "end_s", "sha256", "source"),
)

NEUTRAL_KIND = "neutral"

_UNREADABLE = (OSError, ValueError, EOFError, zipfile.BadZipFile)
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


class ClipStoreError(ValueError):
    """A folder is not a finished clip store, or a clip in it cannot be read."""


class ClipStore:
    """Preprocessed clips of one database under one recipe, as written by ``smilelab preprocess``.

    Parameters
    ----------
    path : path-like
        The store's folder.

    Attributes
    ----------
    path : Path
    recipe : dict
        How the clips were cropped and sampled.
    recipe_hash : str
        12 hex digits of the recipe.
    database : str
        Name of the database.
    simulated : bool
        Whether the videos come from the simulator.
    provenance : dict
        The simulator's settings; empty for a real database.
    hash : str
        12 hex digits over the recipe and every clip's id, label, subject and content.
    folds_source : str
        Where the folds come from, to be printed under every table.

    Raises
    ------
    ClipStoreError
        If the folder is not a finished store.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        about = self._json(STORE_FILE)
        if about.get("format") != FORMAT:
            raise ClipStoreError(
                f"{self.path}: store format {about.get('format')!r}; expected {FORMAT}. Preprocess the database again."
            )
        try:
            self.recipe: dict[str, Any] = dict(about["recipe"])
            self.recipe_hash = str(about["recipe_hash"])
            self.database = str(about["database"])
            self.simulated = bool(about["simulated"])
            self.provenance: dict[str, Any] = dict(about["provenance"])
            self.hash = str(about["hash"])
            self.folds_source = str(about["folds_source"])
        except (KeyError, TypeError, ValueError) as error:
            raise ClipStoreError(
                f"{self.path / STORE_FILE}: lacks or garbles {error}. Preprocess the database again."
            ) from None

    def __repr__(self) -> str:
        neutral = int((self.manifest["kind"] == NEUTRAL_KIND).sum())
        clips = f"{len(self.usable)} of {len(self.manifest) - neutral} clips"
        beside = f" and {len(self.neutral)} of {neutral} neutral recordings" if neutral else ""
        return f"ClipStore({str(self.path)!r}): {clips}{beside} of {self.database}"

    def __len__(self) -> int:
        """Number of usable clips."""
        return len(self.usable)

    @functools.cached_property
    def manifest(self) -> pd.DataFrame:
        """One row for every clip of the database, indexed by ``clip_id``.

        ``label`` (1 spontaneous, 0 posed, -1 neutral), ``subject``, ``sex``, ``age``, ``kind`` are the database's.
        ``status`` is "ok", "partial" or "failed", and ``reason`` says why. ``frames`` counts the crops, ``sampled`` the
        frames looked at, ``decoded`` those of the video, ``faces`` the most faces seen at once. ``width`` and
        ``height`` px, ``fps_source`` (measured; ``fps`` is the declared one) and ``length_s`` describe the video;
        ``start_s`` and ``end_s`` the part of it that was asked for. ``sha256`` is of the crops and times, ``source`` a
        fingerprint of the video file.
        """
        path = self.path / MANIFEST_FILE
        try:
            types: dict[str, Any] = dict.fromkeys(TEXT_COLUMNS, "str") | dict.fromkeys(COUNT_COLUMNS, "int64")
            # Empty cells are missing numbers, but never missing text: a subject may be called "NA".
            missing = {column: [""] for column in NUMBER_COLUMNS}
            table = pd.read_csv(
                path, dtype=types, keep_default_na=False, na_values=missing, float_precision="round_trip"
            )
            table = table.astype(dict.fromkeys(NUMBER_COLUMNS, "float64")).set_index("clip_id")
        except (OSError, ValueError, KeyError) as error:
            raise ClipStoreError(f"{path}: cannot be read ({error}). Preprocess the database again.") from None
        return table

    @functools.cached_property
    def usable(self) -> pd.DataFrame:
        """Rows of the manifest with frames and a class: no neutral recordings."""
        return self.manifest[(self.manifest["frames"] > 0) & (self.manifest["kind"] != NEUTRAL_KIND)]

    @functools.cached_property
    def neutral(self) -> pd.DataFrame:
        """Rows of the manifest with frames of a neutral face; they belong to no class and to no fold."""
        return self.manifest[(self.manifest["frames"] > 0) & (self.manifest["kind"] == NEUTRAL_KIND)]

    def frames(self, clip_id: str) -> NDArray[np.uint8]:
        """Face crops of one clip.

        Parameters
        ----------
        clip_id : str

        Returns
        -------
        (T, S, S, 3) uint8 array
            RGB; a read-only memory map.

        Raises
        ------
        ClipStoreError
            If there is no such clip, it failed, or its file is damaged.
        """
        path = self._file(clip_id, ".npy")
        if not self.has_frames:
            raise ClipStoreError(f"{self.path.name}: holds traces of action units, expected face crops.")
        try:
            frames: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
        except _UNREADABLE as error:
            raise self._damaged(path, error) from None
        count = int(self.manifest["frames"][clip_id])
        if frames.ndim != 4 or frames.dtype != np.uint8 or len(frames) != count:
            raise self._damaged(path, f"{frames.dtype} {frames.shape}, expected uint8 ({count}, S, S, 3)")
        return frames

    def reduced(self, factor: int) -> ClipStore:
        """The same clips at a fraction of their size.

        Parameters
        ----------
        factor : int
            Squares of so many by so many pixels become one, their mean; 1 gives the store itself.

        Returns
        -------
        ClipStore
            Whose `frames` are computed once a clip and kept in memory.

        Raises
        ------
        ClipStoreError
            If `factor` does not divide the side of the crops.
        """
        return self if factor == 1 else _Reduced(self, factor)

    def times(self, clip_id: str) -> NDArray[np.float64]:
        """Times (T,) of a clip's frames, s from the first frame of the video file."""
        times: NDArray[np.float64] = self.track(clip_id)["times"]
        return times

    def track(self, clip_id: str) -> dict[str, NDArray[Any]]:
        """Where the face was, frame by frame.

        Parameters
        ----------
        clip_id : str

        Returns
        -------
        dict of arrays
            ``times`` (T,) s; ``boxes`` (T, 4) px; ``rolls`` (T,) rad; ``landmarks`` and ``outlines`` (T, 68, 2) px;
            ``detected`` and ``bridged`` (T,) bool; ``detections`` (T, 4) px, NaN between key frames; ``faces`` (T,), -1
            between key frames. Pixels are those of the upright video frame. Of a store of traces: ``times``, ``traces``
            (T, K), ``units`` (K,) and ``bridged``.

        Raises
        ------
        ClipStoreError
            As `frames`.
        """
        path = self._file(clip_id, ".npz")
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except _UNREADABLE as error:
            raise self._damaged(path, error) from None

    @property
    def has_frames(self) -> bool:
        """Whether the clips are face crops; else they are traces of action units alone."""
        return "traces" not in self.recipe

    def traces(self, clip_id: str) -> pd.DataFrame:
        """Action units over time, of a store that holds traces.

        Parameters
        ----------
        clip_id : str

        Returns
        -------
        pandas.DataFrame
            ``time_s`` and a column an action unit, such as ``AU12``, 0 to 5; a row a frame.

        Raises
        ------
        ClipStoreError
            As `frames`, or a store of crops.
        """
        if self.has_frames:
            raise ClipStoreError(
                f"{self.path.name}: holds face crops, expected traces of action units; open the traces of this "
                "database with datasets.open('au-traces', DIR)."
            )
        track = self.track(clip_id)
        names = [str(name) for name in track["units"]]
        return pd.DataFrame(track["traces"], columns=names).assign(time_s=track["times"])[["time_s", *names]]

    def folds(self) -> list[list[str]]:
        """Test clips of each fold, usable clips only; the training clips of a fold are all others.

        Returns
        -------
        list of list of str
        """
        usable = set(self.usable.index)
        return [[clip for clip in test if clip in usable] for test in self._json(FOLDS_FILE)["tests"]]

    def _json(self, name: str) -> dict[str, Any]:
        path = self.path / name
        if not path.is_file():
            if (self.path / CLIPS_FOLDER).is_dir():
                raise ClipStoreError(
                    f"{self.path}: unfinished, {name} is missing. Run the preprocessing again: it resumes."
                )
            raise ClipStoreError(
                f"{self.path}: not a clip store, {name} is missing. Expected a folder written by `smilelab preprocess`."
            )
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ClipStoreError(f"{path}: cannot be read ({error}). Preprocess the database again.") from None
        if not isinstance(content, dict):
            raise ClipStoreError(f"{path}: holds {type(content).__name__}, expected an object. Preprocess again.")
        return content

    def _file(self, clip_id: str, suffix: str) -> Path:
        if clip_id not in self.manifest.index:
            raise ClipStoreError(
                f"{clip_id!r} is not in {self.path.name}; expected one of {len(self.manifest)} clip ids."
            )
        row = self.manifest.loc[clip_id]
        if not row["frames"]:
            raise ClipStoreError(f"{clip_id!r} has no frames: {row['reason']}. Choose from ClipStore.usable.")
        return self.path / CLIPS_FOLDER / (file_stem(clip_id) + suffix)

    def _damaged(self, path: Path, what: object) -> ClipStoreError:
        return ClipStoreError(f"{path}: damaged ({what}). Delete {self.path / STORE_FILE} and preprocess again.")


class _Reduced(ClipStore):
    """A store whose crops are averaged over squares of `factor` x `factor` pixels."""

    def __init__(self, whole: ClipStore, factor: int) -> None:
        side = whole.recipe.get("size", 0)
        if factor < 1 or side % factor:
            raise ClipStoreError(
                f"{whole.path.name}: crops of {side} pixels cannot be reduced {factor} times; expected a divisor."
            )
        super().__init__(whole.path)
        self.factor = factor
        self.hash = f"{whole.hash}/{factor}"
        self._kept: dict[str, NDArray[np.uint8]] = {}

    def frames(self, clip_id: str) -> NDArray[np.uint8]:
        """(T, S / factor, S / factor, 3) uint8."""
        if clip_id not in self._kept:
            whole, factor = super().frames(clip_id), self.factor
            total = np.zeros((len(whole), whole.shape[1] // factor, whole.shape[2] // factor, 3), np.uint32)
            for row, column in np.ndindex(factor, factor):
                total += whole[:, row::factor, column::factor]
            self._kept[clip_id] = ((total + factor**2 // 2) // factor**2).astype(np.uint8)
        return self._kept[clip_id]


def file_stem(clip_id: str) -> str:
    """File name of a clip without its ending: the id itself where it is a plain name.

    Parameters
    ----------
    clip_id : str

    Returns
    -------
    str
        Other ids are reduced to plain characters and made unique by a hash.
    """
    if _PLAIN_NAME.fullmatch(clip_id):
        return clip_id
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", clip_id)[:60].strip("-")
    return f"{plain}.{hashlib.sha256(clip_id.encode()).hexdigest()[:12]}"


def stores(root: str | os.PathLike[str]) -> list[ClipStore]:
    """Finished clip stores below a folder; those of another format are left out."""
    found = []
    for path in sorted(Path(root).glob(f"*/{STORE_FILE}")):
        with contextlib.suppress(ClipStoreError):
            found.append(ClipStore(path.parent))
    return found


def content_hash(recipe: dict[str, Any], manifest: pd.DataFrame) -> str:
    """12 hex digits over a recipe and every clip's id, label, subject and content.

    Parameters
    ----------
    recipe : dict
        JSON-able.
    manifest : DataFrame
        Indexed by ``clip_id``, with ``label``, ``subject`` and ``sha256``.

    Returns
    -------
    str
    """
    clips = [[clip, int(row.label), row.subject, row.sha256] for clip, row in manifest.sort_index().iterrows()]
    content = json.dumps([recipe, clips], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()[:12]
