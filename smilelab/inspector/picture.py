"""The inspector's view of a clip as one picture: what is printed, and what "save the view" writes."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from smilelab.datasets import NEUTRAL, POSED, SPONTANEOUS
from smilelab.inspector.clip import OpenedClip
from smilelab.inspector.panels import draw_curves, panel_count
from smilelab.inspector.scorer import Scorer, title_of
from smilelab.inspector.scores import OpenedAnchor, OverTime

__all__ = ["MOST_NETWORKS", "curves_png", "overlay", "picture"]

_CLASSES = {SPONTANEOUS: "spontaneous", POSED: "posed", NEUTRAL: "neutral"}
_COLOURS = "inferno"
_CURSOR = "#c40000"
_WIDTH, _HEIGHT, _DPI = 13.2, 9.9, 110
_FRAME_PX = 960
_NO_EVIDENCE = "no evidence about real smiles"
MOST_NETWORKS = 8


def picture(
    clip: OpenedClip,
    at: int,
    *,
    scorer: Scorer | None = None,
    probabilities: Mapping[str, float] | None = None,
    over_time: OverTime | None = None,
    overlay: NDArray[np.float32] | None = None,
    overlay_name: str = "",
    opacity: float = 0.5,
    anchor: OpenedAnchor | None = None,
    nearest: pd.DataFrame | None = None,
    thumbnails: Mapping[str, NDArray[np.uint8]] | None = None,
) -> Figure:
    """Draw the whole view of a clip at one of its frames.

    Parameters
    ----------
    clip : OpenedClip
    at : int
        Frame of `clip.times`.
    scorer : Scorer, optional
        The network whose map, probability over time and neighbours are shown.
    probabilities : mapping of str to float, optional
        Probability of a spontaneous smile by name of the network; NaN where it could not score the clip.
    over_time : (times, probabilities), optional
        As `probability_over_time` gives them.
    overlay : (T, S, S) array, optional
        As `overlay_map` gives it.
    overlay_name : str
        Such as "grad-cam".
    opacity : float
        Of the map over the crop, 0 to 1.
    anchor : OpenedAnchor, optional
    nearest : pandas.DataFrame, optional
        As `scores.nearest` gives it.
    thumbnails : mapping of str to (S, S, 3) uint8 array, optional
        A crop of each of the nearest clips, by ``clip_id``, as `scores.thumbnails` gives them.

    Returns
    -------
    matplotlib.figure.Figure
        Not one of pyplot's: it is freed with the last reference to it. The word *simulated* is on it where the video or
        a network's training was.
    """
    figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=_DPI, facecolor="white")
    _headings(figure, clip, at, scorer, probabilities or {})
    frame = _axes(figure, 0.25, 0.95, 6.95, 3.95)
    _image(frame, clip.picture(at, width=_FRAME_PX))
    frame.set_title(f"frame {at + 1} of {len(clip.times)}, {clip.times[at]:.2f} s", fontsize=9, loc="left", pad=3)
    _crops(figure, clip, at, overlay, overlay_name, opacity, anchor)
    bottom = _bars(figure, probabilities or {}, scorer)
    _neighbours(figure, nearest, thumbnails or {}, scorer, bottom)
    count = panel_count(over_time)
    height = (_HEIGHT - 5.3 - 0.55) / count
    axes = [_axes(figure, 0.85, 5.3 + number * height, 5.55, height - 0.14) for number in range(count)]
    draw_curves(axes, clip, over_time)
    for axis in axes:
        axis.axvline(clip.times[at], color=_CURSOR, lw=1.3)
    return figure


def overlay(crop: NDArray[np.uint8], weights: NDArray[np.float32], opacity: float = 0.5) -> NDArray[np.uint8]:
    """Lay a map over a crop.

    Parameters
    ----------
    crop : (S, S, 3) uint8 array
        RGB.
    weights : (S, S) array
        In [0, 1].
    opacity : float
        Of the map where it is 1; it fades with the map, so that the face stays visible where nothing is said.

    Returns
    -------
    (S, S, 3) uint8 array
        RGB.
    """
    colours = mpl.colormaps[_COLOURS](weights)[..., :3] * 255
    share = opacity * np.sqrt(weights)[..., None]
    return np.asarray(np.rint((1 - share) * crop + share * colours), np.uint8)


def curves_png(
    clip: OpenedClip, *, width: int = 900, height: int = 420, over_time: OverTime | None = None
) -> tuple[bytes, Callable[[float], float]]:
    """Draw the curves of a clip without a cursor.

    Parameters
    ----------
    clip : OpenedClip
    width, height : int
        px.
    over_time : (times, probabilities), optional
        As `probability_over_time` gives them; a row of its own.

    Returns
    -------
    png : bytes
    x_of_time : callable
        Time, s -> px from the left edge, for the cursor that the caller draws.
    """
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor="white")
    count = panel_count(over_time)
    axes = list(
        np.atleast_1d(
            figure.subplots(
                count, 1, sharex=True,
                gridspec_kw={
                    "left": 90 / width, "right": 1 - 72 / width, "top": 1 - 28 / height, "bottom": 36 / height,
                    "hspace": 0.14,
                },
            )
        )
    )  # fmt: skip
    draw_curves(axes, clip, over_time, fontsize=8)
    if clip.simulated:
        figure.text(0.995, 0.012, "simulated", ha="right", va="bottom", fontsize=8, style="italic")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    transform = axes[-1].transData.frozen()
    return buffer.getvalue(), lambda time: float(transform.transform((time, 0.0))[0])


def _headings(
    figure: Figure, clip: OpenedClip, at: int, scorer: Scorer | None, probabilities: Mapping[str, float]
) -> None:
    about = ["class not known"] if clip.label is None else [_CLASSES[clip.label], f"subject {clip.subject}"]
    about.append(f"{clip.times[-1] - clip.times[0]:.1f} s")
    if clip.remark:
        about.append(clip.remark)
    _text(figure, 0.25, 0.12, textwrap.shorten(clip.title, 110, placeholder=" ..."), fontsize=13, weight="bold")
    _text(figure, 0.25, 0.43, textwrap.shorten("; ".join(about), 150, placeholder=" ..."), fontsize=9.5)
    made = ["simulated video"] if clip.simulated else []
    if (scorer is not None and scorer.simulated) or any("simulated" in name for name in probabilities):
        made.append("networks trained on simulated videos")
    if made:
        said = f"{', '.join(made)}: {_NO_EVIDENCE}"
        figure.text(
            1 - 0.25 / _WIDTH, 1 - 0.14 / _HEIGHT, said, fontsize=9.5, ha="right", va="top", weight="bold",
            bbox={"facecolor": "#fff1b8", "edgecolor": "#8a6d00", "boxstyle": "round,pad=0.3", "lw": 0.8},
        )  # fmt: skip


def _crops(
    figure: Figure,
    clip: OpenedClip,
    at: int,
    weights: NDArray[np.float32] | None,
    name: str,
    opacity: float,
    anchor: OpenedAnchor | None,
) -> None:
    number = clip.nearest_crop(at)
    crop = np.asarray(clip.crops[number])
    first = _axes(figure, 7.45, 0.95, 2.6, 2.6)
    _image(first, crop if weights is None else overlay(crop, weights[number], opacity))
    first.set_title(f"crop {number + 1} of {len(clip.crops)}, {clip.crop_times[number]:.2f} s", fontsize=9, pad=3)
    if weights is not None:
        nothing = "" if weights[number].any() else " (nothing in this frame)"
        _below(first, f"{name or 'map'}{nothing}: what speaks for the predicted class, scaled for show", 45)
    else:
        _below(first, "what a network sees", 45)
    second = _axes(figure, 10.35, 0.95, 2.6, 2.6)
    if anchor is None:
        _empty(second, "no face at rest")
        return
    _image(second, anchor.frames[len(anchor.frames) // 2])
    second.set_title("face at rest", fontsize=9, pad=3)
    _below(second, anchor.source, 45)


def _bars(figure: Figure, probabilities: Mapping[str, float], scorer: Scorer | None) -> float:
    """Bars under each other; inches from the top where they end."""
    top = 4.42
    _text(figure, 7.45, top - 0.28, "Probability of a spontaneous smile", fontsize=10, weight="bold")
    if not probabilities:
        _text(figure, 7.45, top + 0.02, "no network has scored this clip", fontsize=9, color="0.35")
        return top + 0.3
    chosen_first = sorted(probabilities.items(), key=lambda one: scorer is None or one[0] != scorer.name)
    shown = dict(chosen_first[:MOST_NETWORKS])
    if len(probabilities) > len(shown):
        more = f"and {len(probabilities) - len(shown)} more"
        _text(figure, 12.95, top - 0.26, more, fontsize=8.5, color="0.35", ha="right")
    step = 0.37 if len(shown) <= 6 else 0.31
    axis = _axes(figure, 7.45, top, 4.95, step * len(shown))
    axis.set_xlim(0, 1)
    axis.set_ylim(len(shown), 0)
    for number, (name, value) in enumerate(shown.items()):
        chosen = scorer is not None and name == scorer.name
        axis.text(
            0, number + 0.30, textwrap.shorten(name, 88, placeholder=" ..."), fontsize=7.6, va="center",
            weight="bold" if chosen else "normal", parse_math=False,
        )  # fmt: skip
        axis.barh(number + 0.72, 1, height=0.34, color="0.92")
        if np.isfinite(value):
            axis.barh(number + 0.72, value, height=0.34, color="#5b2a86" if chosen else "#8d8d8d")
        said = f"{value:.2f}" if np.isfinite(value) else "not scored"
        axis.text(1.01, number + 0.72, said, fontsize=8, va="center", weight="bold" if chosen else "normal")
        axis.plot([0.5, 0.5], [number + 0.5, number + 0.94], color="black", lw=1.1, ls=(0, (2, 1)))
    axis.set_yticks([])
    axis.set_xticks([0, 0.5, 1], ["0 posed", "0.5", "1 spontaneous"], fontsize=7.5)
    lowest, _, highest = axis.get_xticklabels()
    lowest.set_horizontalalignment("left")
    highest.set_horizontalalignment("right")
    axis.tick_params(length=2, pad=2)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    return top + step * len(shown) + 0.3


def _neighbours(
    figure: Figure,
    nearest: pd.DataFrame | None,
    thumbnails: Mapping[str, NDArray[np.uint8]],
    scorer: Scorer | None,
    top: float,
) -> None:
    if nearest is None or nearest.empty:
        return
    top += 0.25
    by = f", as {title_of(scorer.model_name)} sees them" if scorer is not None else ""
    source = nearest.attrs.get("source")
    of = f" of {source}" if source else ""
    _text(figure, 7.45, top, f"Nearest clips{of}{by}", fontsize=10, weight="bold")
    side = min(1.02, _HEIGHT - top - 1.3)
    for number, (_, row) in enumerate(nearest.head(5).iterrows()):
        axis = _axes(figure, 7.45 + number * 1.1, top + 0.3, side, side)
        if row["clip_id"] in thumbnails:
            _image(axis, thumbnails[row["clip_id"]])
        else:
            _empty(axis, "")
        known = {True: "seen in training or validation", False: "unseen subject"}.get(row["seen"], "")
        lines = [_CLASSES.get(int(row["label"]), ""), f"subject {row['subject']}", f"distance {row['distance']:.2g}"]
        _below(axis, "\n".join(filter(None, [*lines, known])), 18)


def _axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes by inches from the left and from the top."""
    return figure.add_axes((left / _WIDTH, 1 - (top + height) / _HEIGHT, width / _WIDTH, height / _HEIGHT))


def _text(figure: Figure, left: float, top: float, text: str, **style: Any) -> None:
    figure.text(left / _WIDTH, 1 - top / _HEIGHT, text, va="top", parse_math=False, **style)


def _image(axis: Axes, image: NDArray[np.uint8]) -> None:
    axis.imshow(image, interpolation="nearest" if image.shape[1] < 200 else "antialiased")
    axis.set_axis_off()


def _empty(axis: Axes, text: str) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_color("0.8")
    axis.text(
        0.5, 0.5, text, ha="center", va="center", fontsize=9, color="0.4", transform=axis.transAxes, parse_math=False
    )


def _below(axis: Axes, text: str, width: int) -> None:
    wrapped = "\n".join(line for part in text.split("\n") for line in textwrap.wrap(part, width)[:3])
    axis.annotate(
        wrapped, (0.5, 0), xycoords="axes fraction", xytext=(0, -3), textcoords="offset points", ha="center", va="top",
        fontsize=7.6, annotation_clip=False, parse_math=False,
    )  # fmt: skip
