"""Lee & Lee's drawings: where hand-crafted methods look, and the Siamese network as its live modules are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Polygon, Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from torch import nn

from smilelab.artifacts import drawing, face_points, lee_layers
from smilelab.artifacts.catalogue import makes
from smilelab.artifacts.drawing import arrow, box
from smilelab.artifacts.face_points import (
    DIBEKLIOGLU_2015,
    VALSTAR_2007,
    VALSTAR_2007_SHOULDERS,
    WU_2017,
    WU_2017_REGIONS,
    BodyPlace,
    Place,
    Portrait,
    body_positions,
    positions,
)
from smilelab.artifacts.lee_layers import Layer, layers, parameters, times
from smilelab.artifacts.lee_layers import lee2020_table2 as lee2020_table2
from smilelab.artifacts.product import Product
from smilelab.models import densenet3d, siamese
from smilelab.models.densenet3d import DenseNet3D
from smilelab.signals import eye_centres
from smilelab.simulator import face, geometry

_PAGE_INCHES = 6.7
_POINT, _SHOULDER = "#d7301f", "#0b4fa8"
# Okabe and Ito's palette, which colour-blind readers tell apart.
_REGION_COLORS = ("#e69f00", "#56b4e9", "#56b4e9", "#009e73", "#009e73", "#cc79a7")
# AU06_L AU06_R AU12_L AU12_R AU25 AU26 AU45
_SMILE = (2.0, 2.0, 2.5, 2.5, 1.5, 0.0, 0.0)
_ANCHORS = {"neutral": ("neutral face", (0.0,) * 7), "posed": ("posed smile", (0.0, 0.0, 2.5, 2.5, 1.5, 0.0, 0.0))}
_STAMP: dict[str, Any] = {"fontsize": 7, "color": "#b3261e", "ha": "right", "va": "bottom"}
_COLORS = {
    "dense block": "#cfe3f3", "transition": "#d7ecd3", "convolution": "#f6d9c4", "mean": "#f2f2f2",
    "fully connected": "#fff4cc", "L1 distance": "#e5d8ee",
}  # fmt: skip


@makes("lee2020-fig1", face_points, face, geometry)
def lee2020_fig1() -> Product:
    """Lee Figure 1: feature points and regions of three hand-crafted methods, on a simulated face."""
    person = face_points.portrait(_SMILE)
    # How far a panel reaches to either side, up and down, in distances between the eye centres.
    panels = [
        ("(a) Dibeklioğlu et al. 2015", DIBEKLIOGLU_2015, (1.42, 1.72, 2.08)),
        ("(b) Valstar et al. 2007", VALSTAR_2007, (2.05, 1.72, 2.83)),
        ("(c) Wu et al. 2017", WU_2017, (1.42, 1.72, 2.08)),
    ]
    gap, foot, title = 0.08, 0.42, 0.34
    shapes = [2 * beside / (above + below) for _, _, (beside, above, below) in panels]
    tall = (_PAGE_INCHES - gap * (len(panels) - 1)) / sum(shapes)
    height = foot + tall + title
    figure = Figure(figsize=(_PAGE_INCHES, height))
    left = 0.0
    for (name, places, reach), shape in zip(panels, shapes, strict=True):
        axes = figure.add_axes((left / _PAGE_INCHES, foot / height, tall * shape / _PAGE_INCHES, tall / height))
        left += tall * shape + gap
        _panel(axes, person, name, places, reach, tall)
    _legend(figure)
    figure.text(1.0, 0.0, "simulated face", **_STAMP)
    notes = [
        "The face is simulated and its 68 landmarks are the simulator's ground truth; points and corners of regions "
        "follow from them by the rules of the table (landmarks from 0, distances in those between the eye centres).",
        "(a) The 11 points are those of Dibeklioğlu et al.; where a cheek lies between jaw and nose is our choice.",
        "(b) Lee & Lee say 12 facial and 5 shoulder points and show them in a picture only: which they are is our "
        "reading. The shoulder points lie on the edge of the rendered shirt.",
        "(c) Lee & Lee say 28 points and 6 regions, among them forehead, cheeks, eyes and mouth: which points, and the "
        "outlines of the regions, are our reading.",
    ]
    return Product({"Points and regions by rule": _rules()}, figure=figure, notes=notes)


def _panel(
    axes: Axes, person: Portrait, name: str, places: Sequence[Place], reach: tuple[float, float, float], tall: float
) -> None:
    """A face with a method's points and regions, `tall` inches high."""
    beside, above, below = reach
    centres = eye_centres(person.landmarks)
    (x, y), iod = centres.mean(0), float(centres[1, 0] - centres[0, 0])
    axes.imshow(person.picture)
    axes.set(xlim=(x - beside * iod, x + beside * iod), ylim=(y + below * iod, y - above * iod))
    axes.set_axis_off()
    # Pixels of the picture in a point of the print.
    point = (above + below) * iod / (72 * tall)
    counts = f"{len(places)} points"
    if places is WU_2017:
        counts += f", {len(WU_2017_REGIONS)} regions"
        for corners, color in zip(WU_2017_REGIONS.values(), _REGION_COLORS, strict=True):
            outline = positions(corners, person.landmarks)
            axes.add_patch(Polygon(outline, facecolor=(*to_rgb(color), 0.45), edgecolor=color, lw=1.2))
    if places is VALSTAR_2007:
        counts = f"{len(places)} + {len(VALSTAR_2007_SHOULDERS)} shoulder points"
        at = body_positions(VALSTAR_2007_SHOULDERS, person)
        axes.plot(*at.T, "s", ms=7, mfc="none", mec=_SHOULDER, mew=1.6)
        _number(axes, at, at - [0, 1], point, start=len(places) + 1)
    at = positions(places, person.landmarks)
    axes.plot(*at.T, "o", ms=3.6, mfc=_POINT, mec="white", mew=0.5, zorder=5)
    _number(axes, at, _away(places, at), point)
    axes.set_title(f"{name}\n{counts}", fontsize=8, pad=3)


