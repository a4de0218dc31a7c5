import copy
import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn
from torchcam.methods import ScoreCAM

from smilelab import models
from smilelab.explain import cam, covering
from smilelab.explain.score_cam import randomisation_check, score_cam, shares_of_time
from smilelab.prediction import load_weights
from smilelab.preprocess import crops
from smilelab.simulator import geometry, uva_nemo
from smilelab.simulator.production import Production, Settings

POSED, SPONTANEOUS = 0, 1


@pytest.fixture(scope="module")
def net():
    return load_weights().model


def pictures(count, seed=1, frames=6, size=48):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 3, 4, 4, generator=generator)
    return nn.functional.interpolate(coarse, (frames, size, size), mode="trilinear")


class Flat(nn.Module):
    """A 2D network whose target activations are twice red and four times green, and whose logit sums red - green."""

    def __init__(self):
        super().__init__()
        self.target = nn.Conv2d(3, 2, 1, bias=False)
        self.readout = nn.Conv2d(2, 1, 1, bias=False)
        with torch.no_grad():
            self.target.weight.copy_(torch.tensor([[2.0, 0, 0], [0, 4, 0]]).view(2, 3, 1, 1))
            self.readout.weight.copy_(torch.tensor([[0.5, -0.25]]).view(1, 2, 1, 1))

    def forward(self, frames):
        return self.readout(self.target(frames)).sum((1, 2, 3))


def test_hand_computed_maps_of_2x2_places():
    frames = torch.zeros(1, 3, 2, 2)
    frames[0, 0] = torch.tensor([[1.0, 2], [3, 5]])
    frames[0, 1] = torch.tensor([[4.0, 4], [0, 2]])
    # Activations are [2 4; 6 10] and [16 16; 0 8], so masks [0 .25; .5 1] and [1 1; 0 .5]. Under the first, red sums to
    # 0 + .5 + 1.5 + 5 = 7 and green to 0 + 1 + 0 + 2 = 3: score 4. Under the second, 1 + 2 + 0 + 2.5 and 4 + 4 + 0 + 1:
    # score 5.5 - 9 = -3.5.
    first = 1 / (1 + math.exp(-7.5))
    for target, share in ((SPONTANEOUS, first), (POSED, 1 - first)):
        expected = share * np.array([[2, 4], [6, 10]]) + (1 - share) * np.array([[16, 16], [0, 8]])
        model = Flat()
        found = score_cam(model, frames, target=target, layer=model.target)
        np.testing.assert_allclose(found[0], expected, rtol=1e-5)


class Plain(nn.Module):
    """A small 2D or 3D network of three classes; one channel of its layer is dead."""

    def __init__(self, axes):
        super().__init__()
        torch.manual_seed(axes)
        conv, norm, pool = getattr(nn, f"Conv{axes}d"), getattr(nn, f"BatchNorm{axes}d"), getattr(nn, f"AvgPool{axes}d")
        self.layers = nn.Sequential(conv(3, 5, 3, padding=1), norm(5), nn.ReLU(), pool(2), conv(5, 7, 3), nn.ReLU())
        self.head = nn.Sequential(nn.Flatten(2), nn.Linear(5**axes, 1), nn.Flatten(), nn.Linear(7, 3))
        with torch.no_grad():
            self.layers[4].bias[3] = -100.0
            self.layers[1].running_mean.normal_()
            self.head[3].weight.mul_(20)

    def forward(self, frames):
        return self.head(self.layers(frames))


@pytest.mark.parametrize("axes", [2, 3])
def test_it_agrees_with_torchcam_on_2d_and_3d_networks(axes):
    model = Plain(axes).eval()
    frames = torch.rand(4, 3, *[14] * axes, generator=torch.Generator().manual_seed(5))
    target = [2, 0, 1, 2]
    extractor = ScoreCAM(model, model.layers, batch_size=5, input_shape=frames.shape[1:])
    model(frames)
    peers = extractor(target, normalized=False)[0]
    extractor.remove_hooks()
    assert peers.shape == (4, *[5] * axes)
    assert peers.amax() > 0
    for batch_size in (1, 5, 100):
        found = score_cam(model, frames, target=target, layer=model.layers, batch_size=batch_size)
        np.testing.assert_allclose(found, peers, atol=1e-5 * float(peers.max()))
    other = score_cam(model, frames, target=[0, 1, 2, 0], layer=model.layers)
    assert np.abs(other - found).max() > 0.05 * found.max()


