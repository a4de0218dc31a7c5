"""Whole clips for hand-crafted methods: features once a clip, choices inside the training clips, state as arrays."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from written_store import Clip, steady, write_store

from smilelab import baselines, runs, specs
from smilelab.baselines.by_clip import stacked
from smilelab.baselines.clip_samples import FeatureError, View, prepare
from smilelab.baselines.machines import SupportVectors, inner_folds
from smilelab.preprocess import crops


def brightness(view, *, power=1):
    return {"brightness": np.array([view.frames.mean() ** power]), "length": np.array([len(view.frames)])}


class Bright(baselines.ByClip):
    """Brighter than the mean of the training clips' class means."""

    def __init__(self, *, power: int = 1):
        self.extractors = [baselines.Extractor("brightness", 1, brightness, power=power)]
        self.middle, self.sign = 0.0, 1.0

    def learn(self, features, labels, subjects, *, seed):
        x = stacked(features, "brightness")[:, 0]
        posed, spontaneous = (x[labels == label].mean() for label in (0, 1))
        self.middle, self.sign = (posed + spontaneous) / 2, np.sign(spontaneous - posed)

    def decide(self, features):
        return self.sign * (stacked(features, "brightness")[:, 0] - self.middle)

    def state(self):
        return {"fitted": np.array([self.middle, self.sign])}

    def load_state(self, state):
        self.middle, self.sign = state["fitted"]


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(baselines._BASELINES, "builders", {**baselines._BASELINES.builders, "bright": Bright})


@pytest.fixture
def store(tmp_path):
    """Twelve subjects with a clip of each class; spontaneous clips are longer, and longer ones are brighter."""
    clips = [
        Clip(f"{subject}_{label}", label, subject, steady(10 + 10 * label + number))
        for number, subject in enumerate("abcdefghijkl")
        for label in (0, 1)
    ]
    store = write_store(tmp_path / "store", clips)
    tests = [[f"{subject}_{label}" for subject in some for label in (0, 1)] for some in ("abcd", "efgh", "ijkl")]
    (store.path / "folds.json").write_text(json.dumps({"tests": tests}))
    return store


def test_a_run_on_whole_clips_scores_its_test_fold(store, registered, tmp_path):
    chosen = specs.specify(store, model="bright", selection="last")
    results = [runs.run(spec, store, tmp_path / "runs") for spec in chosen]
    assert [result.metrics["n"] for result in results] == [8, 8, 8]
    # Frame k is painted k: a clip of n frames has the mean (n - 1) / 2. Trained on e to l: means by hand.
    posed, spontaneous = (np.mean([(length + n - 1) / 2 for n in range(4, 12)]) for length in (10, 20))
    expected = {f"{s}_{label}": (10 + 10 * label + n - 1) / 2 for n, s in enumerate("abcd") for label in (0, 1)}
    predictions = results[0].predictions.set_index("clip_id")["probability"]
    for clip_id, mean in expected.items():
        assert predictions[clip_id] == pytest.approx(1 / (1 + np.exp((posed + spontaneous) / 2 - mean)))


def test_another_database_is_scored_too(store, registered, tmp_path):
    other = write_store(tmp_path / "other", [Clip("x", 1, "x", steady(30)), Clip("y", 0, "y", steady(4))])
    about = (other.path / "store.json").read_text().replace("ffff", "eeee").replace("stand-in", "elsewhere")
    (other.path / "store.json").write_text(about)
    other = type(store)(other.path)
    spec = specs.specify(store, model="bright", selection="last", protocol="elsewhere", tests=[other])[0]
    told = runs.run(spec, store, tmp_path / "runs", others=[other]).predictions.set_index("clip_id")["probability"]
    assert told["x"] > 0.5 > told["y"]


