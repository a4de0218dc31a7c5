"""Training and scoring: one explicit loop for every model that scores clips of frames.

Importing this module calls `tune_allocator` once (glibc on Linux only; ``SMILELAB_NO_MALLOPT=1`` leaves it out).
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from smilelab import checkpoint as checkpoints
from smilelab.allocator import tune_allocator
from smilelab.augmentation import augmented
from smilelab.effort import NO_EFFORT, Effort
from smilelab.options import TrainingOptions
from smilelab.sampling import batches, epoch_order
from smilelab.scoring import (
    Clips,
    autocast,
    batch_of,
    check_clips,
    check_labels,
    class_weights,
    collate,
    logits_of,
    predict,
    score,
    score_means,
    to_input,
    weighted_loss,
)

__all__ = [
    "TrainingError",
    "TrainingOptions",
    "TrainingResult",
    "collate",
    "predict",
    "to_input",
    "train",
    "tune_allocator",
]


class TrainingError(RuntimeError):
    """Training cannot go on; the message says what was found and what to do."""


@dataclass(frozen=True)
class TrainingResult:
    """What `train` returns.

    Attributes
    ----------
    history : pandas.DataFrame
        A row an epoch: ``epoch`` (from 1), ``train_loss`` and, for each evaluation set, ``<set>_loss``,
        ``<set>_accuracy``, ``<set>_balanced_accuracy``, ``<set>_auc`` (the last two NaN where a set has one class), and
        for windows ``<set>_moment_accuracy`` and ``<set>_subject_accuracy``.
    best_epoch : int
        The epoch whose weights were selected, from 1.
    state_dict : dict of str to Tensor
        The selected weights, on the CPU.
    last_state_dict : dict of str to Tensor
        The weights after the last epoch, on the CPU.
    earlier : Effort
        Time that the training had taken up to the checkpoint it went on from; none where it did not.
    """

    history: pd.DataFrame
    best_epoch: int
    state_dict: dict[str, Tensor]
    last_state_dict: dict[str, Tensor]
    earlier: Effort = NO_EFFORT


def train(
    model: nn.Module,
    clips: Clips,
    labels: np.ndarray | Sequence[int],
    options: TrainingOptions,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    evaluate: Mapping[str, tuple[Clips, np.ndarray | Sequence[int]]] | None = None,
    select: str = "last",
    checkpoint: Path | None = None,
    progress: Callable[[dict[str, float]], None] | None = None,
) -> TrainingResult:
    """Train a model on labelled clips.

    Parameters
    ----------
    model : torch.nn.Module
        Trained in place from the weights it has; ends on `device`, in evaluation mode, with the selected weights.
    clips : sequence of uint8 arrays (T, H, W, 3)
        A list, or a sequence that reads a clip when it is asked for one, such as `smilelab.windows.Windows` or, for
        models that compare with an anchor, `smilelab.anchors.Anchored`; with a ``fingerprint`` it is told from others
        by that.
    labels : int (n,)
        1 spontaneous, 0 posed.
    options : TrainingOptions
    seed : int
        Decides the order of the clips, the flips and the dropout; the starting weights are the caller's. On a CPU the
        same seed gives the same bits at the same number of threads. Torch's random state is left as it was.
    device : torch.device or str
    evaluate : mapping of name to (clips, labels), optional
        Scored after every epoch, with the training loss's weights. Windows (whose sequence has a ``table``) are also
        scored by the mean of each smile moment and of each subject's smiles of a class.
    select : str
        "last", or the name of an evaluation set: the epoch of its highest accuracy, among those the lowest loss, among
        those the earliest.
    checkpoint : Path, optional
        Written after every epoch. If it is there, training goes on from it and ends with the same result as if it had
        never stopped. It is left for the caller to remove.
    progress : callable, optional
        Given each epoch's row of the history when it ends.

    Returns
    -------
    TrainingResult

    Raises
    ------
    ValueError
        Clips or labels that cannot be trained on; an unknown `select`; another training's checkpoint.
    TrainingError
        The loss or a score stopped being a number.
    """
    started, earlier = Effort.now(), NO_EFFORT
    device = torch.device(device)
    targets = check_labels(labels, check_clips(clips, "training clips"), "training clips")
    if len(np.unique(targets)) < 2:
        raise ValueError(f"all {len(targets)} training clips have label {targets[0]}; expected both 0 and 1")
    sets = {
        name: (some, check_labels(truth, check_clips(some, f"clips of {name!r}"), f"clips of {name!r}"))
        for name, (some, truth) in (evaluate or {}).items()
    }
    if select != "last" and select not in sets:
        raise ValueError(
            f"select is {select!r}; expected 'last' or an evaluation set ({', '.join(sets) or 'none given'})"
        )
    if "train" in sets:
        raise ValueError("an evaluation set is named 'train', as is the training loss's column; give it another name")
    weights = class_weights(targets, options.loss)
    fingerprint: dict[str, Any] = {}
    if checkpoint is not None:
        fingerprint = asdict(options) | {
            "seed": seed,
            "select": select,
            "starting weights": _crc(_on_cpu(model).values()),
        }
        fingerprint |= {"training clips": _identity(clips, targets)}
        fingerprint |= {f"clips of {name}": _identity(some, truth) for name, (some, truth) in sets.items()}

    model.to(device)
    make = torch.optim.AdamW if options.decoupled else torch.optim.Adam
    optimizer = make(model.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
    shuffler = torch.Generator().manual_seed(seed)
    lengths = np.array([len(clip) for clip in clips]) if options.bucket else None
    history: list[dict[str, float]] = []
    best: dict[str, Any] = {"epoch": 0, "state": {}}
    with _own_random_state(device, seed):
        saved = checkpoints.load(checkpoint, fingerprint=fingerprint) if checkpoint is not None else None
        if saved is not None:
            model.load_state_dict(saved["model"])
            optimizer.load_state_dict(saved["optimizer"])
            shuffler.set_state(saved["shuffler"])
            _set_random_state(device, saved["random"])
            history, best, earlier = saved["history"], saved["best"], Effort(*saved.get("effort", ()))
        for epoch in range(len(history) + 1, options.epochs + 1):
            for group in optimizer.param_groups:
                group["lr"] = options.rate(epoch)
            row = {
                "epoch": epoch,
                "train_loss": _train_epoch(model, clips, targets, optimizer, weights, options, shuffler, lengths),
            }
            if not np.isfinite(row["train_loss"]):
                raise TrainingError(
                    f"the training loss is {row['train_loss']} in epoch {epoch}; lower the learning rate "
                    f"(now {options.learning_rate}) or use precision float32 (now {options.precision})"
                )
            for name, (some, truth) in sets.items():
                logits = logits_of(model, some, options.batch_size, device, options.precision)
                if not np.isfinite(logits).all():
                    raise TrainingError(
                        f"the model scores {name!r} as {logits[~np.isfinite(logits)][0]} in epoch {epoch}"
                    )
                scores = score(logits, truth, weights)
                if (table := getattr(some, "table", None)) is not None:
                    # Windows are not judged alone: those of a moment or of a subject are one piece of evidence.
                    scores |= score_means(logits, truth, table)
                row |= {f"{name}_{metric}": value for metric, value in scores.items()}
            history.append(row)
            if best["epoch"] == 0 or select == "last" or _rank(row, select) > _rank(history[best["epoch"] - 1], select):
                best = {"epoch": epoch, "state": _on_cpu(model)}
            if checkpoint is not None:
                checkpoints.save(
                    checkpoint,
                    {
                        "fingerprint": fingerprint,
                        "model": model.state_dict(),
                        "optimizer": optimizer.state_dict(),
                        "shuffler": shuffler.get_state(),
                        "random": _random_state(device),
                        "history": history,
                        "best": best,
                        "effort": list(astuple(earlier + (Effort.now() - started))),
                    },
                )
            if progress is not None:
                progress(row)
    last = _on_cpu(model)
    model.load_state_dict(best["state"])
    model.eval()
    return TrainingResult(pd.DataFrame(history), best["epoch"], best["state"], last, earlier)


def _train_epoch(
    model: nn.Module,
    clips: Clips,
    targets: np.ndarray,
    optimizer: torch.optim.Optimizer,
    weights: tuple[float, float],
    options: TrainingOptions,
    shuffler: torch.Generator,
    lengths: np.ndarray | None,
) -> float:
    """One pass over the clips in a new order; the mean loss of a clip."""
    device = next(model.parameters()).device
    model.train()
    forward = torch.compile(model) if options.compile else model
    table = getattr(clips, "table", None)
    order = epoch_order(
        targets,
        shuffler,
        sampling=options.sampling,
        count=options.per_epoch,
        subjects=None if table is None else table["subject"].astype(str).to_numpy(),
        together=options.together,
    )
    total = torch.zeros((), device=device)
    for chosen in batches(order, options.batch_size, shuffler, bucket=options.bucket, lengths=lengths):
        optimizer.zero_grad()
        for part in chosen.split(-(-options.batch_size // options.accumulate)):
            inputs = augmented(batch_of(clips, part.numpy()), device, shuffler, flip=options.flip, crop=options.crop)
            truth = torch.from_numpy(targets[part.numpy()]).to(device, torch.float32)
            with autocast(device, options.precision):
                logits = forward(*inputs)
            loss = weighted_loss(logits, truth, weights)
            (loss * (len(part) / len(chosen))).backward()
            total += loss.detach() * len(part)
        optimizer.step()
    return float(total) / len(order)


def _rank(row: dict[str, float], name: str) -> tuple[float, float]:
    return row[f"{name}_accuracy"], -row[f"{name}_loss"]


def _on_cpu(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


@contextmanager
def _own_random_state(device: torch.device, seed: int) -> Iterator[None]:
    """Seed torch's generators for what runs inside (dropout draws from them) and give them back as they were."""
    before = _random_state(device)
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[_cuda_index(device)].manual_seed(seed)
    try:
        yield
    finally:
        _set_random_state(device, before)


def _random_state(device: torch.device) -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    return state | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else state


def _set_random_state(device: torch.device, state: dict[str, Tensor]) -> None:
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)


def _cuda_index(device: torch.device) -> int:
    return torch.cuda.current_device() if device.index is None else device.index


def _identity(clips: Clips, labels: np.ndarray) -> Any:
    """What tells these clips and labels from others: the clips' own fingerprint if they have one, else a checksum."""
    if (own := getattr(clips, "fingerprint", None)) is not None:
        return [own, _crc([labels])]
    return _crc(itertools.chain([labels], clips))


def _crc(arrays: Iterable[np.ndarray | Tensor]) -> int:
    """Checksum of the arrays' shapes and bytes, in order."""
    checksum = 0
    for array in arrays:
        array = np.ascontiguousarray(array)
        checksum = zlib.crc32(array.reshape(-1).view(np.uint8).data, zlib.crc32(str(array.shape).encode(), checksum))
    return checksum


tune_allocator()
