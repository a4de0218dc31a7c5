import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_store import MemoryStore

from smilelab import models, runs, specs
from smilelab.datasets.splits import SplitError
from smilelab.parts import parts_of
from smilelab.protocols import DRAWS, divisions
from smilelab.specs import RunError, RunSpec
from smilelab.training import TrainingOptions

OPTIONS = TrainingOptions(epochs=1, batch_size=4)


class People(MemoryStore):
    """Twelve people: s00 to s05 female, s00, s01, s06 and s07 young."""

    def __init__(self, path="memory"):
        super().__init__(path)
        person = self.usable["subject"].str[1:].astype(int)
        self.usable = self.manifest = self.usable.assign(
            sex=["female" if p < 6 else "male" for p in person], age=[10.0 if p % 6 < 2 else 18.0 for p in person]
        )


class Elsewhere(MemoryStore):
    database, hash = "bbc", "ba9876543210"


@pytest.fixture
def store(monkeypatch):
    stores = {"memory": People, "elsewhere": Elsewhere}
    monkeypatch.setattr(runs, "ClipStore", lambda path: stores[str(path)](path))
    return People()


def subjects(clips):
    return {clip.partition("_")[0] for clip in clips}


def specify(store, protocol, **fields):
    return specs.specify(store, training=OPTIONS, model_options=(("size", 24),), protocol=protocol, **fields)


def test_within_a_group_are_the_same_folds_without_the_others(store):
    whole, females = divisions(store, "folds"), divisions(store, "within female")
    assert len(whole) == len(females)
    expected = {f"s{p:02d}" for p in range(6)}
    for all_of_it, part in zip(whole, females, strict=True):
        assert subjects(part.train) | subjects(part.test) == expected
        assert set(part.test) == {clip for clip in all_of_it.test if clip[:3] in expected}
    assert sorted(clip for part in females for clip in part.test) == sorted(
        clip for clip in store.usable.index if clip[:3] in expected
    )


def test_from_group_to_group_takes_all_of_both(store):
    (division,) = divisions(store, "from adult to young")
    assert subjects(division.test) == {"s00", "s01", "s06", "s07"}
    assert subjects(division.train) == {f"s{p:02d}" for p in range(12)} - {"s00", "s01", "s06", "s07"}
    (turned,) = divisions(store, "from young to adult")
    assert (set(turned.train), set(turned.test)) == (set(division.test), set(division.train))


def test_eighteen_is_adult(store):
    assert "s02" in subjects(divisions(store, "within adult")[0].train + divisions(store, "within adult")[0].test)


def test_a_subject_in_both_groups_is_refused(store):
    store.usable.loc["s02_1", "age"] = 17.0
    with pytest.raises(SplitError, match="subject s02 is on both sides"):
        divisions(store, "from adult to young")


@settings(max_examples=20, deadline=None)
@given(count=st.integers(2, 10), draw=st.integers(0, DRAWS - 1))
def test_subsets_are_balanced_and_their_subjects_unseen(count, draw):
    store = People()
    division = divisions(store, f"subset {count}")[draw]
    labels = store.usable.loc[list(division.test), "label"]
    assert len(labels) == count
    assert abs(2 * labels.sum() - count) <= 1
    assert not subjects(division.train) & subjects(division.test)
    assert set(store.usable.index[~store.usable["subject"].isin(subjects(division.test))]) == set(division.train)
    if 2 * count <= 12:
        assert len(subjects(division.test)) == count


def test_draws_differ_and_stay(store):
    draws = divisions(store, "subset 6")
    assert len({division.test for division in draws}) > 1
    assert draws == divisions(People(), "subset 6")


def test_a_subset_that_leaves_nothing_to_train_on_is_refused(store):
    with pytest.raises(SplitError, match="other subjects are left"):
        divisions(store, "subset 24")
    with pytest.raises(SplitError, match="found 24 clips to test, expected 30"):
        divisions(store, "subset 30")


@pytest.mark.parametrize("protocol", ["fold", "within old", "from adult", "subset x", "subset 1", ""])
def test_unknown_protocols_say_what_there_is(store, protocol):
    with pytest.raises(SplitError, match=r"expected (folds|one of female)"):
        divisions(store, protocol)


def test_a_group_that_nobody_belongs_to_is_refused(store):
    store.usable["sex"] = ""
    with pytest.raises(SplitError, match="group male: uva-nemo has no clip"):
        divisions(store, "within male")


