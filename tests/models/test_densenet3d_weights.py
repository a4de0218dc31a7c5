"""How the 3D DenseNets start: weights drawn by their fan-in, biases, batch norms, and the seed that decides them."""

import pytest
import torch
from plain_densenet3d import SMALL
from torch import nn

from smilelab import models


@pytest.mark.parametrize(("how", "power", "gain"), [("standard", 0.5, 2**0.5), ("printed", 1.0, 1.0)])
def test_weights_are_drawn_by_their_fan_in(how, power, gain):
    model = models.build("densenet3d-94", initialisation=how)
    encoder = model.encoder
    # Counted by hand: input features times the taps of the kernel.
    fan_ins = [
        (encoder.stem.conv, 3 * 27),
        (encoder.block1.layers[0].conv1, 64),
        (encoder.block1.layers[7].conv1, 64 + 7 * 20),
        (encoder.block1.layers[7].conv2, 80 * 27),
        (encoder.transition1.conv, 224),
        (encoder.block4.layers[11].conv1, 704 + 11 * 20),
        (encoder.last.conv, 944),
        (encoder.fc, 1024),
        (model.head.fc, 1024),
    ]
    for module, fan_in in fan_ins:
        weight, std = module.weight.detach().double(), gain / fan_in**power
        n = weight.numel()
        assert abs(weight.std() / std - 1) < 5 / (2 * n) ** 0.5
        assert abs(weight.mean()) < 5 * std / n**0.5
        # Normal, not uniform: 31.7 % lie beyond one standard deviation (uniform: 42.3 %).
        assert abs((weight.abs() > std).double().mean() - 0.3173) < 5 * (0.3173 * 0.6827 / n) ** 0.5


def test_biases_as_named():
    standard, printed = (models.build("densenet3d-38", initialisation=how) for how in ("standard", "printed"))
    assert not standard.encoder.fc.bias.any()
    assert not standard.head.fc.bias.any()
    bias = torch.cat([printed.encoder.fc.bias, printed.head.fc.bias]).detach()
    assert abs(bias.mean() - 0.5) < 0.02
    assert 0.09 < bias.std() < 0.11


@pytest.mark.parametrize("how", ["standard", "printed"])
def test_batch_norms_start_as_the_identity_and_convolutions_have_no_bias(how):
    model = models.build("siamese-neutral", initialisation=how, depth=38)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm3d)]
    assert len(norms) == 2 * 16 + 5
    for norm in norms:
        for value, start in ((norm.weight, 1), (norm.bias, 0), (norm.running_mean, 0), (norm.running_var, 1)):
            assert (value == start).all()
    assert all(module.bias is None for module in model.modules() if isinstance(module, nn.Conv3d))


def test_the_seed_decides_the_weights():
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(models.build("densenet3d", depth=14, **SMALL).state_dict())
    assert all(torch.equal(a, b) for a, b in zip(drawn[0].values(), drawn[1].values(), strict=True))
    assert not torch.equal(drawn[0]["encoder.stem.conv.weight"], drawn[2]["encoder.stem.conv.weight"])
