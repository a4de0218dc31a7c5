"""Decode any video file, or folder of numbered pictures, to upright RGB frames with timestamps.

Times are presentation timestamps relative to the first frame. The frame rate and the frame count that a container
declares are never used for sampling or counting: phones record variable rates, and headers lie.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from smilelab.preprocess.container import VideoError
from smilelab.preprocess.encode import write, write_images
from smilelab.preprocess.grid import Grid, taken
from smilelab.preprocess.images import PictureFolder
from smilelab.preprocess.sources import Source, VideoFile

__all__ = [
    "Frame",
    "Frames",
    "Reading",
    "Samples",
    "VideoError",
    "count_frames",
    "read",
    "sample",
    "write",
    "write_images",
]

Image = NDArray[np.uint8]
TURNS = (0, 90, 180, 270)
_SQUARE = 0.01
_PLAUSIBLE_ASPECT = 4


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
    image_fps: float | None = None,
    turn: int = 0,
    threads: int = 1,
) -> Frames:
    """Decode a video to upright RGB frames.

    With `fps`, the grid ``start_s + k / fps`` is laid over the time from the first frame to the last (half a frame
    beyond it), and each grid point takes the frame nearest in time, the earlier of two equally near. Where the source
    is slower than the grid, or pauses, a frame is taken more than once; a frame keeps its own time. Only frames that
    are taken are converted to RGB.

    Frames before a corruption are kept: iteration ends there, `complete` is False and `warning` says why. Pixels that
    the container declares more than 1 % from square are made square, by enlarging the picture along one side.

    A part that starts later is decoded from the last key frame before it, where the file has an index of them: the
    frames and times are those of decoding all, but damage before the key frame goes unnoticed.

    Parameters
    ----------
    path : path-like
        A video file in any container and codec that FFmpeg decodes; or a folder of pictures (bmp, png, jpg) named by
        their number, in which a number left out is a pause and a picture that cannot be read is a corruption.
    fps : float, optional
        Target rate of the sampling; None takes every frame.
    start_s, end_s : float, optional
        Part of the video to read, s from its first frame, `end_s` excluded. None and NaN mean open.
    image_fps : float, optional
        Pictures per second of a folder of pictures: number n is at ``(n - first) / image_fps``. None and NaN mean 25.
    turn : {0, 90, 180, 270}
        Degrees by which to turn the frames clockwise, where a file does not declare how it was filmed.
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
        If `fps` or `image_fps` is not positive, or `turn` is none of the above.

    Source: our choice; Yang et al. 2020, "Implementation details", sample 5 frames per second.
    """
    return Frames(path, [fps], start_s, end_s, image_fps=image_fps, turn=turn, threads=threads)


def sample(
    path: str | os.PathLike[str],
    rates: Sequence[float | None],
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    image_fps: float | None = None,
    turn: int = 0,
    threads: int = 1,
) -> Samples:
    """Decode a video once, to what `read` gives at each of several rates.

    Samples come as the video is decoded, so that none waits for those of another rate: however long the video, two
    decoded pictures are held.

    Parameters
    ----------
    path, start_s, end_s, image_fps, turn, threads
        As in `read`.
    rates : sequence of float or None
        Frames per second; None takes every frame.

    Returns
    -------
    Samples
        Iterator over pairs of a rate's place in `rates` and a `Frame`; also a context manager. The pairs of one place
        are, in order, the frames that `read` gives at that rate.

    Raises
    ------
    VideoError, ValueError
        As `read`.
    """
    return Samples(path, rates, start_s, end_s, image_fps=image_fps, turn=turn, threads=threads)


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


class Reading:
    """A video that is being decoded, once, while one iterates over it.

    Parameters
    ----------
    path, rates, start_s, end_s, image_fps, turn, threads
        As in `sample`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        rates: Sequence[float | None],
        start_s: float | None,
        end_s: float | None,
        *,
        image_fps: float | None = None,
        turn: int = 0,
        threads: int = 1,
    ) -> None:
        for fps in rates:
            if fps is not None and not fps > 0:
                raise ValueError(
                    f"fps is {fps}; expected a positive number of frames per second, or None for every frame"
                )
        if turn not in TURNS:
            raise ValueError(f"turn is {turn!r}; expected degrees clockwise, one of {TURNS}")
        self.path = Path(path)
        start_s = 0.0 if start_s is None or np.isnan(start_s) else float(start_s)
        end_s = np.inf if end_s is None or np.isnan(end_s) else float(end_s)
        self._source: Source = (
            PictureFolder(self.path, image_fps) if self.path.is_dir() else VideoFile(self.path, threads)
        )
        pictures = _viewed(self._source, start_s, end_s, turn)
        self._taken = taken(pictures, [Grid(fps, start_s, end_s) for fps in rates])

    @property
    def complete(self) -> bool:
        """Whether all of the part asked for was decoded without damage; valid after exhaustion."""
        return self._source.complete

    @property
    def warning(self) -> str:
        """Empty, or one sentence: why the frames end early, or what was left out."""
        return self._source.warning

    @property
    def decoded(self) -> int:
        """Number of frames decoded so far; those before the key frame from which a part is decoded do not count."""
        return self._source.decoded

    @property
    def last_time(self) -> float:
        """Time of the last decoded frame, s."""
        return self._source.last_time

    @property
    def rate(self) -> float:
        """Measured mean rate of the frames decoded so far, per s; NaN of fewer than two."""
        span = self._source.last_time - self._source.first_time
        return (self.decoded - 1) / span if span > 0 and self.decoded else float("nan")

    def close(self) -> None:
        """Free the decoder before the end."""
        self._taken.close()
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Frames(Reading, Iterator[Frame]):
    """The frames of one video at one rate; made by `read`."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        return next(self._taken)[1].frame


class Samples(Reading, Iterator[tuple[int, Frame]]):
    """The frames of one video at several rates; made by `sample`."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[int, Frame]:
        which, picture = next(self._taken)
        return which, picture.frame


