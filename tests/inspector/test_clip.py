"""Opened clips against full decoding, hand-made faces, the renderer's truth, and files that are broken."""

from __future__ import annotations

import os
import resource
import struct
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from sample_clips import face, open_made
from sample_videos import FPS, StandIn, blank, render

from smilelab import signals
from smilelab.inspector import clip as opening
from smilelab.inspector import frames as frames_module
from smilelab.inspector.clip import InspectionError
from smilelab.inspector.curves import curves_of
from smilelab.inspector.frames import VideoFrames, frame_times
from smilelab.preprocess import action_units, video
from smilelab.preprocess.build import build
from smilelab.preprocess.recipe import Recipe

STEADY = [40 * k for k in range(120)]
UNEVEN = [40 * k + (17 if k % 3 else 0) + (700 if k > 70 else 0) for k in range(120)]
CODED = [
    ("a.mp4", "libx264", STEADY, {"g": "30"}),
    ("uneven.mp4", "libx264", UNEVEN, {"g": "30"}),
    ("open.mp4", "libx264", STEADY, {"g": "30", "x264-params": "open-gop=1:scenecut=0"}),
    ("a.mkv", "libx264", UNEVEN, {"g": "30"}),
    ("a.avi", "mpeg4", STEADY, {"g": "30"}),
    ("reordered.avi", "libx264", STEADY, {"g": "30"}),
    ("a.ts", "libx264", STEADY, {"g": "30"}),
    ("a.mpg", "mpeg2video", STEADY, {"g": "12", "bf": "2"}),
]


@pytest.fixture(scope="module")
def person():
    return render(3, seconds=2.0)


@pytest.fixture(scope="module")
def person_video(person, tmp_path_factory):
    path = tmp_path_factory.mktemp("person") / "person.mp4"
    video.write(path, person.images, FPS)
    return path


def write_coded(path: Path, codec: str, times_ms: list[int], options: dict[str, str]) -> Path:
    """A moving pattern with given presentation times, written without the code under test."""
    noise = np.random.default_rng(1).integers(0, 256, (96, 128, 3), np.uint8)
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        counted = path.suffix in (".avi", ".mpg")
        if not counted:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number, at in enumerate(times_ms):
            image = cv2.GaussianBlur(np.roll(noise, 3 * number, axis=1), (0, 0), 4)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = (number, Fraction(1, 25)) if counted else (at, Fraction(1, 1000))
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


@pytest.mark.parametrize(("name", "codec", "times_ms", "options"), CODED)
def test_times_are_those_of_decoding_all(tmp_path, name, codec, times_ms, options):
    path = write_coded(tmp_path / name, codec, times_ms, options)
    decoded = [frame.time for frame in video.read(path)]
    assert len(decoded) == 120
    np.testing.assert_allclose(frame_times(path), decoded, atol=1e-6)
    part = [time for time in decoded if 1.2 <= time < 2.43]
    np.testing.assert_allclose(frame_times(path, start_s=1.2, end_s=2.43), part, atol=1e-6)


def test_times_are_read_without_decoding(tmp_path, monkeypatch):
    path = write_coded(tmp_path / "a.mp4", "libx264", UNEVEN, {"g": "30"})
    monkeypatch.setattr(frames_module, "VideoFile", lambda *a: pytest.fail("decoded"))
    monkeypatch.setattr(video, "read", lambda *a, **k: pytest.fail("decoded"))
    assert len(frame_times(path)) == 120


@pytest.mark.parametrize(("name", "codec", "times_ms", "options"), CODED)
def test_frames_in_any_order_are_the_decoded_ones(tmp_path, name, codec, times_ms, options):
    path = write_coded(tmp_path / name, codec, times_ms, options)
    decoded = list(video.read(path))
    some = VideoFrames(path, frame_times(path), kept_bytes=10 * 96 * 128 * 3)
    order = np.random.default_rng(0).integers(0, 120, 25).tolist()
    for at in [0, 1, 2, 60, 61, 59, 58, 57, *order, 119, 118, 0]:
        picture, scale = some.frame(at, 640)
        assert scale == 1
        assert np.array_equal(picture, decoded[at].image), at
    some.close()


