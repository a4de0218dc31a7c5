import cv2
import numpy as np
import pytest

from smilelab.artifacts import face_points
from smilelab.artifacts.face_points import Place, body_positions, positions
from smilelab.signals import eye_centres
from smilelab.simulator.face import FaceRenderer, draw_identity, draw_scene
from smilelab.simulator.geometry import outline

NEUTRAL, SMILE, LAUGH = (0,) * 7, (2, 2, 2.5, 2.5, 1.5, 0, 0), (3, 3, 4, 4, 3, 2, 0)
REST = (0, 0, 0, 0, 0, 1)
FACIAL = {"a": face_points.DIBEKLIOGLU_2015, "b": face_points.VALSTAR_2007, "c": face_points.WU_2017}
# The 68-point convention: which point a mirror makes of each.
MIRRORED = [
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46,
    39, 38, 37, 36, 41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
]  # fmt: skip


@pytest.fixture(scope="module")
def portrait():
    return face_points.portrait(SMILE)


@pytest.fixture(scope="module")
def people():
    """Renderers of several persons, each at 60 px between the eyes."""
    made = []
    for number in range(6):
        rng = np.random.default_rng(500 + number)
        who = draw_identity(rng, age=(8, 25, 40, 70)[number % 4], sex=("female", "male")[number % 2])
        made.append(FaceRenderer(who, draw_scene(rng), width=300, height=320, iod_px=60.0))
    return made


def filled(corners):
    """Pixels of a polygon in a picture of 300 x 320 px, four times as fine."""
    mask = np.zeros((1280, 1200), np.uint8)
    cv2.fillPoly(mask, [np.round(4 * corners).astype(np.int32)], 1)
    return mask.astype(bool)


def on_head(renderer, at):
    """The superellipse radius of the renderer's head at points in px: 1 on its outline."""
    x, y = ((at - eye_centres(renderer.landmarks(NEUTRAL, REST)).mean(0)) / renderer.iod_px).T.astype(np.float32)
    return outline(renderer.identity, x, y)


def test_counts_are_those_of_the_papers_caption():
    assert [len(places) for places in FACIAL.values()] == [11, 12, 28]
    assert len(face_points.VALSTAR_2007_SHOULDERS) == 5
    assert len(face_points.WU_2017_REGIONS) == 6
    for places in FACIAL.values():
        assert len({(place.part, place.name) for place in places}) == len(places)
        assert len({(place.of, place.shift) for place in places}) == len(places)


@pytest.mark.parametrize("units", [NEUTRAL, SMILE, LAUGH], ids=["neutral", "smile", "laugh"])
def test_points_lie_inside_the_face(people, units):
    for renderer in people:
        hull = cv2.convexHull(renderer.landmarks(units, REST))
        for places in FACIAL.values():
            at = positions(places, renderer.landmarks(units, REST))
            assert min(cv2.pointPolygonTest(hull, tuple(map(float, spot)), True) for spot in at) > -0.01
            assert on_head(renderer, at).max() < 1


@pytest.mark.parametrize("units", [NEUTRAL, SMILE, LAUGH], ids=["neutral", "smile", "laugh"])
def test_regions_are_disjoint_and_inside_the_face(people, units):
    for renderer in people:
        landmarks = renderer.landmarks(units, REST)
        masks = {}
        for name, corners in face_points.WU_2017_REGIONS.items():
            at = positions(corners, landmarks)
            masks[name] = filled(at)
            inside = np.argwhere(masks[name])[::9, ::-1] / 4
            # A dropped jaw leaves the outline of the head at rest.
            assert on_head(renderer, inside).max() < (1.1 if units is LAUGH else 1.0), name
            assert cv2.contourArea(at.astype(np.float32)) > (0.25 * renderer.iod_px) ** 2, name
        assert max(np.sum([*masks.values()], axis=0).ravel()) == 1


@pytest.mark.parametrize(
    ("region", "inside"),
    [
        ("right eye", (36, 37, 38, 39, 40, 41)),
        ("left eye", (42, 43, 44, 45, 46, 47)),
        ("mouth", tuple(range(48, 68))),
    ],
)
def test_a_region_holds_the_landmarks_that_give_it_its_name(people, region, inside):
    for renderer in people:
        landmarks = renderer.landmarks(SMILE, REST)
        at = positions(face_points.WU_2017_REGIONS[region], landmarks).astype(np.float32)
        for number in inside:
            assert cv2.pointPolygonTest(at, tuple(map(float, landmarks[number])), False) > 0


