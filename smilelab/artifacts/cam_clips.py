"""Which test clips Score-CAM is shown for, chosen by rule, and what is measured of the maps over many of them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from smilelab.artifacts.numbers import UNDEFINED, percent
from smilelab.artifacts.siamese_examples import number_text
from smilelab.artifacts.yang_rows import Results
from smilelab.clips import ClipStore
from smilelab.datasets import POSED, SPONTANEOUS
from smilelab.explain import cam, covering
from smilelab.explain.score_cam import score_cam, shares_of_time
from smilelab.metrics import THRESHOLD
from smilelab.preprocess.crops import crop, face_outline
from smilelab.resampling import Resampled, interval
from smilelab.runs import RunResult
from smilelab.scoring import batch_of

NAMES = {SPONTANEOUS: "spontaneous", POSED: "posed"}
THIRDS = ("first third", "middle third", "last third")
_TOGETHER = 16  # clips explained at once


@dataclass(frozen=True)
class Explained:
    """A test clip and the maps of its own class by the network that had not seen its subject.

    Attributes
    ----------
    clip : pandas.Series
        Its row of the predictions.
    frames : (T, S, S, 3) uint8 array
    times : (T,) array
        s from its first frame.
    maps : (T, h, w) array
        Raw.
    classes_alike, random_alike : float
        Rank correlation with the maps of the other class, and with those of the network with shuffled weights.
    """

    clip: pd.Series
    frames: NDArray[np.uint8]
    times: NDArray[np.float64]
    maps: cam.Floats
    classes_alike: float
    random_alike: float


def first_trial(results: Results) -> dict[int, RunResult]:
    """One finished run of each fold, by fold: that of the first trial."""
    found: dict[int, RunResult] = {}
    for run in sorted((r for r in results if isinstance(r, RunResult)), key=lambda r: (r.spec.fold, r.spec.seed)):
        found.setdefault(run.spec.fold, run)
    return found


def middle_clips(predictions: pd.DataFrame, label: int, count: int = 2) -> tuple[pd.DataFrame, str]:
    """Choose the clips of a class whose probabilities are the median ones of those classified correctly.

    Parameters
    ----------
    predictions : pandas.DataFrame
        One row a test clip: ``clip_id, subject, label, probability``.
    label : int
    count : int
        How many, of different subjects.

    Returns
    -------
    clips : pandas.DataFrame
        Their rows, nearest to the median first; fewer where there are not so many subjects.
    rule : str
        The rule in words, with the counts.
    """
    of_class = predictions[predictions["label"] == label]
    correct = (of_class["probability"] >= THRESHOLD) == bool(label)
    pool = (of_class[correct] if correct.any() else of_class).sort_values(["probability", "clip_id"])
    middle = (len(pool) - 1) // 2
    nearest = pool.iloc[np.argsort(np.abs(np.arange(len(pool)) - middle), kind="stable")]
    chosen = nearest.drop_duplicates("subject").head(count)
    which = "of these" if correct.any() else "of all"
    return chosen, (
        f"{correct.sum()} of {len(of_class)} {NAMES[label]} test clips are classified correctly; shown are those "
        f"nearest to the median probability {which}, of different subjects"
    )


def explain(run: RunResult, clip: pd.Series, store: ClipStore, device: str) -> Explained:
    """Explain what a network answers to one of its test clips, whose row of the predictions is given."""
    model, clip_id, label = run.model().to(device), str(clip["clip_id"]), int(str(clip["label"]))
    frames = np.asarray(store.frames(clip_id))
    inputs = batch_of([frames], [0]).inputs(device)
    maps, other = (score_cam(model, *inputs, target=target) for target in (label, 1 - label))
    random = score_cam(cam.randomised(model), *inputs, target=label)
    times = store.times(clip_id)
    alike = [float(cam.rank_correlation(maps, some)[0]) for some in (other, random)]
    return Explained(clip, frames, times - times[0], maps[0], *alike)


def face_depth(store: ClipStore, clip_id: str) -> NDArray[np.float32]:
    """How deep in the face, by the outline of its tracked landmarks, each pixel of a clip's crops lies.

    Returns
    -------
    (T, S, S) array
        Distance to the outline in pixels of the crop; negative outside.
    """
    track, size = store.track(clip_id), store.frames(clip_id).shape[1]
    height, width = (int(store.manifest[side][clip_id]) for side in ("height", "width"))
    depth = np.empty((len(track["times"]), size, size), np.float32)
    for at, (points, box, roll) in enumerate(zip(track["outlines"], track["boxes"], track["rolls"], strict=True)):
        picture = np.zeros((height, width), np.uint8)
        cv2.fillConvexPoly(picture, np.round(face_outline(points)).astype(np.int32), 255)
        cut = crop(picture, box, size, kind=store.recipe["crop"], roll=float(roll), landmarks=points)
        face = (cut >= 128).astype(np.uint8)
        inner, outer = (cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for mask in (face, 1 - face))
        # Squares of distances between pixels are whole numbers; the last bit of what OpenCV gives varies.
        depth[at] = np.sqrt(np.round(inner.astype(float) ** 2)) - np.sqrt(np.round(outer.astype(float) ** 2))
    return depth


def measure(run: RunResult, clips: pd.DataFrame, store: ClipStore, device: str) -> pd.DataFrame:
    """What the maps of test clips, for their own class, show; a row a clip.

    Parameters
    ----------
    run : RunResult
    clips : pandas.DataFrame
        Rows of its predictions.
    store : ClipStore
    device : str

    Returns
    -------
    pandas.DataFrame
        ``clip_id, subject, label``; the map's share in each of `THIRDS`, and the same of the network with shuffled
        weights (``shuffled, first third``, ...); ``map on face`` and ``face``, shares of map and crop; ``covered``, the
        share of the crop that a cover takes, and ``face covered`` and ``surroundings covered``, by how much the logit
        of the decided class then falls. NaN where the map is empty or a frame shows no surroundings.
    """
    model = run.model().to(device)
    shuffled = cam.randomised(model)
    rows = []
    for start in range(0, len(clips), _TOGETHER):
        some = clips.iloc[start : start + _TOGETHER]
        pictures = [np.asarray(store.frames(clip_id)) for clip_id in some["clip_id"]]
        inputs, target = batch_of(pictures, np.arange(len(some))).inputs(device), some["label"].to_numpy(int)
        learned, random = (score_cam(net, *inputs, target=target) for net in (model, shuffled))
        for clip_id, frames, maps, other in zip(some["clip_id"], pictures, learned, random, strict=True):
            own, others = maps[: len(frames)], other[: len(frames)]
            large, depth = cam.upsample(own, frames.shape[1:3]), face_depth(store, clip_id)
            row = dict(zip(THIRDS, shares_of_time(own.mean((1, 2))), strict=True))
            names = (f"shuffled, {name}" for name in THIRDS)
            row |= dict(zip(names, shares_of_time(others.mean((1, 2))), strict=True))
            row["map on face"] = float(large[depth > 0].sum() / large.sum()) if large.any() else np.nan
            row["face"] = float((depth > 0).mean())
            row |= _covered(model, frames, depth, device)
            rows.append(row)
    return pd.concat([clips[["clip_id", "subject", "label"]].reset_index(drop=True), pd.DataFrame(rows)], axis=1)


def _covered(model: nn.Module, frames: NDArray[np.uint8], depth: NDArray[np.float32], device: str) -> dict[str, float]:
    names = ("covered", "face covered", "surroundings covered")
    try:
        covers = covering.equal_covers(depth)
    except ValueError:  # a frame that shows the face alone, or none: counted as not measured
        return dict.fromkeys(names, np.nan)
    _, falls = covering.drops(model, frames, covers, device=device)
    return dict(zip(names, (float(covers.inside.mean()), *map(float, falls)), strict=True))


def time_table(measured: pd.DataFrame) -> pd.DataFrame:
    """Mean share of the map in each third of the clip, per class, and what spontaneous has more than posed.

    Parameters
    ----------
    measured : pandas.DataFrame
        As from `measure`.

    Returns
    -------
    pandas.DataFrame
        Percent with 95 % intervals from a bootstrap over subjects, of the trained networks and of the shuffled ones.
    """
    labels = measured["label"].to_numpy(int)
    resampled = Resampled(measured["subject"])
    rows = []
    for network, prefix in (("as trained", ""), ("weights shuffled", "shuffled, ")):
        values = measured[[prefix + third for third in THIRDS]].to_numpy()
        seen = np.isfinite(values).all(1)
        of_class = {label: seen & (labels == label) for label in NAMES}
        drawn = {
            (label, third): resampled.shares(np.where(rows_of, values[:, third], 0), rows_of)
            for label, rows_of in of_class.items()
            for third in range(3)
        }
        counts = {label: (rows_of, measured.loc[rows_of, "subject"].nunique()) for label, rows_of in of_class.items()}
        for label, (rows_of, subjects) in counts.items():
            row = {"network": network, "clips of class": NAMES[label]}
            row |= {name: _cell(values[rows_of, at], drawn[label, at]) for at, name in enumerate(THIRDS)}
            rows.append(row | {"clips": int(rows_of.sum()), "subjects": subjects})
        row = {"network": network, "clips of class": "spontaneous minus posed"}
        for at, name in enumerate(THIRDS):
            means = [_mean(values[of_class[label], at]) for label in (SPONTANEOUS, POSED)]
            ends = interval(drawn[SPONTANEOUS, at] - drawn[POSED, at])
            row[name] = percent(means[0] - means[1], ends.low, ends.high)
        rows.append(row | {"clips": int(seen.sum()), "subjects": measured.loc[seen, "subject"].nunique()})
    return pd.DataFrame(rows)


def place_table(measured: pd.DataFrame) -> pd.DataFrame:
    """Mean share of the map on the face, and what covering the face or as much of its surroundings does to the logit.

    Parameters
    ----------
    measured : pandas.DataFrame
        As from `measure`.

    Returns
    -------
    pandas.DataFrame
        A row a class and one for all; 95 % intervals from a bootstrap over subjects.
    """
    shares = {"map on the face, %": "map on face", "face in the crop, %": "face", "covered, %": "covered"}
    table = measured.assign(more=measured["face covered"] - measured["surroundings covered"])
    falls = {"face covered": "face covered", "surroundings covered": "surroundings covered", "difference": "more"}
    rows = []
    for name, part in (("all", table), *((NAMES[label], table[table["label"] == label]) for label in NAMES)):
        if part.empty:
            continue
        resampled = Resampled(part["subject"])
        row: dict[str, object] = {"clips of class": name}
        for heading, column in (*shares.items(), *((f"fall of the logit, {key}", at) for key, at in falls.items())):
            values = part[column].to_numpy()
            seen = np.isfinite(values)
            drawn = resampled.shares(np.where(seen, values, 0), seen)
            row[heading] = (_cell if heading in shares else _signed)(values[seen], drawn)
        rows.append(row | {"clips": len(part), "subjects": resampled.count})
    return pd.DataFrame(rows)


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _cell(values: NDArray[np.float64], drawn: NDArray[np.float64]) -> str:
    ends = interval(drawn)
    return percent(_mean(values), ends.low, ends.high)


def _signed(values: NDArray[np.float64], drawn: NDArray[np.float64]) -> str:
    ends = interval(drawn)
    mean = _mean(values)
    if np.isnan(mean):
        return number_text(mean)
    return f"{mean:z.2f} {UNDEFINED}" if np.isnan(ends.low) else f"{mean:z.2f} [{ends.low:z.2f}, {ends.high:z.2f}]"
