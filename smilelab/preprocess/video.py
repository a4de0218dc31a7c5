"""Decode any video file to upright RGB frames with timestamps, and encode frames to h264.

Times are presentation timestamps relative to the first frame. The frame rate and the frame count that a container
declares are never used for sampling or counting: phones record variable rates, and headers lie.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

# Half a microsecond: timestamps are rationals rounded to floats, and a grid point must meet the frame that lies on it.
_EPSILON_S = 5e-7
_JUMP_BACK_S = 1.0


class VideoError(ValueError):
    """A video cannot be read.

    Parameters
    ----------
    path : path-like
        The file.
    reason : str
        What was found.
    advice : str
        What was expected and what to do.

    Attributes
    ----------
    path : Path
    reason : str
    """

    def __init__(self, path: str | os.PathLike[str], reason: str, advice: str) -> None:
        self.path = Path(path)
        self.reason = " ".join(reason.split())
        self.advice = advice
        super().__init__(f"{self.path.name}: {self.reason}; {self.advice}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.reason, self.advice)


class Frame(NamedTuple):
    """One frame: `time` in seconds from the first frame, `image` (H, W, 3) uint8 RGB, upright."""

    time: float
    image: Image


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
    stream = container.add_stream("libx264", rate=rate, options={"crf": str(crf), "preset": preset})
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
