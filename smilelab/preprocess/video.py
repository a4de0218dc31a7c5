"""Decode any video file to upright RGB frames with timestamps, and encode frames to h264.

Times are presentation timestamps relative to the first frame. The frame rate and the frame count that a container
declares are never used for sampling or counting: phones record variable rates, and headers lie.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from smilelab.preprocess.container import Clock, VideoError, explain, missing_end, open_video

__all__ = ["Frame", "Frames", "VideoError", "count_frames", "read", "write"]

Image = NDArray[np.uint8]

# Timestamps are rationals rounded to floats, and a grid point must meet the frame that lies on it.
_EPSILON_S = 5e-7


class Frame(NamedTuple):
    """One frame: `time` in seconds from the first frame, `image` (H, W, 3) uint8 RGB, upright."""

    time: float
    image: Image


def read(
    path: str | os.PathLike[str],
    *,
    fps: float | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    threads: int = 1,
) -> Frames:
    """Decode a video to upright RGB frames.

    With `fps`, the grid ``start_s + k / fps`` is laid over the time from the first frame to the last (half a frame
    beyond it), and each grid point takes the frame nearest in time, the earlier of two equally near. Where the source
    is slower than the grid, or pauses, a frame is taken more than once; a frame keeps its own time. Only frames that
    are taken are converted to RGB.

    Frames before a corruption are kept: iteration ends there, `complete` is False and `warning` says why. Pixels are
    not rescaled where the container declares them not square.

    Parameters
    ----------
    path : path-like
        A video file in any container and codec that FFmpeg decodes.
    fps : float, optional
        Target rate of the sampling; None takes every frame.
    start_s, end_s : float, optional
        Part of the video to read, s from its first frame, `end_s` excluded. None and NaN mean open.
    threads : int
        Decoder threads.

    Returns
    -------
    Frames
        Iterator over `Frame`; also a context manager.

    Raises
    ------
    VideoError
        Here if the file cannot be opened as a video, and at the first frame if not one frame can be decoded.
    ValueError
        If `fps` is not positive.

    Source: our choice; Yang et al. 2020, "Implementation details", sample 5 frames per second.
    """
    return Frames(path, fps=fps, start_s=start_s, end_s=end_s, threads=threads)


def count_frames(path: str | os.PathLike[str]) -> int:
    """Count the frames of a video by decoding it.

    Parameters
    ----------
    path : path-like
        The video.

    Returns
    -------
    int
        Number of frames up to its end or its first damaged frame.

    Raises
    ------
    VideoError
        As `read`.
    """
    # A part that starts after any end decodes all and converts none.
    frames = read(path, start_s=float("inf"))
    for _ in frames:
        pass
    return frames.decoded


class Frames(Iterator[Frame]):
    """The frames of one video, decoded once while they are iterated over; made by `read`.

    Parameters
    ----------
    path, fps, start_s, end_s, threads
        As in `read`.

    Attributes
    ----------
    complete : bool
        Whether the whole video, or all of it up to `end_s`, was decoded without damage. Valid after exhaustion.
    warning : str
        Empty, or one sentence: why the frames end early.
    decoded : int
        Number of frames decoded so far.
    last_time : float
        Time of the last decoded frame, s.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fps: float | None = None,
        start_s: float | None = None,
        end_s: float | None = None,
        threads: int = 1,
    ) -> None:
        if fps is not None and not fps > 0:
            raise ValueError(f"fps is {fps}; expected a positive number of frames per second, or None for every frame")
        self.path = Path(path)
        self.complete = False
        self.warning = ""
        self.decoded = 0
        self.last_time = 0.0
        self._start_s = 0.0 if start_s is None or np.isnan(start_s) else float(start_s)
        self._end_s = np.inf if end_s is None or np.isnan(end_s) else float(end_s)
        self._container, self._stream = open_video(self.path, threads)
        pictures = self._pictures()
        if fps is not None:
            pictures = _on_grid(pictures, float(fps), self._start_s, self._end_s)
        self._chosen = pictures

    def __iter__(self) -> Frames:
        return self

    def __next__(self) -> Frame:
        return next(self._chosen).frame

    def close(self) -> None:
        """Free the decoder before the end."""
        self._chosen.close()
        self._container.close()

    def __enter__(self) -> Frames:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _pictures(self) -> Generator[_Picture]:
        """Decode the frames of the interval in order of presentation, up to the first damaged one."""
        clock = Clock(self._stream)
        turn: _Turn | None = None
        fault = ""
        end_s = 0.0
        for decoded, error in self._packets():
            for picture in decoded:
                if picture.is_corrupt:
                    error = "damaged frame"
                    break
                self.last_time = time = clock.time(picture)
                end_s = time + float((picture.duration or 0) * (picture.time_base or 0))
                self.decoded += 1
                if time >= self._end_s - _EPSILON_S:
                    self.complete = True
                    return
                # Once only: asking a frame for side data ties it into a reference cycle, and frames are large.
                turn = turn or _Turn.of(picture)
                if time >= self._start_s - _EPSILON_S:
                    yield _Picture(time, picture, turn)
            # Damage before the first whole frame is kept as a note only: recordings start between two key frames.
            fault = fault or error
            if error and self.decoded:
                break
        if not self.decoded:
            raise VideoError(self.path, "no frame can be decoded" + (f" ({fault})" if fault else ""))
        fault = fault or missing_end(self._container, self._stream, self.path, end_s)
        self.complete = not fault
        if fault:
            self.warning = f"the video is damaged: {fault}; decoded up to {self.last_time:.2f} s"

    def _packets(self) -> Generator[tuple[list[Any], str]]:
        """Decoded frames per packet, with the decoder's complaint or an empty string."""
        try:
            for packet in self._container.demux(self._stream):
                try:
                    yield packet.decode(), ""
                except av.FFmpegError as error:
                    yield [], explain(error)
        except av.FFmpegError as error:
            yield [], explain(error)


