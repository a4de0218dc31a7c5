"""The inspector's controls, used from Python: each changes what it should, and what is slow waits to be asked for."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
from sample_clips import train
from used_widget import cursor, ids, near, shown, text

from smilelab import protocols
from smilelab.inspector import Inspector, Shelf, scores, view
from smilelab.inspector.clip import OpenedClip
from smilelab.inspector.controls import CAUTION

YELLOW, CYAN = (255, 214, 0), (0, 229, 255)


@pytest.fixture(scope="module")
def trained(simulated, tmp_path_factory):
    """A study's folder with runs of RealSmileNet on every fold."""
    store, home = simulated[0], tmp_path_factory.mktemp("home")
    folds = [n for n, division in enumerate(protocols.divisions(store, "folds"), start=1) if division.test]
    return SimpleNamespace(home=home, runs=train(store, home / "data" / "runs", "realsmilenet", folds))


@pytest.fixture(scope="module")
def shelf(simulated):
    return Shelf("simulated UvA-NEMO", *simulated)


@pytest.fixture
def widget(shelf, trained):
    return Inspector([shelf], trained.home)


def test_the_first_clip_is_open_with_its_frame_curves_crop_anchor_and_probabilities(widget, shelf):
    clip = widget.opened
    assert clip.clip_id == widget.clip.value == shelf.store.usable.index[0]
    assert widget.picture.value == clip.jpeg(0, width=760)
    crop = shown(widget, "crop")
    side = crop.shape[0] // 48
    np.testing.assert_array_equal(crop[::side, ::side], clip.crops[0])
    assert shown(widget, "curves").shape[1] == 900
    assert shown(widget, "anchor").shape[0] >= 48
    for scorer in widget.scorers:
        assert widget.probabilities[scorer] == pytest.approx(scores.probability(scorer, clip))
        assert f"{widget.probabilities[scorer]:.3f}" in widget.scores.value
    assert widget.message.value == ""


def test_simulated_videos_and_weights_are_called_so_beside_every_probability(widget):
    rows = widget.scores.value.split("<tr>")[1:]
    assert len(rows) == len(widget.scorers) > 1
    assert all("simulated video" in row and "simulated weights" in row for row in rows)
    assert "simulated" in text(widget.title)
    assert any(CAUTION in getattr(child, "value", "") for child in widget.root.children)


def test_choosing_a_clip_opens_it_and_starts_at_its_first_frame(widget, shelf, trained):
    widget.frame.value = 3
    before, other = widget.picture.value, shelf.store.usable.index[4]
    widget.clip.value = other
    assert (widget.opened.clip_id, widget.frame.value) == (other, 0)
    assert widget.frame.max == widget.play.max == len(widget.opened.times) - 1
    assert widget.picture.value not in (before, b"")
    assert other in text(widget.title)
    run = next(run for run in trained.runs if other in set(run.predictions["clip_id"]))
    written = run.predictions.set_index("clip_id")["probability"][other]
    assert widget.probabilities[widget.scorer] == pytest.approx(written, abs=1e-4)


def test_the_buttons_beside_the_list_turn_to_its_neighbours_and_round_its_ends(widget):
    listed = ids(widget)
    widget.following.click()
    assert widget.opened.clip_id == listed[1]
    widget.previous.click()
    widget.previous.click()
    assert widget.opened.clip_id == listed[-1]


