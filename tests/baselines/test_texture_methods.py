"""CLBP-TOP of the face and of its regions: Pfister et al. 2011 and Wu et al. 2014."""

import numpy as np
import pytest
from painted_smiles import PaintedView, features_of, smile

from smilelab import baselines
from smilelab.baselines import clbp, footage, pfister2011, wu2014
from smilelab.signals import lip_corner_distance


def test_blocks_are_those_that_a_loop_counts():
    codes = np.random.default_rng(0).integers(0, 10, (7, 9, 11)).astype(np.uint8)
    found = pfister2011._by_block(codes, 10, 2, (2, 3))
    assert found.shape == (2, 2, 3, 10)
    np.testing.assert_allclose(found.sum(-1), 1)
    # 7 frames in two parts: the frames k with 2 k // 7 = 0 are 0 to 3; 9 rows: 0 to 4; 11 columns: 0 to 3, to 7, to 10.
    for at, (t, y, x) in {
        (0, 0, 0): (slice(0, 4), slice(0, 5), slice(0, 4)),
        (1, 1, 2): (slice(4, 7), slice(5, 9), slice(8, 11)),
    }.items():
        wanted = [(codes[t, y, x] == code).mean() for code in range(10)]
        np.testing.assert_allclose(found[at], wanted)


def test_pfisters_features_are_shares_of_what_clbp_gives():
    view = PaintedView(smile(2.0), seconds=2.0, size=48)
    options = {"size": 48, "frames": 51, "radii": [2], "blocks": [2, 2], "parts": 1}
    found = pfister2011.texture(view, **options)
    assert set(found) == {"XY2", "XT2", "YT2"}
    # Stretched to as many frames as it has, a clip is itself.
    volume = footage.grey(view.frames, 48)
    codes, centre = clbp.codes(volume, "XT", 2), clbp.bright(volume)
    corner = (slice(None), slice(0, 24), slice(24, 48))
    wanted = [
        *[(codes.signs[corner] == code).mean() for code in range(10)],
        *[((codes.magnitudes[corner] == code) & (centre[corner] == c)).mean() for code in range(10) for c in (0, 1)],
    ]
    np.testing.assert_allclose(found["XT2"][0, 0, 1], wanted, atol=1e-6)


def test_the_length_of_a_clip_does_not_tell():
    # The same course in twice the time is the same stretched clip; a smile that stays is another one.
    short = PaintedView(lambda t: 0.2 * np.sin(np.pi * t / 2), seconds=2.0)
    long = PaintedView(lambda t: 0.2 * np.sin(np.pi * t / 4), seconds=4.0)
    staying = PaintedView(lambda t: 0.2 * np.sin(np.pi * np.minimum(t, 2.0) / 4), seconds=4.0)
    first, second, third = (features_of(baselines.build("pfister2011"), view) for view in (short, long, staying))
    for name, values in first.items():
        same, other = (np.linalg.norm(values - those[name]) for those in (second, third))
        assert same < 0.08 * np.linalg.norm(values)
        assert same < 0.5 * other


def test_regions_lie_about_their_points_and_inside():
    points = np.zeros((3, 68, 2))
    points[:, 36:42] = [[30, 40]] * 6
    points[:, 42:48] = [[62, 40]] * 6
    points[:, 30] = [[46, 58], [47, 58], [46, 59]]
    points[:, 48], points[:, 54] = [34, 75], [95, 2]
    found = wu2014.regions(points, 96, 0.25)
    assert found[0].tolist() == [18, 28, 42, 52]
    assert found[1].tolist() == [50, 28, 74, 52]
    assert found[2].tolist() == [34, 46, 58, 70]
    assert found[4].tolist() == [72, 0, 96, 24]


def test_dominant_patterns_are_the_fewest_that_make_up_their_share():
    histograms = np.array([[0.5, 0.1, 0.3, 0.1, 0.0], [0.0, 0.0, 0.0, 1.0, 0.0], [0.0] * 5])
    assert wu2014.dominant(histograms, 0.5)[0].tolist() == [True, False, False, False, False]
    assert wu2014.dominant(histograms, 0.8)[0].tolist() == [True, False, True, False, False]
    assert wu2014.dominant(histograms, 0.85)[0].tolist() == [True, True, True, False, False]
    assert wu2014.dominant(histograms, 1.0).sum(1).tolist() == [4, 1, 0]


