"""Random variants of training clips, made on the device: mirrored, and slightly smaller crops."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from smilelab.scoring import Batch, to_input

__all__ = ["augmented", "crop_and_resize"]


def augmented(
    batch: Batch, device: torch.device, generator: torch.Generator, *, flip: bool, crop: float
) -> tuple[Tensor, ...]:
    """Bytes of a batch -> what a model is called with, mirrored and cropped at random.

    A window and its anchor, and all windows that share an anchor, are changed alike: what differs between them is the
    person's face, not the camera.

    Parameters
    ----------
    batch : Batch
    device : torch.device
    generator : torch.Generator
        Decides everything; it moves on.
    flip : bool
        Mirror left to right with probability one half.
    crop : float
        Largest share of the side that is cut off, 0 to below 1; the rest is resized to the side.

    Returns
    -------
    tuple of Tensor
        ``(frames, lengths)``, or ``(frames, lengths, anchors, anchor_of)``.
    """
    pictures = [some.to(device, non_blocking=True) for some in (batch.frames, batch.anchors) if some is not None]
    drawn = len(pictures[-1])
    of = [torch.arange(drawn)] if batch.anchor_of is None else [batch.anchor_of, torch.arange(drawn)]
    if flip:
        mirrored = (torch.rand(drawn, generator=generator) < 0.5).to(device)
        pictures = [
            torch.where(mirrored[which.to(device), None, None, None, None], some.flip(3), some)
            for some, which in zip(pictures, of, strict=True)
        ]
    inputs = [to_input(some, device) for some in pictures]
    if crop:
        side = 1 - crop * torch.rand(drawn, generator=generator)
        left, top = (torch.rand(drawn, generator=generator) * (1 - side) for _ in range(2))
        boxes = torch.stack([left, top, side], 1).to(device)
        inputs = [crop_and_resize(some, boxes[which.to(device)]) for some, which in zip(inputs, of, strict=True)]
    if batch.anchor_of is None:
        return inputs[0], batch.lengths
    return inputs[0], batch.lengths, inputs[1], batch.anchor_of


def crop_and_resize(frames: Tensor, boxes: Tensor) -> Tensor:
    """Cut a square out of every frame of each clip and resize it, bilinearly, to the size of the frame.

    Parameters
    ----------
    frames : Tensor, float (N, C, T, H, W)
    boxes : Tensor, float (N, 3)
        Left, top and side of each clip's square, as shares of width, height and both.

    Returns
    -------
    Tensor, float (N, C, T, H, W)
    """
    count, channels, time, height, width = frames.shape
    left, top, side = boxes.unbind(1)
    zero = torch.zeros_like(side)
    # grid_sample counts from -1 to 1 between the outer edges of the picture.
    rows = [torch.stack([side, zero, 2 * left + side - 1], 1), torch.stack([zero, side, 2 * top + side - 1], 1)]
    flat = frames.transpose(1, 2).reshape(count, time * channels, height, width)
    grid = nn.functional.affine_grid(torch.stack(rows, 1), list(flat.shape), align_corners=False)
    resized = nn.functional.grid_sample(flat, grid, padding_mode="border", align_corners=False)
    return resized.view(count, time, channels, height, width).transpose(1, 2)
