"""Traces of action units as a database: names alone, UvA-NEMO's metadata beside them, or a table."""

import json

import database_trees as trees
import pytest

from smilelab import datasets
from smilelab.datasets.report import describe
from smilelab.datasets.splits import SplitError

STEMS = ["001_deliberate_smile_2", "001_spontaneous_smile_1", "007_deliberate_smile_1", "020_spontaneous_smile_3"]
HEADING = ["UvA-NEMO Smile Database - File Details", "=====", "", "", "Filename\tSubject\tGender\tAge\tType"]


def details(root, stems=STEMS, heading=HEADING):
    lines = [f"{s}.mp4\t{s[:3]}\tfemale\t{20 + int(s[:3])}\t{s.split('_')[1]} " for s in stems]
    trees.touch(root / "UvA-NEMO_Smile_Database_File_Details.txt", "\n".join([*heading, *lines]).encode())


def official(root, tests):
    for number, test in enumerate(tests, start=1):
        content = json.dumps({stem: int("spontaneous" in stem) for stem in test}).encode()
        trees.touch(root / "folds" / str(number) / "test.json", content)


@pytest.fixture
def root(tmp_path):
    return trees.au_traces(tmp_path / "aus")


def test_names_alone_tell_class_and_subject(root):
    database = datasets.open("au-traces", root)
    index = database.index().set_index("clip_id")
    assert list(index.index) == STEMS
    assert index["label"].to_list() == [0, 1, 0, 1]
    assert index["subject"].to_list() == ["001", "001", "007", "020"]
    assert set(index["fps"]) == {50.0}
    assert index["age"].isna().all()
    assert database.faults == []
    assert not database.simulated
    folds = database.folds()
    assert not folds.official
    assert "not the official folds" in folds.source


def test_metadata_beside_them_give_sex_age_and_official_folds(root):
    details(root)
    official(root, [STEMS[:2], STEMS[2:]])
    database = datasets.open("au-traces", root)
    assert set(database.index()["sex"]) == {"female"}
    assert database.index()["age"].to_list() == [21, 21, 27, 40]
    assert database.folds().official
    assert [set(test) for test in database.folds().tests] == [set(STEMS[:2]), set(STEMS[2:])]
    assert datasets.recognise(root) == ["au-traces"]


def test_leaking_folds_are_refused(root):
    official(root, [STEMS[:1], STEMS[1:]])
    with pytest.raises(SplitError, match="subject 001"):
        datasets.open("au-traces", root).folds()


def test_what_the_details_and_the_folder_disagree_on_is_said(root):
    details(root, [*STEMS[1:], "400_deliberate_smile_9"])
    database = datasets.open("au-traces", root)
    assert database.index()["clip_id"].to_list() == STEMS[1:]
    missing, unlisted = database.faults
    assert missing.startswith("400_deliberate_smile_9: no trace here, but")
    assert unlisted.startswith("001_deliberate_smile_2_AUs.txt: ")
    with pytest.raises(datasets.DatabaseError, match="2 fault"):
        datasets.open("au-traces", root, strict=True)
    assert len(datasets.open("au-traces", root, require_videos=False).index()) == 4


def test_two_files_of_a_clip_are_named_and_neither_is_used(root):
    trees.touch(root / f"{STEMS[0]}.csv", b"timestamp")
    (root / f"{STEMS[1]}_AUs.txt").rename(root / f"{STEMS[1].upper()}_aus.TXT")
    database = datasets.open("au-traces", root)
    assert database.index()["clip_id"].to_list() == STEMS[1:]
    (fault,) = database.faults
    assert fault.startswith(f"{STEMS[0]}: found {STEMS[0]}.csv and {STEMS[0]}_AUs.txt, expected one trace")


def test_other_names_and_empty_files_are_faults(root):
    trees.touch(root / "smile_one_AUs.txt", b"AU01\n0\n")
    trees.touch(root / "notes.csv", b"a,b")
    trees.touch(root / f"{STEMS[0]}_AUs.txt", b"")
    database = datasets.open("au-traces", root)
    assert len(database.index()) == 4
    name, empty = database.faults
    assert "found the clip smile_one, expected NNN_(deliberate|spontaneous)_smile_K" in name
    assert empty == f"{STEMS[0]}_AUs.txt: the file is empty (0 bytes), expected a trace. Copy it again."
    assert any("notes.csv" in note for note in database.notes)


