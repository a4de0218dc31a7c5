"""RealSmileNet against plain, independently written computations of its parts."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from smilelab import models
from smilelab.models.convlstm import ConvLSTM
from smilelab.models.convolution import BlockConvolution, BlockMean, RowConvolution
from smilelab.models.realsmilenet import NonLocal, Packing, TemporalSpatialAttention


def trained_looking(**options) -> nn.Module:
    """A model whose every weight and statistic has been moved off its starting value."""
    model = models.build("realsmilenet", **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.2)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
    return model.eval()


def test_parameters_sum_to_the_papers_count():
    conv = lambda i, o, k: i * o * k * k + o  # noqa: E731
    norm = lambda c: 2 * c  # noqa: E731
    tsa = conv(3, 3, 3)
    fpn = norm(3) + conv(3, 4, 3) + norm(4) + conv(4, 6, 3) + norm(6)
    convlstm = conv(6 + 8, 4 * 8, 3)
    head = 3 * conv(8, 4, 1) + conv(4, 8, 1) + norm(8) + conv(8, 10, 2) + norm(10) + (250 + 1)
    model = models.build("realsmilenet")
    count = lambda module: sum(p.numel() for p in module.parameters())  # noqa: E731
    assert tsa + fpn + convlstm + head == 5273 == count(model)
    assert (count(model.encoder), count(model.head)) == (tsa + fpn + convlstm, head)
    assert count(models.build("realsmilenet", tsa=False)) == 5273 - tsa


def test_a_clip_scores_the_same_alone_and_beside_longer_ones():
    model = trained_looking()
    lengths = torch.tensor([4, 11, 1, 7])
    frames = torch.rand(4, 3, 11, 48, 48)
    with torch.inference_mode():
        together = model(frames, lengths)
        alone = torch.cat([model(frames[i : i + 1, :, :n], torch.tensor([n])) for i, n in enumerate(lengths.tolist())])
    assert together.std() > 1e-3
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@settings(max_examples=12, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    extra=st.integers(0, 3),
    garbage=st.sampled_from([0.0, 1e30, math.nan, math.inf]),
)
def test_what_pads_a_batch_is_never_read(lengths, extra, garbage):
    longest = max(lengths) + extra
    clean = torch.rand(len(lengths), 3, longest, 24, 24)
    dirty = clean.clone()
    for clip, length in enumerate(lengths):
        dirty[clip, :, length:] = garbage
    counts = torch.tensor(lengths)
    results = []
    for frames in (clean, dirty, clean[:, :, : max(lengths)]):
        torch.manual_seed(3)
        model = trained_looking(size=24)
        with torch.inference_mode():
            scores = model(frames, counts)
        model.train()
        loss = model(frames, counts).sum()
        loss.backward()
        results.append([scores, loss.detach(), *model.buffers(), *(p.grad for p in model.parameters())])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("lengths", [[1], [5], [3, 1, 5]])
def test_every_parameter_gets_a_gradient(lengths):
    model = trained_looking(feature_dropout=0.0, dropout=0.0).train()
    model(torch.rand(len(lengths), 3, 5, 48, 48), torch.tensor(lengths)).sum().backward()
    without = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    # A single frame has no difference for the attention to weight; only its bias is reached.
    assert without == ({"encoder.tsa.conv.weight"} if lengths == [1] else set())


def test_one_clip_of_one_frame_can_be_scored_and_trained_on():
    model = models.build("realsmilenet")
    frames, length = torch.rand(1, 3, 1, 48, 48), torch.tensor([1])
    for mode in (True, False):
        logit = model.train(mode)(frames, length)
        assert logit.shape == (1,)
        assert logit.isfinite().all()


@pytest.mark.parametrize(("size", "side"), [(24, 2), (28, 2), (48, 5), (96, 11)])
def test_the_last_layer_follows_the_size(size, side):
    model = models.build("realsmilenet", size=size)
    assert model.head.linear.in_features == 10 * side**2
    assert model(torch.rand(2, 3, 2, size, size), torch.tensor([2, 1])).shape == (2,)


def test_attention_is_the_printed_equation_pixel_by_pixel():
    tsa = TemporalSpatialAttention()
    nn.init.normal_(tsa.conv.weight)
    nn.init.normal_(tsa.conv.bias)
    frames, before = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    weight, bias = tsa.conv.weight.detach().numpy().astype(float), tsa.conv.bias.detach().numpy().astype(float)
    x, change = frames.numpy().astype(float), (frames - before).numpy().astype(float)
    expected = np.empty_like(x)
    for n, c, i, j in np.ndindex(x.shape):
        total = bias[c]
        for k, di, dj in np.ndindex(3, 3, 3):
            row, column = i + di - 1, j + dj - 1
            if 0 <= row < 8 and 0 <= column < 8:
                total += weight[c, k, di, dj] * change[n, k, row, column]
        expected[n, c, i, j] = total * x[n, c, i, j] + x[n, c, i, j]
    np.testing.assert_allclose(tsa(frames, before).detach().numpy(), expected, atol=1e-5)


def test_attention_starts_as_the_summed_change():
    x, before = torch.rand(3, 3, 16, 16), torch.rand(3, 3, 16, 16)
    expected = (x - before).sum(1, keepdim=True) * x + x
    torch.testing.assert_close(TemporalSpatialAttention()(x, before), expected)


def test_first_difference_is_zero_and_later_ones_are_to_the_frame_before():
    model = trained_looking(size=24)
    seen = []
    model.encoder.tsa.register_forward_hook(lambda module, inputs, output: seen.append(inputs))
    frames, lengths = torch.rand(3, 3, 4, 24, 24), torch.tensor([2, 4, 3])
    model(frames, lengths)
    packing = Packing.of(lengths)
    ((now, before),) = seen
    for clip, time, x, y in zip(packing.clip.tolist(), packing.time.tolist(), now, before, strict=True):
        assert torch.equal(x, frames[clip, :, time])
        assert torch.equal(y, frames[clip, :, max(time - 1, 0)])


@given(st.lists(st.integers(1, 9), min_size=1, max_size=7))
def test_packing_holds_each_valid_frame_once_and_unpacks_it(lengths):
    packing = Packing.of(torch.tensor(lengths))
    assert sorted(zip(packing.clip.tolist(), packing.time.tolist(), strict=True)) == [
        (clip, time) for clip, length in enumerate(lengths) for time in range(length)
    ]
    assert list(packing.running) == [sum(n > t for n in lengths) for t in range(max(lengths))]
    assert packing.clip[packing.last].tolist() == list(range(len(lengths)))
    assert packing.time[packing.last].tolist() == [n - 1 for n in lengths]
    assert torch.equal(packing.clip[packing.previous], packing.clip)
    assert torch.equal(packing.time[packing.previous], (packing.time - 1).clamp(min=0))
    marks = (10 * packing.clip + packing.time + 1.0)[:, None, None, None]
    for clip, row in enumerate(packing.unpack(marks)[:, 0, :, 0, 0]):
        expected = [10 * clip + t + 1.0 if t < lengths[clip] else 0.0 for t in range(max(lengths))]
        assert row.tolist() == expected


def gate_by_gate(module: ConvLSTM, clip: torch.Tensor) -> torch.Tensor:
    """The paper's equations for one clip (T, 6, h, w), with a convolution of its own for each gate."""
    weights, biases = module.conv.weight.chunk(4), module.conv.bias.chunk(4)
    h = c = torch.zeros(1, 8, *clip.shape[2:], dtype=clip.dtype)
    for e in clip:
        u = torch.cat([e[None], h], 1)
        i, f, o, g = (nn.functional.conv2d(u, w, b, padding=1) for w, b in zip(weights, biases, strict=True))
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
    return h[0]


