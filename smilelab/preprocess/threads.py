"""OpenCV in one thread, where processes share the cores and results must not depend on their number."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import cv2

__all__ = ["one_thread"]


@contextmanager
def one_thread() -> Generator[None]:
    """Let OpenCV compute in one thread meanwhile: on any number of cores the same results."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
