"""What is written is read back by other means: FFmpeg's own fields, OpenCV for pictures, bytes for reproducibility."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from smilelab.preprocess import video


def painted(count: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    return [np.full((height, width, 3), 16 + 4 * index, np.uint8) for index in range(count)]


def textured(count: int) -> list[np.ndarray]:
    noise = np.random.default_rng(1).integers(0, 256, (96, 128, 3), np.uint8)
    return [np.roll(noise, 3 * index, axis=1).repeat(6, 0).repeat(6, 1) for index in range(count)]


@pytest.mark.parametrize(("ending", "codec"), [(".mp4", "h264"), (".avi", "mpeg4")])
def test_written_bytes_are_reproducible_and_tagged(tmp_path: Path, ending: str, codec: str) -> None:
    paths = [tmp_path / f"a{ending}", tmp_path / f"b{ending}"]
    for path in paths:
        # Large enough for an encoder to take several threads if it may.
        assert video.write(path, textured(8), 29.97, metadata={"comment": "simulated by smilelab"}) == 8
    content = paths[0].read_bytes()
    assert content == paths[1].read_bytes()
    assert b"simulated by smilelab" in content
    assert b"Lavc" not in content or codec == "h264"
    assert b" threads=1 " in content or codec != "h264", "x264 notes its settings in the stream"
    with av.open(str(paths[0])) as container:
        stream = container.streams.video[0]
        assert container.metadata["comment"] == "simulated by smilelab"
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == (codec, "yuv420p")
        assert float(stream.average_rate) == pytest.approx(29.97, abs=1e-3)
        assert sum(1 for _ in container.decode(stream)) == 8


@pytest.mark.parametrize("ending", [".mp4", ".avi"])
def test_colours_and_grays_survive(tmp_path: Path, ending: str) -> None:
    image = np.zeros((48, 96, 3), np.uint8)
    image[:, :32], image[:, 32:64], image[:, 64:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    path = tmp_path / f"a{ending}"
    video.write(path, [image, *[np.full((48, 96, 3), 8 * k, np.uint8) for k in range(32)]], 29, crf=1)
    decoded = [frame.image.astype(int) for frame in video.read(path)]
    for column, colour in ((16, (255, 0, 0)), (48, (0, 255, 0)), (80, (0, 0, 255))):
        assert np.abs(decoded[0][24, column] - colour).max() <= 6
    assert [round(float(gray.mean())) for gray in decoded[1:]] == pytest.approx([8 * k for k in range(32)], abs=2)


def test_pictures_are_numbered_bitmaps(tmp_path: Path) -> None:
    frames = [np.random.default_rng(k).integers(0, 256, (15, 22, 3), np.uint8) for k in range(11)]
    assert video.write_images(tmp_path / "colour", frames) == 11
    assert video.write_images(tmp_path / "gray", frames, gray=True, trailer=b"simulated by smilelab") == 11
    assert sorted(path.name for path in tmp_path.iterdir()) == ["colour", "gray"]
    assert {path.name for path in (tmp_path / "gray").iterdir()} == {f"{k}.bmp" for k in range(1, 12)}
    for number, frame in enumerate(frames, start=1):
        colour = cv2.imread(str(tmp_path / "colour" / f"{number}.bmp"), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(colour[..., ::-1], frame)
        gray = cv2.imread(str(tmp_path / "gray" / f"{number}.bmp"), cv2.IMREAD_UNCHANGED)
        assert gray.shape == (15, 22)
        assert np.abs(gray - frame @ [0.299, 0.587, 0.114]).max() <= 1
        assert (tmp_path / "gray" / f"{number}.bmp").read_bytes().endswith(b"simulated by smilelab")


def interrupted() -> object:
    yield from painted(3)
    raise RuntimeError("renderer broke")


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"before")
    with pytest.raises(RuntimeError, match="renderer broke"):
        video.write(path, interrupted(), 25)
    assert path.read_bytes() == b"before"
    video.write_images(tmp_path / "a", painted(2))
    with pytest.raises(RuntimeError, match="renderer broke"):
        video.write_images(tmp_path / "a", interrupted())
    assert len(list((tmp_path / "a").iterdir())) == 2
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a", "a.mp4"]
    assert video.write_images(tmp_path / "a", painted(1)) == 1
    assert [item.name for item in (tmp_path / "a").iterdir()] == ["1.bmp"]


NOT_FRAMES = [
    ([], "no frames"),
    ([np.zeros((48, 64), np.uint8)], r"\(H, W, 3\)"),
    ([np.zeros((48, 64, 3))], "uint8"),
    ([np.zeros((48, 0, 3), np.uint8)], "at least one pixel"),
    ([np.zeros((48, 64, 3), np.uint8), np.zeros((32, 64, 3), np.uint8)], "48x64"),
]


@pytest.mark.parametrize(("frames", "message"), [*NOT_FRAMES, ([np.zeros((47, 64, 3), np.uint8)], "even")])
@pytest.mark.parametrize("name", ["a.mp4", "a.avi"])
def test_frames_that_cannot_be_a_video(tmp_path: Path, name: str, frames: list[np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        video.write(tmp_path / name, frames, 25)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("frames", "message"), NOT_FRAMES)
def test_frames_that_cannot_be_pictures(tmp_path: Path, frames: list[np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        video.write_images(tmp_path / "a", frames)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "fps", "message"), [("a.gif", 25, "cannot write .gif"), ("a.mp4", 0, "fps is 0")])
def test_what_cannot_be_written(tmp_path: Path, name: str, fps: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        video.write(tmp_path / name, painted(2), fps)
