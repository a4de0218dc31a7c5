"""Models with other anchors are trained and judged on the same clips."""

import json
from dataclasses import replace

import pytest
from written_store import Clip, steady, write_store

from smilelab import anchors, models, runs
from smilelab.anchors import Anchored
from smilelab.options import TrainingOptions
from smilelab.parts import parts_of
from smilelab.specs import RunError, RunSpec, WindowOptions, specify

NETWORKS = ("realsmilenet", "realsmilenet-neutral", "realsmilenet-posed")
BOTH = ("neutral", "posed")
OPTIONS = TrainingOptions(epochs=1, batch_size=4)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Six people with two posed and a spontaneous clip each, and one with a spontaneous clip alone."""
    folder = tmp_path_factory.mktemp("compared") / "store"
    clips = [
        Clip(f"{who}{which}", int(which == "s"), who, steady(9, 5.0), fps=5.0) for who in "abcdef" for which in "pqs"
    ]
    clips.append(Clip("gs", 1, "g", steady(9, 5.0), fps=5.0))
    made = write_store(folder, clips, size=48, fps=5.0)
    tests = [[clip.clip_id for clip in clips if clip.subject in fold] for fold in ("abg", "cd", "ef")]
    (folder / "folds.json").write_text(json.dumps({"tests": tests}))
    return made


def parts(store, model, **fields):
    (spec,) = specify(store, folds=(1,), model=model, training=OPTIONS, **fields)
    return parts_of(spec, store, models.anchor_rule(model))


def test_all_anchors_are_judged_on_the_same_clips(store):
    tables = [[part.table for part in parts(store, model, compared=BOTH)] for model in NETWORKS]
    for other in tables[1:]:
        assert all(one.equals(two) for one, two in zip(tables[0], other, strict=True))
    used = {clip for table in tables[0] for clip in table["clip_id"]}
    taken = {anchor.clip_id for rule in BOTH for anchor in anchors.find(store, rule, length=5).values()}
    assert used == set(store.usable.index) - {"gs"} - taken


def test_without_a_comparison_nothing_is_left_out(store):
    assert "gs" in set(parts(store, "realsmilenet").test.table["clip_id"])


def test_whole_clips_come_with_anchors_of_a_second(store):
    for part in parts(store, "realsmilenet-neutral", compared=BOTH):
        assert isinstance(part.clips, Anchored)
        assert {len(frames) for frames in part.clips.anchor_frames} == {5}


def test_windows_are_cut_from_the_same_clips(store):
    whole = parts(store, "realsmilenet", compared=BOTH)
    cut = parts(store, "siamese-neutral", windows=WindowOptions(length=4), compared=BOTH)
    for windows, clips in zip(cut, whole, strict=True):
        assert set(windows.table["clip_id"]) == set(clips.table["clip_id"])
    assert cut.test.clips.anchor_frames[0].shape[0] == 4


def test_where_neutral_anchors_are_found_is_part_of_the_specification(store):
    (plain,) = specify(store, folds=(1,), training=OPTIONS)
    (anchored,) = specify(store, folds=(1,), training=OPTIONS, model="realsmilenet-neutral")
    (windows,) = specify(store, folds=(1,), training=OPTIONS, model="densenet3d", windows=WindowOptions(length=4))
    assert plain.neutral_from == "recording"
    assert anchored.neutral_from == windows.neutral_from == "rest"
    assert replace(anchored, neutral_from="median").hash != anchored.hash


def test_a_run_with_an_anchor_scores_every_clip(store, tmp_path):
    (spec,) = specify(store, folds=(1,), model="realsmilenet-posed", training=OPTIONS, compared=BOTH)
    assert RunSpec.from_dict(json.loads(json.dumps(spec.as_dict()))) == spec
    result = runs.run(spec, store, tmp_path)
    assert set(result.predictions["clip_id"]) == set(result.samples(store).table["clip_id"])


def test_an_anchor_that_is_not_compared_is_refused(store):
    with pytest.raises(RunError, match="has a posed anchor; expected it among neutral"):
        parts(store, "realsmilenet-posed", compared=("neutral",))
