"""The results table of the README, generated from the published artifacts."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from smilelab.artifacts.gallery import markdown
from smilelab.artifacts.numbers import percent, reported

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


def results_table(figures: Path, profile: str = "laptop") -> str:
    """Results of a profile as markdown: ours beside the paper's, with data, command and date.

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
    rows = [
        {
            "RealSmileNet on UvA-NEMO": row["protocol"],
            "data": row["database"],
            "accuracy % [95 %]": row["accuracy"],
            "majority %": row["majority"],
            "balanced % [95 %]": row["balanced accuracy"],
            "AUC % [95 %]": row["AUC"],
            "clips / subjects / folds": f"{row['clips']} / {row['subjects']} / {row['folds']}",
        }
        for row in details.to_dict("records")
    ]
    paper = {"RealSmileNet on UvA-NEMO": "as printed in the paper", "data": "UvA-NEMO", "accuracy % [95 %]": printed}
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
