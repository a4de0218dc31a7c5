"""From clips to scores: batches of bytes, a model's logits, and what they are worth against labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

# Any sequence: one that reads its clips when they are asked for keeps no more of them in memory than a batch.
Clips = Sequence[np.ndarray]
PRECISIONS = ("float32", "bfloat16")


def collate(clips: Clips) -> tuple[Tensor, Tensor]:
    """Stack clips of any length into one batch, zero after each clip's end.

    Parameters
    ----------
    clips : sequence of uint8 arrays (T, H, W, 3)
        RGB frames, all of one height and width.

    Returns
    -------
    batch : Tensor, uint8 (N, longest T, H, W, 3)
    lengths : Tensor, int64 (N,)
    """
    lengths = [len(clip) for clip in clips]
    batch = np.zeros((len(clips), max(lengths), *clips[0].shape[1:]), np.uint8)
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = clip
    return torch.from_numpy(batch), torch.tensor(lengths)


class Batch(NamedTuple):
    """Some clips as bytes, with the distinct anchors they are compared with where they have any.

    Attributes
    ----------
    frames : Tensor, uint8 (N, T, H, W, 3)
    lengths : Tensor, int64 (N,)
    anchors : Tensor, uint8 (A, T, H, W, 3), optional
    anchor_of : Tensor, int64 (N,), optional
        Which anchor belongs to each clip.
    """

    frames: Tensor
    lengths: Tensor
    anchors: Tensor | None = None
    anchor_of: Tensor | None = None

    def inputs(self, device: torch.device | str = "cpu") -> tuple[Tensor, ...]:
        """What a model is called with: floats on `device`."""
        frames = to_input(self.frames, device)
        if self.anchors is None or self.anchor_of is None:
            return frames, self.lengths
        return frames, self.lengths, to_input(self.anchors, device), self.anchor_of


def batch_of(clips: Clips, chosen: Sequence[int] | np.ndarray) -> Batch:
    """Collate some of the clips, and their anchors, each once, if the sequence has any (`smilelab.anchors.Anchored`).

    Parameters
    ----------
    clips : sequence of uint8 arrays (T, H, W, 3)
    chosen : sequence of int, (N,)

    Returns
    -------
    Batch
    """
    batch = Batch(*collate([clips[int(i)] for i in chosen]))
    anchor_of = getattr(clips, "anchor_of", None)
    if anchor_of is None:
        return batch
    which, rows = np.unique(anchor_of[np.asarray(chosen)], return_inverse=True)
    anchors, _ = collate([clips.anchor_frames[i] for i in which])  # type: ignore[attr-defined]
    return batch._replace(anchors=anchors, anchor_of=torch.from_numpy(rows))


def to_input(batch: Tensor, device: torch.device | str = "cpu") -> Tensor:
    """Bytes (N, T, H, W, C) -> what models take: float32 (N, C, T, H, W) in [0, 1] on `device`.

    Bytes travel to the device and become floats there; the axes are only viewed in another order.
    """
    return batch.to(device, non_blocking=True).div(255).permute(0, 4, 1, 2, 3)


def class_weights(labels: np.ndarray, loss: str) -> tuple[float, float]:
    """Weights of the posed and of the spontaneous term of Eq. 3, from the training labels (n,)."""
    spontaneous = float(np.mean(labels))
    return {
        "paper": (1 - spontaneous, spontaneous),
        "balanced": (spontaneous, 1 - spontaneous),
        "unweighted": (1.0, 1.0),
    }[loss]


def weighted_loss(logits: Tensor, targets: Tensor, weights: tuple[float, float]) -> Tensor:
    """Weighted binary cross-entropy (Eq. 3) of logits (n,), computed without ever forming log(0).

    Parameters
    ----------
    logits : Tensor, float (n,)
    targets : Tensor, float (n,)
        1 spontaneous, 0 posed.
    weights : (float, float)
        Of the posed and of the spontaneous term; see `class_weights`.

    Returns
    -------
    Tensor, float ()
        The mean over clips.
    """
    posed, spontaneous = weights
    weight = posed + (spontaneous - posed) * targets
    return nn.functional.binary_cross_entropy_with_logits(logits.float(), targets, weight)


def score(logits: np.ndarray, labels: np.ndarray, weights: tuple[float, float] = (1.0, 1.0)) -> dict[str, float]:
    """Loss, accuracy, balanced accuracy and AUC of logits (n,) against labels (n,); decided at 0 (Eq. 1)."""
    decided = logits >= 0
    recalls = [float((decided[labels == label] == label).mean()) for label in (0, 1) if (labels == label).any()]
    both = len(recalls) == 2
    loss = weighted_loss(torch.from_numpy(logits), torch.from_numpy(labels).to(torch.float32), weights)
    return {
        "loss": float(loss),
        "accuracy": float((decided == labels).mean()),
        "balanced_accuracy": float(np.mean(recalls)) if both else float("nan"),
        "auc": float(roc_auc_score(labels, logits)) if both else float("nan"),
    }


def score_means(logits: np.ndarray, labels: np.ndarray, table: pd.DataFrame) -> dict[str, float]:
    """Accuracy where the windows of a smile moment, or of a subject's smiles of one class, are judged together.

    Parameters
    ----------
    logits : float (n,)
    labels : int (n,)
    table : pandas.DataFrame
        A row a window: ``clip_id`` and ``subject``.

    Returns
    -------
    dict
        ``moment_accuracy`` and ``subject_accuracy``: of the mean probability of each group.
    """
    frame = pd.DataFrame({"probability": expit(logits), "label": labels})
    accuracy = {}
    for name, column in (("moment", "clip_id"), ("subject", "subject")):
        means = frame.groupby([table[column].astype(str).to_numpy(), frame["label"]])["probability"].mean()
        truth = means.index.get_level_values("label").to_numpy()
        accuracy[f"{name}_accuracy"] = float(((means.to_numpy() >= 0.5) == truth).mean())
    return accuracy


def predict(
    model: nn.Module,
    clips: Clips,
    *,
    batch_size: int = 16,
    device: torch.device | str = "cpu",
    precision: str = "float32",
) -> np.ndarray:
    """Probability that each clip's smile is spontaneous.

    Parameters
    ----------
    model : torch.nn.Module
        Moved to `device`, scored in evaluation mode, and left in the mode it was in.
    clips : sequence of uint8 arrays (T, H, W, 3)
    batch_size : int
        Clips scored at once.
    device : torch.device or str
    precision : {"float32", "bfloat16"}

    Returns
    -------
    numpy.ndarray, float64 (n,)
        In the order of `clips`.
    """
    logits = logits_of(model, clips, batch_size, torch.device(device), precision)
    return torch.from_numpy(logits).sigmoid().numpy()


def logits_of(model: nn.Module, clips: Clips, batch_size: int, device: torch.device, precision: str) -> np.ndarray:
    """Logits (n,) of the clips, in their order; as `predict`."""
    check_clips(clips, "clips to score")
    # Clips of like length share a batch, which only saves memory: a result does not depend on its companions, except by
    # models that read the padding, as the published code does (realsmilenet-released, -lstm-released, -gru-released).
    order = np.argsort([len(clip) for clip in clips], kind="stable")
    logits = np.empty(len(clips))
    was_training = model.training
    model.to(device).eval()
    try:
        with torch.inference_mode(), autocast(device, precision):
            for start in range(0, len(order), batch_size):
                chosen = order[start : start + batch_size]
                logits[chosen] = model(*batch_of(clips, chosen).inputs(device)).float().cpu().numpy()
    finally:
        model.train(was_training)
    return logits


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which a model computes with this precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def check_clips(clips: Clips, what: str) -> int:
    """Raise a ValueError unless the clips can be scored together; their number."""
    if len(clips) == 0:
        raise ValueError(f"there are no {what}; expected at least one")
    first = clips[0]
    for i, clip in enumerate(clips):
        if clip.ndim != 4 or clip.shape[3] != 3 or clip.dtype != np.uint8 or len(clip) == 0:
            raise ValueError(
                f"{what}: number {i} is {clip.dtype} {clip.shape}; expected uint8 (T, H, W, 3), T at least 1"
            )
        if clip.shape[1:] != first.shape[1:]:
            raise ValueError(
                f"{what}: number {i} has frames of {clip.shape[1]}x{clip.shape[2]}, number 0 of "
                f"{first.shape[1]}x{first.shape[2]}; expected one size"
            )
    return len(clips)


def check_labels(labels: np.ndarray | Sequence[int], count: int, what: str) -> np.ndarray:
    """The labels as int64 (count,); a ValueError unless there are as many, all 0 or 1."""
    array = np.asarray(labels)
    if array.shape != (count,) or not np.isin(array, (0, 1)).all():
        raise ValueError(
            f"{what}: labels have shape {array.shape} and values {np.unique(array)[:5].tolist()}; "
            f"expected ({count},) of 1 (spontaneous) and 0 (posed)"
        )
    return array.astype(np.int64)
