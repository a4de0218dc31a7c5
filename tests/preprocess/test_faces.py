"""Tracking rendered people, whose landmarks are known, and real ones where the machine has their videos."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest
from sample_videos import FPS, Rendered, blank, real_clip, render

from smilelab.preprocess import faces, video
from smilelab.preprocess.crops import face_pose, iou, pose_box
from smilelab.preprocess.faces import FaceTracker
from smilelab.preprocess.tracks import FaceTrack, Sighting

INNER = slice(17, 68)


def at_rate(images: list[np.ndarray]) -> list[tuple[float, np.ndarray]]:
    return [(index / FPS, image) for index, image in enumerate(images)]


def inside(track: FaceTrack, landmarks: np.ndarray) -> float:
    low, high = track.boxes[:, None, :2], track.boxes[:, None, 2:]
    return float(((landmarks >= low) & (landmarks <= high)).all((1, 2)).mean())


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for every frame that the detector is asked about."""
    calls: list[int] = []
    inspect = faces._Detector.inspect
    monkeypatch.setattr(
        faces._Detector, "inspect", lambda self, seen, near: calls.append(1) or inspect(self, seen, near)
    )
    return calls


def test_the_model_is_found_without_importing_its_package() -> None:
    code = (
        "import sys; from smilelab.preprocess.faces import landmark_model_path as path;"
        "print(path().stat().st_size, 'face_recognition_models' in sys.modules)"
    )
    size, imported = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert int(size) > 50_000_000
    assert imported == "False"


def test_landmarks_of_a_rendered_person(person: Rendered, looks: list[int]) -> None:
    track = FaceTracker().track(person.frames)
    assert track.detected.all()
    assert not track.bridged.any()
    assert set(track.faces) == {-1, 1}
    assert len(looks) == (track.faces >= 0).sum() <= 8
    assert np.array_equal(np.isnan(track.detections[:, 0]), track.faces < 0)
    across = np.linalg.norm(person.landmarks[:, 36] - person.landmarks[:, 45], axis=-1).mean()
    error = np.linalg.norm(track.landmarks - person.landmarks, axis=-1)[:, INNER].mean() / across
    assert error < 0.045
    assert inside(track, person.landmarks[:, INNER]) == 1
    assert iou(track.boxes[1:], track.boxes[:-1]).min() > 0.95


def test_landmarks_do_not_depend_on_the_scale_of_the_frame(person: Rendered) -> None:
    small = FaceTracker().track(person.frames[:5])
    large = FaceTracker().track([(t, cv2.resize(i, None, fx=3, fy=3)) for t, i in person.frames[:5]])
    centre = (large.landmarks + 0.5) / 3 - 0.5
    side = (small.boxes[:, 2] - small.boxes[:, 0]).mean()
    assert np.abs(centre - small.landmarks)[:, INNER].mean() / side < 0.02


def test_landmarks_depend_little_on_where_the_detectors_box_fell(person: Rendered) -> None:
    rng = np.random.default_rng(0)
    spreads = []
    for image, truth in list(zip(person.images, person.landmarks, strict=True))[:25:3]:
        box = pose_box(face_pose(truth))
        side = box[2] - box[0]
        found = []
        for _ in range(6):
            seen = faces._Seen(0.0, image)
            half = side / 2 * np.exp(rng.uniform(-0.1, 0.1))
            centre = (box[:2] + box[2:]) / 2 + side * rng.uniform(-0.1, 0.1, 2)
            seen.box = np.concatenate([centre - half, centre + half])
            found.append(seen.landmarks())
        spreads.append(np.std(found, axis=0)[INNER].mean() / side)
    assert np.mean(spreads) < 0.0025


def test_the_frame_in_which_a_face_goes_is_found(person: Rendered, looks: list[int]) -> None:
    for shown in (17, 30):
        looks.clear()
        track = FaceTracker().track(at_rate(person.images[:shown] + blank(40)))
        assert track.detected.tolist() == [True] * shown + [False] * 40
        assert np.isnan(track.boxes[shown:]).all()
        assert np.isnan(track.landmarks[shown:]).all()
        assert len(looks) < (shown + 40) / 3
    track = FaceTracker().track(at_rate(blank(21) + person.images[:20]))
    assert track.detected.tolist() == [False] * 21 + [True] * 20


