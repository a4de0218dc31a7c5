"""Which frames of a video a frame rate takes."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Generic, Protocol, TypeVar

from smilelab.preprocess.sources import EPSILON_S


class Timed(Protocol):
    """Something that has a time."""

    time: float


Picture = TypeVar("Picture", bound=Timed)


class Grid(Generic[Picture]):
    """Take, of pictures that are added in order of time, the one nearest to each point of a grid.

    The grid's points are ``start_s + k / fps``, up to half a picture beyond the last one. Of two pictures equally near
    the earlier is taken; where the pictures are sparser than the grid, one is taken more than once.

    Parameters
    ----------
    fps : float or None
        Points per second; None takes every picture.
    start_s, end_s : float
        First point, and time before which the last one lies, s.
    """

    def __init__(self, fps: float | None, start_s: float, end_s: float) -> None:
        self._fps = fps
        self._start_s = start_s
        self._end_s = end_s
        self._index = 0
        self._held: Picture | None = None
        self._gap = 0.0

    def add(self, picture: Picture) -> Generator[Picture]:
        """Pictures of which it is known, now that this one is there, that they are the nearest; to be exhausted."""
        if self._fps is None:
            yield picture
            return
        held = self._held
        while (at := self._start_s + self._index / self._fps) <= picture.time + EPSILON_S:
            earlier = held is not None and at - held.time <= picture.time - at + EPSILON_S
            yield held if held is not None and earlier else picture
            self._index += 1
        self._gap = picture.time - held.time if held is not None else 0.0
        self._held = picture

    def end(self) -> Generator[Picture]:
        """Pictures that are the nearest because none comes after them."""
        held, fps = self._held, self._fps
        if held is None or fps is None:
            return
        latest = held.time + min(self._gap, 1 / fps) / 2
        while (at := self._start_s + self._index / fps) <= latest and at < self._end_s - EPSILON_S:
            yield held
            self._index += 1


def taken(pictures: Iterable[Picture], grids: Sequence[Grid[Picture]]) -> Generator[tuple[int, Picture]]:
    """What several grids take of the same pictures, as it comes.

    Parameters
    ----------
    pictures : iterable
        In order of time; gone through once, and at most two are held.
    grids : sequence of Grid

    Yields
    ------
    (int, picture)
        The grid's place in `grids`, and what it takes.
    """
    for picture in pictures:
        for which, grid in enumerate(grids):
            for chosen in grid.add(picture):
                yield which, chosen
    for which, grid in enumerate(grids):
        for chosen in grid.end():
            yield which, chosen
