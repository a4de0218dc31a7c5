import inspect
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from memory_store import FOLDS, SUBJECTS, MemoryStore

from smilelab import artifacts, models, runs, specs
from smilelab.artifacts import data_tables, diagrams, figures, numbers, tables
from smilelab.artifacts.catalogue import CATALOGUE, MAKERS, makes
from smilelab.artifacts.gallery import Gallery, markdown
from smilelab.artifacts.product import NOT_RUN, Product
from smilelab.artifacts.readme import both_papers, with_results
from smilelab.training import TrainingOptions


@pytest.fixture(scope="module")
def store():
    return MemoryStore()


@pytest.fixture(scope="module")
def results(store, tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    chosen = specs.specify(store, training=TrainingOptions(epochs=1, batch_size=8), model_options=(("size", 24),))
    return [runs.run(spec, store, root) for spec in chosen]


@pytest.fixture
def gallery(tmp_path):
    artifacts.load_makers()
    return Gallery("smoke", tmp_path / "figures", tmp_path)


def test_catalogue_holds_every_artifact_of_both_papers():
    expected = [f"lee2020-fig{n}" for n in range(1, 8)] + [f"lee2020-table{n}" for n in range(1, 5)]
    expected += [f"yang2020-fig{n}" for n in range(1, 9)] + [f"yang2020-table{n}" for n in range(1, 4)]
    expected += ["yang2020-cross", "yang2020-time", "audit", "folds", "probes", "inflation", "combined", "cues"]
    expected += ["auda-pieces"]
    assert sorted(CATALOGUE) == sorted(expected)


def test_two_makers_of_one_artifact_or_an_unknown_one_are_refused():
    artifacts.load_makers()
    with pytest.raises(ValueError, match="is made by"):
        makes("yang2020-table1")(lambda: Product())
    with pytest.raises(ValueError, match="expected one of"):
        makes("yang2020-table9")


def test_reported_numbers_agree_with_their_own_sums():
    table = numbers.reported("lee2020-table1").pivot_table(
        index="row", columns="quantity", values="value", aggfunc="first"
    )
    counts = table.drop(index="moments", columns=["spontaneous moments", "posed moments"]).astype(int)
    assert (counts.drop("total").sum() == counts.loc["total"]).all()
    assert (counts["spontaneous windows"] + counts["posed windows"] == counts["windows"]).all()


def test_reported_table2_and_table3_share_the_row_of_the_model():
    second, third = (numbers.reported(f"yang2020-table{n}").query("row == 'RealSmileNet'") for n in (2, 3))
    assert dict(zip(second["database"], second["value"], strict=True)) == dict(
        zip(third["database"], third["value"], strict=True)
    )
    assert set(numbers.reported()["artifact"]) - {"related"} <= set(CATALOGUE)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((0.7123,), "71.2"),
        ((0.5, 0.4321, 0.5678), "50.0 [43.2, 56.8]"),
        ((-0.0001, -0.012, -0.0004), "0.0 [-1.2, 0.0]"),
        ((float("nan"),), ""),
        ((0.2857, float("nan"), float("nan")), "28.6 [too few subjects]"),
    ],
)
def test_percent(values, text):
    assert numbers.percent(*values) == text


def test_table1_measures_what_is_on_disk_and_leaves_the_rest_not_run(store):
    table = next(iter(data_tables.yang2020_table1({"uva-nemo": store}).tables.values()))
    nemo = table[table["database"] == "simulated UvA-NEMO"].iloc[0]
    assert nemo["resolution"] == "640x360"
    assert nemo["frame rate"] == "50"
    assert nemo["spontaneous clips"] == str(SUBJECTS)
    printed = table[(table["database"] == "UvA-NEMO") & (table[""] == "reported")].iloc[0]
    assert printed["posed clips"] == "643"
    other = table[(table["database"] == "BBC") & (table[""] == "measured")].iloc[0]
    assert set(other.iloc[2:]) == {NOT_RUN}


