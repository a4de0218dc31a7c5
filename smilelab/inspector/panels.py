"""The curves of a clip as panels under each other: lip corners, eyelids, action units, a network's probability."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from smilelab.inspector.clip import OpenedClip
from smilelab.inspector.scores import OverTime

__all__ = ["draw_curves", "panel_count"]

# Colours of Okabe & Ito, which colour-blind people tell apart; sides also differ in dashes.
RIGHT, LEFT, BOTH = "#0072b2", "#d55e00", "#222222"
_AU06, _AU12, _PROBABILITY = "#cc79a7", "#009e73", "#5b2a86"
_PHASES = {"onset": "#f0e442", "apex": "#56b4e9", "offset": "#b8b8b8"}
_GAP = 1.9  # steps between crops, from which a face was lost between them
_ROOM = 0.1  # of the clip's length, that the name of a phase takes
_SMALL = 8


def panel_count(over_time: OverTime | None) -> int:
    """Number of axes that `draw_curves` takes."""
    return 3 + (over_time is not None)


def draw_curves(
    axes: Sequence[Axes], clip: OpenedClip, over_time: OverTime | None, *, fontsize: float = _SMALL
) -> None:
    """Draw the curves of a clip, its phases shaded and named; sides are the subject's.

    Parameters
    ----------
    axes : sequence of matplotlib.axes.Axes
        `panel_count` of them, from above; only the last one has times below it.
    clip : OpenedClip
    over_time : (times, probabilities), optional
    fontsize : float
        points.
    """
    curves = clip.curves
    times = curves["time_s"].to_numpy()
    end = float(max(clip.times[-1], times[-1]))
    lips, lids, units = axes[:3]
    for name, of_side, axis in (("lip corners", "lip", lips), ("eyelids", "eyelid", lids)):
        for side, colour, dashes in (("right", RIGHT, "-"), ("left", LEFT, (0, (4, 1.5)))):
            _line(axis, times, curves[f"{of_side}_{side}"], side, color=colour, ls=dashes, lw=1.4)
        mean = "lip_corner" if of_side == "lip" else of_side
        _line(axis, times, curves[mean], "mean", color=BOTH, lw=0.8, ls=":")
        axis.set_ylabel(f"{name}\n({'mouth' if of_side == 'lip' else 'eye'} widths)", fontsize=fontsize)
    _line(units, times, curves["au12"], "AU12", color=_AU12, lw=1.4)
    if curves["au06"].notna().any():
        _line(units, times, curves["au06"], "AU06", color=_AU06, lw=1.4, ls=(0, (4, 1.5)))
    else:
        units.text(1.012, 0.0, "AU06 not\nmeasured", transform=units.transAxes, va="bottom", fontsize=fontsize - 1)
    units.set_ylabel("AU estimate\n(0 to 5)", fontsize=fontsize)
    units.set_ylim(-0.2, max(3.0, 1.15 * float(np.nanmax(curves[["au06", "au12"]].to_numpy(), initial=0.0))))
    if over_time is not None:
        axis = axes[3]
        at, probabilities = over_time
        marker = "o" if len(at) < 40 else ""
        axis.plot(at, probabilities, color=_PROBABILITY, lw=1.4, marker=marker, ms=2.5)
        axis.axhline(0.5, color="0.35", lw=0.8, ls="--")
        axis.set_ylim(-0.04, 1.04)
        axis.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
        axis.set_ylabel("probability\nspontaneous", fontsize=fontsize)
        said = (
            "of each window, at its middle" if len(at) < 1 or at[0] > clip.crop_times[0] else "had the clip ended here"
        )
        axis.text(
            1.005, 0.5, "\n".join(textwrap.wrap(said, 13)), transform=axis.transAxes, va="center", fontsize=fontsize - 1
        )
    missing = _missing(times, end)
    for number, axis in enumerate(axes):
        for span in missing:
            axis.axvspan(*span, facecolor="none", edgecolor="0.82", hatch="////", lw=0)
        _phases(axis, clip, named=number == 0, fontsize=fontsize)
        axis.set_xlim(min(0.0, float(times[0])), end)
        axis.yaxis.set_label_coords(-0.075, 0.5)
        axis.tick_params(labelsize=fontsize - 1, length=2, labelbottom=number == len(axes) - 1)
        axis.grid(visible=True, axis="x", color="0.9", lw=0.6)
        axis.set_axisbelow(True)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
        if number < 3:
            axis.locator_params(axis="y", nbins=4, prune="both")  # labels at the ends would meet those of the next
            axis.legend(
                loc="center left", bbox_to_anchor=(1.005, 0.5), fontsize=fontsize - 1, frameon=False, handlelength=1.8
            )
    if missing:
        lids.text(
            0.995, 0.06, "hatched: no face", transform=lids.transAxes, ha="right", fontsize=fontsize - 1,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )  # fmt: skip
    axes[-1].set_xlabel("time from the start of the clip (s)", fontsize=fontsize)


def _phases(axis: Axes, clip: OpenedClip, *, named: bool, fontsize: float) -> None:
    before = -np.inf
    raised = False
    for name, span in clip.phases._asdict().items():
        if span is None:
            continue
        axis.axvspan(*span, color=_PHASES[name], alpha=0.28, lw=0)
        if named:
            middle = float(np.mean(span))
            raised = middle - before < _ROOM * float(clip.times[-1]) and not raised
            axis.annotate(
                name, (middle, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 2 + (fontsize + 1) * raised),
                textcoords="offset points", ha="center", va="bottom", fontsize=fontsize - 1, annotation_clip=False,
            )  # fmt: skip
            before = middle


def _missing(times: NDArray[np.float64], end: float) -> list[tuple[float, float]]:
    """Stretches of the clip without a face."""
    edges = np.concatenate([[0.0], times, [end]])
    far = np.flatnonzero(np.diff(edges) > _GAP * float(np.median(np.diff(times))))
    return [(float(edges[at]), float(edges[at + 1])) for at in far]


def _line(axis: Axes, times: NDArray[np.float64], values: ArrayLike, label: str, **style: Any) -> None:
    """A line that breaks where the face was lost."""
    step = np.diff(times)
    gaps = np.flatnonzero(step > _GAP * float(np.median(step))) + 1
    at = np.insert(times, gaps, np.nan)
    axis.plot(at, np.insert(np.asarray(values, np.float64), gaps, np.nan), label=label, **style)
