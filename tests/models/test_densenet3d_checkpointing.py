"""Activations of the 3D DenseNets that are computed again for the gradient: less memory, the same results."""

import pytest
import torch
from plain_densenet3d import SMALL, clips, scored, small
from torch import nn

from smilelab.models.densenet3d import DenseNet3D


def step(model: nn.Module, frames: torch.Tensor, *, bfloat16: bool = False) -> list[torch.Tensor]:
    """Logits, gradients and statistics of a training step with the same dropout each time."""
    torch.manual_seed(7)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        logits = scored(model, frames)
    nn.functional.binary_cross_entropy_with_logits(logits.float(), torch.tensor([1.0, 0.0, 1.0])).backward()
    return [logits.detach(), torch.rand(1), *(p.grad for p in model.parameters()), *model.buffers()]


@pytest.mark.parametrize("name", ["densenet3d-38", "siamese-posed"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_checkpointing_changes_no_result(name, training, bfloat16):
    kept, again = small(name).train(training), small(name, checkpointing=True).train(training)
    again.load_state_dict(kept.state_dict())
    frames = clips(3)
    computed = []
    again.encoder.block2.layers[0].relu2.register_forward_hook(lambda *_: computed.append(1))
    results = [step(model, frames, bfloat16=bfloat16) for model in (kept, again)]
    assert len(computed) == 2
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_checkpointed_layers_keep_counting_after_a_step():
    model = small("densenet3d", checkpointing=True).train()
    norm = model.encoder.block1.layers[0].norm1
    for number in (1, 2, 3):
        before = norm.running_mean.clone()
        step(model, clips(3))
        assert norm.num_batches_tracked == number
        assert norm.momentum == 0.1
        assert not torch.equal(norm.running_mean, before)


def test_a_checkpointed_graph_can_be_gone_through_twice():
    kept, again = small("densenet3d").train(), small("densenet3d", checkpointing=True).train()
    again.load_state_dict(kept.state_dict())
    frames = clips(2)
    gradients = []
    for model in (kept, again):
        torch.manual_seed(7)
        logits = scored(model, frames)
        parameters = list(model.parameters())
        gradients.append([torch.autograd.grad(logit, parameters, retain_graph=True) for logit in logits])
    for a, b in zip(*gradients, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(kept.buffers(), again.buffers(), strict=True))


def test_checkpointing_keeps_fewer_bytes_for_the_gradient():
    kept = {}
    for checkpointing in (False, True):
        model = DenseNet3D(38, checkpointing=checkpointing, **SMALL).train()
        seen = {}
        pack = lambda x, seen=seen: seen.update({x.untyped_storage().data_ptr(): x.untyped_storage().nbytes()}) or x  # noqa: E731
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            scored(model, clips(4))
        kept[checkpointing] = sum(seen.values()) - sum(4 * p.numel() for p in model.parameters())
    assert kept[True] < 0.6 * kept[False]
