"""One video to face crops: decode it once, follow the face, cut it out as one recipe or several ask for it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from smilelab.preprocess import video
from smilelab.preprocess.cutting import Cutter
from smilelab.preprocess.faces import Choice, FaceTracker
from smilelab.preprocess.recipe import Recipe
from smilelab.preprocess.tracks import Boxes, FaceTrack

__all__ = ["VIEWS", "ProcessedClip", "Recipe", "failed", "process", "process_all"]

_MINIMUM_FRAMES = 2
_NO_PICTURES = np.empty((0, 0, 0, 3), np.uint8)
_CHOICES: dict[str, Choice] = {"frontal": "largest", "dual": "most frontal"}
VIEWS = tuple(_CHOICES)
_TURNS = (90, 270)
_GLANCES = 5  # frames looked at to tell whether a video lies on its side


@dataclass(frozen=True)
class ProcessedClip:
    """Face crops of one video, or the reason why there are none.

    Attributes
    ----------
    frames : (T, S, S, 3) uint8
        RGB crops of the frames that show the face.
    track : FaceTrack
        Of the same T frames.
    status : {"ok", "partial", "failed"}
        ``partial``: a part shows no face or cannot be decoded.
    reason : str
        Empty, or a sentence on what is missing or remarkable.
    sampled, decoded : int
        Frames looked at, and frames decoded.
    length_s, fps : float
        Time from the first frame to the last of the part asked for, s, and the video's measured mean frame rate, per s.
    width, height : int
        Of the upright frames, px.
    faces : int
        Most faces seen at once.
    """

    frames: NDArray[np.uint8]
    track: FaceTrack
    status: Literal["ok", "partial", "failed"]
    reason: str
    sampled: int = 0
    decoded: int = 0
    length_s: float = 0.0
    fps: float = float("nan")
    width: int = 0
    height: int = 0
    faces: int = 0

    @property
    def times(self) -> NDArray[np.float64]:
        """(T,) s from the first frame of the file."""
        return self.track.times

    @property
    def boxes(self) -> NDArray[np.float32]:
        """(T, 4) px."""
        return self.track.boxes

    @property
    def landmarks(self) -> NDArray[np.float32]:
        """(T, 68, 2) px."""
        return self.track.landmarks


def process(
    path: str | os.PathLike[str],
    recipe: Recipe,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    image_fps: float | None = None,
    view: str = "frontal",
) -> ProcessedClip:
    """Preprocess one video. A video that cannot be used is an answer, not an exception.

    A video in which no frame shows a face is looked at again lying on either side, and used so if faces appear; the
    reason then says how it was turned, and pixels are those of the turned frames.

    Parameters
    ----------
    path : path-like
        The video, or a folder of numbered pictures.
    recipe : Recipe
        How to crop and sample.
    start_s, end_s : float, optional
        Part of the video, s from its first frame; None and NaN mean open.
    image_fps : float, optional
        As in `video.read`.
    view : {"frontal", "dual"}
        ``dual`` shows a person from the front and from the side in one picture: of several faces the most frontal is
        followed, not the largest.

    Returns
    -------
    ProcessedClip
        With status "failed" and a reason if the file cannot be decoded or no face is found.

    Raises
    ------
    ValueError
        If `view` or `image_fps` is none of these.
    """
    return process_all(path, [recipe], start_s=start_s, end_s=end_s, image_fps=image_fps, view=view)[0]


def process_all(
    path: str | os.PathLike[str],
    recipes: Sequence[Recipe],
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    image_fps: float | None = None,
    view: str = "frontal",
) -> list[ProcessedClip]:
    """Preprocess one video as several recipes ask for it, and decode it once.

    Recipes of one frame rate and one kind of boxes share the face that is followed. Those of different rates share the
    decoding alone: which frames the detector sees, and between which of them it is spared, depends on the rate.

    Parameters
    ----------
    path, start_s, end_s, image_fps, view
        As in `process`.
    recipes : sequence of Recipe
        How to crop and sample.

    Returns
    -------
    list of ProcessedClip
        In the order of `recipes`, each what `process` gives for its recipe.

    Raises
    ------
    ValueError
        As `process`.
    """
    if view not in _CHOICES:
        raise ValueError(f"view is {view!r}; expected one of {', '.join(_CHOICES)}")
    interval = _open_interval(start_s, end_s)
    clips = _process(path, recipes, interval, image_fps, view, 0)
    faceless = [recipe for recipe, clip in clips.items() if clip.sampled and not len(clip.frames)]
    if faceless:
        # The length is that of the video, and so the same whatever the recipe.
        turn = _side_that_shows_a_face(path, interval, image_fps, clips[faceless[0]].length_s)
        turned = _process(path, faceless, interval, image_fps, view, turn) if turn else {}
        for recipe, clip in turned.items():
            if clip.status != "failed":
                note = f"turned by {turn} degrees clockwise"
                clips[recipe] = replace(clip, reason="; ".join(filter(None, [clip.reason, note])))
    return [clips[recipe] for recipe in recipes]


def _process(
    path: str | os.PathLike[str],
    recipes: Sequence[Recipe],
    interval: tuple[float, float],
    image_fps: float | None,
    view: str,
    turn: int,
) -> dict[Recipe, ProcessedClip]:
    start, end = interval
    shared: dict[float | None, dict[Boxes, list[Recipe]]] = {}
    for recipe in dict.fromkeys(recipes):
        shared.setdefault(recipe.fps, {}).setdefault(recipe.boxes, []).append(recipe)
    cutters = [[Cutter(alike, _CHOICES[view]) for alike in by_boxes.values()] for by_boxes in shared.values()]
    options: dict[str, Any] = {"start_s": start, "end_s": end, "image_fps": image_fps, "turn": turn}
    try:
        with video.sample(path, [*shared], **options) as source:
            for which, frame in source:
                for cutter in cutters[which]:
                    cutter.add(frame)
            for cutter in itertools.chain(*cutters):
                cutter.end()
    except video.VideoError as error:
        return dict.fromkeys(recipes, failed(error.reason))
    found = {}
    for cutter in itertools.chain(*cutters):
        clip = _followed(cutter, source, start, end)
        found.update({recipe: replace(clip, frames=cutter.frames(recipe)) for recipe in cutter.recipes})
    return found


def _followed(cutter: Cutter, source: video.Samples, start: float, end: float) -> ProcessedClip:
    """What was found at one frame rate, without the pictures."""
    clip = ProcessedClip(
        frames=_NO_PICTURES,
        track=cutter.track,
        status="ok",
        reason="",
        sampled=len(cutter.times),
        decoded=source.decoded,
        length_s=max(min(source.last_time, end) - start, 0.0),
        fps=source.rate,
        width=cutter.width,
        height=cutter.height,
        faces=cutter.faces,
    )
    whole = start == 0 and end == np.inf
    span = f"{clip.length_s:.1f} s" if whole else f"{start:.1f}-{start + clip.length_s:.1f} s"
    return _judged(clip, cutter.times, source, span, cutter.choice)


def _side_that_shows_a_face(
    path: str | os.PathLike[str], interval: tuple[float, float], image_fps: float | None, length_s: float
) -> int:
    """Degrees clockwise by which a few frames must be turned to show a face in most of them; 0 for neither side."""
    start, end = interval
    shown = {}
    for turn in _TURNS:
        fps = _GLANCES / max(length_s, 1.0)
        with video.read(path, fps=fps, start_s=start, end_s=end, image_fps=image_fps, turn=turn) as frames:
            shown[turn] = float(FaceTracker(key_every_s=0).track(frames).detected.mean())
    turn = max(_TURNS, key=lambda turn: shown[turn])
    return turn if shown[turn] >= 0.5 else 0


def failed(reason: str) -> ProcessedClip:
    """Make the answer for a video that gives no frames."""
    return ProcessedClip(_NO_PICTURES, FaceTrack.join([]), "failed", reason)


def _judged(clip: ProcessedClip, times: list[float], source: video.Reading, span: str, choice: Choice) -> ProcessedClip:
    found = len(clip.times)
    if not times:
        reason = f"no frame in {span}: the video is {source.last_time:.1f} s long"
        return replace(clip, status="failed", reason=reason)
    if found < _MINIMUM_FRAMES:
        if found:
            reason = f"too short: {found} frame with a face, at least {_MINIMUM_FRAMES} are needed"
        else:
            reason = f"no face in {len(times)} frames of {span}"
        return replace(clip, status="failed", reason="; ".join(filter(None, [reason, source.warning])))
    notes = []
    if found < len(times):
        notes.append(f"face in {_intervals(times, clip.times)} of {span}")
    if source.warning:
        notes.append(source.warning)
    status: Literal["ok", "partial"] = "partial" if notes else "ok"
    if clip.faces > 1:
        notes.append(f"up to {clip.faces} faces at once, the {choice} was followed")
    return replace(clip, status=status, reason="; ".join(notes))


def _open_interval(start_s: float | None, end_s: float | None) -> tuple[float, float]:
    start = 0.0 if start_s is None or np.isnan(start_s) else float(start_s)
    return start, np.inf if end_s is None or np.isnan(end_s) else float(end_s)


def _intervals(times: list[float], found: NDArray[np.float64]) -> str:
    """Stretches of time with a face, in words."""
    here = set(found.tolist())
    runs = [list(run) for present, run in itertools.groupby(times, key=here.__contains__) if present]
    return " and ".join(f"{run[0]:.1f}-{run[-1]:.1f} s" for run in runs)
