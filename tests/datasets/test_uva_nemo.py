import json

import database_trees as trees
import pytest

from smilelab import datasets
from smilelab.datasets import splits

HEADING = ["UvA-NEMO Smile Database", "", "Details of the files", "", "File\tSubject\tGender\tAge\tType"]
CLIPS = [
    ("001_deliberate_smile_2", "male", 46),
    ("001_spontaneous_smile_1", "male", 46),
    ("007_deliberate_smile_1", "female", 12),
    ("020_spontaneous_smile_3", "female", 17),
    ("300_deliberate_smile_1", "male", 18),
    ("300_spontaneous_smile_12", "male", 18),
]


def line(stem, sex, age):
    return f"{stem}.mp4\t{stem[:3]}\t{sex}   \t{age}\t{stem.split('_')[1]} "


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "UvA-NEMO_SMILE_DATABASE"
    (folder / "videos").mkdir(parents=True)
    for stem, _, _ in CLIPS:
        (folder / "videos" / f"{stem}.mp4").write_bytes(b"not opened")
    write_details(folder, [line(*clip) for clip in CLIPS])
    return folder


def write_details(folder, lines):
    text = "\n".join(HEADING + lines) + "\n"
    (folder / "UvA-NEMO_Smile_Database_File_Details.txt").write_text(text, encoding="utf-8")


def write_json_folds(folder, tests):
    labels = {stem: int("spontaneous" in stem) for stem, _, _ in CLIPS}
    for number, test in enumerate(tests, start=1):
        place = folder / "folds" / str(number)
        place.mkdir(parents=True)
        (place / "test.json").write_text(json.dumps({stem: labels[stem] for stem in test}))
        (place / "train.json").write_text(json.dumps({s: v for s, v in labels.items() if s not in test}))


def write_text_folds(folder, tests):
    place = folder / "text"
    place.mkdir()
    for number, test in enumerate(tests, start=1):
        for letter, word in (("P", "deliberate"), ("S", "spontaneous")):
            stems = [stem for stem in test if word in stem]
            (place / f"{letter}_fold_all_{number}.txt").write_text("\n".join(stems) + "\n")


BY_SUBJECT = [
    ["001_deliberate_smile_2", "001_spontaneous_smile_1"],
    ["007_deliberate_smile_1", "020_spontaneous_smile_3"],
    ["300_deliberate_smile_1", "300_spontaneous_smile_12"],
]


def test_index_reads_the_published_form(root):
    index = datasets.open("uva-nemo", root).index()
    assert list(index.columns) == list(datasets.INDEX_COLUMNS)
    assert list(index["clip_id"]) == [stem for stem, _, _ in CLIPS]
    assert list(index["label"]) == [0, 1, 0, 1, 0, 1]
    assert list(index["subject"]) == ["001", "001", "007", "020", "300", "300"]
    assert list(index["age"]) == [46, 46, 12, 17, 18, 18]
    assert set(index["fps"]) == {50.0}


def test_counts_and_deviations(root):
    database = datasets.open("uva-nemo", root)
    counts = database.counts()
    assert counts["clips"] == 6
    assert counts["subjects"] == 4
    assert counts["subjects with a spontaneous clip"] == 3
    assert counts["subjects under 18"] == 2
    deviations = database.deviations().set_index("count")
    assert deviations.loc["clips", "expected"] == 1240
    assert deviations.loc["clips", "found"] == 6
    with pytest.raises(datasets.DatabaseError, match="differ from the published"):
        datasets.open("uva-nemo", root, strict=True)


