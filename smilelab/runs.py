"""One training run: from a frozen specification to a folder of results, and many of them at once.

A run's folder is named by the hash of its specification and appears, complete, the moment the run ends. A finished run
is loaded, never computed again; an interrupted one goes on from its checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from smilelab import __version__, metrics, models, parallel, training
from smilelab.checkpoint import OtherTraining
from smilelab.clips import ClipStore
from smilelab.datasets import splits
from smilelab.files import locked, write_atomically
from smilelab.specs import RunError, RunSpec, folds_of, split_name

# A subject may be called "NA"; and what was written is read back to the last bit.
_PLAIN_TEXT: dict[str, Any] = {"keep_default_na": False, "float_precision": "round_trip"}
_RESULT_FILES = ("spec.json", "metrics.json", "history.csv", "predictions.csv", "model.safetensors", "environment.json")


@dataclass(frozen=True)
class RunResult:
    """A finished run, read from its folder."""

    spec: RunSpec
    folder: Path

    @property
    def metrics(self) -> dict[str, float]:
        """Scores on the test fold, the epoch kept, clip and subject counts, seconds."""
        return json.loads((self.folder / "metrics.json").read_text(encoding="utf-8"))

    @property
    def history(self) -> pd.DataFrame:
        """One row an epoch."""
        return pd.read_csv(self.folder / "history.csv")

    @property
    def predictions(self) -> pd.DataFrame:
        """One row a test clip: ``clip_id, subject, label, probability, fold, seed``."""
        return pd.read_csv(self.folder / "predictions.csv", dtype={"clip_id": str, "subject": str}, **_PLAIN_TEXT)

    @property
    def weights(self) -> Path:
        """The kept weights."""
        return self.folder / "model.safetensors"


@dataclass(frozen=True)
class RunFailure:
    """A run that raised; the next :func:`run_all` tries it again."""

    spec: RunSpec
    error: str


def find(spec: RunSpec, root: str | Path) -> RunResult | None:
    """Return the finished run of a specification, None where there is none yet."""
    folder = Path(root) / spec.hash
    return RunResult(spec, folder) if all((folder / name).is_file() for name in _RESULT_FILES) else None


def load(folder: str | Path) -> RunResult:
    """Return the finished run in a folder.

    Raises
    ------
    RunError
        There is no finished run.
    """
    folder = Path(folder)
    if not all((folder / name).is_file() for name in _RESULT_FILES):
        raise RunError(f"{folder}: no finished run here; `smilelab status` and data/runs show which there are.")
    return RunResult(RunSpec.from_dict(json.loads((folder / "spec.json").read_text(encoding="utf-8"))), folder)


def run(spec: RunSpec, store: ClipStore, root: str | Path, *, device: str = "cpu") -> RunResult:
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
            return done
        part = root / f"{spec.hash}.part"
        part.mkdir(exist_ok=True)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            try:
                result = _compute(spec, store, part, device)
            except OtherTraining as error:
                # Code or libraries changed since the run was interrupted: half of each would be a result of neither.
                warnings.warn(f"{error}; the run starts from the beginning", stacklevel=2)
                shutil.rmtree(part)
                part.mkdir()
                result = _compute(spec, store, part, device)
        finally:
            torch.set_num_threads(threads)
        folder = root / spec.hash
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(result, folder)
        shutil.rmtree(part, ignore_errors=True)
        (root / f"{spec.hash}.failed.json").unlink(missing_ok=True)
    return RunResult(spec, folder)


def run_all(
    specs: Iterable[RunSpec],
    store: ClipStore,
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
    store : ClipStore
        The store that all of them name.
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
        In the order of ``specs``.
    """
    specs = list(specs)
    outcome: dict[str, RunResult | RunFailure] = {}
    pending: dict[str, RunSpec] = {}
    for spec in specs:
        if (done := find(spec, root)) is not None:
            outcome[spec.hash] = done
        else:
            pending[spec.hash] = spec
    total = len(pending)
    with _bar(total, progress and total > 0, "runs") as advance, warnings.catch_warnings():
        # Workers keep freed memory on purpose (smilelab.allocator); joblib takes that for a leak and says so.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
        tasks = [(spec, store.path, str(root), device) for spec in pending.values()]
        for finished in parallel.each(_run_or_record, tasks, jobs=jobs, died=_died):
            outcome[finished.spec.hash] = finished
            advance()
    return [outcome[spec.hash] for spec in specs]


