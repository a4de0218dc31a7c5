"""Open video files and say in one line what is wrong with those that cannot be read."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import av

EXPECTED = "expected a whole video file (mp4, mov, avi, webm, ...); copy or download it again"

_JUMP_BACK_S = 1.0
_SEEKABLE = {"mov", "matroska", "avi"}  # those with an index of key frames; by the first of FFmpeg's names for them
_REORDERING_S = 0.5  # more than a frame is ever shown after it is decoded
_HTML = (b"<!doctype", b"<html", b"<head", b"<?xml")
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip")


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

    def __init__(self, path: str | os.PathLike[str], reason: str, advice: str = EXPECTED) -> None:
        self.path = Path(path)
        self.reason = " ".join(reason.split())
        self.advice = advice
        super().__init__(f"{self.path.name}: {self.reason}; {self.advice}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.reason, self.advice)


def open_video(path: Path, threads: int) -> tuple[Any, Any]:
    """Open a local file for decoding.

    Parameters
    ----------
    path : Path
        The file.
    threads : int
        Decoder threads.

    Returns
    -------
    container, stream
        PyAV's input container and its first video stream that is not a cover picture.

    Raises
    ------
    VideoError
        If the file is missing, empty, not a video, truncated, or without a video stream.
    """
    reason = _reason_before_opening(path)
    if reason:
        raise VideoError(path, reason)
    try:
        # The prefix and the white list keep FFmpeg from taking a file name, or a playlist's lines, for addresses.
        container = av.open(f"file:{path.absolute()}", options={"protocol_whitelist": "file"})
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(path, _reason_not_opened(path) or f"not a video ({explain(error)})") from None
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        audio = " (audio only)" if container.streams.audio else ""
        container.close()
        raise VideoError(path, f"no video stream{audio}")
    stream = streams[0]
    if stream.codec_context is None:
        container.close()
        raise VideoError(path, "its codec is not supported by this FFmpeg", "convert it to h264 in an mp4")
    stream.thread_count = threads
    return container, stream


class Clock:
    """Presentation times in seconds from the first frame, never decreasing.

    Parameters
    ----------
    stream
        As from `open_video`.
    """

    def __init__(self, stream: Any) -> None:
        # The declared rate serves only frames that carry no timestamp of their own, as in some AVI files.
        self._counted = _counts_as_stored(stream)
        rate = stream.average_rate or stream.guessed_rate or 25
        self._step = float(1 / rate)
        self._offset: float | None = None
        self._last = 0.0

    def time(self, picture: Any) -> float:
        """Time of the next frame, s."""
        raw = None if self._counted else picture.time
        if self._offset is None:
            self._offset = raw or 0.0
            return 0.0
        time = self._last + self._step if raw is None else raw - self._offset
        if time < self._last - _JUMP_BACK_S:  # joined recordings, each with its own clock
            self._offset -= self._last + self._step - time
            time = self._last + self._step
        self._last = max(time, self._last)
        return self._last


class Sought(NamedTuple):
    """A stream that goes on from a key frame: its `packets`, their `clock`, and the key frame's timestamp, s."""

    packets: Iterator[Any]
    clock: Clock
    timestamp: float


def seek(container: Any, stream: Any, start_s: float) -> Sought | None:
    """Move a stream to a key frame before a time, so that the frames from there on need not what lies before.

    Parameters
    ----------
    container, stream
        As from `open_video`.
    start_s : float
        Seconds from the first frame.

    Returns
    -------
    Sought or None
        None if the file has no index that can be relied on, or is damaged; it must then be opened again.
    """
    if container.format.name.split(",")[0] not in _SEEKABLE or _counts_as_stored(stream):
        return None
    try:
        clock = Clock(stream)
        first = next(container.decode(stream), None)
        if first is None or first.is_corrupt or first.time is None:
            return None
        clock.time(first)
        container.seek(round((first.time + max(start_s - _REORDERING_S, 0)) / stream.time_base), stream=stream)
        packets = container.demux(stream)
        key = next(packets, None)
    except (av.FFmpegError, OverflowError):
        return None
    if key is None or not key.is_keyframe or key.pts is None:
        return None
    timestamp = float(key.pts * key.time_base)
    if not 0 <= timestamp - first.time <= start_s:
        return None
    return Sought(itertools.chain([key], packets), clock, timestamp)


def _counts_as_stored(stream: Any) -> bool:
    """Whether timestamps number the frames as they are stored (AVI), and some are shown in another order."""
    return stream.container.format.name == "avi" and bool(stream.codec_context.has_b_frames)


def explain(error: BaseException) -> str:
    """FFmpeg's error in a few words, without addresses."""
    return str(getattr(error, "strerror", None) or error).lower()


def missing_end(container: Any, stream: Any, path: Path, end_s: float) -> str:
    """Say whether the file ends before its own index does.

    Parameters
    ----------
    container, stream
        As from `open_video`.
    path : Path
        The file.
    end_s : float
        End of the last decoded frame, s.

    Returns
    -------
    str
        Empty, or what is missing.
    """
    size = path.stat().st_size
    if any(entry.pos + entry.size > size for entry in stream.index_entries):
        return "the file is truncated"
    # Matroska and AVI are read sequentially; there the declared duration alone tells of a missing end.
    sequential = {"matroska", "avi"} & set(container.format.name.split(","))
    if sequential and len(container.streams) == 1 and container.duration:
        declared = container.duration / av.time_base
        if declared - end_s > 0.5:
            return f"the file is truncated ({declared:.2f} s declared)"
    return ""


def _reason_before_opening(path: Path) -> str:
    try:
        if not path.exists():
            return "no such file"
        with path.open("rb") as file:
            head = file.read(256)
    except OSError as error:
        return f"cannot be opened ({explain(error)})"
    if not head:
        return "the file is empty (0 bytes)"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_HTML):
        return "is a web page (HTML), not a video"
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not a video"
    return ""


def _reason_not_opened(path: Path) -> str:
    with path.open("rb") as file:
        if file.read(8)[4:] not in _MP4_BOXES:
            return ""
        boxes = _top_boxes(file, path.stat().st_size)
    return "" if "moov" in boxes else "the file is truncated: its index (moov) is missing or incomplete"


def _top_boxes(file: BinaryIO, size: int) -> set[str]:
    """Names of the complete top-level boxes of an mp4 or mov file (ISO/IEC 14496-12, section 4.2)."""
    names = set()
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        length = length or size - at
        if length < 8 or at + length > size:
            break
        names.add(head[4:8].decode("latin-1"))
        at += length
    return names
