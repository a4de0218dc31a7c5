"""Where a simulated person is filmed: light, background, shoulders and camera. Nothing here knows of a label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from smilelab.simulator.identity import Identity

Array = NDArray[Any]
DOMAINS = ("uva-nemo", "bbc", "mmi", "spos", "recordings")


@dataclass(frozen=True)
class Scene:
    """Illumination, background and camera of a clip. Colours are linear RGB, `light` points towards the light."""

    domain: str
    seed: int
    background: tuple[float, float, float]
    background_kind: str
    light: tuple[float, float, float]
    key: float
    ambient: float
    white_balance: tuple[float, float, float]
    gain: float
    noise_sd: float
    blur: float
    vignette: float
    gray: bool
    shirt: tuple[float, float, float]
    neckline: float
    shoulder_width: float
    offset: tuple[float, float]


@dataclass(frozen=True)
class _Domain:
    backgrounds: tuple[tuple[int, int, int], ...]
    kinds: tuple[str, ...]
    azimuth: float
    elevation: tuple[float, float]
    key: tuple[float, float]
    ambient: tuple[float, float]
    tint: float
    gain: tuple[float, float]
    noise: tuple[float, float]
    blur: tuple[float, float]
    vignette: tuple[float, float]
    gray: bool = False


# The databases' looks (studio, broadcast, laboratory, near infrared, at home); the numbers are our choice.
_DOMAINS = {
    "uva-nemo": _Domain(
        ((92, 118, 104), (150, 152, 156), (70, 96, 86), (186, 186, 178)), ("plain",),
        0.30, (0.30, 0.60), (0.72, 0.90), (0.34, 0.44), 0.03, (0.92, 1.06), (1.0, 2.2), (0.5, 0.8), (0.0, 0.15),
    ),
    "bbc": _Domain(
        ((206, 204, 196), (222, 218, 214), (176, 186, 196)), ("plain",),
        0.45, (0.35, 0.75), (0.80, 1.0), (0.26, 0.36), 0.05, (0.92, 1.10), (2.0, 4.0), (0.8, 1.2), (0.0, 0.25),
    ),
    "mmi": _Domain(
        ((96, 130, 176), (84, 104, 120), (160, 166, 172), (60, 66, 74)), ("plain", "curtain"),
        0.55, (0.15, 0.55), (0.70, 0.92), (0.30, 0.42), 0.06, (0.85, 1.08), (1.5, 3.0), (0.6, 1.0), (0.1, 0.3),
    ),
    "spos": _Domain(
        ((120, 120, 120), (92, 92, 92), (168, 168, 168)), ("plain", "curtain"),
        0.40, (0.10, 0.45), (0.75, 0.95), (0.26, 0.38), 0.0, (0.85, 1.10), (2.5, 4.5), (0.7, 1.1), (0.1, 0.35), True,
    ),
    "recordings": _Domain(
        ((196, 186, 170), (150, 140, 126), (110, 116, 126), (90, 84, 76), (170, 150, 150)),
        ("room", "room", "curtain", "plain"),
        0.85, (-0.05, 0.75), (0.62, 1.0), (0.26, 0.46), 0.10, (0.80, 1.15), (2.0, 5.0), (0.6, 1.4), (0.0, 0.4),
    ),
}  # fmt: skip


def draw_scene(rng: np.random.Generator, *, domain: str = "uva-nemo") -> Scene:
    """Draw where and how a clip is filmed.

    Parameters
    ----------
    rng : numpy.random.Generator
        The only source of randomness.
    domain : str
        One of ``uva-nemo``, ``bbc``, ``mmi``, ``spos`` (gray) or ``recordings``; each has its own light, background,
        tint, noise and blur, so that domains differ.

    Returns
    -------
    Scene

    Raises
    ------
    ValueError
        If the domain is unknown.
    """
    if domain not in _DOMAINS:
        raise ValueError(f"found domain {domain!r}; expected one of {', '.join(DOMAINS)}; pass one of these")
    d = _DOMAINS[domain]
    background = np.asarray(d.backgrounds[int(rng.integers(len(d.backgrounds)))]) * rng.uniform(0.85, 1.12)
    background = (np.clip(background + rng.normal(0, 7, 3) * (not d.gray), 15, 240) / 255.0) ** 2.2
    azimuth, elevation = rng.uniform(-d.azimuth, d.azimuth), rng.uniform(*d.elevation)
    light = np.array([np.sin(azimuth), -np.sin(elevation), 1.0 * np.cos(azimuth)])
    light /= np.linalg.norm(light)
    warmth = rng.normal(0, 1) * d.tint
    shirt = (np.clip(rng.uniform(25, 200) + rng.normal(0, 38, 3), 12, 235) / 255.0) ** 2.2
    return Scene(
        domain=domain,
        seed=int(rng.integers(0, 2**31)),
        background=(float(background[0]), float(background[1]), float(background[2])),
        background_kind=str(d.kinds[int(rng.integers(len(d.kinds)))]),
        light=(float(light[0]), float(light[1]), float(light[2])),
        key=float(rng.uniform(*d.key)),
        ambient=float(rng.uniform(*d.ambient)),
        white_balance=(float(np.exp(warmth)), float(np.exp(rng.normal(0, 0.15) * d.tint)), float(np.exp(-warmth))),
        gain=float(rng.uniform(*d.gain)),
        noise_sd=float(rng.uniform(*d.noise)),
        blur=float(rng.uniform(*d.blur)),
        vignette=float(rng.uniform(*d.vignette)),
        gray=d.gray,
        shirt=(float(shirt[0]), float(shirt[1]), float(shirt[2])),
        neckline=float(rng.uniform(0.0, 0.22)),
        shoulder_width=float(rng.uniform(1.95, 2.45)),
        offset=(float(rng.uniform(-0.18, 0.18)), float(rng.uniform(-0.08, 0.08))),
    )


def develop(linear: Array, scene: Scene) -> Array:
    """Camera response: linear RGB (..., 3) to display values 0..255, float32 (white balance, gain, shoulder, gamma)."""
    exposed = np.maximum(linear, 0.0) * (np.asarray(scene.white_balance, dtype=np.float32) * np.float32(scene.gain))
    # A soft shoulder above .8 keeps highlights from clipping to flat patches.
    over = np.maximum(exposed - 0.8, 0.0)
    exposed = np.minimum(exposed, 0.8) + 0.2 * (1.0 - np.exp(-over / 0.2))
    if scene.gray:
        gray = exposed @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
        exposed = np.repeat(gray[..., None], 3, axis=-1)
    return (255.0 * np.power(exposed, 1.0 / 2.2)).astype(np.float32)


def fractal_noise(
    rng: np.random.Generator, shape: tuple[int, int], cells: tuple[float, float], octaves: int = 3
) -> Array:
    """Smooth noise of about unit variance and any size; `cells` = (rows, columns) of the coarsest octave."""
    out = np.zeros(shape, dtype=np.float32)
    total = 0.0
    for octave in range(octaves):
        rows, columns = (max(2, round(c * 2**octave)) for c in cells)
        coarse = rng.standard_normal((rows, columns)).astype(np.float32)
        amplitude = 0.6**octave
        out += amplitude * cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
        total += amplitude**2
    return out / np.float32(np.sqrt(total))


def backdrop(identity: Identity, scene: Scene, x: Array, y: Array) -> Array:
    """Everything that stays still, linear RGB (h, w, 3).

    Parameters
    ----------
    identity, scene : Identity, Scene
        The neck takes the person's skin.
    x, y : numpy.ndarray
        (h, w) float32 positions of the frame's pixels in units of the distance between the eyes.
    """
    rng = np.random.default_rng(scene.seed)
    h, w = x.shape
    shade = 1.0 + 0.05 * fractal_noise(rng, (h, w), (2, 3), 2)
    gradient = rng.normal(0, 0.05, 2)
    span = float(np.abs(y).max()) + 1e-3
    shade = shade * (1.0 + gradient[0] * x / span + gradient[1] * y / span)
    if scene.background_kind == "curtain":
        shade = shade * (1.0 + 0.07 * np.sin(x * rng.uniform(5, 9) + 1.5 * fractal_noise(rng, (h, w), (2, 5), 2)))
    image = np.asarray(scene.background, dtype=np.float32) * shade[..., None]
    if scene.background_kind == "room":
        for _ in range(int(rng.integers(3, 7))):
            cx, cy = rng.uniform(-5, 5), rng.uniform(-3, 3)
            half_w, half_h = rng.uniform(0.3, 1.6), rng.uniform(0.4, 2.4)
            inside = _soft(half_w - np.abs(x - cx), 0.10) * _soft(half_h - np.abs(y - cy), 0.10)
            colour = np.asarray(scene.background) * rng.uniform(0.35, 1.5) + rng.normal(0, 0.03, 3)
            image = image + (inside * 0.8)[..., None] * (np.clip(colour, 0, 1).astype(np.float32) - image)
    radius = np.square(x / np.abs(x).max()) + np.square(y / span)
    image = image * (1.0 - scene.vignette * 0.5 * radius)[..., None]
    return _shoulders(identity, scene, x, y, image, rng)


def _soft(distance: Array, width: float) -> Array:
    return np.clip(distance / width + 0.5, 0.0, 1.0)


def _shoulders(identity: Identity, scene: Scene, x: Array, y: Array, image: Array, rng: np.random.Generator) -> Array:
    p = identity
    ax = np.abs(x)
    pixel = float(abs(x[0, 1] - x[0, 0])) if x.shape[1] > 1 else 0.02
    neck_width = (0.66 if p.sex == "male" else 0.56) * p.half_width / 1.105
    light = np.asarray(scene.light, dtype=np.float32)
    skin = np.asarray(p.skin, dtype=np.float32)

    flare = neck_width + 0.30 * np.square(np.clip((y - 1.55) / 0.8, 0, 1.4))
    side = np.clip(x / flare, -1, 1)
    lambert = np.clip(light[0] * side + light[2] * np.sqrt(1 - np.square(side) * 0.96), 0, 1)
    # The chin keeps light from the upper neck.
    shadow = 1.0 - 0.50 * np.exp(-np.square(np.clip(y - p.chin + 0.02, 0, None) / 0.26)) * np.exp(-np.square(x / 0.75))
    neck = skin * ((scene.ambient * 0.8 + scene.key * 0.72 * lambert) * shadow)[..., None]
    cover = _soft(flare - ax, 1.5 * pixel) * (y > 0.6)
    image = image + cover[..., None] * (neck - image)

    collar = p.chin + 0.40 + 0.05 * p.half_width
    slope = collar + 0.13 + 0.62 * np.square(np.clip(ax - 0.35, 0, None) / scene.shoulder_width)
    slope = slope + 2.2 * np.power(np.clip(ax / scene.shoulder_width - 0.78, 0, None), 2.0)
    neckhole = collar + 0.16 + scene.neckline - 0.45 * np.square(ax / 0.8)
    edge = np.where(ax < 0.95, np.maximum(slope - 0.16 * (1 - np.square(ax / 0.95)), neckhole), slope)
    cover = _soft(y - edge, 1.5 * pixel)
    wrinkle = fractal_noise(rng, x.shape, (3, 4), 3)
    fall = np.exp(-np.square((y - edge) / 0.10)) * 0.18
    shade = scene.ambient + scene.key * np.clip(
        0.72 + 0.18 * light[0] * x - 0.10 * (y - edge) + 0.05 * wrinkle, 0.05, 1.2
    )
    cloth = np.asarray(scene.shirt, dtype=np.float32) * (shade * (1 - fall))[..., None]
    return (image + cover[..., None] * (cloth - image)).astype(np.float32)