def test_hashes_of_plain_specifications_are_what_they_were(store):
    plain = RunSpec("uva-nemo", "0123456789ab", "official-0", 1)
    assert plain.hash == "715196370b44"
    assert not {"protocol", "tests", "compared", "neutral_from"} & set(plain.as_dict())
    grouped = specify(store, "within male")[0]
    assert grouped.as_dict()["protocol"] == "within male"
    assert grouped.hash != plain.hash
    assert RunSpec.from_dict(grouped.as_dict()) == grouped


def test_parts_of_a_group_hold_nobody_else(store):
    spec = specify(store, "from female to male", selection="validation")[0]
    parts = parts_of(spec, store)
    assert set(parts.test.table["subject"]) == {f"s{p:02d}" for p in range(6, 12)}
    trained, held = set(parts.train.table["subject"]), set(parts.validation.table["subject"])
    assert trained | held == {f"s{p:02d}" for p in range(6)}
    assert not trained & held
    assert held


def test_other_membership_is_told(store):
    spec = specify(store, "within male")[0]
    store.usable.loc["s00_1", "sex"] = "male"
    with pytest.raises(RunError, match="found folds within-male-"):
        parts_of(spec, store)


def test_elsewhere_trains_on_all_and_tests_every_other_database(store, tmp_path):
    other = Elsewhere("elsewhere")
    (spec,) = specify(store, "elsewhere", tests=[other], selection="last")
    (result,) = runs.run_all([spec], [store, other], tmp_path, jobs=1, progress=False)
    assert isinstance(result, runs.RunResult), result
    table = result.predictions
    assert set(table["database"]) == {"bbc"}
    assert set(table["clip_id"]) == set(other.usable.index)
    assert result.metrics["train_clips"] == len(store.usable)
    right = (table["probability"] >= 0.5) == table["label"]
    assert result.metrics["bbc_accuracy"] == pytest.approx(right.mean())
    assert RunSpec.from_dict(spec.as_dict()) == spec
    assert result.effort.wall > 0


def test_elsewhere_without_the_other_store_is_refused(store, tmp_path):
    (spec,) = specify(store, "elsewhere", tests=[Elsewhere("elsewhere")], selection="last")
    (failure,) = runs.run_all([spec], store, tmp_path, jobs=1, progress=False)
    assert isinstance(failure, runs.RunFailure)
    assert "the store of bbc is not given" in failure.error
    with pytest.raises(RunError, match="give the clip store of it"):
        runs.run(spec, store, tmp_path)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"protocol": "elsewhere"}, "expected one at least"),
        ({"tests": (("bbc", "0"),)}, "expected none"),
        ({"protocol": "elsewhere", "tests": (("bbc", "1"),), "selection": "best-on-test"}, "other databases"),
        ({"protocol": "within male", "partition_seed": 0}, "rounds"),
        ({"protocol": "elsewhere", "tests": (("bbc", "0"),)}, "on which it is trained"),
        ({"protocol": "elsewhere", "tests": (("uva-nemo", "1"),)}, "on which it is trained"),
        ({"protocol": "elsewhere", "tests": (("bbc", "1"), ("bbc", "1"))}, "a store twice"),
    ],
)
def test_specifications_that_contradict_themselves(fields, told):
    with pytest.raises(RunError, match=told):
        RunSpec("uva-nemo", "0", "split", 1, **fields)


def test_options_of_a_variant_are_set_and_a_contradiction_is_refused(store, tmp_path, monkeypatch):
    monkeypatch.setattr(models, "training_of", lambda name: {"loss": "unweighted"})
    spec = specify(store, "folds")[0]
    assert spec.training.loss == "unweighted"
    assert OPTIONS.loss == "paper"
    contrary = RunSpec(spec.database, spec.store, spec.split, 1, training=OPTIONS)
    with pytest.raises(RunError, match="loss is 'paper', expected 'unweighted'"):
        runs.run(contrary, store, tmp_path)


def test_a_group_is_scored_by_the_run_that_saw_the_other(store, tmp_path):
    (spec,) = specify(store, "from male to female", selection="last")
    result = runs.run(spec, store, tmp_path)
    assert set(result.predictions["subject"]) == {f"s{p:02d}" for p in range(6)}
    assert pd.api.types.is_float_dtype(result.predictions["probability"])
    assert result.predictions["probability"].between(0, 1).all()
    torch.testing.assert_close(result.model().training, False)