def test_phases_that_a_smile_lacks_are_zeros_and_others_are_shares():
    baseline = baselines.build("wu2014")
    whole = features_of(baseline, PaintedView(smile(3.0), seconds=3.0))["patterns"]
    assert whole.shape == (3, 5, 3, 3, 200)
    np.testing.assert_allclose(whole.sum(-1), 1, atol=1e-5)
    rising = features_of(baseline, PaintedView(lambda t: 0.1 * t, seconds=2.0))["patterns"]
    np.testing.assert_allclose(rising.sum(-1)[0], 1, atol=1e-5)
    assert not rising[1:].any()
    assert not features_of(baseline, PaintedView(lambda t: 0 * t, seconds=2.0))["patterns"].any()


def test_phases_are_where_the_lips_are():
    # The texture of the mouth in the apex is that of the smile that is held there.
    view = PaintedView(smile(4.0, onset=0.5, start=0.4), seconds=4.0)
    held = PaintedView(lambda t: np.full_like(t, 0.3), seconds=4.0)
    found = features_of(baselines.build("wu2014"), view)["patterns"][1, :, 0]
    held.landmarks = view.landmarks
    wanted = features_of(baselines.build("wu2014"), held)["patterns"][1, :, 0]
    rest = PaintedView(lambda t: 0 * t, seconds=4.0)
    rest.landmarks = view.landmarks
    other = features_of(baselines.build("wu2014"), rest)["patterns"][1, :, 0]
    lips = [wu2014.REGIONS.index("right lip corner"), wu2014.REGIONS.index("left lip corner")]
    assert np.ptp(lip_corner_distance(view.landmarks)) > 0.2
    assert np.abs(found - wanted)[lips].sum() < 0.5 * np.abs(found - other)[lips].sum()


@pytest.mark.parametrize("machines", [("svm",), ("kernels",), ("forest",), ("forest", "svm")])
def test_each_of_pfisters_machines_learns_and_is_kept(machines):
    generator = np.random.default_rng(0)
    options = {"frames": 6, "radii": (1,), "blocks": (1, 1), "parts": 1, "machines": machines}
    labels, subjects = np.arange(40) % 2, np.array([f"s{k // 2}" for k in range(40)])
    rows = [
        {name: generator.dirichlet(np.ones(30) + 3 * label * (np.arange(30) < 4)) for name in ("XY1", "XT1", "YT1")}
        for label in labels
    ]
    baseline = baselines.build("pfister2011", **options)
    baseline.learn(rows[:30], labels[:30], subjects[:30], seed=0)
    assert ((baseline.decide(rows[30:]) > 0) == labels[30:]).mean() >= 0.9
    again = baselines.build("pfister2011", **options)
    again.load_state(baseline.state())
    np.testing.assert_array_equal(again.decide(rows), baseline.decide(rows))


def test_patterns_that_are_dominant_in_a_class_are_kept():
    generator = np.random.default_rng(0)
    labels, subjects = np.arange(24) % 2, np.array([f"s{k // 2}" for k in range(24)])
    # Spontaneous clips have the patterns 10 to 13 much more often, posed ones 20 to 23.
    rows = []
    for label in labels:
        likely = np.full(200, 0.01)
        likely[10 + 10 * (1 - label) : 14 + 10 * (1 - label)] = 5.0
        rows.append({"patterns": generator.dirichlet(likely, (3, 5, 3, 1))})
    baseline = baselines.build("wu2014", radii=(1,))
    baseline.learn(rows[:18], labels[:18], subjects[:18], seed=0)
    kept = np.zeros(3 * 5 * 3 * 200, bool)
    kept[baseline._kept] = True
    often = kept.reshape(-1, 200).mean(0)
    assert set(np.flatnonzero(often > 0.5)) == {10, 11, 12, 13, 20, 21, 22, 23}
    assert ((baseline.decide(rows[18:]) > 0) == labels[18:]).all()
