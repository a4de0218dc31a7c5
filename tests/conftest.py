"""Fixtures that several rooms of tests share."""

import os
import time
from pathlib import Path

import pytest

# Set before numpy and torch are imported anywhere: one thread a process.
os.environ.setdefault("OMP_NUM_THREADS", "1")

PROJECT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def simulated_uva_nemo(tmp_path_factory):
    """A small simulated UvA-NEMO, made once per test session however many workers there are."""
    from smilelab.simulator.databases import simulate

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    root, lock = shared / "simulated-uva-nemo", shared / "simulated-uva-nemo.lock"
    done = shared / "simulated-uva-nemo.done"
    try:
        lock.touch(exist_ok=False)
    except FileExistsError:
        deadline = time.monotonic() + 300
        while not done.exists():
            assert time.monotonic() < deadline, "the worker that simulates the database did not finish"
            time.sleep(0.1)
        return root
    simulate(
        "uva-nemo", root, subjects=4, clips=10, seed=5, resolution=(320, 240), max_length_s=2.0, jobs=1, progress=False
    )
    done.touch()
    return root


@pytest.fixture(scope="session")
def real_clips():
    """Real face videos where the checkout has them beside it."""
    folder = PROJECT.parent / "shared" / "clips"
    if not (folder / "single_face.mp4").is_file():
        pytest.skip("no folder shared/clips beside the project")
    return folder
