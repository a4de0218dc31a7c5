"""3D DenseNet: a convolutional network over windows of face crops (Lee & Lee 2020, section 3.3)."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from smilelab.models import register
from smilelab.models.inputs import check_windows

Depth = int | Literal["printed"]
Initialisation = Literal["standard", "printed"]

# Bottleneck layers in each of the four blocks. A depth is twice their number, plus stem, three transitions, last
# convolution and final fully connected layer. The first two are reduced sizes of ours for machines without a GPU.
BLOCKS: dict[Depth, tuple[int, int, int, int]] = {
    14: (1, 1, 1, 1),
    22: (2, 2, 2, 2),
    38: (4, 4, 4, 4),
    62: (4, 8, 8, 8),
    94: (8, 12, 12, 12),
    "printed": (3, 12, 12, 12),
}
PUBLISHED: tuple[Depth, ...] = (38, 62, 94, "printed")


class Bottleneck(nn.Module):
    """BN, ReLU, 1x1x1 convolution to four times the growth, BN, ReLU, 3x3x3 convolution to the growth; dropout."""

    def __init__(self, channels: int, growth: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm3d(channels)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv3d(channels, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm3d(4 * growth)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv3d(4 * growth, growth, 3, padding=1, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> the new features (N, growth, T, H, W)."""
        inner = self.conv1(self.relu1(self.norm1(x)))
        return self.dropout(self.conv2(self.relu2(self.norm2(inner))))


class DenseBlock(nn.Module):
    """Bottleneck layers, each of which sees the block's input and the features of all layers before it.

    With `checkpointing` the activations inside a layer are computed again for the gradient instead of kept: less
    memory, more time, the same result.
    """

    def __init__(self, channels: int, layers: int, growth: int, dropout: float, *, checkpointing: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Bottleneck(channels + i * growth, growth, dropout) for i in range(layers))
        self.out_channels = channels + layers * growth
        self.checkpointing = checkpointing

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C + layers * growth, T, H, W)."""
        for layer in self.layers:
            if self.checkpointing and torch.is_grad_enabled():
                context = partial(_computed_again, layer)
                new = checkpoint(layer, x, use_reentrant=False, context_fn=context)
            else:
                new = layer(x)
            x = torch.cat([x, new], 1)
        return x


class Transition(nn.Module):
    """BN, ReLU, 1x1x1 convolution, 2x2x2 mean pooling; its stride in time is 2, or 1 with the length kept.

    Where the length is kept, the last frame is repeated once, so that it is averaged with itself (our reading).
    """

    def __init__(self, channels: int, *, keep_time: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm3d(channels)
        self.relu = nn.ReLU()
        self.conv = nn.Conv3d(channels, channels, 1, bias=False)
        self.keep_time = keep_time
        self.pool = nn.AvgPool3d(2, (1, 2, 2) if keep_time else 2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C, T or T // 2, H // 2, W // 2)."""
        x = self.conv(self.relu(self.norm(x)))
        if self.keep_time:
            x = torch.cat([x, x[:, :, -1:]], 2)
        return self.pool(x)


