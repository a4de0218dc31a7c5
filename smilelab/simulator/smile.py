"""AU12 over one clip: a steep rise, a wobbling plateau with one to four apices, a fall."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaln

from smilelab.simulator.kinematics import FIRST_ONSET, KINEMATICS, LENGTH_SPEED, SHORTEST_APEX, STEEPEST

Array = NDArray[np.float64]
Curve = Callable[[Array], Array]
Rng = np.random.Generator


@dataclass(frozen=True)
class Phase:
    """One smile's phases, in seconds from the clip's start.

    Attributes
    ----------
    onset_s, apex_s, offset_s, end_s : float
        When AU12 begins to rise, reaches its plateau, begins to fall, and has fallen.
    """

    onset_s: float
    apex_s: float
    offset_s: float
    end_s: float


@dataclass(frozen=True)
class SubjectDynamics:
    """One subject's manner of smiling: standard normal effects, one for each class in the order posed, spontaneous.

    Attributes
    ----------
    amplitude, length, speed : tuple of float
        Effects on AU12 amplitude, log length and log speed; a class' intraclass correlation says how much they weigh.
    side : float
        In -1..1, which side of the mouth tends to rise further (positive: the left).
    """

    amplitude: tuple[float, float]
    length: tuple[float, float]
    speed: tuple[float, float]
    side: float


# The burst rises from 0 to 1 over 0..1 with level ends: a minimum-jerk movement and within it a jerk, both cumulative
# beta distributions. The larger the wanted ratio of peak to mean speed, the sharper the jerk: the table says how sharp.
MODE, JERK = 0.4, 0.5
_CONCENTRATION = np.geomspace(0.5, 2000, 200)


def _beta(concentration: Any) -> tuple[Any, Any]:
    return 1 + MODE * concentration, 1 + (1 - MODE) * concentration


def _density(u: Any, a: Any, b: Any) -> Array:
    return np.asarray(np.exp((a - 1) * np.log(u) + (b - 1) * np.log1p(-u) - betaln(a, b)))


_SLOPES = (1 - JERK) * _density(MODE, *_beta(4.0)) + JERK * _density(MODE, *_beta(_CONCENTRATION))


def _burst(steepness: float) -> Curve:
    slow, sharp = _beta(4.0), _beta(float(np.interp(steepness, _SLOPES, _CONCENTRATION)))
    return lambda u: np.asarray((1 - JERK) * betainc(*slow, u) + JERK * betainc(*sharp, u))


def skewed(effect: float, mean: float, sd: float) -> float:
    """Turn a standard normal number into a positive one of this mean and sd (lognormal).

    Parameters
    ----------
    effect, mean, sd : float

    Returns
    -------
    float
    """
    variance = np.log1p((sd / mean) ** 2)
    return float(np.exp(np.log(mean) - variance / 2 + np.sqrt(variance) * effect))


def draw_smile(
    subject: SubjectDynamics, label: int, length: float, longer: float, rng: Rng
) -> tuple[Curve, float, list[Phase]]:
    """Draw AU12 over one clip.

    Parameters
    ----------
    subject : SubjectDynamics
        Who smiles.
    label : int
        1 spontaneous, 0 posed.
    length : float
        The clip's length in s.
    longer : float
        How long it is for its class, standard normal: long clips tend to be slow ones.
    rng : numpy.random.Generator

    Returns
    -------
    curve : callable
        Intensity (mean of both sides, 0-5) at given times in s.
    amplitude : float
        Its maximum.
    phases : list of Phase
    """
    of = KINEMATICS[label]
    own, (r_up, r_down), icc = rng.standard_normal(6), of.amplitude_speed, of.icc
    own[1:] = -LENGTH_SPEED * longer + np.sqrt(1 - LENGTH_SPEED**2) * own[1:]
    z = np.sqrt(icc[0]) * subject.amplitude[label] + np.sqrt(1 - icc[0]) * own[0]
    amplitude = float(np.clip(of.amplitude[0] + of.amplitude[1] * z, 0.5, 4.6))

    def speed(log_speed: tuple[float, float], r: float, effect: float) -> float:
        steady = r * subject.amplitude[label] + np.sqrt(1 - r**2) * subject.speed[label]
        passing = r * own[0] + np.sqrt(1 - r**2) * effect
        return float(np.exp(log_speed[0] + log_speed[1] * (np.sqrt(icc[2]) * steady + np.sqrt(1 - icc[2]) * passing)))

    up = speed(of.log_speed_up, r_up, own[1])
    down = speed(of.log_speed_down, r_down, 0.6 * own[1] + 0.8 * own[2])
    steep_up, steep_down = (
        min(least + excess * float(np.exp(-sd * effect)), STEEPEST)
        for (least, excess, sd), effect in zip((of.steepness_up, of.steepness_down), own[3:5], strict=True)
    )
    residual = float(np.clip(rng.exponential(of.residual), 0, 0.6))
    lead = skewed(-0.7 * own[3] + 0.7 * own[5], *of.lead_in)  # who starts slowly rises slowly

    # Phases that do not fit are first made less peaked, then smaller, both at the drawn speeds.
    room = length - SHORTEST_APEX - FIRST_ONSET
    lead = min(lead, 0.4 * room)
    room -= max(lead - 0.1, 0)  # a tenth of a second or so of the lead-in belongs to the onset
    spent = amplitude * (steep_up / up + (1 - residual) * steep_down / down)
    if spent > room:
        steep_up, steep_down = (max(steep * room / spent, 1.6) for steep in (steep_up, steep_down))
        amplitude *= min(1.0, room / (amplitude * (steep_up / up + (1 - residual) * steep_down / down)))
        spent = min(spent, room)
    apex, knots = _draw_apex(label, amplitude, max(length - lead - 0.9 * spent, SHORTEST_APEX), rng)
    first, last = apex(np.array([0.0, 1.0]))
    onset_s, offset_s = steep_up * first / up, steep_down * max(last - residual * amplitude, 0.05) / down
    burst_up, burst_down = _burst(steep_up), _burst(steep_down)
    grid = np.linspace(0, 1, 200)
    start = max(FIRST_ONSET, lead - onset_s * float(np.interp(0.1 * amplitude / first, burst_up(grid), grid)))
    begin, finish = start + onset_s, length - offset_s
    low = min(residual * amplitude, last)

    def smile(times: Array) -> Array:
        rise = burst_up(np.clip((times - start) / onset_s, 0, 1))
        fall = burst_down(np.clip((times - finish) / offset_s, 0, 1))
        held = apex(np.clip((times - begin) / (finish - begin), 0, 1))
        return np.asarray(held * rise - (last - low) * fall)

    inner = [begin + (finish - begin) * knot for knot in knots]
    stops = [start, begin, *inner, finish, length]
    return smile, amplitude, [Phase(*map(float, stops[i : i + 4])) for i in range(0, len(stops) - 3, 3)]


def _draw_apex(label: int, amplitude: float, span: float, rng: Rng) -> tuple[Curve, list[float]]:
    """AU12 over the apex (0..1), at most the amplitude, and for each dip where it begins, is deepest and ends."""
    of = KINEMATICS[label]
    count = 1 + int(np.searchsorted(np.cumsum(of.apices)[:3], rng.random(), side="right"))
    count = max(1, min(count, int(span / 0.7)))
    creep, fade, depth = rng.exponential(of.creep), rng.exponential(of.creep), rng.uniform(0.4, 0.7, 3)
    top, cuts = rng.uniform(0.25, 0.85), rng.uniform(-0.5, 0.5, 3)
    frequencies, phases = rng.uniform(0.25, 1.1, 4), rng.uniform(0, 2 * np.pi, 4)
    # The level ends of the apex and the detrending take a little of the wobble away.
    size = 1.25 * skewed(rng.standard_normal(), *of.wobble) * float(np.sqrt(amplitude / of.amplitude[0]))
    size = min(size, 0.17 * amplitude)

    dips: list[float] = []
    x, y = [0.0, top, 1.0], [1 - min(creep, 0.45), 1.0, 1 - min(fade, 0.45)]
    if count > 1:
        half = 0.3 / count
        x, y = [0.0], [1 - min(creep, 0.45)]
        for i in range(count - 1):
            middle = (i + 1 + 0.25 * cuts[i]) / count
            dips += [middle - half, middle, middle + half]
            x += dips[-3:]
            y += [1.0, 1 - depth[i], 1.0]
        x, y = [*x, 1.0], [*y, 1 - min(fade, 0.45)]

    def shape(s: Array) -> Array:
        where = np.clip(np.searchsorted(x, s, side="right") - 1, 0, len(x) - 2)
        left, right = np.asarray(x)[where], np.asarray(x)[where + 1]
        u = np.clip((s - left) / (right - left), 0, 1)
        trend = np.asarray(y)[where] + (np.asarray(y)[where + 1] - np.asarray(y)[where]) * u * u * (3 - 2 * u)
        edge = np.clip(np.minimum(s, 1 - s) * span / 0.25, 0, 1)
        waves = np.sin(2 * np.pi * frequencies * span * s[..., None] + phases).sum(-1) / np.sqrt(2)
        return np.asarray(amplitude * trend + size * waves * edge * edge * (3 - 2 * edge))

    highest = float(shape(np.linspace(0, 1, 400)).max())
    # Moved so that the highest point is the amplitude; a deep dip with wobble must not reach zero.
    return lambda s: np.clip(shape(s) - highest + amplitude, 0.2 * amplitude, amplitude), dips
