"""The cross-domain table and Figures 7 and 8 of hand-made predictions, small enough to compute by hand."""

import pytest
from made_runs import PeopleStore, made_runs
from scipy.stats import beta

from smilelab import runs
from smilelab.artifacts import yang_bars, yang_errors, yang_groups
from smilelab.artifacts.product import NOT_RUN
from smilelab.artifacts.yang_rows import Cell

WAY, ON = "trained -> tested", "trained and measured on"


@pytest.fixture(scope="module")
def store():
    return PeopleStore()


def rows(product, caption):
    return next(frame for name, frame in product.tables.items() if name.startswith(caption))


def words(figure):
    texts = [text.get_text() for axis in figure.axes for text in axis.texts]
    return texts + [label.get_text() for axis in figure.axes for label in axis.get_xticklabels()]


def heights(axis):
    """Heights of the bars that are seen, from left to right."""
    bars = [bar for bar in axis.patches if bar.get_height() > 0]
    return [bar.get_height() for bar in sorted(bars, key=lambda bar: bar.get_x())]


@pytest.fixture(scope="module")
def crossed(store):
    """Of SPOS (12 and 2 clips) all are called spontaneous; of BBC (12 and 12) three posed ones are, in one trial."""
    others = {"bbc": PeopleStore("bbc"), "spos": PeopleStore("spos", posed=False)}

    def wrong(row):
        if row["database"] == "spos":
            return row["label"] == 0
        return row["seed"] == 1 and row["clip_id"] in ("s00_0", "s01_0", "s02_0")

    elsewhere = made_runs(store, wrong, protocol="elsewhere", tests=others.values(), trials=2)
    groups = {
        "adult -> young": made_runs(store, lambda row: row["clip_id"] == "s01_1", protocol="from adult to young"),
        "female -> male": [],
    }
    return yang_groups.yang2020_cross({"uva-nemo": store, **others}, elsewhere, groups)


def test_cross_by_hand(crossed):
    table = rows(crossed, "Accuracy").set_index(WAY)
    bbc, spos = table.loc["UvA-NEMO -> BBC"], table.loc["UvA-NEMO -> SPOS"]
    assert bbc["measured [95 %]"].startswith("93.8 [")  # 45 of 48 answers
    assert bbc["called spontaneous"] == "56.2"  # 27 of 48
    assert list(bbc[["majority", "always spontaneous"]]) == ["50.0", "50.0"]
    assert bbc[ON] == "simulated UvA-NEMO -> simulated BBC"
    assert spos["measured [95 %]"].startswith("85.7 [")
    assert list(spos[["majority", "always spontaneous", "called spontaneous"]]) == ["85.7", "85.7", "100.0"]
    assert spos["measured against the majority"] == "equal"
    # Six children, twelve clips, one of them wrong.
    assert table.loc["adult -> young", "measured [95 %]"].startswith("91.7 [")
    assert table.loc["adult -> young", ON] == "adult -> young, simulated UvA-NEMO"


@pytest.mark.parametrize("real", ["uva-nemo", "mmi"])
def test_cross_says_on_either_side_what_is_simulated(real):
    source, target = PeopleStore(), PeopleStore("mmi")
    (source if real == "uva-nemo" else target).simulated = False
    elsewhere = made_runs(source, protocol="elsewhere", tests=[target])
    product = yang_groups.yang2020_cross({"uva-nemo": source, "mmi": target}, elsewhere, {})
    row = rows(product, "Accuracy").set_index(WAY).loc["UvA-NEMO -> MMI"]
    sides = ["UvA-NEMO", "MMI"]
    sides[real == "uva-nemo"] = f"simulated {sides[real == 'uva-nemo']}"
    assert row[ON] == rows(product, "Each test")[WAY].iloc[0] == " -> ".join(sides)
    made = next(side for side in sides if side.startswith("simulated"))
    assert product.banner.startswith(f"Columns, rows and panels called simulated ({made}) were")
    with pytest.raises(ValueError, match="found no store of uva-nemo"):
        yang_groups.yang2020_cross({"mmi": target}, elsewhere, {})


