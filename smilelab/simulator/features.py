"""Eyes and mouth, drawn every frame from followed curves: coverage is computed per pixel, so nothing flickers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from smilelab.simulator.geometry import Array
from smilelab.simulator.identity import Identity
from smilelab.simulator.scene import Scene, develop


@dataclass(frozen=True)
class Palette:
    """Display colours (3,) 0..255 of what is drawn every frame, under the light of the scene."""

    sclera: Array
    iris: Array
    iris_rim: Array
    lash: Array
    crease: Array
    rim: Array
    lip: Array
    lip_dark: Array
    lip_light: Array
    interior: Array
    teeth: Array
    gum: Array
    tongue: Array
    slope: float


def palette(identity: Identity, scene: Scene) -> Palette:
    """Colours of eyes and mouth of a person in a scene."""
    p = identity
    level = np.float32(scene.ambient + 0.85 * scene.key)
    skin = np.asarray(p.skin, dtype=np.float32)
    lip = skin * np.asarray(p.lip_tint, dtype=np.float32)
    iris = np.asarray(p.iris, dtype=np.float32)
    teeth = np.array([0.80, 0.76, 0.67], dtype=np.float32) * np.float32(p.teeth_shade)

    def out(colour: Array, gain: float = 1.0) -> Array:
        return develop(np.asarray(colour, dtype=np.float32) * level * np.float32(gain), scene)

    return Palette(
        sclera=out(np.array([0.62, 0.58, 0.55])),
        iris=out(iris, 1.15),
        iris_rim=out(iris, 0.25),
        lash=out(np.minimum(np.asarray(p.hair) * 0.25, 0.02) + 0.006),
        crease=out(skin * np.array([0.42, 0.34, 0.32])),
        rim=out(skin * np.array([0.98, 0.72, 0.70])),
        lip=out(lip),
        lip_dark=out(lip, 0.52),
        lip_light=out(lip * 1.12 + 0.03),
        interior=out(np.array([0.022, 0.006, 0.006])),
        teeth=out(teeth),
        gum=out(np.array([0.36, 0.12, 0.12])),
        tongue=out(np.array([0.22, 0.055, 0.055])),
        # How much brighter the picture gets from the subject's right to the left across the mouth.
        slope=float(scene.light[0]) * 0.35 * scene.key,
    )


def _cover(y: Array, above: Array, below: Array, half: float) -> Array:
    return np.clip((np.minimum(y + half, below) - np.maximum(y - half, above)) / (2.0 * half), 0.0, 1.0)


def _on(x: Array, curve: Array) -> Array:
    return np.interp(x.ravel(), curve[:, 0], curve[:, 1]).reshape(x.shape).astype(np.float32)


def _mix(patch: Array, alpha: Array, colour: Array) -> None:
    patch += alpha[..., None] * (colour - patch)


def draw_eye(
    patch: Array,
    x: Array,
    y: Array,
    upper: Array,
    lower: Array,
    iris: tuple[float, float],
    closure: float,
    identity: Identity,
    colours: Palette,
    soft: float,
    catch: tuple[float, float],
) -> None:
    """Draw one eye into patch (h, w, 3) float32 in place; curves run by rising x, lengths in canvas units."""
    p = identity
    left, right = float(upper[0, 0]), float(upper[-1, 0])
    middle, half = 0.5 * (left + right), 0.5 * (right - left)
    side = 1.0 if middle > 0 else -1.0
    top, bottom = _on(x, upper), _on(x, lower)
    t = (x - middle) / half * side
    within = np.clip((1.0 - np.abs(t)) * half / (2 * soft) + 0.5, 0, 1)
    openness = 1.0 - closure

    arc = np.clip(1.0 - np.square(t * 0.92), 0, 1)
    crease_y = top - p.crease * (0.45 + 0.55 * openness) * np.sqrt(arc) - 0.012
    crease = np.exp(-np.square((y - crease_y) / (0.011 + 0.5 * soft))) * arc * (0.16 + 0.44 * openness)
    _mix(patch, crease.astype(np.float32), colours.crease)
    shade = np.clip((y - crease_y) / 0.05, 0, 1) * np.clip((top - y) / 0.03, 0, 1) * arc * 0.16
    _mix(patch, shade.astype(np.float32), colours.crease)
    rim = np.exp(-np.square((y - bottom - 0.010) / 0.013)) * arc * within * 0.35
    _mix(patch, rim.astype(np.float32), colours.rim)

    inside = _cover(y, top, bottom, soft) * within
    ix, iy = iris
    radius = np.sqrt(np.square(x - ix) + np.square(y - iy))
    ball = np.clip(1.0 - 0.30 * np.square(t) - 0.42 * np.exp(-np.clip(y - top, 0, None) / 0.030), 0.2, 1.0)
    eye = colours.sclera * ball[..., None]
    corner = np.exp(-np.square((t + 0.98) / 0.13))
    eye = eye + (0.75 * corner)[..., None] * (colours.rim * 0.85 - eye)
    on_iris = np.clip((p.iris_radius - radius) / (2.0 * soft) + 0.5, 0, 1)
    depth = np.clip(radius / p.iris_radius, 0, 1)
    ring = np.clip((depth - 0.72) / 0.28, 0, 1)
    # Light crosses the iris and brightens the side away from it.
    glow = 1.0 + 0.25 * np.clip(((x - ix) * -catch[0] + (y - iy) * -catch[1]) / p.iris_radius, -1, 1)
    iris_colour = (colours.iris * (1 - ring[..., None]) + colours.iris_rim * ring[..., None]) * glow[..., None]
    iris_colour = iris_colour * np.clip(0.45 + (y - top) / 0.06, 0.45, 1.0)[..., None]
    pupil = np.clip((0.40 * p.iris_radius - radius) / (2.0 * soft) + 0.5, 0, 1)
    iris_colour = iris_colour * (1.0 - 0.92 * pupil)[..., None]
    eye = eye + on_iris[..., None] * (iris_colour - eye)
    spark = np.exp(
        -(np.square(x - ix - 0.035 * catch[0]) + np.square(y - iy - 0.04 * catch[1])) / (0.012 + 0.4 * soft) ** 2
    )
    eye = eye + (spark * (0.85 - 0.4 * min(soft / 0.03, 1)))[..., None] * (
        250.0 * colours.sclera / colours.sclera.max() - eye
    )
    patch += inside[..., None] * (eye.astype(np.float32) - patch)

    # A shut lid darkens towards its lashes.
    dusk = np.exp(-np.square((y - top) / 0.045)) * arc * closure * 0.55
    _mix(patch, dusk.astype(np.float32), colours.crease)
    thickness = (0.013 + 0.011 * np.clip(t + 0.3, 0, 1.3)) * (1.15 if p.sex == "female" else 0.95)
    reach = np.clip((1.06 - np.abs(t)) * half / 0.05, 0, 1)
    lash = _cover(y, top - thickness, top + 0.4 * thickness + 0.25 * soft, max(soft, 0.008)) * reach
    _mix(patch, (lash * 0.92).astype(np.float32), colours.lash)
    under = np.exp(-np.square((y - bottom) / (0.008 + 0.5 * soft))) * np.clip(t + 0.9, 0, 1.2) * reach
    _mix(patch, (np.clip(under, 0, 1) * (0.30 + 0.25 * closure)).astype(np.float32), colours.lash)


def draw_mouth(
    patch: Array,
    x: Array,
    y: Array,
    curves: dict[str, Array],
    jaw: float,
    identity: Identity,
    colours: Palette,
    soft: float,
    sway: float,
) -> None:
    """Draw lips, teeth and the inside of the mouth into patch (h, w, 3) float32 in place."""
    p = identity
    outer_top, outer_bottom = _on(x, curves["upper_outer"]), _on(x, curves["lower_outer"])
    inner_top, inner_bottom = _on(x, curves["upper_inner"]), _on(x, curves["lower_inner"])
    left, right = float(curves["upper_outer"][0, 0]), float(curves["upper_outer"][-1, 0])
    middle, half = 0.5 * (left + right), 0.5 * (right - left)
    t = (x - middle) / half
    within = np.clip((1.0 - np.abs(t)) * half / (0.02 + 2 * soft) + 0.5, 0, 1)
    lateral = (1.0 + colours.slope * t)[..., None]
    soften = max(soft, 0.013)

    # Shadow under the lower lip, so that it stands out from the chin.
    below = np.clip((y - outer_bottom) / 0.05, 0, None)
    drop = (
        0.26
        * np.exp(-np.square(below - 0.45) / 0.5)
        * np.clip(below * 2.0, 0, 1)
        * np.clip(1 - np.square(t / 0.8), 0, 1)
    )
    patch *= (1.0 - drop)[..., None]

    v = np.clip((y - outer_top) / np.maximum(inner_top - outer_top, 0.01), 0, 1)
    upper = (colours.lip * (0.86 - 0.20 * v[..., None])) * lateral
    patch += (_cover(y, outer_top, inner_top, soften) * within)[..., None] * (upper.astype(np.float32) - patch)
    v = np.clip((y - inner_bottom) / np.maximum(outer_bottom - inner_bottom, 0.01), 0, 1)
    shine = np.exp(-np.square((v - 0.38) / 0.24)) * np.exp(-np.square(t / 0.55))
    lower = colours.lip * (1.02 - 0.22 * np.square(v))[..., None]
    lower = (lower + (0.5 * shine)[..., None] * (colours.lip_light - lower)) * lateral
    patch += (_cover(y, inner_bottom, outer_bottom, soften) * within)[..., None] * (lower.astype(np.float32) - patch)

    gap = inner_bottom - inner_top
    inner_left, inner_right = float(curves["upper_inner"][0, 0]), float(curves["upper_inner"][-1, 0])
    inside_x = np.clip((np.minimum(x - inner_left, inner_right - x)) / (2 * soft) + 0.5, 0, 1)
    hole = _cover(y, inner_top, inner_bottom, soft) * inside_x
    if float(gap.max()) > 1e-3:
        inside = np.broadcast_to(colours.interior, patch.shape).copy()
        centre = p.mouth_y + 0.02
        tongue = np.clip((y - (inner_bottom - 0.09)) / 0.08, 0, 1) * np.clip(1 - np.square(x / 0.3), 0, 1) * 0.7
        inside += tongue[..., None] * (colours.tongue - inside)
        dx = x - sway
        fade = np.clip(1.0 - np.power(np.abs(dx) / 0.46, 3.0), 0.0, 1.0)
        row = np.abs(dx) / 0.125
        seam = np.exp(-np.square((row - np.round(row)) * 0.125 / (0.006 + 0.4 * soft)))
        shade = fade * (1.0 - 0.13 * seam) * (1.0 - 0.30 * np.exp(-np.clip(y - inner_top, 0, None) / 0.022))
        teeth = colours.teeth * np.clip(shade, 0.06, 1)[..., None]
        edge = centre + p.teeth_length - 0.38 * np.square(dx) - 0.006 * np.square(np.cos(np.pi * (row - 0.5)))
        edge = edge.astype(np.float32)
        gum = np.clip((p.mouth_y - 0.115 - y) / 0.02, 0, 1) * 0.85
        teeth = teeth + gum[..., None] * (colours.gum - teeth)
        # Lower teeth ride on the jaw.
        low = centre + 0.055 + 0.14 * jaw - 0.30 * np.square(dx)
        lower_teeth = _cover(y, low.astype(np.float32), low.astype(np.float32) + 0.2, soft) * fade * 0.75
        inside += lower_teeth[..., None] * (0.80 * teeth - inside)
        inside += _cover(y, edge - 0.5, edge, soft)[..., None] * (teeth - inside)
        patch += hole[..., None] * (inside.astype(np.float32) - patch)
    line = 0.5 * (inner_top + inner_bottom)
    closed = np.clip(1.0 - gap / 0.025, 0, 1)
    seam_alpha = np.exp(-np.square((y - line) / (0.009 + 0.5 * soft))) * closed * inside_x * 0.85
    _mix(patch, seam_alpha.astype(np.float32), colours.lip_dark * 0.62)
    for end in (0, -1):
        cx = float(curves["upper_inner"][end, 0])
        cy = 0.5 * float(curves["upper_inner"][end, 1] + curves["lower_inner"][end, 1])
        spot = np.exp(-(np.square((x - cx) / (0.028 + soft)) + np.square((y - cy) / (0.016 + soft)))) * 0.6
        _mix(patch, spot.astype(np.float32), colours.lip_dark * 0.62)
