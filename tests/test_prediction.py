import json

import numpy as np
import pytest
import torch
from memory_store import MemoryStore
from safetensors import safe_open
from safetensors.torch import save_file

from smilelab import models, prediction, runs, specs
from smilelab.prediction import WeightsError
from smilelab.preprocess.process import Recipe, process
from smilelab.training import TrainingOptions


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    store = MemoryStore()
    store.recipe = Recipe(size=24).as_dict()
    options = TrainingOptions(epochs=1, batch_size=8)
    spec = specs.specify(store, training=options, model_options=(("size", 24),))[0]
    run = runs.run(spec, store, folder / "runs")
    return prediction.export_weights(run, store, folder / "tiny.safetensors")


@pytest.fixture(scope="module")
def video(simulated_uva_nemo):
    return sorted((simulated_uva_nemo / "videos").glob("*.mp4"))[0]


def test_exported_weights_come_back_with_recipe_and_provenance(weights_file):
    weights = prediction.load_weights(weights_file)
    assert weights.name == "tiny"
    assert weights.simulated is True
    assert weights.trained_on.startswith("simulated videos in the layout of uva-nemo")
    assert weights.recipe == Recipe(size=24)
    assert not weights.model.training


def test_probability_is_the_models_on_the_preprocessed_clip(weights_file, video):
    weights = prediction.load_weights(weights_file)
    scored = prediction.predict(video, weights)
    clip = process(video, weights.recipe)
    frames = torch.from_numpy(np.array(clip.frames)).permute(3, 0, 1, 2)[None].float() / 255
    with torch.inference_mode():
        expected = torch.sigmoid(weights.model(frames, torch.tensor([frames.shape[2]]))).item()
    assert scored.status == "ok"
    assert scored.probability == pytest.approx(expected, abs=1e-6)
    assert scored.frames == len(clip.frames)


def test_shipped_weights_are_loaded_by_default_and_say_simulated():
    weights = prediction.load_weights()
    assert weights.name == prediction.SHIPPED_WEIGHTS
    assert weights.simulated
    assert "simulated" in weights.trained_on
    assert sum(p.numel() for p in weights.model.parameters()) == 5273


@pytest.mark.parametrize("content", [b"", b"<html>not a video</html>", bytes(5000)])
def test_what_is_no_video_is_a_failed_prediction_with_a_reason(weights_file, tmp_path, content):
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    scored = prediction.predict(path, prediction.load_weights(weights_file))
    assert scored.status == "failed"
    assert scored.reason
    assert "\n" not in scored.line()
    assert json.dumps(scored.as_json())


def test_truncated_video_fails_with_a_reason(weights_file, tmp_path, video):
    path = tmp_path / "cut.mp4"
    path.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    scored = prediction.predict(path, prediction.load_weights(weights_file))
    assert scored.status in ("failed", "partial")
    assert scored.reason


def test_real_clips(real_clips):
    weights = prediction.load_weights()
    face = prediction.predict(real_clips / "single_face.mp4", weights)
    assert face.status == "ok"
    assert 0 <= face.probability <= 1
    nobody = prediction.predict(real_clips / "no_face.mp4", weights)
    assert nobody.status == "failed"
    assert "no face" in nobody.reason
    half = prediction.predict(real_clips / "face_noface.mov", weights)
    assert half.status == "partial"
    assert 0 <= half.probability <= 1


@pytest.mark.parametrize("broken", ["no file", "no safetensors", "no metadata", "other version", "other shapes"])
def test_weights_that_are_not_ours_are_refused(tmp_path, weights_file, broken):
    path = tmp_path / "w.safetensors"
    if broken == "no safetensors":
        path.write_bytes(b"pickle")
    if broken == "no metadata":
        save_file(models.build("realsmilenet").state_dict(), path)
    if broken.startswith("other"):
        with safe_open(str(weights_file), framework="pt") as handle:
            metadata = handle.metadata()
        if broken == "other version":
            metadata["recipe"] = json.dumps({**Recipe(size=24).as_dict(), "algorithm": -1})
        save_file({"one": torch.zeros(1)}, path, metadata=metadata)
    expected = r"no such file|not a safetensors|lacks the metadata|does not fit this version"
    with pytest.raises(WeightsError, match=expected):
        prediction.load_weights(path)


def test_a_name_no_file_system_takes_is_a_failed_prediction(weights_file):
    scored = prediction.predict("x" * 300 + ".mp4", prediction.load_weights(weights_file))
    assert scored.status == "failed"
