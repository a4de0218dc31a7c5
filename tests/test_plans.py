"""Progress of plans, over folders made by hand."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner

from smilelab import plans
from smilelab.cli import main
from smilelab.options import TrainingOptions
from smilelab.specs import RunSpec

BASE = RunSpec("uva-nemo", "0" * 12, "official-1", 1, training=TrainingOptions(epochs=10))


def folds(spec, count, **fields):
    return [replace(spec, fold=fold, **fields) for fold in range(1, count + 1)]


def finish(root, spec, seconds, clips=100):
    folder = root / spec.hash
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text(json.dumps(spec.as_dict()))
    (folder / "metrics.json").write_text(json.dumps({"train_clips": clips}))
    (folder / "environment.json").write_text(json.dumps({"seconds": seconds}))


def fail(root, spec, error):
    (root / f"{spec.hash}.failed.json").write_text(json.dumps({"run": spec.hash, "error": error}))


def rows(root, **options):
    return plans.progress(root, "laptop", **options).set_index("experiment")


def test_folds_that_are_left_take_as_long_as_those_that_are_done(tmp_path):
    some = folds(BASE, 5)
    plans.register(tmp_path, "laptop", "table", [*some, some[0]])
    finish(tmp_path, some[0], 30.0)
    finish(tmp_path, some[1], 50.0)
    fail(tmp_path, some[3], "RuntimeError: second")
    fail(tmp_path, some[2], "ValueError: first")
    row = rows(tmp_path).loc["table"]
    assert (row["runs"], row["done"], row["failed"], row["left"], row["unknown"]) == (5, 2, 2, 3, 0)
    assert row["seconds_per_run"] == 40.0
    assert row["seconds_left"] == 3 * 40.0
    assert row["first_error"] == "ValueError: first"
    assert rows(tmp_path, processes=2).loc["table", "seconds_left"] == 60.0
    # Three runs of 40 s are not over before 40 s, however many processes there are.
    assert rows(tmp_path, processes=8).loc["table", "seconds_left"] == 40.0


@pytest.mark.parametrize(
    ("other", "seconds"),
    [
        # 60 s for 10 epochs of 100 clips of 48 x 48 pixels are known.
        ({"training": TrainingOptions(epochs=30)}, 180.0),
        ({"training": TrainingOptions(epochs=10, per_epoch=25)}, 15.0),
        ({"model_options": (("size", 96),)}, 240.0),
        ({"selection": "last"}, 60.0),
        ({"protocol": "subset 20"}, 60.0),
        ({"model": "realsmilenet-lstm", "training": TrainingOptions(epochs=5)}, 30.0),
        ({"database": "bbc"}, math.nan),
    ],
)
def test_other_runs_on_the_database_count_by_their_work(tmp_path, other, seconds):
    finish(tmp_path, replace(BASE, model_options=(("size", 48),)), 60.0)
    plans.register(
        tmp_path, "laptop", "table", [replace(BASE, **{"model_options": (("size", 48),), "fold": 2, **other})]
    )
    row = rows(tmp_path).loc["table"]
    assert row["unknown"] == math.isnan(seconds)
    assert row["seconds_left"] == pytest.approx(0.0 if math.isnan(seconds) else seconds)
    assert math.isnan(row["seconds_per_run"])


def test_the_same_model_tells_more_than_another(tmp_path):
    finish(tmp_path, replace(BASE, seed=1), 20.0)
    finish(tmp_path, replace(BASE, model="realsmilenet-lstm"), 900.0)
    finish(tmp_path, replace(BASE, selection="last"), 70.0)
    plans.register(tmp_path, "laptop", "same", [BASE])
    plans.register(tmp_path, "laptop", "model", [replace(BASE, labels="shuffled")])
    plans.register(tmp_path, "laptop", "database", [replace(BASE, model="realsmilenet-gru")])
    left = rows(tmp_path)["seconds_left"]
    assert left["same"] == 20.0
    assert left["model"] == (20.0 + 70.0) / 2
    assert left["database"] == (20.0 + 900.0 + 70.0) / 3


def test_a_shared_run_is_counted_in_each_experiment_and_timed_once(tmp_path):
    finish(tmp_path, replace(BASE, seed=1), 20.0)
    shared, own = BASE, replace(BASE, fold=2)
    plans.register(tmp_path, "laptop", "first", [shared])
    plans.register(tmp_path, "laptop", "second", [shared, own])
    table = rows(tmp_path)
    assert table["left"].to_list() == [1, 2]
    assert table["seconds_left"].to_list() == [20.0, 20.0]


def test_registering_again_replaces_one_experiment_and_leaves_the_others_and_no_partial_file(tmp_path):
    plans.register(tmp_path, "laptop", "a", folds(BASE, 3))
    plans.register(tmp_path, "laptop", "b", folds(BASE, 2))
    plans.register(tmp_path, "laptop", "a", folds(BASE, 4))
    plans.register(tmp_path, "smoke", "a", folds(BASE, 1))
    assert rows(tmp_path)["runs"].to_dict() == {"a": 4, "b": 2}
    assert plans.profiles(tmp_path) == ["laptop", "smoke"]
    assert sorted(path.name for path in (tmp_path / "plans").iterdir()) == ["laptop.json", "smoke.json"]
    assert plans.progress(tmp_path, "paper").empty


def test_a_plan_names_what_it_plans(tmp_path):
    spec = replace(BASE, training=TrainingOptions(epochs=7, per_epoch=50), seed=3)
    plans.register(tmp_path, "laptop", "table", [spec])
    (entry,) = json.loads((tmp_path / "plans" / "laptop.json").read_text())["table"]
    named = {"run": spec.hash, "model": "realsmilenet", "database": "uva-nemo", "fold": 1, "seed": 3}
    assert entry.items() >= {**named, "epochs": 7, "clips": 50}.items()


def test_status_prints_what_is_done_and_left_with_the_first_error(tmp_path, monkeypatch):
    monkeypatch.setenv("SMILELAB_HOME", str(tmp_path))
    root = tmp_path / "data" / "runs"
    some = folds(BASE, 4)
    finish(root, some[0], 300.0)
    fail(root, some[1], "ValueError: no such thing")
    plans.register(root, "laptop", "yang2020-table3", some)
    plans.register(root, "laptop", "other", [replace(BASE, database="bbc")])
    result = CliRunner().invoke(main, ["status", "--jobs", "2"])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == "profile laptop"
    at = next(i for i, line in enumerate(lines) if "1 of 4 runs done" in line)
    assert "yang2020-table3" in lines[at]
    assert "3 left" in lines[at]
    assert "5 min a run" in lines[at]
    assert "8 min to go" in lines[at]  # 3 x 300 s on two processes, rounded up
    assert "1 failed, first: ValueError: no such thing" in lines[at + 1]
    assert "time not known of 1" in next(line for line in lines if "0 of 1 runs done" in line)


def test_a_damaged_plan_is_named(tmp_path):
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "laptop.json").write_text("{")
    with pytest.raises(ValueError, match=r"laptop\.json: found no JSON"):
        plans.progress(tmp_path, "laptop")


def test_plans_need_no_torch():
    code = "import sys, smilelab.plans; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
