"""The 3D DenseNet once more in float64 numpy, from its description alone, and small models to hold against it."""

import numpy as np
import torch
from torch import nn

from smilelab import models

# Every stage once, at sizes that take milliseconds: 8 frames become 4, 4 and 2; 32 pixels become 16, 8, 4 and 2.
# The embedding's input and output are multiples of 16 as in the paper's sizes: matrix products of other sizes may round
# two equal rows differently.
SMALL = {"size": 32, "frames": 8, "growth": 3, "stem": 5, "width": 16}


def trained_looking(model: nn.Module) -> nn.Module:
    """Move every weight and statistic off its starting value, so that each has a say in the output."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.2)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
    return model


def small(name: str, **options) -> nn.Module:
    """A small model in eval mode, every block of one or two layers unless its name fixes them."""
    if name in ("densenet3d", "siamese-neutral", "siamese-posed"):
        options = {"depth": 14} | options
    if "printed" not in name:
        options = {"last": 16} | options
    return trained_looking(models.build(name, **(SMALL | options))).eval()


def scored(model: nn.Module, frames: torch.Tensor) -> torch.Tensor:
    """Logits of clips; a model that wants anchors gets the clips backwards in time as theirs."""
    lengths = torch.full((len(frames),), frames.shape[2])
    return model(frames, lengths) if model.anchor_rule == "none" else model(frames, lengths, frames.flip(2))


def clips(count: int, **options) -> torch.Tensor:
    options = SMALL | options
    return torch.rand(count, 3, options["frames"], options["size"], options["size"])


def arrays(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy().astype(float) for name, value in module.state_dict().items()}


def norm_relu(w: dict[str, np.ndarray], name: str, x: np.ndarray, *, by_batch: bool = False) -> np.ndarray:
    """Batch norm by the running statistics, or by those of the batch, then ReLU."""
    column = lambda v: v[:, None, None, None]  # noqa: E731
    mean = x.mean((0, 2, 3, 4)) if by_batch else w[f"{name}.running_mean"]
    variance = x.var((0, 2, 3, 4)) if by_batch else w[f"{name}.running_var"]
    normal = (x - column(mean)) / np.sqrt(column(variance) + 1e-5)
    return np.maximum(normal * column(w[f"{name}.weight"]) + column(w[f"{name}.bias"]), 0)


def convolved(weight: np.ndarray, x: np.ndarray, stride: int = 1) -> np.ndarray:
    """A padded convolution as a sum over the taps of its kernel; `stride` is that in space, 1 in time."""
    k = weight.shape[-1]
    padded = np.pad(x, [(0, 0), (0, 0)] + [(k // 2, k // 2)] * 3)
    frames, rows, columns = x.shape[2:]
    total = 0.0
    for t, i, j in np.ndindex(k, k, k):
        shifted = padded[:, :, t : t + frames, i : i + rows : stride, j : j + columns : stride]
        total = total + np.einsum("oc,ncthw->nothw", weight[:, :, t, i, j], shifted)
    return total


def dense_block(w: dict[str, np.ndarray], prefix: str, x: np.ndarray, *, by_batch: bool = False) -> np.ndarray:
    layer = 0
    while f"{prefix}layers.{layer}.conv1.weight" in w:
        name = f"{prefix}layers.{layer}"
        inner = convolved(w[f"{name}.conv1.weight"], norm_relu(w, f"{name}.norm1", x, by_batch=by_batch))
        new = convolved(w[f"{name}.conv2.weight"], norm_relu(w, f"{name}.norm2", inner, by_batch=by_batch))
        x = np.concatenate([x, new], 1)
        layer += 1
    return x


def transition(w: dict[str, np.ndarray], prefix: str, x: np.ndarray, *, keep_time: bool) -> np.ndarray:
    """The mean of each 2x2x2 neighbourhood; where the time is kept, the last frame is its own neighbour."""
    y = convolved(w[f"{prefix}conv.weight"], norm_relu(w, f"{prefix}norm", x))
    frames, rows, columns = y.shape[2], y.shape[3] // 2, y.shape[4] // 2
    y = y[:, :, :, : 2 * rows, : 2 * columns].reshape(*y.shape[:3], rows, 2, columns, 2).mean((4, 6))
    if keep_time:
        return np.stack([(y[:, :, t] + y[:, :, min(t + 1, frames - 1)]) / 2 for t in range(frames)], 2)
    return np.stack([(y[:, :, t] + y[:, :, t + 1]) / 2 for t in range(0, frames - 1, 2)], 2)


def embedding(model: nn.Module, frames: torch.Tensor) -> np.ndarray:
    """What the encoder makes of clips (N, 3, T, S, S) in eval mode: (N, width)."""
    w = arrays(model.encoder)
    x = norm_relu(w, "stem.norm", convolved(w["stem.conv.weight"], frames.numpy().astype(float), stride=2))
    for number in (1, 2, 3, 4):
        x = dense_block(w, f"block{number}.", x)
        if number < 4:
            x = transition(w, f"transition{number}.", x, keep_time=number == 2)
    x = norm_relu(w, "last.norm", x)
    if "last.conv.weight" in w:
        x = convolved(w["last.conv.weight"], x)
    return x.mean((2, 3, 4)) @ w["fc.weight"].T + w["fc.bias"]
