"""Yang Figure 1: a hand-crafted pipeline and the end-to-end one, drawn on a simulated clip."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from smilelab.artifacts import drawing, stage_times, timed_pipelines
from smilelab.artifacts.catalogue import makes
from smilelab.artifacts.drawing import arrow, box
from smilelab.artifacts.product import Product, database_label
from smilelab.artifacts.stage_times import END_TO_END, StageTimes
from smilelab.artifacts.timed_pipelines import EVERY_FRAME, FORWARD, KEY_FRAMES, SVM
from smilelab.baselines import landmark_signals, phase_features
from smilelab.clips import ClipStore
from smilelab.preprocess.crops import crop, face_pose, pose_box
from smilelab.preprocess.recipe import Recipe
from smilelab.signals import Phases, face_coordinates, phases
from smilelab.simulator import dynamics, face

Array = NDArray[np.float64]
Images = list[NDArray[np.uint8]]

# A clip with a clear smile whose phases all last long enough to be seen.
_SEED, _FPS, _LENGTH_S = 74, 50.0, 5.0
_WIDE, _TALL = 6.7, 3.78
_FRAME = (640, 360)
_IOD_PX = 80.0
_BOX_WIDE, _BOX_TALL, _PICTURE = 0.96, 0.5, 0.62
_PITCH, _LEFT = 1.105, 0.53
_HAND, _LEARNT, _ANSWER = "#cfe3f3", "#d7ecd3", "#fff4cc"
_POINT, _STAMP = "#d7301f", "#b3261e"
_SIGNAL_NAMES = ("lips", "lids", "cheeks")
_SIGNAL_COLORS = ("#0072b2", "#d55e00", "#009e73")
_PHASE_COLORS = {"onset": "#f0c36d", "apex": "#a8d3ee", "offset": "#dcb6d0"}
_MARGIN_S = 0.2
_OPEN = 0.9
_SMALL: dict[str, Any] = {"fontsize": 6.5, "ha": "center"}


class _Example(NamedTuple):
    """A simulated clip: times (T,) s, landmarks (T, 68, 2) px, and the pictures of three of its frames."""

    times: Array
    landmarks: Array
    pictures: Images
    shown: list[int]


@cache
def _example() -> _Example:
    rng = np.random.default_rng(_SEED)
    person = face.draw_identity(rng, age=30.0, sex="female")
    clip = dynamics.draw_clip(dynamics.draw_subject(rng, age=30.0, sex="female"), 1, _FPS, rng, length_s=_LENGTH_S)
    width, height = _FRAME
    renderer = face.FaceRenderer(person, face.draw_scene(rng), width=width, height=height, iod_px=_IOD_PX)
    poses = list(zip(clip.action_units, clip.pose, strict=True))
    landmarks = np.array([renderer.landmarks(units, pose) for units, pose in poses], np.float64)
    # The smile at its first frame, half way up, and at its height between blinks.
    lips, lids, _ = landmark_signals.amplitudes(face_coordinates(landmarks)).mean(1)
    top = int(np.where(lids > _OPEN * np.median(lids), lips, 0).argmax())
    shown = [0, int(np.abs(lips[:top] - (lips[0] + lips[top]) / 2).argmin()), top]
    return _Example(np.asarray(clip.times, float), landmarks, [renderer.render(*poses[at]) for at in shown], shown)


@makes("yang2020-fig1", drawing, stage_times, timed_pipelines, landmark_signals, phase_features)
def yang2020_fig1(times: StageTimes | None = None, *, store: ClipStore | None = None) -> Product:
    """Yang Figure 1: what a landmark pipeline and the end-to-end one do with a clip, and how long each step takes.

    Parameters
    ----------
    times : StageTimes, optional
        From :func:`smilelab.artifacts.stage_times.stage_times`; seconds a clip are then written at the steps.
    store : ClipStore, optional
        The store that `times` were measured on: what the artifact says its data are.
    """
    figure = Figure(figsize=(_WIDE, _TALL))
    # Units are inches of the print.
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, _WIDE), ylim=(0, _TALL))
    axes.set_axis_off()
    recipe = Recipe() if times is None else Recipe.from_dict(times.settings["recipe"])
    _hand_crafted(figure, axes, 2.52, times)
    _end_to_end(figure, axes, 0.68, times, recipe)
    axes.text(0.02, 0.03, "simulated faces", fontsize=7, color=_STAMP, va="bottom")
    notes = [
        "Our own drawing: faces, signals and phases are those of one simulated clip, with the simulator's landmarks.",
        "The landmark pipeline stands for those that Yang et al. compare with; ours takes its landmarks from dlib in "
        "every frame, so that nothing in it is manual.",
    ]
    if times is not None:
        label = database_label(times.database, simulated=times.simulated)
        how = f"Seconds a clip: mean over {len(times.clips)} clips of {label}, {times.cpu}, one thread"
        axes.text(_WIDE - 0.02, 0.03, how, fontsize=6.5, color="0.25", ha="right", va="bottom")
        notes.append(
            f"{how}, measured {times.measured}; the median of {times.settings['rounds']} rounds of each clip. "
            "Learning is not part of them."
        )
    return Product(figure=figure, notes=notes, stores=[] if store is None else [store])


def _hand_crafted(figure: Figure, axes: Axes, y: float, times: StageTimes | None) -> None:
    example = _example()
    points = face_coordinates(example.landmarks)
    signals = landmark_signals.smoothed(landmark_signals.amplitudes(points))
    steps = (
        ("decode\nevery frame", timed_pipelines.DECODE),
        ("find the face,\n68 landmarks", ""),
        ("normalise place,\nsize and roll", timed_pipelines.NORMALISE),
        ("amplitude\nsignals", timed_pipelines.SIGNALS),
        ("phases, statistics\nof each", timed_pipelines.STATISTICS),
        ("linear SVM:\nspontaneous?", SVM),
    )
    xs = _row(axes, y, "Hand-crafted: every step is designed", [text for text, _ in steps], [1] * 6, _HAND)
    for x, (_, stage) in zip(xs, steps, strict=True):
        if stage:
            _seconds(axes, x, y, [(times, EVERY_FRAME, stage, "")])
    both = [(times, EVERY_FRAME, EVERY_FRAME, ""), (times, KEY_FRAMES, KEY_FRAMES, "key frames: ")]
    _seconds(axes, xs[1], y, both)
    _total(axes, y, times, EVERY_FRAME, f"; detector on key frames {_together(times, KEY_FRAMES)}")
    _stack(figure, xs[0], y, 5)
    inset = _inset(figure, xs[1], y)
    _frame(inset, example.pictures[2])
    inset.plot(*example.landmarks[example.shown[2]].T, ".", color=_POINT, ms=1.6, mew=0)
    inset.set(xlim=_around(example)[:2], ylim=_around(example)[2:])
    inset = _inset(figure, xs[2], y)
    inset.plot(*points[example.shown[2]].T, ".", color=_POINT, ms=2.4, mew=0)
    inset.set(aspect="equal", xlim=(-1.4, 1.4), ylim=(1.95, -0.75))
    inset.axhline(0, color="0.75", lw=0.5, zorder=0)
    inset.axvline(0, color="0.75", lw=0.5, zorder=0)
    inset = _inset(figure, xs[3], y)
    for number, (signal, color) in enumerate(zip(signals.mean(1), _SIGNAL_COLORS, strict=True)):
        span = np.ptp(signal) or 1.0
        level = -1.3 * number
        inset.plot(example.times, (signal - signal.min()) / span + level, color=color, lw=0.8)
        inset.text(-0.15, level + 0.5, _SIGNAL_NAMES[number], fontsize=6, color=color, ha="right", va="center")
    inset.set_xlim(-2.1, example.times[-1])
    _phases(_inset(figure, xs[4], y), example.times, signals[0].mean(0))
    _boundary(_inset(figure, xs[5], y))


def _end_to_end(figure: Figure, axes: Axes, y: float, times: StageTimes | None, recipe: Recipe) -> None:
    example = _example()
    rate = "every frame" if recipe.fps is None else f"{recipe.fps:g} frames a second"
    texts = [
        f"decode, keep\n{rate}",
        "find the face\non key frames",
        f"crop, resize\nto {recipe.size} × {recipe.size}",
        "RealSmileNet: attention to change, convolutions,\nConvLSTM, classification block: spontaneous?",
    ]
    xs = _row(axes, y, "End to end: the features are learnt", texts, [1, 1, 1, 3], _LEARNT)
    stages = (timed_pipelines.SAMPLE, timed_pipelines.FACE, timed_pipelines.CROP, FORWARD)
    for x, stage in zip(xs, stages, strict=True):
        _seconds(axes, x, y, [(times, END_TO_END, stage, "")])
    _total(axes, y, times, END_TO_END)
    _stack(figure, xs[0], y, 2)
    inset = _inset(figure, xs[1], y)
    _frame(inset, example.pictures[2])
    boxes = [pose_box(face_pose(example.landmarks[at])) for at in example.shown]
    left, top, right, bottom = boxes[2]
    inset.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, ec=_POINT, lw=1.2))
    inset.set(xlim=_around(example)[:2], ylim=_around(example)[2:])
    crops = [crop(image, part, recipe.size) for image, part in zip(example.pictures, boxes, strict=True)]
    for number, picture in enumerate(crops):
        _frame(_inset(figure, xs[2] + 0.34 * (number - 1), y, wide=0.32, tall=0.32), picture)
    _network(_inset(figure, xs[3], y, wide=2.9))


def _row(axes: Axes, y: float, title: str, texts: list[str], columns: list[int], color: str) -> list[float]:
    """Boxes over so many columns each, with arrows between them; the middles of the boxes."""
    axes.text(0.05, y + 1.03, title, fontsize=9, weight="bold", va="bottom")
    xs, at = [], 0
    for text, wide in zip(texts, columns, strict=True):
        x = _LEFT + _PITCH * (at + (wide - 1) / 2)
        box(axes, x, y, _BOX_WIDE + _PITCH * (wide - 1), _BOX_TALL, text, color, fontsize=6.8)
        if at:
            start = _LEFT + _PITCH * (at - 1) + _BOX_WIDE / 2
            arrow(axes, (start, y), (start + _PITCH - _BOX_WIDE, y), head=6)
        xs.append(x)
        at += wide
    return xs


def _seconds(axes: Axes, x: float, y: float, lines: list[tuple[StageTimes | None, str, str, str]]) -> None:
    for number, (times, pipeline, stage, before) in enumerate(lines):
        if times is not None:
            text = before + _in_words(times.mean(pipeline, stage))
            weight = "normal" if before else "bold"
            axes.text(x, y - _BOX_TALL / 2 - 0.05 - 0.12 * number, text, va="top", weight=weight, **_SMALL)


def _total(axes: Axes, y: float, times: StageTimes | None, pipeline: str, after: str = "") -> None:
    if times is not None:
        text = f"a clip {_together(times, pipeline)}{after}"
        axes.text(_WIDE - 0.05, y + 1.03, text, fontsize=8, ha="right", va="bottom")


def _together(times: StageTimes | None, pipeline: str) -> str:
    return "" if times is None else _in_words(times.preparation(pipeline) + times.decision(pipeline))


def _in_words(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.095 else f"{1e3 * seconds:.1f} ms"


def _inset(figure: Figure, x: float, y: float, *, wide: float = _BOX_WIDE, tall: float = _PICTURE) -> Axes:
    """Axes above the box at (x, y); inches."""
    low = y + _BOX_TALL / 2 + 0.08 + (_PICTURE - tall) / 2
    inset = figure.add_axes(((x - wide / 2) / _WIDE, low / _TALL, wide / _WIDE, tall / _TALL))
    inset.set_axis_off()
    return inset


def _frame(inset: Axes, picture: NDArray[np.uint8]) -> None:
    inset.imshow(picture, aspect="auto")


def _stack(figure: Figure, x: float, y: float, count: int) -> None:
    """Frames behind each other, as close as they are in time."""
    pictures = _example().pictures
    wide, tall, shift = 0.66, 0.66 * _FRAME[1] / _FRAME[0], 0.26
    for number in range(count):
        along = number / max(count - 1, 1)
        picture = pictures[round(along * (len(pictures) - 1))]
        away = shift * (along - 0.5)
        inset = _inset(figure, x + away, y - away * 0.8, wide=wide, tall=tall)
        _frame(inset, picture)
        height, width = picture.shape[:2]
        inset.add_patch(Rectangle((-0.5, -0.5), width, height, fill=False, ec="white", lw=1.2))


def _around(example: _Example) -> tuple[float, float, float, float]:
    """Limits (left, right, bottom, top) of a picture's part with the shape of an inset, about the face."""
    x, y = example.landmarks[example.shown[2]].mean(0)
    tall = 320.0
    wide = tall * _BOX_WIDE / _PICTURE
    low = float(np.clip(y - tall / 2 - 16, 0, _FRAME[1] - tall))
    return float(x - wide / 2), float(x + wide / 2), low + tall, low


