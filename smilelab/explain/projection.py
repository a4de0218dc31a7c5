"""Embeddings of clips inside a model, and their projection to two dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.manifold import TSNE
from torch import nn

from smilelab import training

MIN_CLIPS = 4


def embeddings(
    model: nn.Module, layer: nn.Module, clips: Sequence[np.ndarray], *, batch_size: int = 16, device: str = "cpu"
) -> np.ndarray:
    """Flattened output of a layer for each clip.

    Parameters
    ----------
    model : torch.nn.Module
        A model of the registry.
    layer : torch.nn.Module
        One of its modules that is called once per batch with one row a clip, such as ``model.head.relu``.
    clips : sequence of numpy.ndarray, uint8 (T, H, W, 3)
        Clips of any length.
    batch_size : int
        Clips per batch.
    device : str
        A torch device.

    Returns
    -------
    numpy.ndarray, float32 (n, features)
        In the order of ``clips``.
    """
    seen: list[torch.Tensor] = []
    hook = layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output.detach().flatten(1).cpu()))
    model = model.to(device).eval()
    try:
        with torch.inference_mode():
            for start in range(0, len(clips), batch_size):
                batch, lengths = training.collate(clips[start : start + batch_size])
                model(training.to_input(batch, device), lengths)
    finally:
        hook.remove()
    rows = torch.cat(seen).numpy()
    if len(rows) != len(clips):
        raise ValueError(
            f"the layer gave {len(rows)} rows for {len(clips)} clips; expected a layer with one row a clip."
        )
    return rows


def tsne(features: np.ndarray, *, perplexity: float = 30.0, seed: int = 0) -> np.ndarray:
    """Project to two dimensions with t-SNE; the perplexity is lowered for small folds.

    Parameters
    ----------
    features : numpy.ndarray, (n, features)
        At least :data:`MIN_CLIPS` rows.
    perplexity : float
        Wanted perplexity; at most a third of ``n - 1`` is used.
    seed : int
        Seed of the optimisation.

    Returns
    -------
    numpy.ndarray, (n, 2)

    Raises
    ------
    ValueError
        Too few rows to lay out.
    """
    if len(features) < MIN_CLIPS:
        raise ValueError(f"found {len(features)} clips, expected at least {MIN_CLIPS} for a projection.")
    fitting = min(perplexity, (len(features) - 1) / 3)
    return TSNE(perplexity=fitting, init="pca", random_state=seed).fit_transform(features)
