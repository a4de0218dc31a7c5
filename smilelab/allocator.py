"""The C library's memory allocator, set for the short-lived megabytes of a network's layers."""

from __future__ import annotations

import ctypes
import os
import sys


def tune_allocator() -> bool:
    """Let glibc's malloc keep freed memory instead of handing it back to the system.

    Activations of a few megabytes are by default mapped anew for every layer and zeroed page by page by the kernel,
    which takes a good part of the time of a small network on a CPU. Raises the thresholds above which malloc maps
    (32 MiB, its maximum) and trims (1 GiB), and the margin by which the heap grows (64 MiB). The process then keeps up
    to a gigabyte of freed memory. Results do not change.

    Returns
    -------
    bool
        Whether it was done: False off Linux, without glibc, or with ``SMILELAB_NO_MALLOPT=1`` in the environment.
    """
    if not sys.platform.startswith("linux") or os.environ.get("SMILELAB_NO_MALLOPT") == "1":
        return False
    libc = ctypes.CDLL(None)
    if not (hasattr(libc, "mallopt") and hasattr(libc, "gnu_get_libc_version")):
        return False
    mmap_threshold, trim_threshold, top_pad = -3, -1, -2
    settings = ((mmap_threshold, 32 << 20), (trim_threshold, 1 << 30), (top_pad, 64 << 20))
    return sum(libc.mallopt(parameter, value) for parameter, value in settings) == len(settings)
