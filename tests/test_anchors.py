"""Anchors where mouths were made to rest or to move."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from written_store import Clip, steady, write_store

from smilelab import anchors, models
from smilelab.anchors import Anchor, Anchored
from smilelab.clips import ClipStore
from smilelab.scoring import batch_of, predict
from smilelab.signals import mouth_width
from smilelab.simulator import bbc, uva_nemo
from smilelab.simulator.production import Production, Settings
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
    with pytest.raises(ValueError, match="source is 'film'; expected one of auto, recording, median, rest"):
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


RATE = 5.0


@pytest.fixture(scope="module", params=["bbc", "uva-nemo"])
def cut_closely(request, tmp_path_factory) -> tuple[ClipStore, dict[str, np.ndarray]]:
    """Clips cut around smiles, five frames a second, and the true AU12 of each frame, 0 to 5."""
    layout, subjects = {"bbc": (bbc.LAYOUT, 8), "uva-nemo": (uva_nemo.LAYOUT, 4)}[request.param]
    counts = layout.counts.scaled(subjects, 8)
    production = Production(settings=Settings(request.param, 3, *counts, layout.resolution), layout=layout)
    clips, truth = [], {}
    for clip in production.roster():
        dynamics, view = production.dynamics(clip), production.view(clip)
        times = np.arange(0, dynamics.times[-1], 1 / RATE)
        at = [int(np.abs(dynamics.times - time).argmin()) for time in times]
        points = [view.landmarks(dynamics.action_units[i], dynamics.pose[i]) for i in at]
        clips.append(Clip(clip.clip_id, clip.label, clip.subject, times, mouth_width(np.stack(points)), fps=50.0))
        truth[clip.clip_id] = dynamics.action_units[at, 2:4].mean(1)
    return write_store(tmp_path_factory.mktemp("cut") / "store", clips, fps=RATE), truth


def smile_in(anchor: Anchor, truth: dict[str, np.ndarray]) -> float:
    """Mean AU12 in an anchor over the largest of its clip."""
    units = truth[anchor.clip_id]
    return float(units[anchor.start : anchor.start + anchor.length].mean() / units.max())


def test_faces_at_rest_in_clips_cut_closely_around_smiles_do_not_smile(cut_closely) -> None:
    store, truth = cut_closely
    length = anchors.clip_length(store)
    assert length == 5
    rest, median = (anchors.find(store, "neutral", length=length, source=source) for source in ("auto", "median"))
    assert set(rest) == set(median) == set(store.usable["subject"])
    still = np.array([smile_in(anchor, truth) for anchor in rest.values()])
    assert still.max() < 0.2
    assert still.mean() < 0.06
    # What holds for long recordings takes half a smile for a face at rest here.
    assert np.mean([smile_in(anchor, truth) for anchor in median.values()]) > 0.5
    posed = anchors.find(store, "posed", length=length)
    assert min(smile_in(anchor, truth) for anchor in posed.values()) > 0.6


def test_a_rest_is_held_for_as_long_as_an_anchor_is_asked_for(cut_closely) -> None:
    store, _ = cut_closely
    for anchor in anchors.find(store, "neutral", length=5, source="rest").values():
        assert (anchor.length, anchor.shown) == (2, 5)
        first, second = store.frames(anchor.clip_id)[anchor.start : anchor.start + 2]
        assert np.array_equal(anchor.frames(store), [first, first, first, second, second])
        assert np.array_equal(anchor.frames(store, every=2), [first, first, second])
    assert {anchor[2:] for anchor in anchors.find(store, "neutral", length=2, source="rest").values()} == {(2, 0)}


def many_clips(folder: Path, labels: list[int], fps: float | None = 5.0) -> ClipStore:
    """Clips of one person that differ in how far the mouth closes, the last the farthest."""
    dip = [np.where(np.arange(12) < 4, 0.9 - 0.05 * number, 1.1) for number in range(len(labels))]
    rows = [
        Clip(f"c{number}", label, "p", steady(12, 5.0), dip[number], fps=5.0) for number, label in enumerate(labels)
    ]
    return write_store(folder, rows, fps=fps)


def test_which_clip_a_rest_is_from_depends_on_neither_label_nor_mouth(tmp_path: Path) -> None:
    store, other = (many_clips(tmp_path / name, labels) for name, labels in (("a", [0, 0, 1, 1]), ("b", [1, 0, 0, 0])))
    drawn = [anchors.find(store, "neutral", length=5, seed=seed)["p"] for seed in range(200)]
    assert drawn == [anchors.find(other, "neutral", length=5, seed=seed)["p"] for seed in range(200)]
    # 50 expected of each; three standard deviations are 18.
    counts = {clip_id: sum(anchor.clip_id == clip_id for anchor in drawn) for clip_id in store.usable.index}
    assert all(32 <= count <= 68 for count in counts.values())
    assert all(anchor.start in (0, 1, 2) for anchor in drawn)


def test_neutral_recordings_come_before_rests_where_a_store_has_any(people: ClipStore, tmp_path: Path) -> None:
    assert anchors.source_of(people) == "recording"
    assert anchors.find(people, "neutral") == anchors.find(people, "neutral", source="recording")
    store = many_clips(tmp_path / "s", [0, 1])
    assert anchors.source_of(store) == "rest"
    assert anchors.find(store, "neutral") == anchors.find(store, "neutral", source="rest")


def test_anchors_of_clips_last_a_second(tmp_path: Path) -> None:
    assert anchors.clip_length(many_clips(tmp_path / "five", [0, 1])) == 5
    assert anchors.clip_length(many_clips(tmp_path / "one", [0, 1], fps=1.0)) == 2
    # Every frame is kept: the rate is that of the videos.
    assert anchors.clip_length(write_store(tmp_path / "all", [Clip("a", 1, "x", steady(9))], fps=None)) == 30


def clips_of(store: ClipStore, clip_ids: list[str]):
    table = store.usable.loc[clip_ids, ["subject", "label"]].rename_axis("clip_id").reset_index()
    return [store.frames(clip_id) for clip_id in clip_ids], table


def test_the_clips_of_a_comparison_are_those_of_all_anchors(people: ClipStore) -> None:
    neutral, posed = (anchors.find(people, rule, length=30) for rule in ("neutral", "posed"))
    assert anchors.comparable(people, {}) == list(people.usable.index)
    # c's clip is too short for any anchor, b's is their own; b has no posed smile; a's is one of two posed clips.
    assert anchors.comparable(people, {"neutral": neutral}) == ["a1", "a0", "a0b"]
    (left,) = {"a0", "a0b"} - {posed["a"].clip_id}
    assert sorted(anchors.comparable(people, {"neutral": neutral, "posed": posed})) == sorted(["a1", left])


def test_no_clip_is_compared_with_itself_unless_nobody_has_a_second_one(tmp_path: Path) -> None:
    rows = [Clip(f"{who}{number}", number % 2, who, steady(12, 5.0)) for who in "abc" for number in range(4)]
    several = write_store(tmp_path / "several", rows, fps=RATE)
    rest = anchors.find(several, "neutral", length=5)
    left = anchors.comparable(several, {"neutral": rest})
    assert set(several.usable.index) - set(left) == {anchor.clip_id for anchor in rest.values()}
    assert len(left) == 9
    single = write_store(tmp_path / "single", [row for row in rows if row.clip_id in {"a0", "b1", "c2"}], fps=RATE)
    assert anchors.comparable(single, {"neutral": anchors.find(single, "neutral", length=5)}) == ["a0", "b1", "c2"]


def test_anchors_are_possible_where_both_classes_are_left(tmp_path: Path) -> None:
    def made(name: str, *clips: tuple[str, int]) -> ClipStore:
        rows = [Clip(f"{who}{n}", label, who, steady(12, 5.0)) for n, (who, label) in enumerate(clips)]
        return write_store(tmp_path / name, rows, fps=RATE)

    assert anchors.possible(made("single", ("a", 0), ("b", 1), ("c", 0), ("d", 1))) == ("neutral",)
    # Of one subject a class says who smiles, not how.
    assert anchors.possible(made("few", *[("a", 0)] * 3, *[("b", 1)] * 3, *[("c", 1)] * 3)) == ()
    # As in MMI: those who pose are others than those who smile.
    apart = [(who, label) for who, label in (("a", 0), ("b", 0), ("c", 1), ("d", 1))] * 3
    assert anchors.possible(made("apart", *apart)) == ("neutral",)
    assert anchors.possible(made("all", *[(who, label) for who in "ab" for label in (0, 1)] * 3)) == (
        "neutral",
        "posed",
    )
    assert anchors.possible(made("one class", *[("a", 1)] * 3)) == ()


def test_each_whole_clip_has_the_anchor_of_its_subject(people: ClipStore) -> None:
    found = anchors.find(people, "neutral", length=20)
    order = ["b1", "a0b", "a1"]
    clips, table = clips_of(people, order)
    anchored = Anchored(clips, found, store=people, table=table)
    assert [len(clip) for clip in anchored] == [210, 90, 90]
    assert anchored.labels.tolist() == [1, 0, 1]
    assert anchored[1:][0] is clips[1]
    for number, subject in enumerate("baa"):
        assert np.array_equal(anchored.anchor_frames[anchored.anchor_of[number]], found[subject].frames(people))
    batch = batch_of(anchored, [2, 1])
    assert batch.frames.shape[:2] == (2, 90)
    assert batch.anchors.shape[:2] == (1, 20)
    assert batch.anchor_of.tolist() == [0, 0]
    with pytest.raises(TypeError, match="found whole clips, expected windows"):
        _ = anchored.windows


def test_whole_clips_are_told_apart_by_clips_and_anchors(people: ClipStore) -> None:
    found = anchors.find(people, "neutral", length=20)
    moved = {**found, "a": found["a"]._replace(start=found["a"].start + 1)}

    def print_of(order: list[str], some: dict[str, Anchor]) -> str:
        clips, table = clips_of(people, order)
        return Anchored(clips, some, store=people, table=table).fingerprint

    assert print_of(["a1", "b1"], found) == print_of(["a1", "b1"], dict(found))
    assert len({print_of(["a1", "b1"], found), print_of(["a0", "b1"], found), print_of(["a1", "b1"], moved)}) == 3


def test_clips_without_what_they_need_are_refused(people: ClipStore) -> None:
    found = anchors.find(people, "neutral", length=20)
    clips, table = clips_of(people, ["a1", "b1"])
    with pytest.raises(ValueError, match="found 2 clips with no store and no table"):
        Anchored(clips, found)
    with pytest.raises(ValueError, match="found 2 clips with a store and a table of 1 rows"):
        Anchored(clips, found, store=people, table=table[:1])
    with pytest.raises(ValueError, match="found anchors of 20 and of 25 frames; expected one length"):
        Anchored(clips, {**found, "b": found["b"]._replace(length=25)}, store=people, table=table)


def test_a_score_depends_on_the_anchor_and_not_on_the_companions(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [Clip(f"{subject}{label}", label, subject, steady(9, 5.0)) for subject in "xy" for label in (0, 1)]
    store = write_store(tmp_path / "s", rows, size=48, fps=RATE)
    for clip in rows:
        np.save(next(store.path.rglob(f"{clip.clip_id}.npy")), rng.integers(0, 256, (9, 48, 48, 3), dtype=np.uint8))
    torch.manual_seed(0)
    model = models.build("realsmilenet-neutral")
    for module in model.modules():  # so that the last batch norm of the block, zero at first, lets something through
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.0)

    def scores(order: list[str], source: str) -> np.ndarray:
        clips, table = clips_of(store, order)
        found = anchors.find(store, "neutral", length=5, source=source)
        return predict(model, Anchored(clips, found, store=store, table=table))

    every = scores(["x0", "x1", "y0", "y1"], "rest")
    assert scores(["y1", "x0"], "rest") == pytest.approx(every[[3, 0]], abs=1e-5)
    assert not np.allclose(every, scores(["x0", "x1", "y0", "y1"], "median"), atol=1e-5)
