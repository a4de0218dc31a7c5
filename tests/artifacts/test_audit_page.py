import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta

from smilelab import artifacts
from smilelab.artifacts import audit_findings as findings
from smilelab.artifacts import audit_lee as lee
from smilelab.artifacts import audit_page, numbers
from smilelab.artifacts import audit_yang as yang
from smilelab.artifacts.gallery import Gallery

EXACT = [f"{structure}, {depth}" for structure in ("neutral anchor", "plain") for depth in (38, 62, 94)]
POSED_ANCHOR = [f"posed anchor, {depth}" for depth in (38, 62, 94)]
KEPT = (lee.splits, lee.rows, lee._triples, lee.search, lee.accident, lee.folds, lee.means_that_fit)


@pytest.fixture(scope="module")
def product():
    return audit_page.audit()


@pytest.fixture(scope="module")
def overview(product):
    return next(iter(product.tables.values())).set_index("claim")


def found(overview, claim):
    (row,) = overview[overview.index.str.startswith(claim)].itertuples()
    return row[2]


def every_matrix(row, positives, negatives):
    """Matrices that round to a row, by trying every one; an error of half a hundredth is the same in integers."""
    accuracy, precision, recall = (round(100 * float(text)) for text in row)
    tp, fp = np.arange(positives + 1)[:, None], np.arange(negatives + 1)[None, :]
    n = positives + negatives
    right = abs(10_000 * (tp + negatives - fp) - accuracy * n) * 2 <= n
    right &= (abs(10_000 * tp - precision * (tp + fp)) * 2 <= tp + fp) & (tp + fp > 0)
    right &= abs(10_000 * tp - recall * positives) * 2 <= positives
    return [(int(t), int(f), positives - int(t), negatives - int(f)) for t, f in np.argwhere(right)]


def test_all_thirteen_rows_of_both_tables_are_searched():
    assert list(lee.rows().index) == [*EXACT[:3], *POSED_ANCHOR, *EXACT[3:], "Lee'18"]
    # Three rows of Table 3 are printed again in Table 4.
    assert list(lee.rows()["tables"]) == ["3, 4"] * 3 + ["4"] * 6 + ["3"]


def test_no_row_fits_the_test_split_and_six_fit_validation_once():
    whole = lee.search().query("removed == 0")
    assert set(whole["split"]) == {"validation"}
    assert set(whole["positive"]) == {"posed"}
    assert sorted(whole["row"]) == sorted(EXACT)
    best = whole.set_index("row").loc["neutral anchor, 94", ["tp", "fp", "fn", "tn"]]
    assert list(best) == [3732, 82, 21, 1637]


@pytest.mark.parametrize("name", ["neutral anchor, 94", "plain, 38", "posed anchor, 62", "Lee'18"])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_trying_every_matrix_finds_the_same(name, split):
    counts = lee.splits()[split]
    for positive, negative in (("posed", "spontaneous"), ("spontaneous", "posed")):
        mine = lee.search().query("removed == 0 and row == @name and split == @split and positive == @positive")
        expected = every_matrix(lee.rows().loc[name, list(lee.METRICS)], counts[positive], counts[negative])
        assert list(mine[["tp", "fp", "fn", "tn"]].itertuples(index=False, name=None)) == expected


def test_posed_anchor_rows_agree_on_a_hundred_posed_windows_only():
    ways = lee.common_removals("posed anchor")
    assert ways.to_dict("records") == [
        {"split": "validation", "positive": "posed", "removed_from": "posed", "removed": 100}
    ]
    counts = lee.splits()["validation"]
    for name in POSED_ANCHOR:
        row = lee.rows().loc[name, list(lee.METRICS)]
        assert every_matrix(row, counts["posed"] - 100, counts["spontaneous"])
        for removed in (0, 50, 97, 102):
            assert not every_matrix(row, counts["posed"] - removed, counts["spontaneous"])
    # Each of them alone fits with other numbers too; that is said.
    alone = lee.search()[lambda table: table["row"].isin(POSED_ANCHOR)].groupby("row")["removed"].unique()
    assert all(len(removed) > 1 for removed in alone)


def test_lee_18_fits_no_split(overview):
    assert set(lee.search().query('row == "Lee\'18"')["removed"]) == {148}
    assert "It implies 57.0 to 57.1 % positives" in found(overview, "Lee'18")


def test_five_models_on_the_test_split_are_excluded_with_posed_as_positive():
    table = lee.misfit_table().set_index(["row", "positive class"])["a mean of 5"]
    assert all(table[name, "posed"] == "excluded" for name in [*EXACT, *POSED_ANCHOR])
    # What the bound leaves open is printed as such.
    assert table["Lee'18", "posed"] == table["plain, 38", "spontaneous"] == "not excluded"


def test_the_plain_network_of_depth_38_lies_below_the_majority(overview):
    assert lee.below_majority() == ["plain, 38"]
    text = found(overview, "Table 4 ranks")
    assert "Majority baseline 68.59 %" in text
    assert "accuracy 65.86, balanced accuracy 71.1" in text
    assert "AUC 85.23" in text


def test_areas_lie_within_what_their_matrices_allow():
    for row in lee.matrices_table().to_dict("records"):
        low, high = map(float, row["AUC that the matrix allows"].split(" to "))
        assert low <= float(row["AUC"]) <= high


def test_table_1_adds_up_and_the_folds_do_not(overview):
    sums = lee.arithmetic_table()
    assert list(sums.loc[sums["agrees"] == "no", "what"]) == ["section 4.1, subjects in the folds"]
    assert "5 x 10 = 50, not 78" in found(overview, "78 subjects")


