"""BBC's published numbers and pairs."""

import numpy as np
import pytest

from smilelab.simulator import bbc

GENUINE = {"q01", "q05", "q06", "q08", "q10", "q11", "q15", "q16", "q17", "q19"}
PAIRS = [(20, 2), (14, 19), (10, 1), (8, 13), (15, 16), (17, 4), (11, 3), (9, 18), (6, 7), (5, 12)]


def test_full_size_has_the_published_numbers():
    roster = bbc.recruit(np.random.default_rng(0), 20, 20)
    assert [clip.clip_id for clip in roster] == [f"q{number:02d}" for number in range(1, 21)]
    assert {clip.clip_id for clip in roster if clip.label == 1} == GENUINE
    assert {bbc.path(clip) for clip in roster if clip.clip_id in ("q05", "q20")} == {
        "Genuine/smilecontent q05.mp4", "posed/smilecontent q20.mp4",
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("subjects", [2, 3, 6, 9, 14])
def test_fewer_subjects_keep_both_classes_and_spread_over_folds(subjects, seed):
    roster = bbc.recruit(np.random.default_rng(seed), subjects, subjects)
    spontaneous = sum(clip.label for clip in roster)
    assert len(roster) == subjects
    assert abs(2 * spontaneous - subjects) <= 1
    numbers = {clip.code for clip in roster}
    touched = sum(bool(numbers & set(pair)) for pair in PAIRS)
    assert touched >= min(subjects, 8), "of one class alone, eight pairs hold a clip at most"
