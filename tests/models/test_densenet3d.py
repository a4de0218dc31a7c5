"""The 3D DenseNets: what holds for every registered one, and their parts against plain numpy computations."""

import numpy as np
import pytest
import torch
from plain_densenet3d import arrays, clips, dense_block, embedding, scored, small, trained_looking, transition
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from smilelab import models
from smilelab.models.densenet3d import Bottleneck, DenseBlock, Transition

NAMES = [name for name in models.names() if name.startswith(("densenet3d", "siamese"))]
LAYERS = {14: 4, 22: 8, 38: 16, 62: 28, 94: 44, "printed": 39}


def on_meta(name: str, **options) -> nn.Module:
    """A model of full size whose tensors have shapes only."""
    with torch.device("meta"):
        return models.build(name, **options)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_published_structures_are_registered():
    plain = {f"densenet3d-{depth}" for depth in (38, 62, 94, "printed")}
    assert set(NAMES) == plain | {"densenet3d", "siamese-neutral", "siamese-posed"}
    assert {name: on_meta(name).anchor_rule for name in NAMES} == dict.fromkeys([*plain, "densenet3d"], "none") | {
        "siamese-neutral": "neutral",
        "siamese-posed": "posed",
    }


# ---- what holds for every one


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("training", [True, False], ids=["training", "scoring"])
@pytest.mark.parametrize("number", [1, 3])
def test_one_logit_a_clip(name, training, number):
    logits = scored(small(name).train(training), clips(number))
    assert logits.shape == (number,)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_gradient(name):
    model = small(name, dropout=0.0).train()
    scored(model, clips(3)).sum().backward()
    largest = max(float(p.grad.abs().max()) for p in model.parameters())
    without = {n for n, p in model.named_parameters() if p.grad.abs().max() < 1e-7 * largest}
    # What is added to both embeddings is gone from their difference.
    assert without == ({"encoder.fc.bias"} if name.startswith("siamese") else set())


@pytest.mark.parametrize("name", NAMES)
def test_a_clip_scores_the_same_beside_others(name):
    model, frames = small(name), clips(3)
    with torch.inference_mode():
        together = scored(model, frames)
        alone = torch.cat([scored(model, clip[None]) for clip in frames])
    assert together.std() > 1e-3
    torch.testing.assert_close(together, alone, atol=1e-4 * float(together.std()), rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_scoring_leaves_the_statistics_alone_and_training_moves_them(name):
    model = small(name)
    before = {n: b.clone() for n, b in model.named_buffers()}
    scored(model, clips(2))
    assert all(torch.equal(b, before[n]) for n, b in model.named_buffers())
    scored(model.train(), clips(2))
    assert not any(torch.equal(b, before[n]) for n, b in model.named_buffers())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("shape", "length", "message"),
    [
        ((2, 3, 29, 112, 112), 29, "clip of 29 frames; this model takes windows of exactly 30"),
        ((2, 3, 31, 112, 112), 31, "clip of 31 frames; this model takes windows of exactly 30"),
        ((2, 3, 30, 112, 112), 17, "clip of 17 frames; this model takes windows of exactly 30"),
        ((2, 3, 30, 112, 112), 31, "lengths run from 31 to 31"),
        ((2, 3, 30, 115, 115), 30, "115x115 pixels; this model was built for 112x112"),
        ((2, 1, 30, 112, 112), 30, r"expected \(N, 3, T, 112, 112\)"),
        ((0, 3, 30, 112, 112), 30, "N at least 1"),
    ],
)
def test_input_that_does_not_fit_is_refused(name, shape, length, message):
    frames = torch.empty(shape, device="meta")
    anchors = () if name.startswith("densenet3d") else (frames,)
    with pytest.raises(ValueError, match=message):
        on_meta(name)(frames, torch.full(shape[:1], length), *anchors)


@pytest.mark.parametrize("name", NAMES)
def test_bytes_are_refused(name):
    with pytest.raises(ValueError, match="divide bytes by 255"):
        scored(small(name), (255 * clips(1)).byte())