@pytest.mark.parametrize("lengths", [[6], [1, 1], [2, 5, 1, 5, 3]])
def test_convlstm_and_its_gradients_against_four_gate_convolutions(lengths):
    module, packing = ConvLSTM(), Packing.of(torch.tensor(lengths))
    clips = [torch.randn(n, 6, 12, 12, requires_grad=True) for n in lengths]
    packed = torch.stack([clips[i][t] for i, t in zip(packing.clip.tolist(), packing.time.tolist(), strict=True)])
    ours = module(packed, packing.previous, packing.running)[packing.last]
    plain = torch.stack([gate_by_gate(module, clip) for clip in clips])
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
    upstream = torch.randn_like(ours)
    inputs = [*clips, module.conv.weight, module.conv.bias]
    for a, b in zip(
        torch.autograd.grad(ours, inputs, upstream), torch.autograd.grad(plain, inputs, upstream), strict=True
    ):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_convlstm_passes_gradients_of_every_step():
    module, packing = ConvLSTM(), Packing.of(torch.tensor([3]))
    clip = torch.randn(3, 6, 8, 8, requires_grad=True)
    every = module(clip, packing.previous, packing.running)
    plain = torch.stack([gate_by_gate(module, clip[: t + 1]) for t in range(3)])
    torch.testing.assert_close(every, plain, atol=1e-5, rtol=1e-5)
    upstream = torch.randn_like(every)
    (a,), (b,) = torch.autograd.grad(every, clip, upstream), torch.autograd.grad(plain, clip, upstream)
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("side", [8, 12, 10])
@pytest.mark.parametrize("channels", [(3, 3), (3, 4), (4, 6)])
@pytest.mark.parametrize("layer", [RowConvolution, BlockConvolution])
def test_rearranged_convolutions_equal_the_plain_one(layer, channels, side):
    module = layer(*channels)
    x = torch.randn(3, channels[0], side, side, requires_grad=True)
    y = module(x)
    plain = nn.functional.conv2d(x, module.weight, module.bias, padding=1)
    if layer is BlockConvolution:
        corners = [plain[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]
        torch.testing.assert_close(BlockMean()(y), nn.functional.avg_pool2d(plain, 2), atol=1e-5, rtol=1e-5)
        plain = torch.cat(corners, dim=2)
    torch.testing.assert_close(y, plain, atol=1e-5, rtol=1e-5)
    upstream = torch.randn_like(y)
    inputs = [x, module.weight, module.bias]
    for a, b in zip(
        torch.autograd.grad(y, inputs, upstream), torch.autograd.grad(plain, inputs, upstream), strict=True
    ):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_nonlocal_block_against_sums_over_positions():
    block = NonLocal().eval()
    nn.init.normal_(block.norm.weight)
    nn.init.normal_(block.norm.bias)
    x = torch.randn(2, 8, 12, 12)
    array = {name: value.numpy().astype(float) for name, value in block.state_dict().items()}
    linear = lambda name, v: (  # noqa: E731
        np.einsum("oc,nchw->nohw", array[f"{name}.weight"][:, :, 0, 0], v) + array[f"{name}.bias"][:, None, None]
    )
    pooled = lambda v: v.reshape(2, 4, 6, 2, 6, 2).max((3, 5)).reshape(2, 4, 36)  # noqa: E731
    v = x.numpy().astype(float)
    query = linear("query", v).reshape(2, 4, 144)
    affinity = np.einsum("ncp,ncq->npq", query, pooled(linear("key", v))) / 36
    gathered = np.einsum("npq,ncq->ncp", affinity, pooled(linear("value", v))).reshape(2, 4, 12, 12)
    scale = array["norm.weight"] / np.sqrt(1 + block.norm.eps)
    expected = v + linear("out", gathered) * scale[:, None, None] + array["norm.bias"][:, None, None]
    np.testing.assert_allclose(block(x).detach().numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_nonlocal_block_starts_as_the_identity(training):
    x = torch.randn(2, 8, 12, 12)
    assert torch.equal(NonLocal().train(training)(x), x)


def test_channel_dropout_acts_on_each_frame_by_itself():
    fpn = models.build("realsmilenet").encoder.fpn.train()
    nn.init.ones_(fpn.norm2.bias)
    dropped = (fpn(torch.rand(400, 3, 16, 16)) == 0).all(3).all(2)
    assert not (dropped == dropped[0]).all()
    assert 0.15 < dropped.float().mean() < 0.25


def test_scoring_in_blocks_and_in_bfloat16_agree_with_all_at_once():
    model = trained_looking()
    frames, lengths = torch.rand(3, 3, 9, 48, 48), torch.tensor([9, 2, 6])
    with torch.inference_mode():
        whole = model(frames, lengths)
        model.encoder.block = 4
        torch.testing.assert_close(model(frames, lengths), whole, atol=1e-5, rtol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(model(frames, lengths).float(), whole, atol=0.15, rtol=0.05)


def test_gradients_reach_the_frames():
    frames = torch.rand(2, 3, 3, 48, 48, requires_grad=True)
    trained_looking()(frames, torch.tensor([2, 3])).sum().backward()
    reached = frames.grad.abs().sum((1, 3, 4)) > 0
    assert reached.tolist() == [[True, True, False], [True, True, True]]


def test_activations_are_modules():
    model = models.build("realsmilenet")
    assert sum(isinstance(module, nn.ReLU) for module in model.modules()) == 3


@pytest.mark.parametrize(
    ("shape", "lengths", "message"),
    [
        ((3, 2, 48, 48), [2], "expected \\(N, 3, T, 48, 48\\)"),
        ((0, 3, 2, 48, 48), [], "N at least 1"),
        ((1, 1, 2, 48, 48), [2], "expected \\(N, 3, T, 48, 48\\)"),
        ((1, 3, 2, 32, 32), [2], "built for 48x48"),
        ((1, 3, 2, 48, 48), [0], "from 0 to 0; expected 1 to 2"),
        ((1, 3, 2, 48, 48), [3], "from 3 to 3; expected 1 to 2"),
        ((1, 3, 2, 48, 48), [2, 2], "one integer for each of the 1 clips"),
        ((1, 3, 2, 48, 48), [1.5], "one integer"),
    ],
)
def test_input_that_does_not_fit_is_refused(shape, lengths, message):
    lengths = torch.tensor(lengths) if lengths else torch.zeros(0, dtype=torch.int64)
    with pytest.raises(ValueError, match=message):
        models.build("realsmilenet")(torch.rand(shape), lengths)


def test_bytes_are_refused():
    with pytest.raises(ValueError, match="divide bytes by 255"):
        models.build("realsmilenet")(torch.zeros(1, 3, 2, 48, 48, dtype=torch.uint8), torch.tensor([2]))


def test_the_registry_names_what_it_has():
    assert "realsmilenet" in models.names()
    with pytest.raises(ValueError, match=r"unknown model 'resnet9000'; expected one of .*realsmilenet"):
        models.build("resnet9000")
    with pytest.raises(ValueError, match="no option 'depth'; it has size, tsa"):
        models.build("realsmilenet", depth=3)
    for size in (20, 50):
        with pytest.raises(ValueError, match=f"size is {size}"):
            models.build("realsmilenet", size=size)
    with pytest.raises(ValueError, match="two models"):
        models.register("realsmilenet")(nn.Identity)
