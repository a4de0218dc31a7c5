"""Reading stores that are written here by hand, whole and damaged."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from smilelab import clips
from smilelab.clips import ClipStore, ClipStoreError

HEADER = (
    "clip_id,label,subject,sex,age,kind,status,reason,frames,sampled,decoded,faces,width,height,fps,fps_source,"
    "length_s,start_s,end_s,sha256,source"
)
ROWS = (
    "a,1,NA,female,31.5,clip,ok,,3,3,30,1,640,360,50.0,49.9,0.6,,,aa,11",
    '"b, x",0,007,,,clip,partial,"face in 0.0-0.2 s, no more",2,3,30,2,640,360,50.0,49.9,0.6,0.5,1.25,bb,22',
    "c,0,null,male,60.0,clip,failed,no face,0,3,30,0,640,360,,,0.6,,,,33",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = tmp_path / "store"
    (store / "clips").mkdir(parents=True)
    about = {
        "format": 1,
        "database": "stand-in",
        "simulated": True,
        "provenance": {"seed": 3},
        "recipe": {"size": 8},
        "recipe_hash": "0" * 12,
        "hash": "f" * 12,
        "folds_source": "official folds",
    }
    (store / "store.json").write_text(json.dumps(about))
    (store / "manifest.csv").write_text("\n".join((HEADER, *ROWS)) + "\n")
    (store / "folds.json").write_text(json.dumps({"tests": [["b, x", "c"], ["a"]]}))
    for clip_id, count in (("a", 3), ("b, x", 2)):
        base = store / "clips" / clips.file_stem(clip_id)
        np.save(f"{base}.npy", np.full((count, 8, 8, 3), count, np.uint8))
        np.savez(f"{base}.npz", times=np.arange(count) / 5, boxes=np.zeros((count, 4), np.float32))
    return store


def test_what_a_store_says(folder: Path) -> None:
    store = ClipStore(folder)
    assert (store.database, store.simulated, store.provenance) == ("stand-in", True, {"seed": 3})
    assert (store.hash, store.recipe, store.folds_source) == ("f" * 12, {"size": 8}, "official folds")
    assert len(store) == 2
    assert list(store.usable.index) == ["a", "b, x"]
    assert store.folds() == [["b, x"], ["a"]]
    assert "2 of 3 clips of stand-in" in repr(store)
    assert store.neutral.empty


def test_text_stays_text_and_missing_numbers_are_missing(folder: Path) -> None:
    manifest = ClipStore(folder).manifest
    assert manifest["subject"].tolist() == ["NA", "007", "null"]
    assert manifest["reason"].tolist() == ["", "face in 0.0-0.2 s, no more", "no face"]
    assert manifest["label"].tolist() == [1, 0, 0]
    assert np.isnan(manifest["age"]).tolist() == [False, True, False]
    assert manifest["end_s"].tolist()[1] == 1.25
    assert str(manifest["fps"].dtype) == "float64"


def test_neutral_recordings_belong_to_no_class(folder: Path) -> None:
    manifest = folder / "manifest.csv"
    manifest.write_text(manifest.read_text().replace('"b, x",0,007,,,clip', '"b, x",-1,007,,,neutral'))
    store = ClipStore(folder)
    assert list(store.usable.index) == ["a"]
    assert list(store.neutral.index) == ["b, x"]
    assert store.folds() == [[], ["a"]]
    assert len(store) == 1
    assert len(store.frames("b, x")) == 2
    assert "1 of 2 clips and 1 of 1 neutral recordings of stand-in" in repr(store)


def test_frames_are_mapped_and_read_only(folder: Path) -> None:
    frames = ClipStore(folder).frames("b, x")
    assert isinstance(frames, np.memmap)
    assert frames.shape == (2, 8, 8, 3)
    assert (frames == 2).all()
    with pytest.raises(ValueError, match="read-only"):
        frames[0] = 1


def test_tracks(folder: Path) -> None:
    store = ClipStore(folder)
    assert store.times("a").tolist() == [0, 0.2, 0.4]
    assert store.track("a")["boxes"].shape == (3, 4)


def test_clips_that_are_not_there(folder: Path) -> None:
    store = ClipStore(folder)
    with pytest.raises(ClipStoreError, match="'c' has no frames: no face"):
        store.frames("c")
    with pytest.raises(ClipStoreError, match="'d' is not in store; expected one of 3"):
        store.track("d")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("store.json", None, "unfinished.*resumes"),
        ("store.json", b"{", "cannot be read"),
        ("store.json", b"[]", "holds list"),
        ("store.json", b'{"format": 2}', "format 2; expected 1"),
        ("store.json", b'{"format": 1}', "lacks or garbles 'recipe'"),
        ("manifest.csv", None, "cannot be read"),
        ("manifest.csv", b"clip_id,label\na,1\n", "cannot be read"),
        ("clips/a.npy", b"", "damaged"),
        ("clips/a.npy", None, "damaged"),
        ("clips/a.npz", b"PK", "damaged"),
        ("clips/a.npz", b"PK\x03\x04broken", "damaged"),
    ],
)
def test_damaged_stores(folder: Path, file: str, content: bytes | None, message: str) -> None:
    (folder / file).unlink() if content is None else (folder / file).write_bytes(content)

    def read_all() -> None:
        store = ClipStore(folder)
        store.frames("a")
        store.track("a")

    with pytest.raises(ClipStoreError, match=message):
        read_all()


def test_frames_that_contradict_the_manifest(folder: Path) -> None:
    np.save(folder / "clips" / "a.npy", np.zeros((5, 8, 8, 3), np.uint8))
    with pytest.raises(ClipStoreError, match=r"damaged.*expected uint8 \(3, S, S, 3\)"):
        ClipStore(folder).frames("a")


def test_pickles_are_refused(folder: Path) -> None:
    np.save(folder / "clips" / "a.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(ClipStoreError, match="damaged"):
        ClipStore(folder).frames("a")


def test_some_other_folder(tmp_path: Path) -> None:
    with pytest.raises(ClipStoreError, match="not a clip store"):
        ClipStore(tmp_path)


def test_file_names() -> None:
    assert clips.file_stem("001_deliberate_smile_2") == "001_deliberate_smile_2"
    odd = ["Genuine/smile q01", "Genuine smile q01", "../x", "x", "", "ä", "a" * 300, ".hidden"]
    stems = [clips.file_stem(name) for name in odd]
    assert len(set(stems)) == len(odd)
    for stem in stems:
        assert stem == Path(stem).name != ""
        assert len(stem) < 120


def test_the_hash_covers_recipe_labels_and_content() -> None:
    table = pd.DataFrame(
        {"label": [1, 0], "subject": ["s", "t"], "sha256": ["aa", "bb"], "age": [1, 2]}, index=["x", "y"]
    )
    expected = hashlib.sha256(b'[{"size":8},[["x",1,"s","aa"],["y",0,"t","bb"]]]').hexdigest()[:12]
    assert clips.content_hash({"size": 8}, table) == expected
    assert clips.content_hash({"size": 8}, table.iloc[::-1]) == expected
    assert clips.content_hash({"size": 8}, table.assign(age=0)) == expected
    for other in (
        table.assign(label=[1, 1]),
        table.assign(subject="s"),
        table.assign(sha256=["aa", "cc"]),
        table.iloc[:1],
    ):
        assert clips.content_hash({"size": 8}, other) != expected
    assert clips.content_hash({"size": 9}, table) != expected
