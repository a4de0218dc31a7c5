from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from memory_store import FOLDS, SUBJECTS, MemoryStore

from smilelab import clips
from smilelab.artifacts import data_figures, data_tables
from smilelab.preprocess import video
from smilelab.preprocess.build import Recipe, build


@pytest.fixture(scope="module")
def store():
    return MemoryStore()


def test_folds_list_every_usable_clip_once(store):
    product = data_tables.folds({"uva-nemo": store})
    (caption, table), *_ = product.tables.items()
    assert caption == f"simulated UvA-NEMO: {store.folds_source}"
    assert len(table) == FOLDS
    assert table["clips"].sum() == len(store.usable)
    assert (table["spontaneous"] + table["posed"] == table["clips"]).all()
    named = [subject for who in table["who"] for subject in who.split(", ")]
    assert sorted(named) == sorted(store.usable["subject"].unique())


def test_a_fold_of_one_class_is_said_so():
    store = MemoryStore()
    only = [[c for c in test if c.endswith("_1")] if number == 1 else test for number, test in enumerate(store.folds())]
    store.folds = lambda: only
    notes = data_tables.folds({"uva-nemo": store}).notes
    assert any("test fold(s) 2 hold one class only" in note for note in notes)


def test_probes_are_printed_beside_the_majority(store):
    table = data_tables.probes_of({"uva-nemo": store})
    assert set(table["database"]) == {"simulated UvA-NEMO"}
    assert list(table["probe"]) == ["clip length", "frame rate", "resolution", "mean brightness", "majority class"]
    assert set(table["majority"]) == {"50.0"}


def test_a_database_that_cannot_be_probed_is_a_row_with_the_reason():
    store = MemoryStore()
    store.folds = lambda: [list(store.usable.index)]
    table = data_tables.probes_of({"uva-nemo": store})
    assert table["probe"].iloc[0].startswith("not run: found 1 fold(s)")


def test_windows_of_a_subject_are_counted_by_hand(store):
    product = data_tables.lee2020_table1(store, length=4)
    counts, rounds, moments = product.tables.values()
    measured = counts[counts[""].str.startswith("measured")].set_index("set")
    by_hand = {label: sum(len(store.frames(c)) - 3 for c in store.usable.index if c.endswith(label)) for label in "01"}
    assert measured.loc["total", "spontaneous windows"] == f"{by_hand['1']:,}"
    assert measured.loc["total", "posed windows"] == f"{by_hand['0']:,}"
    subjects = measured["subjects"].astype(int)
    assert subjects["training"] + subjects["validation"] + subjects["test"] == subjects["total"] == SUBJECTS
    # Shares of 68, 10 and 10 in 88, of 12 subjects.
    assert subjects["test"] == subjects["validation"] == 1
    assert moments.set_index("class").loc["posed", "moments, measured"] == str(SUBJECTS)
    assert set(rounds["set"]) == {"training", "validation"}


def test_reported_windows_stand_beside_the_measured_ones(store):
    counts = next(iter(data_tables.lee2020_table1(store, length=4).tables.values()))
    reported = counts[counts[""].str.startswith("reported")].set_index("set")
    assert reported.loc["test", "posed windows"] == "3,261"
    assert set(counts.loc[counts[""].str.startswith("measured"), ""]) == {"measured (simulated UvA-NEMO)"}


@pytest.fixture(scope="module")
def outline_store(tmp_path_factory, simulated_uva_nemo):
    from smilelab import datasets

    database = datasets.open("uva-nemo", simulated_uva_nemo)
    root = tmp_path_factory.mktemp("clips")
    return build(database, Recipe(crop="outline", size=112, fps=30.0), root, progress=False, limit=4), database


def test_fig2_shows_the_very_frame_that_was_cropped(outline_store):
    store, database = outline_store
    paths = database.index().set_index("clip_id")["path"].to_dict()
    product = data_figures.lee2020_fig2(store, paths, subjects=1)
    assert product.simulated
    before, after = product.figure.axes[0], product.figure.axes[len(product.figure.axes) // 2]
    frame = before.get_images()[0].get_array()
    crop = after.get_images()[0].get_array()
    shown = [(c, k) for c in store.usable.index for k, f in enumerate(store.frames(c)) if np.array_equal(f, crop)]
    time = store.times(shown[0][0])[shown[0][1]]
    with video.read(paths[shown[0][0]]) as frames:
        nearest = min(frames, key=lambda f: abs(f.time - time))
    assert np.array_equal(frame, nearest.image)
    assert clips.ClipStore(store.path).recipe["crop"] == "outline"


def test_a_frame_of_each_database_says_whose_it_is(outline_store):
    figure = data_figures.frames_of_databases({"uva-nemo": outline_store[1]})
    assert isinstance(figure, Figure)
    assert figure.axes[0].get_title().startswith("simulated UvA-NEMO\n")


def test_too_few_subjects_are_a_table_that_says_so():
    store = MemoryStore()
    two = store.manifest[store.manifest["subject"].isin(["s00", "s01"])]
    store.usable = store.manifest = two
    product = data_tables.lee2020_table1(store, length=4)
    assert not product.tables
    assert product.notes[0].startswith("not run: ")


def test_rates_of_pictures_are_called_nominal():
    store = MemoryStore()
    store.database = "spos"
    table = next(iter(data_tables.yang2020_table1({"spos": store}).tables.values()))
    measured = table[(table["database"] == "simulated SPOS")].iloc[0]
    assert measured["frame rate"] == "50 (nominal)"


def test_a_database_whose_first_clip_is_damaged_still_shows_a_frame(tmp_path, outline_store):
    from smilelab import datasets

    paths = outline_store[1].index()["path"]
    (tmp_path / "a.mp4").write_text("<html>not found</html>")
    (tmp_path / "b.mp4").write_bytes(Path(paths[0]).read_bytes())
    (tmp_path / "clips.csv").write_text("path,label,subject\na.mp4,posed,x\nb.mp4,spontaneous,y\n")
    figure = data_figures.frames_of_databases({"recordings": datasets.open("recordings", tmp_path)})
    assert figure.axes[0].get_title().endswith("b.mp4")
    assert figure.axes[0].get_images()
