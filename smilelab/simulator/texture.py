"""A person's head as a lit picture: albedo, hair and shading, computed once and then only warped."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from smilelab.simulator.geometry import (
    SPAN,
    Array,
    brow_line,
    bump,
    coordinates,
    folds,
    height,
    outline,
    smoothstep,
)
from smilelab.simulator.hair import draw_hair
from smilelab.simulator.identity import Identity
from smilelab.simulator.scene import Scene, develop, fractal_noise

# Per channel: red light bleeds furthest into the shadow side of skin.
_WRAP = np.array([0.42, 0.30, 0.26], dtype=np.float32)


@dataclass(frozen=True)
class FoldPatch:
    """What one fold at full depth adds to the picture, 0..255 units, inside a window of the texture."""

    name: str
    side: str
    window: tuple[slice, slice]
    delta: Array


@dataclass(frozen=True)
class HeadTexture:
    """Lit head: premultiplied RGB (s, s, 3) uint8, coverage (s, s) uint8, and the patches of the folds."""

    colour: np.ndarray
    coverage: np.ndarray
    folds: tuple[FoldPatch, ...]


def _blur(image: Array, sigma: float) -> Array:
    return cv2.GaussianBlur(image, (0, 0), max(sigma, 0.3))


def _edge(distance: Array, pixel: float) -> Array:
    return np.clip(distance / pixel + 0.5, 0.0, 1.0)


def _skin_albedo(identity: Identity, x: Array, y: Array, rng: np.random.Generator, *, features: bool) -> Array:
    p = identity
    size = x.shape[0]
    ax = np.abs(x)
    skin = np.broadcast_to(np.asarray(p.skin, dtype=np.float32), (size, size, 3)).copy()
    if not features:
        return skin
    mottle = fractal_noise(rng, (size, size), (9, 9), 4)
    pores = fractal_noise(rng, (size, size), (110, 110), 2)
    skin *= (1.0 + p.blotch * mottle + 0.018 * pores)[..., None]
    red = 0.9 * bump(ax, y, 0.62, 0.55, 0.25, 0.22) + 0.8 * bump(x, y, 0, 0.64, 0.14, 0.13)
    red = red + 0.35 * bump(x, y, 0, 1.55, 0.2, 0.15) + 0.8 * bump(ax, y, p.half_width + 0.05, 0.15, 0.12, 0.3)
    red = red * p.redness * (1 + 0.35 * fractal_noise(rng, (size, size), (12, 12), 3)) * (0.16 - 0.09 * p.skin_tone)
    skin *= np.stack([1.0 + 0.15 * red, 1.0 - 0.9 * red, 1.0 - 0.75 * red], -1)
    freckle = np.clip(fractal_noise(rng, (size, size), (70, 70), 2) - 1.15, 0, 0.8)
    freckle = freckle * p.freckles * 0.42 * (bump(ax, y, 0.45, 0.45, 0.4, 0.3) + 0.25 * (y > -1.0))
    skin *= 1.0 - np.clip(freckle, 0, 0.5)[..., None] * np.array([0.55, 0.85, 1.0], dtype=np.float32)
    for _ in range(p.moles):
        mx, my, radius = rng.uniform(-0.9, 0.9), rng.uniform(-0.9, 1.5), rng.uniform(0.010, 0.020)
        clear = min(abs(abs(mx) - 0.5) / 0.35, 1.0) if abs(my) < 0.25 else 1.0
        near_mouth = abs(mx) < 0.6 and abs(my - p.mouth_y) < 0.25
        if clear == 1.0 and not near_mouth:
            skin *= 1.0 - 0.55 * bump(x, y, mx, my, radius, radius)[..., None]
    nostril = bump(ax, y, p.nose_width * 0.42, p.nose_base - 0.028, 0.042, 0.021)
    skin *= 1.0 - (0.72 * nostril)[..., None] * np.array([0.85, 1.0, 1.0], dtype=np.float32)
    lid = bump(ax, y, 0.50, 0.0, 0.24, 0.12) * (0.13 + 0.06 * p.redness)
    skin *= 1.0 - lid[..., None] * np.array([0.6, 1.0, 0.85], dtype=np.float32)
    bag = bump(ax, y, 0.44, 0.17, 0.17, 0.05) * 0.10
    skin *= 1.0 - bag[..., None]
    return skin


def _brows(identity: Identity, x: Array, y: Array, rng: np.random.Generator) -> Array:
    p = identity
    size = x.shape[0]
    cover = np.zeros_like(x)
    t = np.linspace(0, 1, 60)
    hairs = fractal_noise(rng, (size, size), (110, 110), 2)
    # Strands: noise drawn out along the brow.
    length = max(3, round(size / SPAN * 0.07))
    hairs = cv2.blur(hairs, (length, 1))
    hairs = hairs / np.float32(hairs.std() + 1e-6)
    for side in (-1.0, 1.0):
        bx, by = brow_line(p, t, side)
        u = x * side
        along = (u - 0.19) / 0.66
        centre = np.interp(u.ravel(), bx * side, by).reshape(x.shape).astype(np.float32)
        thick = p.brow_thickness * (
            0.75 + 0.45 * np.clip(1 - np.abs(along - 0.3) / 0.6, 0, 1) - 0.45 * smoothstep((along - 0.55) / 0.5)
        )
        mask = np.exp(-np.power(np.abs((y - centre) / np.maximum(thick, 0.006)), 2.6))
        mask = mask * smoothstep((along + 0.04) / 0.16) * (1 - smoothstep((along - 0.88) / 0.16))
        cover = np.maximum(cover, mask * np.clip(0.94 + 0.13 * hairs, 0, 1))
    return cover * p.brow_strength


def _beard(identity: Identity, x: Array, y: Array, rng: np.random.Generator) -> Array:
    p = identity
    if p.beard == "none":
        return np.zeros_like(x)
    size = x.shape[0]
    ax = np.abs(x)
    top = p.mouth_y - 0.17 - 0.72 * smoothstep((ax - 0.34) / 0.62) + 0.16 * bump(ax, y, 0.55, 0.9, 0.16, 0.4)
    region = smoothstep((y - top) / 0.26) * smoothstep((1.06 - outline(p, x, y)) / 0.10)
    lips = bump(x, y, 0, p.mouth_y + 0.02, 0.34, 0.085)
    region = region * (1 - np.clip(1.1 * lips, 0, 1)) * (1 - 0.35 * bump(ax, y, 0.16, p.mouth_y + 0.20, 0.09, 0.05))
    grain = fractal_noise(rng, (size, size), (90, 90), 2)
    strength = (0.24 if p.beard == "stubble" else 0.58) * (0.55 + 0.45 * p.beard_strength)
    return np.clip(region * strength * (1.0 + 0.16 * grain), 0, 0.85)


class _Light:
    """Lambert-wrap, specular and ambient occlusion of one scene."""

    def __init__(self, scene: Scene, step: float) -> None:
        self.scene, self.step = scene, step
        self.direction = np.asarray(scene.light, dtype=np.float32)
        half = self.direction + np.array([0.0, 0.0, 1.0], dtype=np.float32)
        self.half = half / np.linalg.norm(half)

    def shade(self, z: Array, albedo: Array, gloss: Array) -> Array:
        """Linear RGB of a surface of that height and albedo (h, w, 3)."""
        gx = np.clip(cv2.Sobel(z, cv2.CV_32F, 1, 0, ksize=3, scale=0.125 / self.step), -2.6, 2.6)
        gy = np.clip(cv2.Sobel(z, cv2.CV_32F, 0, 1, ksize=3, scale=0.125 / self.step), -2.6, 2.6)
        norm = 1.0 / np.sqrt(1.0 + gx * gx + gy * gy)
        dot = (self.direction[2] - gx * self.direction[0] - gy * self.direction[1]) * norm
        diffuse = np.clip((dot[..., None] + _WRAP) / (1 + _WRAP), 0, None)
        facing = np.clip((self.half[2] - gx * self.half[0] - gy * self.half[1]) * norm, 0, 1)
        wide = _blur(z, 0.16 / self.step) - z
        narrow = _blur(z, 0.05 / self.step) - z
        open_sky = np.clip(1.0 - 1.5 * np.clip(wide, -0.05, 0.2) - 2.0 * np.clip(narrow, -0.03, 0.1), 0.35, 1.15)
        # The sky is brighter than the floor.
        ambient = self.scene.ambient * (1.0 - 0.16 * gy * norm) * open_sky
        light = ambient[..., None] + self.scene.key * diffuse * np.sqrt(open_sky)[..., None]
        return albedo * light + (gloss * np.power(facing, 22.0))[..., None]


def head_texture(
    identity: Identity, scene: Scene, size: int, *, blur_px: float = 0.0, features: bool = True
) -> HeadTexture:
    """Light a person's head.

    Parameters
    ----------
    identity, scene : Identity, Scene
        Who and under which light.
    size : int
        Pixels a side of the canvas.
    blur_px : float
        Standard deviation of the lens blur, in texture pixels.
    features : bool
        False leaves out brows, eyes, nose and mouth: a control that no face detector should accept.

    Returns
    -------
    HeadTexture
    """
    p = identity
    rng = np.random.default_rng(p.seed)
    x, y = coordinates(size)
    step = SPAN / size
    ax = np.abs(x)
    z = height(p, x, y, features=features)
    albedo = _skin_albedo(p, x, y, rng, features=features)
    gloss = np.full_like(x, p.gloss) * (1.0 + 0.5 * bump(x, y, 0, 0.55, 0.2, 0.2) + 0.3 * bump(x, y, 0, -0.7, 0.5, 0.3))
    gloss = gloss * float(features)
    head_cover = _edge((1.0 - outline(p, x, y)) * 1.1, 1.3 * step)

    ear_u, ear_v = (ax - p.half_width - 0.015) / 0.115, (y - 0.17 + 0.25 * (ax - p.half_width)) / 0.285
    ear_r = np.sqrt(np.square(ear_u) + np.square(ear_v))
    ear_cover = _edge((1.0 - ear_r) * 0.12, 1.3 * step) * float(features)
    ear_z = 0.16 * np.sqrt(np.clip(1 - np.square(ear_r), 0, 1)) - 0.05 * np.exp(-np.square(ear_r / 0.55)) - 0.02
    under_ear = (head_cover < 0.5) & (ear_cover > 0)
    z = np.where(under_ear, ear_z, z)
    cover = np.maximum(head_cover, ear_cover)

    hair_colour = np.asarray(p.hair, dtype=np.float32)
    if features:
        beard = _beard(p, x, y, rng)[..., None]
        albedo = albedo + beard * (0.75 * hair_colour + 0.12 * np.asarray(p.skin, dtype=np.float32) - albedo)
        brow = _brows(p, x, y, rng)[..., None]
        dark = np.minimum(hair_colour * 0.8, 0.30 * np.asarray(p.skin, dtype=np.float32))
        albedo = albedo + brow * (dark - albedo)
        gloss = gloss * (1 - 0.8 * np.maximum(brow, beard)[..., 0])
    hair, tone, rise = draw_hair(p, x, y, rng, step)
    # Hair lies softly on the skin: a cliff in height would draw a bright rim around the face.
    solid = _blur(smoothstep(hair), 0.045 / step)
    solid = np.square(np.clip(2.0 * solid - 1.0, 0, 1))
    z = z * (1 - solid) + np.maximum(rise, z) * solid + 0.012 * (tone - 1) * solid
    # Where there is no skin, the hair's soft edge must not fade to skin.
    pure = np.maximum(hair, (hair > 0) * (1.0 - cover))
    albedo = albedo + pure[..., None] * (hair_colour * tone[..., None] - albedo)
    gloss = gloss * (1 - hair) + hair * 0.035 * tone
    cover = np.maximum(cover, hair if p.hair_style not in ("bald", "buzz") else 0 * hair)
    if features:
        for side in (-1.0, 1.0):
            rest = folds(p, x, y, side)
            for fold, depth in zip(("nasolabial", "infraorbital", "crow", "apple"), p.resting_folds, strict=True):
                z = z + depth * rest[fold]
        age = float(np.clip((p.age - 25.0) / 45.0, 0, 1))
        lines = age * p.fold_gain * 0.006 * np.sin((y + 0.05 * np.cos(2 * x)) * 38.0) * bump(x, y, 0, -0.68, 0.42, 0.13)
        z = z + lines * (1 - hair)

    light = _Light(scene, step)
    picture = develop(light.shade(z, albedo, gloss), scene)
    patches = []
    if features:
        for side, name in ((-1.0, "R"), (1.0, "L")):
            for fold, relief in folds(p, x, y, side).items():
                rows, columns = np.nonzero(np.abs(relief) > 4e-4)
                if not len(rows):
                    continue
                window = tuple(slice(max(int(v.min()) - 2, 0), int(v.max()) + 3) for v in (rows, columns))
                pad = int(np.ceil(0.5 / step))
                big = tuple(slice(max(s.start - pad, 0), min(s.stop + pad, size)) for s in window)
                inner = tuple(slice(s.start - b.start, s.stop - b.start) for s, b in zip(window, big, strict=True))
                lit = develop(light.shade((z + relief)[big], albedo[big], gloss[big]), scene)
                before = develop(light.shade(z[big], albedo[big], gloss[big]), scene)
                delta = (lit - before)[inner]
                patches.append(FoldPatch(fold, name, (window[0], window[1]), _blur(delta, max(blur_px, 0.3))))
    premultiplied = picture * cover[..., None]
    if blur_px > 0.3:
        premultiplied, cover = _blur(premultiplied, blur_px), _blur(cover, blur_px)
    return HeadTexture(
        np.clip(premultiplied + 0.5, 0, 255).astype(np.uint8),
        np.clip(cover * 255 + 0.5, 0, 255).astype(np.uint8),
        tuple(patches),
    )
