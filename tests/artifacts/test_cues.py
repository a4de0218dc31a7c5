"""The table of cues from made runs: drops, which cue a method relies on, and the picture."""

import json
from xml.etree import ElementTree

import pytest
from made_runs import PeopleStore, made_runs

from smilelab import artifacts, runs
from smilelab.artifacts import cues
from smilelab.artifacts.clip_study import ClipStudy
from smilelab.artifacts.gallery import Gallery
from smilelab.artifacts.method_study import ALL_OFF, ALL_ON, CueStudy, MethodStudy
from smilelab.artifacts.product import NOT_RUN
from smilelab.artifacts.study import TRACES, Study
from smilelab.options import TrainingOptions
from smilelab.simulator.cues import CUES

UVA = "uva-nemo"
SETTINGS = (ALL_ON, "timing", "cheeks", ALL_OFF)
LAST = {"selection": "last"}


class Smiles(PeopleStore):
    """A database of its own, as one without a cue is."""

    def __init__(self, setting):
        super().__init__()
        self.hash = f"............{setting}".replace(" ", "-")[-12:]
        self.provenance = {"seed": 3, "settings": {"subjects": 12, "resolution": [320, 240], "length_matched": True}}


def wrong_on(*people):
    return lambda row: row["subject"] in people


def posed_wrong(row):
    return row["label"] == 0


@pytest.fixture(scope="module")
def stores():
    return {(UVA, setting): Smiles(setting) for setting in SETTINGS}


@pytest.fixture(scope="module")
def product(stores):
    """Cohn'04 loses 12 of 24 clips without timing, one of each person, and one clip without cheeks."""

    def of(method, wrong, setting):
        return made_runs(stores[UVA, setting], wrong, model=method, **LAST)

    results = {
        (UVA, "cohn2004", ALL_ON): of("cohn2004", lambda row: False, ALL_ON),
        (UVA, "cohn2004", "timing"): of("cohn2004", posed_wrong, "timing"),
        (UVA, "cohn2004", "cheeks"): of("cohn2004", lambda row: row["clip_id"] == "s03_1", "cheeks"),
        (UVA, "cohn2004", ALL_OFF): of("cohn2004", posed_wrong, ALL_OFF),
        # At chance with all cues on: what it loses besides is no reliance.
        (UVA, "gan2015", ALL_ON): of("gan2015", posed_wrong, ALL_ON),
        (UVA, "gan2015", "timing"): of("gan2015", lambda row: True, "timing"),
        (UVA, "wu2014", ALL_ON): of("wu2014", wrong_on("s00"), ALL_ON),
        (UVA, "wu2014", "timing"): of("wu2014", wrong_on("s00", "s01"), "timing"),
        (UVA, "wu2014", "cheeks"): [
            *of("wu2014", wrong_on("s00"), "cheeks")[:1],
            runs.RunFailure(of("wu2014", wrong_on("s00"), "cheeks")[1].spec, "FeatureError: no eyes"),
        ],
    }
    return cues.cues(stores, results)


def part(product, caption, **where):
    found = next(frame for name, frame in product.tables.items() if name.startswith(caption))
    for column, value in where.items():
        found = found[found[column] == value]
    assert len(found) == 1
    return found.iloc[0]


def test_accuracies_and_drops_by_hand(product):
    row = part(product, "Accuracy in percent", method="Cohn'04")
    assert list(row[list(SETTINGS)]) == [
        *("100.0 [100.0, 100.0]", "50.0 [50.0, 50.0]"),
        row["cheeks"],
        "50.0 [50.0, 50.0]",
    ]
    assert row["cheeks"].startswith("95.8 [")
    # Every person loses one of two clips: no draw of people differs.
    told = part(product, "What each cue", method="Cohn'04", off="timing")
    assert told["accuracy lost"] == "50.0 [50.0, 50.0]"
    assert told["right only with all on / only without"] == "12 / 0"
    assert list(told[["clips", "subjects"]]) == ["24", "12"]
    assert part(product, "What each cue", method="Cohn'04", off="cheeks")["accuracy lost"].startswith("4.2 [0.0, ")


def test_a_method_relies_on_the_largest_certain_loss_of_one_cue(product):
    # All cues off costs as much, and is no cue.
    assert part(product, "Accuracy in percent", method="Cohn'04")["relies on"] == "timing"
    # One person of twelve: draws without her lose nothing.
    assert part(product, "Accuracy in percent", method="Wu'14")["relies on"] == cues.NONE_CERTAIN


def test_what_is_at_chance_relies_on_nothing(product):
    assert part(product, "What each cue", method="Gan'15", off="timing")["accuracy lost"] == "50.0 [50.0, 50.0]"
    assert part(product, "Accuracy in percent", method="Gan'15")["relies on"] == cues.NONE_CERTAIN


def test_a_control_that_passes_the_larger_class_is_called_chance(product, stores):
    assert "may be chance elsewhere" not in " ".join(product.notes)
    runs_of = {
        (UVA, "cohn2004", setting): made_runs(stores[UVA, setting], wrong_on("s00"), model="cohn2004", **LAST)
        for setting in (ALL_ON, ALL_OFF)
    }
    (note,) = [note for note in cues.cues(stores, runs_of).notes if "may be chance elsewhere" in note]
    # 22 of 24 right, half of each class.
    assert "for Cohn'04 (91.7 [" in note
    assert "A difference of 41.7 points" in note


def test_what_failed_or_was_not_run_is_said(product):
    row = part(product, "Accuracy in percent", method="Wu'14")
    assert row["cheeks"] == row[ALL_OFF] == NOT_RUN
    assert "cheeks: Wu'14: 1 of 2 runs failed, first: FeatureError: no eyes" in product.notes


