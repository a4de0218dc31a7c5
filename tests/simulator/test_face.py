"""The face renderer: reproducible, blind to labels, true to its own landmarks, and accepted by a face detector."""

from __future__ import annotations

import inspect
from dataclasses import fields, replace

import cv2
import dlib
import numpy as np
import pytest

from smilelab.simulator import face, features, geometry, hair, identity, scene, texture, warp
from smilelab.simulator.face import DOMAINS, FaceRenderer, draw_identity, draw_scene

# AU06_L AU06_R AU12_L AU12_R AU25 AU26 AU45
STATES = {
    "neutral": (0, 0, 0, 0, 0, 0, 0),
    "half smile": (1.2, 1.2, 1.7, 1.7, 0.5, 0, 0),
    "full smile": (3, 3, 3.5, 3.5, 3, 0, 0),
    "closed smile": (2.5, 2.5, 3, 3, 0, 0, 0),
    "open mouth": (2.5, 2.5, 3.5, 3.5, 3.5, 2.5, 0),
    "asymmetric": (1.5, 2.5, 2.0, 3.5, 2, 0, 0),
    "blink": (0.5, 0.5, 1, 1, 0, 0, 5),
}
REST = (0, 0, 0, 0, 0, 1)


def person(
    number: int, width: int = 320, height: int = 240, *, quiet: bool = False, seed: int = 1, **options
) -> FaceRenderer:
    rng = np.random.default_rng(7000 + number)
    who = draw_identity(rng, age=float(rng.uniform(8, 76)), sex=("female", "male")[number % 2])
    where = draw_scene(rng, domain=DOMAINS[number % len(DOMAINS)])
    if quiet:
        where = replace(where, noise_sd=0.0)
    return FaceRenderer(who, where, width=width, height=height, seed=seed, **options)


def mouth_width(points: np.ndarray) -> float:
    return float(np.linalg.norm(points[54] - points[48]) / np.linalg.norm(points[45] - points[36]))


def aperture(points: np.ndarray, pairs: tuple[tuple[int, int], ...]) -> float:
    return float(np.mean([points[b, 1] - points[a, 1] for a, b in pairs]))


@pytest.fixture(scope="module")
def detector():
    return dlib.get_frontal_face_detector()


def test_same_calls_give_the_same_bytes_and_other_seeds_others():
    def film(number: int, seed: int) -> bytes:
        renderer = person(number, seed=seed)
        return b"".join(renderer.render(state, REST).tobytes() for state in STATES.values())

    assert film(0, 1) == film(0, 1)
    assert film(0, 1) != film(0, 2)
    assert film(0, 1) != film(5, 1)


def test_noise_changes_from_frame_to_frame_but_not_without_noise():
    noisy, quiet = person(0), person(0, quiet=True)
    assert (noisy.render(STATES["neutral"], REST) != noisy.render(STATES["neutral"], REST)).any()
    assert (quiet.render(STATES["neutral"], REST) == quiet.render(STATES["neutral"], REST)).all()


def test_drawing_depends_on_its_generator_alone():
    one, two = (draw_identity(np.random.default_rng(3), age=40, sex="female") for _ in range(2))
    assert one == two
    assert one != draw_identity(np.random.default_rng(4), age=40, sex="female")
    assert draw_scene(np.random.default_rng(3), domain="bbc") == draw_scene(np.random.default_rng(3), domain="bbc")


def test_nothing_takes_a_label():
    for module in (face, features, geometry, hair, identity, scene, texture, warp):
        for _, member in inspect.getmembers(module, lambda m: inspect.isfunction(m) or inspect.isclass(m)):
            if getattr(member, "__module__", "").startswith("smilelab.simulator"):
                names = set(inspect.signature(member).parameters)
                assert not names & {"label", "labels", "target", "posed", "spontaneous", "kind_of_smile"}, member
    assert not {"label", "posed"} & {f.name for f in (*fields(face.Identity), *fields(face.Scene))}


def test_mouth_width_of_the_landmarks_follows_au12():
    rng = np.random.default_rng(0)
    for number in range(4):
        renderer = person(number)
        smile = np.clip(np.sin(np.linspace(0, np.pi, 40)) * 3 + rng.normal(0, 0.1, 40), 0, 5)
        widths = []
        for k, level in enumerate(smile):
            pose = (*rng.normal(0, 0.02, 3), 0.05 * np.sin(k / 5), 0.0, 1 + 0.02 * np.cos(k / 7))
            widths.append(
                mouth_width(renderer.landmarks((0.8 * level, 0.8 * level, level, level, 0.5 * level, 0, 0), pose))
            )
        assert np.corrcoef(widths, smile)[0, 1] >= 0.99