class _Scores(nn.Module):
    """As other libraries expect models: frames in, (N, classes) out; posed and spontaneous are -logit and logit."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, frames):
        logit = self.model(frames, torch.full((len(frames),), frames.shape[2]))
        return torch.stack([-logit, logit], 1)


def test_the_3d_densenet_agrees_with_torchcam_in_place_and_time():
    torch.manual_seed(0)
    options = {"depth": 14, "size": 32, "frames": 12, "growth": 4, "stem": 6, "width": 16, "last": 10}
    model = models.build("densenet3d", **options)
    model.train()
    for seed in range(100, 120):
        model(pictures(4, seed, 12, 32), torch.full((4,), 12))
    model.eval()
    frames, lengths = pictures(3, frames=12, size=32), torch.full((3,), 12)
    wrapped = _Scores(model)
    extractor = ScoreCAM(wrapped, model.encoder.target, input_shape=(3, 12, 32, 32))
    for target in (SPONTANEOUS, POSED):
        wrapped(frames)
        peers = extractor(target, normalized=False)[0]
        found = score_cam(model, frames, lengths, target=target)
        assert found.max() > 0
        np.testing.assert_allclose(found, peers, atol=1e-5 * float(peers.max()))
    extractor.remove_hooks()


def by_loops(model, clip, sign):
    """Score-CAM of one clip (3, T, S, S), channel by channel and frame by frame."""
    length = torch.tensor([clip.shape[1]])
    seen = []
    hook = model.encoder.fpn.register_forward_hook(lambda *call: seen.append(call[2]))
    with torch.no_grad():
        model(clip[None], length)
        hook.remove()
        activations = seen[0]  # (T, 6, h, w): the packed frames of a single clip are its frames
        scores = []
        for channel in activations.unbind(1):
            scaled = (channel - channel.min()) / (channel.max() - channel.min()).clamp(
                min=1e-6
            )  # a channel may be dead
            mask = [nn.functional.interpolate(frame[None, None], (48, 48), mode="bilinear")[0, 0] for frame in scaled]
            scores.append(sign * model(clip[None] * torch.stack(mask)[None, None], length))
    weights = torch.cat(scores).softmax(0)
    return torch.einsum("c,tchw->thw", weights, activations).relu().numpy(), weights


def test_clips_are_explained_frame_by_frame_as_channel_by_channel_loops_do(net):
    frames, lengths = pictures(3, frames=7), torch.tensor([4, 7, 1])
    target = [SPONTANEOUS, POSED, POSED]
    found = score_cam(net, frames, lengths, target=target, batch_size=4)
    assert found.shape == (3, 7, 12, 12)
    assert found.dtype == np.float32
    for row, (clip, length) in enumerate(zip(frames, lengths.tolist(), strict=True)):
        maps, weights = by_loops(net, clip[:, :length], 1 if target[row] == SPONTANEOUS else -1)
        np.testing.assert_allclose(found[row, :length], maps, atol=1e-5 * maps.max())
        assert weights.std() > 0.01
        assert not found[row, length:].any()
    assert found.min() >= 0


def test_padding_and_companions_never_influence_a_map(net):
    frames, lengths = pictures(3, frames=7), torch.tensor([4, 7, 5])
    found = score_cam(net, frames, lengths, target=SPONTANEOUS)
    padded = torch.full((3, 3, 11, 48, 48), torch.nan)
    for row, length in enumerate(lengths):
        padded[row, :, :length] = frames[row, :, :length]
    other = score_cam(net, padded, lengths, target=SPONTANEOUS)
    assert other.shape == (3, 11, 12, 12)
    np.testing.assert_allclose(other[:, :7], found, atol=1e-6 * found.max())
    assert not other[:, 7:].any()
    alone = score_cam(net, frames[:1, :, :4], lengths[:1], target=SPONTANEOUS)
    np.testing.assert_allclose(alone[0], found[0, :4], atol=1e-6 * found.max())


ALONE = [name for name in models.names() if name.startswith("realsmilenet") and models.anchor_rule(name) == "none"]


@pytest.mark.parametrize("name", ALONE)
def test_every_network_of_the_family_is_explained(name):
    torch.manual_seed(0)
    model = models.build(name)
    maps = score_cam(model, pictures(2, frames=4), torch.tensor([2, 4]), target=SPONTANEOUS)
    assert maps.shape[:2] == (2, 4)
    assert maps.min() == 0 < maps[0, :2].max()
    assert not maps[0, 2:].any()


def test_maps_of_a_network_that_sees_transposed_pictures_lie_on_the_pictures(net):
    released = models.build("realsmilenet-released")
    released.load_state_dict(net.state_dict())
    frames, lengths = pictures(1), torch.tensor([6])
    expected = score_cam(net, frames.transpose(3, 4).contiguous(), lengths, target=POSED).transpose(0, 1, 3, 2)
    found = score_cam(released, frames, lengths, target=POSED)
    np.testing.assert_allclose(found, expected, atol=1e-5 * expected.max())
    assert np.abs(found - found.transpose(0, 1, 3, 2)).max() > 0.1 * found.max()


def test_masked_clips_are_scored_in_batches(net, monkeypatch):
    sizes = []
    forward = net.forward
    monkeypatch.setattr(
        net, "forward", lambda frames, lengths: (sizes.append(len(frames)), forward(frames, lengths))[1]
    )
    found = score_cam(net, pictures(3), torch.tensor([6, 3, 2]), target=1, batch_size=8)
    assert sizes == [3, 8, 8, 2]
    one_by_one = score_cam(net, pictures(3), torch.tensor([6, 3, 2]), target=1, batch_size=1)
    np.testing.assert_allclose(found, one_by_one, atol=1e-6 * found.max())


def test_the_model_comes_back_as_it_was_and_what_is_on_outside_does_not_matter(net):
    model = copy.deepcopy(net)
    frames, lengths = pictures(2), torch.tensor([6, 4])
    expected = score_cam(model, frames, lengths, target=POSED)
    model.train()
    model.encoder.fpn.eval()
    modes, state = [module.training for module in model.modules()], copy.deepcopy(model.state_dict())
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_array_equal(score_cam(model, frames, lengths, target=POSED), expected)
        np.testing.assert_array_equal(
            score_cam(model, frames, lengths, target=POSED, layer=model.encoder.fpn), expected
        )
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": 2}, r"expected one of 0, 1 \(0 posed, 1 spontaneous\)"),
        ({"target": [0, 1, 1]}, "for each of the 2 clips"),
        ({"batch_size": 0}, "expected 1 or more"),
        ({"frames": pictures(2, size=24)}, "built for 48x48"),
        ({"frames": pictures(2).mul(255).byte()}, "divide bytes by 255"),
        ({"lengths": torch.tensor([6, 7])}, "expected 1 to 6"),
    ],
)
def test_what_cannot_be_explained_is_refused(net, change, message):
    given = {"frames": pictures(2), "lengths": torch.tensor([6, 4]), "target": SPONTANEOUS, **change}
    with pytest.raises(ValueError, match=message):
        score_cam(net, given.pop("frames"), given.pop("lengths"), **given)


def test_layers_and_networks_that_do_not_fit_are_refused(net):
    flat = Flat()
    with pytest.raises(ValueError, match="give layer="):
        score_cam(flat, torch.rand(1, 3, 4, 4), target=1)
    with pytest.raises(ValueError, match="called once"):
        score_cam(net, pictures(2), torch.tensor([6, 4]), target=1, layer=net.head.conv)
    with pytest.raises(ValueError, match="expected one of 0, 1, 2"):
        score_cam(Plain(2), torch.rand(1, 3, 14, 14), target=3)
    siamese = models.build("siamese-neutral", depth=14, size=32, frames=12, growth=4, stem=6, width=16, last=10)
    with pytest.raises(ValueError, match="grad_cam"):
        score_cam(siamese, pictures(1, frames=12, size=32), torch.tensor([12]), target=1)


def test_shuffled_weights_give_other_maps(net):
    frames, lengths = pictures(3, frames=7), torch.tensor([4, 7, 5])
    found = randomisation_check(net, frames, lengths, target=SPONTANEOUS, seed=1)
    learned, random = (score_cam(some, frames, lengths, target=1) for some in (net, cam.randomised(net, seed=1)))
    for row, length in enumerate(lengths):
        expected = spearmanr(learned[row, :length].ravel(), random[row, :length].ravel())[0]
        assert found[row] == pytest.approx(expected, abs=1e-9)
    assert (found < 0.9).all()


def test_shares_of_time_divide_frames_on_the_borders():
    np.testing.assert_allclose(shares_of_time([1, 2, 3]), [1 / 6, 2 / 6, 3 / 6])
    np.testing.assert_allclose(shares_of_time([5.0] * 7), [1 / 3] * 3)
    # Four frames: the second lies a third of its time in the first part, the third likewise in the last.
    np.testing.assert_allclose(shares_of_time([0, 3, 0, 9]), [1 / 12, 2 / 12, 9 / 12])
    np.testing.assert_allclose(shares_of_time([1, 3], 2), [0.25, 0.75])
    assert np.isnan(shares_of_time([0.0, 0.0])).all()


def test_covers_have_one_area_and_lie_deepest_inside_and_furthest_outside():
    depth = np.array([[[3.0, 2, -1], [1, -2, -3]], [[9, 8, 7], [6, -1, -2]]])
    inside, outside = covering.equal_covers(depth)
    assert inside.tolist() == [[[True, True, False], [False] * 3], [[True, True, False], [False] * 3]]
    assert outside.tolist() == [[[False] * 3, [False, True, True]]] * 2
    with pytest.raises(ValueError, match="widen the crop"):
        covering.equal_covers(np.ones((1, 2, 2)))
    frames = np.zeros((2, 2, 3, 3), np.uint8)
    frames[0] = 100
    painted = covering.covered(frames, inside, (1, 2, 3))
    assert (painted[inside] == (1, 2, 3)).all()
    assert (painted[~inside] == frames[~inside]).all()


class Brightness(nn.Module):
    """Logit: mean of the red channel's valid frames, less .3."""

    def __init__(self):
        super().__init__()
        self.offset = nn.Parameter(torch.tensor(0.3))

    def forward(self, frames, lengths):
        red = frames[:, 0].mean((2, 3))
        return torch.stack([one[:n].mean() for one, n in zip(red, lengths, strict=True)]) - self.offset