@pytest.mark.parametrize("name", NAMES)
def test_each_relu_is_a_module_of_its_own_and_nothing_is_done_in_place(name):
    model = small(name)
    relus = [module for module in model.modules() if isinstance(module, nn.ReLU)]
    depth = "printed" if "printed" in name else int(name[-2:]) if name.startswith("densenet3d-") else 14
    # Two a layer, and one each in stem, transitions and before the last convolution.
    assert len(relus) == 2 * LAYERS[depth] + 5
    assert not any(module.inplace for module in relus)
    called = []
    for module in relus:
        module.register_forward_hook(lambda module, inputs, output: called.append(id(module)))
    with Operations() as seen, torch.inference_mode():
        scored(model, clips(1))
    assert sorted(called) == sorted(map(id, relus))
    assert [op for op in seen.ops if op._schema.is_mutable] == []
    rectifiers = ("relu", "clamp", "threshold", "gelu", "silu", "elu")
    assert sum(any(word in str(op) for word in rectifiers) for op in seen.ops) == len(relus)


class Operations(TorchDispatchMode):
    """Keeps which of torch's operations were done."""

    def __init__(self):
        super().__init__()
        self.ops = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.ops.append(func)
        return func(*args, **(kwargs or {}))


# ---- sizes


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        ("densenet3d-94", {}, 6_478_545),
        ("densenet3d-62", {}, 4_007_377),
        ("densenet3d-38", {}, 2_589_121),
        ("densenet3d-printed", {}, 6_162_161),
        ("siamese-neutral", {}, 6_478_545),
        ("siamese-posed", {"depth": 62}, 4_007_377),
        ("siamese-neutral", {"depth": "printed"}, 6_162_161),
    ],
)
def test_parameters_are_as_many_as_published_here(name, options, parameters):
    assert count(on_meta(name, **options)) == parameters


@pytest.mark.parametrize("depth", [14, 22, 38, 62, 94, "printed"])
@pytest.mark.parametrize("options", [{}, {"growth": 8, "stem": 16, "width": 128, "last": 32}, {"last": 0, "growth": 5}])
def test_parameters_by_the_formula_of_a_dense_network(depth, options):
    blocks = {14: [1] * 4, 22: [2] * 4, 38: [4] * 4, 62: [4, 8, 8, 8], 94: [8, 12, 12, 12], "printed": [3, 12, 12, 12]}
    printed = depth == "printed"
    full = {"growth": 24 if printed else 20, "stem": 64, "width": 1024, "last": 0 if printed else 1024} | options
    g, width = full["growth"], full["width"]
    # Before layer i of the whole network stand stem + i g features, as nothing is compressed away.
    layers = sum(blocks[depth])
    entering = [full["stem"] + i * g for i in range(layers)]
    bottlenecks = sum(2 * c + 4 * g * c + 8 * g + 4 * g * 27 * g for c in entering)
    transitions = sum(2 * c + c * c for c in (full["stem"] + g * n for n in np.cumsum(blocks[depth])[:3]))
    end = full["stem"] + layers * g
    tail = 2 * end + end * full["last"] + (full["last"] or end) * width + width
    expected = 81 * full["stem"] + 2 * full["stem"] + bottlenecks + transitions + tail + width + 1
    assert count(on_meta("densenet3d", depth=depth, **options)) == expected
    assert layers == LAYERS[depth]
    if not printed:
        assert 2 * layers + 6 == depth


