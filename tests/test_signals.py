"""Signals against numbers worked out by hand, and smoothing against a plain implementation of its definition."""

from __future__ import annotations

import itertools
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from smilelab import signals
from smilelab.simulator.dynamics import draw_clip, draw_subject


def face(right_corner: tuple[float, float], left_corner: tuple[float, float]) -> np.ndarray:
    """Eye centres at (10, 20) and (50, 20), so 40 px apart; the two lip corners as given."""
    points = np.random.default_rng(0).uniform(0, 60, (68, 2))
    points[[36, 39]] = [(4, 22), (16, 18)]
    points[[42, 45]] = [(44, 20), (56, 20)]
    points[48], points[54] = right_corner, left_corner
    return points


REST, SMILE = face((20, 60), (40, 60)), face((14, 52), (46, 52))


def test_by_hand() -> None:
    landmarks = np.stack([REST, SMILE])
    assert signals.mouth_width(landmarks) == pytest.approx([20 / 40, 32 / 40])
    # At rest both corners are 10 px from the middle (30, 60); smiling sqrt(16^2 + 8^2), over twice the width of 20.
    assert signals.lip_corner_distance(landmarks) == pytest.approx([0.5, np.hypot(16, 8) / 20])
    assert signals.lip_corner_distance(landmarks[1:], rest=REST) == pytest.approx([np.hypot(16, 8) / 20])
    assert signals.eye_centres(REST) == pytest.approx(np.array([[10, 20], [50, 20]]))
    assert signals.face_coordinates(SMILE)[48] == pytest.approx([(14 - 30) / 40, (52 - 20) / 40])


@given(st.floats(0.1, 20), st.floats(-3, 3), st.floats(-500, 500), st.floats(-500, 500))
def test_place_size_and_roll_of_the_head_do_not_matter(scale: float, roll: float, x: float, y: float) -> None:
    turn = scale * np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    moved = np.stack([REST, SMILE]) @ turn + (x, y)
    for signal in (signals.mouth_width, signals.lip_corner_distance, signals.face_coordinates):
        assert signal(moved) == pytest.approx(signal(np.stack([REST, SMILE])), abs=1e-6)


def test_frames_without_a_face() -> None:
    landmarks = np.stack([np.full((68, 2), np.nan), REST, SMILE])
    assert signals.lip_corner_distance(landmarks) == pytest.approx([np.nan, 0.5, np.hypot(16, 8) / 20], nan_ok=True)
    assert np.isnan(signals.mouth_width(landmarks)).tolist() == [True, False, False]
    with pytest.raises(ValueError, match="no frame has landmarks"):
        signals.lip_corner_distance(landmarks[:1])
    with pytest.raises(ValueError, match=r"expected \(\.\.\., 68, 2\)"):
        signals.mouth_width(np.zeros((4, 5, 2)))


def plain_4253h(values: list[float]) -> list[float]:
    """The definition, one value at a time; beyond the ends the outermost value is repeated."""

    def at(series: list[float], index: int) -> float:
        return series[min(max(index, 0), len(series) - 1)]

    def median(series: list[float], reach: range) -> list[float]:
        return [statistics.median(at(series, index + k) for k in reach) for index in range(len(series))]

    # The median of four lies between two samples, and so does one more of them than there are samples.
    between = [statistics.median(at(values, index + k) for k in range(-2, 2)) for index in range(len(values) + 1)]
    series = [(left + right) / 2 for left, right in itertools.pairwise(between)]
    series = median(median(series, range(-2, 3)), range(-1, 2))
    return [(at(series, i - 1) + 2 * series[i] + at(series, i + 1)) / 4 for i in range(len(series))]


@given(hnp.arrays(np.float64, st.integers(1, 40), elements=st.floats(-10, 10)))
def test_smoothing_follows_its_definition(values: np.ndarray) -> None:
    once = plain_4253h(values.tolist())
    rest = plain_4253h([value - smooth for value, smooth in zip(values.tolist(), once, strict=True)])
    assert signals.smooth_4253h_twice(values) == pytest.approx(np.add(once, rest), abs=1e-9)


def test_smoothing_removes_spikes_and_keeps_ramps() -> None:
    ramp = np.arange(40.0)
    spiked = ramp.copy()
    spiked[[12, 30]] += 50
    assert signals.smooth_4253h_twice(ramp)[6:-6] == pytest.approx(ramp[6:-6])
    assert np.abs(signals.smooth_4253h_twice(spiked) - ramp)[6:-6].max() <= 1.5
    assert signals.smooth_4253h_twice([]).shape == (0,)


TIMES = np.arange(0, 4, 0.02)
TRAPEZOID = np.interp(TIMES, [0.5, 1.1, 2.5, 3.3], [0, 1, 1, 0])


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_phases_of_a_trapezoid(noise: float) -> None:
    signal = TRAPEZOID + noise * np.random.default_rng(0).standard_normal(len(TIMES))
    found = signals.phases(signal, TIMES)
    assert found.onset == pytest.approx((0.5, 1.1), abs=0.15)
    assert found.apex == pytest.approx((1.1, 2.5), abs=0.15)
    assert found.offset == pytest.approx((2.5, 3.3), abs=0.15)
    assert found.apex == (found.onset[1], found.offset[0])


def test_phases_are_by_time_and_leave_out_lost_frames() -> None:
    # Of two rises the one that takes longer, though it has fewer samples.
    times = np.concatenate([np.arange(0, 1, 0.01), np.arange(1, 4, 0.1)])
    signal = np.interp(times, [0.2, 0.7, 0.8, 1.5, 2.9], [0, 1, 0, 0, 1])
    assert signals.phases(signal, times).onset == pytest.approx((1.5, 2.9), abs=0.25)
    steeper = signal * np.where(times < 1, 2, 1)
    assert signals.phases(steeper, times).onset == pytest.approx((1.5, 2.9), abs=0.25)
    assert signals.phases(steeper, times, longest_in="signal").onset == pytest.approx((0.2, 0.7), abs=0.05)
    gappy = TRAPEZOID.copy()
    gappy[::7] = np.nan
    assert signals.phases(gappy, TIMES).onset == pytest.approx((0.5, 1.1), abs=0.12)


def test_missing_phases() -> None:
    assert signals.phases(np.ones(30), np.arange(30.0)) == (None, None, None)
    assert signals.phases([], []) == (None, None, None)
    rising = signals.phases(np.arange(30.0), np.arange(30.0))
    assert rising.onset is not None
    assert (rising.apex, rising.offset) == (None, None)
    valley = signals.phases(1 - TRAPEZOID, TIMES)
    assert valley.onset is not None
    assert valley.offset is not None
    assert valley.apex is None
    with pytest.raises(ValueError, match="expected one value a time"):
        signals.phases(np.ones(3), np.ones(4))


def test_phases_of_simulated_smiles_meet_the_true_ones() -> None:
    met, starts = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        clip = draw_clip(draw_subject(rng, age=30, sex="male"), seed % 2, 50, rng)
        found = signals.phases(clip.action_units[:, 2:4].mean(1), clip.times, longest_in="signal")
        truth = clip.phases[0]
        assert found.onset is not None
        met.append(found.onset[0] < truth.apex_s and found.onset[1] > truth.onset_s)
        starts.append(abs(found.onset[0] - truth.onset_s))
    assert np.mean(met) >= 0.8
    assert np.median(starts) <= 0.1
