"""Lee & Lee's Tables 3 and 4, reported beside measured: pure functions from a store and runs to products."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import torch

from smilelab import audit, comparison, metrics, models, resampling
from smilelab.artifacts import lee_anchors, lee_rows, tables
from smilelab.artifacts.catalogue import makes
from smilelab.artifacts.lee_rows import STRUCTURES, Row, depths_of, reduced
from smilelab.artifacts.numbers import about_few_subjects, percent, reported
from smilelab.artifacts.product import NOT_RUN, Product, database_label
from smilelab.artifacts.tables import SELECTION_LABELS, Results
from smilelab.clips import ClipStore
from smilelab.datasets import POSED, splits
from smilelab.models.densenet3d import Depth
from smilelab.runs import RunResult

PRINTED_DEPTHS: tuple[Depth, ...] = (38, 62, 94)
_FEW = 0.001
_RATES = ("accuracy", "precision", "recall", "AUC")
_JOINED = {"windows": None, "moments": metrics.of_moments, "subjects and classes": metrics.of_subjects}


@makes("lee2020-table3", metrics, resampling, comparison, lee_rows, tables, splits)
def lee2020_table3(store: ClipStore, results: Mapping[str, Results]) -> Product:
    """Lee Table 3: Lee'18 and the Siamese 3D DenseNet with a neutral anchor at three depths.

    Parameters
    ----------
    store : ClipStore
        Smile moments the runs were made on.
    results : mapping of str to runs
        Name of the row, as printed ("Lee'18", "3D DenseNet-38", -62, -94) or one of our own ("3D DenseNet-22"), to its
        runs over folds and trials, of one setting.
    """
    names = dict.fromkeys([*reported("lee2020-table3")["row"], *results])
    rows = [Row({"network": name}, name, results.get(name, ())) for name in names]
    same = (
        "The 3D DenseNets of Table 3 are the neutral anchor structures of Table 4: the paper prints equal numbers. "
        "What is known of Lee'18 is one sentence; its settings are ours."
    )
    return _product("lee2020-table3", store, rows, [*combinations(rows, 2)], [same])


@makes("lee2020-table4", metrics, resampling, comparison, lee_rows, tables, splits, audit.likeness, lee_anchors)
def lee2020_table4(store: ClipStore, results: Mapping[tuple[str, Depth], Results]) -> Product:
    """Lee Table 4: neutral anchor, posed anchor and no anchor, at three depths.

    Parameters
    ----------
    store : ClipStore
        Smile moments the runs were made on.
    results : mapping of (str, depth) to runs
        Structure ("neutral", "posed" or "plain") and depth, printed or our own, to the runs over folds and trials, of
        one setting.
    """
    depths = depths_of(results, PRINTED_DEPTHS)
    at = {
        (structure, depth): Row(
            {"structure": name, "depth": str(depth)}, f"{name}, {depth}", results.get((structure, depth), ())
        )
        for structure, name in STRUCTURES.items()
        for depth in depths
    }
    pairs = [(at[one, depth], at[other, depth]) for depth in depths for one, other in combinations(STRUCTURES, 2)]
    product = _product("lee2020-table4", store, [*at.values()], pairs, [])
    run = next((row.spec for row in at.values() if row.measured), None)
    product.tables[lee_anchors.LIKENESS_CAPTION] = lee_anchors.likeness(store, run)
    if run is not None:
        product.notes += lee_anchors.left_out(store, run)
    product.notes.append(
        "A posed anchor is cut from the recording of a posed smile: light, camera and pose are alike within a "
        "recording, and posed smiles are like each other. How far that gives the class away without any network is in "
        "the last table, beside which a network with that anchor has to be seen."
    )
    return product


def _product(
    artifact_id: str, store: ClipStore, rows: list[Row], pairs: list[tuple[Row, Row]], notes: list[str]
) -> Product:
    label = database_label(store.database, simulated=store.simulated)
    printed = reported(artifact_id).set_index(["row", "quantity"])["value"]
    main = []
    for row in rows:
        if (row.printed, "accuracy") in printed.index:
            said = {rate: printed[row.printed, rate] for rate in _RATES}
            main.append({**row.names, "": "reported (Lee's own recordings)", **said})
        size = ", reduced network" if row.runs and reduced(row.spec) else ""
        cells = _scores(row, store, "test", "windows") if row.measured else dict.fromkeys(_RATES, NOT_RUN)
        main.append({**row.names, "": f"measured ({label}{size})", **cells})
    run = [row for row in rows if row.measured]
    made = {
        "Windows of the test subjects (percent, 95 % intervals from a bootstrap over subjects)": main,
        "Smile moments of the test subjects, each by the mean probability of its windows": [
            {**row.names, **_scores(row, store, "test", "moments")} for row in run
        ],
        "Test subjects, each by the mean probability of all windows of one class": [
            {**row.names, **_scores(row, store, "test", "subjects and classes")} for row in run
        ],
        "Validation subjects, every fold's own, pooled": [
            {**row.names, "scored": unit, **_scores(row, store, "validation", unit)} for row in run for unit in _JOINED
        ],
        "Spread over the folds' models: mean ± standard deviation": [
            {**row.names, "scored": f"{part} windows", **_spread(row.predictions(part))}
            for row in run
            for part in ("test", "validation")
        ],
        "Paired tests: the first less the second, on the same samples (points, 95 % intervals over subjects)": [
            line for one, other in pairs if one.measured and other.measured for line in _paired(one, other, store)
        ],
        "The models as they were run": [{**row.names, **_as_run(row)} for row in run],
    }
    every = [result for row in rows for result in row.runs]
    notes = [*notes, *_notes(rows, run)]
    return Product(
        {caption: pd.DataFrame(lines) for caption, lines in made.items() if lines},
        notes=notes,
        stores=[store],
        runs=every,
    )


def _scores(row: Row, store: ClipStore, part: str, unit: str) -> dict[str, str]:
    """What is printed of a part's predictions, joined to a unit."""
    windows = row.predictions(part)
    if windows.empty:
        return dict.fromkeys(_RATES, NOT_RUN)
    join = _JOINED[unit]
    joined = windows if join is None else join(windows)
    found, posed = metrics.summarize(joined), metrics.precision_recall(joined, positive=POSED)
    counts = {} if part == "test" and unit != "subjects and classes" else {"n": f"{found.n:,}"}
    return {
        "accuracy": percent(found.accuracy, found.accuracy_low, found.accuracy_high),
        "precision": percent(posed.precision, posed.precision_low, posed.precision_high) or "undefined",
        "recall": percent(posed.recall, posed.recall_low, posed.recall_high) or "undefined",
        "AUC": percent(found.auc, found.auc_low, found.auc_high) or "undefined",
        "balanced accuracy": percent(found.balanced_accuracy, found.balanced_accuracy_low, found.balanced_accuracy_high)
        or "undefined",
        "majority": percent(found.majority),
        **counts,
        "windows": f"{len(windows[['clip_id', 'start']].drop_duplicates()):,}",
        "moments": f"{windows['clip_id'].nunique():,}",
        "subjects": str(found.subjects),
        "folds": row.folds(store),
    }