def test_pictures_of_a_folder(tmp_path):
    images = [np.full((48, 64, 3), 10 * k, np.uint8) for k in range(8)]
    video.write_images(tmp_path / "p", images)
    times = frame_times(tmp_path / "p", image_fps=25.0)
    np.testing.assert_allclose(times, np.arange(8) / 25)
    some = VideoFrames(tmp_path / "p", times, image_fps=25.0)
    assert [int(some.frame(at, 64)[0].mean()) for at in (5, 2, 7)] == [50, 20, 70]


def test_stepping_does_not_open_the_video_again_for_every_frame(tmp_path, monkeypatch):
    path = write_coded(tmp_path / "a.mp4", "libx264", STEADY, {"g": "30"})
    opened, read = [], video.read
    monkeypatch.setattr(video, "read", lambda *a, **k: opened.append(k["start_s"]) or read(*a, **k))
    some = VideoFrames(path, frame_times(path))
    for at in range(10, 60):
        some.frame(at, 128)
    assert len(opened) == 1
    for at in range(59, 19, -1):
        some.frame(at, 128)
    assert len(opened) == 1, "all of them are kept"
    few = VideoFrames(path, frame_times(path), kept_bytes=20 * 96 * 128 * 3)
    for at in range(100, 50, -1):
        few.frame(at, 128)
    assert len(opened) <= 1 + 2 + 50 // 12 + 1
    assert few._bytes == sum(picture.nbytes for picture, _ in few._kept.values()) <= 20 * 96 * 128 * 3


def test_a_clip_of_a_store(simulated):
    store, database = simulated
    clip_id = store.usable.index[3]
    clip = opening.of_store(store, clip_id, database)
    row = store.manifest.loc[clip_id]
    assert (clip.subject, clip.label, clip.database, clip.simulated) == (row["subject"], row["label"], "uva-nemo", True)
    assert clip.title == f"{clip_id} of simulated UvA-NEMO"
    everything = list(video.read(clip.video))
    np.testing.assert_allclose(clip.times, [frame.time for frame in everything], atol=1e-6)
    assert len(clip.times) == row["decoded"]
    np.testing.assert_array_equal(clip.crops, store.frames(clip_id))
    np.testing.assert_array_equal(clip.crop_times, store.times(clip_id))
    for at in (7, 8, 3, len(clip.times) - 1):
        np.testing.assert_array_equal(clip.picture(at, box=False, landmarks=False), everything[at].image)
        nearest = np.abs(store.times(clip_id) - everything[at].time)
        assert nearest[clip.nearest_crop(at)] == nearest.min()
    jpeg = cv2.imdecode(np.frombuffer(clip.jpeg(5, width=160, box=False, landmarks=False), np.uint8), cv2.IMREAD_COLOR)
    small = cv2.resize(everything[5].image, (160, 120), interpolation=cv2.INTER_AREA)
    assert np.abs(jpeg[:, :, ::-1].astype(int) - small).mean() < 4
    with pytest.raises(IndexError, match="expected 0 to"):
        clip.picture(len(clip.times))
    with pytest.raises(InspectionError, match="nobody"):
        opening.of_store(store, "nobody", database)


