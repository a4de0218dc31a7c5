"""The face as a surface and as points: height map, folds, landmarks and how action units move them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from smilelab.simulator.identity import Identity

# float32 throughout; cv2's and numpy's stubs do not agree on how to say so.
Array = NDArray[Any]

# The canvas in units of the distance between the eye centres; origin between the eyes, y down.
SPAN, LEFT, TOP = 4.5, -2.25, -2.15
GRID = 72
# What moves the face linearly: AU intensities (1 = full excursion), their product, and the two out-of-plane angles.
FEATURES = ("AU12_R", "AU12_L", "AU06_R", "AU06_L", "AU25", "AU26", "AU25xAU12", "yaw", "pitch")
LID_POINTS, LIP_POINTS = 25, 41
_LID_T = np.linspace(-1.0, 1.0, LID_POINTS)
_LIP_T = np.linspace(-1.0, 1.0, LIP_POINTS)


def coordinates(size: int) -> tuple[Array, Array]:
    """Pixel-centre coordinates (x, y), each (size, size) float32, of a canvas of that many pixels a side."""
    step = (np.arange(size, dtype=np.float32) + 0.5) * np.float32(SPAN / size)
    x, y = np.meshgrid(step + np.float32(LEFT), step + np.float32(TOP))
    return x, y


def bump(x: Array, y: Array, cx: float, cy: float, sx: float, sy: float) -> Array:
    """Gaussian of height 1 at (cx, cy)."""
    return np.exp(-0.5 * (np.square((x - cx) / sx) + np.square((y - cy) / sy)))


def smoothstep(value: Array) -> Array:
    """Cubic step from 0 at 0 to 1 at 1."""
    t = np.clip(value, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def outline(identity: Identity, x: Array, y: Array, *, grow: float | Array = 0.0) -> Array:
    """Superellipse radius: 1 on the head's outline, enlarged by `grow`. The exponent blends without a step."""
    exponent = 2.15 + (identity.jaw_exponent - 2.15) * smoothstep((y + 0.4) / 1.5)
    vertical = np.where(y < 0, -y / (identity.crown + grow), y / (identity.chin + grow))
    horizontal = np.abs(x) / (identity.half_width + grow)
    return np.power(np.power(horizontal, exponent) + np.power(np.maximum(vertical, 1e-6), exponent), 1.0 / exponent)


def height(identity: Identity, x: Array, y: Array, *, features: bool = True) -> Array:
    """Height of the skin towards the camera, same shape as x; without features, a nearly flat shield."""
    p = identity
    z = p.depth * np.sqrt(np.maximum(1.0 - np.power(outline(p, x, y), 2.0), 0.0))
    if not features:
        return np.float32(0.2) * z
    ax = np.abs(x)
    z = z - p.socket * bump(ax, y, 0.50, -0.03, 0.27, 0.15) - 0.055 * bump(ax, y, 0.21, -0.04, 0.09, 0.13)
    z = z + 0.075 * bump(ax, y, 0.50, 0.01, 0.19, 0.115)
    z = z + p.brow_ridge * bump(ax, y, 0.45, float(np.mean(p.brow_y)) + 0.03, 0.32, 0.09)
    z = z + 0.03 * bump(x, y, 0.0, -0.80, 0.55, 0.30) - 0.05 * bump(ax, y, 1.0, -0.45, 0.16, 0.30)
    z = z + p.cheek * bump(ax, y, 0.62, p.cheek_y, 0.25, 0.20)
    z = z + 0.09 * bump(x, y, 0.0, p.mouth_y - 0.04, 0.40, 0.24) + p.chin_bump * bump(x, y, 0.0, 1.56, 0.19, 0.13)
    z = z - 0.045 * bump(x, y, 0.0, p.mouth_y + 0.235, 0.24, 0.055)
    z = z - 0.012 * bump(x, y, 0.0, p.nose_base + 0.13, 0.028, 0.08)
    tip = p.nose_base - 0.12
    rise = np.clip((y + 0.22) / (tip + 0.22), 0.0, 1.0)
    profile = np.power(rise, 1.45) * (1.0 - smoothstep((y - tip) / 0.20))
    width = 0.095 + 0.035 * smoothstep((y - 0.1) / (tip - 0.1))
    z = z + p.nose_ridge * (0.12 * bump(x, y, 0, -0.2, 0.13, 0.12) + profile * np.exp(-0.5 * np.square(x / width)))
    z = z + p.nose_bulb * bump(x, y, 0.0, tip + 0.01, 0.10, 0.075)
    return z + 0.115 * bump(ax, y, p.nose_width - 0.055, p.nose_base - 0.075, 0.062, 0.062)


