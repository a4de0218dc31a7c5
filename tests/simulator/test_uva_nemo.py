"""UvA-NEMO's roster at every size, and that what a seed once gave it gives for ever."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from simulated import details, folds

from smilelab import datasets
from smilelab.simulator import uva_nemo
from smilelab.simulator.production import Production, Settings


@pytest.fixture(scope="module")
def full_size(tmp_path_factory):
    """Everything but the pictures, at full size."""
    root = tmp_path_factory.mktemp("full") / "uva"
    root.mkdir()
    roster = uva_nemo.recruit(np.random.default_rng(3), *uva_nemo.COUNTS.scaled(None, None))
    uva_nemo.write_metadata(root, roster, 3)
    return root


def test_counts_are_the_published_ones(full_size):
    rows = pd.DataFrame(details(full_size), columns=["file", "subject", "sex", "age", "kind"])
    people = rows.drop_duplicates("subject")
    assert rows["kind"].value_counts().to_dict() == {"deliberate": 643, "spontaneous": 597}
    assert rows.groupby("kind")["subject"].nunique().to_dict() == {"deliberate": 368, "spontaneous": 357}
    assert people["sex"].value_counts().to_dict() == {"male": 215, "female": 185}
    assert (people["age"].astype(int) < 18).sum() == 149
    codes = people["subject"].astype(int)
    assert codes.is_monotonic_increasing
    assert codes.max() <= 564
    assert codes.diff().max() > 1, "subject codes have gaps"
    assert rows["file"].is_unique
    numbers = rows["file"].str.extract(r"_(\d+)\.mp4")[0].astype(int)
    assert numbers.max() <= 22
    assert not pd.DataFrame({"subject": rows["subject"], "number": numbers}).duplicated().any()


def test_full_size_passes_the_reader_that_asserts_the_published_counts(full_size):
    database = datasets.open("uva-nemo", full_size, strict=True, require_videos=False)
    assert database.counts()["clips"] == 1240


def test_full_size_folds_are_balanced(full_size):
    tests, _ = folds(full_size)
    assert len(tests) == 10
    assert sum(map(len, tests)) == 1240
    assert all(114 <= len(test) <= 134 for test in tests)
    assert all(0.44 < np.mean(list(test.values())) < 0.53 for test in tests)


@pytest.mark.parametrize(("subjects", "clips"), [(2, None), (2, 2), (3, 4), (17, None), (10, 220), (None, 30)])
def test_every_size_keeps_its_numbers(subjects, clips):
    wanted = uva_nemo.COUNTS.scaled(subjects, clips)
    roster = uva_nemo.recruit(np.random.default_rng(5), *wanted)
    assert (len({clip.subject for clip in roster}), len(roster)) == wanted
    assert {clip.label for clip in roster} == {0, 1}
    assert len({clip.clip_id for clip in roster}) == len(roster)
    if subjects and clips is None:
        assert len(roster) == round(3.1 * subjects)


def test_a_seed_gives_what_it_always_gave(tmp_path):
    """Written down once, so that clips which were preprocessed and trained on can be made again."""
    settings = Settings("uva-nemo", 0, 3, 6, (192, 192), max_length_s=1.0)
    production = Production(settings=settings, layout=uva_nemo.LAYOUT)
    roster = production.roster()
    assert {clip.clip_id: production.seed(2, clip.code, clip.number, 0) for clip in roster} == {
        "163_deliberate_smile_2": 4589866601390754006,
        "163_spontaneous_smile_3": 17895884262341769102,
        "343_deliberate_smile_1": 13902017519615274577,
        "343_spontaneous_smile_3": 17435376266258921888,
        "564_deliberate_smile_2": 9238995401919150318,
        "564_spontaneous_smile_3": 8393464612455283456,
    }
    uva_nemo.write_metadata(tmp_path, roster, 0)
    found = [hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in sorted(tmp_path.glob("*.txt"))]
    assert found == ["e0e2c3d9db7a408a", "cbaa021fd724b7c1"]
    view, drawn = production.view(roster[0]), production.dynamics(roster[0])
    assert (view.iod_px, view.scene.gain, view.identity.chin) == pytest.approx((36.4806759, 1.0398023, 1.7655523))
    assert drawn.action_units[25] == pytest.approx(
        [1.9503949, 2.5566571, 2.4248097, 3.2105303, 2.6760714, 0.2031534, 0.0], rel=1e-5
    )
    assert drawn.pose[25] == pytest.approx(
        [0.0224512, 0.0182819, -0.0026819, -0.0158542, -0.0118826, 1.0006417], rel=1e-4
    )
    (phase,) = drawn.phases
    assert (phase.onset_s, phase.apex_s, phase.offset_s, phase.end_s) == pytest.approx(
        (0.1270164, 0.4592538, 0.6866185, 1.0), rel=1e-5
    )
