"""How far the likeness to an anchor tells the class, without any network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from smilelab import anchors, metrics
from smilelab.anchors import Anchored, AnchorRule, Anchors
from smilelab.audit.errors import AuditError
from smilelab.clips import ClipStore
from smilelab.windows import LENGTH, Windows

__all__ = ["RULES", "anchor_likeness", "anchor_probes", "clip_probes"]

RULES: tuple[AnchorRule, ...] = ("neutral", "posed")


def anchor_likeness(samples: Anchored) -> pd.DataFrame:
    """Mean absolute difference of the mean frames of smile and anchor, for each smile moment.

    Parameters
    ----------
    samples : Anchored
        Windows or whole clips, and anchors.

    Returns
    -------
    pandas.DataFrame
        One row a moment or clip: ``clip_id, subject, label`` and ``probability``: the difference, 0 to 1, mean over a
        moment's windows. It is no probability; what it can show is the area under its curve.
    """
    still = [frames.mean(0, dtype=np.float32) for frames in samples.anchor_frames]
    far = [
        float(np.abs(smile.mean(0, dtype=np.float32) - still[own]).mean() / 255)
        for smile, own in zip(samples.samples, samples.anchor_of, strict=True)
    ]
    return metrics.of_moments(samples.table.astype({"clip_id": str, "subject": str}).assign(probability=far))


def anchor_probes(store: ClipStore, *, length: int = LENGTH, stride: int = LENGTH, seed: int = 0) -> pd.DataFrame:
    """Area under the curve of the likeness to each kind of anchor, over all subjects.

    A posed anchor is cut from the recording of a posed smile. Light, camera and pose are alike within a recording, and
    a posed smile is like another, so that this likeness may give the class away to whoever compares with such an
    anchor: nothing is learned here, only pixels are subtracted.

    Parameters
    ----------
    store : ClipStore
    length, stride : int
        Frames of a window, and from a window to the next.
    seed : int
        Which posed clip the anchor is cut from; see `smilelab.anchors.find`.

    Returns
    -------
    pandas.DataFrame
        One row a rule of :data:`RULES`, and for the posed one a second without the clip that each anchor is cut from:
        ``anchor``, ``own_clip`` (whether that clip's other windows are in it) and the fields of
        :class:`smilelab.metrics.Summary`, of which the areas (spontaneous is the farther class) and counts mean
        something.

    Raises
    ------
    AuditError
        No window is left that both anchors can be compared with.
    """
    found = {rule: anchors.find(store, rule, length=length, seed=seed) for rule in RULES}
    windows = Windows(store, length=length, stride=stride)
    for some in found.values():
        windows = windows.of_subjects(some).without(some)
    if not len(windows):
        raise AuditError(
            f"no window of {length} frames is left beside the anchors; expected subjects with a neutral face, a posed "
            "smile and further smiles."
        )
    return _probed({rule: Anchored(windows, some) for rule, some in found.items()}, found)


def clip_probes(store: ClipStore, *, rules: Sequence[AnchorRule] = RULES, seed: int = 0) -> pd.DataFrame:
    """As :func:`anchor_probes`, of whole clips and the anchors that they are compared with.

    The distance from a face at rest also grows with the smile itself, which is no such cue.

    Parameters
    ----------
    store : ClipStore
    rules : sequence of {"neutral", "posed"}
        The anchors; clips and subjects are left out that one of them cannot be compared with.
    seed : int
        See :func:`smilelab.anchors.find`.

    Returns
    -------
    pandas.DataFrame
        A row a rule, as there; of the clips that models with these anchors are judged on
        (:func:`smilelab.anchors.comparable`).

    Raises
    ------
    AuditError
        No clip is left that all of these anchors can be compared with.
    """
    found = {rule: anchors.find(store, rule, length=anchors.clip_length(store), seed=seed) for rule in rules}
    clip_ids = anchors.comparable(store, found)
    if not clip_ids:
        raise AuditError(
            f"no clip is left beside the anchors ({', '.join(rules)}); expected subjects with all of them."
        )
    table = store.usable.loc[clip_ids, ["subject", "label"]].rename_axis("clip_id").reset_index()
    clips = [store.frames(clip_id) for clip_id in clip_ids]
    return _probed({rule: Anchored(clips, some, store=store, table=table) for rule, some in found.items()}, found)


def _probed(samples: Mapping[AnchorRule, Anchored], found: Mapping[AnchorRule, Anchors]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for rule, some in found.items():
        moments = anchor_likeness(samples[rule])
        rows.append({"anchor": rule, "own_clip": True, **metrics.summarize(moments).as_dict()})
        elsewhere = moments[~moments["clip_id"].isin([anchor.clip_id for anchor in some.values()])]
        if 0 < len(elsewhere) < len(moments):
            rows.append({"anchor": rule, "own_clip": False, **metrics.summarize(elsewhere).as_dict()})
    return pd.DataFrame(rows)
