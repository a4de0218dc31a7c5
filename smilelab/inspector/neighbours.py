"""Clips that a network sees as most like the one that is open."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from smilelab.artifacts.product import database_label
from smilelab.clips import ClipStore
from smilelab.explain.projection import embeddings
from smilelab.inspector.clip import OpenedClip
from smilelab.inspector.inputs import CannotScoreError, samples_of, store_samples
from smilelab.inspector.scorer import Scorer, subjects_of_training
from smilelab.signals import mouth_width

__all__ = ["nearest", "thumbnails"]

_COLUMNS = ["clip_id", "label", "subject", "distance", "seen"]


def nearest(scorer: Scorer, store: ClipStore, clip: OpenedClip, count: int = 5) -> pd.DataFrame:
    """Clips of a store that the network sees as most like this one.

    The first call lays out all clips of the store, and keeps that for the scorer.

    Parameters
    ----------
    scorer : Scorer
    store : ClipStore
        Of the scorer's recipe.
    clip : OpenedClip
    count : int

    Returns
    -------
    pandas.DataFrame
        ``clip_id, label, subject, distance, seen`` in order of distance: Euclidean, between what the classification
        block's ReLU gives (RealSmileNet), the distances from the anchor (networks with one), or the encoder's output.
        Networks on windows see the middle window of each clip. `seen` is whether the subject was trained on or
        validated with; None where that is not known. The clip itself is left out. No rows where the network cannot take
        the clip. ``attrs["source"]`` names the store's database.
    """
    try:
        samples = samples_of(scorer, clip)
    except CannotScoreError:
        return pd.DataFrame(columns=_COLUMNS)
    layer = _layer(scorer.model)
    key = ("layout", store.hash)
    if key not in scorer._kept:
        clip_ids, clips = store_samples(scorer, store)
        scorer._kept[key] = clip_ids, embeddings(scorer.model, layer, clips)
    clip_ids, vectors = scorer._kept[key]
    own = embeddings(scorer.model, layer, samples.clips, which=[len(samples.starts) // 2])[0]
    distances = np.linalg.norm(vectors.astype(np.float64) - own, axis=1)
    others = [i for i in np.argsort(distances, kind="stable") if clip_ids[i] != clip.clip_id][:count]
    table = store.usable.loc[[clip_ids[i] for i in others], ["label", "subject"]].rename_axis("clip_id").reset_index()
    own_store, other = scorer.spec.store == store.hash, scorer.spec.database != store.database
    trained = subjects_of_training(scorer.spec, store) if own_store else frozenset() if other else None
    seen = [None if trained is None else str(subject) in trained for subject in table["subject"]]
    found = table.assign(distance=distances[others], seen=pd.Series(seen, dtype=object))[_COLUMNS]
    found.attrs["source"] = database_label(store.database, simulated=store.simulated)
    return found


def thumbnails(store: ClipStore, clip_ids: Iterable[str]) -> dict[str, NDArray[np.uint8]]:
    """One crop (S, S, 3) of each clip: that of the widest mouth."""
    found = {}
    for clip_id in clip_ids:
        widest = int(np.nanargmax(mouth_width(store.track(clip_id)["landmarks"])))
        found[clip_id] = np.asarray(store.frames(clip_id)[widest])
    return found


def _layer(model: nn.Module) -> nn.Module:
    for name in ("distance", "relu"):
        if hasattr(model.head, name):
            return model.get_submodule(f"head.{name}")
    return model.get_submodule("encoder")
