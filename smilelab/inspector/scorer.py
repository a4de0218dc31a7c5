"""Which trained networks can score a clip: per model the finished run that has not seen the clip's subject."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from safetensors import safe_open
from torch import nn

from smilelab import models, prediction, protocols, results
from smilelab.artifacts.product import database_label
from smilelab.clips import ClipStore
from smilelab.datasets.splits import SplitError
from smilelab.preprocess.recipe import Recipe
from smilelab.protocols import ELSEWHERE, FOLDS
from smilelab.results import RunResult
from smilelab.specs import SELECTIONS, RunSpec

__all__ = ["RELEASED", "Scorer", "scorers", "subjects_of_training", "title_of"]

_TITLES = {
    "realsmilenet": "RealSmileNet",
    "realsmilenet-no-tsa": "RealSmileNet without TSA",
    "realsmilenet-unweighted": "RealSmileNet, unweighted loss",
    "realsmilenet-softmax": "RealSmileNet, softmax",
    "realsmilenet-mini-resnet": "RealSmileNet with miniResNet",
    "realsmilenet-mini-densenet": "RealSmileNet with miniDenseNet",
    "realsmilenet-mini-alexnet": "RealSmileNet with miniAlexNet",
    "realsmilenet-lstm": "RealSmileNet with LSTM",
    "realsmilenet-gru": "RealSmileNet with GRU",
    "realsmilenet-neutral": "RealSmileNet, neutral anchor",
    "realsmilenet-posed": "RealSmileNet, posed anchor",
    "densenet3d": "3D DenseNet",
    "siamese-neutral": "Siamese 3D DenseNet, neutral anchor",
    "siamese-posed": "Siamese 3D DenseNet, posed anchor",
}
RELEASED = "-released"
_divided: WeakKeyDictionary[ClipStore, dict[tuple[str, int | None], tuple[str, list[frozenset[str]]]]] = (
    WeakKeyDictionary()
)
_SHIPPED = Path(str(resources.files("smilelab"))) / "weights" / f"{prediction.SHIPPED_WEIGHTS}.safetensors"


@dataclass(eq=False)
class Scorer:
    """A trained network that can score a clip.

    Attributes
    ----------
    name : str
        For the user: "RealSmileNet, simulated UvA-NEMO fold 3 (unseen subject)".
    model_name : str
        Of the registry: "realsmilenet".
    recipe : Recipe
        How clips must be cropped and sampled for it.
    simulated : bool
        Whether it was trained on simulated videos.
    seen : bool or None
        Whether the clip's subject was trained on or validated with; None where that is not known, and for an uploaded
        video.
    run : RunResult or None
        None for the weights that ship with the package.
    store : ClipStore or None
        What it was trained on, where that is at hand.
    spec : RunSpec
        How it was trained.
    """

    name: str
    model_name: str
    recipe: Recipe
    simulated: bool
    seen: bool | None
    run: RunResult | None
    store: ClipStore | None = field(repr=False)
    spec: RunSpec = field(repr=False)
    _model: nn.Module | None = field(default=None, repr=False)
    _kept: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def model(self) -> nn.Module:
        """The network in evaluation mode; its weights are read when they are first asked for."""
        if self._model is None:
            assert self.run is not None
            self._model = self.run.model()
        return self._model


def scorers(store: ClipStore, runs: str | Path, clip_id: str | None) -> list[Scorer]:
    """Networks that can score a clip, one per model and, last, the weights that ship with the package.

    Parameters
    ----------
    store : ClipStore
        The clip's store; for an uploaded video one of the same recipe.
    runs : path-like
        Folder of all runs.
    clip_id : str or None
        None for an uploaded video.

    Returns
    -------
    list of Scorer
        Per model the finished run on this store whose test fold holds the clip's subject. Where no such run exists the
        network has seen the subject in training or validation, and its name says so. Of several, the protocol "folds"
        comes first, then how the epoch was chosen (validation, last, best on test), most epochs, the options with which
        most folds are finished, and the first seed. Runs on shuffled labels are left out.
    """
    found = [run for run in _finished(Path(runs)) if run.spec.store == store.hash and _usable(run.spec)]
    alike = Counter(_options(run.spec) for run in found)
    subject = None if clip_id is None else str(store.manifest["subject"][clip_id])
    ranked: dict[str, list[tuple[Any, ...]]] = {}
    for run in found:
        spec = run.spec
        trained = subjects_of_training(spec, store)
        if trained is None:
            continue
        seen = None if subject is None else subject in trained
        plain = 0 if spec.protocol == FOLDS and spec.partition_seed is None else 1 if spec.protocol == FOLDS else 2
        rank = (
            *(bool(seen), plain, SELECTIONS.index(spec.selection), -spec.training.epochs),
            *(-alike[_options(spec)], spec.seed, spec.fold, spec.hash),
        )
        ranked.setdefault(spec.model, []).append((*rank, seen, run))
    chosen = []
    for model in sorted(ranked, key=_order):
        *_, seen, run = min(ranked[model], key=lambda row: row[:8])
        name = f"{title_of(model)}, {_where(run.spec, store)}{_remark(seen, run.spec)}"
        recipe = Recipe.from_dict(store.recipe)
        chosen.append(Scorer(name, model, recipe, store.simulated, seen, run, store, run.spec))
    shipped = _shipped(store, subject)
    if shipped.recipe.hash == store.recipe_hash:
        chosen.append(shipped)
    return chosen


def subjects_of_training(spec: RunSpec, store: ClipStore) -> frozenset[str] | None:
    """Subjects that a run was trained on, those of its validation among them; None where it has other folds.

    Parameters
    ----------
    spec : RunSpec
    store : ClipStore
        The one it names.

    Returns
    -------
    frozenset of str or None
    """
    kept = _divided.setdefault(store, {})
    key = (spec.protocol, spec.partition_seed)
    if key not in kept:
        kept[key] = _trained(store, *key)
    name, trained = kept[key]
    return trained[spec.fold - 1] if name == spec.split and 1 <= spec.fold <= len(trained) else None


def _trained(store: ClipStore, protocol: str, partition_seed: int | None) -> tuple[str, list[frozenset[str]]]:
    """Name of a store's folds under a protocol, and the subjects that each trains on."""
    try:
        if partition_seed is not None:
            rounds = protocols.rounds_of(store, partition_seed)
            return protocols.rounds_name(rounds), [frozenset(map(str, (*one.train, *one.validation))) for one in rounds]
        subjects = store.usable["subject"].astype(str)
        folds = protocols.divisions(store, protocol)
        return protocols.split_name(store, protocol), [frozenset(subjects[list(one.train)]) for one in folds]
    except SplitError:
        return "", []


