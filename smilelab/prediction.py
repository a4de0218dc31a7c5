"""Scoring videos of one's own with trained weights."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn

from smilelab import models, training
from smilelab.clips import ClipStore
from smilelab.files import write_atomically
from smilelab.preprocess.process import Recipe, failed, process
from smilelab.runs import RunResult

SHIPPED_WEIGHTS = "realsmilenet-simulated"


class WeightsError(ValueError):
    """A weights file that is not one of smilelab's."""


@dataclass(frozen=True)
class Weights:
    """A trained model and what it needs to be applied honestly.

    Attributes
    ----------
    name : str
        File name without suffix.
    model : torch.nn.Module
        The model in evaluation mode.
    recipe : Recipe
        How clips must be cropped, resized and sampled.
    simulated : bool
        Whether it was trained on simulated videos.
    trained_on : str
        In words.
    """

    name: str
    model: nn.Module
    recipe: Recipe
    simulated: bool
    trained_on: str


@dataclass(frozen=True)
class Prediction:
    """Score of one video, or the reason why there is none.

    Attributes
    ----------
    video : str
        As it was given.
    probability : float
        Of a spontaneous smile; NaN where the video could not be scored.
    status : {"ok", "partial", "failed"}
        ``partial`` where only a part of the video shows a face or could be decoded.
    reason : str
        Why it failed or is partial.
    frames : int
        Frames that were scored.
    start_s, end_s : float
        Time of the first and the last of them, in seconds.
    weights : str
        Name of the weights.
    simulated_weights : bool
        Whether the weights were trained on simulated videos.
    """

    video: str
    probability: float
    status: str
    reason: str
    frames: int
    start_s: float
    end_s: float
    weights: str
    simulated_weights: bool

    def as_json(self) -> dict[str, object]:
        """Return the fields with NaN as null, as JSON has no NaN."""
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(self).items()}

    def line(self) -> str:
        """Return the prediction as one line for people."""
        if self.status == "failed":
            return f"{self.video}: not scored: {self.reason}"
        called = "spontaneous" if self.probability >= 0.5 else "posed"
        part = f"; {self.reason}" if self.status == "partial" else ""
        data = "trained on simulated videos, no evidence about real smiles" if self.simulated_weights else "trained"
        return (
            f"{self.video}: probability of spontaneous {self.probability:.3f} ({called}), {self.frames} frames, "
            f"{self.start_s:.1f}-{self.end_s:.1f} s{part} [weights {self.weights}: {data}]"
        )


def load_weights(path: str | Path | None = None) -> Weights:
    """Load weights with the recipe and provenance stored inside the file.

    Parameters
    ----------
    path : str or Path, optional
        A safetensors file written by :func:`export_weights`; by default the weights that ship with the package, which
        were trained on simulated videos.

    Raises
    ------
    WeightsError
        No such file, or not one that smilelab wrote.
    """
    source = (
        Path(path) if path else Path(str(resources.files("smilelab"))) / "weights" / f"{SHIPPED_WEIGHTS}.safetensors"
    )
    if not source.is_file():
        raise WeightsError(f"{source}: no such file; expected safetensors weights.")
    try:
        with safe_open(str(source), framework="pt") as handle:
            metadata = handle.metadata() or {}
            state = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118  # not a mapping
    except SafetensorError as error:
        raise WeightsError(f"{source}: not a safetensors file ({error}).") from None
    absent = [key for key in ("model", "model_options", "recipe", "simulated", "trained_on") if key not in metadata]
    if absent:
        raise WeightsError(f"{source}: lacks the metadata {', '.join(absent)}; expected weights exported by smilelab.")
    try:
        recipe = Recipe.from_dict(json.loads(metadata["recipe"]))
        model = models.build(metadata["model"], **json.loads(metadata["model_options"]))
        model.load_state_dict(state)
    except (ValueError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{source}: does not fit this version of smilelab: {reason}. Export it anew.") from None
    return Weights(source.stem, model.eval(), recipe, metadata["simulated"] == "true", metadata["trained_on"])


def predict(video: str | Path, weights: Weights) -> Prediction:
    """Score one video.

    Parameters
    ----------
    video : str or Path
        Any file PyAV decodes.
    weights : Weights
        From :func:`load_weights`.

    Returns
    -------
    Prediction
        Bad input is a failed prediction with a reason, never an exception.
    """
    provenance = (weights.name, weights.simulated)
    try:
        clip = process(Path(video), weights.recipe)
    except Exception as error:  # one video must not stop the others; the reason is told
        clip = failed(" ".join(f"unexpected {type(error).__name__}: {error}".split()))
    if clip.status == "failed":
        return Prediction(str(video), math.nan, "failed", clip.reason, 0, math.nan, math.nan, *provenance)
    with torch.inference_mode():
        probability = float(training.predict(weights.model, [clip.frames])[0])
    start, end = float(clip.times[0]), float(clip.times[-1])
    count = len(clip.frames)
    return Prediction(str(video), probability, clip.status, clip.reason, count, start, end, *provenance)


def export_weights(run: RunResult, store: ClipStore, path: str | Path) -> Path:
    """Write a finished run's weights as a file that :func:`load_weights` reads.

    Parameters
    ----------
    run : RunResult
        The run.
    store : ClipStore
        The store it was trained on; its recipe and provenance go into the file.
    path : str or Path
        Where to write.

    Returns
    -------
    Path

    Raises
    ------
    WeightsError
        The store is not the run's.
    """
    if store.hash != run.spec.store:
        raise WeightsError(f"{run.spec.hash}: trained on store {run.spec.store}, not on {store.hash}.")
    scores, origin = run.metrics, "simulated videos" if store.simulated else "videos"
    trained_on = (
        f"{origin} in the layout of {store.database}, {scores['train_clips']} clips; accuracy on the unseen subjects "
        f"of fold {run.spec.fold}: {100 * scores['accuracy']:.1f} % of {scores['n']} clips, majority "
        f"{100 * scores['majority']:.1f} %"
    )
    metadata = {
        "model": run.spec.model,
        "model_options": json.dumps(dict(run.spec.model_options)),
        "recipe": json.dumps(store.recipe),
        "simulated": str(store.simulated).lower(),
        "trained_on": trained_on,
        "scores": json.dumps(scores, sort_keys=True),
        "provenance": json.dumps(store.provenance, sort_keys=True),
        "spec": json.dumps(run.spec.as_dict(), sort_keys=True),
    }
    write_atomically(Path(path), save(load_file(run.weights), metadata=metadata))
    return Path(path)
