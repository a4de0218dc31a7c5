import database_trees as trees
import pytest

from smilelab import datasets


@pytest.fixture
def root(tmp_path):
    return trees.bbc(tmp_path / "BBC")


def test_full_copy_has_the_published_counts_and_no_fault(root):
    database = datasets.open("bbc", root, strict=True)
    assert database.faults == []
    index = database.index().set_index("clip_id")
    assert (index["label"] == 1).sum() == (index["label"] == 0).sum() == 10
    assert index.loc["q01", "label"] == 1
    assert index.loc["q02", "label"] == 0
    assert list(index["subject"]) == list(index.index)
    assert set(index["fps"]) == {25.0}


def test_ten_published_folds_are_disjoint_and_cover_all(root):
    folds = datasets.open("bbc", root).folds()
    assert folds.official
    assert [len(test) for test in folds.tests] == [2] * 10
    assert sorted(clip for test in folds.tests for clip in test) == [f"q{number:02d}" for number in range(1, 21)]
    assert set(folds.tests[0]) == {"q20", "q02"}


def test_a_messy_copy_is_read(root):
    for junk in (".DS_Store", "Thumbs.db", "._smilecontent q02.mp4", "notes.txt"):
        trees.touch(root / "posed" / junk)
    (root / "posed" / "extra").mkdir()
    (root / "Genuine" / "smilecontent q01.mp4").rename(root / "Genuine" / "Smilecontent Q01.MP4")
    (root / "Genuine").rename(root / "genuine")
    assert datasets.open("bbc", root, strict=True).counts()["clips"] == 20
    assert datasets.recognise(root) == ["bbc"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("posed/smilecontent q02.mp4", "posed/smile two.mp4", ("posed/smile two.mp4", "smilecontent qNN")),
        ("posed/smilecontent q02.mp4", "posed/smilecontent q21.mp4", ("q21.mp4", "01 to 20")),
        (
            "posed/smilecontent q02.mp4",
            "Genuine/smilecontent q02.mp4",
            ("Genuine/smilecontent q02.mp4", "q02 in posed/"),
        ),
    ],
)
def test_faulty_clip_is_named_and_the_others_stay(root, old, new, words):
    (root / old).rename(root / new)
    database = datasets.open("bbc", root)
    assert len(database.index()) == 19
    assert len(database.faults) == 1
    assert all(word in database.faults[0] for word in words)
    folds = database.folds()
    assert len(folds) == 10
    with pytest.raises(datasets.DatabaseError, match="fault"):
        datasets.open("bbc", root, strict=True)


def test_clip_that_is_there_twice_is_an_error_that_names_both_files(root):
    trees.touch(root / "posed" / "smilecontent q02.mov")
    with pytest.raises(datasets.DatabaseError, match=r"q02 \(posed/smilecontent q02\.mov\), q02 \(posed/.*q02\.mp4\)"):
        datasets.open("bbc", root)


def test_empty_video_is_a_fault_and_stays(root):
    trees.touch(root / "posed" / "smilecontent q02.mp4", b"")
    database = datasets.open("bbc", root)
    assert len(database.index()) == 20
    assert database.faults == [
        "posed/smilecontent q02.mp4: the file is empty (0 bytes), expected a video. Copy it again."
    ]


def test_missing_clips_are_deviations_and_empty_folds_are_dropped(root):
    for number in (2, 20):
        (root / "posed" / f"smilecontent q{number:02d}.mp4").unlink()
    database = datasets.open("bbc", root)
    assert database.deviations().set_index("count").loc["posed clips"].tolist() == [10, 8]
    folds = database.folds()
    assert len(folds) == 9
    assert not folds.official
    assert "without 1 of 10" in folds.source


def test_half_a_copy_says_which_half(root):
    for path in (root / "posed").iterdir():
        path.unlink()
    (root / "posed").rmdir()
    database = datasets.open("bbc", root)
    assert database.faults[0].startswith("posed/: no such folder")
    with pytest.raises(datasets.DatabaseError, match="no folders Genuine/ and posed/"):
        datasets.open("bbc", root.parent)


def test_simulated_videos_make_no_official_folds_even_without_the_marker(root):
    trees.touch(root / "Genuine" / "smilecontent q01.mp4", b"x" * 100_000 + b"simulated by smilelab" + b"x" * 1000)
    database = datasets.open("bbc", root)
    assert database.simulated
    assert not database.folds().official
    assert database.folds().source == "folds of the simulated copy"
