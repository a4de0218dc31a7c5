"""What a computation has cost so far, over all its attempts: time on the clock and time of the processor."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """Time spent.

    Attributes
    ----------
    wall : float
        On the clock, s; longer where other work shares the machine.
    processor : float
        Of this process's threads together, s. In one thread it is about what the clock shows on an idle machine;
        of work on a GPU it tells next to nothing.
    """

    wall: float = 0.0
    processor: float = 0.0

    def __add__(self, other: Effort) -> Effort:
        return Effort(self.wall + other.wall, self.processor + other.processor)

    def __sub__(self, other: Effort) -> Effort:
        return Effort(self.wall - other.wall, self.processor - other.processor)

    @staticmethod
    def now() -> Effort:
        """What the clocks show; only differences mean anything."""
        return Effort(time.perf_counter(), time.process_time())


NO_EFFORT = Effort()
