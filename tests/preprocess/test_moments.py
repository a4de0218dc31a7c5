"""From recordings to a table of smiles, corrections to it by hand, and the database of clips that follows."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sample_recordings import Person, Recordings, bumps, recordings, write_openface

from smilelab.preprocess import moments as finding
from smilelab.preprocess.build import Recipe, build
from smilelab.preprocess.moments import MomentDatabase, MomentError, Thresholds, find

NAMES = ("S1_posed", "S1_spontaneous", "S1_neutral", "S2_posed", "S2_spontaneous")
SMILES = {
    "S1_posed": [(2, 4, 2.0), (8, 11, 1.5)],
    "S1_spontaneous": [(3, 9, 1.0)],
    "S2_posed": [(5, 7, 2.0)],
    "S2_spontaneous": [],
}


@pytest.fixture
def tabled(tmp_path: Path) -> Recordings:
    """Recordings with OpenFace tables beside videos that need not be there."""
    for name, smiles in SMILES.items():
        units = bumps(*smiles)
        if name == "S2_posed":
            units = replace(units, au12=units.au12 + 0.05 * (1 + np.sin(9 * units.times)))
        write_openface(tmp_path / "videos" / f"{name}.csv", units)
    return recordings(tmp_path / "videos", NAMES)


def search(database: Any, tmp_path: Path, **options: Any) -> MomentDatabase:
    return find(database, tmp_path / "moments", jobs=1, progress=False, **options)


def lines(found: MomentDatabase) -> list[dict[str, str]]:
    with found.path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def rewrite(found: MomentDatabase, rows: list[dict[str, str]], **how: Any) -> None:
    with found.path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys(), **how)
        writer.writeheader()
        writer.writerows(rows)


def test_the_table_and_the_database_it_makes(tabled: Recordings, tmp_path: Path) -> None:
    found = search(tabled, tmp_path)
    rows = lines(found)
    assert [row["clip_id"] for row in rows] == [
        "S1_posed.smile01", "S1_posed.smile02", "S1_spontaneous.smile01", "S2_posed.smile01",
    ]  # fmt: skip
    first = rows[0]
    assert (first["recording"], first["subject"], first["label"]) == ("S1_posed", "S1", "posed")
    assert (first["source"], first["keep"]) == ("openface", "yes")
    assert float(first["peak_au12"]) == pytest.approx(2, abs=0.02)
    expected = {"start_s": 2, "onset_s": 2, "apex_s": 2.4, "offset_s": 3.6, "end_s": 4}
    assert {name: float(first[name]) for name in expected} == pytest.approx(expected, abs=0.15)
    assert found.counts() == {"spontaneous": 1, "posed": 3}
    assert (found.name, found.simulated, found.provenance) == ("recordings", True, {"seed": 7})

    index = found.index().set_index("clip_id")
    smile = index.loc["S1_posed.smile02"]
    assert (smile["kind"], smile["label"], smile["subject"]) == ("clip", 0, "S1")
    assert smile["path"] == str(tmp_path / "videos" / "S1_posed.mp4")
    assert (smile["start_s"], smile["end_s"]) == pytest.approx((8, 11), abs=0.15)
    neutral = index[index["kind"] == "neutral"]
    assert (neutral["label"] == -1).all()
    # S1 has a neutral recording; S2 has none, and in one of its recordings the mouth never keeps still.
    assert list(neutral.index) == ["S1_neutral", "S2_spontaneous.neutral"]
    assert np.isnan(neutral.loc["S1_neutral", "start_s"])
    assert neutral["end_s"].iloc[1] - neutral["start_s"].iloc[1] == pytest.approx(2, abs=0.05)
    assert found.failures.to_dict("records") == [
        {"clip_id": "S2_spontaneous", "status": "no smile", "reason": "no smile in 20.0 s at these thresholds"}
    ]
    folds = found.folds()
    assert folds.tests == (("S1_posed.smile01", "S1_posed.smile02", "S1_spontaneous.smile01"), ("S2_posed.smile01",))
    folds.verify(index[index["kind"] == "clip"].reset_index())


def test_neutral_by_the_median_of_activity(tabled: Recordings, tmp_path: Path) -> None:
    found = search(tabled, tmp_path, neutral="median")
    assert set(found.neutral["subject"]) == {"S1", "S2"}
    assert found.neutral["clip_id"].str.endswith(".neutral").all()
    for row in found.neutral.to_dict("records"):
        smiles = SMILES[row["recording"]]
        assert all(row["end_s"] <= start + 0.2 or row["start_s"] >= end - 0.2 for start, end, _ in smiles)
    with pytest.raises(ValueError, match="expected one of recording, median"):
        search(tabled, tmp_path, neutral="mean")


def test_corrections_are_kept_and_honoured(tabled: Recordings, tmp_path: Path) -> None:
    found = search(tabled, tmp_path)
    rows = lines(found)
    rows[0] |= {"start_s": "2.5", "end_s": "3.25"}
    rows[1]["keep"] = "no"
    added = dict.fromkeys(rows[0], "") | {"recording": "S2_spontaneous", "start_s": "1", "end_s": "2.5"}
    rewrite(found, [rows[0], rows[1], added, rows[3]])
    corrected = search(tabled, tmp_path)
    assert corrected.path == found.path
    index = corrected.index().set_index("clip_id")
    smiles = index[index["kind"] == "clip"]
    assert list(smiles.index) == ["S1_posed.smile01", "S2_spontaneous.smile01", "S2_posed.smile01"]
    assert tuple(smiles.loc["S1_posed.smile01", ["start_s", "end_s"]]) == (2.5, 3.25)
    assert smiles.loc["S2_spontaneous.smile01", "label"] == 1
    assert corrected.fingerprint() != found.fingerprint()
    assert corrected.counts() == {"spontaneous": 1, "posed": 2}


def test_a_table_saved_by_a_spreadsheet_reads_the_same(tabled: Recordings, tmp_path: Path) -> None:
    found = search(tabled, tmp_path)
    rows = [{k: v.replace(".", ",") if k.endswith("_s") else v for k, v in row.items()} for row in lines(found)]
    rewrite(found, rows, delimiter=";")
    found.path.write_bytes(b"\xef\xbb\xbf" + found.path.read_bytes().replace(b"yes", b"Yes") + b";;;;;;;;;;;;\r\n")
    again = search(tabled, tmp_path)
    pd.testing.assert_frame_equal(again.moments, found.moments)
    assert again.fingerprint() == found.fingerprint()


def test_all_faulty_rows_are_named_at_once(tabled: Recordings, tmp_path: Path) -> None:
    found = search(tabled, tmp_path)
    good = lines(found)[0]
    rewrite(
        found,
        [
            good,
            good | {"start_s": "two"},
            good | {"clip_id": "a", "start_s": "4", "end_s": "3"},
            good | {"clip_id": "b", "recording": "S9_posed"},
            good | {"clip_id": "c", "label": "spontaneous", "subject": "S2"},
            good | {"clip_id": "d", "keep": "perhaps", "end_s": ""},
            good | {"clip_id": "e", "start_s": "-1"},
            good | {"clip_id": "f", "start_s": "12", "end_s": "14"},
            good | {"clip_id": "g", "start_s": "13.9", "end_s": "15"},
            good | {"clip_id": "h", "start_s": "13", "end_s": "13.5", "keep": "no"},
        ],
    )
    with pytest.raises(MomentError) as caught:
        search(tabled, tmp_path)
    message = str(caught.value)
    for part in (
        str(found.path),
        "row 3: start_s is 'two', expected a number",
        "row 3: clip_id 'S1_posed.smile01' is in row 2 too",
        "row 4: ends at 3 s, before or as it starts at 4 s",
        "row 5: recording 'S9_posed' is not in the database, expected an id such as 'S1_posed'",
        "row 6: subject is 'S2', expected 'S1'",
        "row 6: label is 'spontaneous', expected posed",
        "row 7: end_s is '', expected a number",
        "row 7: keep is 'perhaps', expected yes or no",
        "row 8: start_s is -1, expected 0 or more",
        "row 10: starts at 13.9 s, before row 9 ends at 14 s",
    ):
        assert part in message
    assert "row 2:" not in message
    assert "row 11:" not in message, "a smile that is not kept may lie anywhere"


def test_tables_that_are_none(tabled: Recordings, tmp_path: Path) -> None:
    found = search(tabled, tmp_path)
    found.path.write_text("clip,start\n")
    with pytest.raises(MomentError, match=r"no column recording, start_s, end_s; .* Or delete the file"):
        search(tabled, tmp_path)
    found.path.write_bytes(b"recording,start_s,end_s\nS1_posed,1,2\nM\xfcller,1,2\n")
    with pytest.raises(MomentError, match=r"in line 3 .byte 39 of the file. is not UTF-8"):
        search(tabled, tmp_path)
    found.path.write_text("recording,start_s,end_s,kept\nS1_posed,1,2,no\n")
    with pytest.raises(MomentError, match="column 'kept' is not known, 'keep' is"):
        search(tabled, tmp_path)
    found.path.write_text("recording,start_s,end_s\n")
    emptied = search(tabled, tmp_path)
    assert emptied.counts() == {"spontaneous": 0, "posed": 0}
    assert set(emptied.index()["kind"]) == {"neutral"}
    assert len(emptied.folds()) == 0
    found.path.unlink()
    assert search(tabled, tmp_path).counts() == found.counts()


def test_other_settings_have_a_table_of_their_own(tabled: Recordings, tmp_path: Path) -> None:
    found = search(tabled, tmp_path)
    strict = search(tabled, tmp_path, thresholds=Thresholds(high=1.8))
    assert strict.path != found.path
    assert strict.counts() == {"spontaneous": 0, "posed": 2}
    write_openface(tmp_path / "videos" / "S2_posed.csv", bumps((5, 7, 2.0), (9, 11, 2.0)))
    fresh = search(tabled, tmp_path)
    assert fresh.path not in (found.path, strict.path)
    assert fresh.counts()["posed"] == 4


def test_a_given_folder_of_openface_tables_goes_first(tabled: Recordings, tmp_path: Path) -> None:
    write_openface(tmp_path / "flat" / "S1_posed.csv", bumps((1, 3, 2.0)))
    write_openface(tmp_path / "deep" / "S1_posed.csv", bumps())
    found = search(tabled, tmp_path, openface=tmp_path / "flat")
    assert found.moments["recording"].tolist() == ["S1_posed", "S1_spontaneous", "S2_posed"]
    assert found.moments["start_s"][0] == pytest.approx(1, abs=0.1)
    with pytest.raises(MomentError, match="no such folder"):
        search(tabled, tmp_path, openface=tmp_path / "nowhere")
    (tmp_path / "videos").rename(tmp_path / "elsewhere")
    (tmp_path / "videos").mkdir()
    with pytest.raises(MomentError, match=r"no OpenFace table of any of the 4 recordings; expected S1_posed\.csv"):
        search(tabled, tmp_path, openface=tmp_path)
    (tmp_path / "videos").rmdir()
    (tmp_path / "elsewhere").rename(tmp_path / "videos")
    # Two videos of one name: a table for both cannot be told apart from one for either.
    for row, folder in zip(tabled.rows[:2], ("a", "b"), strict=True):
        row["path"] = str(tmp_path / "videos" / folder / "1.mp4")
    write_openface(tmp_path / "deep" / "1.csv", bumps())
    with pytest.raises(MomentError, match=r"1\.csv: belongs to any of 2 videos called 1"):
        search(tabled, tmp_path, openface=tmp_path / "deep")


def test_a_part_of_a_video_is_searched_alone(tabled: Recordings, tmp_path: Path) -> None:
    tabled.rows[0] |= {"start_s": 6.0, "end_s": 15.0}
    found = search(tabled, tmp_path)
    posed = found.moments[found.moments["recording"] == "S1_posed"]
    assert posed["start_s"].tolist() == pytest.approx([8], abs=0.1)


def test_recordings_that_cannot_be_used_are_listed_with_the_reason(tabled: Recordings, tmp_path: Path) -> None:
    (tmp_path / "videos" / "S1_posed.csv").write_text("a,b\n1,2\n")
    (tmp_path / "videos" / "S2_posed.csv").unlink()
    (tmp_path / "videos" / "S2_posed.mp4").write_text("no video")
    found = search(tabled, tmp_path)
    failures = found.failures.set_index("clip_id")
    assert failures.loc["S1_posed", "status"] == "failed"
    assert "has no column timestamp" in failures.loc["S1_posed", "reason"]
    assert failures.loc["S2_posed", "status"] == "failed"
    assert failures.loc["S2_posed", "reason"]
    assert found.counts() == {"spontaneous": 1, "posed": 0}
    # A fold whose recordings gave nothing is gone.
    assert found.folds().tests == (("S1_spontaneous.smile01",),)


def test_a_database_without_recordings_is_refused(tabled: Recordings, tmp_path: Path) -> None:
    for row in tabled.rows:
        row["kind"] = "clip" if row["kind"] == "recording" else row["kind"]
    with pytest.raises(MomentError, match="no row of kind recording"):
        search(tabled, tmp_path)


@pytest.fixture
def filmed(person_on_film: Person) -> Recordings:
    folder = person_on_film.video.parent
    database = recordings(folder, ["S1_spontaneous", "S1_neutral", "S2_posed"])
    videos = {"S1_spontaneous": "smile.mp4", "S1_neutral": "neutral.mp4", "S2_posed": "missing.mp4"}
    for row in database.rows:
        row["path"] = str(folder / videos[row["clip_id"]])
    clip = database.rows[0] | {"clip_id": "extra", "kind": "clip", "subject": "S3", "start_s": 1.0, "end_s": 2.0}
    database.rows.append(clip)
    return database


def test_from_videos_to_a_store_of_smiles(
    filmed: Recordings, person_on_film: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = search(filmed, tmp_path)
    assert found.moments["source"].tolist() == ["estimate"]
    smile = found.moments.iloc[0]
    assert (smile["start_s"], smile["end_s"]) == pytest.approx(person_on_film.smile, abs=0.4)
    assert found.failures["clip_id"].tolist() == ["S2_posed", "S2_posed"]
    assert sorted(found.failures["status"]) == ["failed", "no neutral"]

    # What was measured once serves other thresholds, and a run that was stopped before its table was written.
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("measured twice")

    monkeypatch.setattr(finding, "measure", never)
    found.path.unlink()
    pd.testing.assert_frame_equal(search(filmed, tmp_path).moments, found.moments)
    assert len(search(filmed, tmp_path, thresholds=Thresholds(high=0.6)).moments) == 1

    store = build(found, Recipe(size=24, fps=10), tmp_path / "stores", jobs=1, progress=False)
    assert list(store.usable.index) == ["extra", "S1_spontaneous.smile01"]
    assert list(store.neutral.index) == ["S1_neutral"]
    times = store.times("S1_spontaneous.smile01")
    assert smile["start_s"] <= times[0] < times[-1] < smile["end_s"]
    assert store.folds() == [["S1_spontaneous.smile01"], ["extra"]]


@pytest.mark.parametrize("fps", [25.0, 30.0, 50.0])
@pytest.mark.parametrize("rounded", [True, False])
def test_a_part_holds_the_very_frames_of_its_moment(fps: float, rounded: bool, tmp_path: Path) -> None:
    """Counted on the grid of frames: OpenFace prints milliseconds, and a reader leaves out the end of a part."""
    times = np.arange(round(6 * fps)) / fps
    shown = times.round(3) if rounded else times
    units = replace(bumps((2, 4, 2.0), length_s=6, fps=fps), times=shown)
    moment = finding.detect(units)[0]
    row = finding._as_row({"clip_id": "a", "subject": "s", "label": 1}, 1, moment, units)
    finding.write_table(tmp_path / "moments.csv", pd.DataFrame([row]))
    written = pd.read_csv(tmp_path / "moments.csv").iloc[0]
    of_moment = (shown >= moment.start_s) & (shown <= moment.end_s)
    of_part = (times >= written["start_s"]) & (times < written["end_s"])
    assert np.array_equal(of_moment, of_part)
    # The grid of a part starts at its start: every point of it lies nearest to one frame, each frame once.
    grid = np.arange(written["start_s"], written["end_s"], 1 / fps)
    nearest = np.abs(times[None, :] - grid[:, None]).argmin(1)
    assert np.array_equal(nearest[: of_moment.sum()], np.flatnonzero(of_moment))


def test_another_row_in_the_database_costs_no_second_look(
    filmed: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = search(filmed, tmp_path)
    monkeypatch.setattr(filmed, "fingerprint", lambda: "0badcafe")
    monkeypatch.setattr(finding, "_measure_to_disk", lambda row, *_: (row["clip_id"], "measured twice"))
    again = find(filmed, tmp_path / "moments", jobs=1, progress=True)
    assert again.path != found.path
    pd.testing.assert_frame_equal(again.moments, found.moments)
    assert f"{found.path}: of another database or other settings" in capsys.readouterr().err


def test_recordings_of_two_sources_are_named(filmed: Recordings, tmp_path: Path) -> None:
    write_openface(tmp_path / "tables" / "missing.csv", bumps((2, 4, 2.0)))
    found = search(filmed, tmp_path, openface=tmp_path / "tables")
    assert sorted(found.moments["source"]) == ["estimate", "openface"]
    named = found.failures.set_index("clip_id")["reason"]
    assert named["S1_spontaneous"].startswith("estimated, while 1 recordings have an OpenFace table")
