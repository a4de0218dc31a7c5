"""Tables 3 and 4 and Figure 5 of hand-made predictions, small enough to compute every cell by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from memory_store import MemoryStore

from smilelab import runs, specs
from smilelab.artifacts import lee_curves, lee_tables
from smilelab.artifacts.lee_rows import reduced
from smilelab.artifacts.product import NOT_RUN
from smilelab.training import TrainingOptions

SMALL = (("depth", 22), ("frames", 15), ("size", 56), ("width", 128))


@pytest.fixture(autouse=True, scope="module")
def likeness():
    """What the pixels alone tell has its own tests; this store has none."""
    counts = {"own_clip": True, "n": 30, "subjects": 15}
    rows = [{"anchor": "neutral", "auc": 0.5, "auc_low": 0.4, "auc_high": 0.6, **counts}]
    rows.append({**rows[0], "anchor": "posed", "auc": 0.81, "auc_low": 0.75, "auc_high": 0.875})
    rows.append({**rows[1], "own_clip": False, "auc": 0.775})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lee_tables.audit, "anchor_probes", lambda store, **options: pd.DataFrame(rows))
        patch.setattr(lee_tables.lee_anchors, "left_out", lambda store, spec: [])
        yield


@pytest.fixture(scope="module")
def store():
    """17 subjects, so that two test and two validate in each of five folds; a moment of either class each."""
    made = MemoryStore()
    rows = [(f"s{s:02d}_{label}", label, f"s{s:02d}") for s in range(17) for label in (0, 1)]
    made.usable = pd.DataFrame(rows, columns=["clip_id", "label", "subject"]).set_index("clip_id")
    made.database = "recordings"
    return made


class Run(runs.RunResult):
    """A run whose predictions were made by hand."""

    predictions = None
    metrics = None


def run_of(spec, predictions, epoch=3):
    kind = type("Run", (Run,), {"predictions": predictions, "metrics": {"epoch": epoch}})
    return kind(spec, Path("nowhere"))


def results(store, model, options=(), *, folds=(), wrong=lambda fold, part, subject, label, start: False, **fields):
    """Runs that are right but where `wrong` says so: .9 and .1 where sure, .8 and .2 of what is wrong the other way.

    A subject has three windows of a posed moment and two of a spontaneous one.
    """
    fields = {"selection": "last", "training": TrainingOptions(epochs=7, per_epoch=1200, batch_size=8), **fields}
    cut = specs.WindowOptions(stride=3, test_stride=5)
    made = []
    for spec in specs.specify(
        store, folds=folds, partition_seed=0, model=model, model_options=options, windows=cut, **fields
    ):
        members = specs.rounds_of(store, 0)[spec.fold - 1]
        rows = []
        for part in ("validation", "test"):
            for subject in getattr(members, part):
                for label, count in ((0, 3), (1, 2)):
                    for number in range(count):
                        bad = wrong(spec.fold, part, subject, label, 5 * number)
                        probability = (0.2 if bad else 0.8) if label else (0.9 if bad else 0.1)
                        row = {"clip_id": f"{subject}_{label}", "start": 5 * number, "subject": subject, "label": label}
                        rows.append(row | {"probability": probability, "part": part})
        table = pd.DataFrame(rows).assign(fold=spec.fold, seed=spec.seed)
        made.append(run_of(spec, table, epoch=fields["training"].epochs))
    return made


@pytest.fixture(scope="module")
def first_test_subject(store):
    return specs.rounds_of(store, 0)[0].test[0]


@pytest.fixture(scope="module")
def one_wrong(store, first_test_subject):
    """The model of the first fold takes one posed window of one test subject for spontaneous: .9, over its .8."""

    def wrong(fold, part, subject, label, start):
        return (fold, part, subject, label, start) == (1, "test", first_test_subject, 0, 0)

    return results(store, "siamese-neutral", SMALL, wrong=wrong)


@pytest.fixture(scope="module")
def table4(store, one_wrong):
    perfect = results(store, "siamese-posed", SMALL)
    never_posed = results(store, "densenet3d", SMALL, wrong=lambda fold, part, subject, label, start: label == 0)
    given = {("neutral", 22): one_wrong, ("posed", 22): perfect, ("plain", 22): never_posed}
    return lee_tables.lee2020_table4(store, given)


def test_what_the_pixels_alone_tell_stands_below(table4):
    shown = table4.tables[lee_tables.lee_anchors.LIKENESS_CAPTION].set_index("anchor")
    assert shown.loc["posed anchor", "AUC"] == "81.0 [75.0, 87.5]"
    assert shown.loc["neutral anchor", "AUC"] == "50.0 [40.0, 60.0]"
    assert shown.loc["posed anchor, without the anchor's own clip", "AUC"] == "77.5 [75.0, 87.5]"
    assert set(shown["database"]) == {"simulated recordings, all subjects"}


def table(product, caption, **where):
    """The rows of the table whose caption begins so."""
    found = next(frame for name, frame in product.tables.items() if name.startswith(caption))
    for column, value in where.items():
        found = found[found[column] == value]
    return found


def measured(product, **where):
    found = table(product, "Windows of the test", **where)
    return found[found[""].str.startswith("measured")].iloc[0]


def test_windows_by_hand(table4):
    row = measured(table4, structure="neutral anchor", depth="22")
    # 5 models x 10 windows of two subjects; one of 50 is wrong. Draws of one subject alone: 24 of 25, or all.
    assert row["accuracy"] == "98.0 [96.0, 100.0]"
    assert row["precision"] == "100.0 [100.0, 100.0]"  # 29 are called posed, and are
    assert row["recall"] == "96.7 [93.3, 100.0]"  # 29 of 30; 14 of 15
    # The wrong window loses against 4 of 4 spontaneous ones, of 5 x 6 x 4 comparisons; alone 2 of 5 x 3 x 2.
    assert row["AUC"] == "96.7 [93.3, 100.0]"
    assert row["balanced accuracy"] == "98.3 [96.7, 100.0]"
    assert row["majority"] == "60.0"  # 6 of 10 windows are posed
    assert list(row[["windows", "moments", "subjects", "folds"]]) == ["10", "4", "2", "5"]
    assert row[""] == "measured (simulated recordings, reduced network)"


def test_a_class_that_is_never_called_has_no_precision(table4):
    row = measured(table4, structure="plain", depth="22")
    assert row["precision"] == "undefined"
    assert row["recall"] == "0.0 [0.0, 0.0]"
    assert row["accuracy"] == "40.0 [40.0, 40.0]"
    assert row["AUC"] == "0.0 [0.0, 0.0]"


def test_moments_and_subjects_outvote_the_wrong_window(table4):
    # (.9 + .1 + .1) / 3 is still posed.
    for caption in ("Smile moments of the test subjects", "Test subjects, each"):
        row = table(table4, caption, structure="neutral anchor").iloc[0]
        assert row["accuracy"] == row["recall"] == row["AUC"] == "100.0 [100.0, 100.0]"
        assert row["majority"] == "50.0"
    assert row["n"] == "4"


def test_validation_subjects_are_pooled_over_the_folds(table4):
    rows = table(table4, "Validation subjects", structure="neutral anchor").set_index("scored")
    assert list(rows["n"]) == ["50", "20", "20"]  # windows, moments, subjects and classes of 5 x 2 subjects
    assert set(rows["subjects"]) == {"10"}
    assert set(rows["accuracy"]) == {"100.0 [100.0, 100.0]"}


def test_spread_over_the_models(table4):
    row = table(table4, "Spread", structure="neutral anchor", scored="test windows").iloc[0]
    # 90, 100, 100, 100, 100: squared deviations from 98 are 64 + 4 x 4, over 4.
    assert row["accuracy"] == "98.0 ± 4.5"
    assert row["recall"] == f"96.7 ± {np.std([100 * 5 / 6, 100, 100, 100, 100], ddof=1):.1f}"
    assert row["precision"] == "100.0 ± 0.0"
    assert row["models"] == "5"
    never = table(table4, "Spread", structure="plain", scored="test windows").iloc[0]
    assert never["precision"] == "undefined"


def test_paired_tests_by_hand(table4):
    rows = table(table4, "Paired tests", first="neutral anchor, 22", second="posed anchor, 22").set_index("on")
    row = rows.loc["test windows"]
    assert row["accuracy"] == "-2.0 [-4.0, 0.0]"
    assert row["AUC"] == "-3.3 [-6.7, 0.0]"
    assert row["p, subjects flipped"] == "1.000"  # one subject differs: both signs are as far from zero
    assert row["only first / second right"] == "0 / 0"  # the mean of the five models is right
    assert row["p, McNemar"] == ""
    assert rows.loc["test moments", "p, McNemar"] == "1.000"
    plain = table(table4, "Paired tests", first="neutral anchor, 22", second="plain, 22").set_index("on")
    row = plain.loc["validation moments"]
    # Every posed moment of ten subjects is won: half of all moments, and one sign pattern of 2^10 on each side.
    assert row["accuracy"] == "50.0 [50.0, 50.0]"
    assert row["p, subjects flipped"] == f"{2 / 2**10:.3f}"
    assert row["only first / second right"] == "10 / 0"
    assert row["p, McNemar"] == f"{2 / 2**10:.3f}"
    assert row["p, corrected t over folds"] == ""  # no spread over the folds
    assert list(row[["n", "subjects", "folds"]]) == ["20", "10", "5"]


def test_corrected_t_takes_the_shares_of_the_folds(store):
    # Folds 1 to 4 lose a spontaneous moment of one of two validation subjects, fold 5 loses none.
    lost = {number: part.validation[0] for number, part in enumerate(specs.rounds_of(store, 0)[:4], start=1)}
    worse = results(
        store, "lee2018", wrong=lambda fold, part, subject, label, start: label == 1 and lost.get(fold) == subject
    )
    product = lee_tables.lee2020_table3(store, {"Lee'18": worse, "3D DenseNet-38": results(store, "siamese-neutral")})
    row = table(product, "Paired tests", on="validation moments").iloc[0]
    from scipy.stats import t

    # -25 four times and 0: mean -20, variance 125; 2 of 17 validate, 13 train.
    statistic = 20 / np.sqrt((1 / 5 + 2 / 13) * 125)
    assert row["p, corrected t over folds"] == f"{2 * t.sf(statistic, 4):.3f}"
    assert row["accuracy"].startswith("-20.0 [")
    assert row["only first / second right"] == "0 / 4"


def test_reported_numbers_stand_above_the_measured_ones_and_nothing_run_is_said_so(table4, store):
    main = table(table4, "Windows of the test", structure="plain", depth="62")
    assert list(main[""]) == ["reported (Lee's own recordings)", "measured (simulated recordings)"]
    assert list(main[["accuracy", "precision", "recall", "AUC"]].iloc[0]) == ["72.77", "92.52", "65.6", "79.11"]
    assert set(main[["accuracy", "precision", "recall", "AUC"]].iloc[1]) == {NOT_RUN}
    assert len(table(table4, "Windows of the test")) == 3 * (3 * 2 + 1)
    empty = lee_tables.lee2020_table3(store, {})
    assert list(empty.tables) == [
        "Windows of the test subjects (percent, 95 % intervals from a bootstrap over subjects)"
    ]
    assert list(table(empty, "Windows of the test")["network"].unique()) == [
        "Lee'18", "3D DenseNet-38", "3D DenseNet-62", "3D DenseNet-94",
    ]  # fmt: skip


def test_the_majority_of_the_papers_splits_is_said(table4):
    # 3753 of 5472 and 4473 of 7734 windows.
    assert any("68.6 % of that split and 57.8 % of the test split" in note for note in table4.notes)


def test_only_some_folds_are_said_and_compared_on(store):
    some = results(store, "siamese-neutral", SMALL, folds=(1, 3, 4))
    product = lee_tables.lee2020_table4(store, {("neutral", 22): some, ("posed", 22): results(store, "siamese-posed")})
    assert measured(product, structure="neutral anchor", depth="22")["folds"] == "3 of 5 folds"
    rows = table(product, "Paired tests")
    assert set(rows["folds"]) == {"3"}
    assert list(rows["n"]) == ["10", "4", "12"]


def test_windows_of_one_model_alone_are_left_out_of_the_paired_tests_and_counted(store):
    whole = results(store, "siamese-neutral", SMALL)
    part = [run_of(run.spec, run.predictions.query("start > 0")) for run in results(store, "siamese-posed", SMALL)]
    product = lee_tables.lee2020_table4(store, {("neutral", 22): whole, ("posed", 22): part})
    row = table(product, "Paired tests", on="test windows").iloc[0]
    # Of each of 4 moments the first window, in 5 folds.
    assert row["n"] == "6 (20 predictions of one model alone left out)"


def test_a_failed_run_leaves_its_row_not_run(store, one_wrong):
    broken = [*one_wrong[:-1], runs.RunFailure(one_wrong[-1].spec, "TrainingError: loss is NaN")]
    product = lee_tables.lee2020_table3(store, {"3D DenseNet-22": broken})
    assert measured(product, network="3D DenseNet-22")["accuracy"] == NOT_RUN
    assert "3D DenseNet-22: 1 of 5 runs failed, first: TrainingError: loss is NaN" in product.notes
    assert product.runs == broken


def test_models_are_described_as_they_were_run(store):
    full = results(store, "siamese-neutral", selection="validation")
    small = results(store, "densenet3d", SMALL)
    product = lee_tables.lee2020_table3(
        store, {"3D DenseNet-94": full, "plain": small, "Lee'18": results(store, "lee2018")}
    )
    rows = table(product, "The models").set_index("network")
    assert rows.loc["3D DenseNet-94", "parameters"] == "6,478,545"
    assert rows.loc["3D DenseNet-94", "input"] == "30 frames of 112x112"
    assert rows.loc["3D DenseNet-94", "smaller in"] == "nothing"
    assert rows.loc["plain", "smaller in"] == "depth 22, size 56, frames 15, width 128"
    assert rows.loc["plain", "input"] == "15 frames of 56x56"
    assert list(rows.loc["plain", ["epochs", "epoch kept", "windows an epoch", "batch"]]) == ["7", "7", "1,200", "8"]
    assert rows.loc["plain", "stride"] == "3 in training, 5 in tests"
    assert rows.loc["3D DenseNet-94", "selection"] == "epoch chosen on held-out training subjects"
    assert rows.loc["Lee'18", "epochs"] == ""
    text = " ".join(product.notes)
    assert "the validation subjects chose the epoch, so that their numbers are optimistic" in text
    assert "as unseen as those of the test" in text
    assert "shares 25 of its 30 frames with the next" in text
    assert measured(product, network="3D DenseNet-94")[""] == "measured (simulated recordings)"


def test_few_subjects_have_few_patterns_of_signs(table4):
    assert any("p below 0.5" in note for note in table4.notes)  # two subjects: 2 of 4 patterns


def test_reduced_is_said_of_every_smaller_size(store):
    def said(model, *options):
        return reduced(results(store, model, options, folds=(1,))[0].spec)

    assert said("densenet3d-38") == said("siamese-posed", ("depth", 62)) == said("densenet3d-printed") == ""
    assert said("siamese-posed", ("depth", 14)) == "depth 14"
    assert said("densenet3d-62", ("growth", 12)) == "growth 12"
    assert said("densenet3d-62", ("size", 112), ("dropout", 0.2)) == ""


def test_other_protocols_settings_and_structures_are_refused(store, one_wrong):
    with pytest.raises(ValueError, match="found structure 'triplet', expected one of neutral, posed, plain"):
        lee_tables.lee2020_table4(store, {("triplet", 22): one_wrong})
    other = [run_of(replace(run.spec, selection="validation"), run.predictions) for run in one_wrong[:1]]
    with pytest.raises(ValueError, match="3D DenseNet-22: found runs of several settings"):
        lee_tables.lee2020_table3(store, {"3D DenseNet-22": [*other, *one_wrong[1:]]})
    other = [run_of(replace(run.spec, partition_seed=None), run.predictions) for run in one_wrong]
    with pytest.raises(ValueError, match="without partition_seed"):
        lee_tables.lee2020_table3(store, {"3D DenseNet-22": other})


@pytest.fixture(scope="module")
def fig5(store, one_wrong):
    missing = [runs.RunFailure(run.spec, "no memory") for run in results(store, "siamese-posed", SMALL)]
    never_posed = results(store, "densenet3d", SMALL, folds=(2, 5), wrong=lambda *about: about[3] == 0)
    return lee_curves.lee2020_fig5(
        store, {("neutral", 22): one_wrong, ("posed", 22): missing, ("plain", 22): never_posed}
    )


def test_fig5_names_the_area_of_each_structure(fig5):
    windows, moments = fig5.figure.axes
    legend = [text.get_text() for text in windows.get_legend().get_texts()]
    assert legend == [
        "neutral anchor: 96.7 [93.3, 100.0]",
        "posed anchor: not run",
        "plain: 0.0 [0.0, 0.0] (2 of 5 folds)",
    ]
    assert moments.get_legend().get_texts()[0].get_text() == "neutral anchor: 100.0 [100.0, 100.0]"
    assert windows.get_title("left") == "depth 22 (reduced): 10 windows of 2 subjects"
    assert moments.get_title("left") == "depth 22 (reduced): 4 moments of 2 subjects"
    assert fig5.notes[-1] == "posed anchor, 22: 5 of 5 runs failed, first: no memory"


def test_fig5_draws_the_curve_whose_area_it_names(fig5):
    windows, _ = fig5.figure.axes
    line = next(line for line in windows.lines if str(line.get_label()).startswith("neutral anchor"))
    x, y = line.get_data()
    # Four curves are perfect; that of the first fold finds 5 of 6 at once and the last with every spontaneous one.
    assert list(x) == [0, 0, 1, 1]
    assert list(y) == pytest.approx([0, (4 + 5 / 6) / 5, (4 + 5 / 6) / 5, 1])
    assert np.trapezoid(y, x) == pytest.approx(116 / 120)
    circle = next(line for line in windows.lines if line.get_marker() == "o")
    assert [float(value[0]) for value in circle.get_data()] == pytest.approx([0, 29 / 30])
    chance = next(line for line in windows.lines if line.get_linestyle() == ":")
    assert np.array_equal(chance.get_xydata(), [[0, 0], [1, 1]])


def test_fig5_keeps_its_points_and_areas_as_tables(fig5):
    areas, points = fig5.tables.values()
    neutral = areas.set_index("structure").loc["neutral anchor"]
    assert neutral["measured, windows"] == "96.7 [93.3, 100.0]"
    assert areas.set_index("structure").loc["posed anchor", "measured, moments"] == NOT_RUN
    assert list(points.columns) == [
        "false positive rate",
        *(f"{name}, 22, {unit}" for unit in ("windows", "moments") for name in ("neutral anchor", "plain")),
    ]
    assert set(points["neutral anchor, 22, windows"].iloc[:-1]) == {"96.7"}


def test_fig5_has_a_row_of_panels_for_each_depth_and_the_reported_areas(store):
    perfect = results(store, "siamese-posed", (("depth", 38),))
    product = lee_curves.lee2020_fig5(
        store, {("posed", 38): perfect, ("posed", 22): results(store, "siamese-posed", SMALL)}
    )
    assert [axis.get_title("left").partition(":")[0] for axis in product.figure.axes[::2]] == [
        "depth 22 (reduced)",
        "depth 38",
    ]
    areas = next(iter(product.tables.values()))
    assert list(areas.query("depth == '38'")["reported (Lee's own recordings)"]) == ["98.97", "97.65", "85.23"]


def test_fig5_without_runs_is_no_figure(store):
    product = lee_curves.lee2020_fig5(store, {("neutral", 38): []})
    assert product.figure is None
    assert product.notes == ["not run: no structure has finished runs."]
