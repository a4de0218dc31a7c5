"""Both papers' networks with and without an anchor, on every database: what neither paper has."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from smilelab import anchors, audit, comparison, metrics, models, resampling
from smilelab.anchors import AnchorRule
from smilelab.artifacts import lee_rows, yang_rows
from smilelab.artifacts.catalogue import makes
from smilelab.artifacts.numbers import counted, percent
from smilelab.artifacts.product import NOT_RUN, Product, database_label
from smilelab.artifacts.yang_rows import Cell, Results, notes_of, p_value, paired, points
from smilelab.clips import ClipStore
from smilelab.datasets import SPONTANEOUS
from smilelab.models.realsmilenet import SIZE
from smilelab.runs import predictions_of
from smilelab.specs import RunSpec

__all__ = ["ANCHORS", "NETWORKS", "combined"]

NETWORKS = ("RealSmileNet", "3D DenseNet")
ANCHORS: dict[AnchorRule, str] = {"none": "no anchor", "neutral": "neutral anchor", "posed": "posed anchor"}
IMPOSSIBLE = "not possible"
_STYLE: dict[AnchorRule, tuple[str, str]] = {
    "none": ("0.35", "o"),
    "neutral": ("#0072b2", "s"),
    "posed": ("#d55e00", "^"),
}
_Key = tuple[str, AnchorRule]


@dataclass(eq=False)
class _Judged(Cell):
    """A network with an anchor on a database, judged by clip on the clips that all of the database's rows have."""

    kept: Collection[str] = field(default=())

    @cached_property
    def clips(self) -> pd.DataFrame:
        """A prediction of each clip by each model: of its windows, the mean."""
        if self.spec.partition_seed is not None:
            raise ValueError(f"{self.name}: found runs with partition_seed, expected the folds of the database.")
        every = predictions_of(self.runs)
        return metrics.of_moments(every) if "start" in every else every

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """Those of the clips that are kept."""
        return self.clips[self.clips["clip_id"].isin(list(self.kept))].reset_index(drop=True)


@makes("combined", metrics, resampling, comparison, anchors, audit.likeness, lee_rows, yang_rows)
def combined(stores: Mapping[str, ClipStore], results: Mapping[_Key, Mapping[str, Results]]) -> Product:
    """Accuracy of network x anchor x database, judged by clip on the same clips of a database.

    Parameters
    ----------
    stores : mapping of str to ClipStore
        Database name to the store of its whole clips.
    results : mapping of (str, str) to mapping of str to runs
        Network (one of :data:`NETWORKS`) and anchor (one of :data:`ANCHORS`) to database name to its runs over folds
        and trials, of one setting.

    Returns
    -------
    Product
        Tables, and their accuracies as a figure.

    Raises
    ------
    ValueError
        A network or anchor of another name, runs of several settings or on Lee & Lee's rounds.

    Source: ours. Yang et al. 2020 classify without an anchor; Lee & Lee 2020 compare with one on recordings alone.
    """
    if unknown := [key for key in results if key[0] not in NETWORKS or key[1] not in ANCHORS]:
        raise ValueError(f"found {unknown[0]}, expected one of {', '.join(NETWORKS)} with one of {', '.join(ANCHORS)}.")
    rows: list[_Key] = [(network, anchor) for network in NETWORKS for anchor in ANCHORS]
    possible = {name: anchors.possible(store) for name, store in stores.items()}
    by_database = {
        name: _judged(store, {key: results.get(key, {}).get(name, ()) for key in rows})
        for name, store in stores.items()
    }
    cells = [cell for by in by_database.values() for cell in by.values()]
    run = [cell for cell in cells if cell.complete]
    made = {
        "Accuracy by clip in percent (95 % intervals from a bootstrap over subjects)": _main(
            rows, by_database, possible
        ),
        "Each network, anchor and database (percent; the 3D DenseNet's windows are joined to clips by their mean)": [
            {"network": network, "anchor": ANCHORS[anchor], "database": cell.label, **cell.details()}
            for by in by_database.values()
            for (network, anchor), cell in by.items()
            if cell.complete
        ],
        "Paired tests: the first less the second, on the same clips (points, 95 % intervals over subjects)": [
            line for by in by_database.values() for line in _differences(by)
        ],
        "The networks as they were run": _as_run(by_database),
        "Without a network: smiles told apart by how far their mean frame is from the anchor's (percent)": [
            line for name, store in stores.items() for line in _likeness(store, possible[name])
        ],
    }
    notes = [
        *(note for name, by in by_database.items() for note in _about(stores[name], by, possible[name])),
        "A posed anchor is cut from the recording of a posed smile, which a test subject must have given before: "
        "subjects without one, and the clips that anchors are cut from, are left out of training and test, whatever "
        "the row. Light and pose are alike within a recording and posed smiles are like each other; how far that tells "
        "the classes apart without a network is in the last table, beside which an accuracy with that anchor has to be "
        "seen. The distance from a face at rest also grows with the smile itself, which is no such cue.",
        *notes_of(cells, stores),
    ]
    return Product(
        {caption: pd.DataFrame(lines) for caption, lines in made.items() if lines},
        figure=_figure(by_database) if run else None,
        notes=notes,
        stores=[*stores.values()],
        runs=[each for cell in cells for each in cell.runs],
    )


