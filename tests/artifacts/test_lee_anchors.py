"""What anchors cost, counted by hand."""

from written_store import Clip, steady, write_store

from smilelab.artifacts import lee_anchors
from smilelab.options import TrainingOptions
from smilelab.specs import WindowOptions, specify


def test_what_is_left_out_is_counted_by_class(tmp_path):
    clips = []
    for subject in "abc":
        clips += [
            Clip(f"{subject}-spontaneous", 1, subject, steady(60)),
            Clip(f"{subject}-posed", 0, subject, steady(30)),
            Clip(f"{subject}-neutral", -1, subject, steady(30), kind="neutral"),
        ]
    store = write_store(tmp_path / "s", [*clips, Clip("d-spontaneous", 1, "d", steady(40))], size=4)
    store.database = "recordings"
    windows = WindowOptions(test_stride=10)
    spec = specify(store, training=TrainingOptions(), partition_seed=0, selection="last", windows=windows)[0]
    (note,) = lee_anchors.left_out(store, spec)
    # A posed clip of 30 frames is its anchor; d has no posed smile: two windows of 40 frames at a stride of 10.
    assert "of 3 posed windows 3 and of 14 spontaneous ones 2, with 3 posed and 1 spontaneous moments" in note
    assert "1 subjects altogether" in note
    shown = lee_anchors.likeness(store, spec)
    assert shown["anchor"].tolist() == ["neutral anchor", "posed anchor"]
    free = WindowOptions(comparable=False)
    bare = specify(store, training=TrainingOptions(), partition_seed=0, selection="last", windows=free)[0]
    assert lee_anchors.left_out(store, bare) == []