def test_box_and_landmarks_are_drawn_where_the_track_has_them(simulated):
    store, database = simulated
    clip = opening.of_store(store, store.usable.index[0], database)
    at = int(np.abs(clip.times - clip.crop_times[4]).argmin())
    track = store.track(clip.clip_id)
    for width in (320, 160):
        scale = width / 320
        plain = clip.picture(at, width=width, box=False, landmarks=False).astype(int)
        points = np.abs(clip.picture(at, width=width, box=False).astype(int) - plain).sum(2) > 30
        for x, y in np.round(track["landmarks"][4] * scale).astype(int):
            assert points[y - 1 : y + 2, x - 1 : x + 2].any()
        reach = cv2.dilate(cv2.fillConvexPoly(np.zeros(plain.shape[:2], np.uint8), cv2.convexHull(
            np.round(track["landmarks"][4] * scale).astype(np.int32)), 1), np.ones((9, 9)))  # fmt: skip
        assert not points[reach == 0].any()
        box = np.abs(clip.picture(at, width=width, landmarks=False).astype(int) - plain).sum(2) > 60
        left, top, right, bottom = np.round(track["boxes"][4] * scale).astype(int)
        rows, columns = np.flatnonzero(box.any(1)), np.flatnonzero(box.any(0))
        found = [columns[0], rows[0], columns[-1], rows[-1]]
        inside = np.clip([left, top, right, bottom], 0, [width - 1, 0.75 * width - 1] * 2)
        assert np.abs(found - inside).max() <= 4
        assert not box[top + 8 : bottom - 8, left + 8 : right - 8].any()


def test_a_part_of_a_recording_has_its_own_time(person, person_video, tmp_path):
    row = {
        **{"clip_id": "late", "path": str(person_video), "label": 1, "subject": "a", "sex": "", "age": np.nan},
        **{"fps": FPS, "start_s": 0.8, "end_s": 1.6, "kind": "clip", "view": "frontal"},
    }
    database = StandIn([row, {**row, "clip_id": "all", "start_s": np.nan, "end_s": np.nan}], name="bbc")
    store = build(database, Recipe(fps=None), tmp_path, jobs=1, progress=False)
    late, whole = (opening.of_store(store, name, database) for name in ("late", "all"))
    np.testing.assert_allclose(late.times, np.arange(20) / FPS, atol=1e-6)
    np.testing.assert_allclose(late.crop_times, np.arange(20) / FPS, atol=1e-6)
    assert late.curves["time_s"].iloc[0] == pytest.approx(0, abs=1e-6)
    for at in (0, 7, 19):
        assert np.array_equal(late.picture(at, box=False), whole.picture(at + 20, box=False))
    assert np.abs(late.landmarks - person.landmarks[20:40]).mean() < 4


def test_a_phone_video_is_upright_with_its_landmarks(person, tmp_path):
    path = tmp_path / "phone.mp4"
    video.write(path, [np.rot90(image) for image in person.images], FPS)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    turned = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)  # shown turned clockwise
    data[at : at + 36] = struct.pack(">9i", *turned)
    path.write_bytes(data)
    clip = opening.of_video(path, Recipe())
    picture = clip.picture(10, box=False, landmarks=False)
    assert picture.shape == (240, 320, 3)
    assert np.abs(picture.astype(int) - person.images[10]).mean() < 6
    frames = np.round(clip.crop_times * FPS).astype(int)
    assert np.abs(clip.landmarks - person.landmarks[frames]).mean() < 4


def test_a_video_on_its_side_is_shown_turned(person, tmp_path):
    path = tmp_path / "side.mp4"
    video.write(path, [np.rot90(image) for image in person.images], FPS)
    clip = opening.of_video(path, Recipe())
    assert "turned by 90 degrees" in clip.remark
    assert np.abs(clip.picture(10, box=False, landmarks=False).astype(int) - person.images[10]).mean() < 6
    clip.measure_au06()
    assert clip.curves["au06"].notna().all()


def test_curves_of_either_side_by_hand():
    still, smile = face(0.8), face(0.8, left=0.2, open_eyes=(0.3, 0.15))
    table = curves_of(np.array([0.0, 0.2]), np.stack([still, smile]))
    # The mouth is 0.8 wide at rest; its left corner moves from 0.4 to 0.6 eye distances off the middle.
    assert table["lip_right"].tolist() == pytest.approx([0.5, 0.5])
    assert table["lip_left"].tolist() == pytest.approx([0.5, 0.75])
    assert table["lip_corner"].tolist() == pytest.approx([0.5, 0.625])
    # Eyes are 20 px wide and 6 high; the left one then 3.
    assert table["eyelid_right"].tolist() == pytest.approx([0.3, 0.3])
    assert table["eyelid_left"].tolist() == pytest.approx([0.3, 0.15])
    assert table["eyelid"].tolist() == pytest.approx([0.3, 0.225])


