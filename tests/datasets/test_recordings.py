import contextlib

import database_trees as trees
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smilelab import datasets
from smilelab.datasets.report import describe

HEADING = "path,label,subject,sex,age,start_s,end_s,kind"


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "videos"
    for name in ("a.mp4", "b.mp4", "sub/c.MOV"):
        trees.touch(folder / name)
    return folder


def write(root, *rows, heading=HEADING, encoding="utf-8"):
    (root / "clips.csv").write_bytes("\n".join([heading, *rows, ""]).encode(encoding))


def faults_of(root, *rows, **options):
    """Lines of the message below the one that names the table."""
    write(root, *rows, **options)
    with pytest.raises(datasets.DatabaseError) as caught:
        datasets.open("recordings", root)
    first, *lines = str(caught.value).split("\n")
    assert first == f"{root / 'clips.csv'}: correct these rows:"
    return lines


def test_every_form_of_a_cell(root):
    write(
        root,
        "a.mp4,Spontaneous,anna,F,34,1.5,4,clip",
        "a.mp4,0,anna,female,34,6,,",
        "sub/c.MOV,1.0,bert,male,,,,recording",
        "b.mp4,,bert,,51.5,,,neutral",
    )
    index = datasets.open("recordings", root, strict=True).index()
    assert index["clip_id"].tolist() == ["a@1.5-4", "a@6-end", "sub/c", "b"]
    assert index["label"].tolist() == [1, 0, 1, -1]
    assert index["kind"].tolist() == ["clip", "clip", "recording", "neutral"]
    assert index["sex"].tolist() == ["female", "female", "male", ""]
    assert index["age"].tolist()[0::3] == [34, 51.5]
    assert index["path"].tolist()[2] == str(root / "sub" / "c.MOV")
    assert index["start_s"].tolist()[:2] == [1.5, 6]
    assert index["end_s"].isna().tolist() == [False, True, True, True]
    assert set(index["view"]) == {"frontal"}


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_semicolons_decimal_commas_and_a_byte_order_mark(root, mark):
    write(root, "a.mp4;posed;1;0,5;2,25", heading=f"{mark}Path;LABEL; subject ;start_s;end_s")
    row = datasets.open("recordings", root).index().iloc[0]
    assert (row["clip_id"], row["start_s"], row["end_s"]) == ("a@0.5-2.25", 0.5, 2.25)


def test_names_as_another_system_writes_them(root):
    write(root, r"sub\C.mov,posed,1", "A.MP4,spontaneous,1", "./sub/../b.mp4,posed,1", heading="path,label,subject")
    index = datasets.open("recordings", root).index()
    assert index["path"].tolist() == [str(root / name) for name in ("sub/c.MOV", "a.mp4", "b.mp4")]
    assert index["clip_id"].tolist() == ["sub/c", "a", "b"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("a.mp4,happy,anna,,,,,", "label is 'happy', expected spontaneous or posed"),
        ("a.mp4,,anna,,,,,clip", "label is ''"),
        ("a.mp4,,anna,,,,,recording", "label is ''"),
        ("a.mp4,posed,anna,,,,,neutral", "label is 'posed', expected it blank"),
        ("a.mp4,posed,anna,,,,,film", "kind is 'film', expected clip, recording, neutral"),
        ("a.mp4,posed,,,,,,", "subject is blank"),
        ("a.mp4,posed,anna,x,,,,", "sex is 'x'"),
        ("a.mp4,posed,anna,,old,,,", "age is 'old', expected a number"),
        ("a.mp4,posed,anna,,-3,,,", "age is -3"),
        ("a.mp4,posed,anna,,nan,,,", "age is 'nan'"),
        ("a.mp4,posed,anna,,,-1,,", "start_s is -1"),
        ("a.mp4,posed,anna,,,3,2,", "end_s is 2, expected more than start_s, which is 3"),
        ("a.mp4,posed,anna,,,,0,", "end_s is 0"),
        (",posed,anna,,,,,", "path is blank"),
        ("z.mp4,posed,anna,,,,,", "no such file 'z.mp4'"),
        ("sub,posed,anna,,,,,", "no such file 'sub'"),
        ("../a.mp4,posed,anna,,,,,", "'../a.mp4' leads out of the folder"),
        ("sub/../../a.mp4,posed,anna,,,,,", "leads out of the folder"),
        ("/etc/passwd,posed,anna,,,,,", "leads out of the folder"),
        (r"C:\a.mp4,posed,anna,,,,,", "leads out of the folder"),
        (r"..\a.mp4,posed,anna,,,,,", "leads out of the folder"),
        ("..,posed,anna,,,,,", "leads out of the folder"),
        (f"{'x' * 300}.mp4,posed,anna,,,,,", "cannot be used (File name too long)"),
        ("link.mp4,posed,anna,,,,,", "'link.mp4' is a link out of the folder"),
        ("a.mp4,posed,anna,,,,,clip,more", "9 cells, expected 8"),
        ("b.mp4,posed,anna,,,,,", "the clip 'b' is in row 2 already"),
        ("a.mp4,posed,bert,male,,,,", "sex of subject 'bert' is male, but female in row 2"),
        ("a.mp4,posed,Bert,,,,,", "subject is 'Bert', but 'bert' in row 2; write one person in one way"),
    ],
)
def test_faulty_row_is_named_by_its_number(root, row, words):
    trees.touch(root.parent / "elsewhere.mp4")
    (root / "link.mp4").symlink_to(root.parent / "elsewhere.mp4")
    lines = faults_of(root, "b.mp4,posed,bert,female,,,,", "", row)
    assert len(lines) == 1
    assert lines[0].startswith("row 4: ")
    assert words in lines[0]


