"""Runs on windows under Lee & Lee's protocol: who is where, what is compared, and a killed five-fold run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from written_store import Clip, steady, write_store

from smilelab import anchors, fitting, models, runs
from smilelab.anchors import Anchored
from smilelab.artifacts import lee_tables
from smilelab.clips import ClipStore, ClipStoreError
from smilelab.options import TrainingOptions
from smilelab.parts import parts_of
from smilelab.protocols import rounds_of
from smilelab.specs import RunError, RunSpec, WindowOptions, specify

MODEL = {"depth": 14, "size": 16, "growth": 2, "stem": 4, "last": 8, "width": 8}
SUBJECTS = [f"s{number:02d}" for number in range(12)]


def make_store(folder: Path) -> ClipStore:
    clips = []
    for number, subject in enumerate(SUBJECTS):
        clips += [
            Clip(f"{subject}-spontaneous", 1, subject, steady(40 + number)),
            Clip(f"{subject}-posed", 0, subject, steady(70)),
            Clip(f"{subject}-neutral", -1, subject, steady(45), kind="neutral"),
        ]
    return write_store(folder, clips, size=32)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> ClipStore:
    return make_store(tmp_path_factory.mktemp("windows") / "store")


def protocol(store: ClipStore, model: str = "siamese-neutral", **fields) -> list[RunSpec]:
    options = TrainingOptions(
        epochs=2, batch_size=8, sampling="subjects", per_epoch=16, together=4, crop=0.1, flip=True, loss="unweighted"
    )
    given = {
        "training": options,
        "partition_seed": 0,
        "selection": "last",
        "windows": WindowOptions(test_stride=5, reduce=2),
        "model_options": tuple(MODEL.items()),
    }
    return specify(store, model=model, **{**given, **fields})


def test_no_subject_is_in_two_parts_and_every_round_validates_its_own(store):
    specs = protocol(store)
    assert [spec.fold for spec in specs] == [1, 2, 3, 4, 5]
    held, tested = [], set()
    for spec in specs:
        parts = parts_of(spec, store)
        subjects = [set(part.table["subject"]) for part in parts]
        assert not subjects[0] & subjects[1]
        assert not subjects[0] & subjects[2]
        assert not subjects[1] & subjects[2]
        held += sorted(subjects[1])
        tested |= subjects[2]
        assert len(tested) == 1  # 10 of 88 is 1 of 12
    assert len(held) == len(set(held))
    assert not tested & set(held)


def test_all_structures_are_judged_on_the_same_windows_none_of_which_touches_an_anchor(store):
    tables = []
    for model in ("siamese-neutral", "siamese-posed", "densenet3d"):
        spec = protocol(store, model)[0]
        tables.append(parts_of(spec, store, models.anchor_rule(model)).test)
    assert all(tables[0].table.equals(other.table) for other in tables[1:])
    assert isinstance(tables[0].clips, Anchored)
    posed = anchors.find(store, "posed", seed=0)
    for row in tables[0].table.itertuples():
        anchor = posed[row.subject]
        assert row.clip_id != anchor.clip_id or abs(row.start - anchor.start) >= 30
    own = protocol(store, "densenet3d", windows=WindowOptions(test_stride=5, reduce=2, comparable=False))[0]
    assert len(parts_of(own, store).test.table) > len(tables[0].table)


def test_windows_are_counted_by_hand(store):
    part = parts_of(protocol(store, windows=WindowOptions(test_stride=5, comparable=False))[0], store)
    subject = part.test.table["subject"].iloc[0]
    number = SUBJECTS.index(subject)
    # Starts 0, 5, ... up to n - 30, of 40 + number and of 70 frames.
    assert len(part.test.table) == (40 + number - 30) // 5 + 1 + (70 - 30) // 5 + 1


def test_a_reduced_store_averages_squares_of_pixels(store, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    other = write_store(tmp_path / "noise", [Clip("a", 1, "s", steady(3))], size=32)
    np.save(next(other.path.rglob("a.npy")), noise)
    found = other.reduced(4).frames("a")
    expected = noise.reshape(3, 8, 4, 8, 4, 3).mean((2, 4))
    assert found.dtype == np.uint8
    assert np.abs(found - expected).max() <= 0.5
    assert other.reduced(1) is other
    assert other.reduced(4).hash != other.hash
    with pytest.raises(ClipStoreError, match="cannot be reduced 3 times"):
        other.reduced(3)


def test_a_run_keeps_every_window_of_test_and_validation(store, tmp_path):
    spec = protocol(store, "siamese-posed")[0]
    result = runs.run(spec, store, tmp_path)
    parts = parts_of(spec, store)
    kept = result.predictions
    assert list(kept.columns) == ["clip_id", "start", "subject", "label", "probability", "fold", "seed", "part"]
    for name in ("test", "validation"):
        mine = kept[kept["part"] == name].reset_index(drop=True)
        own = getattr(parts, name).table
        assert mine[["clip_id", "start", "subject"]].equals(own[["clip_id", "start", "subject"]].astype({"start": int}))
    assert result.metrics["n"] == parts.test.table["clip_id"].nunique()
    assert result.metrics["test_windows"] == len(parts.test.table)
    # The kept weights give the kept predictions.
    samples = result.samples(store, "validation")
    again = fitting.training.predict(result.model(), samples.clips, batch_size=8)
    assert np.array_equal(again, kept.loc[kept["part"] == "validation", "probability"])


def test_a_companion_does_not_change_a_score(store, tmp_path):
    result = runs.run(protocol(store)[1], store, tmp_path)
    model, samples = result.model(), result.samples(store)
    alone = fitting.training.predict(model, samples.clips, batch_size=1)
    np.testing.assert_allclose(fitting.training.predict(model, samples.clips, batch_size=16), alone, atol=1e-6)


def test_anchors_matter_to_a_siamese_network_alone(store):
    windows = parts_of(protocol(store, "siamese-neutral")[0], store, "neutral").test.clips.windows
    torch.manual_seed(0)
    model = models.build("siamese-neutral", **MODEL)
    other = {subject: anchor._replace(start=5) for subject, anchor in anchors.find(store, "neutral").items()}
    scores = [
        fitting.training.predict(model, Anchored(windows, some)) for some in (anchors.find(store, "neutral"), other)
    ]
    assert np.abs(scores[0] - scores[1]).min() > 1e-7
    with pytest.raises(TypeError, match="anchors"):
        fitting.training.predict(model, windows)


def test_shuffled_labels_stay_together_within_a_clip(store):
    spec = protocol(store, labels="shuffled")[0]
    train = parts_of(spec, store).train
    labels = fitting._training_labels(spec, train)
    of_clip = train.table.assign(shuffled=labels).groupby("clip_id")["shuffled"].nunique()
    assert (of_clip == 1).all()
    assert (labels != train.labels).any()


def test_too_short_clips_are_told(store, tmp_path):
    with pytest.raises(RunError, match="no training window of 300 frames is left"):
        runs.run(protocol(store, windows=WindowOptions(300))[0], store, tmp_path)


def test_a_hash_knows_windows_only_where_there_are_any(store):
    spec = protocol(store)[0]
    assert RunSpec.from_dict(spec.as_dict()) == spec
    assert {"windows", "partition_seed"} <= set(spec.as_dict())
    bare = RunSpec("d", "s", "f", 1)
    assert not {"windows", "partition_seed"} & set(bare.as_dict())
    assert not {"crop", "sampling", "per_epoch"} & set(bare.as_dict()["training"])
    assert bare.hash == "c7c37d4987ed"  # as it was before a run could have windows
    changed = {protocol(store)[0].hash, protocol(store, windows=WindowOptions(test_stride=6, reduce=2))[0].hash}
    assert len(changed) == 2


_FIVE_ROUNDS = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
import test_window_runs
from smilelab import runs
from smilelab.clips import ClipStore
store = ClipStore({store!r})
runs.run_all(test_window_runs.protocol(store), store, {root!r}, jobs=1, progress=False)
"""


