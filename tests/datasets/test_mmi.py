import database_trees as trees
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smilelab import datasets


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return trees.mmi(tmp_path_factory.mktemp("mmi") / "MMI")


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "MMI"
    trees.mmi_session(folder, 2005, 53)
    trees.mmi_session(folder, 2006, 54, gender="male")
    trees.mmi_session(folder, 1800, 2, units={12: (17, 29, 61), 6: (20, 30)})
    trees.mmi_session(folder, 108, 21, view=2)
    return folder


def only_fault(root, count=3):
    database = datasets.open("mmi", root)
    assert len(database.index()) == count
    assert len(database.faults) == 1
    return database.faults[0]


def test_full_copy_has_the_published_counts_and_no_fault(full):
    database = datasets.open("mmi", full, strict=True)
    assert database.counts() == database.published
    index = database.index()
    assert index.groupby("label")["subject"].nunique().tolist() == [25, 9]
    assert set(index.loc[index["label"] == 1, "fps"]) == {29.0}


def test_nine_published_folds_are_disjoint_with_one_spontaneous_subject_each(full):
    database = datasets.open("mmi", full)
    folds, index = database.folds(), database.index().set_index("clip_id")
    assert folds.official
    assert len(folds) == 9
    assert sorted(clip for test in folds.tests for clip in test) == sorted(index.index)
    people = [set(index.loc[list(test), "subject"]) for test in folds.tests]
    assert people[0] == {"54", "21", "46", "2", "34"}
    assert all(len([who for who in fold if 53 <= int(who) <= 61]) == 1 for fold in people)
    assert sum(map(len, people)) == 34


def test_index_of_a_small_copy(root):
    index = datasets.open("mmi", root).index().set_index("clip_id")
    assert list(index.index) == ["108_S021-001", "1800_S002-001", "2005_S053-001", "2006_S054-001"]
    assert index["label"].tolist() == [0, 0, 1, 1]
    assert index["subject"].tolist() == ["21", "2", "53", "54"]
    assert index["view"].tolist() == ["dual", "frontal", "frontal", "frontal"]
    assert index["sex"].tolist() == ["female", "female", "female", "male"]
    assert index["fps"].tolist() == [25.0, 25.0, 29.0, 29.0]


def test_action_units_count_frames_from_zero(root):
    table = datasets.open("mmi", root).action_units()
    assert set(table["clip_id"]) == {"1800_S002-001"}
    rows = table.set_index("action_unit")[["onset_frame", "apex_frame", "offset_frame"]]
    assert rows.loc[12].tolist() == [16, 28, 60]
    np.testing.assert_array_equal(rows.loc[6], [19, 29, np.nan])


def test_no_action_units_is_an_empty_table(full):
    table = datasets.open("mmi", full).action_units()
    assert table.empty
    assert table["onset_frame"].dtype == float


def test_unit_that_comes_again_and_markers_without_a_frame(root):
    path = root / "Sessions" / "1800" / "S002-001-oao_aucs.xml"
    path.write_text(
        '<Annotation xmlns="urn:mmi"><ActionUnit Number="12"><Marker Frame="2"/><Marker Frame=""/><Marker Frame="9"/>'
        '<Marker Frame="20"/><Marker Frame="25"/><Marker Frame="30"/></ActionUnit></Annotation>'
    )
    table = datasets.open("mmi", root).action_units()
    expected = [[1, np.nan, 8], [19, 24, 29]]
    np.testing.assert_array_equal(table[["onset_frame", "apex_frame", "offset_frame"]], expected)


def test_other_emotions_profile_views_and_other_sessions_are_left_out_without_a_fault(root):
    trees.mmi_session(root, 2010, 55, emotion=3)
    trees.mmi_session(root, 2011, 55, view=1)
    trees.mmi_session(root, 600, 55)
    database = datasets.open("mmi", root)
    assert len(database.index()) == 4
    assert database.faults == []
    assert database.notes == ["1 sessions are in neither of the published lists of smiles and are not used."]


def test_of_a_frontal_and_a_dual_view_the_frontal_one_is_used(root):
    folder = trees.mmi_session(root, 2007, 55)
    session = (folder / "session.xml").read_text()
    dual = session[session.index("<track") : session.index("</track>") + len("</track>")]
    dual = dual.replace("S055-001", "S055-002").replace('view="0"', 'view="2"')
    (folder / "session.xml").write_text(session.replace("</session>", f"{dual}</session>"))
    for name in ("S055-002.avi", "S055-002.xml"):
        (folder / name).write_bytes((folder / name.replace("002", "001")).read_bytes())
    index = datasets.open("mmi", root).index().set_index("clip_id")
    assert "2007_S055-001" in index.index
    assert "2007_S055-002" not in index.index


def test_a_messy_copy_is_read(root):
    folder = root / "Sessions" / "2005"
    for junk in ("Thumbs.db", ".DS_Store", "._session.xml", "notes.txt"):
        trees.touch(folder / junk)
    (folder / "S053-001.avi").rename(folder / "S053-001.AVI")
    (folder / "session.xml").rename(folder / "Session.XML")
    (root / "Sessions" / "old").mkdir()
    database = datasets.open("mmi", root)
    assert database.faults == []
    assert database.index().set_index("clip_id").loc["2005_S053-001", "path"].endswith("S053-001.AVI")
    assert datasets.recognise(root) == ["mmi"]
    assert len(datasets.open("mmi", root / "Sessions").index()) == 4


