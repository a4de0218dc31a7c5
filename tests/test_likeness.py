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


def cut(folder: Path, light: dict[str, int]) -> ClipStore:
    """Two posed and a spontaneous clip of each of four subjects, each kind in a light, and no neutral recordings."""
    kinds = {"posed1": 0, "posed2": 0, "spontaneous": 1}
    clips = [Clip(f"{who}-{kind}", label, who, steady(60)) for who in "abcd" for kind, label in kinds.items()]
    store = write_store(folder, clips, size=4)
    for clip in clips:
        level = light[clip.clip_id.split("-")[1].rstrip("12")]
        np.save(next(folder.rglob(f"{clip.clip_id}.npy")), np.full((60, 4, 4, 3), level, np.uint8))
    return store


def test_whole_clips_are_told_apart_by_light_as_windows_are(tmp_path: Path) -> None:
    probes = audit.clip_probes(cut(tmp_path / "s", {"posed": 100, "spontaneous": 160}))
    posed = probes[probes["anchor"] == "posed"]
    found = {
        rule: anchors.find(cut(tmp_path / rule, {"posed": 0, "spontaneous": 0}), rule) for rule in ("neutral", "posed")
    }
    gone = {anchor.clip_id for some in found.values() for anchor in some.values()}
    # No clip is compared with itself: those that either anchor is cut from are left out.
    assert posed[["own_clip", "n", "auc"]].to_numpy().tolist() == [[True, 12 - len(gone), 1.0]]
    neutral = audit.clip_probes(cut(tmp_path / "t", {"posed": 130, "spontaneous": 130}), rules=["neutral"])
    assert neutral[["own_clip", "n", "auc"]].to_numpy().tolist() == [[True, 8, 0.5]]


def test_the_clip_a_rest_is_from_gives_itself_away(tmp_path: Path) -> None:
    """Each clip has a light of its own, which is nearest to itself: 0 where it is the anchor's, else 60 or more."""
    store = cut(tmp_path / "s", {"posed": 0, "spontaneous": 0})
    for number, clip_id in enumerate(store.usable.index):
        light = np.full((60, 4, 4, 3), 20 + 60 * (number % 3), np.uint8)
        np.save(next(store.path.rglob(f"{clip_id}.npy")), light)
    found = anchors.find(store, "neutral", length=30)
    table = store.usable.rename_axis("clip_id").reset_index()
    samples = Anchored([store.frames(clip_id) for clip_id in table["clip_id"]], found, store=store, table=table)
    far = audit.anchor_likeness(samples).set_index("clip_id")["probability"]
    own = [anchor.clip_id for anchor in found.values()]
    assert (far[own] == 0).all()
    assert far.drop(own).min() == pytest.approx(60 / 255)


def test_whole_clips_without_anchors_cannot_be_probed(tmp_path: Path) -> None:
    store = write_store(tmp_path / "s", [Clip("a", 1, "x", steady(60)), Clip("b", 1, "y", steady(60))])
    with pytest.raises(audit.AuditError, match=r"no clip is left beside the anchors \(neutral, posed\)"):
        audit.clip_probes(store)