def test_a_five_fold_run_killed_halfway_ends_in_the_same_predictions(store, tmp_path):
    rounds = rounds_of(store, 0)
    assert len(rounds) == 5
    places = {"tests": os.path.dirname(__file__), "store": str(store.path), "root": str(tmp_path / "killed")}
    process = subprocess.Popen([sys.executable, "-c", _FIVE_ROUNDS.format(**places)], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 90
    done: list[Path] = []
    while len(done) < 2 and time.monotonic() < deadline and process.poll() is None:
        done = list((tmp_path / "killed").glob("*/metrics.json"))
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    specs = protocol(store)
    before = [runs.find(spec, tmp_path / "killed") for spec in specs]
    assert 2 <= sum(run is not None for run in before) < 5, process.stderr.read().decode()
    resumed = runs.run_all(specs, store, tmp_path / "killed", jobs=1, progress=False)
    whole = runs.run_all(specs, store, tmp_path / "whole", jobs=1, progress=False)
    for one, other in zip(resumed, whole, strict=True):
        assert (one.folder / "predictions.csv").read_bytes() == (other.folder / "predictions.csv").read_bytes()
    named = ClipStore(store.path)
    named.database = "recordings"
    first, second = (lee_tables.lee2020_table4(named, {("neutral", 14): some}).tables for some in (resumed, whole))
    assert len(first) == len(second) > 5
    assert all(first[caption].equals(second[caption]) for caption in first)
