"""One video to face crops: decode once, follow the face, cut it out, in bounded memory."""

from __future__ import annotations

import itertools
import os
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from smilelab.preprocess import video
from smilelab.preprocess.crops import Image, crop
from smilelab.preprocess.faces import Choice, FaceTracker
from smilelab.preprocess.recipe import Recipe
from smilelab.preprocess.tracks import REACH_S, Box, FaceTrack, Sighting

__all__ = ["VIEWS", "ProcessedClip", "Recipe", "failed", "process"]

_MINIMUM_FRAMES = 2
_STEP_S = 0.5
_REGION = 0.8
_NOTHING = np.empty((0, 0, 3), np.uint8)
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
    if view not in _CHOICES:
        raise ValueError(f"view is {view!r}; expected one of {', '.join(_CHOICES)}")
    interval = _open_interval(start_s, end_s)
    clip = _process(path, recipe, interval, image_fps, view, 0)
    if clip.sampled and not len(clip.frames):
        turn = _side_that_shows_a_face(path, interval, image_fps, clip.length_s)
        turned = _process(path, recipe, interval, image_fps, view, turn) if turn else clip
        if turned.status != "failed":
            note = f"turned by {turn} degrees clockwise"
            return replace(turned, reason="; ".join(filter(None, [turned.reason, note])))
    return clip


def _process(
    path: str | os.PathLike[str],
    recipe: Recipe,
    interval: tuple[float, float],
    image_fps: float | None,
    view: str,
    turn: int,
) -> ProcessedClip:
    start, end = interval
    survey = _Survey()
    tracker = FaceTracker(boxes=recipe.boxes, choice=_CHOICES[view])
    pictures: list[Image] = []
    tracks: list[FaceTrack] = []
    options: dict[str, Any] = {"start_s": start, "end_s": end, "image_fps": image_fps, "turn": turn}
    try:
        with video.read(path, fps=recipe.fps, **options) as source:
            for picture, track in _cropped(survey.watch(tracker.follow(source)), tracker, recipe):
                pictures.append(picture)
                tracks.append(track)
    except video.VideoError as error:
        return failed(error.reason)
    empty = np.empty((0, recipe.size, recipe.size, 3), np.uint8)
    result = ProcessedClip(
        frames=np.stack(pictures) if pictures else empty,
        track=FaceTrack.join(tracks),
        status="ok",
        reason="",
        sampled=len(survey.times),
        decoded=source.decoded,
        length_s=max(min(source.last_time, end) - start, 0.0),
        fps=source.rate,
        width=survey.width,
        height=survey.height,
        faces=survey.faces,
    )
    whole = start == 0 and end == np.inf
    span = f"{result.length_s:.1f} s" if whole else f"{start:.1f}-{start + result.length_s:.1f} s"
    return _judged(result, survey.times, source, span, tracker.choice)


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
    return ProcessedClip(np.empty((0, 0, 0, 3), np.uint8), FaceTrack.join([]), "failed", reason)


@dataclass
class _Survey:
    times: list[float] = field(default_factory=list)
    faces: int = 0
    width: int = 0
    height: int = 0

    def watch(self, sightings: Iterable[Sighting]) -> Generator[Sighting]:
        for sighting in sightings:
            self.times.append(sighting.time)
            self.faces = max(self.faces, sighting.faces)
            self.height, self.width = sighting.image.shape[:2]
            yield sighting


@dataclass
class _Held:
    sighting: Sighting
    origin: NDArray[np.float64]


def _cropped(sightings: Iterable[Sighting], tracker: FaceTracker, recipe: Recipe) -> Generator[tuple[Image, FaceTrack]]:
    """Crops and their places, as soon as no later frame can change them.

    Of frames that wait, only the surroundings of the face are kept.
    """
    context_s = REACH_S + tracker.bridge_s
    waiting: list[_Held] = []
    done: list[Sighting] = []
    last: tuple[float, Box] | None = None
    for sighting in sightings:
        if sighting.landmarks is not None:
            low, high = sighting.landmarks.min(0), sighting.landmarks.max(0)
            last = sighting.time, np.concatenate([low, high]).astype(np.float64)
        near = last[1] if last is not None and sighting.time - last[0] <= tracker.bridge_s else None
        waiting.append(_hold(sighting, near))
        if sighting.time - waiting[0].sighting.time > context_s + _STEP_S:
            settled = sum(held.sighting.time < sighting.time - context_s for held in waiting)
            yield from _cut(done, waiting, settled, tracker, recipe)
            done += [held.sighting._replace(image=_NOTHING) for held in waiting[:settled]]
            done = [old for old in done if old.time >= done[-1].time - context_s]
            del waiting[:settled]
    yield from _cut(done, waiting, len(waiting), tracker, recipe)


def _hold(sighting: Sighting, near: Box | None) -> _Held:
    height, width = sighting.image.shape[:2]
    if near is None:
        return _Held(sighting._replace(image=_NOTHING), np.zeros(2))
    reach = _REGION * max(near[2] - near[0], near[3] - near[1])
    left, top = np.clip((near[:2] - reach).astype(int), 0, (width - 1, height - 1))
    right, bottom = np.clip((near[2:] + reach).astype(int) + 1, (left + 1, top + 1), (width, height))
    return _Held(sighting._replace(image=sighting.image[top:bottom, left:right].copy()), np.array([left, top], float))


def _cut(
    done: list[Sighting], waiting: list[_Held], settled: int, tracker: FaceTracker, recipe: Recipe
) -> Generator[tuple[Image, FaceTrack]]:
    track = FaceTrack.assemble([*done, *(held.sighting for held in waiting)], tracker.boxes, tracker.bridge_s)
    for index, held in enumerate(waiting[:settled], len(done)):
        if not track.usable[index] or np.isnan(track.boxes[index, 0]):
            continue
        picture = crop(
            held.sighting.image,
            track.boxes[index] - np.tile(held.origin, 2),
            recipe.size,
            kind=recipe.crop,
            roll=float(track.rolls[index]),
            landmarks=track.outlines[index] - held.origin,
        )
        yield picture, track.part(slice(index, index + 1))


def _judged(clip: ProcessedClip, times: list[float], source: video.Frames, span: str, choice: Choice) -> ProcessedClip:
    found = len(clip.frames)
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
