import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from smilelab import metrics, roc


def scored(seed, n=120, levels=15, subjects=8):
    """Predictions with ties, better than chance."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, n)
    steps = np.clip(generator.integers(0, levels + 1, n) + 3 * labels, 0, levels)
    ids = [f"c{i}" for i in range(n)]
    owners = [f"s{i}" for i in generator.integers(0, subjects, n)]
    return pd.DataFrame({"clip_id": ids, "subject": owners, "label": labels, "probability": steps / levels})


def area(points):
    return np.trapezoid(points["true_positive_rate"], points["false_positive_rate"])


@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize("levels", [15, 100_000])
def test_one_models_curve_is_scikit_learns(positive, levels):
    table = scored(1, levels=levels)
    points = roc.curve(table, positive=positive)
    towards = table["probability"] * (1 if positive == 1 else -1)
    false, true, _ = roc_curve(table["label"], towards, pos_label=positive, drop_intermediate=False)
    theirs = pd.DataFrame({"false": false, "true": true}).groupby("false")["true"].agg(["min", "max"])
    ours = points.groupby("false_positive_rate")["true_positive_rate"].agg(["min", "max"])
    assert ours.index.to_numpy() == pytest.approx(theirs.index.to_numpy())
    assert ours.to_numpy() == pytest.approx(theirs.to_numpy())
    assert area(points) == pytest.approx(roc_auc_score(table["label"], table["probability"]))


def test_a_curve_by_hand():
    table = pd.DataFrame(
        {
            "clip_id": list("abcde"),
            "subject": list("abcde"),
            "label": [0, 0, 1, 0, 1],
            "probability": [0.1, 0.2, 0.2, 0.7, 0.8],
        }
    )
    points = roc.curve(table, positive=0)
    # First the one at .1, then a posed and a spontaneous one together, then the posed one at .7, last at .8.
    expected = [(0, 0), (0, 1 / 3), (0.5, 2 / 3), (0.5, 1), (1, 1)]
    assert points.to_numpy() == pytest.approx(np.array(expected))


def test_area_under_the_mean_curve_is_the_mean_of_the_models_areas():
    tables = [scored(seed).assign(fold=seed, seed=0) for seed in range(4)]
    points = roc.curve(pd.concat(tables), positive=0)
    areas = [roc_auc_score(1 - table["label"], -table["probability"]) for table in tables]
    assert area(points) == pytest.approx(np.mean(areas))
    assert points.iloc[0].tolist() == [0, 0]
    assert points.iloc[-1].tolist() == [1, 1]
    assert (points.diff().dropna() >= -1e-12).to_numpy().all()


def test_a_model_that_scored_one_class_has_no_curve():
    both, one = scored(0).assign(fold=1), scored(1).query("label == 1").assign(fold=2)
    assert roc.curve(pd.concat([both, one]), positive=0).equals(roc.curve(both, positive=0))
    assert roc.curve(one, positive=0).empty
    assert roc.band(one, np.array([0.5]), positive=0).iloc[0, 1:].isna().all()


def test_band_agrees_with_a_plain_bootstrap_over_subjects():
    table = pd.concat([scored(seed, n=200, levels=1000).assign(fold=seed, seed=0) for seed in (1, 2)])
    table["subject"] = [f"s{i % 20}" for i in range(len(table))]
    at = np.array([0.1, 0.3, 0.6])
    band = roc.band(table, at, positive=0, resamples=1500)
    curve = roc.curve(table, positive=0)
    assert band["true_positive_rate"].to_numpy() == pytest.approx(
        np.interp(at, curve["false_positive_rate"], curve["true_positive_rate"])
    )
    generator = np.random.default_rng(9)
    groups = [group for _, group in table.groupby("subject")]
    drawn = []
    for _ in range(500):
        sample = pd.concat([groups[i] for i in generator.integers(0, 20, 20)])
        models = [model for _, model in sample.groupby("fold")]
        curves = [roc_curve(model["label"], -model["probability"], pos_label=0)[:2] for model in models]
        drawn.append(np.mean([np.interp(at, false, true) for false, true in curves], axis=0))
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    assert band["low"].to_numpy() == pytest.approx(low, abs=0.035)
    assert band["high"].to_numpy() == pytest.approx(high, abs=0.035)


def test_unscorable_predictions_are_refused():
    with pytest.raises(metrics.MetricError, match="NaN"):
        roc.curve(scored(0).assign(probability=np.nan), positive=0)