def test_every_accuracy_has_its_company(product):
    row = part(product, "The company", method="Cohn'04", cues="timing")
    assert list(row[["majority", "against the majority", "clips", "subjects", "folds"]]) == [
        *("50.0", "equal", "24", "12", "3")
    ]
    assert any("320x240 pixels of 12 simulated people, clip length matched" in note for note in product.notes)


def test_the_picture_shows_every_number_and_says_that_it_is_simulated(product, tmp_path):
    artifacts.load_makers()
    Gallery("trial", tmp_path / "figures", tmp_path).save("cues", product)
    svg = (tmp_path / "figures" / "trial" / "cues.svg").read_text()
    words = ["".join(node.itertext()).strip() for node in ElementTree.fromstring(svg).iter()]
    assert any("simulated data" in text for text in words)
    assert any("simulated smiles" in text for text in words)
    shown = [text.get_text() for axes in product.figure.axes for text in axes.texts]
    assert shown.count("100") == 1  # Cohn'04, all on
    assert "\N{MINUS SIGN}50*" in shown  # without timing
    assert "\N{MINUS SIGN}4" in shown  # without cheeks, an interval that reaches zero
    assert shown.count(NOT_RUN) == 4
    bold = {text.get_text() for axes in product.figure.axes for text in axes.texts if text.get_fontweight() == "bold"}
    assert bold == {"\N{MINUS SIGN}50*"}


def test_traces_have_rows_of_their_own_below_the_network_last(stores):
    traced = {(TRACES, setting): Smiles(f"t{setting}") for setting in SETTINGS}
    results = {
        (TRACES, "cohn2004", ALL_ON): made_runs(traced[TRACES, ALL_ON], model="cohn2004", **LAST),
        (UVA, "realsmilenet", ALL_ON): made_runs(stores[UVA, ALL_ON], **LAST),
        (UVA, "wang2020", ALL_ON): made_runs(stores[UVA, ALL_ON], model="wang2020", **LAST),
        (UVA, "cohn2004", ALL_ON): made_runs(stores[UVA, ALL_ON], model="cohn2004", **LAST),
    }
    main = next(iter(cues.cues({**stores, **traced}, results).tables.values()))
    assert list(main["method"]) == ["Cohn'04", "Wang'20", "RealSmileNet", "Cohn'04 (AU traces)"]


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("SMILELAB_HOME", str(tmp_path))
    return Study("trial", jobs=1)


OPTIONS = {"subjects": 3, "clips": 6, "seed": 3, "resolution": [192, 192], "max_length_s": 1.0}


def test_a_study_of_cues_asks_for_the_same_people_without_each(study):
    named = CueStudy(MethodStudy(study, ["cohn2004"]), ["timing", "cheeks"], OPTIONS, {"subjects": 5}).databases()
    assert list(named) == [(kind, setting) for kind in (UVA, TRACES) for setting in SETTINGS]
    asked = {key: study.simulated[name] for key, name in named.items()}
    assert asked[UVA, ALL_ON] == OPTIONS
    assert asked[UVA, "cheeks"] == {**OPTIONS, "cues_off": ["cheeks"]}
    assert asked[UVA, ALL_OFF] == {**OPTIONS, "cues_off": list(CUES)}
    assert asked[TRACES, "timing"] == {"subjects": 5, "cues_off": ["timing"]}


def test_a_study_of_cues_runs_from_nothing(study):
    """Traces alone, which take no rendering; both methods that can read them, and the table."""
    traced = {"subjects": 6, "clips": 18, "seed": 3, "length_matched": True}
    without = CueStudy(MethodStudy(study, ["cohn2004", "dibeklioglu2010"], folds=[1, 2]), ["timing"], {}, traced)
    wanted = without.wanted()
    assert set(wanted) == {(TRACES, "cohn2004", setting) for setting in (ALL_ON, "timing", ALL_OFF)}
    told = [json.loads((path / "SIMULATED.json").read_text())["settings"].get("cues_off")
            for path in (study.home / "data" / "raw" / "simulated").glob("*-aus")]  # fmt: skip
    assert sorted(map(str, told)) == sorted(map(str, [None, ["timing"], list(CUES)]))
    study.plan("cues", wanted)
    product = cues.cues(without.stores(), study.run("cues"))
    main = next(iter(product.tables.values()))
    assert list(main["method"]) == ["Cohn'04 (AU traces)"]
    assert NOT_RUN not in set(main.iloc[0])
    people = {key: store.usable["subject"].to_dict() for key, store in without.stores().items()}
    assert len({str(sorted(one.items())) for one in people.values()}) == 1
    assert product.simulated


def test_the_network_is_trained_without_each_cue_where_asked(study, monkeypatch):
    monkeypatch.setattr(MethodStudy, "prepare", lambda self, names: None)
    monkeypatch.setattr(MethodStudy, "store", lambda self, name: Smiles("none"))
    monkeypatch.setattr(Study, "store", lambda self, name, recipe=None: Smiles(name))
    monkeypatch.setattr(MethodStudy, "wanted", lambda self, names: {})
    clips = ClipStudy(study, TrainingOptions(epochs=1), "last")
    wanted = CueStudy(MethodStudy(study, []), ["timing"], OPTIONS, {"subjects": 5}, clips).wanted()
    assert set(wanted) == {(UVA, "realsmilenet", setting) for setting in (ALL_ON, "timing", ALL_OFF)}
    assert len({spec.store for specs in wanted.values() for spec in specs}) == 3