def predictions_of(results: Iterable[RunResult | RunFailure]) -> pd.DataFrame:
    """Stack the predictions of finished runs (folds and trials); failures contribute nothing."""
    frames = [result.predictions for result in results if isinstance(result, RunResult)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def collect(root: str | Path) -> pd.DataFrame:
    """One row per finished run under ``root``: its specification beside its metrics."""
    rows = []
    for path in sorted(Path(root).glob("*/metrics.json")):
        spec = json.loads((path.parent / "spec.json").read_text(encoding="utf-8"))
        rows.append({"run": path.parent.name, **spec, **json.loads(path.read_text(encoding="utf-8"))})
    return pd.DataFrame(rows)


def failures(root: str | Path) -> pd.DataFrame:
    """One row per recorded failure under ``root``: run and error."""
    paths = sorted(Path(root).glob("*.failed.json"))
    return pd.DataFrame([json.loads(path.read_text(encoding="utf-8")) for path in paths])


def _run_or_record(spec: RunSpec, store: Path, root: str, device: str) -> RunResult | RunFailure:
    try:
        return run(spec, ClipStore(store), root, device=device)
    except Exception as error:  # whatever a run raises is its own failure, not that of the others
        return _record(spec, Path(root), f"{type(error).__name__}: {error}", traceback.format_exc())


def _died(spec: RunSpec, _store: Path, root: str, _device: str) -> RunFailure:
    return _record(spec, Path(root), "the process of the run died; it may have run out of memory")


def _record(spec: RunSpec, root: Path, error: str, trace: str = "") -> RunFailure:
    content = {"run": spec.hash, "error": error, "spec": spec.as_dict(), "traceback": trace}
    _write_json(root / f"{spec.hash}.failed.json", content)
    return RunFailure(spec, error)


def _compute(spec: RunSpec, store: ClipStore, part: Path, device: str) -> Path:
    started = time.perf_counter()
    if store.hash != spec.store:
        raise RunError(f"found store {store.hash}, expected {spec.store}; specify the run anew on this store.")
    train, held, test = _parts(spec, store)
    table = store.usable
    labels = table["label"].astype(int)
    train_labels = labels[train].to_numpy()
    if spec.labels == "shuffled":
        train_labels = np.random.default_rng([_seed(spec), 2]).permutation(train_labels)
    evaluate: dict[str, tuple[list[np.ndarray], np.ndarray]] = {}
    if spec.selection == "validation":
        evaluate["validation"] = (_frames(store, held), labels[held].to_numpy())
    if spec.selection == "best-on-test":
        evaluate["test"] = (_frames(store, test), labels[test].to_numpy())
    seed = _seed(spec)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = models.build(spec.model, **dict(spec.model_options))
    trained = training.train(
        model,
        _frames(store, train),
        train_labels,
        spec.training,
        seed=seed,
        device=device,
        evaluate=evaluate,
        select={"validation": "validation", "last": "last", "best-on-test": "test"}[spec.selection],
        checkpoint=part / "checkpoint.pt",
    )
    model.load_state_dict(trained.state_dict)
    settings = spec.training
    clips = _frames(store, test)
    probability = training.predict(
        model, clips, batch_size=settings.batch_size, device=device, precision=settings.precision
    )
    predictions = pd.DataFrame({"clip_id": test, "subject": table.loc[test, "subject"].to_numpy()})
    predictions["label"] = labels[test].to_numpy()
    predictions["probability"] = probability
    predictions["fold"], predictions["seed"] = spec.fold, spec.seed
    summary = metrics.summarize(predictions)
    counts = {"train_clips": len(train), "validation_clips": len(held), "epoch": trained.best_epoch}
    result = part / "result"
    shutil.rmtree(result, ignore_errors=True)
    result.mkdir()
    _write_json(result / "spec.json", spec.as_dict())
    _write_json(result / "metrics.json", {**summary.as_dict(), **counts})
    trained.history.to_csv(result / "history.csv", index=False)
    predictions.to_csv(result / "predictions.csv", index=False)
    provenance = {"spec": json.dumps(spec.as_dict(), sort_keys=True), "simulated": str(store.simulated).lower()}
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, result / "model.safetensors", metadata=provenance)
    _write_json(result / "environment.json", _environment(device, time.perf_counter() - started))
    return result


def _parts(spec: RunSpec, store: ClipStore) -> tuple[list[str], list[str], list[str]]:
    if split_name(store) != spec.split:
        raise RunError(f"found folds {split_name(store)}, expected {spec.split}; specify the run anew on this store.")
    folds = folds_of(store).tests
    if not 1 <= spec.fold <= len(folds):
        raise RunError(f"fold {spec.fold}: the store has folds 1 to {len(folds)}.")
    test = list(folds[spec.fold - 1])
    table = store.usable
    rest = [clip_id for number, fold in enumerate(folds, start=1) if number != spec.fold for clip_id in fold]
    if not test or not rest:
        raise RunError(f"fold {spec.fold} has {len(test)} test and {len(rest)} training clips, expected some of both.")
    if shared := set(table.loc[test, "subject"]) & set(table.loc[rest, "subject"]):
        raise RunError(f"fold {spec.fold}: subject {min(shared)} is on both sides; expected unseen test subjects.")
    held: list[str] = []
    if spec.selection == "validation":
        # The validation subjects depend on fold and trial alone, so that variants are compared on equal ground.
        train_at, held_at = splits.hold_out_subjects(
            table.loc[rest, "label"].to_list(),
            table.loc[rest, "subject"].to_list(),
            share=spec.validation_share,
            seed=_seed(spec),
        )
        rest, held = [rest[i] for i in train_at], [rest[i] for i in held_at]
    return rest, held, test


def _frames(store: ClipStore, clip_ids: Sequence[str]) -> list[np.ndarray]:
    return [store.frames(clip_id) for clip_id in clip_ids]


def _seed(spec: RunSpec) -> int:
    return int.from_bytes(hashlib.sha256(f"{spec.seed}|{spec.fold}".encode()).digest()[:4], "big")


def _environment(device: str, seconds: float) -> dict[str, Any]:
    return {
        "smilelab": __version__,
        "commit": code_version(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu",
        "threads": 1,
        "seconds": round(seconds, 3),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


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
        yield lambda: None
        return
    from tqdm import tqdm

    with tqdm(total=total, unit=unit, smoothing=0.1) as bar:
        yield bar.update
