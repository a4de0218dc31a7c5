"""What preprocessing asks of a database's index."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from smilelab.clips import NEUTRAL_KIND
from smilelab.datasets.base import NEUTRAL, POSED, SPONTANEOUS
from smilelab.preprocess.process import VIEWS

_REQUIRED = ("clip_id", "path", "label", "subject")
_OPTIONAL: dict[str, Any] = {
    "sex": "",
    "age": np.nan,
    "kind": "clip",
    "view": "frontal",
    "fps": np.nan,
    "start_s": np.nan,
    "end_s": np.nan,
}


def checked(index: pd.DataFrame, name: str) -> pd.DataFrame:
    """Complete an index with the columns that it may leave out.

    Parameters
    ----------
    index : DataFrame
        One row a clip: ``clip_id``, ``path``, ``label``, ``subject``; optional ``sex``, ``age``, ``kind``, ``view``,
        ``fps``, ``start_s``, ``end_s``.
    name : str
        Of the database.

    Returns
    -------
    DataFrame
        With all of these, text as text and numbers as numbers.

    Raises
    ------
    ValueError
        If columns are missing, or a row contradicts itself or another.
    """

    def refuse(problem: str, clip_ids: Iterable[Any] = ()) -> None:
        which = ", ".join(map(repr, itertools.islice(clip_ids, 5)))
        problem += f": {which}" if which else ""
        raise ValueError(f"index of {name}: {problem}. Correct the database's metadata and preprocess again.")

    missing = [column for column in _REQUIRED if column not in index.columns]
    if missing:
        refuse(f"found no column {', '.join(missing)}; expected {', '.join(_REQUIRED)}")
    index = index.copy()
    for column, default in _OPTIONAL.items():
        if column not in index.columns:
            index[column] = default
    index["view"] = index["view"].fillna(_OPTIONAL["view"])
    ids = index["clip_id"]
    not_text = ~index[["clip_id", "path"]].map(lambda value: isinstance(value, str) and value.strip() != "").all(axis=1)
    if not_text.any():
        refuse(f"{not_text.sum()} rows without a clip id or a path; expected both as text", ids[not_text])
    if ids.duplicated().any():
        refuse("clip ids listed more than once; expected each once", ids[ids.duplicated()].unique())
    neutral = index["kind"] == NEUTRAL_KIND
    wrong = ~index["label"].isin([SPONTANEOUS, POSED]) & ~neutral
    if wrong.any():
        refuse(f"labels other than {SPONTANEOUS} (spontaneous) and {POSED} (posed)", ids[wrong])
    wrong = (index["label"] != NEUTRAL) & neutral
    if wrong.any():
        refuse(f"labels other than {NEUTRAL} of neutral recordings", ids[wrong])
    wrong = ~index["view"].isin(VIEWS)
    if wrong.any():
        refuse(f"views other than {' and '.join(VIEWS)}", ids[wrong])
    if index["subject"].isna().any():
        refuse("clips without a subject", ids[index["subject"].isna()])
    try:
        index = index.astype(
            {"label": "int64", "age": "float64", "fps": "float64", "start_s": "float64", "end_s": "float64"}
        )
    except (ValueError, TypeError) as error:
        refuse(f"age, fps, start_s or end_s is not a number ({error})")
    empty = index["start_s"].fillna(0) >= index["end_s"].fillna(np.inf)
    if empty.any():
        refuse("clips that end before they start", ids[empty])
    text = {column: index[column].fillna("").astype(str) for column in ("subject", "sex", "kind")}
    return index.assign(**text).reset_index(drop=True)
