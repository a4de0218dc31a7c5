"""Points and regions of a face that three hand-crafted methods look at, by rules on the 68 landmarks (Lee Figure 1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smilelab.signals import eye_centres
from smilelab.simulator.face import FaceRenderer, draw_identity, draw_scene
from smilelab.simulator.scene import backdrop

Array = NDArray[np.float64]


class Place(NamedTuple):
    """A point by a rule: the mean of some landmarks, shifted along the face's own axes.

    Attributes
    ----------
    part, name : str
        What it lies on, and which point of that it is; right and left are the subject's.
    of : tuple of int
        Landmarks of the 68-point convention, counted from 0; their mean is taken.
    shift : (float, float)
        Towards the subject's left and downwards, in distances between the eye centres.
    """

    part: str
    name: str
    of: tuple[int, ...]
    shift: tuple[float, float] = (0.0, 0.0)

    @property
    def rule(self) -> str:
        """The rule in words."""
        text = str(self.of[0]) if len(self.of) == 1 else "mean of " + " and ".join(map(str, self.of))
        ways = zip(self.shift, (("left", "right"), ("down", "up")), strict=True)
        return ", ".join([text, *(f"{abs(d):.2f} {way[d < 0]}" for d, way in ways if d)])


_CHEEKS = (Place("right cheek", "cheek", (2, 31)), Place("left cheek", "cheek", (14, 35)))
_LIP_CORNERS = (Place("mouth", "right corner", (48,)), Place("mouth", "left corner", (54,)))

# In the order of the method's own numbering, l1 to l11.
DIBEKLIOGLU_2015 = (
    Place("right eye", "outer corner", (36,)),
    Place("right eye", "upper lid", (37, 38)),
    Place("right eye", "inner corner", (39,)),
    Place("left eye", "inner corner", (42,)),
    Place("left eye", "upper lid", (43, 44)),
    Place("left eye", "outer corner", (45,)),
    *_CHEEKS,
    Place("nose", "tip", (30,)),
    *_LIP_CORNERS,
)

_EYES = (
    *DIBEKLIOGLU_2015[:3],
    Place("right eye", "lower lid", (40, 41)),
    *DIBEKLIOGLU_2015[3:6],
    Place("left eye", "lower lid", (46, 47)),
)

VALSTAR_2007 = (*_EYES, *_LIP_CORNERS, Place("mouth", "upper lip", (51,)), Place("mouth", "lower lip", (57,)))

WU_2017 = (
    *(Place("right brow", name, (at,)) for name, at in (("tail", 17), ("middle", 19), ("head", 21))),
    *(Place("left brow", name, (at,)) for name, at in (("head", 22), ("middle", 24), ("tail", 26))),
    *_EYES,
    *(Place("nose", name, (at,)) for name, at in (("root", 27), ("tip", 30), ("right wing", 31), ("left wing", 35))),
    *_CHEEKS,
    *_LIP_CORNERS,
    *(Place("mouth", f"upper lip, {name}", (at,)) for name, at in (("right", 49), ("middle", 51), ("left", 53))),
    *(Place("mouth", f"lower lip, {name}", (at,)) for name, at in (("right", 59), ("middle", 57), ("left", 55))),
)


# Landmarks of the right side and those of the left one that mirror them.
_PARTNERS = {36: 45, 37: 44, 38: 43, 39: 42, 40: 47, 41: 46, 31: 35, 48: 54, 4: 12, 2: 14}


def _region(part: str, corners: Iterable[tuple[int, float, float]]) -> tuple[Place, ...]:
    return tuple(Place(part, f"corner {n}", (at,), (dx, dy)) for n, (at, dx, dy) in enumerate(corners, start=1))


def _mirrored(part: str, corners: Iterable[tuple[int, float, float]]) -> tuple[Place, ...]:
    return _region(part, [(_PARTNERS[at], -dx, dy) for at, dx, dy in corners])


_EYE = [
    (36, -0.17, 0.0), (37, -0.04, -0.13), (38, 0.04, -0.13), (39, 0.13, 0.0), (40, 0.04, 0.12), (41, -0.04, 0.12),
]  # fmt: skip
_CHEEK = [(36, -0.14, 0.24), (39, -0.02, 0.28), (31, -0.10, -0.05), (48, -0.20, -0.12), (4, 0.14, 0.0), (2, 0.14, 0.0)]

# Polygons, in the order of their corners.
WU_2017_REGIONS = {
    "forehead": _region(
        "forehead",
        [
            *((at, 0.0, -0.10) for at in (17, 19, 21, 22, 24, 26)),
            (25, 0.0, -0.38), (24, -0.10, -0.46), (19, 0.10, -0.46), (18, 0.0, -0.38),
        ],
    ),
    "right eye": _region("right eye", _EYE),
    "left eye": _mirrored("left eye", _EYE),
    "right cheek": _region("right cheek", _CHEEK),
    "left cheek": _mirrored("left cheek", _CHEEK),
    "mouth": _region(
        "mouth",
        [
            (48, -0.12, 0.0), (50, -0.04, -0.10), (52, 0.04, -0.10), (54, 0.12, 0.0), (55, 0.04, 0.13),
            (57, 0.0, 0.15), (59, -0.04, 0.13),
        ],
    ),
}  # fmt: skip


class BodyPlace(NamedTuple):
    """A point of the body: how far beside the eyes' middle, and how far below the upper edge of the shirt there.

    Attributes
    ----------
    part, name : str
        As in `Place`.
    beside, below : float
        Distances between the eye centres; towards the subject's left is positive.
    """

    part: str
    name: str
    beside: float
    below: float = 0.0

    @property
    def rule(self) -> str:
        """The rule in words."""
        way = f", {abs(self.beside):.2f} {'left' if self.beside > 0 else 'right'} of the eyes' middle"
        down = f", {self.below:.2f} down" if self.below else ""
        return "upper edge of the shirt" + (way if self.beside else " below the eyes' middle") + down


VALSTAR_2007_SHOULDERS = (
    BodyPlace("right shoulder", "outer", -1.75),
    BodyPlace("right shoulder", "inner", -1.15),
    BodyPlace("left shoulder", "inner", 1.15),
    BodyPlace("left shoulder", "outer", 1.75),
    BodyPlace("torso", "below the neck", 0.0, 0.18),
)


def positions(places: Iterable[Place], landmarks: ArrayLike) -> Array:
    """Where the points lie on a face.

    Parameters
    ----------
    places : iterable of Place
        Their rules.
    landmarks : (68, 2) array
        dlib's points, px.

    Returns
    -------
    (n, 2) array
        px.
    """
    points = np.asarray(landmarks, np.float64)
    right, left = eye_centres(points)
    across = left - right
    axes = np.stack([across, [-across[1], across[0]]])
    return np.stack([points[list(place.of)].mean(0) + np.asarray(place.shift) @ axes for place in places])


class Portrait(NamedTuple):
    """A simulated person from the front.

    Attributes
    ----------
    picture : (height, width, 3) uint8 array
        RGB.
    landmarks : (68, 2) array
        Ground truth, px.
    shirt : (height, width) bool array
        Pixels of the shirt.
    """

    picture: NDArray[np.uint8]
    landmarks: Array
    shirt: NDArray[np.bool_]


def portrait(
    action_units: ArrayLike, *, width: int = 530, height: int = 640, iod_px: float = 125.0, seed: int = 0
) -> Portrait:
    """Render a person down to the shoulders.

    Parameters
    ----------
    action_units : (7,) array
        As `smilelab.simulator.face.FaceRenderer.render` takes them.
    width, height : int
        Size of the picture, px.
    iod_px : float
        Distance between the eye centres, px.
    seed : int
        Draws the person and the place.
    """
    rng = np.random.default_rng(seed)
    person = draw_identity(rng, age=30.0, sex="female")
    scene = replace(draw_scene(rng), noise_sd=0.0, offset=(0.0, 0.0))
    renderer = FaceRenderer(person, scene, width=width, height=height, iod_px=iod_px)
    rest = (0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    landmarks = renderer.landmarks(action_units, rest).astype(np.float64)
    # The shirt is what another shirt changes.
    red, green, blue = scene.shirt
    other = replace(scene, shirt=(1.0 - red, 1.0 - green, 1.0 - blue))
    rows, columns = np.indices((height, width), np.float32)
    x, y = np.moveaxis((np.stack([columns, rows], -1) - eye_centres(landmarks).mean(0)) / iod_px, -1, 0)
    shirt = (backdrop(person, scene, x, y) != backdrop(person, other, x, y)).any(-1)
    return Portrait(renderer.render(action_units, rest), landmarks, shirt)


def body_positions(places: Sequence[BodyPlace], of: Portrait) -> Array:
    """Where points of the body lie on a portrait.

    Parameters
    ----------
    places : sequence of BodyPlace
        Their rules.
    of : Portrait
        Upright, with the shoulders in view.

    Returns
    -------
    (n, 2) array
        px.

    Raises
    ------
    ValueError
        If the shirt does not reach one of them.
    """
    eyes = eye_centres(of.landmarks)
    middle, iod = eyes.mean(0)[0], float(np.linalg.norm(eyes[1] - eyes[0]))
    height, width = of.shirt.shape
    found = []
    for place in places:
        x = middle + iod * place.beside
        column = of.shirt[:, int(x)] if 0 <= x < width else np.zeros(height, bool)
        if not column.any():
            raise ValueError(
                f"found no shirt {abs(place.beside):g} eye distances ({abs(place.beside) * iod:.0f} px) beside the "
                f"eyes' middle in a picture of {width}x{height}; expected the shoulders in view: render it larger"
            )
        found.append((x, column.argmax() + iod * place.below))
    return np.array(found, np.float64)