def test_no_face_at_all() -> None:
    track = FaceTracker().track(at_rate(blank(20)))
    assert not track.usable.any()
    assert set(track.faces) == {0, -1}
    empty = FaceTracker().track([])
    assert empty.boxes.shape == (0, 4)
    assert empty.landmarks.shape == (0, 68, 2)


@pytest.mark.parametrize("start", [14, 20])
def test_short_gaps_are_bridged_and_long_ones_are_not(person: Rendered, start: int) -> None:
    for missing, bridged in ((8, True), (20, False)):
        images = [*person.images[:start], *blank(missing), *person.images[start + missing :]]
        track = FaceTracker().track(at_rate(images))
        gap = slice(start, start + missing)
        assert not track.detected[gap].any()
        assert track.detected.sum() == len(images) - missing
        assert (track.bridged[gap] == bridged).all()
        assert track.bridged.sum() == bridged * missing
        if bridged:
            error = np.linalg.norm(track.landmarks - person.landmarks, axis=-1)[gap, INNER].mean()
            assert error < 0.1 * np.linalg.norm(person.landmarks[0, 36] - person.landmarks[0, 45])


def test_the_largest_of_two_faces_is_followed_and_both_are_counted(person: Rendered) -> None:
    large = render(4, seconds=1.0, iod_px=62)
    images = [np.hstack([left, right]) for left, right in zip(person.images[:25], large.images, strict=True)]
    track = FaceTracker().track(at_rate(images))
    assert track.faces.max() == 2
    centre = (track.boxes[:, 0] + track.boxes[:, 2]) / 2
    assert (centre > 320).all()


def test_a_cut_to_another_place_is_not_smoothed_over(person: Rendered) -> None:
    wide = [np.hstack([image, pad]) for image, pad in zip(person.images, blank(50), strict=True)]
    moved = [np.hstack([pad, image]) for image, pad in zip(person.images, blank(50), strict=True)]
    track = FaceTracker().track(at_rate(wide[:20] + moved[20:]))
    centre = (track.boxes[:, 0] + track.boxes[:, 2]) / 2
    assert (centre[:20] < 320).all()
    assert (centre[20:] > 320).all()
    still = FaceTracker().track(person.frames)
    shift = centre - (still.boxes[:, 0] + still.boxes[:, 2]) / 2
    assert np.abs(shift[:20]).max() < 4
    assert np.abs(shift[20:] - 320).max() < 4


def test_per_frame_boxes_are_the_detectors_own(person: Rendered) -> None:
    track = FaceTracker(boxes="per-frame").track(person.frames[:10])
    assert (track.faces == 1).all()
    assert np.array_equal(track.boxes, track.detections)
    detected = faces._detector()(cv2.cvtColor(person.images[3], cv2.COLOR_RGB2GRAY), 0)
    if len(detected) == 1:
        box = detected[0]
        assert track.boxes[3] == pytest.approx(
            [box.left() - 0.5, box.top() - 0.5, box.right() + 0.5, box.bottom() + 0.5]
        )


def test_tracking_is_reproducible_and_leaves_no_memory_between_clips(person: Rendered) -> None:
    tracker = FaceTracker()
    first = tracker.track(person.frames[:20])
    tracker.track(at_rate([np.full((1080, 1920, 3), 90, np.uint8)]))
    second = tracker.track(person.frames[:20])
    assert first.boxes.tobytes() == second.boxes.tobytes()
    assert first.landmarks.tobytes() == second.landmarks.tobytes()


