"""Loaded by a cluster's worker (``preload``): what the process computes goes into a diary; the deadly run kills it."""

import json
import os
import signal
from pathlib import Path

from smilelab import checkpoint, runs

DIARY, DEADLY = "SMILELAB_TEST_DIARY", "SMILELAB_TEST_DEADLY"


def dask_setup(worker):
    compute, save = runs._compute, checkpoint.save

    def noted_compute(spec, *arguments, **named):
        _note("started", spec.hash)
        if spec.hash == os.environ.get(DEADLY):
            os.kill(os.getpid(), signal.SIGKILL)
        result = compute(spec, *arguments, **named)
        _note("finished", spec.hash)
        return result

    def noted_save(path, state):
        save(path, state)
        _note("epoch", path.parent.name.removesuffix(".part"), len(state["history"]))

    runs._compute, checkpoint.save = noted_compute, noted_save


def _note(what, run, epoch=0):
    entry = {"what": what, "run": run, "epoch": epoch, "pid": os.getpid()}
    # One write of less than a page to a file that is only appended to does not mix with another's.
    with open(os.environ[DIARY], "a") as file:
        file.write(json.dumps(entry) + "\n")


def read(path: Path) -> list[dict]:
    """What happened so far, in order; a line that is being written is left for later."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]