def test_table2_prints_the_accuracy_of_the_predictions(store, results):
    product = tables.yang2020_table2({"uva-nemo": store}, {"uva-nemo": {"validation": results}})
    main, details, probes = product.tables.values()
    assert set(probes["database"]) == {"simulated UvA-NEMO"}
    column = "simulated UvA-NEMO, measured [95 %]"
    predictions = pd.concat(result.predictions for result in results)
    accuracy = 100 * ((predictions["probability"] >= 0.5) == (predictions["label"] == 1)).mean()
    cell = main.set_index("method").loc["RealSmileNet", column]
    assert cell.startswith(f"{accuracy:.1f} [")
    assert set(main[main["method"] != "RealSmileNet"][column]) == {NOT_RUN}
    assert main.set_index("method").loc["RealSmileNet", "MMI, reported"] == "92.0"
    assert details.loc[0, "majority"] == "50.0"
    assert details.loc[0, "clips"] == str(2 * SUBJECTS)
    assert details.loc[0, "subjects"] == str(SUBJECTS)
    assert details.loc[0, "folds"] == str(FOLDS)


def test_table2_refuses_a_cell_whose_runs_failed(store, results):
    broken = [*results[:-1], runs.RunFailure(results[-1].spec, "TrainingError: loss is NaN")]
    product = tables.yang2020_table2({"uva-nemo": store}, {"uva-nemo": {"validation": broken}})
    main = next(iter(product.tables.values()))
    assert main.set_index("method").loc["RealSmileNet", "simulated UvA-NEMO, measured [95 %]"] == NOT_RUN
    assert any("loss is NaN" in note for note in product.notes)


def test_table2_prints_the_spread_over_trials(store, results):
    class Perfect(runs.RunResult):
        wrong = 0

        @property
        def predictions(self):
            table = super().predictions.assign(seed=self.wrong)
            right = table["label"].astype(float)
            return table.assign(probability=right.where(table.index >= self.wrong, 1 - right))

    class Worse(Perfect):
        wrong = 2

    trials = [kind(result.spec, result.folder) for kind in (Perfect, Worse) for result in results]
    details = list(tables.yang2020_table2({"uva-nemo": store}, {"uva-nemo": {"validation": trials}}).tables.values())[1]
    worse = 1 - 2 * FOLDS / (2 * SUBJECTS)
    assert details.loc[0, "trials"] == "2"
    assert details.loc[0, "sd over trials"] == f"{100 * np.std([1.0, worse], ddof=1):.1f}"
    assert details.loc[0, "accuracy"].startswith(f"{100 * (1 + worse) / 2:.1f} [")


def test_table2_says_when_only_some_folds_were_run(store, results):
    product = tables.yang2020_table2({"uva-nemo": store}, {"uva-nemo": {"validation": results[:1]}})
    main = next(iter(product.tables.values())).set_index("method")
    assert main.loc["RealSmileNet", "simulated UvA-NEMO, measured [95 %]"].endswith(f"(1 of {FOLDS} folds)")


def test_saved_artifact_says_simulated_and_lists_its_inputs(gallery, store, results, tmp_path):
    product = gallery.save("yang2020-fig5", figures.yang2020_fig5(store, results))
    assert product.simulated
    svg = (gallery.folder / "yang2020-fig5.svg").read_text()
    words = " ".join("".join(node.itertext()) for node in ElementTree.fromstring(svg).iter())
    assert "simulated data" in words
    assert "simulated UvA-NEMO" in words
    assert (gallery.folder / "yang2020-fig5.png").read_bytes()[:4] == b"\x89PNG"
    entry = gallery.manifest["yang2020-fig5"]
    assert entry["simulated"] is True
    assert entry["runs"] == sorted(result.spec.hash for result in results)
    assert "yang2020-fig5" in (gallery.folder / "index.md").read_text()
    page = (gallery.folder / "yang2020-fig5.md").read_text()
    assert "(yang2020-fig5.png)" in page
    assert "simulated data" in page
    assert "Silhouette" in page


