import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from smilelab import comparison
from smilelab.comparison import ComparisonError


def predictions(probabilities, labels, subjects, **columns):
    ids = [f"c{i}" for i in range(len(labels))]
    table = pd.DataFrame({"clip_id": ids, "subject": subjects, "label": labels, "probability": probabilities})
    return table.assign(**columns)


def two_models(seed, subjects=15, each=6, gain=0.0):
    """Two models on the same samples; the errors of a subject belong together; the first is better by `gain`."""
    generator = np.random.default_rng(seed)
    labels, owners = generator.integers(0, 2, subjects * each), np.repeat([f"s{i}" for i in range(subjects)], each)
    hard = np.repeat(generator.normal(0, 0.5, (2, subjects)), each, axis=1)
    logits = (2 * labels - 1) * (0.6 + hard + np.array([[gain], [0.0]])) + generator.normal(0, 1, hard.shape)
    return tuple(predictions(1 / (1 + np.exp(-values)), labels, owners) for values in logits)


def test_by_hand():
    labels, subjects = [1, 1, 0, 0, 1, 0], list("aabbcc")
    first = predictions([0.9, 0.8, 0.1, 0.2, 0.3, 0.6], labels, subjects)
    second = predictions([0.9, 0.2, 0.7, 0.8, 0.9, 0.6], labels, subjects)
    found = comparison.compare(first, second)
    # Four of six are right against two: the first gains one in a and two in b, and loses one in c.
    assert (found.n, found.subjects) == (6, 3)
    assert found.accuracy == pytest.approx(4 / 6 - 2 / 6)
    assert (found.only_first, found.only_second) == (3, 1)
    # Signs of 1, 2, -1: sums at least 2 from zero are 1+2-1, 1+2+1, -1+2+1 and their opposites.
    assert found.p == pytest.approx(6 / 8)
    # Of four discordant ones three or more on one side: 2 (4 + 1) / 16.
    assert found.p_mcnemar == pytest.approx(10 / 16)
    areas = [roc_auc_score(labels, table["probability"]) for table in (first, second)]
    assert found.auc == pytest.approx(areas[0] - areas[1])


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_sign_flips_agree_with_scipys_exact_permutation_test(differences):
    values = np.array(differences, float)
    p = comparison.sign_flip(values)
    if len(values) == 1:
        assert p == 1.0
        return
    theirs = stats.permutation_test(
        (values, np.zeros(len(values))),
        lambda one, other, axis: np.abs((one - other).sum(axis)),
        permutation_type="samples",
        alternative="greater",
        vectorized=True,
        n_resamples=np.inf,
    )
    assert p == pytest.approx(theirs.pvalue)


def test_random_sign_flips_come_near_the_exact_ones(monkeypatch):
    values = np.random.default_rng(0).normal(0.4, 1, 16)
    exact = comparison.sign_flip(values)
    monkeypatch.setattr(comparison, "EXACT_SUBJECTS", 0)
    assert comparison.sign_flip(values, permutations=20_000) == pytest.approx(exact, abs=0.01)
    assert comparison.sign_flip(np.full(30, 1.0), permutations=999) == pytest.approx(1 / 1000)


@pytest.mark.parametrize("exact", [True, False])
def test_p_of_the_sign_flips_is_uniform_when_the_models_are_exchangeable(exact, monkeypatch):
    if not exact:
        monkeypatch.setattr(comparison, "EXACT_SUBJECTS", 0)
    ps = []
    for seed in range(200):
        first, second = two_models(seed)
        ps.append(comparison.compare(first, second, resamples=2, permutations=400).p)
    ps = np.array(ps)
    # Equal sums are counted as extreme, so that p is a little too large.
    for level in (0.05, 0.2, 0.5):
        assert level - 0.07 < np.mean(ps <= level) < level + 3 * np.sqrt(level * (1 - level) / len(ps))
    better = [comparison.compare(*two_models(seed, gain=1.5), resamples=2).p for seed in range(40)]
    assert np.median(better) < 0.01


def test_mcnemar_by_hand():
    assert comparison.mcnemar(0, 0) == 1.0
    assert comparison.mcnemar(1, 5) == pytest.approx(2 * (1 + 6) / 64)
    assert comparison.mcnemar(5, 1) == comparison.mcnemar(1, 5)
    assert comparison.mcnemar(10, 0) == pytest.approx(2 / 1024)


def test_corrected_t_without_overlap_is_the_plain_one_and_by_hand_with_it():
    values = np.array([0.03, -0.01, 0.05, 0.02, 0.04])
    plain = stats.ttest_1samp(values, 0)
    assert comparison.corrected_t(values, test_per_train=0.0) == pytest.approx((plain.statistic, plain.pvalue))
    # Mean .026, variance (.004^2 + .036^2 + .024^2 + .006^2 + .014^2) / 4 = .00053.
    t, p = comparison.corrected_t(values, test_per_train=10 / 68)
    assert t == pytest.approx(0.026 / np.sqrt((1 / 5 + 10 / 68) * 0.00053))
    assert p == pytest.approx(2 * stats.t.sf(t, 4))


def test_corrected_t_is_uniform_under_the_correlation_that_it_assumes():
    generator = np.random.default_rng(2)
    ratio = 0.25
    shared = ratio / (1 + ratio)
    folds = np.sqrt(shared) * generator.normal(size=(4000, 1)) + np.sqrt(1 - shared) * generator.normal(size=(4000, 5))
    corrected = [comparison.corrected_t(values, test_per_train=ratio)[1] for values in folds]
    assert stats.kstest(corrected, "uniform").pvalue > 0.01
    plain = [comparison.corrected_t(values, test_per_train=0.0)[1] for values in folds]
    assert np.mean(np.array(plain) < 0.05) > 0.1


