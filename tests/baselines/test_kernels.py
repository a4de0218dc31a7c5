"""Sums of kernels over groups of features, projections and forests, against scikit-learn."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.svm import SVC

from smilelab.baselines.forest import Forest
from smilelab.baselines.kernels import Candidate, KernelSum, Projection
from smilelab.baselines.machines import inner_folds


def clips(n=60, d=200, seed=0, shift=1.0):
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    x = generator.normal(size=(n, d)) * generator.uniform(0.5, 3, d) + 4
    x[:, :5] += shift * labels[:, None]
    return x, labels, np.repeat(np.arange(n // 2), 2)


def test_a_projection_keeps_distances_in_its_unit():
    x, _, _ = clips()
    found = Projection(100).fit(x, seed=0)
    inside = found.apply(x)
    assert inside.shape == (60, 59)
    apart = ((inside[:, None] - inside[None]) ** 2).sum(-1)
    assert apart.sum() / (60 * 60) == pytest.approx(2)
    centred = x - x.mean(0)
    np.testing.assert_allclose(apart, ((x[:, None] - x[None]) ** 2).sum(-1) / (centred**2).sum(1).mean(), atol=1e-4)


def test_standardised_features_have_a_say_whatever_their_unit():
    x, _, _ = clips(d=6)
    wanted = Projection(6, standardise=True).fit(x, seed=0).apply(x)
    metres = Projection(6, standardise=True).fit(x * [1, 1000, 1, 1, 0.001, 1], seed=0)
    np.testing.assert_allclose(metres.apply(x * [1, 1000, 1, 1, 0.001, 1]), wanted, atol=1e-5)
    constant = Projection(3, standardise=True).fit(np.ones((4, 3)), seed=0)
    assert not constant.apply(np.ones((2, 3))).any()


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_one_group_gives_scikit_learns_decisions(kernel):
    x, y, _ = clips()
    new = clips(seed=1)[0]
    machine = KernelSum(components=100).fit([x], y, Candidate(kernel, 2.0, 0.5, "equal"), seed=0)
    power = ((x - x.mean(0)) ** 2).sum(1).mean()
    # Only what lies in the space that the training clips span is kept.
    axes = np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:59]
    peer = SVC(kernel=kernel, C=2.0, gamma=0.25).fit((x - x.mean(0)) @ axes.T / np.sqrt(power), y)
    wanted = peer.decision_function((new - x.mean(0)) @ axes.T / np.sqrt(power))
    np.testing.assert_allclose(machine.decide([new]), wanted, atol=1e-3)


def test_weights_follow_what_goes_with_the_classes():
    x, y, _ = clips(shift=6.0)
    told, noise, constant = x[:, :5], x[:, 5:], np.ones((len(y), 3))
    machine = KernelSum(weightings=("aligned",)).fit(
        [told, noise, constant], y, Candidate("linear", 1, 1, "aligned"), seed=0
    )
    weights = machine.state()["weights"]
    assert weights.sum() == pytest.approx(1)
    assert weights[0] > 0.8
    assert weights[2] == 0
    # By hand, for the first: the inner product of two centred matrices over their norms, and the same for the second.
    signs = np.where(y == 1, 1.0, -1.0)
    by_hand = []
    for group in (told, noise):
        inside = Projection(48).fit(group, seed=0).apply(group)
        inside -= inside.mean(0)
        ideal = np.outer(signs, signs)
        by_hand.append((inside @ inside.T * ideal).sum() / np.linalg.norm(inside @ inside.T) / np.linalg.norm(ideal))
    assert weights[0] / weights[1] == pytest.approx(by_hand[0] / by_hand[1], rel=1e-6)


def test_what_holds_for_other_subjects_is_chosen():
    x, y, subjects = clips(n=80, shift=5.0)
    folds = inner_folds(y, subjects, count=4, seed=0)
    machine = KernelSum(costs=(1.0,), widths=(1.0,), kernels=("rbf",))
    choice = machine.choose([lambda _: [x[:, 5:]], lambda _: [x[:, :5]]], y, folds, seed=0)
    assert choice.variant == 1
    assert choice.correct > 70
    seen = []
    machine.choose([lambda rows: seen.append(rows) or [x], lambda _: [x]], y, folds, seed=0)
    assert [set(rows) for rows in seen] == [set(train) for train, _ in folds]
    assert machine.choose([lambda _: [x], lambda _: [x]], y, [], seed=0) == (0, machine.candidates[0], 0)


def test_a_state_gives_the_same_decisions():
    x, y, _ = clips()
    groups = [x[:, :50], x[:, 50:]]
    machine = KernelSum(weightings=("equal", "aligned")).fit(groups, y, Candidate("rbf", 1.0, 1.0, "aligned"), seed=3)
    again = KernelSum(weightings=("equal", "aligned"))
    again.load_state(machine.state("svm."), "svm.")
    np.testing.assert_array_equal(again.decide(groups), machine.decide(groups))


def test_what_cannot_be_is_refused():
    x, _, _ = clips()
    with pytest.raises(ValueError, match="one class"):
        KernelSum().fit([x], np.ones(60, int), Candidate("rbf", 1, 1, "equal"), seed=0)
    with pytest.raises(ValueError, match="call fit first"):
        KernelSum().decide([x])
    with pytest.raises(ValueError, match="found 'sigmoid'; expected one of rbf, linear"):
        KernelSum(kernels=("sigmoid",))
    with pytest.raises(ValueError, match="no candidate"):
        KernelSum(costs=())


def test_a_forest_from_arrays_is_scikit_learns():
    x, y, _ = clips()
    new = clips(seed=1)[0]
    forest = Forest(trees=40).fit(x, y, seed=7)
    peer = RandomForestClassifier(40, min_samples_leaf=2, random_state=7).fit(x.astype(np.float32), y)
    np.testing.assert_allclose(forest.share(new), peer.predict_proba(new.astype(np.float32))[:, 1], atol=1e-12)
    again = Forest(trees=40)
    again.load_state(forest.state("forest."), "forest.")
    np.testing.assert_array_equal(again.decide(new), forest.decide(new))
    inside = forest.share(new)
    np.testing.assert_array_equal(forest.decide(new) > 0, inside > 0.5)
    np.testing.assert_allclose(1 / (1 + np.exp(-forest.decide(new))), inside.clip(1e-3, 1 - 1e-3))
