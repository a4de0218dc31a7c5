"""AUDA: dynamics and phases by hand, counts of features, frame rate, and what it learns from simulated traces."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import linregress
from written_traces import write_traces

from smilelab import baselines, datasets
from smilelab.baselines import au_dynamics
from smilelab.baselines.au_features import RANGES, au_wise, cross_au, of_clip
from smilelab.baselines.auda2021 import PIECES
from smilelab.baselines.clip_samples import FeatureError, View, prepare
from smilelab.baselines.machines import inner_folds
from smilelab.baselines.stacking import StackedVectors, eliminated, nested_sets
from smilelab.preprocess.traces import UNITS, build_traces
from smilelab.simulator import databases
from smilelab.simulator.au_traces import folder as traces_folder

RATE = 50.0


def ramp(length_s=4.0, rise=(0.5, 1.0), fall=(3.0, 3.5), rate=RATE):
    """A smile of straight lines: 0, up to 2, held, down to 0."""
    times = np.arange(round(length_s * rate)) / rate
    return times, np.interp(times, [*rise, *fall], [0.0, 2.0, 2.0, 0.0])


def smooth_smile(times, at=0.5):
    """A smile with soft edges: up within a second from `at`, held with a wave, down within a second."""
    up, down = (np.clip(times - start, 0, 1) for start in (at, at + 2.5))
    level = (1 - np.cos(np.pi * up)) / 2 - (1 - np.cos(np.pi * down)) / 2
    return 2.5 * level * (1 + 0.1 * np.sin(2 * np.pi * 0.7 * times))


def traces_of(times):
    """17 units that all do something of their own."""
    found = np.stack([smooth_smile(times, 0.3 + 0.04 * k) * (0.2 + 0.1 * k) for k in range(17)], axis=1)
    return found + 0.3 + 0.1 * np.sin(times[:, None] * np.arange(1, 18) / 3)


def test_slopes_of_a_few_numbers_by_hand():
    signal = np.array([0.0, 1.0, 4.0, 2.0])
    # Windows of 3 at a step of 1 s, ends repeated: (0 0 1), (0 1 4), (1 4 2), (4 2 2); slope = (last - first) / 2.
    np.testing.assert_allclose(au_dynamics.slopes(signal, 3, 1.0), [0.5, 2.0, 0.5, -1.0])
    # |r|: (0 0 1): sqrt(3)/2; (0 1 4): 4 / (sqrt 2 sqrt(26/3)); (1 4 2): 1 / (sqrt 2 sqrt(14/3)); (4 2 2): sqrt(3)/2.
    r = np.array([np.sqrt(3) / 2, 4 / np.sqrt(52 / 3), 1 / np.sqrt(28 / 3), np.sqrt(3) / 2])
    np.testing.assert_allclose(au_dynamics.adjusted(signal, 3, 1.0), [0.5, 2.0, 0.5, -1.0] * r)
    # Frames are 1/50 s apart, and so slopes 50 times as steep.
    np.testing.assert_allclose(au_dynamics.slopes(signal, 3, 50.0), [25, 100, 25, -50])


@pytest.mark.parametrize("window", [9, 27])
def test_slopes_are_those_of_a_regression(window):
    signal = np.random.default_rng(0).normal(size=(60, 3))
    padded = np.pad(signal, [(window // 2, window // 2), (0, 0)], mode="edge")
    for at, unit in [(0, 0), (13, 1), (59, 2)]:
        line = linregress(np.arange(window) / RATE, padded[at : at + window, unit])
        assert au_dynamics.slopes(signal, window, RATE)[at, unit] == pytest.approx(line.slope)
        assert au_dynamics.adjusted(signal, window, RATE)[at, unit] == pytest.approx(line.slope * abs(line.rvalue))


def test_a_straight_line_fits_and_a_constant_has_no_slope():
    line = np.linspace(0, 3, 101)
    inner = slice(13, -13)
    np.testing.assert_allclose(au_dynamics.slopes(line, 27, RATE)[inner], 1.5)
    np.testing.assert_allclose(au_dynamics.adjusted(line, 27, RATE)[inner], 1.5)
    assert (au_dynamics.adjusted(np.full(40, 1.1), 9, RATE) == 0).all()
    for window in (2, 8, 1):
        with pytest.raises(ValueError, match="expected an odd number from 3"):
            au_dynamics.slopes(line, window, RATE)


def test_the_median_takes_single_frames_away():
    signal = np.array([[1.0, 5], [9, 5], [1, 6], [2, 7]])
    np.testing.assert_array_equal(au_dynamics.median_of_3(signal), [[1, 5], [1, 5], [2, 6], [2, 7]])


def test_phases_of_straight_lines_by_hand():
    times, signal = ramp()
    (smile,) = au_dynamics.find_smiles(signal, RATE)
    whole, onset, apex, offset = (np.array(times[list(span)]) for span in smile)
    # A window of 27 frames, 0.26 s to either side, meets the rise 0.26 s before it begins; the first slope above 0 is a
    # frame later, when the first risen frame, 0.52, is the window's last.
    assert whole[0] == pytest.approx(0.52 - 0.26)
    # The slope is steepest, 4 / s, where the window lies within the rise, around 0.75 s, and falls fastest where as
    # much of the window is past the bend as the parabola of its kernel says: near 1.0, by symmetry of bend and window.
    assert apex[0] == pytest.approx(1.0, abs=0.1)
    assert apex[1] == pytest.approx(3.0, abs=0.1)
    assert onset[0] == whole[0]
    assert onset[1] == pytest.approx(apex[0] - 1 / RATE)
    assert offset[0] == pytest.approx(apex[1] + 1 / RATE)
    assert offset[1] == whole[1] == times[-1]


def test_a_smile_ends_where_the_next_rise_begins():
    _, one = ramp()
    values = np.concatenate([one, 0.5 * one])
    first, second = au_dynamics.find_smiles(values, RATE)
    assert first.whole[1] == second.whole[0] == len(one) + 26 - 13
    assert au_dynamics.largest_smile([first, second], values) is first
    assert au_dynamics.largest_smile([first, second], -values + values.max()) is not None
    assert au_dynamics.largest_smile([], values) is None


def test_short_smiles_are_dropped():
    # A rise of 0.4 s and its fall, and at once a smile: the next rise begins before the first second is over.
    _, short = ramp(0.9, (0.2, 0.4), (0.4, 0.6))
    _, long = ramp(4.0, (0.1, 0.6), (3.0, 3.5))
    (found,) = au_dynamics.find_smiles(np.concatenate([0.3 * short, long]), RATE)
    assert 20 < found.whole[0] < 50
    assert len(au_dynamics.find_smiles(np.concatenate([0.3 * short, np.zeros(60), long]), RATE)) == 2
    assert au_dynamics.find_smiles(short, RATE) == []
    assert au_dynamics.find_smiles(np.zeros(200), RATE) == []


def test_a_dip_stays_within_a_smile_unless_it_is_half_of_it():
    times = np.arange(300) / RATE
    for depth, count in ((0.7, 1), (1.6, 2)):
        dip = depth * np.exp(-(((times - 3) / 0.3) ** 2))
        signal = np.interp(times, [0.5, 1, 5, 5.5], [0, 2, 2, 0]) - dip
        assert len(au_dynamics.find_smiles(signal, RATE)) == count


@given(st.floats(0.1, 10), st.floats(-5, 5), st.sampled_from([0.0, 0.05]))
@settings(deadline=None, max_examples=40)
def test_level_and_scale_of_the_intensity_do_not_matter(scale, level, ripple):
    _, signal = ramp()  # without a ripple it rests at exactly one value
    signal = signal + ripple * np.sin(np.arange(len(signal)))
    assert au_dynamics.find_smiles(scale * signal + level, RATE) == au_dynamics.find_smiles(signal, RATE)


def test_the_features_of_two_units_by_hand():
    traces = np.array([[0.0, 1.0], [2.0, 1.0], [1.0, 4.0]])
    slope = np.array([[1.0, 0.0], [2.0, 3.0], [-1.0, 4.0]])
    found = au_wise(traces, [slope, 10 * slope])
    # Amplitude, mean, largest; mean slope of either window, largest slope of either.
    expected = [[2, 3], [1, 2], [2, 4], [2 / 3, 7 / 3], [20 / 3, 70 / 3], [2, 4], [20, 40]]
    np.testing.assert_allclose(found, expected)
    # Differences 1, -1, -5; the largest slopes at frames 1 and 2, the smallest at 2 and 0, a frame is 0.02 s.
    np.testing.assert_allclose(cross_au(slope, slope, RATE)[:, 0], [-5, 1, -0.02, 0.04])


def test_there_are_119_and_1088_features_a_range():
    times = np.arange(250) / RATE
    found = of_clip(traces_of(times), UNITS, RATE)
    assert sorted(found) == sorted(f"{kind}_{name}" for kind in ("au", "cross") for name in RANGES)
    for name in RANGES:
        assert found[f"au_{name}"].size == 119
        assert found[f"cross_{name}"].shape == (2, 4, 136)
        assert found[f"cross_{name}"][0].size == 544
        assert np.isfinite(found[f"au_{name}"]).all()
        assert found[f"au_{name}"].any()
    first, last = np.triu_indices(17, 1)
    assert (UNITS[first[0]], UNITS[last[0]]) == ("AU01", "AU02")
    assert (UNITS[first[-1]], UNITS[last[-1]]) == ("AU26", "AU45")


def test_phases_are_parts_of_the_whole():
    times = np.arange(250) / RATE
    found = of_clip(traces_of(times), UNITS, RATE)
    largest = np.stack([found[f"au_{name}"][2] for name in RANGES])
    np.testing.assert_allclose(largest[0], largest[1:].max(0))
    assert (found["au_onset"][3] > 0).all()
    assert (found["au_offset"][3] < 0).all()


@pytest.mark.parametrize("rate", [25.0, 30.0])
def test_features_do_not_depend_on_the_frame_rate(rate, tmp_path):
    clips = {}
    for name, fps in (("fast", 50.0), ("slow", rate)):
        times = np.arange(int(5 * fps) + 1) / fps
        clips[name] = (1, name, times, traces_of(times))
    store = write_traces(tmp_path / "store", clips)
    (extractor,) = baselines.extractors("auda2021")
    fast, slow = (extractor.of(View(store, name)) for name in ("fast", "slow"))
    for name in RANGES:
        for kind in ("au", "cross"):
            # Against the spread of a kind of feature over units or pairs, since single ones may be 0.
            one, other = (
                np.atleast_2d(of[f"{kind}_{name}"].reshape(-1, of[f"{kind}_{name}"].shape[-1])) for of in (fast, slow)
            )
            scale = np.abs(one).max(1, keepdims=True)
            frame = 1 / rate if kind == "cross" else 0.0
            assert (np.abs(one - other) <= 0.05 * scale + frame).mean() > 0.995, (kind, name)


@pytest.mark.parametrize(
    "signal",
    [
        np.zeros(40),
        np.ones(3),
        np.array([0.0, 5.0]),
        np.linspace(5, 0, 200),
        np.linspace(0, 5, 200),
        np.r_[0, 5, np.zeros(80)],
    ],
    ids=["still", "three frames", "two frames", "falling", "rising", "one frame"],
)
def test_features_of_odd_clips_are_numbers(signal, tmp_path):
    times = np.arange(len(signal)) / RATE
    store = write_traces(tmp_path / "store", {"a": (1, "s", times, np.repeat(signal[:, None], 17, axis=1))})
    found = baselines.extractors("auda2021")[0].of(View(store, "a"))
    assert all(np.isfinite(value).all() for value in found.values())


def test_a_missing_phase_gives_zeros_and_no_smile_the_whole_clip():
    still = np.repeat(np.linspace(5, 0, 100)[:, None], 17, axis=1)
    found = of_clip(still, UNITS, RATE)
    assert not any(found[f"{kind}_{name}"].any() for kind in ("au", "cross") for name in RANGES[1:])
    np.testing.assert_allclose(found["au_whole"][1], 2.5)


def test_a_store_of_crops_or_of_other_units_is_refused(tmp_path):
    from written_store import Clip, steady, write_store

    crops = write_store(tmp_path / "crops", [Clip("a", 1, "s", steady(9))])
    (extractor,) = baselines.extractors("auda2021")
    with pytest.raises(FeatureError, match=r"a: .* holds face crops, expected traces of action units"):
        extractor.of(View(crops, "a"))
    few = write_traces(tmp_path / "few", {"a": (1, "s", np.arange(9) / RATE, np.zeros((9, 2)))}, units=("AU06", "AU12"))
    with pytest.raises(FeatureError, match="a: found traces of time_s, AU06, AU12; expected AU01"):
        extractor.of(View(few, "a"))


def test_decisions_to_learn_from_never_saw_the_clips_subject():
    # Each subject's clips lie in a place of their own and carry its own random class: whoever saw the subject knows.
    generator = np.random.default_rng(3)
    subjects = np.repeat(np.arange(30), 4)
    x = np.repeat(generator.normal(size=(30, 6)) * 5, 4, axis=0) + 0.01 * generator.normal(size=(120, 6))
    y = np.repeat(generator.permutation(np.arange(30) % 2), 4)
    machine = StackedVectors(costs=[100.0], widths=[3.0]).fit(x, y, subjects, seed=0)
    assert ((machine.decide(x) > 0) == y).mean() > 0.95
    assert 0.2 < ((machine.out_of_fold > 0) == y).mean() < 0.75
    for train, test in inner_folds(y, subjects, count=5, seed=0):
        own = StackedVectors(costs=[100.0], widths=[3.0]).fit(x[train], y[train], subjects[train], seed=0)
        np.testing.assert_allclose(own.decide(x[test]), machine.out_of_fold[test], atol=1e-4)


def test_elimination_inside_the_folds_makes_nothing_of_noise():
    generator = np.random.default_rng(7)
    subjects, y = np.repeat(np.arange(100), 2), np.repeat(generator.permutation(np.arange(100) % 2), 2)
    x = generator.normal(size=(200, 300))
    machine = StackedVectors(costs=[1.0], widths=[1.0], eliminate=True).fit(x, y, subjects, seed=0)
    assert ((machine.decide(x) > 0) == y).mean() > 0.65
    assert abs(((machine.out_of_fold > 0) == y).mean() - 0.5) < 0.1


def test_each_round_of_elimination_takes_a_fifth_of_what_is_left():
    generator = np.random.default_rng(2)
    y = np.arange(80) % 2
    x = generator.normal(size=(80, 50))
    x[:, 11] += 3 * y
    sets = nested_sets(x, y, seed=0)
    assert [len(found) for found in sets] == [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 21, 26, 32, 40, 50]
    assert sets[0].tolist() == [11]
    assert all(set(one) < set(other) for one, other in itertools.pairwise(sets))


def test_one_subject_a_class_leaves_no_inner_folds():
    x, y = np.random.default_rng(0).normal(size=(8, 3)), np.repeat([0, 1], 4)
    machine = StackedVectors(costs=[1.0, 10.0]).fit(x, y, y, seed=0)
    np.testing.assert_allclose(machine.out_of_fold, machine.decide(x), atol=1e-9)


def test_elimination_keeps_what_tells():
    generator = np.random.default_rng(1)
    subjects, y = np.arange(600), np.arange(600) % 2
    x = generator.normal(size=(600, 40))
    x[:, [7, 23]] += 0.8 * (2 * y[:, None] - 1)
    kept = eliminated(x, y, subjects, seed=0)
    assert {7, 23} <= set(kept.tolist())
    assert len(kept) < 20


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Thirty subjects' simulated traces, prepared."""
    place = tmp_path_factory.mktemp("auda")
    root = databases.simulate("uva-nemo", place / "uva", subjects=30, seed=5, metadata_only=True, au_traces=True)
    found = build_traces(datasets.open("au-traces", traces_folder(root)), place / "clips", progress=False)
    prepare(found, baselines.extractors("auda2021"), jobs=1, progress=False)
    return found


