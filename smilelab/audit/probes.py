"""How far a label can be told without looking at the smile: probes of a database's confounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilelab import metrics
from smilelab.audit.errors import AuditError
from smilelab.clips import ClipStore

MAJORITY = "majority class"
PROBES: dict[str, tuple[str, ...]] = {
    "clip length": ("length_s",),
    "frame rate": ("fps",),
    "resolution": ("width", "height"),
    "mean brightness": ("brightness",),
    MAJORITY: (),
}
_BRIGHTNESS_FRAMES = 16


def confounds(store: ClipStore) -> pd.DataFrame:
    """Measure, for every usable clip, what should say nothing about the smile.

    Traces have no pictures, and so no size and no brightness.

    Parameters
    ----------
    store : ClipStore
        Preprocessed clips.

    Returns
    -------
    pandas.DataFrame
        Indexed by ``clip_id``: ``label``, ``subject``, ``length_s`` (s, of the video or of the part that was asked
        for), ``fps`` (frames per second as decoded), ``width`` and ``height`` (px of the video), ``brightness`` (mean
        of up to 16 face crops equally spaced in time, 0 to 255), the last three of face crops alone.
    """
    table = store.usable
    # Rates are quotients of a frame count and a duration: what is left beyond two digits is rounding, and rounding
    # depends on the clip's length, which would make the rate a probe of the length.
    measures: dict[str, Any] = {
        "label": table["label"].astype(int),
        "subject": table["subject"],
        "length_s": table["length_s"],
        "fps": table["fps_source"].round(2),
    }
    if store.has_frames:
        measures |= {
            "width": table["width"],
            "height": table["height"],
            "brightness": [_brightness(store.frames(clip_id)) for clip_id in table.index],
        }
    return pd.DataFrame(measures, index=table.index)


def _brightness(frames: np.ndarray) -> float:
    chosen = np.unique(np.linspace(0, len(frames) - 1, _BRIGHTNESS_FRAMES).round().astype(int))
    return float(np.mean([frames[at].mean() for at in chosen]))


def probe(features: pd.DataFrame, folds: list[list[str]], columns: tuple[str, ...]) -> pd.DataFrame:
    """Predict the label of each fold's clips from a few columns, trained on the other folds.

    Parameters
    ----------
    features : pandas.DataFrame
        As `confounds` returns it.
    folds : list of list of str
        Test clips of each fold, disjoint in subjects.
    columns : tuple of str
        Columns to predict from, by logistic regression on standardised values; none predicts the majority of the
        training clips.

    Returns
    -------
    pandas.DataFrame
        Columns of :data:`smilelab.metrics.PREDICTION_COLUMNS` and ``fold``.

    Raises
    ------
    AuditError
        Fewer than two folds with clips, or a value that is missing.
    """
    tested = [list(fold) for fold in folds if len(fold)]
    if len(tested) < 2:
        raise AuditError(f"found {len(tested)} fold(s) with clips, expected at least two; give more subjects.")
    if absent := [column for column in columns if features[column].isna().any()]:
        which = features.index[features[absent[0]].isna()][0]
        raise AuditError(f"{which}: no {absent[0]} is known; expected one for every usable clip. Preprocess it again.")
    place = pd.Series(np.arange(len(features)), index=features.index)
    predictions = []
    for number, test in enumerate(tested, start=1):
        train = [clip_id for other in tested if other is not test for clip_id in other]
        labels = features.loc[train, "label"]
        if columns and len(set(labels)) == 2:
            model = make_pipeline(StandardScaler(), LogisticRegression())
        else:
            model = DummyClassifier(strategy="prior")
        inputs = features[list(columns)].to_numpy(float) if columns else np.zeros((len(features), 1))
        rows = place[test].to_numpy()
        model.fit(inputs[place[train].to_numpy()], labels)
        classes = list(model.classes_)
        spontaneous = model.predict_proba(inputs[rows])[:, classes.index(1)] if 1 in classes else np.zeros(len(rows))
        of_fold = features.iloc[rows][["subject", "label"]].assign(probability=spontaneous, fold=number)
        predictions.append(of_fold.rename_axis("clip_id").reset_index())
    return pd.concat(predictions, ignore_index=True)


def confound_probes(store: ClipStore) -> pd.DataFrame:
    """Score every probe on a store's own folds.

    Parameters
    ----------
    store : ClipStore
        Preprocessed clips.

    Returns
    -------
    pandas.DataFrame
        One row a probe of :data:`PROBES`: ``probe`` and the fields of :class:`smilelab.metrics.Summary`. A probe whose
        values are all equal can only answer with the majority of its training clips. Those of pictures are left out of
        a store of traces.

    Raises
    ------
    AuditError
        As `probe`.
    """
    features, folds = confounds(store), store.folds()
    rows = []
    for name, columns in PROBES.items():
        if not set(columns) <= set(features):
            continue
        summary = metrics.summarize(probe(features, folds, columns))
        rows.append({"probe": name, **summary.as_dict()})
    return pd.DataFrame(rows)
