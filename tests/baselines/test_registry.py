import numpy as np
import pytest

from smilelab import baselines


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(baselines._BASELINES, "builders", dict(baselines._BASELINES.builders))


def test_every_name_builds_what_has_the_four_methods():
    assert "lee2018" in baselines.names()
    assert baselines.names() == sorted(baselines.names())
    for name in baselines.names():
        built = baselines.build(name)
        assert all(callable(getattr(built, method)) for method in ("fit", "score", "state", "load_state"))


def test_options_reach_the_baseline():
    assert baselines.build("lee2018", stack=7).stack == 7


def test_unknown_names_and_options_are_refused_by_name():
    with pytest.raises(ValueError, match=r"unknown baseline 'lee2019'; expected one of .*lee2018"):
        baselines.build("lee2019")
    with pytest.raises(ValueError, match=r"'lee2018' has no option 'depth', 'stacks'; it has .*stack"):
        baselines.build("lee2018", stacks=7, depth=3)


def test_a_new_baseline_registers_under_a_free_name_alone(registry):
    @baselines.register("majority")
    class Majority:
        def __init__(self, *, tie=0.5):
            self.tie = tie

        def fit(self, samples, labels, *, seed):
            self.share = float(np.mean(labels)) if len(labels) else self.tie

        def score(self, samples):
            return np.full(len(samples), self.share)

        def state(self):
            return {"share": np.array(self.share)}

        def load_state(self, state):
            self.share = float(state["share"])

    built = baselines.build("majority", tie=0.25)
    built.fit([], [], seed=0)
    assert built.score([0, 0]).tolist() == [0.25, 0.25]
    assert "majority" in baselines.names()
    with pytest.raises(ValueError, match="two baselines are registered as 'majority'"):
        baselines.register("majority")(Majority)


@pytest.mark.parametrize(
    "option",
    [
        {"size": 8},
        {"stack": 0},
        {"epochs": 0},
        {"windows_per_epoch": 0},
        {"regression_windows": 1},
        {"costs": ()},
        {"costs": (1.0, 0.0)},
        {"weight": 1.5},
        {"dropout": 1.0},
        {"limit": 0.0},
        {"learning_rate": -1.0},
        {"weight_decay": -1.0},
    ],
    ids=lambda option: next(iter(option)),
)
def test_values_out_of_range_are_refused_by_name(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        baselines.build("lee2018", **option)