def _phases(inset: Axes, times: Array, lips: Array) -> None:
    found: Phases = phases(lips, times)
    low, high = float(lips.min()), float(lips.max())
    spans = {name: span for name, span in found._asdict().items() if span is not None}
    for name, (start, end) in spans.items():
        inset.axvspan(start, end, color=_PHASE_COLORS[name], lw=0)
        x, y, align = {
            "onset": (start, high + 0.1 * (high - low), "left"),
            "apex": ((start + end) / 2, low + 0.05 * (high - low), "center"),
            "offset": (end, high + 0.1 * (high - low), "right"),
        }[name]
        inset.text(x, y, name, va="bottom", fontsize=6, ha=align)
    inset.plot(times, lips, color=_SIGNAL_COLORS[0], lw=1)
    inset.set_ylim(low - 0.05 * (high - low), high + 0.4 * (high - low))
    edges = [edge for span in spans.values() for edge in span]
    inset.set_xlim(min(edges) - _MARGIN_S, max(edges) + _MARGIN_S)


def _boundary(inset: Axes) -> None:
    """A picture of two classes and a line between them; it shows no data."""
    inset.set(xlim=(-1.5, 1.5), ylim=(-1, 1))
    inset.plot([-0.55, 0.55], [-0.95, 0.95], color="0.3", lw=1)
    for side, marker, color in ((-1, "^", "#3a9a3f"), (1, "o", "#2a6fbb")):
        spots = np.array([[0.75, -0.1], [0.5, -0.55], [1.05, -0.45], [1.1, 0.25]]) * side
        inset.plot(*spots.T, marker, color=color, ms=3.2, mew=0)


def _network(inset: Axes) -> None:
    """Maps of the network's stages getting smaller, and one number at the end; it shows no data."""
    inset.set(xlim=(0, 2.9), ylim=(0, _PICTURE))
    middle = _PICTURE / 2
    for x, side, maps, color in (
        (0.12, 0.42, 3, "#f6d9c4"),
        (0.86, 0.28, 4, "#cfe3f3"),
        (1.48, 0.28, 5, "#d7ecd3"),
        (2.14, 0.16, 4, "#e5d8ee"),
    ):
        for number in range(maps):
            corner = (x + 0.045 * number, middle - side / 2 + 0.02 * (number - maps / 2))
            inset.add_patch(Rectangle(corner, side, side, fc=color, ec="0.4", lw=0.5))
    for x in (0.75, 1.38, 2.04, 2.54):
        arrow(inset, (x - 0.06, middle), (x + 0.06, middle), head=5)
    inset.plot([2.7], [middle], "o", color="0.25", ms=4)
