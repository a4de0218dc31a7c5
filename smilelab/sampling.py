"""Which clips an epoch of training takes, and in which order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["SAMPLINGS", "epoch_order"]

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
