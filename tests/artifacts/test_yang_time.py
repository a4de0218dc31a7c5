import itertools
import json

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from smilelab import datasets, models, runs, specs
from smilelab.artifacts import stage_times, timed_pipelines, yang_time
from smilelab.artifacts.product import NOT_RUN
from smilelab.artifacts.stage_times import CLIPS, END_TO_END, FOLDS, StageTimes
from smilelab.artifacts.timed_pipelines import EVERY_FRAME, KEY_FRAMES, Clip, Stopwatch
from smilelab.baselines import phase_features
from smilelab.effort import Effort
from smilelab.options import TrainingOptions
from smilelab.preprocess.build import build
from smilelab.preprocess.process import process
from smilelab.preprocess.recipe import Recipe

RECIPE = Recipe(size=24)
SIZE = {"size": 24}
OF_LANDMARKS = [
    timed_pipelines.DECODE, "find", timed_pipelines.NORMALISE, timed_pipelines.SIGNALS, timed_pipelines.STATISTICS,
    timed_pipelines.SVM,
]  # fmt: skip
OF_END_TO_END = [timed_pipelines.SAMPLE, timed_pipelines.FACE, timed_pipelines.CROP, timed_pipelines.FORWARD]


@pytest.fixture(scope="module")
def database(simulated_uva_nemo):
    return datasets.open("uva-nemo", simulated_uva_nemo)


@pytest.fixture(scope="module")
def store(database, tmp_path_factory):
    return build(database, RECIPE, tmp_path_factory.mktemp("clips"), jobs=1, progress=False)


@pytest.fixture
def pretended(monkeypatch):
    """Pipelines that take no time to speak of; the clips they were called with, in order."""
    called = []

    def landmark_features(clip, find, watch):
        called.append((clip.clip_id, find))
        for stage in OF_LANDMARKS[:-1]:
            with watch.stage(find if stage == "find" else stage):
                pass
        generator = np.random.default_rng(sum(map(ord, clip.clip_id)))
        return generator.standard_normal(3 * 3 * phase_features.STATISTICS)

    def end_to_end(clip, recipe, model, watch):
        called.append((clip.clip_id, END_TO_END))
        for stage in OF_END_TO_END:
            with watch.stage(stage):
                pass
        return np.zeros((2, recipe.size, recipe.size, 3), np.uint8)

    monkeypatch.setattr(timed_pipelines, "landmark_features", landmark_features)
    monkeypatch.setattr(timed_pipelines, "end_to_end", end_to_end)
    return called


def by_hand(**changes):
    """Two clips in three rounds. Medians: 1 and 3 s to decode, 2 and 2 s to find the face, 4 and 6 ms for the rest."""
    rest = [[0.004, 0.004, 9.0], [0.006, 0.0, 0.006]]
    landmarks = dict.fromkeys(OF_LANDMARKS, rest) | {timed_pipelines.DECODE: [[1, 5, 1], [3, 3, 2]]}
    seconds = {
        find: {find if stage == "find" else stage: values for stage, values in landmarks.items()}
        for find in (EVERY_FRAME, KEY_FRAMES)
    }
    seconds[EVERY_FRAME][EVERY_FRAME] = [[2, 2, 2], [2, 1, 7]]
    seconds[END_TO_END] = {stage: [[0.5, 0.5, 0.5], [1.5, 1.5, 1.5]] for stage in OF_END_TO_END}
    clip = {"length_s": 2.0, "fps": 50.0, "width": 320.0, "height": 240.0, "frames": 100.0, "sampled": 10.0}
    about = {
        **{"database": "uva-nemo", "simulated": True, "cpu": "Abacus 2", "threads": 1, "measured": "2020-02-02 10:00"},
        **{"settings": {"seed": 0, "rounds": 3, "recipe": RECIPE.as_dict()}, "left_out": []},
        **{"clips": [{"clip_id": "a", **clip}, {"clip_id": "b", **clip}], "svm_fits": [0.5, 0.9, 0.1]},
    }
    return StageTimes(**{**about, "seconds": seconds, **changes})


class Finished(runs.RunResult):
    """A run of 100 s of processor time over 40 training clips and 5 epochs: half a second a clip and epoch."""

    metrics = {"train_clips": 40, "validation_clips": 4}  # noqa: RUF012  # never changed
    effort = Effort(700.0, 100.0)


@pytest.fixture
def finished(store, tmp_path):
    (tmp_path / "environment.json").write_text('{"device": "cpu"}')
    training = TrainingOptions(epochs=5)
    chosen = specs.specify(store, folds=[1], training=training, model_options=tuple(SIZE.items()))
    return [Finished(spec, tmp_path) for spec in chosen]


