"""How fast the 3D DenseNets are here and how much memory they take.

    python tests/bench_densenet3d.py [peer memory laptop pair] [--depths 94 --batches 1 2 --sizes full] [--device cuda]

peer    our encoder against one put together from the dense blocks and transitions of MONAI's DenseNet, of equal widths
        and strides (MONAI's own class cannot express these strides and halves the features in its transitions). Both
        give the same embeddings from the same weights, which is checked first. Dropout is left out: MONAI's drops
        whole feature maps. MONAI is no dependency of smilelab: ``pip install --no-deps --target FOLDER monai`` and set
        ``PYTHONPATH=FOLDER``.
memory  peak memory and time of a training step for depths and batches. A batch is of pairs, each window with its own
        anchor, so twice as many clips go through the encoder.
laptop  windows a second at the size of the laptop profile: anchors shared or not, precision, memory layout, compiled.
pair    milliseconds a pair, one at a time, depth 94 at full size. The paper says 46 ms on two GTX 1080 Ti.

Each case runs in a process of its own; of several steps the first is left out and the median taken. Time is given
twice: on the clock, and of the processor, which other work on the machine disturbs less. Inputs are random floats in
memory, so reading and scaling frames is not in it. Nothing here asserts on a time. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import itertools
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

SIZES = {"full": (112, 30), "reduced": (56, 16)}
LAPTOP = {"growth": 8, "stem": 16, "width": 128, "last": 128}
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# Frames as they lie in a store are channels last; whether the weights are too is another matter.
LAYOUTS = ("contiguous", "frames channels last", "channels last")
GIB = 2**30


@dataclass(frozen=True)
class Case:
    """One measurement. `anchors` 0: a window's own; `network` "encoder" and "monai" take no anchors at all."""

    network: str = "siamese-neutral"
    depth: int = 94
    size: int = 112
    frames: int = 30
    options: dict[str, Any] = field(default_factory=dict)
    windows: int = 1
    anchors: int = 0
    training: bool = True
    precision: str = "float32"
    layout: str = "frames channels last"
    compiled: bool = False
    device: str = "cpu"
    threads: int = 1
    steps: int = 3
    limit_gib: float = 0


# ---- one case, in its own process


def peer_encoder(blocks: Iterable[int], growth: int, stem: int, width: int) -> nn.Module:
    """MONAI's blocks and transitions with our stem, strides and embedding; no last convolution, no dropout."""
    from monai.networks.nets.densenet import _DenseBlock, _Transition

    stages = [nn.Conv3d(3, stem, 3, stride=(1, 2, 2), padding=1, bias=False), nn.BatchNorm3d(stem), nn.ReLU(True)]
    channels = stem
    for number, layers in enumerate(blocks, start=1):
        stages.append(_DenseBlock(3, layers, channels, 4, growth, 0.0))
        channels += layers * growth
        if number < 4:
            stages.append(_Transition(3, channels, channels))
        if number == 2:
            stages[-1].pool = nn.Sequential(nn.ReplicationPad3d((0, 0, 0, 0, 0, 1)), nn.AvgPool3d(2, (1, 2, 2)))
    stages += [
        nn.BatchNorm3d(channels),
        nn.ReLU(True),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(channels, width),
    ]
    return nn.Sequential(*stages)


def network(case: Case) -> nn.Module:
    from smilelab import models
    from smilelab.models.densenet3d import BLOCKS

    if case.network == "monai":
        return peer_encoder(BLOCKS[case.depth], growth=20, stem=64, width=1024)
    if case.network == "encoder":
        options = {"last": 0, "dropout": 0.0} | case.options
        return models.build("densenet3d", depth=case.depth, size=case.size, frames=case.frames, **options).encoder
    return models.build(case.network, depth=case.depth, size=case.size, frames=case.frames, **case.options)


def resident(what: str) -> int:
    """Bytes of this process in memory, now (VmRSS) or at most (VmHWM); getrusage also counts what its parent had."""
    with open("/proc/self/status") as status:
        (line,) = (line for line in status if line.startswith(what))
    return 1024 * int(line.split()[1])


