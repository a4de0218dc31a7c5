"""Where RealSmileNet's feature maps carry its score, frame by frame: Yang's Figure 4."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from smilelab.artifacts import cam_clips
from smilelab.artifacts.cam_clips import NAMES, Explained, Results, explain, first_trial, measure, middle_clips
from smilelab.artifacts.catalogue import makes
from smilelab.artifacts.figures import CLASS_STYLE
from smilelab.artifacts.numbers import about_few_subjects, counted, percent
from smilelab.artifacts.product import NOT_RUN, Product, database_label
from smilelab.artifacts.siamese_examples import number_text, spaced
from smilelab.clips import ClipStore
from smilelab.explain import cam, covering, score_cam
from smilelab.runs import RunFailure

# Inches: side of a picture, from one to the next, and margins; to the right of the pictures are colour bar and curve.
_SIDE, _PITCH, _ROW, _LEFT, _HEAD, _FOOT = 0.78, 0.8, 1.08, 0.62, 0.62, 0.42
_BAR, _CURVE, _RIGHT = 0.07, 1.15, 0.1
_COLOURS = "viridis"


@makes("yang2020-fig4", cam_clips, cam, score_cam, covering)
def yang2020_fig4(
    store: ClipStore, results: Results, *, device: str = "cpu", frames: int = 7, clips: int = 120
) -> Product:
    """Yang Figure 4: Score-CAM on FPN features over frames equally spaced in time, both classes.

    Parameters
    ----------
    store : ClipStore
        The clips the runs were made on.
    results : sequence of runs
        Of RealSmileNet or a variant with an FPN; each clip is explained by the run of its own test fold.
    device : str
        A torch device.
    frames : int
        Pictures of each clip.
    clips : int
        Test clips that the tables are measured over, at most, evenly spaced among all.
    """
    runs = first_trial(results)
    failed = [run for run in results if isinstance(run, RunFailure)]
    notes = [f"{len(failed)} of {len(results)} runs failed, first: {failed[0].error}."] if failed else []
    if not runs:
        said = f"{NOT_RUN}: found no finished run, expected one per fold; run notebook 02 first."
        return Product(notes=[said, *notes], stores=[store])
    predictions = pd.concat([run.predictions for run in runs.values()], ignore_index=True)
    rows: list[Explained] = []
    rules: list[str] = []
    for label in NAMES:
        chosen, rule = middle_clips(predictions, label)
        rows += [explain(runs[clip["fold"]], clip, store, device) for _, clip in chosen.iterrows()]
        rules.append(rule + ".")
    some = spaced(predictions.sort_values(["fold", "clip_id"]), clips)
    parts = [measure(runs[int(str(fold))], part, store, device) for fold, part in some.groupby("fold")]
    measured = pd.concat(parts, ignore_index=True)
    of_shown = pd.concat([measure(runs[row.clip["fold"]], row.clip.to_frame().T, store, device) for row in rows])
    of, every = len(some), len(predictions)
    count = f"{of} of {every} test clips, evenly spaced" if of < every else f"all {every} test clips"
    tables = {
        "The clips shown": _shown(rows, of_shown),
        f"Share of the map in each third of the clip (percent, 95 % intervals over subjects; {count})": (
            cam_clips.time_table(measured)
        ),
        f"Share of the map on the face, and what covers do to the decision (95 % intervals over subjects; {count})": (
            cam_clips.place_table(measured)
        ),
    }
    first, folds = next(iter(runs.values())), len(store.folds())
    tested = f"{len(runs)} of {folds} folds" if len(runs) < folds else counted(folds, "fold")
    notes = [
        f"{first.spec.model}, {tested}, first trial: each clip is explained by the network that has not seen its "
        "subject. p is its probability of spontaneous.",
        *rules,
        "Maps are for the clip's own class (score: the logit, or minus it for posed), raw: in units of the FPN's "
        f"activations, {rows[0].maps.shape[1]}x{rows[0].maps.shape[2]} cells a frame, on one scale in all frames of a "
        "clip and another in each clip. The curve is the mean of each frame's map; dots are the frames shown.",
        "Yang et al. read off their figure that onset and offset matter for posed smiles and the apex for spontaneous "
        "ones. Clips begin and end near rest, so their thirds are roughly these phases. A map that is even in time has "
        f"{percent(1 / 3)} % in each; the rows with shuffled weights show what the pictures and the architecture do "
        "alone.",
        "Covered, with grey, is the middle of the face or as much of its surroundings, as far as the crop shows them; "
        "the face is the hull of the tracked landmarks and a forehead. What falls is the logit of the class decided. "
        "Without evidence a network still leans to one class, so the mean over both is what counts.",
        *about_few_subjects([some["subject"].nunique()]),
        *notes,
    ]  # fmt: skip
    return Product(tables, _draw(rows, frames, store, tested), notes, [store], [*runs.values()])


def _draw(rows: list[Explained], count: int, store: ClipStore, tested: str) -> Figure:
    left_of_curve = _LEFT + count * _PITCH + 0.62
    width = left_of_curve + _CURVE + _RIGHT
    height = _HEAD + _ROW * (len(rows) - 1) + _SIDE + _FOOT
    figure = Figure(figsize=(width, height))

    def panel(row: int, left: float, wide: float) -> Axes:
        bottom = height - _HEAD - row * _ROW - _SIDE
        return figure.add_axes((left / width, bottom / height, wide / width, _SIDE / height))

    for number, row in enumerate(rows):
        pictures = [panel(number, _LEFT + at * _PITCH, _SIDE) for at in range(count)]
        bar = panel(number, _LEFT + count * _PITCH + 0.03, _BAR)
        curve = panel(number, left_of_curve, _CURVE)
        _row(pictures, bar, curve, row)
        if number == 0:
            curve.set_title("mean of the map", fontsize=7, pad=3)
        if number == len(rows) - 1:
            curve.set_xlabel("time (s)", fontsize=7, labelpad=1)
    title = f"Score-CAM on the FPN's features, {database_label(store.database, simulated=store.simulated)}"
    figure.suptitle(f"{title}\ntest clips of {tested}", fontsize=9, y=1 - 0.05 / height, va="top")
    return figure


def _row(pictures: list[Axes], bar: Axes, curve: Axes, row: Explained) -> None:
    size, top = row.frames.shape[1], float(row.maps.max()) or 1.0
    shown = np.abs(row.times[:, None] - np.linspace(0, row.times[-1], len(pictures))).argmin(0)
    maps = cam.upsample(row.maps, (size, size))
    for axis, at in zip(pictures, shown, strict=True):
        axis.imshow(row.frames[at].mean(2), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis.imshow(maps[at], cmap=_COLOURS, vmin=0, vmax=top, alpha=0.5, interpolation="nearest")
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_xlabel(f"{row.times[at]:.1f} s", fontsize=7, labelpad=2)
    name, colour, _ = CLASS_STYLE[int(row.clip["label"])]
    pictures[0].set_ylabel(f"{name}\np {row.clip['probability']:.2f}", fontsize=8)
    colours = bar.figure.colorbar(
        ScalarMappable(Normalize(0, top), mpl.colormaps[_COLOURS]), cax=bar, ticks=[0, top], alpha=0.5
    )
    colours.ax.set_yticklabels(["0", f"{top:.2g}"], fontsize=6)
    colours.ax.tick_params(length=1.5, pad=1)
    mass = row.maps.mean((1, 2))
    curve.plot(row.times, mass, color=colour, linewidth=1)
    curve.plot(row.times[shown], mass[shown], ".", color=colour, markersize=5)
    curve.set_xlim(0, float(row.times[-1]) or 1)
    curve.set_ylim(0, 1.1 * float(mass.max()) or 1)
    curve.locator_params(nbins=4)
    curve.tick_params(labelsize=6, pad=1, length=2)
    for side in ("top", "right"):
        curve.spines[side].set_visible(False)


def _shown(rows: list[Explained], measured: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "clip": row.clip["clip_id"],
            "subject": row.clip["subject"],
            "fold": int(row.clip["fold"]),
            "label": NAMES[int(row.clip["label"])],
            "probability of spontaneous": f"{row.clip['probability']:.3f}",
            "frames": len(row.frames),
            "length, s": f"{row.times[-1]:.1f}",
            "map on the face, %": percent(found["map on face"]),
            "face in the crop, %": percent(found["face"]),
            "covered, %": percent(found["covered"]),
            "fall of the logit, face covered": number_text(found["face covered"]),
            "fall of the logit, surroundings covered": number_text(found["surroundings covered"]),
            "rank correlation with the other class": number_text(row.classes_alike),
            "rank correlation with shuffled weights": number_text(row.random_alike),
        }
        for row, (_, found) in zip(rows, measured.iterrows(), strict=True)
    )
