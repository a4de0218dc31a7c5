"""Runs per hour of RealSmileNet: two processes of one thread against one process of two threads.

    python tests/bench_runs.py [--rounds 3] [--only runs protocol buckets memory]

Clips have the lengths that the simulator draws for UvA-NEMO, at 5 frames/s and 48 px; their pixels are noise, which
takes as long. Each arm runs in a process of its own, the arms in turn, and is timed after a warm-up, at two numbers of
epochs: what one more epoch costs, and what a run costs besides (folds, checksums, scoring, files), give the time of
any number. Printed are medians over the rounds.

runs      the laptop profile's runs: 310 clips of 100 subjects, 28 epochs, batch 8; runs per hour
protocol  UvA-NEMO's ten folds of 60 epochs: 1240 clips of 400 subjects, batch 16; projected wall time on this machine
buckets   processor time of an epoch with batches of like length against without
memory    what the processes hold of the clips, and what of their own
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

SIZE, FPS, FOLDS = 48, 5.0, 10
ARMS = {"two processes of one thread": 1, "one process of two threads": 2, "one process of one thread": 1}
TWO_PROCESSES, TWO_THREADS, ONE_THREAD = ARMS
LAPTOP = {"batch_size": 8, "learning_rate": 0.002, "weight_decay": 0.0005, "loss": "balanced"}
PAPER = {"batch_size": 16}
BUCKETS = (0, 4, 16)


def write_noise(folder: Path, subjects: int) -> None:
    """A store of as many subjects, with the roster, lengths and folds of a simulated UvA-NEMO."""
    from written_store import Clip, write_store

    from smilelab.datasets.splits import seeded
    from smilelab.simulator.production import Production, Settings
    from smilelab.simulator.uva_nemo import LAYOUT

    settings = Settings("uva-nemo", 1, *LAYOUT.counts.scaled(subjects, None), (640, 360), length_matched=True)
    production = Production(settings=settings, layout=LAYOUT)
    clips = []
    for clip in production.roster():
        seconds = len(production.dynamics(clip).times) / production.camera(clip).fps
        times = np.arange(max(1, round(seconds * FPS))) / FPS
        clips.append(Clip(clip.clip_id, int(clip.label), clip.subject, times, fps=production.camera(clip).fps))
    store = write_store(folder, clips, size=SIZE, fps=FPS)
    rng = np.random.default_rng(0)
    for path in sorted((folder / "clips").glob("*.npy")):
        np.save(path, rng.integers(0, 256, np.load(path).shape, dtype=np.uint8))
    folds = seeded(store.usable.reset_index()[["clip_id", "label", "subject"]], folds=FOLDS)
    (folder / "folds.json").write_text(json.dumps({"tests": folds.tests}))


def run_folds(arm: str, data: Path, epochs: int, folds: int, training: dict, selection: str) -> float:
    """Seconds that some folds take in one arm."""
    import torch

    from smilelab import runs
    from smilelab.clips import ClipStore
    from smilelab.specs import specify
    from smilelab.training import TrainingOptions

    store = ClipStore(data)
    if arm == TWO_THREADS:
        torch.set_num_threads(2)
        torch.set_num_threads = lambda count: None  # a run sets one thread

    def timed(number: int, seed: int, count: int) -> float:
        some = specify(
            store, folds=range(1, count + 1), training=TrainingOptions(epochs=number, **training), selection=selection
        )
        some = [type(spec)(**{**vars(spec), "seed": seed}) for spec in some]
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as root:
            if arm == TWO_PROCESSES:
                results = runs.run_all(some, store, root, jobs=2, progress=False)
            else:
                results = [runs.run(spec, store, root) for spec in some]
            took = time.perf_counter() - start
            assert all(isinstance(result, runs.RunResult) for result in results), results
        return took

    timed(1, 1000, 2)
    return timed(epochs, 0, folds)


def bucket_seconds(data: Path, epochs: int) -> dict[int, float]:
    """Processor seconds of an epoch by the size of the buckets; the first epoch of each is a warm-up."""
    import torch

    from smilelab import models, training
    from smilelab.clips import ClipStore

    store = ClipStore(data)
    table = store.usable
    clips, labels = [store.frames(clip) for clip in table.index], table["label"].to_numpy()
    seconds: dict[int, list[float]] = {bucket: [] for bucket in BUCKETS}
    for turn in range(epochs + 1):
        for bucket in BUCKETS:
            torch.manual_seed(0)
            options = training.TrainingOptions(epochs=1, bucket=bucket, **LAPTOP)
            start = time.process_time()
            training.train(models.build("realsmilenet"), clips, labels, options, seed=turn)
            seconds[bucket].append(time.process_time() - start)
    return {bucket: statistics.median(some[1:]) for bucket, some in seconds.items()}


def mapped(pid: int, folder: Path) -> dict[str, float]:
    """MB of a process: of the clips' files, what is resident, its share of that, what it copied; and memory of its own.

    A file that two runs of a process have opened counts twice. `folder` is resolved, as the kernel prints it.
    """
    totals = dict.fromkeys(("clips", "share", "copied", "own"), 0)
    fields = {"Rss": "clips", "Pss": "share", "Private_Dirty": "copied"}
    inside = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, *rest = line.split()
        if not name.endswith(":"):
            inside = len(rest) > 4 and rest[4].startswith(str(folder)) and rest[4].endswith(".npy")
        elif inside and name[:-1] in fields:
            totals[fields[name[:-1]]] += int(rest[0])
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            totals["own"] = int(line.split()[1])
    return {name: kilobytes / 1024 for name, kilobytes in totals.items()}


def descendants(pid: int) -> Iterator[int]:
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            yield child
            yield from descendants(child)


@contextmanager
def watched(folder: Path) -> Iterator[list[dict[int, dict[str, float]]]]:
    """What processes below this one hold while the block runs, by process, five times a second."""
    seen: list[dict[int, dict[str, float]]] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            now = {}
            for pid in set(descendants(os.getpid())):
                with suppress(OSError):
                    now[pid] = mapped(pid, folder)
            now = {pid: found for pid, found in now.items() if found["clips"]}
            if now:
                seen.append(now)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def report_memory(name: str, data: Path, epochs: int, training: dict) -> None:
    from joblib.externals.loky import get_reusable_executor

    size = sum(path.stat().st_size for path in (data / "clips").glob("*.npy")) / 2**20
    get_reusable_executor().shutdown()  # what a process keeps of an earlier store is not this one's
    with watched(data.resolve()) as seen:
        run_folds(TWO_PROCESSES, data, epochs, 4, training, "last")
    together = statistics.median(sum(found["share"] for found in now.values()) for now in seen)
    print(f"{name}: clips of {size:.0f} MB, of which all processes together hold {together:.0f} MB; in each, MB:")
    for pid in sorted({pid for now in seen for pid in now}):
        samples = [now[pid] for now in seen if pid in now]
        most = {key: max(sample[key] for sample in samples) for key in samples[0]}
        own = statistics.median(sample["own"] for sample in samples)
        print(
            f"  process {pid}: of the clips' files {most['clips']:.0f}, copied of them {most['copied']:.1f}; "
            f"memory of its own {own:.0f}, at most {most['own']:.0f}"
        )


def measure(arm: str, data: Path, epochs: int, folds: int, training: dict, selection: str) -> float:
    """Seconds of `run_folds` in a fresh process."""
    threads = str(ARMS[arm])
    task = json.dumps([arm, str(data), epochs, folds, training, selection])
    environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    done = subprocess.run(
        [sys.executable, __file__, "--role", task], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return float(done.stdout.splitlines()[-1])


def cost(arm: str, data: Path, few: int, many: int, folds: int, training: dict, selection: str) -> tuple[float, float]:
    """Seconds that `folds` runs cost besides their epochs, and for an epoch of each."""
    short, long = (measure(arm, data, epochs, folds, training, selection) for epochs in (few, many))
    epoch = (long - short) / (many - few)
    return short - few * epoch, epoch


def report_runs(data: Path, rounds: int, few: int, many: int, folds: int) -> None:
    epochs = 28
    per_hour: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for _ in range(rounds):
        for arm in ARMS:
            besides, epoch = cost(arm, data, few, many, folds, LAPTOP, "last")
            per_hour[arm].append(3600 * folds / (besides + epochs * epoch))
    print(f"laptop profile's RealSmileNet, {epochs} epochs from {few} and {many}, runs per hour:")
    for arm, values in per_hour.items():
        ratios = [two / value for two, value in zip(per_hour[TWO_PROCESSES], values, strict=True)]
        print(
            f"  {arm:28} {statistics.median(values):7.1f}   (rounds {', '.join(f'{value:.1f}' for value in values)}); "
            f"two processes do {statistics.median(ratios):.2f} times as many"
        )


def report_protocol(data: Path, rounds: int, few: int, many: int) -> None:
    epochs, together = 60, 2
    hours = {}
    for selection in ("validation", "last"):
        some = [cost(TWO_PROCESSES, data, few, many, together, PAPER, selection) for _ in range(rounds)]
        hours[selection] = [FOLDS / together * (besides + epochs * epoch) / 3600 for besides, epoch in some]
    print(f"UvA-NEMO, {FOLDS} folds x {epochs} epochs, batch {PAPER['batch_size']}, {TWO_PROCESSES}, projected:")
    for selection, some in hours.items():
        print(f"  select {selection:10} {statistics.median(some):.2f} h ({', '.join(f'{h:.2f}' for h in some)})")


def report_buckets(data: Path, rounds: int) -> None:
    seconds = bucket_seconds(data, rounds)
    lengths = [len(np.load(path, mmap_mode="r")) for path in sorted((data / "clips").glob("*.npy"))]
    print(f"{len(lengths)} clips of {min(lengths)} to {max(lengths)} frames, median {statistics.median(lengths):.0f}:")
    for bucket, time_ in seconds.items():
        print(f"  bucket {bucket:3}: {time_:6.2f} s an epoch, {time_ / seconds[0]:.3f} of the time without")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=["runs", "protocol", "buckets", "memory"])
    parser.add_argument("--subjects", type=int, nargs=2, default=[100, 400], help="of the laptop and of UvA-NEMO")
    parser.add_argument("--epochs", type=int, nargs=2, default=[1, 4])
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--role")
    arguments = parser.parse_args()
    if arguments.role:
        arm, data, *rest = json.loads(arguments.role)
        print(run_folds(arm, Path(data), *rest))
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "laptop", Path(folder) / "uva-nemo"
        for place, subjects in zip((small, large), arguments.subjects, strict=True):
            write_noise(place, subjects)
        if "buckets" in arguments.only:
            report_buckets(small, arguments.rounds)
        if "memory" in arguments.only:
            for name, data in (("laptop", small), ("uva-nemo", large)):
                report_memory(name, data, arguments.epochs[0], PAPER)
        if "runs" in arguments.only:
            report_runs(small, arguments.rounds, *arguments.epochs, arguments.folds)
        if "protocol" in arguments.only:
            report_protocol(large, arguments.rounds, *arguments.epochs)


if __name__ == "__main__":
    main()
