"""Anchors where mouths were made to rest or to move."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from written_store import Clip, steady, write_store

from smilelab import anchors
from smilelab.anchors import Anchor, Anchored
from smilelab.clips import ClipStore
from smilelab.windows import Windows


def moving(count: int, still: slice, at: float = 0.8) -> np.ndarray:
    """Widths of a mouth that moves all the time but in one stretch."""
    width = at + 0.1 * np.sin(np.arange(count))
    width[still] = at
    return width


def places(windows: Windows) -> list[tuple[str, int]]:
    return list(windows.table[["clip_id", "start"]].itertuples(index=False, name=None))


@pytest.fixture
def people(tmp_path: Path) -> ClipStore:
    smile = 0.8 + 0.3 * np.exp(-(((np.arange(90) - 50) / 12) ** 2))
    resting = np.concatenate([smile + 0.1 * np.sin(np.arange(90)), moving(120, slice(40, 75))])
    return write_store(
        tmp_path / "people",
        [
            Clip("a1", 1, "a", steady(90), smile),
            Clip("a0", 0, "a", steady(90), smile),
            Clip("a0b", 0, "a", steady(90), smile[::-1]),
            Clip("an", -1, "a", steady(200), moving(200, slice(130, 165)), kind="neutral"),
            Clip("b1", 1, "b", steady(210), resting),
            Clip("c0", 0, "c", steady(12), 0.8),
        ],
    )


def test_the_neutral_anchor_is_where_the_mouth_rests(people: ClipStore) -> None:
    chosen = anchors.find(people, "neutral")
    assert set(chosen) == {"a", "b"}
    assert chosen.missing == ("c",)
    assert chosen["a"].clip_id == "an"
    assert 130 <= chosen["a"].start <= 135
    # No recording of b's face at rest: among their frames, the still ones of median width.
    assert chosen["b"].clip_id == "b1"
    assert 130 <= chosen["b"].start <= 135
    assert np.array_equal(chosen["b"].frames(people), people.frames("b1")[chosen["b"].start :][:30])
    assert anchors.find(people, "neutral", source="median")["a"].clip_id in {"a1", "a0", "a0b"}
    assert anchors.find(people, "neutral", length=200)["a"] == Anchor("an", 0, 200)


def test_the_posed_anchor_is_around_the_apex(people: ClipStore) -> None:
    chosen = {seed: anchors.find(people, "posed", seed=seed)["a"] for seed in range(12)}
    assert {anchor.clip_id for anchor in chosen.values()} == {"a0", "a0b"}
    for anchor in chosen.values():
        apex = {"a0": 50, "a0b": 39}[anchor.clip_id]
        assert abs(anchor.start + 14.5 - apex) <= 1
    assert anchors.find(people, "posed", seed=3) == anchors.find(people, "posed", seed=3)
    assert anchors.find(people, "posed").missing == ("b", "c")
    windows = Windows(people)
    judged = windows.without({"a": chosen[0]})
    gone = set(places(windows)) - set(places(judged))
    assert {clip_id for clip_id, _ in gone} == {chosen[0].clip_id}
    assert {start for _, start in gone} == {s for s in range(61) if abs(s - chosen[0].start) < 30}


def test_other_rules(people: ClipStore) -> None:
    assert anchors.find(people, "none") == {}
    with pytest.raises(ValueError, match="rule is 'smile'; expected one of neutral, posed, none"):
        anchors.find(people, "smile")
    with pytest.raises(ValueError, match="source is 'film'; expected one of recording, median"):
        anchors.find(people, "neutral", source="film")


def test_each_window_has_the_anchor_of_its_subject(people: ClipStore) -> None:
    windows = Windows(people, stride=10)
    found = anchors.find(people, "neutral")
    anchored = Anchored(windows.of_subjects(found), found)
    subjects = anchored.table["subject"].astype(str)
    assert len(anchored) == len(subjects) > 0
    for number, subject in enumerate(subjects):
        own = anchored.anchor_frames[anchored.anchor_of[number]]
        assert np.array_equal(own, found[subject].frames(people))
        assert np.array_equal(anchored[number], anchored.windows[number])
    assert len(anchored.anchor_frames) == subjects.nunique()
    halved = Anchored(Windows(people, stride=10, every=2).of_subjects(found), found)
    assert halved.anchor_frames[0].shape == anchored.anchor_frames[0][::2].shape == (15, *anchored[0].shape[1:])


def test_a_window_without_an_anchor_is_refused(people: ClipStore) -> None:
    found = anchors.find(people, "neutral")
    lacking = str(Windows(people).table["subject"].iloc[0])
    del found[lacking]
    with pytest.raises(ValueError, match=f"subject {lacking} has no anchor"):
        Anchored(Windows(people), found)


def test_other_anchors_are_another_training(people: ClipStore) -> None:
    windows = Windows(people)
    found = anchors.find(people, "neutral")
    moved = {**found, "a": found["a"]._replace(start=found["a"].start + 1)}
    prints = {Anchored(windows.of_subjects(found), some).fingerprint for some in (found, dict(found), moved)}
    assert len(prints) == 2
