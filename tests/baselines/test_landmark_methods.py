"""Methods on landmarks: they find what was planted, whatever the camera, and keep to numbers on odd clips."""

import numpy as np
import pandas as pd
import pytest
from drawn_faces import mirrored, placed, symmetric_face
from made_smiles import SmileStore, TraceStore, smile, store_of_smiles
from scipy.stats import multivariate_normal
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from smilelab import baselines
from smilelab.baselines import cohn2004, dibeklioglu2010, valstar2007, wang2020
from smilelab.baselines.clip_samples import FeatureError, View
from smilelab.baselines.landmark_signals import signals_of
from smilelab.baselines.phase_features import NAMES
from smilelab.signals import Phases

METHODS = {
    "cohn2004": {},
    "dibeklioglu2010": {"states": (2,), "costs": (10.0,), "folds": 3},
    "dibeklioglu2015": {"costs": (10.0,), "folds": 3},
    "valstar2007": {"costs": (10.0,), "counts": (10,), "folds": 3},
    "wang2020": {"factors": (1, 4), "folds": 3},
}
TIMES = np.arange(75) / 25


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    return store_of_smiles(tmp_path_factory.mktemp("known"))


@pytest.fixture(scope="module")
def unseen(tmp_path_factory):
    return store_of_smiles(tmp_path_factory.mktemp("unseen"), subjects=6, seed=7)


def features(name, folder, times, landmarks):
    view = View(SmileStore(folder).add("x", times, landmarks), "x")
    return {
        key: value for each in baselines.extractors(name) for key, value in each.compute(view, **each.options).items()
    }


@pytest.mark.parametrize("name", METHODS)
def test_planted_smiles_of_unseen_subjects_are_told_apart(name, known, unseen):
    method = baselines.build(name, **METHODS[name])
    samples, labels = known.samples()
    method.fit(samples, labels, seed=0)
    new, truth = unseen.samples()
    scores = method.score(new)
    assert ((scores > 0.5) == truth).mean() >= 0.9
    again = baselines.build(name, **METHODS[name])
    again.load_state({key: np.array(value) for key, value in method.state().items()})
    np.testing.assert_array_equal(again.score(new), scores)
    same = baselines.build(name, **METHODS[name])
    same.fit(samples, labels, seed=0)
    np.testing.assert_array_equal(same.score(new), scores)


@pytest.mark.parametrize("name", METHODS)
def test_few_clips_of_one_class_are_enough(name, known, unseen):
    # As in SPOS: 14 posed clips, here of three subjects, and one of them alone in the next.
    for posed in (["s00", "s01", "s02"], ["s00"]):
        rows = known.table[(known.table["label"] == 1) | known.table["subject"].isin(posed)].index.to_numpy()
        samples, labels = known.samples(rows)
        method = baselines.build(name, **METHODS[name])
        method.fit(samples, labels, seed=0)
        scores = method.score(unseen.samples()[0])
        assert np.isfinite(scores).all()
        assert np.ptp(scores) > 0


