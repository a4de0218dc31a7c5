"""Action units and head pose over the time of one smile clip.

Every curve is a closed function of time with a few random parameters, sampled at the clip's frame rate at the very end:
the same draw at another frame rate is the same smile. What the parameters are drawn from is `kinematics`' table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from smilelab.simulator.cues import CUES, checked
from smilelab.simulator.kinematics import (
    AGE_CORRELATION,
    AU6_CORRELATION,
    BLINKS,
    BLINKS_AT_END,
    CLASS_CORRELATION,
    KINEMATICS,
    LENGTH_LIMITS,
    SHORTEST_CLIP,
    SPONTANEOUS_SHARE,
    STANCE,
    SWAY,
)  # fmt: skip
from smilelab.simulator.smile import Array, Curve, Phase, Rng, SubjectDynamics, draw_smile, skewed

__all__ = [
    "AU_COLUMNS", "POSE_COLUMNS", "ClipDynamics", "Phase", "SubjectDynamics", "draw_clip", "draw_pose", "draw_subject",
    "lid_closure",
]  # fmt: skip

AU_COLUMNS = ("AU06_L", "AU06_R", "AU12_L", "AU12_R", "AU25", "AU26", "AU45")
POSE_COLUMNS = ("yaw", "pitch", "roll", "shift_x", "shift_y", "scale")


@dataclass(frozen=True, eq=False)
class ClipDynamics:
    """What a face does during one clip.

    Attributes
    ----------
    times : numpy.ndarray
        (T,) float64, seconds from the first frame.
    action_units : numpy.ndarray
        (T, 7) float32, intensities of `AU_COLUMNS`, 0 (absent) to 5 (maximal, FACS' E); AU45 is lid closure, 5 = shut.
        "L" is the subject's left.
    pose : numpy.ndarray
        (T, 6) float32, `POSE_COLUMNS`: three angles in rad, two shifts in distances between the eyes, a ratio.
    label : int
        1 spontaneous, 0 posed, -1 neutral.
    phases : tuple of Phase
        One for each apex, in order; two apices of one smile share the dip between them.
    blinks : tuple of float
        Times of fullest closure, s.
    """

    times: Array
    action_units: NDArray[np.float32]
    pose: NDArray[np.float32]
    label: int
    phases: tuple[Phase, ...]
    blinks: tuple[float, ...]

    @property
    def smiles(self) -> Array:
        """Start and end of each smile, (m, 2) float64 in s: its first onset and its last end."""
        bounds: list[list[float]] = []
        for phase in self.phases:
            if bounds and phase.onset_s == bounds[-1][1]:
                bounds[-1][1] = phase.end_s
            else:
                bounds.append([phase.onset_s, phase.end_s])
        return np.array(bounds, dtype=np.float64).reshape(-1, 2)


def draw_subject(rng: Rng, *, age: float, sex: str) -> SubjectDynamics:
    """Draw one subject's manner of smiling.

    Parameters
    ----------
    rng : numpy.random.Generator
        The subject's own generator.
    age : float
        Years; lowers the amplitude slightly.
    sex : str
        "female" or "male"; hardly matters.

    Returns
    -------
    SubjectDynamics
    """
    both, single, side = rng.standard_normal(3), rng.standard_normal((3, 2)), rng.uniform(-1, 1)
    effects = np.sqrt(CLASS_CORRELATION) * both[:, None] + np.sqrt(1 - CLASS_CORRELATION) * single
    aged = AGE_CORRELATION * (np.clip(age, 5, 90) - 30) / 17
    effects[0] = aged + np.sqrt(1 - AGE_CORRELATION**2) * effects[0] + (0.05 if sex == "female" else -0.05)
    amplitude, length, speed = ((float(posed), float(spontaneous)) for posed, spontaneous in effects)
    return SubjectDynamics(amplitude, length, speed, float(side))


def draw_clip(
    subject: SubjectDynamics,
    label: int,
    fps: float,
    rng: Rng,
    *,
    length_matched: bool = False,
    asymmetry: bool = True,
    length_s: float | None = None,
    cues_off: Iterable[str] = (),
) -> ClipDynamics:
    """Draw one clip: action units, head pose, phases and blinks.

    Parameters
    ----------
    subject : SubjectDynamics
        Who smiles.
    label : int
        1 spontaneous, 0 posed.
    fps : float
        Frames per second; sampling alone, the smile does not depend on it.
    rng : numpy.random.Generator
        The clip's own generator.
    length_matched : bool
        Draw the length from both classes' pooled distribution, so that it carries no information about the class. Where
        the phases do not fit, the smile is made smaller and its speed kept.
    asymmetry : bool
        Whether the two sides differ at all. Everything else is the same either way.
    length_s : float, optional
        This clip length in s instead of a drawn one.
    cues_off : iterable of str
        Of :data:`smilelab.simulator.cues.CUES`, those that shall not tell the class.

    Returns
    -------
    ClipDynamics

    Raises
    ------
    ValueError
        For an unknown label or cue, a frame rate that is not positive, or a length too short for a smile.
    """
    off = checked(cues_off)
    if label not in KINEMATICS:
        raise ValueError(f"label {label!r}: expected 1 (spontaneous) or 0 (posed)")
    if not (np.isfinite(fps) and fps > 0):
        raise ValueError(f"fps {fps!r}: expected a positive number of frames per second")
    if length_s is not None and not (np.isfinite(length_s) and length_s >= SHORTEST_CLIP):
        raise ValueError(f"length_s {length_s!r}: a smile needs {SHORTEST_CLIP} s or more")
    # A stream for each part: what one part draws, the label above all, cannot shift what another part gets.
    seeds = rng.integers(0, 2**63, size=6)
    pose_seed = rng.integers(0, 2**63)
    anew = _pooled(np.random.default_rng(seeds[0]))
    of = {cue: anew if cue in off else label for cue in CUES}

    def lasting(as_of: int) -> tuple[float, float]:
        drawn, longer = _draw_length(subject, as_of, np.random.default_rng(seeds[0]), length_matched)
        return (drawn if length_s is None else float(length_s)), longer

    @cache
    def smiling(as_of: int) -> tuple[Curve, float, list[Phase]]:
        return draw_smile(subject, as_of, *lasting(as_of), np.random.default_rng(seeds[1]))

    length, (smile, drawn_amplitude, phases) = lasting(of["timing"])[0], smiling(of["timing"])
    times = np.arange(max(2, round(length * fps)), dtype=np.float64) / fps
    blinks = _draw_blinks(phases[-1], length, lasting(of["eyelids"])[0], np.random.default_rng(seeds[2]))
    level = _level(of["cheeks"], smiling(of["cheeks"])[1])

    units = np.zeros((len(times), len(AU_COLUMNS)))
    units[:, 2:4] = smile(times)[:, None]
    if of["amplitude"] != of["timing"]:
        units[:, 2:4] *= smiling(of["amplitude"])[1] / drawn_amplitude
    cheeks = _draw_au6(of["cheeks"], level, smile, drawn_amplitude, phases, length, np.random.default_rng(seeds[3]))
    units[:, 0:2] = cheeks(times)[:, None]
    units[:, 4:6] = _draw_mouth(of["texture"], smile, drawn_amplitude, np.random.default_rng(seeds[4]))(times)
    units[:, 6] = lid_closure(times, blinks)
    units[:, :4] *= 1 + 0.5 * _draw_sides(subject, of["asymmetry"], np.random.default_rng(seeds[5]), asymmetry)
    pose = draw_pose(times, np.random.default_rng(pose_seed))
    return ClipDynamics(
        times, np.clip(units, 0, 5).astype(np.float32), pose.astype(np.float32), label, tuple(phases), tuple(blinks)
    )


def _pooled(rng: Rng) -> int:
    """A class as often as it occurs among all clips."""
    return int(rng.random() < SPONTANEOUS_SHARE)


def _draw_length(subject: SubjectDynamics, label: int, rng: Rng, matched: bool) -> tuple[float, float]:
    """The clip's length in s, and how long it is for its class, standard normal."""
    pooled = _pooled(rng)
    own = pooled if matched else label
    (mean, sd), icc = KINEMATICS[own].log_length, KINEMATICS[own].icc[1]
    effect = np.sqrt(icc) * subject.length[own] + np.sqrt(1 - icc) * rng.standard_normal()
    return float(np.clip(np.exp(mean + sd * effect), *LENGTH_LIMITS)), float(effect)


def _level(label: int, amplitude: float) -> float:
    """How large AU12 is for its class, standard normal."""
    of = KINEMATICS[label]
    return float(np.clip((amplitude - of.amplitude[0]) / of.amplitude[1], -2.5, 2.5))


def _draw_au6(
    label: int, level: float, smile: Curve, amplitude: float, phases: list[Phase], length: float, rng: Rng
) -> Curve:
    of = KINEMATICS[label]
    z = AU6_CORRELATION * level + np.sqrt(1 - AU6_CORRELATION**2) * rng.standard_normal()
    size = float(np.clip(of.amplitude_au6[0] + of.amplitude_au6[1] * z, 0.1, 4.5))
    earliest = 0.01 - phases[0].onset_s
    lag = float(np.clip(of.lag_au6[0] + of.lag_au6[1] * rng.standard_normal(), earliest, 0.3))
    power, (frequency, phase) = float(np.exp(0.1 * rng.standard_normal())), rng.uniform((0.2, 0), (0.7, 2 * np.pi))
    drift = of.own_au6 * rng.standard_normal(2)

    def raw(times: Array) -> Array:
        share = np.clip(smile(times - lag) / amplitude, 0, 1) ** power
        own = drift[0] * np.sin(2 * np.pi * frequency * times + phase) + drift[1] * (2 * times / length - 1)
        return np.asarray(share * np.clip(1 + own, 0.3, 1.7))

    highest = max(float(raw(np.linspace(0, length, 400)).max()), 0.2)
    return lambda times: size * raw(times) / highest


def _draw_mouth(label: int, smile: Curve, amplitude: float, rng: Rng) -> Curve:
    """AU25 and AU26, (T, 2); their sizes are our choice, only the share of parted lips is measured."""
    parted = rng.random() < KINEMATICS[label].parted
    lips = 1.05 + rng.gamma(2.2, 0.55) if parted else rng.uniform(0, 0.9)
    jaw = rng.uniform(0.2, 1.8) if parted and rng.random() < 0.3 else 0.0
    lag, power = abs(0.06 * rng.standard_normal()), float(np.exp(0.2 * rng.standard_normal()))
    return lambda times: (
        np.minimum([lips, jaw], 4.5) * (np.clip(smile(times - lag) / amplitude, 0, 1) ** power)[:, None]
    )


def _draw_blinks(last: Phase, length: float, counted: float, rng: Rng) -> list[float]:
    """Times of blinks in a clip of some length, as many as in one of the length `counted`."""
    blinks: list[float] = []
    for _ in range(rng.poisson(BLINKS[0] + BLINKS[1] * counted)):
        for _attempt in range(8):
            around_end = rng.random() < BLINKS_AT_END
            time = last.offset_s + 0.25 + 0.35 * rng.standard_normal() if around_end else rng.uniform(0, length)
            if 0.2 < time < length - 0.1 and all(abs(time - other) > 0.35 for other in blinks):
                blinks.append(float(time))
                break
    return sorted(blinks)


def lid_closure(times: Array, blinks: Iterable[float]) -> Array:
    """AU45 of blinks: lids shut within 0.1 s, stay so for 0.04 s and open more slowly, in 0.2 s.

    Parameters
    ----------
    times : numpy.ndarray
        (T,) s.
    blinks : iterable of float
        Times of fullest closure, s.

    Returns
    -------
    numpy.ndarray
        (T,) float64, 0 to 5.
    """
    closed = np.zeros(len(times))
    for blink in blinks:
        shut = np.clip(np.minimum((times - blink + 0.12) / 0.1, (blink + 0.22 - times) / 0.2), 0, 1)
        closed = np.maximum(closed, shut * shut * (3 - 2 * shut))
    return 5 * closed


def _draw_sides(subject: SubjectDynamics, label: int, rng: Rng, asymmetry: bool) -> Array:
    """Signed difference of the sides over their mean, for AU6 L, R and AU12 L, R."""
    size = min(skewed(rng.standard_normal(), *KINEMATICS[label].asymmetry), 0.5)
    sign = 1.0 if rng.uniform(-1, 1) < subject.side else -1.0
    cheek = 0.6 * sign * size + 0.8 * size * rng.standard_normal() / 2
    return asymmetry * np.array([cheek, -cheek, sign * size, -sign * size])


def draw_pose(times: Array, rng: Rng) -> Array:
    """Draw slow sway of the head about a stance. Knows neither the smile nor the clip's length.

    Parameters
    ----------
    times : numpy.ndarray
        (T,) s.
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray
        (T, 6) float64, `POSE_COLUMNS`.
    """
    pose = np.empty((len(times), len(POSE_COLUMNS)))
    for i, name in enumerate(POSE_COLUMNS):
        stance = STANCE[name] * np.clip(rng.standard_normal(), -2.5, 2.5)
        size = SWAY[name] * rng.uniform(0.3, 1.4)
        hertz, phases = rng.uniform(0.15, 0.6, 3), rng.uniform(0, 2 * np.pi, 3)
        pose[:, i] = stance + size * np.sqrt(2 / 3) * np.sin(2 * np.pi * hertz * times[:, None] + phases).sum(1)
    pose[:, POSE_COLUMNS.index("scale")] += 1
    return pose