@pytest.mark.parametrize("file", ["session.xml", "S053-001.xml", "S053-001.avi"])
def test_missing_file_is_named(root, file):
    (root / "Sessions" / "2005" / file).unlink()
    assert only_fault(root).startswith(f"Sessions/2005/{file}: not here")


@pytest.mark.parametrize("file", ["session.xml", "S053-001.xml"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<session><track></session>", "not readable as XML (mismatched tag: line 1"),
        (b"", "not readable as XML"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "unknown encoding: klingon"),
        (b"\xff\xfe\x00<", "not readable as XML"),
        (b'<!DOCTYPE a [<!ENTITY b "b">]><a>&b;</a>', "entities"),
        (b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', "entities"),
    ],
)
def test_unreadable_xml_is_named(root, file, content, words):
    (root / "Sessions" / "2005" / file).write_bytes(content)
    fault = only_fault(root)
    assert fault.startswith(f"Sessions/2005/{file}: ")
    assert words in fault


def test_missing_or_unreadable_action_units_leave_the_clip(root):
    path = root / "Sessions" / "1800" / "S002-001-oao_aucs.xml"
    path.write_text(
        '<Annotation><ActionUnit Number="12"><Marker Frame="9"/><Marker Frame="3"/></ActionUnit></Annotation>'
    )
    assert "action unit 12 at frames 9 3" in only_fault(root, 4)
    path.write_text('<Annotation><ActionUnit Number="12"><Marker Frame="0"/></ActionUnit></Annotation>')
    assert "found frame '0', expected a number from 1" in only_fault(root, 4)
    path.unlink()
    assert only_fault(root, 4).startswith("Sessions/1800/S002-001-oao_aucs.xml: not here")


def test_wrong_stem_is_named(root):
    folder = root / "Sessions" / "2005"
    for path in [*folder.glob("S053-001*"), folder / "session.xml"]:
        path.write_bytes(path.read_bytes().replace(b"S053-001", b"smile53"))
        path.rename(folder / path.name.replace("S053-001", "smile53"))
    assert only_fault(root).startswith("Sessions/2005/smile53.avi: found this name, expected SNNN-NNN")


@pytest.mark.parametrize(
    ("session", "subject", "said", "words"),
    [
        (2020, 55, 56, "contradicts subject 56 of session.xml"),
        (2020, 2, None, "session 2020 is a spontaneous one, but the name says subject 2"),
        (1900, 53, None, "session 1900 is a posed one, but the name says subject 53"),
        (1900, 99, None, "found subject 99"),
    ],
)
def test_contradicting_subject_is_named_and_left_out(root, session, subject, said, words):
    trees.mmi_session(root, session, subject, said=said)
    fault = only_fault(root, 4)
    assert fault.startswith(f"Sessions/{session}/S{subject:03d}-001.avi: ")
    assert words in fault


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('filename="S053-001.avi"', 'filename="../2006/S054-001.avi"', "expected the name of a file in the session"),
        ('view="0"', 'view="front"', "found view 'front'"),
        ('view="0"', "", "found no view of S053-001.avi"),
    ],
)
def test_unusable_track_is_named(root, old, new, words):
    path = root / "Sessions" / "2005" / "session.xml"
    path.write_text(path.read_text().replace(old, new))
    fault = only_fault(root)
    assert fault.startswith("Sessions/2005/session.xml: ")
    assert words in fault


def test_two_emotions_are_named(root):
    path = root / "Sessions" / "2005" / "S053-001.xml"
    path.write_text('<M><Metatag Name="Emotion" Value="4"/><Metatag Name="Emotion" Value="6"/></M>')
    assert "found emotions 4, 6" in only_fault(root)


def test_clip_listed_twice_is_an_error(root):
    path = root / "Sessions" / "2005" / "session.xml"
    text = path.read_text()
    track = text[text.index("<track") : text.index("</track>") + len("</track>")]
    path.write_text(text.replace(track, track + track))
    with pytest.raises(datasets.DatabaseError, match=r"2005_S053-001 \(Sessions/2005/S053-001\.avi\)"):
        datasets.open("mmi", root)


def test_metadata_alone(root):
    for video in root.rglob("*.avi"):
        video.unlink()
    with pytest.raises(datasets.DatabaseError, match=r"no clip of the MMI .*\n.*S021-001\.avi: not here"):
        datasets.open("mmi", root)
    database = datasets.open("mmi", root, require_videos=False)
    assert len(database.index()) == 4
    assert len(database.action_units()) == 2


def test_wrong_folder(tmp_path):
    with pytest.raises(datasets.DatabaseError, match=r"no folders Sessions/<session id>/ here.*simulate mmi"):
        datasets.open("mmi", tmp_path)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["session.xml", "S002-001.xml", "S002-001-oao_aucs.xml"]),
    st.integers(0, 400),
    st.binary(max_size=4),
)
def test_a_damaged_annotation_never_stops_the_others(root, file, at, damage):
    path = root / "Sessions" / "1800" / file
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + damage + whole[at + len(damage) + 1 :])
    try:
        index = datasets.open("mmi", root).index()
    finally:
        path.write_bytes(whole)
    assert {"108_S021-001", "2005_S053-001", "2006_S054-001"} <= set(index["clip_id"])