def _judged(store: ClipStore, results: Mapping[_Key, Results]) -> dict[_Key, _Judged]:
    label = database_label(store.database, simulated=store.simulated)
    cells = {
        (network, anchor): _Judged(f"{network} with {ANCHORS[anchor]}, {label}", store, runs)
        for (network, anchor), runs in results.items()
    }
    tested = [set(cell.clips["clip_id"]) for cell in cells.values() if cell.complete]
    kept = set.intersection(*tested) if tested else set()
    if tested and not kept:
        raise ValueError(f"{label}: found no clip that all rows tested, expected some; run the same folds of each.")
    for cell in cells.values():
        cell.kept = kept
    return cells


def _main(
    rows: list[_Key], by_database: Mapping[str, dict[_Key, _Judged]], possible: Mapping[str, Sequence[AnchorRule]]
) -> list[dict[str, str]]:
    table = [{"network": network, "anchor": ANCHORS[anchor]} for network, anchor in rows]
    base = {"network": "larger class of these clips", "anchor": ""}
    for name, by in by_database.items():
        column = f"{next(iter(by.values())).label} [95 %]"
        for line, key in zip(table, rows, strict=True):
            open_cell = NOT_RUN if key[1] in ("none", *possible[name]) else IMPOSSIBLE
            line[column] = by[key].accuracy if by[key].runs else open_cell
        one = next((cell for cell in by.values() if cell.complete), None)
        base[column] = NOT_RUN if one is None else f"{percent(one.summary.majority)} (n {one.summary.n})"
    return [*table, base]


def _differences(by: Mapping[_Key, _Judged]) -> list[dict[str, str]]:
    pairs: list[tuple[_Key, _Key, str]] = []
    for network in NETWORKS:
        pairs += [
            ((network, one), (network, "none"), f"{network}: {ANCHORS[one]} less no anchor")
            for one in ANCHORS
            if one != "none"
        ]
        pairs.append(((network, "neutral"), (network, "posed"), f"{network}: neutral anchor less posed anchor"))
    for anchor, name in ANCHORS.items():
        pairs += [((a, anchor), (b, anchor), f"{name}: {a} less {b}") for a, b in combinations(NETWORKS, 2)]
    lines = []
    for first, second, what in pairs:
        one, other = by[first], by[second]
        if not (one.complete and other.complete) or (found := paired(one, other)) is None:
            continue
        compared = found[0]
        lines.append(
            {
                "database": one.label,
                "compared": what,
                "accuracy": points(compared.accuracy, compared.accuracy_low, compared.accuracy_high),
                "p, subjects flipped": p_value(compared.p),
                "AUC": points(compared.auc, compared.auc_low, compared.auc_high),
                "only first / second right": f"{compared.only_first:,} / {compared.only_second:,}",
                "p, McNemar": p_value(compared.p_mcnemar),
                "clips": f"{compared.n:,}",
                "subjects": str(compared.subjects),
            }
        )
    return lines


def _as_run(by_database: Mapping[str, dict[_Key, _Judged]]) -> list[dict[str, str]]:
    """A row for each network and anchor and each way in which it was run."""
    found: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for by in by_database.values():
        for (network, anchor), cell in by.items():
            if cell.complete:
                shown = {"network": network, "anchor": ANCHORS[anchor], **_settings(network, cell.spec)}
                found.setdefault(tuple(shown.items()), []).append(cell.label)
    return [{**dict(shown), "databases": ", ".join(labels)} for shown, labels in found.items()]


def _settings(network: str, spec: RunSpec) -> dict[str, str]:
    options, cut = dict(spec.model_options), spec.windows
    with torch.device("meta"):  # shapes alone: no weights are drawn
        model = models.build(spec.model, **options)
    side = int(getattr(model, "size", options.get("size", SIZE)))
    smaller = lee_rows.reduced(spec) if network == "3D DenseNet" else f"size {side}" if side != SIZE else ""
    taken = "whole clips" if cut is None else f"windows of {cut.length} frames, {-(-cut.length // cut.every)} taken,"
    return {
        "model": spec.model,
        "parameters": f"{sum(weights.numel() for weights in model.parameters()):,}",
        "input": f"{taken} of {side}x{side}",
        "smaller in": smaller or "nothing",
        "epochs": str(spec.training.epochs),
        "rate": f"{spec.training.learning_rate:g}",
        "loss": spec.training.loss,
    }


