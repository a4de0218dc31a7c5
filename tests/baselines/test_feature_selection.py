"""Selection by mutual information and by boosting, against scikit-learn and against numbers by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score
from sklearn.tree import DecisionTreeRegressor

from smilelab.baselines import gentle_boost, mrmr


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_mutual_information_is_scikit_learns(seed):
    generator = np.random.default_rng(seed)
    levels = generator.integers(0, 3, (25, 4))
    classes = generator.integers(0, 2, (25, 1))
    for other in (classes, levels):
        expected = [[mutual_info_score(a, b) for b in other.T] for a in levels.T]
        np.testing.assert_allclose(mrmr.mutual_information(levels, other), expected, atol=1e-12)


def test_levels_by_hand():
    # Mean 0, deviation 2: below -1, between, above 1. The last feature is the same throughout.
    x = np.array([[-3.0, 0.1], [-0.9, 0.1], [0.9, 0.1], [3.0, 0.1], [2.0, 0.1], [-2.0, 0.1]])
    x[:, 0] *= 2 / x[:, 0].std()
    assert mrmr.in_levels(x)[:, 0].tolist() == [0, 1, 1, 2, 2, 0]
    assert mrmr.in_levels(x)[:, 1].tolist() == [1] * 6


def test_a_copy_of_a_feature_comes_after_one_that_adds_something():
    generator = np.random.default_rng(0)
    y = np.repeat([0, 1], 300)
    best = 2 * y + 0.8 * generator.normal(size=600)
    other = y + 0.9 * generator.normal(size=600)
    noise = generator.normal(size=600)
    x = np.stack([noise, best, best * 7 + 1, other], 1)
    assert mrmr.rank(x, y, 4)[:2].tolist() == [1, 3]
    assert mrmr.rank(x, y, 10).tolist().count(2) == 1
    assert len(mrmr.rank(x, y, 3)) == 3


def test_greedy_order_by_the_definition():
    generator = np.random.default_rng(1)
    y = generator.integers(0, 2, 80)
    x = generator.normal(size=(80, 6)) + y[:, None] * np.arange(6) / 3
    levels = mrmr.in_levels(x)
    taken: list[int] = []
    while len(taken) < 6:
        gains = {
            k: mutual_info_score(levels[:, k], y)
            - np.mean([mutual_info_score(levels[:, k], levels[:, j]) for j in taken] or [0])
            for k in range(6)
            if k not in taken
        }
        taken.append(max(gains, key=gains.get))
    assert mrmr.rank(x, y, 6).tolist() == taken


@pytest.mark.parametrize("seed", range(5))
def test_the_best_stump_is_scikit_learns(seed):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(40, 5)).round(1)
    target = np.sign(x[:, seed % 5] + generator.normal(size=40))
    weights = generator.uniform(0.1, 1, 40)
    feature, threshold, below, above = gentle_boost.best_stump(x, target, weights)
    tree = DecisionTreeRegressor(max_depth=1).fit(x, target, sample_weight=weights)
    # Two features may split alike; the fit is then the same.
    np.testing.assert_allclose(np.where(x[:, feature] > threshold, above, below), tree.predict(x))


def test_boosting_by_hand():
    # The first feature is right in three of four and leaves the last row to the second one.
    x = np.array([[0.0, 0.0, 0.0], [0, 0, 1], [1, 0, 0], [0, 1, 1]])
    assert gentle_boost.rank(x, [0, 0, 1, 1], 3)[:2].tolist() == [0, 1]
    feature, threshold, below, above = gentle_boost.best_stump(x, np.array([-1.0, -1, 1, 1]), np.full(4, 0.25))
    assert (feature, threshold) == (0, 0.5)
    assert (below, above) == pytest.approx((-1 / 3, 1.0))


def test_boosting_passes_over_constants_and_ends_when_it_has_enough():
    generator = np.random.default_rng(0)
    y = np.repeat([0, 1], 50)
    x = np.concatenate([np.ones((100, 2)), generator.normal(size=(100, 30)) + 0.5 * y[:, None]], 1)
    found = gentle_boost.rank(x, y, 8)
    assert len(found) == len(set(found.tolist())) == 8
    assert not {0, 1} & set(found.tolist())
    assert gentle_boost.rank(np.ones((4, 3)), [0, 0, 1, 1], 2).tolist() == [0]
