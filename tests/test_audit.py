import numpy as np
import pandas as pd
import pytest
from memory_store import FOLDS, SUBJECTS, MemoryStore
from sklearn.metrics import roc_auc_score

from smilelab import audit
from smilelab.simulator import mmi
from smilelab.simulator.dynamics import draw_clip, draw_subject
from smilelab.simulator.production import Production, Settings


@pytest.fixture
def features():
    """24 clips of 12 subjects; the frame rate gives the class away, the length nearly, the width not at all."""
    generator = np.random.default_rng(3)
    label = np.tile([0, 1], 12)
    return pd.DataFrame(
        {
            "label": label,
            "subject": [f"s{number:02d}" for number in np.repeat(range(12), 2)],
            "fps": np.where(label == 1, 29.0, 25.0),
            "length_s": 3.0 + label + generator.normal(0, 1, 24),
            "width": 640,
        },
        index=[f"c{number:02d}" for number in range(24)],
    )


@pytest.fixture
def folds(features):
    clips = list(features.index)
    return [clips[0:8], clips[8:16], clips[16:24]]


def accuracy(predictions):
    return float(((predictions["probability"] >= 0.5) == (predictions["label"] == 1)).mean())


def test_a_rate_that_gives_the_class_away_is_found_out(features, folds):
    assert accuracy(audit.probe(features, folds, ("fps",))) == 1.0


def test_length_is_scored_on_other_subjects_than_it_was_fitted_on(features, folds):
    found = audit.probe(features, folds, ("length_s",))
    for number, test in enumerate(folds, start=1):
        of_fold = found[found["fold"] == number]
        train = features.drop(index=test)
        middle = train.groupby("label")["length_s"].mean()
        assert middle[1] > middle[0]
        # One standardised column: the scores of a fold rank its clips as the length itself does.
        expected = roc_auc_score(features.loc[test, "label"], features.loc[test, "length_s"])
        assert roc_auc_score(of_fold["label"], of_fold["probability"]) == pytest.approx(expected)


def test_a_constant_knows_the_share_of_the_training_clips_and_no_more(features, folds):
    more_spontaneous = features.drop(index=["c00", "c08", "c16"])
    kept = [[clip for clip in fold if clip in more_spontaneous.index] for fold in folds]
    found = audit.probe(more_spontaneous, kept, ("width",))
    # 8 of every 14 training clips are spontaneous; logistic regression of a constant answers with that share.
    assert found["probability"].to_numpy() == pytest.approx(8 / 14, abs=0.01)
    assert accuracy(found) == pytest.approx(12 / 21)


def test_no_column_predicts_the_majority_of_the_training_clips(features, folds):
    found = audit.probe(features.iloc[1:], [folds[0][1:], *folds[1:]], ())
    assert set(found.loc[found["fold"] == 2, "probability"]) == {8 / 15}


def test_a_training_fold_of_one_class_predicts_that_class():
    features = pd.DataFrame(
        {"label": [1, 1, 0], "subject": ["a", "b", "c"], "fps": [25.0, 25.0, 30.0]}, index=["x", "y", "z"]
    )
    found = audit.probe(features, [["x", "y"], ["z"]], ("fps",)).set_index("clip_id")
    assert found.loc["z", "probability"] == 1.0
    assert found.loc["x", "probability"] == 0.0


def test_unknown_values_are_named(features, folds):
    features.loc["c05", "fps"] = np.nan
    with pytest.raises(audit.AuditError, match="c05: no fps is known"):
        audit.probe(features, folds, ("fps",))


def test_one_fold_is_not_enough(features, folds):
    with pytest.raises(audit.AuditError, match="at least two"):
        audit.probe(features, [list(features.index), []], ("fps",))


def test_rounding_of_the_rate_leaves_no_trace_of_the_length():
    store = MemoryStore()
    # A rate is frames over duration: with floats it differs in the 14th digit, in step with the clip's length.
    store.usable["length_s"] = np.where(store.usable["label"] == 1, 5.1, 3.3)
    store.usable["fps_source"] = (50.0 * store.usable["length_s"]) / store.usable["length_s"] + np.where(
        store.usable["label"] == 1, 1e-13, 0
    )
    probes = audit.confound_probes(store).set_index("probe")
    assert probes.loc["frame rate", "auc"] == 0.5
    assert probes.loc["clip length", "accuracy"] == 1.0


def test_brightness_is_the_mean_of_the_crops():
    store = MemoryStore()
    found = audit.confounds(store)["brightness"]
    for clip_id in ("s00_0", "s05_1"):
        assert found[clip_id] == pytest.approx(store.frames(clip_id).mean())


def test_every_probe_has_its_company():
    store = MemoryStore()
    probes = audit.confound_probes(store)
    assert list(probes["probe"]) == list(audit.PROBES)
    assert set(probes["subjects"]) == {SUBJECTS}
    assert set(probes["majority"]) == {0.5}
    assert len(store.folds()) == FOLDS


@pytest.mark.parametrize("matched", [False, True])
def test_length_tells_simulated_smiles_apart_unless_it_is_matched(matched):
    """No picture is needed: the kinematics alone decide how long a clip is."""
    rows = []
    for number in range(100):
        subject = draw_subject(np.random.default_rng([1, number]), age=30, sex="female")
        for label in (0, 1):
            clip = draw_clip(subject, label, 50.0, np.random.default_rng([2, number, label]), length_matched=matched)
            rows.append((label, f"s{number}", len(clip.times) / 50))
    features = pd.DataFrame(rows, columns=["label", "subject", "length_s"], index=map(str, range(200)))
    folds = [list(features.index[start : start + 20]) for start in range(0, 200, 20)]
    found = audit.metrics.summarize(audit.probe(features, folds, ("length_s",)))
    if matched:
        assert found.auc_low < 0.5 < found.auc_high
        assert found.accuracy_low < found.majority
    else:
        assert found.auc_low > 0.6
        assert found.accuracy_low > found.majority


@pytest.mark.parametrize("confounds", [True, False])
def test_the_camera_tells_simulated_mmi_apart_unless_told_not_to(confounds):
    settings = Settings("mmi", 1, 34, 187, (640, 480), confounds=confounds)
    production = Production(settings=settings, layout=mmi.LAYOUT)
    clips = production.roster()
    cameras = [production.camera(clip) for clip in clips]
    features = pd.DataFrame(
        {
            "label": [clip.label for clip in clips],
            "subject": [clip.subject for clip in clips],
            "fps": [camera.fps for camera in cameras],
            "width": [camera.width for camera in cameras],
        },
        index=[clip.clip_id for clip in clips],
    )
    subjects = sorted(set(features["subject"]))
    folds = [list(features.index[features["subject"].isin(subjects[start::5])]) for start in range(5)]
    for column in ("fps", "width"):
        found = audit.metrics.summarize(audit.probe(features, folds, (column,)))
        assert (found.accuracy == 1.0) == confounds
        assert confounds or found.accuracy_low < found.majority