def test_all_faulty_rows_are_listed_at_once(root):
    rows = [f"missing{i}.mp4,posed,anna,,,,," for i in range(200)]
    lines = faults_of(root, *rows, "a.mp4,funny,,,old,,,")
    assert [line.split(":")[0] for line in lines] == [*(f"row {i}" for i in range(2, 202)), *["row 202"] * 3]


def test_a_cell_of_several_lines_is_one_row(root):
    lines = faults_of(root, 'a.mp4,posed,"two\nlines",,,,,', "z.mp4,posed,anna,,,,,")
    assert [line.split(":")[0] for line in lines] == ["row 3"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            "path,label,subject\na.mp4,posed,Zo\u00eb\n".encode("latin-1"),
            r"byte 0xeb in line 2 \(byte 34 of the file\)",
        ),
        ("path,label,subject\na.mp4,posed,anna\n".encode("utf-16"), r"byte 0xff in line 1"),
        ("path,label,subject\na.mp4,posed,anna\n".encode("utf-16-le"), r"byte 0x00 in line 1"),
        (b"path,subject\na.mp4,anna\n", "no column label; found path, subject, expected path, label"),
        (b"path,label,subject,label\na.mp4,posed,anna,posed\n", "column label is there twice"),
        (b"", "no column path, label, subject; found an empty file"),
        (b"path,label,subject\n\n , ,\n", "no row below the heading"),
        (b'path,label,subject\na.mp4,posed,"' + b"x" * 200_000, "line 2 is no CSV"),
    ],
)
def test_unreadable_table_is_named_with_the_place(root, content, words):
    (root / "clips.csv").write_bytes(content)
    with pytest.raises(datasets.DatabaseError, match=words) as caught:
        datasets.open("recordings", root)
    assert str(caught.value).startswith(str(root / "clips.csv"))


def test_a_table_that_pandas_wrote(root):
    table = pd.DataFrame(
        {"path": ["a.mp4", "b.mp4"], "label": [0, None], "subject": [7, 8], "kind": ["clip", "neutral"]}
    )
    table.to_csv(root / "clips.csv", index=False)
    assert datasets.open("recordings", root).index()["label"].tolist() == [0, -1]


def test_what_is_not_used_is_noted(root):
    trees.touch(root / ".trash" / "old.mp4")
    write(root, "a.mp4,posed,anna,3", heading="path,label,subject,start")
    database = datasets.open("recordings", root)
    assert "columns start are not used" in database.notes[0]
    assert database.notes[1] == "2 videos of the folder are not in clips.csv and are not used: b.mp4, sub/c.MOV"


