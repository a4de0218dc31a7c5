"""Decoding against frames whose number is painted into them, PyAV's own decoding, and files broken on purpose."""

from __future__ import annotations

import gc
import pickle
import resource
import struct
import wave
from fractions import Fraction
from pathlib import Path

import av
import cv2
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


def soft(count: int) -> list[np.ndarray]:
    return [cv2.GaussianBlur(image, (0, 0), 4) for image in textured(count)]


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
    if container != "avi":  # an AVI has one rate, and these times were written at another
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


def test_a_rate_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fps"):
        video.read(tmp_path / "a.mp4", fps=0)


def write_coded(path: Path, codec: str, times_ms: list[int], aspect: Fraction | None = None, **options: str) -> Path:
    """Soft texture at given times; codec and options are the encoder's, the container is told by the name."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        if aspect is not None:
            stream.sample_aspect_ratio = aspect
        if path.suffix != ".avi":
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number, (image, at) in enumerate(zip(soft(len(times_ms)), times_ms, strict=True)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = (number, Fraction(1, 25)) if path.suffix == ".avi" else (at, Fraction(1, 1000))
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


STEADY = [40 * k for k in range(120)]
UNEVEN = [40 * k + (17 if k % 3 else 0) + (700 if k > 70 else 0) for k in range(120)]


@pytest.mark.parametrize(
    ("name", "codec", "times_ms", "options", "seeks"),
    [
        ("a.mp4", "libx264", STEADY, {"g": "30"}, True),
        ("uneven.mp4", "libx264", UNEVEN, {"g": "30"}, True),
        ("open.mp4", "libx264", STEADY, {"g": "30", "x264-params": "open-gop=1:scenecut=0"}, True),
        ("a.mkv", "libx264", UNEVEN, {"g": "30"}, True),
        ("a.avi", "mpeg4", STEADY, {"g": "30"}, True),
        ("reordered.avi", "libx264", STEADY, {"g": "30"}, False),
        ("a.ts", "libx264", STEADY, {"g": "30"}, False),
    ],
)
def test_a_part_from_the_middle_is_what_decoding_all_gives(
    tmp_path: Path, name: str, codec: str, times_ms: list[int], options: dict[str, str], seeks: bool
) -> None:
    path = write_coded(tmp_path / name, codec, times_ms, **options)
    everything = list(video.read(path))
    with av.open(str(path)) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [frame.time for frame in everything] == pytest.approx([ms / 1000 for ms in times_ms], abs=2e-3)
    assert all(np.array_equal(frame.image, image) for frame, image in zip(everything, decoded, strict=True))
    for start_s in (0.02, 1.2, 2.43, 3.6, 30.0):
        part = video.read(path, start_s=start_s)
        frames = list(part)
        expected = [frame for frame in everything if frame.time >= start_s - 1e-6]
        assert [frame.time for frame in frames] == [frame.time for frame in expected]
        assert all(np.array_equal(mine.image, theirs.image) for mine, theirs in zip(frames, expected, strict=True))
        assert part.complete
        assert part.last_time == everything[-1].time
        assert (part.decoded < len(everything)) == (seeks and start_s > 2)
    late = [frame.time for frame in everything if frame.time >= 2.43]
    nearest = [min(late, key=lambda time: abs(time - at)) for at in 2.43 + np.arange(5) / 10]
    assert [frame.time for frame in video.read(path, fps=10, start_s=2.43, end_s=2.9)] == nearest


def test_the_rate_of_a_part_is_measured_over_what_was_decoded(tmp_path: Path) -> None:
    path = write_coded(tmp_path / "a.mp4", "libx264", [*range(0, 2000, 100), *range(2000, 4000, 20)], g="10")
    part = video.read(path, start_s=3.0)
    assert np.isnan(part.rate)
    assert len(list(part)) == 50
    assert part.rate == pytest.approx(50, rel=1e-3)


@pytest.mark.parametrize(
    ("aspect", "width", "height"),
    [
        (None, 128, 96),
        (Fraction(16, 15), 137, 96),
        (Fraction(8, 9), 128, 108),
        (Fraction(201, 200), 128, 96),
        (Fraction(1, 100), 128, 96),
    ],
)
def test_pixels_that_are_not_square(tmp_path: Path, aspect: Fraction | None, width: int, height: int) -> None:
    path = write_coded(tmp_path / "a.mp4", "libx264", STEADY[:3], aspect, crf="1")
    image = next(video.read(path)).image
    assert image.shape == (height, width, 3)
    expected = cv2.resize(soft(1)[0], (width, height), interpolation=cv2.INTER_AREA)
    assert np.abs(image.astype(int) - expected).mean() < 3


@pytest.mark.parametrize(
    ("turn", "expected"), [(0, ["RG", "BW"]), (90, ["BR", "WG"]), (180, ["WB", "GR"]), (270, ["GW", "RB"])]
)
def test_turning(tmp_path: Path, turn: int, expected: list[str]) -> None:
    colours = {"R": (255, 0, 0), "G": (0, 255, 0), "B": (0, 0, 255), "W": (255, 255, 255)}
    image = np.zeros((32, 64, 3), np.uint8)
    image[:16, :32], image[:16, 32:], image[16:, :32], image[16:, 32:] = colours.values()
    video.write(tmp_path / "a.mp4", [image] * 2, 25)
    shown = next(video.read(tmp_path / "a.mp4", turn=turn)).image.astype(int)
    height, width = shown.shape[:2]
    assert (width, height) == ((32, 64) if turn in (90, 270) else (64, 32))
    for row, letters in enumerate(expected):
        for column, letter in enumerate(letters):
            pixel = shown[height * (2 * row + 1) // 4, width * (2 * column + 1) // 4]
            assert np.abs(pixel - colours[letter]).max() < 40, (row, column, pixel)


def test_a_turn_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="turn is 45; expected"):
        video.read(tmp_path / "a.mp4", turn=45)
