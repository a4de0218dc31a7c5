"""What every RealSmileNet promises, and each variant's own part against a plain computation of it."""

import math
from importlib import resources

import plain_realsmilenet as plain
import pytest
import torch
from plain_realsmilenet import double, scored, trained_looking
from safetensors.torch import load_file
from torch import nn

from smilelab import models
from smilelab.models.backbones import MiniAlexNet, MiniDenseNet, MiniResNet
from smilelab.models.realsmilenet import FeatureProcessing, Head, Packing, TemporalSpatialAttention
from smilelab.models.realsmilenet_released import ReleasedHead

PARAMETERS = {
    "realsmilenet": 5_273,
    "realsmilenet-no-tsa": 5_189,
    "realsmilenet-unweighted": 5_273,
    "realsmilenet-softmax": 5_524,
    "realsmilenet-neutral": 5_273,
    "realsmilenet-posed": 5_273,
    "realsmilenet-mini-resnet": 99_015,
    "realsmilenet-mini-densenet": 53_751,
    "realsmilenet-mini-alexnet": 175_175,
    "realsmilenet-lstm": 1_149_629,
    "realsmilenet-gru": 862_397,
    "realsmilenet-released": 5_273,
    "realsmilenet-mini-resnet-released": 524_897,
    "realsmilenet-mini-densenet-released": 382_417,
    "realsmilenet-mini-alexnet-released": 503_841,
    "realsmilenet-lstm-released": 1_149_545,
    "realsmilenet-gru-released": 862_313,
}
NAMES = plain.names()
# Their published code reads what pads a batch before a clip.
COMPANIONS_MATTER = {"realsmilenet-released", "realsmilenet-lstm-released", "realsmilenet-gru-released"}
BACKBONES = [name for name in NAMES if "mini" in name]
RECURRENT = ["realsmilenet-lstm", "realsmilenet-gru"]


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_every_name_has_its_parameters_pinned():
    assert {name: count(models.build(name)) for name in NAMES} == PARAMETERS


@pytest.mark.parametrize(
    ("name", "thousands"),
    [("lstm", 1150), ("gru", 862), ("mini-resnet", 525), ("mini-alexnet", 504), ("mini-densenet", 382)],
)
def test_released_variants_have_the_published_codes_size(name, thousands):
    assert round(PARAMETERS[f"realsmilenet-{name}-released"] / 1000) == thousands


def test_parameters_of_the_variants_by_hand():
    conv = lambda i, o, k, bias=1: i * o * k * k + bias * o  # noqa: E731
    norm = lambda c: 2 * c  # noqa: E731
    block = lambda i, o: conv(i, o, 3, 0) + conv(o, o, 3, 0) + norm(2 * o) + (i != o) * (conv(i, o, 1, 0) + norm(o))  # noqa: E731
    dense = lambda c: norm(c) + conv(c, 8, 1, 0) + norm(8) + conv(8, 2, 3, 0)  # noqa: E731
    resnet = conv(3, 16, 3, 0) + norm(16) + block(16, 16) + block(16, 32) + block(32, 64)
    alexnet = conv(3, 16, 3) + conv(16, 48, 5) + conv(48, 96, 3) + conv(96, 64, 3) + conv(64, 64, 3)
    densenet, maps = conv(3, 4, 3, 0), 4
    for layers in (6, 12, 24, 16):
        densenet += sum(dense(maps + 2 * i) for i in range(layers))
        maps += 2 * layers
        if layers != 16:
            densenet += norm(maps) + conv(maps, maps // 2, 1, 0)
            maps //= 2
    densenet += norm(maps)
    assert maps == 64
    fpn = norm(3) + conv(3, 4, 3) + norm(4) + conv(4, 6, 3) + norm(6)
    kept = 84 + norm(3) + conv(64 + 8, 32, 3) + count(Head())
    head = 3 * conv(64, 32, 1) + conv(32, 64, 1) + norm(64) + conv(64, 80, 3) + norm(80) + 321
    theirs = conv(128, 256, 3) + head
    twice = block(16, 16) + block(32, 32) + block(64, 64)
    rnn = lambda gates: gates * 256 * (864 + 256 + 2) + 257  # noqa: E731
    assert (
        PARAMETERS
        | {
            "realsmilenet-mini-resnet": resnet + kept,
            "realsmilenet-mini-densenet": densenet + kept,
            "realsmilenet-mini-alexnet": alexnet + kept,
            "realsmilenet-mini-resnet-released": resnet + twice + theirs,
            "realsmilenet-mini-densenet-released": densenet + theirs,
            "realsmilenet-mini-alexnet-released": alexnet + theirs,
            "realsmilenet-lstm": 84 + fpn + rnn(4),
            "realsmilenet-gru": 84 + fpn + rnn(3),
            "realsmilenet-lstm-released": fpn + rnn(4),
            "realsmilenet-gru-released": fpn + rnn(3),
            "realsmilenet-softmax": 5273 + 251,
        }
        == PARAMETERS
    )
    assert count(models.build("realsmilenet-mini-resnet", blocks=2)) == resnet + twice + kept


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [48, 64, 96, 112])
def test_one_logit_a_clip_at_every_size(name, size):
    model = models.build(name, size=size).eval()
    with torch.inference_mode():
        logits = scored(model, torch.rand(2, 3, 2, size, size), torch.tensor([2, 1]))
    assert logits.shape == (2,)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("training", [True, False])