STAGES = ("stem", "block1", "transition1", "block2", "transition2", "block3", "transition3", "block4", "last")
MAPS = [(30, 56, 56)] * 2 + [(15, 28, 28)] * 2 + [(15, 14, 14)] * 2 + [(7, 7, 7)] * 3


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("densenet3d-94", (64, 224, 224, 464, 464, 704, 704, 944, 1024)),
        ("densenet3d-62", (64, 144, 144, 304, 304, 464, 464, 624, 1024)),
        ("densenet3d-38", (64, 144, 144, 224, 224, 304, 304, 384, 1024)),
        ("densenet3d-printed", (64, 136, 136, 424, 424, 712, 712, 1000, 1000)),
        ("siamese-neutral", (64, 224, 224, 464, 464, 704, 704, 944, 1024)),
    ],
)
def test_output_size_of_every_stage(name, channels):
    model, sizes = on_meta(name), {}
    for stage, module in model.encoder.named_children():
        module.register_forward_hook(lambda m, i, output, stage=stage: sizes.update({stage: tuple(output.shape)}))
    model.encoder.target.register_forward_hook(lambda m, i, output: sizes.update(target=tuple(output.shape)))
    logits = scored(model, torch.empty(2, 3, 30, 112, 112, device="meta"))
    assert logits.shape == (2,)
    # Smiles and anchors go through together.
    n = 4 if name.startswith("siamese") else 2
    expected = {stage: (n, c, *thw) for stage, c, thw in zip(STAGES, channels, MAPS, strict=True)}
    assert sizes == expected | {"fc": (n, 1024), "target": (n, channels[-1], 7, 7, 7)}


def test_reduced_input_gives_smaller_maps():
    encoder = on_meta("densenet3d", depth=22, size=56, frames=15, growth=8, stem=16, width=128, last=128).encoder
    assert encoder.features(torch.empty(1, 3, 15, 56, 56, device="meta")).shape == (1, 128, 3, 3, 3)


# ---- parts against plain computations


@pytest.mark.parametrize("training", [True, False])
def test_dense_block_against_numpy(training):
    block = trained_looking(DenseBlock(4, 3, 2, dropout=0.0)).train(training)
    weights, x = arrays(block), torch.randn(2, 4, 3, 5, 4)
    ours = block(x).detach().numpy()
    assert ours.shape == (2, 4 + 3 * 2, 3, 5, 4)
    np.testing.assert_allclose(ours, dense_block(weights, "", x.numpy().astype(float), by_batch=training), atol=1e-4)


