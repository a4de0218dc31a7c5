"""Trainings that were interrupted, killed or given a wrong checkpoint: the same bits, or a clear refusal."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch
from small_training import build, fit, random_clips, same

from smilelab.training import TrainingOptions, train


@pytest.mark.parametrize("options", [{"flip": True}, {"bucket": 2}])
def test_interrupted_between_epochs_ends_with_the_same_bits(tmp_path, options):
    class StopError(Exception):
        pass

    def stop(row):
        if row["epoch"] == 2:
            raise StopError

    extra = {"evaluated": True, "select": "validation", "options": options, "epochs": 4}
    _, whole = fit(**extra)
    with pytest.raises(StopError):
        fit(**extra, checkpoint=tmp_path / "c", progress=stop)
    epochs = []
    model, resumed = fit(**extra, checkpoint=tmp_path / "c", progress=lambda row: epochs.append(row["epoch"]))
    assert epochs == [3, 4]
    assert resumed.history.equals(whole.history)
    assert same(resumed.state_dict, whole.state_dict)
    assert same(model.state_dict(), whole.state_dict)
    _, again = fit(**extra, checkpoint=tmp_path / "c", progress=lambda row: pytest.fail("nothing was left to do"))
    assert same(again.state_dict, whole.state_dict)


def test_killed_and_run_again_ends_with_the_same_bits(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(
        textwrap.dedent("""
        import sys, numpy as np, torch
        from pathlib import Path
        from smilelab import models
        from smilelab.training import TrainingOptions, train
        torch.set_num_threads(1)
        torch.manual_seed(0)
        rng = np.random.default_rng(0)
        clips = [rng.integers(0, 256, (n, 24, 24, 3), dtype=np.uint8) for n in rng.integers(1, 9, 64)]
        model = models.build("realsmilenet", size=24)
        checkpoint = Path(sys.argv[1]) if sys.argv[1] != "none" else None
        result = train(model, clips, np.arange(64) % 2, TrainingOptions(epochs=int(sys.argv[3]), batch_size=4), seed=5,
                       checkpoint=checkpoint, progress=lambda row: print(row["epoch"], flush=True))
        torch.save([result.state_dict, result.history.to_dict("list")], sys.argv[2])
        """)
    )
    checkpoint, epochs = tmp_path / "checkpoint", "20"
    run = [sys.executable, str(script)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(
        [*run, str(checkpoint), str(tmp_path / "killed"), epochs], stdout=subprocess.PIPE, text=True, env=environment
    )
    for _ in range(3):
        assert child.stdout.readline()
    time.sleep(0.03)
    os.kill(child.pid, signal.SIGKILL)
    rest = child.stdout.read()
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL
    assert epochs not in rest.split()
    assert not (tmp_path / "killed").exists()
    resumed = subprocess.run(
        [*run, str(checkpoint), str(tmp_path / "resumed"), epochs],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    assert 3 < int(resumed.stdout.split()[0]) <= 20
    subprocess.run([*run, "none", str(tmp_path / "whole"), epochs], check=True, env=environment, capture_output=True)
    (a, history), (b, other) = (torch.load(tmp_path / name) for name in ("resumed", "whole"))
    assert same(a, b)
    assert history == other


def test_a_damaged_checkpoint_starts_over_with_a_notice(tmp_path):
    _, whole = fit()
    path = tmp_path / "c"
    fit(checkpoint=path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    for damaged in (bytes(content), path.read_bytes()[:1000], b""):
        path.write_bytes(damaged)
        with pytest.warns(UserWarning, match="is damaged or not a checkpoint; training starts from the beginning"):
            _, result = fit(checkpoint=path)
        assert same(result.state_dict, whole.state_dict)


def test_another_trainings_checkpoint_is_refused(tmp_path):
    path = tmp_path / "c"
    fit(0, checkpoint=path)
    for other, what in ((({"seed": 1}), "seed"), ({"epochs": 3}, "epochs"), ({"count": 13}, "training clips")):
        with pytest.raises(ValueError, match=f"another training .other {what}."):
            fit(**other, checkpoint=path)
    clips, labels = random_clips(12)
    with pytest.raises(ValueError, match="starting weights"):
        train(build(seed=9), clips, labels, TrainingOptions(epochs=2, batch_size=5), seed=0, checkpoint=path)
