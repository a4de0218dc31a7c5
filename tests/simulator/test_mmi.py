"""MMI's sessions, annotations and cameras."""

import collections
import dataclasses
from xml.etree import ElementTree

import av
import numpy as np
import pytest

from smilelab.simulator import databases, mmi
from smilelab.simulator.production import Production, Settings

FOLDS = [
    (54, 21, 46, 2, 34), (61, 35, 5, 44, 3), (55, 49, 45, 37), (60, 48, 41, 42), (53, 32, 1, 40), (59, 43, 47, 39),
    (56, 50), (57, 33, 30), (58, 36, 29),
]  # fmt: skip


def recruit(subjects=34, clips=187, seed=0, **options):
    return mmi.recruit(np.random.default_rng(seed), subjects, clips, **options)


def production(**options):
    settings = Settings("mmi", 0, **{"subjects": 34, "clips": 187, "resolution": (640, 480), **options})
    return Production(settings=settings, layout=mmi.LAYOUT)


def test_full_size_has_the_published_sessions_and_subjects():
    roster = recruit()
    spontaneous = [clip for clip in roster if clip.label == 1]
    posed = [clip for clip in roster if clip.label == 0]
    assert (len(spontaneous), len(posed)) == (138, 49)
    assert {clip.code for clip in spontaneous} == set(range(53, 62))
    assert {clip.code for clip in roster} == {subject for fold in FOLDS for subject in fold}
    for clip in roster:
        session, name = clip.clip_id.split("_")
        assert name == f"S{int(clip.subject):03d}-{clip.number:03d}"
        allowed = range(2005, 2202) if clip.label else [108, 109, 225, 226, 348, 576, *range(1763, 2004)]
        assert int(session) in allowed
        assert mmi.path(clip) == f"Sessions/{session}/{name}.avi"
    assert len({clip.clip_id.split("_")[0] for clip in roster}) == 187


@pytest.mark.parametrize("subjects", [2, 3, 4, 8, 12, 20, 30])
def test_fewer_subjects_keep_both_classes_from_distinct_folds(subjects):
    for seed in range(10):
        roster = recruit(subjects, round(subjects * 5.5), seed)
        people = {label: {clip.code for clip in roster if clip.label == label} for label in (0, 1)}
        assert people[1] <= set(range(53, 62))
        assert sum(map(len, people.values())) == subjects
        assert len(people[1]) == pytest.approx(subjects * 9 / 34, abs=1.01)
        assert min(map(len, people.values())) >= min(2, subjects // 2)
        touched = sum(any(subject in fold for codes in people.values() for subject in codes) for fold in FOLDS)
        assert touched == min(subjects, 9)


def test_some_posed_sessions_show_two_views_and_others_are_rotated():
    filmed = collections.Counter((clip.label, clip.view, clip.sideways) for clip in recruit())
    assert filmed == {
        (1, "frontal", False): 138,
        (0, "frontal", False): 38,
        (0, "dual", False): 7,
        (0, "frontal", True): 4,
    }
    without = collections.Counter((clip.label, clip.view) for clip in recruit(confounds=False))
    assert sum(count for (_, view), count in without.items() if view == "dual") == 7
    assert without[1, "dual"] > 0


def test_with_confounds_the_camera_is_the_class_and_without_it_is_not():
    cameras = {
        confounds: [(clip.label, made.camera(clip)) for clip in made.roster()]
        for confounds in (True, False)
        for made in [production(confounds=confounds)]
    }
    assert {(label, c.width, c.height, c.fps) for label, c in cameras[True]} == {(1, 640, 480, 29), (0, 720, 576, 25)}
    shares = [np.mean([c.fps == 29 for label, c in cameras[False] if label == which]) for which in (0, 1)]
    assert shares[0] == pytest.approx(0.5, abs=0.15)
    assert shares[1] == pytest.approx(0.5, abs=0.15)
    for clip in production().roster()[::20]:
        other = dataclasses.replace(clip, label=1 - clip.label)
        assert production(confounds=False).camera(clip) == production(confounds=False).camera(other)


def test_sessions_and_annotations_read_back_by_hand(tmp_path):
    made = production(subjects=4, clips=22)
    roster = made.roster()
    mmi.write_metadata(tmp_path, roster, made)
    coded = 0
    for clip in roster:
        session_id, name = clip.clip_id.split("_")
        folder = tmp_path / "Sessions" / session_id
        session = ElementTree.parse(folder / "session.xml").getroot()
        assert session.get("sessionId") == session_id
        assert (session.find("subject").get("id"), session.find("subject").get("gender")) == (clip.subject, clip.sex)
        (track,) = session.iter("track")
        assert track.get("filename") == f"{name}.avi"
        assert track.get("view") == ("2" if clip.view == "dual" else "0")
        files = {path.name for path in folder.iterdir()} - {"session.xml"}
        assert {annotation.get("filename") for annotation in track.iter("annotation")} == files
        tags = {tag.get("Name"): tag.get("Value") for tag in ElementTree.parse(folder / f"{name}.xml").iter("Metatag")}
        assert tags == {"Emotion": "4"}
        has_units = f"{name}-oao_aucs.xml" in files
        assert has_units == (clip.label == 0 and not clip.sideways)
        if not has_units:
            continue
        coded += 1
        units = {
            int(unit.get("Number")): [int(marker.get("Frame")) for marker in unit.iter("Marker")]
            for unit in ElementTree.parse(folder / f"{name}-oao_aucs.xml").iter("ActionUnit")
        }
        drawn = made.dynamics(clip)
        au12 = drawn.action_units[:, 2:4].mean(1)
        onset, apex, offset = (frame - 1 for frame in units[12])
        assert 0 <= onset < apex < offset < len(au12)
        assert au12[: onset + 1].max() < 0.1 * au12.max() <= 0.4 * au12.max() < au12[apex]
        assert np.argmax(au12) in range(apex - 1, offset + 2)
        for markers in units.values():
            assert sorted(markers) == markers
            assert 1 <= markers[0] <= markers[-1] <= len(au12)
    assert coded >= 3


def test_a_dual_view_shows_two_faces_and_a_rotated_one_lies_on_its_side():
    made = production(subjects=2, clips=10, resolution=(320, 240))
    by_kind = {("dual" if clip.view == "dual" else clip.sideways): clip for clip in made.roster() if clip.label == 0}
    still = np.zeros(7), np.array([0, 0, 0, 0, 0, 1.0])
    dual, lying = made.view(by_kind["dual"]), made.view(by_kind[True])
    picture = lying.render(*still)
    assert dual.render(*still).shape == picture.shape == (288, 360, 3)
    assert dual.landmarks(*still)[:, 0].max() < 0.58 * 360, "the frontal face is on the left"
    upright = dataclasses.replace(by_kind[True], sideways=False, view="frontal")
    settings = dataclasses.replace(made.settings, resolution=(256, 300))
    portrait = Production(settings=settings, layout=mmi.LAYOUT).view(upright)
    np.testing.assert_array_equal(np.rot90(picture, -1), portrait.render(*still))
    np.testing.assert_array_equal(lying.landmarks(*still), portrait.landmarks(*still))


def test_videos_have_their_cameras_size_and_rate(tmp_path):
    root = databases.simulate(
        "mmi", tmp_path / "mmi", subjects=2, clips=2, resolution=(160, 120), max_length_s=1.0, jobs=1, progress=False
    )
    found = {}
    for path in root.rglob("*.avi"):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            found[int(path.parent.name) >= 2005] = (stream.width, stream.height, float(stream.average_rate))
    assert found == {True: (160, 120, 29.0), False: (180, 144, 25.0)}
