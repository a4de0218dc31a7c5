"""Lee & Lee's Table 2: layers, output sizes and operators of 3D DenseNets, read off the live models."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pandas as pd
import torch
from torch import nn

from smilelab.artifacts import drawing
from smilelab.artifacts.catalogue import makes
from smilelab.artifacts.drawing import Shapes, recorded_shapes
from smilelab.artifacts.numbers import reported
from smilelab.artifacts.product import Product
from smilelab.models import densenet3d, siamese
from smilelab.models.densenet3d import DenseBlock, DenseNet3D, Transition
from smilelab.models.siamese import Siamese

# The row of reported.csv with what the paper says of its network besides Table 2.
_PAPER = "3D DenseNet-94"


@dataclass(frozen=True)
class Layer:
    """A row of Table 2: what a layer does and what it gives.

    Attributes
    ----------
    name, operator : str
        As the paper words them.
    size : tuple of int
        Width, height and frames of its output.
    features : int
        Features (channels) of its output.
    """

    name: str
    operator: str
    size: tuple[int, ...]
    features: int


def layers(model: DenseNet3D) -> list[Layer]:
    """Layers of a live 3D DenseNet, plain or Siamese, in the order of computation.

    Parameters
    ----------
    model : DenseNet3D
        What it computes is traced without numbers ("meta" device), so full size takes no time; it is left as it was.

    Returns
    -------
    list of Layer
    """
    shapes = _traced(model)
    return [*_encoder_layers(model.encoder, shapes), *_head_layers(model.head, shapes)]


def _traced(model: DenseNet3D) -> Shapes:
    frames = torch.empty(1, 3, model.frames, model.size, model.size, device="meta")
    inputs: tuple[torch.Tensor, ...] = (frames, torch.tensor([model.frames]))
    if isinstance(model, Siamese):
        inputs += (frames,)
    weights = {name: tensor.to("meta") for name, tensor in model.state_dict().items()}
    training = model.training
    model.eval()
    try:
        with recorded_shapes(model) as shapes, torch.inference_mode():
            torch.func.functional_call(model, weights, inputs)
    finally:
        model.train(training)
    return shapes


def _encoder_layers(encoder: nn.Module, shapes: Shapes) -> Iterator[Layer]:
    size: tuple[int, ...] = ()
    for name, stage in encoder.named_children():
        shape = shapes[f"encoder.{name}"]
        number = name.removeprefix("block").removeprefix("transition")
        size = shape[:1:-1]
        if isinstance(stage, DenseBlock):
            yield Layer(f"3D dense block ({number})", _bottlenecks(stage), size, shape[1])
        elif isinstance(stage, Transition):
            before = shapes[f"encoder.{name}.conv"]
            yield Layer(f"transition layer ({number}), convolution", _operator(stage.conv), before[:1:-1], before[1])
            yield Layer(f"transition layer ({number}), pooling", _operator(stage.pool), size, shape[1])
        elif isinstance(stage, nn.Linear):
            yield Layer("fully connected", _operator(stage), (1, 1, 1), shape[-1])
        else:
            convolutions = [module for module in stage.modules() if isinstance(module, nn.Conv3d)]
            operator = " then ".join(map(_operator, convolutions)) or "left out"
            yield Layer(f"3D convolution ({'first' if name == 'stem' else name})", operator, size, shape[1])
            if name == "last":
                yield Layer("mean", f"mean over {times(size)}", (1, 1, 1), shape[1])


def _head_layers(head: nn.Module, shapes: Shapes) -> Iterator[Layer]:
    if "head.distance" in shapes:
        yield Layer("L1 distance", "|smile - anchor|, element by element", (1, 1, 1), shapes["head.distance"][-1])
    yield Layer("fully connected (final)", _operator(head.get_submodule("fc")), (1, 1, 1), shapes["head.fc"][-1])


def _bottlenecks(block: DenseBlock) -> str:
    """The convolutions of a block's layers; layers that differ are told apart."""
    kernels = [[_kernel(m.kernel_size) for m in layer.modules() if isinstance(m, nn.Conv3d)] for layer in block.layers]
    runs = [(kernel, len(list(run))) for kernel, run in groupby(kernels)]
    return " + ".join(f"[{', '.join(f'{k} convolution' for k in kernel)}] × {count}" for kernel, count in runs)