def _spread(windows: pd.DataFrame) -> dict[str, str]:
    by_model = []
    for _, one in windows.groupby(["fold", "seed"]):
        found, posed = metrics.summarize(one, resamples=1), metrics.precision_recall(one, positive=POSED, resamples=1)
        by_model.append((found.accuracy, posed.precision, posed.recall, found.auc))
    cells = {}
    for rate, values in zip(_RATES, np.array(by_model).reshape(-1, len(_RATES)).T, strict=True):
        defined = values[np.isfinite(values)]
        text = percent(float(defined.mean())) if len(defined) else "undefined"
        text += f" ± {percent(float(defined.std(ddof=1)))}" if len(defined) > 1 else ""
        cells[rate] = text + (f" (of {len(defined)} models)" if 0 < len(defined) < len(values) else "")
    return {**cells, "models": str(len(by_model))}


def _paired(one: Row, other: Row, store: ClipStore) -> Iterable[dict[str, str]]:
    for part, unit in (("test", "windows"), ("test", "moments"), ("validation", "moments")):
        both = _of_shared_models(one.predictions(part), other.predictions(part))
        first, second = comparison.in_common(*both)
        line = {"first": one.name, "second": other.name, "on": f"{part} {unit}"}
        if first.empty:
            yield {**line, "accuracy": f"{NOT_RUN}: no {unit} in common"}
            continue
        left_out = sum(map(len, both)) - 2 * len(first)
        join = _JOINED[unit]
        first, second = (frame if join is None else join(frame) for frame in (first, second))
        found = comparison.compare(first, second)
        line |= {
            "accuracy": _points(found.accuracy, found.accuracy_low, found.accuracy_high),
            "p, subjects flipped": _p(found.p),
            "AUC": _points(found.auc, found.auc_low, found.auc_high),
            "only first / second right": f"{found.only_first:,} / {found.only_second:,}",
            "p, McNemar": _p(found.p_mcnemar),
            "p, corrected t over folds": "",
            "n": f"{found.n:,}",
            "subjects": str(found.subjects),
            "folds": str(first["fold"].nunique()),
        }
        if part == "validation":
            rounds = one.rounds(store)
            share = float(np.mean([len(each.validation) / len(each.train) for each in rounds]))
            line["p, corrected t over folds"] = _p(_p_of_folds(first, second, share))
        if left_out:
            line["n"] += f" ({left_out:,} predictions of one model alone left out)"
        yield line


