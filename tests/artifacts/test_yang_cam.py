import re

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.path import Path as Polygon
from safetensors.torch import save_file
from scipy.spatial import ConvexHull

from smilelab import datasets, specs
from smilelab.artifacts import cam_clips
from smilelab.artifacts.cam_clips import face_depth, measure, middle_clips, place_table, time_table
from smilelab.artifacts.gallery import Gallery
from smilelab.artifacts.yang_cam import yang2020_fig4
from smilelab.explain import cam, covering
from smilelab.explain.score_cam import score_cam
from smilelab.prediction import load_weights
from smilelab.preprocess.build import Recipe, build
from smilelab.preprocess.crops import face_outline
from smilelab.runs import RunFailure, RunResult
from smilelab.scoring import batch_of, predict


@pytest.fixture(scope="module")
def store(simulated_uva_nemo, tmp_path_factory):
    database = datasets.open("uva-nemo", simulated_uva_nemo)
    return build(database, Recipe(), tmp_path_factory.mktemp("clips"), jobs=1, progress=False)


@pytest.fixture(scope="module")
def results(store, tmp_path_factory):
    """Finished runs of each fold, all with the weights that ship with the package."""
    model, found = load_weights().model, []
    for spec in specs.specify(store):
        folder = tmp_path_factory.mktemp("run")
        table = store.usable.loc[store.folds()[spec.fold - 1], ["subject", "label"]].reset_index()
        scores = predict(model, [store.frames(clip_id) for clip_id in table["clip_id"]])
        table.assign(probability=scores, fold=spec.fold, seed=0).to_csv(folder / "predictions.csv", index=False)
        save_file(model.state_dict(), folder / "model.safetensors")
        found.append(RunResult(spec, folder))
    return found


@pytest.fixture(scope="module")
def product(store, results):
    return yang2020_fig4(store, results, frames=4)


def test_clips_are_the_middle_ones_of_those_that_are_right_of_different_subjects():
    table = pd.DataFrame(
        {
            "clip_id": list("abcdefg"),
            "subject": ["1", "2", "2", "3", "4", "5", "5"],
            "label": [1, 1, 1, 1, 1, 0, 0],
            "probability": [0.9, 0.6, 0.7, 0.4, 0.8, 0.7, 0.9],
        }
    )
    chosen, rule = middle_clips(table, 1)
    assert chosen["clip_id"].tolist() == ["c", "e"]  # of .6 .7 .8 .9 the lower median; b is nearest but of c's subject
    assert "4 of 5 spontaneous test clips are classified correctly" in rule
    assert "of these" in rule
    chosen, rule = middle_clips(table, 0)
    assert chosen["clip_id"].tolist() == ["f"]
    assert "0 of 2 posed" in rule
    assert "of all" in rule
    assert middle_clips(table[table["label"] == 1], 0)[0].empty


def test_the_figure_shows_the_chosen_clips_and_their_raw_maps(store, results, product):
    predictions = pd.concat([run.predictions for run in results])
    clips = [clip for label in (1, 0) for _, clip in middle_clips(predictions, label)[0].iterrows()]
    assert len(clips) == 4
    assert product.tables["The clips shown"]["clip"].tolist() == [clip["clip_id"] for clip in clips]
    for number, clip in enumerate(clips):
        axes = product.figure.axes[6 * number : 6 * number + 6]  # four pictures, colour bar, curve
        frames, times = store.frames(clip["clip_id"]), store.times(clip["clip_id"])
        run = next(run for run in results if run.spec.fold == clip["fold"])
        maps = score_cam(run.model(), *batch_of([frames], [0]).inputs(), target=clip["label"])[0]
        large = cam.upsample(maps, (48, 48))
        for place, axis in enumerate(axes[:4]):
            at = int(np.abs(times - times[0] - place / 3 * (times[-1] - times[0])).argmin())
            picture, overlay = axis.images
            np.testing.assert_allclose(picture.get_array(), frames[at].mean(2))
            np.testing.assert_allclose(overlay.get_array(), large[at], atol=1e-6)
            assert overlay.get_clim() == pytest.approx((0, maps.max()))
            assert axis.get_xlabel() == f"{times[at] - times[0]:.1f} s"
        name = "spontaneous" if clip["label"] else "posed"
        assert axes[0].get_ylabel() == f"{name}\np {clip['probability']:.2f}"
        line = axes[5].lines[0]
        np.testing.assert_allclose(line.get_xdata(), times - times[0])
        np.testing.assert_allclose(line.get_ydata(), maps.mean((1, 2)), rtol=1e-5)
    assert "simulated UvA-NEMO" in product.figure._suptitle.get_text()