def test_a_class_without_a_row_is_a_deviation(root):
    write(root, "a.mp4,posed,anna,,,,,", "b.mp4,,anna,,,,,neutral")
    database = datasets.open("recordings", root)
    assert database.deviations().to_numpy().tolist() == [["spontaneous clips", "at least 1", 0]]
    assert database.counts()["clips"] == 1
    assert database.counts()["rows of kind neutral"] == 1
    with pytest.raises(datasets.DatabaseError, match="at least 1"):
        datasets.open("recordings", root, strict=True)


def test_folds_keep_subjects_together_and_leave_neutral_rows_out(tmp_path):
    database = datasets.open("recordings", trees.recordings(tmp_path / "videos", subjects=12), strict=True)
    folds = database.folds()
    assert not folds.official
    assert len(folds) == 10
    tested = [clip for test in folds.tests for clip in test]
    assert sorted(tested) == sorted(f"S{i:03d}_{kind}" for i in range(1, 13) for kind in ("spontaneous", "posed"))
    people = [{clip.split("_")[0] for clip in test} for test in folds.tests]
    assert sum(map(len, people)) == 12


def test_metadata_alone(tmp_path):
    root = trees.recordings(tmp_path / "videos")
    for video in root.glob("*_p*.mp4"):
        video.unlink()
    with pytest.raises(datasets.DatabaseError, match=r"row 9: no such file 'S003_posed\.mp4'"):
        datasets.open("recordings", root)
    for video in root.glob("*.mp4"):
        video.unlink()
    with pytest.raises(datasets.DatabaseError, match=r"none of its 9 videos is here, such as 'S001_spontaneous\.mp4'"):
        datasets.open("recordings", root)
    assert len(datasets.open("recordings", root, require_videos=False).index()) == 9


def test_fingerprint_sees_the_kind(root):
    write(root, "a.mp4,posed,anna,,,,,clip")
    clip = datasets.open("recordings", root).fingerprint()
    write(root, "a.mp4,posed,anna,,,,,")
    assert datasets.open("recordings", root).fingerprint() == clip
    write(root, "a.mp4,posed,anna,,,,,recording")
    assert datasets.open("recordings", root).fingerprint() != clip


def test_no_table_says_how_to_write_one(tmp_path):
    with pytest.raises(datasets.DatabaseError, match=r"no clips\.csv here. Write clips\.csv"):
        datasets.open("recordings", tmp_path)


CELLS = st.sampled_from(
    ["a.mp4", "..", "/", "\0", ".", "a\\b", "posed", "1", "-1", "1e400", "\u00b2", "neutral", '"', ""]
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=80).map(lambda content: b"path,label,subject\n" + content),
        st.lists(st.lists(CELLS | st.text(max_size=5), max_size=9).map(",".join), max_size=4).map(
            lambda rows: "\n".join([HEADING, *rows]).encode("utf-8", "replace")
        ),
    )
)
def test_no_table_whatever_gives_another_error(root, content):
    (root / "clips.csv").write_bytes(content)
    used = set()
    with contextlib.suppress(datasets.DatabaseError):
        used = set(datasets.open("recordings", root).index()["path"])
    assert used <= {str(root / "a.mp4"), str(root / "b.mp4")}


def test_one_simulated_file_among_others_is_told_with_the_count(root):
    write(root, "a.mp4,posed,anna,,,,,clip", "b.mp4,spontaneous,anna,,,,,clip", "sub/c.MOV,posed,bert,,,,,clip")
    assert "(not marked as simulated)" in describe(datasets.open("recordings", root))
    (root / "b.mp4").write_bytes(b"........simulated by smilelab........")
    database = datasets.open("recordings", root)
    assert database.simulated
    assert "(counts as simulated: 1 of 3 files came from the simulator; keep the others apart)" in describe(database)
    for other in ("a.mp4", "sub/c.MOV"):
        (root / other).write_bytes(b"........simulated by smilelab........")
    assert "(simulated)" in describe(datasets.open("recordings", root))


@pytest.mark.parametrize(("label", "trained"), [("posed", False), ("spontaneous", True)])
def test_clips_of_one_class_are_not_called_enough_to_train_on(root, label, trained):
    write(root, "a.mp4,posed,anna,,,,,clip", f"b.mp4,{label},bert,,,,,clip")
    assert ("clips of one can be preprocessed and scored" in describe(datasets.open("recordings", root))) is not trained
