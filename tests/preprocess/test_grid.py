"""Frames taken at several rates from one decoding."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_videos import FPS, Rendered

from smilelab.preprocess import video
from smilelab.preprocess.grid import Grid, taken

RATES = (1.0, 3.0, 5.0, 7.0, None, 60.0)


@dataclass
class Still:
    time: float


@given(
    steps=st.lists(st.integers(1, 90), min_size=1, max_size=40),
    rates=st.lists(st.sampled_from([*RATES, 12.5, 29.97]), min_size=1, max_size=4),
    start=st.sampled_from([0.0, 0.31]),
)
def test_each_grid_takes_the_nearest_whatever_the_others_take(
    steps: list[int], rates: list[float | None], start: float
) -> None:
    times = start + (np.cumsum(steps) - steps[0]) / 100
    stills = [Still(time) for time in times]
    found: list[list[float]] = [[] for _ in rates]
    for which, still in taken(stills, [Grid(fps, start, np.inf) for fps in rates]):
        found[which].append(still.time)
    for fps, chosen in zip(rates, found, strict=True):
        if fps is None:
            assert chosen == times.tolist()
            continue
        points = start + np.arange(len(chosen)) / fps
        distance = np.abs(points[:, None] - times)
        assert np.abs(np.array(chosen) - points) == pytest.approx(distance.min(1), abs=1e-5)
        assert start + len(chosen) / fps > times[-1] - 1e-5, "the grid covers all pictures"
        assert chosen == sorted(chosen)


@pytest.mark.parametrize("part", [{}, {"start_s": 0.31, "end_s": 1.43}, {"turn": 90}, {"start_s": 9.0}])
@pytest.mark.parametrize("name", ["face", "damaged", "short"])
def test_several_rates_at_once_give_what_each_gives_alone(
    tmp_path: Path, videos: dict[str, Path], name: str, part: dict[str, float]
) -> None:
    path = videos["face" if name == "damaged" else name]
    if name == "damaged":
        with av.open(str(path)) as container:
            entry = container.streams.video[0].index_entries[30]
        data = bytearray(path.read_bytes())
        data[entry.pos + 5 : entry.pos + entry.size] = np.random.default_rng(0).bytes(entry.size - 5)
        path = tmp_path / "a.mp4"
        path.write_bytes(data)
    with video.sample(path, RATES, **part) as source:
        samples = list(source)
    for place, fps in enumerate(RATES):
        alone = video.read(path, fps=fps, **part)
        frames = list(alone)
        together = [frame for which, frame in samples if which == place]
        assert [frame.time for frame in together] == [frame.time for frame in frames]
        assert all(np.array_equal(a.image, b.image) for a, b in zip(together, frames, strict=True))
        for told in ("complete", "warning", "decoded", "last_time"):
            assert getattr(source, told) == getattr(alone, told), told
        assert source.rate == pytest.approx(alone.rate, nan_ok=True)


def test_two_pictures_are_held_and_each_is_converted_once(
    videos: dict[str, Path], monkeypatch: pytest.MonkeyPatch, person: Rendered
) -> None:
    live: weakref.WeakSet[object] = weakref.WeakSet()
    made = 0

    class Watched(video._Picture):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)
            live.add(self)

    def upright(*arguments: object) -> object:
        nonlocal made
        made += 1
        return convert(*arguments)

    convert = video._upright
    monkeypatch.setattr(video, "_Picture", Watched)
    monkeypatch.setattr(video, "_upright", upright)
    most = 0
    for _ in video.sample(videos["face"], RATES):
        most = max(most, len(live))
    assert most <= 3, "two, and the one that is on its way"
    assert made == len(person.images) == 2 * FPS
    made = 0
    assert len(list(video.sample(videos["face"], [5, 5, 1]))) == 10 + 10 + 2
    assert made == 10, "frames of the same time are converted for all rates at once"


def test_a_rate_that_is_none(videos: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="fps is 0; expected a positive number"):
        video.sample(videos["face"], [5, 0])