@pytest.mark.parametrize("keep_time", [True, False])
@pytest.mark.parametrize("shape", [(15, 6, 6), (4, 5, 7), (2, 2, 2)])
def test_transition_against_numpy(keep_time, shape):
    module = trained_looking(Transition(3, keep_time=keep_time)).eval()
    x = torch.randn(2, 3, *shape)
    ours = module(x).detach().numpy()
    frames, rows, columns = shape
    assert ours.shape == (2, 3, frames if keep_time else frames // 2, rows // 2, columns // 2)
    np.testing.assert_allclose(
        ours, transition(arrays(module), "", x.numpy().astype(float), keep_time=keep_time), atol=1e-5
    )


def test_transition_by_hand():
    module = Transition(1, keep_time=True).eval()
    nn.init.ones_(module.conv.weight)
    module.norm.eps = 0.0
    x = torch.tensor([[1.0, 3, -8, 8], [5, 0, 2, 2], [4, 4, 4, 8]]).reshape(1, 1, 3, 2, 2)
    # Rectified frame means: (1 + 3 + 0 + 8) / 4 = 3, 9 / 4, 5. The last frame is averaged with itself.
    assert module(x).flatten().tolist() == [(3 + 2.25) / 2, (2.25 + 5) / 2, 5]
    module = Transition(1, keep_time=False).eval()
    nn.init.ones_(module.conv.weight)
    module.norm.eps = 0.0
    assert module(x).flatten().tolist() == [(3 + 2.25) / 2]


@pytest.mark.parametrize("options", [{"depth": 14}, {"depth": 22, "frames": 15}, {"depth": 14, "last": 0, "size": 36}])
def test_whole_network_against_numpy(options):
    model, frames = small("densenet3d", **options), clips(2, **options)
    expected = embedding(model, frames)
    with torch.inference_mode():
        error = np.abs(model.encoder(frames).numpy() - expected).max()
        # Clips differ by far more than the rounding, or agreement would say little.
        assert error < 2e-6 * np.abs(expected).max() < 0.01 * np.ptp(expected, 0).max()
        logits = expected @ arrays(model.head)["fc.weight"][0] + arrays(model.head)["fc.bias"]
        np.testing.assert_allclose(scored(model, frames).numpy(), logits, atol=1e-4, rtol=1e-5)


def test_last_map_is_the_targets_output_and_its_mean_feeds_the_embedding():
    for model in (small("densenet3d"), small("densenet3d", last=0)):
        seen = []
        model.encoder.target.register_forward_hook(lambda m, i, output, seen=seen: seen.append(output))
        frames = clips(2)
        with torch.inference_mode():
            assert torch.equal(model.encoder.features(frames), seen[0])
            mean = torch.from_numpy(seen[0].numpy().mean((2, 3, 4)))
            torch.testing.assert_close(model.encoder(frames), model.encoder.fc(mean))


# ---- dropout


def test_dropout_takes_single_values_of_new_features_and_of_nothing_else():
    block = trained_looking(DenseBlock(4, 1, 20, dropout=0.5)).train()
    x = torch.randn(3, 4, 6, 8, 8)
    with torch.no_grad():
        dropped = block(x)
        block.layers[0].dropout.p = 0.0
        whole = block(x)
    assert torch.equal(dropped[:, :4], x)
    new, kept = dropped[:, 4:], dropped[:, 4:] != 0
    torch.testing.assert_close(new[kept], 2 * whole[:, 4:][kept])
    assert 0.48 < kept.float().mean() < 0.52
    by_map = kept.float().mean((2, 3, 4))
    assert 0.3 < by_map.min() <= by_map.max() < 0.7


def test_later_layers_see_what_dropout_left():
    block = trained_looking(DenseBlock(4, 2, 3, dropout=0.5)).train()
    seen = []
    block.layers[1].register_forward_hook(lambda m, inputs, o: seen.append(inputs[0]))
    out = block(torch.randn(2, 4, 3, 4, 4))
    assert torch.equal(seen[0], out[:, :7])
    assert (seen[0][:, 4:] == 0).float().mean() > 0.3


@pytest.mark.parametrize("name", NAMES)
def test_there_is_one_dropout_a_layer_and_scoring_has_none(name):
    model = small(name, dropout=0.3)
    dropouts = [module for module in model.modules() if "Dropout" in type(module).__name__]
    assert [module.p for module in dropouts] == [0.3] * sum(isinstance(m, Bottleneck) for m in model.modules())
    frames = clips(2)
    with torch.inference_mode():
        assert torch.equal(scored(model, frames), scored(model, frames))
        model.train()
        assert not torch.equal(scored(model, frames), scored(model, frames))


# ---- precision, layout, gradients of the input, options


def test_bfloat16_and_channels_last_agree_with_float32():
    model, frames = small("densenet3d", depth=22), clips(3)
    with torch.inference_mode():
        expected = scored(model, frames)
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(scored(model, frames).float(), expected, atol=0.1, rtol=0.05)
        model = model.to(memory_format=torch.channels_last_3d)
        frames = frames.contiguous(memory_format=torch.channels_last_3d)
        torch.testing.assert_close(scored(model, frames), expected, atol=1e-5, rtol=1e-4)


def test_gradients_reach_every_frame():
    frames = clips(1).requires_grad_()
    scored(small("densenet3d"), frames).sum().backward()
    assert (frames.grad.abs().sum((0, 1, 3, 4)) > 0).all()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("densenet3d", {"depth": 121}, "depth is 121; expected one of 14, 22, 38, 62, 94, printed"),
        ("siamese-posed", {"depth": "96"}, "depth is '96'; expected one of"),
        ("densenet3d-94", {"depth": 38}, "'densenet3d-94' has no option 'depth'"),
        ("densenet3d-38", {"size": 15}, "size is 15 and frames 30; expected at least"),
        ("densenet3d-38", {"frames": 3}, "size is 112 and frames 3; expected at least"),
        ("siamese-neutral", {"initialisation": "xavier"}, "'xavier'; expected 'standard' or 'printed'"),
    ],
)
def test_options_that_do_not_fit_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        models.build(name, **options)