def halves(store):
    table = store.usable.reset_index()[["clip_id", "subject", "label"]]
    test = table["clip_id"].isin([clip for fold in store.folds()[:5] for clip in fold])
    return baselines.ClipSamples(table[~test], [store]), baselines.ClipSamples(table[test], [store])


@pytest.mark.parametrize("options", [{"piece": piece} for piece in PIECES] + [{"piece": "au-wise", "eliminate": True}])
def test_every_piece_learns_something_and_is_restored_from_arrays(store, options):
    train, test = halves(store)
    fast = {"costs": (1.0, 10.0), "widths": (1.0,)}
    model = baselines.build("auda2021", **options, **fast)
    model.fit(train, train.table["label"], seed=1)
    scores = model.score(test)
    label = test.table["label"].to_numpy()
    # Smiles are drawn with the published kinematics, in which speed and course tell the classes apart.
    assert ((scores > 0.5) == label).mean() > (0.5 if options["piece"] == "apex" else 0.6)
    again = baselines.build("auda2021", **options, **fast)
    again.load_state(model.state())
    np.testing.assert_array_equal(again.score(test), scores)


def test_an_unknown_piece_is_refused():
    with pytest.raises(ValueError, match="piece is 'smile'; expected one of ensemble, au-wise whole"):
        baselines.build("auda2021", piece="smile")


def test_the_ensemble_has_eight_vectors():
    assert len(PIECES["ensemble"].vectors) == 8
