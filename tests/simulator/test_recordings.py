"""The roster and table of recordings, and how long each kind is."""

import numpy as np
import pandas as pd
import pytest

from smilelab.simulator import recordings
from smilelab.simulator.production import Production, Settings


def production(subjects=88, **options):
    settings = Settings("recordings", 0, subjects, 3 * subjects, **{"resolution": (1280, 720), **options})
    return Production(settings=settings, layout=recordings.LAYOUT)


def test_full_size_is_the_published_one(tmp_path):
    roster = production().roster()
    recordings.write_metadata(tmp_path, roster, production())
    table = pd.read_csv(tmp_path / "clips.csv")
    assert list(table.columns) == ["path", "label", "subject", "sex", "age", "kind"]
    assert table.groupby("kind")["label"].value_counts(dropna=False).to_dict() == {
        ("neutral", np.nan): 88, ("recording", "posed"): 88, ("recording", "spontaneous"): 88,
    }  # fmt: skip
    assert table["path"][:3].tolist() == ["S001_spontaneous.mp4", "S001_posed.mp4", "S001_neutral.mp4"]
    assert table["age"].between(20, 80).all()
    assert table.groupby("subject")[["sex", "age"]].nunique().eq(1).all(axis=None)
    assert [clip.clip_id for clip in roster[:3]] == ["S001_spontaneous", "S001_posed", "S001_neutral"]


def test_a_minute_of_film_a_few_commands_and_ten_seconds_of_nothing():
    made = production(30)
    drawn = {1: [], 0: [], -1: []}
    for clip in made.roster():
        drawn[clip.label].append(made.dynamics(clip))
        assert drawn[clip.label][-1].label == clip.label
    assert {len(d.times) for d in drawn[1]} == {1800}
    assert {len(d.times) for d in drawn[-1]} == {300}
    assert {len(d.smiles) for d in drawn[-1]} == {0}
    assert {len(d.smiles) for d in drawn[0]} <= {4, 5, 6}
    assert np.mean([len(d.smiles) for d in drawn[0]]) == pytest.approx(427 / 88, abs=0.4)
    assert min(len(d.smiles) for d in drawn[1]) >= 3
    for d in drawn[0]:
        assert 0.5 < len(d.times) / 30 - d.smiles[-1, 1] < 5.1, "it ends soon after the last smile"


def test_a_longest_length_shortens_all_three():
    made = production(4, max_length_s=6.0)
    for clip in made.roster():
        drawn = made.dynamics(clip)
        assert len(drawn.times) <= 180
        assert len(drawn.smiles) >= (clip.label >= 0)
