"""Decoding against frames whose number is painted into them, and files broken on purpose."""

from __future__ import annotations

import gc
import pickle
import resource
import struct
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from smilelab.preprocess import video
from smilelab.preprocess.video import VideoError

STEP = 4


def painted(count: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    return [np.full((height, width, 3), 16 + STEP * index, np.uint8) for index in range(count)]


def index_of(image: np.ndarray) -> int:
    return round((float(image.mean()) - 16) / STEP)


def textured(count: int) -> list[np.ndarray]:
    noise = np.random.default_rng(1).integers(0, 256, (96, 128, 3), np.uint8)
    return [np.roll(noise, 3 * index, axis=1) for index in range(count)]


def write_at(path: Path, times_ms: list[int], container: str = "mp4", **options: str) -> Path:
    """Frames with given presentation times, frame k painted with k; written without the code under test."""
    with av.open(str(path), "w", format=container, container_options=options) as out:
        stream = out.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for image, at in zip(painted(len(times_ms)), times_ms, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def indices(path: Path, **options: float) -> list[int]:
    return [index_of(frame.image) for frame in video.read(path, **options)]


def test_every_frame_once_in_order_with_its_time(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    assert video.write(path, painted(50), 25) == 50
    frames = video.read(path)
    decoded = list(frames)
    assert [index_of(frame.image) for frame in decoded] == list(range(50))
    assert [frame.time for frame in decoded] == pytest.approx([k / 25 for k in range(50)], abs=1e-6)
    assert (frames.complete, frames.warning, frames.decoded) == (True, "", 50)
    assert decoded[0].image.shape == (48, 64, 3)
    assert decoded[0].image.dtype == np.uint8
    assert video.count_frames(path) == 50


def test_channels_are_red_green_blue(tmp_path: Path) -> None:
    image = np.zeros((48, 96, 3), np.uint8)
    image[:, :32], image[:, 32:64], image[:, 64:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    video.write(tmp_path / "a.mp4", [image] * 3, 25, crf=1)
    decoded = next(video.read(tmp_path / "a.mp4")).image.astype(int)
    for column, colour in ((16, (255, 0, 0)), (48, (0, 255, 0)), (80, (0, 0, 255))):
        assert np.abs(decoded[24, column] - colour).max() <= 6


@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        (5, list(range(0, 50, 5))),
        # .1 s lies halfway between frames 2 and 3: the earlier one.
        (10, [0, 2, 5, 7, 10, 12, 15, 17, 20, 22, 25, 27, 30, 32, 35, 37, 40, 42, 45, 47]),
        (50, [k // 2 for k in range(99)]),
        (0.4, [0]),
    ],
)
def test_sampling_a_constant_rate(tmp_path: Path, fps: float, expected: list[int]) -> None:
    video.write(tmp_path / "a.mp4", painted(50), 25)
    assert indices(tmp_path / "a.mp4", fps=fps) == expected


def test_sampling_a_variable_rate_by_time(tmp_path: Path) -> None:
    path = write_at(tmp_path / "phone.mp4", [0, 100, 150, 500, 550, 1000])
    assert [round(frame.time, 6) for frame in video.read(path)] == [0, 0.1, 0.15, 0.5, 0.55, 1.0]
    # Grid 0, .2, .4, .6, .8, 1.0 s; nearest frames by hand.
    assert indices(path, fps=5) == [0, 2, 3, 4, 5, 5]
    assert [round(frame.time, 6) for frame in video.read(path, fps=5)] == [0, 0.15, 0.5, 0.55, 1.0, 1.0]


def test_a_part_of_a_video(tmp_path: Path) -> None:
    video.write(tmp_path / "a.mp4", painted(50), 25)
    assert indices(tmp_path / "a.mp4", start_s=0.4, end_s=0.8) == list(range(10, 20))
    # .7 s is halfway between frames 17 and 18; frame 12 (.48 s) is nearer to .5 s but before the part.
    assert indices(tmp_path / "a.mp4", fps=5, start_s=0.5, end_s=0.8) == [13, 17]
    part = video.read(tmp_path / "a.mp4", fps=5, end_s=1.0)
    assert len(list(part)) == 5
    assert part.complete
    assert indices(tmp_path / "a.mp4", start_s=9.0) == []
    assert indices(tmp_path / "a.mp4", fps=5, start_s=float("nan"), end_s=float("nan")) == list(range(0, 50, 5))


@pytest.mark.parametrize(("container", "name"), [("mpegts", "a.ts"), ("matroska", "a.mkv"), ("avi", "a.avi")])
def test_other_containers_start_at_zero(tmp_path: Path, container: str, name: str) -> None:
    path = write_at(tmp_path / name, [40 * k for k in range(30)], container)
    frames = list(video.read(path))
    assert [index_of(frame.image) for frame in frames] == list(range(30))
    assert frames[0].time == 0
    if container != "avi":
        assert frames[-1].time == pytest.approx(29 * 0.04, abs=2e-3)


def test_only_sampled_frames_are_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video.write(tmp_path / "a.mp4", painted(50), 25)
    converted = []
    upright = video._upright
    monkeypatch.setattr(video, "_upright", lambda *rest: converted.append(1) or upright(*rest))
    assert len(list(video.read(tmp_path / "a.mp4", fps=5))) == 10
    assert len(converted) == 10
    frames = video.read(tmp_path / "a.mp4", fps=100)
    assert len(list(frames)) > 100
    assert len(converted) == 60


def test_frames_are_freed_without_the_garbage_collector(tmp_path: Path) -> None:
    video.write(tmp_path / "a.mp4", painted(40, 640, 480), 25)
    image_mib = 640 * 480 * 3 / 2**20

    def resident_mib() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

    def decode() -> None:
        for _ in video.read(tmp_path / "a.mp4"):
            pass

    decode()
    gc.collect()
    gc.disable()
    try:
        before = resident_mib()
        for _ in range(3):
            decode()
        assert resident_mib() - before < 30 * image_mib, "120 frames of half that size would be 60 times as much"
    finally:
        gc.enable()


# A point (x, y) of the stored picture is shown at (a x + c y, b x + d y): where the four quarters go follows by hand.
@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), ["RG", "BW"]),
        ((0, 1, -1, 0), ["BR", "WG"]),  # x to down: clockwise
        ((0, -1, 1, 0), ["GW", "RB"]),
        ((-1, 0, 0, -1), ["WB", "GR"]),
        ((-1, 0, 0, 1), ["GR", "WB"]),  # mirrored
    ],
)
def test_display_matrix(tmp_path: Path, matrix: tuple[int, int, int, int], expected: list[str]) -> None:
    colours = {"R": (255, 0, 0), "G": (0, 255, 0), "B": (0, 0, 255), "W": (255, 255, 255)}
    image = np.zeros((32, 64, 3), np.uint8)
    image[:16, :32], image[:16, 32:], image[16:, :32], image[16:, 32:] = colours.values()
    path = tmp_path / "a.mp4"
    video.write(path, [image] * 2, 25)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    assert struct.unpack(">9i", data[at : at + 36])[::4] == (1 << 16, 1 << 16, 1 << 30)
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    shown = next(video.read(path)).image
    height, width = shown.shape[:2]
    assert (width, height) == ((64, 32) if matrix[0] else (32, 64))
    for row, letters in enumerate(expected):
        for column, letter in enumerate(letters):
            pixel = shown[height * (2 * row + 1) // 4, width * (2 * column + 1) // 4].astype(int)
            assert np.abs(pixel - colours[letter]).max() < 40, (row, column, pixel)


def wav(path: Path) -> None:
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000))


