"""RealSmileNet with an anchor: what its distance promises, anchors of any length, and their sharing."""

import math

import pytest
import torch
from plain_realsmilenet import trained_looking
from torch import nn

from smilelab import models

NAMES = ["realsmilenet-neutral", "realsmilenet-posed"]
LENGTHS = torch.tensor([3, 5, 1])
ANCHOR_LENGTHS = torch.tensor([7, 2, 4])


def built(name: str = NAMES[0]) -> nn.Module:
    return trained_looking(name, feature_dropout=0.0, dropout=0.0)


def clips(count: int = 3, frames: int = 5) -> torch.Tensor:
    return torch.rand(count, 3, frames, 48, 48)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("training", [True, False])
def test_identical_clip_and_anchor_have_distance_zero(name, training):
    model, frames, seen = built(name).train(training), clips(), []
    model.head.distance.register_forward_hook(lambda module, inputs, output: seen.append(output))
    same = model(frames, LENGTHS, frames.clone(), None, LENGTHS)
    other = model(frames, LENGTHS, clips(), None, LENGTHS)
    assert seen[0].shape == (3, 8, 12, 12)
    assert not seen[0].any()
    assert seen[1].amax((1, 2, 3)).min() > 0.01
    # From no distance follows one and the same score.
    torch.testing.assert_close(same, same[:1].expand(3))
    assert other.std() > 1e-4


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("training", [True, False])
def test_swapping_clip_and_anchor_leaves_the_output(name, training):
    model, smiles, anchors = built(name).train(training), clips(frames=5), clips(frames=7)
    there = model(smiles, LENGTHS, anchors, None, ANCHOR_LENGTHS)
    back = model(anchors, ANCHOR_LENGTHS, smiles, None, LENGTHS)
    assert there.std() > 1e-3
    torch.testing.assert_close(there, back, atol=1e-5, rtol=1e-4)


def test_it_is_the_plain_networks_head_over_the_difference_of_its_last_states():
    plain, model = trained_looking("realsmilenet"), models.build("realsmilenet-neutral").eval()
    model.load_state_dict(plain.state_dict())
    smiles, anchors = clips(frames=5), clips(frames=7)
    with torch.inference_mode():
        apart = [
            plain.encoder(smiles[[n], :, :length], torch.tensor([length]))
            - plain.encoder(anchors[[n], :, :of_anchor], torch.tensor([of_anchor]))
            for n, (length, of_anchor) in enumerate(zip(LENGTHS.tolist(), ANCHOR_LENGTHS.tolist(), strict=True))
        ]
        expected = plain.head(torch.cat(apart).abs())
        logits = model(smiles, LENGTHS, anchors, None, ANCHOR_LENGTHS)
    assert expected.std() > 1e-3
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("frames", [2, 5, 8])
def test_shared_anchors_equal_repeated_ones(name, frames):
    model, smiles, anchors = built(name), clips(5), clips(2, frames)
    lengths, of_anchors, anchor_of = (
        torch.tensor([5, 1, 3, 5, 2]),
        torch.tensor([frames, 1]),
        torch.tensor([1, 0, 1, 1, 0]),
    )
    with torch.inference_mode():
        shared = model(smiles, lengths, anchors, anchor_of, of_anchors)
        repeated = model(smiles, lengths, anchors[anchor_of], None, of_anchors[anchor_of])
        others = model(smiles, lengths, anchors, 1 - anchor_of, of_anchors)
    torch.testing.assert_close(shared, repeated, atol=1e-5, rtol=1e-5)
    assert (shared - others).abs().max() > 1e-3


