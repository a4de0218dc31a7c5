"""The results table of the README, generated from the published artifacts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from smilelab.artifacts.gallery import markdown
from smilelab.artifacts.numbers import percent, reported
from smilelab.artifacts.product import database_label

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


def both_papers(figures: Path, profile: str = "laptop") -> str:
    """Results of a profile for both papers as markdown, with data, command and date.

    Parameters
    ----------
    figures : Path
        The figures folder.
    profile : str
        A profile whose Yang Table 2 and Lee Table 4 were made.
    """
    return f"{results_table(figures, profile)}\n\n{structures_table(figures, profile)}"


def structures_table(figures: Path, profile: str = "laptop") -> str:
    """Lee & Lee's three structures as markdown: on unseen subjects, by moments, beside the paper's.

    Parameters
    ----------
    figures : Path
        The figures folder.
    profile : str
        A profile whose Table 4 was made.
    """
    folder = figures / profile

    def part(number: int) -> pd.DataFrame:
        name = "lee2020-table4.csv" if number == 1 else f"lee2020-table4-{number}.csv"
        return pd.read_csv(folder / name, dtype=str, keep_default_na=False)

    entry = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["lee2020-table4"]
    windows, moments, held = part(1), part(2), part(4).query("scored == 'moments'")
    printed = windows[windows["Unnamed: 2"].str.startswith("reported") & (windows["depth"] == "94")]
    size = part(7).set_index(["structure", "depth"])
    rows = []
    for row in moments.to_dict("records"):
        key = row["structure"], row["depth"]
        if key not in size.index:
            continue
        own = windows[(windows["structure"] == key[0]) & (windows["depth"] == key[1])]
        tested = own[own["Unnamed: 2"].str.startswith("measured")].iloc[0]
        unseen = held[(held["structure"] == key[0]) & (held["depth"] == key[1])].iloc[0]
        network = {
            "3D DenseNet": f"{key[0]}, depth {key[1]}",
            "data": database_label(entry["databases"][0]["database"], simulated=entry["simulated"]),
        }
        rows += [
            network | _judged("test windows", tested, tested["windows"], row["subjects"]),
            network | _judged("test moments", row, row["moments"], row["subjects"]),
            network | _judged("validation moments", unseen, unseen["n"], unseen["subjects"]),
        ]
    rows += [
        {"3D DenseNet": f"{row['structure']}, depth 94, as printed", "data": "Lee's own recordings",
         "scored": "test windows", "accuracy % [95 %]": row["accuracy"], "AUC %": row["AUC"], "subjects": "10"}
        for row in printed.to_dict("records")
    ]  # fmt: skip
    head = "The models of a round have not been trained on its validation subjects."
    note = f"`make paper PROFILE={profile}`, commit {entry['commit']}, {entry['made']}."
    return f"{markdown(pd.DataFrame(rows))}\n\n{head}\n\n{note}"


def _judged(scored: str, row: Any, count: str, subjects: str) -> dict[str, str]:
    balanced, area = (row[name].partition(" ")[0] for name in ("balanced accuracy", "AUC"))
    return {
        "scored": scored,
        "accuracy % [95 %]": row["accuracy"],
        "majority %": row["majority"],
        "balanced %": balanced,
        "AUC %": area,
        "n": count,
        "subjects": subjects,
    }


def results_table(figures: Path, profile: str = "laptop") -> str:
    """Results of RealSmileNet as markdown: ours beside the paper's, with data, command and date.

    On UvA-NEMO under every protocol, on other databases under the first.

    Parameters
    ----------
    figures : Path
        The figures folder.
    profile : str
        A profile whose Table 2 was made.
    """
    entry = json.loads((figures / profile / "manifest.json").read_text(encoding="utf-8"))["yang2020-table2"]
    details = pd.read_csv(figures / profile / "yang2020-table2-2.csv", dtype=str, keep_default_na=False)
    printed = reported("yang2020-table2").query("row == 'RealSmileNet' and database == 'uva-nemo'")["value"].iloc[0]
    counts = reported("yang2020-table1").query("database == 'uva-nemo'").set_index("quantity")["value"]
    posed, spontaneous = int(counts["posed clips"]), int(counts["spontaneous clips"])
    main = details["protocol"].iloc[0]
    wanted = details["database"].str.contains("UvA-NEMO") | (details["protocol"] == main)
    rows = [
        {
            "RealSmileNet": row["protocol"],
            "data": row["database"],
            "accuracy % [95 %]": row["accuracy"],
            "majority %": row["majority"],
            "balanced % [95 %]": row["balanced accuracy"],
            "AUC % [95 %]": row["AUC"],
            "clips / subjects / folds": f"{row['clips']} / {row['subjects']} / {row['folds']}",
        }
        for row in details[wanted].to_dict("records")
    ]
    paper = {"RealSmileNet": "as printed in the paper", "data": "UvA-NEMO", "accuracy % [95 %]": printed}
    majority = percent(max(posed, spontaneous) / (posed + spontaneous))
    rows.append({**paper, "majority %": majority, "clips / subjects / folds": f"{posed + spontaneous} / 400 / 10"})
    probes = pd.read_csv(figures / profile / "yang2020-table2-3.csv", dtype=str, keep_default_na=False)
    alone = [f"{row.probe} {row.accuracy}" for row in probes[probes["database"] == rows[0]["data"]].itertuples()]
    without = f"Without looking at a smile, on the same clips and folds (accuracy %): {'; '.join(alone)}."
    note = (
        f"`make paper PROFILE={profile}`, commit {entry['commit']}, {entry['made']}; all files: `figures/{profile}/`."
    )
    return f"{markdown(pd.DataFrame(rows))}\n\n{without}\n\n{note}"


def with_results(readme: str, table: str) -> str:
    """Return the README's text with the table between its two markers."""
    head, _, rest = readme.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{table}\n{END}{tail}"
