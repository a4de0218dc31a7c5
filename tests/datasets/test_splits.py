import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smilelab.datasets import splits


@st.composite
def indices(draw):
    subjects = draw(st.integers(2, 25))
    rows = []
    for subject in range(subjects):
        for clip in range(draw(st.integers(1, 4))):
            rows.append((f"{subject:03d}_{clip}", draw(st.integers(0, 1)), f"{subject:03d}"))
    return pd.DataFrame(rows, columns=["clip_id", "label", "subject"])


@settings(deadline=None, max_examples=40)
@given(indices(), st.integers(0, 3))
def test_seeded_folds_partition_clips_and_keep_subjects_together(index, seed):
    folds = splits.seeded(index, folds=10, seed=seed)
    tested = [clip_id for test in folds.tests for clip_id in test]
    assert sorted(tested) == sorted(index["clip_id"])
    subject_of = dict(zip(index["clip_id"], index["subject"], strict=True))
    per_fold = [{subject_of[clip_id] for clip_id in test} for test in folds.tests]
    assert sum(map(len, per_fold)) == index["subject"].nunique()


@settings(deadline=None, max_examples=60)
@given(indices(), st.floats(0.05, 0.9), st.integers(0, 5))
def test_held_out_subjects_are_disjoint_and_neither_side_is_empty(index, share, seed):
    train, held = splits.hold_out_subjects(index["label"], index["subject"], share=share, seed=seed)
    subjects = index["subject"].to_numpy()
    assert not set(subjects[train]) & set(subjects[held])
    assert len(train)
    assert len(held)
    assert sorted(np.concatenate([train, held])) == list(range(len(index)))


def test_held_out_share_keeps_the_kinds_of_subjects():
    both = [(label, f"b{i}") for i in range(20) for label in (0, 1)]
    only = [(1, f"o{i}") for i in range(20)]
    labels, subjects = zip(*both, *only, strict=True)
    _, held = splits.hold_out_subjects(labels, subjects, share=0.2, seed=0)
    taken = {subjects[i] for i in held}
    assert sum(name.startswith("b") for name in taken) == 4
    assert sum(name.startswith("o") for name in taken) == 4


def test_same_seed_same_split_other_seed_other_split():
    index = pd.DataFrame(
        {
            "clip_id": [f"c{i}" for i in range(60)],
            "label": [i % 2 for i in range(60)],
            "subject": [f"s{i // 2}" for i in range(60)],
        }
    )
    assert splits.seeded(index, seed=1) == splits.seeded(index, seed=1)
    assert splits.seeded(index, seed=1).tests != splits.seeded(index, seed=2).tests


def test_restricting_drops_clips_from_their_folds_only():
    folds = splits.Folds((("a", "b"), ("c",)), "x", official=True)
    assert folds.restricted(["a", "c"]).tests == (("a",), ("c",))


@pytest.mark.parametrize(("share", "labels"), [(0.0, [0, 1]), (1.0, [0, 1])])
def test_senseless_share_is_refused(share, labels):
    with pytest.raises(splits.SplitError):
        splits.hold_out_subjects(labels, ["a", "b"], share=share, seed=0)


def test_one_subject_cannot_be_split():
    with pytest.raises(splits.SplitError, match="at least two"):
        splits.hold_out_subjects([0, 1], ["a", "a"], share=0.5, seed=0)
    index = pd.DataFrame({"clip_id": ["a", "b"], "label": [0, 1], "subject": ["s", "s"]})
    with pytest.raises(splits.SplitError, match="at least two"):
        splits.seeded(index)