def test_all_frames_of_an_anchor_are_valid_unless_said_otherwise():
    model, smiles, anchors = built(), clips(), clips(frames=4)
    with torch.inference_mode():
        unsaid = model(smiles, LENGTHS, anchors)
        assert torch.equal(unsaid, model(smiles, LENGTHS, anchors, torch.arange(3), torch.tensor([4, 4, 4])))
        fewer = model(smiles, LENGTHS, anchors, None, torch.tensor([4, 3, 4]))
    assert unsaid[1] != fewer[1]
    torch.testing.assert_close(unsaid[[0, 2]], fewer[[0, 2]], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("garbage", [0.0, 1e30, math.nan])
@pytest.mark.parametrize("extra", [0, 3])
def test_what_pads_anchors_is_never_read(garbage, extra):
    smiles, clean, results = clips(), clips(frames=7), []
    dirty = torch.cat([clean, clips(frames=extra)], 2)
    for anchor, length in zip(dirty, ANCHOR_LENGTHS.tolist(), strict=True):
        anchor[:, length:] = garbage
    for anchors in (clean, dirty):
        torch.manual_seed(3)
        model = built().train()
        logits = model(smiles, LENGTHS, anchors, None, ANCHOR_LENGTHS)
        logits.sum().backward()
        results.append([logits.detach(), *model.buffers(), *(p.grad for p in model.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_shared_anchors_get_the_gradients_of_repeated_ones():
    model, smiles, anchors = built(), clips(4), clips(2, 3)
    lengths, anchor_of, gradients = torch.tensor([5, 2, 4, 1]), torch.tensor([1, 0, 1, 1]), []
    for given, whose in ((anchors, anchor_of), (anchors[anchor_of], None)):
        loss = (model(smiles, lengths, given, whose) * torch.tensor([1.0, -2.0, 0.5, 3.0])).sum()
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4 * float(b.abs().max()), rtol=1e-3)


def test_gradients_reach_clips_and_anchors():
    smiles, anchors = clips().requires_grad_(), clips(frames=7).requires_grad_()
    built()(smiles, LENGTHS, anchors, None, ANCHOR_LENGTHS).sum().backward()
    for frames, lengths in ((smiles, LENGTHS), (anchors, ANCHOR_LENGTHS)):
        reached = frames.grad.abs().sum((1, 3, 4)) > 0
        assert reached.tolist() == [[t < n for t in range(frames.shape[2])] for n in lengths.tolist()]


def test_clips_and_distinct_anchors_are_encoded_in_one_call():
    model, seen = built(), []
    model.encoder.register_forward_hook(
        lambda module, inputs, output: seen.append((len(inputs[0]), inputs[1].tolist()))
    )
    model(clips(), LENGTHS, clips(2, 4), torch.tensor([0, 1, 1]), torch.tensor([4, 2]))
    assert seen == [(5, [3, 5, 1, 4, 2])]


def test_the_anchor_rules_are_told():
    rules = {name: models.anchor_rule(name) for name in models.names() if name.startswith("realsmilenet")}
    assert {name: rule for name, rule in rules.items() if rule != "none"} == dict(
        zip(NAMES, ("neutral", "posed"), strict=True)
    )
    assert [models.anchor_rule(built(name)) for name in NAMES] == ["neutral", "posed"]


def test_the_embedding_of_the_block_can_be_hooked():
    model, seen = built(), []
    model.head.relu.register_forward_hook(lambda module, inputs, output: seen.append(output))
    model(clips(), LENGTHS, clips())
    assert seen[0].shape == (3, 10, 5, 5)


@pytest.mark.parametrize(
    ("anchors", "anchor_of", "anchor_lengths", "message"),
    [
        ((2, 3, 4, 48, 48), None, None, "2 anchors for 3 clips; expected one each, or anchor_of"),
        ((0, 3, 4, 48, 48), None, None, "anchors have shape .* with N at least 1"),
        ((3, 3, 4, 40, 40), None, None, "anchors are 40x40 pixels; this model was built for 48x48"),
        ((3, 1, 4, 48, 48), None, None, "anchors have shape"),
        ((2, 3, 4, 48, 48), [0, 1], None, r"anchor_of has shape \(2,\); expected .* for each of the 3 clips"),
        ((2, 3, 4, 48, 48), [0, 1, 2], None, "the number of an anchor, 0 to 1"),
        ((2, 3, 4, 48, 48), [0, -1, 1], None, "the number of an anchor, 0 to 1"),
        ((3, 3, 4, 48, 48), None, [4, 4], "anchor_lengths are .*; expected one integer for each of the 3 clips"),
        ((3, 3, 4, 48, 48), None, [4, 5, 4], "anchor_lengths run from 4 to 5; expected 1 to 4"),
        ((3, 3, 4, 48, 48), None, [4, 0, 4], "anchor_lengths run from 0 to 4; expected 1 to 4"),
    ],
)
def test_anchors_that_do_not_fit_are_refused(anchors, anchor_of, anchor_lengths, message):
    whose, valid = (None if given is None else torch.tensor(given) for given in (anchor_of, anchor_lengths))
    with pytest.raises(ValueError, match=message):
        built()(clips(), LENGTHS, torch.rand(anchors), whose, valid)


def test_it_asks_for_its_anchors_and_refuses_bytes():
    model = built()
    with pytest.raises(TypeError, match="anchors"):
        model(clips(), LENGTHS)
    with pytest.raises(ValueError, match=r"anchors are torch\.uint8; expected floats"):
        model(clips(), LENGTHS, (255 * clips()).byte())
