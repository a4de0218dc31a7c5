"""Simulated databases: the published layout read back by hand, the same bytes however made, ground truth apart."""

import collections
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import av
import numpy as np
import pandas as pd
import pytest
from simulated import STEM, details, digests, folds

from smilelab import datasets
from smilelab.simulator import databases
from smilelab.simulator.roster import SimulationError

SMALL = {"subjects": 3, "clips": 6, "resolution": (192, 192), "max_length_s": 1.0, "jobs": 1, "progress": False}


def make(root, **options):
    return databases.simulate("uva-nemo", root, **{**SMALL, **options})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make(tmp_path_factory.mktemp("simulated") / "uva")


@pytest.fixture(scope="module")
def truth(root):
    return pd.read_csv(root.with_name("uva-truth") / "truth.csv", dtype={"subject": str})


def test_layout_is_the_published_one(root):
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    videos = {name for name in files if name.startswith("videos/")}
    assert len(videos) == 6
    assert all(STEM.match(name.removeprefix("videos/").removesuffix(".mp4")) for name in videos)
    expected = {f"UvA-NEMO_Smile_Database_{what}_Details.txt" for what in ("File", "Subject")} | {"SIMULATED.json"}
    for k in (1, 2, 3):
        expected |= {f"folds/json/{k}/train.json", f"folds/json/{k}/test.json"}
        expected |= {f"folds/text/P_fold_test_{k}.txt", f"folds/text/S_fold_test_{k}.txt"}
    assert files - videos == expected


def test_detail_files_agree_with_the_videos(root):
    rows, people = details(root), {code: (sex, age) for code, sex, age in details(root, "Subject")}
    assert {row[0] for row in rows} == {path.name for path in (root / "videos").iterdir()}
    for name, code, sex, age, kind in rows:
        subject, said_kind, number = STEM.match(name.removesuffix(".mp4")).groups()
        assert (code, kind) == (subject, said_kind)
        assert people[code] == (sex, age)
        assert sex in ("female", "male")
        assert 8 <= int(age) <= 76
        assert 1 <= int(number) <= 22
    assert {row[1] for row in rows} == set(people)


def test_details_keep_the_trailing_blanks(root):
    text = (root / "UvA-NEMO_Smile_Database_File_Details.txt").read_text()
    assert re.search(r"\tdeliberate \n", text)
    assert all(line.count("\t") == 4 for line in text.splitlines()[5:])


def test_folds_cover_every_clip_once_and_share_no_subject(root):
    by_json, by_text = folds(root)
    assert by_json == by_text
    stems = {row[0].removesuffix(".mp4"): int(row[4] == "spontaneous") for row in details(root)}
    assert collections.Counter(stem for test in by_json for stem in test) == collections.Counter(stems.keys())
    assert {stem: label for test in by_json for stem, label in test.items()} == stems
    subjects = [{stem[:3] for stem in test} for test in by_json]
    assert all(a.isdisjoint(b) for i, a in enumerate(subjects) for b in subjects[:i])
    for k, test in enumerate(by_json, start=1):
        train = json.loads((root / f"folds/json/{k}/train.json").read_text())
        assert {**train, **test} == stems
        assert not set(train) & set(test)


def test_the_reader_of_the_real_database_reads_it(root, truth):
    database = datasets.open("uva-nemo", root)
    index = database.index().set_index("clip_id")
    assert database.simulated
    assert database.provenance["seed"] == 0
    assert index["label"].to_dict() == truth.set_index("clip_id")["label"].to_dict()
    assert index["subject"].to_dict() == truth.set_index("clip_id")["subject"].to_dict()
    assert len(database.folds()) == 3


