"""Table 3, the inflation table and Table 2's company of hand-made predictions, small enough to compute by hand."""

import math
import re

import pytest
import torch
from made_runs import SECONDS, PeopleStore, made_runs

from smilelab import models, runs
from smilelab.artifacts import tables, yang_rows, yang_tables
from smilelab.artifacts.product import NOT_RUN
from smilelab.training import TrainingOptions

MEASURED = "simulated UvA-NEMO, measured [95 %]"


@pytest.fixture(scope="module")
def store():
    return PeopleStore()


def wrong_on(*clips):
    return lambda row: row["clip_id"] in clips


@pytest.fixture(scope="module")
def table3(store):
    """Softmax is wrong on 3 of 24 clips, RealSmileNet on these and on two of fold 1 (s03, s06) and one of fold 2."""
    few = ("s00_1", "s01_1", "s02_1")
    given = {
        "realsmilenet": made_runs(store, wrong_on(*few, "s03_1", "s06_1", "s04_1")),
        "realsmilenet-softmax": made_runs(store, wrong_on(*few), model="realsmilenet-softmax"),
        "realsmilenet-lstm": made_runs(store, folds=(2,), model="realsmilenet-lstm"),
        "realsmilenet-unweighted": made_runs(store, wrong_on("s00_1"), model="realsmilenet-unweighted"),
        "realsmilenet-no-tsa": made_runs(
            store, lambda row: row["label"] == 0, options=TrainingOptions(epochs=5), model="realsmilenet-no-tsa"
        ),
    }
    return yang_tables.yang2020_table3({"uva-nemo": store}, {m: {"uva-nemo": some} for m, some in given.items()})


def part(product, caption, **where):
    """The one row of the table whose caption begins so."""
    found = next(frame for name, frame in product.tables.items() if name.startswith(caption))
    for column, value in where.items():
        found = found[found[column] == value]
    assert len(found) == 1
    return found.iloc[0]


def note(product, begins):
    return next(text for text in product.notes if text.startswith(begins))


def test_table3_accuracies_by_hand(table3):
    main = next(iter(table3.tables.values())).set_index("variant")
    assert main.loc["softmax", MEASURED].startswith("87.5 [")
    assert main.loc["RealSmileNet", MEASURED].startswith("75.0 [")
    # One class is always wrong, and every subject has one clip of each: no draw of subjects differs.
    assert main.loc["no TSA", MEASURED] == "50.0 [50.0, 50.0]"
    assert main.loc["LSTM for ConvLSTM", MEASURED] == "100.0 [100.0, 100.0] (1 of 3 folds)"
    assert main.loc["miniResNet", MEASURED] == NOT_RUN
    assert main.loc["miniResNet (released)", MEASURED] == NOT_RUN
    assert main.loc["always the larger class", MEASURED] == "50.0"


def test_table3_keeps_the_papers_order_and_numbers(table3):
    main = next(iter(table3.tables.values()))
    assert list(main["variant"][:6]) == [
        *("no TSA", "miniResNet", "miniDenseNet", "no weighted loss", "softmax", "RealSmileNet"),
    ]
    assert list(main["UvA-NEMO, reported"][:6]) == ["78.5", "73.8", "77.0", "80.6", "79.2", "82.1"]
    assert list(main["BBC, reported"][:6]) == ["80.0", "90.0", "90.0", "90.0", "70.0", "90.0"]
    # 643 of 1240, 138 of 187, 66 of 80, 10 of 20 clips.
    last = main.iloc[-1]
    assert [last[f"{name}, reported"] for name in ("UvA-NEMO", "MMI", "SPOS", "BBC")] == [
        "51.9",
        "73.8",
        "82.5",
        "50.0",
    ]
    assert not any("neutral" in name or "posed" in name for name in main["model"])


def test_table3_counts_the_parameters_of_live_models(table3):
    counts = next(iter(table3.tables.values())).set_index("model")["parameters"]
    assert counts["realsmilenet"] == counts["realsmilenet-unweighted"] == "5,273"
    # A second neuron on 250 features has 251 more, and TSA's 3x3 convolution from 3 to 3 channels 84.
    assert counts["realsmilenet-softmax"] == f"{5273 + 251:,}"
    assert counts["realsmilenet-no-tsa"] == f"{5273 - 84:,}"


