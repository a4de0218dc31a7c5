"""Crops and smoothing against geometry worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from smilelab.preprocess import crops


def random_face(seed: int) -> np.ndarray:
    """Something face-like: eyes left and right, nose between, mouth below, jaw around."""
    rng = np.random.default_rng(seed)
    points = rng.normal(0, 2, (68, 2))
    points[:17] += np.c_[np.linspace(-60, 60, 17), 70 - np.linspace(-8, 8, 17) ** 2]
    points[17:27] += np.c_[np.linspace(-45, 45, 10), np.full(10, -30)]
    points[27:36] += np.c_[np.zeros(9), np.linspace(-10, 25, 9)]
    points[36:42] += (-28, -12)
    points[42:48] += (28, -12)
    points[48:] += np.c_[np.linspace(-20, 20, 20), np.full(20, 45)]
    return points


def gradient(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns, rows, np.full_like(rows, 9)], -1).astype(np.uint8)


def test_a_box_on_whole_pixels_is_a_slice() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    assert np.array_equal(crops.crop(image, np.array([9.5, 4.5, 29.5, 24.5]), 20), image[5:25, 10:30])


def test_a_box_moved_by_a_fraction_moves_the_picture_by_it() -> None:
    image = gradient(60, 120)
    for shift in (0.0, 0.25, 0.5, 0.75):
        picture = crops.crop(image, np.array([9.5, 4.5, 49.5, 44.5]) + shift, 40).astype(float)
        assert picture[..., 0].mean() == pytest.approx(29.5 + shift, abs=0.5)
        assert picture[..., 1].mean() == pytest.approx(24.5 + shift, abs=0.5)


@pytest.mark.parametrize("fold", [2, 3, 5])
def test_shrinking_averages(fold: int) -> None:
    size = 12
    image = np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)
    side = size * fold
    picture = crops.crop(image, np.array([-0.5, -0.5, side - 0.5, side - 0.5]), size)
    blocks = image[:side, :side].reshape(size, fold, size, fold, 3).mean((1, 3))
    assert np.abs(picture - blocks).max() <= 1


def test_the_border_is_repeated() -> None:
    image = gradient(50, 50)
    picture = crops.crop(image, np.array([-10.5, -10.5, 19.5, 19.5]), 30)
    assert (picture[:, :10, 0] == 0).all()
    assert (picture[:10, :, 1] == 0).all()
    assert np.array_equal(picture[10:, 10:], image[:20, :20])


@pytest.mark.parametrize("roll", [-0.5, -0.2, 0.0, 0.3])
def test_chips_bring_the_eyes_to_one_height(roll: float) -> None:
    face = random_face(0)
    turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    turned = face @ turn.T + (150, 120)
    pose = crops.face_pose(turned)
    base = crops.face_pose(face)
    assert pose[3] - base[3] == pytest.approx(roll)
    image = np.zeros((240, 300, 3), np.uint8)
    eyes = [turned[list(pair)].mean(0) for pair in ((36, 39), (42, 45))]
    for channel, eye in enumerate(eyes):
        x, y = np.round(eye).astype(int)
        image[y - 2 : y + 3, x - 2 : x + 3, channel] = 255
    chip = crops.crop(image, crops.pose_box(pose), 120, kind="chip", roll=float(pose[3])).astype(float)
    rows = [np.average(np.arange(120), weights=chip[..., channel].sum(1)) for channel in (0, 1)]
    columns = [np.average(np.arange(120), weights=chip[..., channel].sum(0)) for channel in (0, 1)]
    assert rows[0] == pytest.approx(rows[1], abs=1)
    assert columns[0] < 60 < columns[1]
    upright = crops.crop(image, crops.pose_box(pose), 120).astype(float)
    slope = np.diff([np.average(np.arange(120), weights=upright[..., k].sum(1)) for k in (0, 1)])[0]
    assert np.sign(slope) == np.sign(round(float(pose[3]), 2))


def test_outside_the_outline_is_black_and_inside_is_the_chip() -> None:
    image = np.full((300, 300, 3), 200, np.uint8)
    face = random_face(1) + np.array([150, 140])
    pose = crops.face_pose(face)
    box = crops.pose_box(pose)
    picture = crops.crop(image, box, 100, kind="outline", roll=0.0, landmarks=face)
    assert not picture[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    side = 1.25 * (box[2] - box[0])
    corner = pose[:2] - side / 2
    places = ((face - corner) / side * 100).astype(int)
    inner = places[27:68]
    assert (picture[inner[:, 1], inner[:, 0]] == 200).all()
    brows = places[19:25]
    assert (picture[brows[:, 1] - 4, brows[:, 0]] == 200).all(), "the forehead belongs to the face"
    hull = crops.face_outline(face)
    x, y = hull[:, 0], hull[:, 1]
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    assert (picture[..., 0].astype(float) / 200).sum() == pytest.approx(area / side**2 * 100**2, rel=0.02)


def test_refusals() -> None:
    image, box = np.zeros((50, 50, 3), np.uint8), np.array([0.0, 0, 20, 20])
    with pytest.raises(ValueError, match="expected one of box, chip, outline"):
        crops.crop(image, box, 20, kind="square")
    with pytest.raises(ValueError, match="landmarks"):
        crops.crop(image, box, 20, kind="outline")


@pytest.mark.parametrize("seed", range(5))
def test_pose_follows_similarity_transforms_and_ignores_the_mouth(seed: int) -> None:
    rng = np.random.default_rng(seed)
    face = random_face(seed)
    scale, shift = rng.uniform(0.5, 3), rng.uniform(-100, 100, 2)
    before, after = crops.face_pose(face), crops.face_pose(scale * face + shift)
    assert after[:2] == pytest.approx(scale * before[:2] + shift)
    assert np.exp(after[2] - before[2]) == pytest.approx(scale)
    smiling = face.copy()
    smiling[48:] += rng.normal(0, 10, (20, 2))
    smiling[:17] += rng.normal(0, 10, (17, 2))
    assert np.array_equal(crops.face_pose(smiling), before)


def test_iou_by_hand() -> None:
    first = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 4, 4]])
    second = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [0, 0, 2, 2]])
    assert crops.iou(first, second) == pytest.approx([1, 50 / 150, 0, 4 / 16])


def test_smoothing_keeps_a_steady_movement_and_quiets_noise() -> None:
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.01, 0.06, 200))
    steady = np.c_[3 * times + 1, -7 * times]
    assert np.allclose(crops.smooth(times, steady, 0.15), steady)
    noise = rng.normal(size=(200, 1))
    inner = crops.smooth(times, noise, 0.15)[20:-20]
    # A Gaussian mean over n effective samples has a variance of 1 / n; n = 2 sqrt(pi) sigma / interval.
    assert inner.std() == pytest.approx((0.035 / (2 * np.pi**0.5 * 0.15)) ** 0.5, rel=0.35)


def test_smoothing_has_a_finite_reach() -> None:
    times = np.arange(100) / 25
    values = np.zeros((100, 1))
    changed = values.copy()
    changed[50:] = 5
    far = times < times[50] - 4 * 0.15 - 1e-6
    assert np.array_equal(crops.smooth(times, values, 0.15)[far], crops.smooth(times, changed, 0.15)[far])
    assert crops.smooth(times[:1], changed[-1:], 0.15) == pytest.approx(5)
    repeated = np.zeros(3)
    assert crops.smooth(repeated, np.array([[1.0], [2], [3]]), 0.15) == pytest.approx(2)
