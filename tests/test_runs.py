import json
import os
import signal
import subprocess
import sys
import time

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from memory_store import FOLDS, SUBJECTS, MemoryStore
from safetensors.torch import load_file

from smilelab import fitting, metrics, runs, specs
from smilelab.specs import RunError, RunSpec
from smilelab.training import TrainingOptions


@pytest.fixture
def store(monkeypatch):
    monkeypatch.setattr(runs, "ClipStore", MemoryStore)
    return MemoryStore()


@pytest.fixture
def options():
    return TrainingOptions(epochs=2, batch_size=4)


def specify(store, options, **fields):
    return specs.specify(store, training=options, model_options=(("size", 24),), **fields)


def test_a_run_leaves_all_its_files_and_is_loaded_the_second_time(store, options, tmp_path, monkeypatch):
    spec = specify(store, options)[0]
    result = runs.run(spec, store, tmp_path)
    names = {path.name for path in result.folder.iterdir()}
    expected = {"spec.json", "metrics.json", "history.csv", "predictions.csv", "model.safetensors", "environment.json"}
    assert names == expected
    assert result.folder.name == spec.hash
    assert RunSpec.from_dict(json.loads((result.folder / "spec.json").read_text())) == spec
    test = set(store.folds()[0])
    assert set(result.predictions["clip_id"]) == test
    assert len(result.history) == 2
    assert not list(tmp_path.glob("*.part"))
    monkeypatch.setattr(fitting.training, "train", lambda *a, **k: pytest.fail("trained again"))
    assert runs.run(spec, store, tmp_path).metrics == result.metrics


def test_metrics_are_those_of_the_written_predictions(store, options, tmp_path):
    result = runs.run(specify(store, options)[0], store, tmp_path)
    table = result.predictions
    assert result.metrics["accuracy"] == pytest.approx(((table["probability"] >= 0.5) == table["label"]).mean())
    assert result.metrics["n"] == len(table)


def test_kept_weights_reproduce_the_predictions(store, options, tmp_path):
    from smilelab import models, training

    result = runs.run(specify(store, options)[0], store, tmp_path)
    model = models.build("realsmilenet", size=24)
    model.load_state_dict(load_file(result.weights))
    again = training.predict(model, [store.frames(clip_id) for clip_id in result.predictions["clip_id"]])
    np.testing.assert_allclose(again, result.predictions["probability"], atol=1e-6)


def test_same_seed_same_bytes_other_seed_other_bytes(store, options, tmp_path):
    spec, other = (specify(store, options, trials=2)[i] for i in (0, FOLDS))
    assert (spec.fold, other.fold, spec.seed, other.seed) == (1, 1, 0, 1)
    first = (runs.run(spec, store, tmp_path / "a").folder / "predictions.csv").read_bytes()
    second = (runs.run(spec, store, tmp_path / "b").folder / "predictions.csv").read_bytes()
    third = (runs.run(other, store, tmp_path / "a").folder / "predictions.csv").read_bytes()
    assert first == second
    assert first != third


def test_results_do_not_depend_on_the_callers_threads_or_random_state(store, options, tmp_path):
    spec = specify(store, options)[0]
    first = (runs.run(spec, store, tmp_path / "a").folder / "predictions.csv").read_bytes()
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    before = torch.get_rng_state()
    second = (runs.run(spec, store, tmp_path / "b").folder / "predictions.csv").read_bytes()
    assert torch.get_num_threads() == 2
    assert torch.equal(before, torch.get_rng_state())
    torch.set_num_threads(threads)
    assert first == second


def test_test_subjects_are_never_trained_or_validated_on(store, options, tmp_path, monkeypatch):
    seen = {}
    original = fitting.training.train

    def spy(model, clips, labels, options, **kwargs):
        seen["train"], seen["evaluate"] = list(clips), kwargs["evaluate"]
        return original(model, clips, labels, options, **kwargs)

    monkeypatch.setattr(fitting.training, "train", spy)
    for spec in specify(store, options):
        runs.run(spec, store, tmp_path)
        test = [store.frames(clip_id) for clip_id in store.folds()[spec.fold - 1]]
        used = seen["train"] + list(seen["evaluate"]["validation"][0])
        assert len(used) == 2 * SUBJECTS - len(test)
        for clip in test:
            assert not any(clip.shape == other.shape and (clip == other).all() for other in used)


