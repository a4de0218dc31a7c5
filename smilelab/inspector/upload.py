"""A video of one's own as a store of one clip, so that networks and anchors find what they find in any store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smilelab.clips import ClipStore, ClipStoreError
from smilelab.preprocess.process import ProcessedClip
from smilelab.preprocess.recipe import Recipe

__all__ = ["UploadStore"]

_UNKNOWN = -1


class UploadStore(ClipStore):
    """A store in memory with one clip of an unknown class.

    Parameters
    ----------
    path : Path
        The video; its name is the clip's id.
    clip : ProcessedClip
        With a face.
    recipe : Recipe
    simulated : bool
        Whether the video comes from the simulator.
    """

    def __init__(self, path: Path, clip: ProcessedClip, recipe: Recipe, *, simulated: bool) -> None:
        self.path = path
        self.recipe: dict[str, Any] = recipe.as_dict()
        self.recipe_hash = recipe.hash
        self.database, self.simulated, self.provenance = "", simulated, {}
        self.hash, self.folds_source = "", "no folds: a single video"
        self._frames = clip.frames
        self._track: dict[str, NDArray[Any]] = {
            **{"times": clip.times, "boxes": clip.boxes, "landmarks": clip.landmarks},
            **{"outlines": clip.track.outlines, "rolls": clip.track.rolls, "bridged": clip.track.bridged},
        }
        row = {
            **{"clip_id": path.name, "label": _UNKNOWN, "subject": path.stem, "sex": "", "age": np.nan, "kind": "clip"},
            **{"status": clip.status, "reason": clip.reason, "frames": len(clip.frames), "sampled": clip.sampled},
            **{"decoded": clip.decoded, "faces": clip.faces, "width": clip.width, "height": clip.height},
            **{"fps": clip.fps, "fps_source": clip.fps, "length_s": clip.length_s, "start_s": np.nan, "end_s": np.nan},
        }
        self.manifest = pd.DataFrame([row]).set_index("clip_id")

    def frames(self, clip_id: str) -> NDArray[np.uint8]:
        """(T, S, S, 3) uint8, RGB."""
        self._check(clip_id)
        return self._frames

    def track(self, clip_id: str) -> dict[str, NDArray[Any]]:
        """Where the face was: ``times``, ``boxes``, ``landmarks``, ``outlines``, ``rolls`` and ``bridged`` by frame."""
        self._check(clip_id)
        return dict(self._track)

    def reduced(self, factor: int) -> ClipStore:
        """The same clip, squares of `factor` by `factor` pixels averaged."""
        count, side = self._frames.shape[:2]
        if factor < 1 or side % factor:
            raise ClipStoreError(f"crops of {side} pixels cannot be reduced {factor} times; expected a divisor.")
        squares = self._frames.reshape(count, side // factor, factor, side // factor, factor, 3)
        total = squares.sum((2, 4), dtype=np.uint32)
        other = UploadStore.__new__(UploadStore)
        other.__dict__.update(self.__dict__)
        # Rounded as a store on disk rounds.
        other._frames = ((total + factor**2 // 2) // factor**2).astype(np.uint8)
        return other

    def folds(self) -> list[list[str]]:
        """None."""
        return []

    def _check(self, clip_id: str) -> None:
        if clip_id != self.path.name:
            raise ClipStoreError(f"{clip_id!r} is not this video; expected {self.path.name!r}.")
