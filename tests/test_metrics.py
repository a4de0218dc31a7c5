import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, precision_score, recall_score, roc_auc_score

from smilelab import metrics, resampling
from smilelab.artifacts import numbers

SHARES = ("accuracy", "balanced_accuracy", "auc")


def frame(labels, probabilities, subjects=None):
    subjects = subjects if subjects is not None else [f"s{i}" for i in range(len(labels))]
    ids = [f"c{i}" for i in range(len(labels))]
    return pd.DataFrame({"clip_id": ids, "subject": subjects, "label": labels, "probability": probabilities})


def test_agrees_with_scikit_learn():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 200)
    probabilities = np.round(np.clip(0.3 * labels + generator.uniform(0, 0.7, 200), 0, 1), 2)
    summary = metrics.summarize(frame(labels, probabilities))
    called = (probabilities >= 0.5).astype(int)
    assert summary.accuracy == pytest.approx(accuracy_score(labels, called))
    assert summary.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, called))
    assert summary.auc == pytest.approx(roc_auc_score(labels, probabilities))
    assert summary.majority == pytest.approx(max(labels.mean(), 1 - labels.mean()))


def test_hand_computed_five_clips():
    summary = metrics.summarize(frame([1, 1, 0, 0, 0], [0.9, 0.4, 0.5, 0.1, 0.2]))
    assert summary.accuracy == pytest.approx(3 / 5)
    assert summary.balanced_accuracy == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert summary.auc == pytest.approx(5 / 6)
    assert summary.majority == pytest.approx(3 / 5)


def test_threshold_includes_one_half_as_in_equation_1():
    assert metrics.summarize(frame([1], [0.5])).accuracy == 1.0


def test_interval_agrees_with_a_plain_bootstrap_over_subjects():
    generator = np.random.default_rng(3)
    subjects = np.repeat([f"s{i}" for i in range(30)], 4)
    labels = generator.integers(0, 2, 120)
    skill = np.repeat(generator.uniform(-0.2, 0.5, 30), 4)
    probabilities = np.clip(0.5 + (labels - 0.5) * skill + generator.normal(0, 0.2, 120), 0, 1)
    table = frame(labels, probabilities, subjects)
    summary = metrics.summarize(table, resamples=4000)

    rows = [np.flatnonzero(subjects == name) for name in np.unique(subjects)]
    drawn = {"accuracy": [], "balanced_accuracy": [], "auc": []}
    for _ in range(1500):
        at = np.concatenate([rows[i] for i in generator.integers(0, 30, 30)])
        right = (probabilities[at] >= 0.5) == labels[at]
        drawn["accuracy"].append(right.mean())
        drawn["balanced_accuracy"].append(np.mean([right[labels[at] == value].mean() for value in (0, 1)]))
        drawn["auc"].append(roc_auc_score(labels[at], probabilities[at]))
    for name, values in drawn.items():
        low, high = np.percentile(values, (2.5, 97.5))
        assert getattr(summary, f"{name}_low") == pytest.approx(low, abs=0.015)
        assert getattr(summary, f"{name}_high") == pytest.approx(high, abs=0.015)


def test_interval_is_wider_when_clips_cluster_in_few_subjects():
    labels = np.tile([0, 1], 60)
    right = np.repeat(np.arange(12) % 3 > 0, 10)
    probabilities = np.where(right, labels, 1 - labels).astype(float)
    clustered = metrics.summarize(frame(labels, probabilities, np.repeat([f"s{i}" for i in range(12)], 10)))
    apart = metrics.summarize(frame(labels, probabilities))
    assert clustered.accuracy == apart.accuracy
    assert clustered.accuracy_high - clustered.accuracy_low > 1.5 * (apart.accuracy_high - apart.accuracy_low)


