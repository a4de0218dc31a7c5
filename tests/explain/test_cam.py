import copy

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from scipy.stats import spearmanr
from torch import nn
from torchcam.methods import GradCAM

from smilelab import models
from smilelab.explain import cam
from smilelab.explain.branch import BranchView

POSED, SPONTANEOUS = 0, 1
SMALL = {"size": 48, "frames": 12, "growth": 4, "stem": 6, "width": 16, "last": 10}


def net(name, **options):
    torch.manual_seed(0)
    model = models.build(name, **{"depth": 14, **SMALL, **options})
    # Running statistics that normalise, as after training: else activations die out or explode.
    model.train()
    with torch.no_grad():
        for seed in range(100, 130):
            model.encoder(pictures(4, seed, model.frames, model.size))
    return model.eval()


@pytest.fixture(scope="module")
def plain():
    return net("densenet3d")


@pytest.fixture(scope="module")
def siamese():
    return net("siamese-neutral")


def pictures(count, seed=1, frames=12, size=48):
    """Clips with large and small structures."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 3, 4, 4, generator=generator)
    fine = torch.rand(count, 3, frames, size, size, generator=generator)
    return (nn.functional.interpolate(coarse, (frames, size, size), mode="trilinear") + fine) / 2


class TwoChannels(nn.Module):
    """Target activations are the red and the green channel; the logit is a fixed linear function of all of them."""

    size, frames = 4, 2

    def __init__(self, gradient):
        super().__init__()
        self.encoder = nn.Sequential()
        self.encoder.target = nn.Conv3d(3, 2, 1, bias=False)
        self.encoder.flatten = nn.Flatten()
        self.encoder.readout = nn.Linear(2 * 2 * 4 * 4, 1, bias=False)
        self.head = nn.Flatten(0)
        with torch.no_grad():
            self.encoder.target.weight.copy_(torch.eye(3)[:2].view(2, 3, 1, 1, 1))
            self.encoder.readout.weight.copy_(gradient.flatten()[None])


def test_hand_computed_maps_of_4x4_places_and_2_times():
    gradient = torch.zeros(2, 2, 4, 4)
    gradient[0, 1, 2, 3] = 16.0  # alpha of the first map: 16 / 32
    gradient[1, 0, 0, 0] = gradient[1, 1, 3, 0] = -8.0  # of the second: -16 / 32
    model = TwoChannels(gradient).eval()
    frames = torch.zeros(1, 3, 2, 4, 4)
    frames[0, 0, 0] = torch.arange(4.0)[:, None]  # first map: the row at the first time, the column at the second
    frames[0, 0, 1] = torch.arange(4.0)
    frames[0, 1, 0] = 1.0  # second map: 1 everywhere, then 3 on the diagonal
    frames[0, 1, 1] = 3 * torch.eye(4)
    spontaneous = cam.grad_cam(model, frames, target=SPONTANEOUS)
    # (row + column - 1 - 3 [row = column]) / 4 where that is positive.
    expected = [[0, 0, 0.25, 0.5], [0, 0, 0.5, 0.75], [0.25, 0.5, 0, 1], [0.5, 0.75, 1, 0.5]]
    np.testing.assert_allclose(spontaneous.spatial[0], expected, atol=1e-6)
    # Rows are heights, columns times: (row - 1) / 2 at first; 1.5 / 2 - 0.75 / 2 = 0.375 everywhere then.
    np.testing.assert_allclose(
        spontaneous.time_series[0], [[0, 0.375], [0, 0.375], [0.5, 0.375], [1, 0.375]], atol=1e-6
    )
    posed = cam.grad_cam(model, frames, target=POSED)
    np.testing.assert_allclose(posed.spatial[0], np.diag([1.0, 0.5, 0, 0]), atol=1e-6)
    np.testing.assert_allclose(posed.time_series[0], [[0.5, 0], [0, 0], [0, 0], [0, 0]], atol=1e-6)
    explained = LayerGradCam(BranchView(model), model.encoder.target)
    rectified_first = explained.attribute(frames, relu_attributions=True).mean(2)[:, 0].detach().numpy()
    assert np.abs(rectified_first - spontaneous.spatial).max() > 0.1


def test_plain_net_agrees_with_captum_with_torchcam_and_with_autograd(plain):
    frames = pictures(3)
    activations = plain.encoder.features(frames).detach().requires_grad_()
    logits = plain.head(plain.encoder.fc(activations.mean((2, 3, 4))))
    alpha = torch.autograd.grad(logits.sum(), activations)[0].mean((2, 3, 4))
    by_hand = torch.einsum("nk,nkthw->nthw", alpha, activations).detach()
    for target, sign in ((SPONTANEOUS, 1), (POSED, -1)):
        found = cam.grad_cam(plain, frames, target=target)
        np.testing.assert_allclose(found.spatial, (sign * by_hand.mean(1)).relu(), atol=1e-6)
        np.testing.assert_allclose(found.time_series, (sign * by_hand.mean(3)).relu().mT, atol=1e-6)
        captums = LayerGradCam(BranchView(plain, target=target), plain.encoder.target).attribute(frames)[:, 0]
        np.testing.assert_allclose(found.spatial, captums.mean(1).relu().detach(), atol=1e-6)
    assert by_hand.mean(1).abs().min() > 0

    short = net("densenet3d", frames=4)  # one time in the last map: then the order of mean and ReLU is the same
    extractor = GradCAM(_Scores(short), target_layer=short.encoder.target, input_shape=(3, 4, 48, 48))
    frames = pictures(3, frames=4)
    peers = extractor(0, extractor.model(frames), normalized=False)[0]
    extractor.remove_hooks()
    np.testing.assert_allclose(cam.grad_cam(short, frames, target=SPONTANEOUS).spatial, peers[:, 0], atol=1e-6)


class _Scores(nn.Module):
    """As other libraries expect models: frames in, (N, classes) out."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, frames):
        return self.model(frames, torch.full((len(frames),), frames.shape[2]))[:, None]


