import json
import shutil

import database_trees as trees
import pandas as pd
import pytest
from click.testing import CliRunner
from sample_recordings import bumps, write_openface

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


def test_simulated_traces_are_checked_and_preprocessed_without_a_video(run, tmp_path):
    simulate = run("simulate", "uva-nemo", tmp_path / "uva", "--subjects", 3, "--metadata-only", "--au-traces")
    assert f"{tmp_path / 'uva-aus'}: its traces of action units" in simulate.output
    check = run("check", tmp_path / "uva-aus")
    assert check.exit_code == 0
    assert "Action-unit traces (simulated)" in check.output
    assert f"Next: smilelab preprocess au-traces {tmp_path / 'uva-aus'}" in check.output
    made = run("preprocess", "au-traces", tmp_path / "uva-aus", "--out", tmp_path / "clips")
    assert made.exit_code == 0
    assert "9 of 9 clips usable" in made.output


def test_simulate_all_gives_every_database_a_folder(run, tmp_path):
    made = run(
        "simulate", "all", tmp_path / "all", "--subjects", "uva-nemo=2", "--subjects", "recordings=4", "--metadata-only"
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    assert {path.name for path in (tmp_path / "all").iterdir()} == {"mmi", "recordings", "uva-nemo"}
    assert "bbc: left out" in made.output
    assert "spos: left out" in made.output
    assert len((tmp_path / "all/recordings/clips.csv").read_text().splitlines()) == 1 + 3 * 4
    assert len(list((tmp_path / "all/mmi").rglob("session.xml"))) == 187, "as many as in the real one"


def test_simulate_passes_its_options_on(run, tmp_path):
    made = run(
        "simulate", "mmi", tmp_path / "db", "--subjects", 4, "--size", "160x120", "--max-length", 1.5, "--no-confounds",
        "--length-matched", "--no-asymmetry", "--seed", 3, "--metadata-only",
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    content = json.loads((tmp_path / "db/SIMULATED.json").read_text())
    assert (content["database"], content["seed"]) == ("mmi", 3)
    assert content["settings"] == {
        "subjects": 4, "clips": 22, "resolution": [160, 120], "length_matched": True, "asymmetry": False,
        "max_length_s": 1.5, "confounds": False, "fps": [29.0, 25.0],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("simulate", "uva", "db"), "uva"),
        (("simulate", "uva-nemo", "db", "--size", "big"), "WxH"),
        (("simulate", "all", "db", "--clips", 5), "expected one database, or --subjects"),
        (("simulate", "all", "db", "--subjects", 5), "expected NAME=N"),
        (("simulate", "all", "db", "--subjects", "nemo=5"), "expected NAME=N"),
        (("simulate", "bbc", "db", "--subjects", "bbc=5"), "expected a whole number"),
        (("simulate", "bbc", "db", "--metadata-only"), "holds videos alone"),
        (("check", "nowhere"), "no such folder"),
        (("preprocess", "uva-nemo", "nowhere"), "no such folder"),
        (("moments", "nowhere"), "no such folder"),
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


def test_check_finds_every_database_of_a_folder(run, tmp_path):
    trees.bbc(tmp_path / "all" / "bbc")
    trees.mmi_session(tmp_path / "all" / "mmi", 2005, 53)
    trees.recordings(tmp_path / "all" / "recordings")
    trees.spos(tmp_path / "all" / "spos", frames=1)
    (tmp_path / "all" / "spos-truth").mkdir()
    checked = run("check", tmp_path / "all")
    assert checked.exit_code == 0
    for words in (
        'BBC "Spot the fake smile" (not marked as simulated)\n20 clips of 20 subjects: 10 spontaneous, 10 posed',
        "folds: 10, official folds\nAll counts are as published.\nNo fault found.\nNext: smilelab preprocess bbc",
        "1 clip of 1 subject:",
        "folds: none. official folds: found clips of 1 fold(s)",
        "9 clips of 3 subjects: 3 spontaneous, 3 posed, 3 neutral",
        "80 clips of 7 subjects: 66 spontaneous, 14 posed",
    ):
        assert words in checked.output


def test_check_prints_each_fault_and_what_is_noted(run, tmp_path):
    root = trees.spos(tmp_path / "SPOS", frames=3)
    (root / "posed" / "happy" / "yi-1" / "3.bmp").write_bytes(b"")
    (root / "posed" / "happy" / "ying-1" / "2.bmp").unlink()
    checked = run("check", root)
    assert checked.exit_code == 0
    assert "1 fault(s), the rest can be used:\nposed/happy/yi-1/3.bmp: the picture is empty (0 bytes)" in checked.output
    assert "Note: posed/happy/ying-1: 1 numbers between 1 and 3 have no frame" in checked.output


def test_check_of_recordings_fails_where_one_video_is_missing(run, tmp_path):
    trees.recordings(tmp_path / "own")
    checked = run("check", tmp_path / "own")
    assert checked.exit_code == 0
    assert "folds: 3, seeded split (seed 0), subjects kept together" in checked.output
    assert "published" not in checked.output
    next((tmp_path / "own").glob("**/*.mp4")).unlink()
    checked = run("check", tmp_path / "own")
    assert checked.exit_code == 1
    assert "no such file" in checked.output


def test_check_of_metadata_alone_says_that_videos_are_missing(run, tmp_path):
    checked = run("check", trees.uva_nemo_metadata(tmp_path / "db"))
    assert checked.exit_code == 0
    assert "no folder videos/ here" in checked.output
    assert "1240 clips of 400 subjects: 597 spontaneous, 643 posed\nfolds: 10, official folds" in checked.output
    assert "Next" not in checked.output


def test_check_of_an_unusable_table_fails_with_its_rows(run, tmp_path):
    trees.touch(tmp_path / "a.mp4")
    (tmp_path / "clips.csv").write_text("path,label,subject\na.mp4,happy,1\n../b.mp4,posed,1\n")
    checked = run("check", tmp_path)
    assert checked.exit_code == 1
    assert "row 2: label is 'happy'" in checked.output
    assert "row 3: path '../b.mp4' leads out" in checked.output


def test_check_of_another_folder_says_what_was_expected(run, tmp_path):
    (tmp_path / "empty").mkdir()
    checked = run("check", tmp_path / "empty")
    assert checked.exit_code == 1
    for words in ("no database found", "Genuine/smilecontent qNN.mp4", "Sessions/<session id>", "clips.csv with a row"):
        assert words in checked.output
    assert "no posed/happy/" in run("check", tmp_path / "empty", "--database", "spos").output


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


@pytest.fixture
def own_recordings(tmp_path):
    folder = tmp_path / "own"
    write_openface(folder / "a.csv", bumps((2, 4, 2.0), (8, 11, 1.5)))
    write_openface(folder / "b.csv", bumps((3, 9, 1.0)))
    for name in "ab":
        (folder / f"{name}.mp4").write_text("no video, and none is needed where OpenFace has been")
    table = "path,label,subject,kind\na.mp4,posed,s1,recording\nb.mp4,spontaneous,s2,recording\n"
    (folder / "clips.csv").write_text(table)
    return folder


def test_recordings_become_smiles_which_can_be_corrected_and_preprocessed(run, tmp_path, own_recordings):
    found = run("moments", own_recordings, "--jobs", 1)
    assert found.exit_code == 0, found.output
    assert "2 posed smiles" in found.output
    assert "1 spontaneous smiles" in found.output
    (table,) = (tmp_path / "data" / "moments").glob("*/moments.csv")
    assert str(table) in found.output
    table.write_text(table.read_text().replace("yes", "no", 1))
    again = run("moments", own_recordings, "--jobs", 1)
    assert "1 posed smiles" in again.output
    made = run("preprocess", "recordings", own_recordings, "--crop", "outline", "--size", 32, "--fps", 30, "--jobs", 1)
    assert made.exit_code == 0, made.output
    assert "0 of 2 clips usable, 0 neutral faces" in made.output

    pd.read_csv(table).assign(start_s=-1.0).to_csv(table, index=False)
    refused = run("moments", own_recordings, "--jobs", 1)
    assert refused.exit_code == 1
    assert "row 3: start_s is -1" in refused.output
    table.write_text("recording,start_s,end_s\n")
    empty = run("preprocess", "recordings", own_recordings, "--jobs", 1)
    assert empty.exit_code == 1
    assert "no smile was found" in empty.output
