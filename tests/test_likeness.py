"""Likeness to an anchor where each recording has a light of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from written_store import Clip, steady, write_store

from smilelab import anchors, audit
from smilelab.anchors import Anchored
from smilelab.clips import ClipStore
from smilelab.windows import Windows


def make(folder: Path, light: dict[str, int]) -> ClipStore:
    """Two posed and a spontaneous clip and a neutral face of each of four subjects, each kind in a light."""
    clips = [
        Clip(f"{subject}-{name}", label, subject, steady(60), kind="neutral" if name == "neutral" else "clip")
        for subject in "abcd"
        for name, label in (("posed1", 0), ("posed2", 0), ("spontaneous", 1), ("neutral", -1))
    ]
    store = write_store(folder, clips, size=4)
    for clip in clips:
        level = light[clip.clip_id.split("-")[1].rstrip("12")]
        place = next(folder.rglob(f"{clip.clip_id}.npy"))
        np.save(place, np.full((60, 4, 4, 3), level, np.uint8))
    return store


def test_a_recordings_light_gives_the_class_away_to_a_posed_anchor_alone(tmp_path: Path) -> None:
    store = make(tmp_path / "s", {"posed": 100, "spontaneous": 160, "neutral": 130})
    probes = audit.anchor_probes(store)
    assert probes[["anchor", "own_clip"]].to_numpy().tolist() == [["neutral", True], ["posed", True], ["posed", False]]
    # Of each subject a spontaneous clip and the other posed one are left.
    assert probes["n"].tolist() == [12, 12, 8]
    assert probes["auc"].tolist() == [0.5, 1.0, 1.0]
    found = probes[probes["own_clip"]].set_index("anchor")
    # From the neutral face both kinds of smile are 30 away; from a posed one 0 and 60.
    assert found.loc["neutral", "auc"] == 0.5
    assert found.loc["posed", "auc"] == 1.0
    assert found.loc["posed", "subjects"] == 4
    windows = Windows(store, stride=30).without(anchors.find(store, "posed"))
    far = audit.anchor_likeness(Anchored(windows, anchors.find(store, "posed")))
    by_label = far.groupby("label")["probability"].unique()
    assert by_label[0].tolist() == [0.0]
    assert by_label[1] == pytest.approx([60 / 255])


def test_without_two_anchors_there_is_nothing_to_compare(tmp_path: Path) -> None:
    store = write_store(tmp_path / "s", [Clip("a", 1, "x", steady(60)), Clip("b", 1, "y", steady(60))])
    with pytest.raises(audit.AuditError, match="no window of 30 frames is left"):
        audit.anchor_probes(store)