def _away(places: Sequence[Place], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """A spot beside each point, on the side away from the middle of the part that it lies on; alone, to the right."""
    parts = np.array([place.part for place in places])
    middles = np.stack([at[parts == part].mean(0) for part in parts])
    outwards = at - middles
    return at + np.where(np.abs(outwards).sum(1, keepdims=True) < 1e-6, [1.0, 0.0], outwards)


def _number(axes: Axes, at: NDArray[np.float64], towards: NDArray[np.float64], point: float, *, start: int = 1) -> None:
    ways = (towards - at) / np.linalg.norm(towards - at, axis=1, keepdims=True)
    outline: list[Any] = [withStroke(linewidth=1.6, foreground="white")]
    for number, (spot, way) in enumerate(zip(at, ways, strict=True), start=start):
        x, y = spot + np.array([4.0 + 1.9 * len(str(number)), 6.2]) * point * way
        text = axes.text(x, y, str(number), fontsize=6, ha="center", va="center", color="0.1")
        text.set_path_effects(outline)


def _legend(figure: Figure) -> None:
    handles: list[Any] = [
        Line2D([], [], linestyle="", marker="o", ms=4, mfc=_POINT, mec="white", label="facial point"),
        Line2D([], [], linestyle="", marker="s", ms=6, mfc="none", mec=_SHOULDER, mew=1.5, label="shoulder point"),
    ]
    kinds = [region.removeprefix("right ").removeprefix("left ") for region in WU_2017_REGIONS]
    for kind, color in dict(zip(kinds, _REGION_COLORS, strict=True)).items():
        many = f" ({kinds.count(kind)})" if kinds.count(kind) > 1 else ""
        handles.append(Patch(facecolor=(*to_rgb(color), 0.45), edgecolor=color, label=f"{kind}{many}"))
    figure.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0.0, 0.02), ncols=len(handles), frameon=False, fontsize=7.5,
        columnspacing=1.2, handletextpad=0.4, borderaxespad=0,
    )  # fmt: skip


