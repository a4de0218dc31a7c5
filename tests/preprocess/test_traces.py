"""Stores of traces: read from either form, resumable, failures as rows, and what works on crops works on them."""

import json

import database_trees as trees
import numpy as np
import pandas as pd
import pytest

from smilelab import audit, datasets
from smilelab.clips import ClipStoreError
from smilelab.preprocess import moments, traces
from smilelab.preprocess.action_units import ActionUnitError
from smilelab.preprocess.detection import detect
from smilelab.signals import phases
from smilelab.simulator import databases
from smilelab.simulator.au_traces import folder as traces_folder
from smilelab.simulator.openface import openface_table

STEM = "001_deliberate_smile_2"


@pytest.fixture
def root(tmp_path):
    return trees.au_traces(tmp_path / "aus")


def build(root, tmp_path, **options):
    return traces.build_traces(datasets.open("au-traces", root), tmp_path / "clips", progress=False, **options)


def openface(path, *, rows=20, failed=(), confidence=True):
    """A table as OpenFace writes it, at 25 frames per second, in which every unit counts frames in hundredths."""
    lines = [
        "frame, face_id, timestamp, confidence, success, " + ", ".join(f"AU{u:02d}_r" for u in trees.AUS) + ", AU12_c"
    ]
    for row in range(rows):
        cells = [row + 1, 0, f"{row / 25:.3f}", 0.3 if row in failed else 0.98, int(row not in failed)]
        lines.append(", ".join(map(str, [*cells, *[row / 100] * 17, 1.0])))
    if not confidence:
        lines = [",".join(cell for at, cell in enumerate(line.split(",")) if at != 3) for line in lines]
    return trees.touch(path, "\n".join(lines).encode())


def test_a_store_holds_what_the_files_hold(root, tmp_path, capsys):
    store = build(root, tmp_path)
    assert capsys.readouterr().out == ""
    assert not store.has_frames
    assert len(store) == 4
    found = store.traces(STEM)
    assert list(found.columns) == ["time_s", *(f"AU{unit:02d}" for unit in trees.AUS)]
    np.testing.assert_allclose(found["time_s"], [0, 0.02, 0.04, 0.06])
    np.testing.assert_allclose(found["AU12"], [0.12, 1.12, 2.12, 3.12], rtol=1e-6)
    assert found["AU12"].dtype == np.float32
    row = store.manifest.loc[STEM]
    assert (row["frames"], row["sampled"], row["status"], row["fps_source"]) == (4, 4, "ok", 50.0)
    assert row["length_s"] == pytest.approx(0.06)
    with pytest.raises(ClipStoreError, match="holds traces of action units"):
        store.frames(STEM)


def test_columns_may_stand_in_any_order_and_under_either_name(tmp_path):
    table = pd.read_csv(trees.touch(tmp_path / "a_AUs.txt", trees.au_text().encode()))
    table = table[table.columns[::-1]].rename(columns={"AU12": " AU12_r"}).assign(extra="text")
    table.to_csv(tmp_path / "b_AUs.txt", index=False)
    first, other = (traces.read_trace(tmp_path / name) for name in ("a_AUs.txt", "b_AUs.txt"))
    np.testing.assert_array_equal(first.intensities, other.intensities)


@pytest.mark.parametrize("confidence", [True, False])
def test_openface_tables_bring_their_own_times_and_failures(tmp_path, confidence):
    found = traces.read_trace(openface(tmp_path / "a.csv", failed=(0, 7, 8), confidence=confidence), fps=50)
    np.testing.assert_allclose(found.times, np.arange(1, 20) / 25)
    # On the straight line from frame 6 to frame 9.
    np.testing.assert_allclose(found.intensities[:, 8], np.arange(1, 20) / 100, rtol=1e-6)
    assert np.flatnonzero(found.bridged).tolist() == [6, 7]
    assert found.reason == "no face in 3 of 20 frames"