def test_cross_prints_the_reported_numbers_beside_the_majority_of_their_database(crossed):
    table = rows(crossed, "Accuracy").set_index(WAY)
    said = "reported against that majority"
    assert list(table.loc["UvA-NEMO -> BBC", ["reported", "majority, real database", said]]) == [
        "80.0",
        "50.0",
        "above",
    ]
    assert list(table.loc["UvA-NEMO -> MMI", ["reported", "majority, real database", said]]) == [
        "92.5",
        "73.8",
        "above",
    ]
    assert list(table.loc["UvA-NEMO -> SPOS", ["reported", "majority, real database", said]]) == [
        "82.5",
        "82.5",
        "equal",
    ]
    assert list(table.loc["young -> adult", ["reported", "majority, real database", said]]) == ["74.8", "", ""]
    spos = next(text for text in crossed.notes if text.startswith("UvA-NEMO -> SPOS"))
    assert "equal to what always answering 'spontaneous' gives, 66 of 80 clips" in spos
    assert not any(text.startswith("UvA-NEMO -> BBC") for text in crossed.notes)


def test_cross_leaves_open_what_was_not_run(crossed):
    table = rows(crossed, "Accuracy").set_index(WAY)["measured [95 %]"]
    assert table["UvA-NEMO -> MMI"] == table["female -> male"] == table["young -> adult"] == NOT_RUN
    assert len(rows(crossed, "Each test")) == 3


def test_cross_says_when_a_model_answers_one_class(crossed):
    answers = [text for text in crossed.notes if "one class for every clip" in text]
    assert answers == ["simulated UvA-NEMO -> simulated SPOS: the model answers one class for every clip."]
    assert any("does not exceed" in text and "SPOS" in text for text in crossed.notes)


def test_cross_counts_trials_and_their_spread(crossed):
    row = rows(crossed, "Each test").set_index(WAY).loc["simulated UvA-NEMO -> simulated BBC"]
    assert list(row[["trials", "folds", "clips", "subjects"]]) == ["2", "1", "24", "12"]
    assert row["sd over trials"] == "8.8"  # of 1 and 21/24: their difference by the root of two
    assert row["wall time, all runs"] == "1.0 min"


def test_cross_refuses_clips_of_another_group(store):
    everyone = made_runs(store, protocol="from young to adult")
    with pytest.raises(ValueError, match="expected clips of young subjects alone"):
        yang_groups.yang2020_cross({"uva-nemo": store}, [], {"adult -> young": everyone})


def test_cross_names_a_failed_run(store):
    run = made_runs(store, protocol="from adult to young")[0]
    failed = {"adult -> young": [runs.RunFailure(run.spec, "TrainingError: loss is NaN")]}
    product = yang_groups.yang2020_cross({"uva-nemo": store}, [], failed)
    said = "adult -> young, simulated UvA-NEMO: 1 of 1 runs failed, first: TrainingError: loss is NaN"
    assert said in product.notes


# Of the six women three posed clips are wrong, of the six men one; of these four one is a child's (s01).
WRONG = ("s00_0", "s01_0", "s02_0", "s06_0")


@pytest.fixture(scope="module")
def overall(store):
    return made_runs(store, lambda row: row["clip_id"] in WRONG)


@pytest.fixture(scope="module")
def fig7(store, overall):
    within = {
        "female": made_runs(store, lambda row: row["label"] == 0, protocol="within female"),
        "male": made_runs(store, folds=(1,), protocol="within male"),
    }
    return yang_groups.yang2020_fig7(store, within, overall)


def test_errors_by_group_by_hand(store, overall):
    found = yang_errors.errors_by_group(Cell("all", store, overall))
    assert list(found.index) == ["female", "male", "adult", "young"]
    assert list(found["wrong"]) == [3, 1, 3, 1]
    assert list(found["share_of_wrong"]) == [0.75, 0.25, 0.75, 0.25]
    assert list(found["share_of_clips"]) == [0.5] * 4
    assert list(found["error_rate"]) == pytest.approx([3 / 12, 1 / 12, 3 / 12, 1 / 12])
    # The bootstrap's interval is about two standard errors of a proportion of 12 clips, one wrong at most a subject:
    # a subject's share is 0 or 1/2, so that of six subjects has the deviation 1/4 by the root of six.
    width = found.loc["female", "error_rate_high"] - found.loc["female", "error_rate_low"]
    assert width == pytest.approx(2 * 1.96 * 0.25 / 6**0.5, rel=0.2)


def test_intervals_of_errors_are_degenerate_where_subjects_are_alike(store):
    cell = Cell("all", store, made_runs(store, lambda row: row["label"] == 0 and int(row["subject"][1:]) < 6))
    found = yang_errors.errors_by_group(cell).loc["female"]
    assert list(found[["error_rate", "error_rate_low", "error_rate_high"]]) == [0.5] * 3
    assert list(found[["share_of_wrong", "share_of_wrong_low", "share_of_wrong_high"]]) == [1.0] * 3
    assert yang_errors.between(cell)[0] == {"groups": "female less male", "error rate": "50.0 [50.0, 50.0]"}


