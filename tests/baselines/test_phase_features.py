"""The 25 statistics against numbers worked out by hand."""

import numpy as np
import pytest

from smilelab.baselines.phase_features import NAMES, STATISTICS, describe, statistics
from smilelab.signals import Phases


def test_every_statistic_by_hand():
    # Mean of the sides: 0, 2, 5, 4, 4, at ten samples a second. Steps: 2, 3, -1, 0.
    both = np.array([[0, 2, 6, 4, 4], [0, 2, 4, 4, 4.0]])
    # Speed, central inside and one-sided at the ends: 20, 25, 10, -5, 0; acceleration: 50, -50, -150, -50, 50.
    expected = {
        **{"duration of rises": 0.2, "duration of falls": 0.1, "duration": 0.5},
        **{"share of rises": 2 / 5, "share of falls": 1 / 5},
        **{"largest amplitude": 5, "mean amplitude": 3, "mean rise": 2.5, "mean fall": 1, "variation": np.sqrt(16 / 5)},
        **{
            "sum of rises": 5,
            "sum of falls": 1,
            "net rise": 4,
            "rises of all moved": 5 / 6,
            "falls of all moved": 1 / 6,
        },
        **{"largest speed up": 25, "largest speed down": 5, "mean speed up": 55 / 3, "mean speed down": 5},
        **{"largest acceleration up": 50, "largest acceleration down": 150},
        **{"mean acceleration up": 50, "mean acceleration down": 250 / 3},
        **{"net rise a second": 4 * 10 / 5, "difference of the sides": 2 / 5},
    }
    found = dict(zip(NAMES, describe(both, np.arange(5) / 10), strict=True))
    assert found == pytest.approx(expected)


def test_too_short_a_phase_and_one_without_movement():
    assert not describe([[1.0], [1.0]], [0.0]).any()
    assert not describe(np.empty((2, 0)), []).any()
    still = dict(zip(NAMES, describe(np.ones((2, 4)), np.arange(4) / 10), strict=True))
    assert {name for name, value in still.items() if value} == {"duration", "largest amplitude", "mean amplitude"}


def ramps(seconds=1.0, size=1.0):
    """A smile that rises by a tenth a frame for ten frames, is held for ten, and falls as fast."""
    curve = size * np.concatenate(
        [np.zeros(5), np.arange(11) / 10, np.ones(9), np.arange(10, -1, -1) / 10, np.zeros(5)]
    )
    times = seconds * np.arange(len(curve)) / 10
    return np.stack([np.stack([0.9 * curve, 1.1 * curve])] * 3), times


def test_statistics_of_ramps_by_phase():
    found = statistics(*ramps()).reshape(3, 3, STATISTICS)
    np.testing.assert_array_equal(found[0], found[1])
    onset, apex, offset = (dict(zip(NAMES, row, strict=True)) for row in found[0])
    # The smoothing may move the ends of a phase by a frame or two, where nothing rises.
    assert onset["duration of rises"] == pytest.approx(1.0)
    assert onset["duration of falls"] == onset["sum of falls"] == 0
    assert 1.1 - 1e-9 <= onset["duration"] <= 1.5
    assert (onset["net rise"], onset["largest speed up"]) == pytest.approx((1.0, 1.0))
    assert offset["net rise"] == pytest.approx(-1.0)
    assert offset["largest speed down"] == pytest.approx(1.0)
    assert apex["variation"] == pytest.approx(0, abs=0.1)
    # The left side is a fifth of the mean amplitude further out.
    assert onset["difference of the sides"] == pytest.approx(0.2 * onset["mean amplitude"])


def test_statistics_follow_time_and_size():
    def first(**kind):
        return statistics(*ramps(**kind))[:STATISTICS]

    plain, slow, large = first(), first(seconds=2.0), first(size=2.0)
    of_time = np.array([2, 2, 2] + [1] * 12 + [0.5] * 4 + [0.25] * 4 + [0.5, 1])
    of_size = np.array([1] * 5 + [2] * 8 + [1] * 2 + [2] * 10)
    np.testing.assert_allclose(slow, plain * of_time, rtol=1e-9)
    np.testing.assert_allclose(large, plain * of_size, rtol=1e-9)


def test_a_phase_that_is_missing_is_zeros():
    rising = np.broadcast_to(np.arange(12) / 10, (3, 2, 12))
    found = statistics(rising, np.arange(12) / 10).reshape(3, 3, -1)
    assert found[:, 0].any()
    assert not found[:, 1:].any()


def test_phases_that_are_given_are_taken():
    sides, times = ramps()
    found = statistics(sides, times, Phases(None, (0.0, 0.4), None)).reshape(3, 3, -1)
    assert not found[:, [0, 2]].any()
    np.testing.assert_allclose(found[1, 1], describe(sides[1, :, :5], times[:5]))
