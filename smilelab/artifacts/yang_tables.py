"""Yang et al.'s ablations (Table 3), and what choosing the epoch on the test fold adds, reported beside measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from smilelab import comparison, metrics, models, resampling
from smilelab.artifacts import audit_yang, yang_rows
from smilelab.artifacts.catalogue import makes
from smilelab.artifacts.data_tables import YANG_DATABASES
from smilelab.artifacts.numbers import percent, reported
from smilelab.artifacts.product import NOT_RUN, Product, database_label
from smilelab.artifacts.yang_rows import (
    REPORTED_NOTE,
    Cell,
    Results,
    differences,
    larger_class,
    notes_of,
    p_of_folds,
    p_value,
    paired,
    points,
)
from smilelab.clips import ClipStore
from smilelab.runs import RunResult
from smilelab.specs import SELECTIONS

FULL = "realsmilenet"
# Registry name to the row as printed, in the paper's order.
PRINTED = {
    "realsmilenet-no-tsa": "no TSA",
    "realsmilenet-mini-resnet": "miniResNet",
    "realsmilenet-mini-densenet": "miniDenseNet",
    "realsmilenet-unweighted": "no weighted loss",
    "realsmilenet-softmax": "softmax",
    FULL: "RealSmileNet",
}
_FURTHER = {
    "realsmilenet-mini-alexnet": "miniAlexNet",
    "realsmilenet-lstm": "LSTM for ConvLSTM",
    "realsmilenet-gru": "GRU for ConvLSTM",
}
_RELEASED = "-released"
# Models that read the padding: a clip's score depends on the longest clip of its batch.
COMPANIONS = (f"{FULL}{_RELEASED}", f"{FULL}-lstm{_RELEASED}", f"{FULL}-gru{_RELEASED}")
_CONSTANT = "always the larger class"


@makes("yang2020-table3", metrics, resampling, comparison, yang_rows, audit_yang)
def yang2020_table3(stores: Mapping[str, ClipStore], results: Mapping[str, Mapping[str, Results]]) -> Product:
    """Yang Table 3: RealSmileNet with parts left out or replaced, reported beside measured.

    Parameters
    ----------
    stores : mapping of str to ClipStore
        Database name to its clip store.
    results : mapping of str to mapping of str to runs
        Name of the model in the registry to database name to runs over folds and trials, of one setting.
    """
    own = [name for name in models.names() if name.startswith(f"{FULL}-") and models.anchor_rule(name) == "none"]
    order = {name: place for place, name in enumerate([*PRINTED, *_FURTHER])}
    further = sorted(
        {*own, *results} - {*PRINTED}, key=lambda name: (name.endswith(_RELEASED), order.get(_plain(name), 99), name)
    )
    cells = {
        (model, name): Cell(
            f"{_title(model)}, {database_label(name, simulated=store.simulated)}",
            store,
            results.get(model, {}).get(name, ()),
        )
        for model in [*PRINTED, *further]
        for name, store in stores.items()
    }
    run = {key: cell for key, cell in cells.items() if cell.complete}
    made = {
        "Accuracy in percent": [
            *(_ablation(model, stores, cells) for model in [*PRINTED, *further]),
            _constant(stores),
        ],
        "Each variant less RealSmileNet, on the same clips (points, 95 % intervals over subjects)": [
            _against_full(model, name, cell, run[FULL, name])
            for (model, name), cell in run.items()
            if model != FULL and (FULL, name) in run
        ],
        "Each variant (percent, 95 % intervals from a bootstrap over subjects)": [
            {"variant": _title(model), "database": cell.label, **cell.details()} for (model, _), cell in run.items()
        ],
        "The runs as they were trained": _as_trained(run),
    }
    return Product(
        {caption: pd.DataFrame(rows) for caption, rows in made.items() if rows},
        notes=[*_about_ablations(run), *notes_of(cells.values(), stores)],
        stores=[*stores.values()],
        runs=[result for cell in cells.values() for result in cell.runs],
    )


def _plain(model: str) -> str:
    return model.removesuffix(_RELEASED)


def _title(model: str) -> str:
    """Name of a row: as printed, where it is, and whether it follows the released code instead of the paper."""
    plain = _plain(model)
    title = {**PRINTED, **_FURTHER}.get(plain, plain.removeprefix(f"{FULL}-"))
    return title if plain == model else f"{title} (released)"


def _ablation(model: str, stores: Mapping[str, ClipStore], cells: Mapping[tuple[str, str], Cell]) -> dict[str, str]:
    printed = reported("yang2020-table3").set_index(["row", "database"])["value"]
    row = {"variant": _title(model), "model": model, "parameters": _parameters(model, stores, cells)}
    for name in dict.fromkeys([*YANG_DATABASES, *stores]):
        title = PRINTED.get(model, "")
        row[_reported_column(name)] = printed.get((title, name), "-" if title else "")
        if name in stores:
            row[_measured_column(name, stores[name])] = cells[model, name].accuracy
    return row


def _constant(stores: Mapping[str, ClipStore]) -> dict[str, str]:
    row = {"variant": _CONSTANT, "model": "", "parameters": ""}
    for name in dict.fromkeys([*YANG_DATABASES, *stores]):
        row[_reported_column(name)] = percent(float(audit_yang.majority_share(name))) if name in YANG_DATABASES else ""
        if name in stores:
            row[_measured_column(name, stores[name])] = percent(larger_class(stores[name]))
    return row


def _reported_column(name: str) -> str:
    return f"{database_label(name, simulated=False)}, reported"


def _measured_column(name: str, store: ClipStore) -> str:
    return f"{database_label(name, simulated=store.simulated)}, measured [95 %]"


def _parameters(model: str, stores: Mapping[str, ClipStore], cells: Mapping[tuple[str, str], Cell]) -> str:
    """Weights that the live model learns, with the options of its runs, or its own where there are none."""
    if model not in models.names():
        return ""
    runs = [cells[model, name].spec.model_options for name in stores if cells[model, name].runs]
    counts = []
    for options in dict.fromkeys(runs or [()]):
        with torch.device("meta"):  # shapes alone: no weights are drawn
            built = models.build(model, **dict(options))
        counts.append(sum(weights.numel() for weights in built.parameters()))
    return "; ".join(f"{count:,}" for count in counts)


def _against_full(model: str, name: str, cell: Cell, full: Cell) -> dict[str, str]:
    row = {
        "variant": _title(model),
        "database": cell.label,
        "accuracy, reported": _reported_difference(model, name),
    }
    if (both := paired(cell, full)) is None:
        return {**row, "accuracy, measured": f"{NOT_RUN}: no fold and trial in common"}
    found, by_model = both
    return {
        **row,
        "accuracy, measured": points(found.accuracy, found.accuracy_low, found.accuracy_high),
        "p, subjects flipped": p_value(found.p),
        "AUC, measured": points(found.auc, found.auc_low, found.auc_high),
        "only it / only RealSmileNet right": f"{found.only_first:,} / {found.only_second:,}",
        "p, McNemar": p_value(found.p_mcnemar),
        "p, corrected t over folds": p_value(p_of_folds(by_model, cell)),
        "clips": str(found.n),
        "subjects": str(found.subjects),
        "folds": str(by_model.index.get_level_values("fold").nunique()),
        "trials": str(by_model.index.get_level_values("seed").nunique()),
    }


def _reported_difference(model: str, name: str) -> str:
    printed = reported("yang2020-table3").set_index(["row", "database"])["value"]
    keys = [(PRINTED.get(model, ""), name), (PRINTED[FULL], name)]
    if any(key not in printed.index for key in keys):
        return ""
    return points((float(printed[keys[0]]) - float(printed[keys[1]])) / 100)


def _as_trained(run: Mapping[tuple[str, str], Cell]) -> list[dict[str, str]]:
    """Settings of the runs; databases with the same ones share a row."""
    databases: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for (model, name), cell in run.items():
        spec, settings = cell.spec, cell.spec.training
        size, fps = cell.store.recipe["size"], cell.store.recipe["fps"]
        full = run.get((FULL, name))
        row = {
            "variant": _title(model),
            "input": f"{size}x{size} px at {fps:g} 1/s",
            "epochs": str(settings.epochs),
            "batch": str(settings.batch_size),
            "rate": f"{settings.learning_rate:g}",
            "decay": f"{settings.weight_decay:g}" + (" (decoupled)" if settings.decoupled else ""),
            "loss weights": settings.loss,
            "epoch kept": spec.selection,
            "trained otherwise than RealSmileNet in": "",
        }
        if full is not None and model != FULL:
            row["trained otherwise than RealSmileNet in"] = "; ".join(differences(spec, full.spec)) or "nothing"
        databases.setdefault(tuple(row.items()), []).append(cell.label)
    return [{**dict(row), "databases": ", ".join(names)} for row, names in databases.items()]


def _about_ablations(run: Mapping[tuple[str, str], Cell]) -> list[str]:
    below = audit_yang.accuracies().query("place == 'Table 3' and below")
    lower = [
        f"{database_label(entry['database'], simulated=False)} {entry['row']} {entry['printed']} (majority "
        f"{percent(float(audit_yang.majority_share(entry['database'])))})"
        for entry in below.to_dict("records")
    ]
    padded = [_title(model) for model in COMPANIONS if any(model == name for name, _ in run)]
    companions = (
        f"A clip's score by {', '.join(padded)} depends on its companions: what reads the padding sees how much longer "
        "the longest clip of the batch is. The accuracy is that of batches of like length."
    )
    losses = {cell.spec.training.loss for (model, _), cell in run.items() if model == FULL}
    used = f" RealSmileNet was run here with loss weights: {', '.join(sorted(losses))}." if losses else ""
    even, uneven = (audit_yang.clips()[name] for name in ("uva-nemo", "spos"))
    bbc = sum(audit_yang.clips()["bbc"].values())
    return [
        REPORTED_NOTE,
        f"Reported numbers below the share of their database's larger class: {'; '.join(lower)}.",
        f"BBC has {bbc} clips: one of them is {100 / bbc:g} points in a trial, and the rows printed for BBC differ "
        f"from RealSmileNet by {_most_clips_apart(bbc)} clips at most.",
        "The loss weights as printed (Eq. 3: each class by its own share of the training clips) favour the majority: "
        "they amplify an imbalance that weights usually undo ('balanced': by the other class's share, our choice). Of "
        f"SPOS's {uneven['spontaneous']} : {uneven['posed']} clips a spontaneous one counts "
        f"{uneven['spontaneous'] / uneven['posed']:.1f} times as much as a posed one; of UvA-NEMO's "
        f"{even['spontaneous']} : {even['posed']} the weights hardly differ. They sum to one, so that leaving them out "
        "(alpha = beta = 1) also makes the loss larger against the same weight decay, twice as large on balanced "
        f"clips.{used}",
        "Softmax over two neurons is the same class of functions as a sigmoid over one: only the difference of its "
        "two logits matters. It has more parameters, and another path of training; a difference in accuracy says "
        "nothing about what either can express.",
        "Rows not called released change one part each (an LSTM or GRU, which reads flattened maps, also needs a head "
        "for vectors). The released code's versions change several things at once: images are transposed and TSA runs "
        "over the padding; with another backbone or recurrence TSA is left out and the head is another one. No "
        "difference of theirs has one cause. Only the networks are the released code's: training is that of all rows.",
        *([companions] if padded else []),
        "Parameters are counted on the live models, at the input size of their runs, 48x48 where there are none.",
        "Differences are paired by clip, fold and trial. McNemar's test (exact; trials decide by their mean "
        "probability) takes clips for independent; flipping whole subjects does not. The corrected resampled t test "
        "is Nadeau & Bengio's (2003). No p is adjusted for the number of tests.",
    ]


def _most_clips_apart(clips: int) -> int:
    """By how many of BBC's clips the printed rows of Table 3 differ from RealSmileNet at most."""
    values = reported("yang2020-table3").query("database == 'bbc'").set_index("row")["value"].astype(float)
    return round(float((values - values[PRINTED[FULL]]).abs().max()) * clips / 100)