def test_the_face_lies_where_its_landmarks_are_in_the_crop(store):
    clip_id = store.usable.index[0]
    track, depth = store.track(clip_id), face_depth(store, clip_id)
    assert depth.shape == store.frames(clip_id).shape[:3]
    centres = np.stack(np.meshgrid(np.arange(48) + 0.5, np.arange(48) + 0.5), -1).reshape(-1, 2)
    for at, box in enumerate(track["boxes"]):
        corners = (face_outline(track["outlines"][at]) - box[:2] + 0.5) * 48 / (box[2:] - box[:2])
        hull = corners[ConvexHull(corners).vertices]
        inside = Polygon(hull).contains_points(centres).reshape(48, 48)
        assert ((depth[at] > 0) == inside).mean() > 0.97
        x, y = (track["landmarks"][at, 30] - box[:2]) * 48 / (box[2:] - box[:2])
        assert depth[at, int(y), int(x)] > 8  # the tip of the nose
        assert depth[at, -1, 0] < 0


def test_what_is_measured_of_a_clip_is_what_its_map_and_its_covers_say(store, results):
    run = next(run for run in results if len(run.predictions))
    found = measure(run, run.predictions, store, "cpu")
    assert found["clip_id"].tolist() == run.predictions["clip_id"].tolist()
    row, clip = found.iloc[-1], run.predictions.iloc[-1]
    frames, depth = store.frames(clip["clip_id"]), face_depth(store, clip["clip_id"])
    maps, shuffled = (
        score_cam(net, *batch_of([frames], [0]).inputs(), target=int(clip["label"]))[0]
        for net in (run.model(), cam.randomised(run.model()))
    )
    for prefix, some in (("", maps), ("shuffled, ", shuffled)):
        thrice = np.repeat(some.mean((1, 2)), 3).reshape(3, -1).sum(1)  # three thirds of as many thirds of frames
        assert [row[prefix + third] for third in cam_clips.THIRDS] == pytest.approx(thrice / thrice.sum(), rel=1e-4)
    large = torch.nn.functional.interpolate(torch.from_numpy(maps)[None], (48, 48), mode="bilinear")[0].numpy()
    assert row["map on face"] == pytest.approx((large * (depth > 0)).sum() / large.sum(), rel=1e-4)
    covers = covering.equal_covers(depth)
    assert row["covered"] == pytest.approx(covers.outside.mean())
    for name, cover in (("face covered", covers.inside), ("surroundings covered", covers.outside)):
        painted = np.where(cover[..., None], np.uint8(127), frames)
        before, after = (np.log(p / (1 - p)) for p in predict(run.model(), [np.asarray(frames), painted]))
        assert row[name] == pytest.approx((before - after) * (1 if before >= 0 else -1), abs=1e-4)