class _Picture:
    """A decoded frame that is converted to RGB when, and only when, it is asked for."""

    def __init__(self, time: float, picture: Any, turn: _Turn) -> None:
        self.time = time
        self._picture = picture
        self._turn = turn
        self._frame: Frame | None = None

    @property
    def frame(self) -> Frame:
        if self._frame is None:
            self._frame = Frame(self.time, _upright(self._picture, self._turn))
        return self._frame


def _on_grid(pictures: Generator[_Picture], fps: float, start_s: float, end_s: float) -> Generator[_Picture]:
    index = 0
    held: _Picture | None = None
    gap = 0.0
    for picture in pictures:
        while (at := start_s + index / fps) <= picture.time + _EPSILON_S:
            earlier = held is not None and at - held.time <= picture.time - at + _EPSILON_S
            yield held if held is not None and earlier else picture
            index += 1
        gap = picture.time - held.time if held else 0.0
        held = picture
    while held and (at := start_s + index / fps) <= held.time + min(gap, 1 / fps) / 2 and at < end_s - _EPSILON_S:
        yield held
        index += 1


class _Turn(NamedTuple):
    """How a stored picture is to be shown: transposed, then mirrored."""

    transposed: bool
    flip_x: bool
    flip_y: bool

    @classmethod
    def of(cls, picture: Any) -> _Turn:
        matrix = picture.side_data.get("DISPLAYMATRIX")
        if matrix is None:
            return cls(False, False, False)
        # Row vectors: a point (x, y) is shown at (a x + c y, b x + d y); ISO/IEC 14496-12, section 6.2.2.
        a, b, _, c, d, *_ = np.frombuffer(matrix, np.int32).tolist()
        if abs(a) + abs(d) < abs(b) + abs(c):
            return cls(True, c < 0, b < 0)
        return cls(False, a < 0, d < 0)


def _upright(picture: Any, turn: _Turn) -> Image:
    image: Image = picture.to_ndarray(format="rgb24", threads=1)
    if turn.transposed:
        image = image.transpose(1, 0, 2)
    return np.ascontiguousarray(image[:: -1 if turn.flip_y else 1, :: -1 if turn.flip_x else 1])


def write(
    path: str | os.PathLike[str],
    frames: Iterable[Image],
    fps: float | Fraction,
    *,
    metadata: Mapping[str, str] | None = None,
    crf: float = 18,
    preset: str = "veryfast",
) -> int:
    """Encode frames as h264 (yuv420p, BT.709) in an mp4, which appears under its name only when it is complete.

    The same frames give the same bytes: one encoder thread, no dates or library versions in the container.

    Parameters
    ----------
    path : path-like
        The file to write; its folder must exist. An existing file is replaced.
    frames : iterable of (H, W, 3) uint8 arrays
        RGB frames of one size, with even width and height (4:2:0 chroma halves both).
    fps : float or Fraction
        Frames per second.
    metadata : mapping, optional
        Container tags, e.g. ``{"comment": "..."}``.
    crf : float
        x264's constant rate factor; 18 is visually lossless.
    preset : str
        x264's preset.

    Returns
    -------
    int
        The number of frames written.

    Raises
    ------
    ValueError
        If there is no frame, or a frame is not of the shape and type above.
    """
    path = Path(path)
    rate = Fraction(fps).limit_denominator(100_000)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    count = 0
    try:
        with av.open(str(partial), "w", format="mp4", container_options={"fflags": "+bitexact"}) as container:
            container.metadata.update(metadata or {})
            stream: Any = None
            for image in frames:
                _check_frame(path, image, stream)
                if stream is None:
                    stream = _h264_stream(container, rate, image.shape[1], image.shape[0], crf, preset)
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24").reformat(
                    format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG", threads=1
                )
                picture.pts, picture.time_base = count, 1 / rate
                container.mux(stream.encode(picture))
                count += 1
            if stream is None:
                raise ValueError(f"{path.name}: no frames to write; expected at least one (H, W, 3) uint8 array")
            container.mux(stream.encode())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return count


def _h264_stream(container: Any, rate: Fraction, width: int, height: int, crf: float, preset: str) -> Any:
    # No B-frames: with them x264 decides by memory it never wrote, and the same frames give other bytes.
    stream = container.add_stream("libx264", rate=rate, options={"crf": str(crf), "preset": preset, "bf": "0"})
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    context = stream.codec_context
    context.thread_count = 1
    context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709 in all three of H.273's tables
    context.color_range = 1
    return stream


def _check_frame(path: Path, image: Image, stream: Any) -> None:
    found = f"{getattr(image, 'dtype', type(image).__name__)} {getattr(image, 'shape', '')}"
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"{path.name}: frame is {found}; expected a uint8 array of shape (H, W, 3)")
    height, width = image.shape[:2]
    if height % 2 or width % 2 or not height or not width:
        raise ValueError(f"{path.name}: frame is {found}; expected an even height and width; crop or pad the frames")
    if stream is not None and (width, height) != (stream.width, stream.height):
        raise ValueError(f"{path.name}: frame is {found}; expected {stream.height}x{stream.width} as the first frame")