def test_corrected_t_of_folds_that_do_not_differ():
    assert comparison.corrected_t(np.zeros(5), test_per_train=0.1) == (0.0, 1.0)


@pytest.mark.parametrize("values", [[0.1], [0.1, 0.1], [], np.array([0.9, 0.8, 0.7]) - np.array([0.8, 0.7, 0.6])])
def test_corrected_t_is_undefined_without_a_spread(values):
    assert np.isnan(comparison.corrected_t(np.array(values), test_per_train=0.1)).all()


def test_interval_agrees_with_a_plain_bootstrap_over_subjects():
    first, second = two_models(3, subjects=25, gain=0.8)
    found = comparison.compare(first, second, resamples=4000)
    generator = np.random.default_rng(0)
    rows = [np.flatnonzero(first["subject"] == name) for name in first["subject"].unique()]
    label = first["label"].to_numpy()
    scores = [table["probability"].to_numpy() for table in (first, second)]
    drawn = []
    for _ in range(500):
        at = np.concatenate([rows[i] for i in generator.integers(0, 25, 25)])
        accuracies = [np.mean((score[at] >= 0.5) == label[at]) for score in scores]
        areas = [roc_auc_score(label[at], score[at]) for score in scores]
        drawn.append((accuracies[0] - accuracies[1], areas[0] - areas[1]))
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    assert (found.accuracy_low, found.auc_low) == pytest.approx(tuple(low), abs=0.025)
    assert (found.accuracy_high, found.auc_high) == pytest.approx(tuple(high), abs=0.025)


def test_order_of_rows_does_not_matter_and_swapping_the_models_changes_the_sign():
    first, second = two_models(4, gain=0.5)
    found = comparison.compare(first, second)
    assert comparison.compare(first, second.sample(frac=1, random_state=1)) == found
    swapped = comparison.compare(second, first)
    assert (swapped.accuracy, swapped.p, swapped.auc) == pytest.approx((-found.accuracy, found.p, -found.auc))
    assert (swapped.accuracy_low, swapped.accuracy_high) == pytest.approx((-found.accuracy_high, -found.accuracy_low))
    assert (swapped.only_first, swapped.only_second) == (found.only_second, found.only_first)


def test_a_model_does_not_differ_from_itself():
    first, _ = two_models(5)
    found = comparison.compare(first, first)
    assert (found.accuracy, found.accuracy_low, found.accuracy_high, found.p, found.p_mcnemar) == (0, 0, 0, 1, 1)


def test_samples_predicted_in_several_folds_decide_once_by_their_mean():
    labels, subjects = [1, 0], ["a", "b"]
    first = pd.concat([predictions(p, labels, subjects, fold=f) for f, p in ((1, [0.9, 0.9]), (2, [0.2, 0.2]))])
    second = pd.concat([predictions([0.1, 0.1], labels, subjects, fold=f) for f in (1, 2)])
    found = comparison.compare(first, second)
    # Means are .55 and .55: right about the spontaneous one; the second is right about the posed one.
    assert (found.n, found.only_first, found.only_second) == (2, 1, 1)
    assert found.accuracy == pytest.approx(2 / 4 - 2 / 4)


def test_one_subject_gives_neither_interval_nor_p():
    labels = [1, 0, 1, 0, 1]
    first = predictions([0.9, 0.1, 0.9, 0.1, 0.9], labels, ["a"] * 5)
    found = comparison.compare(first, predictions([0.1, 0.1, 0.2, 0.9, 0.9], labels, ["a"] * 5))
    assert found.accuracy == pytest.approx(3 / 5)
    assert (found.only_first, found.only_second) == (3, 0)
    undefined = (found.accuracy_low, found.accuracy_high, found.auc_low, found.auc_high, found.p, found.p_mcnemar)
    assert np.isnan(undefined).all()


def test_windows_get_no_mcnemar():
    first, second = (table.assign(start=range(len(table)), clip_id="c") for table in two_models(6))
    assert np.isnan(comparison.compare(first, second).p_mcnemar)


def test_other_samples_labels_or_subjects_are_refused():
    first, second = two_models(7)
    with pytest.raises(ComparisonError, match="found 2 samples of the first model alone and 1 of the second alone"):
        comparison.compare(first.iloc[1:], pd.concat([second.iloc[[0]], second.iloc[3:]]))
    with pytest.raises(ComparisonError, match="clip_id c0: found another label"):
        comparison.compare(first, second.assign(label=1 - second["label"]))
    with pytest.raises(ComparisonError, match="found another subject"):
        comparison.compare(first, second.assign(subject="x"))
    with pytest.raises(ComparisonError, match="found predictions twice"):
        comparison.compare(pd.concat([first, first]), second)
    with pytest.raises(ComparisonError, match="found column 'fold' in the predictions of one model"):
        comparison.compare(first.assign(fold=1), second)


def test_in_common_keeps_what_both_have():
    first, second = (table.assign(fold=1, start=range(len(table))) for table in two_models(8))
    kept = comparison.in_common(first.iloc[2:].assign(extra=1), second.iloc[:-3].sample(frac=1, random_state=0))
    assert [len(table) for table in kept] == [len(first) - 5] * 2
    assert set(kept[0]["clip_id"]) == set(kept[1]["clip_id"]) == set(first["clip_id"].iloc[2:-3])
    assert comparison.compare(*kept).n == len(first) - 5
    assert comparison.in_common(first, second.assign(fold=2))[0].empty