def test_table3_differences_by_hand(table3):
    row = part(table3, "Each variant less", variant="softmax")
    assert row["accuracy, reported"] == "-2.9"
    assert row["accuracy, measured"].startswith("12.5 [")
    assert row["only it / only RealSmileNet right"] == "3 / 0"
    assert row["p, McNemar"] == "0.250"  # 2 x (1/2)^3
    assert row["p, subjects flipped"] == "0.250"  # of 8 patterns two are as far out
    # Folds gain 2/8, 1/8 and 0: mean and deviation 1/8; 8 tested by 16 trained; for two degrees of freedom the
    # distribution has a closed form.
    t = 1 / math.sqrt(1 / 3 + 8 / 16)
    assert row["p, corrected t over folds"] == f"{1 - t / math.sqrt(2 + t**2):.3f}"
    assert list(row[["clips", "subjects", "folds", "trials"]]) == ["24", "12", "3", "1"]


def test_table3_compares_only_what_both_have(table3, store):
    row = part(table3, "Each variant less", variant="LSTM for ConvLSTM")
    # In fold 2 RealSmileNet is wrong on two of eight clips.
    assert row["accuracy, measured"].startswith("25.0 [")
    assert list(row[["clips", "folds", "accuracy, reported"]]) == ["8", "1", ""]
    apart = {
        "realsmilenet": {"uva-nemo": made_runs(store, folds=(1,))},
        "realsmilenet-gru": {"uva-nemo": made_runs(store, folds=(2,), model="realsmilenet-gru")},
    }
    row = part(yang_tables.yang2020_table3({"uva-nemo": store}, apart), "Each variant less")
    assert row["accuracy, measured"] == f"{NOT_RUN}: no fold and trial in common"


def test_table3_carries_what_an_accuracy_needs(table3):
    row = part(table3, "Each variant (", variant="no TSA")
    assert row["majority"] == "50.0"
    assert row["against the majority"] == "equal"
    assert row["balanced accuracy"] == "50.0 [50.0, 50.0]"
    # .9 for spontaneous, .8 for posed: wrong on every posed clip, and yet in the right order.
    assert row["AUC"] == "100.0 [100.0, 100.0]"
    assert row["wall time, all runs"] == "1.5 min"
    assert row["wall time, a run"] == f"{SECONDS} s"
    assert row["processor time, a run"] == f"{SECONDS / 2} s"
    assert part(table3, "Each variant (", variant="LSTM for ConvLSTM")["folds"] == "1 of 3"
    assert note(table3, "The accuracy does not exceed").endswith("simulated UvA-NEMO: no TSA.")
    assert note(table3, "Only some folds").endswith("simulated UvA-NEMO: LSTM for ConvLSTM (1 of 3).")


def test_table3_says_how_runs_were_trained(table3):
    told = "trained otherwise than RealSmileNet in"
    assert part(table3, "The runs as", variant="softmax")[told] == "nothing"
    assert part(table3, "The runs as", variant="no TSA")[told] == "epochs 5 (not 7)"
    assert part(table3, "The runs as", variant="no weighted loss")[told] == "loss unweighted (not paper)"
    assert "loss weights: paper." in note(table3, "The loss weights as printed")
    assert "epoch chosen on held-out training subjects" in note(table3, "Measured")


def test_table3_names_the_reported_numbers_below_the_majority(table3):
    text = note(table3, "Reported numbers below")
    found = set(re.findall(r"(MMI|SPOS|BBC|UvA-NEMO) ([A-Za-z ]+?) (\d\d\.\d) \(majority", text))
    # All five SPOS ablations are below 66 of 80 clips, two of MMI below 138 of 187.
    spos = {("no TSA", "81.5"), ("miniResNet", "80.5"), ("miniDenseNet", "82.2"), ("no weighted loss", "82.2")}
    spos |= {("softmax", "82.2")}
    assert found == {("SPOS", *row) for row in spos} | {("MMI", "miniDenseNet", "71.2"), ("MMI", "softmax", "71.6")}
    assert "4 clips at most" in note(table3, "BBC has 20 clips")  # 70 and 90 per cent


def test_a_cell_is_not_printed_where_a_run_failed(store):
    results = made_runs(store, model="realsmilenet-softmax")
    broken = [*results[:-1], runs.RunFailure(results[-1].spec, "TrainingError: loss is NaN")]
    product = yang_tables.yang2020_table3({"uva-nemo": store}, {"realsmilenet-softmax": {"uva-nemo": broken}})
    assert next(iter(product.tables.values())).set_index("variant").loc["softmax", MEASURED] == NOT_RUN
    failed = "softmax, simulated UvA-NEMO: 1 of 3 runs failed, first: TrainingError: loss is NaN"
    assert failed in product.notes


def test_runs_of_two_settings_are_not_one_cell(store):
    both = [*made_runs(store), *made_runs(store, options=TrainingOptions(epochs=9))]
    with pytest.raises(ValueError, match="found runs of 2 settings, expected one"):
        yang_tables.yang2020_table3({"uva-nemo": store}, {"realsmilenet": {"uva-nemo": both}})