def test_videos_are_what_the_truth_says(root, truth):
    for row in truth.itertuples():
        with av.open(str(root / "videos" / f"{row.clip_id}.mp4")) as container:
            stream = container.streams.video[0]
            pictures = [frame.to_ndarray(format="rgb24").astype(float) for frame in container.decode(stream)]
            assert container.metadata["comment"] == "simulated by smilelab"
            assert (stream.width, stream.height, float(stream.average_rate)) == (192, 192, 50.0)
        assert len(pictures) == row.frames
        assert row.length_s == pytest.approx(row.frames / 50)
        arrays = np.load(root.with_name("uva-truth") / f"{row.clip_id}.npz")
        shapes = {name: arrays[name].shape for name in ("times", "action_units", "pose", "landmarks")}
        wanted = {"times": (), "action_units": (7,), "pose": (6,), "landmarks": (68, 2)}
        assert shapes == {name: (row.frames, *shape) for name, shape in wanted.items()}
        assert arrays["landmarks"].dtype == np.float32
        assert (arrays["landmarks"] > 0).all()
        assert (arrays["landmarks"] < 192).all()
        width = np.linalg.norm(arrays["landmarks"][:, 54] - arrays["landmarks"][:, 48], axis=1)
        au12 = arrays["action_units"][:, 2:4].mean(1)
        assert np.corrcoef(width, au12)[0, 1] > 0.95
        # The pictures themselves: the mouth looks least like at the start when the smile is widest.
        x, y = arrays["landmarks"][0, 48:68].mean(0).astype(int)
        mouth = np.array([p[y - 12 : y + 12, x - 20 : x + 20] for p in pictures])
        change = np.abs(mouth - mouth[0]).mean((1, 2, 3))
        assert np.corrcoef(change, au12)[0, 1] > 0.6, row.clip_id


def test_truth_rows_agree_with_their_arrays(root, truth):
    assert len(truth) == truth["clip_id"].nunique() == 6
    for row in truth.itertuples():
        arrays = np.load(root.with_name("uva-truth") / f"{row.clip_id}.npz")
        assert (row.apices, row.blinks) == (len(arrays["phases"]), len(arrays["blinks"]))
        assert (row.onset_s, row.end_s) == (
            pytest.approx(arrays["phases"][0, 0], abs=1e-3), pytest.approx(arrays["phases"][-1, 3], abs=1e-3)
        )  # fmt: skip
        assert row.onset_s < row.apex_s < row.offset_s < row.end_s
        assert row.au12 == pytest.approx(arrays["action_units"][:, 2:4].mean(1).max(), abs=1e-3)
        assert row.label == ("spontaneous" in row.clip_id)


def test_the_database_does_not_tell_the_truth(root, truth):
    provenance = json.loads((root / "SIMULATED.json").read_text())
    assert set(provenance) == {"simulator", "database", "seed", "settings"}
    text = "".join(path.read_text() for path in root.rglob("*") if path.suffix in (".json", ".txt"))
    for row in truth.itertuples():
        assert str(row.seed) not in text
        assert row.clip_id not in json.dumps(provenance)
    assert not list(root.rglob("*.npz"))
    assert not list(root.rglob("*.csv"))
    metadata = []
    for path in (root / "videos").iterdir():
        with av.open(str(path)) as container:
            metadata.append((dict(container.metadata), dict(container.streams.video[0].metadata)))
    assert all(one == metadata[0] for one in metadata), "what the containers say must be the same for all clips"


def test_seeds(root, tmp_path):
    assert digests(make(tmp_path / "uva")) == digests(root)
    other = digests(make(tmp_path / "other", seed=1, clips=3))
    videos = {digest for name, digest in digests(root).items() if name.endswith(".mp4")}
    assert videos.isdisjoint(other.values())


def test_an_interrupted_run_is_finished_to_the_same_bytes(root, tmp_path):
    copy = tmp_path / "uva"
    shutil.copytree(root, copy)
    shutil.copytree(root.with_name("uva-truth"), tmp_path / "uva-truth")
    videos = sorted((copy / "videos").iterdir())
    kept = {path: path.stat().st_mtime_ns for path in videos[3:]}
    videos[0].unlink()
    videos[1].rename(copy / "videos" / f".{videos[1].name}.4711.part")
    (tmp_path / "uva-truth" / f"{videos[2].stem}.npz").unlink()
    (tmp_path / "uva-truth" / f".{videos[2].stem}.npz.4711.part").write_bytes(b"half")
    (tmp_path / "uva-truth" / "truth.csv").unlink()
    shutil.rmtree(copy / "folds")
    assert make(copy) == copy
    assert digests(copy) == digests(root)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "finished clips are not made again"