def test_saved_table_says_simulated_above_its_numbers(gallery, store):
    gallery.save("yang2020-table1", data_tables.yang2020_table1({"uva-nemo": store}))
    page = (gallery.folder / "yang2020-table1.md").read_text()
    assert page.index("simulated data") < page.index("| database")
    frame = pd.read_csv(gallery.folder / "yang2020-table1.csv", dtype=str)
    assert "simulated UvA-NEMO" in set(frame["database"])


def test_a_product_of_real_data_is_not_stamped_simulated(gallery, results):
    real = MemoryStore()
    real.simulated = False
    gallery.save("yang2020-fig5", figures.yang2020_fig5(real, results))
    assert "simulated data" not in (gallery.folder / "yang2020-fig5.svg").read_text()
    assert gallery.manifest["yang2020-fig5"]["simulated"] is False


def test_the_banner_names_what_is_simulated_where_some_is_real(gallery, store):
    real = MemoryStore()
    real.database, real.simulated, real.hash = "mmi", False, "mmi"
    table = {"a": pd.DataFrame({"simulated UvA-NEMO": [1], "MMI": [2]})}
    mixed = Product(tables=table, stores=[store, real])
    said = "Columns, rows and panels called simulated (simulated UvA-NEMO) were measured on simulated data: no evidence"
    assert mixed.banner.startswith(said)
    assert said in mixed._repr_html_()
    gallery.save("yang2020-table2", mixed)
    page = (gallery.folder / "yang2020-table2.md").read_text()
    assert said in page
    assert "**Measured on simulated data" not in page
    whole = Product(tables=table, stores=[store])
    assert whole.banner == "Measured on simulated data: no evidence about real smiles."
    assert whole.banner in whole._repr_html_()
    for without in (Product(tables=table, stores=[real]), Product(tables=table)):
        assert without.banner == ""
        assert "evidence" not in without._repr_html_()


def test_status_tells_made_stale_and_waiting(gallery, store, results, tmp_path):
    def state():
        table = gallery.status().set_index("artifact")
        return table.loc["yang2020-fig5", "state"], table.loc["yang2020-fig5", "detail"]

    assert state() == ("waiting", "needs finished RealSmileNet runs")
    gallery.save("yang2020-fig5", figures.yang2020_fig5(store, results))
    assert state()[0] == "made"
    path = results[0].folder / "predictions.csv"
    before = path.read_bytes()
    path.write_bytes(before + b"\n")
    assert state()[0] == "stale"
    assert "predictions.csv" in state()[1]
    path.write_bytes(before)
    assert state()[0] == "made"
    (gallery.folder / "yang2020-fig5.png").unlink()
    assert state()[0] == "stale"
    assert set(gallery.status()["artifact"]) == set(CATALOGUE)


@pytest.mark.parametrize("module", ["smilelab.artifacts.tables", "smilelab.metrics"])
def test_status_notices_that_the_code_behind_an_artifact_changed(gallery, store, results, monkeypatch, module):
    gallery.save("yang2020-table2", tables.yang2020_table2({"uva-nemo": store}, {"uva-nemo": {"validation": results}}))

    def state():
        return gallery.status().set_index("artifact").loc["yang2020-table2", "state"]

    assert state() == "made"
    original = inspect.getsource
    changed = "# edited\n"
    monkeypatch.setattr(
        inspect, "getsource", lambda thing: original(thing) + (changed if thing.__name__ == module else "")
    )
    assert state() == "stale"


def test_an_interrupted_save_leaves_the_old_files(gallery, store, monkeypatch):
    gallery.save("yang2020-table1", data_tables.yang2020_table1({"uva-nemo": store}))
    before = {path.name: path.read_bytes() for path in gallery.folder.iterdir() if path.is_file()}
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        gallery.save("yang2020-table1", Product(tables={"other": pd.DataFrame({"a": [1]})}))
    assert before.items() <= {path.name: path.read_bytes() for path in gallery.folder.iterdir()}.items()


