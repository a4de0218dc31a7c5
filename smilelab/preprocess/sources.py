"""Where frames come from: a video file, decoded up to its first damaged frame."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from smilelab.preprocess.container import Clock, VideoError, explain, missing_end, open_video, seek

# Timestamps are rationals rounded to floats, and a grid point must meet the frame that lies on it.
EPSILON_S = 5e-7


class Source(ABC):
    """Frames in order of time, read once.

    Parameters
    ----------
    path : Path
        What is read.

    Attributes
    ----------
    path : Path
    pixel_aspect : Fraction or None
        Width of a stored pixel over its height, where that is declared.
    complete : bool
        Whether all of the part asked for was decoded without damage. Valid after exhaustion.
    warning : str
        Empty, or what is damaged or left out.
    decoded : int
        Number of frames decoded so far.
    first_time, last_time : float
        Times of the first and the last of them, s.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pixel_aspect: Fraction | None = None
        self.complete = False
        self.warning = ""
        self.decoded = 0
        self.first_time = 0.0
        self.last_time = 0.0

    @abstractmethod
    def pictures(self, start_s: float, end_s: float) -> Generator[tuple[float, Any]]:
        """Time, s from the first frame, and decoded `av.VideoFrame` of each frame of ``start_s <= time < end_s``."""

    @abstractmethod
    def close(self) -> None:
        """Free the decoder."""

    def count(self, time: float) -> None:
        """Note that a frame was decoded."""
        if not self.decoded:
            self.first_time = time
        self.last_time = time
        self.decoded += 1


class VideoFile(Source):
    """A video file in any container and codec that FFmpeg decodes.

    Parameters
    ----------
    path : Path
        The file.
    threads : int
        Decoder threads.

    Raises
    ------
    VideoError
        If it cannot be opened as a video.
    """

    def __init__(self, path: Path, threads: int) -> None:
        super().__init__(path)
        self._threads = threads
        self._container, self._stream = open_video(path, threads)
        self.pixel_aspect = self._stream.sample_aspect_ratio

    def close(self) -> None:
        """Free the decoder."""
        self._container.close()

    def pictures(self, start_s: float, end_s: float) -> Generator[tuple[float, Any]]:
        """As `Source.pictures`; a VideoError if not one frame can be decoded."""
        packets, clock, key_timestamp = self._from_the_last_key_frame(start_s)
        fault = ""
        shown_until_s = 0.0
        for decoded, error in _decoded(packets):
            for picture in decoded:
                if picture.time is not None and picture.time < key_timestamp - EPSILON_S:
                    continue  # stored after the key frame but shown before it, and not whole without what lies before
                if picture.is_corrupt:
                    error = "damaged frame"
                    break
                time = clock.time(picture)
                self.count(time)
                shown_until_s = time + float((picture.duration or 0) * (picture.time_base or 0))
                if time >= end_s - EPSILON_S:
                    self.complete = True
                    return
                if time >= start_s - EPSILON_S:
                    yield time, picture
            # Damage before the first whole frame is kept as a note only: recordings start between two key frames.
            fault = fault or error
            if error and self.decoded:
                break
        if not self.decoded:
            raise VideoError(self.path, "no frame can be decoded" + (f" ({fault})" if fault else ""))
        fault = fault or missing_end(self._container, self._stream, self.path, shown_until_s)
        self.complete = not fault
        if fault:
            self.warning = f"the video is damaged: {fault}; decoded up to {self.last_time:.2f} s"

    def _from_the_last_key_frame(self, start_s: float) -> tuple[Iterable[Any], Clock, float]:
        """Packets from the last key frame before the part on, their clock, and the key frame's timestamp, s."""
        if 0 < start_s < np.inf:
            if sought := seek(self._container, self._stream, start_s):
                return sought
            self._container.close()
            self._container, self._stream = open_video(self.path, self._threads)
        return self._container.demux(self._stream), Clock(self._stream), -np.inf


def _decoded(packets: Iterable[Any]) -> Generator[tuple[list[Any], str]]:
    """Decoded frames per packet, with the decoder's complaint or an empty string."""
    try:
        for packet in packets:
            try:
                yield packet.decode(), ""
            except av.FFmpegError as error:
                yield [], explain(error)
    except av.FFmpegError as error:
        yield [], explain(error)
