"""A convolutional LSTM over packed clips, with its own backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d


class ConvLSTM(nn.Module):
    """LSTM whose four gates come from one 3x3 convolution of the concatenated input and hidden state (Yang 2020, 3.2).

    The convolution is linear in the concatenation, so its input half is done for all frames at once and only the hidden
    half is left to the loop over time; in the backward pass, the weights' gradient is again one convolution over all
    frames. `conv` holds both halves: output channels are the input, forget, output and cell gate in this order; input
    channels are the features, then the hidden state. Hidden and cell state start at zero. Always computed in float32,
    since rounding errors of the cell state would add up over time.
    """

    def __init__(self, in_channels: int = 6, hidden_channels: int = 8) -> None:
        super().__init__()
        self.in_channels, self.hidden_channels = in_channels, hidden_channels
        self.conv = nn.Conv2d(in_channels + hidden_channels, 4 * hidden_channels, 3, padding=1)

    def forward(self, features: Tensor, previous: Tensor, running: tuple[int, ...]) -> Tensor:
        """Hidden state after each frame.

        Parameters
        ----------
        features : Tensor, float (F, in_channels, h, w)
            Packed time-major, longest clip first.
        previous : Tensor, int64 (F,)
            Packed position of the frame before each frame.
        running : tuple of int, (T,)
            Number of clips that have a frame at each time step; sums to F.

        Returns
        -------
        Tensor, float32 (F, hidden_channels, h, w)
        """
        with torch.autocast(features.device.type, enabled=False):
            states: Tensor = _Recurrence.apply(features.float(), self.conv.weight, self.conv.bias, previous, running)
        return states


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, previous: Tensor, running: tuple[int, ...]
    ) -> Tensor:
        width = len(weight) // 4
        from_input, from_hidden = weight.split([features.shape[1], width], dim=1)
        gates = conv2d(features.contiguous(), from_input, bias, padding=1).contiguous()
        cells, squashed, hidden = (gates.new_empty(len(gates), width, *gates.shape[2:]) for _ in range(3))
        before = start = 0
        for n in running:
            now, last = slice(start, start + n), slice(before, before + n)
            here = gates[now]
            if start:
                here += conv2d(hidden[last], from_hidden, padding=1)
            # tanh(x) = 2 sigmoid(2x) - 1: one function for all gates, and several times faster than tanh on a CPU.
            candidate = here[:, 3 * width :]
            candidate *= 2
            here.sigmoid_()
            candidate.mul_(2).sub_(1)
            write, keep, show, _ = here.split(width, dim=1)
            cell = torch.mul(write, candidate, out=cells[now])
            if start:
                cell.addcmul_(keep, cells[last])
            bounded = torch.mul(cell, 2, out=squashed[now]).sigmoid_().mul_(2).sub_(1)
            torch.mul(bounded, show, out=hidden[now])
            before, start = start, start + n
        ctx.save_for_backward(features, weight, previous, gates, cells, squashed, hidden)
        ctx.running = running
        return hidden

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, previous, gates, cells, squashed, hidden = ctx.saved_tensors
        width = len(weight) // 4
        turned = weight.flip(2, 3).transpose(0, 1).contiguous()
        for_features = torch.empty_like(features)
        for_hidden = grad.clone(memory_format=torch.contiguous_format)
        for_cells = torch.zeros_like(cells)
        for_gates = torch.empty_like(gates)
        start = len(gates)
        for step in range(len(ctx.running) - 1, -1, -1):
            n = ctx.running[step]
            start -= n
            now = slice(start, start + n)
            write, keep, show, candidate = gates[now].split(width, dim=1)
            for_write, for_keep, for_show, for_candidate = for_gates[now].split(width, dim=1)
            for_cell = for_cells[now].add_((1 - squashed[now].square()).mul_(show).mul_(for_hidden[now]))
            torch.mul(for_hidden[now], squashed[now], out=for_show)
            torch.mul(for_cell, candidate, out=for_write)
            torch.mul(for_cell, write, out=for_candidate)
            if step:
                last = slice(start - ctx.running[step - 1], start - ctx.running[step - 1] + n)
                torch.mul(for_cell, cells[last], out=for_keep)
                for_cells[last] = for_cell * keep
            else:
                for_keep.zero_()
            sigmoids = gates[now, : 3 * width]
            for_gates[now, : 3 * width].mul_(sigmoids.sub(sigmoids.square()))
            for_candidate.mul_(1 - candidate.square())
            for_input, for_last = conv2d(for_gates[now], turned, padding=1).split([features.shape[1], width], dim=1)
            for_features[now] = for_input
            if step:
                for_hidden[last] += for_last
        before = hidden.index_select(0, previous)
        before[: ctx.running[0]] = 0
        both = torch.cat([features, before], 1).contiguous(memory_format=torch.channels_last)
        for_gates = for_gates.contiguous(memory_format=torch.channels_last)
        _, for_weight, for_bias = torch.ops.aten.convolution_backward(
            for_gates, both, weight, [len(weight)], [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [False, True, True]
        )
        return for_features, for_weight, for_bias, None, None