def no_frames(path: Path) -> None:
    with av.open(str(path), "w", format="avi") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        out.start_encoding()


def truncated(path: Path) -> None:
    video.write(path, textured(20), 25)
    path.write_bytes(path.read_bytes()[:2000])


BROKEN = {
    "empty.mp4": (lambda path: path.write_bytes(b""), "empty"),
    "page.mp4": (lambda path: path.write_text("\n<!DOCTYPE html><p>Not found"), "web page"),
    "random.mp4": (lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)), "not a video"),
    "truncated.mp4": (truncated, r"truncated.*moov"),
    "sound.wav": (wav, "audio only"),
    "header.avi": (no_frames, "no frame can be decoded|no video stream|not a video"),
    "folder.mp4": (lambda path: path.mkdir(), "folder"),
    "missing.mp4": (lambda path: None, "no such file"),
    "pointer.mp4": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "Git LFS"),
    "text.mp4": (lambda path: path.write_text("#EXTM3U\nhttp://localhost:1/a.ts\n"), "not a video|decoded|no video"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    make, reason = BROKEN[name]
    make(tmp_path / name)
    with pytest.raises(VideoError, match=reason) as caught:
        list(video.read(tmp_path / name))
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    assert "; expected" in message
    assert "\n" not in message
    assert caught.value.path == tmp_path / name
    assert str(pickle.loads(pickle.dumps(caught.value))) == message
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("share", [0.0, 0.7])
def test_frames_before_a_corruption_are_kept(tmp_path: Path, share: float, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.mp4"
    video.write(path, textured(60), 25)
    before = [frame.image for frame in video.read(path)]
    with av.open(str(path)) as container:
        entry = container.streams.video[0].index_entries[40]
    data = bytearray(path.read_bytes())
    start = entry.pos + 5 + int(share * (entry.size - 5))
    end = entry.pos + entry.size
    data[start:end] = bytes(end - start)
    path.write_bytes(data)
    frames = video.read(path)
    kept = [frame.image for frame in frames]
    assert not frames.complete
    assert "damaged" in frames.warning
    assert "\n" not in frames.warning
    assert 30 <= len(kept) <= 45
    # A frame may refer to the damaged one ahead of it; those well before cannot.
    for old, new in zip(before[:35], kept[:35], strict=False):
        assert np.array_equal(old, new)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("container", "options"), [("mp4", {"movflags": "+faststart"}), ("matroska", {})])
def test_a_missing_end_is_noticed(tmp_path: Path, container: str, options: dict[str, str]) -> None:
    path = tmp_path / "a.video"
    with av.open(str(path), "w", format=container, container_options=options) as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for image in textured(50):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode())
    whole = video.read(path)
    assert len(list(whole)) == 50
    assert whole.complete
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    frames = video.read(path)
    assert 10 < len(list(frames)) < 50
    assert not frames.complete
    assert frames.warning


