"""Drawings of the models, read off the live modules: shapes come from a forward pass, operators from the layers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from smilelab.artifacts import drawing
from smilelab.artifacts.catalogue import makes
from smilelab.artifacts.drawing import arrow, box, recorded_shapes
from smilelab.artifacts.product import Product
from smilelab.models import convlstm, realsmilenet

_FRAMES = 7
_COLORS = {"TSA": "#f6d9c4", "FPN": "#cfe3f3", "ConvLSTM": "#d7ecd3", "classification block": "#e5d8ee", "": "#f2f2f2"}


@dataclass(frozen=True)
class Step:
    """One box of a drawing."""

    stage: str
    operator: str
    output: str


def realsmilenet_steps(model: nn.Module) -> list[Step]:
    """Boxes of the architecture of a live RealSmileNet, in the order of computation.

    Parameters
    ----------
    model : torch.nn.Module
        A RealSmileNet with temporal spatial attention.

    Returns
    -------
    list of Step
    """
    size = int(model.size)  # type: ignore[arg-type]
    with recorded_shapes(model) as shapes, torch.inference_mode():
        training, _ = model.training, model.eval()
        model(torch.zeros(1, 3, _FRAMES, size, size), torch.tensor([_FRAMES]))
        model.train(training)
    modules = dict(model.named_modules())

    def operators(*names: str) -> str:
        return "\n".join(_operator(modules[name]) for name in names)

    def output(name: str, *, per_frame: bool) -> str:
        shape = " × ".join(map(str, shapes[name][1:]))
        return f"T × {shape}" if per_frame else shape

    attention = f"{_operator(modules['encoder.tsa.conv'])}\nof $x_t - x_{{t-1}}$,\n$\\otimes\\, x_t \\oplus x_t$"
    frame_groups = [
        ("TSA", ("encoder.tsa",), attention),
        ("FPN", ("encoder.fpn.norm",), None),
        ("FPN", ("encoder.fpn.conv1", "encoder.fpn.norm1", "encoder.fpn.relu1"), None),
        ("FPN", ("encoder.fpn.pool1",), None),
        ("FPN", ("encoder.fpn.conv2", "encoder.fpn.norm2", "encoder.fpn.relu2"), None),
        ("FPN", ("encoder.fpn.pool2", "encoder.fpn.dropout"), None),
    ]
    gates = modules["encoder.convlstm.conv"]
    clip_groups = [
        ("ConvLSTM", ("encoder.convlstm",), f"{_operator(gates)}\n→ 4 gates,\nlast hidden state"),
        ("classification block", ("head.nonlocal_block",), "dot-product\nnon-local block"),
        ("classification block", ("head.pool",), None),
        ("classification block", ("head.conv", "head.norm", "head.relu"), None),
        ("classification block", ("head.dropout", "head.flatten"), None),
        ("classification block", ("head.linear",), None),
    ]
    steps = [Step("", "clip, RGB\nin [0, 1]", f"T × 3 × {size} × {size}")]
    for groups, per_frame in ((frame_groups, True), (clip_groups, False)):
        for stage, names, text in groups:
            steps.append(Step(stage, text or operators(*names), output(names[-1], per_frame=per_frame)))
    return [*steps, Step("", "sigmoid;\nspontaneous\nfrom 0.5", "1")]


def _operator(module: nn.Module) -> str:
    if isinstance(module, nn.Conv2d):
        height, width = module.kernel_size
        return f"conv {height}×{width}, {module.in_channels}→{module.out_channels}"
    if isinstance(module, nn.AvgPool2d):
        return f"mean pool {module.kernel_size}×{module.kernel_size}"
    if isinstance(module, nn.Dropout2d):
        return f"channel dropout {module.p:g}"
    if isinstance(module, nn.Dropout):
        return f"dropout {module.p:g}"
    if isinstance(module, nn.Linear):
        return f"linear\n{module.in_features}→{module.out_features}"
    names = {"BatchNorm2d": "batch norm", "BlockMean": "mean pool 2×2", "Flatten": "flatten"}
    return names.get(type(module).__name__, type(module).__name__)


@makes("yang2020-fig2", realsmilenet, drawing)
def yang2020_fig2(model: nn.Module) -> Product:
    """Yang Figure 2: the architecture, drawn from a live RealSmileNet.

    Parameters
    ----------
    model : torch.nn.Module
        ``models.build("realsmilenet")``.
    """
    steps = realsmilenet_steps(model)
    per_row = -(-len(steps) // 2)
    figure = Figure(figsize=(1.62 * per_row, 4.6))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, per_row)
    axes.set_ylim(-0.25, 4.1)
    axes.set_axis_off()
    places = []
    for number, step in enumerate(steps):
        row, column = divmod(number, per_row)
        x, y = column + 0.5, 3.0 - 1.95 * row
        places.append((x, y))
        box(axes, x, y, 0.84, 1.0, step.operator, _COLORS[step.stage])
        axes.text(x, y - 0.6, step.output, ha="center", va="top", fontsize=7.5, color="0.25")
    for (x, y), (next_x, next_y) in pairwise(places):
        if next_y == y:
            arrow(axes, (x + 0.42, y), (next_x - 0.42, next_y))
        else:
            lane = (y + next_y) / 2 - 0.02
            axes.plot([x + 0.42, x + 0.48, x + 0.48, 0.02, 0.02], [y, y, lane, lane, next_y], color="0.3", lw=1)
            arrow(axes, (0.02, next_y), (next_x - 0.42, next_y))
    _headings(axes, steps, places)
    count = sum(p.numel() for p in model.parameters())
    axes.text(0.08, 3.98, f"RealSmileNet: {count:,} parameters", fontsize=10, va="top")
    return Product(figure=figure, notes=["Drawn from the live model; T is the number of frames of a clip."])


def _headings(axes: Axes, steps: list[Step], places: list[tuple[float, float]]) -> None:
    spans: dict[tuple[str, float], list[float]] = {}
    for step, (x, y) in zip(steps, places, strict=True):
        if step.stage:
            spans.setdefault((step.stage, y), []).append(x)
    for (stage, y), xs in spans.items():
        axes.plot([min(xs) - 0.42, max(xs) + 0.42], [y + 0.58, y + 0.58], color="0.45", lw=0.8)
        axes.text((min(xs) + max(xs)) / 2, y + 0.62, stage, ha="center", va="bottom", fontsize=9)


@makes("yang2020-fig3", convlstm, drawing)
def yang2020_fig3(model: nn.Module) -> Product:
    """Yang Figure 3: the ConvLSTM's transition from one state to the next, with the live model's sizes.

    Parameters
    ----------
    model : torch.nn.Module
        ``models.build("realsmilenet")``.
    """
    cell = model.get_submodule("encoder.convlstm")
    conv = cell.get_submodule("conv")
    assert isinstance(conv, nn.Conv2d)
    features, hidden = int(cell.in_channels), int(cell.hidden_channels)  # type: ignore[arg-type]
    side = int(model.size) // 4  # type: ignore[arg-type]
    figure = Figure(figsize=(8.4, 4.4))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, 10)
    axes.set_ylim(-0.1, 5.4)
    axes.set_axis_off()
    state = _COLORS["ConvLSTM"]
    box(axes, 0.95, 1.9, 1.5, 0.8, f"features $e_t$\n{features} × {side} × {side}", _COLORS["FPN"])
    box(axes, 0.95, 0.6, 1.5, 0.8, f"hidden $h_{{t-1}}$\n{hidden} × {side} × {side}", state)
    box(axes, 0.95, 4.55, 1.5, 0.8, f"cell $c_{{t-1}}$\n{hidden} × {side} × {side}", state)
    height, width = conv.kernel_size
    box(
        axes,
        3.1,
        1.25,
        1.8,
        1.0,
        f"concatenate, conv {height}×{width}\n{conv.in_channels}→{conv.out_channels}, "
        f"{sum(p.numel() for p in conv.parameters()):,} weights",
        _COLORS["classification block"],
    )
    arrow(axes, (1.7, 1.9), (2.2, 1.45))
    arrow(axes, (1.7, 0.6), (2.2, 1.05))
    gates = (
        ("forget $f_t$: σ", 3.3),
        ("input $i_t$: σ", 2.3),
        ("cell gate $g_t$: tanh", 1.3),
        ("output $o_t$: σ", 0.3),
    )
    for text, y in gates:
        box(axes, 5.2, y, 1.35, 0.62, text, "#fff4cc")
        arrow(axes, (4.0, 1.25), (4.525, y))
    for label, x, y in (("⊗", 6.9, 4.55), ("⊗", 6.9, 1.8), ("⊕", 7.75, 4.55), ("⊗", 8.5, 0.6)):
        axes.text(x, y, label, ha="center", va="center", fontsize=18)
    arrow(axes, (1.7, 4.55), (6.7, 4.55))
    arrow(axes, (5.875, 3.3), (6.82, 4.35))
    arrow(axes, (5.875, 2.3), (6.75, 1.92))
    arrow(axes, (5.875, 1.3), (6.75, 1.68))
    arrow(axes, (7.08, 1.95), (7.68, 4.35))
    arrow(axes, (7.1, 4.55), (7.55, 4.55))
    box(axes, 9.1, 4.55, 1.4, 0.8, f"cell $c_t$\n{hidden} × {side} × {side}", state)
    arrow(axes, (7.95, 4.55), (8.4, 4.55))
    box(axes, 9.1, 2.6, 0.9, 0.6, "tanh", "#fff4cc")
    arrow(axes, (9.1, 4.15), (9.1, 2.9))
    arrow(axes, (9.0, 2.3), (8.6, 0.85))
    arrow(axes, (5.875, 0.3), (8.32, 0.57))
    box(axes, 9.42, 0.6, 1.1, 0.8, f"hidden $h_t$\n{hidden} × {side} × {side}", state)
    arrow(axes, (8.68, 0.6), (8.87, 0.6))
    notes = ["One convolution of the concatenated features and hidden state gives all four gates (section 3.2)."]
    return Product(figure=figure, notes=notes)
