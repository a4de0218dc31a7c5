"""Runs on a dask cluster of which a worker is killed: everything is computed, and nothing twice."""

from __future__ import annotations

import faulthandler
import fcntl
import json
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import diary_worker
import pytest
from written_store import Clip, steady, write_store

from smilelab import runs, specs
from smilelab.clips import ClipStore
from smilelab.training import TrainingOptions

pytest.importorskip("distributed")
from local_cluster import local_cluster  # needs the cluster extra

FOLDS, EPOCHS = 4, 16


@pytest.fixture(autouse=True)
def patience():
    """A cluster that hangs ends the test run with every thread's place rather than holding it for ever."""
    faulthandler.dump_traceback_later(180, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def store(tmp_path) -> ClipStore:
    subjects = [f"s{number:02d}" for number in range(2 * FOLDS)]
    clips = [Clip(f"{subject}_{label}", label, subject, steady(8 + label)) for subject in subjects for label in (0, 1)]
    made = write_store(tmp_path / "store", clips, size=24)
    tests = [[clip.clip_id for clip in clips if int(clip.subject[1:]) % FOLDS == fold] for fold in range(FOLDS)]
    (made.path / "folds.json").write_text(json.dumps({"tests": tests}))
    return ClipStore(made.path)


def kill_one(diary: Path, killed: list[dict]) -> None:
    """Once a run is finished, kill a process that is some epochs into another."""
    while not killed:
        entries = diary_worker.read(diary)
        latest = {entry["run"]: entry for entry in entries}
        if any(entry["what"] == "finished" for entry in entries):
            early = [
                entry for entry in latest.values() if entry["what"] == "epoch" and 2 <= entry["epoch"] < EPOCHS // 2
            ]
            if early:
                os.kill(early[0]["pid"], signal.SIGKILL)
                killed.append(early[0])
        time.sleep(0.01)


def test_a_killed_worker_costs_no_run_and_no_epoch_twice(store, tmp_path, monkeypatch):
    root, diary, killed = tmp_path / "runs", tmp_path / "diary", []
    monkeypatch.setenv(diary_worker.DIARY, str(diary))
    options = TrainingOptions(epochs=EPOCHS, batch_size=4)
    wanted = specs.specify(store, training=options, selection="last", model_options=(("size", 24),))
    killer = threading.Thread(target=kill_one, args=(diary, killed), daemon=True)
    with local_cluster(preload=[diary_worker.__name__]):
        killer.start()
        results = runs.run_all(wanted, store, root, progress=False)
    killer.join(timeout=5)
    assert len(killed) == 1
    assert [result.spec for result in results] == wanted
    assert all(isinstance(result, runs.RunResult) for result in results)

    entries = diary_worker.read(diary)
    assert {entry["pid"] for entry in entries if entry["what"] == "started"} >= {killed[0]["pid"]}
    started, finished = (
        Counter(entry["run"] for entry in entries if entry["what"] == what) for what in ("started", "finished")
    )
    assert finished == Counter(spec.hash for spec in wanted)
    assert started == finished + Counter([killed[0]["run"]])
    for result in results:
        epochs = [entry["epoch"] for entry in entries if entry["what"] == "epoch" and entry["run"] == result.spec.hash]
        # A process may be killed after it saved an epoch and before it noted it: one may be missing, none comes twice.
        assert epochs == sorted(set(epochs))
        assert EPOCHS - 1 <= len(epochs) <= EPOCHS == len(result.history)

    assert {path.name for path in root.iterdir()} == {".locks", *(spec.hash for spec in wanted)}
    for path in (root / ".locks").iterdir():
        with path.open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    resumed = next(result for result in results if result.spec.hash == killed[0]["run"])
    undisturbed = runs.run(resumed.spec, store, tmp_path / "undisturbed")
    assert (undisturbed.folder / "predictions.csv").read_bytes() == (resumed.folder / "predictions.csv").read_bytes()


@pytest.mark.slow
def test_a_run_that_kills_every_worker_fails_alone(store, tmp_path, monkeypatch):
    monkeypatch.setenv(diary_worker.DIARY, str(tmp_path / "diary"))
    options = TrainingOptions(epochs=2, batch_size=4)
    wanted = specs.specify(store, training=options, selection="last", model_options=(("size", 24),))
    monkeypatch.setenv(diary_worker.DEADLY, wanted[2].hash)
    with local_cluster(deaths=1, preload=[diary_worker.__name__]):
        results = runs.run_all(wanted, store, tmp_path / "runs", progress=False)
    failed = [result for result in results if isinstance(result, runs.RunFailure)]
    assert [result.spec for result in failed] == [wanted[2]]
    assert "died" in failed[0].error
    assert list(runs.failures(tmp_path / "runs")["run"]) == [wanted[2].hash]
    assert len(runs.collect(tmp_path / "runs")) == FOLDS - 1
