"""Curves of a smile from its tracked landmarks: lip corners and eyelids of either side, AU12, and AU06 from pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smilelab import signals
from smilelab.preprocess import action_units, video
from smilelab.preprocess.action_units import Measures

__all__ = ["CURVES", "cheek_contrasts", "curves_of", "estimated", "phase_of", "phases_of"]

Array = NDArray[np.float64]

# Columns of the curves after `time_s`, with what stands on their axes.
CURVES = {
    "lip_corner": "lip corners, mouth widths at rest",
    "lip_right": "right lip corner, mouth widths at rest",
    "lip_left": "left lip corner, mouth widths at rest",
    "eyelid": "eyelid aperture, eye widths",
    "eyelid_right": "right eyelid aperture, eye widths",
    "eyelid_left": "left eyelid aperture, eye widths",
    "au06": "AU06, 0 to 5",
    "au12": "AU12, 0 to 5",
}

# Of each eye, the subject's right one first: outer corner, upper lid, inner corner, and the points below those above.
_EYES = ((36, (37, 38), 39, (41, 40)), (45, (44, 43), 42, (46, 47)))
_SAME_TIME_S = 1e-6
_LEAST_FALL = 0.2  # of the onset's rise: what an offset falls at least


def curves_of(times: Array, landmarks: NDArray[np.floating]) -> pd.DataFrame:
    """Measure a tracked face frame by frame.

    Parameters
    ----------
    times : (T,) array
        s, increasing.
    landmarks : (T, 68, 2) array
        dlib's points, px; NaN where there is no face.

    Returns
    -------
    pandas.DataFrame
        ``time_s`` and the columns of `CURVES`, T rows; ``au06``, which landmarks do not tell, is NaN.

        Lip corners: distance of each from the middle of the mouth at rest, over its width at rest, so that both are
        0.5 at rest; ``lip_corner`` is their mean. The face at rest is that of the first frame. A head that turns moves
        the mouth to one side, which looks like a difference between the corners and mostly cancels in the mean. Eyelid
        aperture: mean distance of the upper lid's two points from those of the lower lid, over the eye's width.

    Source: lip corners as in Dibeklioglu et al. 2015; the aperture is the eye aspect ratio of Soukupova & Cech 2016;
    AU12 is `smilelab.preprocess.action_units.estimate`, against the clip's own quiet part.
    """
    points = signals.face_coordinates(landmarks)
    seen = np.flatnonzero(np.isfinite(points).all((-2, -1)))
    columns = dict.fromkeys(CURVES, np.full(len(times), np.nan))
    if len(seen):
        rest = points[seen[0]][list(signals.LIP_CORNERS)]
        away = np.linalg.norm(points[:, signals.LIP_CORNERS] - rest.mean(0), axis=-1)
        lips = away / np.linalg.norm(rest[0] - rest[1])
        lids = np.stack([_aperture(points, *eye) for eye in _EYES], 1)
        columns["lip_corner"] = signals.lip_corner_distance(landmarks)
        columns["lip_right"], columns["lip_left"] = lips.T
        columns["eyelid"] = lids.mean(1)
        columns["eyelid_right"], columns["eyelid_left"] = lids.T
        columns["au12"] = estimated(times, landmarks)["au12"]
    return pd.DataFrame({"time_s": times, **columns})


def estimated(times: Array, landmarks: NDArray[np.floating], cheeks: Array | None = None) -> dict[str, Array]:
    """Estimate ``au12``, and ``au06`` where the contrast of the cheeks (T, 2) was measured; each (T,), 0 to 5."""
    known = np.ones((len(times), 2)) if cheeks is None else cheeks
    units = action_units.estimate(
        Measures(times, np.asarray(landmarks, np.float32), np.asarray(known, np.float32)), None
    )
    return {"au12": units.au12} if cheeks is None else {"au12": units.au12, "au06": units.au06}


def cheek_contrasts(
    path: Path,
    times: Array,
    landmarks: NDArray[np.floating],
    *,
    image_fps: float | None = None,
    turn: int = 0,
) -> Array:
    """Decode a stretch of video once and measure the furrows under the eyes where the face was tracked.

    Parameters
    ----------
    path : Path
    times : (T,) array
        Of the tracked frames, s from the video's first frame, increasing.
    landmarks : (T, 68, 2) array
        px of the upright frames.
    image_fps, turn
        As in `smilelab.preprocess.video.read`.

    Returns
    -------
    (T, 2) array
        Contrast under the subject's right and left eye; NaN for frames that cannot be decoded.

    Raises
    ------
    smilelab.preprocess.video.VideoError
        The video cannot be decoded.
    """
    found = np.full((len(times), 2), np.nan)
    start, end = max(times[0] - _SAME_TIME_S, 0.0), times[-1] + 2 * _SAME_TIME_S
    with video.read(path, start_s=start, end_s=end, image_fps=image_fps, turn=turn) as frames:
        for frame in frames:
            at = int(np.searchsorted(times, frame.time - _SAME_TIME_S))
            if at < len(times) and abs(times[at] - frame.time) <= _SAME_TIME_S:
                found[at] = action_units.cheek_contrast(frame.image, landmarks[at])
    return found


def phases_of(lip_corner: Array, times: Array) -> signals.Phases:
    """Phases of a smile as a person would see them: one that is held to the end of the clip has no offset.

    Parameters
    ----------
    lip_corner : (T,) array
        Amplitude of the lip corners, NaN where it is not known.
    times : (T,) array
        Seconds.

    Returns
    -------
    Phases
        As :func:`smilelab.signals.phases` finds them by the furthest rise and fall. Where the fall is less than a fifth
        of the rise, the mouth wavers in a smile that goes on: the apex then lasts until the last frame with a face.
    """
    found = signals.phases(lip_corner, times, longest_in="signal")
    if found.onset is None or found.apex is None or found.offset is None:
        return found
    seen = np.isfinite(lip_corner)
    rise, fall = (float(np.ptp(np.interp(span, times[seen], lip_corner[seen]))) for span in (found.onset, found.offset))
    if fall >= _LEAST_FALL * rise:
        return found
    return signals.Phases(found.onset, (found.onset[1], float(times[seen][-1])), None)


def phase_of(times: Array, phases: signals.Phases) -> NDArray[np.str_]:
    """Name of the phase that each time (T,) lies in, or an empty string; a border belongs to the later phase."""
    names = np.full(len(times), "", "<U6")
    for name, span in phases._asdict().items():
        if span is not None:
            names[(times >= span[0]) & (times <= span[1])] = name
    return names


def _aperture(points: Array, outer: int, upper: tuple[int, int], inner: int, lower: tuple[int, int]) -> Array:
    width = np.linalg.norm(points[:, outer] - points[:, inner], axis=-1)
    height = np.linalg.norm(points[:, upper] - points[:, lower], axis=-1).mean(-1)
    return np.asarray(height / width)