def test_written_bytes_are_reproducible_and_tagged(tmp_path: Path) -> None:
    paths = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    for path in paths:
        # Large enough for x264 to take several threads if it may.
        video.write(
            path,
            [image.repeat(6, 0).repeat(6, 1) for image in textured(8)],
            29.97,
            metadata={"comment": "simulated by smilelab"},
        )
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert b" threads=1 " in paths[0].read_bytes(), "x264 notes its settings in the stream"
    with av.open(str(paths[0])) as container:
        stream = container.streams.video[0]
        assert container.metadata["comment"] == "simulated by smilelab"
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.average_rate) == pytest.approx(29.97, abs=1e-3)


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    def frames() -> object:
        yield from painted(3)
        raise RuntimeError("renderer broke")

    path = tmp_path / "a.mp4"
    path.write_bytes(b"before")
    with pytest.raises(RuntimeError, match="renderer broke"):
        video.write(path, frames(), 25)
    assert path.read_bytes() == b"before"
    assert [item.name for item in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "no frames"),
        ([np.zeros((47, 64, 3), np.uint8)], "even"),
        ([np.zeros((48, 64), np.uint8)], r"\(H, W, 3\)"),
        ([np.zeros((48, 64, 3))], "uint8"),
        ([np.zeros((48, 64, 3), np.uint8), np.zeros((32, 64, 3), np.uint8)], "48x64"),
    ],
)
def test_frames_that_cannot_be_written(tmp_path: Path, frames: list[np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        video.write(tmp_path / "a.mp4", frames, 25)


def test_a_rate_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fps"):
        video.read(tmp_path / "a.mp4", fps=0)