def test_bridging_needs_the_same_face_on_both_sides() -> None:
    points = np.random.default_rng(0).normal(100, 20, (68, 2)).astype(np.float32)
    points[[36, 39]] -= (20, 0)
    points[[42, 45]] += (20, 0)
    nothing = np.empty((0, 0, 3), np.uint8)

    def sightings(*places: float | None) -> list[Sighting]:
        return [
            Sighting(k * 0.1, nothing, None if x is None else points + np.float32([x, 0]), None, -1)
            for k, x in enumerate(places)
        ]

    assert FaceTrack.assemble(sightings(0, None, None, 6)).bridged.tolist() == [False, True, True, False]
    middle = FaceTrack.assemble(sightings(0, None, None, 6)).landmarks[1]
    assert middle == pytest.approx(points + np.float32([2, 0]), abs=1e-3)
    assert not FaceTrack.assemble(sightings(0, None, None, 2000)).bridged.any()
    assert not FaceTrack.assemble(sightings(None, 0, None)).bridged.any()
    assert FaceTrack.assemble(sightings(0, None, None, None, None, 0)).bridged.sum() == 4
    assert not FaceTrack.assemble(sightings(0, None, None, None, None, None, 0)).bridged.any()


def test_a_real_face_has_a_smooth_box() -> None:
    frames = list(video.read(real_clip("single_face.mp4")))
    track = FaceTracker().track(frames)
    detector = faces._detector()
    found = [detector(cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY), 0)[0] for frame in frames]
    boxes = np.array([(r.left(), r.top(), r.right(), r.bottom()) for r in found])
    assert np.percentile(iou(track.boxes[1:], track.boxes[:-1]), 1) >= 0.95
    assert np.percentile(iou(boxes[1:], boxes[:-1]), 10) < 0.9, "the detector's own boxes jump"
    assert inside(track, track.landmarks[:, INNER]) >= 0.999
    assert iou(track.boxes, np.median(boxes, 0)).min() >= 0.7


def test_a_real_face_that_gives_way_to_a_cartoon() -> None:
    frames = list(video.read(real_clip("face_noface.mov")))
    track = FaceTracker().track(frames)
    assert track.detected[:72].all()
    assert not track.usable[72:].any()


def test_a_cartoon_without_a_face() -> None:
    track = FaceTracker().track(video.read(real_clip("no_face.mp4"), fps=5))
    assert not track.usable.any()


def beside(left: list[np.ndarray], right: list[np.ndarray]) -> list[tuple[float, np.ndarray]]:
    return [(k / 25, np.hstack(pair)) for k, pair in enumerate(zip(left, right, strict=False))]


def test_the_most_frontal_of_two_views_is_followed(person: Rendered) -> None:
    turned = render(3, seconds=2.0, iod_px=62, yaw=0.5).images
    frames = beside(person.images, turned)
    largest = FaceTracker().track(frames)
    assert largest.faces.max() == 2
    assert (largest.boxes[largest.usable, 0] > 320).all()
    frontal = FaceTracker(choice="most frontal").track(frames)
    assert frontal.detected.all()
    assert (frontal.boxes[:, 2] < 320).all()
    truth = person.landmarks[:, 17:]
    assert ((truth >= frontal.boxes[:, None, :2]) & (truth <= frontal.boxes[:, None, 2:])).all()


def test_no_turned_face_takes_the_place_of_a_frontal_one_that_is_hidden(person: Rendered) -> None:
    turned = render(3, seconds=2.0, iod_px=62, yaw=0.5).images
    images = [*person.images[:18], *blank(20), *person.images[38:]]
    track = FaceTracker(choice="most frontal").track(beside(images, turned))
    assert (track.boxes[track.usable, 2] < 320).all()
    assert track.detected[:18].all()
    assert not track.detected[18:38].any()
    assert track.detected[38:].all()


def test_a_turned_face_is_left_when_a_frontal_one_appears(person: Rendered) -> None:
    turned = render(3, seconds=2.0, iod_px=62, yaw=0.5).images
    track = FaceTracker(choice="most frontal").track(beside([*blank(20), *person.images[20:]], turned))
    assert (track.boxes[:20, 0] > 320).all()
    assert (track.boxes[20:, 2] < 320).all()
