"""No baseline's choice sees a test clip: nothing that is planted in the test fold alone can raise any score.

Two stores share their training clips, whose classes are drawn by lot. Their test clips are the same recordings too, and
in each of these a bit is planted that moves all there is: how long the smile is, how far and how fast it goes, how
bright the picture. In the one store this bit is the class of every test clip, in the other it is the opposite. A method
that chooses by training clips alone is fitted to the same thing on both, and is right on the one where it is wrong on
the other: half of the time.
"""

from __future__ import annotations

import inspect
import itertools
import json

import numpy as np
import pytest
from written_traces import write_traces

from smilelab import baselines
from smilelab.baselines.by_clip import stacked
from smilelab.clips import CLIPS_FOLDER, MANIFEST_COLUMNS, ClipStore
from smilelab.simulator.au_traces import measured
from smilelab.simulator.dynamics import draw_clip, draw_subject
from smilelab.simulator.face import FaceRenderer, draw_identity, draw_scene
from smilelab.windows import Windows

SIZE, FPS, WINDOW = 96, 25.0, 12
TRAIN, TEST = range(8), range(8, 11)
# What makes a method quick enough for a test; what is not named here has its own defaults and two inner folds.
SMALL = {
    "auda2021": {"costs": (1.0, 10.0), "widths": (1.0,)},
    "dibeklioglu2010": {"classifiers": ("svm", "knn"), "neighbours": (3,)},
    "dibeklioglu2015": {"counts": (10,), "costs": (1.0,)},
    "gan2015": {"units": (16, 8), "passes": 3},
    "lee2018": {
        **{"size": 32, "stack": 4, "width": 4, "epochs": 1, "windows_per_epoch": 24, "batch_size": 8},
        **{"regression_windows": 24, "costs": (1.0,)},
    },
    "mandal2016": {"size": 48, "components": 8},
    "mandal2017": {"size": 48, "components": 8},
    "pfister2011": {
        "size": 48,
        "frames": 12,
        "radii": (1,),
        "blocks": (2, 2),
        "parts": 2,
        "machines": ("svm", "kernels"),
    },
    "valstar2007": {"counts": (10,), "costs": (1.0,)},
    "wang2020": {"factors": (1, 2), "floors": (0.3,)},
    "wu2014": {"size": 48, "radii": (1,)},
}
ON_TRACES = {"auda2021"}


def build(name):
    options = dict(SMALL.get(name, {}))
    if "folds" in inspect.signature(baselines._BASELINES.builders[name]).parameters:
        options["folds"] = 2
    return baselines.build(name, **options)


def plan(swapped):
    """Clip id, subject, label and recording (subject, planted bit) of every clip."""
    lots = np.random.default_rng(5).permuted(np.tile([0, 1], (len(TRAIN), 1)), axis=1)
    for subject, bit in itertools.product([*TRAIN, *TEST], (0, 1)):
        label = int(lots[subject, bit]) if subject in TRAIN else bit ^ swapped
        yield f"s{subject:02d}_{bit}", f"s{subject:02d}", label, (subject, bit)


def recording(subject, bit, fps, length_s):
    drawn = draw_subject(np.random.default_rng([1, subject]), age=30, sex="female")
    # The planted bit is the class of the kinematics, and a longer clip.
    seconds = length_s * (1.0 + 0.3 * bit)
    return draw_clip(drawn, bit, fps, np.random.default_rng([2, subject, bit]), length_s=seconds)


@pytest.fixture(scope="module")
def crop_stores(tmp_path_factory):
    """Rendered faces with their true landmarks, as chips."""
    filmed = {}
    for clip_id, _, _, (subject, bit) in plan(False):
        view = FaceRenderer(
            draw_identity(np.random.default_rng([3, subject]), age=30, sex="female"),
            draw_scene(np.random.default_rng([4, subject]), domain="uva-nemo"),
            **{"width": SIZE, "height": SIZE, "iod_px": 0.4 * SIZE, "seed": subject},
        )
        dynamics = recording(subject, bit, FPS, 0.62)
        rows = list(zip(dynamics.action_units, dynamics.pose, strict=True))
        frames = np.stack([view.render(*row) for row in rows]).astype(np.int16)
        landmarks = np.stack([view.landmarks(*row) for row in rows]).astype(np.float32)
        filmed[clip_id] = np.clip(frames + 12 * bit, 0, 255).astype(np.uint8), dynamics.times, landmarks
    folder = tmp_path_factory.mktemp("crops")
    return [_write_crops(folder / str(swapped), filmed, swapped) for swapped in (False, True)]


def _write_crops(folder, filmed, swapped):
    (folder / CLIPS_FOLDER).mkdir(parents=True)
    rows = [",".join(MANIFEST_COLUMNS)]
    for clip_id, subject, label, _ in plan(swapped):
        frames, times, landmarks = filmed[clip_id]
        count = len(times)
        values = {
            **dict.fromkeys(MANIFEST_COLUMNS, "0"),
            **{"clip_id": clip_id, "label": str(label), "subject": subject, "kind": "clip", "frames": str(count)},
            **{"status": "ok", "reason": "", "fps_source": repr(FPS), "length_s": repr(float(times[-1]))},
        }
        rows.append(",".join(values[column] for column in MANIFEST_COLUMNS))
        np.save(folder / CLIPS_FOLDER / f"{clip_id}.npy", frames)
        np.savez(
            folder / CLIPS_FOLDER / f"{clip_id}.npz",
            times=times, landmarks=landmarks, outlines=landmarks, rolls=np.zeros(count, np.float32),
            boxes=np.tile(np.float32([0, 0, SIZE, SIZE]), (count, 1)),
            detections=np.tile(np.float32([0, 0, SIZE, SIZE]), (count, 1)),
            detected=np.ones(count, bool), bridged=np.zeros(count, bool), faces=np.ones(count, np.int64),
        )  # fmt: skip
    about = {
        **{"format": 1, "database": "stand-in", "simulated": True, "provenance": {}, "folds_source": "for a test"},
        **{"recipe": {"crop": "chip", "size": SIZE, "fps": FPS, "boxes": "smooth"}, "recipe_hash": "0" * 12},
        "hash": f"{swapped:012d}",
    }
    (folder / "store.json").write_text(json.dumps(about))
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    (folder / "folds.json").write_text(json.dumps({"tests": []}))
    return ClipStore(folder)


