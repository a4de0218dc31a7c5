"""What looks at single frames: the base of RealSmileNet's FPN, and small versions of well-known networks in its place.

Yang et al. (2020) replace their FPN by a ResNet12 of three stages and by a DenseNet of growth 2 with blocks of 6, 12,
24 and 16 layers (section 4.2, Table 3); their published code also has an AlexNet. All three end in 64 maps. What
differs between our variants and the published code is a parameter here; each class says which is which.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Backbone(nn.Sequential):
    """Frames (F, 3, S, S) -> features (F, out_channels, side(S), side(S)), frame by frame.

    Attributes
    ----------
    out_channels : int
        Maps of the output.
    """

    out_channels: int

    def side(self, size: int) -> int:
        """Side of the output for frames of this side."""
        return size // 4


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, added to the input (He et al. 2016); a stride or new width is projected."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_channels != channels:
            self.shortcut.conv = nn.Conv2d(in_channels, channels, 1, stride, bias=False)
            self.shortcut.norm = nn.BatchNorm2d(channels)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(F, C, H, W) -> (F, channels, H / stride, W / stride)."""
        inner = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(x)))))
        return self.relu2(inner + self.shortcut(x))


class MiniResNet(Backbone):
    """Residual network of three stages of 16, 32 and 64 maps; (F, 3, S, S) -> (F, 64, S/4, S/4).

    Printed are the name and the three stages. The published code has 16, 32 and 64 maps, a 3x3 convolution before them,
    strides of 1, 2 and 2, and two blocks in each stage: the twelve convolutions of the name, besides the first. Weights
    are drawn as there, normal with variance 2 / (kernel area x output maps).

    Parameters
    ----------
    blocks : int
        Residual blocks in each stage.
    input_norm : bool
        Normalise the frames first, as RealSmileNet's FPN does (ours); the published code does not.
    dropout : float
        Probability that a map of a frame is dropped at the end.
    """

    out_channels = 64

    def __init__(self, *, blocks: int = 1, input_norm: bool = True, dropout: float = 0.2) -> None:
        super().__init__()
        if blocks < 1:
            raise ValueError(f"blocks is {blocks}; expected at least one in each stage")
        if input_norm:
            self.norm = nn.BatchNorm2d(3)
        self.conv = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        before = 16
        for number, channels in enumerate((16, 32, 64), start=1):
            first = ResidualBlock(before, channels, 1 if number == 1 else 2)
            rest = (ResidualBlock(channels, channels) for _ in range(blocks - 1))
            self.add_module(f"stage{number}", nn.Sequential(first, *rest))
            before = channels
        self.dropout = nn.Dropout2d(dropout)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class DenseLayer(nn.Module):
    """BN, ReLU, 1x1 convolution to four times the growth, BN, ReLU, 3x3 convolution to the growth: new maps."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(channels, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(F, C, H, W) -> (F, C + growth, H, W)."""
        inner = self.conv1(self.relu1(self.norm1(x)))
        return torch.cat([x, self.conv2(self.relu2(self.norm2(inner)))], 1)


class MiniDenseNet(Backbone):
    """DenseNet of growth 2 with blocks of 6, 12, 24 and 16 layers; (F, 3, S, S) -> (F, 64, S/4, S/4).

    Printed are the growth and the blocks. From the published code: a 3x3 convolution to 4 maps before them, transitions
    that halve the maps, and that only the first two transitions halve the side, so that 12 x 12 of 48 pixels are left.
    Its third transition takes the mean of 2x2 neighbours without a stride, and 11 x 11 are left; ours takes none.

    Parameters
    ----------
    third_mean : bool
        Take that mean.
    input_norm : bool
        Normalise the frames first, as RealSmileNet's FPN does (ours); the published code does not.
    dropout : float
        Probability that a map of a frame is dropped at the end.
    """

    out_channels = 64
    growth = 2
    blocks = (6, 12, 24, 16)

    def __init__(self, *, third_mean: bool = False, input_norm: bool = True, dropout: float = 0.2) -> None:
        super().__init__()
        self.third_mean = third_mean
        if input_norm:
            self.norm = nn.BatchNorm2d(3)
        channels = 2 * self.growth
        self.conv = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        pools: list[nn.Module | None] = [nn.AvgPool2d(2), nn.AvgPool2d(2), nn.AvgPool2d(2, 1) if third_mean else None]
        for number, layers in enumerate(self.blocks, start=1):
            block = nn.Sequential(*(DenseLayer(channels + i * self.growth, self.growth) for i in range(layers)))
            self.add_module(f"block{number}", block)
            channels += layers * self.growth
            if number < len(self.blocks):
                self.add_module(f"transition{number}", _transition(channels, pools[number - 1]))
                channels //= 2
        self.norm1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout2d(dropout)

    def side(self, size: int) -> int:
        """Side of the output for frames of this side."""
        return size // 4 - self.third_mean


def _transition(channels: int, pool: nn.Module | None) -> nn.Sequential:
    transition = nn.Sequential()
    transition.norm = nn.BatchNorm2d(channels)
    transition.relu = nn.ReLU()
    transition.conv = nn.Conv2d(channels, channels // 2, 1, bias=False)
    if pool is not None:
        transition.pool = pool
    return transition


class MiniAlexNet(Backbone):
    """AlexNet's five convolutions at a smaller width: 16, 48, 96, 64 and 64 maps; (F, 3, S, S) -> (F, 64, S/4, S/4).

    Not in the paper; the published code has it, with three overlapping max poolings (3x3, stride 2), after the first,
    second and last convolution. Ours leaves the last pooling out and keeps the FPN's output side.

    Parameters
    ----------
    third_pool : bool
        Pool after the last convolution too: S/8, rounded up.
    input_norm : bool
        Normalise the frames first, as RealSmileNet's FPN does (ours); the published code has no batch norm at all.
    dropout : float
        Probability that a map of a frame is dropped at the end.
    """

    out_channels = 64

    def __init__(self, *, third_pool: bool = False, input_norm: bool = True, dropout: float = 0.2) -> None:
        super().__init__()
        self.third_pool = third_pool
        if input_norm:
            self.norm = nn.BatchNorm2d(3)
        before = 3
        for number, (channels, kernel) in enumerate(((16, 3), (48, 5), (96, 3), (64, 3), (64, 3)), start=1):
            self.add_module(f"conv{number}", nn.Conv2d(before, channels, kernel, padding=kernel // 2))
            self.add_module(f"relu{number}", nn.ReLU())
            if number <= 2 or (number == 5 and third_pool):
                self.add_module(f"pool{number}", nn.MaxPool2d(3, 2, padding=1))
            before = channels
        self.dropout = nn.Dropout2d(dropout)

    def side(self, size: int) -> int:
        """Side of the output for frames of this side."""
        return -(-size // 8) if self.third_pool else size // 4