def test_missing_and_unlisted_videos_are_reported_not_dropped_silently(root):
    (root / "videos" / "007_deliberate_smile_1.mp4").unlink()
    (root / "videos" / "999_deliberate_smile_1.mp4").write_bytes(b"")
    database = datasets.open("uva-nemo", root)
    assert database.missing == ["007_deliberate_smile_1"]
    assert database.unlisted == ["999_deliberate_smile_1"]
    deviations = database.deviations().set_index("count")["found"]
    assert deviations["listed videos that are missing"] == 1
    assert deviations["videos that are not listed"] == 1


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("001_deliberate_smile_2.mp4\t002\tmale\t46\tdeliberate", "contradicts subject"),
        ("001_deliberate_smile_2.mp4\t001\tmale\t46\tspontaneous", "contradicts subject"),
        ("001_deliberate_smile_2.mp4\t001\tmale\tforty\tdeliberate", "gender"),
        ("holiday.mp4\t001\tmale\t46\tdeliberate", "expected NNN_"),
        ("001_deliberate_smile_2.mp4 001 male", "1 fields"),
    ],
)
def test_unreadable_details_name_the_line(root, bad, message):
    write_details(root, [bad])
    with pytest.raises(datasets.DatabaseError, match=message) as caught:
        datasets.open("uva-nemo", root)
    assert "line 6" in str(caught.value)


def test_repeated_clip_is_an_error(root):
    write_details(root, [line(*CLIPS[0]), line(*CLIPS[0])])
    with pytest.raises(datasets.DatabaseError, match="001_deliberate_smile_2"):
        datasets.open("uva-nemo", root)


def test_wrong_folder_says_what_to_do(tmp_path):
    with pytest.raises(datasets.DatabaseError, match=r"smilelab simulate uva-nemo"):
        datasets.open("uva-nemo", tmp_path)
    with pytest.raises(datasets.DatabaseError, match="no such folder"):
        datasets.open("uva-nemo", tmp_path / "nowhere")
    with pytest.raises(datasets.DatabaseError, match="expected one of"):
        datasets.open("uva", tmp_path)


def test_faults_name_videos_that_are_missing_empty_or_not_listed(root):
    (root / "videos" / "007_deliberate_smile_1.mp4").unlink()
    (root / "videos" / "300_deliberate_smile_1.mp4").write_bytes(b"")
    (root / "videos" / "999_deliberate_smile_1.mp4").write_bytes(b"x")
    missing, unlisted, empty = datasets.open("uva-nemo", root).faults
    assert missing.startswith("videos/007_deliberate_smile_1.mp4: not here, but")
    assert "line 8" in missing
    assert unlisted.startswith("videos/999_deliberate_smile_1.mp4: ")
    assert empty.startswith("videos/300_deliberate_smile_1.mp4: the file is empty (0 bytes)")


def test_a_messy_copy_is_read(root):
    videos = root / "videos"
    for junk in ("Thumbs.db", ".DS_Store", "._007_deliberate_smile_1.mp4", "list.txt"):
        (videos / junk).write_bytes(b"")
    (videos / "007_deliberate_smile_1.mp4").rename(videos / "007_deliberate_smile_1.MP4")
    write_details(root, [line(*clip).replace("7_deliberate_smile_1.mp4", "7_deliberate_smile_1.MP4") for clip in CLIPS])
    videos.rename(root / "Videos")
    database = datasets.open("uva-nemo", root)
    assert database.faults == []
    assert len(database.index()) == 6
    (root / "Videos" / "300_deliberate_smile_1.mp4").rename(root / "Videos" / "300_Deliberate_Smile_1.mp4")
    write_details(root, [line(*clip).title() for clip in CLIPS])
    shouted = datasets.open("uva-nemo", root)
    assert shouted.faults == []
    assert shouted.index()[["clip_id", "label", "sex"]].equals(database.index()[["clip_id", "label", "sex"]])


def test_published_totals_on_metadata_alone(tmp_path):
    root = trees.uva_nemo_metadata(tmp_path / "UvA-NEMO_SMILE_DATABASE")
    with pytest.raises(datasets.DatabaseError, match="no folder videos/"):
        datasets.open("uva-nemo", root)
    database = datasets.open("uva-nemo", root, require_videos=False, strict=True)
    index = database.index()
    adult = index.drop_duplicates("subject")["age"] >= 18
    assert index.groupby("label").size().to_dict() == {0: 643, 1: 597}
    assert index.groupby("label")["subject"].nunique().to_dict() == {0: 368, 1: 357}
    assert (int((~adult).sum()), int(adult.sum())) == (149, 251)
    folds = database.folds()
    assert folds.official
    assert len(folds) == 10
    assert sorted(clip for test in folds.tests for clip in test) == sorted(index["clip_id"])
    assert sum(len({clip[:3] for clip in test}) for test in folds.tests) == 400