@pytest.fixture
def measured():
    table = pd.DataFrame({"clip_id": list("abcd"), "subject": list("1123"), "label": [1, 1, 1, 0]})
    for prefix in ("", "shuffled, "):
        table[[prefix + third for third in cam_clips.THIRDS]] = [
            [0.2, 0.5, 0.3], [0.4, 0.3, 0.3], [0.3, 0.4, 0.3], [0.5, 0.1, 0.4],
        ]  # fmt: skip
    table["map on face"], table["face"], table["covered"] = [0.9, 0.7, 0.8, 0.6], 0.75, [0.2, 0.2, 0.2, np.nan]
    table["face covered"], table["surroundings covered"] = [1.0, 2.0, 3.0, np.nan], [0.5, 0.5, -1.0, np.nan]
    return table


def numbers(cell):
    return [float(number) for number in re.findall(r"-?\d+\.\d+", cell)]


def test_tables_hold_means_over_clips_with_intervals_over_subjects(measured):
    table = time_table(measured).set_index(["network", "clips of class"])
    spontaneous = table.loc["as trained", "spontaneous"]
    assert [numbers(spontaneous[third])[0] for third in cam_clips.THIRDS] == [30.0, 40.0, 30.0]
    assert (spontaneous["clips"], spontaneous["subjects"]) == (3, 2)
    difference = table.loc["as trained", "spontaneous minus posed"]
    assert [numbers(difference[third])[0] for third in cam_clips.THIRDS] == [-20.0, 30.0, -10.0]
    # Subject 1 has a mean of 40 % in the middle, and so has subject 2: no draw gives another.
    assert numbers(spontaneous["middle third"]) == [40.0, 40.0, 40.0]
    places = place_table(measured).set_index("clips of class")
    assert numbers(places.loc["all", "map on the face, %"])[0] == 75.0
    assert numbers(places.loc["spontaneous", "fall of the logit, face covered"]) == [2.0, 1.5, 3.0]
    assert numbers(places.loc["spontaneous", "fall of the logit, difference"]) == [2.0, 1.0, 4.0]
    assert places.loc["posed", "fall of the logit, face covered"] == "undefined"
    assert places.loc["all", "clips"] == 4


def test_missing_and_failed_runs_are_told(store, results, product, tmp_path):
    assert any("nearest to the median" in note for note in product.notes)
    folds = len(store.folds())
    assert any(f"{folds} folds, first trial" in note for note in product.notes)
    broken = RunFailure(results[0].spec, "ValueError: broken on purpose")
    nothing = yang2020_fig4(store, [broken])
    assert nothing.figure is None
    assert nothing.notes[0].startswith("not run")
    assert "broken on purpose" in nothing.notes[1]
    whole = [run for run in results if len(run.predictions)]
    partial = yang2020_fig4(store, [broken, whole[-1]], frames=3, clips=1)
    assert any(f"1 of {folds} folds" in note for note in partial.notes)
    assert any("1 of 2 runs failed" in note for note in partial.notes)
    assert any("; 1 of " in caption for caption in partial.tables)
    gallery = Gallery("smoke", tmp_path / "figures", tmp_path)
    gallery.save("yang2020-fig4", product)
    assert {path.suffix for path in gallery.folder.glob("yang2020-fig4*")} == {".png", ".svg", ".csv", ".md"}
    assert "simulated" in (gallery.folder / "yang2020-fig4.md").read_text()


def test_one_subject_has_no_interval():
    columns = [*cam_clips.THIRDS, *(f"shuffled, {third}" for third in cam_clips.THIRDS)]
    columns += ["map on face", "face", "covered", "face covered", "surroundings covered"]
    measured = pd.DataFrame({"clip_id": ["a0", "a1"], "subject": ["a", "a"], "label": [0, 1]})
    measured = measured.assign(**{name: [0.25, 0.75] for name in columns})
    time = time_table(measured)
    assert set(time["first third"]) == {f"{value} [too few subjects]" for value in ("25.0", "75.0", "50.0")}
    place = place_table(measured).set_index("clips of class")
    assert place.loc["all", "map on the face, %"] == "50.0 [too few subjects]"
    assert place.loc["posed", "fall of the logit, face covered"] == "0.25 [too few subjects]"
