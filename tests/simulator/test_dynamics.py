"""Smiles over time: properties of every curve, and the published kinematics measured back from the curves."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from smilelab.simulator.dynamics import AU_COLUMNS, POSE_COLUMNS, draw_clip, draw_subject

_spec = importlib.util.spec_from_file_location("bench_kinematics", Path(__file__).parents[1] / "bench_kinematics.py")
bench = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(bench)

AU12 = [AU_COLUMNS.index("AU12_L"), AU_COLUMNS.index("AU12_R")]
AU6 = [AU_COLUMNS.index("AU06_L"), AU_COLUMNS.index("AU06_R")]


def subject(seed=0, age=30.0):
    return draw_subject(np.random.default_rng([7, seed]), age=age, sex="female")


def clip(seed, label, fps=50.0, **options):
    return draw_clip(subject(seed), label, fps, np.random.default_rng(seed), **options)


clips = st.builds(
    lambda seed, label, fps, length, matched, asymmetry: clip(
        seed, label, fps, length_s=length, length_matched=matched, asymmetry=asymmetry
    ),
    st.integers(0, 2**32),
    st.integers(0, 1),
    st.floats(5, 120),
    st.none() | st.floats(0.6, 16),
    st.booleans(),
    st.booleans(),
)


@settings(max_examples=150, deadline=None)
@given(clips)
def test_every_clip_is_well_formed(drawn):
    frames = len(drawn.times)
    assert drawn.action_units.shape == (frames, 7)
    assert drawn.pose.shape == (frames, 6)
    assert (drawn.action_units.dtype, drawn.pose.dtype, drawn.times.dtype) == (np.float32, np.float32, np.float64)
    assert np.isfinite(drawn.action_units).all()
    assert np.isfinite(drawn.pose).all()
    assert drawn.times[0] == 0
    assert (np.diff(drawn.times) > 0).all()
    assert drawn.action_units.min() >= 0
    assert drawn.action_units.max() <= 5
    assert (drawn.action_units[0] == 0).all(), "a clip starts neutral"
    assert drawn.action_units[:, AU12].max() > 0, "a clip holds a smile"


@settings(max_examples=150, deadline=None)
@given(clips)
def test_phases_follow_each_other_within_the_clip(drawn):
    end = len(drawn.times) * (drawn.times[1] - drawn.times[0])
    assert 1 <= len(drawn.phases) <= 4
    moments = [0.0]
    for phase in drawn.phases:
        assert moments[-1] == phase.onset_s or len(moments) == 1, "a smile begins where the one before it ended"
        moments += [phase.onset_s] if len(moments) == 1 else []
        moments += [phase.apex_s, phase.offset_s, phase.end_s]
    assert (np.diff(moments) > 0).all()
    assert moments[-1] <= end + (drawn.times[1] - drawn.times[0])
    assert all(0 < blink < end for blink in drawn.blinks)
    assert list(drawn.blinks) == sorted(drawn.blinks)


@pytest.mark.parametrize("label", [0, 1])
def test_phases_say_what_au12_does(label):
    for seed in range(60):
        drawn = clip(seed, label, fps=200.0)
        au12, times = drawn.action_units[:, AU12].mean(1), drawn.times
        first, last = drawn.phases[0], drawn.phases[-1]
        assert au12[times < first.onset_s].max(initial=0) == 0
        rise = au12[(times >= first.onset_s) & (times <= first.apex_s)]
        fall = au12[(times >= last.offset_s) & (times <= last.end_s)]
        assert (np.diff(rise) >= -1e-6).all()
        assert (np.diff(fall) <= 1e-6).all()
        assert np.ptp(rise) > 0.4 * au12.max()
        for phase in drawn.phases:
            held = au12[(times >= phase.apex_s) & (times <= phase.offset_s)]
            assert held.max() > au12[np.searchsorted(times, phase.onset_s)]


def test_blinks_shut_the_lids_and_nothing_else_does():
    for seed in range(30):
        drawn = clip(seed, seed % 2)
        lid = drawn.action_units[:, AU_COLUMNS.index("AU45")]
        far = np.ones(len(lid), dtype=bool)
        for blink in drawn.blinks:
            assert lid[np.argmin(np.abs(drawn.times - blink))] == 5
            far &= np.abs(drawn.times - blink) > 0.23
        assert (lid[far] == 0).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 1), st.sampled_from([(25, 2), (10, 3), (29.97, 4)]))
def test_the_frame_rate_only_samples(seed, label, rate):
    fps, factor = rate
    coarse, fine = clip(seed, label, fps), clip(seed, label, fps * factor)
    shared = min(len(coarse.times), (len(fine.times) + factor - 1) // factor)
    assert abs(len(coarse.times) * factor - len(fine.times)) <= factor
    for name in ("times", "action_units", "pose"):
        np.testing.assert_allclose(
            getattr(coarse, name)[:shared], getattr(fine, name)[::factor][:shared], rtol=0, atol=1e-5
        )
    assert (coarse.phases, coarse.blinks) == (fine.phases, fine.blinks)


def test_a_seed_is_a_clip():
    one, same, other = clip(3, 1), clip(3, 1), clip(4, 1)
    assert one.action_units.tobytes() == same.action_units.tobytes()
    assert one.pose.tobytes() == same.pose.tobytes()
    assert one.action_units[:50].tobytes() != other.action_units[:50].tobytes()


def test_pose_is_the_same_whatever_the_label():
    for seed in range(40):
        posed, spontaneous = clip(seed, 0), clip(seed, 1)
        shared = min(len(posed.times), len(spontaneous.times))
        assert posed.pose[:shared].tobytes() == spontaneous.pose[:shared].tobytes()


def test_pose_carries_no_label_and_stays_small():
    drawn = {label: [clip(1000 * label + seed, label) for seed in range(400)] for label in (0, 1)}
    for i, name in enumerate(POSE_COLUMNS):
        moving = {label: [np.abs(np.diff(d.pose[:50, i])).mean() for d in drawn[label]] for label in (0, 1)}
        resting = {label: [d.pose[0, i] for d in drawn[label]] for label in (0, 1)}
        for values in (moving, resting):
            assert ks_2samp(values[0], values[1]).pvalue > 0.005, name
    yaw = [d.pose[:, 0].std() for label in (0, 1) for d in drawn[label]]
    assert np.median(yaw) > 0.003
    assert max(yaw) <= 0.03


def test_without_asymmetry_the_sides_are_equal_and_all_else_is_unchanged():
    for seed in range(20):
        lopsided, even = clip(seed, seed % 2), clip(seed, seed % 2, asymmetry=False)
        for left, right in (AU12, AU6):
            assert (even.action_units[:, left] == even.action_units[:, right]).all()
            assert (lopsided.action_units[:, left] != lopsided.action_units[:, right]).any()
            if lopsided.action_units.max(0)[[left, right]].max() < 5:
                both = lopsided.action_units[:, [left, right]].mean(1)
                np.testing.assert_allclose(both, even.action_units[:, left], atol=1e-5)
        assert (even.action_units[:, 4:] == lopsided.action_units[:, 4:]).all()


def test_age_lowers_the_amplitude_slightly():
    def mean(age):
        return np.mean([subject(seed, age).amplitude for seed in range(1000)])

    assert 0.2 < mean(20) - mean(70) < 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label": 2}, "label 2: expected 1"),
        ({"fps": 0.0}, "fps 0.0"),
        ({"fps": float("nan")}, "fps nan"),
        ({"length_s": 0.3}, "length_s 0.3"),
    ],
)
def test_impossible_clips_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        clip(0, **{"label": 1, **arguments})


@pytest.fixture(scope="module")
def drawn():
    return {label: bench.draw(label, subjects=220, clips=3, seed=11) for label in (1, 0)}


SAMPLED = [name for name in bench.PUBLISHED if name not in ("lag_au6", "two_apices", "three_apices", "four_apices")]


@pytest.mark.parametrize("name", SAMPLED)
def test_means_are_the_published_ones(drawn, name):
    for (mean, _, _), label in zip(bench.PUBLISHED[name][:2], (1, 0), strict=True):
        assert np.nanmean(drawn[label][name]) == pytest.approx(mean, rel=0.17), f"label {label}"


@pytest.mark.parametrize("name", [name for name, row in bench.PUBLISHED.items() if row[2] is not None])
def test_the_classes_differ_as_much_as_published(drawn, name):
    assert bench.auc(drawn[1][name], drawn[0][name]) == pytest.approx(bench.PUBLISHED[name][2], abs=0.08)


def test_au6_does_not_tell_the_classes_apart(drawn):
    assert 0.36 < bench.auc(drawn[1]["amplitude_au6"], drawn[0]["amplitude_au6"]) < 0.5
    assert abs(drawn[1]["au6_over_1"].mean() - drawn[0]["au6_over_1"].mean()) < 0.08
    assert drawn[1]["lag_au6"].mean() == pytest.approx(0.028, abs=0.02)
    assert drawn[0]["lag_au6"].mean() == pytest.approx(0.019, abs=0.02)


def test_apices_come_as_often_as_published(drawn):
    for label, shares in ((1, (0.81, 0.14, 0.03, 0.01)), (0, (0.94, 0.06, 0.0, 0.0))):
        for name, share in zip(("one_apex", "two_apices", "three_apices", "four_apices"), shares, strict=True):
            assert drawn[label][name].mean() == pytest.approx(share, abs=0.05), name


def test_subjects_are_consistent_as_published_and_more_so_when_posing(drawn):
    for name, (spontaneous, posed) in bench.ICC.items():
        key = {"amplitude": "amplitude", "log length": "length", "log speed": "speed_up"}[name]
        values = {label: drawn[label][key] for label in (0, 1)}
        if name.startswith("log"):
            values = {label: np.log(v) for label, v in values.items()}
        assert bench.intraclass(values[1]) == pytest.approx(spontaneous, abs=0.15), name
        assert bench.intraclass(values[0]) == pytest.approx(posed, abs=0.15), name
        assert bench.intraclass(values[0]) > bench.intraclass(values[1]), name


def test_blinks_cluster_near_the_end():
    where = [
        (blink - d.phases[-1].offset_s) / d.times[-1]
        for seed in range(400)
        for d in [clip(seed, seed % 2)]
        for blink in d.blinks
    ]
    assert np.mean(np.abs(where) < 0.25) > 0.55, "evenly spread blinks would be there less than half of the time"


def test_length_matched_clips_tell_the_class_by_speed_but_not_by_length():
    matched = {label: bench.draw(label, subjects=200, clips=2, seed=12, length_matched=True) for label in (1, 0)}
    assert bench.auc(matched[1]["length"], matched[0]["length"]) == pytest.approx(0.5, abs=0.06)
    assert ks_2samp(matched[1]["length"].ravel(), matched[0]["length"].ravel()).pvalue > 0.005
    assert bench.auc(matched[1]["speed_up"], matched[0]["speed_up"]) < 0.29
    assert bench.auc(matched[1]["rise"], matched[0]["rise"]) > 0.7
