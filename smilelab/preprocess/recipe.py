"""How clips are cropped and sampled, and the hash that names it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, get_args

from smilelab.preprocess.crops import KINDS, Kind
from smilelab.preprocess.tracks import Boxes

# Raised whenever the same recipe comes to give other pixels, so that stores made before are not mistaken for new ones.
_ALGORITHM = 1


@dataclass(frozen=True)
class Recipe:
    """How clips are cropped and sampled.

    Parameters
    ----------
    crop : {"box", "chip", "outline"}
        What is cut out; see `crops.crop`.
    size : int
        Side of the crops, px.
    fps : float or None
        Frames per second, sampled by time; None keeps every frame.
    boxes : {"smooth", "per-frame"}
        ``smooth`` boxes from landmarks, or the detector's box of each frame as it is.

    Raises
    ------
    ValueError
        If a value is not one of these.

    Source: the defaults are those of Yang et al. 2020, "Implementation details" (5 frames per second, 48 x 48), except
    for the smooth boxes; theirs are ``per-frame``.
    """

    crop: Kind = "box"
    size: int = 48
    fps: float | None = 5.0
    boxes: Boxes = "smooth"

    def __post_init__(self) -> None:
        if self.crop not in KINDS:
            raise ValueError(f"crop is {self.crop!r}; expected one of {', '.join(KINDS)}")
        if self.boxes not in get_args(Boxes):
            raise ValueError(f"boxes is {self.boxes!r}; expected one of {', '.join(get_args(Boxes))}")
        if not isinstance(self.size, int) or not 8 <= self.size <= 1024:
            raise ValueError(f"size is {self.size!r}; expected a whole number of pixels from 8 to 1024")
        if self.fps is not None:
            if not 0 < self.fps <= 1000:
                raise ValueError(f"fps is {self.fps!r}; expected frames per second, or None for every frame")
            object.__setattr__(self, "fps", float(self.fps))

    def as_dict(self) -> dict[str, Any]:
        """Fields by name, and the version of the algorithm."""
        return {**asdict(self), "algorithm": _ALGORITHM}

    @staticmethod
    def from_dict(content: dict[str, Any]) -> Recipe:
        """Read back what `as_dict` gave; a ValueError if another version of the algorithm wrote it."""
        content = dict(content)
        version = content.pop("algorithm", None)
        if version != _ALGORITHM:
            raise ValueError(f"recipe of preprocessing version {version}; this is version {_ALGORITHM}")
        return Recipe(**content)

    @property
    def hash(self) -> str:
        """12 hex digits; equal recipes have equal ones."""
        content = json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()[:12]