def test_one_subject_has_no_interval():
    summary = metrics.summarize(frame([1, 0, 1, 0], [0.9, 0.1, 0.2, 0.3], ["a"] * 4))
    assert (summary.accuracy, summary.balanced_accuracy, summary.auc) == (0.75, 0.75, 0.75)
    ends = [getattr(summary, f"{name}_{end}") for name in SHARES for end in ("low", "high")]
    assert np.isnan(ends).all()


def test_what_is_from_one_subject_alone_has_no_interval_whoever_else_is_there():
    # Only a poses: the posed recall, and the precision of the calls, are hers; accuracy is of all three.
    table = frame([0, 0, 1, 1], [0.1, 0.9, 0.9, 0.9], ["a", "a", "b", "c"])
    found, posed = metrics.summarize(table), metrics.precision_recall(table, positive=0)
    assert found.accuracy_low < found.accuracy < found.accuracy_high
    assert (found.balanced_accuracy, posed.recall, posed.precision) == (0.75, 0.5, 1.0)
    assert np.isnan([found.balanced_accuracy_low, posed.recall_low, posed.precision_high]).all()
    pair = metrics.summarize(frame([1, 0], [0.9, 0.1]))
    assert pair.auc == 1
    assert np.isnan([pair.auc_low, pair.auc_high]).all()


def test_intervals_over_few_subjects_are_too_narrow_and_from_ten_on_hardly():
    generator = np.random.default_rng(0)
    truth, clips, rounds = 0.7, 6, 300
    covered = {}
    for count in (2, 3, 5, 10, 15):
        hits = []
        for seed in range(rounds):
            skill = generator.beta(4 * truth, 4 * (1 - truth), count)
            right = (generator.random((count, clips)) < skill[:, None]).ravel().astype(float)
            resampled = resampling.Resampled(pd.Series(np.repeat(np.arange(count), clips)), resamples=400, seed=seed)
            found = resampling.interval(resampled.shares(right, np.ones(len(right))))
            hits.append(found.low <= truth <= found.high)
        covered[count] = np.mean(hits)
    assert covered[2] < 0.6
    assert covered[3] < 0.8
    assert covered[5] < 0.9
    assert min(covered[10], covered[15]) > 0.86
    assert numbers.FEW_SUBJECTS == 10


def test_few_subjects_are_told():
    assert numbers.about_few_subjects([10, 400]) == []
    assert "here 7, are too narrow" in numbers.about_few_subjects([7, 12])[0]
    both = numbers.about_few_subjects([1, 2, 9, 30])
    assert "here 2 to 9," in both[0]
    assert both[1].startswith("One subject says nothing about others")
    assert len(both) == 2


def test_repeated_trials_count_a_clip_once():
    once = frame([1, 0, 1], [0.9, 0.2, 0.4])
    summary = metrics.summarize(pd.concat([once, once]))
    assert summary.n == 3
    assert summary.spontaneous == 2


def test_one_class_leaves_auc_undefined():
    assert np.isnan(metrics.summarize(frame([1, 1], [0.7, 0.2])).auc)


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [([1, 0], [np.nan, 0.5], "NaN"), ([2, 0], [0.1, 0.5], "labels"), ([], [], "no predictions")],
)
def test_unscorable_predictions_are_refused(labels, probabilities, message):
    with pytest.raises(metrics.MetricError, match=message):
        metrics.summarize(frame(labels, probabilities))


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1), st.integers(0, 5)), min_size=1, max_size=40))
def test_accuracy_lies_in_its_interval_and_swapping_classes_mirrors_auc(rows):
    labels, probabilities, subjects = (list(column) for column in zip(*rows, strict=True))
    summary = metrics.summarize(frame(labels, probabilities, [str(s) for s in subjects]), resamples=200)
    if len(set(subjects)) > 1:
        assert 0 <= summary.accuracy_low <= summary.accuracy_high <= 1
    else:
        assert np.isnan([summary.accuracy_low, summary.accuracy_high]).all()
    assert 0.5 <= summary.majority <= 1
    if 0 < sum(labels) < len(labels):
        mirrored = metrics.auc(1 - np.array(labels), np.array(probabilities))
        assert summary.auc == pytest.approx(1 - mirrored)


