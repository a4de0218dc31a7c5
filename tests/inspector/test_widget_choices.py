"""Choosing, uploading and saving in the inspector; what cannot be shown is a sentence in it, never a traceback."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
from used_widget import ids, send, text
from written_store import Clip, steady, write_store

from smilelab.clips import ClipStore
from smilelab.inspector import Inspector, Shelf, choices, scores
from smilelab.inspector.clip import OpenedClip, of_store
from smilelab.preprocess import video


@pytest.fixture(scope="module")
def shelf(simulated):
    return Shelf("simulated UvA-NEMO", *simulated)


@pytest.fixture
def widget(shelf, tmp_path):
    """Only the weights that ship with the package score."""
    return Inspector([shelf], tmp_path)


def test_filters_list_the_clips_that_fit(widget, shelf):
    table = shelf.store.usable
    widget.label.value = "posed"
    assert ids(widget) == list(table.index[table["label"] == 0])
    assert widget.opened.label == 0
    subject = table["subject"].iloc[-1]
    widget.label.value = "any"
    widget.subject.value = subject
    assert ids(widget) == list(table.index[table["subject"] == subject])
    assert widget.opened.subject == subject
    kept = widget.opened
    widget.subject.value = "any"
    assert len(ids(widget)) == len(table)
    assert widget.opened is kept


def test_a_filter_that_nothing_fits_says_so_and_leaves_the_clip_open(widget, monkeypatch):
    before = widget.opened
    monkeypatch.setattr(choices, "chosen", lambda store, **wanted: store.usable.iloc[:0])
    widget.label.value = "posed"
    assert ids(widget) == []
    assert "No clip fits" in text(widget.message)
    assert widget.opened is before
    widget.following.click()
    assert widget.opened is before


def test_right_and_wrong_of_the_shipped_weights_are_computed_once(widget, shelf, monkeypatch):
    (scorer,) = widget.scorers
    clips = [of_store(shelf.store, one, shelf.source) for one in shelf.store.usable.index]
    said = {clip.clip_id: scores.probability(scorer, clip) for clip in clips}
    right = {one for one, value in said.items() if (value >= 0.5) == (shelf.store.usable["label"][one] == 1)}
    widget.outcome.value = "right"
    assert set(ids(widget)) == right
    monkeypatch.setattr(choices.training, "predict", lambda *_, **__: pytest.fail("computed again"))
    widget.outcome.value = "wrong"
    assert set(ids(widget)) == set(said) - right


def test_an_uploaded_video_is_tracked_scored_and_shown(widget, simulated):
    source = simulated[1].index()["path"].iloc[2]
    with open(source, "rb") as file:
        send(widget, "../my smile.mp4", file.read())
    assert widget.message.value == ""
    assert widget.upload.value == ()
    assert widget.opened.database == ""
    assert widget.clip.value is None
    assert "class not known" in text(widget.title)
    assert widget.picture.value == widget.opened.jpeg(0, width=760)
    assert all(0 <= value <= 1 for value in widget.probabilities.values())
    assert len(widget.probabilities) == len(widget.scorers) > 0
    # The clip it was copied from gets the same probability from the same weights.
    clip = of_store(simulated[0], simulated[1].index()["clip_id"].iloc[2], simulated[1])
    shipped = widget.scorers[-1]
    assert widget.probabilities[shipped] == pytest.approx(scores.probability(shipped, clip), abs=1e-5)
    widget.find_nearest.click()
    assert float(widget.nearest["distance"].iloc[0]) == pytest.approx(0, abs=1e-3)
    widget.subject.value = simulated[0].usable["subject"].iloc[0]
    assert widget.opened.database == ""
    widget.clip.value = ids(widget)[0]
    assert widget.opened.database == "uva-nemo"


@pytest.mark.parametrize(("name", "said"), [("notes.mp4", "not a video"), ("grey.mp4", "no face"), ("none.mp4", "")])
def test_an_upload_that_is_no_smile_gives_one_sentence_and_changes_nothing(widget, tmp_path, name, said):
    content = b"" if name == "none.mp4" else b"no video at all " * 100
    if name == "grey.mp4":
        video.write(tmp_path / name, [np.full((240, 320, 3), 128, np.uint8)] * 12, 12)
        content = (tmp_path / name).read_bytes()
    before = widget.opened, widget.picture.value, widget.scores.value
    send(widget, name, content)
    assert "smilelab-error" in widget.message.value
    assert said in text(widget.message)
    assert name in text(widget.message)
    assert "Traceback" not in widget.message.value
    assert (widget.opened, widget.picture.value, widget.scores.value) == before
    assert not list(Path(widget._uploads.name).iterdir())
    widget.following.click()
    assert widget.message.value == ""


def test_two_faces_are_remarked_upon(widget, simulated, tmp_path):
    frames = [frame.image for frame in video.read(simulated[1].index()["path"].iloc[0])]
    video.write(tmp_path / "two.mp4", [np.concatenate([frame, frame[:, ::-1]], 1) for frame in frames], 50)
    widget.path.value = str(tmp_path / "two.mp4")
    assert "2 faces" in text(widget.title)


def test_a_path_on_this_machine_is_opened_or_said_to_be_missing(widget, simulated):
    widget.path.value = simulated[1].index()["path"].iloc[1]
    assert widget.opened.database == ""
    assert widget.path.value == ""
    first = widget.opened
    widget.path.value = simulated[1].index()["path"].iloc[1]
    assert widget.opened is not first, "the same path opens the video again"
    assert widget.opened.video == first.video
    widget.path.value = "/nowhere/at/all.mp4"
    assert "no such file" in text(widget.message)


def test_a_damaged_clip_is_a_sentence_and_the_one_before_stays(simulated, tmp_path):
    store, database = simulated
    shutil.copytree(store.path, tmp_path / store.path.name)
    copy = ClipStore(tmp_path / store.path.name)
    damaged = copy.usable.index[1]
    (copy.path / "clips" / f"{damaged}.npy").write_bytes(b"\x93NUMPY")
    widget = Inspector([Shelf("copy", copy, database)], tmp_path)
    before = widget.opened
    widget.following.click()
    assert "damaged" in text(widget.message)
    assert widget.opened is before
    widget.clip.value = copy.usable.index[2]
    assert widget.opened.clip_id == copy.usable.index[2]
    assert widget.message.value == ""


def test_what_nobody_expected_is_a_sentence_too(widget, monkeypatch):
    def broken(*_, **__):
        raise KeyError("<b>surprise</b>")

    monkeypatch.setattr(OpenedClip, "jpeg", broken)
    widget.frame.value = 4
    assert "unexpected KeyError" in text(widget.message)
    assert "<b>surprise" not in widget.message.value


def test_another_database_starts_over(shelf, tmp_path):
    other = write_store(tmp_path / "other", [Clip("c1", 1, "s1", steady(9)), Clip("c2", 0, "s2", steady(9))])
    nowhere = {"path": "gone.mp4", "start_s": np.nan, "end_s": np.nan, "fps": np.nan, "label": 1}
    rows = pd.DataFrame({"clip_id": ["c1", "c2"], **nowhere})
    gone = Shelf("another", other, SimpleNamespace(index=lambda: rows))
    widget = Inspector([shelf, gone], tmp_path)
    widget.subject.value = shelf.store.usable["subject"].iloc[-1]
    widget.database.value = gone
    assert ids(widget) == ["c1", "c2"]
    assert [value for _, value in widget.subject.options] == ["any", "s1", "s2"]
    assert "smilelab-error" in widget.message.value
    widget.database.value = shelf
    assert len(ids(widget)) == len(shelf.store.usable)
    assert widget.opened.database == "uva-nemo"
    assert widget.message.value == ""


def test_the_view_and_the_numbers_are_saved_where_the_widget_says(widget):
    widget.over_time.value = True
    widget.frame.value = 5
    widget.save_picture.click()
    path = widget.home / "data" / "inspected" / f"uva-nemo-{widget.opened.clip_id}-{widget.opened.times[5]:.2f}s.png"
    assert str(path) in text(widget.saved)
    picture = cv2.imread(str(path))
    assert min(picture.shape[:2]) > 600
    widget.save_numbers.click()
    path = widget.home / "data" / "inspected" / f"uva-nemo-{widget.opened.clip_id}.csv"
    assert str(path) in text(widget.saved)
    table = pd.read_csv(path)
    np.testing.assert_allclose(table["lip_corner"], widget.opened.curves["lip_corner"])
    assert set(table["simulated"]) == {True}
    assert set(table["phase"].dropna()) <= {"onset", "apex", "offset"}
    name = f"{widget.scorer.name} [simulated weights]"
    assert table[f"probability: {name}"].iloc[0] == pytest.approx(widget.probabilities[widget.scorer])
    times, values = scores.probability_over_time(widget.scorer, widget.opened)
    along = table.dropna(subset=[f"probability over time: {name}"])
    np.testing.assert_allclose(along["time_s"], times, atol=1e-3)
    np.testing.assert_allclose(along[f"probability over time: {name}"], values, atol=1e-6)


def test_numbers_of_an_upload_are_saved_too(widget, simulated):
    widget.path.value = simulated[1].index()["path"].iloc[1]
    widget.save_numbers.click()
    (path,) = (widget.home / "data" / "inspected").glob("upload-*.csv")
    assert set(pd.read_csv(path)["class"]) == {"class not known"}
