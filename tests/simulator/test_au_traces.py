"""Simulated readings of action units: the truth with an error that knows no class, in the form of the public traces."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from smilelab import datasets
from smilelab.preprocess.traces import UNITS, read_trace
from smilelab.simulator import au_traces, databases
from smilelab.simulator.roster import SimulationError

SMALL = {"subjects": 4, "clips": 10, "seed": 2, "metadata_only": True, "au_traces": True, "progress": False}


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def root(tmp_path):
    return databases.simulate("uva-nemo", tmp_path / "uva", **SMALL)


def test_traces_lie_beside_the_database_and_say_what_they_are(root):
    folder = au_traces.folder(root)
    assert folder == root.with_name("uva-aus")
    told = json.loads((folder / "SIMULATED.json").read_text())
    assert told["traces"]["simulated"] == "readings of a detector"
    assert told["traces"]["frame_sd"] == au_traces.ERROR["frame_sd"]
    assert not (root / "videos").exists()
    database = datasets.open("au-traces", folder)
    assert database.simulated
    assert database.faults == []
    videos = datasets.open("uva-nemo", root, require_videos=False)
    columns = ["clip_id", "label", "subject", "sex", "age"]
    pd.testing.assert_frame_equal(database.index()[columns], videos.index()[columns])
    assert database.folds().tests == videos.folds().tests
    assert not database.folds().official


def test_the_form_is_the_public_one(root):
    path = sorted(au_traces.folder(root).glob("*_AUs.txt"))[0]
    heading, *rows = path.read_text().splitlines()
    assert heading == ",".join(UNITS)
    assert len(UNITS) == 17
    cells = np.array([row.split(",") for row in rows])
    assert cells.shape[1] == 17
    assert all(len(cell) == 4 and cell[1] == "." for cell in cells.ravel())
    values = cells.astype(float)
    assert values.min() >= 0
    assert values.max() <= 5


def test_each_clip_is_its_video_read_with_a_stated_error(tmp_path):
    errors, others = [], []
    root = databases.simulate("uva-nemo", tmp_path / "uva", **{**SMALL, "subjects": 20, "clips": 60})
    settings = databases.Settings("uva-nemo", 2, 20, 60, (640, 360))
    production = databases.Production(settings=settings, layout=databases._LAYOUTS["uva-nemo"])
    for clip in production.roster():
        read = read_trace(au_traces.folder(root) / f"{clip.clip_id}_AUs.txt")
        dynamics = production.dynamics(clip)
        np.testing.assert_allclose(read.times, dynamics.times)
        true = dynamics.action_units[:, 2:4].mean(1)
        at = UNITS.index("AU12")
        errors.append(np.corrcoef(true, read.intensities[:, at])[0, 1])
        others.append(read.intensities[:, [UNITS.index(name) for name in ("AU04", "AU15", "AU20")]])
        # Within a clip the level and the factor are constants: what is left are the slow and the quick error.
        moving = true > 0.2
        assert moving.sum() > 10
        slope, level = np.polyfit(true[moving], read.intensities[moving, at], 1)
        spread = np.std(read.intensities[moving, at] - slope * true[moving] - level)
        assert spread < 2 * np.hypot(au_traces.ERROR["slow_sd"], au_traces.ERROR["frame_sd"])
    assert np.median(errors) > 0.97
    # A unit that nothing moves has the error alone, cut at 0: half of the clips rest at 0 and few exceed 0.3.
    still = np.concatenate(others)
    assert np.percentile(still, 99) < 0.6
    assert 0.01 < still.mean() < 0.1


def test_the_error_is_what_was_stated():
    generator = np.random.default_rng(0)
    count = 4000

    class Still:
        times = np.arange(count) / 50
        action_units = np.full((count, 7), 2.5, np.float32)

    readings = np.stack([au_traces.measured(Still, generator, generator) for _ in range(80)])
    moved = readings[..., [UNITS.index(name) for name in ("AU06", "AU12", "AU25", "AU26", "AU45")]]
    within = (moved - moved.mean(1, keepdims=True)).reshape(-1, count, 5)
    assert within.std() == pytest.approx(np.hypot(0.1, 0.05), rel=0.03)
    # Neighbours share the slow part: their difference is the quick part and what of the slow one is forgotten.
    step = np.sqrt(2 * 0.1**2 * (1 - np.exp(-0.02 / 0.2)) + 2 * 0.05**2)
    assert np.diff(moved, axis=1).std() == pytest.approx(step, rel=0.03)
    # Levels and factors: 2.5 times a factor of sd 0.1, and a level of sd 0.1.
    assert moved.mean(1).std() == pytest.approx(np.hypot(0.25, 0.1), rel=0.15)


def test_a_seed_gives_the_same_files_and_goes_on_where_it_was_stopped(root, tmp_path):
    folder = au_traces.folder(root)
    before = files(folder)
    for path in sorted(folder.glob("*_AUs.txt"))[::2]:
        path.unlink()
    shutil.rmtree(folder / "folds")
    databases.simulate("uva-nemo", root, **SMALL)
    assert files(folder) == before
    again = databases.simulate("uva-nemo", tmp_path / "again", **SMALL)
    assert files(au_traces.folder(again)) == before
    other = databases.simulate("uva-nemo", tmp_path / "other", **{**SMALL, "seed": 3})
    assert files(au_traces.folder(other)).keys() != before.keys()


def test_traces_do_not_change_the_database(root, tmp_path):
    plain = databases.simulate("uva-nemo", tmp_path / "plain", **{**SMALL, "au_traces": False})
    assert files(plain) == files(root)


def test_another_folder_is_not_written_over(tmp_path):
    (tmp_path / "uva-aus").mkdir()
    (tmp_path / "uva-aus" / "mine.txt").write_text("mine")
    with pytest.raises(SimulationError, match="uva-aus: holds anything else than simulated traces"):
        databases.simulate("uva-nemo", tmp_path / "uva", **SMALL)
    assert [path.name for path in (tmp_path / "uva-aus").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("name", ["bbc", "mmi", "recordings", "spos"])
def test_every_database_has_traces(name, tmp_path):
    options = {"seed": 1, "metadata_only": True, "au_traces": True, "progress": False}
    root = databases.simulate(name, tmp_path / name, **options, **({"subjects": 3} if name == "recordings" else {}))
    database = datasets.open("au-traces", au_traces.folder(root))
    assert database.simulated
    index = database.index()
    assert datasets.recognise(au_traces.folder(root)) == ["au-traces"]
    assert {0, 1} <= set(index["label"])
    rates = {"bbc": {25.0}, "mmi": {25.0, 29.0}, "spos": {25.0}, "recordings": {30.0}}
    assert set(index["fps"]) == rates[name]
    assert len(read_trace(index["path"].iloc[0], fps=index["fps"].iloc[0]).times) > 10