def test_auc_compares_clips_of_one_model_only():
    first = frame([1, 0], [0.9, 0.8]).assign(fold=1, seed=0)
    second = frame([1, 0], [0.2, 0.1], ["t0", "t1"]).assign(fold=2, seed=0, clip_id=["d0", "d1"])
    both = pd.concat([first, second])
    assert metrics.summarize(both).auc == 1.0
    assert metrics.summarize(both.drop(columns=["fold", "seed"])).auc == 0.75


def test_a_missing_subject_is_refused():
    with pytest.raises(metrics.MetricError, match="without a subject"):
        metrics.summarize(frame([1, 0], [0.5, 0.5], ["a", None]))


def windows(rows):
    """Predicted windows from (clip_id, subject, label, probability); starts count up within a clip."""
    table = pd.DataFrame(rows, columns=["clip_id", "subject", "label", "probability"])
    return table.assign(start=table.groupby("clip_id").cumcount())


@pytest.mark.parametrize("seed", range(6))
def test_wins_between_subjects_are_those_of_all_pairs(seed):
    generator = np.random.default_rng(seed)
    n = 300
    table = frame(
        generator.integers(0, 2, n), generator.integers(0, 12, n) / 11, generator.integers(0, 7, n).astype(str)
    )
    table = table.assign(fold=generator.integers(1, 4, n), seed=generator.integers(0, 2, n))
    resampled = resampling.Resampled(table["subject"])
    wins, pairs = resampling.compared_between_subjects(table, resampled)
    by_hand = np.zeros((2, resampled.count, resampled.count))
    for _, model in table.groupby(["fold", "seed"]):
        one, other = model[model["label"] == 1], model[model["label"] == 0]
        higher = np.sign(np.subtract.outer(one["probability"].to_numpy(), other["probability"].to_numpy())) / 2 + 0.5
        at = np.ix_(resampled.codes[one.index], resampled.codes[other.index])
        np.add.at(by_hand, (0, *at), higher)
        np.add.at(by_hand, (1, *at), 1.0)
    assert np.array_equal(np.stack([wins, pairs]), by_hand)


def test_windows_are_the_samples_where_there_are_any():
    table = windows([("c0", "a", 1, 0.9)] * 3 + [("c1", "b", 0, 0.2)])
    summary = metrics.summarize(pd.concat([table.assign(fold=1), table.assign(fold=2)]))
    assert (summary.n, summary.spontaneous, summary.subjects) == (4, 3, 2)
    assert summary.majority == 0.75


def test_precision_and_recall_of_either_class_agree_with_scikit_learn():
    generator = np.random.default_rng(4)
    labels, probabilities = generator.integers(0, 2, 150), generator.uniform(0, 1, 150)
    called = (probabilities >= 0.5).astype(int)
    for positive in (0, 1):
        found = metrics.precision_recall(frame(labels, probabilities), positive=positive)
        assert found.positive == positive
        assert found.precision == pytest.approx(precision_score(labels, called, pos_label=positive))
        assert found.recall == pytest.approx(recall_score(labels, called, pos_label=positive))


def test_precision_and_recall_by_hand_with_posed_positive():
    # Called posed: three, of which two are; posed are four.
    found = metrics.precision_recall(frame([0, 0, 0, 0, 1, 1], [0.1, 0.4, 0.5, 0.9, 0.3, 0.7]), positive=0)
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == pytest.approx(2 / 4)


def test_precision_is_undefined_where_nothing_is_called_so_and_recall_where_nothing_is():
    nothing_called = metrics.precision_recall(frame([0, 0, 1], [0.9, 0.7, 0.8]), positive=0)
    assert np.isnan([nothing_called.precision, nothing_called.precision_low]).all()
    assert nothing_called.recall == nothing_called.recall_high == 0
    nothing_there = metrics.precision_recall(frame([1, 1], [0.2, 0.8]), positive=0)
    assert nothing_there.precision == 0
    assert np.isnan([nothing_there.recall, nothing_there.recall_low]).all()