@pytest.mark.parametrize("inner", ["action_units", "Processed"])
def test_traces_in_the_usual_folder_below_are_found(tmp_path, inner):
    details(tmp_path)
    trees.au_traces(tmp_path / inner)
    assert len(datasets.open("au-traces", tmp_path).index()) == 4
    assert datasets.recognise(tmp_path) == ["au-traces"]


def test_a_copy_of_the_videos_is_no_copy_of_traces(tmp_path):
    details(tmp_path)
    trees.touch(tmp_path / "videos" / f"{STEMS[0]}.mp4")
    assert datasets.recognise(tmp_path) == ["uva-nemo"]
    trees.au_traces(tmp_path / "action_units")
    assert datasets.recognise(tmp_path) == ["au-traces", "uva-nemo"]


def test_a_table_names_clips_of_other_databases(tmp_path):
    rows = ["path,label,subject,sex,age,fps,kind", "a_AUs.txt,spontaneous,anna,f,30,25,", "sub/b.csv,posed,bert,,,,"]
    rows += ["c_AUs.txt,,bert,,,,neutral"]
    trees.touch(tmp_path / "clips.csv", "\n".join(rows).encode())
    for name in ("a_AUs.txt", "sub/b.csv", "c_AUs.txt"):
        trees.touch(tmp_path / name, trees.au_text().encode())
    assert datasets.recognise(tmp_path) == ["au-traces"]
    database = datasets.open("au-traces", tmp_path)
    index = database.index().set_index("clip_id")
    assert index["label"].to_dict() == {"a": 1, "sub/b": 0, "c": -1}
    assert index["fps"].to_dict() == {"a": 25.0, "sub/b": 50.0, "c": 50.0}
    assert database.deviations().empty
    assert "as published" not in describe(database)
    assert {clip for test in database.folds().tests for clip in test} == {"a", "sub/b"}


def test_a_table_with_faulty_rows_is_refused_with_their_numbers(tmp_path):
    rows = ["path;label;subject;fps", "a_AUs.txt;posed;anna;0", "b_AUs.txt;posed;bert;", "c.mp4;posed;carl;25,5"]
    trees.touch(tmp_path / "clips.csv", "\n".join(rows).encode())
    for name in ("a_AUs.txt", "c.mp4"):
        trees.touch(tmp_path / name)
    with pytest.raises(datasets.DatabaseError) as error:
        datasets.open("au-traces", tmp_path)
    assert "row 2: fps is '0', expected rows per second" in str(error.value)
    assert "row 3: no such file 'b_AUs.txt', expected a trace in the folder" in str(error.value)
    assert "row 4: path is 'c.mp4', expected a file ending in _AUs.txt or .csv" in str(error.value)


def test_a_table_of_videos_stays_one_of_recordings(tmp_path):
    trees.recordings(tmp_path)
    trees.touch(tmp_path / "S001_posed.csv", b"an OpenFace table beside its video")
    assert datasets.recognise(tmp_path) == ["recordings"]


def test_simulated_traces_stay_simulated_without_their_marker(root):
    details(root, heading=[HEADING[0], "", "Simulated by smilelab: no real person is shown.", "", HEADING[4]])
    official(root, [STEMS[:2], STEMS[2:]])
    database = datasets.open("au-traces", root)
    assert database.simulated
    assert not database.folds().official


def test_the_fingerprint_is_of_what_is_in_the_files(root):
    before = datasets.open("au-traces", root).fingerprint()
    path = root / f"{STEMS[0]}_AUs.txt"
    path.write_text(path.read_text().replace("0.01", "0.02"))
    assert datasets.open("au-traces", root).fingerprint() != before


def test_the_report_says_what_is_short_of_the_published_counts(root):
    said = describe(datasets.open("au-traces", root))
    assert "Action-unit traces" in said
    assert "4 clips of 3 subjects: 2 spontaneous, 2 posed" in said
    assert "1240" in said
    assert "doi:10.7910/DVN/X5QGLA" in said
