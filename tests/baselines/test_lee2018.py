"""Lee'18 on drawn recordings whose classes differ in motion, in shape, or in nothing."""

import cv2
import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import torch
from drawn_faces import placed, symmetric_face
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from smilelab import baselines
from smilelab.baselines import lee2018
from smilelab.baselines.regression import Regression
from smilelab.windows import Windows

SIZE, FRAMES = 24, 36
SMALL = {"size": SIZE, "stack": 5, "width": 4, "epochs": 6, "windows_per_epoch": 240, "regression_windows": 200}


class DrawnStore:
    """A store without files. Spontaneous clips drift to the right below, posed ones to the left; only they smile.

    What differs is the motion of the pictures, the shape that the landmarks have, both, or nothing.
    """

    def __init__(self, subjects=10, *, motion=True, shape=True, frames=FRAMES):
        rows = [
            (f"s{s:02d}_{label}_{k}", label, f"s{s:02d}") for s in range(subjects) for label in (0, 1) for k in (0, 1)
        ]
        table = pd.DataFrame(rows, columns=["clip_id", "label", "subject"]).set_index("clip_id")
        self.usable = self.manifest = table.assign(fps_source=30.0, frames=frames)
        self.motion, self.shape, self.recipe, self.hash, self.database = motion, shape, {"fps": 30.0}, "0" * 12, "drawn"
        self.length = frames
        self.read = []

    def frames(self, clip_id):
        self.read.append(clip_id)
        generator = np.random.default_rng(list(clip_id.encode()))
        texture = cv2.GaussianBlur(generator.normal(size=(SIZE + 40, SIZE + 40)).astype(np.float32), (0, 0), 2)
        texture = cv2.normalize(texture, None, 20, 235, cv2.NORM_MINMAX)
        speed = 0.3 * (1 if clip_id[4] == "1" else -1) * self.motion
        y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32) + 20
        pictures = []
        for k in range(self.length):
            # Less as the clip goes on, so that windows of a clip differ.
            shift = np.where(y > 20 + SIZE // 2, speed * 12 * (1 - np.exp(-k / 12)), 0)
            pictures.append(cv2.remap(texture, np.float32(x - shift), y, cv2.INTER_CUBIC))
        grey = np.rint(pictures).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, -1)

    def times(self, clip_id):
        return np.arange(self.length) / 30

    def track(self, clip_id):
        generator = np.random.default_rng(list(clip_id.encode()))
        points = symmetric_face() + generator.normal(0, 0.004, (self.length, 68, 2))
        course = self.shape * (clip_id[4] == "1") * np.linspace(0.5, 1, self.length)[:, None]
        points[:, [57, 58, 56, 66, 67, 65], 1] += 0.15 * course
        points[:, [48, 54], 1] -= 0.1 * course
        return {"landmarks": placed(points, roll=generator.normal(0, 0.1)), "times": self.times(clip_id)}


class Clips(list):
    """Whole clips of a store as samples."""

    def __init__(self, store, clip_ids):
        super().__init__(store.frames(clip_id) for clip_id in clip_ids)
        self.store = store
        self.table = pd.DataFrame({"clip_id": clip_ids, "start": 0})


def split(store, test=("s07", "s08", "s09")):
    windows = Windows(store)
    train = windows.of_subjects(sorted(set(store.usable["subject"]) - set(test)))
    return train, windows.of_subjects(test)


@pytest.fixture(scope="module")
def fitted():
    train, test = split(DrawnStore())
    baseline = baselines.build("lee2018", **SMALL)
    baseline.fit(train, train.labels, seed=0)
    return baseline, test


@pytest.mark.parametrize("kind", ["motion", "shape"])
def test_each_part_learns_what_it_sees_and_the_other_does_not(kind):
    train, test = split(DrawnStore(motion=kind == "motion", shape=kind == "shape"))
    baseline = baselines.build("lee2018", **SMALL)
    baseline.fit(train, train.labels, seed=0)
    temporal, spatial = baseline.parts(test)
    sees, blind = (temporal, spatial) if kind == "motion" else (spatial, temporal)
    assert ((sees >= 0.5) == test.labels).mean() > 0.95
    if kind == "shape":
        # Without motion there are only still textures.
        assert 0.2 < ((blind >= 0.5) == test.labels).mean() < 0.8
    np.testing.assert_array_equal(baseline.score(test), 0.5 * temporal + 0.5 * spatial)
    assert ((baseline.score(test) >= 0.5) == test.labels).mean() > 0.9
    assert temporal.min() >= 0
    assert temporal.max() <= 1
    assert spatial.min() >= 0
    assert spatial.max() <= 1


def test_labels_that_say_nothing_are_not_learned(fitted):
    learned, test = fitted
    train, _ = split(test.store)
    # Of each subject and class one clip keeps its label and one has the other.
    clip = train.table["clip_id"].astype(str)
    other = np.where(clip.str[-1] == "1", 1 - train.labels, train.labels)
    assert np.corrcoef(other, train.labels)[0, 1] == pytest.approx(0)
    baseline = baselines.build("lee2018", **SMALL)
    baseline.fit(train, other, seed=0)

    def apart(scores):
        return scores[test.labels == 1].mean() - scores[test.labels == 0].mean()

    assert apart(learned.score(test)) > 0.5
    assert abs(apart(baseline.score(test))) < 0.25