def test_asymmetry_of_the_landmarks_follows_the_sides():
    rng = np.random.default_rng(1)
    true, seen = [], []
    for number in range(20):
        renderer, side, mean = person(number % 5), rng.uniform(-0.4, 0.4), rng.uniform(1.5, 3)
        pose = (*rng.normal(0, 0.02, 2), 0, 0, 0, 1)
        move = renderer.landmarks((1, 1, mean * (1 + side / 2), mean * (1 - side / 2), 1, 0, 0), pose)
        move = move - renderer.landmarks(STATES["neutral"], pose)
        left, right = move[54, 0] - move[54, 1], -move[48, 0] - move[48, 1]
        true.append(side)
        seen.append((left - right) / (left + right))
    assert np.corrcoef(true, seen)[0, 1] >= 0.95


def test_left_is_the_subjects_left():
    renderer = person(1)
    move = renderer.landmarks((0, 0, 3, 0, 0, 0, 0), REST) - renderer.landmarks(STATES["neutral"], REST)
    assert np.linalg.norm(move[54]) > 4 * np.linalg.norm(move[48])
    assert renderer.landmarks(STATES["neutral"], REST)[54, 0] > renderer.landmarks(STATES["neutral"], REST)[48, 0]


def test_excursion_is_linear_up_to_its_full_size_and_softly_limited_above():
    renderer = person(2)
    levels = np.array([0, 1, 2, 3, 3.5, 4, 5])
    widths = np.array([mouth_width(renderer.landmarks((0, 0, a, a, 0, 0, 0), REST)) for a in levels])
    gain = np.diff(widths) / np.diff(levels)
    assert gain[:4] == pytest.approx(gain[0], rel=0.05)
    assert 0 < gain[-1] < 0.8 * gain[0]


def test_closing_the_lids_closes_the_aperture_in_truth_and_in_the_picture():
    renderer = person(0, 640, 480, quiet=True)
    pairs = ((37, 41), (38, 40), (43, 47), (44, 46))
    gaps = [aperture(renderer.landmarks((0, 0, 0, 0, 0, 0, a), REST), pairs) for a in (0, 1, 2.5, 4, 5)]
    assert (np.diff(gaps) < 0).all()
    assert gaps[0] > 6
    assert abs(gaps[-1]) < 0.02 * gaps[0]
    points = renderer.landmarks(STATES["neutral"], REST)
    box = np.r_[points[42:48].min(0) - 1, points[42:48].max(0) + 2].astype(int)
    wide, shut = (
        renderer.render((0, 0, 0, 0, 0, 0, a), REST)[box[1] : box[3], box[0] : box[2]].astype(float) for a in (0, 5)
    )
    # The eye's white and its dark iris give way to skin.
    assert np.ptp(wide.mean(2)[2:-2].mean(0)) > np.ptp(shut.mean(2)[2:-2].mean(0))


def test_teeth_show_when_lips_part():
    renderer = person(0, 640, 480, quiet=True)
    levels = []
    for parted in (0, 3.5):
        state = (0, 0, 3, 3, parted, 0, 0)
        points = renderer.landmarks(state, REST)
        x, y = points[[62, 66]].mean(0).astype(int)
        levels.append(float(renderer.render(state, REST)[y - 1 : y + 2, x - 6 : x + 7, 1:].mean()))
    assert levels[1] > levels[0] + 25


def test_a_detector_finds_unseen_people_in_all_states_and_nobody_where_features_are_blanked(detector):
    for number in range(4):
        renderer = person(number, 640, 480, iod_px=70.0 + 5 * number)
        for name, state in STATES.items():
            assert len(detector(renderer.render(state, REST), 0)) == 1, (number, name)
        blank = person(number, 640, 480, iod_px=70.0 + 5 * number, features=False)
        assert len(detector(blank.render(STATES["neutral"], REST), 0)) == 0, number


@pytest.mark.parametrize(("width", "height"), [(192, 192), (320, 240), (640, 360), (640, 480), (1920, 1080)])
def test_sizes(width, height):
    renderer = person(3, width, height)
    frame = renderer.render(STATES["full smile"], REST)
    assert frame.shape == (height, width, 3)
    assert frame.dtype == np.uint8
    points = renderer.landmarks(STATES["open mouth"], REST)
    assert points.shape == (68, 2)
    assert points.dtype == np.float32
    assert (points >= 0).all()
    assert (points < (width, height)).all()
    # The drawn face is where the landmarks are: skin between brows and mouth differs from the background corner.
    middle = points[30].astype(int)
    assert np.abs(frame[middle[1], middle[0]].astype(int) - frame[2, 2].astype(int)).max() > 5


