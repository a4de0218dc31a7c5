"""Embeddings of clips inside a model, and their projection to two dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score
from torch import nn

from smilelab.explain.branch import explaining
from smilelab.scoring import batch_of

MIN_CLIPS = 4


def embeddings(
    model: nn.Module,
    layer: nn.Module,
    clips: Sequence[np.ndarray],
    *,
    which: Sequence[int] | np.ndarray | None = None,
    batch_size: int = 16,
    device: str = "cpu",
) -> np.ndarray:
    """Flattened output of a layer for each clip.

    Parameters
    ----------
    model : torch.nn.Module
        A model of the registry; moved to ``device`` and left in the mode it was in.
    layer : torch.nn.Module
        One of its modules that is called once per batch with one row a clip, such as ``model.head.relu``, or
        ``model.head.distance`` for the L1-distance vector of a Siamese network.
    clips : sequence of numpy.ndarray, uint8 (T, H, W, 3)
        Clips as the model takes them; with their anchors (`smilelab.anchors.Anchored`) for a Siamese network.
    which : sequence of int, optional
        Numbers of the clips; all by default.
    batch_size : int
        Clips per batch.
    device : str
        A torch device.

    Returns
    -------
    numpy.ndarray, float32 (n, features)
        In the order of ``which``.
    """
    numbers = np.arange(len(clips)) if which is None else np.asarray(which)
    seen: list[torch.Tensor] = []
    hook = layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output.detach().flatten(1).cpu()))
    model = model.to(device)
    try:
        with explaining(model), torch.inference_mode():
            for start in range(0, len(numbers), batch_size):
                model(*batch_of(clips, numbers[start : start + batch_size]).inputs(device))
    finally:
        hook.remove()
    rows = torch.cat(seen).numpy()
    if len(rows) != len(numbers):
        raise ValueError(
            f"the layer gave {len(rows)} rows for {len(numbers)} clips; expected a layer with one row a clip."
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


@dataclass(frozen=True)
class Components:
    """Vectors of unseen subjects on the principal components of the vectors that a model was trained with.

    Attributes
    ----------
    points : (n, k) array
        Their coordinates.
    explained : (k,) array
        Share of the training vectors' variance along each component.
    explained_here : (k,) array
        Share of the shown vectors' own variance along each component; NaN where they do not vary.
    silhouette : float
        Mean silhouette of the two classes on `points`: 1 apart, 0 mixed, below 0 among the other class. NaN where it is
        not defined, as with one class only.
    silhouette_full : float
        The same on the vectors themselves.
    """

    points: np.ndarray
    explained: np.ndarray
    explained_here: np.ndarray
    silhouette: float
    silhouette_full: float


def principal_components(train: np.ndarray, shown: np.ndarray, labels: np.ndarray, *, count: int = 2) -> Components:
    """Principal components of training vectors, and other vectors on them.

    Parameters
    ----------
    train : numpy.ndarray, (m, features)
        What centre and components are fitted on.
    shown : numpy.ndarray, (n, features)
        What is projected and judged.
    labels : numpy.ndarray, int (n,)
        Classes of ``shown``.
    count : int
        Number of components.

    Returns
    -------
    Components

    Raises
    ------
    ValueError
        Too few training vectors for so many components.

    Source: Lee & Lee 2020, Fig. 7: L1-distance vectors on their first two singular vectors. On which part of the data
    these were fitted is not said; here it is never the part that is shown.
    """
    if min(train.shape) < count:
        raise ValueError(
            f"found training vectors of shape {train.shape}, expected at least {count} of at least {count}."
        )
    fitted = PCA(count, svd_solver="full").fit(train.astype(np.float64))
    points = fitted.transform(shown.astype(np.float64))
    variance = shown.astype(np.float64).var(0).sum()
    here = points.var(0) / variance if variance > 0 else np.full(count, np.nan)
    return Components(
        points, fitted.explained_variance_ratio_, here, _silhouette(points, labels), _silhouette(shown, labels)
    )


def _silhouette(vectors: np.ndarray, labels: np.ndarray) -> float:
    classes = len(np.unique(labels))
    return float(silhouette_score(vectors, labels)) if 1 < classes < len(labels) else float("nan")
