"""The Siamese network: what its distance promises, and the sharing of anchors."""

import numpy as np
import pytest
import torch
from plain_densenet3d import arrays, clips, embedding, small

NAMES = ["siamese-neutral", "siamese-posed"]


def lengths(frames: torch.Tensor) -> torch.Tensor:
    return torch.full((len(frames),), frames.shape[2])


def distance_of(model, *inputs) -> tuple[torch.Tensor, torch.Tensor]:
    """The L1-distance vector that a hook sees, and the logits."""
    seen = []
    handle = model.head.distance.register_forward_hook(lambda m, i, output: seen.append(output))
    try:
        logits = model(*inputs)
    finally:
        handle.remove()
    (vector,) = seen
    return vector, logits


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("training", [True, False])
def test_swapping_smile_and_anchor_leaves_the_output(name, training):
    model, smiles, anchors = small(name, dropout=0.0).train(training), clips(3), clips(3)
    there, back = model(smiles, lengths(smiles), anchors), model(anchors, lengths(anchors), smiles)
    assert there.std() > 1e-3
    torch.testing.assert_close(there, back, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("bfloat16", [True, False])
@pytest.mark.parametrize("number", [1, 3])
def test_identical_clips_have_distance_zero(name, training, bfloat16, number):
    model, frames = small(name, dropout=0.0).train(training), clips(number)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        vector, logits = distance_of(model, frames, lengths(frames), frames.clone())
    assert vector.shape == (number, 16)
    assert not vector.any()
    bias = model.head.fc.bias.detach()
    torch.testing.assert_close(logits.float(), bias.expand(number), atol=0, rtol=0.01 if bfloat16 else 0)


@pytest.mark.parametrize("options", [{"depth": 14}, {"depth": 22}, {"depth": "printed", "last": 0}])
def test_pair_against_numpy(options):
    model = small("siamese-neutral", **options)
    smiles, anchors = clips(2), clips(2)
    expected = np.abs(embedding(model, smiles) - embedding(model, anchors))
    head = arrays(model.head)
    with torch.inference_mode():
        vector, logits = distance_of(model, smiles, lengths(smiles), anchors)
    np.testing.assert_allclose(vector.numpy(), expected, atol=1e-3, rtol=1e-3)
    np.testing.assert_allclose(
        logits.numpy(), vector.numpy() @ head["fc.weight"][0] + head["fc.bias"], atol=1e-4, rtol=1e-4
    )
    assert expected.max() > 0.01


def test_the_anchor_has_a_say():
    model, smiles = small("siamese-neutral"), clips(2)
    with torch.inference_mode():
        one, other = (model(smiles, lengths(smiles), clips(2)) for _ in range(2))
    assert (one - other).abs().min() > 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_shared_anchors_equal_repeated_ones(name):
    model, smiles, anchors = small(name), clips(5), clips(3)
    anchor_of = torch.tensor([2, 0, 2, 1, 0])
    with torch.inference_mode():
        shared = model(smiles, lengths(smiles), anchors, anchor_of)
        repeated = model(smiles, lengths(smiles), anchors[anchor_of])
        others = model(smiles, lengths(smiles), anchors, (anchor_of + 1) % 3)
        alone = [model(smiles[[n]], lengths(smiles[[n]]), anchors[[a]]) for n, a in enumerate(anchor_of.tolist())]
    torch.testing.assert_close(shared, repeated, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(shared, torch.cat(alone), atol=1e-5, rtol=1e-5)
    assert (shared - others).abs().max() > 1e-3


def test_an_anchor_that_no_window_has_changes_nothing():
    model, smiles, anchors = small("siamese-neutral"), clips(2), clips(3)
    with torch.inference_mode():
        expected = model(smiles, lengths(smiles), anchors[[2, 0]])
        with_more = model(smiles, lengths(smiles), anchors, torch.tensor([2, 0]))
        in_order = model(smiles, lengths(smiles), anchors[:2])
    torch.testing.assert_close(expected, with_more, atol=1e-5, rtol=1e-5)
    assert (with_more - in_order).abs().max() > 1e-2


def test_shared_anchors_get_the_gradients_of_repeated_ones():
    model, smiles, anchors = small("siamese-neutral"), clips(4), clips(2)
    anchor_of = torch.tensor([1, 0, 1, 1])
    gradients = []
    for given, whose in ((anchors, anchor_of), (anchors[anchor_of], None)):
        loss = (model(smiles, lengths(smiles), given, whose) * torch.tensor([1.0, -2.0, 0.5, 3.0])).sum()
        gradients.append(torch.autograd.grad(loss, [p for n, p in model.named_parameters() if n != "encoder.fc.bias"]))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4 * float(b.abs().max()), rtol=1e-3)


def test_smiles_and_distinct_anchors_are_encoded_in_one_call():
    model, seen = small("siamese-posed"), []
    model.encoder.register_forward_hook(lambda m, inputs, output: seen.append(tuple(inputs[0].shape)))
    model(clips(5), lengths(clips(5)), clips(2), torch.tensor([0, 1, 1, 0, 0]))
    assert seen == [(5 + 2, 3, 8, 32, 32)]


def test_the_two_structures_are_one_network_and_share_the_plain_ones_encoder():
    neutral, posed, plain = (small(name) for name in (*NAMES, "densenet3d"))
    posed.load_state_dict(neutral.state_dict())
    smiles, anchors = clips(2), clips(2)
    with torch.inference_mode():
        assert torch.equal(neutral(smiles, lengths(smiles), anchors), posed(smiles, lengths(smiles), anchors))
        plain.encoder.load_state_dict(neutral.encoder.state_dict())
        assert torch.equal(plain.encoder(smiles), neutral.encoder(smiles))
    assert (neutral.anchor_rule, posed.anchor_rule, plain.anchor_rule) == ("neutral", "posed", "none")


def test_what_is_added_to_every_embedding_changes_nothing():
    model, smiles, anchors = small("siamese-neutral"), clips(2), clips(2)
    with torch.inference_mode():
        before = model(smiles, lengths(smiles), anchors)
        model.encoder.fc.bias += 3.0
        after = model(smiles, lengths(smiles), anchors)
    torch.testing.assert_close(before, after, atol=1e-4, rtol=1e-4)


def test_gradients_reach_smiles_and_anchors():
    model, smiles, anchors = small("siamese-neutral"), clips(2).requires_grad_(), clips(2).requires_grad_()
    model(smiles, lengths(smiles), anchors).sum().backward()
    for frames in (smiles, anchors):
        assert (frames.grad.abs().sum((1, 3, 4)) > 0).all()


@pytest.mark.parametrize(
    ("anchors", "anchor_of", "message"),
    [
        ((2, 3, 8, 32, 32), None, "2 anchors for 3 clips; expected one each, or anchor_of"),
        ((0, 3, 8, 32, 32), None, "anchors have shape .* with N at least 1"),
        ((3, 3, 7, 32, 32), None, "anchors of 7 frames; this model takes exactly 8"),
        ((3, 3, 9, 32, 32), None, "anchors of 9 frames; this model takes exactly 8"),
        ((3, 3, 8, 30, 30), None, "anchors are 30x30 pixels; this model was built for 32x32"),
        ((3, 1, 8, 32, 32), None, "anchors have shape"),
        ((2, 3, 8, 32, 32), [0, 1], r"anchor_of has shape \(2,\); expected .* for each of the 3 clips"),
        ((2, 3, 8, 32, 32), [0, 1, 2], "the number of an anchor, 0 to 1"),
        ((2, 3, 8, 32, 32), [0, -1, 1], "the number of an anchor, 0 to 1"),
    ],
)
def test_anchors_that_do_not_fit_are_refused(anchors, anchor_of, message):
    whose = None if anchor_of is None else torch.tensor(anchor_of)
    with pytest.raises(ValueError, match=message):
        small("siamese-neutral")(clips(3), lengths(clips(3)), torch.rand(anchors), whose)


def test_a_siamese_network_asks_for_its_anchors_and_refuses_bytes():
    model, frames = small("siamese-neutral"), clips(1)
    with pytest.raises(TypeError, match="anchors"):
        model(frames, lengths(frames))
    with pytest.raises(ValueError, match=r"anchors are torch\.uint8; expected floats"):
        model(frames, lengths(frames), (255 * frames).byte())
