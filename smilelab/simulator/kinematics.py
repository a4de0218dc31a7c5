"""What simulated smiles are drawn from: one table for each class, and what both share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kinematics:
    """What one class of smiles is drawn from; pairs are (mean, sd) in AU units of 0-5, seconds, AU units per second.

    Source: measured over 1240 UvA-NEMO clips' action-unit traces, but for the rows marked "shape": those say how a
    curve runs between the measured points and were set so that the measured quantities come out. None was chosen by
    what a classifier makes of it.
    """

    log_length: tuple[float, float]  # natural logarithm of the clip length in s
    lead_in: tuple[float, float]  # until AU12 passes 10 % of its amplitude
    amplitude: tuple[float, float]  # AU12
    log_speed_up: tuple[float, float]  # maximum of dAU12/dt
    log_speed_down: tuple[float, float]  # maximum of -dAU12/dt
    amplitude_speed: tuple[float, float]  # shape: correlation of amplitude with log speed up, down
    steepness_up: tuple[float, float, float]  # shape: least, median excess and log sd of peak over mean speed
    steepness_down: tuple[float, float, float]  # shape: the same for the offset
    creep: float  # shape: mean share of the amplitude that is gained only after the onset
    wobble: tuple[float, float]  # sd of detrended AU12 over the apex
    apices: tuple[float, float, float, float]  # probability of 1, 2, 3, 4 (wobble adds to the measured ones)
    residual: float  # mean share of the amplitude left at the clip's end
    amplitude_au6: tuple[float, float]
    lag_au6: tuple[float, float]  # AU6 after AU12
    own_au6: float  # shape: how far AU6 goes its own way, sets its correlation with AU12
    parted: float  # probability that AU25 rises by more than 1
    asymmetry: tuple[float, float]  # |L - R| / mean of AU12
    icc: tuple[float, float, float]  # within subject: amplitude, log length, log speed


POSED, SPONTANEOUS = 0, 1
KINEMATICS = {
    SPONTANEOUS: Kinematics(
        log_length=(1.508, 0.423), lead_in=(0.40, 0.23), amplitude=(2.04, 0.74),
        log_speed_up=(1.604, 0.449), log_speed_down=(1.490, 0.488), amplitude_speed=(0.4, 0.8),
        steepness_up=(1.6, 0.85, 0.75), steepness_down=(1.5, 0.6, 1.5), creep=0.075, wobble=(0.157, 0.113),
        apices=(0.89, 0.085, 0.018, 0.007), residual=0.14,
        amplitude_au6=(1.80, 0.68), lag_au6=(0.028, 0.107), own_au6=0.10, parted=0.82,
        asymmetry=(0.05, 0.04), icc=(0.37, 0.22, 0.29),
    ),
    POSED: Kinematics(
        log_length=(1.089, 0.262), lead_in=(0.28, 0.15), amplitude=(2.40, 0.79),
        log_speed_up=(2.123, 0.385), log_speed_down=(1.922, 0.489), amplitude_speed=(0.75, 0.85),
        steepness_up=(1.6, 0.65, 0.5), steepness_down=(1.5, 0.3, 1.0), creep=0.05, wobble=(0.091, 0.070),
        apices=(0.94, 0.06, 0.0, 0.0), residual=0.06,
        amplitude_au6=(1.96, 0.68), lag_au6=(0.019, 0.051), own_au6=0.08, parted=0.80,
        asymmetry=(0.08, 0.06), icc=(0.59, 0.52, 0.58),
    ),
}  # fmt: skip
SPONTANEOUS_SHARE = 597 / 1240  # of the pooled lengths that both classes draw from when the lengths are matched
LENGTH_LIMITS = (1.10, 14.34)  # s, the shortest and longest UvA-NEMO clip
# One law for both classes: with their mean lengths it gives the measured 1.24 (S) and 1.10 (P) blinks a clip.
BLINKS = (0.867, 0.0757)  # expected number = first + second * length
BLINKS_AT_END = 0.6  # share of the blinks that falls around the offset; our choice
LENGTH_SPEED = 0.6  # shape: how far long clips are slow ones, beyond chance: it sets the spread of the apex
STEEPEST = 7.0  # shape: largest ratio of peak to mean speed
CLASS_CORRELATION = 0.5  # of a subject's posed with her spontaneous manner; our choice
AU6_CORRELATION = 0.5  # of AU6 with AU12 amplitude over clips; our choice
AGE_CORRELATION = -0.2  # of age with amplitude; "slightly lower", our choice
# Sd of the sway and of the clip's own stance, our choice. Yaw sways by less than .03 in any clip, even where its waves
# (1.4 times this at most) meet: its parallax mimics asymmetry.
SWAY = {"yaw": 0.0125, "pitch": 0.018, "roll": 0.012, "shift_x": 0.012, "shift_y": 0.012, "scale": 0.006}
STANCE = {"yaw": 0.03, "pitch": 0.02, "roll": 0.02, "shift_x": 0.03, "shift_y": 0.03, "scale": 0.01}
SHORTEST_APEX = 0.15  # s
FIRST_ONSET = 0.02  # s, so that a clip's first frame is neutral
SHORTEST_CLIP = 0.6  # s, the least that holds a smile
