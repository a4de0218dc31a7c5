"""What the numbers of Yang et al. 2020 imply: majority baselines, granularity, intervals, and sums.

What is read once is kept: it is to be read, not written to. Tables are made anew by each call.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cache

import pandas as pd
from scipy.stats import binomtest

from smilelab.artifacts.data_tables import YANG_DATABASES
from smilelab.artifacts.numbers import reported
from smilelab.artifacts.product import database_label
from smilelab.audit.rounding import bounds, is_tie, numerators

CLASSES = ("spontaneous", "posed")
_PLACES = {"yang2020-table2": "Table 2", "yang2020-table3": "Table 3", "yang2020-cross": "cross-domain"}
_PLACES["yang2020-fig8"] = "human response"
_SUBSET = re.compile(r"RealSmileNet, (\d+) clips")


@cache
def clips() -> dict[str, dict[str, int]]:
    """Clips of each class in every database of Table 1."""
    printed = reported("yang2020-table1").set_index(["database", "quantity"])["value"]
    return {name: {key: int(printed[name, f"{key} clips"]) for key in CLASSES} for name in YANG_DATABASES}


@cache
def trials() -> int:
    """Trials that an accuracy is said to be the mean of."""
    return int(reported("audit").query("quantity == 'trials'")["value"].iloc[0])


def majority_share(database: str) -> Fraction:
    """Accuracy of always answering a database's larger class."""
    counts = clips()[database].values()
    return Fraction(max(counts), sum(counts))


def databases_table() -> pd.DataFrame:
    """Majority baseline of each database, and how much the last digit of an accuracy can say about it."""
    made = []
    for name, counts in clips().items():
        n = sum(counts.values())
        made.append(
            {
                "database": database_label(name, simulated=False),
                "clips": n,
                **counts,
                "majority baseline, %": f"{100 * float(majority_share(name)):.2f}",
                "larger class": "neither"
                if len(set(counts.values())) == 1
                else max(counts, key=lambda key: counts[key]),
                "step of k/n, points": f"{100 / n:.3f}",
                "one-decimal numbers that are some k/n, %": f"{_reached(n):.0f}",
                f"the same with {trials()} trials, %": f"{_reached(trials() * n):.0f}",
            }
        )
    return pd.DataFrame(made)


def _reached(n: int) -> float:
    """Percentage of the numbers 0.0, 0.1, ..., 100.0 that some share of n rounds to."""
    return 100 * sum(bool(numerators(f"{tenth // 10}.{tenth % 10}", n)) for tenth in range(1001)) / 1001


@cache
def accuracies() -> pd.DataFrame:
    """Every accuracy of RealSmileNet and of the literature beside it that is of a known number of clips.

    Returns
    -------
    pandas.DataFrame
        ``place``, ``row``, ``database``, ``printed`` (percent, text), ``n``, ``ours`` (whether it is RealSmileNet or a
        variant, on a whole database), ``counts`` (list of k with k/n as printed), ``counts_of_trials`` (the same of
        trials times n), ``majority`` (share, None for a subset), ``below`` (whether the printed number is below it),
        and 95 % intervals ``wilson`` and ``exact`` (Clopper-Pearson) of the nearest k of n, as (low, high).
    """
    table = reported()
    table = table.loc[table["artifact"].isin(list(_PLACES)) & (table["quantity"] == "accuracy")]
    made = []
    for entry in table.drop_duplicates(["database", "row", "value"]).to_dict("records"):
        row, database, printed = entry["row"], entry["database"], entry["value"]
        subset = _SUBSET.fullmatch(row)
        # Of the groups within UvA-NEMO, and of what people answered, no number of clips is printed.
        group = " -> " in row and not row.endswith(f"-> {database}")
        if group or (entry["artifact"] == "yang2020-fig8" and not subset):
            continue
        n = int(subset[1]) if subset else sum(clips()[database].values())
        # Numbers within the text stand without a decimal where they are whole.
        decimals = 0 if subset else 1
        majority = None if subset else majority_share(database)
        nearest = binomtest(round(float(printed) * n / 100), n)
        made.append(
            {
                "place": _PLACES[entry["artifact"]],
                "row": row,
                "database": database,
                "printed": printed,
                "n": n,
                "ours": not subset and (entry["artifact"] != "yang2020-table2" or row == "RealSmileNet"),
                "counts": numerators(printed, n, decimals=decimals),
                "counts_of_trials": numerators(printed, trials() * n, decimals=decimals),
                "majority": majority,
                "below": majority is not None and Fraction(bounds(printed, 1)[1], bounds(printed, 1)[2]) < majority,
                **{method: tuple(nearest.proportion_ci(method=method)) for method in ("wilson", "exact")},
            }
        )
    return pd.DataFrame(made)