def test_phases_of_a_made_smile_and_their_rows(monkeypatch, tmp_path):
    times = np.arange(0, 6.01, 0.1)
    width = np.interp(times, [1, 2, 4, 5], [0.8, 1.1, 1.1, 0.8])
    clip = open_made(monkeypatch, tmp_path / "made.mp4", times, np.stack([face(w) for w in width]))
    for found, expected in zip(clip.phases, ((1, 2), (2, 4), (4, 5)), strict=True):
        assert found == pytest.approx(expected, abs=0.25)
    table = clip.numbers()
    assert table["lip_corner"].to_numpy() == pytest.approx(width / 0.8 / 2, abs=1e-4)
    assert table["lip_corner"].to_numpy() == pytest.approx(signals.lip_corner_distance(clip.landmarks), abs=1e-6)
    of = {at: table["phase"][round(at * 10)] for at in (0.5, 1.5, 3.0, 4.5, 5.8)}
    assert list(of.values()) == ["", "onset", "apex", "offset", ""]
    # The corners move out by 0.15 eye distances each: of a full smile's 14 mm at 63 mm, pulled up by 40 degrees.
    pulled = 5 * 0.15 * np.cos(np.deg2rad(40)) * 63 / 14
    assert table["au12"][30] == pytest.approx(pulled, rel=0.02)
    assert table["au06"].isna().all()


@pytest.mark.parametrize(("lowest", "offset"), [(1.05, False), (0.98, True)])
def test_a_smile_that_is_held_to_the_end_has_no_offset(monkeypatch, tmp_path, lowest, offset):
    times = np.arange(0, 6.01, 0.1)
    width = np.interp(times, [1, 2, 4, 5], [0.8, 1.1, 1.1, lowest])
    clip = open_made(monkeypatch, tmp_path / "made.mp4", times, np.stack([face(w) for w in width]))
    assert (clip.phases.offset is not None) == offset
    assert clip.phases.apex == pytest.approx((2, 4 if offset else 6), abs=0.25)
    assert ("offset" in set(clip.numbers()["phase"])) == offset


def test_au06_is_that_of_measuring_the_video(person_video):
    clip = opening.of_video(person_video, Recipe())
    assert clip.curves["au06"].isna().all()
    before = clip.curves["au12"].copy()
    clip.measure_au06()
    measured = action_units.measure(person_video, fps=5.0)
    np.testing.assert_allclose(measured.times, clip.crop_times)
    expected = action_units.estimate(measured)
    np.testing.assert_allclose(clip.numbers()["au06"], expected.au06, atol=1e-3)
    np.testing.assert_allclose(clip.numbers()["au12"], expected.au12, atol=1e-3)
    np.testing.assert_array_equal(clip.curves["au12"], before)


def test_a_face_that_leaves_is_told_and_not_drawn(person, tmp_path):
    path = tmp_path / "gone.mp4"
    video.write(path, person.images[:25] + blank(30), FPS)
    clip = opening.of_video(path, Recipe())
    assert clip.remark.startswith("face in 0.0-")
    assert len(clip.times) == 55
    assert np.array_equal(clip.picture(50), clip.picture(50, box=False, landmarks=False))
    assert not np.array_equal(clip.picture(5), clip.picture(5, box=False, landmarks=False))


def test_where_no_face_was_found_in_between_nothing_is_drawn_and_no_curve_goes_on(person, tmp_path):
    path = tmp_path / "between.mp4"
    video.write(path, person.images[:22] + blank(7) + person.images[29:], FPS)
    clip = opening.of_video(path, Recipe())
    (lost,) = np.flatnonzero(clip.bridged)
    assert 22 / FPS <= clip.crop_times[lost] < 29 / FPS
    assert np.isfinite(clip.landmarks[lost]).all(), "they are interpolated"
    at = int(np.abs(clip.times - clip.crop_times[lost]).argmin())
    assert np.array_equal(clip.picture(at), clip.picture(at, box=False, landmarks=False))
    for seen in (lost - 1, lost + 1):
        at = int(np.abs(clip.times - clip.crop_times[seen]).argmin())
        assert not np.array_equal(clip.picture(at), clip.picture(at, box=False, landmarks=False))
    clip.measure_au06()
    table = clip.numbers()
    measured = [name for name in opening.CURVES if name != "au06"]
    assert table.loc[lost, list(opening.CURVES)].isna().all()
    assert table.drop(index=lost)[measured].notna().all(axis=None)
    assert table["au06"].notna().any()