def test_a_stage_inside_another_stops_the_outer_one():
    ticks = itertools.accumulate([0, 1, 10, 100, 1000, 10000, 100000])
    watch = Stopwatch(lambda: next(ticks))
    with watch.stage("find"):  # at 0
        for _ in watch.during("decode", ["frame"]):  # from 1 to 11, and from 111 to 1111
            pass
    # until 11111
    assert watch.seconds == {"find": 1 + 100 + 10000, "decode": 10 + 1000}
    assert sum(watch.seconds.values()) == 11111


def test_end_to_end_scores_the_crops_that_preprocessing_makes(database):
    row = database.index().iloc[0]
    clip = Clip(row["clip_id"], row["path"], np.nan, np.nan, row["fps"], "frontal")
    watch = Stopwatch()
    crops = timed_pipelines.end_to_end(clip, RECIPE, models.build("realsmilenet", **SIZE), watch)
    # Preprocessing cuts from a part of the frame that it keeps, so places differ in their last digits.
    np.testing.assert_allclose(crops.astype(int), process(row["path"], RECIPE).frames.astype(int), atol=1)
    assert list(watch.seconds) == OF_END_TO_END


@pytest.mark.parametrize("find", [EVERY_FRAME, KEY_FRAMES])
def test_landmark_features_go_through_all_stages(database, find):
    row = database.index().iloc[0]
    clip = Clip(row["clip_id"], row["path"], np.nan, 0.8, row["fps"], "frontal")
    watch = Stopwatch()
    features = timed_pipelines.landmark_features(clip, find, watch)
    assert features.shape == (225,)
    assert np.isfinite(features).all()
    assert list(watch.seconds) == [find if stage == "find" else stage for stage in OF_LANDMARKS[:-1]]


def test_means_are_over_clips_of_medians_over_rounds_and_stages_sum_to_the_whole():
    times = by_hand()
    assert times.mean(EVERY_FRAME, timed_pipelines.DECODE) == 2
    assert times.mean(EVERY_FRAME, EVERY_FRAME) == 2
    assert times.preparation(EVERY_FRAME) == pytest.approx(4 + 3 * 0.005)
    assert times.decision(EVERY_FRAME) == pytest.approx(0.005)
    assert times.preparation(END_TO_END) == pytest.approx(3.0)
    assert times.decision(END_TO_END) == pytest.approx(1.0)
    for pipeline in times.seconds:
        whole = times.preparation(pipeline) + times.decision(pipeline)
        assert sum(times.mean(pipeline, stage) for stage in times.stages(pipeline)) == pytest.approx(whole)
    assert times.svm_fit == 0.5


def test_extrapolation_by_hand(finished):
    times = by_hand()
    landmarks = yang_time.cost(times, EVERY_FRAME, finished)
    assert landmarks.preparation_h == pytest.approx(4.015 * 1240 / 3600)
    assert landmarks.learning_h == pytest.approx(5 / 3600)
    network = yang_time.cost(times, END_TO_END, finished)
    assert network.preparation_h == pytest.approx(3 * 1240 / 3600)
    # Half a second, 1116 clips, 60 epochs, 10 folds.
    assert network.learning_h == pytest.approx(0.5 * 1116 * 60 * 10 / 3600)
    assert network.total_h == pytest.approx(network.preparation_h + network.learning_h)
    # Twice the runs take twice as long over twice the clips.
    assert yang_time.cost(times, END_TO_END, finished * 2) == network


def test_the_protocol_is_the_papers():
    assert (CLIPS, FOLDS, yang_time.EPOCHS) == (1240, 10, 60)


def test_without_finished_runs_the_end_to_end_total_is_not_run(finished):
    failed = [runs.RunFailure(finished[0].spec, "TrainingError: loss is NaN")]
    for results in ([], failed):
        found = yang_time.cost(by_hand(), END_TO_END, results)
        assert (found.learning_h, found.total_h) == (None, None)
        assert yang_time.cost(by_hand(), EVERY_FRAME, results).total_h is not None


