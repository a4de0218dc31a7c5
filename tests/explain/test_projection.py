import numpy as np
import pytest
import torch
from sklearn.metrics import silhouette_score

from smilelab import models, training
from smilelab.explain.projection import embeddings, tsne


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
