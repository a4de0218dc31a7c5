"""Amplitude signals against numbers by hand, against the simulator's truth, and through changes that do not matter."""

import numpy as np
import pandas as pd
import pytest
from drawn_faces import mirrored, placed, symmetric_face
from made_smiles import SmileStore, TraceStore, smile

from smilelab import datasets
from smilelab.baselines.clip_samples import FeatureError, View
from smilelab.baselines.landmark_signals import RATE, amplitudes, at_steady_rate, signals_of, smoothed
from smilelab.preprocess.build import build
from smilelab.preprocess.recipe import Recipe
from smilelab.signals import face_coordinates, lip_corner_distance
from smilelab.simulator.databases import truth_folder

TIMES = np.arange(75) / 25


def signals(folder, times, landmarks, **options):
    return signals_of(View(SmileStore(folder).add("x", times, landmarks), "x"), **options)


def test_lip_signal_is_the_mean_of_both_sides_and_agrees_with_the_known_one():
    generator = np.random.default_rng(0)
    points = symmetric_face() + 0.03 * generator.standard_normal((7, 68, 2))
    # Eye centres at the same place throughout, so that both signals see the same coordinates.
    points[:, 36:48] = symmetric_face()[36:48]
    lips, _, cheeks = amplitudes(points)
    np.testing.assert_allclose(lips.mean(0), lip_corner_distance(points))
    assert lips.mean(0)[0] == pytest.approx(0.5)
    assert cheeks.mean(0)[0] == pytest.approx(0.5)


def test_cheeks_by_hand():
    face, raised = symmetric_face(), symmetric_face()
    # Jaw at (+-.86, .43), side of the nose at (+-.2, .72): cheeks at (+-.53, .575), 1.06 apart.
    raised[[2, 14, 31, 35], 1] -= 0.1
    _, _, cheeks = amplitudes(np.stack([face, raised]))
    np.testing.assert_allclose(cheeks[:, 1], np.hypot(0.53, 0.1) / 1.06)


def test_eyelid_signal_by_hand_and_negative_where_the_lid_is_below_its_corners():
    face = symmetric_face()
    shut = face.copy()
    shut[[37, 38, 43, 44], 1] = 0.05
    _, lids, _ = amplitudes(np.stack([face, shut]))
    # Lids are 0.1 above, then 0.05 below the middle of corners that are half an eye distance apart.
    np.testing.assert_allclose(lids, [[0.2, -0.1], [0.2, -0.1]])
    wide = face.copy()
    wide[36, 0] -= 0.25
    # The width is that of the right eye; its lid is now to the side of the middle too.
    np.testing.assert_allclose(amplitudes(wide[None])[1, :, 0], [np.hypot(0.1, 0.125) / 0.75, 0.1 / 0.75])


def test_even_sampling_by_hand():
    times, values = at_steady_rate([1.0, 1.1, 1.3], [[0.0, 5.0], [1.0, 5.0], [5.0, 7.0]], rate=20.0)
    np.testing.assert_allclose(times, [1.0, 1.05, 1.1, 1.15, 1.2, 1.25, 1.3])
    np.testing.assert_allclose(values[:, 0], [0, 0.5, 1, 2, 3, 4, 5])
    np.testing.assert_allclose(values[-1], [5, 7])
    assert at_steady_rate([3.0], [[2.0]])[1].tolist() == [[2.0]]


def test_smoothing_goes_along_time():
    both = np.stack([np.arange(20.0), 40 - np.arange(20.0)])
    both[:, 9] += 30
    np.testing.assert_allclose(
        smoothed(both)[:, 4:-4], np.stack([np.arange(20.0), 40 - np.arange(20.0)])[:, 4:-4], atol=1
    )


@pytest.mark.parametrize("scale", [20.0, 200.0])
def test_place_size_and_roll_of_the_head_do_not_matter(tmp_path, scale):
    points = smile(TIMES, noise=0.003)
    plain = signals(tmp_path, TIMES, placed(points))
    moved = signals(tmp_path, TIMES, placed(points, scale=scale, roll=-0.2, at=(5, 7)))
    np.testing.assert_allclose(moved.sides, plain.sides, atol=1e-9)
    assert np.array(moved.phases) == pytest.approx(np.array(plain.phases))


def test_a_mirrored_face_exchanges_the_sides_of_lips_and_cheeks(tmp_path):
    points = placed(smile(TIMES, left=0.6))
    plain, other = signals(tmp_path, TIMES, points), signals(tmp_path, TIMES, mirrored(points, 400))
    np.testing.assert_allclose(other.sides[:, ::-1], plain.sides, atol=1e-9)
    assert np.ptp(plain.sides[0, 0]) > 1.3 * np.ptp(plain.sides[0, 1])


def test_signals_have_one_rate_whatever_the_video_has(tmp_path):
    for fps in (12.5, 29.97, 60):
        times = 7.0 + np.arange(int(3 * fps)) / fps
        found = signals(tmp_path, times, placed(smile(times - 7)))
        np.testing.assert_allclose(np.diff(found.times), 1 / RATE)
        assert found.phases.onset == pytest.approx((7.4, 8.0), abs=0.12)
        assert found.phases.offset == pytest.approx((8.8, 9.4), abs=0.12)


def test_frames_without_landmarks_are_bridged(tmp_path):
    landmarks = placed(smile(TIMES))
    gappy = landmarks.copy()
    gappy[[0, 20, 21, 74]] = np.nan
    found = signals(tmp_path, TIMES, gappy)
    assert np.isfinite(found.sides).all()
    np.testing.assert_allclose(found.pixels[20], landmarks[19] + (landmarks[22] - landmarks[19]) / 3)
    np.testing.assert_allclose(found.pixels[0], landmarks[1])


def test_clips_without_landmarks_are_refused_by_name(tmp_path):
    with pytest.raises(FeatureError, match="x: none of 75 frames has landmarks"):
        signals(tmp_path, TIMES, np.full((75, 68, 2), np.nan))
    with pytest.raises(FeatureError, match="holds traces of action units, expected landmarks"):
        signals_of(View(TraceStore(tmp_path, {"x": pd.DataFrame({"time_s": TIMES})}), "x"))


def test_lip_signal_of_simulated_videos_follows_the_truth(simulated_uva_nemo, tmp_path):
    database = datasets.open("uva-nemo", simulated_uva_nemo)
    store = build(database, Recipe(crop="chip", size=96, fps=25.0), tmp_path, jobs=1, progress=False)
    agreed = []
    for clip_id in store.usable.index:
        with np.load(truth_folder(simulated_uva_nemo) / f"{clip_id}.npz") as arrays:
            times, true = arrays["times"], lip_corner_distance(arrays["landmarks"])
        found = signals_of(View(store, clip_id))
        agreed.append(np.corrcoef(found.sides[0].mean(0), np.interp(found.times, times, true))[0, 1])
    assert len(agreed) == 10
    assert np.median(agreed) >= 0.95
    assert np.quantile(agreed, 0.1) >= 0.85


def test_face_coordinates_are_given_with_the_signals(tmp_path):
    points = smile(TIMES)
    found = signals(tmp_path, TIMES, placed(points))
    np.testing.assert_allclose(found.points, face_coordinates(found.pixels))
    np.testing.assert_allclose(found.points, points, atol=1e-9)
