"""The training loop: its loss, its reproducibility to the bit, what it survives and what it refuses."""

import os
import random
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_training import SIDE, build, fit, random_clips, same
from torch import nn

from smilelab import augmentation, training
from smilelab.options import as_dict
from smilelab.scoring import batch_of, class_weights, score, weighted_loss
from smilelab.training import TrainingError, TrainingOptions, collate, predict, to_input, train


def dots(count: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """A bright dot that moves (label 1) or rests (0), anywhere."""
    rng = np.random.default_rng(seed)
    clips, labels = [], np.arange(count) % 2
    for label in labels:
        clip = rng.integers(60, 80, (6, SIDE, SIDE, 3), dtype=np.uint8)
        row, column = rng.integers(2, 14, 2)
        for t in range(6):
            clip[t, row : row + 4, column + t * label : column + t * label + 4] = 220
        clips.append(clip)
    return clips, labels


def test_loss_is_equation_3():
    logits, targets = torch.tensor([0.0, 2.0, -1.0, 0.5]), torch.tensor([1.0, 1.0, 0.0, 1.0])
    p = [0.5, 0.8807970779778823, 0.2689414213699951, 0.6224593312018546]
    labels = np.array([1, 1, 0, 1])
    terms = [-np.log(p[0]), -np.log(p[1]), -np.log(1 - p[2]), -np.log(p[3])]
    for loss, (spontaneous, posed) in {"paper": (0.75, 0.25), "balanced": (0.25, 0.75), "unweighted": (1, 1)}.items():
        expected = (spontaneous * (terms[0] + terms[1] + terms[3]) + posed * terms[2]) / 4
        assert class_weights(labels, loss) == (posed, spontaneous)
        assert weighted_loss(logits, targets, class_weights(labels, loss)).item() == pytest.approx(expected, rel=1e-6)


def test_loss_stays_finite_where_the_probability_is_one():
    loss = weighted_loss(torch.tensor([1e4, -1e4]), torch.tensor([0.0, 1.0]), (0.5, 0.5))
    assert loss.item() == pytest.approx(5000)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_a_batch_holds_the_clips_and_zeros(lengths):
    rng = np.random.default_rng(0)
    clips = [rng.integers(1, 256, (length, 3, 4, 3), dtype=np.uint8) for length in lengths]
    batch, counts = collate(clips)
    assert (batch.dtype, counts.tolist()) == (torch.uint8, lengths)
    frames = to_input(batch)
    assert frames.shape == (len(clips), 3, max(lengths), 3, 4)
    for row, clip in zip(frames, clips, strict=True):
        np.testing.assert_allclose(row[:, : len(clip)].permute(1, 2, 3, 0), clip / 255, rtol=1e-6)
        assert not row[:, len(clip) :].any()


def test_predictions_come_in_the_given_order():
    model, (clips, _) = build().train(), random_clips(9)
    together = predict(model, clips, batch_size=4)
    alone = np.concatenate([predict(model, [clip]) for clip in clips])
    assert together.dtype == np.float64
    assert np.ptp(together) > 0
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert model.training


def test_same_seed_same_bits_other_seed_other():
    (_, a), (_, b), (_, c) = fit(0, evaluated=True), fit(0, evaluated=True), fit(1, evaluated=True)
    assert same(a.state_dict, b.state_dict)
    assert a.history.equals(b.history)
    assert not same(a.state_dict, c.state_dict)


@pytest.mark.parametrize("options", [{"flip": True}, {"decoupled": True}, {"loss": "balanced"}, {"weight_decay": 0.0}])
def test_options_change_the_result(options):
    # Uneven classes, or "paper" and "balanced" would weigh alike.
    assert not same(fit(count=11)[1].state_dict, fit(count=11, options=options)[1].state_dict)


def test_bfloat16_trains_close_to_float32():
    (_, full), (_, half) = fit(epochs=1), fit(epochs=1, options={"precision": "bfloat16"})
    assert half.state_dict["head.linear.weight"].dtype == torch.float32
    assert half.history.train_loss[0] == pytest.approx(full.history.train_loss[0], rel=0.1)
    assert not same(full.state_dict, half.state_dict)


def test_a_flipped_clip_is_mirrored_whole(monkeypatch):
    seen = []
    monkeypatch.setattr(augmentation, "to_input", lambda batch, device: seen.append(batch) or to_input(batch, device))
    clips, labels = random_clips(40)
    train(build(), clips, labels, TrainingOptions(epochs=1, batch_size=40, flip=True), seed=0)
    plain = {clip.tobytes() for clip in clips}
    mirrored = {clip[:, :, ::-1].tobytes() for clip in clips}
    lengths = {clip.tobytes(): len(clip) for clip in clips} | {clip[:, :, ::-1].tobytes(): len(clip) for clip in clips}
    found = [
        next(frames[:n].tobytes() for n in range(1, 7) if lengths.get(frames[:n].tobytes()) == n)
        for frames in seen[0].numpy()
    ]
    assert len(set(found)) == 40
    assert 8 < sum(clip in mirrored for clip in found) < 32
    assert all(clip in plain | mirrored for clip in found)


class Linear(nn.Module):
    """The mean of each colour, weighted: no batch statistics, no dropout."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.3, -0.2, 0.1]))

    def forward(self, frames, lengths):
        return frames.mean((2, 3, 4)) @ self.weight


def trained_weight(**options) -> torch.Tensor:
    clips, labels = random_clips(16)
    model = Linear()
    train(model, [clip[:1] for clip in clips], labels, TrainingOptions(epochs=3, batch_size=8, **options), seed=0)
    return model.weight.detach()


@pytest.mark.parametrize("parts", [2, 3, 8])
def test_a_batch_in_parts_makes_the_same_steps(parts):
    torch.testing.assert_close(trained_weight(accumulate=parts), trained_weight(), atol=1e-6, rtol=0)


def test_a_part_of_the_clips_makes_an_epoch(monkeypatch):
    seen = []
    monkeypatch.setattr(training, "batch_of", lambda clips, chosen: seen.append(len(chosen)) or batch_of(clips, chosen))
    trained_weight(per_epoch=10)
    assert seen == [8, 2] * 3


def test_bucketed_batches_reach_the_model(monkeypatch):
    clips, labels = random_clips(16)
    lengths, seen = [len(clip) for clip in clips], []
    monkeypatch.setattr(training, "batch_of", lambda some, chosen: seen.append(list(chosen)) or batch_of(some, chosen))
    train(build(), clips, labels, TrainingOptions(epochs=2, batch_size=4, bucket=4), seed=0)
    assert [sorted(np.concatenate(epoch)) for epoch in (seen[:4], seen[4:])] == [list(range(16))] * 2
    shortest, *_, longest = sorted(seen[:4], key=lambda batch: sum(lengths[i] for i in batch))
    # All 16 were sorted together: no clip of the shortest batch is longer than one of the longest.
    assert max(lengths[i] for i in shortest) <= min(lengths[i] for i in longest)
    assert min(lengths) < max(lengths)


def test_finished_runs_keep_their_hash_where_there_are_no_buckets():
    assert "bucket" not in as_dict(TrainingOptions())
    assert as_dict(TrainingOptions(bucket=2))["bucket"] == 2


def test_the_rate_falls_like_a_cosine():
    options = TrainingOptions(epochs=4, learning_rate=0.02, schedule="cosine")
    halves = [0.02 * (1 + c) / 2 for c in (1, 2**-0.5, 0, -(2**-0.5))]
    assert [options.rate(epoch) for epoch in (1, 2, 3, 4)] == pytest.approx(halves)
    assert TrainingOptions(learning_rate=0.02).rate(60) == 0.02
    assert not torch.equal(trained_weight(schedule="cosine"), trained_weight())


@pytest.mark.slow
def test_a_compiled_model_learns_the_same():
    torch.testing.assert_close(trained_weight(compile=True), trained_weight(), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampling": "some"}, "sampling is 'some'"),
        ({"schedule": "linear"}, "schedule is 'linear'"),
        ({"crop": 1.0}, "crop is 1.0"),
        ({"per_epoch": -1}, "per_epoch -1"),
        ({"accumulate": 0}, "accumulate is 0"),
        ({"together": 0}, "together is 0"),
        ({"bucket": -1}, "bucket is -1"),
        ({"bucket": 2, "sampling": "classes"}, "sampling 'classes'"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TrainingOptions(**options)


def test_no_random_state_is_touched(tmp_path):
    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002
    before = (random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state())  # noqa: NPY002
    fit(3, evaluated=True, checkpoint=tmp_path / "c", options={"flip": True})
    predict(build(), random_clips(2)[0])
    with pytest.raises(TrainingError):
        fit(3, options={"learning_rate": 1e30})
    assert random.getstate() == before[0]
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


def test_history_has_every_measure_of_every_set():
    seen = []
    _, result = fit(epochs=3, evaluated=True, progress=seen.append)
    expected = ["loss", "accuracy", "balanced_accuracy", "auc"]
    assert list(result.history) == ["epoch", "train_loss", *(f"validation_{name}" for name in expected)]
    assert result.history.epoch.tolist() == [1, 2, 3] == [row["epoch"] for row in seen]


def test_measures_by_hand():
    logits, labels = np.array([2.0, -1.0, 0.0, -3.0, 1.0]), np.array([1, 1, 1, 0, 0])
    found = score(logits, labels)
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    # Of the six pairs (spontaneous, posed), the spontaneous one is higher in four.
    assert found["auc"] == pytest.approx(4 / 6)
    alone = score(logits[:3], labels[:3])
    assert alone["accuracy"] == pytest.approx(2 / 3)
    assert np.isnan([alone["balanced_accuracy"], alone["auc"]]).all()


@pytest.mark.parametrize("select", ["last", "validation"])
def test_the_selected_weights_are_those_of_the_selected_epoch(select):
    model, result = fit(epochs=4, evaluated=True, select=select)
    history = result.history
    if select == "last":
        assert result.best_epoch == 4
    else:
        ranked = history.sort_values(["validation_accuracy", "validation_loss", "epoch"], ascending=[False, True, True])
        assert result.best_epoch == ranked.epoch.iloc[0]
    assert same(model.state_dict(), result.state_dict)
    clips, labels = random_clips(7, seed=1)
    accuracy = np.mean((predict(model, clips) >= 0.5) == labels)
    assert accuracy == history.validation_accuracy[result.best_epoch - 1]
    assert not model.training


def test_ties_go_to_the_lower_loss_then_the_earlier_epoch(monkeypatch):
    scripted = iter([(0.5, 0.3), (0.7, 0.6), (0.7, 0.5), (0.7, 0.5), (0.6, 0.1)])

    def scores(*arguments):
        accuracy, loss = next(scripted)
        return {"loss": loss, "accuracy": accuracy, "balanced_accuracy": accuracy, "auc": 0.5}

    monkeypatch.setattr(training, "score", scores)
    assert fit(epochs=5, evaluated=True, select="validation")[1].best_epoch == 3


def test_a_planted_signal_is_learned_and_shuffled_labels_are_not():
    clips, labels = dots(96, seed=0)
    unseen, truth = dots(80, seed=1)
    options = TrainingOptions(epochs=25, learning_rate=5e-3)
    accuracies = []
    for taught in (labels, np.random.default_rng(0).permutation(labels)):
        model = build(dropout=0.2)
        train(model, clips, taught, options, seed=0)
        accuracies.append(np.mean((predict(model, unseen) >= 0.5) == truth))
    assert accuracies[0] > 0.9
    assert accuracies[1] < 0.7


def test_a_diverging_loss_is_named():
    with pytest.raises(TrainingError, match=r"training loss is (nan|inf) in epoch .*lower the learning rate"):
        fit(epochs=3, options={"learning_rate": 1e30})


CLIPS, LABELS = random_clips(4)


@pytest.mark.parametrize(
    ("clips", "labels", "message"),
    [
        ([], [], "there are no training clips"),
        (CLIPS, [1, 1, 1, 1], "all 4 training clips have label 1"),
        (CLIPS, [0, 1], r"labels have shape \(2,\)"),
        (CLIPS, [0, 1, 2, 0], "of 1 .spontaneous. and 0 .posed."),
        ([CLIPS[0].astype(float), *CLIPS[1:]], LABELS, "number 0 is float64"),
        ([CLIPS[0], CLIPS[1][:0], *CLIPS[2:]], LABELS, "T at least 1"),
        ([CLIPS[0], CLIPS[1][:, :8], *CLIPS[2:]], LABELS, "number 1 has frames of 8x24, number 0 of 24x24"),
    ],
)
def test_clips_that_cannot_be_trained_on_are_refused(clips, labels, message):
    with pytest.raises(ValueError, match=message):
        train(build(), clips, labels, TrainingOptions(), seed=0)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"expected 'last' or an evaluation set .validation."):
        fit(evaluated=True, select="test")
    with pytest.raises(ValueError, match="named 'train'"):
        fit(evaluate={"train": random_clips(2)})
    for wrong, message in (
        ({"loss": "focal"}, "expected one of paper, balanced, unweighted"),
        ({"precision": "float16"}, "expected one of float32, bfloat16"),
        ({"epochs": 0}, "epochs is 0"),
        ({"learning_rate": 0.0}, "expected a positive rate"),
    ):
        with pytest.raises(ValueError, match=message):
            TrainingOptions(**wrong)


def test_a_set_of_one_class_has_no_auc():
    clips, _ = random_clips(3)
    _, result = fit(evaluate={"posed": (clips, [0, 0, 0])})
    assert result.history[["posed_auc", "posed_balanced_accuracy"]].isna().all(axis=None)
    assert result.history[["posed_loss", "posed_accuracy"]].notna().all(axis=None)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
def test_the_allocator_keeps_memory_unless_told_not_to():
    code = """
        import resource, torch
        from smilelab import training
        faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for turn in range(8):
            if turn == 3:
                before = faults()
            layers = [torch.ones(2 << 20) for _ in range(8)]
            del layers
        print(training.tune_allocator(), faults() - before)
    """
    found = {}
    for off in ("0", "1"):
        # glibc raises its thresholds by itself, now and then; stated ones it keeps, until somebody calls mallopt.
        stated = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
        environment = os.environ | stated | {"SMILELAB_NO_MALLOPT": off}
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)], env=environment, capture_output=True, text=True, check=True
        )
        on, count = done.stdout.split()
        found[off] = (on, int(count))
    assert found["1"][0] == "False"
    if found["0"][0] == "False":
        pytest.skip("no glibc here")
    # 64 MiB handed back and taken anew, five times, are 80,000 pages of 4 KiB (fewer where pages are larger).
    assert found["0"][1] < found["1"][1] / 4
