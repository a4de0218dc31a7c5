"""Action units and head pose of a recording: smiles with neutral stretches between them, one head that sways on.

Smiles are those of `draw_clip`; gaps, blinks between smiles and the pose follow one law whatever the label.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from smilelab.datasets.labels import NEUTRAL
from smilelab.simulator.dynamics import AU_COLUMNS, ClipDynamics, draw_clip, draw_pose, lid_closure
from smilelab.simulator.smile import Array, Phase, Rng, SubjectDynamics

__all__ = ["draw_neutral", "draw_recording"]

GAP = (1.5, 5.0)  # s of neutral face before, between and after smiles; our choice
FADE = 0.6  # s in which what a smile leaves behind goes; our choice, shorter than any gap
BLINK_RATE = 0.28  # a second at rest, about 17 a minute; our choice
BLINK_DISTANCE = 0.35  # s
FINE = 240.0  # frames a second at which smiles are drawn, to be sampled between two of its frames


def draw_recording(
    subject: SubjectDynamics,
    label: int,
    fps: float,
    rng: Rng,
    *,
    length_s: float,
    smiles: int | None = None,
    length_matched: bool = False,
    asymmetry: bool = True,
    cues_off: Iterable[str] = (),
) -> ClipDynamics:
    """Draw a recording of several smiles.

    Parameters
    ----------
    subject : SubjectDynamics
        Who smiles.
    label : int
        1 spontaneous, 0 posed: the smiles' kinematics alone depend on it.
    fps : float
        Frames per second; sampling alone, the recording does not depend on it.
    rng : numpy.random.Generator
        The recording's own generator.
    length_s : float
        How long it is at most, in s. It holds whole smiles, one at least.
    smiles : int, optional
        How many at most; the recording ends soon after the last. By default as many as fit, and the recording is as
        long as it may be.
    length_matched, asymmetry : bool
    cues_off : iterable of str
        As of `draw_clip`, for each smile.

    Returns
    -------
    ClipDynamics

    Raises
    ------
    ValueError
        For an unknown label, a frame rate that is not positive, a length too short for a smile, no smile, or neither
        an end nor a number of smiles.
    """
    if not (smiles is None or smiles >= 1):
        raise ValueError(f"smiles {smiles!r}: expected one or more; a recording without is `draw_neutral`")
    _check_rate(fps)
    if not length_s >= 1.0 or (smiles is None and not np.isfinite(length_s)):
        raise ValueError(f"length_s {length_s!r}: expected 1 s or more, and an end where smiles are not counted")
    gaps, seeds, blinking, swaying = _streams(rng)

    def smile(longest_s: float | None = None) -> ClipDynamics:
        own = np.random.default_rng(seed)
        return draw_clip(
            subject, label, FINE, own, length_matched=length_matched, asymmetry=asymmetry, length_s=longest_s,
            cues_off=cues_off,
        )  # fmt: skip

    placed: list[tuple[float, ClipDynamics]] = []
    start = float(gaps.uniform(*GAP))
    while smiles is None or len(placed) < smiles:
        seed = int(seeds.integers(0, 2**63))
        drawn = smile()
        if not placed:
            start = min(start, 0.2 * length_s)
            if start + _length(drawn) > 0.9 * length_s:
                drawn = smile(0.9 * length_s - start)
        elif start + _length(drawn) + FADE > length_s:
            break
        placed.append((start, drawn))
        start += _length(drawn) + float(gaps.uniform(*GAP))
    length = length_s if smiles is None else min(start, length_s)

    times = np.arange(round(length * fps), dtype=np.float64) / fps
    units = np.sum([_sampled(times - begin, drawn) for begin, drawn in placed], axis=0)
    ends = [0.0, *(edge for begin, drawn in placed for edge in (begin, begin + _length(drawn))), length]
    blinks = [begin + blink for begin, drawn in placed for blink in drawn.blinks]
    for rest_start, rest_end in zip(ends[::2], ends[1::2], strict=True):
        blinks = _blinked(blinks, rest_start, rest_end, blinking)
    phases = [
        Phase(p.onset_s + begin, p.apex_s + begin, p.offset_s + begin, p.end_s + begin)
        for begin, drawn in placed
        for p in drawn.phases
    ]
    return _assembled(times, units, label, phases, [b for b in blinks if b < length - 0.1], swaying)


def draw_neutral(fps: float, rng: Rng, *, length_s: float) -> ClipDynamics:
    """Draw a recording in which nobody smiles: the head sways and the eyes blink.

    Parameters
    ----------
    fps : float
        Frames per second.
    rng : numpy.random.Generator
        The recording's own generator.
    length_s : float
        In s.

    Returns
    -------
    ClipDynamics

    Raises
    ------
    ValueError
        For a frame rate that is not positive.
    """
    _check_rate(fps)
    _, _, blinking, swaying = _streams(rng)
    times = np.arange(round(length_s * fps), dtype=np.float64) / fps
    still = np.zeros((len(times), len(AU_COLUMNS)))
    return _assembled(times, still, NEUTRAL, [], _blinked([], 0.0, length_s, blinking), swaying)


def _check_rate(fps: float) -> None:
    if not (np.isfinite(fps) and fps > 0):
        raise ValueError(f"fps {fps!r}: expected a positive number of frames per second")


def _streams(rng: Rng) -> list[Rng]:
    """Return a stream for each part: what one part draws cannot shift what another part gets."""
    return [np.random.default_rng(seed) for seed in rng.integers(0, 2**63, size=4)]


def _length(drawn: ClipDynamics) -> float:
    return len(drawn.times) / FINE


def _sampled(since: Array, drawn: ClipDynamics) -> Array:
    """Action units of one smile at times in s since its start, 0 before; afterwards they fade."""
    after = np.clip((since - _length(drawn)) / FADE, 0, 1)
    held = np.stack([np.interp(since, drawn.times, unit, left=0.0) for unit in drawn.action_units.T], axis=1)
    return np.asarray(held * (1 - after * after * (3 - 2 * after))[:, None])


def _blinked(blinks: list[float], start: float, end: float, rng: Rng) -> list[float]:
    """Add blinks at rest between two times in s, apart from those there are."""
    for blink in rng.uniform(start, end, rng.poisson(BLINK_RATE * (end - start))):
        inside = start + 0.2 < blink < end - 0.2
        if inside and all(abs(blink - other) > BLINK_DISTANCE for other in blinks):
            blinks = [*blinks, float(blink)]
    return sorted(blinks)


def _assembled(
    times: Array, units: Array, label: int, phases: list[Phase], blinks: list[float], swaying: Rng
) -> ClipDynamics:
    units[:, AU_COLUMNS.index("AU45")] = lid_closure(times, blinks)
    pose = draw_pose(times, swaying)
    return ClipDynamics(
        times, np.clip(units, 0, 5).astype(np.float32), pose.astype(np.float32), label, tuple(phases), tuple(blinks)
    )