def test_two_faces_are_told(person, tmp_path):
    other = render(4, seconds=2.0)
    path = tmp_path / "two.mp4"
    video.write(path, [np.hstack(pair) for pair in zip(person.images, other.images, strict=True)], FPS)
    assert "2 faces at once" in opening.of_video(path, Recipe()).remark


@pytest.mark.parametrize(
    "name", ["empty.mp4", "page.mp4", "text.mp4", "missing.mp4", "cut.mp4", "blank.mp4", "one.mp4"]
)
def test_what_is_no_video_of_a_face_gives_one_sentence(person, tmp_path, name):
    path = tmp_path / name
    video.write(tmp_path / "whole.mp4", person.images, FPS)
    whole = (tmp_path / "whole.mp4").read_bytes()
    contents = {
        "empty.mp4": b"", "page.mp4": b"<!DOCTYPE html><p>Sign in", "text.mp4": b"hello " * 300,
        "cut.mp4": whole[: len(whole) // 2],
    }  # fmt: skip
    if name in contents:
        path.write_bytes(contents[name])
    elif name == "blank.mp4":
        video.write(path, blank(20), FPS)
    elif name == "one.mp4":
        video.write(path, person.images[:1], FPS)
    expected = {
        "empty.mp4": "empty", "page.mp4": "web page", "text.mp4": "not a video", "missing.mp4": "no such file",
        "cut.mp4": "truncated", "blank.mp4": "no face", "one.mp4": "too short",
    }  # fmt: skip
    with pytest.raises(InspectionError, match=expected[name]) as caught:
        opening.of_video(path, Recipe())
    said = str(caught.value)
    assert said.startswith(f"{name} cannot be shown: ")
    assert said.endswith(".")
    assert "\n" not in said


def test_a_damaged_end_is_told_and_not_offered(person, tmp_path):
    path = tmp_path / "damaged.mkv"
    write = [np.ascontiguousarray(image) for image in person.images]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"g": "10"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for image in write:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode())
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    clip = opening.of_video(path, Recipe())
    assert "truncated" in clip.remark
    assert 5 < len(clip.times) < len(person.images)
    clip.picture(len(clip.times) - 1)


def test_fifty_clips_leave_nothing_behind(simulated):
    store, database = simulated

    def look(clip_id: str) -> None:
        clip = opening.of_store(store, clip_id, database)
        for at in range(0, len(clip.times), 10):
            clip.picture(at, width=640)
        clip.jpeg(3)
        clip.close()

    ids = [store.usable.index[number % len(store)] for number in range(50)]
    for clip_id in ids[:5]:
        look(clip_id)
    files, memory = len(os.listdir("/proc/self/fd")), resident_mib()
    for clip_id in ids:
        look(clip_id)
    assert len(os.listdir("/proc/self/fd")) <= files
    assert resident_mib() - memory < 15, "one clip's pictures are 20 MiB"


def test_a_closed_clip_can_be_looked_at_again(simulated):
    store, database = simulated
    clip = opening.of_store(store, store.usable.index[1], database)
    before = clip.picture(30)
    clip.close()
    assert not clip._frames._kept
    assert np.array_equal(clip.picture(30), before)


def test_a_real_video(real_clips):
    clip = opening.of_video(real_clips / "face_noface.mov", Recipe())
    assert clip.remark.startswith("face in 0.0-2.2 s of 6.4 s")
    assert not clip.simulated
    assert clip.picture(0).shape[1] == 640


def resident_mib() -> float:
    """What is in memory now; the peak is what the system's own call would tell."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20