def _operator(module: nn.Module) -> str:
    if isinstance(module, nn.Linear):
        return f"{module.in_features} → {module.out_features}"
    kind = "convolution" if isinstance(module, nn.Conv3d) else "average pooling"
    return f"{_kernel(module.kernel_size)} {kind}, {_kernel(module.stride)} stride"


def _kernel(of: Any) -> str:
    """Size or stride in time, height and width, printed the paper's way: width first."""
    return times(of[::-1] if isinstance(of, tuple) else (of,) * 3)


def times(sizes: Sequence[int]) -> str:
    """Print sizes as "56×56×30"."""
    return "×".join(map(str, sizes))


def parameters(module: nn.Module) -> int:
    """How many numbers a module learns."""
    return sum(p.numel() for p in module.parameters())


def _count(model: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(module, kind) for module in model.modules())


@makes("lee2020-table2", densenet3d, siamese, drawing)
def lee2020_table2(models: Mapping[str, DenseNet3D]) -> Product:
    """Lee Table 2: layers, output sizes and operators, reported beside what the live models are.

    Parameters
    ----------
    models : mapping of str to DenseNet3D
        Name to model, plain or Siamese; the first is compared with the paper's rows.

    Raises
    ------
    ValueError
        No model.
    """
    if not models:
        raise ValueError("found no model, expected at least one, such as {'3D DenseNet-94': models.build(...)}.")
    rows = reported("lee2020-table2")
    cells = {
        (row, quantity): re.sub(r"(?<=\d)x(?=\d)|(?<= )x(?= )", "×", value)
        for row, quantity, value in rows[["row", "quantity", "value"]].itertuples(index=False)
    }
    main, *others = models
    of = {name: {layer.name: layer for layer in layers(model)} for name, model in models.items()}
    names = dict.fromkeys(name for by in sorted(of.values(), key=len, reverse=True) for name in by)
    table = []
    for name in names:
        size, operator = cells.get((name, "output size"), ""), cells.get((name, "operator"), "")
        layer = of[main].get(name)
        own = ("none", "none") if layer is None else (times(layer.size), layer.operator)
        pairs = (("output size", size, own[0]), ("operator", operator, own[1]))
        row = {
            "layer": name,
            "output size (width × height × frames), reported": size,
            f"output size, {main}": own[0],
            "operator, reported": operator,
            f"operator, {main}": own[1],
            f"features, {main}": str(layer.features) if layer else "none",
            "differs in": ", ".join(what for what, printed, live in pairs if printed and printed != live),
        }
        for other in others:
            row[f"{other}: operator, features"] = _beside(layer, of[other].get(name))
        table.append(row)
    tables = {
        "Layers, output sizes and operators, read off the live models": pd.DataFrame(table),
        "Counts on the same models": _counts(models, of, cells),
    }
    return Product(tables, notes=_deviations(main, models[main], of[main], cells))


def _beside(main: Layer | None, other: Layer | None) -> str:
    """What a model has where the first has `main`, told by what differs."""
    if other is None:
        return "none"
    size = "" if main and main.size == other.size else f"{times(other.size)}: "
    operator = "the same" if main and main.operator == other.operator else other.operator
    return f"{size}{operator}; {other.features}"


