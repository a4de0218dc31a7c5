"""Which clips an epoch of training takes, in which order, and which of them share a batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["SAMPLINGS", "batches", "epoch_order"]

SAMPLINGS = ("all", "classes", "subjects")


def epoch_order(
    labels: np.ndarray,
    shuffler: torch.Generator,
    *,
    sampling: str = "all",
    count: int = 0,
    subjects: Sequence[str] | None = None,
    together: int = 1,
) -> Tensor:
    """Draw one epoch.

    Parameters
    ----------
    labels : int (n,)
        1 spontaneous, 0 posed.
    shuffler : torch.Generator
        Decides everything; it moves on.
    sampling : {"all", "classes", "subjects"}
        "all": every clip once, or `count` of them. "classes": as many of each class, drawn with replacement.
        "subjects": as many of each class, each subject of a class as often as the others, however many clips they
        have, drawn with replacement.
    count : int
        Clips in the epoch; 0 means as many as there are.
    subjects : sequence of str, (n,), optional
        Whose clip each is; needed by "subjects".
    together : int
        Under "subjects": so many clips of a drawn subject follow each other, alternately of the classes they show, so
        that a batch compares smiles of one person and shares their anchor.

    Returns
    -------
    Tensor, int64 (count,)

    Raises
    ------
    ValueError
        "subjects" without subjects, or a class without clips.
    """
    count = count or len(labels)
    if sampling == "all":
        return torch.randperm(len(labels), generator=shuffler)[:count]
    if sampling == "subjects" and subjects is None:
        raise ValueError("sampling is 'subjects', but nobody said whose clip each is; give the subjects")
    whose = np.zeros(len(labels), int)
    if sampling == "subjects":
        whose = np.unique(np.asarray(subjects), return_inverse=True)[1]
    together = together if sampling == "subjects" else 1
    members = {
        (label, subject): torch.from_numpy(np.flatnonzero((labels == label) & (whose == subject)))
        for label in (0, 1)
        for subject in np.unique(whose[labels == label])
    }
    showing = [[subject for label, subject in members if label == wanted] for wanted in (0, 1)]
    if not all(showing):
        raise ValueError(f"there is no clip with label {showing.index([])}; expected both classes")

    def one_of(number: int) -> int:
        return int(torch.randint(number, (), generator=shuffler))

    drawn: list[int] = []
    counts = [0, 0]
    first = one_of(2)
    while len(drawn) < count:
        subject = showing[first][one_of(len(showing[first]))]
        shown = [label for label in (first, 1 - first) if (label, subject) in members]
        for turn in range(together):
            some = members[shown[turn % len(shown)], subject]
            drawn.append(int(some[one_of(len(some))]))
            counts[shown[turn % len(shown)]] += 1
        # A subject who shows one class puts it ahead; the other then comes until it has caught up.
        first = 1 - first if counts[0] == counts[1] else counts.index(min(counts))
    return torch.tensor(drawn[:count])


def batches(
    order: Tensor, batch_size: int, shuffler: torch.Generator, *, bucket: int = 0, lengths: np.ndarray | None = None
) -> list[Tensor]:
    """Cut an epoch into batches, of clips of like length where that is asked for.

    Parameters
    ----------
    order : Tensor, int64 (n,)
        As `epoch_order` draws it.
    batch_size : int
        Clips in a batch; the last one may be smaller.
    shuffler : torch.Generator
        Moves on where `bucket` is not 0.
    bucket : int
        So many batches' worth of clips are sorted by length before they are cut, and all batches come in a new random
        order. The more, the more alike in length, and the less random, are those that share a batch: where one class
        has the longer clips, batches come to differ in their share of the classes. 0 leaves the order as it is.
    lengths : int array, by clip, optional
        Frames of each clip; needed where `bucket` is not 0.

    Returns
    -------
    list of Tensor, int64 (batch_size,)
    """
    if not bucket:
        return list(order.split(batch_size))
    if lengths is None:
        raise ValueError(f"bucket is {bucket}, but nobody said how long each clip is; give the lengths")
    # The smaller batch keeps the clips that chance gave it: those left over by sorting would be the longest.
    full = len(order) - len(order) % batch_size
    frames = torch.as_tensor(np.asarray(lengths))[order]
    cut: list[Tensor] = []
    for start in range(0, full, bucket * batch_size):
        some = slice(start, min(start + bucket * batch_size, full))
        cut += order[some][frames[some].argsort(stable=True)].split(batch_size)
    shuffled = [cut[i] for i in torch.randperm(len(cut), generator=shuffler).tolist()]
    return [*shuffled, *order[full:].split(batch_size)] if full < len(order) else shuffled
