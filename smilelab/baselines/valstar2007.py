"""Valstar et al. 2007: movements of twelve points of the face and of the head, by phase."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smilelab.baselines import gentle_boost, register
from smilelab.baselines.clip_samples import Extractor, Features, View
from smilelab.baselines.fusion import FusedByClip, FusedMachines
from smilelab.baselines.landmark_signals import LandmarkSignals, LongestIn, checked, signals_of, smoothed
from smilelab.baselines.machines import Floats
from smilelab.signals import eye_centres, within

__all__ = ["MODALITIES", "PARAMETERS", "POINTS", "Valstar2007", "facial_movements", "head_movements", "parameters"]

MODALITIES = ("face", "head")
# Points of dlib whose mean is each of the twelve: first pairs of the subject's right and left, then the lips' middles.
POINTS = (
    *((17,), (26,), (21,), (22,)),
    *((37, 38), (43, 44), (40, 41), (46, 47)),
    *((48,), (54,), (51,), (57,)),
)
_PAIRS = ((0, 1), (2, 3), (4, 5), (6, 7), (8, 9))
PARAMETERS = ("largest", "smallest", "mean", "variation", "net", "fastest up", "fastest down", "mean speed", "delay")
# A speed, a second, that is none: landmarks jitter.
_STILL = 0.01


@register("valstar2007")
class Valstar2007(FusedByClip):
    """Parameters of facial points and of the head, selected by boosting for one machine each, and late fusion.

    Parameters
    ----------
    longest_in : {"time", "signal"}
        Which increase of the lip corners is the onset and which decrease the offset; see `smilelab.signals.phases`.
    counts : sequence of int
        Candidates for the number of features of a modality.
    costs, widths : sequence of float
        Candidates of the machines, see `smilelab.baselines.machines.SupportVectors`.
    rules : sequence of {"sum", "product", "vote"}
        Candidates for the fusion.
    folds : int
        Inner folds by subject, by which all of these are chosen.

    Raises
    ------
    ValueError
        An unknown value.

    Source: Valstar, Gunes & Pantic 2007, "How to distinguish posed from spontaneous smiles using geometric features".
    Verified: 12 facial points, head and shoulders, features of the phases selected by GentleBoost for support vector
    machines, late fusion. Our choice: which twelve of dlib's points, head motion from the eyes in the plane of the
    picture (roll, translation, size), phases found on the lip corners instead of by recognised action units, and the
    parameters: the most common ones of intensity, speed, order and symmetry. Shoulders are left out: crops of
    faces do not show them.
    """

    def __init__(
        self,
        *,
        longest_in: LongestIn = "time",
        counts: Sequence[int] = (10, 25, 50),
        costs: Sequence[float] = (1.0, 10.0, 100.0),
        widths: Sequence[float] = (0.1, 1.0),
        rules: Sequence[str] = ("sum", "product"),
        folds: int = 5,
    ) -> None:
        self.extractors = [Extractor("valstar2007", 1, _compute, longest_in=checked(longest_in))]
        self.machines = FusedMachines(
            MODALITIES, rules=rules, rank=gentle_boost.rank, counts=counts, costs=costs, widths=widths, folds=folds
        )


def facial_movements(points: Floats) -> Floats:
    """Displacement of the twelve points from the first frame.

    Parameters
    ----------
    points : (T, 68, 2) array
        Landmarks in face coordinates.

    Returns
    -------
    (12, 2, T) array
        Outwards (to the left for points in the middle) and upwards, in distances between the eye centres.
    """
    twelve = np.stack([points[:, group, :].mean(1) for group in POINTS])
    moved = (twelve - twelve[:, :1]).transpose(0, 2, 1)
    outwards = np.ones(len(POINTS))
    outwards[[right for right, _ in _PAIRS]] = -1
    # Face coordinates run to the subject's left and downwards.
    return np.stack([moved[:, 0] * outwards[:, None], -moved[:, 1]], 1)


def head_movements(pixels: Floats) -> Floats:
    """Motion of the head since the first frame, from the eyes.

    Parameters
    ----------
    pixels : (T, 68, 2) array
        Landmarks, px of the video.

    Returns
    -------
    (4, T) array
        Roll (rad), place to the right and downwards (distances between the eye centres in the first frame), and
        logarithm of the size.
    """
    right, left = np.moveaxis(eye_centres(pixels), -2, 0)
    across = left - right
    apart = np.linalg.norm(across, axis=1)
    roll = np.unwrap(np.arctan2(across[:, 1], across[:, 0]))
    place = (right + left) / 2
    away = (place - place[0]) / apart[0]
    return np.stack([roll - roll[0], away[:, 0], away[:, 1], np.log(apart / apart[0])])


def parameters(signals: Floats, times: Floats) -> Floats:
    """Describe each signal in one phase.

    Parameters
    ----------
    signals : (k, n) array
    times : (n,) array
        s.

    Returns
    -------
    (k, 9) array
        See `PARAMETERS`: of the amplitude, of its speed (a second), and the mean time from the start of the phase at
        which it moves, s, drawn towards 0 where nothing does. Zeros where n < 2.
    """
    if len(times) < 2:
        return np.zeros((len(signals), len(PARAMETERS)))
    speed = np.gradient(signals, times, axis=1)
    moving = np.abs(speed)
    delay = moving @ (times - times[0]) / (moving.sum(1) + len(times) * _STILL)
    return np.stack(
        [
            *(signals.max(1), signals.min(1), signals.mean(1), signals.std(1), signals[:, -1] - signals[:, 0]),
            *(speed.max(1), -speed.min(1), np.abs(speed).mean(1), delay),
        ],
        1,
    )


def _compute(view: View, *, longest_in: LongestIn) -> Features:
    clip = signals_of(view, longest_in)
    face, head = smoothed(facial_movements(clip.points)), smoothed(head_movements(clip.pixels))
    sizes = np.hypot(face[:, 0], face[:, 1])
    uneven = np.stack([sizes[right] - sizes[left] for right, left in _PAIRS])
    of_face = np.concatenate([face.reshape(-1, face.shape[-1]), sizes, uneven])
    lengths = [span[1] - span[0] if span else 0.0 for span in clip.phases]
    return {
        "face": np.concatenate([_by_phase(of_face, clip), lengths]),
        "head": _by_phase(head, clip),
    }


def _by_phase(signals: Floats, clip: LandmarkSignals) -> Floats:
    found = []
    for span in clip.phases:
        frames = within(span, clip.times)
        found.append(parameters(signals[:, frames], clip.times[frames]).ravel())
    return np.concatenate(found)
