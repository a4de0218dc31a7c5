"""Yang et al.'s tests on other people: other databases, each group alone (Figure 7), a few clips (Figure 8)."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import binom

from smilelab import metrics, protocols, resampling
from smilelab.artifacts import audit_yang, yang_bars, yang_errors, yang_rows
from smilelab.artifacts.catalogue import makes
from smilelab.artifacts.numbers import percent, reported
from smilelab.artifacts.product import NOT_RUN, Product, database_label
from smilelab.artifacts.yang_rows import REPORTED_NOTE, Cell, Results, against, notes_of
from smilelab.audit.rounding import bounds
from smilelab.clips import ClipStore
from smilelab.runs import RunResult

SOURCE = "uva-nemo"
_DETAILS = "(percent, 95 % intervals from a bootstrap over subjects)"
_ARROW = " -> "
_SAME = "models of all subjects on these clips"
_IDLE = "No clip of the group is in the folds that were asked for, or none was asked for."
_DRAWS = {"folds": "draws", "clips": "clips, each once"}


@makes("yang2020-cross", metrics, resampling, protocols, yang_rows, audit_yang)
def yang2020_cross(stores: Mapping[str, ClipStore], elsewhere: Results, groups: Mapping[str, Results]) -> Product:
    """Yang section 4.2, cross-domain: trained on UvA-NEMO or a group of its subjects, tested on others.

    Parameters
    ----------
    stores : mapping of str to ClipStore
        Database name to its clip store.
    elsewhere : sequence of RunResult or RunFailure
        Trained on all clips of UvA-NEMO, tested on other databases, each run on all of them; trials.
    groups : mapping of str to runs
        "adult -> young" and the like to the runs trained on the first group and tested on the second; trials.

    Raises
    ------
    ValueError
        Predictions of other clips than named, or no store of the database that was trained on.
    """
    printed = reported("yang2020-cross")
    said = printed.set_index("row")["value"]
    tested = [name for name in dict.fromkeys(printed["database"]) if name != SOURCE]
    run = next((run for run in elsewhere if isinstance(run, RunResult)), None)
    if run is not None:
        tested += [name for name in run.predictions["database"].unique() if name not in tested]
    cells: dict[str, Cell | None] = {}
    for name in tested:
        way = f"{SOURCE}{_ARROW}{name}"
        cells[way] = _cell(way, stores[name], stores, elsewhere, tested=name) if name in stores else None
    for way in dict.fromkeys([*(row for row in said.index if row not in cells), *groups]):
        cells[way] = _cell(way, stores[SOURCE], stores, groups.get(way, ())) if SOURCE in stores else None
        if (cell := cells[way]) is not None and cell.complete:
            _require_group(cell, way.partition(_ARROW)[2])
    main = {way: _crossed(way, str(said.get(way, "-")), cell) for way, cell in cells.items()}
    every = [cell for cell in cells.values() if cell is not None]
    made = {
        "Accuracy in percent where training and test differ": [*main.values()],
        f"Each test {_DETAILS}": [
            {"trained -> tested": cell.name, **cell.details()} for cell in every if cell.complete
        ],
    }
    return Product(
        {caption: pd.DataFrame(rows) for caption, rows in made.items() if rows},
        notes=[*_about_crossing(main, every), *notes_of(every, {})],
        stores=[*stores.values()],
        runs=[*elsewhere, *(result for runs in groups.values() for result in runs)],
    )


def _cell(way: str, store: ClipStore, stores: Mapping[str, ClipStore], runs: Results, tested: str = "") -> Cell:
    one, _, other = way.partition(_ARROW)
    if tested:
        if runs and one not in stores:
            raise ValueError(f"{way}: found no store of {one}, expected it: its clips may be simulated or real.")
        one = database_label(one, simulated=one in stores and stores[one].simulated)
        other = database_label(other, simulated=store.simulated)
        return Cell(f"{one}{_ARROW}{other}", store, runs, tested)
    return Cell(f"{way}, {database_label(store.database, simulated=store.simulated)}", store, runs)


def _require_group(cell: Cell, group: str) -> None:
    """Refuse predictions of clips that are not of a group."""
    if group not in protocols.GROUPS:
        raise ValueError(f"{cell.name}: found group {group!r}, expected one of {', '.join(protocols.GROUPS)}.")
    members = cell.store.usable.index[protocols.GROUPS[group](cell.store.usable)]
    if len(others := sorted(set(cell.predictions["clip_id"]) - set(members))):
        raise ValueError(f"{cell.name}: found a prediction of {others[0]}, expected clips of {group} subjects alone.")


def _crossed(way: str, said: str, cell: Cell | None) -> dict[str, str]:
    one, _, other = way.partition(_ARROW)
    row = {
        "trained -> tested": _spoken(one) + _ARROW + _spoken(other),
        "reported": said,
        "majority, real database": "",
        "always spontaneous, real database": "",
        "reported against that majority": "",
    }
    if other in audit_yang.clips():
        counts = audit_yang.clips()[other]
        majority = audit_yang.majority_share(other)
        low, high, scale = bounds(said, 1)
        # A printed number stands for every share that rounds to it.
        equal = Fraction(low, scale) <= majority <= Fraction(high, scale)
        row["majority, real database"] = percent(float(majority))
        row["always spontaneous, real database"] = percent(counts["spontaneous"] / sum(counts.values()))
        row["reported against that majority"] = "equal" if equal else against(float(said) / 100, float(majority))
    if cell is None or not cell.complete:
        return {**row, "trained and measured on": "" if cell is None else cell.name, "measured [95 %]": NOT_RUN}
    clips = cell.predictions.drop_duplicates("clip_id")
    called = cell.predictions["probability"] >= metrics.THRESHOLD
    return {
        **row,
        "trained and measured on": cell.name,
        "measured [95 %]": cell.accuracy,
        "majority": percent(cell.majority),
        "always spontaneous": percent(float((clips["label"] == 1).mean())),
        "measured against the majority": cell.against,
        "called spontaneous": percent(float(called.mean())),
    }


def _spoken(name: str) -> str:
    return name if name in protocols.GROUPS else database_label(name, simulated=False)


def _about_crossing(main: Mapping[str, Mapping[str, str]], every: list[Cell]) -> list[str]:
    notes = [
        REPORTED_NOTE,
        "'majority' answers every tested clip with their larger class; 'called spontaneous' is the share of answers "
        "that the model gives for spontaneous: at 0 or 100 it answers one class.",
    ]
    for way, row in main.items():
        if row["reported against that majority"] in ("equal", "below"):
            counts = audit_yang.clips()[way.partition(_ARROW)[2]]
            larger = max(counts, key=lambda key: counts[key])
            notes.append(
                f"{row['trained -> tested']}: the reported {row['reported']} % is "
                f"{'below' if row['reported against that majority'] == 'below' else 'equal to'} what always answering "
                f"'{larger}' gives, {counts[larger]} of {sum(counts.values())} clips: no evidence that the model "
                "transfers."
            )
    for cell in every:
        if cell.complete and set(cell.predictions["probability"] >= metrics.THRESHOLD) in ({True}, {False}):
            notes.append(f"{cell.name}: the model answers one class for every clip.")
    return [
        *notes,
        "One model, trained on all clips of the first database or group, is tested on all of the second: there are no "
        "folds, and only trials repeat it. Of a run that is tested on several databases the wall time is the whole "
        "run's. Another camera or rate can shift all probabilities: the accuracy at one half then falls while the AUC "
        "stays.",
        _about_groups() + " How many clips a group has, the paper does not print.",
    ]


def _about_groups() -> str:
    said = audit_yang.subjects()
    return (
        f"Young are subjects below {protocols.ADULT_FROM} years, adults all others: in the real UvA-NEMO the paper's "
        f"{said['young']} and {said['adult']}."
    )


@makes("yang2020-fig7", metrics, resampling, protocols, yang_rows, yang_bars, yang_errors)
def yang2020_fig7(store: ClipStore, within: Mapping[str, Results], overall: Results) -> Product:
    """Yang Figure 7: accuracy of models of one group each, and how wrong predictions are spread over the groups.

    Parameters
    ----------
    store : ClipStore
        Clips with sex and age.
    within : mapping of str to runs
        Group ("female", "male", "adult", "young") to the runs trained and tested on its clips alone.
    overall : sequence of RunResult or RunFailure
        Runs trained and tested on all clips.

    Raises
    ------
    ValueError
        An unknown group, or predictions of clips outside it.
    """
    label = database_label(store.database, simulated=store.simulated)
    order = [*dict.fromkeys([*(group for pair in yang_errors.PAIRS for group in pair), *within])]
    cells = {group: Cell(f"within {group}, {label}", store, within.get(group, ())) for group in order}
    for group, cell in cells.items():
        if cell.complete:
            _require_group(cell, group)
    everyone = Cell(f"all subjects, {label}", store, overall)
    spread = yang_errors.errors_by_group(everyone) if everyone.complete else pd.DataFrame()
    every = [*cells.values(), everyone]
    same = {group: yang_errors.on_the_clips_of(cell, everyone) for group, cell in cells.items()}
    made = {
        f"Models trained and tested within a group {_DETAILS}": [
            {"group": group, **cell.details(), _SAME: yang_errors.printed_of(same.get(group), cell)}
            for group, cell in {**cells, "all together": everyone}.items()
        ],
        f"Wrong predictions of the models of all subjects {_DETAILS}": yang_errors.printed(spread),
        "Error rate of the first group less the second's (points, 95 % intervals over subjects)": yang_errors.between(
            everyone
        ),
    }
    idle = [group for group, cell in cells.items() if not cell.runs]
    notes = [
        "Left: the bars of the paper's figure are printed without numbers, so that none stand here beside ours. "
        "Right: a group's share of all wrong predictions means something only beside its share of the clips; the "
        "paper shows the former alone. Each pair of groups adds up to 100 %.",
        "Models within a group are trained on fewer clips than those of all subjects: a lower accuracy is no sign of "
        "bias, nor is an equal one a sign that there is none.",
        "Orange on the left: what the models of all subjects reach on the very clips of the bar, drawn where they were "
        "tested on each of them. The right panel shows all clips that they were tested on, and says how many.",
        _about_groups(),
        *([f"{NOT_RUN.capitalize()}: {', '.join(idle)}. {_IDLE}"] if idle else []),
        *yang_errors.unknown(everyone),
        *notes_of(every, {store.database: store}, [] if spread.empty else spread["subjects"]),
    ]
    runs = [result for cell in every for result in cell.runs]
    tables = {caption: pd.DataFrame(rows) for caption, rows in made.items() if rows}
    if not any(cell.complete for cell in every):
        return Product(tables, notes=notes, stores=[store], runs=runs)
    figure = Figure(figsize=(9.2, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.1, 1))
    whole = {
        group: float(found["right"].mean())
        for group, found in same.items()
        if len(found) and found["clip_id"].nunique() == cells[group].summary.n
    }
    yang_bars.groups(left, cells, whole)
    yang_bars.errors(right, spread, everyone)
    figure.suptitle(f"RealSmileNet and groups of subjects, {label}", fontsize=10)
    return Product(tables, figure, notes, [store], runs)


@makes("yang2020-fig8", metrics, resampling, protocols, yang_rows, yang_bars)
def yang2020_fig8(store: ClipStore, results: Mapping[int, Results]) -> Product:
    """Yang Figure 8: a model against people on a few clips, the clips drawn several times.

    Parameters
    ----------
    store : ClipStore
        The clips.
    results : mapping of int to runs
        Number of tested clips (20 and 30) to the runs, one a draw (their fold) and trial.

    Raises
    ------
    ValueError
        A draw has another number of clips.
    """
    printed = yang_bars.reported_rows()
    sizes = dict.fromkeys([*(int(row.split()[-2]) for row in printed), *results])
    label = database_label(store.database, simulated=store.simulated)
    cells = {size: Cell(f"{size} clips, {label}", store, results.get(size, ())) for size in sizes}
    draws = {size: _draws(cell, size) for size, cell in cells.items() if cell.complete}
    whole = float(reported("yang2020-table2").query("row == 'RealSmileNet' and database == @SOURCE")["value"].iloc[0])
    main = []
    for size in sizes:
        row = {"clips": str(size), **_as_reported(size, printed, whole)}
        main.append({**row, **_measured(cells[size], draws.get(size), printed)})
    made = {
        "Accuracy in percent on a few clips of subjects that were not trained on": main,
        f"All draws together {_DETAILS}": [
            {"clips of a draw": str(size), **{_DRAWS.get(key, key): value for key, value in cell.details().items()}}
            for size, cell in cells.items()
            if cell.complete
        ],
    }
    tables = {caption: pd.DataFrame(rows) for caption, rows in made.items() if rows}
    notes = [*_about_few(whole), *notes_of(cells.values(), {store.database: store})]
    runs = [result for cell in cells.values() for result in cell.runs]
    figure = Figure(figsize=(7.0, 4.0), layout="constrained")
    yang_bars.people(figure.subplots(), list(sizes), printed, draws)
    figure.suptitle(f"People and RealSmileNet on few clips; measured on {label}", fontsize=10)
    return Product(tables, figure, notes, [store], runs)


def _draws(cell: Cell, size: int) -> pd.Series:
    """Accuracy of each draw, trials averaged."""
    counts = cell.predictions.groupby(["fold", "seed"])["clip_id"].nunique()
    if (wrong := counts[counts != size]).size:
        raise ValueError(f"{cell.name}: found a draw of {wrong.iloc[0]} clips, expected {size} in each.")
    return cell.right.groupby([cell.predictions["fold"], cell.predictions["seed"]]).mean().groupby(level="fold").mean()


def _as_reported(size: int, printed: yang_bars.Rows, whole: float) -> dict[str, str]:
    """People and model as printed, and what so few clips can say of the model."""
    row = {"people, reported": "-", "RealSmileNet, reported": "-"}
    if (key := f"human, {size} clips") in printed:
        row["people, reported"] = f"{printed[key]['value']} ({printed[key]['note']})"
    if (found := yang_bars.reported_share(printed, size)) is not None:
        row["RealSmileNet, reported"] = f"{printed[f'RealSmileNet, {size} clips']['value']}"
        row["k of n"] = f"{found.right} of {size}"
        row["binomial 95 % interval"] = audit_yang.interval((found.low, found.high))
        row[f"chance of so many or more at {whole:g} %, the reported accuracy on all clips"] = percent(
            float(binom.sf(found.right - 1, size, whole / 100))
        )
    return row


def _measured(cell: Cell, draws: pd.Series | None, printed: yang_bars.Rows) -> dict[str, str]:
    if draws is None:
        return {"RealSmileNet, measured: mean of the draws": NOT_RUN}
    size = int(cell.predictions.groupby(["fold", "seed"]).size().iloc[0])
    reached = yang_bars.reported_share(printed, size)
    row = {
        "RealSmileNet, measured: mean of the draws": percent(float(draws.mean())),
        "sd over draws": percent(float(draws.std(ddof=1))) if len(draws) > 1 else "",
        "lowest to highest draw": f"{percent(float(draws.min()))} to {percent(float(draws.max()))}",
        "draws": cell.folds,
    }
    if reached is not None:
        high = int((draws.to_numpy() >= reached.right / size - 1e-9).sum())
        row["draws as high as the reported number"] = f"{high} of {len(draws)}"
    return row


def _about_few(whole: float) -> list[str]:
    spread = 100 * float(np.sqrt(whole / 100 * (1 - whole / 100) / 20))
    return [
        "Reported: people (Hossain et al., as the paper cites them) and RealSmileNet, on clips of the real UvA-NEMO "
        "that the paper does not name. No person has judged the clips measured here, so that the bars of a group are "
        "of different clips.",
        "Measured: the clips are drawn, as many of each class, several times; subjects of a tested clip do not train. "
        "Each draw has a model of its own.",
        f"Few clips say little: at an accuracy of {whole:g} %, as the paper's Table 2 reports it, one binomial "
        f"standard deviation of 20 clips is {spread:.1f} points. The binomial interval (Clopper-Pearson) takes clips "
        "for independent; what people answer to the same clips is not, and gets none.",
    ]