def test_best_on_test_evaluates_the_test_fold_and_last_nothing(store, options, tmp_path, monkeypatch):
    sets = {}
    original = fitting.training.train

    def spy(model, clips, labels, options, **kwargs):
        sets[kwargs["select"]] = (len(clips), set(kwargs["evaluate"]))
        return original(model, clips, labels, options, **kwargs)

    monkeypatch.setattr(fitting.training, "train", spy)
    for selection in specs.SELECTIONS:
        runs.run(specify(store, options, selection=selection)[0], store, tmp_path)
    training_clips = 2 * SUBJECTS - len(store.folds()[0])
    assert sets["last"] == (training_clips, set())
    assert sets["test"] == (training_clips, {"test"})
    assert sets["validation"][0] < training_clips
    assert sets["validation"][1] == {"validation"}


def test_shuffled_labels_permute_training_labels_only(store, options, tmp_path, monkeypatch):
    seen = []
    original = fitting.training.train

    def spy(model, clips, labels, options, **kwargs):
        seen.append(np.array(labels))
        return original(model, clips, labels, options, **kwargs)

    monkeypatch.setattr(fitting.training, "train", spy)
    true = runs.run(specify(store, options)[0], store, tmp_path)
    shuffled = runs.run(specify(store, options, labels="shuffled")[0], store, tmp_path)
    assert sorted(seen[0]) == sorted(seen[1])
    assert (seen[0] != seen[1]).any()
    pd.testing.assert_series_equal(true.predictions["label"], shuffled.predictions["label"])


def test_a_failing_run_is_recorded_and_does_not_stop_the_others(store, options, tmp_path, monkeypatch):
    good = specify(store, options)
    bad = RunSpec("uva-nemo", "another-store", good[0].split, 1, training=options)
    with joblib.parallel_config("threading"):
        results = runs.run_all([bad, *good], store, tmp_path, jobs=1, progress=False)
    assert isinstance(results[0], runs.RunFailure)
    assert "expected another-store" in results[0].error
    assert all(isinstance(result, runs.RunResult) for result in results[1:])
    assert list(runs.failures(tmp_path)["run"]) == [bad.hash]
    assert len(runs.collect(tmp_path)) == FOLDS
    assert len(runs.predictions_of(results)) == 2 * SUBJECTS


def test_a_failure_is_forgotten_once_the_run_succeeds(store, options, tmp_path, monkeypatch):
    spec = specify(store, options)[0]
    with monkeypatch.context() as patch, joblib.parallel_config("threading"):
        patch.setattr(fitting.training, "train", lambda *a, **k: 1 / 0)
        assert isinstance(runs.run_all([spec], store, tmp_path, jobs=1, progress=False)[0], runs.RunFailure)
    with joblib.parallel_config("threading"):
        assert isinstance(runs.run_all([spec], store, tmp_path, jobs=1, progress=False)[0], runs.RunResult)
    assert runs.failures(tmp_path).empty


def test_a_checkpoint_of_other_code_is_discarded_with_a_warning(store, options, tmp_path):
    spec = specify(store, options)[0]
    whole = runs.run(spec, store, tmp_path / "whole")
    part = tmp_path / "again" / f"{spec.hash}.part"
    part.mkdir(parents=True)
    torch.save({}, part / "unrelated")
    from smilelab import checkpoint

    checkpoint.save(part / "checkpoint.pt", {"fingerprint": {"weights": "of another version"}})
    with pytest.warns(UserWarning, match="starts from the beginning"):
        again = runs.run(spec, store, tmp_path / "again")
    assert (again.folder / "predictions.csv").read_bytes() == (whole.folder / "predictions.csv").read_bytes()


