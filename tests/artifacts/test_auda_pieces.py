"""AUDA's pieces from made runs: the printed numbers beside the measured ones, spread over folds and pairs by hand."""

import numpy as np
import pytest
from made_runs import PeopleStore, made_runs
from scipy.stats import binomtest

from smilelab import baselines, runs
from smilelab.artifacts.auda_pieces import ENSEMBLE, PIECES, auda_pieces
from smilelab.artifacts.numbers import reported
from smilelab.artifacts.product import NOT_RUN
from smilelab.baselines import auda2021
from smilelab.specs import specify

AUDA = {"model": "auda2021", "selection": "last"}
MEASURED = "simulated UvA-NEMO, measured [95 %]"


@pytest.fixture(scope="module")
def store():
    return PeopleStore()


@pytest.fixture(scope="module")
def product(store):
    """The ensemble is wrong on a clip of fold 1; the apex on that, and on five of fold 2; the onset failed."""
    one, more = {"s00_1"}, {"s01_0", "s01_1", "s04_0", "s04_1", "s07_0"}
    options = {row: tuple(PIECES[row].items()) for row in PIECES}
    failed = [
        runs.RunFailure(spec, "ValueError: found no smile")
        for spec in specify(store, model_options=options["AU-wise, onset"], **AUDA)
    ]
    results = {
        ENSEMBLE: made_runs(store, lambda row: row["clip_id"] in one, **AUDA),
        "AU-wise, apex": made_runs(
            store, lambda row: row["clip_id"] in one | more, model_options=options["AU-wise, apex"], **AUDA
        ),
        "AU-wise, onset": failed,
    }
    return auda_pieces(store, results)


def test_every_piece_stands_beside_what_was_printed(product):
    main = next(iter(product.tables.values())).set_index("piece")
    assert list(main.index) == list(PIECES)
    assert main.loc["AU-wise, whole smile", "UvA-NEMO, reported"] == "82.08"
    assert main.loc["cross-AU, all ranges", "reported, sd over folds"] == "3.30"
    assert main.loc["AU-wise, onset", "UvA-NEMO, reported"] == "69.4"
    assert main.loc["AU-wise, onset", "reported, sd over folds"] == "-"
    assert set(reported("auda-pieces")["row"]) == set(PIECES)


def test_the_ensemble_is_printed_as_in_table_2():
    both = [reported(artifact).query("database == 'uva-nemo'") for artifact in ("auda-pieces", "related")]
    whole = both[0].query(f"row == '{ENSEMBLE}' and quantity == 'accuracy'")["value"].item()
    assert whole == both[1].query("paper == 'kawulok2021'")["value"].item()


def test_accuracy_and_spread_over_folds_by_hand(product):
    main = next(iter(product.tables.values())).set_index("piece")
    assert main.loc[ENSEMBLE, MEASURED].startswith("95.8 [")  # 23 of 24 clips
    assert main.loc["AU-wise, apex", MEASURED].startswith("75.0 [")
    by_fold = np.array([7, 3, 8]) / 8
    spread = np.sqrt(((by_fold - by_fold.mean()) ** 2).sum() / 2)
    assert main.loc["AU-wise, apex", "measured, sd over folds"] == f"{100 * spread:.1f}"
    assert main.loc["AU-wise, onset", MEASURED] == NOT_RUN
    assert main.loc["cross-AU, all ranges", "measured, sd over folds"] == NOT_RUN


def test_a_piece_is_compared_with_the_ensemble_on_the_same_clips(product):
    main, _, pairs = product.tables.values()
    assert list(pairs["piece"]) == ["AU-wise, apex"]
    row = pairs.iloc[0]
    assert row["only it / only the ensemble right"] == "0 / 5"
    assert float(row["p, McNemar"]) == pytest.approx(binomtest(0, 5).pvalue, abs=6e-4)
    assert row["accuracy"].startswith("-20.8 [")  # 5 of 24
    short = main.set_index("piece")["less the ensemble, points [95 %]"]
    assert short["AU-wise, apex"] == row["accuracy"]
    assert short[ENSEMBLE] == "-"


def test_notes_tell_folds_and_failures_and_no_epochs(product):
    notes = " ".join(product.notes)
    assert "AU-wise, onset: 3 of 3 runs failed, first: ValueError: found no smile" in notes
    assert "epoch" not in notes
    assert product.simulated
    assert len(product.runs) == 9


def test_a_row_of_another_name_is_refused(store):
    with pytest.raises(ValueError, match="found the row 'offset'"):
        auda_pieces(store, {"offset": []})


def test_every_published_piece_of_the_method_has_a_row():
    for options in PIECES.values():
        baselines.build("auda2021", **options)
    named = {options.get("piece", "ensemble") for options in PIECES.values()}
    assert named == set(auda2021.PIECES)