def test_part_of_a_file(tmp_path):
    found = traces.read_trace(openface(tmp_path / "a.csv"), start_s=0.2, end_s=0.4)
    np.testing.assert_allclose(found.times, np.arange(5, 10) / 25)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "the file is empty"),
        (lambda text: text.splitlines()[0], "has a heading and no frame"),
        (lambda text: text.replace("AU45", "AU46"), "has no column AU45; found 'AU01', "),
        (lambda text: text.replace("AU45", "AU12"), "column AU12 is there twice"),
        (lambda text: text.replace("1.12", "nan"), "row 3: AU12 is 'nan', expected a number"),
        (lambda text: text.replace("1.12", "smile"), "row 3: AU12 is 'smile', expected a number"),
        (lambda text: text.replace(",1.45", ""), "row 3: AU45 is "),
        (lambda text: text.replace("1.45", "1.45,7"), "no table of comma-separated values"),
        (lambda text: "\n".join(text.splitlines()[:2]), "1 of 1 frames show a face, expected 2"),
        (lambda text: "\0\1\2", "has a heading and no frame"),
        (lambda text: "PK\3\4" * 9 + "\n\1\2", "has no column AU01"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_row_that_says_why(root, tmp_path, change, message):
    path = root / f"{STEM}_AUs.txt"
    path.write_text(change(path.read_text()))
    store = build(root, tmp_path)
    row = store.manifest.loc[STEM]
    assert (row["status"], row["frames"]) == ("failed", 0)
    assert message in row["reason"]
    assert str(tmp_path) not in row["reason"]
    assert len(store) == 3
    with pytest.raises(ClipStoreError, match=STEM):
        store.traces(STEM)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"failed": range(3, 18)}, "no face from 0.1 to 0.7 s, expected gaps of 0.5 s at most"),
        ({"failed": range(19)}, "1 of 20 frames show a face"),
        ({"failed": range(20)}, "0 of 20 frames show a face"),
    ],
)
def test_too_little_of_a_face_is_said(tmp_path, options, message):
    with pytest.raises(ActionUnitError, match=message):
        traces.read_trace(openface(tmp_path / "a.csv", **options))


@pytest.mark.parametrize("clock", ["timestamp", "frame"])
@pytest.mark.parametrize(("missing", "message"), [(range(3, 18), "no face from 0.1 to 0.7 s"), (range(5, 9), "")])
def test_rows_that_are_left_out_are_gaps_too(tmp_path, missing, message, clock):
    table = pd.read_csv(openface(tmp_path / "a.csv"), skipinitialspace=True).drop(index=list(missing))
    if clock == "frame":
        table = table.drop(columns="timestamp")
    table.to_csv(tmp_path / "b.csv", index=False)
    if message:
        with pytest.raises(ActionUnitError, match=message):
            traces.read_trace(tmp_path / "b.csv", fps=25)
    else:
        found = traces.read_trace(tmp_path / "b.csv", fps=25)
        np.testing.assert_allclose(found.times, np.delete(np.arange(20), list(missing)) / 25, atol=1e-9)


def test_the_face_in_most_frames_keeps_its_times_beside_another(tmp_path):
    table = pd.read_csv(openface(tmp_path / "a.csv"), skipinitialspace=True)
    other = table.iloc[4:7].assign(face_id=1)
    both = pd.concat([table.drop(index=[4, 5, 6]), other]).sort_index()
    both.to_csv(tmp_path / "b.csv", index=False)
    found = traces.read_trace(tmp_path / "b.csv")
    np.testing.assert_allclose(found.times, np.delete(np.arange(20), [4, 5, 6]) / 25)


def test_times_must_increase(tmp_path):
    path = openface(tmp_path / "a.csv")
    path.write_text(path.read_text().replace(" 0.200,", " 0.100,"))
    with pytest.raises(ActionUnitError, match=r"row 7: timestamp is ' ?0.100', expected times in seconds"):
        traces.read_trace(path)


