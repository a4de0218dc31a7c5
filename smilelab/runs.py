"""One training run: from a frozen specification to a folder of results, and many of them at once.

A run's folder is named by the hash of its specification and appears, complete, the moment the run ends. A finished run
is loaded, never computed again; an interrupted one goes on from its checkpoint.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from smilelab import __version__, metrics, parallel
from smilelab.checkpoint import OtherTraining
from smilelab.clips import ClipStore
from smilelab.effort import Effort
from smilelab.files import locked, write_atomically
from smilelab.fitting import Fitted, fit
from smilelab.results import RunFailure, RunResult, collect, failures, find, load, predictions_of
from smilelab.specs import RunError, RunSpec

__all__ = [
    "RunError",
    "RunFailure",
    "RunResult",
    "RunSpec",
    "code_version",
    "collect",
    "failures",
    "find",
    "load",
    "predictions_of",
    "run",
    "run_all",
]

_CHECKPOINT = "checkpoint.pt"


def run(
    spec: RunSpec, store: ClipStore, root: str | Path, *, device: str = "cpu", others: Sequence[ClipStore] = ()
) -> RunResult:
    """Train, select, test and write one run, or load it when it is finished.

    On a CPU it computes in one thread, so that the result does not depend on the machine's number of cores.

    Parameters
    ----------
    spec : RunSpec
        What to run.
    store : ClipStore
        The store that ``spec.store`` names.
    root : str or Path
        Folder of all runs.
    device : str
        A torch device.
    others : sequence of ClipStore
        The stores that ``spec.tests`` names, among others.

    Returns
    -------
    RunResult

    Raises
    ------
    RunError
        The store is another one than specified, or the fold leaves nothing to train or to test on.
    """
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    with locked(root / ".locks" / spec.hash):
        if (done := find(spec, root)) is not None:
            _clean(spec, root)
            return done
        part = _part(spec, root)
        part.mkdir(exist_ok=True)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            try:
                results = _compute(spec, store, part, device, others)
            except OtherTraining as error:
                # Code or libraries changed since the run was interrupted: half of each would be a result of neither.
                warnings.warn(f"{error}; the run starts from the beginning", stacklevel=2)
                shutil.rmtree(part)
                part.mkdir()
                results = _compute(spec, store, part, device, others)
        except BaseException:
            if not (part / _CHECKPOINT).exists():
                shutil.rmtree(part, ignore_errors=True)
            raise
        finally:
            torch.set_num_threads(threads)
        if spec.along is not None:
            # Nobody who holds that run's lock ever waits for this one's.
            with locked(root / ".locks" / spec.along.hash):
                if find(spec.along, root) is None:
                    _keep(results[spec.along], spec.along, root)
        return _keep(results[spec], spec, root)


def _part(spec: RunSpec, root: Path) -> Path:
    """Folder of a run that is not finished."""
    return root / f"{spec.hash}.part"


def _keep(written: Path, spec: RunSpec, root: Path) -> RunResult:
    folder = root / spec.hash
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(written, folder)
    _clean(spec, root)
    return RunResult(spec, folder)


def _clean(spec: RunSpec, root: Path) -> None:
    """Remove what earlier attempts at a finished run have left."""
    shutil.rmtree(_part(spec, root), ignore_errors=True)
    (root / f"{spec.hash}.failed.json").unlink(missing_ok=True)


def run_all(
    specs: Iterable[RunSpec],
    stores: ClipStore | Iterable[ClipStore],
    root: str | Path,
    *,
    jobs: int | None = None,
    device: str = "cpu",
    progress: bool = True,
) -> list[RunResult | RunFailure]:
    """Run many specifications in parallel processes, one thread in each; finished ones are loaded.

    A run that raises, or whose process dies, is recorded as ``<hash>.failed.json`` and does not stop the others.
    ``joblib.parallel_config`` around this call moves it to another backend.

    Parameters
    ----------
    specs : iterable of RunSpec
        What to run; repeated ones are run once.
    stores : ClipStore or iterable of ClipStore
        The stores that they name, for training and for test.
    root : str or Path
        Folder of all runs.
    jobs : int, optional
        Processes; all cores by default.
    device : str
        A torch device, shared by the processes.
    progress : bool
        Show a bar with rate and remaining time.

    Returns
    -------
    list of RunResult or RunFailure
        In the order of ``specs``; a specification that names a store which is not given is a failure.
    """
    specs = list(specs)
    by_hash = {store.hash: store for store in (stores if isinstance(stores, Iterable) else [stores])}
    outcome: dict[str, RunResult | RunFailure] = {}
    pending: dict[str, RunSpec] = {}
    for spec in specs:
        if (done := find(spec, root)) is not None:
            outcome[spec.hash] = done
        elif missing := [(name, store) for name, store in _named(spec) if store not in by_hash]:
            error = "RunError: the store of {} is not given, expected {}; specify the run anew.".format(*missing[0])
            outcome[spec.hash] = _record(spec, Path(root), error)
        else:
            pending[spec.hash] = spec
    # Some runs come along with others; what is still missing of them then runs by itself.
    along = {spec.along.hash for spec in pending.values() if spec.along is not None}
    waves = [[spec for spec in pending.values() if (spec.hash in along) == late] for late in (False, True)]
    with _bar(len(pending), progress and len(pending) > 0, "runs") as advance, warnings.catch_warnings():
        # Workers keep freed memory on purpose (smilelab.allocator); joblib takes that for a leak and says so.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
        for wave in waves:
            found = {spec.hash: done for spec in wave if (done := find(spec, root)) is not None}
            outcome |= found
            advance(len(found))
            tasks = [
                (spec, [by_hash[store].path for _, store in _named(spec)], str(root), device)
                for spec in wave
                if spec.hash not in found
            ]
            for finished in parallel.each(_run_or_record, tasks, jobs=jobs, died=_died):
                outcome[finished.spec.hash] = finished
                advance()
    return [outcome[spec.hash] for spec in specs]


def _named(spec: RunSpec) -> list[tuple[str, str]]:
    """Database and hash of the stores that a specification names, the one it is trained on first."""
    return [(spec.database, spec.store), *spec.tests]


def _run_or_record(spec: RunSpec, stores: list[Path], root: str, device: str) -> RunResult | RunFailure:
    try:
        store, *others = map(ClipStore, stores)
        return run(spec, store, root, device=device, others=others)
    except Exception as error:  # whatever a run raises is its own failure, not that of the others
        return _record(spec, Path(root), f"{type(error).__name__}: {error}", traceback.format_exc())


def _died(spec: RunSpec, _stores: list[Path], root: str, _device: str) -> RunFailure:
    return _record(spec, Path(root), "the process of the run died; it may have run out of memory")


def _record(spec: RunSpec, root: Path, error: str, trace: str = "") -> RunFailure:
    root.mkdir(parents=True, exist_ok=True)
    content = {"run": spec.hash, "error": error, "spec": spec.as_dict(), "traceback": trace}
    _write_json(root / f"{spec.hash}.failed.json", content)
    return RunFailure(spec, error)


def _compute(
    spec: RunSpec, store: ClipStore, part: Path, device: str, others: Sequence[ClipStore]
) -> dict[RunSpec, Path]:
    """Fit a specification; the folders of its results and of those that come along."""
    started = Effort.now()
    if store.hash != spec.store:
        raise RunError(f"found store {store.hash}, expected {spec.store}; specify the run anew on this store.")
    fitted = fit(spec, store, device=device, checkpoint=part / _CHECKPOINT, others=others)
    written = {}
    for number, result in enumerate(filter(None, (fitted, fitted.along))):
        folder = part / f"result{number}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        _write(result, folder, simulated=store.simulated)
        _write_json(folder / "environment.json", _environment(device, fitted.earlier + (Effort.now() - started)))
        written[result.spec] = folder
    return written


def _write(fitted: Fitted, folder: Path, *, simulated: bool) -> None:
    spec, parts = fitted.spec, fitted.parts
    test = fitted.scored(parts.test)
    counts = {"train_clips": len(parts.train.table), "validation_clips": len(parts.validation.table)}
    if spec.windows is not None:
        counts["test_windows"] = len(test)
    predictions = test
    if spec.partition_seed is not None:
        validation = fitted.scored(parts.validation)
        predictions = pd.concat([test.assign(part="test"), validation.assign(part="validation")], ignore_index=True)
    _write_json(folder / "spec.json", spec.as_dict())
    _write_json(folder / "metrics.json", {**_scores(spec, test), **counts, "epoch": fitted.epoch})
    fitted.history.to_csv(folder / "history.csv", index=False)
    predictions.to_csv(folder / "predictions.csv", index=False)
    provenance = {"spec": json.dumps(spec.as_dict(), sort_keys=True), "simulated": str(simulated).lower()}
    save_file(fitted.state, folder / "model.safetensors", metadata=provenance)


def _scores(spec: RunSpec, test: pd.DataFrame) -> dict[str, float]:
    """Scores of the test clips; windows are judged together, databases apart."""
    if spec.tests:
        return {
            f"{name}_{key}": value
            for name, _ in spec.tests
            for key, value in metrics.summarize(test[test["database"] == name]).as_dict().items()
        }
    return metrics.summarize(test if spec.windows is None else metrics.of_moments(test)).as_dict()


def _environment(device: str, effort: Effort) -> dict[str, Any]:
    return {
        "smilelab": __version__,
        "commit": code_version(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "processor": _processor(),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu",
        "threads": 1,
        "seconds": round(effort.wall, 3),
        "processor_seconds": round(effort.processor, 3),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _processor() -> str:
    """Kind of the processor: a run repeats to the bit on one kind, another may round otherwise."""
    with suppress(OSError):
        facts = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
        told = {name.strip(): value.strip() for name, value in facts.items()}
        kind = [
            told.get("model name", ""),
            *(f"{name} {told[name]}" for name in ("cpu family", "model") if name in told),
        ]
        return f"{', '.join(kind)}, {torch.backends.cpu.get_cpu_capability()}"
    return f"{platform.processor() or platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"


def code_version() -> str:
    """Commit of the checkout that runs, with "+changes" where it differs; "unknown" outside a checkout."""
    place = Path(__file__).parent
    try:
        described = ["git", "-C", str(place), "describe", "--always", "--dirty=+changes", "--exclude=*"]
        return subprocess.run(described, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_atomically(path, json.dumps(content, indent=1, sort_keys=True) + "\n")


@contextmanager
def _bar(total: int, shown: bool, unit: str) -> Iterator[Any]:
    if not shown:
        yield lambda count=1: None
        return
    from tqdm import tqdm

    with tqdm(total=total, unit=unit, smoothing=0.1) as bar:
        yield bar.update
