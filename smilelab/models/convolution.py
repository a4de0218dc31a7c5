"""3x3 convolutions of few channels, arranged so that a CPU's vector units are full.

Libraries vectorise a convolution over its output channels and waste most of a 16-wide register on three or four. Both
layers here compute several neighbouring pixels as if they were channels: the 3x3 kernel, shifted to each of these
pixels, becomes one larger kernel with more output channels. Sums, parameters and results are those of `torch.nn.Conv2d`
with padding 1; only the order of additions differs. Off the CPU and in reduced precision the plain convolution is used.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d, pad

_GRADIENTS = torch.ops.aten.convolution_backward


def _plain(x: Tensor) -> bool:
    reduced = x.dtype != torch.float32 or torch.is_autocast_enabled("cpu")
    return x.device.type != "cpu" or reduced or x.shape[-1] % 4 != 0


def _convolve_row(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """conv2d(x, weight, bias, padding=1) for a 3x3 kernel and channels-last x; so is the result."""
    n, channels, height, width = x.shape
    # A channels-last row is one line of width * channels numbers; a kernel over six pixels' numbers gives four pixels.
    line = x.permute(0, 2, 3, 1).reshape(n, height, width * channels, 1).permute(0, 3, 1, 2)
    shifted = torch.stack([pad(weight, (p, 3 - p)) for p in range(4)])
    kernel = shifted.permute(0, 1, 3, 4, 2).reshape(4 * len(weight), 3, 6 * channels, 1).permute(0, 3, 1, 2)
    bias = None if bias is None else bias.repeat(4)
    y = conv2d(line, kernel, bias, stride=(1, 4 * channels), padding=(1, channels))
    return y.permute(0, 2, 3, 1).reshape(n, height, width, len(weight)).permute(0, 3, 1, 2)


class RowConvolution(nn.Conv2d):
    """3x3 convolution with padding 1, four pixels of a row at once; (F, C, H, W) -> (F, C', H, W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """As `torch.nn.Conv2d`; the result lies channels-last."""
        if _plain(x):
            return super().forward(x)
        result: Tensor = _Row.apply(x.contiguous(memory_format=torch.channels_last), self.weight, self.bias)
        return result


class _Row(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _convolve_row(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        gradients: tuple[Tensor | None, ...] = _GRADIENTS(
            grad, x, weight, [len(weight)], [1, 1], [1, 1], [1, 1], False, [0, 0], 1, list(ctx.needs_input_grad)
        )
        return gradients


class BlockConvolution(nn.Conv2d):
    """3x3 convolution with padding 1, the four pixels of each 2x2 block at once, for a 2x2 pooling to follow.

    (F, C, 2h, 2w) -> (F, C', 4h, w): for each channel four maps of h x w, one below the other, of the blocks' upper
    left, upper right, lower left and lower right pixels. `BlockMean` averages them; what works pixel by pixel or on a
    channel's statistics (ReLU, batch norm) does not see the difference.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(F, C, 2h, 2w) -> (F, C', 4h, w)."""
        if _plain(x):
            y = torch.pixel_unshuffle(super().forward(x), 2)
        else:
            y = _Blocks.apply(x.contiguous(), self.weight, self.bias)
        return y.unflatten(1, (-1, 4)).flatten(2, 3)


class _Blocks(torch.autograd.Function):
    """Each block is a stride of two; the 3x3 kernel shifted to the block's four pixels fills 4x4."""

    shifts = tuple((down, right) for down in (0, 1) for right in (0, 1))

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        kernel = torch.stack([pad(weight, (x, 1 - x, y, 1 - y)) for y, x in _Blocks.shifts], 1).flatten(0, 1)
        ctx.save_for_backward(x, weight, kernel)
        return conv2d(x, kernel, bias.repeat_interleave(4), stride=2, padding=1).contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, kernel = ctx.saved_tensors
        grad = grad.contiguous()
        for_input = None
        if ctx.needs_input_grad[0]:
            n, _, h, w = grad.shape
            blocks = grad.view(n, len(weight), 2, 2, h, w).permute(0, 4, 2, 5, 3, 1)
            pixels = blocks.reshape(n, 2 * h, 2 * w, len(weight)).permute(0, 3, 1, 2)
            for_input = _convolve_row(pixels, weight.flip(2, 3).transpose(0, 1))
        _, for_kernel, for_bias = _GRADIENTS(
            grad, x, kernel, [len(kernel)], [2, 2], [1, 1], [1, 1], False, [0, 0], 1, [False, True, True]
        )
        shifted = for_kernel.unflatten(0, (-1, 4)).unbind(1)
        for_weight = sum(k[:, :, y : y + 3, x : x + 3] for k, (y, x) in zip(shifted, _Blocks.shifts, strict=True))
        return for_input, for_weight, for_bias.unflatten(0, (-1, 4)).sum(1)


class BlockMean(nn.Module):
    """2x2 average pooling of what a `BlockConvolution` made: (F, C, 4h, w) -> (F, C, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        """(F, C, 4h, w) -> (F, C, h, w)."""
        return x.unflatten(2, (4, -1)).mean(2)
