"""One smile, opened to be looked at: frames when they are asked for, and curves from the landmarks."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smilelab.artifacts.product import database_label
from smilelab.clips import ClipStore, ClipStoreError
from smilelab.datasets.base import says_simulated
from smilelab.inspector.curves import CURVES, cheek_contrasts, curves_of, estimated, phase_of, phases_of
from smilelab.inspector.frames import VideoFrames, frame_times
from smilelab.inspector.upload import UploadStore
from smilelab.preprocess.process import process
from smilelab.preprocess.recipe import Recipe
from smilelab.preprocess.video import VideoError
from smilelab.signals import Phases

__all__ = ["CURVES", "InspectionError", "OpenedClip", "of_store", "of_video"]

# The subject's face in dlib's points: lines that are drawn between neighbours, and whether they close.
_LINES = (
    *((range(17), False), (range(17, 22), False), (range(22, 27), False), (range(27, 31), False)),
    *((range(31, 36), False), (range(36, 42), True), (range(42, 48), True), (range(48, 60), True)),
    (range(60, 68), True),
)
_BOX_COLOUR, _POINT_COLOUR, _EDGE = (255, 214, 0), (0, 229, 255), (20, 20, 20)
_TURNED = re.compile(r"turned by (\d+) degrees")
_EPSILON_S = 1e-6


class InspectionError(ValueError):
    """A clip cannot be shown; the message is one sentence for the person who asked for it."""


@dataclass(eq=False)
class OpenedClip:
    """One smile, ready to look at. Nothing of the video is decoded before it is asked for.

    All times are s from the start of the clip, which is at `start_s` of the file.

    Attributes
    ----------
    title : str
        Such as "001_deliberate_smile_2 of simulated UvA-NEMO".
    clip_id, database, subject : str
        ``database`` and ``subject`` are empty for an uploaded video.
    label : int or None
        1 spontaneous, 0 posed, -1 neutral; None where it is not known.
    simulated : bool
    video : Path
    start_s, end_s : float
        Part of the file that is the clip, s from the file's first frame; `end_s` may be infinite.
    times : (F,) float64
        Of the frames that can be shown, s, without decoding them.
    crops : (T, S, S, 3) uint8
        RGB, what a network sees.
    crop_times : (T,) float64
        s.
    boxes : (T, 4) float32
        Face box left, top, right, bottom of each crop, px of the upright video frame.
    landmarks : (T, 68, 2) float32
        dlib's points of each crop, px of the upright video frame.
    bridged : (T,) bool
        Crops in which no face was found, between two in which it was: boxes and landmarks are interpolated.
    curves : pandas.DataFrame
        ``time_s``, then the columns of `CURVES`: a row a crop, so that frames without a face have none; NaN where
        `bridged`. Sides are the subject's. ``au06`` is NaN until `measure_au06` was called. See
        `smilelab.inspector.curves.curves_of`.
    phases : Phases
        Onset, apex and offset by the lip corners, s.
    remark : str
        Empty, or what is to be said of the clip, such as "face in 0.0-2.2 s of 6.4 s".
    recipe : Recipe
        How the crops were made.
    store : ClipStore
        Where the clip is from; of an uploaded video one in memory.
    """

    title: str
    clip_id: str
    database: str
    subject: str
    label: int | None
    simulated: bool
    video: Path
    start_s: float
    end_s: float
    times: NDArray[np.float64]
    crops: NDArray[np.uint8]
    crop_times: NDArray[np.float64]
    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    bridged: NDArray[np.bool_]
    curves: pd.DataFrame
    phases: Phases
    remark: str
    recipe: Recipe
    store: ClipStore = field(repr=False)
    _frames: VideoFrames = field(repr=False)
    _how: dict[str, Any] = field(repr=False)

    def picture(self, at: int, *, width: int = 640, box: bool = True, landmarks: bool = True) -> NDArray[np.uint8]:
        """Frame `at` of `times`, decoded when it is asked for, with the face as it was tracked nearest in time.

        The first picture of a place in the video costs the decoding from the key frame before it; the next frame costs
        one frame, and frames shown lately cost nothing.

        Parameters
        ----------
        at : int
            0 to F - 1.
        width : int
            px; larger than the video is not given.
        box, landmarks : bool
            Whether the face box and the 68 points are drawn. Where no face was found there are none.

        Returns
        -------
        (H, W, 3) uint8 array
            RGB, upright.

        Raises
        ------
        IndexError
            No such frame.
        InspectionError
            The video cannot be read there.
        """
        if not 0 <= at < len(self.times):
            raise IndexError(f"frame {at} of {len(self.times)}; expected 0 to {len(self.times) - 1}")
        try:
            frame, scale = self._frames.frame(at, width)
        except VideoError as error:
            raise InspectionError(f"{self.clip_id} cannot be shown: {error.reason}.") from None
        crop = self.nearest_crop(at)
        away = abs(float(self.crop_times[crop] - self.times[at]))
        lost = self.bridged[crop] or away > float(np.median(np.diff(self.crop_times))) + _EPSILON_S
        if lost or not (box or landmarks):
            return frame.copy()
        return _drawn(
            frame, self.boxes[crop] * scale if box else None, self.landmarks[crop] * scale if landmarks else None
        )

    def jpeg(self, at: int, *, width: int = 640, box: bool = True, landmarks: bool = True, quality: int = 85) -> bytes:
        """As `picture`, as the bytes of a JPEG file."""
        picture = self.picture(at, width=width, box=box, landmarks=landmarks)
        done, encoded = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        assert done
        return bytes(encoded)

    def nearest_crop(self, at: int) -> int:
        """Return the number of the crop nearest in time to frame `at`."""
        return int(np.abs(self.crop_times - self.times[at]).argmin())

    def measure_au06(self) -> None:
        """Decode the whole clip once and fill ``curves["au06"]``: furrows under the eyes are not seen in the crops."""
        if self.curves["au06"].notna().any():
            return
        times = self.crop_times + self.start_s
        try:
            cheeks = cheek_contrasts(self.video, times, self.landmarks, **self._how)
        except VideoError as error:
            raise InspectionError(f"AU06 of {self.clip_id} cannot be measured: {error.reason}.") from None
        if np.isfinite(cheeks).all(1).any():
            au06 = estimated(times, self.landmarks, cheeks)["au06"]
            self.curves = self.curves.assign(au06=np.where(self.bridged, np.nan, au06))

    def numbers(self) -> pd.DataFrame:
        """Return the curves, with the ``phase`` of each row ("onset", "apex", "offset" or "")."""
        return self.curves.assign(phase=phase_of(self.curves["time_s"].to_numpy(), self.phases))

    def close(self) -> None:
        """Free the decoder and the pictures; asking for one opens the video again."""
        self._frames.close()


def of_store(store: ClipStore, clip_id: str, source: Any) -> OpenedClip:
    """Open a clip of a store.

    Parameters
    ----------
    store : ClipStore
    clip_id : str
    source : Database or MomentDatabase
        What the store was made of (`Study.source`): its ``index()`` has ``clip_id``, ``path``, ``start_s``, ``end_s``.

    Returns
    -------
    OpenedClip

    Raises
    ------
    InspectionError
        No such clip, a clip without a face, or its video is not there any more.
    """
    try:
        crops, track = store.frames(clip_id), store.track(clip_id)
    except ClipStoreError as error:
        raise InspectionError(str(error)) from None
    rows = source.index()
    found = rows[rows["clip_id"] == clip_id]
    if found.empty:
        raise InspectionError(f"{clip_id} is not in {store.database} as it is now; preprocess the database again.")
    row, about = found.iloc[0], store.manifest.loc[clip_id]
    path = Path(row["path"])
    if not path.exists():
        raise InspectionError(f"The video of {clip_id} is not there any more: {path}.")
    start, end = (float(row[name]) for name in ("start_s", "end_s"))
    how = {"image_fps": float(row["fps"]), "turn": _turn(str(about["reason"]))}
    return _opened(
        store,
        clip_id,
        path,
        (0.0 if np.isnan(start) else start, np.inf if np.isnan(end) else end),
        how,
        title=f"{clip_id} of {database_label(store.database, simulated=store.simulated)}",
        label=int(row["label"]),
        subject=str(about["subject"]),
        crops=crops,
        track=track,
    )


def of_video(path: str | os.PathLike[str], recipe: Recipe) -> OpenedClip:
    """Open a video of one's own: the face is followed now, at the recipe's rate.

    Parameters
    ----------
    path : path-like
    recipe : Recipe
        That of the store or of the weights that are to score it.

    Returns
    -------
    OpenedClip
        With a `remark` where a part shows no face, or more than one face is seen.

    Raises
    ------
    InspectionError
        It is no video, cannot be decoded, or shows no face.
    """
    path = Path(path)
    clip = process(path, recipe)
    if clip.status == "failed":
        raise InspectionError(f"{path.name} cannot be shown: {clip.reason}.")
    store = UploadStore(path, clip, recipe, simulated=says_simulated(path))
    how = {"image_fps": None, "turn": _turn(clip.reason)}
    return _opened(
        store,
        path.name,
        path,
        (0.0, np.inf),
        how,
        title=f"{path.name}{', a simulated video' if store.simulated else ''}",
        label=None,
        subject="",
        crops=clip.frames,
        track=store.track(path.name),
    )


def _opened(
    store: ClipStore,
    clip_id: str,
    path: Path,
    part: tuple[float, float],
    how: dict[str, Any],
    *,
    title: str,
    label: int | None,
    subject: str,
    crops: NDArray[np.uint8],
    track: dict[str, NDArray[Any]],
) -> OpenedClip:
    start, end = part
    # Frames after damage are announced and cannot be shown.
    last = start + float(store.manifest["length_s"][clip_id]) + _EPSILON_S
    try:
        times = frame_times(path, start_s=start, end_s=min(end, last), image_fps=how["image_fps"])
    except VideoError as error:
        raise InspectionError(f"{clip_id} cannot be shown: {error.reason}.") from None
    if not len(times):
        raise InspectionError(f"{clip_id} cannot be shown: {path.name} is not the video that was preprocessed.")
    curves = curves_of(track["times"] - start, track["landmarks"])
    phases = phases_of(*(curves[name].to_numpy(np.float64) for name in ("lip_corner", "time_s")))
    bridged = np.asarray(track["bridged"], bool)
    curves.loc[bridged, list(CURVES)] = np.nan
    return OpenedClip(
        title=title,
        clip_id=clip_id,
        database=store.database,
        subject=subject,
        label=label,
        simulated=store.simulated,
        video=path,
        start_s=start,
        end_s=end,
        times=times - start,
        crops=crops,
        crop_times=track["times"] - start,
        boxes=track["boxes"],
        landmarks=track["landmarks"],
        bridged=bridged,
        curves=curves,
        phases=phases,
        remark=str(store.manifest["reason"][clip_id]),
        recipe=Recipe.from_dict(store.recipe),
        store=store,
        _frames=VideoFrames(path, times, **how),
        _how=how,
    )


def _turn(reason: str) -> int:
    """Degrees clockwise by which the video was turned before a face was found."""
    turned = _TURNED.search(reason)
    return int(turned[1]) if turned else 0


def _drawn(
    frame: NDArray[np.uint8], box: NDArray[np.floating] | None, points: NDArray[np.floating] | None
) -> NDArray[np.uint8]:
    """Copy a frame with box and points on it; thin lines with a dark edge are seen on any face."""
    picture = frame.copy()
    unit = max(round(picture.shape[1] / 640), 1)
    exact = 4  # bits of a pixel's fraction
    for colour, width in ((_EDGE, 4 * unit), (_BOX_COLOUR, 2 * unit)):
        if box is not None and np.isfinite(box).all():
            left, top, right, bottom = np.round(box * 2**exact).astype(int).tolist()
            cv2.rectangle(picture, (left, top), (right, bottom), colour, width, cv2.LINE_AA, exact)
    if points is None or not np.isfinite(points).all():
        return picture
    fixed = np.round(np.asarray(points) * 2**exact).astype(np.int32)
    for line, closed in _LINES:
        cv2.polylines(picture, [fixed[list(line)]], closed, _POINT_COLOUR, unit, cv2.LINE_AA, exact)
    for point in fixed.tolist():
        cv2.circle(picture, point, (2 * unit) << exact, _EDGE, -1, cv2.LINE_AA, exact)
        cv2.circle(picture, point, (3 * unit << exact) // 2, _POINT_COLOUR, -1, cv2.LINE_AA, exact)
    return picture
