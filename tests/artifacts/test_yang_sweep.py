"""Figure 6 of hand-made predictions, small enough to compute every cell by hand."""

from __future__ import annotations

import copy
from itertools import product as every
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from memory_store import FOLDS, SUBJECTS, MemoryStore
from scipy.stats import binom

from smilelab import runs, specs
from smilelab.artifacts import yang_sweep
from smilelab.artifacts.product import NOT_RUN
from smilelab.artifacts.yang_sweep import RATES, SIZES, yang2020_fig6
from smilelab.effort import Effort
from smilelab.training import TrainingOptions

SETTINGS = list(every(SIZES, RATES))
CLIPS = 2 * SUBJECTS


def store_of(size, fps, **changes):
    store = MemoryStore()
    store.recipe = {"crop": "box", "size": size, "fps": fps}
    store.hash = f"{size}-{fps:g}"
    vars(store).update(changes)
    return store


class Run(runs.RunResult):
    """A run whose predictions were made by hand."""

    predictions = None
    effort = Effort(90.0, 90.0 / 2)


def runs_on(store, wrong, *, folds=(), trials=1, **fields):
    """Runs that err on the posed clips of the first subjects, so many; .9 and .1 where sure."""
    options = (("size", store.recipe["size"]),)
    fields = {"training": TrainingOptions(epochs=1, batch_size=8), **fields}
    made = []
    for spec in specs.specify(store, folds=folds, trials=trials, model_options=options, **fields):
        table = store.usable.loc[store.folds()[spec.fold - 1], ["label", "subject"]].reset_index()
        label = table["label"].astype(int)
        bad = (label == 0) & (table["subject"].str[1:].astype(int) < wrong)
        table["probability"] = np.where(bad, 0.9, np.where(label == 1, 0.9, 0.1))
        table = table.assign(fold=spec.fold, seed=spec.seed)
        made.append(type("Run", (Run,), {"predictions": table})(spec, Path("nowhere")))
    return made


@pytest.fixture(scope="module")
def stores():
    return {at: store_of(*at) for at in SETTINGS}


def columns(table, size, fps):
    return table[(table["size, px"] == str(size)) & (table["frames per second"] == f"{fps:g}")].squeeze()


@pytest.fixture(scope="module")
def product(stores):
    """All right at 96 px and 7 per second; the paper's choice errs on 8 of 24 clips, every other on 6; one not run."""
    wrong = dict.fromkeys(SETTINGS, 6) | {(96, 7.0): 0, (48, 5.0): 8}
    results = {at: runs_on(stores[at], wrong[at]) for at in SETTINGS if at != (112, 1.0)}
    return yang2020_fig6(stores, results)


def test_every_cell_is_there_with_its_company(product):
    overview, details, _ = product.tables.values()
    assert overview["frames per second"].tolist() == ["1", "3", "5", "7"]
    assert overview.columns[1:].tolist() == ["48 x 48 px", "64 x 64 px", "96 x 96 px", "112 x 112 px"]
    shown = overview.set_index("frames per second")
    assert shown.loc["7", "96 x 96 px"] == "100.0 [100.0, 100.0]"
    assert shown.loc["5", "48 x 48 px"].startswith("66.7 [")
    assert shown.loc["1", "112 x 112 px"] == NOT_RUN
    assert (shown == NOT_RUN).to_numpy().sum() == 1
    assert len(details) == 16
    row = columns(details, 48, 5.0)
    # A subject has two clips, of which one is wrong for 8 of 12 subjects; all spontaneous ones are right.
    assert row["accuracy"].startswith("66.7 [")
    assert (row["majority"], row["clips"], row["subjects"]) == ("50.0", str(CLIPS), str(SUBJECTS))
    assert row["balanced accuracy"].startswith("66.7 [")
    assert (row["folds"], row["trials"]) == (str(FOLDS), "1")
    assert (row["wall time, all runs"], row["wall time, a run"]) == ("4.5 min", "1.5 min")
    assert row["frames a clip, mean"] == "5.0"
    # A drawn subject is right on one clip of two, or on both: the number of these is binomial.
    low, high = 50 + 50 * binom.ppf([0.025, 0.975], SUBJECTS, 4 / SUBJECTS) / SUBJECTS
    assert row["accuracy"] == f"66.7 [{low:.1f}, {high:.1f}]"
    assert columns(details, 112, 1.0)["accuracy"] == NOT_RUN


