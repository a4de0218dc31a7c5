"""What all methods on texture and motion promise: any rate, any size, odd clips, learning, states, refusals."""

import numpy as np
import pytest
import safetensors.numpy
from painted_smiles import PaintedView, features_of, smile

from smilelab import baselines

METHODS = ("pfister2011", "wu2014", "mandal2016", "mandal2017", "gan2015")


def apart(first, second):
    """Largest distance between two clips' features, as a share of their size, over the named arrays."""
    return max(np.linalg.norm(first[name] - second[name]) / np.linalg.norm(first[name]) for name in first)


@pytest.mark.parametrize("method", METHODS)
def test_features_at_25_and_50_frames_a_second_agree_within_5_percent(method):
    slow, fast = (
        features_of(baselines.build(method), PaintedView(smile(3.0), seconds=3.0, fps=fps)) for fps in (25.0, 50.0)
    )
    assert apart(slow, fast) < 0.05


@pytest.mark.parametrize("method", METHODS)
def test_features_of_crops_twice_as_large_agree(method):
    small, large = (
        features_of(baselines.build(method), PaintedView(smile(3.0), seconds=3.0, size=size)) for size in (96, 192)
    )
    other = features_of(baselines.build(method), PaintedView(smile(3.0), seconds=3.0, face=1))
    assert apart(small, large) < 0.2
    assert apart(small, large) < 0.5 * apart(small, other)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "clip",
    [
        {"amplitude": smile(3.0), "seconds": 0.28},
        {"amplitude": lambda t: 0 * t, "seconds": 1.0},
        {"amplitude": smile(2.0), "seconds": 2.0, "bridged": range(10, 30)},
        {"amplitude": smile(2.0), "seconds": 2.0, "fps": 5.0},
        {"amplitude": smile(2.0), "seconds": 0.0},
        {"amplitude": smile(2.0), "seconds": 1.0, "size": 40},
    ],
    ids=["8 frames", "no phase", "bridged", "5 a second", "one frame", "40 px"],
)
def test_odd_clips_have_features_that_are_numbers(method, clip):
    baseline = baselines.build(method)
    usual = features_of(baseline, PaintedView(smile(2.0), seconds=2.0))
    found = features_of(baseline, PaintedView(**clip))
    assert {name: values.shape for name, values in found.items()} == {n: v.shape for n, v in usual.items()}
    assert all(np.isfinite(values).all() for values in found.values())


@pytest.mark.parametrize("method", METHODS)
def test_frames_without_a_face_are_bridged_and_clips_without_one_are_named(method):
    baseline = baselines.build(method)
    view = PaintedView(smile(2.0), seconds=2.0)
    view.landmarks[20:23], view.crop_landmarks[20:23] = np.nan, np.nan
    assert all(np.isfinite(values).all() for values in features_of(baseline, view).values())
    view.landmarks[:], view.crop_landmarks[:] = np.nan, np.nan
    if method in ("pfister2011", "mandal2016"):
        assert all(np.isfinite(values).all() for values in features_of(baseline, view).values())
    else:
        with pytest.raises(baselines.clip_samples.FeatureError, match="none of 51 frames has landmarks"):
            features_of(baseline, view)


@pytest.mark.parametrize("method", METHODS)
def test_each_learns_how_far_a_smile_goes_and_keeps_it(method, tmp_path):
    labels = np.tile([0, 1], 12)
    subjects = np.repeat([f"s{k:02d}" for k in range(12)], 2)
    generator = np.random.default_rng(0)
    baseline = baselines.build(method)
    rows = []
    for number, label in enumerate(labels):
        amplitude = smile(1.6, rise=(0.05, 0.35)[label] + generator.uniform(0, 0.1), onset=0.4)
        rows.append(features_of(baseline, PaintedView(amplitude, seconds=1.6, fps=12.5, face=number // 2)))
    train, test = slice(0, 16), slice(16, 24)
    baseline.learn(rows[train], labels[train], subjects[train], seed=0)
    found = baseline.decide(rows[test])
    assert ((found > 0) == labels[test]).mean() >= 0.75
    # The order is right, wherever the threshold of so few clips lies.
    assert (found[labels[test] == 1][:, None] > found[labels[test] == 0]).mean() >= 0.9

    again = baselines.build(method)
    again.learn(rows[train], labels[train], subjects[train], seed=0)
    np.testing.assert_array_equal(again.decide(rows[test]), found)
    state = {name: np.ascontiguousarray(value) for name, value in baseline.state().items()}
    safetensors.numpy.save_file(state, tmp_path / "model.safetensors")
    kept = baselines.build(method)
    kept.load_state(safetensors.numpy.load_file(tmp_path / "model.safetensors"))
    np.testing.assert_array_equal(kept.decide(rows[test]), found)
    assert (tmp_path / "model.safetensors").stat().st_size < 4e6


@pytest.mark.parametrize("method", METHODS)
def test_few_subjects_are_enough_to_fit(method):
    # Three posed clips of one subject: there are no inner folds with both classes on each side.
    generator = np.random.default_rng(1)
    baseline = baselines.build(method)
    shapes = {n: v.shape for n, v in features_of(baseline, PaintedView(smile(1.0), seconds=1.0, fps=12.5)).items()}
    rows = [{name: generator.uniform(0, 0.1, shape) for name, shape in shapes.items()} for _ in range(9)]
    labels, subjects = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1]), np.array(list("aaabbccdd"))
    baseline.learn(rows, labels, subjects, seed=0)
    assert np.isfinite(baseline.decide(rows)).all()


@pytest.mark.parametrize(
    ("method", "option"),
    [
        *[("pfister2011", o) for o in ({"machines": ("tree",)}, {"radii": (0,)}, {"blocks": (0, 4)})],
        *[("wu2014", o) for o in ({"radii": ()}, {"shares": (1.5,)}, {"side": 0}, {"agreement": 2}, {"rate": 0})],
        *[("mandal2016", o) for o in ({"families": ("vgg",)}, {"band": "box"}, {"coefficients": 0}, {"magnify": -1})],
        *[("mandal2017", o) for o in ({"coefficients": 0}, {"rate": 0}, {"smoothing": 0})],
        *[("gan2015", o) for o in ({"units": ()}, {"limit": 0}, {"passes": 0})],
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_values_out_of_range_are_refused_by_name(method, option):
    with pytest.raises(ValueError, match=next(iter(option))):
        baselines.build(method, **option)
