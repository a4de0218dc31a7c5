"""What the inspector writes: the view as a picture, and the numbers behind it as a table."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from smilelab.clips import file_stem
from smilelab.files import write_atomically
from smilelab.inspector.choices import class_name
from smilelab.inspector.clip import OpenedClip
from smilelab.inspector.scores import OverTime, Scorer

__all__ = ["numbers", "save_numbers", "save_picture"]


def numbers(
    clip: OpenedClip, probabilities: Mapping[Scorer, float], over_time: Mapping[Scorer, OverTime]
) -> pd.DataFrame:
    """Everything that is known of a clip, a row a frame that was looked at.

    Parameters
    ----------
    clip : OpenedClip
    probabilities : mapping of Scorer to float
        Of the whole clip; the same in every row.
    over_time : mapping of Scorer to (times, probabilities)
        As `probability_over_time` gives them, each in the row nearest in time; the other rows are empty. The middle of
        a window lies on a frame or half way between two.

    Returns
    -------
    pandas.DataFrame
        ``clip_id, database, simulated, subject, class``, the columns of `OpenedClip.numbers`, and for each network
        ``probability: NAME`` and ``probability over time: NAME``; networks trained on simulated videos say so.
    """
    table = clip.numbers()
    about: dict[str, Any] = {
        "clip_id": clip.clip_id,
        "database": clip.database,
        "simulated": clip.simulated,
        "subject": clip.subject,
        "class": class_name(clip.label),
    }
    for place, (name, value) in enumerate(about.items()):
        table.insert(place, name, value)
    for scorer, value in probabilities.items():
        table[f"probability: {_named(scorer)}"] = value
    rows = table["time_s"].to_numpy()
    for scorer, (times, values) in over_time.items():
        along = np.full(len(rows), np.nan)
        along[np.abs(np.subtract.outer(times, rows)).argmin(1)] = values
        table[f"probability over time: {_named(scorer)}"] = along
    return table


def save_picture(figure: Figure, clip: OpenedClip, at: int, folder: Path) -> Path:
    """Write a view as PNG, named after the clip and the time of its frame; an older one of the same name is replaced.

    Returns
    -------
    Path
    """
    content = io.BytesIO()
    figure.savefig(content, format="png", bbox_inches="tight", dpi=150)
    return _written(folder, f"{_stem(clip)}-{clip.times[at]:.2f}s.png", content.getvalue())


def save_numbers(table: pd.DataFrame, clip: OpenedClip, folder: Path) -> Path:
    """Write a clip's numbers as CSV, named after the clip; an older one of the same name is replaced.

    Returns
    -------
    Path
    """
    return _written(folder, f"{_stem(clip)}.csv", table.to_csv(index=False, lineterminator="\n").encode())


def _written(folder: Path, name: str, content: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / name, content)
    return folder / name


def _stem(clip: OpenedClip) -> str:
    return file_stem("-".join(filter(None, [clip.database or "upload", clip.clip_id])))


def _named(scorer: Scorer) -> str:
    return f"{scorer.name}{' [simulated weights]' if scorer.simulated else ''}"