def test_windows_and_clips_are_not_mixed_up(store, registered, tmp_path):
    cut = specs.WindowOptions(comparable=False)
    with pytest.raises(runs.RunError, match=r"bright is fitted on whole clips; expected .* without windows"):
        runs.run(specs.specify(store, model="bright", windows=cut, selection="last")[0], store, tmp_path)
    with pytest.raises(runs.RunError, match="lee2018 is fitted on windows"):
        runs.run(specs.specify(store, model="lee2018", selection="last")[0], store, tmp_path)


def test_features_are_computed_once_and_kept_by_what_decides_them(store, monkeypatch):
    extractor = baselines.Extractor("brightness", 1, brightness, power=2)
    view = View(store, "a_0")
    first = extractor.of(view)
    assert first["brightness"] == pytest.approx([4.5**2])
    assert extractor.seconds(view) > 0
    monkeypatch.setattr(extractor, "compute", lambda *_, **__: pytest.fail("computed again"))
    assert extractor.of(view)["brightness"] == first["brightness"]
    told = [("brightness", 1, {}), ("brightness", 2, {}), ("b", 1, {}), ("brightness", 1, {"power": 2})]
    hashes = {baselines.Extractor(name, version, brightness, **options).hash for name, version, options in told}
    assert len(hashes) == 4


def test_a_damaged_file_of_features_is_made_again(store):
    extractor = baselines.Extractor("brightness", 1, brightness)
    extractor.of(View(store, "a_0"))
    path = next(store.path.glob("features/brightness-*/a_0.npz"))
    path.write_bytes(path.read_bytes()[:-40])
    assert extractor.of(View(store, "a_0"))["length"] == 10


def test_features_of_a_clip_that_was_preprocessed_again_are_made_again(store):
    extractor = baselines.Extractor("brightness", 1, brightness)
    before = extractor.of(View(store, "a_0"))["brightness"]
    path = next(store.path.glob("clips/a_0.npy"))
    np.save(path, np.load(path) + 100)
    manifest = pd.read_csv(store.path / "manifest.csv", dtype=str, keep_default_na=False)
    manifest.loc[manifest["clip_id"] == "a_0", "sha256"] = "changed"
    manifest.to_csv(store.path / "manifest.csv", index=False)
    again = type(store)(store.path)
    assert np.isnan(extractor.seconds(View(again, "a_0")))
    assert extractor.of(View(again, "a_0"))["brightness"] == before + 100


def test_another_revision_of_a_method_has_runs_of_its_own(store, registered, monkeypatch):
    first = specs.specify(store, model="bright", selection="last")[0]
    assert "revision" not in first.as_dict()
    monkeypatch.setattr(Bright, "revision", 2)
    second = specs.specify(store, model="bright", selection="last")[0]
    assert second.as_dict()["revision"] == 2
    assert second.hash != first.hash
    assert specs.RunSpec.from_dict(second.as_dict()) == second


def test_features_that_are_no_numbers_name_clip_and_feature(store):
    extractor = baselines.Extractor("odd", 1, lambda view: {"ratio": np.array([np.nan])})
    with pytest.raises(FeatureError, match=r"a_0: odd gives ratio that is not finite"):
        extractor.of(View(store, "a_0"))
    with pytest.raises(FeatureError, match=r"24 of 24 could not be computed; first: ._.: odd"):
        prepare(store, [extractor], jobs=1, progress=False)


def test_prepared_features_are_those_of_a_run(store):
    extractor = baselines.Extractor("brightness", 1, brightness)
    prepare(store, [extractor], jobs=1, progress=False)
    assert len(list(store.path.glob("features/brightness-*/*.npz"))) == 24
    table = pd.DataFrame({"clip_id": ["b_1", "a_0"], "subject": ["b", "a"], "label": [1, 0]})
    found = baselines.ClipSamples(table, [store]).features(extractor)
    assert [clip["length"][0] for clip in found] == [21, 10]


def test_the_store_is_the_same_store_with_features_in_it(store):
    before = store.hash
    baselines.Extractor("brightness", 1, brightness).of(View(store, "a_0"))
    assert type(store)(store.path).hash == before


