"""Who a simulated person is: bone structure, skin, hair and resting face, drawn once a subject."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

HAIR_STYLES = ("bald", "buzz", "short", "parted", "tied", "bob", "long", "afro")
BEARDS = ("none", "stubble", "beard")

# sRGB, light to dark; a person's skin is a point on the line through these.
_SKIN_ANCHORS = np.array(
    [[246, 214, 197], [236, 192, 166], [220, 170, 135], [190, 134, 98], [146, 96, 68], [98, 63, 47]], dtype=np.float64
)
_HAIR_COLOURS = np.array(
    [[22, 18, 17], [42, 29, 23], [74, 48, 32], [112, 74, 44], [176, 134, 82], [122, 54, 30]], dtype=np.float64
)
_IRIS_COLOURS = np.array(
    [[58, 36, 22], [84, 54, 30], [112, 92, 52], [96, 116, 92], [86, 120, 150], [128, 146, 160]], dtype=np.float64
)
_GRAY_HAIR = np.array([188.0, 186.0, 184.0])


@dataclass(frozen=True)
class Identity:
    """The parts of a face that no expression changes. Lengths in units of the distance between the eye centres.

    Pairs are (subject's right, subject's left); `resting_folds` are the depths at rest of nasolabial, infraorbital and
    crow's-feet folds and of the cheek's apple, as shares of what a full expression adds. Colours are linear RGB in
    [0, 1]. Resting corner height, lid aperture, folds, cheeks and brows vary between subjects by more than
    classes of smiles differ, on purpose: a person's own neutral face carries information.
    """

    age: float
    sex: str
    seed: int
    half_width: float
    chin: float
    crown: float
    jaw_exponent: float
    depth: float
    brow_y: tuple[float, float]
    brow_arch: float
    brow_tilt: float
    brow_thickness: float
    brow_strength: float
    brow_ridge: float
    eye_half_width: float
    aperture: tuple[float, float]
    eye_tilt: float
    crease: float
    socket: float
    iris_radius: float
    nose_width: float
    nose_base: float
    nose_ridge: float
    nose_bulb: float
    mouth_y: float
    mouth_half_width: float
    corner_height: tuple[float, float]
    upper_lip: float
    lower_lip: float
    cupid: float
    cheek: float
    cheek_y: float
    chin_bump: float
    smile_gain: float
    smile_angle: float
    fold_gain: float
    resting_folds: tuple[float, float, float, float]
    dimple: float
    teeth_length: float
    teeth_shade: float
    skin: tuple[float, float, float]
    skin_tone: float
    redness: float
    blotch: float
    freckles: float
    moles: int
    gloss: float
    lip_tint: tuple[float, float, float]
    iris: tuple[float, float, float]
    hair: tuple[float, float, float]
    hair_style: str
    hair_volume: float
    hairline: float
    beard: str
    beard_strength: float


def _linear(colour: np.ndarray) -> np.ndarray:
    return (colour / 255.0) ** 2.2


def _rgb(colour: np.ndarray) -> tuple[float, float, float]:
    return float(colour[0]), float(colour[1]), float(colour[2])


def _clipped(rng: np.random.Generator, mean: float, sd: float, limit: float = 2.2) -> float:
    return float(mean + sd * np.clip(rng.standard_normal(), -limit, limit))


def draw_identity(rng: np.random.Generator, *, age: float, sex: str) -> Identity:
    """Draw a person.

    Parameters
    ----------
    rng : numpy.random.Generator
        The only source of randomness.
    age : float
        Years. Deepens the folds, grays and thins the hair, dulls the skin a little; children have rounder faces.
    sex : str
        ``"female"`` or ``"male"`` (the first letter is enough). Changes hair, beard share, jaw and brows a little.

    Returns
    -------
    Identity

    Raises
    ------
    ValueError
        If the age is not within 0 to 120 or the sex is not recognised.

    Notes
    -----
    Ranges are our choice, tuned against a face detector and a landmark predictor alone.
    """
    if not (np.isfinite(age) and 0 <= age <= 120):
        raise ValueError(f"found age {age!r}; expected years within 0..120; pass the age of the subject in years")
    if not sex or sex[0].lower() not in "mf":
        raise ValueError(f"found sex {sex!r}; expected 'female' or 'male'; pass one of the two")
    male = sex[0].lower() == "m"
    child = float(np.clip((17.0 - age) / 10.0, 0.0, 1.0))
    old = float(np.clip((age - 30.0) / 45.0, 0.0, 1.0))
    adult_male = float(male) * (1.0 - child)

    tone = float(rng.beta(1.3, 2.4))
    position = tone * (len(_SKIN_ANCHORS) - 1)
    skin = np.array([np.interp(position, np.arange(len(_SKIN_ANCHORS)), _SKIN_ANCHORS[:, c]) for c in range(3)])
    skin = _linear(np.clip(skin + rng.normal(0, 4.0, 3), 20, 250))
    darkness = tone + rng.normal(0, 0.12)
    if darkness > 0.38:
        hair = _HAIR_COLOURS[int(rng.integers(0, 2))]
    else:
        hair = _HAIR_COLOURS[int(rng.choice(6, p=[0.08, 0.22, 0.28, 0.2, 0.14, 0.08]))]
    hair = np.clip(hair * rng.uniform(0.85, 1.15) + rng.normal(0, 3.0, 3), 8, 230)
    natural_hair = hair
    gray = float(np.clip((age - 38.0) / 34.0 + rng.normal(0, 0.25), 0.0, 1.0)) if age > 32 else 0.0
    hair = hair * (1 - gray) + (_GRAY_HAIR + rng.normal(0, 8)) * gray
    if darkness > 0.38:
        iris = _IRIS_COLOURS[int(rng.integers(0, 2))]
    else:
        iris = _IRIS_COLOURS[int(rng.choice(6, p=[0.18, 0.2, 0.17, 0.15, 0.18, 0.12]))]
    iris = np.clip(iris + rng.normal(0, 6.0, 3), 15, 200)

    if male:
        weights = np.array([0.05 + 0.2 * old, 0.18, 0.37, 0.22, 0.02, 0.02, 0.02, 0.1])
    else:
        weights = np.array([0.0, 0.01, 0.12, 0.14, 0.23, 0.24, 0.2, 0.06])
    if child > 0.3:
        weights[:2] = 0.0
    style = HAIR_STYLES[int(rng.choice(len(HAIR_STYLES), p=weights / weights.sum()))]
    beard_weights = [1 - 0.45 * adult_male, 0.28 * adult_male, 0.17 * adult_male] if age >= 19 else [1.0, 0.0, 0.0]
    beard = BEARDS[int(rng.choice(3, p=beard_weights))]

    brow_y = _clipped(rng, -0.365, 0.035) + 0.012 * adult_male
    brow_side = _clipped(rng, 0.0, 0.009)
    aperture = _clipped(rng, 0.172, 0.021) + 0.018 * child - 0.014 * old
    aperture_side = _clipped(rng, 0.0, 0.006)
    corner, corner_side = _clipped(rng, 0.0, 0.016), _clipped(rng, 0.0, 0.006)
    lip_shade = rng.uniform(-0.06, 0.06)
    return Identity(
        age=float(age),
        sex="male" if male else "female",
        seed=int(rng.integers(0, 2**31)),
        half_width=_clipped(rng, 1.105, 0.045) + 0.02 * adult_male + 0.02 * child,
        chin=_clipped(rng, 1.70, 0.055) + 0.045 * adult_male - 0.09 * child,
        crown=_clipped(rng, 1.50, 0.05),
        jaw_exponent=_clipped(rng, 2.15, 0.14) + 0.2 * adult_male,
        depth=_clipped(rng, 0.92, 0.04),
        brow_y=(brow_y - brow_side, brow_y + brow_side),
        brow_arch=float(rng.uniform(0.02, 0.075)),
        brow_tilt=_clipped(rng, 0.0, 0.018),
        brow_thickness=float(rng.uniform(0.030, 0.048)) + 0.010 * adult_male - 0.006 * child,
        brow_strength=float(rng.uniform(0.68, 0.95)),
        brow_ridge=float(rng.uniform(0.02, 0.05)) + 0.025 * adult_male,
        eye_half_width=_clipped(rng, 0.232, 0.010),
        aperture=(aperture - aperture_side, aperture + aperture_side),
        eye_tilt=_clipped(rng, 0.012, 0.014),
        crease=float(rng.uniform(0.035, 0.075)),
        socket=float(rng.uniform(0.07, 0.13)),
        iris_radius=_clipped(rng, 0.094, 0.004),
        nose_width=_clipped(rng, 0.235, 0.022) + 0.012 * adult_male + 0.03 * max(tone - 0.4, 0.0),
        nose_base=_clipped(rng, 0.775, 0.03) - 0.05 * child,
        nose_ridge=_clipped(rng, 0.36, 0.045) - 0.08 * child,
        nose_bulb=float(rng.uniform(0.02, 0.09)),
        mouth_y=_clipped(rng, 1.135, 0.028) - 0.06 * child,
        mouth_half_width=_clipped(rng, 0.372, 0.024) - 0.02 * child,
        corner_height=(corner - corner_side, corner + corner_side),
        upper_lip=float(np.clip(rng.normal(0.072, 0.014) + 0.03 * max(tone - 0.45, 0) - 0.014 * old, 0.045, 0.115)),
        lower_lip=float(np.clip(rng.normal(0.096, 0.014) + 0.03 * max(tone - 0.45, 0) - 0.012 * old, 0.065, 0.14)),
        cupid=float(rng.uniform(0.08, 0.3)),
        cheek=float(rng.uniform(0.02, 0.13)) + 0.02 * child,
        cheek_y=_clipped(rng, 0.50, 0.05),
        chin_bump=float(rng.uniform(0.04, 0.11)),
        smile_gain=_clipped(rng, 1.0, 0.06),
        smile_angle=_clipped(rng, 0.0, 0.10),
        fold_gain=float(rng.uniform(0.55, 1.0)) * (0.55 + 1.15 * old) + 0.25,
        resting_folds=(
            float(rng.uniform(0.0, 0.5)) + 0.4 * old,
            float(rng.uniform(0.0, 0.9)) + 0.3 * old,
            float(rng.uniform(0.0, 0.45)) + 0.4 * old,
            float(rng.uniform(-0.4, 0.7)),
        ),
        dimple=float(max(rng.normal(-0.2, 0.6), 0.0)),
        teeth_length=_clipped(rng, 0.050, 0.010),
        teeth_shade=float(rng.uniform(0.82, 1.0)) - 0.1 * old,
        skin=_rgb(skin),
        skin_tone=tone,
        redness=float(rng.uniform(0.2, 1.0)),
        blotch=float(rng.uniform(0.02, 0.05)) + 0.035 * old,
        freckles=float(max(rng.normal(-0.3, 0.5), 0.0)) * float(tone < 0.35),
        moles=int(rng.poisson(1.2 + 1.5 * old)),
        gloss=float(rng.uniform(0.05, 0.16)),
        lip_tint=(0.80 + lip_shade, 0.40 + lip_shade * 1.2 + 0.08 * adult_male, 0.43 + lip_shade + 0.06 * adult_male),
        iris=_rgb(_linear(iris)),
        hair=_rgb(_linear(hair if style != "bald" else 0.5 * hair + 0.5 * natural_hair)),
        hair_style=style,
        hair_volume=float(rng.uniform(0.75, 1.3)),
        hairline=_clipped(rng, 0.0, 0.06) - 0.12 * old * float(male),
        beard=beard,
        beard_strength=float(rng.uniform(0.35, 1.0)),
    )
