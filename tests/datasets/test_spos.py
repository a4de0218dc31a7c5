import database_trees as trees
import pytest

from smilelab import datasets


@pytest.fixture
def root(tmp_path):
    return trees.spos(tmp_path / "SPOS")


def test_full_copy_has_the_published_counts_and_no_fault(root):
    database = datasets.open("spos", root, strict=True)
    counts = database.counts()
    assert (counts["spontaneous clips"], counts["posed clips"], counts["subjects"]) == (66, 14, 7)
    index = database.index().set_index("clip_id")
    assert index.loc["posed_yi-1", "subject"] == "yi"
    assert index.loc["spontaneous_ying-1", "subject"] == "ying"
    assert index.loc["posed_yi-1", "path"] == str(root / "posed" / "happy" / "yi-1")
    assert set(index["fps"]) == {25.0}


def test_seven_folds_leave_one_subject_out_each(root):
    database = datasets.open("spos", root)
    folds, subject = database.folds(), database.index().set_index("clip_id")["subject"]
    assert folds.official
    tested = [{subject[clip] for clip in test} for test in folds.tests]
    assert tested == [{name} for name in trees.SPOS_SUBJECTS]
    assert sum(map(len, folds.tests)) == 80


def test_a_messy_copy_is_read(root):
    clip = root / "posed" / "happy" / "yi-1"
    for junk in ("Thumbs.db", ".DS_Store", "._1.bmp", "readme.txt"):
        trees.touch(clip / junk)
    (clip / "2.bmp").rename(clip / "0002.BMP")
    trees.touch(root / "posed" / "sad" / "yi-1" / "1.bmp")
    trees.touch(root / "posed" / "happy" / "list.txt")
    (root / "spontaneous").rename(root / "Spontaneous")
    assert datasets.open("spos", root, strict=True).counts()["clips"] == 80
    assert datasets.recognise(root) == ["spos"]


@pytest.mark.parametrize(
    ("frame", "content", "words"),
    [
        ("2.bmp", b"", ("posed/happy/yi-1/2.bmp", "0 bytes")),
        ("two.bmp", b"x", ("posed/happy/yi-1/two.bmp", "expected the frame's number")),
        ("002.bmp", b"x", ("posed/happy/yi-1/2.bmp", "frame 2 is 002.bmp already")),
    ],
)
def test_faulty_picture_is_named_and_its_clip_stays(root, frame, content, words):
    trees.touch(root / "posed" / "happy" / "yi-1" / frame, content)
    database = datasets.open("spos", root)
    assert len(database.index()) == 80
    assert len(database.faults) == 1
    assert all(word in database.faults[0] for word in words)


@pytest.mark.parametrize("name", ["yin-1", "yi_1", "happy"])
def test_folder_of_another_name_is_a_fault_and_left_out(root, name):
    (root / "posed" / "happy" / "yi-1").rename(root / "posed" / "happy" / name)
    database = datasets.open("spos", root)
    assert len(database.index()) == 79
    assert [fault.split(":")[0] for fault in database.faults] == [f"posed/happy/{name}"]


def test_folder_without_frames_is_a_fault_and_left_out(root):
    for path in (root / "posed" / "happy" / "yi-1").iterdir():
        path.unlink()
    database = datasets.open("spos", root)
    assert len(database.index()) == 79
    assert database.faults[0].startswith("posed/happy/yi-1: no frame in it")


def test_clip_that_is_there_twice_is_an_error(root):
    trees.touch(root / "posed" / "happy" / "Yi-1" / "1.bmp")
    with pytest.raises(datasets.DatabaseError, match=r"posed_yi-1 \(posed/happy/Yi-1\)"):
        datasets.open("spos", root)


def test_gap_in_the_numbers_is_a_note(root):
    (root / "posed" / "happy" / "yi-1" / "2.bmp").unlink()
    database = datasets.open("spos", root, strict=True)
    assert database.notes[0].startswith("posed/happy/yi-1: 1 numbers between 1 and 3")


def test_wrong_folder_and_half_a_copy(root, tmp_path):
    with pytest.raises(datasets.DatabaseError, match=r"no posed/happy/ and spontaneous/happy/ here.*simulate spos"):
        datasets.open("spos", tmp_path)
    (root / "posed").rename(root / "other")
    database = datasets.open("spos", root)
    assert database.faults[0].startswith("posed/happy/: no such folder")
    assert database.counts()["clips"] == 66


def test_fingerprint_sees_a_picture_that_changed_or_is_gone(root):
    before = datasets.open("spos", root).fingerprint()
    assert datasets.open("spos", root).fingerprint() == before
    frame = root / "posed" / "happy" / "yi-1" / "3.bmp"
    frame.write_bytes(b"longer than before")
    changed = datasets.open("spos", root).fingerprint()
    frame.unlink()
    assert len({before, changed, datasets.open("spos", root).fingerprint()}) == 3


def test_simulated_pictures_say_so_without_the_marker(root):
    assert not datasets.open("spos", root).simulated
    trees.touch(root / "posed" / "happy" / "nelly-1" / "1.bmp", bytes(300_000) + b"simulated by smilelab")
    assert datasets.open("spos", root).simulated  # one clip among real ones is enough, wherever it stands