def test_moments_last_about_100_and_55_frames():
    table = lee.moments_table().set_index("class")
    assert (round(30500 / 427), round(24492 / 925)) == (71, 26)
    assert list(table["windows per moment"]) == ["71.4", "26.5"]
    assert list(table["mean frames of a moment"]) == ["100", "55"]


def test_no_padding_makes_56_of_115():
    import torch

    first = lee.sizes_table().query("layer == '3D convolution (first)'").set_index("from")
    assert first.loc["115x115x30", lee.ACROSS] == "none fits"
    assert first.loc["112x112x30", lee.ACROSS] == "1, 2"
    for size, wanted in ((115, False), (112, True)):
        widths = {torch.nn.functional.conv1d(torch.zeros(1, 1, size + p), torch.ones(1, 1, 3), stride=2).shape[-1]
                  for p in range(5)}  # fmt: skip
        assert (56 in widths) == wanted


def test_majority_baselines_are_those_of_the_counts(overview):
    assert {name: round(100 * float(yang.majority_share(name)), 1) for name in yang.clips()} == {
        "uva-nemo": 51.9, "mmi": 73.8, "spos": 82.5, "bbc": 50.0,
    }  # fmt: skip
    low = yang.accuracies().query("below and place == 'Table 3'")
    ablations = low.query("database == 'spos'")
    assert len(ablations) == 5
    assert (ablations["printed"].astype(float).min(), ablations["printed"].astype(float).max()) == (80.5, 82.2)
    assert dict(low.query("database == 'mmi'")[["row", "printed"]].values) == {
        "miniDenseNet": "71.2", "softmax": "71.6",
    }  # fmt: skip
    assert "the same number" in found(overview, "Trained on UvA-NEMO")


def test_cross_domain_groups_without_a_number_of_clips_are_left_out():
    cross = yang.accuracies().query("place == 'cross-domain'")
    assert list(cross["database"]) == ["bbc", "mmi", "spos"]
    assert list(cross["counts"]) == [[16], [173], [66]]


def test_interval_of_18_of_20_is_that_of_the_beta_distribution(overview):
    (row,) = yang.accuracies().query("place == 'Table 2' and row == 'RealSmileNet' and database == 'bbc'").itertuples()
    assert row.counts == [18]
    assert row.exact == pytest.approx((beta.ppf(0.025, 18, 3), beta.ppf(0.975, 19, 2)))
    assert tuple(round(100 * end) for end in row.wilson) == (70, 97)


def test_accuracies_on_spos_take_ties_rounded_to_the_even_digit():
    table = yang.accuracies().query("ours and database == 'spos'")
    assert [printed for printed, counts in zip(table["printed"], table["counts"], strict=True) if counts] == [
        "86.2", "82.5",
    ]  # fmt: skip
    assert f"{100 * 69 / 80:.1f}" == "86.2"
    assert f"{100 * 658 / 800:.1f}" == "82.2"
    assert table["counts_of_trials"].map(bool).all()


def test_ages_are_four_videos_too_many(overview):
    assert [len(counts) for counts in yang.ages()["videos"]] == [1] * 4
    for share, (count,) in zip(yang.ages()["share"], yang.ages()["videos"], strict=True):
        assert f"{100 * count / 1240:.2f}" == share
    text = found(overview, "Shares of 4 age groups")
    assert "100.32 %" in text
    assert "= 1244 of 1240" in text
    assert "= 400" in found(overview, "UvA-NEMO has over 400")


@pytest.fixture
def exchanged(monkeypatch):
    """Table 1 with its validation and test rows exchanged, as one of the two explanations has it."""
    table = numbers.reported()
    other = {"validation": "test", "test": "validation"}
    of_table = table["artifact"] == "lee2020-table1"
    table.loc[of_table, "row"] = table.loc[of_table, "row"].replace(other)

    def reported(artifact_id=None):
        return (table if artifact_id is None else table[table["artifact"] == artifact_id]).copy()

    monkeypatch.setattr(lee, "reported", reported)
    for kept in KEPT:
        kept.cache_clear()
    yield
    for kept in KEPT:
        kept.cache_clear()


def test_other_counts_give_other_findings(exchanged):
    assert set(lee.search().query("removed == 0")["split"]) == {"test"}
    text = findings.overview().set_index("claim")
    assert found(text, "Lee Tables 3 and 4 are of the test set").startswith("6 of 10 rows have one")


def test_overview_says_of_every_claim_what_follows_and_what_does_not(overview):
    assert list(overview.reset_index().columns) == list(findings.COLUMNS)
    assert (overview.map(len) > 0).all().all()
    assert overview["what does not follow"].str.contains("no evidence of misconduct").sum() == 1
    assert not overview.map(lambda text: "nan" in text.lower().split()).any().any()


def test_page_has_every_table_and_no_data(product, tmp_path):
    artifacts.load_makers()
    gallery = Gallery("smoke", tmp_path / "figures", tmp_path)
    gallery.save("audit", product)
    page = (gallery.folder / "audit.md").read_text(encoding="utf-8")
    for caption in product.tables:
        assert f"**{caption}**" in page
    assert "imulated data" not in page
    written = [pd.read_csv(gallery.folder / name) for name in gallery.manifest["audit"]["files"] if "csv" in name]
    assert [len(table) for table in written] == [len(table) for table in product.tables.values()]
    assert gallery.manifest["audit"]["inputs"] == {}
