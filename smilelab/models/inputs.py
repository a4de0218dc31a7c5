"""What every model checks of its input, so that a mistake is told in terms of clips and frames."""

from __future__ import annotations

import torch
from torch import Tensor


def check_input(frames: Tensor, lengths: Tensor, *, channels: int, size: int) -> None:
    """Raise a ValueError unless frames are float (N, channels, T, size, size) and lengths int (N,), each in 1..T."""
    check_frames(frames, channels=channels, size=size)
    check_lengths(frames, lengths)


def check_lengths(frames: Tensor, lengths: Tensor, *, what: str = "lengths") -> None:
    """Raise a ValueError unless `lengths` are integers (N,), each in 1..T, for frames (N, channels, T, size, size)."""
    if lengths.shape != frames.shape[:1] or lengths.is_floating_point() or lengths.dtype == torch.bool:
        raise ValueError(
            f"{what} are {lengths.dtype} of shape {tuple(lengths.shape)}; expected one integer for each of the "
            f"{frames.shape[0]} clips"
        )
    if int(lengths.min()) < 1 or int(lengths.max()) > frames.shape[2]:
        raise ValueError(
            f"{what} run from {int(lengths.min())} to {int(lengths.max())}; expected 1 to {frames.shape[2]}, the "
            "number of frames in the batch"
        )


def check_frames(frames: Tensor, *, channels: int, size: int, what: str = "frames") -> None:
    """Raise a ValueError unless `frames` are float (N, channels, T, size, size), N at least 1."""
    if frames.ndim != 5 or frames.shape[1] != channels or frames.shape[0] == 0:
        raise ValueError(
            f"{what} have shape {tuple(frames.shape)}; expected (N, {channels}, T, {size}, {size}) with N at least 1: "
            "clips, channels, time, height, width"
        )
    if tuple(frames.shape[3:]) != (size, size):
        raise ValueError(
            f"{what} are {frames.shape[3]}x{frames.shape[4]} pixels; this model was built for {size}x{size}: "
            "resize the frames or build the model with another size"
        )
    if not frames.is_floating_point():
        raise ValueError(f"{what} are {frames.dtype}; expected floats in [0, 1]: divide bytes by 255")


def check_windows(frames: Tensor, lengths: Tensor, *, channels: int, size: int, count: int) -> None:
    """As `check_input`, and every clip must be a window of exactly `count` frames."""
    check_input(frames, lengths, channels=channels, size=size)
    if frames.shape[2] != count or bool((lengths != count).any()):
        found = int(lengths.min()) if frames.shape[2] == count else frames.shape[2]
        raise ValueError(
            f"found a clip of {found} frames; this model takes windows of exactly {count}: cut longer clips into "
            "windows (smilelab.windows.Windows) and leave out shorter ones, or build the model with other frames"
        )


def check_anchor_of(anchor_of: Tensor | None, frames: Tensor, anchors: Tensor) -> Tensor:
    """Which of the anchors (A, ...) belongs to each of the clips (N, ...), (N,); by default clip n has anchor n.

    Raises
    ------
    ValueError
        There is not one anchor for each clip.
    """
    if anchor_of is None:
        if len(anchors) != len(frames):
            raise ValueError(
                f"found {len(anchors)} anchors for {len(frames)} clips; expected one each, or anchor_of to say "
                "whose is whose"
            )
        anchor_of = torch.arange(len(frames))
    if anchor_of.shape != frames.shape[:1] or not 0 <= int(anchor_of.min()) <= int(anchor_of.max()) < len(anchors):
        raise ValueError(
            f"anchor_of has shape {tuple(anchor_of.shape)}; expected the number of an anchor, 0 to "
            f"{len(anchors) - 1}, for each of the {len(frames)} clips"
        )
    return anchor_of