def test_a_subject_called_na_stays_a_subject(store, options, tmp_path, monkeypatch):
    store.usable = store.usable.assign(subject=store.usable["subject"].replace("s00", "NA"))
    result = runs.run(specify(store, options)[0], store, tmp_path)
    assert "NA" in set(result.predictions["subject"])
    assert metrics.summarize(result.predictions).n == len(result.predictions)


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"selection": "best"}, "selection"), ({"labels": "random"}, "labels")],
)
def test_unknown_choices_are_refused(fields, message):
    with pytest.raises(RunError, match=message):
        RunSpec("uva-nemo", "x", "other-y", 1, **fields)


def test_unknown_fold_is_refused(store, options):
    with pytest.raises(RunError, match="folds 1 to 3"):
        specify(store, options, folds=[4])


def test_a_fold_without_a_usable_clip_is_not_run(store, options, monkeypatch):
    everything = MemoryStore.folds
    monkeypatch.setattr(MemoryStore, "folds", lambda self: [*everything(self)[:1], [], *everything(self)[1:]])
    assert [spec.fold for spec in specify(store, options)] == [1, 3, 4]


def test_changed_folds_are_noticed(store, options, tmp_path, monkeypatch):
    spec = specify(store, options)[0]
    monkeypatch.setattr(MemoryStore, "folds", lambda self: [list(self.usable.index[:2]), list(self.usable.index[2:])])
    with pytest.raises(RunError, match="expected other-"):
        runs.run(spec, store, tmp_path)


def test_hash_depends_on_every_field():
    base = RunSpec("uva-nemo", "s", "official-1", 1)
    others = [
        RunSpec("bbc", "s", "official-1", 1),
        RunSpec("uva-nemo", "t", "official-1", 1),
        RunSpec("uva-nemo", "s", "official-2", 1),
        RunSpec("uva-nemo", "s", "official-1", 2),
        RunSpec("uva-nemo", "s", "official-1", 1, 1),
        RunSpec("uva-nemo", "s", "official-1", 1, model="other"),
        RunSpec("uva-nemo", "s", "official-1", 1, model_options=(("size", 64),)),
        RunSpec("uva-nemo", "s", "official-1", 1, training=TrainingOptions(epochs=59)),
        RunSpec("uva-nemo", "s", "official-1", 1, selection="last"),
        RunSpec("uva-nemo", "s", "official-1", 1, validation_share=0.2),
        RunSpec("uva-nemo", "s", "official-1", 1, labels="shuffled"),
    ]
    assert len({spec.hash for spec in [base, *others]}) == len(others) + 1
    ordered = RunSpec("uva-nemo", "s", "official-1", 1, model_options=(("b", 1), ("a", 2)))
    assert ordered.hash == RunSpec("uva-nemo", "s", "official-1", 1, model_options=(("a", 2), ("b", 1))).hash


_KILLED = """
import sys
sys.path.insert(0, {tests!r})
import memory_store
from smilelab import specs
from smilelab import runs
from smilelab.training import TrainingOptions
store = memory_store.MemoryStore()
options = TrainingOptions(epochs=40, batch_size=4)
spec = specs.specify(store, training=options, model_options=(("size", 24),))[0]
runs.run(spec, store, {root!r})
"""


def test_killed_run_goes_on_and_ends_as_if_it_had_not_been_killed(store, tmp_path):
    code = _KILLED.format(tests=os.path.dirname(__file__), root=str(tmp_path / "killed"))
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("killed/*.part/checkpoint.pt")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    part = list(tmp_path.glob("killed/*.part/checkpoint.pt"))
    assert part, process.stderr.read().decode()
    spec = specify(store, TrainingOptions(epochs=40, batch_size=4))[0]
    assert runs.find(spec, tmp_path / "killed") is None
    resumed = runs.run(spec, store, tmp_path / "killed")
    whole = runs.run(spec, store, tmp_path / "whole")
    assert (resumed.folder / "predictions.csv").read_bytes() == (whole.folder / "predictions.csv").read_bytes()
    pd.testing.assert_frame_equal(resumed.history, whole.history)