class Encoder(nn.Module):
    """Windows (N, 3, T, S, S) -> embeddings (N, width): stem, four dense blocks, last convolution, mean, FC.

    Attributes
    ----------
    target : torch.nn.Module
        The module whose output is the last convolutional map (N, C, T', S', S'), which Grad-CAM explains.
    """

    def __init__(
        self,
        blocks: tuple[int, ...],
        *,
        growth: int,
        stem: int,
        last: int,
        width: int,
        dropout: float,
        checkpointing: bool,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential()
        self.stem.conv = nn.Conv3d(3, stem, 3, stride=(1, 2, 2), padding=1, bias=False)
        self.stem.norm = nn.BatchNorm3d(stem)
        self.stem.relu = nn.ReLU()
        channels = stem
        for number, layers in enumerate(blocks, start=1):
            block = DenseBlock(channels, layers, growth, dropout, checkpointing=checkpointing)
            self.add_module(f"block{number}", block)
            channels = block.out_channels
            if number < len(blocks):
                self.add_module(f"transition{number}", Transition(channels, keep_time=number == 2))
        self.last = nn.Sequential()
        self.last.norm = nn.BatchNorm3d(channels)
        self.last.relu = nn.ReLU()
        if last:
            self.last.conv = nn.Conv3d(channels, last, 1, bias=False)
            channels = last
        self.fc = nn.Linear(channels, width)

    @property
    def target(self) -> nn.Module:
        """The module whose output is the last convolutional map."""
        return self.last[-1]

    def features(self, frames: Tensor) -> Tensor:
        """Windows (N, 3, T, S, S) -> the last convolutional map (N, C, T', S', S')."""
        for name, stage in self.named_children():
            if name != "fc":
                frames = stage(frames)
        return frames

    def forward(self, frames: Tensor) -> Tensor:
        """Windows (N, 3, T, S, S) -> embeddings (N, width)."""
        # A mean, because the backward pass of adaptive pooling is not deterministic on CUDA.
        return self.fc(self.features(frames).mean((2, 3, 4)))


class Head(nn.Module):
    """Embedding (N, width) -> logit (N,)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc = nn.Linear(width, 1)

    def forward(self, embedding: Tensor) -> Tensor:
        """(N, width) -> (N,)."""
        return self.fc(embedding).flatten()


class DenseNet3D(nn.Module):
    """3D DenseNet from Lee & Lee (2020) [1]_ as a classifier of windows: their "plain 3D CNN" (Table 4).

    ============== =================================================================== ================
    stage          operation                                                           output (T x S x S)
    ============== =================================================================== ================
    stem           3x3x3 conv, stride 1 in time and 2 in space; BN, ReLU               30 x 56 x 56
    block 1        [BN, ReLU, 1x1x1 conv, BN, ReLU, 3x3x3 conv, dropout] x 8           30 x 56 x 56
    transition 1   BN, ReLU, 1x1x1 conv; 2x2x2 mean, stride 2 x 2 x 2                  15 x 28 x 28
    block 2        x 12                                                                15 x 28 x 28
    transition 2   the same, stride 1 in time                                          15 x 14 x 14
    block 3        x 12                                                                15 x 14 x 14
    transition 3   the same, stride 2 x 2 x 2                                          7 x 7 x 7
    block 4        x 12                                                                7 x 7 x 7
    last           BN, ReLU, 1x1x1 conv to 1024                                        7 x 7 x 7
    head           mean over time and space; FC 1024; FC 1                             1
    ============== =================================================================== ================

    Depth 94 has 6,478,545 parameters, 62 has 4,007,377, 38 has 2,589,121.

    Parameters
    ----------
    depth : int or "printed"
        One of `BLOCKS`.
    size : int
        Side of the square input frames in pixels, at least 16; the paper's is 112.
    frames : int
        Frames of a window, at least 4; the paper's is 30.
    growth : int
        Features that each bottleneck layer adds; 20, and 24 for "printed".
    stem : int
        Features of the first convolution.
    last : int
        Features of the last convolution; 0 leaves it out, as in "printed".
    width : int
        Width of the fully connected layer before the final one, that is of the embedding.
    initialisation : {"standard", "printed"}
        How the weights are drawn; see `initialise`.
    dropout : float
        Probability that a new feature of a bottleneck layer is dropped.
    checkpointing : bool
        Compute activations inside bottleneck layers again for the gradient instead of keeping them.

    Notes
    -----
    Printed in the paper: the strides and output sizes of Table 2, bottleneck layers, dropout 0.5 in each, the 1024-d
    fully connected layer, about 6.4 million weights, depths 38, 62 and 94. It contradicts itself: blocks of 3, 12, 12
    and 12 layers have 96 convolutions under no count, "1020" averaged features meet no growth rate, and a 115 pixel
    input never gives 56. Our reading, one of many that fit: the x3 of block 1 is a misprint of x8, growth 20, stem 64,
    no compression, a last convolution to 1024; that gives 6.479 million weights (+1.2 %). `densenet3d-printed` keeps
    the printed blocks (growth 24, no last convolution, 6.162 million, 1000 averaged features). Depth is 2L + 6 for L
    bottleneck layers. Input is 112 x 112. Also ours: BN and ReLU after the stem, no bias before a batch norm, the
    repeated last frame in transition 2.

    References
    ----------
    .. [1] Lee, K., Lee, E. C. (2020). Siamese Architecture-Based 3D DenseNet with Person-Specific Normalization Using
       Neutral Expression for Spontaneous and Posed Smile Classification. Applied Sciences 10(24), 8934.
    """

    anchor_rule = "none"

    def __init__(
        self,
        depth: Depth = 94,
        *,
        size: int = 112,
        frames: int = 30,
        growth: int | None = None,
        stem: int = 64,
        last: int | None = None,
        width: int = 1024,
        initialisation: Initialisation = "standard",
        dropout: float = 0.5,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        if depth not in BLOCKS:
            raise ValueError(f"depth is {depth!r}; expected one of {', '.join(map(str, BLOCKS))}")
        if size < 16 or frames < 4:
            raise ValueError(f"size is {size} and frames {frames}; expected at least 16 pixels and 4 frames")
        printed = depth == "printed"
        self.depth, self.size, self.frames = depth, size, frames
        self.encoder = Encoder(
            BLOCKS[depth],
            growth=growth if growth is not None else 24 if printed else 20,
            stem=stem,
            last=last if last is not None else 0 if printed else 1024,
            width=width,
            dropout=dropout,
            checkpointing=checkpointing,
        )
        self.head = self._head(width)
        initialise(self, initialisation)

    def _head(self, width: int) -> nn.Module:
        return Head(width)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Score windows.

        Parameters
        ----------
        frames : Tensor, float (N, 3, frames, size, size)
            RGB in [0, 1].
        lengths : Tensor, int (N,)
            Valid frames of each clip; all must be `frames`.

        Returns
        -------
        Tensor, float (N,)
            Logits; positive means spontaneous.

        Raises
        ------
        ValueError
            A shape, type or length that does not fit.
        """
        check_windows(frames, lengths, channels=3, size=self.size, count=self.frames)
        return self.head(self.encoder(frames))


def initialise(model: nn.Module, how: Initialisation) -> None:
    """Draw the weights of convolutions and fully connected layers anew; batch norms start as the identity.

    Parameters
    ----------
    model : torch.nn.Module
    how : {"standard", "printed"}
        "standard": normal with standard deviation sqrt(2 / fan-in) (He), biases zero. "printed": normal with standard
        deviation 1 / fan-in, biases normal with mean 0.5 and variance 0.01 (section 3.3.3): weights of a 3x3x3
        convolution are about 30 times smaller than standard ones, so expect a slow start or none.

    Raises
    ------
    ValueError
        Another name.
    """
    if how not in ("standard", "printed"):
        raise ValueError(f"initialisation is {how!r}; expected 'standard' or 'printed'")
    for module in model.modules():
        if isinstance(module, nn.Conv3d | nn.Linear):
            fan_in = math.prod(module.weight.shape[1:])
            nn.init.normal_(module.weight, std=1 / fan_in if how == "printed" else math.sqrt(2 / fan_in))
            if module.bias is not None and how == "printed":
                nn.init.normal_(module.bias, mean=0.5, std=0.1)
            elif module.bias is not None:
                nn.init.zeros_(module.bias)


def _computed_again(layer: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Contexts for the first and for the repeated computation of a checkpointed layer."""
    return nullcontext(), _StatisticsKept(layer)


class _StatisticsKept(AbstractContextManager[None]):
    """Normalise by the batch without counting it a second time in the running statistics.

    It can be entered again: a graph that is kept is computed once for every pass back through it.
    """

    def __init__(self, layer: nn.Module) -> None:
        self.norms = [module for module in layer.modules() if isinstance(module, nn.BatchNorm3d)]
        self.before: list[tuple[float | None, Tensor | None]] = []

    def __enter__(self) -> None:
        self.before = [
            (norm.momentum, None if norm.num_batches_tracked is None else norm.num_batches_tracked.clone())
            for norm in self.norms
        ]
        for norm in self.norms:
            norm.momentum = 0.0

    def __exit__(self, *error: object) -> None:
        for norm, (momentum, count) in zip(self.norms, self.before, strict=True):
            norm.momentum = momentum
            if count is not None and norm.num_batches_tracked is not None:
                norm.num_batches_tracked.copy_(count)


register("densenet3d")(DenseNet3D)
for _depth in PUBLISHED:
    register(f"densenet3d-{_depth}")(partial(DenseNet3D, _depth))