def test_errors_leave_out_whose_group_is_unknown(overall):
    store = PeopleStore()
    store.usable.loc[store.usable["subject"] == "s00", "sex"] = ""
    cell = Cell("all", store, overall)
    found = yang_errors.errors_by_group(cell)
    assert list(found.loc[["female", "male"], "wrong"]) == [2, 1]
    assert found.loc["female", "share_of_clips"] == pytest.approx(10 / 22)
    assert yang_errors.unknown(cell) == ["2 clips are of subjects not known to be female or male; they are left out."]


def test_no_wrong_prediction_has_no_share(store):
    product = yang_groups.yang2020_fig7(store, {}, made_runs(store))
    assert set(rows(product, "Wrong predictions")["share of wrong predictions"]) == {""}
    assert len(heights(product.figure.axes[1])) == 4  # the clips' shares alone


def test_fig7_tables_by_hand(fig7):
    within = rows(fig7, "Models trained").set_index("group")
    assert within.loc["female", "accuracy"] == "50.0 [50.0, 50.0]"
    assert within.loc["female", "against the majority"] == "equal"
    assert within.loc["male", "folds"] == "1 of 3"
    assert within.loc["young", "accuracy"] == NOT_RUN
    assert within.loc["all together", "accuracy"].startswith("83.3 [")
    assert within.loc["all together", "subjects"] == "12"
    wrong = rows(fig7, "Wrong predictions").set_index("group")
    assert wrong.loc["female", "share of wrong predictions"].startswith("75.0 [")
    assert wrong.loc["male", "wrong / all predictions"] == "1 / 12"
    assert rows(fig7, "Error rate")["error rate"].str.startswith("16.7 [").all()


def test_fig7_draws_what_the_tables_say(fig7):
    left, right = fig7.figure.axes
    assert heights(left) == [50.0, 100.0]
    assert heights(right) == pytest.approx([75, 50, 25, 50] * 2)
    said = words(fig7.figure)
    assert said.count(NOT_RUN) == 2
    assert "male\n4 clips\n1 of 3 folds" in said
    # The models of all subjects on the women's twelve clips, three of them wrong, and on the four men's of fold 1, one
    # wrong: each on the very clips of the bar.
    orange = [line for line in left.lines if line.get_color() == yang_bars._ORANGE]
    assert [line.get_ydata()[0] for line in orange] == pytest.approx([75.0, 75.0])
    assert orange[0].get_label() == "models of all subjects, same clips"
    assert right.get_title(loc="left").endswith("24 clips, 3 folds")


def test_fig7_compares_on_the_clips_of_the_bar_or_says_how_many(store, overall):
    within = {"female": made_runs(store, protocol="within female")}
    same = "models of all subjects on these clips"
    whole = rows(yang_groups.yang2020_fig7(store, within, overall), "Models trained").set_index("group")
    assert whole.loc["female", same].startswith("75.0 [")
    assert whole.loc["all together", same] == ""
    # Of the women's clips four are in fold 1, s00's and s03's: one of them is wrong.
    part = yang_groups.yang2020_fig7(store, within, [run for run in overall if run.spec.fold == 1])
    assert rows(part, "Models trained").set_index("group").loc["female", same].endswith(" (4 of 12 clips)")
    assert not any(line.get_color() == yang_bars._ORANGE for line in part.figure.axes[0].lines)
    assert part.figure.axes[1].get_title(loc="left").endswith("8 clips, 1 of 3 folds")


def test_fig7_says_why_groups_were_not_run(fig7):
    assert "Not run: adult, young. No clip of the group is in the folds that were asked for" in "\n".join(fig7.notes)


def test_fig7_of_one_subject_has_no_interval(store):
    # Of two subjects one is a woman.
    pair = PeopleStore(subjects=2)
    within = {"female": made_runs(pair, protocol="within female")}
    product = yang_groups.yang2020_fig7(pair, within, made_runs(pair, lambda row: row["clip_id"] == "s00_0"))
    table = rows(product, "Models trained").set_index("group")
    assert table.loc["female", "accuracy"] == "100.0 [too few subjects]"
    assert (
        rows(product, "Wrong predictions").set_index("group").loc["female", "error rate"] == "50.0 [too few subjects]"
    )
    assert rows(product, "Error rate")["error rate"].iloc[0] == "50.0 [too few subjects]"
    left, right = product.figure.axes
    assert "female\n2 clips\nno interval" in [label.get_text() for label in left.get_xticklabels()]
    assert any(label.get_text().endswith("no interval") for label in right.get_xticklabels())
    whiskers = [line for container in left.containers for line in getattr(container, "errorbar", None) or ()]
    assert not whiskers
    assert any(note.startswith("One subject says nothing") for note in product.notes)
    assert any("fewer than 10 subjects, here 2," in note for note in product.notes)