def test_drops_are_of_the_decided_class():
    frames = np.zeros((2, 2, 2, 3), np.uint8)
    frames[:, 0] = 204  # .8 of red above, 0 below: .4 on average
    above, below = np.zeros((2, 2, 2), bool), np.zeros((2, 2, 2), bool)
    above[:, 0] = below[:, 1] = True
    logit, drops = covering.drops(Brightness(), frames, [above, below], colour=102)
    assert logit == pytest.approx(0.1)
    np.testing.assert_allclose(drops, [0.2, -0.2], atol=1e-6)
    frames[:, 0] = 51  # .1 on average: posed is decided, and grey is more than either half has
    logit, drops = covering.drops(Brightness(), frames, [above, below])
    assert logit == pytest.approx(-0.2)
    np.testing.assert_allclose(drops, [(127 - 51) / 255 / 2, 127 / 255 / 2], atol=1e-6)


def simulated_clips(count):
    """Crops (T, 48, 48, 3) of people smiling, at 5 frames per second, and depth (T, 48, 48) in their heads: 1 - the
    radius at which the simulator draws the head's outline, followed through pose, camera and crop."""
    settings = Settings("uva-nemo", 1001, count, count, (240, 180), length_matched=True, max_length_s=4.0)
    production = Production(settings=settings, layout=uva_nemo.LAYOUT)
    first = {clip.code: clip for clip in production.roster()}
    for clip in first.values():
        dynamics, view = production.dynamics(clip), production.view(clip)
        frames, depths = [], []
        for at in np.searchsorted(dynamics.times, np.arange(0, dynamics.times[-1], 0.2)):
            units, pose = dynamics.action_units[at], dynamics.pose[at]
            landmarks = view.landmarks(units, pose)
            box = crops.pose_box(crops.face_pose(landmarks))
            frames.append(crops.crop(view.render(units, pose), box, 48))
            centres = box[:2] + (np.arange(48)[:, None] + 0.5) * (box[2:] - box[:2]) / 48
            pixels = np.stack(np.meshgrid(*centres.T), -1).reshape(-1, 2)
            depths.append(1 - radius(view, pose, pixels).reshape(48, 48))
            jaw = radius(view, pose, landmarks[:17])
            assert np.abs(jaw - 1).max() < 0.08, "the jaw's true landmarks lie on the outline"
        yield np.stack(frames), np.stack(depths)


