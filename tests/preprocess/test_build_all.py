"""Stores of several recipes from one decoding: to the byte those of each recipe alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_videos import FPS, Rendered, StandIn, blank, render

from smilelab.preprocess import build as building
from smilelab.preprocess import cutting, faces, process, sources, video
from smilelab.preprocess.build import Recipe, build, build_all
from smilelab.preprocess.process import process_all

SIZES, RATES = (16, 24), (1, 5, None)
SWEEP = [Recipe(size=size, fps=fps) for fps in RATES for size in SIZES]


def row(clip_id: str, path: Path, label: int = 0, **others: object) -> dict[str, object]:
    return {"clip_id": clip_id, "path": str(path), "label": label, "subject": f"s-{clip_id}", "sex": "", **others}


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def database(videos: dict[str, Path], person: Rendered, tmp_path_factory: pytest.TempPathFactory) -> StandIn:
    """Videos of every kind; those that differ with the rate: a face that one frame a second misses, or sees once."""
    folder = tmp_path_factory.mktemp("more")
    missed = blank(30)
    missed[5:20] = person.images[5:20]
    video.write(folder / "missed.mp4", missed, FPS)
    video.write(folder / "once.mp4", person.images[:20] + blank(25), FPS)
    video.write(folder / "lying.mp4", [np.rot90(image) for image in person.images[:30]], FPS)
    other = render(4, seconds=1.0, iod_px=62, yaw=0.5)
    video.write(folder / "dual.avi", [np.hstack(pair) for pair in zip(person.images, other.images, strict=False)], FPS)
    video.write_images(folder / "pictures", person.images[:30])
    rows = [row(name, videos[name], k % 2) for k, name in enumerate(("face", "other", "gone", "blank", "html", "cut"))]
    rows += [row(name, folder / f"{name}.mp4") for name in ("missed", "once", "lying")]
    rows.append(row("dual", folder / "dual.avi", 1, view="dual"))
    rows.append(row("pictures", folder / "pictures", 1, fps=20.0))
    rows.append(row("part", videos["face"], 1, start_s=0.3, end_s=1.7))
    rows.append(row("after", videos["face"], 1, start_s=5.0))
    return StandIn(rows)


def test_every_store_is_that_of_its_recipe_alone(tmp_path: Path, database: StandIn) -> None:
    recipes = [
        *SWEEP,
        Recipe(size=16, boxes="per-frame"),
        Recipe(size=24, crop="outline"),
        Recipe(size=24, crop="chip"),
    ]
    together = build_all(database, recipes, tmp_path / "together", jobs=1, progress=False)
    assert [store.recipe["size"] for store in together] == [recipe.size for recipe in recipes]
    assert len({store.path for store in together}) == len(recipes)
    for recipe, store in zip(recipes, together, strict=True):
        alone = build(database, recipe, tmp_path / "alone", jobs=1, progress=False)
        assert tree(store.path) == tree(alone.path), recipe
    status = {store.recipe["fps"]: store.manifest["status"] for store in together[: len(SWEEP)]}
    assert (status[1.0]["missed"], status[5.0]["missed"]) == ("failed", "partial")
    assert (status[1.0]["once"], status[5.0]["once"]) == ("failed", "partial")
    lying = together[SWEEP.index(Recipe(size=24, fps=5))].manifest.loc["lying"]
    assert (lying["status"], lying["reason"]) == ("ok", "turned by 90 degrees clockwise")


def test_a_video_is_decoded_once_and_a_face_followed_once_a_rate(
    videos: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: Counter[str] = Counter()

    def counted(module: Any, name: str) -> None:
        function = getattr(module, name)

        def call(*arguments: Any, **options: Any) -> Any:
            counts[name] += 1
            return function(*arguments, **options)

        monkeypatch.setattr(module, name, call)

    counted(sources, "open_video")
    counted(faces, "_predict")
    counted(cutting, "crop")
    each = []
    for fps in RATES:
        counts.clear()
        process_all(videos["face"], [Recipe(size=24, fps=fps)])
        each.append(dict(counts))
    counts.clear()
    process_all(videos["face"], SWEEP)
    assert counts["open_video"] == 1
    assert counts["_predict"] == sum(count["_predict"] for count in each)
    assert counts["crop"] == len(SIZES) * sum(count["crop"] for count in each)


def test_what_is_finished_is_not_made_again(tmp_path: Path, database: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    recipes = [Recipe(size=16), Recipe(size=24), Recipe(size=24, fps=3)]
    few = replace(database, rows=database.rows[:3])
    first = build(few, recipes[1], tmp_path, jobs=1, progress=False)
    before = {path: path.stat().st_mtime_ns for path in first.path.rglob("*") if path.name != ".lock"}
    asked = []

    def watched(path: str, recipes: list[Recipe], **options: object) -> object:
        asked.append((Path(path).stem, recipes))
        return process_all(path, recipes, **options)

    monkeypatch.setattr(building, "process_all", watched)
    build_all(few, [recipes[0], recipes[1]], tmp_path, jobs=1, progress=False)
    assert asked == [(name, [recipes[0]]) for name in ("face", "other", "gone")]
    (first.path.with_name(f"stand-in-{recipes[0].hash}-0123abcd") / "clips" / "other.json").unlink()
    asked.clear()
    build_all(few, recipes, tmp_path, jobs=1, progress=False)
    assert asked == [("face", [recipes[2]]), ("other", [recipes[0], recipes[2]]), ("gone", [recipes[2]])]
    asked.clear()
    again = build_all(few, [recipes[2], recipes[1], recipes[2]], tmp_path, jobs=1, progress=False)
    assert not asked
    assert [store.recipe["fps"] for store in again] == [3, 5, 3]
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_recipes_that_fail_together_are_tried_one_by_one(
    tmp_path: Path, database: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes = [Recipe(size=16), Recipe(size=24), Recipe(size=24, fps=None)]
    few = replace(database, rows=database.rows[:3])
    alone = [build(few, recipe, tmp_path / "alone", jobs=1, progress=False) for recipe in recipes]

    def short_of_memory(path: str, asked: list[Recipe], **options: object) -> object:
        if "face" in path and len(asked) > 1:
            raise MemoryError
        return process_all(path, asked, **options)

    monkeypatch.setattr(building, "process_all", short_of_memory)
    together = build_all(few, recipes, tmp_path / "raised", jobs=1, progress=False)
    assert [tree(store.path) for store in together] == [tree(store.path) for store in alone]

    def dying(function: Any, tasks: list[Any], *, jobs: int, died: Any) -> Iterator[Any]:
        for task in tasks:
            yield died(*task) if "face" in task[0]["path"] and len(task[1]) > 1 else function(*task)

    monkeypatch.setattr(building.parallel, "each", dying)
    together = build_all(few, recipes, tmp_path / "died", jobs=1, progress=False)
    assert [tree(store.path) for store in together] == [tree(store.path) for store in alone]

    def always(path: str, asked: list[Recipe], **options: object) -> object:
        if "face" in path and any(recipe.fps is None for recipe in asked):
            raise ZeroDivisionError("division\nby zero")
        return process_all(path, asked, **options)

    monkeypatch.setattr(building, "process_all", always)
    together = build_all(few, recipes, tmp_path / "always", jobs=1, progress=False)
    assert [tree(store.path) for store in together[:2]] == [tree(store.path) for store in alone[:2]]
    assert together[2].manifest.loc["face", "reason"] == "unexpected ZeroDivisionError: division by zero"
    assert together[2].manifest.loc["other", "status"] == "ok"


def test_what_became_of_the_clips_is_said_once(
    tmp_path: Path, database: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    few = replace(database, rows=[r for r in database.rows if r["clip_id"] in ("face", "missed")])
    build_all(few, [Recipe(size=size, fps=fps) for fps in (1, 5) for size in SIZES], tmp_path, jobs=1)
    printed = capsys.readouterr().out
    assert printed.count("2 clips: 1 ok, 0 partial, 1 failed") == 1
    assert printed.count("2 clips: 1 ok, 1 partial, 0 failed") == 1
    assert printed.count("no face in") == 1
    assert printed.index("size=24, fps=1.0") < printed.index("1 failed") < printed.index("size=16, fps=5.0")


SCRIPT = """
import json, sys
sys.path.insert(0, {tests!r})
from sample_videos import StandIn
from smilelab.preprocess.build import Recipe, build_all
recipes = [Recipe(size=size, fps=fps) for size, fps in {recipes!r}]
build_all(StandIn(json.loads({rows!r})), recipes, {root!r}, jobs=1, progress=False)
"""
KILLED = [(16, 5), (24, 5), (24, 1)]


def start(rows: list[dict[str, Any]], recipes: list[tuple[int, float]], root: Path) -> subprocess.Popen[bytes]:
    tests = str(Path(__file__).parents[1])
    code = SCRIPT.format(tests=tests, rows=json.dumps(rows), recipes=recipes, root=str(root))
    return subprocess.Popen([sys.executable, "-c", code], start_new_session=True)


def test_a_killed_build_is_completed_to_the_same_bytes(tmp_path: Path, videos: dict[str, Path]) -> None:
    names = ("face", "gone", "blank", "html", "other")
    rows = [row(f"{k:02d}", videos[names[k % len(names)]], k % 2) for k in range(10)]
    recipes = [Recipe(size=size, fps=fps) for size, fps in KILLED]
    whole = [build(StandIn(rows), recipe, tmp_path / "whole", jobs=1, progress=False) for recipe in recipes]
    root = tmp_path / "killed"
    for finished in (4, 12):
        killed = start(rows, KILLED, root)
        while len(list(root.rglob("*.json"))) < finished and killed.poll() is None:
            time.sleep(0.002)
        os.killpg(killed.pid, signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL
    assert 12 <= len(list(root.rglob("*.json"))) < 30
    build_all(StandIn(rows), recipes, root, jobs=1, progress=False)
    for store in whole:
        assert tree(root / store.path.name) == tree(store.path)


def test_builds_that_share_stores_wait_for_each_other(tmp_path: Path, videos: dict[str, Path]) -> None:
    rows = [row(name, videos[name]) for name in ("face", "gone", "other")]
    both = [start(rows, recipes, tmp_path / "both") for recipes in (KILLED, KILLED[::-1])]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    for size, fps in KILLED:
        alone = build(StandIn(rows), Recipe(size=size, fps=fps), tmp_path / "alone", jobs=1, progress=False)
        assert tree(tmp_path / "both" / alone.path.name) == tree(alone.path)


def test_only_the_surroundings_of_the_face_are_held_at_every_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = render(3, seconds=3.5, width=960, height=540, iod_px=38)
    video.write(tmp_path / "a.mp4", person.images, FPS)
    most = 0
    cut = cutting.Cutter._cut
    cutters = set()

    def watched(cutter: cutting.Cutter, settled: int) -> None:
        nonlocal most
        cutters.add(cutter)
        most = max(most, sum(held.sighting.image.nbytes for some in cutters for held in some._waiting))
        cut(cutter, settled)

    monkeypatch.setattr(cutting.Cutter, "_cut", watched)
    found = process.process_all(tmp_path / "a.mp4", [Recipe(fps=fps, size=size) for fps in (None, 5) for size in SIZES])
    assert [len(clip.frames) for clip in found] == [88, 88, 18, 18]
    assert len(cutters) == 2
    assert most < 0.3 * sum(image.nbytes for image in person.images)