def measure(case: Case) -> dict[str, float]:
    """Seconds of a step, of its first one (with the compilation), and bytes at the peak."""
    from smilelab import training  # noqa: F401  # sets the allocator as every run does

    torch.set_num_threads(case.threads)
    torch.manual_seed(0)
    cuda = case.device == "cuda"
    weights, clips = (
        torch.channels_last_3d if case.layout in LAYOUTS[first:] else torch.contiguous_format for first in (2, 1)
    )
    model = network(case).to(case.device, memory_format=weights).train(case.training)
    some = lambda n: torch.rand(n, 3, case.frames, case.size, case.size).to(case.device, memory_format=clips)  # noqa: E731
    inputs: list[Tensor | None] = [some(case.windows)]
    if case.network not in ("encoder", "monai"):
        shared = torch.arange(case.windows) % case.anchors if case.anchors else None
        lengths = torch.full((case.windows,), case.frames)
        inputs += [lengths, some(case.anchors or case.windows), shared]
    if case.compiled:
        getattr(model, "encoder", model).compile()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    autocast = torch.autocast(case.device, PRECISIONS[case.precision], enabled=case.precision != "float32")
    target = torch.ones(1, device=case.device)

    def step() -> None:
        with autocast, contextlib.nullcontext() if case.training else torch.inference_mode():
            output = model(*inputs)
        if case.training:
            output = output.float()
            nn.functional.binary_cross_entropy_with_logits(output, target.expand_as(output)).backward()
            optimizer.step()
            optimizer.zero_grad()
        if cuda:
            torch.cuda.synchronize()

    before = resident("VmRSS")
    wall, processor = [], []
    for _ in range(1 + case.steps):
        start = time.perf_counter(), time.process_time()
        step()
        wall.append(time.perf_counter() - start[0])
        processor.append(time.process_time() - start[1])
    peak = resident("VmHWM")
    if cuda:
        before, peak = 0, torch.cuda.max_memory_allocated()
    rest = slice(1, None) if case.steps else slice(None)
    return {
        "wall": statistics.median(wall[rest]), "processor": statistics.median(processor[rest]),
        "first": wall[0], "peak": peak, "added": peak - before,
    }  # fmt: skip


def child(text: str) -> None:
    case = Case(**json.loads(text))
    if case.limit_gib and case.device == "cpu":
        # Private memory, not address space: what libraries map counts little.
        resource.setrlimit(resource.RLIMIT_DATA, (int(case.limit_gib * GIB),) * 2)
    try:
        print(json.dumps(measure(case)))
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "memory" not in str(error):
            raise
        limit = f"{case.limit_gib:g} GiB" if case.device == "cpu" else "the device has"
        print(json.dumps({"skipped": f"skipped: needs more memory than {limit}"}))


def run(case: Case) -> dict[str, Any]:
    """`measure` in a process of its own; {"skipped": why} where it needs more memory than allowed."""
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(case.threads))
    command = [sys.executable, __file__, "--case", json.dumps(asdict(case))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{case} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


# ---- the parts


def say(text: str) -> None:
    """Print beside the bar, at once."""
    tqdm.write(text)
    sys.stdout.flush()


def row(*cells: object) -> None:
    say("| " + " | ".join(map(str, cells)) + " |")


def heading(title: str, *columns: str) -> None:
    say(f"\n## {title}\n")
    row(*columns)
    row(*["---"] * len(columns))


def over(cases: list[Any]) -> Iterable[Any]:
    """With a bar, but only where somebody watches."""
    return tqdm(cases, disable=not sys.stderr.isatty(), leave=False)


def peer(base: Case, arguments: argparse.Namespace) -> None:
    if importlib.util.find_spec("monai") is None:
        say("\npeer: left out, MONAI is not installed. pip install --no-deps --target FOLDER monai; PYTHONPATH=FOLDER")
        return
    size, frames = SIZES["reduced"]
    check = replace(base, size=size, frames=frames, depth=38)
    torch.set_num_threads(1)
    ours, theirs = (network(replace(check, network=name)).eval() for name in ("encoder", "monai"))
    for value in ours.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.5 if value.min() >= 0 else value)
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    with torch.inference_mode():
        x = torch.rand(2, 3, frames, size, size)
        a, b = ours(x), theirs(x)
    difference = float((a - b).abs().max() / a.std())
    assert difference < 1e-3
    heading(
        f"Our encoder against MONAI's blocks, {size}x{size}x{frames}, 2 clips, {base.device}, time of the "
        f"{'clock' if base.device == 'cuda' else 'processor'} (largest difference of embeddings from the same weights: "
        f"{difference:.0e} of their standard deviation)",
        "depth", "step", "precision", "ours, s", "MONAI's, s", "ours/MONAI's",
        "memory added, GiB: ours", "MONAI's", "ours/MONAI's",
    )  # fmt: skip
    grid = itertools.product(arguments.depths, (True, False), arguments.precisions)
    for depth, training, precision in over(list(grid)):
        case = replace(base, depth=depth, size=size, frames=frames, windows=2, training=training, precision=precision)
        rounds = [[run(replace(case, network=n)) for n in ("encoder", "monai")] for _ in range(arguments.rounds)]
        key = "wall" if base.device == "cuda" else "processor"
        middle = [[statistics.median(r[i][k] for r in rounds) for i in (0, 1)] for k in (key, "added")]
        ratios = [statistics.median(r[0][k] / r[1][k] for r in rounds) for k in (key, "added")]
        (mine, other), (ours_added, theirs_added) = middle
        row(depth, "training" if training else "scoring", precision, f"{mine:.3f}", f"{other:.3f}",
            f"{ratios[0]:.2f}", f"{ours_added / GIB:.2f}", f"{theirs_added / GIB:.2f}", f"{ratios[1]:.2f}")  # fmt: skip


