"""What notebooks ask of a profile: stores, plans of runs, and their results by key."""

import json

import pytest
from written_store import Clip, steady, write_store

from smilelab import plans, runs
from smilelab.artifacts import load_makers
from smilelab.artifacts.clip_study import ClipStudy
from smilelab.artifacts.gallery import Gallery
from smilelab.artifacts.product import Product
from smilelab.artifacts.study import Study
from smilelab.artifacts.window_study import WindowStudy, every_anchor
from smilelab.options import TrainingOptions
from smilelab.preprocess.build import Recipe
from smilelab.specs import WindowOptions

OPTIONS = TrainingOptions(epochs=1, batch_size=4)
BOX, OUTLINE = Recipe(crop="box", size=24, fps=5.0), Recipe(crop="outline", size=24, fps=5.0)


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study whose UvA-NEMO has six people with two posed and a spontaneous clip, in three folds; BBC as well."""
    monkeypatch.setenv("SMILELAB_HOME", str(tmp_path))
    made = Study("trial", recipe=BOX, jobs=1)
    for name in ("uva-nemo", "bbc"):
        for recipe in (BOX, OUTLINE):
            clips = [
                Clip(f"{who}{which}", int(which == "s"), who, steady(9, 5.0), fps=5.0)
                for who in "abcdef"
                for which in "pqs"
            ]
            folder = tmp_path / "data" / "clips" / f"{name}-{recipe.hash}"
            write_store(folder, clips, size=24, fps=5.0)
            tests = [[clip.clip_id for clip in clips if clip.subject in fold] for fold in ("ab", "cd", "ef")]
            (folder / "folds.json").write_text(json.dumps({"tests": tests}))
            about = json.loads((folder / "store.json").read_text())
            about |= {"database": name, "hash": f"{name}-{recipe.hash}"[:12]}
            (folder / "store.json").write_text(json.dumps(about))
            made._stores[name, recipe.hash] = runs.ClipStore(folder)
    return made


def test_networks_are_trained_on_pictures_alone_and_on_some(study):
    clips = ClipStudy(study, OPTIONS, "last")
    assert list(clips.stores(["bbc", "au-traces", "uva-nemo", "bbc"])) == ["bbc", "uva-nemo"]
    for none in ([], ["au-traces"]):
        with pytest.raises(ValueError, match="found no database of pictures to train on"):
            clips.stores(none)


def test_a_plan_is_told_and_its_results_come_back_by_key(study):
    clips = ClipStudy(study, OPTIONS, "last", folds=[1, 2])
    wanted = {
        (model, fold): clips.specs("uva-nemo", model, folds=[fold]) for fold in (1, 2) for model in ("realsmilenet",)
    }
    wanted["empty"] = []
    study.plan("yang2020-table3", wanted)
    told = plans.progress(study.runs_root, "trial").set_index("experiment").loc["yang2020-table3"]
    assert (told["runs"], told["done"]) == (2, 0)
    results = study.run("yang2020-table3")
    assert list(results) == list(wanted)
    assert {key: [run.spec for run in some] for key, some in results.items()} == wanted
    assert study.finished(wanted)["realsmilenet", 1][0].spec == wanted["realsmilenet", 1][0]
    told = plans.progress(study.runs_root, "trial").set_index("experiment").loc["yang2020-table3"]
    assert (told["done"], told["left"]) == (2, 0)


def test_a_network_is_built_for_the_size_of_its_frames(study):
    (spec, *_) = ClipStudy(study, OPTIONS).specs("uva-nemo")
    assert dict(spec.model_options) == {"size": 24}


def test_what_a_database_does_not_allow_is_told_and_left_out(study):
    clips = ClipStudy(study, OPTIONS, "last")
    with pytest.warns(UserWarning, match="uva-nemo, not run: group male"):
        assert clips.specs("uva-nemo", protocol="within male") == []
    with pytest.warns(UserWarning, match="expected one at least to test on"):
        assert clips.specs("uva-nemo", protocol="elsewhere", tests=[]) == []


def test_other_databases_are_named_and_tested(study):
    (spec,) = ClipStudy(study, OPTIONS, "last").specs("uva-nemo", protocol="elsewhere", tests=["bbc"])
    assert spec.tests == (("bbc", study.store("bbc").hash),)
    study.plan("yang2020-cross", {"elsewhere": [spec]})
    (result,) = study.run("yang2020-cross")["elsewhere"]
    assert set(result.predictions["database"]) == {"bbc"}


def windows_of(study):
    return WindowStudy(
        study, OUTLINE, "uva-nemo", OPTIONS, WindowOptions(length=4), {"growth": 4, "stem": 4, "width": 8, "last": 8},
        partition_seed=None, rounds=[1],
    )  # fmt: skip


def test_both_networks_get_every_anchor_on_the_same_folds(study):
    wanted = every_anchor(
        ClipStudy(study, OPTIONS, folds=[1]), windows_of(study), ["uva-nemo"], 14, ["neutral", "posed"]
    )
    assert {key[:2] for key in wanted} == {
        (network, anchor) for network in ("RealSmileNet", "3D DenseNet") for anchor in ("none", "neutral", "posed")
    }
    assert {spec.compared for some in wanted.values() for spec in some} == {("neutral", "posed")}
    assert len({(spec.split, spec.fold) for some in wanted.values() for spec in some}) == 1


def test_without_anchors_no_window_is_left_out(study):
    wanted = every_anchor(ClipStudy(study, OPTIONS, folds=[1]), windows_of(study), ["uva-nemo"], 14, [])
    (spec,) = wanted["3D DenseNet", "none", "uva-nemo"]
    assert spec.compared == ()
    assert not spec.windows.comparable
    assert {key[1] for key in wanted} == {"none"}


def test_an_artifact_is_stale_once_other_runs_are_planned_or_more_are_finished(study):
    load_makers()
    clips = ClipStudy(study, OPTIONS, "last")
    gallery = Gallery("trial", study.home / "figures", study.home)

    def state():
        return gallery.status().set_index("artifact").loc["yang2020-table3", ["state", "detail"]]

    study.plan("yang2020-table3", {"a": clips.specs("uva-nemo", folds=[1])})
    made = study.run("yang2020-table3")["a"]
    gallery.save("yang2020-table3", Product(notes=["a table"], runs=made))
    assert state()["state"] == "made"
    study.plan("yang2020-table3", {"a": clips.specs("uva-nemo", folds=[1, 2])})
    assert state()["state"] == "made"
    study.run("yang2020-table3")
    assert state()["state"] == "stale"
    assert "1 runs that are planned for it were finished since" in state()["detail"]
    study.plan("yang2020-table3", {"a": clips.specs("uva-nemo", folds=[3])})
    assert "other runs are planned" in state()["detail"]