def test_a_measurement_is_kept_and_loaded(database, store, pretended, tmp_path):
    options = {"clips": 2, "rounds": 2, "kept": tmp_path}
    first = stage_times.stage_times(database, store, **options)
    assert pretended
    pretended.clear()
    assert stage_times.stage_times(database, store, **options) == first
    assert pretended == []
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size < 20_000
    assert json.loads(file.read_text())["cpu"] == stage_times.cpu_name()


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"rounds": 1}, {"clips": 3}, {"model_options": {**SIZE, "dropout": 0.1}}]
)
def test_another_setting_is_measured_anew(database, store, pretended, tmp_path, change):
    options = {"clips": 2, "rounds": 2, "kept": tmp_path}
    stage_times.stage_times(database, store, **options)
    pretended.clear()
    stage_times.stage_times(database, store, **{**options, **change})
    assert pretended
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [("smilelab.artifacts.stage_times", "cpu_name", lambda: "Abacus 2"), ("av", "__version__", "0.0")],
)
def test_another_processor_or_library_is_measured_anew(
    database, store, pretended, tmp_path, monkeypatch, place, name, value
):
    stage_times.stage_times(database, store, clips=2, rounds=1, kept=tmp_path)
    pretended.clear()
    monkeypatch.setattr(f"{place}.{name}", value)
    stage_times.stage_times(database, store, clips=2, rounds=1, kept=tmp_path)
    assert pretended


def test_code_that_is_timed_is_measured_anew_when_it_changes(database, store, pretended, tmp_path, monkeypatch):
    before = stage_times.stage_times(database, store, clips=2, rounds=1, kept=tmp_path)
    sources = stage_times.inspect.getsource
    for changed in ("preprocess.faces", "models.convlstm"):
        pretended.clear()
        monkeypatch.setattr(
            stage_times.inspect,
            "getsource",
            lambda module, changed=changed: sources(module) + "#" * (module.__name__ == f"smilelab.{changed}"),
        )
        assert stage_times.stage_times(database, store, clips=2, rounds=1, kept=tmp_path).settings == before.settings
        assert pretended


def test_clips_are_drawn_by_the_seed_from_both_classes(database, store, pretended):
    def drawn(seed):
        found = stage_times.stage_times(database, store, clips=4, rounds=1, seed=seed)
        return [clip["clip_id"] for clip in found.clips]

    assert drawn(0) == drawn(0)
    assert len({tuple(drawn(seed)) for seed in range(4)}) > 1
    assert store.usable.loc[drawn(0), "label"].sum() == 2


def test_pipelines_take_turns_on_each_clip_after_a_first_look(database, store, pretended):
    found = stage_times.stage_times(database, store, clips=2, rounds=2)
    first, second = (clip["clip_id"] for clip in found.clips)
    turn = [EVERY_FRAME, KEY_FRAMES, END_TO_END]
    looks = [(first, KEY_FRAMES), (first, END_TO_END), (second, KEY_FRAMES), (second, END_TO_END), (first, EVERY_FRAME)]
    assert pretended == looks + 2 * [(clip, pipeline) for clip in (first, second) for pipeline in turn]
    for pipeline in turn:
        assert np.shape(list(found.seconds[pipeline].values()))[1:] == (2, 2)


def test_a_clip_without_a_face_is_passed_over_and_named(database, store, pretended, monkeypatch):
    first = stage_times.stage_times(database, store, clips=2, rounds=1).clips[0]["clip_id"]
    whole = timed_pipelines.landmark_features
    monkeypatch.setattr(
        timed_pipelines, "landmark_features", lambda clip, *rest: None if clip.clip_id == first else whole(clip, *rest)
    )
    found = stage_times.stage_times(database, store, clips=2, rounds=1)
    assert found.left_out == [first]
    assert len(found.clips) == 2
    assert first not in [clip["clip_id"] for clip in found.clips]


def test_too_few_clips_and_another_database_are_refused(database, store, pretended, monkeypatch):
    with pytest.raises(ValueError, match="expected at least 2 clips"):
        stage_times.stage_times(database, store, clips=1)
    index = database.index().iloc[1:]
    monkeypatch.setattr(database, "index", lambda: index)
    with pytest.raises(ValueError, match="lacks 1 clip"):
        stage_times.stage_times(database, store, clips=2)


