"""The picture of a clip: everything is on it, nothing is cut off or covered, and colours are where they are said."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import cv2
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from sample_clips import face, open_made

from smilelab.inspector import clip as opening
from smilelab.inspector import picture as drawing
from smilelab.inspector.scores import OpenedAnchor

NAMES = {
    "RealSmileNet, simulated UvA-NEMO fold 3 (unseen subject)": 0.8,
    "Siamese 3D DenseNet, neutral anchor, simulated recordings round 1 (unseen subject)": 0.25,
    "RealSmileNet, posed anchor, simulated UvA-NEMO fold 3 (seen in training or validation)": float("nan"),
}


@pytest.fixture
def clip(simulated):
    store, database = simulated
    return opening.of_store(store, store.usable.index[2], database)


@pytest.fixture
def everything(clip):
    """What the picture can show, made up."""
    count, side = np.asarray(clip.crops).shape[:2]
    weights = np.zeros((count, side, side), np.float32)
    weights[:, 30:40, 10:38] = 1
    ids = clip.store.usable.index[4:9].tolist()
    nearest = pd.DataFrame(
        {
            "clip_id": ids, "label": [0, 1, 0, 1, 0], "subject": ["325", "325", "500", "500", "543"],
            "distance": [0.5, 1.25, 2, 3, 40.5], "seen": [True, False, True, None, True],
        }
    )  # fmt: skip
    nearest.attrs["source"] = "simulated UvA-NEMO"
    return {
        "scorer": SimpleNamespace(name=next(iter(NAMES)), model_name="realsmilenet", simulated=True),
        "probabilities": NAMES,
        "over_time": (clip.crop_times, np.linspace(0.2, 0.8, count)),
        "overlay": weights,
        "overlay_name": "Score-CAM",
        "anchor": OpenedAnchor(np.asarray(clip.crops)[:2], "neutral recording of 293"),
        "nearest": nearest,
        "thumbnails": {name: np.asarray(clip.store.frames(name)[0]) for name in ids},
    }


def words(figure) -> str:
    return " | ".join(text.get_text().replace("\n", " ") for text in figure.findobj(mpl.text.Text))


def drawn_texts(figure, monkeypatch):
    """Every text that is drawn, with its extent, px."""
    drawn, draw = [], mpl.text.Text.draw

    def note(text, renderer):
        if text.get_text().strip() and text.get_visible():
            drawn.append((text.get_text(), text.get_window_extent(renderer)))
        draw(text, renderer)

    monkeypatch.setattr(mpl.text.Text, "draw", note)
    FigureCanvasAgg(figure).draw()
    return drawn


def test_everything_is_on_the_picture(clip, everything):
    clip.measure_au06()
    figure = drawing.picture(clip, 40, **everything)
    said = words(figure)
    for part in (
        clip.title, f"subject {clip.subject}", "simulated video, networks trained on simulated videos",
        f"frame 41 of {len(clip.times)}", f"{clip.times[40]:.2f} s", "Score-CAM", "neutral recording of 293", *NAMES,
        "0.80", "0.25", "not scored", "0.5", "1 spontaneous", "0 posed", "onset", "right", "left", "AU06", "AU12",
        "seen in training or validation", "unseen subject", "distance 1.2", "subject 543", "of simulated UvA-NEMO",
        "time from the start",
        "mouth widths", "eye widths", "0 to 5",
    ):  # fmt: skip
        assert part in said, part
    lengths = sorted(p.get_width() for a in figure.axes for p in a.patches if hasattr(p, "get_width"))
    assert [length for length in lengths if length in (0.8, 0.25)] == [0.25, 0.8]
    cursors = [a for a in figure.axes if any(list(line.get_xdata()) == [clip.times[40]] * 2 for line in a.get_lines())]
    assert len(cursors) == 4, "one in each panel"
    lines = {line.get_label(): line for line in cursors[0].get_lines()}
    np.testing.assert_allclose(lines["left"].get_ydata(), clip.curves["lip_left"])
    np.testing.assert_allclose(lines["right"].get_ydata(), clip.curves["lip_right"])
    assert lines["left"].get_color() != lines["right"].get_color()
    assert lines["left"].get_linestyle() != lines["right"].get_linestyle()
    np.testing.assert_allclose(cursors[3].get_lines()[0].get_ydata(), everything["over_time"][1])
    units = {line.get_label(): line for line in cursors[2].get_lines()}
    np.testing.assert_allclose(units["AU06"].get_ydata(), clip.curves["au06"])


@pytest.mark.parametrize("what", ["everything", "nothing", "eight networks", "eleven networks"])
def test_nothing_is_cut_off_and_no_words_lie_on_others(clip, everything, what, monkeypatch):
    given = {} if what == "nothing" else everything
    if "networks" in what:
        count = 8 if what == "eight networks" else 11
        given = {**everything, "probabilities": {f"{n}. {next(iter(NAMES))}": n / count for n in range(count)}}
    figure = drawing.picture(clip, 0, **given)
    found, (left, bottom, right, top) = drawn_texts(figure, monkeypatch), figure.bbox.extents
    assert len(found) > 20
    for text, box in found:
        assert box.x0 >= left, text
        assert box.y0 >= bottom, text
        assert box.x1 <= right, text
        assert box.y1 <= top, text
    for number, (text, box) in enumerate(found):
        for other, beside in found[number + 1 :]:
            across = min(box.x1, beside.x1) - max(box.x0, beside.x0)
            down = min(box.y1, beside.y1) - max(box.y0, beside.y0)
            assert across < 2 or down < 2, (text, other)


def test_names_of_files_are_not_read_as_formulas(clip, everything, monkeypatch):
    name = "a $x_{$ b"
    odd = replace(clip, title=name, remark=f"remark {name}")
    scorer = SimpleNamespace(name=f"network {name}", model_name="realsmilenet", simulated=False)
    nearest = everything["nearest"].assign(subject=name)
    nearest.attrs["source"] = name
    given = {
        "scorer": scorer, "probabilities": {scorer.name: 0.5}, "overlay_name": f"map {name}", "nearest": nearest,
        "anchor": OpenedAnchor(np.asarray(clip.crops)[:2], f"at rest in {name}"),
    }  # fmt: skip
    figure = drawing.picture(odd, 0, **{**everything, **given})
    said = " | ".join(text for text, _ in drawn_texts(figure, monkeypatch)).replace("\n", " ")
    for part in (name, f"remark {name}", f"network {name}", f"map {name}", f"at rest in {name}", f"subject {name}"):
        assert part in said, part


def test_the_chosen_network_is_drawn_and_those_left_out_are_counted(clip, everything, monkeypatch):
    names = [f"{number}. {next(iter(NAMES))}" for number in range(11)]
    scorer = SimpleNamespace(name=names[-1], model_name="realsmilenet", simulated=True)
    given = {**everything, "scorer": scorer, "probabilities": dict.fromkeys(names, 0.5)}
    said = [text for text, _ in drawn_texts(drawing.picture(clip, 0, **given), monkeypatch)]
    assert [text for text in said if text in names] == [names[-1], *names[:7]]
    assert "and 3 more" in said
    given["probabilities"] = dict.fromkeys(names[-8:], 0.5)
    assert "more" not in words(drawing.picture(clip, 0, **given))


def test_the_face_at_rest_is_called_so(clip, everything):
    said = words(drawing.picture(clip, 0, anchor=everything["anchor"]))
    assert "| face at rest |" in f"| {said} |"
    assert "no face at rest" in words(drawing.picture(clip, 0))


def test_the_word_simulated_is_there_when_it_is_true(clip, everything):
    real = replace(clip, simulated=False, title="mine.mp4")
    assert "simulated" not in words(drawing.picture(real, 0))
    said = words(drawing.picture(real, 0, scorer=everything["scorer"]))
    assert "networks trained on simulated videos" in said
    assert "simulated video:" not in said
    assert "simulated video" in words(drawing.picture(clip, 0))


def test_the_frame_and_the_crop_are_those_of_the_moment(clip, everything):
    at = 30
    figure = drawing.picture(clip, at, anchor=everything["anchor"])
    shown = [np.asarray(image.get_array()) for axis in figure.axes for image in axis.images]
    crop = clip.crops[clip.nearest_crop(at)]
    for expected in (clip.picture(at), crop, everything["anchor"].frames[1]):
        assert any(image.shape == expected.shape and np.array_equal(image, expected) for image in shown)
    covered = drawing.picture(clip, at, overlay=everything["overlay"], opacity=1.0)
    shown = [np.asarray(image.get_array()) for axis in covered.axes for image in axis.images]
    laid = drawing.overlay(np.asarray(crop), everything["overlay"][0], 1.0)
    assert any(image.shape == laid.shape and np.array_equal(image, laid) for image in shown)


def test_an_overlay_colours_only_where_the_map_is():
    crop = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    weights = np.zeros((8, 8), np.float32)
    np.testing.assert_array_equal(drawing.overlay(crop, weights, 0.7), crop)
    weights[2, 3] = 1
    found = drawing.overlay(crop, weights, 1.0)
    assert (found != crop).any(2).sum() == 1
    np.testing.assert_allclose(found[2, 3], np.multiply(mpl.colormaps["inferno"](1.0)[:3], 255), atol=0.51)
    np.testing.assert_array_equal(drawing.overlay(crop, weights, 0.0), crop)
    half = drawing.overlay(crop, weights, 0.5)[2, 3].astype(float)
    np.testing.assert_allclose(half, (found[2, 3].astype(float) + crop[2, 3]) / 2, atol=1)


def test_where_a_face_is_lost_lines_break_and_it_is_said(monkeypatch, tmp_path):
    times = np.r_[np.arange(0, 1.01, 0.1), np.arange(2.5, 3.51, 0.1)]
    clip = open_made(monkeypatch, tmp_path / "made.mp4", times, np.stack([face(0.8 + at / 10) for at in times]))
    figure = drawing.picture(clip, 0)
    assert "hatched: no face" in words(figure)
    line = next(line for axis in figure.axes for line in axis.get_lines() if line.get_label() == "left")
    at, values = line.get_data()
    assert np.isnan(values[11])
    assert np.isnan(at[11])
    np.testing.assert_allclose(np.delete(at, 11), times)
    hatched = {
        (patch.get_x(), patch.get_x() + patch.get_width())
        for axis in figure.axes
        for patch in axis.patches
        if patch.get_hatch()
    }
    assert len(hatched) == 1
    np.testing.assert_allclose(hatched.pop(), (1.0, 2.5))


def test_the_cursor_of_the_curves_is_where_the_shading_begins(monkeypatch, tmp_path):
    times = np.arange(0, 6.01, 0.1)
    width = np.interp(times, [1, 2, 4, 5], [0.8, 1.1, 1.1, 0.8])
    clip = open_made(monkeypatch, tmp_path / "made.mp4", times, np.stack([face(w) for w in width]))
    png, x_of_time = drawing.curves_png(clip, width=700, height=350, over_time=(times, np.full(61, 0.5)))
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (350, 700, 3)
    start, end = clip.phases.onset[0], clip.phases.offset[1]

    def shaded(time, by):
        """How much yellow or grey there is in a column beside a time."""
        column = image[:, round(x_of_time(time)) + by].astype(int)
        return int(((column.min(1) < 245) & (column.min(1) > 120)).sum())

    assert shaded(start, 3) > shaded(start, -3) + 150
    assert shaded(end, -3) > shaded(end, 3) + 150
    inside = image[:, round(x_of_time((start + clip.phases.onset[1]) / 2)) + 2].astype(int)
    outside = image[:, round(x_of_time(start / 2)) + 2].astype(int)
    # The onset is yellow: little blue. Before it there is none of that.
    assert (inside[:, 2] - inside[:, 0] > 40).sum() > 150
    assert (outside[:, 2] - outside[:, 0] > 40).sum() < 20
    assert x_of_time(6.0) - x_of_time(0.0) == pytest.approx(6 * (x_of_time(3.0) - x_of_time(2.0)))