@pytest.fixture(scope="module")
def inflated(store):
    """Under last every subject has a wrong clip; best-on-test is right on those of all but s00 and s01."""
    given = {
        "validation": made_runs(store, wrong_on("s00_0", "s00_1", "s03_1"), selection="validation", epoch=2),
        "last": made_runs(store, lambda row: row["label"] == 0, selection="last", epoch=7),
        "best-on-test": made_runs(store, wrong_on("s00_0", "s01_0"), selection="best-on-test", epoch=4),
    }
    return yang_tables.inflation({"uva-nemo": store}, {"uva-nemo": given})


def test_inflation_by_hand(inflated):
    row = part(inflated, "Accuracy in percent")
    assert row["reported, real database"] == "82.1"
    accuracies = [row[f"{rule} [95 %]"].split()[0] for rule in ("validation", "last", "best-on-test, optimistic")]
    assert accuracies == ["87.5", "50.0", "91.7"]
    assert row["best-on-test less validation, points [95 %]"].split()[0] == "4.2"  # one clip of 24
    assert row["best-on-test less last, points [95 %]"].split()[0] == "41.7"  # ten of 24


def test_inflation_counts_folds(inflated):
    row = part(inflated, "Inflation", **{"best-on-test less": "validation"})
    # Fold 1 gains s00_1 and s03_1, fold 2 loses s01_0.
    assert row["folds and trials higher / equal / lower"] == "1 / 1 / 1"
    assert row["largest in a fold, points"] == "25.0"
    assert row["clips in a test fold"] == "8"
    row = part(inflated, "Inflation", **{"best-on-test less": "last"})
    assert row["folds and trials higher / equal / lower"] == "3 / 0 / 0"


def test_inflations_interval_is_over_subjects(store):
    # Every subject gains exactly one of its two clips: no draw of subjects differs.
    given = {
        "last": made_runs(store, lambda row: row["label"] == 0, selection="last"),
        "best-on-test": made_runs(store, selection="best-on-test"),
    }
    product = yang_tables.inflation({"uva-nemo": store}, {"uva-nemo": given})
    row = part(product, "Accuracy in percent")
    assert row["best-on-test less last, points [95 %]"] == "50.0 [50.0, 50.0]"
    assert row["validation [95 %]"] == row["best-on-test less validation, points [95 %]"] == NOT_RUN


def test_inflation_says_which_epochs_were_kept_and_what_is_optimistic(inflated):
    assert part(inflated, "Each rule", rule="best-on-test")["epoch kept"] == "4"
    assert "optimistic" in note(inflated, "Measured")
    assert inflated.notes[-2:] == [yang_rows.TIME_NOTE, yang_rows.ALONG_NOTE]


def test_times_of_other_rules_may_be_added(store):
    given = {rule: made_runs(store, selection=rule) for rule in ("validation", "last")}
    assert yang_tables.inflation({"uva-nemo": store}, {"uva-nemo": given}).notes[-1] == yang_rows.TIME_NOTE
    # The released code's rule on other settings came along with nothing.
    cells = [
        yang_rows.Cell("last", store, made_runs(store, selection="last")),
        yang_rows.Cell("best", store, made_runs(store, selection="best-on-test", options=TrainingOptions(epochs=8))),
    ]
    assert yang_rows.about_time(cells) == [yang_rows.TIME_NOTE]
    assert yang_rows.about_time([]) == []


def test_trainings_are_told_with_what_differs(store):
    plain = yang_rows.Cell("plain", store, made_runs(store, options=TrainingOptions()))
    assert yang_rows.about_training([plain]) == [
        "Trained with 60 epochs, batches of 16, learning rate 0.001, weight decay 0.005, loss weights: paper, epoch "
        "kept: validation."
    ]
    mirrored = yang_rows.Cell("mirrored", store, made_runs(store, options=TrainingOptions(flip=True, bucket=4)))
    (text,) = yang_rows.about_training([plain, mirrored, plain])
    assert "weight decay 0.005, flip True, bucket 4, loss weights: paper" in text
    assert "(simulated UvA-NEMO: mirrored); 60 epochs" in text
    assert "epoch kept: validation (all others). Yang et al. print" in text
    assert yang_rows.about_training([]) == []


def test_table3_names_the_models_whose_scores_depend_on_companions(store, table3):
    assert not any("companions" in text for text in table3.notes)
    given = {name: {"uva-nemo": made_runs(store, model=name)} for name in yang_tables.COMPANIONS[:2]}
    product = yang_tables.yang2020_table3({"uva-nemo": store}, given)
    said = note(product, "A clip's score by RealSmileNet (released), LSTM for ConvLSTM (released) depends on")
    assert "longest clip of the batch" in said


