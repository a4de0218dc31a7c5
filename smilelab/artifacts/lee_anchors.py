"""What anchors do to a comparison before any network is trained: what is left out, and what pixels alone tell."""

from __future__ import annotations

import pandas as pd

from smilelab import anchors, audit
from smilelab.artifacts.lee_rows import STRUCTURES
from smilelab.artifacts.numbers import percent
from smilelab.artifacts.product import NOT_RUN, database_label
from smilelab.clips import ClipStore
from smilelab.datasets import POSED, SPONTANEOUS
from smilelab.specs import RunSpec
from smilelab.windows import LENGTH, Windows

LIKENESS_CAPTION = "Without a network: smiles told apart by how far their mean frame is from the anchor's (percent)"


def left_out(store: ClipStore, spec: RunSpec) -> list[str]:
    """What comparable structures cost: windows that touch an anchor, and subjects without one."""
    cut, seed = spec.windows, spec.partition_seed or 0
    if cut is None or not cut.comparable:
        return []
    windows = kept = Windows(store, length=cut.length, stride=cut.test_stride)
    for rule in audit.likeness.RULES:
        found = anchors.find(store, rule, length=cut.length, seed=seed)
        kept = kept.of_subjects(found).without(found)
    before, after = windows.counts(), kept.counts()
    lost = {label: before[label] - after[label] for label in (POSED, SPONTANEOUS)}
    moments = {
        label: windows.table.query("label == @label")["clip_id"].nunique()
        - kept.table.query("label == @label")["clip_id"].nunique()
        for label in (POSED, SPONTANEOUS)
    }
    subjects = windows.table["subject"].nunique() - kept.table["subject"].nunique()
    return [
        "So that all structures are trained and judged on the same windows, those that share a frame with an anchor "
        f"are left out, and subjects without one: of {before[POSED]:,} posed windows {lost[POSED]:,} and of "
        f"{before[SPONTANEOUS]:,} spontaneous ones {lost[SPONTANEOUS]:,}, with {moments[POSED]} posed and "
        f"{moments[SPONTANEOUS]} spontaneous moments and {subjects} subjects altogether. A posed anchor is cut around "
        "an apex: posed smiles lose part of theirs, which spontaneous ones keep. Other windows of its clip stay."
    ]


def likeness(store: ClipStore, spec: RunSpec | None) -> pd.DataFrame:
    """What the likeness to an anchor tells without a network, under the anchors of the runs, printed."""
    label = database_label(store.database, simulated=store.simulated)
    length = spec.windows.length if spec is not None and spec.windows is not None else LENGTH
    seed = (spec.partition_seed or 0) if spec is not None else 0
    try:
        found = audit.anchor_probes(store, length=length, seed=seed).to_dict("records")
    except audit.AuditError as error:
        return pd.DataFrame([{"anchor": f"{NOT_RUN}: {error}"}])
    return pd.DataFrame(
        {
            "anchor": STRUCTURES[row["anchor"]] + ("" if row["own_clip"] else ", without the anchor's own clip"),
            "database": f"{label}, all subjects",
            "AUC": percent(row["auc"], row["auc_low"], row["auc_high"]),
            "moments": str(row["n"]),
            "subjects": str(row["subjects"]),
        }
        for row in found
    )
