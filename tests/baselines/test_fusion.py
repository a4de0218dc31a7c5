"""Selected features, and decisions fused by rules: by hand, and with nothing chosen by a clip outside."""

import numpy as np
import pytest

from smilelab.baselines import mrmr
from smilelab.baselines.fusion import FusedMachines, SelectedSupportVectors, fuse
from smilelab.baselines.machines import SupportVectors, inner_folds

OPTIONS = {"counts": (1, 3), "costs": (1.0, 10.0), "widths": (0.1, 1.0), "folds": 3}


def clips(seed=0, told=2.0):
    """Sixty clips of 12 subjects; of eight features the third tells the class."""
    generator = np.random.default_rng(seed)
    y, subjects = np.tile([0, 1], 30), np.repeat(np.arange(12), 5)
    x = generator.normal(size=(60, 8))
    x[:, 2] += told * y
    return x, y, subjects


def test_rules_by_hand():
    # Probabilities .9 and .4, then .5 and .8.
    told = np.log([[9.0, 1.0], [2 / 3, 4.0]])
    as_probability = {rule: 1 / (1 + np.exp(-fuse(told, rule))) for rule in ("sum", "product")}
    assert as_probability["sum"] == pytest.approx([0.65, 0.65])
    assert as_probability["product"] == pytest.approx([0.36 / (0.36 + 0.06), 0.4 / (0.4 + 0.1)])
    assert fuse([[3.0], [-9.0], [0.1]], "vote") == pytest.approx([1 / 3])
    assert np.isfinite(fuse([[1e4, -1e4]] * 2, "sum")).all()
    with pytest.raises(ValueError, match="rule is 'mean'"):
        fuse(told, "mean")


def test_decisions_outside_are_those_of_machines_that_never_saw_the_subject():
    x, y, subjects = clips()
    seen = []

    def rank(rows, labels, count):
        seen.append(rows.copy())
        return mrmr.rank(rows, labels, count)

    machine = SelectedSupportVectors(rank, counts=(2,), costs=(1.0,), widths=(0.5,), folds=3)
    outside = machine.fit(x, y, subjects, seed=5)
    folds = inner_folds(y, subjects, count=3, seed=5)
    assert len(seen) == len(folds) + 1
    for ranked, (train, test) in zip(seen, folds, strict=False):
        np.testing.assert_array_equal(ranked, x[train])
        columns = mrmr.rank(x[train], y[train], 2)
        alone = SupportVectors(costs=[1.0], widths=[0.5]).fit(x[train][:, columns], y[train], subjects[train], seed=0)
        np.testing.assert_array_equal(outside[test], alone.decide(x[test][:, columns]))
    assert (outside != 0).all()


def test_the_number_of_features_is_chosen_and_they_are_kept():
    x, y, subjects = clips()
    machine = SelectedSupportVectors(mrmr.rank, **OPTIONS)
    machine.fit(x, y, subjects, seed=0)
    columns = machine.state("p.")["p.columns"]
    assert columns[0] == 2
    assert len(columns) in (1, 3)
    new, labels, _ = clips(seed=1)
    assert ((machine.decide(new) > 0) == labels).mean() > 0.75
    # Other columns are not looked at.
    spoilt = new.copy()
    spoilt[:, [k for k in range(8) if k not in columns]] = 99
    np.testing.assert_array_equal(machine.decide(spoilt), machine.decide(new))


def test_without_inner_folds_the_first_candidate_is_taken():
    x, y, _ = clips()
    machine = SelectedSupportVectors(mrmr.rank, **OPTIONS)
    outside = machine.fit(x, y, np.zeros(60), seed=0)
    assert not outside.any()
    assert len(machine.state("")["columns"]) == 1
    assert machine.state("")["chosen"].tolist() == [1.0, 0.1]


def test_a_part_that_misleads_is_outvoted_by_the_rule_that_fits():
    x, y, subjects = clips(told=4.0)
    generator = np.random.default_rng(3)
    parts = {"good": x, "blind": generator.normal(size=(60, 8)), "other": clips(seed=4, told=4.0)[0]}
    machines = FusedMachines(list(parts), rules=("vote", "sum", "product"), rank=mrmr.rank, **OPTIONS)
    machines.fit(parts, y, subjects, seed=0)
    new, labels, _ = clips(seed=8, told=4.0)
    told = machines.decide({"good": new, "blind": generator.normal(size=(60, 8)), "other": clips(seed=9, told=4.0)[0]})
    assert ((told > 0) == labels).mean() > 0.9
    again = FusedMachines(list(parts), rules=("vote", "sum", "product"), rank=mrmr.rank, **OPTIONS)
    again.load_state(machines.state())
    np.testing.assert_array_equal(again.decide(parts), machines.decide(parts))
    assert {"rule", "good.columns", "blind.vectors"} <= machines.state().keys()


def test_odd_options_are_refused():
    with pytest.raises(ValueError, match="rules are"):
        FusedMachines(["a"], rules=("majority",), rank=mrmr.rank, **OPTIONS)
    with pytest.raises(ValueError, match="rules are"):
        FusedMachines(["a"], rules=(), rank=mrmr.rank, **OPTIONS)
    with pytest.raises(ValueError, match="counts are"):
        SelectedSupportVectors(mrmr.rank, **OPTIONS | {"counts": (0,)})
    with pytest.raises(ValueError, match="call fit"):
        SelectedSupportVectors(mrmr.rank, **OPTIONS).decide(np.zeros((1, 8)))
    with pytest.raises(ValueError, match="call fit"):
        FusedMachines(["a"], rules=("sum",), rank=mrmr.rank, **OPTIONS).decide({"a": np.zeros((1, 8))})