@makes("inflation", metrics, resampling, comparison, yang_rows)
def inflation(stores: Mapping[str, ClipStore], results: Mapping[str, Mapping[str, Results]]) -> Product:
    """What choosing the epoch on the test fold, as the released code of Yang et al. does, adds to the accuracy.

    Parameters
    ----------
    stores : mapping of str to ClipStore
        Database name to its clip store.
    results : mapping of str to mapping of str to runs
        Database name to selection rule ("validation", "last", "best-on-test") to its runs over folds and trials, equal
        in everything else.

    Raises
    ------
    ValueError
        The runs of a database differ in more than the rule.
    """
    cells = {
        (name, rule): Cell(
            f"{rule}, {database_label(name, simulated=store.simulated)}", store, results.get(name, {}).get(rule, ())
        )
        for name, store in stores.items()
        for rule in SELECTIONS
    }
    printed = reported("yang2020-table2").query("row == 'RealSmileNet'").set_index("database")["value"]
    main, closer = [], []
    for name, store in stores.items():
        best = cells[name, "best-on-test"]
        row = {"database": best.label, "reported, real database": printed.get(name, "-")}
        row |= {f"{rule} [95 %]": cells[name, rule].accuracy for rule in ("validation", "last")}
        row["best-on-test, optimistic [95 %]"] = best.accuracy
        for rule in ("validation", "last"):
            column, other = f"best-on-test less {rule}, points [95 %]", cells[name, rule]
            row[column] = NOT_RUN
            if best.complete and other.complete and (line := _gained(best, other)):
                row[column] = line["accuracy, points"]
                closer.append({"database": best.label, "best-on-test less": rule, **line})
        row["majority"] = percent(larger_class(store))
        main.append(row)
    run = {key: cell for key, cell in cells.items() if cell.complete}
    made = {
        "Accuracy in percent by the rule that chooses the epoch, and the inflation": main,
        "Inflation (points, 95 % intervals over subjects)": closer,
        "Each rule (percent, 95 % intervals from a bootstrap over subjects)": [
            {"database": cell.label, "rule": rule, **cell.details(), "epoch kept": _epochs(cell)}
            for (_, rule), cell in run.items()
        ],
    }
    notes = [
        "best-on-test keeps of each fold the epoch whose accuracy on that very test fold is highest, as the released "
        "code of Yang et al. does. It is no estimate of the accuracy on new subjects, and is printed only beside the "
        "others.",
        REPORTED_NOTE,
        "best-on-test and last are the same training kept at another epoch: their difference is selection alone and, "
        "where training can be repeated to the bit, in no fold below zero. Under validation a part of the training "
        "subjects is held out to choose the epoch, so that the difference to it also holds what fewer training clips "
        "cost.",
        "Intervals draw subjects, with the epochs that were kept: they say nothing about other choices. The smaller a "
        "test fold, the more its best epoch owes to chance.",
    ]
    return Product(
        {caption: pd.DataFrame(rows) for caption, rows in made.items() if rows},
        notes=[*notes, *notes_of(cells.values(), stores)],
        stores=[*stores.values()],
        runs=[result for cell in cells.values() for result in cell.runs],
    )


