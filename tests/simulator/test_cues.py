"""Cues that are switched off: alike in both classes, and nothing else touched."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from simulated import details, digests

from smilelab.cli import main
from smilelab.metrics import auc
from smilelab.simulator import databases
from smilelab.simulator.cues import CUES
from smilelab.simulator.dynamics import AU_COLUMNS, draw_clip, draw_subject
from smilelab.simulator.kinematics import SPONTANEOUS_SHARE
from smilelab.simulator.recording import draw_recording
from smilelab.simulator.roster import SimulationError

AU6, AU12 = ([AU_COLUMNS.index(f"{unit}_{side}") for side in "LR"] for unit in ("AU06", "AU12"))
LIPS, LIDS = [AU_COLUMNS.index("AU25"), AU_COLUMNS.index("AU26")], AU_COLUMNS.index("AU45")
OWN = {
    "timing": ("length", "rise", "lead", "left", "speed", "apices"),
    "amplitude": ("amplitude",),
    "eyelids": ("blinks",),
    "cheeks": ("cheeks", "lag"),
    "texture": ("lips",),
    "asymmetry": ("sides",),
}
SUBJECTS = 500
# Two standard deviations of the area under the curve of as many independent pairs that tell nothing.
CHANCE = 1.96 * np.sqrt((2 * SUBJECTS + 1) / (12 * SUBJECTS**2))


def clip(seed, label, fps=50.0, **options):
    subject = draw_subject(np.random.default_rng([7, seed]), age=30.0, sex="female")
    return draw_clip(subject, label, fps, np.random.default_rng(seed), **options)


def measured(drawn):
    """Measure a clip on its sampled curves."""
    units, times = drawn.action_units.astype(float), drawn.times
    au12, au6 = units[:, AU12].mean(1), units[:, AU6].mean(1)
    top = au12.max()
    passed = [times[np.argmax(au12 >= share * top)] for share in (0.1, 0.5, 0.9)]
    at = int(np.argmax(au12))
    return {
        "length": len(times),
        "rise": passed[2] - passed[0],
        "lead": passed[0],
        "left": au12[-1] / top,
        "speed": np.diff(au12).max() / top,
        "apices": len(drawn.phases),
        "amplitude": top,
        "blinks": len(drawn.blinks),
        "cheeks": au6.max(),
        "lag": times[np.argmax(au6 >= 0.5 * au6.max())] - passed[1],
        "lips": units[:, LIPS[0]].max(),
        "sides": abs(units[at, AU12[0]] - units[at, AU12[1]]) / top,
    }


def areas(**options):
    """By measure, how well it tells the classes apart, over a posed and a spontaneous smile of each subject."""
    smiles = {label: [measured(clip(seed, label, **options)) for seed in range(SUBJECTS)] for label in (0, 1)}
    labels = np.repeat([0, 1], SUBJECTS)
    return {
        name: auc(labels, np.array([row[name] for label in (0, 1) for row in smiles[label]])) for name in smiles[0][0]
    }


@pytest.fixture(scope="module")
def with_all():
    return areas()


@pytest.mark.parametrize(
    ("seed", "label", "options", "frames", "sums", "pose", "offset"),
    [
        # Written down before a cue could be switched off.
        (0, 0, {}, 149, [119.5384, 133.0665, 204.9687, 230.5966, 241.9872, 0.0, 95.0013], 159.2377, 2.712),
        (1, 1, {}, 100, [124.9544, 121.8206, 141.2932, 123.4401, 126.1603, 0.0, 47.5119], 108.979, 1.3678),
        (
            *(2, 1, {"length_matched": True}, 122),
            *([98.305, 98.5445, 164.641, 165.859, 178.8955, 0.0, 47.4917], 129.2685, 2.1255),
        ),
        (
            *(3, 0, {"length_s": 2.0}, 100),
            *([127.9947, 125.5168, 74.3105, 71.9028, 134.9603, 0.0, 142.5261], 110.1205, 1.5978),
        ),
        (
            *(4, 1, {"asymmetry": False}, 403),
            *([667.2561, 667.2561, 1240.3607, 1240.3607, 932.828, 0.0, 47.5055], 450.5177, 6.2191),
        ),
    ],
)
def test_without_the_option_smiles_are_what_they_were(seed, label, options, frames, sums, pose, offset):
    for off in ({}, {"cues_off": ()}):
        drawn = clip(seed, label, **options, **off)
        assert len(drawn.times) == frames
        np.testing.assert_allclose(drawn.action_units.astype(float).sum(0), sums, rtol=1e-5, atol=1e-3)
        assert np.abs(drawn.pose).sum() == pytest.approx(pose, rel=1e-5)
        assert drawn.phases[-1].offset_s == pytest.approx(offset, abs=1e-4)


@pytest.mark.parametrize("cue", CUES)
def test_a_cue_that_is_off_tells_nothing_and_the_others_what_they_told(cue, with_all):
    found = areas(cues_off=[cue])
    for name in OWN[cue]:
        assert abs(found[name] - 0.5) < CHANCE, name
    for other in set(CUES) - {cue}:
        for name in OWN[other]:
            assert found[name] == pytest.approx(with_all[name], abs=0.03), name


def test_the_cues_tell_the_classes_apart_while_they_are_on(with_all):
    # The two that hardly differ in the published kinematics are left out.
    for name in ("length", "rise", "lead", "left", "speed", "amplitude", "cheeks", "sides"):
        assert abs(with_all[name] - 0.5) > CHANCE, name


@pytest.mark.parametrize("cue", sorted(set(CUES) - {"timing"}))
def test_what_is_not_off_is_drawn_as_before(cue):
    changed = {"amplitude": AU12, "eyelids": [LIDS], "cheeks": AU6, "texture": LIPS, "asymmetry": AU6 + AU12}[cue]
    kept = [column for column in range(len(AU_COLUMNS)) if column not in changed]
    differs = 0
    # The classes' lips part in 80 and 82 % of the smiles: few differ.
    seeds, least = {"texture": (250, 1), "eyelids": (60, 5)}.get(cue, (60, 41))
    for seed in range(seeds):
        for label in (0, 1):
            on, off = clip(seed, label), clip(seed, label, cues_off=[cue])
            assert off.times.tobytes() == on.times.tobytes()
            assert off.pose.tobytes() == on.pose.tobytes()
            assert off.phases == on.phases
            assert off.action_units[:, kept].tobytes() == on.action_units[:, kept].tobytes()
            assert (off.blinks == on.blinks) or cue == "eyelids"
            differs += off.action_units.tobytes() != on.action_units.tobytes()
    assert differs >= least


def test_without_timing_only_the_course_differs():
    differs = 0
    for seed in range(60):
        for label in (0, 1):
            on, off = (measured(clip(seed, label, 400.0, **o)) for o in ({}, {"cues_off": ["timing"]}))
            for name in ("amplitude", "cheeks", "sides"):
                assert off[name] == pytest.approx(on[name], rel=0.02), name
            differs += off["length"] != on["length"]
    assert 40 < differs < 80


def test_amplitude_is_a_factor_alone():
    for seed in range(30):
        on, off = clip(seed, 1), clip(seed, 1, cues_off=["amplitude"])
        curves = [drawn.action_units[:, AU12].mean(1).astype(float) for drawn in (on, off)]
        np.testing.assert_allclose(curves[0] / curves[0].max(), curves[1] / curves[1].max(), atol=1e-5)


@pytest.mark.parametrize("cue", ["amplitude", "cheeks", "asymmetry"])
def test_values_come_from_both_classes_so_that_the_spread_stays(cue):
    name, spontaneous = {"asymmetry": "sides"}.get(cue, cue), []
    for seed in range(150):
        of_class = [measured(clip(seed, label))[name] for label in (0, 1)]
        drawn = [measured(clip(seed, label, cues_off=[cue]))[name] for label in (0, 1)]
        for value in drawn:
            # Seen where the curve of the clip's own class is sampled, hence not to the last digit.
            assert min(abs(value - other) for other in of_class) < 0.03 * max(value, 0.1)
        spontaneous.append(abs(drawn[0] - of_class[1]) < abs(drawn[0] - of_class[0]))
    assert np.mean(spontaneous) == pytest.approx(SPONTANEOUS_SHARE, abs=0.12)


@pytest.mark.parametrize("options", [{}, {"length_matched": True}, {"length_s": 3.0}])
def test_with_every_cue_off_the_label_decides_nothing(options):
    for seed in range(40):
        posed, spontaneous = (clip(seed, label, cues_off=CUES, **options) for label in (0, 1))
        assert (posed.label, spontaneous.label) == (0, 1)
        assert posed.action_units.tobytes() == spontaneous.action_units.tobytes()
        assert posed.pose.tobytes() == spontaneous.pose.tobytes()
        assert (posed.phases, posed.blinks) == (spontaneous.phases, spontaneous.blinks)
        # And the smile is a whole one, as one of the classes shows it.
        assert posed.action_units.tobytes() in {clip(seed, label, **options).action_units.tobytes() for label in (0, 1)}


def test_lengths_without_timing_are_those_of_matched_lengths():
    for seed in range(40):
        off, matched = clip(seed, 1, cues_off=["timing"]), clip(seed, 1, length_matched=True)
        assert len(off.times) == len(matched.times)


def test_recordings_of_several_smiles_know_no_label_either():
    subject = draw_subject(np.random.default_rng(3), age=30.0, sex="female")
    posed, spontaneous = (
        draw_recording(subject, label, 30.0, np.random.default_rng(4), length_s=30.0, cues_off=CUES) for label in (0, 1)
    )
    assert posed.action_units.tobytes() == spontaneous.action_units.tobytes()


SMALL = {"subjects": 3, "clips": 6, "resolution": (192, 192), "max_length_s": 1.0, "jobs": 1, "progress": False}


def test_a_database_keeps_its_people_and_says_which_cues_are_off(tmp_path):
    on, off = tmp_path / "on", tmp_path / "off"
    databases.simulate("uva-nemo", on, **SMALL)
    databases.simulate("uva-nemo", off, cues_off=["asymmetry", "amplitude"], **SMALL)
    assert details(off) == details(on)
    assert "cues_off" not in (on / "SIMULATED.json").read_text()
    assert json.loads((off / "SIMULATED.json").read_text())["settings"]["cues_off"] == ["amplitude", "asymmetry"]
    for path in sorted(on.with_name("on-truth").glob("*.npz")):
        with np.load(path) as one, np.load(off.with_name("off-truth") / path.name) as other:
            assert one["landmarks"][0].tobytes() == other["landmarks"][0].tobytes(), "the same face at rest"
            assert one["pose"].tobytes() == other["pose"].tobytes()
    before = digests(off)
    assert databases.simulate("uva-nemo", off, cues_off=["amplitude", "asymmetry"], **SMALL) == off
    assert digests(off) == before


@pytest.mark.parametrize(("first", "then"), [([], ["timing"]), (["timing"], []), (["timing"], ["cheeks"])])
def test_other_cues_are_another_database(tmp_path, first, then):
    databases.simulate("uva-nemo", tmp_path / "x", cues_off=first, metadata_only=True, **SMALL)
    with pytest.raises(SimulationError, match=r"other settings \(cues_off"):
        databases.simulate("uva-nemo", tmp_path / "x", cues_off=then, metadata_only=True, **SMALL)


def test_an_unknown_cue_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(SimulationError, match="cue 'speed': cannot be switched off; expected some of timing, ampl"):
        databases.simulate("uva-nemo", tmp_path / "x", cues_off=["speed"], **SMALL)
    assert not (tmp_path / "x").exists()
    with pytest.raises(ValueError, match="cue 'speed'"):
        clip(0, 1, cues_off=["speed"])


def test_the_command_switches_cues_off(tmp_path):
    few = ["simulate", "uva-nemo", str(tmp_path / "x"), "--subjects", "3", "--metadata-only"]
    done = CliRunner().invoke(main, [*few, "--cue-off", "texture", "--cue-off", "timing"])
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "x" / "SIMULATED.json").read_text())["settings"]
    assert told["cues_off"] == ["timing", "texture"]
    wrong = CliRunner().invoke(main, [*few, "--cue-off", "speed"])
    assert wrong.exit_code == 1
    assert "expected some of timing, amplitude" in wrong.output
