"""Recordings of several smiles: properties of every one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from smilelab.simulator.dynamics import AU_COLUMNS, draw_subject
from smilelab.simulator.recording import draw_neutral, draw_recording

AU12 = [AU_COLUMNS.index("AU12_L"), AU_COLUMNS.index("AU12_R")]
AU45 = AU_COLUMNS.index("AU45")


def recording(seed, label, fps=30.0, length_s=60.0, **options):
    subject = draw_subject(np.random.default_rng([3, seed]), age=40, sex="male")
    return draw_recording(subject, label, fps, np.random.default_rng(seed), length_s=length_s, **options)


recordings = st.builds(
    lambda seed, label, fps, length, smiles: recording(seed, label, fps, length, smiles=smiles),
    st.integers(0, 2**32), st.integers(0, 1), st.floats(10, 60), st.floats(1, 70), st.none() | st.integers(1, 6),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(recordings)
def test_every_recording_is_well_formed(drawn):
    frames, end = len(drawn.times), drawn.times[-1] + 2 * drawn.times[1]
    assert drawn.action_units.shape == (frames, 7)
    assert drawn.pose.shape == (frames, 6)
    assert (drawn.action_units.dtype, drawn.pose.dtype) == (np.float32, np.float32)
    assert np.isfinite(drawn.action_units).all()
    assert np.isfinite(drawn.pose).all()
    assert drawn.action_units.min() >= 0
    assert drawn.action_units.max() <= 5
    assert len(drawn.smiles) >= 1
    assert (np.diff(drawn.smiles.ravel()) > 0).all(), "smiles overlap"
    assert drawn.smiles[-1, 1] <= end
    assert all(0 < blink < end for blink in drawn.blinks)
    assert list(drawn.blinks) == sorted(drawn.blinks)
    assert {p.onset_s for p in drawn.phases} >= set(drawn.smiles[:, 0])


@pytest.mark.parametrize("label", [0, 1])
def test_the_mouth_moves_in_smiles_and_rests_between_them(label):
    for seed in range(15):
        drawn = recording(seed, label, fps=100.0)
        au12, times = drawn.action_units[:, AU12].mean(1), drawn.times
        assert len(drawn.smiles) >= 3
        smiling = np.zeros(len(times), dtype=bool)
        for start, end in drawn.smiles:
            inside = (times >= start) & (times <= end)
            assert au12[inside].max() > 0.3
            smiling |= (times >= start) & (times <= end + 0.65)
        assert au12[~smiling].max() < 1e-4
        rest = drawn.smiles[1:, 0] - drawn.smiles[:-1, 1]
        assert rest.min() >= 1.5
        assert np.abs(np.diff(au12)).max() < 0.25, "a jump"


def test_pose_is_one_sway_whatever_the_label():
    for seed in range(10):
        posed, spontaneous = recording(seed, 0), recording(seed, 1)
        assert posed.pose.tobytes() == spontaneous.pose.tobytes()
        assert np.abs(np.diff(posed.pose, axis=0)).max() < 0.01
        assert np.ptp(posed.pose[:, 0]) > 0


def test_rest_and_blinks_at_rest_follow_one_law():
    drawn = {label: [recording(1000 * label + seed, label) for seed in range(40)] for label in (0, 1)}
    first = {label: [d.smiles[0, 0] for d in drawn[label]] for label in (0, 1)}
    assert all(min(starts) >= 1.5 and max(starts) < 6 for starts in first.values())
    apart = {label: np.concatenate([d.smiles[1:, 0] - d.smiles[:-1, 1] for d in drawn[label]]) for label in (0, 1)}
    # A smile's own lead-in belongs to its class; without it, what is left is the gap.
    assert abs(np.median(apart[0]) - np.median(apart[1])) < 0.5
    closed = {}
    for label in (0, 1):
        rest = blinks = 0.0
        for d in drawn[label]:
            edges = np.column_stack([d.smiles[:-1, 1] + 0.7, d.smiles[1:, 0] - 0.7])
            rest += np.diff(edges).sum()
            blinks += sum(((d.blinks > a) & (d.blinks < b)).sum() for a, b in edges if b > a)
        closed[label] = blinks / rest
    assert closed[0] == pytest.approx(closed[1], rel=0.35)


def test_the_frame_rate_only_samples():
    for seed in range(5):
        coarse, fine = recording(seed, 1, 30.0), recording(seed, 1, 60.0)
        np.testing.assert_allclose(coarse.action_units, fine.action_units[::2], atol=1e-5)
        np.testing.assert_allclose(coarse.pose, fine.pose[::2], atol=1e-6)
        assert (coarse.phases, coarse.blinks) == (fine.phases, fine.blinks)


def test_kinematics_are_those_of_single_clips():
    lengths = {
        label: [s for seed in range(25) for s in np.diff(recording(seed, label).smiles)[:, 0]] for label in (0, 1)
    }
    assert np.median(lengths[1]) > 1.2 * np.median(lengths[0])
    matched = [
        [
            s
            for seed in range(25)
            for s in np.diff(recording(500 * label + seed, label, length_matched=True).smiles)[:, 0]
        ]
        for label in (0, 1)
    ]
    assert ks_2samp(*matched).statistic < 0.5 * ks_2samp(lengths[0], lengths[1]).statistic


def test_smiles_on_command_are_counted_and_the_recording_ends_after_them():
    for count in (1, 4, 6):
        drawn = recording(2, 0, length_s=np.inf, smiles=count)
        assert len(drawn.smiles) == count
        assert 1.4 < drawn.times[-1] - drawn.smiles[-1, 1] < 5.1


def test_nobody_smiles_in_a_neutral_recording():
    drawn = [draw_neutral(30.0, np.random.default_rng(seed), length_s=10.0) for seed in range(40)]
    for d in drawn:
        assert (d.label, len(d.times), len(d.smiles), d.phases) == (-1, 300, 0, ())
        assert (np.delete(d.action_units, AU45, axis=1) == 0).all()
        assert np.ptp(d.pose, axis=0).min() > 0
    assert sum(len(d.blinks) for d in drawn) == pytest.approx(40 * 10 * 0.25, rel=0.3)
    blinking = next(d for d in drawn if d.blinks)
    assert blinking.action_units[np.argmin(np.abs(blinking.times - blinking.blinks[0])), AU45] == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length_s": 0.5}, "length_s 0.5: expected 1 s or more"),
        ({"length_s": np.inf}, "an end where smiles are not counted"),
        ({"smiles": 0}, "smiles 0: expected one or more"),
        ({"label": -1}, "label -1: expected 1"),
        ({"fps": 0.0}, "fps 0.0"),
    ],
)
def test_impossible_recordings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        recording(0, **{"label": 1, **options})
    if "fps" in options:
        with pytest.raises(ValueError, match=message):
            draw_neutral(options["fps"], np.random.default_rng(0), length_s=5.0)