def accuracies_table() -> pd.DataFrame:
    """Print `accuracies`."""
    made = []
    for entry in accuracies().to_dict("records"):
        n, majority = entry["n"], entry["majority"]
        made.append(
            {
                "place": entry["place"],
                "row": entry["row"],
                "database": database_label(entry["database"], simulated=False),
                "accuracy": entry["printed"],
                "k of n": listed(entry["counts"], n),
                f"of n in {trials()} trials": listed(entry["counts_of_trials"], trials() * n) if entry["ours"] else "",
                "majority": "" if majority is None else f"{100 * float(majority):.1f}",
                "below it": "" if majority is None else "yes" if entry["below"] else "no",
                "95 % (Wilson)": interval(entry["wilson"]),
                "95 % (Clopper-Pearson)": interval(entry["exact"]),
            }
        )
    return pd.DataFrame(made)


def interval(ends: tuple[float, float]) -> str:
    """Print an interval of shares in percent."""
    return f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}"


def listed(counts: list[int], n: int) -> str:
    """Print the k of n that a number can be, and whether it takes rounding an exact half."""
    if not counts:
        return f"none of {n}"
    text = f"{counts[0]}{f' to {counts[-1]}' if len(counts) > 1 else ''} of {n}"
    return f"{text} (a tie)" if all(is_tie(k, n) for k in counts) else text


def ages() -> pd.DataFrame:
    """Printed shares of the age groups with the videos each of them can be: ``group``, ``share`` (text), ``videos``."""
    printed = reported("audit").query("quantity == 'share of videos'")
    total = videos()
    counts = [numerators(share, total, decimals=2) for share in printed["value"]]
    return pd.DataFrame({"group": list(printed["row"]), "share": list(printed["value"]), "videos": counts})


def videos() -> int:
    """Videos that the shares of the age groups are of, as printed."""
    return int(reported("audit").query("quantity == 'videos'")["value"].iloc[0])


def subjects() -> dict[str, int]:
    """Printed numbers of UvA-NEMO's subjects."""
    printed = reported("audit").query("paper == 'yang2020' and quantity == 'subjects'")
    return dict(zip(printed["row"], printed["value"].astype(int), strict=True))


def sums_table() -> pd.DataFrame:
    """Sums of UvA-NEMO's printed numbers."""
    found, said = ages(), subjects()
    total = sum(clips()["uva-nemo"].values())
    shares = sum(map(Fraction, found["share"]))
    held = [counts[0] for counts in found["videos"]]
    made: list[tuple[str, object, str, bool]] = [
        ("videos of UvA-NEMO", videos(), f"{total} (both classes of Table 1)", videos() == total),
        ("shares of the age groups, %", 100, f"{' + '.join(found['share'])} = {float(shares):.2f}", shares == 100),
        (
            "videos that these shares are",
            videos(),
            f"{' + '.join(map(str, held))} = {sum(held)}",
            sum(held) == videos(),
        ),
    ]
    for parts in (("female", "male"), ("young", "adult")):
        text = " + ".join(f"{said[part]} {part}" for part in parts)
        added = sum(said[part] for part in parts)
        made.append(("subjects", f"over {said['participants']}", f"{text} = {added}", added > said["participants"]))
    columns = ["what", "printed", "computed", "agrees"]
    table = pd.DataFrame(made, columns=columns).astype({"printed": str})
    return table.assign(agrees=table["agrees"].map({True: "yes", False: "no"}))
