import json
import shutil

import pytest
from click.testing import CliRunner

from smilelab import cli
from smilelab.prediction import Prediction


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setenv("SMILELAB_HOME", str(tmp_path))

    def invoke(*arguments):
        return CliRunner().invoke(cli.main, [str(argument) for argument in arguments], catch_exceptions=False)

    return invoke


def test_help_explains_every_command_in_one_screen(run):
    text = run("--help").output
    assert len(text.splitlines()) <= 40
    for command in cli.main.commands:
        assert f"smilelab {command}" in text
        assert run(command, "--help").exit_code == 0


def test_simulate_check_and_preprocess_in_a_row(run, tmp_path, simulated_uva_nemo):
    checked = run("check", simulated_uva_nemo)
    assert checked.exit_code == 0
    assert "UvA-NEMO" in checked.output
    assert "simulated" in checked.output
    assert "1240" in checked.output
    made = run("preprocess", "uva-nemo", simulated_uva_nemo, "--size", 32, "--out", tmp_path / "stores", "--jobs", 1)
    assert made.exit_code == 0
    assert "10 of 10 clips usable" in made.output


def test_simulate_makes_a_database_that_check_recognises(run, tmp_path):
    made = run("simulate", "uva-nemo", tmp_path / "db", "--subjects", 2, "--clips", 2, "--size", "192x192", "--jobs", 1)
    assert made.exit_code == 0, made.output
    assert "2 clips of" in run("check", tmp_path / "db").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("simulate", "uva", "db"), "uva"),
        (("simulate", "uva-nemo", "db", "--size", "big"), "WxH"),
        (("check", "nowhere"), "no such folder"),
        (("preprocess", "uva-nemo", "nowhere"), "no such folder"),
        (("reproduce", "--database", "uva-nemo"), "NAME=DIR"),
        (("reproduce", "--database", "nemo=here"), "unknown database"),
        (("reproduce", "--database", "uva-nemo=nowhere"), "no such folder"),
        (("reproduce", "--profile", "none"), "no notebooks here"),
        (("export", "0123456789ab", "weights.safetensors"), "no finished run here"),
        (("check", "x" * 300), "File name too long"),
        (("predict", "a.mp4", "--weights", "nowhere.safetensors"), "no such file"),
    ],
)
def test_bad_input_gives_one_clear_message_and_no_traceback(run, arguments, message):
    result = run(*arguments)
    assert result.exit_code not in (0, None)
    assert message in result.output
    assert "Traceback" not in result.output


def test_status_lists_every_artifact_even_before_anything_is_made(run):
    result = run("status")
    assert result.exit_code == 0
    assert "yang2020-table2" in result.output
    assert "waiting" in result.output
    assert "0 runs finished" in result.output


@pytest.fixture
def scored(monkeypatch):
    outcomes = {
        "good.mp4": Prediction("good.mp4", 0.75, "ok", "", 12, 0.0, 2.2, "w", True),
        "half.mp4": Prediction("half.mp4", 0.25, "partial", "face in 0.0-1.0 s of 2.0 s", 5, 0.0, 1.0, "w", True),
        "bad.mp4": Prediction("bad.mp4", float("nan"), "failed", "no face found", 0, *[float("nan")] * 2, "w", True),
    }
    monkeypatch.setattr("smilelab.prediction.load_weights", lambda path: None)
    monkeypatch.setattr("smilelab.prediction.predict", lambda video, weights: outcomes[video])


@pytest.mark.parametrize(("videos", "code"), [(["good.mp4", "half.mp4"], 0), (["good.mp4", "bad.mp4"], 2)])
def test_predict_prints_a_line_a_video_and_tells_failures_by_its_exit_code(run, scored, videos, code):
    result = run("predict", *videos)
    assert result.exit_code == code
    assert len(result.output.splitlines()) == len(videos)
    assert "good.mp4: probability of spontaneous 0.750 (spontaneous)" in result.output
    assert "simulated" in result.output


def test_predict_says_partial_and_why_it_failed(run, scored):
    assert "face in 0.0-1.0 s of 2.0 s" in run("predict", "half.mp4").output
    assert "bad.mp4: not scored: no face found" in run("predict", "bad.mp4").output


def test_predict_json_is_json(run, scored):
    result = run("predict", "--json", "good.mp4", "bad.mp4")
    assert result.exit_code == 2
    good, bad = json.loads(result.output)
    assert good["probability"] == 0.75
    assert good["simulated_weights"] is True
    assert bad["probability"] is None
    assert bad["reason"] == "no face found"


def test_reproduce_uses_a_given_copy_and_reports_artifacts(run, tmp_path, monkeypatch, simulated_uva_nemo):
    seen = {}

    def fake(profile, **options):
        seen.update(options, profile=profile)

    monkeypatch.setattr("smilelab.notebooks.reproduce", fake)
    result = run("reproduce", "--profile", "smoke", "--only", "02", "--database", f"uva-nemo={simulated_uva_nemo}")
    assert result.exit_code == 0
    assert seen["databases"] == {"uva-nemo": str(simulated_uva_nemo)}
    assert seen["only"] == ("02",)
    assert "0 artifacts" in result.output


def test_a_copy_without_videos_is_recognised_as_incomplete(run, tmp_path, simulated_uva_nemo):
    shutil.copytree(simulated_uva_nemo, tmp_path / "copy")
    videos = sorted((tmp_path / "copy" / "videos").glob("*.mp4"))
    videos[0].unlink()
    result = run("check", tmp_path / "copy")
    assert "listed videos that are missing" in result.output


def test_exported_weights_of_a_run_score_videos(run, tmp_path, simulated_uva_nemo):
    from smilelab import datasets, runs, specs
    from smilelab.preprocess.build import Recipe, build
    from smilelab.training import TrainingOptions

    recipe = Recipe(size=24)
    database = datasets.open("uva-nemo", simulated_uva_nemo)
    store = build(database, recipe, tmp_path / "data" / "clips", jobs=1, progress=False)
    options = TrainingOptions(epochs=1, batch_size=4)
    spec = specs.specify(store, training=options, model_options=(("size", 24),), selection="last")[0]
    result = runs.run(spec, store, tmp_path / "data" / "runs")
    exported = run("export", spec.hash, tmp_path / "mine.safetensors")
    assert exported.exit_code == 0, exported.output
    clip_id = result.predictions["clip_id"][0]
    scored = run(
        "predict",
        "--json",
        "--weights",
        tmp_path / "mine.safetensors",
        database.index().set_index("clip_id").loc[clip_id, "path"],
    )
    probability = json.loads(scored.output)[0]["probability"]
    assert probability == pytest.approx(result.predictions["probability"][0], abs=1e-6)
