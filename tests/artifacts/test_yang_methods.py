"""Every method of Table 2 from made runs: what is printed beside what, pairs by hand, costs, what is lacking."""

import json
import math
import re

import numpy as np
import pandas as pd
import pytest
from made_runs import SECONDS, PeopleStore, made_runs
from scipy.stats import binomtest
from written_store import Clip, steady, write_store

from smilelab import baselines, runs
from smilelab.artifacts import method_costs, tables, yang_methods
from smilelab.artifacts.method_study import RECIPE, MethodStudy
from smilelab.artifacts.numbers import reported
from smilelab.artifacts.product import NOT_RUN
from smilelab.artifacts.study import Study
from smilelab.artifacts.timed_pipelines import DECODE, KEY_FRAMES
from smilelab.artifacts.yang_methods import METHODS, RELATED, Measured, holm, lacking
from smilelab.artifacts.yang_rows import Cell
from smilelab.baselines.by_clip import stacked

MEASURED = "simulated UvA-NEMO, measured [95 %]"
LAST = {"selection": "last"}


def painted(view, *, power=1):
    return {"painted": np.array([view.frames.mean() ** power])}


class Painted(baselines.ByClip):
    """Whether frames are brighter than the training clips' mean."""

    def __init__(self, *, power: int = 1):
        self.extractors = [baselines.Extractor("painted", 1, painted, power=power)]
        self.middle = 0.0

    def learn(self, features, labels, subjects, *, seed):
        self.middle = stacked(features, "painted").mean()

    def decide(self, features):
        return stacked(features, "painted")[:, 0] - self.middle

    def state(self):
        return {"middle": np.array([self.middle])}

    def load_state(self, state):
        self.middle = float(state["middle"][0])


class Broken(Painted):
    """Refuses every clip."""

    def learn(self, features, labels, subjects, *, seed):
        raise ValueError("found no smile, expected one")


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    more = {"painted": Painted, "broken": Broken}
    monkeypatch.setattr(baselines._BASELINES, "builders", {**baselines._BASELINES.builders, **more})


class Pictures(PeopleStore):
    has_frames = True
    recipe = {"crop": "chip", "size": 96, "fps": 25.0}  # noqa: RUF012  # never changed


class Traces(PeopleStore):
    has_frames = False


def wrong_on(*clips):
    return lambda row: row["clip_id"] in clips


@pytest.fixture(scope="module")
def pictures():
    return Pictures()


@pytest.fixture(scope="module")
def product(pictures):
    """Pfister'11 is right everywhere, Cohn'04 wrong on 3 of 24 clips, RealSmileNet on these and 3 more."""
    few = ("s00_1", "s01_1", "s02_1")
    network = {"uva-nemo": {"last": made_runs(pictures, wrong_on(*few, "s03_1", "s06_1", "s04_1"), **LAST)}}
    failed = made_runs(pictures, model="wu2014", **LAST)
    failed = [*failed[:1], *(runs.RunFailure(run.spec, "FeatureError: no eyes") for run in failed[1:])]
    traces = Traces("bbc")
    results = {
        ("uva-nemo", "cohn2004"): made_runs(pictures, wrong_on(*few), model="cohn2004", **LAST),
        ("uva-nemo", "pfister2011"): made_runs(pictures, model="pfister2011", **LAST),
        ("uva-nemo", "gan2015"): made_runs(pictures, wrong_on("s00_0"), model="gan2015", **LAST),
        ("uva-nemo", "wu2014"): failed,
        ("uva-nemo", "auda2021"): [],
        ("bbc", "auda2021"): made_runs(traces, wrong_on("s05_0"), model="auda2021", **LAST),
        ("bbc", "dibeklioglu2010"): [],
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "probes_of", lambda stores: next(iter(stores.values())).usable)
        patch.setattr(method_costs, "feature_seconds", lambda method, store: (0.5, 100.0))
        measured = Measured({"uva-nemo": pictures, "bbc": traces}, results)
        return tables.yang2020_table2({"uva-nemo": pictures}, network, measured)


def part(product, caption, **where):
    """The one row of the table whose caption begins so."""
    found = next(frame for name, frame in product.tables.items() if name.startswith(caption))
    for column, value in where.items():
        found = found[found[column] == value]
    assert len(found) == 1
    return found.iloc[0]