def _shipped(store: ClipStore, subject: str | None) -> Scorer:
    """The weights that ship with the package; where their own store is at hand, with what they have seen."""
    weights = prediction.load_weights()
    with safe_open(str(_SHIPPED), framework="pt") as handle:
        spec = RunSpec.from_dict(json.loads(handle.metadata()["spec"]))
    own = spec.store == store.hash
    seen: bool | None = None
    if subject is not None and own:
        seen = subject in (subjects_of_training(spec, store) or ())
    elif subject is not None and store.database != spec.database:
        seen = False
    data = database_label(spec.database, simulated=weights.simulated)
    name = f"{title_of(spec.model)} shipped with smilelab, {data}{_remark(seen, spec)}"
    return Scorer(
        name, spec.model, weights.recipe, weights.simulated, seen, None, store if own else None, spec, weights.model
    )


def title_of(model: str) -> str:
    """Name of a model for people; that of the registry where it has no other."""
    plain = model.removesuffix(RELEASED)
    if plain not in _TITLES:
        return model
    return f"{_TITLES[plain]}{', as released' if plain != model else ''}"


def _finished(root: Path) -> Iterable[RunResult]:
    for path in sorted(root.glob("*/spec.json")):
        try:
            yield results.load(path.parent)
        except (ValueError, KeyError, TypeError, OSError, json.JSONDecodeError):
            continue  # not finished, or of a version that wrote other specifications


def _usable(spec: RunSpec) -> bool:
    return spec.model in models.names() and spec.labels == "true"


def _options(spec: RunSpec) -> tuple[Any, ...]:
    return spec.model, spec.model_options, spec.windows, spec.protocol, spec.training, spec.selection


def _order(model: str) -> tuple[int, str]:
    known = list(_TITLES)
    plain = model.removesuffix(RELEASED)
    return (known.index(plain) if plain in known else len(known)) + len(known) * (plain != model), model


def _where(spec: RunSpec, store: ClipStore) -> str:
    data = database_label(store.database, simulated=store.simulated)
    if spec.partition_seed is not None:
        return f"{data} round {spec.fold}"
    if spec.protocol == FOLDS:
        return f"{data} fold {spec.fold}"
    return f"all of {data}" if spec.protocol == ELSEWHERE else f"{data} {spec.protocol}"


def _remark(seen: bool | None, spec: RunSpec) -> str:
    chosen = ", epoch chosen on the test fold" if spec.selection == "best-on-test" else ""
    said = "" if seen is None else "seen in training or validation" if seen else "unseen subject"
    return f" ({said}{chosen})" if said else f" ({chosen.removeprefix(', ')})" if chosen else ""