def folds(identity: Identity, x: Array, y: Array, side: float) -> dict[str, Array]:
    """Height maps of the folds of one side (+1 the subject's left) at full depth."""
    p = identity
    u = x * side
    top, bottom = p.nose_base - 0.13, p.mouth_y + 0.12
    along = (y - top) / (bottom - top)
    across = u - (p.nose_width + 0.015 + 0.27 * np.power(np.clip(along, 0, 1.2), 0.8))
    window = smoothstep((along + 0.10) / 0.25) * (1 - smoothstep((along - 0.75) / 0.45))
    groove = -0.030 * np.exp(-0.5 * np.square(across / 0.030)) + 0.030 * np.exp(
        -0.5 * np.square((across - 0.085) / 0.06)
    )
    out = {"nasolabial": groove * window}
    feet = np.zeros_like(x)
    corner = 0.5 + p.eye_half_width
    for angle in (-0.45, -0.05, 0.38):
        a = (u - corner - 0.02) * np.cos(angle) + (y - 0.0) * np.sin(angle)
        b = -(u - corner - 0.02) * np.sin(angle) + (y - 0.0) * np.cos(angle)
        feet -= 0.011 * np.exp(-0.5 * np.square(b / 0.014)) * smoothstep(a / 0.08) * (1 - smoothstep((a - 0.10) / 0.14))
    out["crow"] = feet
    under = y - (0.165 + 0.03 * np.square((u - 0.5) / 0.25) * -1.0)
    bag = np.exp(-0.5 * np.square((u - 0.48) / 0.17))
    out["infraorbital"] = bag * (
        0.022 * np.exp(-0.5 * np.square((under + 0.045) / 0.03))
        - 0.02 * np.exp(-0.5 * np.square((under - 0.02) / 0.026))
    )
    out["apple"] = 0.085 * bump(u, y, 0.56, p.cheek_y + 0.06, 0.17, 0.14)
    out["dimple"] = -0.030 * bump(u, y, p.mouth_half_width + 0.19, p.mouth_y - 0.06, 0.030, 0.055)
    out["corner"] = -0.028 * bump(u, y, p.mouth_half_width + 0.035, p.mouth_y + 0.01, 0.030, 0.045)
    return out


def displacement(identity: Identity, x: Array, y: Array, z: Array) -> Array:
    """How far each feature at 1 moves the skin.

    Parameters
    ----------
    identity : Identity
        The person; bone structure sets where the bases sit.
    x, y, z : numpy.ndarray
        (n,) float32 canvas positions and heights (relative to the eyes' plane).

    Returns
    -------
    numpy.ndarray
        (len(FEATURES), n, 2) float32 displacement bases, Gaussian per side and AU; excursions are our choice.
    """
    p = identity
    out = np.zeros((len(FEATURES), x.size, 2), dtype=np.float32)
    direction = np.array([0.108, -0.080]) * p.smile_gain
    turn = np.array([[np.cos(p.smile_angle), -np.sin(p.smile_angle)], [np.sin(p.smile_angle), np.cos(p.smile_angle)]])
    corner_move = turn @ direction

    def add(feature: str, cx: float, cy: float, sx: float, sy: float, dx: float, dy: float) -> None:
        weight = bump(x, y, cx, cy, sx, sy)
        out[FEATURES.index(feature), :, 0] += dx * weight
        out[FEATURES.index(feature), :, 1] += dy * weight

    for side, name in ((-1.0, "R"), (1.0, "L")):
        lip, cheek = f"AU12_{name}", f"AU06_{name}"
        add(lip, side * p.mouth_half_width, p.mouth_y, 0.20, 0.19, side * corner_move[0], corner_move[1])
        add(lip, side * 0.60, p.cheek_y + 0.20, 0.22, 0.19, side * 0.020, -0.045)
        add(lip, side * (p.nose_width - 0.02), p.nose_base - 0.08, 0.09, 0.09, side * 0.018, -0.012)
        add(cheek, side * 0.56, p.cheek_y, 0.26, 0.19, 0.0, -0.065)
        add(cheek, side * 0.52, 0.11, 0.21, 0.075, 0.0, -0.018)
        add(cheek, side * 0.78, p.brow_y[0], 0.16, 0.10, 0.0, 0.012)
    add("AU25", 0.0, p.mouth_y - 0.08, 0.26, 0.08, 0.0, -0.040)
    add("AU25", 0.0, p.mouth_y + 0.11, 0.26, 0.10, 0.0, 0.030)
    add("AU25xAU12", 0.0, p.mouth_y - 0.08, 0.30, 0.08, 0.0, -0.020)
    add("AU25xAU12", 0.0, p.mouth_y + 0.11, 0.28, 0.10, 0.0, 0.020)
    jaw = smoothstep((y - p.mouth_y + 0.25) / (p.chin - p.mouth_y + 0.15))
    out[FEATURES.index("AU26"), :, 1] = 0.22 * jaw
    out[FEATURES.index("AU26"), :, 0] = -0.03 * x * jaw
    out[FEATURES.index("yaw"), :, 0] = z
    out[FEATURES.index("pitch"), :, 1] = z
    return out


