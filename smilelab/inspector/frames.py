"""Frames of a video when they are asked for: times without decoding, pictures from the last key frame on."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from smilelab.preprocess import video
from smilelab.preprocess.container import VideoError, open_video
from smilelab.preprocess.images import DEFAULT_FPS, numbered
from smilelab.preprocess.sources import EPSILON_S, VideoFile

__all__ = ["VideoFrames", "frame_times"]

_KEPT_BYTES = 48 << 20
_AHEAD = 16  # frames that are rather decoded through than sought
_BACK = 12  # frames before the one asked for that are decoded with it when one steps backwards
_JUMP_BACK_S = 1.0  # joined recordings, each with its own clock


def frame_times(
    path: Path, *, start_s: float = 0.0, end_s: float = np.inf, image_fps: float | None = None
) -> NDArray[np.float64]:
    """Times of a video's frames, without decoding them where the file tells them.

    Parameters
    ----------
    path : Path
        A video, or a folder of numbered pictures.
    start_s, end_s : float
        Part of the video, s from its first frame, `end_s` excluded.
    image_fps : float, optional
        As in `smilelab.preprocess.video.read`.

    Returns
    -------
    (F,) float64 array
        s from the video's first frame, increasing. Of a damaged video also those after the damage.

    Raises
    ------
    smilelab.preprocess.video.VideoError
        The file cannot be opened as a video.
    """
    if path.is_dir():
        counted = np.array(list(numbered(path).paths), np.float64)
        rate = DEFAULT_FPS if image_fps is None or np.isnan(image_fps) else image_fps
        times = (counted - counted[0]) / rate
    else:
        told = _times_of_packets(path)
        times = _times_by_decoding(path) if told is None else told
    return np.asarray(times[(times >= start_s - EPSILON_S) & (times < end_s - EPSILON_S)])


class VideoFrames:
    """Frames of one video by their time; what was shown lately is kept.

    Parameters
    ----------
    path : Path
        A video, or a folder of numbered pictures.
    times : (F,) array
        Times of the frames, s from the video's first frame, increasing.
    image_fps, turn
        As in `smilelab.preprocess.video.read`.
    kept_bytes : int
        Pictures are kept up to so many bytes.
    """

    def __init__(
        self,
        path: Path,
        times: NDArray[np.float64],
        *,
        image_fps: float | None = None,
        turn: int = 0,
        kept_bytes: int = _KEPT_BYTES,
    ) -> None:
        self.path = path
        self.times = times
        self._image_fps = image_fps
        self._turn = turn
        self._most = kept_bytes
        self._kept: OrderedDict[tuple[int, int], tuple[NDArray[np.uint8], float]] = OrderedDict()
        self._bytes = 0
        self._open: video.Frames | None = None
        self._next = 0

    def frame(self, at: int, width: int) -> tuple[NDArray[np.uint8], float]:
        """Return frame `at`, at most `width` px wide, and its scale: px here for a px of the video.

        Parameters
        ----------
        at : int
            Number in `times`.
        width : int

        Returns
        -------
        picture : (H, W, 3) uint8 array
            RGB, upright; to be copied before it is drawn on.
        scale : float

        Raises
        ------
        smilelab.preprocess.video.VideoError
            The video cannot be decoded there.
        """
        if (at, width) not in self._kept:
            self._decode(at, width)
        self._kept.move_to_end((at, width))
        return self._kept[at, width]

    def close(self) -> None:
        """Free the decoder and the pictures."""
        if self._open is not None:
            self._open.close()
        self._open = None
        self._kept.clear()
        self._bytes = 0

    def _decode(self, at: int, width: int) -> None:
        if self._open is None or not self._next <= at <= self._next + _AHEAD:
            # One step back is mostly followed by others.
            back = _BACK if self._open is not None and self._next - _BACK - 2 <= at < self._next else 0
            self._start(max(at - back, 0))
        assert self._open is not None
        for frame in self._open:
            # A frame whose own time is told by the decoder alone is the one nearest to it.
            number = int(np.abs(self.times - frame.time).argmin())
            self._next = number + 1
            if at - _BACK <= number:
                self._keep((number, width), frame.image)
            if number >= at:
                break
        else:
            self._start(0)
            raise VideoError(self.path, f"no frame can be decoded at {self.times[at]:.2f} s")
        if (at, width) not in self._kept:  # a frame that is announced and not there: the one after it is shown
            self._kept[at, width] = self._kept[number, width]
            self._bytes += self._kept[at, width][0].nbytes

    def _start(self, at: int) -> None:
        if self._open is not None:
            self._open.close()
        time = self.times[at] - EPSILON_S
        self._open = video.read(self.path, start_s=max(time, 0.0), image_fps=self._image_fps, turn=self._turn)
        self._next = at

    def _keep(self, key: tuple[int, int], image: NDArray[np.uint8]) -> None:
        height, width = image.shape[:2]
        scale = min(key[1] / width, 1.0)
        if scale < 1:
            size = (key[1], max(round(height * scale), 1))
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        if key in self._kept:
            self._bytes -= self._kept.pop(key)[0].nbytes
        self._kept[key] = image, scale
        self._bytes += image.nbytes
        while self._bytes > self._most and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1][0].nbytes


def _times_of_packets(path: Path) -> NDArray[np.float64] | None:
    """Times by the packets' timestamps; None where these do not tell them."""
    container, stream = open_video(path, 1)
    with container:
        if container.format.name == "avi" and stream.codec_context.has_b_frames:
            return None  # timestamps number the frames as they are stored
        stamps: list[float] = []
        latest = -np.inf
        try:
            for packet in container.demux(stream):
                if not packet.size or packet.is_discard or not (stamps or packet.is_keyframe):
                    continue
                if packet.pts is None:
                    return None
                stamp = float(packet.pts * packet.time_base)
                if stamp < latest - _JUMP_BACK_S:
                    return None
                latest = max(latest, stamp)
                stamps.append(stamp)
        except av.FFmpegError:
            return None
    if not stamps:
        return None
    found = np.array(stamps)
    # What is stored after the first key frame but shown before it is not whole.
    return np.unique(found[found >= found[0]]) - found[0]


def _times_by_decoding(path: Path) -> NDArray[np.float64]:
    source = VideoFile(path, 1)
    try:
        return np.unique([time for time, _ in source.pictures(0.0, np.inf)])
    finally:
        source.close()