def test_the_choice_of_the_paper_is_compared_with_the_others(product):
    compared = next(table for name, table in product.tables.items() if "the paper's choice, less" in name)
    assert len(compared) == 14
    best = columns(compared, 96, 7.0)
    assert best["accuracy"].startswith("-33.3 [")
    # Eight subjects differ, all one way: two of 2^8 sign patterns are as extreme; the first of 14 in Holm's order.
    assert best["p"] == f"{2 / 2**8:.3f}"
    assert best["p, Holm"] == f"{14 * 2 / 2**8:.3f}"
    # Two subjects differ, all one way: p is 2 of 4 patterns, and adjusted it is no probability any more.
    assert columns(compared, 64, 5.0)[["accuracy", "p", "p, Holm"]].tolist()[1:] == ["0.500", "1.000"]
    said = next(note for note in product.notes if note.startswith("The highest accuracy here"))
    assert "96 px, 7 per second (100.0 %)" in said
    assert "cannot be told apart" in said
    assert "14 comparisons" in said


def test_a_difference_that_can_be_told(stores):
    results = {(48, 5.0): runs_on(stores[48, 5.0], 12), (64, 5.0): runs_on(stores[64, 5.0], 0)}
    said = next(note for note in yang2020_fig6(stores, results).notes if note.startswith("The highest accuracy here"))
    assert "64 px, 5 per second (100.0 %)" in said
    assert "-50.0 [-50.0, -50.0] points, p <0.001 after Holm's correction for 1 comparisons" in said
    assert "the two can be told apart" in said


def test_the_choice_of_the_paper_may_be_the_best_or_missing(stores):
    results = {at: runs_on(stores[at], 0 if at == (48, 5.0) else 1) for at in SETTINGS}
    notes = yang2020_fig6(stores, results).notes
    start = "The paper's choice, 48 px, 5 per second, has the highest accuracy here (100.0 %) and next is 48 px, 1 per"
    assert any(note.startswith(start) for note in notes)
    results[64, 7.0] = runs_on(stores[64, 7.0], 0)
    assert any("(100.0 %), which 2 settings share, and next" in note for note in yang2020_fig6(stores, results).notes)
    del results[48, 5.0]
    found = yang2020_fig6(stores, results)
    assert any("48 px, 5 per second, was not run" in note for note in found.notes)
    assert len(found.tables) == 2
    assert found.figure is not None


def test_holm_against_the_definition():
    p = pd.Series([0.04, 0.01, 0.03, 0.8], index=[5, 2, 9, 1])
    # (4 x .01, 3 x .03, 2 x .04 but not below the one before, 1 x .8)
    assert yang_sweep._holm(p).to_dict() == pytest.approx({2: 0.04, 9: 0.09, 5: 0.09, 1: 0.8})


def test_comparisons_are_on_the_clips_that_both_have(stores):
    short = store_of(48, 1.0)
    short.usable = short.usable[short.usable.index != "s00_0"]
    both = {(48, 5.0): stores[48, 5.0], (48, 1.0): short}
    made = yang2020_fig6(both, {(48, 5.0): runs_on(both[48, 5.0], 1), (48, 1.0): runs_on(short, 0)})
    compared = [*made.tables.values()][2]
    assert compared["clips"].tolist() == [str(CLIPS - 1)]
    assert compared["accuracy"].tolist() == ["0.0 [0.0, 0.0]"]
    assert any("different numbers of clips" in note for note in made.notes)
    assert "23-24 clips of 12 subjects" in made.figure.get_suptitle()


def test_one_subject_has_no_whisker_and_nothing_is_told_apart(stores):
    one, other = store_of(48, 5.0), store_of(64, 5.0)
    made = yang2020_fig6(
        {(48, 5.0): one, (64, 5.0): other},
        {
            (48, 5.0): [only(run, "s00") for run in runs_on(one, 1, folds=(1,))],
            (64, 5.0): [only(run, "s00") for run in runs_on(other, 0, folds=(1,))],
        },
    )
    assert columns(list(made.tables.values())[1], 48, 5.0)["accuracy"] == "50.0 [too few subjects]"
    compared = [*made.tables.values()][2]
    assert compared[["p", "p, Holm"]].iloc[0].tolist() == ["", ""]
    said = next(note for note in made.notes if note.startswith("The highest accuracy here"))
    assert said.endswith("-50.0 [too few subjects] points; one subject tells nothing about others.")
    assert "no interval over one subject" in made.figure.get_suptitle()
    made.figure.canvas.draw()
    low, high = made.figure.axes[0].get_ylim()
    assert low < 50 < 100 < high


