"""The card beside a file of weights: what they are, what they were trained on, and what they must not be used for.

Everything measured in it is read from the file itself, so that a card cannot tell of other weights than those beside
it. ``python -m smilelab.model_card FILE`` writes the card of FILE.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import safe_open

from smilelab import prediction
from smilelab.artifacts.gallery import markdown
from smilelab.artifacts.numbers import percent
from smilelab.artifacts.product import database_label
from smilelab.artifacts.yang_rows import SELECTION_LABELS
from smilelab.files import write_atomically
from smilelab.specs import RunSpec

__all__ = ["card", "card_path", "spec_of", "write_card"]

_LABELS = {"true": "", "shuffled": "; a control, trained on shuffled labels"}
_FORBIDDEN = """\
No decision about a person, whoever makes it and whatever else it rests on: not for lie detection, hiring, border
control, policing, courts, insurance, teaching, health, advertising, or watching people. Whether somebody felt joy
cannot be read off a face, and posed does not mean insincere. Do not present its output as a finding about anybody."""


def card(weights: str | Path) -> str:
    """Render the card of a file of weights as markdown.

    Parameters
    ----------
    weights : str or Path
        A file that :func:`smilelab.prediction.export_weights` wrote.

    Returns
    -------
    str

    Raises
    ------
    smilelab.prediction.WeightsError
        No such file, or not one that smilelab wrote.
    """
    path = Path(weights)
    loaded = prediction.load_weights(path)
    told = _metadata(path)
    spec = _spec(told)
    label = database_label(spec.database, simulated=loaded.simulated)
    parameters = sum(some.numel() for some in loaded.model.parameters())
    facts = {
        "network": f"`{spec.model}`{_options(spec.model_options)}, {parameters:,} parameters",
        "input": _input(told),
        "output": "probability that the smile is spontaneous; from 0.5 on it is called spontaneous",
        "trained on": f"{label}, store {spec.store}{_simulated_with(told)}",
        "protocol": f"fold {spec.fold} of the folds {spec.split}: no subject is in training and in test",
        "epoch": f"{SELECTION_LABELS[spec.selection]}{_LABELS[spec.labels]}",
        "training": _training(spec),
        "specification": f"run {spec.hash}",
        "licence": "MIT, as all of smilelab; copies of databases have licences of their own",
    }
    parts = [
        f"# Model card: {path.stem}",
        _what(spec, loaded.simulated),
        markdown(pd.DataFrame(list(facts.items()), columns=["", " "])),
        "## For what",
        _intended(loaded.simulated),
        "## Not for",
        _FORBIDDEN,
        "## Result",
        *_result(told),
        "## Limits",
        _limits(loaded.simulated),
        "## How to make it again",
        _again(path, told),
    ]
    return "\n\n".join(parts) + "\n"


def card_path(weights: str | Path) -> Path:
    """Where the card of a file of weights lies: beside it, under the same name."""
    return Path(weights).with_suffix(".md")


def write_card(weights: str | Path) -> Path:
    """Write the card of a file of weights beside it.

    Parameters
    ----------
    weights : str or Path
        As for :func:`card`.

    Returns
    -------
    Path
    """
    write_atomically(card_path(weights), card(weights))
    return card_path(weights)


def spec_of(weights: str | Path) -> RunSpec:
    """Return the specification of the run that gave these weights.

    Parameters
    ----------
    weights : str or Path
        As for :func:`card`.
    """
    prediction.load_weights(weights)
    return _spec(_metadata(Path(weights)))


def _metadata(path: Path) -> dict[str, Any]:
    """What `export_weights` wrote into the file beside the tensors; its JSON is read."""
    with safe_open(str(path), framework="pt") as handle:
        told: dict[str, str] = handle.metadata()
    return {name: json.loads(text) if text[:1] in "{[" else text for name, text in told.items()}


def _spec(told: Mapping[str, Any]) -> RunSpec:
    if "spec" not in told:
        raise prediction.WeightsError("the weights lack the specification of their run; export them anew.")
    return RunSpec.from_dict(told["spec"])


def _what(spec: RunSpec, simulated: bool) -> str:
    what = f"One network, `{spec.model}`, from one training run: it calls the smile in a video spontaneous or posed."
    if not simulated:
        return what
    return (
        f"{what} **It was trained on simulated faces. Its output on a real face means nothing: it is no evidence about "
        "real smiles.**"
    )


def _intended(simulated: bool) -> str:
    if simulated:
        return (
            "To try `smilelab predict` and the notebooks without any data, to test that the pipeline works, and to "
            "teach how such a network is trained and judged."
        )
    return (
        "To study, on videos of people who agreed to it, how such a network decides, and to compare methods on the "
        "folds named above."
    )


def _limits(simulated: bool) -> str:
    lines = [
        "The simulated faces are drawings: their skin, light, age and culture are not those of people. What the "
        "network uses in them need not exist in real smiles."
        if simulated
        else "It knows the people, cameras and rooms of one database. Other recordings are another task.",
        "It answers wherever there is a face, also without any smile. The probability is not calibrated.",
        "It was not tested for differences between groups of people. Do not take their absence for granted.",
        "A network can tell classes by how they were recorded: in UvA-NEMO clip length alone separates 74 % of the "
        "clips, in MMI the frame rate alone all of them. Look at the probes beside a result before you believe it.",
        "These are the weights of one fold and one seed. Others give other numbers.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _result(told: Mapping[str, Any]) -> list[str]:
    sentence = f"{str(told['trained_on'])[:1].upper()}{str(told['trained_on'])[1:]}."
    if "scores" not in told:
        raise prediction.WeightsError("the weights lack the scores of their run; export them anew.")
    scores = told["scores"]

    def shown(name: str) -> str:
        return percent(*(scores[key] for key in (name, f"{name}_low", f"{name}_high")))

    table = {
        "accuracy % [95 %]": shown("accuracy"),
        "majority %": percent(scores["majority"]),
        "balanced % [95 %]": shown("balanced_accuracy"),
        "AUC % [95 %]": shown("auc"),
        "clips": str(scores["n"]),
        "subjects": str(scores["subjects"]),
    }
    inside = scores["accuracy_low"] <= scores["majority"]
    verdict = (
        " The interval holds the majority: this fold alone does not show that it learned anything." if inside else ""
    )
    return [sentence, markdown(pd.DataFrame([table])), f"Intervals are bootstraps over subjects.{verdict}"]


def _input(told: Mapping[str, Any]) -> str:
    recipe = told["recipe"]
    return (
        f"face crops ({recipe['crop']}, boxes {recipe['boxes']}) of {recipe['size']}x{recipe['size']} pixels, "
        f"{recipe['fps']:g} frames per second, RGB in [0, 1]; clips of any length"
    )


def _options(options: tuple[tuple[str, Any], ...]) -> str:
    return f" ({', '.join(f'{name} {value}' for name, value in options)})" if options else ""


def _simulation(told: Mapping[str, Any]) -> dict[str, Any]:
    """How the simulator made the videos; empty where it did not or nobody knows."""
    provenance: dict[str, Any] = told.get("provenance") or {}
    return provenance if {"settings", "seed", "simulator"} <= provenance.keys() else {}


def _simulated_with(told: Mapping[str, Any]) -> str:
    if not (provenance := _simulation(told)):
        return ""
    settings = dict(provenance["settings"])
    if size := settings.pop("resolution", None):
        settings["resolution"] = f"{size[0]}x{size[1]}"
    named = {name.replace("_", " "): value for name, value in settings.items() if value not in (None, False)}
    shown = [name if value is True else f"{name} {value}" for name, value in named.items()]
    return f"; {provenance['simulator']}, seed {provenance['seed']}: {', '.join(shown)}"


def _training(spec: RunSpec) -> str:
    training = spec.training
    return (
        f"{training.epochs} epochs, batches of {training.batch_size}, Adam at {training.learning_rate:g}, decay "
        f"{training.weight_decay:g}, loss {training.loss}, {training.precision}, seed {spec.seed}"
    )


def _again(path: Path, told: Mapping[str, Any]) -> str:
    spec, recipe, provenance = _spec(told), told["recipe"], _simulation(told)
    folder = "path/to/your/copy"
    lines = []
    if provenance:
        folder, settings = "data/raw/card", provenance["settings"]
        named = {name: settings[name] for name in ("subjects", "clips") if settings.get(name)}
        flags = [
            *(f"--{name} {value}" for name, value in (named | {"seed": provenance["seed"]}).items()),
            *([f"--size {'x'.join(map(str, size))}"] if (size := settings.get("resolution")) else []),
            *(["--length-matched"] if settings.get("length_matched") else []),
            *(["--no-asymmetry"] if settings.get("asymmetry") is False else []),
            *([f"--max-length {settings['max_length_s']:g}"] if settings.get("max_length_s") else []),
        ]
        lines.append(f"smilelab simulate {spec.database} {folder} {' '.join(flags)}")
    lines.append(
        f"smilelab preprocess {spec.database} {folder} --crop {recipe['crop']} --size {recipe['size']} "
        f"--fps {recipe['fps']:g} --boxes {recipe['boxes']}"
    )
    code = [
        "from smilelab import clips, model_card, prediction, runs",
        "",
        f'spec = model_card.spec_of("path/to/{path.name}")',
        'store = next(store for store in clips.stores("data/clips") if store.hash == spec.store)',
        'prediction.export_weights(runs.run(spec, store, "data/runs"), store, "mine.safetensors")',
    ]
    shell, python = "\n".join(lines), "\n".join(code)
    note = (
        "A run repeats to the bit on one machine; another kind of processor may round otherwise, and then gives "
        "other weights. Where no store has that hash, the videos or the libraries that decoded them are others."
    )
    return f"```\n{shell}\n```\n\n```python\n{python}\n```\n\n{note}"


if __name__ == "__main__":
    for given in sys.argv[1:]:
        print(write_card(given))