ODD = {
    "eight frames": (TIMES[:8], smile(TIMES)[10:18]),
    "two frames": (TIMES[:2], smile(TIMES)[10:12]),
    "one frame": (TIMES[:1], smile(TIMES)[:1]),
    "a still face": (TIMES, np.repeat(symmetric_face()[None], 75, 0)),
    "a rise alone": (TIMES[:20], smile(TIMES)[:20]),
    "a fall alone": (TIMES[:20], smile(TIMES)[45:65]),
    "a blink": (TIMES, smile(TIMES, blink=1.0)),
    "frames at odd times": (np.cumsum(np.tile([0.02, 0.05, 0.04], 25)), smile(TIMES)),
    "noise alone": (TIMES, symmetric_face() + 0.01 * np.random.default_rng(0).normal(size=(75, 68, 2))),
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("odd", ODD)
def test_odd_clips_give_numbers_of_the_usual_shape(name, odd, tmp_path):
    times, points = ODD[odd]
    found = features(name, tmp_path, times, placed(points))
    usual = features(name, tmp_path, TIMES, placed(smile(TIMES)))
    assert found.keys() == usual.keys()
    for key, value in found.items():
        assert np.isfinite(value).all()
        assert np.shape(value)[-1:] == np.shape(usual[key])[-1:]
    gappy = placed(points).copy()
    gappy[1:-1:3] = np.nan
    assert all(np.isfinite(value).all() for value in features(name, tmp_path, times, gappy).values())


@pytest.mark.parametrize("name", METHODS)
def test_the_pictures_scale_does_not_matter(name, tmp_path):
    points = smile(TIMES, noise=0.002, blink=1.9)
    plain = features(name, tmp_path, TIMES, placed(points, scale=40))
    large = features(name, tmp_path, TIMES, placed(points, scale=160, at=(800, 600)))
    for key, value in plain.items():
        np.testing.assert_allclose(large[key], value, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("start", [0.0, 0.013])
def test_the_frame_rate_does_not_matter(name, tmp_path, start):
    # The faster camera's frames need not fall on the slower one's.
    slow, fast = (
        features(name, tmp_path, times, placed(smile(times, size=0.2)))
        for times in (np.arange(0, 3, 1 / 25), np.arange(start, 3, 1 / 50))
    )
    for key, value in slow.items():
        if key != "course":
            # A phase of 18 samples may have one more or less that rises.
            atol = (0.05 if start == 0 else 0.06) * np.abs(value).max()
            np.testing.assert_allclose(fast[key], value, rtol=0.05, atol=atol)


def test_onset_by_hand(tmp_path):
    # A ramp of three units within one second; the smoothing rounds its ends, by two samples each.
    times = np.arange(100) / 25
    amplitude = np.interp(times, [1, 2, 3, 3.5], [0, 3, 3, 0])
    size, duration, ratio = cohn2004.onset(amplitude, times)
    assert size == pytest.approx(3, abs=0.05)
    assert 1 <= duration <= 1 + 4 / 25 + 1e-9
    assert ratio == pytest.approx(size / duration)
    assert cohn2004.onset(np.ones(20), times[:20]).tolist() == [0, 0, 0]


def test_cohn_is_a_linear_discriminant_and_does_not_see_a_mirror(known, unseen, tmp_path):
    samples, labels = known.samples()
    method = baselines.build("cohn2004")
    method.fit(samples, labels, seed=0)
    rows, new = (
        np.stack([clip["onset"] for clip in chosen.features(method.extractors[0])])
        for chosen in (samples, unseen.samples()[0])
    )
    peer = LinearDiscriminantAnalysis().fit(rows, labels).decision_function(new)
    np.testing.assert_allclose(np.log(1 / (1 / method.score(unseen.samples()[0]) - 1)), peer, rtol=1e-3, atol=1e-3)
    points = placed(smile(TIMES, left=0.7))
    plain, other = (features("cohn2004", tmp_path, TIMES, each) for each in (points, mirrored(points, 400)))
    np.testing.assert_allclose(other["onset"], plain["onset"])


def test_cohn_takes_the_lip_corner_puller_of_traces(tmp_path):
    times = np.arange(150) / 50
    unit = np.interp(times, [0.5, 1.0, 2.0, 2.5], [0, 2, 2, 0])
    store = TraceStore(tmp_path, {"x": pd.DataFrame({"time_s": times, "AU06": 0 * unit, "AU12": unit})})
    (extractor,) = baselines.extractors("cohn2004")
    size, duration, ratio = extractor.compute(View(store, "x"), **extractor.options)["onset"]
    assert size == pytest.approx(2, rel=0.02)
    assert 0.5 <= duration <= 0.5 + 4 / 25 + 1e-9
    assert ratio == pytest.approx(size / duration)
    store.clips["x"] = store.clips["x"].drop(columns="AU12")
    with pytest.raises(FeatureError, match="x: found traces of time_s, AU06; expected AU12"):
        extractor.compute(View(store, "x"), **extractor.options)


def test_lid_angles_by_hand():
    face, shut = symmetric_face(), symmetric_face()
    shut[[37, 38, 43, 44], 1] = 0.1
    flat = symmetric_face()
    flat[[37, 38, 43, 44], 1] = 0.0
    # Corners half an eye distance apart, the lid a tenth above, then below their middle, then between them.
    opened = np.pi - 2 * np.arctan2(0.1, 0.25)
    found = dibeklioglu2010.lid_angles(np.stack([face, shut, flat]))
    np.testing.assert_allclose(found, [[opened, 2 * np.pi - opened, np.pi]] * 2)


def test_cosines_of_a_cosine_and_of_a_constant():
    at = (np.arange(320) + 0.5) / 320
    found = dibeklioglu2010.cosines(3 + np.cos(2 * np.pi * at))
    np.testing.assert_allclose(found, [3, 0, 0.5, 0, 0, 0, 0, 0], atol=0.01)
    half = dibeklioglu2010.cosines(3 + np.cos(2 * np.pi * (np.arange(160) + 0.5) / 160))
    np.testing.assert_allclose(half, found, atol=0.01)
    assert not dibeklioglu2010.cosines(np.array([2.0])).any()


def test_the_best_classifier_is_chosen_inside_and_kept(known):
    samples, labels = known.samples()
    for number, name in enumerate(dibeklioglu2010.CLASSIFIERS):
        method = baselines.build("dibeklioglu2010", classifiers=(name,), states=(2,), costs=(1.0,), folds=2)
        method.fit(samples, labels, seed=0)
        assert method.state()["chosen"][0] == number


def test_movements_of_the_twelve_points_by_hand():
    face, moved = symmetric_face(), symmetric_face()
    moved[[48, 54]] += [[-0.1, -0.02], [0.05, 0.04]]
    moved[57] += [0.03, 0.2]
    found = valstar2007.facial_movements(np.stack([face, moved]))
    assert found.shape == (12, 2, 2)
    assert not found[:, :, 0].any()
    np.testing.assert_allclose(found[8, :, 1], [0.1, 0.02])
    np.testing.assert_allclose(found[9, :, 1], [0.05, -0.04])
    np.testing.assert_allclose(found[11, :, 1], [0.03, -0.2])
    assert not found[:8].any()


def test_head_movements_by_hand():
    face = symmetric_face()
    moved = placed(face, scale=120, roll=0.2, at=(230, 140))
    found = valstar2007.head_movements(np.stack([placed(face, scale=60, roll=0.0), moved]))
    np.testing.assert_allclose(found[:, 0], 0, atol=1e-12)
    np.testing.assert_allclose(found[:, 1], [0.2, 30 / 60, -10 / 60, np.log(2)])


def test_parameters_by_hand():
    signal, times = np.array([[0.0, 1, 4, 3]]), np.arange(4) / 10
    # Speeds 10, 20, 10, -10.
    found = dict(zip(valstar2007.PARAMETERS, valstar2007.parameters(signal, times)[0], strict=True))
    expected = {
        **{"largest": 4, "smallest": 0, "mean": 2, "variation": np.sqrt(2.5), "net": 3},
        **{"fastest up": 20, "fastest down": 10, "mean speed": 12.5, "delay": 7 / (50 + 4 * 0.01)},
    }
    assert found == pytest.approx(expected)
    assert not valstar2007.parameters(signal[:, :1], times[:1]).any()


def test_displacement_is_apex_less_onset(tmp_path):
    times = np.arange(100) / 25
    points = smile(times, start=1.0, size=0.2, lids=0.0)
    found = wang2020.displacement(signals_of(View(SmileStore(tmp_path).add("x", times, placed(points)), "x")))
    assert found.shape == (51, 2)
    np.testing.assert_allclose(found[48 - 17], [-0.2, -0.1], atol=0.01)
    np.testing.assert_allclose(found[54 - 17], [0.2, -0.1], atol=0.01)
    np.testing.assert_allclose(found[36 - 17], 0, atol=1e-9)


def test_without_an_onset_the_displacement_starts_with_the_clip(tmp_path):
    clip = signals_of(View(SmileStore(tmp_path).add("x", TIMES, placed(smile(TIMES))), "x"))
    without = clip._replace(phases=Phases(None, None, None))
    np.testing.assert_allclose(wang2020.displacement(without), wang2020.displacement(clip), atol=0.01)


def test_the_larger_likelihood_wins(known, unseen):
    samples, labels = known.samples()
    method = baselines.build("wang2020", factors=(2,), floors=(0.2,))
    method.fit(samples, labels, seed=0)
    state, (new, _) = method.state(), unseen.samples()
    rows = np.stack([clip["displacement"].ravel() for clip in new.features(method.extractors[0])])
    rows = (rows - state["mean"]) / state["scale"]
    told = [
        multivariate_normal(
            state[f"mean.{label}"],
            state[f"loadings.{label}"].T @ state[f"loadings.{label}"] + np.diag(state[f"noise.{label}"]),
        ).logpdf(rows)
        for label in (0, 1)
    ]
    np.testing.assert_array_equal(method.score(new) > 0.5, told[1] > told[0])
    assert state["noise.0"].min() >= 0.2
    # Within each class the model's own clips are likelier than under the other one.
    assert ((told[1] > told[0]) == unseen.samples()[1]).mean() > 0.9


def test_planted_asymmetry_reaches_the_statistics(tmp_path):
    even, uneven = (
        features("dibeklioglu2015", tmp_path, TIMES, placed(smile(TIMES, left=left, size=0.2)))["lips"].reshape(3, 25)
        for left in (1.0, 0.7)
    )
    column = NAMES.index("difference of the sides")
    assert np.abs(even[:, column]).max() < 1e-9
    assert (uneven[:, column] > 0.02).all()


@pytest.mark.parametrize(
    ("name", "option", "message"),
    [
        ("cohn2004", {"longest_in": "frames"}, "longest_in is 'frames'"),
        ("dibeklioglu2010", {"classifiers": ("forest",)}, "classifiers are"),
        ("dibeklioglu2010", {"classifiers": ()}, "no candidate"),
        ("dibeklioglu2010", {"neighbours": (4,)}, "expected odd numbers"),
        ("dibeklioglu2015", {"rules": ("mean",)}, "rules are"),
        ("valstar2007", {"counts": ()}, "counts are"),
        ("wang2020", {"floors": (0.0,)}, "floors"),
    ],
)
def test_values_out_of_range_are_refused(name, option, message):
    with pytest.raises(ValueError, match=message):
        baselines.build(name, **option)


@pytest.mark.parametrize("name", METHODS)
def test_nothing_is_decided_before_it_is_fitted(name, unseen):
    with pytest.raises(ValueError, match="call fit"):
        baselines.build(name).score(unseen.samples()[0])
