"""Windows against loops over frames."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from written_store import Clip, steady, write_store

from smilelab import training
from smilelab.anchors import Anchor
from smilelab.checkpoint import OtherTraining
from smilelab.clips import ClipStore, ClipStoreError
from smilelab.training import TrainingOptions
from smilelab.windows import Windows


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    return write_store(
        tmp_path / "store",
        [
            Clip("a", 1, "s1", steady(60)),
            Clip("b", 0, "s1", steady(30)),
            Clip("c", 0, "s2", steady(29)),
            Clip("d", 1, "s3", steady(100)),
            Clip("n", -1, "s1", steady(300), kind="neutral"),
        ],
    )


def places(windows: Windows) -> list[tuple[str, int]]:
    return list(windows.table[["clip_id", "start"]].itertuples(index=False, name=None))


def test_sixty_frames_give_thirty_one_windows(store: ClipStore) -> None:
    windows = Windows(store)
    assert windows.table["clip_id"].value_counts().to_dict() == {"d": 71, "a": 31, "b": 1, "c": 0}
    assert len(windows) == (60 - 29) + (30 - 29) + (100 - 29)
    assert windows.too_short == ["c"]
    assert windows.counts() == {1: 102, 0: 1}
    assert "102 spontaneous, 1 posed" in repr(windows)
    assert windows.labels.tolist() == [1] * 31 + [0] + [1] * 71
    assert Windows(store, ["n"]).counts() == {1: 0, 0: 0, -1: 271}


def test_a_window_is_a_view_of_thirty_frames(store: ClipStore) -> None:
    windows = Windows(store)
    for number, (clip_id, start) in enumerate(places(windows)):
        window = windows[number]
        assert window.shape == (30, 2, 2, 3)
        assert window.dtype == np.uint8
        assert np.array_equal(window[:, 0, 0, 0], np.arange(start, start + 30))
        assert np.array_equal(window, store.frames(clip_id)[start : start + 30])
    assert np.shares_memory(windows[0], windows[1])
    assert isinstance(windows[0], np.memmap)
    assert np.array_equal(windows[-1], windows[len(windows) - 1])
    with pytest.raises(IndexError):
        windows[len(windows)]
    with pytest.raises(ValueError, match="read-only"):
        windows[0][0] = 1
    assert sum(1 for _ in windows) == len(windows)


def test_the_table_is_small(store: ClipStore) -> None:
    table = Windows(store).table
    assert {name: str(kind) for name, kind in table.dtypes.items()} == {
        "clip_id": "category",
        "start": "int32",
        "label": "int8",
        "subject": "category",
    }
    assert table["subject"].astype(str).tolist() == ["s1"] * 32 + ["s3"] * 71
    columns = table.memory_usage(index=False)
    assert columns[["start", "label"]].sum() == 5 * len(table)
    codes = table["clip_id"].cat.codes.to_numpy().nbytes + table["subject"].cat.codes.to_numpy().nbytes
    assert codes <= 8 * len(table)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    length=st.integers(1, 6),
    stride=st.integers(1, 4),
    pause=st.floats(0.051, 3.0),
)
def test_no_window_crosses_a_gap(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], length: int, stride: int, pause: float
) -> None:
    times: list[float] = []
    for count in lengths:
        begin = times[-1] + pause if times else 0.0
        times += [begin + k / 30 for k in range(count)]
    store = write_store(tmp_path_factory.mktemp("store") / "a", [Clip("a", 1, "s", np.array(times))])
    expected, begin = [], 0
    for count in lengths:
        expected += [("a", begin + k) for k in range(0, count - length + 1, stride)]
        begin += count
    assert places(Windows(store, length=length, stride=stride)) == expected


@pytest.mark.parametrize("own", [15.0, 24.0, 25.0, 29.0, 29.97, 30.0, 50.0, 59.94, 60.0, 119.88])
@pytest.mark.parametrize("wanted", [5.0, 25.0, 30.0, 50.0, None])
def test_uneven_steps_of_a_sampling_grid_are_no_gaps(tmp_path: Path, own: float, wanted: float | None) -> None:
    frames = np.arange(round(12 * own)) / own
    grid = np.arange(0, frames[-1], 1 / (wanted or own))
    times = frames[np.abs(grid[:, None] - frames).argmin(1)]
    measured = own * 1.003
    store = write_store(tmp_path / "store", [Clip("a", 1, "s", times, fps=measured)], fps=wanted)
    assert len(Windows(store)) == len(times) - 29
    missing = np.delete(times, range(40, 48))
    store = write_store(tmp_path / "gap", [Clip("a", 1, "s", missing, fps=measured)], fps=wanted)
    assert len(Windows(store)) == (40 - 29) + max(len(missing) - 40 - 29, 0)


def test_choosing_windows(store: ClipStore) -> None:
    windows = Windows(store)
    assert places(windows[30:33]) == [("a", 30), ("b", 0), ("d", 0)]
    assert places(windows.take([50, 0, 0])) == [("d", 18), ("a", 0), ("a", 0)]
    assert places(windows.take(windows.labels == 0)) == [("b", 0)]
    assert np.array_equal(windows.take([50])[0], windows[50])
    assert set(windows.of_subjects(["s3", "nobody"]).table["clip_id"]) == {"d"}
    assert len(windows.of_subjects([])) == 0
    kept = windows.without({"s3": Anchor("d", 10), "s1": Anchor("n", 0)})
    assert [place for place in places(kept) if place[0] == "d"] == [("d", start) for start in range(40, 71)]
    assert len(kept) == 31 + 1 + 31


def test_what_cannot_be_cut(store: ClipStore) -> None:
    for wrong in ({"length": 0}, {"stride": 0}, {"clip_ids": ["a", "b", "a"]}):
        with pytest.raises(ValueError, match="expected"):
            Windows(store, **wrong)
    with pytest.raises(ClipStoreError, match="'x' is not in"):
        Windows(store, ["x"])
    nothing = Windows(store, [])
    assert (len(nothing), nothing.counts(), len(nothing.table)) == (0, {1: 0, 0: 0}, 0)


def test_few_maps_are_open_at_a_time(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", [Clip(f"c{k}", k % 2, "s", steady(31)) for k in range(150)], size=8)
    windows = Windows(store)

    def opened() -> int:
        return Path("/proc/self/maps").read_text().count(str(store.path))

    for number in np.random.default_rng(0).permutation(len(windows)):
        assert windows[int(number)].shape == (30, 8, 8, 3)
    assert 0 < opened() <= 64
    assert len(pickle.dumps(windows)) < 64 * 31 * 8 * 8 * 3, "less than what is mapped"
    again = pickle.loads(pickle.dumps(windows))
    assert np.array_equal(again[299], windows[299])
    del windows, again
    assert opened() == 0


def test_fingerprints(store: ClipStore) -> None:
    windows = Windows(store)
    assert windows.fingerprint == Windows(store).fingerprint
    others = [Windows(store, length=20), Windows(store, stride=2), Windows(store, ["a"]), windows[1:], windows[::-1]]
    assert len({windows.fingerprint, *(other.fingerprint for other in others)}) == 6


def brightness() -> nn.Module:
    class Brightness(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(2, 1)

        def forward(self, frames: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            return self.head(torch.stack([frames[:, 0, 0, 0, 0], frames.mean((1, 2, 3, 4))], 1))[:, 0]

    torch.manual_seed(0)
    return Brightness()


def test_training_on_windows_is_training_on_their_arrays(tmp_path: Path) -> None:
    clips = [Clip("a", 1, "s", steady(60)), Clip("b", 0, "s", steady(45))]
    windows = Windows(write_store(tmp_path / "store", clips))
    options = TrainingOptions(epochs=3, batch_size=8, learning_rate=0.1)
    arrays = [np.array(window) for window in windows]
    first, second = brightness(), brightness()
    lazy = training.train(
        first,
        windows,
        windows.labels,
        options,
        seed=1,
        evaluate={"test": (windows[::3], windows[::3].labels)},
        checkpoint=tmp_path / "checkpoint",
    )
    eager = training.train(
        second, arrays, windows.labels, options, seed=1, evaluate={"test": (arrays[::3], windows.labels[::3])}
    )
    beside = ["test_moment_accuracy", "test_subject_accuracy"]  # which arrays without a table do not have
    assert lazy.history.drop(columns=beside).equals(eager.history)
    assert all(torch.equal(value, eager.state_dict[name]) for name, value in lazy.state_dict.items())
    assert np.array_equal(training.predict(first, windows), training.predict(second, arrays))
    with pytest.raises(OtherTraining, match="training clips"):
        training.train(
            brightness(), windows[::-1], windows.labels[::-1], options, seed=1, checkpoint=tmp_path / "checkpoint"
        )


MEMORY = """
import json, resource, sys
from pathlib import Path
import torch
from smilelab.clips import ClipStore
from smilelab.training import TrainingOptions, train
from smilelab.windows import Windows

class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(3, 1)
    def forward(self, frames, lengths):
        return self.head(frames.mean((2, 3, 4)))[:, 0]

torch.set_num_threads(1)
windows = Windows(ClipStore(sys.argv[1]))
result = train(
    Small(), windows, windows.labels, TrainingOptions(epochs=1, batch_size=16), seed=0,
    evaluate={"test": (windows[::10], windows[::10].labels)}, checkpoint=Path(sys.argv[1]) / "checkpoint",
)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps([len(windows), sum(window.nbytes for window in windows), peak]))
"""


@pytest.mark.slow
def test_training_on_ten_thousand_windows_stays_under_two_gigabytes(tmp_path: Path) -> None:
    clips = [Clip(f"c{k}", k % 2, f"s{k}", steady(529)) for k in range(20)]
    store = write_store(tmp_path / "store", clips, size=64)
    done = subprocess.run([sys.executable, "-c", MEMORY, str(store.path)], capture_output=True, text=True, check=True)
    count, size, peak = json.loads(done.stdout)
    assert count == 10_000
    assert size > 3e9, "written out, the windows alone would not fit"
    assert peak < 2e9