def test_every_made_artifact_has_a_maker_in_the_notebook_it_names():
    artifacts.load_makers()
    folder = Path(__file__).parents[2] / "notebooks"
    sources = {path.name[:2]: path.read_text() for path in folder.glob("[0-9]*.ipynb")}
    for artifact_id in MAKERS:
        assert f'\\"{artifact_id}\\"' in sources[CATALOGUE[artifact_id].notebook]
    mentioned = set(re.findall(r'gallery\.save\(\\"([a-z0-9-]+)\\"', "".join(sources.values())))
    assert mentioned == set(MAKERS)


def test_drawings_carry_the_live_models_shapes_and_sizes():
    model = models.build("realsmilenet", size=64)
    outputs = [step.output for step in diagrams.realsmilenet_steps(model)]
    assert outputs[1:6] == [
        f"T × {maps}" for maps in ("3 × 64 × 64", "3 × 64 × 64", "4 × 64 × 64", "4 × 32 × 32", "6 × 32 × 32")
    ]
    assert "T × 6 × 16 × 16" in outputs
    assert "8 × 16 × 16" in outputs
    operators = " ".join(step.operator for step in diagrams.realsmilenet_steps(model))
    assert "14→32" in operators
    assert f"{10 * 7 * 7}→1" in operators
    for make in (diagrams.yang2020_fig2, diagrams.yang2020_fig3):
        assert isinstance(make(model).figure, Figure)


def test_recorded_shapes_leave_no_hook_behind_after_an_error():
    model = models.build("realsmilenet")
    with pytest.raises(RuntimeError), diagrams.recorded_shapes(model):
        raise RuntimeError
    assert not any(module._forward_hooks for module in model.modules())


def test_fig5_says_which_folds_are_too_small(store, results):
    small = runs.RunResult(results[0].spec, results[0].folder)
    few = small.predictions.head(3)

    class Small(runs.RunResult):
        predictions = property(lambda self: few)

    figure = figures.yang2020_fig5(store, [Small(results[0].spec, results[0].folder)]).figure
    words = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert any("too few" in text for text in words)
    panels = [axis for axis in figure.axes if axis.get_title()]
    assert len(panels) == FOLDS
    assert sum("not run" in text for text in words) == FOLDS - 1


def test_fig5_without_a_finished_run_says_so(store, results):
    failed = [runs.RunFailure(result.spec, "TrainingError: loss is NaN") for result in results]
    product = figures.yang2020_fig5(store, failed)
    assert [text.get_text() for axis in product.figure.axes for text in axis.texts] == [NOT_RUN] * FOLDS
    assert product.notes[0].startswith(f"{NOT_RUN}: found no finished run")
    assert product.notes[1] == f"{FOLDS} of {FOLDS} runs failed, first: TrainingError: loss is NaN."
    assert len(product.notes) == 2


def test_markdown_escapes_bars_and_leaves_missing_cells_empty():
    table = pd.DataFrame({"a": ["x|y", None], "b": [float("nan"), 1]})
    assert markdown(table).splitlines()[2:] == ["| x\\|y |  |", "|  | 1.0 |"]


def test_product_shows_itself_in_a_notebook(store, results):
    html = tables.yang2020_table2({"uva-nemo": store}, {"uva-nemo": {"validation": results}})._repr_html_()
    assert "simulated data" in html
    assert "<table" in html


def test_the_readmes_results_are_those_of_the_published_artifacts():
    project = Path(__file__).parents[2]
    readme = (project / "README.md").read_text()
    assert with_results(readme, both_papers(project / "figures")) == readme


def test_results_replace_only_what_stands_between_the_markers():
    text = "a\n<!-- results:begin -->\nold\n<!-- results:end -->\nb\n"
    assert with_results(text, "new") == "a\n<!-- results:begin -->\nnew\n<!-- results:end -->\nb\n"
