"""SPOS' names, folders and pictures."""

import collections

import cv2
import numpy as np
import pytest

from smilelab.simulator import databases, spos

NAMES = {"tomas", "nelly", "riku", "yi", "ying", "rui", "xiaopeng"}


def test_full_size_has_the_published_people():
    roster = spos.recruit(np.random.default_rng(0), 7, 80)
    assert {clip.subject for clip in roster} == NAMES
    assert collections.Counter(clip.label for clip in roster) == {1: 66, 0: 14}
    assert all(22 <= clip.age <= 31 for clip in roster)
    assert len({clip.subject for clip in roster if clip.sex == "male"}) == 3
    assert all(collections.Counter(clip.subject for clip in roster if clip.label == label).keys() == NAMES
               for label in (0, 1))  # fmt: skip
    for clip in roster:
        kind = "spontaneous" if clip.label else "posed"
        assert spos.path(clip) == f"{kind}/happy/{clip.subject}-{clip.number}"
        assert clip.clip_id == f"{kind}_{clip.subject}-{clip.number}"


@pytest.mark.parametrize(("subjects", "clips"), [(2, 2), (3, 5), (7, 7), (4, 40)])
def test_every_size_keeps_its_numbers(subjects, clips):
    for seed in range(10):
        roster = spos.recruit(np.random.default_rng(seed), subjects, clips)
        assert (len({clip.subject for clip in roster}), len(roster)) == (subjects, clips)
        assert {clip.label for clip in roster} == {0, 1}


def test_pictures_are_gray_eight_bit_and_show_little_but_the_face(tmp_path):
    root = databases.simulate(
        "spos", tmp_path / "spos", subjects=2, clips=2, max_length_s=1.0, resolution=(320, 240), jobs=1, progress=False
    )
    folders = sorted(root.glob("*/happy/*"))
    assert len(folders) == 2
    for folder in folders:
        picture = cv2.imread(str(folder / "1.bmp"), cv2.IMREAD_UNCHANGED)
        assert picture.shape == (240, 320)
        assert picture.dtype == np.uint8
        name = f"{folder.parent.parent.name}_{folder.name}"
        with np.load(databases.truth_folder(root) / f"{name}.npz") as arrays:
            points = arrays["landmarks"][0]
        assert np.ptp(points[:, 0]) > 0.4 * 320
        assert np.ptp(points[:, 1]) > 0.6 * 240
