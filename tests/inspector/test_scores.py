"""Scores against the runs' own predictions, one-by-one scoring, hooks of their own, and brute force."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sample_clips import SMALL_DENSENET, WINDOWS, train
from torch import nn
from written_store import Clip, steady, write_store

from smilelab import models, protocols, runs, scoring
from smilelab.explain import cam
from smilelab.explain.score_cam import score_cam
from smilelab.inspector import clip as opening
from smilelab.inspector import saving, scores
from smilelab.inspector.inputs import samples_of
from smilelab.inspector.maps import _OfFrames
from smilelab.preprocess import video
from smilelab.preprocess.recipe import Recipe
from smilelab.specs import specify
from smilelab.training import TrainingOptions

DENSENET = tuple(SMALL_DENSENET.items())


@pytest.fixture(scope="module")
def trained(simulated, tmp_path_factory):
    """Runs of several models; of RealSmileNet all folds, of the others the second."""
    store, root = simulated[0], tmp_path_factory.mktemp("runs")
    every = [n for n, division in enumerate(protocols.divisions(store, "folds"), start=1) if division.test]
    found = {"realsmilenet": train(store, root, "realsmilenet", every)}
    one = every[1:2]  # in the first, too few clips are left for the networks with an anchor
    for model in ("realsmilenet-lstm", "realsmilenet-released", "realsmilenet-neutral"):
        found[model] = train(store, root, model, one)
    for model in ("densenet3d", "siamese-neutral"):
        found[model] = train(store, root, model, one, model_options=DENSENET, windows=WINDOWS)
    return SimpleNamespace(root=root, runs=found, fold=one[0])


@pytest.fixture(scope="module")
def tested(simulated, trained):
    """A clip of the fold that all models were tested on, opened, and the networks that can score it by model."""
    store, database = simulated
    windows = trained.runs["siamese-neutral"][0].predictions["clip_id"]
    clip_id = windows.value_counts().idxmax()  # of the clip that the anchor is cut from, fewer are left
    clip = opening.of_store(store, clip_id, database)
    found = scores.scorers(store, trained.root, clip_id)
    # The last one of a model's name is that which ships with the package.
    return SimpleNamespace(clip=clip, all=found, **{s.model_name.replace("-", "_"): s for s in reversed(found)})


def test_each_clip_is_scored_by_the_run_that_was_tested_on_it(simulated, trained):
    store = simulated[0]
    for clip_id in store.usable.index:
        first, *_ = scores.scorers(store, trained.root, clip_id)
        assert first.model_name == "realsmilenet"
        assert clip_id in set(first.run.predictions["clip_id"])
        assert first.seen is False
        assert first.name == f"RealSmileNet, simulated UvA-NEMO fold {first.run.spec.fold} (unseen subject)"


def test_a_network_that_knows_the_subject_says_so(simulated, trained):
    store = simulated[0]
    run = trained.runs["densenet3d"][0]
    test_subjects = set(run.predictions["subject"])
    for clip_id, subject in store.usable["subject"].items():
        [one] = [s for s in scores.scorers(store, trained.root, clip_id) if s.model_name == "densenet3d"]
        assert one.seen is (subject not in test_subjects)
        assert one.name.endswith("(seen in training or validation)" if one.seen else "(unseen subject)")
        assert one.seen is (subject in set(run.samples(store, "train").table["subject"].astype(str)))


def test_order_of_preference_and_what_is_left_out(simulated, tmp_path):
    store = simulated[0]
    fold = next(n for n, division in enumerate(protocols.divisions(store, "folds"), start=1) if division.test)
    clip_id = store.folds()[fold - 1][0]
    options = TrainingOptions(epochs=2, batch_size=4)

    def run(selection, **fields):
        return runs.run(
            specify(store, folds=[fold], training=options, selection=selection, **fields)[0], store, tmp_path
        )

    def chosen():
        return [s for s in scores.scorers(store, tmp_path, clip_id) if s.run is not None]

    run("last", labels="shuffled")
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "spec.json").write_text("{")
    assert chosen() == []
    best = run("best-on-test")
    assert {s.run.spec.selection for s in chosen()} == {"last"}, "it comes along with the last epoch"
    [last] = chosen()
    assert last.name.endswith("(unseen subject)")
    held_out = run("validation")
    assert [s.run.spec.hash for s in chosen()] == [held_out.spec.hash]
    for folder in (tmp_path / last.run.spec.hash, tmp_path / held_out.spec.hash):
        (folder / "metrics.json").unlink()
    [one] = chosen()
    assert one.run.spec == best.spec
    assert one.name.endswith("(unseen subject, epoch chosen on the test fold)")


def test_shipped_weights_come_last_where_the_recipe_fits(simulated, trained, tmp_path):
    store = simulated[0]
    assert scores.scorers(store, trained.root, store.usable.index[0])[-1].run is None
    [alone] = scores.scorers(store, tmp_path / "no runs", None)
    assert alone.simulated
    assert alone.seen is None
    assert "shipped" in alone.name
    other = SimpleNamespace(hash="x", recipe_hash="other", usable=store.usable, manifest=store.manifest, database="mmi")
    assert scores.scorers(other, trained.root, store.usable.index[0]) == []


@pytest.mark.parametrize(
    "model",
    [
        "realsmilenet",
        "realsmilenet_lstm",
        "realsmilenet_released",
        "realsmilenet_neutral",
        "densenet3d",
        "siamese_neutral",
    ],
)
def test_probabilities_are_those_of_the_run(simulated, trained, tested, model):
    store, database = simulated
    run = next(run for run in trained.runs[model.replace("_", "-")] if run.spec.fold == trained.fold)
    table = run.predictions
    scorer = next(s for s in tested.all if s.run is not None and s.model_name == run.spec.model)
    for clip_id, rows in table.groupby("clip_id"):
        clip = opening.of_store(store, clip_id, database)
        found = scores.probability(scorer, clip)
        if model == "realsmilenet_released":  # what it says depends on its batch; alone it is compared here
            expected = scoring.predict(run.model(), [np.asarray(store.frames(clip_id))])[0]
        else:
            expected = rows["probability"].mean()
        assert found == pytest.approx(expected, abs=1e-5)
        assert scores.why_not_scored(scorer, clip) == ""
        if "start" in rows:
            times, values = scores.probability_over_time(scorer, clip)
            order = rows.sort_values("start")
            assert values == pytest.approx(order["probability"].to_numpy(), abs=1e-5)
            all_times, starts = store.times(clip_id), order["start"].to_numpy()
            assert times == pytest.approx((all_times[starts] + all_times[starts + WINDOWS.length - 1]) / 2)


@pytest.mark.parametrize(
    "model", ["realsmilenet", "realsmilenet_lstm", "realsmilenet_released", "realsmilenet_neutral"]
)
def test_over_time_each_prefix_is_scored_as_if_alone(tested, model):
    scorer, clip = getattr(tested, model), tested.clip
    scorer = next(s for s in tested.all if s.run is not None and s.model_name == scorer.model_name)
    times, values = scores.probability_over_time(scorer, clip)
    np.testing.assert_array_equal(times, clip.crop_times)
    anchor = ()
    if model == "realsmilenet_neutral":
        held = samples_of(scorer, clip).anchor.frames(clip.store)
        anchor = (scoring.to_input(torch.from_numpy(np.asarray(held))[None]),)
    for end in (1, 2, 5, len(clip.crops)):
        frames = scoring.to_input(torch.from_numpy(np.array(clip.crops[:end]))[None])
        with torch.no_grad():
            alone = torch.sigmoid(scorer.model(frames, torch.tensor([end]), *anchor)).item()
        assert values[end - 1] == pytest.approx(alone, abs=1e-6)
    assert values[-1] == pytest.approx(scores.probability(scorer, clip), abs=1e-6)


def test_maps_are_the_raw_ones_enlarged_and_scaled(tested):
    clip, scorer = tested.clip, next(s for s in tested.all if s.model_name == "realsmilenet" and s.run is not None)
    found = scores.overlay_map(scorer, clip, "score-cam")
    assert found.shape == np.asarray(clip.crops).shape[:3]
    assert found.min() >= 0
    assert found.max() >= 0.99
    frames = scoring.to_input(torch.from_numpy(np.array(clip.crops))[None])
    target = int(scores.probability(scorer, clip) >= 0.5)
    raw = score_cam(scorer.model, frames, torch.tensor([len(clip.crops)]), target=target)[0]
    large = cam.upsample(raw, found.shape[1:])
    assert np.corrcoef(large[found < 1], found[found < 1])[0, 1] > 0.9999
    other = score_cam(scorer.model, frames, torch.tensor([len(clip.crops)]), target=1 - target)[0]
    assert not np.allclose(other, raw)
    assert scores.overlay_map(scorer, clip, "grad-cam") is None
    assert "Score-CAM" in scores.why_no_map(scorer, clip, "grad-cam")
    with pytest.raises(ValueError, match="expected one of grad-cam"):
        scores.overlay_map(scorer, clip, "saliency")


@pytest.mark.parametrize("model", ["realsmilenet", "realsmilenet_lstm", "realsmilenet_neutral"])
def test_guided_maps_let_only_positive_gradients_back(tested, model):
    """Against hooks written here: the gradient of the predicted class, of which each ReLU passes positive parts."""
    name, clip = model.replace("_", "-"), tested.clip
    scorer = next(s for s in tested.all if s.model_name == name and s.run is not None)
    net = scorer.model
    frames = scoring.to_input(torch.from_numpy(np.array(clip.crops))[None]).requires_grad_()
    lengths = torch.tensor([len(clip.crops)])
    anchor = ()
    if model == "realsmilenet_neutral":
        held = samples_of(scorer, clip).anchor.frames(clip.store)
        anchor = (scoring.to_input(torch.from_numpy(np.asarray(held))[None]),)
        with torch.no_grad():
            alone = _OfFrames(net, len(clip.crops), anchor[0])
            assert alone.head(alone.encoder(frames)).item() == pytest.approx(
                net(frames, lengths, *anchor).item(), abs=1e-5
            )
    hooks = [
        module.register_full_backward_hook(lambda _m, grad_in, _out: tuple(g.clamp(min=0) for g in grad_in))
        for module in net.modules()
        if isinstance(module, nn.ReLU)
    ]
    assert hooks
    logit = net(frames, lengths, *anchor)
    (logit if scores.probability(scorer, clip) >= 0.5 else -logit).sum().backward()
    for hook in hooks:
        hook.remove()
    expected = frames.grad[0].abs().sum(0).numpy()
    found = scores.overlay_map(scorer, clip, "guided")
    assert found.shape == expected.shape
    inside = found < 1
    assert np.corrcoef(expected[inside], found[inside])[0, 1] > 0.999


@pytest.mark.parametrize("model", ["densenet3d", "siamese_neutral"])
def test_maps_of_windows_lie_on_their_crops(tested, model):
    clip = tested.clip
    scorer = next(s for s in tested.all if s.model_name == model.replace("_", "-") and s.run is not None)
    assert 2 * WINDOWS.length > len(clip.crops) > WINDOWS.length
    if model == "siamese_neutral":
        # After one epoch nothing speaks for the class that it predicts: let it predict the other one.
        scorer = replace(scorer, _model=deepcopy(scorer.model), _kept={})
        towards = -20.0 if scores.probability(scorer, clip) >= 0.5 else 20.0
        scorer._kept.clear()
        last_layer = [layer for layer in scorer.model.head.modules() if isinstance(layer, nn.Linear)][-1]
        with torch.no_grad():
            last_layer.bias += towards
    spatial = scores.overlay_map(scorer, clip, "grad-cam")
    samples = samples_of(scorer, clip, stride=1)
    last = len(clip.crops) - WINDOWS.length
    target = int(scores.probability(scorer, clip) >= 0.5)
    raw = []
    for start in (0, last):
        inputs = scoring.batch_of(samples.clips, [samples.starts.tolist().index(start)]).inputs()
        raw.append(cam.grad_cam(scorer.model, inputs[0], *inputs[2:], target=target).spatial)
    large = [cam.upsample(one, spatial.shape[1:])[0] for one in raw]
    expected = np.stack([large[0]] * last + [large[1]] * WINDOWS.length)
    assert expected.max() > 0
    np.testing.assert_allclose(spatial, np.clip(expected / np.percentile(expected, 99.9), 0, 1), atol=1e-5)
    guided = scores.overlay_map(scorer, clip, "guided")
    assert guided.shape == spatial.shape
    assert guided.any(axis=(1, 2)).all()
    if model == "densenet3d":
        assert scores.overlay_map(scorer, clip, "score-cam").shape == spatial.shape
    else:
        assert "compares two" in scores.why_no_map(scorer, clip, "score-cam")


def test_nearest_clips_against_brute_force(simulated, trained, tested):
    store = simulated[0]
    clip = tested.clip
    scorer = next(s for s in tested.all if s.model_name == "realsmilenet" and s.run is not None)
    vectors = {}
    for clip_id in store.usable.index:
        frames = scoring.to_input(torch.from_numpy(np.array(store.frames(clip_id)))[None])
        with torch.no_grad():
            state = scorer.model.encoder(frames, torch.tensor([frames.shape[2]]))
            for layer in list(scorer.model.head)[:5]:
                state = layer(state)
        vectors[clip_id] = state.flatten().numpy()
    away = {name: float(np.linalg.norm(v - vectors[clip.clip_id])) for name, v in vectors.items()}
    del away[clip.clip_id]
    expected = sorted(away, key=away.get)[:4]
    found = scores.nearest(scorer, store, clip, 4)
    assert found["distance"].tolist() == pytest.approx([away[name] for name in expected], abs=1e-4)
    assert found["clip_id"].tolist() == expected
    assert found["label"].tolist() == store.usable.loc[expected, "label"].tolist()
    test_subjects = set(scorer.run.predictions["subject"])
    assert found["seen"].tolist() == [subject not in test_subjects for subject in found["subject"]]
    assert found.attrs["source"] == "simulated UvA-NEMO"
    for one in scores.scorers(store, trained.root, clip.clip_id):
        assert clip.clip_id not in scores.nearest(one, store, clip)["clip_id"].tolist()
    pictures = scores.thumbnails(store, expected)
    for name, picture in pictures.items():
        assert any(np.array_equal(picture, crop) for crop in store.frames(name))


def test_a_video_of_ones_own_is_scored_as_prediction_scores_it(simulated, trained, tested, tmp_path):
    from smilelab import prediction

    store = simulated[0]
    path = tmp_path / "mine.mp4"
    path.write_bytes(tested.clip.video.read_bytes())
    clip = opening.of_video(path, Recipe.from_dict(store.recipe))
    assert clip.simulated, "the file says so"
    assert (clip.label, clip.subject) == (None, "")
    found = {(s.model_name, s.run is None): s for s in scores.scorers(store, trained.root, None)}
    assert {s.seen for s in found.values()} == {None}
    shipped = found["realsmilenet", True]
    assert scores.probability(shipped, clip) == pytest.approx(
        prediction.predict(path, prediction.load_weights()).probability, abs=1e-6
    )
    in_store = tested.clip
    for key in (("realsmilenet", False), ("densenet3d", False)):
        of_store = next(s for s in tested.all if (s.model_name, s.run is None) == key)
        found[key].run = of_store.run  # of the folds, the one that the clip in the store is scored by
        found[key]._model = of_store.model
        assert scores.probability(found[key], clip) == pytest.approx(scores.probability(of_store, in_store), abs=1e-5)
    assert 0 <= scores.probability(found["siamese-neutral", False], clip) <= 1
    assert len(scores.nearest(shipped, store, clip)) == 5
    assert scores.anchor_of(clip).source.startswith("at rest in this clip, ")
    small = opening.of_video(path, Recipe(size=24))
    assert np.isnan(scores.probability(shipped, small))
    assert "another kind" in scores.why_not_scored(shipped, small)
    assert scores.nearest(shipped, store, small).empty


def test_a_network_with_a_posed_anchor_says_why_it_cannot_score(tested, tmp_path):
    path = tmp_path / "mine.mp4"
    path.write_bytes(tested.clip.video.read_bytes())
    scorer = next(s for s in tested.all if s.model_name == "realsmilenet" and s.run is not None)
    posed = scores.Scorer(
        "posed", "realsmilenet-posed", scorer.recipe, True, None, None, None, scorer.spec,
        models.build("realsmilenet-posed").eval(),
    )  # fmt: skip
    clip = opening.of_video(path, scorer.recipe)
    assert np.isnan(scores.probability(posed, clip))
    assert "no posed smile" in scores.why_not_scored(posed, clip)
    assert scores.probability_over_time(posed, clip) is None
    assert scores.overlay_map(posed, clip, "guided") is None


def test_a_clip_too_short_for_a_window(simulated, trained, tmp_path):
    store = simulated[0]
    from sample_videos import FPS, render

    path = tmp_path / "short.mp4"
    video.write(path, render(3, seconds=0.8).images, FPS)
    clip = opening.of_video(path, Recipe())
    scorer = next(s for s in scores.scorers(store, trained.root, None) if s.model_name == "densenet3d")
    assert np.isnan(scores.probability(scorer, clip))
    assert "too short" in scores.why_not_scored(scorer, clip)


def test_where_anchors_are_from(tmp_path):
    width = np.r_[np.full(20, 0.9), np.full(15, 0.7), np.full(30, 1.1)]
    clips = [
        Clip("anna-smile", 1, "anna", steady(65), width),
        Clip("anna-neutral", -1, "anna", steady(60), 0.75, kind="neutral"),
        Clip("ben-smile", 1, "ben", steady(65), width),
    ]
    store = write_store(tmp_path / "a", clips)

    def anchor(clip_id, store=store):
        return scores.anchor_of(SimpleNamespace(store=store, clip_id=clip_id))

    found = anchor("anna-smile")
    assert found.source == "neutral recording of anna"
    assert found.frames.shape == (30, 2, 2, 3)
    # Ben has no neutral recording: where his mouth is closest to its median width, 0.9.
    assert anchor("ben-smile").source == "at rest in this clip, 0.0-1.0 s"
    alone = write_store(tmp_path / "b", [clips[2]])
    rest = anchor("ben-smile", alone)
    # Frames 20 to 34, at 30 a second, are the narrowest: a fifth of a second from there on is shown.
    assert rest.source == "at rest in this clip, 0.7-0.9 s"
    assert set(np.unique(rest.frames)) <= set(range(20, 35))
    # Cut from 5 s on of a recording, whose times the store keeps.
    later = write_store(tmp_path / "c", [Clip("ben-smile", 1, "ben", steady(65) + 5, width)])
    later.manifest["start_s"] = 5.0
    assert anchor("ben-smile", later).source == "at rest in this clip, 0.7-0.9 s"


@pytest.mark.parametrize("every", [1, 3])
def test_each_probability_of_a_window_is_written_into_a_row(tested, monkeypatch, every):
    """Windows of six crops have their middle half way between two."""
    monkeypatch.setattr(scores, "_MOST_WINDOWS", -(-len(samples_of(tested.densenet3d, tested.clip).starts) // every))
    scorer, clip = tested.densenet3d, tested.clip
    scorer._kept.clear()
    times, values = scores.probability_over_time(scorer, clip)
    assert scores.windows_of_one(scorer, clip) == every
    assert scores.windows_of_one(tested.realsmilenet, clip) == 1
    column = saving.numbers(clip, {}, {scorer: (times, values)}).filter(like="over time").iloc[:, 0]
    written = column.dropna()
    assert written.tolist() == values.tolist()
    np.testing.assert_array_less(np.abs(clip.crop_times[written.index] - times), 0.6 / 5)
    starts = np.arange(0, len(clip.crops) - WINDOWS.length + 1, every)
    np.testing.assert_allclose(times, clip.crop_times[starts] + (WINDOWS.length - 1) / 2 / 5, atol=1e-6)
    scorer._kept.clear()
