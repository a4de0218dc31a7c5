"""Folders of numbered pictures, written with OpenCV, as videos."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from smilelab.preprocess import video
from smilelab.preprocess.video import VideoError


def picture(number: int, size: tuple[int, int] = (24, 32)) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, size, np.uint8)


def save(folder: Path, names: list[str]) -> Path:
    """Gray pictures, each drawn from the number in its name."""
    folder.mkdir(exist_ok=True)
    for name in names:
        assert cv2.imwrite(str(folder / name), picture(int(Path(name).stem)))
    return folder


def read(folder: Path, **options: float) -> list[tuple[float, int]]:
    """Time and number of each frame; the number is told by the pixels."""
    found = []
    for frame in video.read(folder, **options):
        assert frame.image.shape == (24, 32, 3)
        assert (frame.image == frame.image[..., :1]).all(), "gray"
        number = [k for k in range(1, 40) if np.array_equal(picture(k), frame.image[..., 0])]
        found.append((round(frame.time, 6), *number))
    return found


def test_pictures_are_frames_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = save(tmp_path / "a", [f"{k}.bmp" for k in range(1, 13)])
    assert read(folder) == [(round((k - 1) / 25, 6), k) for k in range(1, 13)]
    assert read(folder, image_fps=10) == [(round((k - 1) / 10, 6), k) for k in range(1, 13)]
    assert read(folder, image_fps=float("nan")) == read(folder, image_fps=25)
    assert read(folder, image_fps=10, fps=5) == [(2 * k / 10, 1 + 2 * k) for k in range(6)]
    assert read(folder, start_s=0.1, end_s=0.2) == [(0.12, 4), (0.16, 5)]
    assert video.count_frames(folder) == 12
    late = video.read(folder, start_s=3)
    assert list(late) == []
    assert late.last_time == pytest.approx(11 / 25)
    frames = video.read(folder, image_fps=50)
    assert len(list(frames)) == 12
    assert (frames.complete, frames.warning, frames.decoded) == (True, "", 12)
    assert frames.rate == pytest.approx(50)


def test_missing_numbers_are_pauses(tmp_path: Path) -> None:
    folder = save(tmp_path / "a", ["007.png", "8.png", "11.png"])
    assert read(folder) == [(0, 7), (0.04, 8), (0.16, 11)]
    # Grid 0, .05, .1, .15 s; .1 is halfway between the last two.
    assert read(folder, fps=20) == [(0, 7), (0.04, 8), (0.04, 8), (0.16, 11)]


def test_colours_are_red_green_blue_and_can_be_turned(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    for name in ("1.bmp", "2.png"):
        cv2.imwrite(str(tmp_path / name), image[..., ::-1])
    soft = cv2.GaussianBlur(image, (0, 0), 6)
    cv2.imwrite(str(tmp_path / "3.JPG"), soft[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])
    frames = list(video.read(tmp_path))
    assert np.array_equal(frames[0].image, image)
    assert np.array_equal(frames[1].image, image)
    assert np.abs(frames[2].image.astype(int) - soft).max() <= 8
    assert np.array_equal(next(video.read(tmp_path, turn=90)).image, cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


BROKEN: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "empty": ("5.bmp", lambda path: path.write_bytes(b""), r"5\.bmp: the file is empty \(0 bytes\)"),
    "cut bmp": ("5.bmp", cut, r"5\.bmp: not a whole picture"),
    "cut png": ("5.png", cut, r"5\.png: not a whole picture"),
    "cut jpg": ("5.jpg", cut, r"5\.jpg: the file is truncated"),
    "text": ("5.bmp", lambda path: path.write_text("<!DOCTYPE html>" * 20), r"5\.bmp: not a whole picture"),
    "size": ("5.bmp", lambda path: cv2.imwrite(str(path), picture(5, (20, 20))), r"5\.bmp: 20x20 px, others 32x24"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_picture_that_cannot_be_read_ends_the_video(
    tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    name, damage, message = BROKEN[kind]
    folder = save(tmp_path / "a", [name if k == 5 else f"{k}.bmp" for k in range(1, 9)])
    damage(folder / name)
    frames = video.read(folder)
    assert [round(frame.time * 25) for frame in frames] == [0, 1, 2, 3]
    assert not frames.complete
    assert frames.decoded == 4
    assert re.match(rf"the pictures are damaged: {message}", frames.warning)
    assert frames.warning.endswith("; read up to 0.12 s")
    assert capfd.readouterr() == ("", "")


def test_a_first_picture_that_cannot_be_read_is_noted(tmp_path: Path) -> None:
    folder = save(tmp_path / "a", ["1.bmp", "2.bmp", "3.bmp"])
    (folder / "1.bmp").write_bytes(b"")
    frames = video.read(folder)
    assert [frame.time for frame in frames] == pytest.approx([0.04, 0.08])
    assert "1.bmp" in frames.warning
    assert not frames.complete


def test_names_that_are_no_numbers(tmp_path: Path) -> None:
    folder = save(tmp_path / "a", ["1.bmp", "2.bmp"])
    for name in ("._1.bmp", "Thumbs.db", "notes.txt"):
        (folder / name).write_bytes(b"not a picture")
    frames = video.read(folder)
    assert len(list(frames)) == 2
    assert frames.warning == ""
    (folder / "2 (copy).bmp").write_bytes((folder / "2.bmp").read_bytes())
    frames = video.read(folder)
    assert len(list(frames)) == 2
    assert "left out" in frames.warning
    assert "2 (copy).bmp" in frames.warning


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "a folder with no picture in it"),
        ({"a.bmp": b"x", "b.bmp": b"x"}, "2 pictures, none named by a number"),
        ({"1.bmp": b"", "01.bmp": b""}, "two pictures of one number: 01.bmp and 1.bmp"),
        ({"1.bmp": b"", "2.bmp": b""}, r"no picture can be read \(1.bmp: the file is empty"),
    ],
)
def test_folders_that_are_no_video(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(VideoError, match=message) as caught:
        list(video.read(tmp_path))
    assert "; expected a folder of pictures" in str(caught.value)


def test_a_rate_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="image_fps is 0"):
        video.read(save(tmp_path / "a", ["1.bmp"]), image_fps=0)
