"""Stores of clips: restarts, concurrency, and the same bytes whatever happens."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_videos import FPS, Rendered, StandIn, blank

from smilelab.clips import ClipStore, ClipStoreError
from smilelab.preprocess import build as building
from smilelab.preprocess import video
from smilelab.preprocess.build import Recipe, build, process
from smilelab.preprocess.process import process_all

RECIPE = Recipe(size=24)


def row(clip_id: str, path: Path, label: int = 0, **others: object) -> dict[str, object]:
    return {"clip_id": clip_id, "path": str(path), "label": label, "subject": f"s-{clip_id}", "sex": "", **others}


@pytest.fixture
def database(videos: dict[str, Path]) -> StandIn:
    return StandIn([row(name, path, k % 2, age=20.0 + k) for k, (name, path) in enumerate(videos.items())])


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_store_from_videos_of_every_kind(
    tmp_path: Path, database: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    store = build(database, RECIPE, tmp_path, jobs=1)
    assert store.path == tmp_path / f"stand-in-{RECIPE.hash}-0123abcd"
    assert list(store.manifest.index) == [r["clip_id"] for r in database.rows]
    assert store.manifest["status"].to_dict() == {
        **dict.fromkeys(("face", "other"), "ok"),
        "gone": "partial",
        **dict.fromkeys(("blank", "short", "html", "empty", "cut"), "failed"),
    }
    assert (store.manifest["frames"] > 0).sum() == len(store.usable) == 3
    assert store.recipe["size"] == 24
    assert (store.database, store.simulated, store.provenance) == ("stand-in", True, {"seed": 7})
    assert store.folds() == [["face", "gone"], ["other"]]
    direct = process(database.rows[0]["path"], RECIPE)
    assert np.array_equal(store.frames("face"), direct.frames)
    assert np.array_equal(store.times("face"), direct.times)
    assert np.array_equal(store.track("face")["boxes"], direct.boxes)
    assert store.manifest.loc["face", "fps_source"] == pytest.approx(FPS)
    printed = capsys.readouterr()
    assert "8 clips: 2 ok, 1 partial, 5 failed" in printed.out
    assert "no face in 4 frames of 0.8 s" in printed.out
    assert "clip/s" in printed.err or "s/clip" in printed.err


def test_building_again_changes_nothing(
    tmp_path: Path, database: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = build(database, RECIPE, tmp_path, jobs=1, progress=False)
    before = {path: path.stat().st_mtime_ns for path in store.path.rglob("*")}
    monkeypatch.setattr(building, "process_all", lambda *a, **k: pytest.fail("processed again"))
    again = build(database, RECIPE, tmp_path, jobs=1, progress=False)
    assert again.hash == store.hash
    assert {path: path.stat().st_mtime_ns for path in store.path.rglob("*") if path.name != ".lock"}.items() <= (
        before.items()
    )
    assert capsys.readouterr() == ("", "")


def test_the_number_of_processes_does_not_change_the_bytes(tmp_path: Path, database: StandIn) -> None:
    one = build(database, RECIPE, tmp_path / "one", jobs=1, progress=False)
    two = build(database, RECIPE, tmp_path / "two", jobs=2, progress=False)
    assert tree(one.path) == tree(two.path)
    with zipfile.ZipFile(one.path / "clips" / "face.npz") as archive:
        assert {item.date_time for item in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_changed_video_is_processed_again(tmp_path: Path, person: Rendered) -> None:
    paths = [tmp_path / f"{name}.mp4" for name in "ab"]
    for path in paths:
        video.write(path, person.images[:20], FPS)
    database = StandIn([row(path.stem, path) for path in paths])
    first = build(database, RECIPE, tmp_path, jobs=1, progress=False)
    kept = (first.path / "clips" / "b.json").stat().st_mtime_ns
    video.write(paths[0], blank(20), FPS)
    second = build(database, RECIPE, tmp_path, jobs=1, progress=False)
    assert second.manifest["status"].to_dict() == {"a": "failed", "b": "ok"}
    assert second.hash != first.hash
    assert (second.path / "clips" / "b.json").stat().st_mtime_ns == kept
    assert not (second.path / "clips" / "a.npy").exists()
    video.write(paths[0], person.images[:20], FPS)
    assert build(database, RECIPE, tmp_path, jobs=1, progress=False).hash == first.hash


def test_a_changed_folder_rate_or_view_is_processed_again(tmp_path: Path, person: Rendered) -> None:
    video.write_images(tmp_path / "pictures", person.images[:20])
    video.write(tmp_path / "b.mp4", person.images[:20], FPS)
    database = StandIn([row("a", tmp_path / "pictures", fps=25.0), row("b", tmp_path / "b.mp4", fps=25.0)])

    def built() -> tuple[float, dict[str, int]]:
        store = build(database, replace(RECIPE, fps=None), tmp_path / "stores", jobs=1, progress=False)
        outcomes = {name: (store.path / "clips" / f"{name}.json").stat().st_mtime_ns for name in "ab"}
        return float(store.times("a")[-1]), outcomes

    last, first = built()
    assert built() == (last, first)
    database.rows[0]["fps"] = database.rows[1]["fps"] = 50.0
    faster, second = built()
    assert faster == pytest.approx(last / 2)
    assert second["b"] == first["b"], "a video file has its own clock"
    database.rows[1]["view"] = "dual"
    third = built()[1]
    assert (third["a"], third["b"] > second["b"]) == (second["a"], True)
    (tmp_path / "pictures" / "20.bmp").unlink()
    assert built()[1]["a"] > third["a"]


def test_neutral_recordings_are_kept_beside_the_clips(
    tmp_path: Path, videos: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row("a", videos["face"]), row("n", videos["other"], -1, kind="neutral"), row("b", videos["other"], 1)]
    store = build(StandIn(rows), RECIPE, tmp_path, jobs=1)
    assert "2 clips and 1 neutral recordings: 3 ok" in capsys.readouterr().out
    assert list(store.usable.index) == ["a", "b"]
    assert store.neutral["label"].to_dict() == {"n": -1}
    assert len(store.frames("n"))
    assert store.folds() == [["a", "b"], []]
    assert "2 of 2 clips and 1 of 1 neutral recordings" in repr(store)


def test_a_limited_store_is_another_store(tmp_path: Path, database: StandIn) -> None:
    few = build(database, RECIPE, tmp_path, jobs=1, progress=False, limit=2)
    assert list(few.manifest.index) == ["face", "other"]
    assert few.folds() == [["face"], ["other"]]
    assert few.path.name.endswith("-first2")


def test_an_unexpected_failure_of_one_clip_does_not_stop_the_others(
    tmp_path: Path, database: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: str, *rest: object, **options: object) -> object:
        if "face" in path:
            raise ZeroDivisionError("division\nby zero")
        return process_all(path, *rest, **options)

    monkeypatch.setattr(building, "process_all", broken)
    store = build(database, RECIPE, tmp_path, jobs=1, progress=False)
    assert store.manifest.loc["face", "reason"] == "unexpected ZeroDivisionError: division by zero"
    assert store.manifest.loc["other", "status"] == "ok"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.append(dict(rows[0])), "more than once.*'face'"),
        (lambda rows: rows[1].update(label=2), "labels other than.*'other'"),
        (lambda rows: rows[1].update(label=-1), "labels other than.*'other'"),
        (lambda rows: rows[1].update(kind="neutral"), "labels other than -1 of neutral.*'other'"),
        (lambda rows: rows[1].update(view="side"), "views other than frontal and dual.*'other'"),
        (lambda rows: rows[1].update(path=None), "without a clip id or a path.*'other'"),
        (lambda rows: rows[1].update(clip_id=""), "without a clip id or a path"),
        (lambda rows: rows[1].update(subject=None), "without a subject.*'other'"),
        (lambda rows: [r.pop("label") for r in rows], "no column label"),
        (lambda rows: rows[0].update(age="old"), "not a number"),
        (lambda rows: rows[0].update(start_s=2.0, end_s=1.0), "end before they start.*'face'"),
    ],
)
def test_an_index_that_cannot_be_used(tmp_path: Path, database: StandIn, change: object, message: str) -> None:
    change(database.rows)
    with pytest.raises(ValueError, match=message) as caught:
        build(database, RECIPE, tmp_path, progress=False)
    assert "index of stand-in" in str(caught.value)
    assert not list(tmp_path.iterdir())


SCRIPT = """
import json, sys
sys.path.insert(0, {tests!r})
from sample_videos import StandIn
from smilelab.preprocess.build import Recipe, build
build(StandIn(json.loads({rows!r})), Recipe(size=24), {root!r}, jobs={jobs}, progress={progress})
"""


def start(
    rows: list[dict[str, object]], root: Path, jobs: int, progress: bool = False, **options: Any
) -> subprocess.Popen[bytes]:
    tests = str(Path(__file__).parents[1])
    code = SCRIPT.format(tests=tests, rows=json.dumps(rows), root=str(root), jobs=jobs, progress=progress)
    return subprocess.Popen([sys.executable, "-c", code], start_new_session=True, **options)


def many(videos: dict[str, Path], count: int) -> list[dict[str, object]]:
    names = ("face", "gone", "blank", "html", "other")
    return [row(f"{k:02d}", videos[names[k % len(names)]], k % 2) for k in range(count)]


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_killed_build_is_completed_to_the_same_bytes(tmp_path: Path, videos: dict[str, Path], jobs: int) -> None:
    rows = many(videos, 20)
    whole = build(StandIn(rows), RECIPE, tmp_path / "whole", jobs=1, progress=False)
    root = tmp_path / "killed"
    for finished in (1, 8):
        killed = start(rows, root, jobs)
        while len(list(root.rglob("*.json"))) < finished and killed.poll() is None:
            time.sleep(0.002)
        os.killpg(killed.pid, signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL
    folder = root / whole.path.name
    assert 8 <= len(list(folder.rglob("*.json"))) < 20
    with pytest.raises(ClipStoreError, match="unfinished"):
        ClipStore(folder)
    (folder / "clips" / ".07.npy.1.part").write_bytes(b"as a kill in the middle of writing leaves it")
    build(StandIn(rows), RECIPE, root, jobs=1, progress=False)
    assert tree(folder) == tree(whole.path)


def test_two_builds_of_one_store_at_once(tmp_path: Path, videos: dict[str, Path]) -> None:
    rows = many(videos, 6)
    whole = build(StandIn(rows), RECIPE, tmp_path / "whole", jobs=1, progress=False)
    both = [start(rows, tmp_path / "both", 1) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert tree(tmp_path / "both" / whole.path.name) == tree(whole.path)


def test_a_second_build_waits_for_the_first(tmp_path: Path, videos: dict[str, Path]) -> None:
    rows = many(videos, 3)
    root = tmp_path / "store"
    folder = root / f"stand-in-{RECIPE.hash}-0123abcd"
    folder.mkdir(parents=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = start(rows, root, 1, stderr=subprocess.PIPE, progress=True)
        assert b"being built by another process; waiting" in waiting.stderr.readline()
        assert not list(folder.rglob("*.json"))
    waiting.communicate()
    assert waiting.returncode == 0
    assert len(ClipStore(folder).manifest) == 3


def test_folds_that_cannot_be_are_said_before_the_work(
    tmp_path: Path, database: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaking() -> Any:
        raise ValueError("subject s is in folds 1 and 2")

    def never(*_: Any) -> None:
        raise AssertionError("processed")

    monkeypatch.setattr(database, "folds", leaking)
    monkeypatch.setattr(building, "_process_missing", never)
    with pytest.raises(ValueError, match="in folds 1 and 2"):
        build(database, RECIPE, tmp_path, progress=False)
