"""From one video of whatever kind to face crops, or to the reason why there are none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from sample_videos import FPS, Rendered, blank, real_clip, render

from smilelab.preprocess import cutting, video
from smilelab.preprocess.build import Recipe, process
from smilelab.preprocess.crops import crop, iou
from smilelab.preprocess.faces import FaceTracker

RECIPE = Recipe(size=24)


def test_outcomes(videos: dict[str, Path], person: Rendered) -> None:
    whole = process(videos["face"], RECIPE)
    assert (whole.status, whole.reason) == ("ok", "")
    assert whole.frames.shape == (10, 24, 24, 3)
    assert whole.frames.dtype == np.uint8
    assert whole.times == pytest.approx(np.arange(10) / 5)
    assert (whole.sampled, whole.decoded, whole.faces) == (10, 50, 1)
    assert (whole.width, whole.height) == (320, 240)
    assert whole.fps == pytest.approx(FPS)
    assert whole.length_s == pytest.approx(49 / FPS)
    truth = person.landmarks[::5, 17:]
    assert ((truth >= whole.boxes[:, None, :2]) & (truth <= whole.boxes[:, None, 2:])).all()

    gone = process(videos["gone"], RECIPE)
    assert gone.status == "partial"
    assert gone.reason == "face in 0.0-0.8 s of 2.2 s"
    assert gone.times == pytest.approx(np.arange(5) / 5)
    assert process(videos["gone"], replace(RECIPE, fps=None)).times[-1] == pytest.approx(24 / FPS)

    for name, reason in {
        "blank": "no face in 4 frames of 0.8 s",
        "short": "too short: 1 frame",
        "html": "web page",
        "empty": "empty",
        "cut": "truncated",
    }.items():
        failed = process(videos[name], RECIPE)
        assert failed.status == "failed", name
        assert reason in failed.reason
        assert "\n" not in failed.reason


def test_a_part_of_a_video(videos: dict[str, Path]) -> None:
    part = process(videos["gone"], RECIPE, start_s=0.4, end_s=1.6)
    assert part.times == pytest.approx([0.4, 0.6, 0.8])
    assert part.reason == "face in 0.4-0.8 s of 0.4-1.6 s"
    late = process(videos["gone"], RECIPE, start_s=5)
    assert late.status == "failed"
    assert "2.2 s long" in late.reason


def test_a_damaged_end_is_kept_out_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    video.write(path, render(3, seconds=2.0).images, FPS, crf=5)
    with av.open(str(path)) as container:
        entry = container.streams.video[0].index_entries[35]
    data = bytearray(path.read_bytes())
    data[entry.pos + 5 : entry.pos + entry.size] = np.random.default_rng(0).bytes(entry.size - 5)
    path.write_bytes(data)
    clip = process(path, RECIPE)
    assert clip.status == "partial"
    assert "damaged" in clip.reason
    assert 5 <= len(clip.frames) <= 8


@pytest.mark.parametrize("kind", ["box", "outline"])
def test_streaming_gives_what_the_whole_clip_would(tmp_path: Path, kind: str) -> None:
    person = render(3, seconds=5.0)
    images = [*person.images[:40], *blank(5), *person.images[45:70], *blank(30), *person.images[100:]]
    path = tmp_path / "a.mp4"
    video.write(path, images, FPS)
    clip = process(path, Recipe(crop=kind, size=32, fps=None))
    frames = list(video.read(path))
    track = FaceTracker().track(frames)
    usable = np.flatnonzero(track.usable)
    assert len(clip.frames) == len(usable) < len(images)
    assert track.bridged.sum() == 5
    for name in ("times", "boxes", "landmarks", "detected", "bridged", "faces"):
        assert np.allclose(getattr(clip.track, name), getattr(track, name)[usable], atol=1e-3), name
    for place, index in enumerate(usable):
        expected = crop(
            frames[index].image,
            track.boxes[index],
            32,
            kind=kind,
            roll=float(track.rolls[index]),
            landmarks=track.outlines[index],
        )
        assert np.abs(clip.frames[place].astype(int) - expected).max() <= 2, index


def test_several_faces_are_counted(tmp_path: Path, person: Rendered) -> None:
    other = render(4, seconds=1.0, iod_px=62)
    video.write(tmp_path / "a.mp4", [np.hstack(pair) for pair in zip(person.images, other.images, strict=False)], FPS)
    clip = process(tmp_path / "a.mp4", RECIPE)
    assert (clip.status, clip.faces) == ("ok", 2)
    assert "2 faces" in clip.reason


@pytest.mark.parametrize(("quarters", "degrees"), [(1, 90), (3, 270)])
def test_a_video_that_lies_on_its_side_is_turned(
    tmp_path: Path, person: Rendered, videos: dict[str, Path], quarters: int, degrees: int
) -> None:
    path = tmp_path / "a.mp4"
    video.write(path, [np.rot90(image, quarters) for image in person.images], FPS)
    clip = process(path, RECIPE)
    upright = process(videos["face"], RECIPE)
    assert (clip.status, clip.reason) == ("ok", f"turned by {degrees} degrees clockwise")
    assert (clip.width, clip.height) == (320, 240)
    assert np.array_equal(clip.times, upright.times)
    assert np.abs(clip.boxes - upright.boxes).max() < 2
    assert np.abs(clip.frames.astype(int) - upright.frames).mean() < 4
    part = process(path, RECIPE, start_s=0.8, end_s=1.2)
    assert part.times == pytest.approx([0.8, 1.0])
    assert "turned" in part.reason


def test_of_two_views_of_a_person_the_frontal_one_is_cropped(tmp_path: Path, person: Rendered) -> None:
    turned = render(3, seconds=1.0, iod_px=62, yaw=0.5)
    video.write(tmp_path / "a.avi", [np.hstack(pair) for pair in zip(person.images, turned.images, strict=False)], FPS)
    clip = process(tmp_path / "a.avi", RECIPE, view="dual")
    assert (clip.status, clip.reason) == ("ok", "up to 2 faces at once, the most frontal was followed")
    assert (clip.boxes[:, 2] < 320).all()
    largest = process(tmp_path / "a.avi", RECIPE)
    assert (largest.boxes[:, 0] > 320).all()
    with pytest.raises(ValueError, match="view is 'side'"):
        process(tmp_path / "a.avi", RECIPE, view="side")


def test_a_folder_of_pictures(tmp_path: Path, person: Rendered, videos: dict[str, Path]) -> None:
    video.write_images(tmp_path / "a", person.images, gray=True)
    clip = process(tmp_path / "a", RECIPE, image_fps=FPS)
    upright = process(videos["face"], RECIPE)
    assert (clip.status, clip.reason, clip.decoded) == ("ok", "", 50)
    assert clip.times == pytest.approx(upright.times)
    assert np.abs(clip.boxes - upright.boxes).max() < 2
    assert clip.fps == pytest.approx(FPS)
    (tmp_path / "a" / "30.bmp").write_bytes(b"")
    broken = process(tmp_path / "a", RECIPE, image_fps=FPS)
    assert broken.status == "partial"
    assert "30.bmp: the file is empty" in broken.reason
    assert len(broken.frames) == 6
    assert np.array_equal(broken.frames[:3], clip.frames[:3]), "boxes are smoothed over what comes within .6 s"


def test_recipes() -> None:
    assert Recipe().hash == Recipe(crop="box", size=48, fps=5, boxes="smooth").hash
    others = [Recipe(size=64), Recipe(fps=7), Recipe(fps=None), Recipe(crop="chip"), Recipe(boxes="per-frame")]
    assert len({recipe.hash for recipe in [Recipe(), *others]}) == 6
    for wrong in ({"crop": "square"}, {"size": 0}, {"size": 4.5}, {"fps": 0}, {"fps": -1}, {"boxes": "wobbly"}):
        with pytest.raises(ValueError, match="expected"):
            Recipe(**wrong)


def test_only_the_surroundings_of_the_face_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    person = render(3, seconds=3.5, width=960, height=540, iod_px=38)
    video.write(tmp_path / "a.mp4", person.images, FPS)
    most = 0
    hold, waiting = cutting._hold, []

    def watched(*arguments: object) -> object:
        nonlocal most
        held = hold(*arguments)
        waiting.append(held)
        while waiting and waiting[0].sighting.time < held.sighting.time - 1.7:
            waiting.pop(0)
        most = max(most, sum(item.sighting.image.nbytes for item in waiting))
        return held

    monkeypatch.setattr(cutting, "_hold", watched)
    clip = process(tmp_path / "a.mp4", replace(RECIPE, fps=None))
    assert len(clip.frames) == len(person.images)
    assert most < 0.25 * sum(image.nbytes for image in person.images)


def test_real_clips(tmp_path: Path) -> None:
    single = process(real_clip("single_face.mp4"), Recipe())
    assert (single.status, len(single.frames)) == ("ok", 12)
    assert iou(single.boxes[1:], single.boxes[:-1]).min() > 0.9
    gone = process(real_clip("face_noface.mov"), Recipe(fps=None))
    assert gone.status == "partial"
    assert gone.reason == "face in 0.0-2.4 s of 6.4 s"
    none = process(real_clip("no_face.mp4"), Recipe())
    assert none.status == "failed"
    assert none.reason.startswith("no face")