def _gained(best: Cell, other: Cell) -> dict[str, str]:
    """What one rule gives more than another; empty where they have no fold and trial in common."""
    if best.spec != replace(other.spec, selection="best-on-test"):
        apart = "; ".join(differences(best.spec, other.spec))
        raise ValueError(
            f"{best.label}: found runs that differ in {apart}, expected them to differ in selection alone."
        )
    if (both := paired(best, other)) is None:
        return {}
    found, by_model = both
    gain = by_model["first"] - by_model["second"]
    signs = [int((gain > 0).sum()), int((gain == 0).sum()), int((gain < 0).sum())]
    clips = best.predictions.groupby(["fold", "seed"]).size()
    return {
        "accuracy, points": points(found.accuracy, found.accuracy_low, found.accuracy_high),
        "AUC, points": points(found.auc, found.auc_low, found.auc_high),
        "folds and trials higher / equal / lower": " / ".join(map(str, signs)),
        "largest in a fold, points": percent(float(gain.max())),
        "clips in a test fold": f"{clips.min()} to {clips.max()}" if clips.min() < clips.max() else str(clips.min()),
        "clips": str(found.n),
        "subjects": str(found.subjects),
        "folds": str(by_model.index.get_level_values("fold").nunique()),
        "trials": str(by_model.index.get_level_values("seed").nunique()),
    }


def _epochs(cell: Cell) -> str:
    """Epochs kept, "12 (3 to 60)": their median and range."""
    kept = [int(run.metrics["epoch"]) for run in cell.runs if isinstance(run, RunResult)]
    return f"{np.median(kept):g} ({min(kept)} to {max(kept)})" if len(set(kept)) > 1 else str(kept[0])
