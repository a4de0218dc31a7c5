"""What trained networks make of one clip: probabilities, over time, maps, and the nearest clips."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from smilelab import anchors, scoring
from smilelab.inspector.clip import OpenedClip
from smilelab.inspector.inputs import CannotScoreError, anchors_in, samples_of
from smilelab.inspector.maps import MAPS, MapKind, overlay_map, why_no_map
from smilelab.inspector.neighbours import nearest, thumbnails
from smilelab.inspector.scorer import RELEASED, Scorer, scorers

__all__ = [
    "MAPS",
    "CannotScoreError",
    "MapKind",
    "OpenedAnchor",
    "OverTime",
    "Scorer",
    "anchor_of",
    "nearest",
    "overlay_map",
    "probability",
    "probability_over_time",
    "scorers",
    "thumbnails",
    "why_no_map",
    "why_not_scored",
    "windows_of_one",
]

OverTime = tuple[NDArray[np.float64], NDArray[np.float64]]

_MOST_PREFIXES = 80
_MOST_WINDOWS = 40


class OpenedAnchor(NamedTuple):
    """A face at rest.

    `frames` (K, S, S, 3) uint8; `source` says where they are from: "neutral recording of anna".
    """

    frames: NDArray[np.uint8]
    source: str


def probability(scorer: Scorer, clip: OpenedClip) -> float:
    """Probability of a spontaneous smile; NaN where `why_not_scored` has a reason.

    Parameters
    ----------
    scorer : Scorer
    clip : OpenedClip

    Returns
    -------
    float
        Of networks on windows the mean over the clip's windows, at the stride that the run was tested with, or, where
        these are more than 40, at a multiple of it (see `windows_of_one`).
    """
    if scorer.spec.windows is not None:
        over_time = probability_over_time(scorer, clip)
        return float("nan") if over_time is None else float(over_time[1].mean())
    try:
        samples = samples_of(scorer, clip)
    except CannotScoreError:
        return float("nan")
    return float(scoring.predict(scorer.model, samples.clips)[0])


def why_not_scored(scorer: Scorer, clip: OpenedClip) -> str:
    """Return why the network cannot score the clip, in one sentence; empty where it can."""
    try:
        samples_of(scorer, clip)
    except CannotScoreError as error:
        return str(error)
    return ""


def probability_over_time(scorer: Scorer, clip: OpenedClip) -> OverTime | None:
    """Probability of a spontaneous smile over time.

    Parameters
    ----------
    scorer : Scorer
    clip : OpenedClip

    Returns
    -------
    times : (K,) array
        s from the start of the clip.
    probabilities : (K,) array
        Of recurrent networks what they had said, had the clip ended at each crop (of more than 80 crops, at 80 evenly
        chosen ones); of networks on windows that of each window, at its middle (of more than 40, at a multiple of the
        run's stride). None where the network cannot score the clip.

    Notes
    -----
    All prefixes of a clip are one batch, which gives each the score that it has by itself. The networks of the
    published code read the padding of a batch: their prefixes are scored one by one.
    """
    try:
        if scorer.spec.windows is not None:
            return _of_windows(scorer, clip)
        count = len(clip.crops)
        ends = np.unique(np.linspace(1, count, min(count, _MOST_PREFIXES)).round().astype(int))
        samples = samples_of(scorer, clip, ends=ends.tolist())
    except CannotScoreError:
        return None
    together = 1 if scorer.model_name.endswith(RELEASED) else len(ends)
    scores = scoring.predict(scorer.model, samples.clips, batch_size=together)
    return clip.crop_times[ends - 1], scores


def anchor_of(clip: OpenedClip) -> OpenedAnchor | None:
    """Return the subject's face at rest, which networks with a neutral anchor compare the smile with.

    Parameters
    ----------
    clip : OpenedClip

    Returns
    -------
    OpenedAnchor or None
        From a neutral recording where there is one; None where no face at rest is found.
    """
    store = clip.store
    subject = str(store.manifest["subject"][clip.clip_id])
    try:
        anchor = anchors_in(store, "neutral", anchors.clip_length(store)).get(subject)
    except ValueError:  # a rate that cannot be told, of a clip without length
        return None
    if anchor is None:
        return None
    # A store counts from the file's first frame, the view from the clip's.
    times = store.times(anchor.clip_id) - np.nan_to_num(store.manifest["start_s"][anchor.clip_id])
    start, end = times[anchor.start], times[anchor.start + anchor.length - 1]
    span = f"{start:.1f}-{end:.1f} s"
    if store.manifest["kind"][anchor.clip_id] == "neutral":
        source = f"neutral recording of {subject}"
    elif anchor.clip_id == clip.clip_id:
        source = f"at rest in this clip, {span}"
    else:
        source = f"{subject} at rest in {anchor.clip_id}, {span}"
    return OpenedAnchor(np.asarray(anchor.frames(store)), source)


def windows_of_one(scorer: Scorer, clip: OpenedClip) -> int:
    """Of how many windows `probability` scores one: 1 where it scores all, and for networks on whole clips."""
    if scorer.spec.windows is None:
        return 1
    return -(-len(samples_of(scorer, clip).starts) // _MOST_WINDOWS)


def _of_windows(scorer: Scorer, clip: OpenedClip) -> OverTime:
    key = ("windows", clip)
    if key not in scorer._kept:
        samples = samples_of(scorer, clip)
        if (thinner := -(-len(samples.starts) // _MOST_WINDOWS)) > 1:
            assert scorer.spec.windows is not None
            samples = samples_of(scorer, clip, stride=scorer.spec.windows.test_stride * thinner)
        scores = scoring.predict(scorer.model, samples.clips, batch_size=8)
        middles = (clip.crop_times[samples.starts] + clip.crop_times[samples.starts + samples.length - 1]) / 2
        for old in [key for key in scorer._kept if key[0] == "windows"]:
            del scorer._kept[old]  # the last clip alone is kept: its value and its curve are asked for in turn
        scorer._kept[key] = middles, scores
    times, scores = scorer._kept[key]
    return times, scores
