"""Epochs counted by hand: who is drawn how often."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smilelab.sampling import batches, epoch_order

LABELS = np.array([1] * 30 + [0] * 6)
# Subject "a" has 28 clips of one class, "b" two; "c" and "d" share the other class four to two.
SUBJECTS = ["a"] * 28 + ["b"] * 2 + ["c"] * 4 + ["d"] * 2


def order(**options):
    return epoch_order(LABELS, torch.Generator().manual_seed(options.pop("seed", 0)), **options)


def test_all_clips_come_once():
    assert sorted(order().tolist()) == list(range(36))
    assert len(set(order(count=10).tolist())) == 10
    assert order().tolist() == torch.randperm(36, generator=torch.Generator().manual_seed(0)).tolist()
    assert order(seed=1).tolist() != order().tolist()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(2, 60), sampling=st.sampled_from(["classes", "subjects"]))
def test_classes_are_as_many(seed, count, sampling):
    drawn = LABELS[order(seed=seed, count=count, sampling=sampling, subjects=SUBJECTS).numpy()]
    assert len(drawn) == count
    assert abs(int((drawn == 1).sum()) - int((drawn == 0).sum())) <= 1


def test_subjects_are_as_many_however_many_clips_they_have():
    drawn = order(count=4000, sampling="subjects", subjects=SUBJECTS).tolist()
    share = {subject: times / 4000 for subject, times in Counter(SUBJECTS[i] for i in drawn).items()}
    assert share == pytest.approx(dict.fromkeys("abcd", 0.25), abs=0.03)
    by_clip = Counter(drawn)
    # Within a subject, every clip alike: b's two clips come as often together as a's twenty-eight.
    assert by_clip[28] + by_clip[29] == pytest.approx(1000, abs=120)
    assert max(by_clip[i] for i in range(28)) < 75


def test_some_clips_of_a_subject_come_together_and_alternate_between_classes():
    labels, subjects = np.array([0, 1] * 10), np.repeat(["a", "b", "c", "d", "e"], 4)
    drawn = epoch_order(
        labels, torch.Generator().manual_seed(0), sampling="subjects", count=40, subjects=subjects, together=4
    ).numpy()
    for four in drawn.reshape(10, 4):
        assert len(set(subjects[four])) == 1
        assert sorted(labels[four]) == [0, 0, 1, 1]


@pytest.mark.parametrize("together", [2, 3, 4])
def test_classes_stay_as_many_where_some_subjects_show_only_one(together):
    labels = np.array([0] * 50 + [0, 1] * 25)
    subjects = [f"posed{i % 10}" for i in range(50)] + [f"both{i // 5}" for i in range(50)]
    options = {"sampling": "subjects", "count": 3000, "subjects": subjects, "together": together}
    drawn = labels[epoch_order(labels, torch.Generator().manual_seed(0), **options).numpy()]
    assert drawn.mean() == pytest.approx(0.5, abs=0.03)


def test_what_cannot_be_drawn():
    with pytest.raises(ValueError, match="whose clip"):
        order(sampling="subjects")
    with pytest.raises(ValueError, match="no clip with label 0"):
        epoch_order(np.ones(3, int), torch.Generator(), sampling="classes")


def padded(cut, lengths):
    """Frames of the batches when each is as long as its longest clip."""
    return sum(len(batch) * int(lengths[batch].max()) for batch in cut)


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 70), min_size=1, max_size=90),
    size=st.integers(1, 9),
    bucket=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_bucketed_batches_hold_every_clip_once_and_lengths_that_are_closer(lengths, size, bucket, seed):
    lengths = np.array(lengths)
    whole = torch.randperm(len(lengths), generator=torch.Generator().manual_seed(seed))
    plain = batches(whole, size, torch.Generator())
    cut = batches(whole, size, torch.Generator().manual_seed(seed), bucket=bucket, lengths=lengths)
    assert sorted(torch.cat(cut).tolist()) == list(range(len(lengths)))
    assert [len(batch) for batch in cut] == [len(batch) for batch in plain]
    assert padded(cut, lengths) <= padded(plain, lengths)
    again = batches(whole, size, torch.Generator().manual_seed(seed), bucket=bucket, lengths=lengths)
    assert [batch.tolist() for batch in again] == [batch.tolist() for batch in cut]


def test_batches_of_a_bucket_counted_by_hand():
    lengths = np.array([9, 1, 8, 2, 7, 3, 5, 5, 5])
    cut = batches(torch.arange(9), 2, torch.Generator().manual_seed(0), bucket=2, lengths=lengths)
    # Of clips 0 to 3 (9, 1, 8, 2 frames) and of 4 to 7 (7, 3, 5, 5 frames), shortest first; clip 8 is left over.
    assert {tuple(batch.tolist()) for batch in cut[:4]} == {(1, 3), (2, 0), (5, 6), (7, 4)}
    assert cut[4].tolist() == [8]
    orders = {
        tuple(
            map(
                tuple,
                (
                    batch.tolist()
                    for batch in batches(
                        torch.arange(9), 2, torch.Generator().manual_seed(seed), bucket=2, lengths=lengths
                    )
                ),
            )
        )
        for seed in range(20)
    }
    assert len(orders) > 5


def test_smiles_of_realistic_lengths_share_batches_with_their_like():
    lengths = np.clip(np.random.default_rng(0).lognormal(np.log(18), 0.45, 310), 9, 71).astype(int)
    whole = torch.randperm(310, generator=torch.Generator().manual_seed(0))
    waste = [
        padded(batches(whole, 8, torch.Generator(), bucket=bucket, lengths=lengths), lengths) / lengths.sum() - 1
        for bucket in (0, 4, 16)
    ]
    assert waste[1] < waste[0] / 2
    assert waste[2] < waste[0] / 4


def test_without_buckets_nothing_is_drawn_and_nothing_moves():
    shuffler = torch.Generator().manual_seed(5)
    before = shuffler.get_state()
    cut = batches(torch.arange(10), 4, shuffler)
    assert [batch.tolist() for batch in cut] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert torch.equal(before, shuffler.get_state())


def test_buckets_need_lengths():
    with pytest.raises(ValueError, match="give the lengths"):
        batches(torch.arange(10), 4, torch.Generator(), bucket=2)
