"""What the numbers of Lee & Lee 2020 imply: the search behind Tables 3 and 4, and the arithmetic of Tables 1 and 2.

What is read or searched once is kept: it is to be read, not written to. Tables are made anew by each call.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cache

import numpy as np
import pandas as pd

from smilelab.artifacts.numbers import percent, reported
from smilelab.audit.matrices import (
    accident_rate,
    auc_range,
    confusion_matrices,
    fits,
    implied_share,
    misfit,
    precision_ceiling,
)
from smilelab.audit.rounding import bounds, is_tie, numerators

METRICS = ("accuracy", "precision", "recall")
SPLITS = ("training", "validation", "test", "total")
CLASSES = ("posed", "spontaneous")
CELLS = ("tp", "fp", "fn", "tn")
MOST_REMOVED = 200
ACCIDENT = f"other numbers that would fit some of 1 to {MOST_REMOVED}, %"
ACROSS, IN_TIME = (f"padding in all that gives it, {axis}" for axis in ("width", "frames"))
_DECIMALS = 2  # of Tables 3 and 4
_OPERATOR = re.compile(r"(\d+)x(\d+)x(\d+) (?:convolution|average pooling), (\d+)x(\d+)x(\d+) stride")


@cache
def splits() -> dict[str, dict[str, int]]:
    """Windows of each class in every split of Table 1."""
    printed = reported("lee2020-table1").set_index(["row", "quantity"])["value"]
    return {split: {name: int(printed[split, f"{name} windows"]) for name in CLASSES} for split in SPLITS}


@cache
def rows() -> pd.DataFrame:
    """Every distinct row of Tables 3 and 4 as printed, indexed by its name; ``tables`` says where it stands."""
    found: dict[tuple[str, ...], dict[str, str]] = {}
    # Table 4 first: its names say which structure a row is of, and Table 3 repeats three of its rows.
    for number in (4, 3):
        table = reported(f"lee2020-table{number}")
        for name, part in table.groupby("row", sort=False):
            values = part.set_index("quantity")["value"]
            known = found.setdefault(tuple(values[[*METRICS, "AUC"]]), {"row": str(name), "tables": "", **values})
            known["tables"] = f"{number}, {known['tables']}".removesuffix(", ")
    return pd.DataFrame(list(found.values())).set_index("row")


@cache
def search() -> pd.DataFrame:
    """Run the whole search: all rows, splits, either class as the positive one, 0 to 200 windows of either left out."""
    return fits(_triples(), splits(), removed=range(MOST_REMOVED + 1), decimals=_DECIMALS)


@cache
def _triples() -> dict[str, tuple[str, str, str]]:
    return {str(name): tuple(row[list(METRICS)]) for name, row in rows().iterrows()}


def group(row: str) -> str:
    """Return the structure that a row is of."""
    return row.partition(",")[0]


def splits_table() -> pd.DataFrame:
    """One row of the tables each: the share of positives that it implies, and how many matrices fit each split."""
    whole = search().query("removed == 0")
    made = []
    for name, triple in _triples().items():
        low, high = implied_share(*triple, decimals=_DECIMALS)
        entry = {
            "row": name,
            "of tables": rows().loc[name, "tables"],
            **{metric: f"{float(value):.2f}" for metric, value in zip(METRICS, triple, strict=True)},
            "share of positives implied, %": f"{100 * float(low):.2f} to {100 * float(high):.2f}",
        }
        for split in SPLITS:
            mine = whole.query("row == @name and split == @split")
            fitting = "; ".join(f"{len(part)} ({key} positive)" for key, part in mine.groupby("positive"))
            entry[f"matrices, {split}"] = fitting or "none"
        made.append(entry)
    return pd.DataFrame(made)


def matrices_table() -> pd.DataFrame:
    """Print the matrices found with all windows counted, with what else they say."""
    printed = rows()
    majority = f"{100 * majority_share('validation'):.2f}"
    made = []
    for _, fit in search().query("removed == 0").iterrows():
        name = str(fit["row"])
        made.append(
            {
                "row": name,
                "split": fit["split"],
                "positive class": fit["positive"],
                **{key.upper(): str(fit[key]) for key in CELLS},
                "accuracy": printed.loc[name, "accuracy"],
                f"below the majority ({majority})": "yes" if name in below_majority() else "no",
                "balanced accuracy": percent(balanced(fit)),
                "AUC": printed.loc[name, "AUC"],
                "AUC that the matrix allows": "{:.2f} to {:.2f}".format(*auc_limits(fit)),
                "other numbers that would fit, %": f"{100 * accident(name, fit['split'], fit['positive']):.2f}",
                f"means of {folds()} models that would fit, %": f"{100 * means_that_fit(*fit[list(CELLS)]):.0f}",
            }
        )
    return pd.DataFrame(made)


def majority_share(split: str) -> float:
    """Accuracy of always answering the larger class of a split."""
    counts = splits()[split].values()
    return max(counts) / sum(counts)


def below_majority(split: str = "validation") -> list[str]:
    """Rows whose accuracy lies below always answering the larger class of a split."""
    return [name for name, (accuracy, *_) in _triples().items() if float(accuracy) < 100 * majority_share(split)]


@cache
def accident(row: str, split: str, positive: str, removed_from: str = "") -> float:
    """Share of neighbouring numbers that would fit like this: as exactly, or with as much freedom to remove windows."""
    accuracy, precision, recall = _triples()[row]
    counts = splits()[split]
    cases = []
    for number in range(1, MOST_REMOVED + 1) if removed_from else (0,):
        kept = {key: count - number * (key == removed_from) for key, count in counts.items()}
        cases.append((kept[positive], sum(kept.values()) - kept[positive]))
    return accident_rate(accuracy, precision, recall, cases, decimals=_DECIMALS)


def balanced(fit: pd.Series) -> float:
    """Balanced accuracy of a matrix that was found."""
    return float(fit["tp"] / (fit["tp"] + fit["fn"]) + fit["tn"] / (fit["tn"] + fit["fp"])) / 2


def auc_limits(fit: pd.Series) -> tuple[float, float]:
    """Least and largest area, in percent, under a curve through a matrix that was found."""
    low, high = auc_range(fit["tp"], fit["fp"], fit["fn"], fit["tn"])
    return 100 * low, 100 * high


def removed_table() -> pd.DataFrame:
    """Where a row fits once some windows are left out: how many, and how easily other numbers would."""
    made = []
    some = search().query("removed > 0")
    for keys, part in some.groupby(["row", "split", "positive", "removed_from"], sort=False):
        row, split, positive, removed_from = map(str, keys)
        made.append(
            {
                "row": row,
                "split": split,
                "positive class": positive,
                "windows removed from": removed_from,
                "how many": ", ".join(map(str, dict.fromkeys(part["removed"]))),
                ACCIDENT: f"{100 * accident(row, split, positive, removed_from):.1f}",
            }
        )
    return pd.DataFrame(made)


def common_removals(of: str) -> pd.DataFrame:
    """Ways of leaving windows out, none included, that fit every row of a structure: split, classes and number."""
    found = search()
    mine = found.loc[found["row"].map(group) == of]
    names = [name for name in rows().index if group(name) == of]
    ways = mine.drop_duplicates(["row", "split", "positive", "removed_from", "removed"])
    count = ways.groupby(["split", "positive", "removed_from", "removed"]).size()
    return count[count == len(names)].reset_index().drop(columns=0)


@cache
def folds() -> int:
    """Folds of the cross-validation of section 4.1."""
    return int(_said()["cross-validation", "folds"])


def _said() -> pd.Series:
    return reported("audit").query("paper == 'lee2020'").set_index(["row", "quantity"])["value"]


@cache
def means_that_fit(tp: int, fp: int, fn: int, tn: int, draws: int = 400) -> float:
    """Share of simulated means of five models on the same split that some single matrix would fit as well.

    The models scatter about a matrix that was found as binomial counts do; seeded.
    """
    generator = np.random.default_rng(0)
    positives, negatives = tp + fn, fp + tn
    drawn_tp = generator.binomial(positives, tp / positives, (draws, folds()))
    drawn_fp = generator.binomial(negatives, fp / negatives, (draws, folds()))
    accuracy = (drawn_tp + negatives - drawn_fp) / (positives + negatives)
    shares = (accuracy, drawn_tp / (drawn_tp + drawn_fp), drawn_tp / positives)
    means = np.round(100 * np.stack([share.mean(axis=1) for share in shares], axis=1), _DECIMALS)
    fitting = [confusion_matrices(a, p, r, positives, negatives, decimals=_DECIMALS) for a, p, r in means.tolist()]
    return sum(map(bool, fitting)) / draws


def misfit_table() -> pd.DataFrame:
    """How far each row is from every matrix of the test split, and from every mean of five models tested on it."""
    counts = splits()["test"]
    made = []
    for name, (accuracy, precision, recall) in _triples().items():
        for positive, negative in (CLASSES, CLASSES[::-1]):
            classes = counts[positive], counts[negative]
            off = misfit(accuracy, precision, recall, *classes, decimals=_DECIMALS)
            ceiling = precision_ceiling(accuracy, recall, *classes, folds=folds(), decimals=_DECIMALS)
            low, _, scale = bounds(precision, _DECIMALS)
            made.append(
                {
                    "row": name,
                    "positive class": positive,
                    "nearest single matrix is off by, points": f"{off:.2f}",
                    "precision, printed": f"{float(precision):.2f}",
                    f"largest mean precision of {folds()} models": f"{100 * float(ceiling):.2f}",
                    f"a mean of {folds()}": "excluded" if Fraction(low, scale) > ceiling else "not excluded",
                }
            )
    return pd.DataFrame(made)


def ties() -> int:
    """Count the matrices found that use a tie, so that they hold under some conventions of rounding only."""
    every = search()[list(CELLS)].itertuples(index=False)
    return sum(
        any(is_tie(k, n, decimals=_DECIMALS) for k, n in ((tp + tn, tp + fp + fn + tn), (tp, tp + fp), (tp, tp + fn)))
        for tp, fp, fn, tn in every
    )


def fits_with_slack(split: str, slack: int) -> int:
    """Count rows that fit a split, either class positive, when every number may be off by so many last digits."""
    counts = splits()[split]
    return sum(
        any(
            confusion_matrices(*triple, counts[positive], counts[other], decimals=_DECIMALS, slack=slack)
            for positive, other in (CLASSES, CLASSES[::-1])
        )
        for triple in _triples().values()
    )


def arithmetic_table() -> pd.DataFrame:
    """Sums and percentages of Table 1, windows per moment, and the folds of section 4.1."""
    counts = splits()
    printed = reported("lee2020-table1").set_index(["row", "quantity"])["value"]
    said = _said()
    parts = SPLITS[:-1]
    made = []

    def add(what: str, as_printed: object, computed: object, agrees: bool) -> None:
        made.append(
            {"what": what, "printed": str(as_printed), "computed": str(computed), "agrees": "yes" if agrees else "no"}
        )

    for column in ("subjects", "spontaneous windows", "posed windows", "windows"):
        total, summed = int(printed["total", column]), sum(int(printed[split, column]) for split in parts)
        add(f"Table 1, total {column}", f"{total:,}", f"{summed:,}", total == summed)
    for split in SPLITS:
        total, summed = int(printed[split, "windows"]), sum(counts[split].values())
        add(f"Table 1, {split}, both classes", f"{total:,}", f"{summed:,}", total == summed)
    for split in parts:
        for column in ("spontaneous windows", "posed windows", "windows"):
            share, k, n = said[split, f"share of {column}"], int(printed[split, column]), int(printed["total", column])
            add(
                f"Table 1, {split}, share of {column}, %",
                share,
                f"{100 * k / n:.2f}",
                k in numerators(share, n, decimals=0),
            )
    size, subjects = (int(said["cross-validation", q]) for q in ("validation subjects", "subjects"))
    inside = folds() * size
    add("section 4.1, subjects in the folds", subjects, f"{folds()} x {size} = {inside}", inside == subjects)
    return pd.DataFrame(made)


def moments_table() -> pd.DataFrame:
    """Windows per smile moment and the length of a moment that they imply."""
    printed = reported("lee2020-table1").set_index(["row", "quantity"])["value"]
    said = _said().astype(float)
    made = []
    for name in CLASSES:
        windows, moments = int(printed["total", f"{name} windows"]), int(printed["moments", f"{name} moments"])
        each = windows / moments
        frames = said["window", "length"] + (each - 1) * said["window", "interval"]
        made.append(
            {
                "class": name,
                "windows": f"{windows:,}",
                "moments": moments,
                "windows per moment": f"{each:.1f}",
                "mean frames of a moment": f"{frames:.0f}",
                "mean length of a moment, s": f"{frames / said['camera', 'frame rate']:.1f}",
            }
        )
    return pd.DataFrame(made)


def sizes_table() -> pd.DataFrame:
    """Output sizes of Table 2 where kernel and stride are printed, and the padding that each of them takes."""
    cells = reported("lee2020-table2").to_dict("records")
    operators = {cell["row"]: cell["value"] for cell in cells if cell["quantity"] == "operator"}
    outputs = {cell["row"]: _size(cell["value"]) for cell in cells if cell["quantity"] == "output size"}
    # The paper gives two sizes of the input: in section 3.3.2, and in 3.2.3 and Figure 2.
    before = [_size(cell["value"]) for cell in cells if cell["quantity"].startswith("input size")]
    made = []
    for row, size in outputs.items():
        match = _OPERATOR.fullmatch(operators[row])
        if match:
            kernel, stride = (tuple(map(int, match.groups()[at : at + 3])) for at in (0, 3))
            for given in before:
                axes = [_paddings(*numbers) for numbers in zip(given, size, kernel, stride, strict=True)]
                across, _, frames = [", ".join(map(str, found)) if found else "none fits" for found in axes]
                made.append(
                    {
                        "layer": row,
                        "from": _text(given),
                        "output, printed": _text(size),
                        "output without padding": _text(
                            (n - k) // s + 1 for n, k, s in zip(given, kernel, stride, strict=True)
                        ),
                        ACROSS: across,
                        IN_TIME: frames,
                    }
                )
        before = [size]
    return pd.DataFrame(made)


def _paddings(given: int, output: int, kernel: int, stride: int) -> list[int]:
    """Pixels added in all, on both sides together, for which a kernel makes an output of this size."""
    return [added for added in range(2 * kernel - 1) if (given + added - kernel) // stride + 1 == output]


def _size(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split("x")))


def _text(size: object) -> str:
    return "x".join(map(str, size))  # type: ignore[call-overload]