def test_forehead_lies_above_the_brows_and_cheeks_hold_the_cheek_points(people):
    landmarks = people[1].landmarks(SMILE, REST)
    forehead = positions(face_points.WU_2017_REGIONS["forehead"], landmarks)
    assert forehead[:, 1].max() < landmarks[17:27, 1].max()
    for place in face_points.WU_2017:
        if "cheek" in place.part:
            corners = positions(face_points.WU_2017_REGIONS[place.part], landmarks).astype(np.float32)
            spot = positions([place], landmarks)[0]
            assert cv2.pointPolygonTest(corners, tuple(map(float, spot)), False) > 0


def test_points_turn_grow_and_move_with_the_face(people):
    landmarks = people[0].landmarks(SMILE, REST).astype(float)
    turn = 1.4 * np.array([[np.cos(0.3), np.sin(0.3)], [-np.sin(0.3), np.cos(0.3)]])
    shift = np.array([11.0, -7.0])
    every = [place for corners in face_points.WU_2017_REGIONS.values() for place in corners] + [*face_points.WU_2017]
    np.testing.assert_allclose(
        positions(every, landmarks @ turn + shift), positions(every, landmarks) @ turn + shift, atol=1e-9
    )


def test_right_and_left_are_mirror_images(people):
    landmarks = people[2].landmarks((1, 3, 2, 4, 1, 0, 0), REST).astype(float)
    mirrored = (landmarks * [-1, 1])[MIRRORED]

    def swapped(part):
        return part.replace("right", "?").replace("left", "right").replace("?", "left")

    for name, corners in face_points.WU_2017_REGIONS.items():
        partner = positions(face_points.WU_2017_REGIONS[swapped(name)], mirrored) * [-1, 1]
        order = np.lexsort(np.round(partner.T, 6))
        own = positions(corners, landmarks)
        np.testing.assert_allclose(own[np.lexsort(np.round(own.T, 6))], partner[order], atol=1e-6)
    for places in FACIAL.values():
        by_name = {(place.part, place.name): place for place in places}
        for (part, name), place in by_name.items():
            partner = by_name[swapped(part), swapped(name)]
            np.testing.assert_allclose(
                positions([place], landmarks), positions([partner], mirrored) * [-1, 1], atol=1e-6
            )


def test_a_rule_by_hand():
    landmarks = np.zeros((68, 2))
    # Eye centres at (10, 5) and (30, 5): 20 px apart, level.
    landmarks[[36, 39, 42, 45]] = [[8, 5], [12, 5], [28, 5], [32, 5]]
    landmarks[[2, 31]] = [[0, 20], [16, 24]]
    place = Place("right cheek", "cheek", (2, 31), (-0.1, 0.2))
    np.testing.assert_allclose(positions([place], landmarks), [[8 - 2, 22 + 4]])
    assert place.rule == "mean of 2 and 31, 0.10 right, 0.20 down"


def test_shoulder_points_lie_on_the_edge_of_the_shirt(portrait):
    at = body_positions(face_points.VALSTAR_2007_SHOULDERS, portrait)
    columns, rows = at.astype(int).T
    assert (rows[:4] > portrait.landmarks[8, 1]).all()
    assert portrait.shirt[rows, columns].all()
    assert not portrait.shirt[rows[:4] - 1, columns[:4]].any()
    # The picture itself changes there, from the background to the shirt.
    picture = portrait.picture.astype(int)
    across = np.abs(picture[rows[:4] - 6, columns[:4]] - picture[rows[:4] + 6, columns[:4]]).sum(1)
    along = np.abs(picture[rows[:4] - 6, columns[:4]] - picture[rows[:4] - 12, columns[:4]]).sum(1)
    assert (across > 5 * along).all()
    middle = portrait.landmarks[27, 0]
    assert columns[0] < columns[1] < middle < columns[2] < columns[3]
    assert columns[4] == pytest.approx(middle, abs=2)


def test_a_picture_without_shoulders_is_refused(portrait):
    narrow = portrait._replace(picture=portrait.picture[:, 100:430], shirt=portrait.shirt[:, 100:430])
    with pytest.raises(ValueError, match="expected the shoulders in view"):
        body_positions(face_points.VALSTAR_2007_SHOULDERS, narrow._replace(landmarks=portrait.landmarks - [100, 0]))
    with pytest.raises(ValueError, match="found no shirt"):
        body_positions(face_points.VALSTAR_2007_SHOULDERS, portrait._replace(shirt=portrait.shirt[:500]))