def test_table_shows_reported_beside_measured_and_says_what_was_measured(
    database, store, pretended, finished, monkeypatch
):
    monkeypatch.setattr(stage_times, "stage_times", lambda *_, **__: by_hand())
    product = yang_time.yang2020_time(database, store, finished)
    whole, stages, clips = product.tables.values()
    assert list(whole["reported"]) == ["more than 28", "-", "up to 8"]
    hours = [
        yang_time.cost(by_hand(), pipeline, finished).total_h for pipeline in (EVERY_FRAME, KEY_FRAMES, END_TO_END)
    ]
    assert list(whole["measured and extrapolated"]) == [f"{value:.2f}" for value in hours]
    for _, rows in stages.groupby("pipeline"):
        *parts, together = rows["ms a clip, mean"].astype(float)
        assert sum(parts) == pytest.approx(together, abs=0.1 * len(parts))
        assert rows["share, %"].astype(float).iloc[:-1].sum() == pytest.approx(100, abs=0.3)
    assert list(clips["clip_id"]) == ["a", "b"]
    text = " ".join(product.notes)
    for words in ("Abacus 2, one thread", "cores in parallel are not counted", "320x240", "500.00 ms a training clip"):
        assert words in text
    assert product.simulated
    assert product.runs == finished
    assert "simulated UvA-NEMO; Abacus 2, one thread" in product.figure.get_suptitle()


def test_bars_are_as_long_as_the_numbers(database, store, finished, monkeypatch):
    monkeypatch.setattr(stage_times, "stage_times", lambda *_, **__: by_hand())
    left, right = yang_time.yang2020_time(database, store, finished).figure.axes
    for axes, expected in (
        (left, [4.02, 2.025, 4.0]),
        (right, [4.015 * 1240 / 3600 + 5 / 3600, 2.02 * 1240 / 3600 + 5 / 3600, 3 * 1240 / 3600 + 93.0]),
    ):
        ends = pd.DataFrame([(round(bar.get_y(), 3), bar.get_x() + bar.get_width()) for bar in axes.patches])
        np.testing.assert_allclose(ends.groupby(0)[1].max(), expected, rtol=1e-6)


def test_missing_runs_are_said_on_table_and_picture(database, store, pretended, finished):
    failed = [runs.RunFailure(finished[0].spec, "TrainingError: loss is NaN")]
    product = yang_time.yang2020_time(database, store, failed, clips=2, rounds=1)
    whole = next(iter(product.tables.values())).set_index("pipeline")
    assert list(whole["measured and extrapolated"] == NOT_RUN) == [False, False, True]
    assert any("1 of 1 runs failed, first: TrainingError" in note for note in product.notes)
    assert any(f"learning: {NOT_RUN}" in text.get_text() for text in product.figure.axes[1].texts)


def assert_readable(figure):
    """All text is at least 6 pt high, inside the figure, and clear of the other text."""
    FigureCanvasAgg(figure).draw()
    width, height = figure.canvas.get_width_height()
    texts = [text for axes in figure.axes for text in axes.texts if text.get_text()]
    boxes = [text.get_window_extent().padded(-0.5) for text in texts]
    assert min(text.get_fontsize() for text in texts) >= 6
    for box in boxes:
        assert min(box.x0, box.y0) > -1
        assert box.x1 < width + 1
        assert box.y1 < height + 1
    crossing = [(m, n) for n in range(len(boxes)) for m in range(n) if boxes[m].overlaps(boxes[n])]
    assert [(texts[m].get_text(), texts[n].get_text()) for m, n in crossing] == []


def test_fig1_is_readable_with_and_without_times(store):
    without, given = yang_time.yang2020_fig1(), yang_time.yang2020_fig1(by_hand(), store=store)
    for product in (without, given):
        assert product.figure.get_figwidth() <= 17.1 / 2.54
        assert_readable(product.figure)
        assert any("simulated faces" in text.get_text() for text in product.figure.axes[0].texts)
    assert not without.stores
    assert given.simulated
    written = [text.get_text() for text in given.figure.axes[0].texts]
    assert written.count("2.00 s") == 2
    assert "key frames: 5.0 ms" in written
    assert "a clip 4.02 s; detector on key frames 2.02 s" in written
    assert any("simulated UvA-NEMO, Abacus 2, one thread" in text for text in written)
    assert not any(" ms" in text.get_text() for text in without.figure.axes[0].texts)


def test_a_real_measurement_times_every_stage_of_every_clip(database, store, tmp_path):
    found = stage_times.stage_times(database, store, clips=2, rounds=1, kept=tmp_path)
    assert list(found.seconds) == [EVERY_FRAME, KEY_FRAMES, END_TO_END]
    for find in (EVERY_FRAME, KEY_FRAMES):
        assert found.stages(find) == [find if stage == "find" else stage for stage in OF_LANDMARKS]
    assert found.stages(END_TO_END) == OF_END_TO_END
    for by_stage in found.seconds.values():
        assert (np.array(list(by_stage.values())) > 0).all()
    assert len(found.svm_fits) == 1
    assert stage_times.stage_times(database, store, clips=2, rounds=1, kept=tmp_path) == found