def _of_shared_models(first: pd.DataFrame, second: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions of the folds and trials that were run of both."""
    columns = ["fold", "seed"]
    shared = first[columns].merge(second[columns].drop_duplicates()).drop_duplicates()
    return first.merge(shared), second.merge(shared)


def _p_of_folds(first: pd.DataFrame, second: pd.DataFrame, test_per_train: float) -> float:
    """P value of the corrected resampled t test of the folds' accuracies, trials averaged."""
    accuracies = [
        frame.assign(right=(frame["probability"] >= metrics.THRESHOLD) == (frame["label"] == 1))
        .groupby("fold")["right"]
        .mean()
        for frame in (first, second)
    ]
    return comparison.corrected_t((accuracies[0] - accuracies[1]).to_numpy(), test_per_train=test_per_train)[1]


def _as_run(row: Row) -> dict[str, str]:
    runs = [run for run in row.runs if isinstance(run, RunResult)]
    spec = runs[0].spec
    if len({replace(run.spec, fold=1, seed=0) for run in runs}) > 1:
        raise ValueError(f"{row.name}: found runs of several settings, expected one; give them rows of their own.")
    options, cut, settings = dict(spec.model_options), spec.windows, spec.training
    if cut is None:
        raise ValueError(f"{row.name}: found runs on whole clips, expected runs on windows.")
    shown: dict[str, Any] = {"model": spec.model, "parameters": "", "input": f"{cut.length} frames", "smaller in": ""}
    trained = {"epochs": "", "epoch kept": "", "windows an epoch": "", "batch": "", "selection": "its own"}
    if spec.model in models.names():
        with torch.device("meta"):  # shapes alone: no weights are drawn
            model: Any = models.build(spec.model, **options)
        kept = [str(int(run.metrics["epoch"])) for run in runs]
        shown["parameters"] = f"{sum(weights.numel() for weights in model.parameters()):,}"
        shown["input"] = f"{model.frames} frames of {model.size}x{model.size}"
        shown["smaller in"] = reduced(spec) or "nothing"
        trained = {
            "epochs": str(settings.epochs),
            "epoch kept": ", ".join(kept) if len(set(kept)) > 1 else kept[0],
            "windows an epoch": f"{settings.per_epoch:,}" if settings.per_epoch else "all",
            "batch": str(settings.batch_size),
            "selection": SELECTION_LABELS[spec.selection],
            "sampling": settings.sampling,
            "rate": f"{settings.learning_rate:g}, {settings.schedule}",
            "decay": f"{settings.weight_decay:g}",
            "dropout": f"{options.get('dropout', 0.5):g}",
            "initialisation": str(options.get("initialisation", "standard")),
            "varied": ", ".join(
                [
                    *(["mirrored"] if settings.flip else []),
                    *([f"crops to {settings.crop:.0%}"] if settings.crop else []),
                ]
            ),
            "precision": settings.precision,
        }
    stride = f"{cut.stride} in training, {cut.test_stride} in tests"
    return {**shown, "window": f"{cut.length} frames", "stride": stride, **trained}


def _notes(rows: list[Row], run: list[Row]) -> list[str]:
    split = reported("lee2020-table1").set_index(["row", "quantity"])["value"]
    shares = {name: int(split[name, "posed windows"]) / int(split[name, "windows"]) for name in ("test", "validation")}
    majority = {name: percent(max(share, 1 - share)) for name, share in shares.items()}
    notes = [
        "Precision and recall are those of posed smiles, as in the paper; the AUC is the same for either class.",
        "By their arithmetic (see the audit) the reported rows are single confusion matrices of what the paper's "
        "Table 1 calls the validation split (those of the posed anchor with 100 posed windows fewer), and no means "
        "over folds on the test split; Lee'18's row fits neither. The majority class makes up "
        f"{majority['validation']} % of that split and {majority['test']} % of the test split.",
    ]
    notes += [row.failed for row in rows if row.failed]
    if not run:
        return notes
    notes += about_few_subjects(
        row.predictions(part)["subject"].nunique() for row in run for part in ("test", "validation")
    )
    cut = run[0].spec.windows
    if cut is not None and cut.test_stride < cut.length:
        notes.append(
            f"A scored window shares {cut.length - cut.test_stride} of its {cut.length} frames with the next: the "
            "number of windows is no sample size. Intervals and tests therefore draw or flip whole subjects."
        )
    selections = dict.fromkeys(row.spec.selection for row in run if row.spec.model in models.names())
    optimistic = {
        "validation": "the validation subjects chose the epoch, so that their numbers are optimistic",
        "last": "no epoch was chosen, so that the validation subjects are as unseen as those of the test",
        "best-on-test": "the test windows chose the epoch, so that their numbers are optimistic",
    }
    notes += [f"Epoch kept: {SELECTION_LABELS[rule]}; {optimistic[rule]}." for rule in selections]
    notes += [
        "The test subjects are the same for every fold's model. Their predictions are pooled: accuracy, recall and AUC "
        "are means over the models, precision is that of all windows which any of them calls posed.",
        "Which windows are a subject's smiles of one class is known from their label: that row describes the model.",
        "McNemar's test (exact; folds decide by their mean probability) takes moments for independent, which those of "
        "one subject are not; on windows it is not made. The corrected resampled t test (Nadeau & Bengio 2003) needs "
        "samples of each fold's own. No p is adjusted for the number of tests.",
    ]
    if (least := 2.0 ** (1 - run[0].predictions("test")["subject"].nunique())) > _FEW:
        notes.append(f"So few test subjects have too few patterns of signs to flip for a p below {least:.2g}.")
    return notes


def _points(value: float, low: float, high: float) -> str:
    return percent(value, low, high).replace("-0.0", "0.0")


def _p(value: float) -> str:
    return "" if np.isnan(value) else "<0.001" if value < 0.0005 else f"{value:.3f}"