@pytest.mark.parametrize("name", [name for name in models.names() if name.endswith("-released")])
def test_only_the_named_models_depend_on_companions(name):
    torch.manual_seed(0)
    model = models.build(name).eval()
    frames, lengths = torch.rand(2, 3, 4, 48, 48), torch.tensor([2, 4])
    frames[0, :, 2:] = 0
    with torch.no_grad():
        alone, together = model(frames[:1, :, :2], lengths[:1]), model(frames, lengths)[:1]
    assert torch.allclose(alone, together, atol=1e-6) != (name in yang_tables.COMPANIONS)


def test_inflation_refuses_rules_of_other_settings(store):
    given = {
        "last": made_runs(store, selection="last"),
        "best-on-test": made_runs(store, selection="best-on-test", options=TrainingOptions(epochs=8)),
    }
    with pytest.raises(ValueError, match=r"epochs 8 \(not 7\).*selection alone"):
        yang_tables.inflation({"uva-nemo": store}, {"uva-nemo": given})


def test_table2_carries_wall_time_and_says_what_does_not_exceed_the_majority(store, monkeypatch):
    monkeypatch.setattr(tables, "probes_of", lambda stores: next(iter(stores.values())).usable)
    results = {
        "validation": made_runs(store, lambda row: row["label"] == 0),
        "shuffled": made_runs(store, lambda row: row["label"] == 1, labels="shuffled"),
    }
    product = tables.yang2020_table2({"uva-nemo": store}, {"uva-nemo": results})
    details = list(product.tables.values())[1]
    assert list(details["wall time, all runs"]) == ["1.5 min"] * 2
    assert list(details["against the majority"]) == ["equal"] * 2
    said = [text for text in product.notes if "does not exceed" in text]
    # A control is meant to fall to the majority.
    assert len(said) == 1
    assert said[0].startswith("simulated UvA-NEMO, epoch chosen on held-out")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (59.96, "1.0 min"), (90, "1.5 min"), (3599, "1.0 h"), (9000, "2.5 h")],
)
def test_duration(seconds, text):
    assert yang_rows.duration(seconds) == text


@pytest.mark.parametrize(
    ("accuracy", "low", "text"),
    [
        (0.825, 0.7, "equal"),
        (0.82, 0.7, "below"),
        (0.9, 0.825, "above, but its interval reaches it"),
        (0.9, 0.83, "above"),
    ],
)
def test_against(accuracy, low, text):
    assert yang_rows.against(accuracy, 66 / 80, low) == text


def test_one_subject_has_neither_interval_nor_p():
    store = PeopleStore(subjects=3)
    given = {
        "realsmilenet": {"uva-nemo": made_runs(store, wrong_on("s00_0"), folds=(1,))},
        "realsmilenet-gru": {"uva-nemo": made_runs(store, folds=(1,), model="realsmilenet-gru")},
    }
    product = yang_tables.yang2020_table3({"uva-nemo": store}, given)
    row = part(product, "Each variant (", variant="GRU for ConvLSTM")
    assert row["accuracy"] == row["AUC"] == row["balanced accuracy"] == "100.0 [too few subjects]"
    assert row["against the majority"] == "above, without an interval"
    row = part(product, "Each variant less")
    assert row["accuracy, measured"] == "50.0 [too few subjects]"
    assert row["p, subjects flipped"] == row["p, McNemar"] == row["p, corrected t over folds"] == ""
    assert note(product, "One subject says nothing")


def test_the_majority_is_that_of_the_answers_given():
    # 12 spontaneous and 2 posed clips; the first fold, which a second trial runs again, has 4 and 1 of them.
    store = PeopleStore(posed=False)
    cell = yang_rows.Cell("one", store, [*made_runs(store), *made_runs(store, trials=2, folds=(1,))[1:]])
    assert cell.majority == pytest.approx((12 + 4) / (14 + 5))
    assert yang_rows.larger_class(store) == pytest.approx(12 / 14)
    assert list(cell.trials) == [1.0, 1.0]


def test_folds_that_all_rows_share_are_told_once(store):
    given = {
        name: {"uva-nemo": made_runs(store, folds=(2, 3), model=name)} for name in ("realsmilenet", "realsmilenet-lstm")
    }
    (found,) = [line for line in yang_tables.yang2020_table3({"uva-nemo": store}, given).notes if "Only some" in line]
    assert found == "Only some folds or draws were run: 2 of 3, in every row."