class _Picture:
    """A decoded frame that is converted to RGB when, and only when, it is asked for."""

    def __init__(self, time: float, picture: Any, view: _View) -> None:
        self.time = time
        self._picture = picture
        self._view = view
        self._frame: Frame | None = None

    @property
    def frame(self) -> Frame:
        if self._frame is None:
            self._frame = Frame(self.time, _upright(self._picture, self._view))
        return self._frame


def _viewed(source: Source, start_s: float, end_s: float, turn: int) -> Generator[_Picture]:
    view: _View | None = None
    for time, picture in source.pictures(start_s, end_s):
        # Once only: asking a frame for side data ties it into a reference cycle, and frames are large.
        view = view or _View.of(picture, source.pixel_aspect, turn)
        yield _Picture(time, picture, view)


class _View(NamedTuple):
    """How a stored picture is to be shown: enlarged, transposed, mirrored, and turned clockwise by quarters."""

    wider: float
    higher: float
    transposed: bool
    flip_x: bool
    flip_y: bool
    quarters: int

    @classmethod
    def of(cls, picture: Any, pixel_aspect: Fraction | None, turn: int) -> _View:
        aspect = float(pixel_aspect or 1)
        if abs(aspect - 1) <= _SQUARE or not 1 / _PLAUSIBLE_ASPECT <= aspect <= _PLAUSIBLE_ASPECT:
            aspect = 1.0
        enlarged, quarters = (max(aspect, 1.0), max(1 / aspect, 1.0)), turn // 90
        matrix = picture.side_data.get("DISPLAYMATRIX")
        if matrix is None:
            return cls(*enlarged, False, False, False, quarters)
        # Row vectors: a point (x, y) is shown at (a x + c y, b x + d y); ISO/IEC 14496-12, section 6.2.2.
        a, b, _, c, d, *_ = np.frombuffer(matrix, np.int32).tolist()
        if abs(a) + abs(d) < abs(b) + abs(c):
            return cls(*enlarged, True, c < 0, b < 0, quarters)
        return cls(*enlarged, False, a < 0, d < 0, quarters)


def _upright(picture: Any, view: _View) -> Image:
    width, height = round(picture.width * view.wider), round(picture.height * view.higher)
    image: Image = picture.to_ndarray(format="rgb24", width=width, height=height, threads=1)
    if view.transposed:
        image = image.transpose(1, 0, 2)
    image = image[:: -1 if view.flip_y else 1, :: -1 if view.flip_x else 1]
    return np.ascontiguousarray(np.rot90(image, -view.quarters))
