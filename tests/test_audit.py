import decimal
from decimal import ROUND_HALF_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP
from fractions import Fraction
from itertools import combinations_with_replacement, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from memory_store import FOLDS, SUBJECTS, MemoryStore
from sklearn.metrics import roc_auc_score

from smilelab import audit, metrics
from smilelab.simulator import mmi
from smilelab.simulator.dynamics import draw_clip, draw_subject
from smilelab.simulator.production import Production, Settings


@pytest.fixture
def features():
    """24 clips of 12 subjects; the frame rate gives the class away, the length nearly, the width not at all."""
    generator = np.random.default_rng(3)
    label = np.tile([0, 1], 12)
    return pd.DataFrame(
        {
            "label": label,
            "subject": [f"s{number:02d}" for number in np.repeat(range(12), 2)],
            "fps": np.where(label == 1, 29.0, 25.0),
            "length_s": 3.0 + label + generator.normal(0, 1, 24),
            "width": 640,
        },
        index=[f"c{number:02d}" for number in range(24)],
    )


@pytest.fixture
def folds(features):
    clips = list(features.index)
    return [clips[0:8], clips[8:16], clips[16:24]]


def accuracy(predictions):
    return float(((predictions["probability"] >= 0.5) == (predictions["label"] == 1)).mean())


def test_a_rate_that_gives_the_class_away_is_found_out(features, folds):
    assert accuracy(audit.probe(features, folds, ("fps",))) == 1.0


def test_length_is_scored_on_other_subjects_than_it_was_fitted_on(features, folds):
    found = audit.probe(features, folds, ("length_s",))
    for number, test in enumerate(folds, start=1):
        of_fold = found[found["fold"] == number]
        train = features.drop(index=test)
        middle = train.groupby("label")["length_s"].mean()
        assert middle[1] > middle[0]
        # One standardised column: the scores of a fold rank its clips as the length itself does.
        expected = roc_auc_score(features.loc[test, "label"], features.loc[test, "length_s"])
        assert roc_auc_score(of_fold["label"], of_fold["probability"]) == pytest.approx(expected)


def test_a_constant_knows_the_share_of_the_training_clips_and_no_more(features, folds):
    more_spontaneous = features.drop(index=["c00", "c08", "c16"])
    kept = [[clip for clip in fold if clip in more_spontaneous.index] for fold in folds]
    found = audit.probe(more_spontaneous, kept, ("width",))
    # 8 of every 14 training clips are spontaneous; logistic regression of a constant answers with that share.
    assert found["probability"].to_numpy() == pytest.approx(8 / 14, abs=0.01)
    assert accuracy(found) == pytest.approx(12 / 21)


def test_no_column_predicts_the_majority_of_the_training_clips(features, folds):
    found = audit.probe(features.iloc[1:], [folds[0][1:], *folds[1:]], ())
    assert set(found.loc[found["fold"] == 2, "probability"]) == {8 / 15}


def test_a_training_fold_of_one_class_predicts_that_class():
    features = pd.DataFrame(
        {"label": [1, 1, 0], "subject": ["a", "b", "c"], "fps": [25.0, 25.0, 30.0]}, index=["x", "y", "z"]
    )
    found = audit.probe(features, [["x", "y"], ["z"]], ("fps",)).set_index("clip_id")
    assert found.loc["z", "probability"] == 1.0
    assert found.loc["x", "probability"] == 0.0


def test_unknown_values_are_named(features, folds):
    features.loc["c05", "fps"] = np.nan
    with pytest.raises(audit.AuditError, match="c05: no fps is known"):
        audit.probe(features, folds, ("fps",))


def test_one_fold_is_not_enough(features, folds):
    with pytest.raises(audit.AuditError, match="at least two"):
        audit.probe(features, [list(features.index), []], ("fps",))


def test_rounding_of_the_rate_leaves_no_trace_of_the_length():
    store = MemoryStore()
    # A rate is frames over duration: with floats it differs in the 14th digit, in step with the clip's length.
    store.usable["length_s"] = np.where(store.usable["label"] == 1, 5.1, 3.3)
    store.usable["fps_source"] = (50.0 * store.usable["length_s"]) / store.usable["length_s"] + np.where(
        store.usable["label"] == 1, 1e-13, 0
    )
    probes = audit.confound_probes(store).set_index("probe")
    assert probes.loc["frame rate", "auc"] == 0.5
    assert probes.loc["clip length", "accuracy"] == 1.0


def test_brightness_is_the_mean_of_the_crops():
    store = MemoryStore()
    found = audit.confounds(store)["brightness"]
    for clip_id in ("s00_0", "s05_1"):
        assert found[clip_id] == pytest.approx(store.frames(clip_id).mean())


