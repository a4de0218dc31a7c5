"""Score-CAM of clips (Yang et al. 2020, Fig. 4): which places of which frames carry what the network scores.

Maps are returned raw: at the resolution of the layer, in units of its activations, one a frame. `cam.upsample` brings
them to the size of the frames; drawing is elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from smilelab.datasets import POSED, SPONTANEOUS
from smilelab.explain.branch import explaining
from smilelab.explain.cam import Floats, Target, randomised, rank_correlation
from smilelab.models.realsmilenet import Packing
from smilelab.models.realsmilenet_released import ReleasedEncoder, ReleasedRecurrentEncoder


def score_cam(
    model: nn.Module,
    frames: Tensor,
    lengths: Tensor | None = None,
    *,
    target: Target,
    layer: nn.Module | None = None,
    batch_size: int = 32,
) -> Floats:
    """Score-CAM [1]_ of clips, or of pictures.

    Each channel of a layer, scaled to [0, 1] over the valid frames of a clip and upsampled to them, masks the clip: the
    frames are multiplied by it. What the network answers to the masked clip is the channel's score, the softmax of the
    scores over the channels is their weights, and the map is the ReLU of the weighted sum of activations.

    Parameters
    ----------
    model : torch.nn.Module
        Returns logits (N,) of the spontaneous class, or (N, classes). It is used in evaluation mode and returned as it
        was.
    frames : Tensor, float (N, 3, T, S, S)
        RGB in [0, 1]; or pictures (N, C, H, W), for networks that take these.
    lengths : Tensor, int (N,), optional
        Valid frames of each clip. With them the model is called ``model(frames, lengths)``, without them
        ``model(frames)``.
    target : int or (N,) ints
        Class to explain: 1 spontaneous or 0 posed; for a network of several outputs, the number of one.
    layer : torch.nn.Module, optional
        A module that is called once, with one row a clip. By default the FPN of the RealSmileNet family
        (``model.encoder.fpn``, whose packed frames are put back in place), or ``model.encoder.target`` of the 3D
        DenseNets.
    batch_size : int
        Masked clips that are scored at once; does not change the maps.

    Returns
    -------
    (N, T, h, w) float32 array
        Of the FPN a map a frame, zero where a clip has no frame; else with the axes of the layer, (N, h, w) for
        pictures. Not negative. No map depends on its batch, and none on padding, unless the network's scores do as
        those of the ``-released`` ones.

    Raises
    ------
    ValueError
        An unknown class, a network that compares with an anchor, a layer that cannot be found or does not fit, or a
        batch size below 1.

    Notes
    -----
    A network of one logit z is one of two with the score z for spontaneous and -z for posed, its log odds: as in our
    Grad-CAM. The softmax over channels then weights each by the odds of the class under its mask. The method's paper
    subtracts the score of a baseline picture, which no softmax sees. It scores before the softmax over *classes*, as
    torchcam does and as is done here; the code that Yang et al. cite [2]_ weights by class probabilities, adds one
    everywhere and rescales each map for display. With few channels of like odds such weights are nearly equal, and
    then the maps show what the layer responds to more than what the classes differ in.

    Our extension to clips: a mask is a sequence of frames, scaled by its extremes over the whole clip, so that frames
    stay comparable, and upsampled in space alone where the layer keeps time.

    References
    ----------
    .. [1] Wang, H. et al. (2020). Score-CAM: Score-weighted visual explanations for convolutional neural networks.
       CVPR workshops.
    .. [2] Ozbulak, U. (2019). PyTorch CNN visualizations.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; expected 1 or more masked clips at once")
    if hasattr(getattr(model, "head", None), "distance"):
        raise ValueError(
            "found a network that compares a clip with an anchor; expected one of clips alone: give the same network "
            "without anchor, or explain a Siamese 3D DenseNet with smilelab.explain.cam.grad_cam"
        )
    frames = frames.detach()
    with explaining(model), torch.inference_mode():
        logits = _logits(model, frames, lengths)
        targets = _targets(target, logits)
        activations, valid = _activations(model, frames, lengths, layer)
        low = activations.masked_fill(~valid, torch.inf).flatten(2).amin(2)
        high = activations.masked_fill(~valid, -torch.inf).flatten(2).amax(2)
        shape = (*low.shape, *(1 for _ in activations.shape[2:]))
        # The tiny number keeps the mask of a constant channel zero; torchcam adds the same one.
        masks = (activations - low.view(shape)) / (high - low + 1e-8).view(shape)
        scores = torch.empty_like(low).flatten()
        pairs = torch.arange(len(scores), device=frames.device)
        mode = "bilinear" if frames.ndim == 4 else "trilinear"
        for some in pairs.split(batch_size):
            clip = some // low.shape[1]
            mask = nn.functional.interpolate(
                masks.flatten(0, 1)[some, None], frames.shape[2:], mode=mode, align_corners=False
            )
            lengths_of = None if lengths is None else lengths[clip.to(lengths.device)]
            scores[some] = _of_class(_logits(model, frames[clip] * mask, lengths_of), targets[clip])
        weights = scores.view_as(low).softmax(1).view(shape)
        return (weights * activations).sum(1).relu().cpu().numpy()