def test_the_last_epoch_comes_along_with_the_best_on_test_as_if_it_had_run_alone(store, options, tmp_path, monkeypatch):
    best = specify(store, options, selection="best-on-test")[0]
    alone = runs.run(best.along, store, tmp_path / "alone")
    runs.run(best, store, tmp_path / "along")
    monkeypatch.setattr(fitting.training, "train", lambda *a, **k: pytest.fail("trained again"))
    came = runs.run(best.along, store, tmp_path / "along")
    for name in ("spec.json", "metrics.json", "history.csv", "predictions.csv"):
        assert (came.folder / name).read_bytes() == (alone.folder / name).read_bytes(), name
    one, two = load_file(came.weights), load_file(alone.weights)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_run_all_trains_once_for_both_rules(store, options, tmp_path, monkeypatch):
    trained = []
    train = fitting.training.train
    monkeypatch.setattr(fitting.training, "train", lambda *a, **k: trained.append(k["select"]) or train(*a, **k))
    rules = ("last", "best-on-test", "validation")
    wanted = [spec for rule in rules for spec in specify(store, options, selection=rule)]
    with joblib.parallel_config("threading"):
        results = runs.run_all(wanted, store, tmp_path, jobs=1, progress=False)
    assert [result.spec for result in results] == wanted
    assert sorted(trained) == sorted(["test", "validation"] * FOLDS)


def test_a_run_that_should_have_come_along_runs_alone_where_the_other_fails(store, options, tmp_path, monkeypatch):
    train = fitting.training.train

    def failing(*args, **fields):
        if fields["select"] == "test":
            raise RuntimeError("no luck")
        return train(*args, **fields)

    monkeypatch.setattr(fitting.training, "train", failing)
    best = specify(store, options, selection="best-on-test", folds=[1])[0]
    with joblib.parallel_config("threading"):
        results = runs.run_all([best.along, best], store, tmp_path, jobs=1, progress=False)
    assert isinstance(results[0], runs.RunResult)
    assert isinstance(results[1], runs.RunFailure)


def test_time_of_an_interrupted_run_count_from_its_beginning(store, options, tmp_path, monkeypatch):
    spec = specify(store, options, selection="last")[0]
    save, saved = fitting.training.checkpoints.save, []

    def save_and_stop(path, state):
        saved.append(state["effort"])
        save(path, {**state, "effort": [1000.0, 500.0]})
        raise KeyboardInterrupt

    monkeypatch.setattr(fitting.training.checkpoints, "save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        runs.run(spec, store, tmp_path)
    monkeypatch.undo()
    assert min(saved[0]) > 0
    effort = runs.run(spec, store, tmp_path).effort
    assert effort.wall > 1000
    assert 500 < effort.processor < 1000


def test_a_run_says_on_which_processor_it_was_computed(store, options, tmp_path):
    result = runs.run(specify(store, options)[0], store, tmp_path)
    told = json.loads((result.folder / "environment.json").read_text())["processor"]
    assert told.endswith(torch.backends.cpu.get_cpu_capability())
    assert len(told) > len(torch.backends.cpu.get_cpu_capability()) + 2


def test_a_run_that_fails_at_once_leaves_no_folder(store, options, tmp_path):
    bad = RunSpec("uva-nemo", store.hash, "other-folds", 1, training=options)
    with pytest.raises(RunError):
        runs.run(bad, store, tmp_path)
    assert not list(tmp_path.glob("*.part"))


def test_what_an_attempt_left_is_removed_when_the_run_comes_along(store, options, tmp_path, monkeypatch):
    best = specify(store, options, selection="best-on-test")[0]
    stopped = tmp_path / f"{best.along.hash}.part"
    stopped.mkdir()
    (tmp_path / f"{best.along.hash}.failed.json").write_text("{}")
    runs.run(best, store, tmp_path)
    assert not stopped.exists()
    assert runs.failures(tmp_path).empty


def test_a_failure_is_recorded_where_no_run_was_before(store, options, tmp_path):
    bad = RunSpec("uva-nemo", "another-store", "split", 1, training=options)
    (failure,) = runs.run_all([bad], store, tmp_path / "new" / "runs", jobs=1, progress=False)
    assert isinstance(failure, runs.RunFailure)
    assert len(runs.failures(tmp_path / "new" / "runs")) == 1