def _counts(
    models: Mapping[str, DenseNet3D], of: Mapping[str, Mapping[str, Layer]], cells: Mapping[tuple[str, str], str]
) -> pd.DataFrame:
    weights = float(cells[_PAPER, "weights"])
    rows: list[dict[str, str]] = []

    def add(quantity: str, printed: str, values: Sequence[str]) -> None:
        rows.append({"quantity": quantity, "reported": printed, **dict(zip(models, values, strict=True))})

    live = list(models.values())
    millions = [parameters(model) / 1e6 for model in live]
    add("input (width × height × frames)", cells[_PAPER, "input size of the data"],
        [times((m.size, m.size, m.frames)) for m in live])  # fmt: skip
    add("weights, million", f"{weights:g}", [f"{n:.3f}" for n in millions])
    add("difference from the reported weights, %", "", [f"{100 * (n / weights - 1):+.1f}" for n in millions])
    add("bottleneck layers in blocks 1 to 4", "", [", ".join(map(str, _blocks(m))) for m in live])
    add("3D convolutions", cells[_PAPER, "convolutional layers"], [str(_count(m, nn.Conv3d)) for m in live])
    add("fully connected layers", "", [str(_count(m, nn.Linear)) for m in live])
    add("features after the mean", cells[_PAPER, "features"], [str(by["mean"].features) for by in of.values()])
    width = [str(by["fully connected"].features) for by in of.values()]
    add("features after the fully connected layer", cells[_PAPER, "embedding width"], width)
    return pd.DataFrame(rows)


def _blocks(model: DenseNet3D) -> list[int]:
    return [len(stage.layers) for stage in model.encoder.children() if isinstance(stage, DenseBlock)]


def _deviations(
    main: str, model: DenseNet3D, of: Mapping[str, Layer], cells: Mapping[tuple[str, str], str]
) -> list[str]:
    """What the paper's own statements and the live model disagree about, with the live numbers."""
    blocks, convolutions = _blocks(model), _count(model, nn.Conv3d)
    printed = [cells[f"3D dense block ({n})", "operator"].rpartition(" ")[2] for n in range(1, len(blocks) + 1)]
    stem = model.encoder.stem.get_submodule("conv")
    assert isinstance(stem, nn.Conv3d)
    text_side = int(cells[_PAPER, "input size"].partition("×")[0])
    reached = [(text_side + 2 * pad - stem.kernel_size[-1]) // stem.stride[-1] + 1 for pad in (0, 1)]
    first = cells["3D convolution (first)", "output size"]
    heading = cells[_PAPER, "name in the heading"].rpartition("-")[2]
    weights, counted = cells[_PAPER, "weights"], parameters(model) / 1e6
    return [
        "Sizes are width × height × frames. They and the features come from hooks on the live modules, operators from "
        "the modules themselves; the mean is no module, its features are those of the map before it. Rows below the "
        "last convolution are described in the paper's text, not in its table.",
        f"Bottleneck layers: the paper prints {', '.join(printed)}; {main} has {', '.join(map(str, blocks))}. No depth "
        "that the paper names follows from the printed numbers; we read the 3 of block (1) as a misprint of 8 for "
        "depth 94. The printed numbers are built as densenet3d-printed.",
        f"Input: the text says {cells[_PAPER, 'input size']}, the data {cells[_PAPER, 'input size of the data']}. From "
        f"{text_side} pixels the first convolution gives {reached[0]} or, padded, {reached[1]}, not the "
        f"{first.partition('×')[0]} of the table.",
        f"Features after the mean: about {cells[_PAPER, 'features']} are reported, {main} has {of['mean'].features}.",
        f"Weights: about {weights} million are reported, {main} has {counted:.3f} million, both fully connected layers "
        "and batch norms included. Growth, features of the first and of the last convolution are not printed: ours.",
        f"Convolutional layers: {cells[_PAPER, 'convolutional layers']} are reported; {main} has {convolutions}, and "
        f"{convolutions + 1} layers with weights when the final fully connected layer is counted as well.",
        f"The table's heading calls the network -{heading}, which is none of the depths that the paper measures.",
        "Transition layer (2) keeps the frames although its pooling spans two: the last frame is repeated once (our "
        "reading).",
    ]
