"""Smile moments in signals whose smiles are known: drawn by hand, at random, and by the simulator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_recordings import bumps

from smilelab.preprocess.action_units import ActionUnits
from smilelab.preprocess.detection import Thresholds, detect, quiet_stretch
from smilelab.simulator.dynamics import draw_subject
from smilelab.simulator.recording import draw_recording


def spans(units: ActionUnits, **thresholds: float) -> list[tuple[float, float]]:
    return [(moment.start_s, moment.end_s) for moment in detect(units, Thresholds(**thresholds))]


def test_moments_begin_and_end_at_the_feet_of_smiles() -> None:
    found = detect(bumps((2, 4, 2.0), (8, 11, 1.2)))
    assert [(m.start_s, m.end_s) for m in found] == [pytest.approx(s, abs=0.1) for s in [(2, 4), (8, 11)]]
    assert [m.peak_au12 for m in found] == pytest.approx([2.0, 1.2], abs=0.02)
    assert [m.peak_au06 for m in found] == pytest.approx([1.0, 0.6], abs=0.02)


def test_hysteresis() -> None:
    # A dip to 0.35 lies between the two thresholds; the same dip to 0.1 parts two smiles if it lasts.
    wavering = bumps((2, 8, 0.8))
    dip = (wavering.times > 4.2) & (wavering.times < 5.4)
    for level, count in ((0.35, 1), (0.1, 2)):
        au12 = np.where(dip, np.minimum(wavering.au12, level), wavering.au12)
        assert len(detect(replace(wavering, au12=au12))) == count, level
    assert spans(bumps((2, 4, 0.4))) == []
    assert len(spans(bumps((2, 4, 0.4)), high=0.3, au06=0)) == 1


def test_short_dips_are_parts_of_a_smile_and_short_smiles_none() -> None:
    assert len(spans(bumps((2, 4, 2.0), (4.0, 6, 2.0)))) == 1
    assert len(spans(bumps((2, 4, 2.0), (4.6, 6, 2.0)))) == 2
    assert len(spans(bumps((2, 4, 2.0), (4.6, 6, 2.0)), gap_s=1.5)) == 1
    blip = bumps((2, 2.8, 1.0))
    assert len(detect(blip)) == 1
    assert detect(blip, Thresholds(minimum_s=1.0)) == []


def test_lips_without_cheeks_are_no_smile() -> None:
    pressed = bumps((2, 4, 2.0))
    pressed = replace(pressed, au06=pressed.au06 * 0.1)
    assert detect(pressed) == []
    assert len(detect(pressed, Thresholds(au06=0))) == 1


def test_a_detectors_verdict_counts_where_it_is_asked_for() -> None:
    units = bumps((2, 4, 2.0), (8, 10, 0.8))
    judged = replace(units, present=units.au12 > 1)
    assert len(detect(judged)) == 2
    assert [round(m.start_s) for m in detect(judged, Thresholds(presence=True))] == [2]
    assert len(detect(units, Thresholds(presence=True))) == 2


def test_the_face_may_be_lost_for_a_moment_but_not_for_long() -> None:
    units = bumps((2, 8, 2.0))
    for lost_s, expected in ((0.3, [(2, 8)]), (2.0, [(2, 4), (6, 8)])):
        valid = (units.times < 4) | (units.times >= 4 + lost_s)
        au12 = np.where(valid, units.au12, np.nan)
        found = spans(replace(units, au12=au12, valid=valid))
        assert [pytest.approx(span, abs=0.1) for span in expected] == found
    assert detect(replace(units, valid=np.zeros(len(units.times), bool))) == []


def test_smiles_that_the_recording_cuts_off() -> None:
    assert spans(bumps((-1, 2, 2.0), (18, 22, 2.0))) == [
        pytest.approx((0, 2), abs=0.1),
        pytest.approx((18, 20), abs=0.1),
    ]


def test_the_frame_rate_does_not_matter() -> None:
    at_60, at_10 = (spans(bumps((2, 4, 2.0), (8, 11, 1.2), fps=fps)) for fps in (60, 10))
    assert [pytest.approx(span, abs=0.11) for span in at_60] == at_10
    assert len(spans(bumps((2, 6, 2.0), fps=2))) == 1


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 1.5), st.floats(0.2, 1.0))
def test_moments_of_any_signal_are_apart_long_and_strong_enough(seed: int, high: float, ratio: float) -> None:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.01, 0.1, 200))
    au12 = np.clip(np.interp(times, times[::10], rng.uniform(-1, 3, 20)), 0, 5)
    units = ActionUnits(times, au12, au12, rng.random(200) > 0.1, "estimate")
    thresholds = Thresholds(high=high, low=ratio * high, au06=0)
    found = detect(units, thresholds)
    edges = [edge for moment in found for edge in (moment.start_s, moment.end_s)]
    assert edges == sorted(edges)
    assert set(edges) <= set(times[units.valid])
    for moment in found:
        assert moment.end_s - moment.start_s >= thresholds.minimum_s
        assert moment.peak_au12 >= high
    for wrong in ({"high": high, "low": 1.1 * high}, {"gap_s": -1}, {"minimum_s": np.nan}, {"low": 0}):
        with pytest.raises(ValueError, match="expected"):
            Thresholds(**wrong)


def test_smiles_of_simulated_recordings_are_found_in_both_classes() -> None:
    for label in (0, 1):
        hits, truths, found_all = 0, 0, 0
        for seed in range(6):
            rng = np.random.default_rng(seed)
            clip = draw_recording(draw_subject(rng, age=40, sex="male"), label, 30, rng, length_s=60)
            au06, au12 = (clip.action_units[:, k : k + 2].mean(1).astype(float) for k in (0, 2))
            found = detect(ActionUnits(clip.times, au06, au12, np.ones(len(au12), bool), "openface"))
            apices = np.array([phase.apex_s for phase in clip.phases])
            inside = [[m.start_s <= apex <= m.end_s for apex in apices] for m in found]
            assert all(map(any, inside)), seed
            hits, truths, found_all = hits + np.any(inside, 0).sum(), truths + len(apices), found_all + len(found)
        assert hits / truths >= 0.9
        assert found_all <= truths


def test_the_quietest_stretch_lies_outside_smiles_and_restless_parts() -> None:
    units = bumps((2, 5, 2.0), (10, 13, 2.0))
    rng = np.random.default_rng(0)
    lip = 0.5 + units.au12 / 10 + 0.02 * rng.standard_normal(len(units.times)) * (units.times < 15)
    units = replace(units, lip=lip)
    start, end, restlessness = quiet_stretch(units, detect(units))
    assert start >= 14.9
    assert end - start == pytest.approx(2, abs=0.05)
    assert restlessness < 0.01
    # Where there is no second without a smile there is no neutral face.
    busy = bumps((0.5, 19.5, 2.0))
    assert quiet_stretch(busy, detect(busy)) is None
    one = bumps((1.5, 20, 2.0))
    start, end, _ = quiet_stretch(one, detect(one))
    assert end - start == pytest.approx(1, abs=0.05)


def test_the_quietest_stretch_is_near_the_median_of_activity() -> None:
    units = bumps(length_s=12)
    # For two seconds the mouth is pressed together, as still as at any other time.
    lip = np.where(units.times < 3, 0.3, 0.5) + 1e-3 * np.sin(units.times * 20)
    start, _, _ = quiet_stretch(replace(units, lip=lip), [])
    assert start >= 3