def test_the_same_seed_gives_the_same_scores_and_global_random_states_stay(fitted):
    baseline, test = fitted
    train, _ = split(test.store)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    np.random.seed(5)  # noqa: NPY002  # the global state is what is tested
    numpy_before = np.random.get_state()[1].copy()  # noqa: NPY002
    again, other = (baselines.build("lee2018", **SMALL) for _ in range(2))
    again.fit(train, train.labels, seed=0)
    scores = again.score(test)
    other.fit(train, train.labels, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    assert np.array_equal(scores, baseline.score(test))
    assert not np.array_equal(other.score(test), scores)


def test_a_state_gives_the_same_scores_after_a_file(fitted, tmp_path):
    baseline, test = fitted
    state = baseline.state()
    safetensors.numpy.save_file(state, tmp_path / "model.safetensors")
    copy = baselines.build("lee2018", **SMALL)
    copy.load_state(safetensors.numpy.load_file(tmp_path / "model.safetensors"))
    assert np.array_equal(copy.score(test), baseline.score(test))
    for name, value in copy.state().items():
        assert np.array_equal(value, state[name]), name


def test_a_state_of_other_options_or_in_part_is_refused(fitted):
    state = fitted[0].state()
    with pytest.raises(ValueError, match=r"options.limit of the state is 1.0, here 0.5"):
        baselines.build("lee2018", **SMALL | {"limit": 0.5}).load_state(state)
    with pytest.raises(ValueError, match=r"options.size of the state is 24, here 56"):
        baselines.build("lee2018", **SMALL | {"size": 56}).load_state(state)
    del state["regression.dual"]
    with pytest.raises(ValueError, match=r"lacks regression.dual"):
        baselines.build("lee2018", **SMALL).load_state(state)


def test_nothing_is_scored_before_it_is_fitted(fitted):
    baseline = baselines.build("lee2018", **SMALL)
    for call in (lambda: baseline.score(fitted[1]), baseline.state):
        with pytest.raises(ValueError, match="call fit or load_state first"):
            call()


def test_flow_is_computed_once_per_clip_and_call(fitted, monkeypatch):
    _, test = fitted
    train, _ = split(test.store)
    seen = []
    compute = lee2018.clip_flow
    monkeypatch.setattr(lee2018, "clip_flow", lambda frames, **how: seen.append(len(frames)) or compute(frames, **how))
    baseline = baselines.build("lee2018", **SMALL | {"epochs": 2, "windows_per_epoch": 32})
    baseline.fit(train, train.labels, seed=0)
    clips = train.table["clip_id"].astype(str).nunique()
    assert len(train) == clips * (FRAMES - 29)
    assert seen == [FRAMES] * clips
    seen.clear()
    baseline.score(test)
    assert seen == [FRAMES] * test.table["clip_id"].astype(str).nunique()


def test_a_windows_score_comes_of_its_own_frames_alone(fitted):
    baseline, test = fitted
    together = baseline.score(test)
    number = 9
    row = test.table.iloc[number]
    alone = DrawnStore(frames=30)
    frames = slice(row["start"], row["start"] + 30)
    assert row["start"] > 0
    store = test.store
    alone.frames = lambda clip_id: store.frames(clip_id)[frames]
    alone.track = lambda clip_id: {name: values[frames] for name, values in store.track(clip_id).items()}
    only = Windows(alone, [row["clip_id"]])
    assert len(only) == 1
    assert baseline.score(only)[0] == pytest.approx(together[number], abs=1e-6)
    # In another order, and without companions.
    order = np.random.default_rng(0).permutation(len(test))
    np.testing.assert_allclose(baseline.score(test.take(order)), together[order], atol=1e-6)
    np.testing.assert_allclose(baseline.score(test.take([number])), together[[number]], atol=1e-6)


def test_whole_clips_of_any_length_are_scored(fitted):
    baseline, test = fitted
    for length in (6, 17, 50):
        store = DrawnStore(frames=length)
        ids = [clip_id for clip_id in store.usable.index if clip_id[:3] == "s08"]
        scores = baseline.score(Clips(store, ids))
        assert scores.shape == (len(ids),)
        assert ((scores >= 0.5) == store.usable["label"][ids]).all()
    trained = baselines.build("lee2018", **SMALL)
    store = DrawnStore()
    clips = Clips(store, list(store.usable.index[:20]))
    trained.fit(clips, store.usable["label"][:20].to_numpy(), seed=0)
    assert ((trained.score(test) >= 0.5) == test.labels).mean() > 0.9


def test_samples_shorter_than_a_stack_are_named(fitted):
    store = DrawnStore(frames=5)
    short = Clips(store, ["s00_0_0"])
    with pytest.raises(ValueError, match=r"sample 0 \(clip 's00_0_0'\) has 5 frames; expected at least 6"):
        fitted[0].score(short)
    both = Clips(store, ["s00_0_0", "s00_1_0"])
    with pytest.raises(ValueError, match="has 5 frames; expected at least 6"):
        baselines.build("lee2018", **SMALL).fit(both, [0, 1], seed=0)
    with pytest.raises(ValueError, match="no samples"):
        fitted[0].score(Clips(store, []))


def test_what_cannot_be_fitted_is_refused(fitted):
    train, _ = split(DrawnStore())
    baseline = baselines.build("lee2018", **SMALL)
    with pytest.raises(ValueError, match="one label; expected both"):
        baseline.fit(train, np.ones(len(train), int), seed=0)
    with pytest.raises(ValueError, match="training samples: labels have shape"):
        baseline.fit(train, train.labels[:-1], seed=0)
    with pytest.raises(ValueError, match="all training samples are of 's00'"):
        baseline.fit(alone := train.of_subjects(["s00"]), alone.labels, seed=0)
    store = DrawnStore()
    landmarks = store.track
    store.track = lambda clip_id: {**landmarks(clip_id), "landmarks": np.full((FRAMES, 68, 2), np.nan)}
    with pytest.raises(ValueError, match=r"clip 's07_0_0': none of 36 frames has all landmarks.* Leave it out"):
        fitted[0].score(split(store)[1])


def test_no_part_of_a_test_set_enters_a_fit():
    store = DrawnStore()
    train, test = split(store)
    tested = {f"s{k:02d}" for k in (7, 8, 9)}
    baselines.build("lee2018", **SMALL | {"epochs": 1}).fit(train, train.labels, seed=0)
    assert store.read
    assert not tested & {clip_id[:3] for clip_id in store.read}
    assert set(test.table["subject"]) == tested


def test_classes_and_clips_have_equal_chances():
    clips = np.array(["a", "a", "a", "b", "c", "c"])
    targets = np.array([0, 0, 0, 0, 1, 1])
    np.testing.assert_allclose(lee2018._chances(clips, targets), [1 / 12, 1 / 12, 1 / 12, 1 / 4, 1 / 4, 1 / 4])


def test_the_network_is_shown_both_classes_alike_and_stacks_of_the_windows_alone(monkeypatch):
    store = DrawnStore()
    few = [clip_id for clip_id in store.usable.index if clip_id[4] == "0" or clip_id[:3] in ("s00", "s01")]
    windows = Windows(store, few)
    late = windows.take(windows.table["start"].to_numpy() >= 4)
    assert late.labels.mean() < 0.2
    shown = []
    monkeypatch.setattr(lee2018, "train_stream", lambda network, draw, **how: shown.append(draw(6000)))
    baselines.build("lee2018", **SMALL).fit(late, late.labels, seed=0)
    stacks, labels = shown[0]
    assert stacks.shape == (6000, 10, SIZE, SIZE)
    assert abs(labels.mean() - 0.5) < 0.05
    possible = {
        lee2018.clip_flow(store.frames(clip_id), size=SIZE, limit=1.0)[k : k + 5].tobytes(): label
        for clip_id, label in store.usable["label"][few].items()
        for k in range(4, FRAMES - 5)
    }
    assert all(possible[stack.tobytes()] == label for stack, label in zip(stacks, labels, strict=True))
    # Of the rarer class every one is shown, the first fields of the first window as well as the last of the last.
    wanted = {stack for stack, label in possible.items() if label == 1}
    assert {stack.tobytes() for stack in stacks[labels == 1]} == wanted
    assert len(wanted) == 4 * (FRAMES - 5 - 4)


def test_the_regression_agrees_with_scikit_learn():
    generator = np.random.default_rng(0)
    features = generator.normal(3, 5, (80, 6))
    targets = (features[:, 0] + generator.normal(0, 4, 80) > 3).astype(int)
    subjects = np.repeat([f"s{k}" for k in range(8)], 10)
    found = Regression.fit(features, targets, subjects, [2.0])
    scaler = StandardScaler().fit(features)
    peer = SVR(C=2.0).fit(scaler.transform(features), targets)
    new = generator.normal(3, 8, (50, 6))
    expected = peer.predict(scaler.transform(new))
    np.testing.assert_allclose(found.predict(new), np.clip(expected, 0, 1), atol=1e-10)
    assert found.cost == 2.0


def test_the_cost_is_chosen_on_other_subjects():
    # Each subject looks like itself alone, and its label says nothing of the next one's: what memorises, fails.
    generator = np.random.default_rng(1)
    subjects = np.repeat([f"s{k:02d}" for k in range(12)], 10)
    targets = np.repeat(generator.permutation([0, 1] * 6), 10)
    features = np.repeat(generator.normal(size=(12, 5)), 10, 0) + 0.01 * generator.normal(size=(120, 5))
    order = generator.permutation(120)
    features, targets, subjects = features[order], targets[order], subjects[order]
    assert Regression.fit(features, targets, subjects, [0.001, 100.0]).cost == 0.001
    # What holds for all subjects alike is worth a higher one.
    features[:, 0] += 4 * targets
    assert Regression.fit(features, targets, subjects, [0.001, 100.0]).cost == 100.0
