import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from smilelab import metrics


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

    groups = [group for _, group in table.groupby("subject")]
    drawn = {"accuracy": [], "balanced_accuracy": [], "auc": []}
    for _ in range(1500):
        sample = pd.concat([groups[i] for i in generator.integers(0, 30, 30)])
        called = (sample["probability"] >= 0.5).astype(int)
        drawn["accuracy"].append(accuracy_score(sample["label"], called))
        drawn["balanced_accuracy"].append(balanced_accuracy_score(sample["label"], called))
        drawn["auc"].append(roc_auc_score(sample["label"], sample["probability"]))
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
    assert 0 <= summary.accuracy_low <= summary.accuracy_high <= 1
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
