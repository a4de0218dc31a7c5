"""Measures of drawn faces: even ones, mirrored ones, and ones that move by known amounts."""

import numpy as np
import pytest
from drawn_faces import MIDDLE, mirrored, placed, symmetric_face

from smilelab.baselines.asymmetry import ASYMMETRY, BOTH_SIDES, MIDLINE, SIGNED, SPATIAL, features, geometry

TIMES = np.arange(30) / 30


def smiling(times=TIMES, *, left=0.2, right=0.2, delay=0.0, noise=0.0):
    """(T, 68, 2) in face coordinates: lip corners go out and up by so much, the left one `delay` s later."""
    points = np.repeat(symmetric_face()[None], len(times), 0)

    def course(at):
        return 1 / (1 + np.exp(-(at - 0.5) / 0.08))

    points[:, 48] += right * course(times)[:, None] * [-1, -0.5]
    points[:, 54] += left * course(times - delay)[:, None] * [1, -0.5]
    return points + noise * np.random.default_rng(0).normal(size=points.shape)


def named(landmarks, times=TIMES):
    return dict(zip((*SPATIAL, *ASYMMETRY), features(geometry(landmarks), times), strict=True))


def test_measures_of_the_drawn_face_by_hand():
    shared, difference = geometry(symmetric_face()[None])
    by_name = dict(zip((*BOTH_SIDES, *MIDLINE), shared[0], strict=True))
    # Lip corners at (0.4, 1.1), nose base (0, 0.78), upper lip (0, 1.02), lids at -0.1 and 0.08, eye corner (0.75, 0).
    expected = {
        **{"lip corner out": 0.4, "lip corner up": 0.78 - 1.1, "lip corner angle": np.arctan2(1.02 - 1.1, 0.4)},
        **{"eye aperture": 0.18, "brow height": (0.25 + 0.31 * 3 + 0.25) / 5},
        **{"eye to lip corner": np.hypot(0.35, 1.1), "mouth opening": 1.14 - 1.07, "lips' height": 1.25 - 1.02},
    }
    assert by_name == pytest.approx(expected)
    assert difference.shape == (1, len(BOTH_SIDES))


@pytest.mark.parametrize("roll", [0.0, 0.3, -0.2])
def test_a_symmetric_face_has_no_asymmetry_however_it_is_held(roll):
    found = named(placed(smiling(), roll=roll))
    assert np.abs([found[name] for name in ASYMMETRY]).max() < 1e-12
    assert found["lip corner out, slope"] > 0.1


def test_mirroring_changes_the_sign_of_the_asymmetry_and_nothing_else():
    landmarks = placed(smiling(left=0.25, right=0.1, delay=0.05, noise=0.02))
    found, opposite = named(landmarks), named(mirrored(landmarks, width=400))
    for name in SPATIAL:
        assert opposite[name] == pytest.approx(found[name], abs=1e-9)
    for name in ASYMMETRY:
        sign = -1 if name.rsplit(": ", 1)[1] in SIGNED else 1
        assert opposite[name] == pytest.approx(sign * found[name], abs=1e-9)
        assert abs(found[name]) > 1e-6


def test_a_corner_drawn_up_is_measured_on_its_side():
    face = np.repeat(symmetric_face()[None], 30, 0)
    face[:, 54, 1] -= 0.1
    found = named(placed(face))
    assert found["lip corner up, asymmetry: mean"] == pytest.approx(0.1)
    assert found["lip corner up, asymmetry: mean size"] == pytest.approx(0.1)
    assert found["lip corner out, asymmetry: mean"] == pytest.approx(0, abs=1e-12)
    assert found["lip corner up, mean"] == pytest.approx(0.78 - 1.1 + 0.05)
    face = np.repeat(symmetric_face()[None], 30, 0)
    face[:, 48, 0] -= 0.1
    assert named(placed(face))["lip corner out, asymmetry: mean"] == pytest.approx(-0.1)


@pytest.mark.parametrize("delay", [-0.06, -0.02, 0.0, 0.03])
def test_the_lead_is_the_time_by_which_the_left_side_is_ahead(delay):
    found = named(placed(smiling(delay=delay)))
    for measure in ("lip corner out", "lip corner up"):
        assert found[f"{measure}, asymmetry: lead"] == pytest.approx(-delay, rel=0.25, abs=1e-6)
    assert found["eye aperture, asymmetry: lead"] == pytest.approx(0, abs=1e-9)


def test_a_face_at_rest_has_no_side_that_leads_for_all_the_jitter():
    found = named(placed(smiling(left=0.0, right=0.0, noise=0.002)))
    assert np.abs([found[f"{measure}, asymmetry: lead"] for measure in BOTH_SIDES]).max() < 0.02


def test_the_course_of_a_steady_movement():
    times = np.arange(31) / 30
    face = np.repeat(symmetric_face()[None], 31, 0)
    face[:, [48, 54], 1] -= 0.3 * times[:, None]
    found = named(placed(face), times)
    assert found["lip corner up, slope"] == pytest.approx(0.3)
    assert found["lip corner up, fastest rise"] == pytest.approx(0.3)
    assert found["lip corner up, fastest fall"] == pytest.approx(0.3)
    assert found["lip corner up, variation"] == pytest.approx(0.3 * times.std())
    assert found["mouth opening, slope"] == pytest.approx(0)


def test_features_do_not_depend_on_scale_or_frame_rate():
    found = named(placed(smiling(left=0.25, delay=0.03)))
    assert named(placed(smiling(left=0.25, delay=0.03), scale=150.0, roll=-0.1, at=(0, 0))) == pytest.approx(found)
    slow, fast = (
        named(
            placed(smiling(np.arange(0, 1 + 1e-9, 1 / rate), left=0.25, delay=0.03)), np.arange(0, 1 + 1e-9, 1 / rate)
        )
        for rate in (25, 50)
    )
    for name, value in slow.items():
        assert fast[name] == pytest.approx(value, rel=0.05, abs=0.01), name


def test_frames_without_a_face_are_bridged():
    landmarks = placed(smiling())
    whole = geometry(landmarks)
    landmarks[10:12] = np.nan
    landmarks[0, MIDDLE] = np.nan
    bridged = geometry(landmarks)
    assert np.isfinite(bridged.shared).all()
    assert np.array_equal(bridged.shared[12:], whole.shared[12:])
    assert np.array_equal(bridged.shared[0], whole.shared[1])
    between = whole.shared[9] + (whole.shared[12] - whole.shared[9]) / 3
    np.testing.assert_allclose(bridged.shared[10], between)
    with pytest.raises(ValueError, match="none of 30 frames has all landmarks"):
        geometry(np.full((30, 68, 2), np.nan))


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_few_frames_are_enough(count):
    assert np.isfinite(list(named(placed(smiling())[:count], TIMES[:count]).values())).all()
