"""Files from which an interrupted training goes on: written in one piece, checked when read, plain data only."""

from __future__ import annotations

import io
import os
import warnings
import zlib
from pathlib import Path
from typing import Any

import torch

_MAGIC = b"smilelab-checkpoint-1\n"


class OtherTraining(ValueError):
    """A checkpoint was written by a training with other settings, data or starting weights."""


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors and plain Python values) to `path` so that a kill leaves the old file or the new one."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(_MAGIC + zlib.crc32(payload).to_bytes(4, "big") + payload)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def load(path: Path, *, fingerprint: dict[str, Any]) -> dict[str, Any] | None:
    """Read what `save` wrote for this very training.

    Parameters
    ----------
    path : Path
    fingerprint : dict
        What tells one training from another; must equal the saved state's ``"fingerprint"``.

    Returns
    -------
    dict or None
        None when there is no file, or (with a warning) when it is damaged: training then starts from the beginning.

    Raises
    ------
    OtherTraining
        The file belongs to another training.
    """
    if not path.exists():
        return None
    content = path.read_bytes()
    start = len(_MAGIC) + 4
    if not content.startswith(_MAGIC) or zlib.crc32(content[start:]).to_bytes(4, "big") != content[start - 4 : start]:
        warnings.warn(f"{path} is damaged or not a checkpoint; training starts from the beginning", stacklevel=3)
        return None
    state: dict[str, Any] = torch.load(io.BytesIO(content[start:]), map_location="cpu", weights_only=True)
    found = state["fingerprint"]
    different = sorted(key for key in fingerprint.keys() | found.keys() if fingerprint.get(key) != found.get(key))
    if different:
        raise OtherTraining(
            f"{path} is the checkpoint of another training (other {', '.join(different)}); "
            "give this training another file or remove that one"
        )
    return state
