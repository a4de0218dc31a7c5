"""How far the likeness to an anchor tells the class, without any network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from smilelab import anchors, metrics
from smilelab.anchors import Anchored, AnchorRule
from smilelab.audit.errors import AuditError
from smilelab.clips import ClipStore
from smilelab.windows import LENGTH, Windows

__all__ = ["RULES", "anchor_likeness", "anchor_probes"]

RULES: tuple[AnchorRule, ...] = ("neutral", "posed")


def anchor_likeness(samples: Anchored) -> pd.DataFrame:
    """Mean absolute difference of the mean frames of window and anchor, for each smile moment.

    Parameters
    ----------
    samples : Anchored
        Windows and anchors.

    Returns
    -------
    pandas.DataFrame
        One row a moment: ``clip_id, subject, label`` and ``probability``: the difference, 0 to 1, mean over the
        moment's windows. It is no probability; what it can show is the area under its curve.
    """
    still = [frames.mean(0, dtype=np.float32) for frames in samples.anchor_frames]
    far = [
        float(np.abs(window.mean(0, dtype=np.float32) - still[own]).mean() / 255)
        for window, own in zip(samples.windows, samples.anchor_of, strict=True)
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
    rows: list[dict[str, Any]] = []
    for rule, some in found.items():
        moments = anchor_likeness(Anchored(windows, some))
        rows.append({"anchor": rule, "own_clip": True, **metrics.summarize(moments).as_dict()})
        elsewhere = moments[~moments["clip_id"].isin([anchor.clip_id for anchor in some.values()])]
        if 0 < len(elsewhere) < len(moments):
            rows.append({"anchor": rule, "own_clip": False, **metrics.summarize(elsewhere).as_dict()})
    return pd.DataFrame(rows)