@dataclass(frozen=True)
class Points:
    """Every point that is followed from frame to frame: neutral positions (n, 2) and bases (features, n, 2)."""

    neutral: Array
    bases: Array
    slices: dict[str, slice]

    def at(self, weights: Array) -> dict[str, Array]:
        """Displaced points by name for feature weights (len(FEATURES),)."""
        moved = self.neutral + np.tensordot(weights, self.bases, axes=1)
        return {name: moved[part] for name, part in self.slices.items()}


def _curve(t: NDArray[np.float64], knots: list[float], values: list[float]) -> NDArray[np.float64]:
    return PchipInterpolator(knots, values)(t)


def follow(identity: Identity) -> Points:
    """Brow, nose and jaw landmarks and the dense lid and lip curves of a person, with their motion bases."""
    p = identity
    parts: dict[str, tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None]] = {}

    def put(name: str, x: NDArray[np.float64], y: NDArray[np.float64], line: NDArray[np.float64] | None = None) -> None:
        parts[name] = (x, y, line)

    # Jaw: from ear to ear along the outline, at angles that space the points about evenly.
    angle = np.linspace(-0.02, np.pi + 0.02, 17)
    direction = np.stack([-np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    radius = 1.0 / outline(p, direction[:, 0], direction[:, 1])
    for _ in range(6):
        spots = direction * radius[:, None]
        radius = radius / outline(p, spots[:, 0], spots[:, 1])
    put("jaw", *(direction * radius[:, None]).T.astype(np.float64))
    for side, name in ((-1.0, "R"), (1.0, "L")):
        t = np.linspace(0.0, 1.0, 5)
        bx, by = brow_line(p, t, side)
        put(f"brow_{name}", bx, by - 0.35 * p.brow_thickness)
        aperture = p.aperture[int(side > 0)]
        x = side * (0.5 + p.eye_half_width * _LID_T)
        base = -p.eye_tilt * _LID_T
        upper = _curve(_LID_T, [-1, -0.8, -0.45, -0.05, 0.35, 0.75, 1], [0, 0.52, 0.88, 1.0, 0.95, 0.64, 0])
        lower = _curve(_LID_T, [-1, -0.7, -0.2, 0.25, 0.65, 1], [0, 0.46, 0.86, 1.0, 0.80, 0])
        put(f"upper_lid_{name}", x, base - 0.58 * aperture * upper)
        put(f"lower_lid_{name}", x, base + 0.42 * aperture * lower)
    tip = p.nose_base - 0.12
    put("bridge", np.zeros(4), np.linspace(-0.03, tip - 0.02, 4))
    nose_x = np.array([-0.78, -0.40, 0.0, 0.40, 0.78]) * p.nose_width
    put("nostrils", nose_x, p.nose_base + np.array([-0.005, 0.018, 0.040, 0.018, -0.005]))

    t = _LIP_T
    rest = np.where(t < 0, p.corner_height[0], p.corner_height[1]) * np.square(t)
    line = p.mouth_y - rest + 0.006 * np.exp(-0.5 * np.square(t / 0.2))
    bow = _curve(t, [-1, -0.75, -0.27, 0, 0.27, 0.75, 1], [0.16, 0.46, 1, 1 - p.cupid, 1, 0.46, 0.16])
    full = _curve(t, [-1, -0.75, -0.35, 0, 0.35, 0.75, 1], [0.13, 0.50, 0.93, 1, 0.93, 0.50, 0.13])
    put("upper_outer", t * p.mouth_half_width, line - p.upper_lip * bow, line)
    put("upper_inner", t * 0.91 * p.mouth_half_width, line, line)
    put("lower_inner", t * 0.91 * p.mouth_half_width, line, line)
    put("lower_outer", t * p.mouth_half_width, line + p.lower_lip * full, line)

    neutral = np.concatenate([np.stack([x, y], 1) for x, y, _ in parts.values()]).astype(np.float32)
    # Both lips take their motion from the line between them, so that their thickness survives the smile.
    carrier_y = np.concatenate([y if along is None else along for _, y, along in parts.values()]).astype(np.float32)
    carrier_x = neutral[:, 0].copy()
    depth = height(p, carrier_x, carrier_y) - eye_plane(p)
    bases = displacement(p, carrier_x, carrier_y, depth)
    slices, start = {}, 0
    for name, (x, _, _) in parts.items():
        slices[name] = slice(start, start + len(x))
        start += len(x)
    _move_lids(bases, slices)
    _move_lips(bases, slices)
    return Points(neutral, bases, slices)


def brow_line(
    identity: Identity, t: NDArray[np.float64], side: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre line of a brow, t from 0 (towards the nose) to 1 (tail)."""
    p = identity
    y = p.brow_y[int(side > 0)]
    arch = _curve(t, [0, 0.3, 0.65, 1], [0.55, -0.35, -1.0, 0.75])
    return side * (0.19 + 0.66 * t), y + p.brow_arch * arch - p.brow_tilt * (t - 0.4)


def eye_plane(identity: Identity) -> float:
    """Height of the eyes, about which the head turns without moving them."""
    one = np.ones(1, dtype=np.float32)
    return float(height(identity, 0.5 * one, 0.0 * one)[0])


def _move_lids(bases: Array, slices: dict[str, slice]) -> None:
    arc = (1.0 - np.square(_LID_T)).astype(np.float32)
    for name in "RL":
        own = FEATURES.index(f"AU06_{name}")
        upper, lower = bases[:, slices[f"upper_lid_{name}"]], bases[:, slices[f"lower_lid_{name}"]]
        for part in (upper, lower):
            part[: FEATURES.index("yaw")] = 0.0
        lower[own, :, 1] = -0.030 * arc
        upper[own, :, 1] = 0.010 * arc


def _move_lips(bases: Array, slices: dict[str, slice]) -> None:
    t = _LIP_T.astype(np.float32)
    # Upper lip: flat with blunt corners. Lower lip: between a parabola and a circle.
    flat = 1.0 - np.power(np.abs(t), 2.8)
    round_ = 0.5 * (1.0 - np.square(t)) + 0.5 * np.sqrt(1.0 - np.square(t))
    part, jaw, both = FEATURES.index("AU25"), FEATURES.index("AU26"), FEATURES.index("AU25xAU12")
    for curve, sign in (("upper_outer", -1), ("upper_inner", -1), ("lower_inner", 1), ("lower_outer", 1)):
        own = bases[:, slices[curve]]
        arc = flat if sign < 0 else round_
        own[part], own[both], own[jaw] = 0.0, 0.0, 0.0
        own[part, :, 1] = (-0.034 if sign < 0 else 0.036) * arc
        own[both, :, 1] = (-0.012 if sign < 0 else 0.033) * arc
        own[jaw, :, 1] = 0.025 + (0.0 if sign < 0 else 0.125) * arc
        own[jaw, :, 0] = -0.022 * t
        for feature in ("AU12_R", "AU12_L"):
            lift = {"upper_outer": -0.001, "upper_inner": -0.005, "lower_inner": 0.007, "lower_outer": 0.003}[curve]
            own[FEATURES.index(feature), :, 1] += lift * (1.0 - np.square(t))
