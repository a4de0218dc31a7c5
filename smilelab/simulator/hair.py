"""Eight haircuts: an outer outline, an opening for the face, and strands that leave the crown."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from smilelab.simulator.geometry import Array, outline, smoothstep
from smilelab.simulator.identity import Identity
from smilelab.simulator.scene import fractal_noise


class _Cut(NamedTuple):
    thickness: float  # beyond the skull
    front: float  # y of the hairline over the forehead
    side: float  # half-width of the opening, in half-widths of the head
    ends: float  # y where the hair at the sides ends


_CUTS = {
    "bald": _Cut(0.015, -1.62, 0.98, 0.05),
    "buzz": _Cut(0.02, -0.99, 0.97, 0.02),
    "short": _Cut(0.13, -0.93, 0.97, 0.10),
    "parted": _Cut(0.17, -0.90, 0.96, 0.12),
    "tied": _Cut(0.09, -1.00, 1.00, -0.10),
    "bob": _Cut(0.19, -0.78, 0.93, 1.25),
    "long": _Cut(0.17, -0.95, 0.91, 2.02),
    "afro": _Cut(0.40, -0.97, 0.98, 0.20),
}


def _edge(distance: Array, pixel: float) -> Array:
    return np.clip(distance / pixel + 0.5, 0.0, 1.0)


def draw_hair(
    identity: Identity, x: Array, y: Array, rng: np.random.Generator, pixel: float
) -> tuple[Array, Array, Array]:
    """Hair of a person.

    Parameters
    ----------
    identity : Identity
        Style, volume and hairline.
    x, y : numpy.ndarray
        (s, s) float32 canvas coordinates.
    rng : numpy.random.Generator
        Places the strands.
    pixel : float
        Size of a texture pixel in canvas units.

    Returns
    -------
    coverage, tone, height : numpy.ndarray
        (s, s) float32: how much hair covers, its strand pattern about 1, and its surface towards the camera.
    """
    p = identity
    size = x.shape[0]
    ax = np.abs(x)
    style, volume, cut = p.hair_style, p.hair_volume, _CUTS[p.hair_style]
    # Strands leave the crown; tied hair is drawn back from the face instead.
    whorl = -0.4 if style == "tied" else -1.38
    angle = np.arctan2(x, -(y - whorl))
    radius = np.hypot(x, y - whorl)
    jitter = fractal_noise(rng, (size, size), (60, 60), 2)
    polar = fractal_noise(rng, (96, 1440), (3, 170), 3)
    strands = cv2.remap(
        polar,
        ((angle / (2 * np.pi) + 0.5) * 1439).astype(np.float32),
        (np.clip(radius / 2.6, 0, 1) * 95).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    thick = cut.thickness * (volume if style not in ("bald", "buzz") else 1.0)
    # Below the temples long styles fall straight instead of following the jaw.
    crown = outline(p, x, np.minimum(y, 0.0), grow=thick)
    taper = thick * (1.0 - 0.85 * smoothstep((y + 0.75) / 0.75)) if style in ("short", "parted", "tied") else thick
    outer = crown if style in ("bob", "long") else outline(p, x, y, grow=taper)
    ragged = 0.005 * strands + 0.004 * jitter
    if style == "afro":
        ragged = 0.03 * jitter + 0.03 * fractal_noise(rng, (size, size), (22, 22), 2)
    inside = _edge((1.0 - outer + ragged) * 1.1, 1.6 * pixel)

    top = np.full_like(x, cut.front + p.hairline)
    if style == "parted":
        top = top + 0.17 * np.tanh((x - 0.25) * np.sign(float(p.seed % 2) - 0.5) / 0.22)
    if style == "long":
        top = top - 0.22 * np.exp(-np.abs(x) / 0.16)
    # Long hair comes forward where the jaw narrows.
    half = cut.side * p.half_width * 0.985 * (1.0 - 0.30 * smoothstep((y - 0.55) / 1.0))
    opening = np.power(np.power(ax / half, 3.2) + np.power(np.clip((0.1 - y) / (0.1 - top), 1e-6, None), 3.2), 1 / 3.2)
    hairline = opening - 1.0 + (0.004 + 0.012 * (y < top + 0.15)) * strands + 0.006 * jitter
    soft = 0.16 if style in ("buzz", "bald") else 0.09
    cover = inside * smoothstep(hairline / soft + 0.5)
    cover = cover * (
        1 - smoothstep((y - cut.ends - 0.05 * strands) / (0.10 if style in ("bob", "long") else 0.28) + 0.5)
    )
    if style in ("bob", "long"):
        # The neck stays free.
        cover = cover * np.maximum(smoothstep((ax - 0.66 - 0.02 * strands) / 0.10), (y < 0.9).astype(np.float32))
    if style == "bald":
        rim = smoothstep((ax - 0.80 * p.half_width) / 0.1) * smoothstep((y + 0.75) / 0.3)
        cover = cover * rim * 0.55
    if style == "buzz":
        cover = cover * 0.72
    rise = p.depth * np.sqrt(np.clip(1.0 - np.square(outer), 0, None)) * 1.02 + 0.05
    if style == "afro":
        strands = fractal_noise(rng, (size, size), (80, 80), 2)
    tone = np.clip(1.0 + 0.24 * strands + 0.06 * jitter, 0.25, 1.9)
    return cover.astype(np.float32), tone.astype(np.float32), rise.astype(np.float32)
