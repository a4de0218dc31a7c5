"""What drawings of models have in common: shapes read off a forward pass, boxes and arrows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from torch import nn

from smilelab.models.convolution import BlockConvolution

Shapes = dict[str, tuple[int, ...]]


@contextmanager
def recorded_shapes(model: nn.Module) -> Iterator[Shapes]:
    """Record the output shape of every module that is called inside the block; hooks are removed at its end.

    The FPN keeps the pixels of a map in another order between a convolution and its pooling; what is recorded there is
    the map's size as the convolution sees it (its padding keeps the size).
    """
    shapes: Shapes = {}
    reordered: list[tuple[int, ...]] = []
    hooks = []
    for name, module in model.named_modules():

        def note(module: nn.Module, inputs: tuple[object, ...], output: object, name: str = name) -> None:
            if not isinstance(output, torch.Tensor):
                return
            shapes[name] = tuple(output.shape)
            if isinstance(module, BlockConvolution) and isinstance(inputs[0], torch.Tensor):
                reordered[:] = [tuple(output.shape[2:]), tuple(inputs[0].shape[2:])]
            if reordered and tuple(output.shape[2:]) == reordered[0]:
                shapes[name] = (*output.shape[:2], *reordered[1])

        hooks.append(module.register_forward_hook(note))
    try:
        yield shapes
    finally:
        for hook in hooks:
            hook.remove()


def box(
    axes: Axes,
    x: float,
    y: float,
    width: float,
    height: float,
    text: str,
    color: str,
    *,
    rounding: float = 0.06,
    fontsize: float = 7.5,
    rotation: float = 0.0,
) -> None:
    """Draw a rounded box around (x, y) with text in its middle; lengths in units of the axes."""
    corner = (x - width / 2, y - height / 2)
    style = f"round,pad=0,rounding_size={rounding}"
    axes.add_patch(FancyBboxPatch(corner, width, height, boxstyle=style, facecolor=color, edgecolor="0.35", lw=0.8))
    axes.text(x, y, text, ha="center", va="center", fontsize=fontsize, linespacing=1.35, rotation=rotation)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], *, head: float = 9) -> None:
    """Draw an arrow from start to end, in units of the axes."""
    style: dict[str, Any] = {
        "arrowstyle": "-|>",
        "mutation_scale": head,
        "color": "0.3",
        "lw": 1,
        "shrinkA": 0,
        "shrinkB": 0,
    }
    axes.add_patch(FancyArrowPatch(start, end, **style))
