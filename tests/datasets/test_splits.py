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


def table(*rows):
    return pd.DataFrame(rows, columns=["clip_id", "label", "subject"])


ABC = table(("a1", 0, "a"), ("a2", 1, "a"), ("b1", 1, "b"), ("c1", 0, "c"), ("c0", splits.NEUTRAL, "c"))


def test_published_groups_become_folds_without_neutral_rows():
    folds = splits.by_subjects(ABC, [["a"], ["b", "c"]], "some page")
    assert folds.tests == (("a1", "a2"), ("b1", "c1"))
    assert folds.official
    assert folds.source == "some page"
    assert splits.seeded(ABC).restricted(["c0"]).tests == ((), (), ())


def test_groups_without_a_clip_are_dropped_and_the_source_says_so():
    folds = splits.by_subjects(ABC, [["a"], ["x"], ["b"], ["c", "y"]], "some page")
    assert folds.tests == (("a1", "a2"), ("b1",), ("c1",))
    assert not folds.official
    assert folds.source == "some page, without 1 of 4 of which there is no clip"


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([["a", "b"], ["b", "c"]], "subject b is in 2 folds"),
        ([["a"], ["c"]], "no fold names subject b"),
        ([["a", "b", "c"], ["x"]], "clips of 1 fold"),
    ],
)
def test_groups_that_are_no_folds_of_the_index_are_refused(groups, message):
    with pytest.raises(splits.SplitError, match=f"some page: .*{message}"):
        splits.by_subjects(ABC, groups, "some page")


def people(count):
    return table(*((f"{i:03d}_{label}", label, f"{i:03d}") for i in range(count) for label in (0, 1, -1)))


def test_partition_of_88_subjects_is_lees():
    drawn = splits.partition(people(88), seed=4)
    assert [len(part) for part in (drawn.train, drawn.validation, drawn.test)] == [68, 10, 10]
    assert splits.partition(people(88), seed=4) == drawn
    assert splits.partition(people(88), seed=5).test != drawn.test
    shuffled = people(88).sample(frac=1, random_state=0)
    assert splits.partition(shuffled, seed=4) == drawn


@settings(deadline=None, max_examples=40)
@given(st.integers(3, 200), st.integers(0, 3))
def test_partitions_cover_the_subjects_once(count, seed):
    drawn = splits.partition(people(count), seed=seed)
    assert sorted(drawn.train + drawn.validation + drawn.test) == sorted(f"{i:03d}" for i in range(count))
    assert all((drawn.train, drawn.validation, drawn.test))
    folds = splits.five_fold(people(count), seed=seed)
    assert {fold.test for fold in folds} == {drawn.test}
    held = [subject for fold in folds for subject in fold.validation]
    assert len(held) == len(set(held))
    for fold in folds:
        assert sorted(fold.train + fold.validation) == sorted(drawn.train + drawn.validation)
        assert all((fold.train, fold.validation))


def test_five_folds_of_78_have_10_validation_subjects_each():
    folds = splits.five_fold(people(88), seed=0)
    assert [(len(fold.train), len(fold.validation), len(fold.test)) for fold in folds] == [(68, 10, 10)] * 5
    assert splits.five_fold(people(88), seed=1)[0].validation != folds[0].validation


def test_neutral_rows_bring_no_subject_into_a_partition():
    index = pd.concat([people(10), table(("x", splits.NEUTRAL, "x"))])
    assert splits.partition(index) == splits.partition(people(10))


def test_too_few_subjects_for_a_partition():
    with pytest.raises(splits.SplitError, match=r"found 2 subject\(s\), expected at least 3"):
        splits.partition(people(2))
    with pytest.raises(splits.SplitError, match="subject a is in two parts"):
        splits.Partition(("a", "b"), ("c",), ("a",))
