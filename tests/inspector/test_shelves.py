"""What there is to look at, in the widget or without one, and what of it is kept in memory."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from used_widget import text
from written_store import write_store

from smilelab import inspector as inspecting
from smilelab.artifacts.study import Study
from smilelab.clips import ClipStore, ClipStoreError
from smilelab.datasets.base import SIMULATION_MARKER
from smilelab.inspector import Album, Inspector, Shelf, album, example, prepared, shelves
from smilelab.inspector.clip import of_store
from smilelab.inspector.kept import Kept
from smilelab.preprocess.recipe import Recipe


@pytest.fixture(scope="module")
def shelf(simulated):
    return Shelf("simulated UvA-NEMO", *simulated)


def test_kept_results_are_bounded_and_the_ones_in_use_stay():
    kept, made = Kept(most_bytes=1000, most=3), []

    def of(key, size):
        return kept.get(key, lambda: made.append(key) or np.zeros(size, np.uint8))

    of("a", 400)
    of("b", 400)
    of("a", 400)
    of("c", 400)  # "b" was not asked for longest
    assert ("a" in kept, "b" in kept, "c" in kept) == (True, False, True)
    assert kept.size <= 1000
    of("a", 400)
    assert made == ["a", "b", "c"]
    of("large", 5000)
    assert len(kept) == 1
    for key in range(9):
        of(key, 1)
    assert len(kept) == 3


@pytest.fixture
def study(simulated, simulated_uva_nemo, tmp_path, monkeypatch):
    """A study whose only store is that of the shared simulated database."""
    monkeypatch.setenv("SMILELAB_HOME", str(tmp_path))
    root = tmp_path / "data" / "raw" / "simulated" / "uva-nemo-made"
    root.parent.mkdir(parents=True)
    root.symlink_to(simulated_uva_nemo)
    # Others of the same database, looked into before: a simulation under way, and one of traces alone.
    for name in ("uva-nemo-begun", "uva-nemo-empty"):
        (root.parent / name).mkdir()
        shutil.copy(simulated_uva_nemo / SIMULATION_MARKER, root.parent / name)
    (tmp_path / "data" / "clips").mkdir()
    (tmp_path / "data" / "clips" / simulated[0].path.name).symlink_to(simulated[0].path)
    return Study("smoke", simulated={"uva-nemo": {"subjects": 4, "clips": 10, "seed": 5}})


def test_finished_stores_of_the_studys_settings_are_found_and_nothing_is_made(study, monkeypatch):
    monkeypatch.setattr(shelves, "example", lambda study: pytest.fail("made something"))
    found, faults = prepared(study, ["bbc", "uva-nemo"], [Recipe(), Recipe(size=96)])
    assert [one.label for one in found] == ["simulated UvA-NEMO, 10 clips"]
    assert faults == []
    assert set(found[0].source.index()["clip_id"]) >= set(found[0].store.usable.index)
    assert prepared(study, ["uva-nemo"], [Recipe(size=96)]) == ([], [])
    other = Study("smoke", simulated={"uva-nemo": {"subjects": 400, "seed": 5}})
    assert prepared(other, ["uva-nemo"], [Recipe()]) == ([], [])
    assert len(prepared(Study("smoke"), ["uva-nemo"], [Recipe()])[0]) == 1


def test_a_folder_that_is_given_is_looked_into(study, simulated, simulated_uva_nemo):
    given = Study("smoke", databases={"uva-nemo": str(simulated_uva_nemo)})
    assert [one.store.path.name for one in prepared(given, ["uva-nemo"], [Recipe()])[0]] == [simulated[0].path.name]


def test_stores_that_cannot_be_read_are_told_in_the_widget(study, shelf, tmp_path):
    broken = study.home / "data" / "clips" / "uva-nemo-0123"
    broken.mkdir()
    (broken / "store.json").write_text(json.dumps({"format": 1}))
    found, faults = prepared(study, ["uva-nemo"], [Recipe()])
    assert len(found) == 1
    assert "store.json" in faults[0]
    widget = Inspector([shelf], tmp_path, faults=faults)
    assert "store.json" in text(widget.message)


def test_without_a_store_two_clips_are_made_as_an_example(tmp_path, monkeypatch):
    monkeypatch.setenv("SMILELAB_HOME", str(tmp_path))
    monkeypatch.setitem(shelves.EXAMPLE, "resolution", [320, 240])
    monkeypatch.setitem(shelves.EXAMPLE, "max_length_s", 2.0)
    study = Study("smoke", jobs=1)
    assert prepared(study, ["uva-nemo"], [study.recipe]) == ([], [])
    made = example(study)
    assert made.store.simulated
    assert set(made.store.usable["label"]) == {0, 1}
    widget = Inspector([made], tmp_path)
    assert [scorer.run for scorer in widget.scorers] == [None]


def test_no_shelf_is_refused(tmp_path):
    with pytest.raises(ValueError, match="notebook 01"):
        Inspector([], tmp_path)


def test_where_nobody_can_use_a_control_there_are_pictures_and_no_widget(study, monkeypatch):
    monkeypatch.setattr(album, "get_ipython", lambda: SimpleNamespace(kernel=SimpleNamespace(_allow_stdin=False)))
    monkeypatch.setattr(inspecting, "Inspector", lambda *_, **__: pytest.fail("a widget was made"))
    given = {"databases": {}, "simulated": study.simulated, "include": ["uva-nemo", "bbc"], "recipes": [Recipe()]}
    found = inspecting.inspect("smoke", **given)
    assert isinstance(found, Album)
    (picture,) = found.pictures()
    decoded = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_COLOR)
    assert min(decoded.shape[:2]) > 600
    assert "JupyterLab" in repr(found)
    monkeypatch.setattr(album, "get_ipython", lambda: SimpleNamespace(kernel=SimpleNamespace(_allow_stdin=True)))
    monkeypatch.setattr(inspecting, "Inspector", Inspector)
    assert isinstance(inspecting.inspect("smoke", **given), Inspector)


def test_the_cell_run_again_frees_what_the_inspector_before_held(study, monkeypatch):
    monkeypatch.setattr(album, "get_ipython", lambda: SimpleNamespace(kernel=SimpleNamespace(_allow_stdin=True)))
    given = {"databases": {}, "simulated": study.simulated, "include": ["uva-nemo"], "recipes": [Recipe()]}
    first = inspecting.inspect("smoke", **given)
    first.show_map.value = True
    first.find_nearest.click()
    held = [first.opened, *first.scorers, first._kept]
    gone = [weakref.ref(one) for one in held]
    frames, folder = first.opened._frames, first._uploads.name
    assert frames._kept
    held.clear()
    again = inspecting.inspect("smoke", **given)
    gc.collect()
    assert [one() for one in gone] == [None] * len(gone)
    assert frames._open is None
    assert not frames._kept
    assert not Path(folder).exists()
    assert again.opened is not None
    assert again.probabilities


def test_a_store_without_clips_or_with_a_damaged_one_is_a_sentence_among_the_pictures(shelf, tmp_path, capsys):
    empty = Shelf("empty", write_store(tmp_path / "empty", []), shelf.source)
    shutil.copytree(shelf.store.path, tmp_path / "copy")
    copy = ClipStore(tmp_path / "copy")
    (copy.path / "clips" / f"{copy.usable.index[0]}.npz").write_bytes(b"PK")
    damaged = Shelf("copy", copy, shelf.source)
    assert len(list(Album([empty, damaged, shelf], tmp_path).pictures())) == 1
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in said] == ["empty", "copy"]
    assert "no clip" in said[0]
    assert "damaged" in said[1]


def test_a_clip_that_a_network_cannot_read_on_is_closed_and_told(shelf, tmp_path, capsys, monkeypatch):
    opened = []
    real = album.of_store
    monkeypatch.setattr(album, "of_store", lambda *given: opened.append(real(*given)) or opened[-1])

    def broken(clip, networks):
        clip.picture(3)
        raise ClipStoreError("another clip is damaged")

    pictures = Album([shelf], tmp_path)
    monkeypatch.setattr(pictures, "figure", broken)
    assert list(pictures.pictures()) == []
    assert "another clip is damaged" in capsys.readouterr().out
    assert not opened[0]._frames._kept


def test_a_database_whose_videos_are_gone_is_a_sentence_among_the_pictures(shelf, tmp_path, capsys):
    rows = shelf.source.index().assign(path=str(tmp_path / "gone.mp4"))
    gone = Shelf("gone", shelf.store, SimpleNamespace(index=lambda: rows))
    assert len(list(Album([gone, shelf], tmp_path).pictures())) == 1
    assert "not there any more" in capsys.readouterr().out


def test_the_pictures_are_at_the_height_of_the_smile(shelf):
    clip = of_store(shelf.store, shelf.store.usable.index[0], shelf.source)
    apex = clip.phases.apex
    assert apex[0] <= clip.times[album.height_of_smile(clip)] <= apex[1]
