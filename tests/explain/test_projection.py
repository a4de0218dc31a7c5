import numpy as np
import pytest
import torch
from sklearn.metrics import silhouette_score
from written_store import Clip, steady, write_store

from smilelab import anchors, models, training
from smilelab.explain.projection import embeddings, principal_components, tsne
from smilelab.windows import Windows


def clips_of(lengths, size=24):
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (length, size, size, 3), dtype=np.uint8) for length in lengths]


def test_embeddings_are_the_layers_output_in_the_given_order():
    torch.manual_seed(0)
    model = models.build("realsmilenet", size=24).eval()
    clips = clips_of([3, 7, 5, 2, 6])
    together = embeddings(model, model.head.relu, clips, batch_size=2)
    assert together.shape == (5, 40)
    for row, clip in zip(together, clips, strict=True):
        seen = []
        hook = model.head.relu.register_forward_hook(lambda _m, _i, output, seen=seen: seen.append(output.flatten(1)))
        training.predict(model, [clip])
        hook.remove()
        np.testing.assert_allclose(row, seen[0][0].numpy(), atol=1e-5)


def test_no_hook_is_left_behind_after_an_error():
    model = models.build("realsmilenet", size=24)
    with pytest.raises(ValueError, match="24"):
        embeddings(model, model.head.relu, clips_of([3], size=32))
    assert not model.head.relu._forward_hooks


def test_a_layer_called_per_frame_is_refused():
    model = models.build("realsmilenet", size=24)
    with pytest.raises(ValueError, match="one row a clip"):
        embeddings(model, model.encoder.fpn, clips_of([3, 4]))


def test_projection_keeps_apart_what_is_apart_and_is_seeded():
    generator = np.random.default_rng(1)
    groups = np.repeat([0, 1], 15)
    features = generator.normal(0, 1, (30, 20)) + 12 * groups[:, None]
    points = tsne(features, seed=3)
    assert points.shape == (30, 2)
    assert silhouette_score(points, groups) > 0.5
    np.testing.assert_array_equal(points, tsne(features, seed=3))


def test_small_folds_are_projected_and_tiny_ones_refused():
    generator = np.random.default_rng(2)
    assert np.isfinite(tsne(generator.normal(size=(4, 6)))).all()
    with pytest.raises(ValueError, match="at least 4"):
        tsne(generator.normal(size=(3, 6)))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    clips = [Clip(f"{s}_{label}", label, s, steady(14)) for s in ("a", "b") for label in (0, 1)]
    clips += [Clip(f"{s}_n", -1, s, steady(9), kind="neutral") for s in ("a", "b")]
    store = write_store(tmp_path_factory.mktemp("pairs") / "store", clips, size=16)
    return anchors.Anchored(Windows(store, length=8, stride=3), anchors.find(store, "neutral", length=8))


def test_distances_are_between_each_window_and_its_own_anchor(pairs):
    torch.manual_seed(0)
    options = {"size": 16, "frames": 8, "growth": 4, "stem": 4, "width": 8, "last": 8}
    model = models.build("siamese-neutral", depth=14, **options)
    model.encoder.eval()
    modes = [module.training for module in model.modules()]
    which = np.array([7, 0, 4, 11, 2])
    found = embeddings(model, model.head.distance, pairs, which=which, batch_size=2)
    assert [module.training for module in model.modules()] == modes

    def embedded(frames):
        with torch.no_grad():
            return model.eval().encoder(torch.tensor(np.moveaxis(frames, -1, 0)[None] / 255, dtype=torch.float32))[0]

    for row, number in zip(found, which, strict=True):
        anchor = pairs.anchor_frames[pairs.anchor_of[number]]
        expected = (embedded(pairs[int(number)]) - embedded(anchor)).abs()
        np.testing.assert_allclose(row, expected, atol=1e-5)
    assert found.std(0).max() > 1e-3


def vectors(seed, count=40):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(count, 5)) @ np.diag([4.0, 2.0, 1.0, 0.5, 0.1]) + 3


def test_principal_components_agree_with_the_singular_value_decomposition_of_the_training_vectors():
    train, shown = vectors(1), vectors(2, 12) + 1
    labels = np.arange(12) % 2
    found = principal_components(train, shown, labels)
    centre = train.mean(0)
    _, singular, right = np.linalg.svd(train - centre, full_matrices=False)
    expected = (shown - centre) @ right[:2].T
    np.testing.assert_allclose(np.abs(found.points), np.abs(expected), atol=1e-9)
    np.testing.assert_allclose(found.explained, (singular**2 / (singular**2).sum())[:2], atol=1e-9)
    shares = ((expected - expected.mean(0)) ** 2).sum(0) / ((shown - shown.mean(0)) ** 2).sum()
    np.testing.assert_allclose(found.explained_here, shares, atol=1e-9)
    assert found.silhouette == pytest.approx(silhouette_score(expected, labels))
    assert found.silhouette_full == pytest.approx(silhouette_score(shown, labels))


def test_what_is_shown_does_not_change_the_components():
    train, shown, labels = vectors(1), vectors(2, 12), np.arange(12) % 2
    alone = principal_components(train, shown[:4], labels[:4])
    among = principal_components(train, np.concatenate([shown[:4], 100 * shown[4:]]), labels)
    np.testing.assert_array_equal(alone.points, among.points[:4])
    np.testing.assert_array_equal(alone.explained, among.explained)
    other = principal_components(train + np.eye(5)[0] * np.arange(40)[:, None], shown[:4], labels[:4])
    assert np.abs(other.points - alone.points).max() > 0.1


def test_separation_is_undefined_for_one_class_and_few_training_vectors_are_refused():
    found = principal_components(vectors(1), vectors(2, 6), np.ones(6, int))
    assert np.isnan([found.silhouette, found.silhouette_full]).all()
    with pytest.raises(ValueError, match="at least 2"):
        principal_components(vectors(1, 1), vectors(2, 6), np.ones(6, int))