def test_one_clip_of_one_frame_can_be_scored_and_trained_on(name, training):
    model = models.build(name).train(training)
    logits = scored(model, torch.rand(1, 3, 1, 48, 48), torch.tensor([1]))
    assert logits.shape == (1,)
    logits.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("training", [True, False])
def test_every_parameter_gets_a_gradient(name, training):
    model = trained_looking(name, feature_dropout=0.0, dropout=0.0).train(training)
    scored(model, torch.rand(3, 3, 5, 48, 48), torch.tensor([3, 2, 5])).sum().backward()
    assert {key for key, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0} == set()


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_the_valid_frames_and_no_others(name):
    frames, lengths = torch.rand(3, 3, 4, 48, 48, requires_grad=True), torch.tensor([2, 4, 1])
    scored(trained_looking(name), frames, lengths).sum().backward()
    reached = frames.grad.abs().sum((1, 3, 4)) > 0
    assert reached.tolist() == [[True, True, False, False], [True] * 4, [True, False, False, False]]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("garbage", [0.0, 1e30, math.nan])
def test_what_pads_a_batch_is_never_read(name, garbage):
    """Neither for a score, nor for a gradient, nor for the batch statistics."""
    lengths = torch.tensor([2, 4, 1])
    clean = torch.rand(3, 3, 6, 48, 48)
    dirty = clean.clone()
    for clip, length in enumerate(lengths.tolist()):
        dirty[clip, :, length:] = garbage
    results = []
    for frames in (clean, dirty, clean[:, :, :4]):
        torch.manual_seed(3)
        model = trained_looking(name)
        with torch.inference_mode():
            scores = scored(model, frames, lengths)
        model.train()
        loss = scored(model, frames, lengths).sum()
        loss.backward()
        results.append([scores, loss.detach(), *model.buffers(), *(p.grad for p in model.parameters())])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_companions_matter_in_the_published_code_alone(name):
    model = trained_looking(name)
    lengths = torch.tensor([4, 9, 1, 9])
    frames = torch.rand(4, 3, 9, 48, 48)
    with torch.inference_mode():
        together = scored(model, frames, lengths)
        alone = torch.cat([scored(model, frames[[i], :, :n], lengths[[i]]) for i, n in enumerate(lengths.tolist())])
    assert together.std() > 1e-3
    difference = (together - alone).abs()
    torch.testing.assert_close(difference[[1, 3]], torch.zeros(2), atol=1e-4, rtol=0)
    if name in COMPANIONS_MATTER:
        assert difference[[0, 2]].min() > 1e-3
    else:
        torch.testing.assert_close(difference, torch.zeros(4), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_scoring_in_blocks_and_in_bfloat16_agree_with_all_at_once(name):
    model = trained_looking(name)
    frames, lengths = torch.rand(3, 3, 5, 48, 48), torch.tensor([5, 2, 3])
    with torch.inference_mode():
        whole = scored(model, frames, lengths)
        model.encoder.block = 4
        torch.testing.assert_close(scored(model, frames, lengths), whole, atol=1e-4, rtol=1e-4)
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(scored(model, frames, lengths).float(), whole, atol=0.3, rtol=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_options_reach_the_dropouts_and_a_wrong_size_is_refused(name):
    model = models.build(name, feature_dropout=0.3, dropout=0.7)
    assert (model.encoder.fpn.dropout.p, model.head.dropout.p) == (0.3, 0.7)
    assert isinstance(model.encoder.fpn.dropout, nn.Dropout2d)
    for size in (20, 50):
        with pytest.raises(ValueError, match=f"size is {size}; expected a multiple of 4 pixels"):
            models.build(name, size=size)
    smallest = models.build(name, size=model.least).train()
    assert scored(smallest, torch.rand(1, 3, 1, *[model.least] * 2), torch.tensor([1])).isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_features_are_those_of_the_fpn_and_can_be_unpacked(name):
    model, seen = trained_looking(name), []
    model.encoder.fpn.register_forward_hook(lambda module, inputs, output: seen.append(output))
    frames, lengths = torch.rand(2, 3, 3, 48, 48), torch.tensor([1, 3])
    packing = Packing.of(lengths)
    features = model.encoder.features(frames, packing)
    (of_the_hook,) = seen
    assert torch.equal(features, of_the_hook)
    fpn = model.encoder.fpn
    maps = packing.unpack(features)
    assert maps.shape == (2, fpn.out_channels, 3, fpn.side(48), fpn.side(48))
    assert maps.abs().sum((1, 3, 4)).ne(0).tolist() == [[True, False, False], [True, True, True]]


def test_features_keep_the_fpns_side_where_one_thing_changes():
    for name in NAMES:
        fpn = models.build(name).encoder.fpn
        released = {"mini-densenet": 11, "mini-alexnet": 6}.get(
            name.removeprefix("realsmilenet-").removesuffix("-released")
        )
        assert fpn.side(48) == (released if name.endswith("-released") and released else 12)


def test_a_plain_realsmilenet_is_what_it_was():
    """Its names of parameters, so that kept weights load, and the order in which they are drawn."""
    model = models.build("realsmilenet")
    weights = resources.files("smilelab") / "weights" / "realsmilenet-simulated.safetensors"
    with resources.as_file(weights) as path:
        kept = load_file(path)
    assert list(model.state_dict()) == [
        *(f"encoder.tsa.conv.{key}" for key in ("weight", "bias")),
        *(f"encoder.fpn.{layer}.{key}" for layer, keys in FPN_KEYS.items() for key in keys),
        *(f"encoder.convlstm.conv.{key}" for key in ("weight", "bias")),
        *(f"head.{layer}.{key}" for layer, keys in HEAD_KEYS.items() for key in keys),
    ]
    assert set(model.state_dict()) == set(kept)
    model.load_state_dict(kept)
    torch.manual_seed(5)
    drawn = models.build("realsmilenet").state_dict()
    torch.manual_seed(5)
    parts = {"encoder.tsa": TemporalSpatialAttention(), "encoder.fpn": FeatureProcessing()}
    parts["encoder.convlstm.conv"] = nn.Conv2d(14, 32, 3)
    parts["head"] = Head()
    expected = {f"{at}.{key}": value for at, part in parts.items() for key, value in part.state_dict().items()}
    assert set(expected) == set(drawn)
    assert all(torch.equal(expected[key], drawn[key]) for key in drawn)


_CONV = ("weight", "bias")
_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
FPN_KEYS = {"norm": _NORM, "conv1": _CONV, "norm1": _NORM, "conv2": _CONV, "norm2": _NORM}
HEAD_KEYS = {f"nonlocal_block.{layer}": _CONV for layer in ("query", "key", "value", "out")}
HEAD_KEYS |= {"nonlocal_block.norm": _NORM, "conv": _CONV, "norm": _NORM, "linear": _CONV}


def frame_by_frame(name: str, state: plain.State, frame: torch.Tensor) -> torch.Tensor:
    ours = not name.endswith("-released")
    if "resnet" in name:
        return plain.resnet(state, frame, blocks=1 if ours else 2, input_norm=ours)
    if "densenet" in name:
        return plain.densenet(state, frame, third_mean=not ours, input_norm=ours)
    return plain.alexnet(state, frame, third_pool=not ours, input_norm=ours)


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("size", [48, 64])
def test_backbones_against_a_plain_computation_of_each_frame(name, size):
    fpn = trained_looking(name, size=size).encoder.fpn
    frames = torch.rand(3, 3, size, size)
    with torch.inference_mode():
        result = fpn(frames)
    expected = torch.stack([frame_by_frame(name, double(fpn), frame.double()) for frame in frames])
    assert result.shape == expected.shape == (3, 64, fpn.side(size), fpn.side(size))
    assert expected.std() > 0.01
    torch.testing.assert_close(result.double(), expected, atol=1e-4 * float(expected.abs().max()), rtol=1e-3)


@pytest.mark.parametrize(
    "name", ["realsmilenet-mini-resnet", "realsmilenet-mini-densenet", "realsmilenet-mini-alexnet"]
)
def test_whole_variants_against_attention_backbone_and_gates(name):
    model = trained_looking(name)
    frames, lengths = torch.rand(2, 3, 3, 48, 48), [3, 2]
    tsa, fpn, convlstm = (double(getattr(model.encoder, part)) for part in ("tsa", "fpn", "convlstm"))
    states = []
    for clip, length in zip(frames.double().unbind(), lengths, strict=True):
        seen = [plain.attention(tsa, clip[:, t], clip[:, max(t - 1, 0)]) for t in range(length)]
        states.append(plain.convlstm(convlstm, [frame_by_frame(name, fpn, frame) for frame in seen]))
    with torch.inference_mode():
        result = model.encoder(frames, torch.tensor(lengths))
    assert result.shape == (2, 8, 12, 12)
    torch.testing.assert_close(result.double(), torch.stack(states), atol=1e-4, rtol=1e-3)


def test_resnets_weights_are_drawn_for_their_outputs():
    for module in MiniResNet(blocks=2).stage3.modules():
        if isinstance(module, nn.Conv2d):
            variance = 2 / (module.kernel_size[0] ** 2 * module.out_channels)
            assert float(module.weight.detach().var() / variance) == pytest.approx(1, abs=0.1)
    with pytest.raises(ValueError, match="blocks is 0"):
        models.build("realsmilenet-mini-resnet", blocks=0)


@pytest.mark.parametrize("backbone", [MiniResNet, MiniDenseNet, MiniAlexNet])
def test_backbones_take_batch_statistics_of_the_frames_they_get(backbone):
    fpn = backbone(dropout=0.0).train()
    frames = torch.rand(5, 3, 48, 48)
    fpn(frames)
    torch.testing.assert_close(fpn.norm.running_mean, 0.1 * frames.mean((0, 2, 3)))


@pytest.mark.parametrize("name", RECURRENT)
def test_lstm_and_gru_against_a_loop_over_clips_without_packing(name):
    model = trained_looking(name)
    frames, lengths = torch.rand(4, 3, 5, 48, 48), [2, 5, 1, 5]
    rnn = (nn.LSTM if name.endswith("lstm") else nn.GRU)(864, 256, batch_first=True).double()
    rnn.load_state_dict(model.encoder.recurrence.rnn.state_dict())
    tsa, fpn = double(model.encoder.tsa), double(model.encoder.fpn)
    states = []
    for clip, length in zip(frames.double().unbind(), lengths, strict=True):
        seen = [plain.attention(tsa, clip[:, t], clip[:, max(t - 1, 0)]) for t in range(length)]
        features = torch.stack([plain.fpn(fpn, frame).flatten() for frame in seen])
        states.append(rnn(features[None])[0][0, -1])
    expected = torch.stack(states)
    with torch.inference_mode():
        result, logits = model.encoder(frames, torch.tensor(lengths)), model(frames, torch.tensor(lengths))
    torch.testing.assert_close(result.double(), expected, atol=1e-4, rtol=1e-3)
    head = double(model.head)
    plain_logits = expected @ head["linear.weight"][0] + head["linear.bias"]
    torch.testing.assert_close(logits.double(), plain_logits, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("training", [True, False])
def test_softmax_variants_loss_is_the_cross_entropy_of_its_two_neurons(training):
    model, seen = trained_looking("realsmilenet-softmax", dropout=0.0, feature_dropout=0.0).train(training), []
    model.head.linear.register_forward_hook(lambda module, inputs, output: seen.append(output))
    labels = torch.tensor([1, 0, 1, 1])
    logits = model(torch.rand(4, 3, 3, 48, 48), torch.tensor([3, 1, 2, 3]))
    (neurons,) = seen
    assert neurons.shape == (4, 2)
    binary = nn.functional.binary_cross_entropy_with_logits(logits, labels.float())
    categorical = nn.functional.cross_entropy(neurons, labels)
    torch.testing.assert_close(binary, categorical)
    torch.testing.assert_close(logits.sigmoid(), neurons.softmax(1)[:, 1])
    for a, b in zip(
        torch.autograd.grad(binary, list(model.parameters()), retain_graph=True),
        torch.autograd.grad(categorical, list(model.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-3)


def test_without_attention_it_is_the_option_and_unweighted_the_same_network():
    frames, lengths = torch.rand(2, 3, 3, 48, 48), torch.tensor([3, 2])
    for name, options in (("realsmilenet-no-tsa", {"tsa": False}), ("realsmilenet-unweighted", {})):
        one, other = trained_looking("realsmilenet", **options), models.build(name).eval()
        other.load_state_dict(one.state_dict())
        assert torch.equal(one(frames, lengths), other(frames, lengths))


def test_only_the_unweighted_variant_has_training_options_of_its_own():
    own = {name: models.training_of(name) for name in models.names()}
    assert {name for name, options in own.items() if options} == {"realsmilenet-unweighted"}
    assert own["realsmilenet-unweighted"] == {"loss": "unweighted"}
    models.training_of("realsmilenet-unweighted")["loss"] = "changed"
    assert models.training_of("realsmilenet-unweighted") == {"loss": "unweighted"}
    assert models.build("realsmilenet-unweighted").training is True


@pytest.mark.parametrize("side", [4, 5, 6, 7, 11, 12, 16, 27])
def test_released_heads_pooling_is_the_adaptive_one(side):
    x = torch.rand(2, 80, side - 2, side - 2)
    torch.testing.assert_close(ReleasedHead(64, side).pool(x), nn.AdaptiveAvgPool2d(2)(x))
