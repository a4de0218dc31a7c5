"""The card beside each shipped file of weights tells of that file, and of it alone."""

import json
import re
from importlib import resources
from pathlib import Path

import pytest
from memory_store import MemoryStore
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from smilelab import model_card, prediction, runs, specs
from smilelab.preprocess.process import Recipe
from smilelab.training import TrainingOptions

WEIGHTS = sorted(Path(str(resources.files("smilelab"))).glob("weights/*.safetensors"))


def metadata(path):
    with safe_open(str(path), framework="pt") as handle:
        return handle.metadata()


def altered(path, target, **changes):
    save_file(load_file(path), target, metadata=metadata(path) | changes)
    return target


def rows(card):
    return dict(re.findall(r"^\| (\w[^|]*) \| ([^|]*) \|$", card, re.MULTILINE))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("card")
    store = MemoryStore()
    store.recipe = Recipe(size=24).as_dict()
    options = TrainingOptions(epochs=1, batch_size=8)
    spec = specs.specify(store, training=options, model_options=(("size", 24),))[0]
    run = runs.run(spec, store, folder / "runs")
    return prediction.export_weights(run, store, folder / "tiny.safetensors")


def test_there_are_weights_and_no_card_without_them():
    assert WEIGHTS
    cards = {path.stem for path in WEIGHTS[0].parent.glob("*.md")}
    assert cards == {path.stem for path in WEIGHTS}


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.stem)
def test_card_is_what_the_file_of_weights_says(path):
    found = model_card.card_path(path).read_text(encoding="utf-8")
    assert found == model_card.card(path), f"write the card anew: python -m smilelab.model_card {path}"


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.stem)
def test_facts_of_the_card_are_those_of_the_metadata(path):
    """Read by hand from the safetensors header, without the code that makes the card."""
    told, card = metadata(path), model_card.card_path(path).read_text(encoding="utf-8")
    spec, recipe, found = json.loads(told["spec"]), json.loads(told["recipe"]), rows(card)
    assert f"`{told['model']}`" in found["network"]
    assert f"{recipe['size']}x{recipe['size']} pixels, {recipe['fps']:g} frames" in found["input"]
    assert f"store {spec['store']}" in found["trained on"]
    assert f"fold {spec['fold']} of the folds {spec['split']}" in found["protocol"]
    assert found["training"].startswith(f"{spec['training']['epochs']} epochs, batches of ")
    assert told["trained_on"][1:] in card
    assert re.search(r"\d+\.\d % of \d+ clips, majority \d+\.\d %", card)
    assert "95 %" in card
    assert ("simulated faces" in card and "no evidence about real smiles" in card) == (told["simulated"] == "true")
    assert "lie detection" in card


def test_other_weights_have_another_card(exported, tmp_path):
    first = model_card.card(exported)
    spec = json.loads(metadata(exported)["spec"])
    trained = altered(
        exported, tmp_path / "tiny.safetensors", spec=json.dumps(spec | {"training": spec["training"] | {"epochs": 7}})
    )
    assert rows(model_card.card(trained))["training"].startswith("7 epochs")
    assert rows(first)["training"].startswith("1 epochs")
    assert rows(first)["specification"] == f"run {model_card.spec_of(exported).hash}"
    assert rows(model_card.card(trained))["specification"] != rows(first)["specification"]


def test_scores_are_shown_with_their_intervals_where_the_file_has_them(exported, tmp_path):
    scores = {"n": 40, "subjects": 12, "accuracy": 0.7, "accuracy_low": 0.55, "accuracy_high": 0.8, "majority": 0.6}
    scores |= {"balanced_accuracy": 0.68, "balanced_accuracy_low": 0.5, "balanced_accuracy_high": 0.79}
    scores |= {"auc": 0.75, "auc_low": 0.6, "auc_high": 0.9}
    card = model_card.card(altered(exported, tmp_path / "w.safetensors", scores=json.dumps(scores)))
    assert "| 70.0 [55.0, 80.0] | 60.0 | 68.0 [50.0, 79.0] | 75.0 [60.0, 90.0] | 40 | 12 |" in card
    assert "The interval holds the majority" in card
    better = scores | {"accuracy_low": 0.65}
    card = model_card.card(altered(exported, tmp_path / "w.safetensors", scores=json.dumps(better)))
    assert "holds the majority" not in card


def test_weights_of_real_videos_are_not_called_simulated(exported, tmp_path):
    card = model_card.card(altered(exported, tmp_path / "w.safetensors", simulated="false", provenance="{}"))
    assert "imulated faces" not in card
    assert "smilelab simulate" not in card
    assert "lie detection" in card


def test_how_to_make_it_again_names_the_simulator_settings_that_are_in_the_file(exported, tmp_path):
    settings = {"subjects": 5, "clips": 11, "resolution": [320, 240], "length_matched": True, "asymmetry": False}
    provenance = {"database": "uva-nemo", "seed": 3, "settings": settings, "simulator": "smilelab 1, simulator 1"}
    path = altered(exported, tmp_path / "w.safetensors", provenance=json.dumps(provenance))
    flags = "--subjects 5 --clips 11 --seed 3 --size 320x240 --length-matched --no-asymmetry"
    assert flags in model_card.card(path)


def test_a_card_is_written_beside_its_weights(exported):
    written = model_card.write_card(exported)
    assert written == exported.with_suffix(".md")
    assert written.read_text(encoding="utf-8") == model_card.card(exported)


def test_what_are_no_weights_have_no_card(tmp_path, exported):
    with pytest.raises(prediction.WeightsError, match="no such file"):
        model_card.card(tmp_path / "none.safetensors")
    path = tmp_path / "old.safetensors"
    for lacking, said in (("spec", "lack the specification"), ("scores", "lack the scores")):
        told = {name: text for name, text in metadata(exported).items() if name != lacking}
        save_file(load_file(exported), path, metadata=told)
        with pytest.raises(prediction.WeightsError, match=said):
            model_card.card(path)