class _TwoCalls(nn.Module):
    """A Siamese network as it is commonly written: the encoder is called on smiles, then on anchors."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, smiles, anchors):
        return self.model.head(self.model.encoder(smiles), self.model.encoder(anchors))


def test_captum_alone_shows_one_branch_of_two_calls_and_the_view_shows_both(siamese):
    smiles, anchors = pictures(2), pictures(2, seed=2)
    naive = LayerGradCam(_TwoCalls(siamese), siamese.encoder.target).attribute((smiles, anchors)).detach()[:, 0]
    smile, anchor = (
        cam.grad_cam(siamese, smiles, anchors, target=SPONTANEOUS, part=part) for part in ("smile", "anchor")
    )
    np.testing.assert_allclose(naive.mean(1).relu(), anchor.spatial, atol=1e-6)  # the last call's, for two inputs
    assert smile.spatial.max() > 0
    assert anchor.spatial.max() > 0
    assert np.abs(smile.spatial - anchor.spatial).max() > 0.1 * smile.spatial.max()

    # The smile's map is that of a network whose anchor embedding is a number that somebody wrote down.
    held = siamese.encoder(anchors).detach()
    activations = siamese.encoder.features(smiles).detach().requires_grad_()
    logits = siamese.head.fc((siamese.encoder.fc(activations.mean((2, 3, 4))) - held).abs())
    alpha = torch.autograd.grad(logits.sum(), activations)[0].mean((2, 3, 4))
    by_hand = torch.einsum("nk,nkthw->nht", alpha, activations) / activations.shape[4]
    np.testing.assert_allclose(smile.time_series, by_hand.relu().detach(), atol=1e-6)


def test_gradients_of_pairs_that_share_an_anchor_are_kept_apart(siamese):
    smiles, anchor = pictures(3), pictures(1, seed=2)
    shared = torch.zeros(3, dtype=torch.long)
    for part in ("smile", "anchor", "difference"):
        together = cam.grad_cam(siamese, smiles, anchor, shared, target=[1, 0, 1], part=part)
        for row, target in enumerate([1, 0, 1]):
            alone = cam.grad_cam(siamese, smiles[row : row + 1], anchor, target=target, part=part)
            np.testing.assert_allclose(together.spatial[row], alone.spatial[0], atol=1e-6)
            np.testing.assert_allclose(together.time_series[row], alone.time_series[0], atol=1e-6)


def test_equation_4_is_the_distance_of_the_branches_and_zero_for_a_clip_and_itself(siamese):
    smiles, anchors = pictures(2), pictures(2, seed=2)
    smile, anchor, both = (
        cam.grad_cam(siamese, smiles, anchors, target=POSED, part=part) for part in ("smile", "anchor", "difference")
    )
    np.testing.assert_array_equal(both.spatial, np.abs(smile.spatial - anchor.spatial))
    np.testing.assert_array_equal(both.time_series, np.abs(smile.time_series - anchor.time_series))
    assert both.spatial.max() > 0
    swapped = cam.grad_cam(siamese, anchors, smiles, target=POSED, part="difference")
    np.testing.assert_allclose(both.spatial, swapped.spatial, atol=1e-6)
    same = cam.grad_cam(siamese, smiles, smiles.clone(), target=POSED, part="difference")
    assert not same.spatial.any()
    assert not same.time_series.any()
    assert not cam.guided_grad_cam(siamese, smiles, smiles.clone(), target=POSED, part="difference").any()


def test_weights_of_the_branches_are_opposite(siamese):
    maps = [siamese.encoder.features(frames).detach().requires_grad_() for frames in (pictures(2), pictures(2, seed=2))]
    logits = siamese.head(*(siamese.encoder.fc(activations.mean((2, 3, 4))) for activations in maps))
    of_smile, of_anchor = torch.autograd.grad(logits.sum(), maps)
    assert of_smile.any()
    np.testing.assert_allclose(of_smile, -of_anchor, atol=1e-8)


class _Guided(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(context, gradient):
        (x,) = context.saved_tensors
        return torch.where((x > 0) & (gradient > 0), gradient, torch.zeros_like(gradient))


class _GuidedReLU(nn.Module):
    def forward(self, x):
        return _Guided.apply(x)


def _with_guided_relus(model):
    other = copy.deepcopy(model)
    for module in list(other.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, _GuidedReLU())
    return other


@pytest.mark.parametrize("target", [SPONTANEOUS, POSED])
def test_guided_backpropagation_agrees_with_relus_of_our_own(plain, siamese, target):
    sign = 1 if target == SPONTANEOUS else -1
    frames = pictures(2).requires_grad_()
    other = _with_guided_relus(plain)
    expected = torch.autograd.grad(sign * other.head(other.encoder(frames)).sum(), frames)[0]
    found = cam.guided_backpropagation(plain, frames, target=target)
    assert found.shape == frames.shape
    np.testing.assert_allclose(found, expected, atol=1e-6 * float(expected.abs().max()))
    ordinary = torch.autograd.grad(sign * plain.head(plain.encoder(frames)).sum(), frames)[0]
    assert np.abs(found - ordinary.numpy()).max() > 0.01 * np.abs(found).max()

    other, anchors = _with_guided_relus(siamese), pictures(2, seed=2)
    with torch.no_grad():
        held = other.encoder(anchors)
    expected = torch.autograd.grad(sign * other.head(other.encoder(frames), held).sum(), frames)[0]
    found = cam.guided_backpropagation(siamese, frames, anchors, target=target, part="smile")
    np.testing.assert_allclose(found, expected, atol=1e-6 * float(expected.abs().max()))


def test_guided_grad_cam_is_the_product_at_the_size_of_the_frames(siamese):
    pair = pictures(2), pictures(2, seed=2)
    products = []
    for part in ("smile", "anchor"):
        guided = cam.guided_backpropagation(siamese, *pair, target=SPONTANEOUS, part=part)
        spatial = cam.grad_cam(siamese, *pair, target=SPONTANEOUS, part=part).spatial
        products.append(guided * cam.upsample(spatial, (48, 48))[:, None, None])
        found = cam.guided_grad_cam(siamese, *pair, target=SPONTANEOUS, part=part)
        assert found.any()
        np.testing.assert_allclose(found, products[-1], atol=1e-7)
    found = cam.guided_grad_cam(siamese, *pair, target=SPONTANEOUS, part="difference")
    np.testing.assert_allclose(found, np.abs(products[0] - products[1]), atol=1e-7)


def test_checkpointed_activations_give_the_same_maps(siamese):
    other = models.build("siamese-neutral", depth=14, **SMALL, checkpointing=True).eval()
    other.load_state_dict(siamese.state_dict())
    pair = pictures(1), pictures(1, seed=2)
    for explain in (cam.guided_backpropagation, lambda *given, **options: cam.grad_cam(*given, **options).spatial):
        maps = [explain(model, *pair, target=POSED, part="difference") for model in (siamese, other)]
        assert maps[0].any()
        np.testing.assert_allclose(*maps, atol=1e-7)


def _hooks(model):
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)


@pytest.mark.parametrize("explain", [cam.grad_cam, cam.guided_backpropagation, cam.guided_grad_cam])
def test_the_model_comes_back_as_it_was_also_after_an_error(explain, monkeypatch):
    model = net("siamese-neutral")
    model.train()
    model.encoder.block1.eval()
    modes = [module.training for module in model.modules()]
    pair = pictures(1), pictures(1, seed=2)
    first = explain(model, *pair, target=SPONTANEOUS)

    def broken(*_embeddings):
        raise RuntimeError("broken on purpose")

    with monkeypatch.context() as patch:
        patch.setattr(model.head.distance, "forward", broken)
        with pytest.raises(RuntimeError, match="on purpose"):
            explain(model, *pair, target=SPONTANEOUS)
    assert _hooks(model) == 0
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert not any(frames.requires_grad for frames in pair)
    again = explain(model, *pair, target=SPONTANEOUS)
    np.testing.assert_equal(*((vars(maps) if explain is cam.grad_cam else maps) for maps in (again, first)))


def test_what_is_on_outside_does_not_matter(siamese):
    pair = pictures(1), pictures(1, seed=2)
    expected = cam.guided_grad_cam(siamese, *pair, target=POSED)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = cam.guided_grad_cam(siamese, *(frames.clone() for frames in pair), target=POSED)
    np.testing.assert_array_equal(found, expected)
    frozen = copy.deepcopy(siamese).requires_grad_(False)
    np.testing.assert_array_equal(cam.guided_grad_cam(frozen, *pair, target=POSED), expected)


def test_shuffled_weights_give_other_maps(siamese):
    pair = pictures(3), pictures(3, seed=2)
    before = copy.deepcopy(siamese.state_dict())
    other = cam.randomised(siamese, seed=1)
    for name, parameter in siamese.named_parameters():
        assert torch.equal(parameter, before[name])
        assert torch.equal(parameter.flatten().sort().values, other.get_parameter(name).flatten().sort().values)
    found = cam.randomisation_check(siamese, *pair, target=SPONTANEOUS, part="difference", seed=1)
    one, two = (cam.grad_cam(net, *pair, target=SPONTANEOUS, part="difference") for net in (siamese, other))
    for name, correlations in found.items():
        maps = zip(getattr(one, name), getattr(two, name), strict=True)
        np.testing.assert_allclose(correlations, [spearmanr(a.ravel(), b.ravel())[0] for a, b in maps], atol=1e-12)
        assert (correlations < 0.9).all()
    same = cam.grad_cam(siamese, *pair, target=SPONTANEOUS, part="difference").spatial
    np.testing.assert_allclose(cam.rank_correlation(same, same), 1)
    assert np.isnan(cam.rank_correlation(np.zeros((1, 2, 2)), np.arange(4.0).reshape(1, 2, 2))).all()


def test_upsampling_keeps_constants_means_and_the_place():
    assert (cam.upsample(np.full((1, 7, 7), 2.5), (112, 112)) == 2.5).all()
    maps = np.zeros((2, 4, 4))
    maps[1, 0, 3] = 1.0
    large = cam.upsample(maps, (32, 16))
    assert large.shape == (2, 32, 16)
    assert not large[0].any()
    top, right = np.unravel_index(large[1].argmax(), large[1].shape)
    assert top < 8
    assert right >= 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": 2}, "expected 1 .spontaneous. or 0"),
        ({"part": "left"}, "expected one of smile, anchor, difference"),
        ({"anchors": None}, "without frames of its other branch"),
        ({"anchors": pictures(3)}, "3 anchors for 2 clips"),
        ({"anchor_of": torch.tensor([0, 2])}, "anchor_of .0, 2."),
        ({"anchors": pictures(2, size=16)}, "expected them as the frames"),
        ({"frames": pictures(2, frames=5)}, "exactly 12"),
        ({"frames": pictures(2).mul(255).byte()}, "divide bytes by 255"),
    ],
)
def test_what_cannot_be_explained_is_refused(siamese, change, message):
    given = {"frames": pictures(2), "anchors": pictures(2), "target": SPONTANEOUS, **change}
    with pytest.raises(ValueError, match=message):
        cam.grad_cam(siamese, **given)


def test_a_plain_net_has_no_anchor_branch_and_a_view_needs_evaluation_mode(plain):
    for part in ("anchor", "difference"):
        with pytest.raises(ValueError, match="takes none"):
            cam.grad_cam(plain, pictures(1), target=SPONTANEOUS, part=part)
    with pytest.raises(ValueError, match="takes none"):
        cam.grad_cam(plain, pictures(1), pictures(1), target=SPONTANEOUS)
    with pytest.raises(ValueError, match="evaluation mode"):
        BranchView(copy.deepcopy(plain).train())