def test_every_method_has_a_row_beside_what_was_reported(product):
    main = next(iter(product.tables.values())).set_index("method")
    printed = reported("yang2020-table2")
    assert list(main.index) == [*printed["row"].drop_duplicates(), "AUDA'21"]
    assert main.loc["Cohn'04", "reported by"] == "Yang et al. 2020, Table 2"
    assert main.loc["AUDA'21", "reported by"].startswith("Kawulok et al. 2021")
    for row in printed.to_dict("records"):
        column = {"uva-nemo": "UvA-NEMO", "mmi": "MMI", "spos": "SPOS", "bbc": "BBC"}[row["database"]]
        assert main.loc[row["row"], f"{column}, reported"] == row["value"]
    assert main.loc["Wu'14", "MMI, reported"] == "-"
    assert main.loc["AUDA'21", "UvA-NEMO, reported"] == "84.56"


def test_accuracies_by_hand_and_what_was_not_run(product):
    main = next(iter(product.tables.values())).set_index("method")[MEASURED]
    assert main["Pfister'11"] == "100.0 [100.0, 100.0]"
    assert main["Cohn'04"].startswith("87.5 [")
    assert main["RealSmileNet"].startswith("75.0 [")
    assert main["Mandal'16"] == NOT_RUN
    assert main["Wu'14"] == NOT_RUN, "some of its runs failed"
    assert main["AUDA'21"] == "needs AU traces"
    traced = next(iter(product.tables.values())).set_index("method")["simulated BBC, measured [95 %]"]
    assert traced["AUDA'21"].startswith("95.8 [")
    assert traced["Dibeklioglu'10"] == traced["RealSmileNet"] == "needs face crops"
    assert traced["Cohn'04"] == NOT_RUN


def test_failed_runs_are_counted(product):
    assert "Failed: 1 of 5 pairs of a method and a database." in product.notes
    assert "simulated UvA-NEMO, Wu'14: 2 of 3 runs failed, first: FeatureError: no eyes" in product.notes


def test_related_work_stands_apart_with_its_own_data(product):
    row = part(product, "Related work", method="Gan'15")
    assert row["reported"] == "NVIE 91.73; SPOS 84.62"
    assert row["reported by"] == "Lee & Lee 2020, section 2.2"
    assert row[MEASURED].startswith("95.8 [")
    assert part(product, "Related work", method="Valstar'07")["reported"] == "MMI 94 (own subset of MMI)"
    assert not set(RELATED) & set(next(iter(product.tables.values()))["method"])


def test_every_accuracy_has_its_company(product):
    row = part(product, "Each method on", method="Cohn'04")
    assert row["accuracy"].startswith("87.5 [")
    assert list(row[["majority", "clips", "subjects", "folds"]]) == ["50.0", "24", "12", "3"]
    assert row["balanced accuracy"].startswith("87.5 [")
    assert row["AUC"].startswith("100.0 [")  # wrong answers lie at .2, those of posed clips at .1


def test_pairs_against_the_best_by_hand(product):
    row = part(product, "Each method less", method="Cohn'04")
    assert row["best"] == "Pfister'11"
    assert row["accuracy"].startswith("-12.5 [")
    assert row["only it / only the best right"] == "0 / 3"
    # 3, 6 and 1 clips are wrong: doubled tails of a coin, then Holm by hand.
    p = {3: binomtest(0, 3).pvalue, 6: binomtest(0, 6).pvalue, 1: 1.0}
    assert (p[3], p[6]) == (0.25, 0.03125)
    assert row["p, McNemar"] == "0.250"
    assert row["p, McNemar, Holm"] == "0.500"
    assert part(product, "Each method less", method="RealSmileNet")["p, McNemar, Holm"] == f"{3 * p[6]:.3f}"
    assert part(product, "Each method less", method="Gan'15")["p, McNemar, Holm"] == "1.000"
    # Each fold loses one of eight clips: no spread. RealSmileNet loses 3, 2 and 1; 8 tested by 16 trained.
    assert row["p, corrected t over folds"] == ""
    network = part(product, "Each method less", method="RealSmileNet")
    losses = np.array([3, 2, 1]) / 8
    t = losses.mean() / math.sqrt((1 / 3 + 8 / 16) * losses.var(ddof=1))
    assert network["p, corrected t over folds"] == f"{1 - t / math.sqrt(2 + t**2):.3f}"


