"""RealSmileNet's parts and the networks in place of its FPN once more, a frame at a time, in float64."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from smilelab import models

State = dict[str, Tensor]


def names() -> list[str]:
    return [name for name in models.names() if name.startswith("realsmilenet")]


def trained_looking(name: str, **options) -> nn.Module:
    """A model in eval mode whose every weight and statistic has been moved off its starting value."""
    model = models.build(name, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            # In proportion to what a layer of this many inputs bears: deep networks would only saturate otherwise.
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 25
            parameter.add_(torch.randn_like(parameter) / fan_in**0.5)
        for key, buffer in model.named_buffers():
            if key.endswith("running_mean"):
                buffer.normal_(0, 0.2)
            elif key.endswith("running_var"):
                buffer.uniform_(0.5, 2)
    return model.eval()


def scored(model: nn.Module, frames: Tensor, lengths: Tensor) -> Tensor:
    """Logits of clips; a model that wants anchors gets the first frames of all the clips, brightened, as theirs."""
    if model.anchor_rule == "none":
        return model(frames, lengths)
    return model(frames, lengths, (frames[:, :, :1] * 1.2).contiguous())


def double(module: nn.Module) -> State:
    return {key: value.detach().double() for key, value in module.state_dict().items()}


def conv(state: State, name: str, x: Tensor, *, stride: int = 1, padding: int | None = None) -> Tensor:
    weight = state[f"{name}.weight"]
    padding = weight.shape[-1] // 2 if padding is None else padding
    return functional.conv2d(x, weight, state.get(f"{name}.bias"), stride, padding)


def norm(state: State, name: str, x: Tensor) -> Tensor:
    column = {key: state[f"{name}.{key}"][:, None, None] for key in ("running_mean", "running_var", "weight", "bias")}
    scaled = (x - column["running_mean"]) / (column["running_var"] + 1e-5).sqrt()
    return scaled * column["weight"] + column["bias"]


def mean2x2(x: Tensor) -> Tensor:
    return (x[..., ::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, ::2] + x[..., 1::2, 1::2]) / 4


def fpn(state: State, frame: Tensor) -> Tensor:
    x = norm(state, "norm", frame)
    x = mean2x2(norm(state, "norm1", conv(state, "conv1", x)).relu())
    return mean2x2(norm(state, "norm2", conv(state, "conv2", x)).relu())


def resnet(state: State, frame: Tensor, *, blocks: int, input_norm: bool) -> Tensor:
    x = norm(state, "norm", frame) if input_norm else frame
    x = norm(state, "norm1", conv(state, "conv", x)).relu()
    for stage in (1, 2, 3):
        for block in range(blocks):
            at, stride = f"stage{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            inner = norm(state, f"{at}.norm1", conv(state, f"{at}.conv1", x, stride=stride)).relu()
            inner = norm(state, f"{at}.norm2", conv(state, f"{at}.conv2", inner))
            if stride == 2:
                x = norm(state, f"{at}.shortcut.norm", conv(state, f"{at}.shortcut.conv", x, stride=2))
            x = (x + inner).relu()
    return x


def densenet(state: State, frame: Tensor, *, third_mean: bool, input_norm: bool) -> Tensor:
    maps = conv(state, "conv", norm(state, "norm", frame) if input_norm else frame)
    for number, layers in enumerate((6, 12, 24, 16), start=1):
        for layer in range(layers):
            at = f"block{number}.{layer}"
            inner = conv(state, f"{at}.conv1", norm(state, f"{at}.norm1", maps).relu())
            new = conv(state, f"{at}.conv2", norm(state, f"{at}.norm2", inner).relu())
            assert new.shape[0 if new.ndim == 3 else 1] == 2
            maps = torch.cat([maps, new], -3)
        if number < 4:
            at = f"transition{number}"
            maps = conv(state, f"{at}.conv", norm(state, f"{at}.norm", maps).relu())
        if number < 3:
            maps = mean2x2(maps)
        elif number == 3 and third_mean:
            maps = (maps[..., :-1, :-1] + maps[..., :-1, 1:] + maps[..., 1:, :-1] + maps[..., 1:, 1:]) / 4
    return norm(state, "norm1", maps).relu()


def alexnet(state: State, frame: Tensor, *, third_pool: bool, input_norm: bool) -> Tensor:
    x = norm(state, "norm", frame) if input_norm else frame
    for number in range(1, 6):
        x = conv(state, f"conv{number}", x).relu()
        if number <= 2 or (number == 5 and third_pool):
            # Overlapping 3x3 windows around every other pixel; outside counts for nothing, since nothing is below 0.
            padded = functional.pad(x, (1, 1, 1, 1))
            height, width = x.shape[-2:]
            shifted = [padded[..., i : i + height : 2, j : j + width : 2] for i in range(3) for j in range(3)]
            x = torch.stack(shifted).amax(0)
    return x


def attention(state: State, frame: Tensor, before: Tensor) -> Tensor:
    return conv(state, "conv", frame - before) * frame + frame


def convlstm(state: State, features: list[Tensor]) -> Tensor:
    """The paper's equations for one clip's features (C, h, w), with a convolution of its own for each gate."""
    weights, biases = state["conv.weight"].chunk(4), state["conv.bias"].chunk(4)
    h = c = features[0].new_zeros(len(weights[0]), *features[0].shape[1:])
    for e in features:
        u = torch.cat([e, h])
        i, f, o, g = (functional.conv2d(u, w, b, padding=1) for w, b in zip(weights, biases, strict=True))
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
    return h