def test_every_probe_has_its_company():
    store = MemoryStore()
    probes = audit.confound_probes(store)
    assert list(probes["probe"]) == list(audit.PROBES)
    assert set(probes["subjects"]) == {SUBJECTS}
    assert set(probes["majority"]) == {0.5}
    assert len(store.folds()) == FOLDS


@pytest.mark.parametrize("matched", [False, True])
def test_length_tells_simulated_smiles_apart_unless_it_is_matched(matched):
    """No picture is needed: the kinematics alone decide how long a clip is."""
    rows = []
    for number in range(100):
        subject = draw_subject(np.random.default_rng([1, number]), age=30, sex="female")
        for label in (0, 1):
            clip = draw_clip(subject, label, 50.0, np.random.default_rng([2, number, label]), length_matched=matched)
            rows.append((label, f"s{number}", len(clip.times) / 50))
    features = pd.DataFrame(rows, columns=["label", "subject", "length_s"], index=map(str, range(200)))
    folds = [list(features.index[start : start + 20]) for start in range(0, 200, 20)]
    found = metrics.summarize(audit.probe(features, folds, ("length_s",)))
    if matched:
        assert found.auc_low < 0.5 < found.auc_high
        assert found.accuracy_low < found.majority
    else:
        assert found.auc_low > 0.6
        assert found.accuracy_low > found.majority


@pytest.mark.parametrize("confounds", [True, False])
def test_the_camera_tells_simulated_mmi_apart_unless_told_not_to(confounds):
    settings = Settings("mmi", 1, 34, 187, (640, 480), confounds=confounds)
    production = Production(settings=settings, layout=mmi.LAYOUT)
    clips = production.roster()
    cameras = [production.camera(clip) for clip in clips]
    features = pd.DataFrame(
        {
            "label": [clip.label for clip in clips],
            "subject": [clip.subject for clip in clips],
            "fps": [camera.fps for camera in cameras],
            "width": [camera.width for camera in cameras],
        },
        index=[clip.clip_id for clip in clips],
    )
    subjects = sorted(set(features["subject"]))
    folds = [list(features.index[features["subject"].isin(subjects[start::5])]) for start in range(5)]
    for column in ("fps", "width"):
        found = metrics.summarize(audit.probe(features, folds, (column,)))
        assert (found.accuracy == 1.0) == confounds
        assert confounds or found.accuracy_low < found.majority


def halves(k, n, decimals):
    """Every number that 100 k / n is printed as under some convention of rounding to the nearest."""
    exact = decimal.Decimal(100 * k) / decimal.Decimal(n)
    step = decimal.Decimal(1).scaleb(-decimals)
    return {exact.quantize(step, rounding=way) for way in (ROUND_HALF_UP, ROUND_HALF_EVEN, ROUND_HALF_DOWN)}


def by_brute_force(accuracy, precision, recall, positives, negatives, decimals):
    wanted = [decimal.Decimal(text) for text in (accuracy, precision, recall)]
    found = []
    for tp, fp in product(range(positives + 1), range(negatives + 1)):
        if tp + fp == 0:
            continue
        shares = ((tp + negatives - fp, positives + negatives), (tp, tp + fp), (tp, positives))
        if all(value in halves(k, n, decimals) for value, (k, n) in zip(wanted, shares, strict=True)):
            found.append((tp, fp, positives - tp, negatives - fp))
    return found


def printed(tp, fp, fn, tn, decimals, way=ROUND_HALF_EVEN):
    step = decimal.Decimal(1).scaleb(-decimals)
    shares = ((tp + tn, tp + fp + fn + tn), (tp, tp + fp), (tp, tp + fn))
    return [str((decimal.Decimal(100 * k) / decimal.Decimal(n)).quantize(step, rounding=way)) for k, n in shares]


def test_the_documented_matrix_is_found():
    found = audit.confusion_matrices(accuracy=98.12, precision=97.85, recall=99.44, positives=3753, negatives=1719)
    assert found == [(3732, 82, 21, 1637)]


