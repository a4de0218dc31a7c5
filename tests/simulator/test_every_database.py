"""Every simulated database, small: its own loader reads it, its videos say what they are, a seed is its bytes."""

import dataclasses
import json
import shutil

import av
import cv2
import numpy as np
import pandas as pd
import pytest
from simulated import digests

from smilelab import datasets
from smilelab.simulator import databases
from smilelab.simulator.production import Production, Settings
from smilelab.simulator.roster import SimulationError

SMALL = {"resolution": (160, 120), "max_length_s": 1.0, "seed": 3, "jobs": 1, "progress": False}
# Subjects and clips; ten clips of MMI hold a dual view and a rotated picture.
SIZES = {"bbc": (3, 3), "mmi": (2, 10), "recordings": (2, 6), "spos": (2, 4), "uva-nemo": (2, 4)}
FULL = {"bbc": (20, 20, 10), "mmi": (34, 187, 138), "recordings": (88, 264, 88), "spos": (7, 80, 66)}
FULL["uva-nemo"] = (400, 1240, 597)


def make(name, root, **options):
    subjects, clips = SIZES[name]
    return databases.simulate(name, root, **{"subjects": subjects, "clips": clips, **SMALL, **options})


def production(name, **options):
    layout = databases._LAYOUTS[name]
    options = {"subjects": 4, "clips": layout.counts.scaled(4, None)[1], "resolution": (160, 120), **options}
    return Production(settings=Settings(name, 7, **options), layout=layout)


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    base = tmp_path_factory.mktemp("every")
    return {name: make(name, base / name) for name in databases.names()}


def truth(root):
    return pd.read_csv(databases.truth_folder(root) / "truth.csv", dtype={"subject": str}).set_index("clip_id")


def pictures(path):
    """Frames of a video or a folder as RGB, and frames per second and size where the container says so."""
    if path.is_dir():
        files = sorted(path.iterdir(), key=lambda file: int(file.stem))
        assert [file.name for file in files] == [f"{n}.bmp" for n in range(1, len(files) + 1)]
        return [cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in files], None
    with av.open(str(path)) as container:
        rate = float(container.streams.video[0].average_rate)
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)], rate


def test_all_five_can_be_simulated():
    assert databases.names() == ["bbc", "mmi", "recordings", "spos", "uva-nemo"]
    assert set(datasets.names()) == {*databases.names(), "au-traces"}


@pytest.mark.parametrize("name", sorted(SIZES))
def test_its_loader_finds_what_was_asked_for(roots, name):
    database = datasets.open(name, roots[name])
    index, rows = database.index().set_index("clip_id"), truth(roots[name])
    assert database.simulated
    assert database.faults == []
    assert (index["subject"].nunique(), len(index)) == SIZES[name]
    assert index["label"].to_dict() == rows["label"].to_dict()
    assert index["subject"].to_dict() == rows["subject"].to_dict()
    assert {0, 1} <= set(index["label"])
    assert len(database.folds()) >= 2
    assert not database.folds().official


@pytest.mark.parametrize("name", sorted(SIZES))
def test_pictures_are_what_the_truth_says(roots, name):
    index = datasets.open(name, roots[name]).index().set_index("clip_id")
    for row in truth(roots[name]).itertuples():
        path = type(roots[name])(index.at[row.Index, "path"])
        frames, rate = pictures(path)
        with np.load(databases.truth_folder(roots[name]) / f"{row.Index}.npz") as arrays:
            assert len(frames) == row.frames == len(arrays["times"]) == len(arrays["landmarks"])
            assert arrays["smiles"].shape == ((1, 2) if row.label >= 0 else (0, 2))
            assert arrays["phases"].shape == (row.apices, 4)
            if row.label >= 0:
                np.testing.assert_allclose(arrays["smiles"][0], [row.onset_s, row.end_s], atol=1e-4)
            inside = (arrays["landmarks"] >= 0) & (arrays["landmarks"] < max(frames[0].shape))
            assert inside.mean() > 0.98
        assert rate is None or rate == pytest.approx(row.fps)
        assert row.frames <= round(row.fps)
        assert len(np.unique(frames[0])) > 20, "an empty picture"


@pytest.mark.parametrize("name", sorted(SIZES))
def test_every_video_says_by_itself_that_it_is_simulated(roots, name):
    paths = [path for path in roots[name].rglob("*") if path.suffix in (".mp4", ".avi", ".bmp")]
    assert paths
    for path in paths:
        content = path.read_bytes()
        assert b"simulated by smilelab" in content[:65536] + content[-65536:], path


@pytest.mark.parametrize("name", sorted(SIZES))
def test_half_a_database_is_finished_to_the_same_bytes(roots, name, tmp_path):
    copy, source = tmp_path / name, roots[name]
    shutil.copytree(source, copy)
    shutil.copytree(databases.truth_folder(source), databases.truth_folder(copy))
    places = [type(source)(path) for path in datasets.open(name, source).index()["path"]]
    first, second = (copy / place.relative_to(source) for place in places[:2])
    if first.is_dir():
        shutil.rmtree(first)
        second.rename(second.with_name(f".{second.name}.4711.part"))
    else:
        first.unlink()
        second.rename(second.with_name(f".{second.name}.4711.part"))
    make(name, copy)
    assert digests(copy) == digests(source)


