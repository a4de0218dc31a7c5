"""Courses over time, speeds by direction and magnification, on signals known in closed form."""

import numpy as np
import pytest
from scipy.fft import dct

from smilelab.baselines import courses, footage, magnification, motion


def test_cosine_coefficients_of_waves_are_their_amplitudes():
    times = np.arange(200) / 50
    u = (times + 0.01) / 4.0
    found = courses.cosines(np.stack([3 + 2 * np.cos(np.pi * u), np.cos(3 * np.pi * u)], 1), times, 5)
    np.testing.assert_allclose(found[:, 0], [3, 1, 0, 0, 0], atol=0.02)
    np.testing.assert_allclose(found[:, 1], [0, 0, 0, 0.5, 0], atol=0.02)


def test_a_clip_of_a_hundred_frames_has_scipys_coefficients_of_its_middles():
    values = np.random.default_rng(0).normal(size=(101, 3)).astype(np.float32)
    middles = (values[1:] + values[:-1]) / 2
    found = courses.cosines(values, np.arange(101) / 25, 100)
    np.testing.assert_allclose(found, dct(middles, axis=0, norm="forward"), atol=1e-5)


def test_courses_do_not_depend_on_the_rate():
    def course(fps):
        times = np.arange(round(3 * fps) + 1) / fps
        return courses.statistics(np.sin(2 * times)[:, None] + times[:, None] ** 2, times, 6)

    np.testing.assert_allclose(course(25), course(50), rtol=0.02, atol=0.005)
    assert courses.statistics(np.array([[2.0]]), [0.3], 2)[:3, 0].tolist() == [2, 0, 2]


def test_derivatives_are_those_of_a_parabola_in_units_a_second():
    times = np.arange(100) / 25
    place, speed, acceleration = courses.derivatives(1 + 2 * times + 3 * times**2 / 2, 25.0, 0.08)
    inside = slice(12, -12)
    np.testing.assert_allclose(speed[inside], (2 + 3 * times)[inside], rtol=1e-3)
    np.testing.assert_allclose(acceleration[inside], 3, rtol=5e-3)
    # A Gaussian smooths a parabola up by half its variance times the acceleration.
    np.testing.assert_allclose(place[inside], (1 + 2 * times + 1.5 * times**2 + 3 * 0.08**2 / 2)[inside], rtol=1e-3)


def test_speeds_add_up_and_lie_in_their_direction():
    fields = np.zeros((2, 2, 4, 4), np.float32)
    fields[0, 0, :2], fields[0, 1, 2:] = 3.0, -2.0
    fields[1, 0], fields[1, 1] = -4.0, 4.0
    found = motion.directed_speeds(fields)
    # Half of the first frame moves right by 3, half up (against y) by 2; the second down to the left.
    np.testing.assert_allclose(found[0], [1.5, 0, 0, 0, 0, 0, 1.0, 0])
    np.testing.assert_allclose(found[1], [0, 0, 0, np.hypot(4, 4), 0, 0, 0, 0], rtol=1e-6)


@pytest.mark.parametrize("fps", [25, 50])
def test_velocities_are_by_time_and_leave_out_what_all_share(fps):
    y, x = np.mgrid[:96, :96]
    times = np.arange(4) / fps

    def frame(t):
        right = np.where(x >= 48, 12.0 * t, -12.0 * t) + 5 * t
        at = x - right
        return np.rint(128 + 60 * np.cos(at / 3 + y / 5) + 40 * np.cos(y / 3 - at / 7)).astype(np.uint8)

    found = motion.velocities(np.stack([frame(t) for t in times]), times, 96.0)
    assert found.shape == (3, 2, 96, 96)
    np.testing.assert_allclose(found[:, 0, 10:-10, 60:85].mean(), 12 / 96, rtol=0.1)
    np.testing.assert_allclose(found[:, 0, 10:-10, 10:36].mean(), -12 / 96, rtol=0.1)
    assert motion.velocities(np.zeros((1, 8, 8), np.uint8), [0.0], 1.0).shape == (1, 2, 8, 8)


@pytest.mark.parametrize("band", magnification.BANDS)
def test_a_band_lets_through_what_is_inside(band):
    rate = 25.0
    times = np.arange(250) / rate
    parts = {hz: np.sin(2 * np.pi * hz * times) for hz in (0.1, 1.0, 8.0)}
    found = magnification.within_band(5 + sum(parts.values()), rate, (0.4, 3.0), band)
    middle = slice(50, -50)
    np.testing.assert_allclose(found[middle], parts[1.0][middle], atol=0.06)
    alone = magnification.within_band(5 + parts[8.0], rate, (0.4, 3.0), band)
    assert np.abs(alone[middle]).max() < 0.06


@pytest.mark.parametrize("band", magnification.BANDS)
def test_slow_and_short_courses_are_no_trouble(band):
    course = np.random.default_rng(0).normal(size=(8, 2, 2))
    assert np.isfinite(magnification.within_band(course, 25.0, (0.4, 3.0), band)).all()
    assert np.isfinite(magnification.within_band(course, 4.0, (0.4, 3.0), band)).all()
    assert not magnification.within_band(course[:2], 25.0, (0.4, 3.0), band).any()
    assert not magnification.within_band(course, 0.5, (0.4, 3.0), band).any()


def test_magnified_frames_swing_further():
    times = np.arange(150) / 25
    level = np.broadcast_to(100 + 5 * np.sin(2 * np.pi * times)[:, None, None], (150, 12, 12))
    frames = np.rint(level).astype(np.uint8)
    louder = magnification.magnified(frames, 25.0, 4.0, (0.4, 3.0), "ideal").astype(float)
    assert np.ptp(louder[25:-25]) == pytest.approx(50, abs=3)
    still = np.full((20, 12, 12), 90, np.uint8)
    assert (magnification.magnified(still, 25.0, 9.0, (0.4, 3.0), "butterworth") == 90).all()


def test_frames_nearest_to_a_slower_grid_are_kept():
    assert footage.thinned(np.arange(11) / 50, 25.0).tolist() == [0, 2, 4, 6, 8, 10]
    assert footage.thinned(np.arange(5) / 10, 25.0).tolist() == [0, 1, 2, 3, 4]
    assert footage.thinned([0.5], 25.0).tolist() == [0]


def test_values_between_times_are_interpolated():
    frames = np.stack([np.full((2, 2), v, np.uint8) for v in (10, 30, 90)])
    found = footage.at_times(frames, [0, 1, 3], [0, 0.5, 2, 3, 9])
    assert found[:, 0, 0].tolist() == [10, 20, 60, 90, 90]
    assert footage.at_times(frames[:1], [4.0], [4.0, 5.0])[:, 1, 1].tolist() == [10, 10]