def _likeness(store: ClipStore, rules: Sequence[AnchorRule]) -> list[dict[str, str]]:
    label = database_label(store.database, simulated=store.simulated)
    try:
        found = audit.clip_probes(store, rules=rules).to_dict("records")
    except audit.AuditError as error:
        return [{"database": label, "anchor": f"{NOT_RUN}: {error}"}]
    return [
        {
            "database": label,
            "anchor": ANCHORS[row["anchor"]],
            "AUC": percent(row["auc"], row["auc_low"], row["auc_high"]) or "undefined",
            "clips": str(row["n"]),
            "subjects": str(row["subjects"]),
        }
        for row in found
    ]


def _about(store: ClipStore, by: Mapping[_Key, _Judged], possible: Sequence[AnchorRule]) -> list[str]:
    """What the anchors of a database are, and which of its clips are judged."""
    label = database_label(store.database, simulated=store.simulated)
    said = [f"{label}: a neutral anchor is from the subject's neutral recording."]
    if anchors.source_of(store) == "rest":
        said = [
            f"{label}: there are no neutral recordings; a neutral anchor is the moment of narrowest mouth in one of "
            "the subject's clips, drawn without its label."
        ]
        alone = store.usable["subject"].is_unique
        said.append("It is from the very clip that is judged: nobody has another." if alone else _drawn(store))
    for rule in audit.likeness.RULES:
        if rule not in possible:
            said.append(f"Of smiles to compare with a {ANCHORS[rule]}, not both classes are left.")
    if run := [cell for cell in by.values() if cell.complete]:
        found = run[0].summary
        people = counted(found.subjects, "subject")
        said.append(f"Judged are the {found.n} of {len(store.usable)} clips ({people}) that all rows tested.")
    return [" ".join(said)]


def _drawn(store: ClipStore) -> str:
    found = anchors.find(store, "neutral", length=anchors.clip_length(store))
    classes = store.usable.groupby("subject")["label"].nunique()
    both = [subject for subject in classes.index[classes == 2] if subject in found]
    spontaneous = sum(int(store.usable["label"][found[subject].clip_id]) == SPONTANEOUS for subject in both)
    return "That clip is left out of training and test" + (
        f"; {spontaneous} of the {len(both)} subjects with clips of both classes lose a spontaneous one."
        if both
        else "."
    )


def _figure(by_database: Mapping[str, dict[_Key, _Judged]]) -> Figure:
    """Accuracies with their intervals, a panel a database."""
    figure = Figure(figsize=(1.3 + 1.75 * len(by_database), 2.7), layout="constrained")
    panels = figure.subplots(1, len(by_database), sharex=True, sharey=True, squeeze=False)[0]
    for panel, by in zip(panels, by_database.values(), strict=True):
        _panel(panel, by)
    places = [_place(NETWORKS.index(network), 1) for network in NETWORKS]
    panels[0].set_yticks(places, [network.replace(" ", "\n") for network in NETWORKS], fontsize=8)
    panels[0].set_ylim(max(places) + 1.6, min(places) - 1.6)
    figure.supxlabel("accuracy by clip, percent (95 % over subjects)", fontsize=8)
    handles = [
        Line2D([], [], color=color, marker=marker, linestyle="", markersize=5, label=ANCHORS[anchor])
        for anchor, (color, marker) in _STYLE.items()
    ]
    handles.append(Line2D([], [], color="0.4", linestyle="--", lw=1, label="larger class"))
    figure.legend(handles=handles, loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    return figure


def _place(network: int, anchor: int) -> float:
    return 3.8 * network + anchor


def _panel(axis: Axes, by: Mapping[_Key, _Judged]) -> None:
    run = [cell for cell in by.values() if cell.complete]
    label = next(iter(by.values())).label
    about = NOT_RUN
    if run:
        found = run[0].summary
        about = f"{counted(found.n, 'clip')}, {counted(found.subjects, 'subject')}"
        about += ": no intervals" if np.isnan(found.accuracy_low) else ""
    axis.set_title(f"{label}\n{about}", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color="0.9", lw=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right", "left"]].set_visible(False)
    if run:
        axis.axvline(100 * run[0].summary.majority, color="0.4", linestyle="--", lw=1)
    for (network, anchor), cell in by.items():
        if cell.complete:
            color, marker = _STYLE[anchor]
            y, found = _place(NETWORKS.index(network), list(ANCHORS).index(anchor)), cell.summary
            axis.plot([100 * found.accuracy_low, 100 * found.accuracy_high], [y, y], color=color, lw=1.4)
            axis.plot([100 * found.accuracy], [y], color=color, marker=marker, markersize=5)
