"""The temporal stream: a small network on stacks of optical flow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from smilelab.baselines.flow import CODES

__all__ = ["TemporalStream", "stream_logits", "train_stream"]

Stacks = NDArray[np.int8]

_HIDDEN = 64
_SCORING_BATCH = 64


class TemporalStream(nn.Module):
    """A small convolutional network on a stack of flow fields.

    Three convolutions (5x5 at stride 2, then 3x3 twice, each twice as wide as the one before), all with batch
    normalisation and ReLU, the first two with 2x2 maxima; a fully connected layer of 64, ReLU, dropout, one output. The
    input is standardised channel by channel by means and variances kept from training.

    Parameters
    ----------
    size : int
        Pixels a side of the flow, at least 16.
    stack : int
        Flow fields in a stack; the input has twice as many channels, x and y in turn.
    width : int
        Channels after the first convolution.
    dropout : float

    Source: our reading. Lee & Lee 2020 cite Simonyan & Zisserman 2014 for the temporal stream, which has convolutions,
    fully connected layers and dropout too, but some hundred times the weights, for pictures of 224 px. What Lee & Lee
    2018 made of it is not published.
    """

    def __init__(self, size: int, stack: int, width: int, dropout: float) -> None:
        super().__init__()
        self.standardise = nn.BatchNorm2d(2 * stack, affine=False)
        self.convolutions = nn.Sequential(
            *_convolution(2 * stack, width, 5, stride=2),
            nn.MaxPool2d(2),
            *_convolution(width, 2 * width, 3),
            nn.MaxPool2d(2),
            *_convolution(2 * width, 4 * width, 3),
        )
        side = (size + 1) // 2 // 2 // 2
        self.fc1 = nn.Linear(4 * width * side**2, _HIDDEN)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(_HIDDEN, 1)

    def forward(self, stacks: Tensor) -> Tensor:
        """Stacks (N, 2 * stack, size, size), in clipping limits of the flow -> logits (N,), positive is spontaneous."""
        maps = self.convolutions(self.standardise(stacks))
        logits: Tensor = self.fc2(self.dropout(self.relu(self.fc1(maps.flatten(1))))).squeeze(1)
        return logits


def train_stream(
    network: TemporalStream,
    draw: Callable[[int], tuple[Stacks, NDArray[np.int64]]],
    *,
    epochs: int,
    draws: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
) -> None:
    """Train a network in place by Adam on binary cross-entropy; the rate falls linearly to zero.

    A loop of its own: `smilelab.training.train` goes once over all samples an epoch and takes bytes of RGB frames,
    while these are draws from nearly equal windows and signed stacks of flow.

    Parameters
    ----------
    network : TemporalStream
        Ends in evaluation mode.
    draw : callable
        Given a number n, returns that many stacks (n, 2 * stack, H, W) and labels (n,).
    epochs, draws, batch_size : int
        Each epoch is `draws` stacks in batches of `batch_size`.
    learning_rate, weight_decay : float

    Raises
    ------
    ValueError
        If the weights stopped being numbers.
    """
    counts = [min(batch_size, draws - done) for done in range(0, draws, batch_size)] * epochs
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 1 / len(counts), len(counts) - 1)
    network.train()
    for count in counts:
        stacks, labels = draw(count)
        logits = network(_to_input(stacks))
        loss = nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(labels).to(torch.float32))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval()
    if not all(bool(value.isfinite().all()) for value in network.state_dict().values()):
        raise ValueError(
            f"the temporal stream's weights are no numbers any more; lower learning_rate ({learning_rate})"
        )


def stream_logits(network: TemporalStream, stacks: Stacks) -> NDArray[np.float64]:
    """Logits (n,) of stacks (n, 2 * stack, H, W) by a network in evaluation mode."""
    with torch.inference_mode():
        parts = [
            network(_to_input(some)) for some in np.split(stacks, range(_SCORING_BATCH, len(stacks), _SCORING_BATCH))
        ]
    return torch.cat(parts).double().numpy()


def _convolution(before: int, after: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(after), nn.ReLU()]


def _to_input(stacks: Stacks) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(stacks)).float().div_(CODES)
