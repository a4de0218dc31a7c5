"""One branch of a Siamese network as a function of its own frames, so that what explains one input can explain it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from smilelab.datasets import POSED, SPONTANEOUS
from smilelab.models.inputs import check_windows

Branch = Literal["smile", "anchor"]


class BranchView(nn.Module):
    """A model as a function of one branch's frames; what the other branch has seen is a constant.

    Captum looks at one output of a layer. Of an encoder that is called twice it silently takes the last call's, and of
    one called on smiles and anchors together it sums the gradients of all pairs that share an anchor. Here the encoder
    runs once, on the frames that are explained, with one row a pair. A plain network is seen as it is.

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode: else rows of a batch depend on each other. `model.encoder` maps frames to embeddings
        (N, width), `model.head` embeddings to logits (N,): one embedding, or those of smile and anchor.
    other : Tensor, float (N, 3, T, S, S), optional
        Frames of the other branch, row by row; None for a plain network.
    branch : {"smile", "anchor"}
        The branch that the frames belong to.
    target : int or (N,) ints
        Class to explain: 1, spontaneous, takes the logit, 0, posed, its negative.

    Raises
    ------
    ValueError
        Another branch or class, a model in training mode, or `other` where it does not belong or is lacking.
    """

    sign: Tensor
    held: Tensor | None

    def __init__(
        self,
        model: nn.Module,
        other: Tensor | None = None,
        *,
        branch: Branch = "smile",
        target: int | Sequence[int] | np.ndarray = SPONTANEOUS,
    ) -> None:
        super().__init__()
        if branch not in get_args(Branch):
            raise ValueError(f"branch is {branch!r}; expected one of {', '.join(get_args(Branch))}")
        if not np.isin(target, (POSED, SPONTANEOUS)).all():
            raise ValueError(f"target is {target}; expected {SPONTANEOUS} (spontaneous) or {POSED} (posed)")
        if model.training:
            raise ValueError("the model is in training mode; expected evaluation mode: call model.eval() first")
        if is_siamese(model) != (other is not None) or (branch == "anchor" and other is None):
            raise ValueError(
                "found a Siamese network without frames of its other branch; give both smiles and anchors"
                if is_siamese(model)
                else "found an anchor for a network that takes none; explain its smile branch, without anchors"
            )
        self.model = model
        self.branch = branch
        device = next(model.parameters()).device
        sign = np.where(np.asarray(target) == SPONTANEOUS, 1, -1).astype(np.float32)
        self.register_buffer("sign", torch.as_tensor(sign).to(device))
        with torch.no_grad():
            self.register_buffer("held", None if other is None else model.get_submodule("encoder")(other))

    def forward(self, frames: Tensor) -> Tensor:
        """Frames (N, 3, T, S, S) -> score of the target class, (N,)."""
        own = self.model.get_submodule("encoder")(frames)
        head = self.model.get_submodule("head")
        if self.held is None:
            logit = head(own)
        else:
            logit = head(own, self.held) if self.branch == "smile" else head(self.held, own)
        return self.sign * logit


def is_siamese(model: nn.Module) -> bool:
    """Whether a model compares its input with an anchor."""
    return hasattr(model.head, "distance")


@contextmanager
def explaining(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, fixed weights, float32 and gradients, whatever is on outside; the model comes back as it was.

    With fixed weights nothing is kept for gradients below the layer that is explained.
    """
    modes = {module: module.training for module in model.modules()}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    device = next(model.parameters()).device
    try:
        model.eval()
        for parameter in trained:
            parameter.requires_grad_(False)
        with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
            yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
        for module, training in modes.items():
            module.training = training


def branches(
    model: nn.Module, frames: Tensor, anchors: Tensor | None, anchor_of: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Check what a model is called with and lay its anchors out beside the frames, one a row.

    Parameters
    ----------
    model : torch.nn.Module
    frames : Tensor, float (N, 3, T, S, S)
    anchors : Tensor, float (A, 3, T, S, S), optional
    anchor_of : Tensor, int (N,), optional
        As a Siamese network takes it.

    Returns
    -------
    frames, anchors : Tensor, float (N, 3, T, S, S)
        None instead of anchors where there are none.

    Raises
    ------
    ValueError
        A shape or type that does not fit.
    """
    check_windows(
        frames,
        torch.full((len(frames),), frames.shape[2] if frames.ndim == 5 else 1),
        channels=3,
        size=int(model.size),  # type: ignore[arg-type]  # torch types all attributes of a module alike
        count=int(model.frames),  # type: ignore[arg-type]
    )
    if anchors is None:
        return frames.detach().clone(), None
    if anchors.shape[1:] != frames.shape[1:] or anchors.dtype != frames.dtype:
        raise ValueError(
            f"anchors are {anchors.dtype} of shape {tuple(anchors.shape)}; expected them as the frames, which are "
            f"{frames.dtype} of shape {tuple(frames.shape)}"
        )
    which = torch.arange(len(anchors)) if anchor_of is None else anchor_of.cpu()
    if len(which) != len(frames) or not 0 <= int(which.min()) <= int(which.max()) < len(anchors):
        raise ValueError(
            f"found {len(anchors)} anchors for {len(frames)} clips and anchor_of {which.tolist()[:8]}; expected one "
            "anchor a clip, or the number of one for each"
        )
    return frames.detach().clone(), anchors.detach()[which.to(anchors.device)]
