"""What the published code does otherwise, against batches that are padded in front as it pads them."""

import plain_realsmilenet as plain
import pytest
import torch
from plain_realsmilenet import double, trained_looking
from torch import Tensor, nn

LENGTHS = [2, 5, 1, 5]


def padded_in_front(frames: Tensor, lengths: list[int]) -> Tensor:
    """Clips (N, 3, T, S, S) as images with rows and columns exchanged, zero before each clip: (N, T, 3, S, S)."""
    batch = frames.new_zeros(len(frames), max(lengths), 3, *frames.shape[3:])
    for row, clip, length in zip(batch, frames, lengths, strict=True):
        row[-length:] = clip[:, :length].permute(1, 0, 3, 2)
    return batch.double()


def test_attention_runs_over_the_padding_and_images_are_transposed():
    model = trained_looking("realsmilenet-released")
    frames = torch.rand(4, 3, 5, 48, 48)
    batch = padded_in_front(frames, LENGTHS)
    before = torch.cat([batch[:, :1], batch[:, :-1]], 1)
    tsa, fpn, convlstm = (double(getattr(model.encoder, part)) for part in ("tsa", "fpn", "convlstm"))
    states = []
    for row, row_before, length in zip(batch, before, LENGTHS, strict=True):
        seen = [plain.attention(tsa, x, y) for x, y in zip(row[-length:], row_before[-length:], strict=True)]
        states.append(plain.convlstm(convlstm, [plain.fpn(fpn, frame) for frame in seen]))
    with torch.inference_mode():
        result = model.encoder(frames, torch.tensor(LENGTHS))
        ours = trained_looking("realsmilenet").encoder
        ours.load_state_dict(model.encoder.state_dict())
        upright = ours(frames.transpose(3, 4), torch.tensor(LENGTHS))
    torch.testing.assert_close(result.double(), torch.stack(states), atol=1e-4, rtol=1e-3)
    # The longest clips are not padded; to them the transposition is all that differs.
    torch.testing.assert_close(upright[[1, 3]], result[[1, 3]], atol=1e-5, rtol=1e-4)
    assert (upright - result)[[0, 2]].abs().amax((1, 2, 3)).min() > 0.01


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_lstm_and_gru_read_zeros_before_each_clip(kind):
    model = trained_looking(f"realsmilenet-{kind}-released")
    frames = torch.rand(4, 3, 5, 48, 48)
    fpn, head = double(model.encoder.fpn), double(model.head)
    rnn = {"lstm": nn.LSTM, "gru": nn.GRU}[kind](864, 256, batch_first=True).double()
    rnn.load_state_dict(model.encoder.recurrence.rnn.state_dict())
    expected = []
    for row, length in zip(padded_in_front(frames, LENGTHS), LENGTHS, strict=True):
        zeros = [torch.zeros(864, dtype=torch.float64)] * (max(LENGTHS) - length)
        features = torch.stack(zeros + [plain.fpn(fpn, frame).flatten() for frame in row[-length:]])
        expected.append(rnn(features[None])[0][0, -1] @ head["linear.weight"][0] + head["linear.bias"][0])
    with torch.inference_mode():
        logits = model(frames, torch.tensor(LENGTHS))
    torch.testing.assert_close(logits.double(), torch.stack(expected), atol=1e-4, rtol=1e-3)


BACKBONES = {
    "mini-resnet": lambda state, x: plain.resnet(state, x, blocks=2, input_norm=False),
    "mini-densenet": lambda state, x: plain.densenet(state, x, third_mean=True, input_norm=False),
    "mini-alexnet": lambda state, x: plain.alexnet(state, x, third_pool=True, input_norm=False),
}


@pytest.mark.parametrize("name", BACKBONES)
def test_other_backbones_have_no_attention_and_their_own_head(name):
    model = trained_looking(f"realsmilenet-{name}-released")
    assert model.encoder.tsa is None
    frames = torch.rand(2, 3, 3, 48, 48)
    fpn, convlstm, head = double(model.encoder.fpn), double(model.encoder.convlstm), double(model.head)
    expected = []
    for row, length in zip(padded_in_front(frames, [3, 1]), [3, 1], strict=True):
        x = plain.convlstm(convlstm, [BACKBONES[name](fpn, frame) for frame in row[-length:]])
        assert x.shape[0] == 64
        x = model.head.nonlocal_block.double()(x[None])
        x = plain.norm(head, "norm", plain.conv(head, "conv", x, padding=0)).relu()
        pooled = nn.functional.adaptive_avg_pool2d(x, 2).flatten()
        expected.append(pooled @ head["linear.weight"][0] + head["linear.bias"][0])
    model.head.nonlocal_block.float()
    with torch.inference_mode():
        logits = model(frames, torch.tensor([3, 1]))
    torch.testing.assert_close(logits.double(), torch.stack(expected), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", [name for name in plain.names() if name.endswith("-released")])
def test_released_networks_see_transposed_images(name):
    model = trained_looking(name)
    seen = []
    model.encoder.fpn.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    frames = torch.rand(1, 3, 1, 48, 48)
    with torch.inference_mode():
        model(frames, torch.tensor([1]))
    # A single frame has no difference: the attention adds its bias times the frame.
    bias = torch.zeros(3) if model.encoder.tsa is None else model.encoder.tsa.conv.bias
    expected = frames[:, :, 0].transpose(2, 3) * (1 + bias[:, None, None])
    torch.testing.assert_close(seen[0], expected.detach())
