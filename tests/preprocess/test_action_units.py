"""Action units: OpenFace's tables as it writes them and as people break them, and our estimate against the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sample_recordings import Person
from sample_videos import blank, real_clip

from smilelab import signals
from smilelab.preprocess import video
from smilelab.preprocess.action_units import ActionUnitError, Measures, estimate, measure, read_openface
from smilelab.preprocess.detection import detect
from smilelab.simulator.openface import openface_table

HEADING = "frame, face_id, timestamp, confidence, success, AU06_r, AU12_r, AU06_c, AU12_c"


def table(path: Path, *rows: str, heading: str = HEADING) -> Path:
    path.write_text("\n".join([heading, *rows]) + "\n")
    return path


def test_openface_with_blanks_failures_and_two_faces(tmp_path: Path) -> None:
    path = table(
        tmp_path / "a.csv",
        "1, 0, 0.000, 0.98, 1, 0.10, 0.20, 0.00, 0.00",
        "1, 1, 0.000, 0.98, 1, 5.00, 5.00, 1.00, 1.00",
        "2, 0, 0.033, 0.70, 1, 0.50, 1.50, 0.00, 1.00",
        "3, 0, 0.067, 0.00, 0, nan, -nan(ind), 0.00, 0.00",
        "4, 0, 0.100, 0.80, 1, 0.30, 2.25, 0.00, 1.00",
        "4, 1, 0.100, 0.98, 1, 5.00, 5.00, 1.00, 1.00",
    )
    units = read_openface(path)
    assert units.source == "openface"
    assert units.times == pytest.approx([0, 0.033, 0.067, 0.1])
    assert units.valid.tolist() == [True, False, False, True]
    assert units.au12[units.valid] == pytest.approx([0.2, 2.25])
    assert units.au06[units.valid] == pytest.approx([0.1, 0.3])
    assert units.present is not None
    assert units.present.tolist() == [False, False, False, True]
    assert units.lip_signal == pytest.approx([0.2, np.nan, np.nan, 2.25], nan_ok=True)


def test_openface_as_the_simulator_writes_it(tmp_path: Path) -> None:
    times, units = np.arange(5) / 30, np.random.default_rng(0).uniform(0, 5, (5, 7)).astype(np.float32)
    np.savez(tmp_path / "truth.npz", times=times, action_units=units)
    openface_table(tmp_path / "truth.npz").to_csv(tmp_path / "a.csv", index=False)
    found = read_openface(tmp_path / "a.csv")
    assert found.times == pytest.approx(times, abs=1e-3)
    assert found.au06 == pytest.approx(units[:, :2].mean(1), abs=0.011)
    assert found.au12 == pytest.approx(units[:, 2:4].mean(1), abs=0.011)
    assert found.valid.all()


GOOD = "1, 0, 0.000, 0.98, 1, 0.10, 0.20, 0.00, 0.00"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((), "a heading and no frame"),
        ((GOOD, GOOD), r"row 3: timestamp 0 follows 0, expected times that increase"),
        ((GOOD.replace("0.000", "0.5"), GOOD), r"row 3: timestamp 0 follows 0\.5"),
        ((GOOD, "2, 0, 0.033, 0.98, 1, 0.10, high, 0.00, 0.00"), r"row 3: AU12_r is ' ?high', expected a number"),
        (("1, 0, late, 0.98, 0, 0.10, 0.20, 0.00, 0.00",), r"row 2: timestamp is ' ?late'"),
    ],
)
def test_broken_openface_tables_are_named(tmp_path: Path, rows: tuple[str, ...], message: str) -> None:
    path = table(tmp_path / "a.csv", *rows)
    with pytest.raises(ActionUnitError, match=message) as caught:
        read_openface(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"path,label,subject\na.mp4,1,s\n", r"no column timestamp, confidence.*found 'path', 'label'"),
        (HEADING.replace(" AU12_c", " AU13_c").encode() + b"\n", "no column AU12_c"),
        (bytes(range(128, 256)) * 20, "no table of comma-separated values"),
        (b"\x00\x01\n\x02,,,\n" * 50, "Expected the CSV that OpenFace"),
    ],
)
def test_files_that_are_no_openface_table(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(ActionUnitError, match=message):
        read_openface(tmp_path / "a.csv")
    with pytest.raises(ActionUnitError, match="no such file"):
        read_openface(tmp_path / "b.csv")


def still(count: int, seed: int = 0) -> np.ndarray:
    """Landmarks of a face that keeps still: eyes 100 px apart, mouth 80 px wide."""
    points = np.random.default_rng(seed).uniform(0, 300, (68, 2))
    points[[36, 39, 42, 45]] = [(80, 100), (120, 100), (180, 100), (220, 100)]
    points[48], points[54] = (110, 220), (190, 220)
    return np.repeat(points[None], count, axis=0).astype(np.float32)


def measures(landmarks: np.ndarray, cheeks: np.ndarray | float = 0.05) -> Measures:
    contrast = np.broadcast_to(np.reshape(cheeks, (-1, 1)), (len(landmarks), 2)).astype(np.float32)
    return Measures(np.arange(len(landmarks)) / 30, landmarks, contrast)


def full_smile(landmarks: np.ndarray, which: slice) -> np.ndarray:
    """Both corners 14 mm of 63 mm outwards and upwards at 40 degrees, with the eyes 100 px apart."""
    step = 100 * 14 / 63 * np.array([np.cos(np.deg2rad(40)), np.sin(np.deg2rad(40))])
    landmarks[which, 48] += (-step[0], -step[1])
    landmarks[which, 54] += (step[0], -step[1])
    return landmarks


def test_the_scales_of_the_estimate() -> None:
    smiling = full_smile(still(90), slice(40, 60))
    cheeks = np.full(90, 0.05)
    cheeks[40:60] *= 1.2**3
    for neutral in (None, measures(still(20))):
        units = estimate(measures(smiling, cheeks), neutral)
        assert units.source == "estimate"
        assert units.valid.all()
        assert units.au12[50] == pytest.approx(5, abs=0.05)
        assert units.au06[50] == pytest.approx(3, abs=0.05)
        assert np.abs(units.au12[[10, 80]]).max() < 1e-3
        assert np.abs(units.au06[[10, 80]]).max() < 1e-3
        # 0.5 at rest; corners 40 px from the middle then, over twice the width of 80 px.
        moved = 100 * 14 / 63 * np.array([np.cos(np.deg2rad(40)), np.sin(np.deg2rad(40))])
        assert units.lip_signal[[10, 50]] == pytest.approx([0.5, np.hypot(40 + moved[0], moved[1]) / 80], abs=1e-4)


def test_the_estimate_does_not_see_how_the_head_is_held() -> None:
    smiling = full_smile(still(90), slice(40, 60))
    angle = np.linspace(-0.3, 0.3, 90)
    turn = np.stack([np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)], -1).reshape(90, 2, 2)
    swaying = np.linspace(1, 1.3, 90)[:, None, None] * (smiling @ turn) + np.linspace(0, 50, 90)[:, None, None]
    held, moved = estimate(measures(smiling)), estimate(measures(swaying.astype(np.float32)))
    assert moved.au12 == pytest.approx(held.au12, abs=0.01)


def test_a_subject_whose_resting_mouth_is_wide_is_measured_from_there() -> None:
    wide = full_smile(still(30), slice(None))
    assert estimate(measures(wide), measures(wide)).au12.max() < 1e-3
    assert estimate(measures(wide), measures(still(30))).au12.min() == pytest.approx(5, abs=0.05)


def test_frames_without_a_face_are_not_valid() -> None:
    landmarks = full_smile(still(90), slice(40, 60))
    landmarks[20:30] = np.nan
    units = estimate(measures(landmarks))
    assert np.flatnonzero(~units.valid).tolist() == list(range(20, 30))
    assert np.isnan(units.au12[20:30]).all()
    assert np.isnan(units.lip_signal[20:30]).all()
    assert np.isfinite(units.au12[units.valid]).all()


def test_measures_of_a_rendered_person(person_on_film: Person) -> None:
    found = measure(person_on_film.video)
    assert found.times == pytest.approx(person_on_film.times)
    assert found.valid.all()
    truth = person_on_film.landmarks
    assert np.corrcoef(signals.mouth_width(found.landmarks), signals.mouth_width(truth))[0, 1] > 0.9
    units = estimate(found)
    assert np.corrcoef(units.au12, person_on_film.au12)[0, 1] > 0.9
    assert np.corrcoef(units.au06, person_on_film.au06)[0, 1] > 0.7
    part = measure(person_on_film.video, fps=5, start_s=1, end_s=2)
    assert part.times == pytest.approx([1, 1.2, 1.4, 1.6, 1.8])
    finer = measure(person_on_film.video, fps=60, start_s=1, end_s=1.4)
    assert (np.diff(finer.times) > 0).all()


def test_a_real_smile_is_one_moment() -> None:
    units = estimate(measure(real_clip("single_face.mp4")))
    assert len(detect(units)) == 1
    # Neutral for the first third of a second and smiling broadly, with the eyes, a second later.
    assert units.au12[units.times < 0.3].max() < 0.5
    assert min(units.au12[units.times > 1.2][0], units.au06[units.times > 1.2][0]) > 2


def test_videos_that_cannot_be_measured(tmp_path: Path) -> None:
    video.write(tmp_path / "blank.mp4", blank(10), 25)
    with pytest.raises(ActionUnitError, match=r"blank\.mp4: no face in 10 frames"):
        measure(tmp_path / "blank.mp4")
    with pytest.raises(ActionUnitError, match="no frame in the part asked for"):
        measure(tmp_path / "blank.mp4", start_s=9)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(video.VideoError):
        measure(tmp_path / "text.mp4")
