"""Courses of descriptors, tracked points and dense flow, apex minus onset: Mandal 2016 and 2017, Gan 2015."""

import numpy as np
import pytest
from painted_smiles import CORNERS, PaintedView, features_of, smile

from smilelab import baselines
from smilelab.baselines import mandal2017
from smilelab.signals import eye_centres


def unit_of(view):
    return np.linalg.norm(np.diff(eye_centres(view.crop_landmarks[0]), axis=0))


def test_tracked_points_follow_the_skin():
    view = PaintedView(smile(3.0), seconds=3.0)
    found = mandal2017.tracked(view.frames[..., 0], view.crop_landmarks[:, mandal2017.POINTS], 4.0)
    for corner in CORNERS:
        way = found[:, mandal2017.POINTS.index(corner)] - view.crop_landmarks[:, corner]
        # The corners move by several px.
        assert np.ptp(view.crop_landmarks[:, corner, 0]) > 5
        assert np.abs(way).max() < 1.0
    still = found[:, mandal2017.POINTS.index(36)]
    assert np.ptp(still, axis=0).max() < 0.3


def test_points_do_not_follow_landmarks_where_they_see_the_skin():
    view = PaintedView(lambda t: 0 * t, seconds=1.0)
    moving = view.crop_landmarks[:, mandal2017.POINTS] + np.linspace(0, 2, len(view.times))[:, None, None]
    assert np.abs(mandal2017.tracked(view.frames[..., 0], moving, 4.0) - moving[0]).max() < 0.3
    # Where there is nothing to see, the landmarks are all there is.
    np.testing.assert_allclose(mandal2017.tracked(np.full((26, 96, 96), 90, np.uint8), moving, 4.0), moving)
    # What strays from its landmark starts there anew: at 1 px on either axis it is 1.4 px away.
    found = mandal2017.tracked(view.frames[..., 0], moving, 1.4)
    assert np.linalg.norm(found - moving, axis=-1).max() < 1.4 + 1e-9
    assert np.abs(found[-1] - moving[-1]).max() < 1.4


def test_amplitude_speed_and_acceleration_are_those_of_the_painted_smile():
    view = PaintedView(smile(4.0, rise=0.25, onset=0.8), seconds=4.0)
    found = features_of(baselines.build("mandal2017", smoothing=0.04), view)["points"]
    assert found.shape == (9, 3, 32)
    # The tracker's window takes in skin that moves a little less than the corner.
    for corner in CORNERS:
        maximum = found[2, :, mandal2017.POINTS.index(corner)]
        course = (view.crop_landmarks[:, corner] - view.crop_landmarks[0, corner]) / unit_of(view)
        speed = np.gradient(course, 1 / 25, axis=0)
        for told, of, within in (
            *((maximum[0], course, 0.12), (maximum[1], speed, 0.15)),
            (maximum[2], np.gradient(speed, 1 / 25, axis=0), 0.3),
        ):
            assert told == pytest.approx(np.linalg.norm(of, axis=1).max(), rel=within)
    assert found[2, 0, mandal2017.POINTS.index(36)] < 0.02


def test_the_mouth_flows_and_the_eyes_do_not():
    moving = features_of(baselines.build("mandal2017"), PaintedView(smile(3.0), seconds=3.0))["flow"]
    still = features_of(baselines.build("mandal2017"), PaintedView(lambda t: 0 * t, seconds=3.0))["flow"]
    assert moving.shape == (9, 3, 9)
    assert moving[0, 2, 0] > 3 * moving[0, :2, 0].max()
    assert still.max() < 0.02 * moving.max()
    # Mean speed is the sum of its parts by direction.
    np.testing.assert_allclose(moving[0, :, 0], moving[0, :, 1:].sum(1), rtol=1e-5)


def test_each_family_of_descriptors_sees_its_own():
    built = baselines.build("mandal2016")
    moving = features_of(built, PaintedView(smile(3.0), seconds=3.0))
    still = features_of(built, PaintedView(lambda t: 0 * t, seconds=3.0))
    other = features_of(built, PaintedView(lambda t: 0 * t, seconds=3.0, face=1))
    shapes = {name: values.shape for name, values in moving.items()}
    assert shapes == {"hog": (10, 900), "lpq": (10, 9, 256), "flow": (10, 16, 8)}
    assert still["flow"][0].sum() < 0.1 * moving["flow"][0].sum()
    for name in ("hog", "lpq"):
        # Without motion there are means alone, and they tell faces apart.
        assert np.abs(still[name][1:]).max() < 1e-6
        assert np.abs(moving[name][1:]).max() > 1e-3
        assert np.linalg.norm(still[name] - other[name]) > 0.1 * np.linalg.norm(still[name])
    np.testing.assert_allclose(still["lpq"][0].sum(-1), 1, rtol=1e-5)