@pytest.mark.parametrize("name", sorted(SIZES))
def test_another_seed_is_another_database(name):
    one, same, other = (
        [
            (made.view(clip).landmarks(np.zeros(7), np.array([0, 0, 0, 0, 0, 1.0])).tobytes(), made.dynamics(clip))
            for made in [dataclasses.replace(production(name), settings=settings)]
            for clip in made.roster()[:2]
        ]
        for settings in [dataclasses.replace(production(name).settings, seed=seed) for seed in (1, 1, 2)]
    )
    for (face, drawn), (same_face, same_drawn), (other_face, other_drawn) in zip(one, same, other, strict=True):
        assert face == same_face
        assert drawn.action_units.tobytes() == same_drawn.action_units.tobytes()
        assert face != other_face
        assert drawn.pose[:20].tobytes() != other_drawn.pose[:20].tobytes()


@pytest.mark.parametrize("name", sorted(SIZES))
def test_who_is_filmed_and_how_does_not_depend_on_the_label(name):
    made = production(name, confounds=False)
    clip = made.roster()[0]
    one, other = (dataclasses.replace(clip, label=label) for label in (0, 1))
    assert made.camera(one) == made.camera(other)
    still = np.zeros(7), np.array([0, 0, 0, 0, 0, 1.0])
    assert made.view(one).render(*still).tobytes() == made.view(other).render(*still).tobytes()
    poses = [made.dynamics(clip).pose for clip in (one, other)]
    shared = min(map(len, poses))
    assert poses[0][:shared].tobytes() == poses[1][:shared].tobytes()


@pytest.mark.parametrize("name", sorted(FULL))
def test_real_counts_by_default(name):
    made = databases._LAYOUTS[name]
    subjects, clips = made.counts.scaled(None, None)
    roster = production(name, subjects=subjects, clips=clips).roster()
    assert (len({clip.subject for clip in roster}), len(roster), sum(clip.label == 1 for clip in roster)) == FULL[name]
    assert len({clip.clip_id for clip in roster}) == len(roster)
    assert len({(clip.code, clip.number) for clip in roster}) == len(roster), "two clips would share their seeds"


@pytest.mark.parametrize("name", ["mmi", "recordings", "uva-nemo"])
def test_metadata_alone_are_those_of_the_whole_database(roots, name, tmp_path):
    root = make(name, tmp_path / name, metadata_only=True)
    assert not databases.truth_folder(root).exists()
    whole = {path.relative_to(roots[name]) for path in roots[name].rglob("*") if path.is_file()}
    alone = {path.relative_to(root) for path in root.rglob("*") if path.is_file()}
    assert alone == {path for path in whole if path.suffix not in (".mp4", ".avi")}
    assert all((root / path).read_bytes() == (roots[name] / path).read_bytes() for path in alone)
    index = datasets.open(name, root, require_videos=False).index()
    assert (index["subject"].nunique(), len(index)) == SIZES[name]


def test_metadata_can_be_completed_to_the_whole_database(roots, tmp_path):
    make("recordings", tmp_path / "recordings", metadata_only=True)
    make("recordings", tmp_path / "recordings")
    assert digests(tmp_path / "recordings") == digests(roots["recordings"])


@pytest.mark.parametrize("name", ["bbc", "spos"])
def test_what_has_no_metadata_cannot_be_made_without_videos(name, tmp_path):
    with pytest.raises(SimulationError, match=f"{name}: holds videos alone.*expected one of mmi, recordings, uva-nemo"):
        make(name, tmp_path / name, metadata_only=True)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bbc", {"subjects": 21, "clips": None}, "subjects 21: expected at most 20"),
        ("bbc", {"subjects": 3, "clips": 4}, "clips 4 of 3 subjects: expected one clip"),
        ("mmi", {"subjects": 35, "clips": None}, "subjects 35: expected at most 34"),
        ("mmi", {"subjects": 34, "clips": 400}, "expected at most 197"),
        ("spos", {"subjects": 8, "clips": None}, "subjects 8: expected at most 7"),
        ("recordings", {"subjects": 2, "clips": 5}, "clips 5 of 2 subjects: expected 3 a subject"),
        ("recordings", {"subjects": 1000, "clips": None}, "subjects 1000: expected at most 999"),
    ],
)
def test_sizes_that_a_layout_cannot_hold_are_refused(tmp_path, name, options, message):
    with pytest.raises(SimulationError, match=message):
        make(name, tmp_path / name, **options)
    assert not (tmp_path / name).exists()


def test_only_mmi_remembers_whether_it_has_its_confound(roots, tmp_path):
    settings = {name: json.loads((root / "SIMULATED.json").read_text())["settings"] for name, root in roots.items()}
    assert {name for name, remembered in settings.items() if "confounds" in remembered} == {"mmi"}
    assert settings["mmi"]["fps"] == [29.0, 25.0]
    assert settings["uva-nemo"] == {
        "subjects": 2, "clips": 4, "resolution": [160, 120], "length_matched": False, "asymmetry": True,
        "max_length_s": 1.0, "fps": 50.0,
    }  # fmt: skip
    with pytest.raises(SimulationError, match="confounds True, now False"):
        make("mmi", roots["mmi"], confounds=False)
