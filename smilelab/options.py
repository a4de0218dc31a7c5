"""How a model is trained: the options that decide a result."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from smilelab.sampling import SAMPLINGS
from smilelab.scoring import PRECISIONS

LOSSES = ("paper", "balanced", "unweighted")
SCHEDULES = ("constant", "cosine")
LATER = {"later": True}


def as_dict(options: Any) -> dict[str, Any]:
    """Return a dataclass as a dictionary, without the later fields that are at their defaults.

    A field is marked as later by ``metadata=LATER``: a hash over the dictionary is then what it was before the field
    existed, and what was finished under it stays finished.
    """
    content = asdict(options)
    for entry in fields(options):
        if entry.metadata.get("later") and getattr(options, entry.name) == entry.default:
            del content[entry.name]
    return content


@dataclass(frozen=True)
class TrainingOptions:
    """How a model is trained. Defaults are the paper's for RealSmileNet (Yang 2020, section 4.1) as we read them.

    The loss of Lee & Lee (2020, Eq. 1), with the minus sign that its print lacks, is loss "unweighted" with a weight
    decay of twice their alpha, not decoupled. They name neither alpha nor the optimiser.

    Parameters
    ----------
    epochs : int
        Passes over the training clips.
    batch_size : int
        Clips in a step; the last batch of an epoch may be smaller.
    learning_rate : float
        Adam's.
    weight_decay : float
        The paper's "decay 0.005" is undefined; our reading is Adam's L2 term.
    decoupled : bool
        Apply the decay to the weights directly (AdamW) rather than through the gradient.
    loss : {"paper", "balanced", "unweighted"}
        Weights of the binary cross-entropy of Eq. 3. "paper": each class by its own share of the training clips, as
        printed, which favours the majority. "balanced" (our choice): by the other's share. "unweighted": both 1.
    precision : {"float32", "bfloat16"}
        bfloat16 is autocast: weights stay float32.
    flip : bool
        Mirror each training clip left to right with probability one half (our choice; off as in the paper). A clip and
        its anchor are mirrored together.
    crop : float
        Largest share of the side that a smaller crop cuts off, at random, before it is resized back; 0 is off.
    sampling : {"all", "classes", "subjects"}
        Which clips an epoch takes; see `smilelab.sampling.epoch_order`.
    per_epoch : int
        Clips in an epoch; 0 means as many as there are. Windows overlap so much that a part of them does.
    together : int
        Clips of a subject that are drawn at a time under "subjects".
    schedule : {"constant", "cosine"}
        The learning rate over the epochs; "cosine" falls from the given one towards zero, an epoch at a time.
    accumulate : int
        Parts in which a batch goes through the model before one step: less memory, other batch statistics.
    compile : bool
        Compile the model's forward and backward pass (torch.compile): pays on a GPU, after minutes of compiling.
    bucket : int
        Batches whose clips are sorted by length together before they are cut; 0 is off (our choice). See
        `smilelab.sampling.batches`.
    """

    epochs: int = 60
    batch_size: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 0.005
    decoupled: bool = False
    loss: str = "paper"
    precision: str = "float32"
    flip: bool = False
    # A run's hash has these only where they differ: runs from before they existed stay what they were.
    crop: float = field(default=0.0, metadata=LATER)
    sampling: str = field(default="all", metadata=LATER)
    per_epoch: int = field(default=0, metadata=LATER)
    together: int = field(default=1, metadata=LATER)
    schedule: str = field(default="constant", metadata=LATER)
    accumulate: int = field(default=1, metadata=LATER)
    compile: bool = field(default=False, metadata=LATER)
    bucket: int = field(default=0, metadata=LATER)

    def __post_init__(self) -> None:
        named = {"loss": LOSSES, "precision": PRECISIONS, "sampling": SAMPLINGS, "schedule": SCHEDULES}
        for name, choices in named.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(choices)}")
        for name in ("epochs", "batch_size", "together", "accumulate"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least 1")
        if self.learning_rate <= 0 or self.weight_decay < 0:
            raise ValueError(
                f"learning_rate is {self.learning_rate} and weight_decay {self.weight_decay}; "
                "expected a positive rate and a decay of 0 or more"
            )
        if not 0 <= self.crop < 1 or self.per_epoch < 0:
            raise ValueError(
                f"crop is {self.crop} and per_epoch {self.per_epoch}; expected a share from 0 to below 1 and 0 or more"
            )

        if self.bucket < 0 or (self.bucket and self.sampling != "all"):
            raise ValueError(
                f"bucket is {self.bucket} and sampling {self.sampling!r}; expected 0 or more, and 0 unless sampling is "
                "'all', because sorting takes apart what the others put into a batch"
            )

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 1."""
        if self.schedule == "constant":
            return self.learning_rate
        return self.learning_rate * (1 + math.cos(math.pi * (epoch - 1) / self.epochs)) / 2
