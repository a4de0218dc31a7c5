"""The table of both networks with each anchor, of hand-made predictions on stores small enough to count by hand."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from written_store import Clip, steady, write_store

from smilelab import runs, specs
from smilelab.artifacts import combined as module
from smilelab.artifacts.combined import ANCHORS, IMPOSSIBLE, NETWORKS, combined
from smilelab.artifacts.product import NOT_RUN
from smilelab.effort import Effort
from smilelab.options import TrainingOptions

SMALL = (("depth", 14), ("frames", 30), ("size", 56))
MODELS = {
    ("RealSmileNet", "none"): "realsmilenet",
    ("RealSmileNet", "neutral"): "realsmilenet-neutral",
    ("RealSmileNet", "posed"): "realsmilenet-posed",
    ("3D DenseNet", "none"): "densenet3d",
    ("3D DenseNet", "neutral"): "siamese-neutral",
    ("3D DenseNet", "posed"): "siamese-posed",
}


def finished(folder, database, clips, folds):
    """A store of clips of 12 frames, 5 a second, whose mouths open up, with test folds by subject."""
    rows = [Clip(name, label, who, steady(12, 5.0), np.linspace(0.7, 1.0, 12), fps=5.0) for name, label, who in clips]
    store = write_store(folder, rows, size=4, fps=5.0)
    tests = [[name for name, _, who in clips if who in subjects] for subjects in folds]
    (folder / "folds.json").write_text(json.dumps({"tests": tests}))
    store.database = database
    return store


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    root = tmp_path_factory.mktemp("stores")
    several = [(f"{who}{kind}", int(kind == "s"), who) for who in "abcd" for kind in ("p", "q", "s")]
    single = [(f"q{number}", number % 2, f"q{number}") for number in range(4)]
    return {
        "uva-nemo": finished(root / "uva", "uva-nemo", several, ["ab", "cd"]),
        "bbc": finished(root / "bbc", "bbc", single, [["q0", "q1"], ["q2", "q3"]]),
    }


class Run(runs.RunResult):
    """A run whose predictions were made by hand."""

    predictions = None
    effort = Effort(30.0, 30.0 / 2)


def results(store, key, *, of=lambda clip_id, number: None, without=(), folds=(), trials=1, **fields):
    """Runs that give .9 to spontaneous clips and .1 to posed ones, but where `of` says something else.

    A 3D DenseNet scores two windows, 0 and 1, of each clip.
    """
    windowed = key[0] == "3D DenseNet"
    if windowed:
        fields = {"windows": specs.WindowOptions(comparable=False), "model_options": SMALL, **fields}
    made = []
    for spec in specs.specify(
        store, folds=folds, trials=trials, model=MODELS[key], training=TrainingOptions(epochs=3), **fields
    ):
        rows = []
        for clip_id in store.folds()[spec.fold - 1]:
            label, subject = store.usable.loc[clip_id, ["label", "subject"]]
            for number in range(2 if windowed else 1):
                said = of(clip_id, number)
                probability = (0.9 if label else 0.1) if said is None else said
                row = {"clip_id": clip_id, "subject": subject, "label": int(label), "probability": probability}
                rows += [] if clip_id in without else [{**row, "start": 30 * number} if windowed else row]
        table = pd.DataFrame(rows).assign(fold=spec.fold, seed=spec.seed)
        made.append(type("Made", (Run,), {"predictions": table})(spec, Path("nowhere")))
    return made


@pytest.fixture(scope="module")
def product(stores):
    """On UvA-NEMO nobody judged d in the row of the neutral anchor: nine clips of a, b and c are left to all."""
    uva, bbc = stores["uva-nemo"], stores["bbc"]
    plain, neutral, dense, posed = (
        ("RealSmileNet", "none"),
        ("RealSmileNet", "neutral"),
        ("3D DenseNet", "none"),
        ("3D DenseNet", "posed"),
    )

    def windows(clip_id, number):
        return {("ap", 0): 0.8, ("ap", 1): 0.4, ("bp", 0): 0.6, ("bp", 1): 0.2}.get((clip_id, number))

    failed = [runs.RunFailure(run.spec, "no memory") for run in results(uva, posed)]
    return combined(
        stores,
        {
            plain: {
                "uva-nemo": results(uva, plain, of=lambda clip_id, _: {"as": 0.2, "ds": 0.2}.get(clip_id)),
                "bbc": results(bbc, plain, folds=(1,)),
            },
            neutral: {"uva-nemo": results(uva, neutral, without=("dp", "dq", "ds"))},
            dense: {"uva-nemo": results(uva, dense, of=windows)},
            posed: {"uva-nemo": failed},
        },
    )


def table(product, caption, **where):
    """The rows of the table whose caption begins so."""
    found = next(frame for name, frame in product.tables.items() if name.startswith(caption))
    for column, value in where.items():
        found = found[found[column] == value]
    return found


UVA, BBC = "simulated UvA-NEMO", "simulated BBC"


def test_accuracy_by_hand_on_the_clips_that_all_rows_have(product):
    main = table(product, "Accuracy by clip").set_index(["network", "anchor"])[f"{UVA} [95 %]"]
    # Of a, b and c with three clips each, one of a's is wrong; d's wrong one is not judged. One draw of 27 is a alone.
    assert main["RealSmileNet", "no anchor"] == "88.9 [66.7, 100.0]"
    assert main["RealSmileNet", "neutral anchor"] == "100.0 [100.0, 100.0]"
    # Windows of .8 and .4 make a posed clip spontaneous, those of .6 and .2 do not.
    assert main["3D DenseNet", "no anchor"] == "88.9 [66.7, 100.0]"
    assert main["larger class of these clips", ""] == "66.7 (n 9)"
    assert any("Judged are the 9 of 12 clips (3 subjects)" in note for note in product.notes)


def test_what_was_not_run_failed_or_cannot_be_run_says_so(product):
    main = table(product, "Accuracy by clip").set_index(["network", "anchor"])
    assert main.loc[("RealSmileNet", "posed anchor"), f"{UVA} [95 %]"] == NOT_RUN
    assert main.loc[("3D DenseNet", "posed anchor"), f"{UVA} [95 %]"] == NOT_RUN
    assert main.loc[("RealSmileNet", "posed anchor"), f"{BBC} [95 %]"] == IMPOSSIBLE
    assert main.loc[("RealSmileNet", "neutral anchor"), f"{BBC} [95 %]"] == NOT_RUN
    assert main.loc[("RealSmileNet", "no anchor"), f"{BBC} [95 %]"] == "100.0 [100.0, 100.0] (1 of 2 folds)"
    assert f"3D DenseNet with posed anchor, {UVA}: 2 of 2 runs failed, first: no memory" in product.notes


def test_every_accuracy_has_its_company(product):
    row = table(product, "Each network", network="RealSmileNet", anchor="no anchor", database=UVA).iloc[0]
    # Six of six posed and two of three spontaneous clips.
    assert row["balanced accuracy"].startswith("83.3 [")
    assert row["majority"] == "66.7"
    assert list(row[["clips", "subjects", "folds", "trials"]]) == ["9", "3", "2", "1"]
    assert list(row[["wall time, all runs", "wall time, a run"]]) == ["1.0 min", "30.0 s"]
    perfect = table(product, "Each network", network="RealSmileNet", anchor="neutral anchor").iloc[0]
    assert perfect["AUC"] == "100.0 [100.0, 100.0]"


def test_paired_tests_by_hand(product):
    found = table(product, "Paired tests", database=UVA).set_index("compared")
    assert list(found.index) == [
        "RealSmileNet: neutral anchor less no anchor",
        "no anchor: RealSmileNet less 3D DenseNet",
    ]
    gain = found.loc["RealSmileNet: neutral anchor less no anchor"]
    assert gain["accuracy"] == "11.1 [0.0, 33.3]"
    assert gain["only first / second right"] == "1 / 0"
    assert gain["p, subjects flipped"] == "1.000"  # one subject differs: both signs are as far from zero
    assert gain["clips"] == "9"
    between = found.loc["no anchor: RealSmileNet less 3D DenseNet"]
    # Each is wrong on another of a's clips.
    assert between["accuracy"] == "0.0 [0.0, 0.0]"
    assert between["only first / second right"] == "1 / 1"


def test_networks_are_described_as_they_were_run(product):
    found = table(product, "The networks").set_index(["network", "anchor"])
    plain = found.loc[("RealSmileNet", "no anchor")]
    assert list(plain[["parameters", "input", "smaller in"]]) == ["5,273", "whole clips of 48x48", "nothing"]
    assert plain["databases"] == f"{UVA}, {BBC}"
    dense = found.loc[("3D DenseNet", "no anchor")]
    assert dense["smaller in"] == "depth 14, size 56"
    assert dense["input"] == "windows of 30 frames, 30 taken, of 56x56"


def test_anchors_and_their_databases(stores, product):
    probes = table(product, "Without a network").set_index("database")["anchor"]
    assert list(probes[UVA]) == ["neutral anchor", "posed anchor"]
    assert probes[BBC] == "neutral anchor"
    (bbc,) = [note for note in product.notes if note.startswith(f"{BBC}: there are no neutral recordings")]
    assert "from the very clip that is judged: nobody has another. Of smiles to compare with a posed anchor, not" in bbc
    (uva,) = [note for note in product.notes if note.startswith(f"{UVA}: there are no neutral recordings")]
    drawn = module.anchors.find(stores["uva-nemo"], "neutral", length=5)
    count = sum(anchor.clip_id.endswith("s") for anchor in drawn.values())
    assert f"{count} of the 4 subjects with clips of both classes lose a spontaneous one. Judged are the 9 of 12" in uva


def test_faces_at_rest_are_from_neutral_recordings_where_there_are_some(tmp_path):
    clips = [Clip(f"{who}{label}", label, who, steady(12, 5.0)) for who in "ab" for label in (0, 1)]
    clips += [Clip(f"{who}n", -1, who, steady(12, 5.0), kind="neutral") for who in "ab"]
    store = write_store(tmp_path / "s", clips, fps=5.0)
    store.database = "recordings"
    found = combined({"recordings": store}, {})
    (about,) = [note for note in found.notes if note.startswith("simulated recordings: a neutral")]
    assert "is from the subject's neutral recording. Of smiles to compare with a posed anchor" in about
    assert found.figure is None
    assert set(table(found, "Accuracy by clip").iloc[:, 2]) == {NOT_RUN, IMPOSSIBLE}


def test_the_figure_shows_the_accuracies(product):
    uva, bbc = product.figure.axes
    assert uva.get_title() == f"{UVA}\n9 clips, 3 subjects"
    dots = [line for line in uva.lines if line.get_marker() in {"o", "s", "^"}]
    assert sorted(float(line.get_xdata()[0]) for line in dots) == pytest.approx([800 / 9, 800 / 9, 100])
    assert len([line for line in bbc.lines if line.get_marker() in {"o", "s", "^"}]) == 1
    assert [label.get_text() for label in uva.get_yticklabels()] == ["RealSmileNet", "3D\nDenseNet"]
    (majority,) = [line for line in uva.lines if line.get_linestyle() == "--"]
    assert majority.get_xdata()[0] == pytest.approx(200 / 3)


def test_one_subject_has_no_intervals_and_the_panel_says_so(stores):
    key = (NETWORKS[0], "none")
    found = combined(stores, {key: {"bbc": results(stores["bbc"], key, folds=(1,), without=("q1",))}})
    main = table(found, "Accuracy by clip").set_index(["network", "anchor"])
    assert main.loc[key[0], f"{BBC} [95 %]"].iloc[0] == "100.0 [too few subjects] (1 of 2 folds)"
    panel = found.figure.axes[1]
    assert panel.get_title() == f"{BBC}\n1 clip, 1 subject: no intervals"
    found.figure.canvas.draw()
    assert any(note.startswith("One subject says nothing") for note in found.notes)


def test_trials_of_one_network_are_paired_with_those_of_the_other(stores):
    key, other = (NETWORKS[0], "none"), (NETWORKS[0], "neutral")
    uva = stores["uva-nemo"]
    given = {
        key: {"uva-nemo": results(uva, key, trials=2)},
        other: {"uva-nemo": results(uva, other, of=lambda clip_id, _: 0.7 if clip_id == "bp" else None)},
    }
    found = table(combined({"uva-nemo": uva}, given), "Paired tests").iloc[0]
    assert found["accuracy"].startswith("-8.3 [")
    assert found["only first / second right"] == "0 / 1"
    assert set(table(combined({"uva-nemo": uva}, given), "Each network")["trials"]) == {"2", "1"}


def test_what_does_not_belong_is_refused(stores):
    uva = stores["uva-nemo"]
    with pytest.raises(ValueError, match=r"found \('RealSmileNet', 'plain'\), expected one of RealSmileNet"):
        combined(stores, {("RealSmileNet", "plain"): {}})
    key, other = (NETWORKS[0], "none"), (NETWORKS[0], "neutral")
    apart = {key: {"uva-nemo": results(uva, key, folds=(1,))}, other: {"uva-nemo": results(uva, other, folds=(2,))}}
    with pytest.raises(ValueError, match="found no clip that all rows tested"):
        combined({"uva-nemo": uva}, apart)
    two = [*results(uva, key, folds=(1,)), *results(uva, key, folds=(2,), selection="last")]
    with pytest.raises(ValueError, match="found runs of 2 settings"):
        combined({"uva-nemo": uva}, {key: {"uva-nemo": two}})
    assert set(ANCHORS) == {anchor for _, anchor in MODELS}