@pytest.mark.parametrize("kernel", ["linear", "rbf", "poly"])
def test_decisions_from_arrays_are_scikit_learns(kernel):
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(60, 7)) * 9 + 3, generator.integers(0, 2, 60)
    machine = SupportVectors(kernel, costs=[2.0], widths=[0.5]).fit(x, y, np.arange(60), seed=0)
    own = SVC(kernel=kernel, C=2.0, gamma=0.5 / 7, degree=3, coef0=1.0)
    other = make_pipeline(StandardScaler(), own).fit(x, y)
    new = generator.normal(size=(20, 7)) * 9 + 3
    np.testing.assert_allclose(machine.decide(new), other.decision_function(new), rtol=1e-6, atol=1e-8)
    again = SupportVectors(kernel, costs=[2.0], widths=[0.5])
    again.load_state(machine.state("svm_"), "svm_")
    np.testing.assert_array_equal(again.decide(new), machine.decide(new))


def test_the_width_is_chosen_by_inner_folds_of_subjects():
    # Clips of a subject lie close together in a place that says nothing, and a little to the side of their class: folds
    # that share subjects favour the machine that knows places by heart, folds by subject the one that sees the side.
    generator = np.random.default_rng(1)
    subjects = np.repeat(np.arange(40), 5)
    y = generator.permutation(np.arange(40) % 2)[subjects]
    x = 5 * generator.normal(size=(40, 6))[subjects] + 0.01 * generator.normal(size=(200, 6))
    x[:, 0] = 2 * y + generator.normal(size=40)[subjects]
    by_subject, by_clip = (
        SupportVectors(costs=[10.0], widths=[0.001, 100.0]).fit(x, y, groups, seed=0).state()["chosen"][1]
        for groups in (subjects, np.arange(200))
    )
    assert (by_subject, by_clip) == (0.001, 100.0)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4)), min_size=2, max_size=30), st.integers(2, 6))
@settings(deadline=None, max_examples=40)
def test_inner_folds_hold_what_they_promise_or_there_are_none(clips, count):
    labels, subjects = map(np.array, zip(*clips, strict=True))
    for train, test in inner_folds(labels, subjects, count=count, seed=0):
        assert sorted([*train, *test]) == list(range(len(clips)))
        assert not set(subjects[train]) & set(subjects[test])
        assert set(labels[train]) == set(labels[test]) == {0, 1}


def test_one_class_and_numbers_that_are_none_are_refused():
    with pytest.raises(ValueError, match="one class"):
        SupportVectors().fit(np.zeros((3, 1)), [1, 1, 1], [0, 1, 2], seed=0)
    with pytest.raises(ValueError, match="not finite"):
        SupportVectors().fit([[np.nan], [0.0]], [0, 1], [0, 1], seed=0)


@pytest.mark.parametrize("kind", crops.KINDS)
def test_points_lie_in_the_crop_where_the_crop_shows_them(kind):
    # A bright dot in a frame, cut out as the kind says: its centre of mass is where the point is said to lie.
    y, x = np.mgrid[:300, :400]
    frame = np.round(255 * np.exp(-((x - 212.3) ** 2 + (y - 141.8) ** 2) / 32)).astype(np.uint8)
    box, roll = np.array([120.5, 60.25, 280.5, 220.25]), 0.3
    face = np.array([[130.0 + 150 * np.cos(a), 140 + 150 * np.sin(a)] for a in np.linspace(0, 6.2, 68)])
    picture = crops.crop(frame, box, 96, kind=kind, roll=roll, landmarks=face).astype(float)
    rows, columns = np.mgrid[:96, :96]
    seen = [(picture * columns).sum() / picture.sum(), (picture * rows).sum() / picture.sum()]
    told = crops.in_picture(np.array([[[212.3, 141.8]]]), box[None], 96, kind=kind, rolls=np.array([roll]))
    np.testing.assert_allclose(told[0, 0], seen, atol=0.05)
