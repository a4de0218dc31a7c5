"""Folders of numbered pictures as a source of video frames."""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

from smilelab.preprocess.container import VideoError, explain
from smilelab.preprocess.sources import EPSILON_S, Source

DEFAULT_FPS = 25.0
_DECODERS = {".bmp": "bmp", ".png": "png", ".jpg": "mjpeg", ".jpeg": "mjpeg"}
_JPEG_END = b"\xff\xd9"
_EXPECTED = "expected a folder of pictures named by their number: 1.bmp, 2.bmp, ... (bmp, png or jpg)"


class Numbered(NamedTuple):
    """Pictures of a folder: `paths` by number, in order; `unnumbered` are the names of those without one."""

    paths: dict[int, Path]
    unnumbered: list[str]


class PictureFolder(Source):
    """Pictures named by their number; number n is at ``(n - first) / fps``.

    A number that is left out is a pause. A picture that cannot be read, or is of another size, ends the video.

    Parameters
    ----------
    path : Path
        The folder.
    fps : float, optional
        Pictures per second. None and NaN mean 25.

    Raises
    ------
    VideoError
        As `numbered`.
    ValueError
        If `fps` is not positive.
    """

    def __init__(self, path: Path, fps: float | None) -> None:
        super().__init__(path)
        self._fps = DEFAULT_FPS if fps is None or np.isnan(fps) else float(fps)
        if not self._fps > 0:
            raise ValueError(f"image_fps is {fps}; expected a positive number of pictures per second")
        self._paths, self._unnumbered = numbered(path)

    def close(self) -> None:
        """Nothing is held."""

    def pictures(self, start_s: float, end_s: float) -> Generator[tuple[float, Any]]:
        """As `Source.pictures`; a VideoError if not one picture can be read."""
        first = next(iter(self._paths))
        fault = until = ""
        size: tuple[int, int] | None = None
        for number, path in self._paths.items():
            time = (number - first) / self._fps
            if time >= end_s - EPSILON_S:
                break
            if start_s < np.inf and time < start_s - EPSILON_S:
                self.last_time = time
                continue
            try:
                picture = decode(path)
                if size and size != (picture.width, picture.height):
                    found = f"{picture.width}x{picture.height} px, others {size[0]}x{size[1]}"
                    raise VideoError(path, found, _EXPECTED)
            except VideoError as error:
                fault = fault or f"{path.name}: {error.reason}"
                if self.decoded:
                    until = f"; read up to {self.last_time:.2f} s"
                    break
                continue
            size = picture.width, picture.height
            self.count(time)
            if time >= start_s - EPSILON_S:
                yield time, picture
        if fault and not self.decoded:
            raise VideoError(self.path, f"no picture can be read ({fault})", _EXPECTED)
        self.complete = not fault
        notes = [f"the pictures are damaged: {fault}{until}"] if fault else []
        if odd := self._unnumbered:
            notes.append(f"left out, as their names are no numbers: {', '.join(odd[:3])}{', ...' * (len(odd) > 3)}")
        self.warning = "; ".join(notes)


def numbered(folder: Path) -> Numbered:
    """List the pictures of a folder by the number that names them; hidden and other files are not looked at.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    Numbered

    Raises
    ------
    VideoError
        If the folder cannot be listed, no picture in it has a number, or two have the same.
    """
    try:
        names = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in _DECODERS and p.name[0] != ".")
    except OSError as error:
        raise VideoError(folder, f"cannot be listed ({explain(error)})", _EXPECTED) from None
    paths: dict[int, Path] = {}
    unnumbered = []
    for name in names:
        stem = Path(name).stem
        if not re.fullmatch(r"[0-9]{1,12}", stem):
            unnumbered.append(name)
        elif int(stem) in paths:
            raise VideoError(folder, f"two pictures of one number: {paths[int(stem)].name} and {name}", _EXPECTED)
        else:
            paths[int(stem)] = folder / name
    if not paths:
        found = f"{len(unnumbered)} pictures, none named by a number" if unnumbered else "no picture in it"
        raise VideoError(folder, f"a folder with {found}", _EXPECTED)
    return Numbered(dict(sorted(paths.items())), unnumbered)


def decode(path: Path) -> Any:
    """Decode one picture.

    Parameters
    ----------
    path : Path
        A bmp, png or jpg.

    Returns
    -------
    av.VideoFrame

    Raises
    ------
    VideoError
        If it cannot be read as a whole.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise VideoError(path, f"cannot be opened ({explain(error)})", _EXPECTED) from None
    if not content:
        raise VideoError(path, "the file is empty (0 bytes)", _EXPECTED)
    name = _DECODERS[path.suffix.lower()]
    # Without the end marker FFmpeg fills what is missing of a JPEG with gray.
    if name == "mjpeg" and _JPEG_END not in content:
        raise VideoError(path, "the file is truncated", _EXPECTED)
    decoder: Any = av.CodecContext.create(name, "r")
    decoder.thread_count = 1
    try:
        pictures = decoder.decode(av.Packet(content)) or decoder.decode(None)
    except av.FFmpegError as error:
        raise VideoError(path, f"not a whole picture ({explain(error)})", _EXPECTED) from None
    if not pictures or pictures[0].is_corrupt:
        raise VideoError(path, "not a whole picture", _EXPECTED)
    return pictures[0]