@pytest.mark.parametrize("write", [write_json_folds, write_text_folds])
def test_official_folds_in_either_form(root, write):
    write(root, BY_SUBJECT)
    folds = datasets.open("uva-nemo", root).folds()
    assert folds.official
    assert [set(test) for test in folds.tests] == [set(test) for test in BY_SUBJECT]


def test_two_forms_that_disagree_are_refused(root):
    write_json_folds(root, BY_SUBJECT)
    write_text_folds(root, [BY_SUBJECT[1], BY_SUBJECT[0], BY_SUBJECT[2]])
    with pytest.raises(splits.SplitError, match="differ"):
        datasets.open("uva-nemo", root).folds()


@pytest.mark.parametrize(
    ("tests", "message"),
    [
        ([[CLIPS[0][0]], [stem for stem, _, _ in CLIPS[1:]]], "subject 001"),
        ([[stem for stem, _, _ in CLIPS[:2]], [stem for stem, _, _ in CLIPS[2:5]]], "in no fold"),
        ([BY_SUBJECT[0], [*BY_SUBJECT[0][:1], *BY_SUBJECT[1], *BY_SUBJECT[2]]], "_smile_2 is in folds 1 and 2"),
    ],
)
def test_leaking_or_incomplete_folds_are_refused(root, tests, message):
    write_json_folds(root, tests)
    with pytest.raises(splits.SplitError, match=message):
        datasets.open("uva-nemo", root).folds()


def test_fold_labels_must_agree_with_the_details(root):
    write_json_folds(root, BY_SUBJECT)
    path = root / "folds" / "2" / "test.json"
    path.write_text(json.dumps({"007_deliberate_smile_1": 1, "020_spontaneous_smile_3": 1}))
    with pytest.raises(splits.SplitError, match="another label"):
        datasets.open("uva-nemo", root).folds()


def test_clip_in_train_and_test_is_refused(root):
    write_json_folds(root, BY_SUBJECT)
    (root / "folds" / "1" / "train.json").write_text(json.dumps({"001_deliberate_smile_2": 0}))
    with pytest.raises(splits.SplitError, match=r"train\.json and in test\.json"):
        datasets.open("uva-nemo", root).folds()


def test_without_fold_files_the_split_says_it_is_not_official(root):
    folds = datasets.open("uva-nemo", root).folds()
    assert not folds.official
    assert "not the official folds" in folds.source


def test_provenance_and_fingerprint(root):
    database = datasets.open("uva-nemo", root)
    assert not database.simulated
    before = database.fingerprint()
    (root / "SIMULATED.json").write_text('{"seed": 3}')
    simulated = datasets.open("uva-nemo", root)
    assert simulated.simulated
    assert simulated.provenance == {"seed": 3}
    assert simulated.fingerprint() != before
    (root / "SIMULATED.json").unlink()
    assert datasets.open("uva-nemo", root).fingerprint() == before
    (root / "videos" / "001_deliberate_smile_2.mp4").write_bytes(b"other content")
    assert datasets.open("uva-nemo", root).fingerprint() != before


def test_a_simulated_copy_that_lost_its_marker_is_still_simulated(root, monkeypatch):
    write_json_folds(root, BY_SUBJECT)
    assert datasets.open("uva-nemo", root).folds().official
    monkeypatch.setitem(
        globals(), "HEADING", [HEADING[0], "", "Simulated by smilelab: no real person.", "", HEADING[4]]
    )
    write_details(root, [line(*clip) for clip in CLIPS])
    database = datasets.open("uva-nemo", root)
    assert database.simulated
    assert not database.folds().official
    assert database.folds().source == "folds of the simulated copy"