def only(run, subject):
    """The run with the predictions of one subject alone."""
    table = run.predictions[run.predictions["subject"] == subject].reset_index(drop=True)
    return type("Run", (Run,), {"predictions": table})(run.spec, run.folder)


def test_what_else_differs_is_said(stores):
    longer = runs_on(stores[64, 5.0], 1, training=TrainingOptions(epochs=3, batch_size=8))
    notes = yang2020_fig6(stores, {(48, 5.0): runs_on(stores[48, 5.0], 1), (64, 5.0): longer}).notes
    assert "64 px, 5 per second differs from 48 px, 5 per second also in epochs 3 (not 1)." in notes
    assert not any(note.startswith("48 px, 5 per second differs") for note in notes)


def test_the_figure_shows_the_measured_values(product, stores):
    axis = product.figure.axes[0]
    bars = {container.get_label(): container for container in axis.containers}
    assert list(bars) == ["48 × 48 px", "64 × 64 px", "96 × 96 px", "112 × 112 px"]
    line, _, (whiskers,) = bars["96 × 96 px"].lines
    assert line.get_ydata().tolist() == [75.0, 75.0, 75.0, 100.0]
    assert np.diff(line.get_xdata()) == pytest.approx(1)
    ends = np.array([segment[:, 1] for segment in whiskers.get_segments()])
    assert (ends[:3, 0] < 75).all()
    assert (ends[:3, 1] > 75).all()
    assert len(bars["112 × 112 px"].lines[0].get_ydata()) == 3
    majority = next(line for line in axis.lines if line.get_label() == "majority class")
    assert majority.get_ydata().tolist() == [50.0, 50.0]
    ring = next(line for line in axis.lines if line.get_label() == "the paper's choice")
    assert ring.get_ydata() == pytest.approx([100 * 16 / 24])
    assert sorted(text.get_text() for text in axis.texts) == ["100.0", "66.7", *["75.0"] * 13, NOT_RUN]
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["1", "3", "5", "7"]
    title = product.figure.get_suptitle()
    assert "simulated UvA-NEMO" in title
    assert "24 clips of 12 subjects, 3 folds, trials: 1" in title
    few = yang2020_fig6(stores, {(48, 5.0): runs_on(stores[48, 5.0], 1, folds=(2,), trials=2)})
    assert "8 clips of 4 subjects, 1 fold (not all), trials: 2" in few.figure.get_suptitle()
    assert "(1 of 3 folds)" in few.tables[next(iter(few.tables))].iloc[2, 1]
    assert [entry.get_label() for entry in few.figure.axes[0].containers][1:] == [
        f"{size} × {size} px, not run" for size in (64, 96, 112)
    ]


def test_nothing_run_and_runs_that_failed(stores):
    nothing = yang2020_fig6({}, {})
    assert nothing.figure is None
    assert set(next(iter(nothing.tables.values())).iloc[:, 1:].to_numpy().ravel()) == {NOT_RUN}
    made = runs_on(stores[48, 5.0], 1)
    broken = [*made[:-1], runs.RunFailure(made[-1].spec, "TrainingError: loss is NaN")]
    failed = yang2020_fig6(stores, {(48, 5.0): broken, (64, 5.0): runs_on(stores[64, 5.0], 1)})
    assert failed.tables[next(iter(failed.tables))].set_index("frames per second").loc["5", "48 x 48 px"] == NOT_RUN
    assert any("1 of 3 runs failed, first: TrainingError: loss is NaN" in note for note in failed.notes)


def test_stores_and_runs_that_do_not_belong_together(stores):
    with pytest.raises(ValueError, match=r"48 px, 3 per second: found a store of size and fps \(48, 5.0\)"):
        yang2020_fig6({(48, 3.0): stores[48, 5.0]}, {})
    other = copy.copy(stores[48, 3.0])
    other.database = "bbc"
    with pytest.raises(ValueError, match="found those of bbc, uva-nemo, expected one database"):
        yang2020_fig6({(48, 5.0): stores[48, 5.0], (48, 3.0): other}, {})
    with pytest.raises(ValueError, match="48 px, 3 per second: found runs of another store"):
        yang2020_fig6(stores, {(48, 3.0): runs_on(stores[48, 5.0], 1)})
    with pytest.raises(ValueError, match="64 px, 3 per second: found runs of another store"):
        yang2020_fig6({}, {(64, 3.0): runs_on(stores[64, 3.0], 1)})