@pytest.mark.parametrize("decimals", [0, 1, 2])
@pytest.mark.parametrize(("positives", "negatives"), [(1, 0), (1, 1), (8, 8), (16, 5), (3, 30)])
def test_search_finds_what_brute_force_finds(positives, negatives, decimals):
    generator = np.random.default_rng([positives, negatives, decimals])
    cells = [(tp, fp) for tp, fp in product(range(positives + 1), range(negatives + 1)) if tp + fp]
    step, found_some = decimal.Decimal(1).scaleb(-decimals), False
    for tp, fp in generator.choice(cells, 40).tolist():
        numbers = printed(tp, fp, positives - tp, negatives - fp, decimals)
        # One of the three is moved by some digits, so that there is not always something to find.
        at, digits = int(generator.integers(0, 3)), int(generator.integers(-2, 3))
        moved = decimal.Decimal(numbers[at]) + digits * step
        numbers[at] = str(min(max(moved, decimal.Decimal(0)), decimal.Decimal(100)))
        expected = by_brute_force(*numbers, positives, negatives, decimals)
        assert audit.confusion_matrices(*numbers, positives, negatives, decimals=decimals) == expected
        found_some |= bool(expected)
    assert found_some


@settings(max_examples=200, deadline=None)
@given(
    tp=st.integers(0, 40_000), fp=st.integers(0, 40_000), fn=st.integers(0, 40_000), tn=st.integers(0, 40_000),
    decimals=st.integers(1, 4), way=st.sampled_from([ROUND_HALF_UP, ROUND_HALF_EVEN]),
)  # fmt: skip
def test_a_matrix_is_among_those_of_its_own_rounded_numbers(tp, fp, fn, tn, decimals, way):
    assume(tp + fn > 0 and tp + fp > 0)
    numbers = printed(tp, fp, fn, tn, decimals, way)
    assert (tp, fp, fn, tn) in audit.confusion_matrices(*numbers, tp + fn, fp + tn, decimals=decimals)
    low, high = audit.implied_share(*numbers, decimals=decimals)
    assert low <= Fraction(tp + fn, tp + fp + fn + tn) <= high
    assert audit.misfit(*numbers, tp + fn, fp + tn, decimals=decimals) == 0


def test_an_exact_half_may_have_gone_either_way():
    # 5 of 8 is 62.5 %: 63 as in school, 62 to the even digit.
    for accuracy in (62, 63):
        assert (4, 2, 1, 1) in audit.confusion_matrices(accuracy, "67", 80, 5, 3, decimals=0)
    assert audit.is_tie(5, 8, decimals=0)
    assert not audit.is_tie(5, 8, decimals=1)
    assert not audit.is_tie(2, 3, decimals=0)


def test_a_number_is_the_same_as_text_and_as_any_float():
    found = audit.confusion_matrices("95.87", "98.84", "95.10", 3753, 1719)
    assert found == [(3569, 42, 184, 1677)]
    assert found == audit.confusion_matrices(95.87, np.float64(98.84), 95.1, np.int64(3753), 1719)


def test_precision_of_nothing_is_no_number():
    # Only a matrix that calls nothing positive has recall 0 and accuracy 50 here.
    assert audit.confusion_matrices(50, 0, 0, 1, 1) == []
    assert audit.confusion_matrices(0, 0, 0, 1, 1) == [(0, 1, 1, 0)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((98.125, 97.85, 99.44, 10, 10), "found 98.125, expected at most 2 decimals"),
        (("98,12", 97.85, 99.44, 10, 10), "expected a percentage such as 98.12"),
        ((float("nan"), 97.85, 99.44, 10, 10), "expected a percentage such as 98.12"),
        ((101, 97.85, 99.44, 10, 10), "between 0 and 100"),
        ((98.12, 97.85, 99.44, 0, 10), "found 0 positives and 10 negatives"),
        ((98.12, 97.85, 99.44, 10, -1), "at least one positive"),
    ],
)
def test_impossible_numbers_are_refused(arguments, message):
    with pytest.raises(audit.AuditError, match=message):
        audit.confusion_matrices(*arguments)


@pytest.mark.parametrize(
    ("printed_as", "n", "decimals"), [("86.2", 80, 1), ("71.2", 187, 1), ("95", 20, 0), ("33.3", 9, 1)]
)
def test_numerators_are_those_of_brute_force(printed_as, n, decimals):
    expected = [k for k in range(n + 1) if decimal.Decimal(printed_as) in halves(k, n, decimals)]
    assert audit.numerators(printed_as, n, decimals=decimals) == expected


def test_misfit_is_the_least_slack_that_finds_a_matrix():
    numbers, counts = ("70.00", "88.00", "61.00"), (9, 7)
    points = audit.misfit(*numbers, *counts)
    worst = [
        max(abs(float(value) - 100 * k / n) for value, (k, n) in zip(numbers, shares, strict=True))
        for tp, fp in product(range(10), range(8))
        if tp + fp and (shares := ((tp + 7 - fp, 16), (tp, tp + fp), (tp, 9)))
    ]
    # Half a unit of the last digit is what rounding explains.
    assert points == pytest.approx(np.ceil(100 * min(worst) - 0.5) / 100)
    assert not audit.confusion_matrices(*numbers, *counts, slack=round(100 * points) - 1)
    assert audit.confusion_matrices(*numbers, *counts, slack=round(100 * points))