def memory(base: Case, arguments: argparse.Namespace) -> None:
    heading(
        f"A training step of siamese-neutral, {base.device}, {base.threads} thread(s)",
        "depth", "size", "precision", "checkpointing", "pairs", "peak memory, GiB", "s a step", "of the processor",
        "pairs a second",
    )  # fmt: skip
    grid = itertools.product(
        arguments.sizes, arguments.depths, arguments.precisions, arguments.checkpointing, sorted(arguments.batches)
    )
    too_large: set[tuple[object, ...]] = set()
    for name, depth, precision, checkpointing, pairs in over(list(grid)):
        size, frames = SIZES[name]
        label = (depth, f"{size}x{size}x{frames}", precision, checkpointing)
        case = replace(base, depth=depth, size=size, frames=frames, windows=pairs, precision=precision)
        case = replace(case, options={"checkpointing": checkpointing == "on"}, limit_gib=arguments.limit_gib)
        result = {"skipped": "skipped: a smaller batch did not fit"} if label in too_large else run(case)
        if "skipped" in result:
            too_large.add(label)
            row(*label, pairs, result["skipped"], "", "", "")
            continue
        row(*label, pairs, f"{result['peak'] / GIB:.2f}", f"{result['wall']:.2f}", f"{result['processor']:.2f}",
            f"{pairs / result['wall']:.2f}")  # fmt: skip


def laptop(base: Case, arguments: argparse.Namespace) -> None:
    base = replace(base, depth=22, size=56, frames=15, options=LAPTOP, windows=12, steps=2 * arguments.steps)
    heading(
        f"Depth 22, 56x56x15, growth 8, 12 windows of 4 subjects, {base.device}, {base.threads} thread(s)",
        "step", "precision", "layout", "compiled", "anchors", "windows a second", "a processor second",
        "first step, s",
    )  # fmt: skip
    compilations = [False]
    if not arguments.no_compile:
        if base.device == "cuda" or shutil.which("c++") or shutil.which("g++"):
            compilations.append(True)
        else:
            say("torch.compile: left out, no C++ compiler found")
    grid = itertools.product((True, False), arguments.precisions, LAYOUTS, compilations, (4, 12))
    for training, precision, layout, compiled, anchors in over(list(grid)):
        if compiled + (layout != base.layout) + (anchors == 12) > 1:
            continue
        case = replace(base, training=training, precision=precision, layout=layout, compiled=compiled)
        result = run(replace(case, anchors=anchors))
        row("training" if training else "scoring", precision, layout, "yes" if compiled else "no",
            "4 shared" if anchors == 4 else "one a window", f"{12 / result['wall']:.1f}",
            f"{12 / result['processor']:.1f}", f"{result['first']:.1f}")  # fmt: skip


def pair(base: Case, arguments: argparse.Namespace) -> None:
    size, frames = SIZES["full"]
    heading(
        f"One pair at a time, depth 94, {size}x{size}x{frames}, {base.device}, {base.threads} thread(s)",
        "precision", "layout", "ms a pair", "of the processor", "peak memory, GiB",
    )  # fmt: skip
    for precision, layout in over(list(itertools.product(arguments.precisions, LAYOUTS))):
        case = replace(base, size=size, frames=frames, training=False, precision=precision, layout=layout)
        result = run(replace(case, steps=20 if base.device == "cuda" else arguments.steps))
        row(precision, layout, f"{1000 * result['wall']:.0f}", f"{1000 * result['processor']:.0f}",
            f"{result['peak'] / GIB:.2f}")  # fmt: skip


PARTS = {"peer": peer, "memory": memory, "laptop": laptop, "pair": pair}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default="all", choices=[*PARTS, "all"])
    parser.add_argument("--depths", nargs="*", type=int, default=[38, 62, 94])
    parser.add_argument("--batches", nargs="*", type=int, default=[1, 2, 4], help="pairs in a training step (memory)")
    parser.add_argument("--sizes", nargs="*", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--precisions", nargs="*", default=list(PRECISIONS), choices=list(PRECISIONS))
    parser.add_argument("--checkpointing", nargs="*", default=["off", "on"], choices=["off", "on"])
    parser.add_argument("--limit-gib", type=float, default=8.0, help="cases that need more main memory are skipped")
    parser.add_argument("--steps", type=int, default=3, help="steps after the first; 0 measures the first itself")
    parser.add_argument("--rounds", type=int, default=3, help="turns of the two versions (peer)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        child(arguments.case)
        return
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("--device cuda: torch finds no CUDA device here")
    device = torch.cuda.get_device_name() if arguments.device == "cuda" else f"{os.cpu_count()} cores"
    say(f"torch {torch.__version__}, {device}")
    base = Case(device=arguments.device, threads=arguments.threads, steps=arguments.steps)
    for part in PARTS if "all" in arguments.parts else arguments.parts:
        PARTS[part](base, arguments)


if __name__ == "__main__":
    main()
