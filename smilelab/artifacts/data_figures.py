"""Pictures of the data: whole frames beside what is cut out of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from smilelab.artifacts.catalogue import makes
from smilelab.artifacts.product import NOT_RUN, Product, database_label
from smilelab.clips import ClipStore
from smilelab.datasets import POSED, SPONTANEOUS, Database
from smilelab.preprocess import crops, video
from smilelab.preprocess.faces import FaceTracker
from smilelab.preprocess.tracks import Sighting
from smilelab.signals import mouth_width

_SEARCHED_S = 6.0  # of a clip: a smile is at its height by then
_NAMES = {SPONTANEOUS: "spontaneous", POSED: "posed"}


@makes("lee2020-fig2", crops)
def lee2020_fig2(store: ClipStore, videos: Mapping[str, str], *, subjects: int = 2) -> Product:
    """Lee Figure 2: frames before and after facial region segmentation.

    Parameters
    ----------
    store : ClipStore
        Smile moments, cropped along the outline of the face.
    videos : mapping of str to str
        Clip id to its video file.
    subjects : int
        How many subjects are shown; each with the widest smile of a moment of either class.
    """
    chosen = _one_of_each(store, subjects)
    if not chosen:
        return Product(notes=[f"{NOT_RUN}: no usable clip that was filmed upright."], stores=[store])
    figure = Figure(figsize=(3.9 * len(chosen) / 2 * 1.35, 4.3), layout="constrained")
    axes = figure.subplots(2, len(chosen), squeeze=False, height_ratios=(1, 1.05))
    for column, clip_id in enumerate(chosen):
        row: dict[str, Any] = store.manifest.loc[clip_id].to_dict()  # type: ignore[assignment]
        track = store.track(clip_id)
        apex = int(mouth_width(track["landmarks"]).argmax())
        frame = _frame_at(videos[clip_id], float(track["times"][apex]), float(row["fps"]))
        above, below = axes[0, column], axes[1, column]
        above.imshow(frame)
        left, top, right, bottom = track["boxes"][apex]
        above.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, color="white", lw=1))
        below.imshow(store.frames(clip_id)[apex], interpolation="nearest")
        above.set_title(f"{row['subject']}, {_NAMES[int(row['label'])]}, {frame.shape[1]}x{frame.shape[0]}", fontsize=8)
        for axis in (above, below):
            axis.set_xticks([])
            axis.set_yticks([])
    size = store.recipe["size"]
    axes[0, 0].set_ylabel("(a) before", fontsize=9)
    axes[1, 0].set_ylabel(f"(b) after, {size}x{size}", fontsize=9)
    figure.align_ylabels()
    note = (
        "(a) before and (b) after the segmentation, where the mouth is widest. "
        f"The {store.recipe['crop']} crop follows the landmarks' hull, smoothed over time; what lies outside is black. "
        "The frame in (a) marks the box that is cut out."
    )
    return Product(figure=figure, notes=[note], stores=[store])


def _one_of_each(store: ClipStore, subjects: int) -> list[str]:
    """Clips of subjects who show both classes, spontaneous first; without such a subject, of whom there is."""
    table = store.usable[~store.usable["reason"].str.contains("turned by")]
    by_subject = {
        subject: [of_class.index[0] for _, of_class in part.groupby("label", sort=True)][::-1]
        for subject, part in table.groupby("subject", sort=True)
    }
    both = [clip_ids for clip_ids in by_subject.values() if len(clip_ids) == 2] or list(by_subject.values())
    return list(itertools.chain.from_iterable(both[:subjects]))


def _frame_at(path: str, time: float, fps: float) -> NDArray[np.uint8]:
    with video.read(path, start_s=max(time - 1e-3, 0.0), image_fps=fps) as frames:
        return next(frames).image


def frames_of_databases(databases: Mapping[str, Database]) -> Figure:
    """One whole frame of each database side by side, each at its own resolution: the first clip's widest mouth.

    Parameters
    ----------
    databases : mapping of str to Database
        Name to database.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(2.7 * len(databases), 2.9), layout="constrained")
    for axis, database in zip(
        np.ravel(figure.subplots(1, len(databases), squeeze=False)), databases.values(), strict=True
    ):
        _frame_of(axis, database)
    return figure


def _frame_of(axis: Axes, database: Database) -> None:
    label = database_label(database.name, simulated=database.simulated)
    axis.set_axis_off()
    for row in database.index().to_dict("records"):
        start = 0.0 if np.isnan(row["start_s"]) else row["start_s"]
        try:
            image = _widest_mouth(row["path"], start, row["fps"])
        except (video.VideoError, ValueError):
            continue
        axis.imshow(image)
        axis.set_title(f"{label}\n{image.shape[1]}x{image.shape[0]}, {Path(row['path']).name}", fontsize=8)
        return
    axis.set_title(f"{label}\nno clip can be decoded", fontsize=8)


def _widest_mouth(path: str, start: float, image_fps: float) -> NDArray[np.uint8]:
    """Frame in which the mouth is widest; of a clip without a face the last one looked at."""

    def width(seen: Sighting) -> float:
        return -1.0 if seen.landmarks is None else float(mouth_width(seen.landmarks[None])[0])

    with video.read(path, fps=3, start_s=start, end_s=start + _SEARCHED_S, image_fps=image_fps) as frames:
        return max(FaceTracker().follow(frames), key=lambda seen: (width(seen), seen.time)).image