def test_hog_is_that_of_one_picture_where_nothing_moves():
    from skimage.feature import hog

    view = PaintedView(lambda t: 0 * t, seconds=1.0)
    found = features_of(baselines.build("mandal2016"), view)["hog"]
    wanted = hog(view.frames[0, :, :, 0], orientations=9, pixels_per_cell=(16, 16), cells_per_block=(2, 2))
    np.testing.assert_allclose(found[0], wanted, atol=1e-5)


@pytest.mark.parametrize("band", ["butterworth", "ideal"])
def test_magnified_smiles_flow_further(band):
    view = PaintedView(lambda t: 0.03 * np.sin(2 * np.pi * t), seconds=3.0)
    plain, louder = (
        features_of(baselines.build("mandal2016", magnify=factor, band=band), view)["flow"][0].sum()
        for factor in (0.0, 3.0)
    )
    assert louder > 1.3 * plain


def test_the_change_of_a_face_is_apex_minus_onset():
    view = PaintedView(smile(3.0, onset=0.6, start=0.5), seconds=3.0)
    found = features_of(baselines.build("gan2015", size=96, span=0.0), view)["change"]
    frames = view.frames[..., 0].astype(float)
    # At rest until 0.5 s, and held from 1.1 s on.
    np.testing.assert_allclose(found, (frames[40] - frames[5]) / 255, atol=0.02)
    assert np.abs(found).max() > 0.2
    small = features_of(baselines.build("gan2015", size=32, span=0.0), view)["change"]
    np.testing.assert_allclose(small, found.reshape(32, 3, 32, 3).mean((1, 3)), atol=1e-6)
    averaged = features_of(baselines.build("gan2015", size=96, span=0.2), view)["change"]
    np.testing.assert_allclose(averaged, found, atol=0.2)
    assert not features_of(baselines.build("gan2015"), PaintedView(lambda t: 0 * t))["change"].any()


def test_a_mouth_that_was_wider_before_the_onset_is_not_the_apex():
    view = PaintedView(lambda t: 0.3 * np.interp(t, [0.2, 0.8, 1.4, 2.4], [1.0, 0.0, 0.0, 0.8]), seconds=3.0)
    found = features_of(baselines.build("gan2015", size=96, span=0.0), view)["change"]
    frames = view.frames[..., 0].astype(float)
    np.testing.assert_allclose(found, (frames[70] - frames[30]) / 255, atol=0.05)


def test_layers_are_scikit_learns_from_the_bottom_up():
    from sklearn.neural_network import BernoulliRBM

    generator = np.random.default_rng(0)
    labels, subjects = np.arange(20) % 2, np.array([f"s{k // 2}" for k in range(20)])
    rows = [{"change": generator.uniform(-0.3, 0.3, (6, 6)) + 0.1 * label} for label in labels]
    baseline = baselines.build("gan2015", units=(8, 4), passes=3)
    baseline.learn(rows, labels, subjects, seed=5)
    moved = np.stack([row["change"].ravel() for row in rows]) / 0.25
    values = np.concatenate([moved.clip(0, 1), (-moved).clip(0, 1)], 1)
    assert values.min() == 0
    assert values.max() == 1
    assert {name: value.shape for name, value in baseline.state().items() if "layer" in name} == {
        **{"layer0.weights": (8, 72), "layer0.offsets": (8,)},
        **{"layer1.weights": (4, 8), "layer1.offsets": (4,)},
    }
    for number, count in enumerate((8, 4)):
        state = np.random.RandomState([5, number])
        peer = BernoulliRBM(count, learning_rate=0.1, batch_size=10, n_iter=3, random_state=state).fit(values)
        np.testing.assert_allclose(baseline._layers[number][0], peer.components_, rtol=1e-4, atol=1e-6)
        values = peer.transform(values)
    np.testing.assert_allclose(baseline._machine.decide([values]), baseline.decide(rows), rtol=1e-3, atol=1e-4)
