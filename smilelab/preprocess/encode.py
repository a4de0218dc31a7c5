"""Encode frames to video files and to folders of numbered pictures, which appear complete or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


class _Container(NamedTuple):
    """What a file of this ending holds; `matrix` is that which decoders assume where the file names none."""

    format: str
    codec: str
    matrix: str


_CONTAINERS = {".mp4": _Container("mp4", "libx264", "ITU709"), ".avi": _Container("avi", "mpeg4", "ITU601")}
_MPEG4_QUANTISER = 2
_LAMBDA = 118  # FFmpeg's FF_QP2LAMBDA: its unit of quality per step of the quantiser


def write(
    path: str | os.PathLike[str],
    frames: Iterable[Image],
    fps: float | Fraction,
    *,
    metadata: Mapping[str, str] | None = None,
    crf: float = 18,
    preset: str = "veryfast",
) -> int:
    """Encode frames as a video, which appears under its name only when it is complete.

    The same frames give the same bytes: one encoder thread, no dates or library versions in the container.

    Parameters
    ----------
    path : path-like
        The file to write; its folder must exist. An existing file is replaced. ``.mp4`` holds h264 (yuv420p, BT.709),
        ``.avi`` MPEG-4 part 2 (yuv420p, BT.601) at quantiser 2.
    frames : iterable of (H, W, 3) uint8 arrays
        RGB frames of one size, with even width and height (4:2:0 chroma halves both).
    fps : float or Fraction
        Frames per second.
    metadata : mapping, optional
        Container tags, e.g. ``{"comment": "..."}``.
    crf : float
        x264's constant rate factor; 18 is visually lossless. An avi has none.
    preset : str
        x264's preset. An avi has none.

    Returns
    -------
    int
        The number of frames written.

    Raises
    ------
    ValueError
        If the name ends otherwise, there is no frame, or a frame is not of the shape and type above.
    """
    path = Path(path)
    if path.suffix.lower() not in _CONTAINERS:
        raise ValueError(f"{path.name}: cannot write {path.suffix or 'no ending'}; expected {', '.join(_CONTAINERS)}")
    if not fps > 0:
        raise ValueError(f"{path.name}: fps is {fps}; expected a positive number of frames per second")
    kind = _CONTAINERS[path.suffix.lower()]
    rate = Fraction(fps).limit_denominator(100_000)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    count = 0
    try:
        with av.open(str(partial), "w", format=kind.format, container_options={"fflags": "+bitexact"}) as container:
            container.metadata.update(metadata or {})
            stream: Any = None
            for image in frames:
                _check_frame(path, image, None if stream is None else (stream.height, stream.width))
                if image.shape[0] % 2 or image.shape[1] % 2:
                    raise ValueError(
                        f"{path.name}: frame is {_described(image)}; expected an even height and width; "
                        "crop or pad the frames"
                    )
                if stream is None:
                    stream = _stream(container, kind, rate, image.shape[1], image.shape[0], crf, preset)
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24").reformat(
                    format="yuv420p", dst_colorspace=kind.matrix, dst_color_range="MPEG", threads=1
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


def write_images(
    folder: str | os.PathLike[str], frames: Iterable[Image], *, gray: bool = False, trailer: bytes = b""
) -> int:
    """Write frames as pictures ``1.bmp``, ``2.bmp``, ... of a folder, which appears only when it is complete.

    Parameters
    ----------
    folder : path-like
        The folder to make; the one that it lies in must exist. An existing one is replaced.
    frames : iterable of (H, W, 3) uint8 arrays
        RGB frames of one size.
    gray : bool
        Store their luma (BT.601) in 8 bits rather than their colours in 24.
    trailer : bytes
        Appended to each file after the pixels, where readers of bitmaps do not look.

    Returns
    -------
    int
        The number of pictures written.

    Raises
    ------
    ValueError
        If there is no frame, or a frame is not of the shape and type above.
    """
    folder = Path(folder)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    size: tuple[int, int] | None = None
    count = 0
    try:
        partial.mkdir()
        for count, image in enumerate(frames, start=1):
            _check_frame(folder, image, size)
            size = (image.shape[0], image.shape[1])
            pixels = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY if gray else cv2.COLOR_RGB2BGR)
            (partial / f"{count}.bmp").write_bytes(cv2.imencode(".bmp", pixels)[1].tobytes() + trailer)
        if not count:
            raise ValueError(f"{folder.name}: no frames to write; expected at least one (H, W, 3) uint8 array")
        if folder.is_dir():
            shutil.rmtree(folder)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return count


def _stream(container: Any, kind: _Container, rate: Fraction, width: int, height: int, crf: float, preset: str) -> Any:
    if kind.codec == "libx264":
        # No B-frames: with them x264 decides by memory it never wrote, and the same frames give other bytes.
        options = {"crf": str(crf), "preset": preset, "bf": "0"}
    else:
        options = {"flags": "+qscale+bitexact", "global_quality": str(_MPEG4_QUANTISER * _LAMBDA)}
    stream = container.add_stream(kind.codec, rate=rate, options=options)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    context = stream.codec_context
    context.thread_count = 1
    if kind.codec == "libx264":
        context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709 in all three of H.273's tables
        context.color_range = 1
    return stream


def _check_frame(path: Path, image: Image, size: tuple[int, int] | None) -> None:
    found = _described(image)
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"{path.name}: frame is {found}; expected a uint8 array of shape (H, W, 3)")
    if not image.size:
        raise ValueError(f"{path.name}: frame is {found}; expected at least one pixel")
    if size is not None and image.shape[:2] != size:
        raise ValueError(f"{path.name}: frame is {found}; expected {size[0]}x{size[1]} as the first frame")


def _described(image: Any) -> str:
    return f"{getattr(image, 'dtype', type(image).__name__)} {getattr(image, 'shape', '')}"
