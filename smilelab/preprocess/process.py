"""One video to face crops: decode once, follow the face, cut it out, in bounded memory."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Generator, Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from smilelab.preprocess import video
from smilelab.preprocess.crops import KINDS, Image, Kind, crop
from smilelab.preprocess.faces import FaceTracker
from smilelab.preprocess.tracks import REACH_S, Box, Boxes, FaceTrack, Sighting

# Raised whenever the same recipe comes to give other pixels, so that stores made before are not mistaken for new ones.
_ALGORITHM = 1
_MINIMUM_FRAMES = 2
_STEP_S = 0.5
_REGION = 0.8
_NOTHING = np.empty((0, 0, 3), np.uint8)


@dataclass(frozen=True)
class Recipe:
    """How clips are cropped and sampled.

    Parameters
    ----------
    crop : {"box", "chip", "outline"}
        What is cut out; see `crops.crop`.
    size : int
        Side of the crops, px.
    fps : float or None
        Frames per second, sampled by time; None keeps every frame.
    boxes : {"smooth", "per-frame"}
        ``smooth`` boxes from landmarks, or the detector's box of each frame as it is.

    Raises
    ------
    ValueError
        If a value is not one of these.

    Source: the defaults are those of Yang et al. 2020, "Implementation details" (5 frames per second, 48 x 48), except
    for the smooth boxes; theirs are ``per-frame``.
    """

    crop: Kind = "box"
    size: int = 48
    fps: float | None = 5.0
    boxes: Boxes = "smooth"

    def __post_init__(self) -> None:
        if self.crop not in KINDS:
            raise ValueError(f"crop is {self.crop!r}; expected one of {', '.join(KINDS)}")
        if self.boxes not in get_args(Boxes):
            raise ValueError(f"boxes is {self.boxes!r}; expected one of {', '.join(get_args(Boxes))}")
        if not isinstance(self.size, int) or not 8 <= self.size <= 1024:
            raise ValueError(f"size is {self.size!r}; expected a whole number of pixels from 8 to 1024")
        if self.fps is not None:
            if not 0 < self.fps <= 1000:
                raise ValueError(f"fps is {self.fps!r}; expected frames per second, or None for every frame")
            object.__setattr__(self, "fps", float(self.fps))

    def as_dict(self) -> dict[str, Any]:
        """Fields by name, and the version of the algorithm."""
        return {**asdict(self), "algorithm": _ALGORITHM}

    @staticmethod
    def from_dict(content: dict[str, Any]) -> Recipe:
        """Read back what `as_dict` gave; a ValueError if another version of the algorithm wrote it."""
        content = dict(content)
        version = content.pop("algorithm", None)
        if version != _ALGORITHM:
            raise ValueError(f"recipe of preprocessing version {version}; this is version {_ALGORITHM}")
        return Recipe(**content)

    @property
    def hash(self) -> str:
        """12 hex digits; equal recipes have equal ones."""
        content = json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()[:12]


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
    path: str | os.PathLike[str], recipe: Recipe, *, start_s: float | None = None, end_s: float | None = None
) -> ProcessedClip:
    """Preprocess one video. A video that cannot be used is an answer, not an exception.

    Parameters
    ----------
    path : path-like
        The video.
    recipe : Recipe
        How to crop and sample.
    start_s, end_s : float, optional
        Part of the video, s from its first frame; None and NaN mean open.

    Returns
    -------
    ProcessedClip
        With status "failed" and a reason if the file cannot be decoded or no face is found.
    """
    start, end = _open_interval(start_s, end_s)
    survey = _Survey()
    tracker = FaceTracker(boxes=recipe.boxes)
    pictures: list[Image] = []
    tracks: list[FaceTrack] = []
    try:
        with video.read(path, fps=recipe.fps, start_s=start, end_s=end) as source:
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
        fps=(source.decoded - 1) / source.last_time if source.last_time > 0 else float("nan"),
        width=survey.width,
        height=survey.height,
        faces=survey.faces,
    )
    whole = start == 0 and end == np.inf
    span = f"{result.length_s:.1f} s" if whole else f"{start:.1f}-{start + result.length_s:.1f} s"
    return _judged(result, survey.times, source, span)


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


def _judged(clip: ProcessedClip, times: list[float], source: video.Frames, span: str) -> ProcessedClip:
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
        notes.append(f"up to {clip.faces} faces at once, the largest was followed")
    return replace(clip, status=status, reason="; ".join(notes))


def _open_interval(start_s: float | None, end_s: float | None) -> tuple[float, float]:
    start = 0.0 if start_s is None or np.isnan(start_s) else float(start_s)
    return start, np.inf if end_s is None or np.isnan(end_s) else float(end_s)


def _intervals(times: list[float], found: NDArray[np.float64]) -> str:
    """Stretches of time with a face, in words."""
    here = set(found.tolist())
    runs = [list(run) for present, run in itertools.groupby(times, key=here.__contains__) if present]
    return " and ".join(f"{run[0]:.1f}-{run[-1]:.1f} s" for run in runs)