def test_a_method_alone_on_a_database_is_compared_with_none(product):
    frame = next(frame for name, frame in product.tables.items() if name.startswith("Each method less"))
    assert set(frame["database"]) == {"simulated UvA-NEMO"}


@pytest.mark.parametrize(
    ("given", "adjusted"),
    [
        # Holm 1979: the smallest times n, the next times n - 1, never falling, never above one.
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.5], [0.5]),
        ([0.6, 0.7], [1.0, 1.0]),
        ([0.02, float("nan"), 0.01], [0.02, float("nan"), 0.02]),
        ([], []),
    ],
)
def test_holm_by_hand(given, adjusted):
    np.testing.assert_allclose(holm(given), adjusted)


def test_holm_rejects_what_the_step_down_procedure_rejects():
    generator = np.random.default_rng(0)
    for _ in range(200):
        values = generator.uniform(0, 0.1, 6) ** 2
        for level in (0.01, 0.05):
            rejected, left = set(), list(np.argsort(values))
            while left and values[left[0]] <= level / len(left):
                rejected.add(left.pop(0))
            assert {at for at, p in enumerate(holm(values)) if p <= level} == rejected


def test_costs_of_features_and_learning(product):
    row = part(product, "What each method costs", method="Cohn'04")
    assert (row["features, s a clip"], row["features, ms a frame"]) == ("0.500", "5.0")
    assert row["learning and testing, a fold"] == f"{SECONDS / 2} s"
    assert row["the same, ms a clip"] == f"{1e3 * SECONDS / 2 / 24:.1f}"
    assert part(product, "What each method costs", method="RealSmileNet")["features, s a clip"] == ""


def test_the_tables_that_the_readme_takes_keep_their_numbers(product):
    captions = list(product.tables)
    assert captions[1].startswith("RealSmileNet, each protocol")
    assert captions[2].startswith("What tells the classes apart")


def test_costs_stand_beside_the_pipelines(pictures, monkeypatch):
    class Times:
        def mean(self, pipeline, stage):
            return {(KEY_FRAMES, DECODE): 1.0, (KEY_FRAMES, KEY_FRAMES): 2.0}[pipeline, stage]

    monkeypatch.setattr(method_costs, "feature_seconds", lambda method, store: (0.6, 100.0))
    results = {("uva-nemo", "cohn2004"): made_runs(pictures, model="cohn2004", **LAST)}
    measured = Measured({"uva-nemo": pictures}, results)
    (row,) = method_costs.beside_pipelines(Times(), measured.complete_on("uva-nemo")).to_dict("records")
    assert row["method"] == "Cohn'04"
    assert row["both for 1240 clips, h"] == "1.24"  # 3.6 s a clip
    assert measured.complete_on("bbc") == {}


def test_what_a_method_needs():
    pictures, traces = Pictures(), Traces()
    assert [lacking("auda2021", store) for store in (pictures, traces)] == ["needs AU traces", ""]
    assert [lacking("cohn2004", store) for store in (pictures, traces)] == ["", ""]
    assert [lacking("somebody's", store) for store in (pictures, traces)] == ["", "needs face crops"]


