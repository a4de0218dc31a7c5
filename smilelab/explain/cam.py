"""Grad-CAM of 3D networks, of one branch and of a Siamese pair (Lee & Lee 2020, section 4.2), and its guided form.

All functions take what the model takes, frames and anchors as floats, and return raw maps: at the resolution of the
layer, in units of the logit, one row a clip. `upsample` brings them to the size of the frames; drawing is elsewhere.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import numpy as np
import torch
from captum.attr import GuidedBackprop, LayerGradCam
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor, nn

from smilelab.explain.branch import Branch, BranchView, branches, explaining

Part = Literal["smile", "anchor", "difference"]
Target = int | Sequence[int] | np.ndarray
Floats = NDArray[np.float32]

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class GradCam:
    """Maps of N clips at the resolution of the last convolutional map (N, C, T', H', W').

    Attributes
    ----------
    spatial : (N, H', W') array
        Eq. 2: averaged over time.
    time_series : (N, H', T') array
        Eq. 3: averaged over the width; rows are heights, columns are times.
    """

    spatial: Floats
    time_series: Floats


def grad_cam(
    model: nn.Module,
    frames: Tensor,
    anchors: Tensor | None = None,
    anchor_of: Tensor | None = None,
    *,
    target: Target,
    part: Part = "smile",
) -> GradCam:
    """Spatial and time-series Grad-CAM of one branch, or their difference between the branches.

    Parameters
    ----------
    model : torch.nn.Module
        With `encoder`, whose module `encoder.target` is explained, and `head`. It is used in evaluation mode and
        returned as it was.
    frames : Tensor, float (N, 3, T, S, S)
        RGB in [0, 1].
    anchors : Tensor, float (A, 3, T, S, S), optional
        For Siamese networks.
    anchor_of : Tensor, int (N,), optional
        Which anchor belongs to each clip; by default clip n has anchor n.
    target : int or (N,) ints
        Class c: 1 spontaneous, whose score y is the logit, or 0 posed, whose score is minus the logit.
    part : {"smile", "anchor", "difference"}
        The branch that is explained, the other being held, or Eq. 4: the absolute difference of both branches' maps,
        place by place.

    Returns
    -------
    GradCam

    Raises
    ------
    ValueError
        An unknown part or class, anchors that lack or do not belong, or a shape that does not fit.

    Notes
    -----
    Our reading of Eqs. 2 to 4 [1]_. Z counts the places that are summed over (u v in Eq. 2, v w in Eq. 3), so both
    weights alpha are the mean of the gradient over the whole map: one number a channel, as in the original Grad-CAM
    [2]_, although the text writes alpha as a u x v array. The map is the ReLU of the weighted mean of the activations,
    which is not the mean of a rectified 3D map: where a place speaks for the class early and against it late, the
    former cancels. Eq. 4 takes the "L1 distance" of two maps to be a map, hence without the norm's sum.

    In this architecture only means and linear layers follow the target layer before |smile - anchor|, so the weights
    of the branches are exact opposites. What speaks for a class in one branch speaks against it in the other, and the
    ReLU leaves it in one of them: Eq. 4 is nearly the absolute value of one weighted map, and nearly the same for both
    classes, the more so the more alike smile and anchor are.

    References
    ----------
    .. [1] Lee, K., Lee, E. C. (2020). Applied Sciences 10(24), 8934, section 4.2.
    .. [2] Selvaraju, R. R. et al. (2017). Grad-CAM. ICCV.
    """

    def of_branch(view: BranchView, own: Tensor) -> GradCam:
        weighted = _weighted(view, own)
        spatial, time_series = weighted.mean(1).relu(), weighted.mean(3).relu().transpose(1, 2)
        return GradCam(spatial.numpy(), time_series.contiguous().numpy())

    def difference(one: GradCam, other: GradCam) -> GradCam:
        return GradCam(np.abs(one.spatial - other.spatial), np.abs(one.time_series - other.time_series))

    return _of_part(of_branch, difference, model, frames, anchors, anchor_of, target, part)


def guided_backpropagation(
    model: nn.Module,
    frames: Tensor,
    anchors: Tensor | None = None,
    anchor_of: Tensor | None = None,
    *,
    target: Target,
    part: Part = "smile",
) -> Floats:
    """Gradient of the class score with respect to the frames, of which each ReLU lets only positive parts back [1]_.

    Parameters
    ----------
    model, frames, anchors, anchor_of, target, part
        As in `grad_cam`. Every ReLU of the encoder must be a module of its own that is called once.

    Returns
    -------
    (N, 3, T, S, S) float32 array
        For one branch signed; for the difference |smile - anchor|, pixel by pixel and frame by frame, although the two
        faces are not in register: our reading.

    Raises
    ------
    ValueError
        As `grad_cam`.

    References
    ----------
    .. [1] Springenberg, J. T. et al. (2015). Striving for simplicity: the all convolutional net. ICLR workshop.
    """
    return _of_part(_guided, _apart, model, frames, anchors, anchor_of, target, part)


def guided_grad_cam(
    model: nn.Module,
    frames: Tensor,
    anchors: Tensor | None = None,
    anchor_of: Tensor | None = None,
    *,
    target: Target,
    part: Part = "smile",
) -> Floats:
    """Guided backpropagation times the spatial Grad-CAM of the same branch, upsampled to the frames.

    Parameters
    ----------
    model, frames, anchors, anchor_of, target, part
        As in `guided_backpropagation`.

    Returns
    -------
    (N, 3, T, S, S) float32 array
        For the difference the absolute difference of the branches' products. Every frame is weighted by the one map of
        Eq. 2: the paper gives sizes of 7 x 7 and 112 x 112 and says no more.

    Raises
    ------
    ValueError
        As `grad_cam`.
    """

    def of_branch(view: BranchView, own: Tensor) -> Floats:
        spatial = upsample(_weighted(view, own).mean(1).relu().numpy(), (own.shape[3], own.shape[4]))
        return _guided(view, own) * spatial[:, None, None]

    return _of_part(of_branch, _apart, model, frames, anchors, anchor_of, target, part)


def upsample(maps: NDArray[np.floating], size: tuple[int, int]) -> Floats:
    """Maps (N, h, w) -> (N, *size), bilinearly; a cell of the map covers its share of the frame."""
    scaled = torch.from_numpy(np.ascontiguousarray(maps, np.float32))[:, None]
    return nn.functional.interpolate(scaled, size, mode="bilinear", align_corners=False)[:, 0].numpy()


def rank_correlation(one: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.float64]:
    """Spearman's rank correlation (N,) between two stacks of N maps, row by row; NaN where one is constant."""
    ranks = [rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (one, other)]
    one_centred, other_centred = (rank - rank.mean(1, keepdims=True) for rank in ranks)
    spread = np.sqrt((one_centred**2).sum(1) * (other_centred**2).sum(1))
    together = (one_centred * other_centred).sum(1)
    return np.divide(together, spread, out=np.full(len(spread), np.nan), where=spread > 0)


def randomised(model: nn.Module, *, seed: int = 0) -> nn.Module:
    """Copy a model with the numbers inside each of its parameters shuffled: it has learned nothing, at the same scale.

    Parameters
    ----------
    model : torch.nn.Module
    seed : int

    Returns
    -------
    torch.nn.Module
        Running statistics of batch norms are kept.
    """
    other = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in other.parameters():
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return other


def randomisation_check(
    model: nn.Module,
    frames: Tensor,
    anchors: Tensor | None = None,
    anchor_of: Tensor | None = None,
    *,
    target: Target,
    part: Part = "smile",
    seed: int = 0,
) -> dict[str, NDArray[np.float64]]:
    """Whether maps depend on what was learned: their rank correlation with maps of the same network randomised [1]_.

    Parameters
    ----------
    model, frames, anchors, anchor_of, target, part
        As in `grad_cam`.
    seed : int
        See `randomised`.

    Returns
    -------
    dict of str to (N,) array
        ``spatial`` and ``time_series``: Spearman's correlation, clip by clip; NaN where a map is constant. Near 1, a
        map shows the input and the architecture, not what was learned.

    References
    ----------
    .. [1] Adebayo, J. et al. (2018). Sanity checks for saliency maps. NeurIPS.
    """
    nets = (model, randomised(model, seed=seed))
    learned, random = (grad_cam(net, frames, anchors, anchor_of, target=target, part=part) for net in nets)
    return {
        "spatial": rank_correlation(learned.spatial, random.spatial),
        "time_series": rank_correlation(learned.time_series, random.time_series),
    }


def _of_part(
    of_branch: Callable[[BranchView, Tensor], _Result],
    difference: Callable[[_Result, _Result], _Result],
    model: nn.Module,
    frames: Tensor,
    anchors: Tensor | None,
    anchor_of: Tensor | None,
    target: Target,
    part: Part,
) -> _Result:
    """Explain a branch, or both and their difference."""
    if part not in get_args(Part):
        raise ValueError(f"part is {part!r}; expected one of {', '.join(get_args(Part))}")

    def explain(branch: Branch) -> _Result:
        own, other = (smiles, beside) if branch == "smile" or beside is None else (beside, smiles)
        return of_branch(BranchView(model, other, branch=branch, target=target), own)

    with explaining(model):
        smiles, beside = branches(model, frames, anchors, anchor_of)
        return difference(explain("smile"), explain("anchor")) if part == "difference" else explain(part)


def _weighted(view: BranchView, own: Tensor) -> Tensor:
    """Activations weighted by alpha and summed over channels (N, T', H', W'), before any ReLU.

    Linear in the activations, so that a mean over an axis may be taken afterwards and rectified as Eqs. 2 and 3 do.
    """
    return LayerGradCam(view, view.model.get_submodule("encoder").target).attribute(own)[:, 0].detach().cpu()


def _guided(view: BranchView, own: Tensor) -> Floats:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Setting backward hooks on ReLU")
        return GuidedBackprop(view).attribute(own.clone().requires_grad_()).detach().cpu().numpy()


def _apart(one: Floats, other: Floats) -> Floats:
    return np.abs(one - other)