def test_every_split_class_and_removal_is_searched():
    # The first with two posed of the first split left out, the second with all of it.
    rows = {"a": tuple(printed(8, 3, 2, 6, 1)), "b": tuple(printed(5, 2, 4, 10, 1))}
    splits = {"one": {"posed": 12, "spontaneous": 9}, "two": {"posed": 6, "spontaneous": 10}}
    found = audit.fits(rows, splits, removed=range(4), decimals=1)
    expected = set()
    for name, split, positive, side, removed in product(rows, splits, splits["one"], splits["one"], range(4)):
        counts = {key: n - removed * (key == side) for key, n in splits[split].items()}
        negatives = sum(counts.values()) - counts[positive]
        for matrix in by_brute_force(*rows[name], counts[positive], negatives, 1):
            expected.add((name, split, positive, side if removed else "", removed, *matrix))
    assert set(found.itertuples(index=False, name=None)) == expected
    assert len(found) == len(expected) > 0
    assert {("a", 2), ("b", 0)} <= set(zip(found["row"], found["removed"], strict=True))


@pytest.mark.parametrize("centre", [(70, 73, 75), (60, 60, 60), (76, 78, 70)])
def test_accident_rate_is_the_share_of_neighbours_that_fit(centre):
    cases, within = [(12, 9), (11, 9)], 8
    neighbours = set()
    for positives, negatives in cases:
        for tp, fp in product(range(positives + 1), range(negatives + 1)):
            if tp + fp:
                numbers = tuple(map(int, printed(tp, fp, positives - tp, negatives - fp, 0, ROUND_HALF_UP)))
                if all(abs(value - middle) <= within for value, middle in zip(numbers, centre, strict=True)):
                    neighbours.add(numbers)
    rate = audit.accident_rate(*centre, cases, within=within, decimals=0)
    assert rate == pytest.approx(len(neighbours) / (2 * within + 1) ** 3)
    assert 0 < rate < 1


def test_numbers_near_a_hundred_have_fewer_neighbours():
    # 98, 99 and 100 % of each: three times three times three, of which 100 % each is the one matrix without an error.
    assert audit.accident_rate(100, 100, 100, [(10, 10)], within=2, decimals=0) == pytest.approx(1 / 27)


@pytest.mark.parametrize("folds", [2, 3])
def test_no_mean_precision_passes_its_ceiling(folds):
    positives, negatives = 4, 3
    cells = [cell for cell in product(range(positives + 1), range(negatives + 1)) if sum(cell)]
    largest: dict[tuple[int, int], Fraction] = {}
    for models in combinations_with_replacement(cells, folds):
        key = sum(tp for tp, _ in models), sum(fp for _, fp in models)
        precision = sum(Fraction(tp, tp + fp) for tp, fp in models) / folds
        largest[key] = max(largest.get(key, Fraction(0)), precision)
    for (tp, fp), best in largest.items():
        n = folds * (positives + negatives)
        accuracy = round(100 * (tp + folds * negatives - fp) / n, 6)
        recall = round(100 * tp / (folds * positives), 6)
        ceiling = audit.precision_ceiling(accuracy, recall, positives, negatives, folds=folds, decimals=6)
        assert best <= ceiling
        # Where every model finds every positive, nothing is left to grant and the ceiling is reached.
        if tp == folds * positives:
            assert float(ceiling) == pytest.approx(float(best), abs=1e-6)


def test_means_that_no_models_can_have_are_refused():
    with pytest.raises(audit.AuditError, match="no model has accuracy 0 and recall 100 on"):
        audit.precision_ceiling(0, 100, 5, 5)


@pytest.mark.parametrize("matrix", [(5, 2, 3, 4), (1, 4, 7, 2), (8, 0, 0, 6)])
def test_area_limits_are_those_of_the_best_and_the_worst_ranking(matrix):
    tp, fp, fn, tn = matrix
    labels = [1] * tp + [0] * fp + [1] * fn + [0] * tn
    side = [2] * (tp + fp) + [0] * (fn + tn)
    best, worst = ([at + sign * label for at, label in zip(side, labels, strict=True)] for sign in (0.5, -0.5))
    expected = roc_auc_score(labels, worst), roc_auc_score(labels, best)
    assert audit.auc_range(*matrix) == pytest.approx(expected)