def radius(view, pose, pixels):
    matrix = view._similarity(np.asarray(pose, float))
    x, y = np.linalg.solve(matrix[:, :2], (pixels - matrix[:, 2]).T).astype(np.float32)
    return geometry.outline(view.identity, x, y)


def test_covering_the_face_costs_the_decision_more_than_covering_as_much_background(net):
    """The crops are those the network was trained on, for in wider ones it would see what it never saw. They hold less
    background than face: all of the background of the narrowest frame is covered, and as much of the face's middle."""
    falls, decided = [], []
    for frames, depth in simulated_clips(20):
        covers = covering.equal_covers(depth)
        assert (depth[covers.inside] > 0).all()
        assert (depth[covers.outside] < 0).all()
        assert len(set(np.concatenate([cover.sum((1, 2)) for cover in covers]))) == 1
        assert covers.inside.mean() > 0.1
        # In grey, and in black as the masks of Score-CAM cover.
        logits, some = zip(*(covering.drops(net, frames, covers, colour=grey) for grey in (127, 0)), strict=True)
        falls.append(some)
        decided.append(logits[0] >= 0)
    face, background = np.moveaxis(falls, 2, 0)
    assert face.shape == (20, 2)
    assert 5 <= sum(decided) <= 15, "clips decided as either class"
    assert (face.mean(0) > 2 * background.mean(0)).all()
    assert (np.abs(face).mean(0) > 2 * np.abs(background).mean(0)).all()