def _rules() -> pd.DataFrame:
    rows = []
    shown: list[tuple[str, str, Sequence[Place | BodyPlace]]] = [
        ("Dibeklioğlu et al. 2015", "facial point", DIBEKLIOGLU_2015),
        ("Valstar et al. 2007", "facial point", VALSTAR_2007),
        ("Valstar et al. 2007", "shoulder point", VALSTAR_2007_SHOULDERS),
        ("Wu et al. 2017", "facial point", WU_2017),
        *(("Wu et al. 2017", "region", corners) for corners in WU_2017_REGIONS.values()),
    ]
    first = {"shoulder point": len(VALSTAR_2007) + 1}
    for method, kind, places in shown:
        for number, place in enumerate(places, start=first.get(kind, 1)):
            rows.append((method, kind, str(number), place.part, place.name, place.rule))
    return pd.DataFrame(rows, columns=["method", "kind", "number", "part", "point", "landmarks"])


@makes("lee2020-fig3", densenet3d, siamese, drawing, lee_layers, face_points)
def lee2020_fig3(model: DenseNet3D) -> Product:
    """Lee Figure 3: overview of the Siamese model, drawn from a live one.

    Parameters
    ----------
    model : DenseNet3D
        A Siamese one, such as ``models.build("siamese-neutral")``.

    Raises
    ------
    ValueError
        A model without an anchor.
    """
    if not isinstance(model, siamese.Siamese):
        raise ValueError(f"found a {type(model).__name__}, which has no anchor; expected a Siamese model to draw.")
    found = layers(model)
    at = next(n for n, layer in enumerate(found) if layer.name == "L1 distance")
    branch = [list(group) for _, group in groupby(found[:at], key=_stage)]
    figure = Figure(figsize=(_PAGE_INCHES, _TALL))
    # Units are inches of the print.
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, _PAGE_INCHES), ylim=(0, _TALL))
    axes.set_axis_off()
    anchor, anchor_units = _ANCHORS[model.anchor_rule]
    xs = np.linspace(1.16, 5.06, len(branch))
    for words, action_units, y in (
        ("smile", _SMILE, _SMILE_Y),
        (f"anchor:\n{anchor}", anchor_units, _ANCHOR_Y),
    ):
        _frames(axes, action_units, y, words)
        arrow(axes, (0.86, y), (xs[0] - _WIDE / 2, y), head=6)
        for number, (x, stage) in enumerate(zip(xs, branch, strict=True)):
            _upright(axes, x, y, _words(stage), _color(stage[0]))
            if number:
                arrow(axes, (xs[number - 1] + _WIDE / 2, y), (x - _WIDE / 2, y), head=5)
    _sizes(axes, xs, branch, model)
    _decision(axes, found[at:], xs[-1])
    title = f"Siamese 3D DenseNet-{model.depth}, {anchor} as anchor: {_weights(model)}"
    axes.text(0.02, _TALL - 0.02, title, va="top", fontsize=9.5)
    top = _SMILE_Y + _HIGH / 2 + 0.08
    axes.plot([xs[0] - _WIDE / 2, xs[-1] + _WIDE / 2], [top, top], color="0.45", lw=0.8)
    shared = f"one encoder for both branches: {_weights(model.encoder)}"
    axes.text((xs[0] + xs[-1]) / 2, top + 0.04, shared, ha="center", va="bottom", fontsize=8)
    legend = "Between the branches: output size (width × height × frames) and features (bold), equal in both."
    axes.text(xs[0] - _WIDE / 2, 0.02, legend, va="bottom", fontsize=7)
    axes.text(0.02, 0.02, "simulated face", **{**_STAMP, "ha": "left"})
    notes = [
        "Drawn from the live model: sizes and features by hooks, operators from its modules. A dense block's box says "
        "which convolutions its bottleneck layers have and how many layers there are; each layer's features are "
        "concatenated to all before them.",
        "Both inputs pass the same encoder in one call. The output is the probability of a spontaneous smile; the "
        "paper takes posed as positive. The faces are simulated.",
    ]
    return Product(figure=figure, notes=notes)


# Heights of the drawing and of the middles of both branches; a box's width and height. Inches.
_TALL, _SMILE_Y, _ANCHOR_Y = 4.25, 3.03, 0.98
_WIDE, _HIGH = 0.3, 1.46
_MIDDLE = (_SMILE_Y + _ANCHOR_Y) / 2


def _weights(module: nn.Module) -> str:
    return f"{parameters(module):,} weights"