@pytest.fixture(scope="module")
def trace_stores(tmp_path_factory):
    """Simulated readings of the same action units, without pictures and three times as long."""
    folder = tmp_path_factory.mktemp("traces")
    read = {}
    for clip_id, _, _, (subject, bit) in plan(False):
        dynamics = recording(subject, bit, 50.0, 2.0)
        read[clip_id] = dynamics.times, measured(dynamics, *(np.random.default_rng([k, subject, bit]) for k in (5, 6)))
    return [
        write_traces(
            folder / str(swapped), {clip: (label, subject, *read[clip]) for clip, subject, label, _ in plan(swapped)}
        )
        for swapped in (False, True)
    ]


def samples(store, part, takes, only=None):
    """Samples of the training or the test clips, and their labels; of one clip if one is named."""
    subjects = {f"s{subject:02d}" for subject in (TRAIN if part == "train" else TEST)}
    table = store.usable.reset_index()[["clip_id", "subject", "label"]]
    table = table[table["subject"].isin(subjects) & (table["clip_id"].isin([only] if only else table["clip_id"]))]
    if takes == "clips":
        return baselines.ClipSamples(table, [store]), table["label"].to_numpy()
    windows = Windows(store, list(table["clip_id"]), length=WINDOW, stride=4)
    return windows, windows.table["clip_id"].map(table.set_index("clip_id")["label"]).to_numpy()


@pytest.fixture
def stores(request, name):
    return request.getfixturevalue("trace_stores" if name in ON_TRACES else "crop_stores")


def fitted(name, store, seed=1):
    model = build(name)
    model.fit(*samples(store, "train", baselines.takes(name)), seed=seed)
    return model


def same(first, other):
    return first.keys() == other.keys() and all(np.array_equal(first[key], other[key]) for key in first)


def rights(model, store, takes):
    """Share of the test samples that a fitted model is right on; a score of a half is half right."""
    clips, labels = samples(store, "test", takes)
    said = np.sign(model.score(clips) - 0.5)
    return float(np.mean((said * (2 * labels - 1) + 1) / 2))


@pytest.mark.parametrize("name", baselines.names())
def test_nothing_is_learned_or_chosen_from_the_test_fold(name, stores):
    takes = baselines.takes(name)
    planted, opposite = (fitted(name, store) for store in stores)
    assert same(planted.state(), opposite.state())
    shares = [rights(model, store, takes) for model, store in zip((planted, opposite), stores, strict=True)]
    assert np.mean(shares) == pytest.approx(0.5)
    # The same seed again, and what comes back from arrays, score to the last bit as before.
    clips, _ = samples(stores[0], "test", takes)
    scores = planted.score(clips)
    assert np.isfinite(scores).all()
    assert ((scores >= 0) & (scores <= 1)).all()
    restored = build(name)
    restored.load_state(planted.state())
    np.testing.assert_array_equal(restored.score(clips), scores)
    again = fitted(name, stores[0])
    assert same(again.state(), planted.state())
    np.testing.assert_array_equal(again.score(clips), scores)
    # A clip's score is its own: alone it is what it is among others, but for the rounding of larger products.
    for clip_id in (f"s{TEST[0]:02d}_1", f"s{TEST[-1]:02d}_0"):
        alone, _ = samples(stores[0], "test", takes, only=clip_id)
        among = scores[(clips.table["clip_id"] == clip_id).to_numpy()]
        np.testing.assert_allclose(planted.score(alone), among, rtol=1e-6, atol=1e-9)


class Peeking(baselines.ByClip):
    """Looks at the test clips to learn which way a feature goes: what must be found out."""

    def __init__(self):
        self.extractors = [baselines.Extractor("bright", 1, lambda view: {"bright": np.array([view.frames.mean()])})]
        self.sign, self.middle = 1.0, 0.0

    def fit(self, samples, labels, *, seed):
        everything = baselines.ClipSamples(
            samples.store.usable.reset_index()[["clip_id", "subject", "label"]], [samples.store]
        )
        test = ~everything.table["clip_id"].isin(samples.table["clip_id"]).to_numpy()
        values = stacked(self._features(everything), "bright")[:, 0][test]
        labels = everything.table["label"].to_numpy()[test]
        self.middle = values.mean()
        self.sign = np.sign(np.corrcoef(values, labels)[0, 1])

    def learn(self, features, labels, subjects, *, seed):
        raise AssertionError("it learns in fit, where it can peek")

    def decide(self, features):
        return self.sign * (stacked(features, "bright")[:, 0] - self.middle)

    def state(self):
        return {"sign": np.array([self.sign])}

    def load_state(self, state):
        self.sign = float(state["sign"][0])


def test_a_method_that_looks_at_test_clips_is_found_out(crop_stores):
    models = [Peeking() for _ in crop_stores]
    for model, store in zip(models, crop_stores, strict=True):
        model.fit(*samples(store, "train", "clips"), seed=1)
    assert not same(*(model.state() for model in models))
    shares = [rights(model, store, "clips") for model, store in zip(models, crop_stores, strict=True)]
    assert np.mean(shares) > 0.5