def test_figures_say_how_networks_were_trained(fig7, crossed, fig8):
    said = "Trained with 7 epochs, batches of 16, learning rate 0.001, weight decay 0.005, loss weights: paper, epoch "
    for product in (fig7, crossed, fig8):
        note = next(note for note in product.notes if note.startswith(said + "kept: validation."))
        assert note.endswith(
            "Yang et al. print for RealSmileNet: 60 epochs, batches of 16, learning rate 0.001, weight decay 0.005."
        )


def test_fig7_refuses_runs_of_another_group(store):
    with pytest.raises(ValueError, match="expected clips of male subjects alone"):
        yang_groups.yang2020_fig7(store, {"male": made_runs(store, protocol="within female")}, [])
    with pytest.raises(ValueError, match="found group 'old', expected one of"):
        yang_groups.yang2020_fig7(store, {"old": made_runs(store)}, [])


def test_fig7_without_runs_is_no_picture(store):
    product = yang_groups.yang2020_fig7(store, {}, [])
    assert product.figure is None
    assert set(rows(product, "Models trained")["accuracy"]) == {NOT_RUN}


@pytest.fixture(scope="module")
def fig8():
    """Ten draws of 20 clips, of which the k-th has k - 1 wrong."""
    store = PeopleStore(subjects=60)
    return yang_groups.yang2020_fig8(
        store, {20: made_runs(store, lambda row: row["place"] < row["fold"] - 1, protocol="subset 20")}
    )


def test_fig8_by_hand(fig8):
    row = rows(fig8, "Accuracy").set_index("clips").loc["20"]
    # 1, .95, ..., .55: the mean is .775, the deviation .05 times that of 0 to 9, the root of 55/6.
    assert row["RealSmileNet, measured: mean of the draws"] == "77.5"
    assert row["sd over draws"] == f"{5 * (55 / 6) ** 0.5:.1f}"
    assert row["lowest to highest draw"] == "55.0 to 100.0"
    assert list(row[["draws", "draws as high as the reported number"]]) == ["10", "2 of 10"]


def test_fig8_says_what_the_reported_numbers_are_worth(fig8):
    table = rows(fig8, "Accuracy").set_index("clips")
    assert list(table["people, reported"]) == ["59 (26 observers)", "70 (36 observers)"]
    assert list(table["RealSmileNet, reported"]) == ["95", "90"]
    for size, right in (("20", 19), ("30", 27)):
        n = int(size)
        assert table.loc[size, "k of n"] == f"{right} of {n}"
        low, high = beta.ppf(0.025, right, n - right + 1), beta.ppf(0.975, right + 1, n - right)
        assert table.loc[size, "binomial 95 % interval"] == f"{100 * low:.1f} to {100 * high:.1f}"
    chance = next(column for column in table if column.startswith("chance of so many or more at 82.1 %"))
    assert table.loc["20", chance] == f"{100 * (20 * 0.821**19 * 0.179 + 0.821**20):.1f}"
    assert table.loc["30", "RealSmileNet, measured: mean of the draws"] == NOT_RUN


def test_fig8_draws_every_draw(fig8):
    axis = fig8.figure.axes[0]
    assert heights(axis) == pytest.approx([59, 95, 77.5, 70, 90])
    points = next(line for line in axis.lines if len(line.get_xdata()) == 10)
    assert sorted(points.get_ydata()) == pytest.approx([100 - 5 * k for k in range(9, -1, -1)])
    assert words(fig8.figure).count(NOT_RUN) == 1


def test_fig8_majority_is_that_of_the_drawn_clips(fig8):
    row = rows(fig8, "All draws").iloc[0]
    assert list(row[["clips of a draw", "draws", "majority"]]) == ["20", "10", "50.0"]


def test_fig8_refuses_draws_of_another_size():
    store = PeopleStore(subjects=60)
    with pytest.raises(ValueError, match="found a draw of 20 clips, expected 30"):
        yang_groups.yang2020_fig8(store, {30: made_runs(store, protocol="subset 20")})


def test_a_number_that_no_count_gives_stands_for_none():
    assert yang_bars.reported_share({"RealSmileNet, 20 clips": {"value": "93", "note": ""}}, 20) is None
    assert yang_bars.reported_share({}, 20) is None