def test_the_slider_shows_its_frame_and_moves_the_cursor_to_its_time(widget):
    clip, places = widget.opened, []
    for at in (0, len(clip.times) // 2, len(clip.times) - 1):
        widget.frame.value = at
        assert widget.picture.value == clip.jpeg(at, width=760)
        assert f"frame {at + 1} of {len(clip.times)}" in text(widget.time)
        assert f"{clip.times[at]:.2f} s" in text(widget.time)
        places.append(cursor(widget))
    # Equal steps in time are equal steps on the axis.
    share = (clip.times[len(clip.times) // 2] - clip.times[0]) / (clip.times[-1] - clip.times[0])
    assert places[1] == pytest.approx(places[0] + share * (places[2] - places[0]), abs=0.05)
    assert 5 < places[0] < places[2] < 100


def test_the_cursor_is_where_the_curves_axis_has_the_time(widget):
    curves = shown(widget, "curves").astype(int)
    left = cursor(widget) / 100 * curves.shape[1]
    # The axis begins at the first frame, with a dark line from top to bottom.
    dark = (curves.sum(2) < 100)[: curves.shape[0] // 3].sum(0)
    assert abs(int(np.argmax(dark)) - left) < 2


def test_the_crop_follows_the_frame_and_is_sent_only_when_it_is_another(widget):
    sent = []
    widget.crop.observe(lambda change: sent.append(change.new), "value")
    for at in range(len(widget.opened.times)):
        widget.frame.value = at
    crops = [widget.opened.nearest_crop(at) for at in range(len(widget.opened.times))]
    assert len(sent) == np.count_nonzero(np.diff(crops)) > 2


def test_step_buttons_move_by_one_frame_and_stop_at_the_ends(widget):
    widget.step_on.click()
    widget.step_on.click()
    assert widget.frame.value == 2
    assert widget.picture.value == widget.opened.jpeg(2, width=760)
    for _ in range(3):
        widget.step_back.click()
    assert widget.frame.value == 0


def test_box_and_landmarks_are_drawn_when_they_are_switched_on(widget):
    both = shown(widget)
    assert near(both, YELLOW) > 50
    assert near(both, CYAN) > 50
    widget.box.value = False
    assert near(shown(widget), YELLOW) < near(both, YELLOW) / 5
    assert near(shown(widget), CYAN) > 50
    widget.landmarks.value = False
    plain = shown(widget)
    assert near(plain, CYAN) < 5
    assert plain.shape == both.shape


def test_the_player_shows_ten_pictures_a_second_of_the_clips_own_time(widget):
    rate = (len(widget.opened.times) - 1) / np.ptp(widget.opened.times)
    assert widget.play.step / (widget.play.interval / 1000) == pytest.approx(rate, rel=0.02)
    assert 80 <= widget.play.interval <= 120
    widget.speed.value = 0.25
    assert widget.play.step / (widget.play.interval / 1000) == pytest.approx(rate / 4, rel=0.02)


def test_right_and_wrong_are_those_of_the_runs_predictions(widget, shelf, trained):
    written = pd.concat([run.predictions for run in trained.runs]).set_index("clip_id")
    right = (written["probability"] >= 0.5) == (written["label"] == 1)
    for outcome, wanted in (("right", right[right]), ("wrong", right[~right])):
        widget.outcome.value = outcome
        assert set(ids(widget)) == set(wanted.index)
    assert 0 < right.sum() < len(right)


def test_another_network_scores_shows_its_map_and_stays_chosen(widget):
    own, shipped = widget.scorers[0], widget.scorers[-1]
    assert own.run is not None
    assert shipped.run is None
    widget.show_map.value = True
    first = widget.crop.value
    widget.model.value = shipped
    assert widget.crop.value != first
    widget.following.click()
    assert widget.scorer.run is None
    assert widget.scorer in widget.probabilities


def test_the_map_is_laid_over_the_crop_and_taken_off_again(widget):
    plain = shown(widget, "crop")
    widget.show_map.value = True
    assert scores.why_no_map(widget.scorer, widget.opened, widget.map_kind.value) == ""
    half = shown(widget, "crop").astype(int)
    assert np.abs(half - plain).max() > 30
    widget.opacity.value = 0.2
    assert np.abs(shown(widget, "crop").astype(int) - plain).mean() < np.abs(half - plain).mean()
    widget.opacity.value = 0.5
    kinds = {}
    for kind in ("score-cam", "guided"):
        widget.map_kind.value = kind
        kinds[kind] = widget.crop.value
    assert kinds["score-cam"] != kinds["guided"]
    widget.show_map.value = False
    np.testing.assert_array_equal(shown(widget, "crop"), plain)


def test_a_map_that_a_network_does_not_have_is_explained(widget):
    widget.show_map.value = True
    plain = np.asarray(widget.opened.crops[0])
    widget.map_kind.value = "grad-cam"
    assert text(widget.map_note) == scores.why_no_map(widget.scorer, widget.opened, "grad-cam") != ""
    np.testing.assert_array_equal(shown(widget, "crop")[::5, ::5], plain)


def test_what_is_slow_is_computed_when_it_is_asked_for_and_once(widget, monkeypatch):
    asked = []
    for name in ("overlay_map", "probability_over_time", "nearest"):
        real = getattr(scores, name)

        def counted(*given, name=name, real=real):
            asked.append((name, "smilelab-busy" in widget.message.value))
            return real(*given)

        monkeypatch.setattr(scores, name, counted)
    monkeypatch.setattr(OpenedClip, "measure_au06", lambda clip: pytest.fail("nobody asked for AU06"))
    widget.following.click()
    widget.frame.value = 7
    assert not asked
    widget.show_map.value = widget.over_time.value = True
    widget.find_nearest.click()
    assert sorted(asked) == [("nearest", True), ("overlay_map", True), ("probability_over_time", True)]
    for at in (1, 5, 20):
        widget.frame.value = at
    widget.show_map.value = widget.over_time.value = False
    widget.show_map.value = widget.over_time.value = True
    widget.following.click()
    widget.previous.click()
    assert [name for name, _ in asked].count("overlay_map") == 2
    assert [name for name, _ in asked].count("probability_over_time") == 2
    assert widget.message.value == ""


def test_the_first_frame_is_shown_before_any_network_is_asked(widget, monkeypatch):
    order = []
    widget.picture.observe(lambda change: order.append("frame"), "value")
    widget.curves.observe(lambda change: order.append("curves"), "value")
    real = scores.scorers
    monkeypatch.setattr(scores, "scorers", lambda *given: order.append("networks") or real(*given))
    widget.following.click()
    assert order == ["frame", "curves", "networks"]


def test_networks_of_the_clip_before_do_not_score_the_next_one(widget, monkeypatch):
    def broken(*_):
        raise OSError("a run cannot be read")

    assert widget.scorers
    monkeypatch.setattr(scores, "scorers", broken)
    widget.following.click()
    assert widget.opened.clip_id == ids(widget)[1]
    assert (widget.scorers, widget.scorer, widget.model.options, widget.probabilities) == ([], None, (), {})
    assert "a run cannot be read" in text(widget.message)
    assert "unseen subject" not in text(widget.scores)
    monkeypatch.undo()
    widget.following.click()
    assert widget.message.value == ""
    assert widget.scorer in widget.probabilities


def test_an_error_stays_though_what_follows_succeeds(widget, monkeypatch):
    def broken(*_):
        raise ValueError("no face at rest")

    monkeypatch.setattr(scores, "anchor_of", broken)
    widget.following.click()
    assert widget.probabilities
    assert "no face at rest" in text(widget.message)
    widget.frame.value = 2
    assert widget.message.value == ""


def test_the_frame_follows_the_player_only_while_it_plays(widget):
    widget.play.playing = True
    widget.play.value = 5
    assert widget.frame.value == 5
    assert widget.picture.value == widget.opened.jpeg(5, width=760)
    widget.following.click()
    assert (widget.play.playing, widget.frame.value) == (False, 0)
    widget.play.value = 45  # was sent before the browser had heard
    assert (widget.frame.value, widget.play.value) == (0, 0)
    widget.frame.value = 7
    assert widget.play.value == 7, "it plays on from there"


def test_a_probability_of_some_windows_only_says_so(widget, monkeypatch):
    monkeypatch.setattr(scores, "windows_of_one", lambda scorer, clip: 10 if scorer is widget.scorer else 1)
    monkeypatch.setattr(scores, "scorers", lambda *_, found=widget.scorers: found)
    widget.following.click()
    rows = [row for row in widget.scores.value.split("<tr>") if "one window in 10 scored" in row]
    assert len(rows) == 1
    assert widget.scorer.name in rows[0]


def test_probability_over_time_gets_a_panel_of_its_own(widget):
    height = shown(widget, "curves").shape[0]
    widget.over_time.value = True
    assert shown(widget, "curves").shape[0] > height
    widget.over_time.value = False
    assert shown(widget, "curves").shape[0] == height


def test_au06_is_drawn_once_it_is_measured(widget):
    before = widget.curves.value
    widget.measure_au06.click()
    assert widget.opened.curves["au06"].notna().any()
    assert widget.curves.value != before


def test_the_nearest_clips_are_listed_by_distance_and_open_when_clicked(widget, shelf):
    widget.find_nearest.click()
    found = scores.nearest(widget.scorer, shelf.store, widget.opened, 5)
    buttons = [box.children[1] for box in widget.neighbours.children]
    assert [button.description for button in buttons] == list(found["clip_id"])
    assert all(box.children[0].value for box in widget.neighbours.children)
    buttons[2].click()
    assert widget.opened.clip_id == widget.clip.value == found["clip_id"][2]
    assert widget.neighbours.children == ()


def test_the_picture_for_the_notebook_is_of_the_frame_that_is_shown(widget, monkeypatch):
    drawn = []

    def noted(clip, at, real=view.drawing.picture, **rest):
        drawn.append((clip, at))
        return real(clip, at, **rest)

    monkeypatch.setattr(view.drawing, "picture", noted)
    widget.frame.value = 9
    (picture,) = widget.pictures()
    assert drawn == [(widget.opened, 9)]
    assert min(cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_COLOR).shape[:2]) > 600


def test_the_clip_before_is_closed(widget):
    before = widget.opened
    before_frames = before._frames
    assert before_frames._kept
    widget.following.click()
    assert not before_frames._kept
    assert before_frames._open is None