def test_only_the_head_moves():
    renderer = person(1, 640, 480, quiet=True)
    neutral, smile = (renderer.render(STATES[name], REST).astype(int) for name in ("neutral", "open mouth"))
    rows, columns = np.nonzero(np.abs(neutral - smile).max(2))
    jaw = renderer.landmarks(STATES["open mouth"], REST)[:17]
    margin = 0.5 * renderer.iod_px
    assert columns.min() > jaw[:, 0].min() - margin
    assert columns.max() < jaw[:, 0].max() + margin
    assert rows.max() < jaw[:, 1].max() + margin
    assert len(rows) > 500


def test_extreme_input_stays_finite_and_malformed_input_is_refused():
    renderer = person(2)
    for units in ([0] * 7, [5] * 7, [50] * 7, [-3] * 7):
        for pose in (REST, (1, -1, 2, 5, 5, 9), (-1, 1, -2, -9, 0, 0)):
            assert np.isfinite(renderer.landmarks(units, pose)).all()
            assert renderer.render(units, pose).shape == (240, 320, 3)
    with pytest.raises(ValueError, match="NaN"):
        renderer.render([np.nan] * 7, REST)
    with pytest.raises(ValueError, match="expected 7 and 6"):
        renderer.landmarks([0] * 6, REST)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw_scene(np.random.default_rng(0), domain="studio"), "uva-nemo"),
        (lambda: draw_identity(np.random.default_rng(0), age=-1, sex="male"), "age"),
        (lambda: draw_identity(np.random.default_rng(0), age=30, sex="?"), "sex"),
        (lambda: person(0, 16, 16), "32x32"),
        (lambda: person(0, 320, 240, iod_px=500), "iod_px"),
    ],
)
def test_errors_say_what_was_found_and_expected(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "found" in str(error.value)
    assert "expected" in str(error.value)


def test_people_differ_more_at_rest_than_a_small_smile_changes_them():
    corner, lids = [], []
    for number in range(40):
        rng = np.random.default_rng(number)
        who = draw_identity(rng, age=30, sex="female")
        corner.append(np.mean(who.corner_height))
        lids.append(np.mean(who.aperture))
    assert np.std(corner) > 0.010
    assert np.std(lids) > 0.010


def test_age_grays_the_hair_and_deepens_the_folds():
    young, old = ([draw_identity(np.random.default_rng(n), age=age, sex="male") for n in range(60)] for age in (22, 72))
    assert np.mean([p.fold_gain for p in old]) > 1.3 * np.mean([p.fold_gain for p in young])
    assert np.mean([np.mean(p.hair) for p in old]) > 2 * np.mean([np.mean(p.hair) for p in young])
    assert all(draw_identity(np.random.default_rng(n), age=9, sex="male").beard == "none" for n in range(30))
    assert all(draw_identity(np.random.default_rng(n), age=40, sex="female").beard == "none" for n in range(30))


def test_the_gray_domain_is_gray_and_the_others_are_not():
    for number, domain in enumerate(DOMAINS):
        frame = person(number).render(STATES["full smile"], REST).astype(int)
        gray = (frame[..., 0] == frame[..., 1]).all() and (frame[..., 1] == frame[..., 2]).all()
        assert gray == (domain == "spos")


def test_landmarks_follow_the_pose_as_a_similarity():
    renderer = person(0)
    before = renderer.landmarks(STATES["half smile"], REST)
    after = renderer.landmarks(STATES["half smile"], (0, 0, 0.1, 0.2, -0.1, 1.1))
    found, _ = cv2.estimateAffinePartial2D(before, after)
    assert np.hypot(found[0, 0], found[1, 0]) == pytest.approx(1.1, rel=1e-3)
    assert np.arctan2(found[1, 0], found[0, 0]) == pytest.approx(0.1, abs=1e-3)


@pytest.mark.parametrize(
    "ramp",
    [
        lambda t: ((0, 0, 3 * t, 3 * t, 0, 0, 0), REST),
        lambda t: ((0, 0, 2, 2, 3 * t, 0, 0), REST),
        lambda t: ((3 * t, 3 * t, 0, 0, 0, 0, 0), REST),
        lambda t: ((0, 0, 0, 0, 0, 0, 5 * t), REST),
        lambda t: ((0,) * 7, (0.1 * t, 0, 0, 0, 0, 1)),
    ],
    ids=["AU12", "AU25", "AU06", "AU45", "yaw"],
)
def test_slow_motion_has_no_jumps(ramp):
    renderer = person(0, 320, 240, quiet=True)
    film = np.stack([renderer.render(*ramp(t)).astype(np.int16) for t in np.linspace(0, 1, 60)])
    # An edge that pops from one pixel to the next would show as a second difference of the size of its contrast.
    assert np.abs(np.diff(film, 2, axis=0)).max() <= 16
    assert np.abs(film[-1] - film[0]).max() > 20