@pytest.mark.slow
def test_a_killed_run_is_finished_to_the_same_bytes(tmp_path):
    code = (
        "import sys; from smilelab.simulator.databases import simulate; simulate('uva-nemo', sys.argv[1], subjects=4, "
    )
    code += "resolution=(192, 192), max_length_s=1.5, jobs=int(sys.argv[2]))"
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "uva"), "1"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "uva" / "videos").glob("*.mp4"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert 3 <= len(list((tmp_path / "uva" / "videos").glob("*.mp4"))) < 12
    for name, jobs in (("uva", "2"), ("whole", "2")):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name), jobs], check=True, stderr=subprocess.DEVNULL)
    assert len(list((tmp_path / "uva" / "videos").glob("*"))) == 12
    assert digests(tmp_path / "uva") == digests(tmp_path / "whole")


@pytest.mark.slow
def test_the_number_of_processes_does_not_matter(root, tmp_path):
    assert digests(make(tmp_path / "uva", jobs=2)) == digests(root)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": 5}, "seed 0, now 5"),
        ({"subjects": 2}, "subjects 3, now 2"),
        ({"clips": 7}, "clips 6, now 7"),
        ({"resolution": (194, 192)}, "resolution .192, 192., now .194, 192."),
        ({"max_length_s": 1.2}, "max_length_s 1.0, now 1.2"),
        ({"length_matched": True}, "length_matched False, now True"),
        ({"asymmetry": False}, "asymmetry True, now False"),
    ],
)
def test_other_settings_are_refused_and_nothing_is_touched(root, changed, message):
    before = digests(root)
    with pytest.raises(SimulationError, match=f"other settings.*{message}"):
        make(root, **changed)
    assert digests(root) == before


def test_a_folder_with_other_contents_is_refused(tmp_path):
    real = tmp_path / "UvA-NEMO_SMILE_DATABASE"
    (real / "videos").mkdir(parents=True)
    (real / "videos" / "001_deliberate_smile_2.mp4").write_bytes(b"a real clip")
    with pytest.raises(SimulationError, match=r"not empty and no simulation.*expected a new or empty folder"):
        make(real)
    assert [path.name for path in real.rglob("*")] == ["videos", "001_deliberate_smile_2.mp4"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subjects": 1}, "subjects 1: expected two or more"),
        ({"subjects": 1000, "clips": None}, "subjects 1000: expected at most 999"),
        ({"subjects": 3, "clips": 2}, "clips 2 of 3 subjects"),
        ({"subjects": 2, "clips": 45}, "clips 45: expected at most 22 for each of 2"),
        ({"resolution": (191, 192)}, "resolution 191x192"),
        ({"max_length_s": 0.2}, "max_length_s 0.2"),
        ({"seed": -1}, "seed -1"),
        ({"jobs": 0}, "jobs 0"),
    ],
)
def test_impossible_settings_are_refused(tmp_path, options, message):
    with pytest.raises(SimulationError, match=message):
        make(tmp_path / "uva", **options)
    assert not (tmp_path / "uva").exists()


def test_unknown_databases_are_refused_with_the_known_names(tmp_path):
    assert "uva-nemo" in databases.names()
    with pytest.raises(SimulationError, match=r"'disfa': cannot be simulated; expected one of .*uva-nemo"):
        databases.simulate("disfa", tmp_path / "x")


def test_progress_shows_clips_and_rate(tmp_path, capfd):
    make(tmp_path / "uva", subjects=2, clips=2, progress=True)
    shown = capfd.readouterr().err
    assert "uva-nemo" in shown
    assert "2/2" in shown
    assert "clip/s" in shown or "s/clip" in shown
