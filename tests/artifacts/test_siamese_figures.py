from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score
from written_store import Clip, steady, write_store

from smilelab import runs, specs
from smilelab.artifacts import siamese_examples
from smilelab.artifacts.gallery import Gallery
from smilelab.artifacts.siamese_examples import first_runs, number_text, spaced, typical, upper_shares
from smilelab.artifacts.siamese_figures import lee2020_fig4, lee2020_fig6, lee2020_fig7
from smilelab.explain import cam
from smilelab.options import TrainingOptions
from smilelab.runs import RunFailure
from smilelab.scoring import batch_of, predict
from smilelab.specs import WindowOptions

SIZE, FRAMES = 32, 8
OPTIONS = {"depth": 14, "size": SIZE, "frames": FRAMES, "growth": 4, "stem": 4, "width": 12, "last": 8, "dropout": 0.0}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Seven people whose clips are noise of their own, spontaneous ones brighter below."""
    subjects = [f"p{number}" for number in range(7)]
    clips = [Clip(f"{s}_{k}_{label}", label, s, steady(60)) for s in subjects for label in (0, 1) for k in (0, 1)]
    clips += [Clip(f"{s}_n", -1, s, steady(30), kind="neutral") for s in subjects]
    store = write_store(tmp_path_factory.mktemp("siamese") / "store", clips, size=SIZE)
    store.database = "recordings"
    for clip in clips:
        path = next((store.path / "clips").glob(f"{clip.clip_id}*.npy"))
        generator = np.random.default_rng(sum(map(ord, clip.clip_id)))
        frames = generator.integers(0, 120, (len(clip.times), SIZE, SIZE, 3))
        frames[:, SIZE // 2 :] += 60 * (clip.label == 1)
        np.save(path, frames.astype(np.uint8))
    return store


@pytest.fixture(scope="module")
def results(store, tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    chosen = {
        anchor: specs.specify(
            store,
            folds=[2],
            partition_seed=0,
            model=f"siamese-{anchor}",
            model_options=tuple(OPTIONS.items()),
            windows=WindowOptions(length=16, stride=8, test_stride=8, every=2),
            training=TrainingOptions(epochs=1, batch_size=8, learning_rate=3e-3),
        )
        for anchor in ("neutral", "posed")
    }
    return {anchor: [runs.run(spec, store, root) for spec in some] for anchor, some in chosen.items()}


def failed(results, anchor="neutral"):
    return [RunFailure(results[anchor][0].spec, "ValueError: broken on purpose")]


def texts(figure):
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def test_the_example_has_the_median_probability_of_those_that_are_right():
    table = pd.DataFrame(
        {
            "clip_id": list("abcdefg"),
            "start": 0,
            "label": [1, 1, 1, 1, 1, 0, 0],
            "probability_neutral": [0.9, 0.6, 0.7, 0.4, 0.8, 0.7, 0.9],
        }
    )
    window, rule = typical(table, 1)
    assert window["clip_id"] == "c"  # of .6 .7 .8 .9 the lower median
    assert "4 of 5 test windows are classified correctly, the one with the median probability of these" in rule
    window, rule = typical(table, 0)
    assert window["clip_id"] == "f"
    assert "0 of 2 test windows" in rule
    assert "of all is shown" in rule
    window, rule = typical(table.assign(probability_posed=[0.9, 0.1, 0.5, 0.9, 0.9, 0.1, 0.2]), 1)
    assert window["clip_id"] == "e"  # right under both: a .9, c .6, e .85
    assert "3 of 5" in rule
    assert "by both models" in rule
    assert typical(table[table["label"] == 1], 0) is None


def test_structures_are_shown_on_the_first_fold_that_both_finished():
    def run(fold, seed=0):
        return SimpleNamespace(spec=SimpleNamespace(fold=fold, seed=seed))

    neutral, posed = [run(3), run(1), run(2, 1), run(2)], [run(2), run(3), RunFailure(run(1).spec, "broken")]
    found = first_runs({"neutral": neutral, "posed": posed})
    assert found == {"neutral": neutral[3], "posed": posed[0]}
    assert first_runs({"neutral": neutral, "posed": posed[2:]}) == {"neutral": neutral[1]}
    assert first_runs({"neutral": [run(1)], "posed": [run(2)]}).keys() == {"neutral", "posed"}
    assert first_runs({"neutral": [], "posed": []}) == {}


def test_figure_4_shows_the_chosen_windows_and_their_maps(store, results, tmp_path):
    product = lee2020_fig4(store, results["neutral"])
    run = results["neutral"][0]
    part, model = run.samples(store, "test"), run.model()
    panels = product.figure.axes[: 2 * 5]
    for row, label, name in ((panels[:5], 0, "posed"), (panels[5:], 1, "spontaneous")):
        note = next(note for note in product.notes if note.startswith(f"neutral anchor, {name}"))
        clip_id, seconds = note.split()[3], float(note.split()[7])
        table = part.table
        at = table[
            (table["clip_id"] == clip_id)
            & np.isclose(store.times(clip_id)[0] + table["start"] / 30, seconds, atol=6e-3)
        ]
        assert at["label"].tolist() == [label]
        sample = int(at.index[0])
        np.testing.assert_array_equal(row[0].images[0].get_array(), part.clips[sample][FRAMES // 2])
        anchor = part.clips.anchor_frames[part.clips.anchor_of[sample]]
        np.testing.assert_array_equal(row[1].images[0].get_array(), anchor[FRAMES // 2])
        assert f"p {predict(model, part.clips)[sample]:.2f}" in row[0].get_ylabel()
        frames, _, anchors, _ = batch_of(part.clips, [sample]).inputs()
        smile, other = (
            cam.grad_cam(model, frames, anchors, target=label, part=branch) for branch in ("smile", "anchor")
        )
        shown = row[2].images[1].get_array()
        assert shown.max() > 0
        np.testing.assert_allclose(
            shown, cam.upsample(np.abs(smile.spatial - other.spatial), (SIZE, SIZE))[0], atol=1e-6
        )
        expected = cam.upsample(np.abs(smile.time_series - other.time_series), (SIZE, SIZE))[0]
        np.testing.assert_allclose(row[3].images[0].get_array(), expected, atol=1e-6)
        left, right, bottom, top = row[3].images[0].get_extent()
        assert (left, right, bottom, top) == pytest.approx((0, 16 / 30, SIZE, 0))  # 16 of 30 frames a second
        assert row[3].get_xlabel() == "time (s)"
        assert row[4].images[0].get_array().shape == (SIZE, SIZE)
    gallery = Gallery("smoke", tmp_path / "figures", tmp_path)
    gallery.save("lee2020-fig4", product)
    svg = (gallery.folder / "lee2020-fig4.svg").read_text()
    assert "simulated data" in svg
    assert "14, 32 px, 8 frames" in svg


def test_figure_6_explains_the_same_windows_under_both_anchors(store, results):
    product = lee2020_fig6(store, results, windows=5)
    panels = product.figure.axes[: 4 * 5]
    smiles = [panels[5 * row].images[0].get_array() for row in range(4)]
    np.testing.assert_array_equal(smiles[0], smiles[2])
    np.testing.assert_array_equal(smiles[1], smiles[3])
    assert not np.array_equal(panels[1].images[0].get_array(), panels[11].images[0].get_array())
    (table,) = product.tables.values()
    assert table["structure"].tolist() == ["neutral anchor", "posed anchor"]
    assert (table["windows"] == 5).all()
    assert product.runs == [results["neutral"][0], results["posed"][0]]


def test_figure_6_without_one_structure_says_so(store, results):
    product = lee2020_fig6(store, {"neutral": failed(results), "posed": results["posed"]}, windows=2)
    assert texts(product.figure).count("not run") == 2
    assert any("broken on purpose" in note for note in product.notes)
    assert next(iter(product.tables.values()))["structure"].tolist() == ["posed anchor"]


@pytest.mark.parametrize(("rows", "share"), [([1.0, 1.0], 0.5), ([1.0, 0.0], 0.875), ([0.0, 0.0], None)])
def test_share_of_the_upper_half(store, results, monkeypatch, rows, share):
    maps = np.repeat(np.array(rows, np.float32)[None, :, None], 2, axis=2)
    monkeypatch.setattr(cam, "grad_cam", lambda *_given, **_options: cam.GradCam(maps, maps))
    chosen = first_runs({"neutral": results["neutral"]})
    windows = siamese_examples.scored_windows(chosen, store).head(3)
    row = upper_shares(chosen, windows, store, "cpu").iloc[0]
    # One of two rows: 1 down to a quarter of the height, then a ramp to 0 at three quarters; 3/8 of 1/2 lie above.
    assert row["share"] == ("undefined" if share is None else f"{share:.2f}")
    assert row["of these with an empty map"] == (3 if share is None else 0)


def test_figure_7_projects_unseen_subjects_on_components_of_the_training_windows(store, results):
    product = lee2020_fig7(store, results, windows=20)
    panels = product.figure.axes
    assert [panel.get_title().splitlines()[0] for panel in panels] == ["(a) neutral anchor", "(b) posed anchor"]
    for panel, anchor in zip(panels, ("neutral", "posed"), strict=True):
        run = results[anchor][0]
        model = run.model()
        vectors = {}
        for part in ("train", "test"):
            chosen = run.samples(store, part)
            which = spaced(chosen.table, 20).index
            with torch.no_grad():
                frames, _, anchors, anchor_of = batch_of(chosen.clips, which.to_numpy()).inputs()
                distance = (model.encoder(frames) - model.encoder(anchors)[anchor_of]).abs()
            vectors[part] = distance.numpy().astype(float), chosen.table.loc[which]
        assert not set(vectors["train"][1]["subject"]) & set(vectors["test"][1]["subject"])
        fitted = PCA(2).fit(vectors["train"][0])
        labels = vectors["test"][1]["label"].to_numpy()
        expected = fitted.transform(vectors["test"][0])
        found = np.concatenate([np.asarray(points.get_offsets()) for points in panel.collections])
        order = np.argsort(labels, kind="stable")
        np.testing.assert_allclose(np.abs(found), np.abs(expected[order]), atol=1e-4)
        assert f"PC1: {100 * fitted.explained_variance_ratio_[0]:.1f} %" in panel.get_xlabel()
        plane, full = silhouette_score(expected, labels), silhouette_score(vectors["test"][0], labels)
        assert f"silhouette {plane:.2f} here, {full:.2f} in all 12 dimensions" in panel.get_title()
    subjects = results["neutral"][0].samples(store, "test").table["subject"].nunique()
    assert f"of {subjects} unseen test subject" in product.figure.get_suptitle()
    assert "fold 2" in product.figure.get_suptitle()


def test_figure_7_without_one_structure_says_so(store, results):
    product = lee2020_fig7(store, {"neutral": results["neutral"], "posed": []})
    assert texts(product.figure) == ["not run"]


@pytest.mark.parametrize("fail", [False, True])
def test_without_a_finished_run_there_is_a_note_and_no_picture(store, results, fail, tmp_path):
    some = failed(results) if fail else []
    both = {"neutral": some, "posed": []}
    for artifact, product in (
        ("lee2020-fig4", lee2020_fig4(store, some)),
        ("lee2020-fig6", lee2020_fig6(store, both)),
        ("lee2020-fig7", lee2020_fig7(store, both)),
    ):
        assert product.figure is None
        assert product.notes[0].startswith("not run")
        assert any("broken on purpose" in note for note in product.notes) == fail
        Gallery("smoke", tmp_path / "figures", tmp_path).save(artifact, product)


def test_runs_of_a_plain_net_are_refused(store, results):
    run = results["neutral"][0]
    plain = SimpleNamespace(
        spec=replace(run.spec, model="densenet3d"),
        predictions=run.predictions,
        samples=lambda store, part: run.samples(store, part)._replace(clips=run.samples(store, part).clips.windows),
        model=run.model,
    )
    with pytest.raises(ValueError, match="takes no anchor"):
        lee2020_fig4(store, [plain])


def test_numbers_next_to_zero_have_no_sign():
    assert [number_text(value) for value in (-0.001, 0.001, -0.01, float("nan"))] == [
        "0.00",
        "0.00",
        "-0.01",
        "undefined",
    ]
