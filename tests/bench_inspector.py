"""Measure the inspector: opening the longest clip there can be, stepping and scrubbing in it, memory while browsing.

Run ``python tests/bench_inspector.py``; needs no data. It drives the widget from Python: what the browser costs, and
the way to it, is not in the times; the bytes that are sent are printed.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
from bench_preprocess import simulated_clip
from sample_videos import StandIn

from smilelab import datasets
from smilelab.clips import stores as clip_stores
from smilelab.inspector import Inspector, Shelf
from smilelab.preprocess.build import Recipe, build
from smilelab.simulator.databases import simulate

SECONDS = 14.0


class Time(NamedTuple):
    """By the clock, and of the processor: other work on the machine lengthens the first alone."""

    wall: float
    processor: float


def now() -> Time:
    return Time(time.perf_counter(), time.process_time())


def since(start: Time) -> Time:
    return Time(*(late - early for late, early in zip(now(), start, strict=True)))


def timed(act: Callable[[], object]) -> Time:
    start = now()
    act()
    return since(start)


def told(name: str, times: list[Time], limit: str = "") -> None:
    wall, processor = (1000 * statistics.median(kind) for kind in zip(*times, strict=True))
    spread = f", slowest {1000 * max(times).wall:.0f} ms of {len(times)}" if len(times) > 1 else ""
    print(f"  {name}: {wall:.0f} ms{spread}; processor {processor:.0f} ms{limit}")


def resident() -> float:
    """MiB of this process that are in memory."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def longest(folder: Path, rounds: int) -> None:
    """Open a 14 s clip of 1920x1080 at 50 frames per second, step and scrub."""
    path = folder / "long.mp4"
    spent = timed(lambda: simulated_clip(path, SECONDS, seed=5))
    size = path.stat().st_size / 2**20
    print(f"{SECONDS:g} s of 1920x1080 at 50 frames per second, {size:.1f} MiB (made in {spent.wall:.0f} s)")
    common = {"label": 1, "subject": "s", "sex": "", "age": np.nan, "start_s": np.nan, "end_s": np.nan, "fps": 50.0}
    common |= {"path": str(path), "kind": "clip", "view": "frontal"}
    rows = [{"clip_id": f"long{number}", **common} for number in range(rounds + 1)]
    database = StandIn(rows, name="uva-nemo")
    store = build(database, Recipe(), folder / "clips", jobs=1, progress=False)
    widget = Inspector([Shelf("bench", store, database)], folder)
    first, whole = [], []
    for row in rows[1:]:
        widget.picture.unobserve_all()
        widget.picture.value = b""
        start = now()
        widget.picture.observe(lambda change, start=start: first.append(since(start)), "value")
        whole.append(timed(lambda row=row: widget.open(row["clip_id"])))
    assert not widget.message.value, widget.message.value
    assert len(first) == rounds
    told("opened, first frame sent", first)
    told("opened, curves drawn and scored", whole, " (target 2000 ms)")
    frame, curves = (len(image.value) / 1024 for image in (widget.picture, widget.curves))
    print(f"  a frame: {frame:.0f} KiB of JPEG; curves: {curves:.0f} KiB of PNG")
    count = len(widget.opened.times)
    told("a step on", [timed(widget.step_on.click) for _ in range(60)])
    told("a step back", [timed(widget.step_back.click) for _ in range(30)])
    places = np.random.default_rng(0).integers(0, count, 20)
    told("a far frame", [timed(lambda at=at: setattr(widget.frame, "value", int(at))) for at in places])
    widget.map_kind.value = "score-cam"
    told("Score-CAM of the clip", [timed(lambda: setattr(widget.show_map, "value", True))])
    told("a step with the map", [timed(widget.step_on.click) for _ in range(30)])
    told("probability over time", [timed(lambda: setattr(widget.over_time, "value", True))])
    told("AU06, the whole clip decoded", [timed(widget.measure_au06.click)])
    told("the clip as an upload, face followed", [timed(lambda: widget.open_video(path))])


def prepare(folder: Path, clips: int) -> None:
    """Make and preprocess short clips."""
    size = {"subjects": -(-clips // 3), "clips": clips, "resolution": (640, 360), "max_length_s": 2.0}
    simulate("uva-nemo", folder / "uva-nemo", seed=2, jobs=1, progress=False, **size)
    build(datasets.open("uva-nemo", folder / "uva-nemo"), Recipe(), folder / "clips", jobs=1, progress=False)


def browse(folder: Path) -> None:
    """Open many clips in turn and print the memory that is used after each five."""
    (store,) = clip_stores(folder / "clips")
    widget = Inspector([Shelf("bench", store, datasets.open("uva-nemo", folder / "uva-nemo"))], folder)
    for asked in (False, True):
        widget.show_map.value = widget.over_time.value = asked
        print(f"{len(store)} clips opened in turn{', with map and probability over time' if asked else ''}:")
        used = []
        for number in range(len(store)):
            widget.following.click()
            widget.frame.value = widget.frame.max // 2
            if number % 5 == 4:
                used.append(resident())
        assert not widget.message.value, widget.message.value
        print(f"  MiB after each five: {', '.join(f'{one:.0f}' for one in used)}; in all {used[-1] - used[0]:+.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--clips", type=int, default=50)
    parser.add_argument("--browse", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.browse:
        browse(options.browse)
        return
    with tempfile.TemporaryDirectory() as folder:
        longest(Path(folder), options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), options.clips)
        # In a process of its own: memory that was used and given back above would hide what is used below.
        subprocess.run([sys.executable, __file__, "--browse", folder], check=True)


if __name__ == "__main__":
    main()