def randomisation_check(
    model: nn.Module, frames: Tensor, lengths: Tensor, *, target: Target, seed: int = 0, batch_size: int = 32
) -> NDArray[np.float64]:
    """Rank correlation of each clip's Score-CAM with that of the same network with shuffled weights.

    Parameters
    ----------
    model, frames, lengths, target, batch_size
        As in `score_cam`, for the RealSmileNet family.
    seed : int
        See `cam.randomised`.

    Returns
    -------
    (N,) array
        Spearman's correlation over the valid frames; NaN where a map is constant. Near 1, a map shows the input and the
        architecture, not what was learned.
    """
    nets = (model, randomised(model, seed=seed))
    learned, random = (score_cam(net, frames, lengths, target=target, batch_size=batch_size) for net in nets)
    pairs = zip(learned, random, lengths.tolist(), strict=True)
    return np.array([rank_correlation(one[None, :n], other[None, :n])[0] for one, other, n in pairs])


def shares_of_time(mass: Sequence[float] | NDArray[np.floating], parts: int = 3) -> NDArray[np.float64]:
    """How much of a clip's map lies in each of equal parts of its time.

    Parameters
    ----------
    mass : (T,) floats
        Sum or mean of each frame's map. A frame counts for 1 / T of the time, so one on a border is divided.
    parts : int
        Their number.

    Returns
    -------
    (parts,) array
        Shares; 1 / parts each for a constant mass. NaN where the map is empty.
    """
    summed = np.concatenate([[0.0], np.cumsum(np.asarray(mass, np.float64))])
    if summed[-1] <= 0:
        return np.full(parts, np.nan)
    at = np.interp(np.linspace(0, 1, parts + 1), np.linspace(0, 1, len(summed)), summed)
    return np.asarray(np.diff(at) / summed[-1])


def _logits(model: nn.Module, frames: Tensor, lengths: Tensor | None) -> Tensor:
    output: Tensor = model(frames) if lengths is None else model(frames, lengths)
    if output.shape[:1] != frames.shape[:1] or output.ndim > 2:
        raise ValueError(
            f"the network answers {len(frames)} clips with shape {tuple(output.shape)}; expected logits "
            f"({len(frames)},) or ({len(frames)}, classes)"
        )
    return output


def _targets(target: Target, logits: Tensor) -> Tensor:
    """Class of each clip (N,), checked against what the network answers."""
    classes = (POSED, SPONTANEOUS) if logits.ndim == 1 else tuple(range(logits.shape[1]))
    found = np.asarray(target)
    if found.shape not in ((), (len(logits),)) or not np.isin(found, classes).all():
        meaning = f" ({POSED} posed, {SPONTANEOUS} spontaneous)" if logits.ndim == 1 else ""
        raise ValueError(
            f"target is {target}; expected one of {', '.join(map(str, classes))}{meaning}, for all or for each of the "
            f"{len(logits)} clips"
        )
    return torch.from_numpy(np.broadcast_to(found, len(logits)).astype(np.int64)).to(logits.device)


def _of_class(logits: Tensor, targets: Tensor) -> Tensor:
    """Score (n,) of each row's class."""
    if logits.ndim == 1:
        return torch.where(targets == SPONTANEOUS, logits, -logits).float()
    return logits.gather(1, targets[:, None])[:, 0].float()


def _activations(
    model: nn.Module, frames: Tensor, lengths: Tensor | None, layer: nn.Module | None
) -> tuple[Tensor, Tensor]:
    """Output of the layer, (N, C, ...), and which places of it belong to a clip, of a shape that spreads to it."""
    encoder: Any = getattr(model, "encoder", None)
    fpn = getattr(encoder, "fpn", None)
    if fpn is not None and layer in (None, fpn) and lengths is not None:
        packing = Packing.of(lengths, frames.device)
        found = packing.unpack(encoder.features(frames, packing)).float()
        if isinstance(encoder, ReleasedEncoder | ReleasedRecurrentEncoder):
            found = found.transpose(3, 4)  # rows of its maps are columns of the pictures
        times = torch.arange(frames.shape[2], device=frames.device)
        valid = (times < lengths.to(frames.device)[:, None])[:, None, :, None, None]
        # Packing ends with the longest clip, a batch need not.
        missing = frames.shape[2] - found.shape[2]
        return nn.functional.pad(found, (0, 0, 0, 0, 0, missing)), valid
    layer = layer or getattr(encoder, "target", None)
    if layer is None:
        raise ValueError(
            f"{type(model).__name__} has neither encoder.fpn (and lengths) nor encoder.target; expected the layer to "
            "explain: give layer="
        )
    seen: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output.detach()))
    try:
        _logits(model, frames, lengths)
    finally:
        hook.remove()
    if len(seen) != 1 or seen[0].ndim != frames.ndim or len(seen[0]) != len(frames):
        raise ValueError(
            f"the layer gave {[tuple(output.shape) for output in seen]} for frames {tuple(frames.shape)}; expected one "
            "map with as many rows and axes as the frames: give a convolutional layer that is called once"
        )
    found = seen[0].float()
    return found, torch.ones((1,) * found.ndim, dtype=torch.bool, device=found.device)