def test_every_registered_method_on_clips_has_a_row_and_every_row_a_method():
    own = {name for name in baselines.names() if baselines.takes(name) == "clips"} - {"painted", "broken"}
    assert own == set(METHODS) - {yang_methods.NETWORK}
    rows = {*reported("yang2020-table2")["row"], *reported("related").query("paper == 'kawulok2021'")["row"]}
    assert rows == {METHODS[name].row for name in METHODS if name not in RELATED}
    assert {METHODS[name].row for name in RELATED} <= set(reported("related")["row"])


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Six people with two short posed clips and a long, hence bright, spontaneous one, in three folds."""
    monkeypatch.setenv("SMILELAB_HOME", str(tmp_path))
    made = Study("trial", jobs=1)
    clips = [
        Clip(f"{who}{which}", int(which == "s"), who, steady(9 + 9 * (which == "s")))
        for who in "abcdef"
        for which in "pqs"
    ]
    folder = tmp_path / "data" / "clips" / f"uva-nemo-{RECIPE.hash}"
    write_store(folder, clips, size=4)
    tests = [[clip.clip_id for clip in clips if clip.subject in fold] for fold in ("ab", "cd", "ef")]
    (folder / "folds.json").write_text(json.dumps({"tests": tests}))
    about = json.loads((folder / "store.json").read_text()) | {"database": "uva-nemo"}
    about["recipe"] |= {"crop": "chip"}
    (folder / "store.json").write_text(json.dumps(about))
    made._stores["uva-nemo", RECIPE.hash] = runs.ClipStore(folder)
    return made


def test_a_study_prepares_plans_and_runs_methods(study):
    methods = MethodStudy(study, ["painted", "broken", "auda2021"])
    methods.prepare(["uva-nemo"])
    (folder,) = (study.home / "data" / "clips" / f"uva-nemo-{RECIPE.hash}" / "features").iterdir()
    assert len(list(folder.iterdir())) == 18
    wanted = methods.wanted(["uva-nemo"])
    assert [len(specs) for specs in wanted.values()] == [3, 3, 0]
    assert {(spec.selection, spec.seed) for specs in wanted.values() for spec in specs} == {("last", 0)}
    study.plan("yang2020-table2", wanted)
    measured = methods.measured(["uva-nemo"], study.run("yang2020-table2"))
    cell = measured.complete_on("uva-nemo")["painted"]
    assert cell.summary.accuracy == 1.0
    assert list(measured.complete_on("uva-nemo")) == ["painted"]
    failed = measured.results["uva-nemo", "broken"]
    assert all("found no smile" in failure.error for failure in failed)
    seconds, frames = method_costs.feature_seconds("painted", cell.store)
    assert frames == 12
    assert seconds > 0
    row = method_costs.cost("painted", cell)
    assert re.fullmatch(r"\d+\.\d{3}", row["features, s a clip"])
    assert row["clips of a fold, training / test"] == "12 / 6"


def test_features_that_were_never_computed_are_not_timed(study):
    store = MethodStudy(study, ["painted"]).store("uva-nemo")
    assert np.isnan(method_costs.feature_seconds("painted", store)[0])


def test_a_method_that_takes_windows_is_refused(study):
    with pytest.raises(ValueError, match="'lee2018', which takes windows"):
        MethodStudy(study, ["painted", "lee2018"])


def test_a_database_can_be_asked_for_with_other_options(study, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "smilelab.artifacts.study.simulate", lambda name, root, **options: asked.append((name, root, options))
    )
    monkeypatch.setattr("smilelab.artifacts.study.datasets.open", lambda name, root: (name, root))
    varied = study.vary("uva-nemo", "no timing", subjects=3, cues_off=["timing", "cheeks"], resolution=[320, 240])
    name, root = study.database(varied)
    assert name == "uva-nemo"
    assert root.name == "uva-nemo-v1-3-subjects-seed-1-320x240-cues-off-timing+cheeks"
    assert asked[0][2]["cues_off"] == ["timing", "cheeks"]
    assert asked[0][2]["resolution"] == (320, 240)
    name, root = study.database(study.vary("au-traces", "few", subjects=3))
    assert (name, root.name) == ("au-traces", "uva-nemo-v1-3-subjects-seed-1-aus")
    assert (asked[1][0], asked[1][2]["metadata_only"], asked[1][2]["au_traces"]) == ("uva-nemo", True, True)


def test_cells_take_the_networks_own_store(pictures):
    other = Pictures()
    network = {"uva-nemo": made_runs(other, **LAST)}
    results = {("uva-nemo", "cohn2004"): made_runs(pictures, model="cohn2004", **LAST)}
    cells = yang_methods.cells_of({"uva-nemo": other}, network, Measured({"uva-nemo": pictures}, results))
    assert cells["uva-nemo", "realsmilenet"].store is other
    assert cells["uva-nemo", "cohn2004"].store is pictures
    assert all(isinstance(cell, Cell) for cell in cells.values())
    assert isinstance(yang_methods.accuracies({"uva-nemo": other}, cells, Measured()), pd.DataFrame)