def test_intervals_of_precision_and_recall_agree_with_a_plain_bootstrap_over_subjects():
    generator = np.random.default_rng(5)
    labels = generator.integers(0, 2, 160)
    probabilities = np.clip(0.3 * labels + generator.uniform(0, 0.7, 160), 0, 1)
    table = frame(labels, probabilities, np.repeat([f"s{i}" for i in range(20)], 8))
    found = metrics.precision_recall(table, positive=0, resamples=4000)
    rows = [np.flatnonzero(table["subject"] == name) for name in table["subject"].unique()]
    posed, called = labels == 0, probabilities < 0.5
    drawn = []
    for _ in range(4000):
        at = np.concatenate([rows[i] for i in generator.integers(0, 20, 20)])
        right = np.sum(posed[at] & called[at])
        drawn.append((right / called[at].sum(), right / posed[at].sum()))
    for name, values in zip(("precision", "recall"), np.transpose(drawn), strict=True):
        low, high = np.percentile(values, (2.5, 97.5))
        assert getattr(found, f"{name}_low") == pytest.approx(low, abs=0.01)
        assert getattr(found, f"{name}_high") == pytest.approx(high, abs=0.01)


def test_auc_is_the_same_number_with_posed_as_the_positive_class():
    generator = np.random.default_rng(6)
    labels, sixteenths = generator.integers(0, 2, 80), generator.integers(0, 17, 80)
    subjects = generator.integers(0, 9, 80).astype(str)
    one = metrics.summarize(frame(labels, sixteenths / 16, subjects))
    other = metrics.summarize(frame(1 - labels, 1 - sixteenths / 16, subjects))
    assert one.auc == other.auc == pytest.approx(roc_auc_score(1 - labels, -sixteenths))
    assert (one.auc_low, one.auc_high) == pytest.approx((other.auc_low, other.auc_high))


def test_moments_and_subjects_have_the_mean_of_their_windows():
    table = windows(
        [
            ("c0", "a", 1, 0.9),
            ("c0", "a", 1, 0.7),
            ("c1", "a", 1, 0.2),
            ("c2", "a", 0, 0.4),
            ("c3", "b", 0, 0.1),
            ("c3", "b", 0, 0.3),
        ]
    )
    both = pd.concat([table.assign(part="test", fold=1), table.assign(part="test", fold=2, probability=0.5)])
    moments = metrics.of_moments(both)
    assert list(moments["clip_id"]) == ["c0", "c1", "c2", "c3"] * 2
    assert list(moments["fold"]) == [1] * 4 + [2] * 4
    assert list(moments["windows"]) == [2, 1, 1, 2] * 2
    assert moments["probability"].to_numpy() == pytest.approx([0.8, 0.2, 0.4, 0.2, *[0.5] * 4])
    subjects = metrics.of_subjects(both)
    assert list(subjects["clip_id"]) == ["a, spontaneous", "a, posed", "b, posed"] * 2
    assert subjects["probability"].to_numpy() == pytest.approx([0.6, 0.4, 0.2, *[0.5] * 3])
    assert metrics.summarize(subjects).n == 3


def test_parts_and_trials_are_not_mixed_in_a_moment():
    table = windows([("c0", "a", 1, 0.9)])
    apart = pd.concat(
        [
            table.assign(part=part, fold=1, seed=seed, probability=value)
            for part, seed, value in (("test", 0, 0.1), ("test", 1, 0.2), ("validation", 0, 0.3))
        ]
    )
    assert list(metrics.of_moments(apart)["probability"]) == [0.1, 0.2, 0.3]


def test_a_moment_of_two_labels_is_refused():
    with pytest.raises(metrics.MetricError, match="c0: found several labels"):
        metrics.of_moments(windows([("c0", "a", 1, 0.9), ("c0", "a", 0, 0.9)]))