def test_a_build_goes_on_where_it_was_stopped_and_sees_what_changed(root, tmp_path, monkeypatch):
    whole = {path.name: path.read_bytes() for path in build(root, tmp_path / "whole").path.rglob("*") if path.is_file()}
    read = traces.read_trace
    with monkeypatch.context() as patch:
        patch.setattr(traces, "read_trace", lambda path, **part: read(path, **part) if STEM in path else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            build(root, tmp_path)
    (unfinished,) = (tmp_path / "clips").iterdir()
    with pytest.raises(ClipStoreError, match="unfinished"):
        type(build(root, tmp_path / "whole"))(unfinished)
    with monkeypatch.context() as patch:
        patch.setattr(traces, "read_trace", lambda path, **part: 1 / 0 if STEM in path else read(path, **part))
        store = build(root, tmp_path)
    assert {path.name: path.read_bytes() for path in store.path.rglob("*") if path.is_file()} == whole
    path = root / f"{STEM}_AUs.txt"
    path.write_text(path.read_text().replace("1.12", "1.13"))
    again = build(root, tmp_path)
    assert again.path != store.path
    assert again.traces(STEM)["AU12"].iloc[1] == pytest.approx(1.13)
    assert again.hash != store.hash


def test_part_of_a_database_has_a_store_of_its_own(root, tmp_path):
    assert len(build(root, tmp_path, limit=2)) == 2
    assert len(build(root, tmp_path)) == 4


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Fifty subjects' simulated readings, and their store."""
    place = tmp_path_factory.mktemp("simulated")
    root = databases.simulate("uva-nemo", place / "uva", subjects=50, seed=4, metadata_only=True, au_traces=True)
    database = datasets.open("au-traces", traces_folder(root))
    return database, traces.build_traces(database, place / "clips", progress=False)


def test_probes_of_confounds_run_on_traces(simulated):
    _, store = simulated
    features = audit.confounds(store)
    assert "brightness" not in features
    assert "width" not in features
    probes = audit.confound_probes(store).set_index("probe")
    assert list(probes.index) == ["clip length", "frame rate", audit.MAJORITY]
    # Simulated lengths are drawn like UvA-NEMO's, in which length alone tells 74 %.
    assert probes.loc["clip length", "accuracy_low"] > probes.loc["clip length", "majority"]
    assert probes.loc["frame rate", "accuracy"] == probes.loc[audit.MAJORITY, "accuracy"]


def test_phases_of_au12_are_the_simulators(simulated):
    _, store = simulated
    onsets, true = [], []
    for clip_id in store.usable.index[:60]:
        found = store.traces(clip_id)
        onset, apex, offset = phases(found["AU12"], found["time_s"], longest_in="signal")
        assert onset is not None
        assert offset is not None
        production, clip = _production(store, clip_id)
        drawn = production.dynamics(clip).phases
        onsets.append(onset[1] - onset[0])
        true.append(drawn[0].apex_s - drawn[0].onset_s)
        assert apex is None or apex[0] == onset[1] <= apex[1] == offset[0]
    # The onset is a stretch of increase that noise cuts short, so that it agrees in rank and not to the frame.
    assert pd.Series(onsets).corr(pd.Series(true), method="spearman") > 0.5


def test_smile_moments_of_traces_hold_the_true_smile(simulated):
    _, store = simulated
    held = []
    for clip_id in store.usable.index[:60]:
        production, clip = _production(store, clip_id)
        dynamics = production.dynamics(clip)
        if dynamics.action_units[:, 2:4].mean(1).max() < 1.3:
            continue  # a trace of a smile need not count as one
        found = detect(traces.action_units(store.traces(clip_id)))
        assert found
        held.append(found[0].start_s <= dynamics.phases[0].apex_s and found[-1].end_s >= dynamics.phases[-1].offset_s)
    assert len(held) > 30
    assert np.mean(held) > 0.9


def test_moments_in_traces_of_recordings_become_clips(tmp_path):
    root = databases.simulate("recordings", tmp_path / "rec", subjects=3, seed=1, metadata_only=True, au_traces=True)
    database = datasets.open("au-traces", traces_folder(root))
    assert set(database.index()["kind"]) == {"recording", "neutral"}
    found = moments.find(database, tmp_path / "moments", jobs=1, progress=False)
    assert set(pd.read_csv(found.path)["source"]) == {"traces"}
    store = traces.build_traces(found, tmp_path / "clips", progress=False)
    production, clips = _roster(database)
    smiles = sum(len(production.dynamics(clip).smiles) for clip in clips)
    assert 0.8 * smiles <= len(store.usable) <= 1.1 * smiles
    assert (store.usable["length_s"] < 15).all()
    whole = datasets.open("au-traces", traces_folder(root)).index().set_index("clip_id")["path"]
    clip_id = store.usable.index[0]
    times = store.traces(clip_id)["time_s"]
    assert times.iloc[0] >= store.usable.loc[clip_id, "start_s"]
    assert times.iloc[-1] < store.usable.loc[clip_id, "end_s"]
    whole_trace = traces.read_trace(whole[clip_id.rpartition(".")[0]], fps=30)
    within = np.isin(np.round(whole_trace.times, 6), np.round(times, 6))
    np.testing.assert_array_equal(store.track(clip_id)["traces"], whole_trace.intensities[within])


def test_true_action_units_in_openfaces_form_are_read_as_they_are(tmp_path):
    generator = np.random.default_rng(0)
    units = generator.uniform(0, 5, (30, 7)).astype(np.float32)
    np.savez(tmp_path / "truth.npz", times=np.arange(30) / 25, action_units=units)
    openface_table(tmp_path / "truth.npz").to_csv(tmp_path / "a.csv", index=False)
    found = traces.read_trace(tmp_path / "a.csv")
    np.testing.assert_allclose(found.times, np.arange(30) / 25)
    np.testing.assert_allclose(found.intensities[:, 8], units[:, 2:4].mean(1), atol=0.0051)
    assert not found.bridged.any()


def test_the_index_of_a_store_of_traces_is_the_manifest_of_all_stores(root, tmp_path):
    store = build(root, tmp_path)
    about = json.loads((store.path / "store.json").read_text())
    assert about["recipe"]["traces"] == "action units"
    assert about["recipe_hash"] == traces.TraceRecipe().hash
    assert store.manifest.columns.tolist()[:3] == ["label", "subject", "sex"]


def _roster(database):
    from smilelab.simulator.production import Production, Settings

    told = database.provenance
    options = {name: value for name, value in told["settings"].items() if name != "fps"}
    options["resolution"] = tuple(options["resolution"])
    settings = Settings(database=told["database"], seed=told["seed"], **options)
    production = Production(settings=settings, layout=databases._LAYOUTS[told["database"]])
    return production, production.roster()


def _production(store, clip_id):
    class Told:
        provenance = store.provenance

    production, clips = _roster(Told)
    return production, next(clip for clip in clips if clip.clip_id == clip_id)