def _stage(layer: Layer) -> str:
    return layer.name.partition(",")[0]


def _words(stage: Sequence[Layer]) -> str:
    """A stage's name and its operators, short enough for a box; a stride of 1 is left out."""
    name = _stage(stage[0]).replace("3D ", "").replace(" layer", "")
    operators = [layer.operator for layer in stage]
    convolution = " conv" if name.startswith("transition") else ""
    for long, short in ((", 1×1×1 stride", ""), (" convolution", convolution), ("average pooling", "mean")):
        operators = [operator.replace(long, short) for operator in operators]
    if operators[0].startswith(name):
        return operators[0]
    return "\n".join([": ".join([name, *operators[:-1]]), operators[-1]])


def _color(layer: Layer) -> str:
    return next(color for kind, color in _COLORS.items() if kind in layer.name)


def _upright(axes: Axes, x: float, y: float, text: str, color: str) -> None:
    box(axes, x, y, _WIDE, _HIGH, text, color, rounding=0.04, fontsize=6.5, rotation=90)


def _frames(axes: Axes, action_units: Sequence[float], y: float, words: str) -> None:
    """A stack of frames of a simulated face."""
    picture = face_points.portrait(action_units, width=240, height=240, iod_px=78.0).picture
    side, shift = 0.62, 0.07
    for step in (2, 1, 0):
        left, low = 0.06 + shift * step, y - side / 2 + shift * (step - 1)
        axes.imshow(picture, extent=(left, left + side, low, low + side), aspect="auto", zorder=3 - step)
        axes.add_patch(Rectangle((left, low), side, side, fill=False, edgecolor="white", lw=0.8, zorder=3 - step))
    axes.text(0.44, y - side / 2 - 0.13, words, ha="center", va="top", fontsize=8)
    # imshow has set them to the picture's.
    axes.set(xlim=(0, _PAGE_INCHES), ylim=(0, _TALL))


def _sizes(axes: Axes, xs: NDArray[np.float64], branch: Sequence[Sequence[Layer]], model: DenseNet3D) -> None:
    """Output sizes and features between the branches, for which they are the same."""
    outputs = [(x, stage[-1]) for x, stage in zip(xs, branch, strict=True)]
    channels = next(module.in_channels for module in model.modules() if isinstance(module, nn.Conv3d))
    outputs.insert(0, (0.44, Layer("input", "", (model.size, model.size, model.frames), channels)))
    for x, layer in outputs:
        axes.text(x, _MIDDLE - 0.13, str(layer.features), ha="center", va="center", fontsize=7, weight="bold")
    for size, run in groupby(outputs, key=lambda output: output[1].size):
        places = [x for x, _ in run]
        middle = (places[0] + places[-1]) / 2
        axes.plot([places[0] - 0.14, places[-1] + 0.14], [_MIDDLE + 0.02] * 2, color="0.45", lw=0.8)
        axes.text(middle, _MIDDLE + 0.13, times(size), ha="center", va="center", fontsize=7)


def _decision(axes: Axes, head: Sequence[Layer], x: float) -> None:
    """From the ends of both branches to the decision."""
    distance, final = head
    xs = (5.52, 5.98, 6.44)
    for y, side in ((_SMILE_Y, 1), (_ANCHOR_Y, -1)):
        axes.plot([x + _WIDE / 2, xs[0], xs[0]], [y, y, _MIDDLE + side * _HIGH / 2], color="0.3", lw=1)
        arrow(axes, (xs[0], _MIDDLE + side * (_HIGH / 2 + 0.15)), (xs[0], _MIDDLE + side * _HIGH / 2), head=6)
    texts = (
        (f"L1 distance, {distance.features}\n|smile - anchor|", _color(distance)),
        (f"fully connected\n{final.operator}", _color(final)),
        ("sigmoid: spontaneous\nfrom 0.5, else posed", _COLORS["mean"]),
    )
    for number, (place, (text, color)) in enumerate(zip(xs, texts, strict=True)):
        _upright(axes, place, _MIDDLE, text, color)
        if number:
            arrow(axes, (xs[number - 1] + _WIDE / 2, _MIDDLE), (place - _WIDE / 2, _MIDDLE), head=5)
