"""Measure smile moments against simulated recordings: with true action units, and with our own estimate from video.

Run ``python tests/bench_moments.py``; it simulates 20 recordings and their subjects' neutral ones, which takes minutes.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from sample_videos import REAL_CLIPS

from smilelab import datasets
from smilelab.clips import file_stem
from smilelab.preprocess.action_units import estimate, measure
from smilelab.preprocess.detection import detect
from smilelab.preprocess.moments import MomentDatabase, find, read_measures
from smilelab.simulator.databases import simulate, truth_folder
from smilelab.simulator.openface import openface_table


def overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of every (start, end) of the one with every one of the other."""
    low = np.maximum(first[:, None, 0], second[None, :, 0])
    high = np.minimum(first[:, None, 1], second[None, :, 1])
    union = np.maximum(first[:, None, 1], second[None, :, 1]) - np.minimum(first[:, None, 0], second[None, :, 0])
    return np.clip(high - low, 0, None) / union


def compare(name: str, found: MomentDatabase, truth: Path, recordings: pd.DataFrame) -> None:
    """Print recall, precision and boundary errors, of each class and of both."""
    rows = []
    for row in recordings.itertuples():
        own = found.moments[found.moments["recording"] == row.clip_id]
        guesses = own[["start_s", "end_s"]].to_numpy(float)
        with np.load(truth / f"{row.clip_id}.npz") as arrays:
            smiles = arrays["smiles"]
        # At more than one half, no moment overlaps two smiles, and no smile two moments.
        hits = np.argwhere(overlap(smiles, guesses) > 0.5)
        errors = np.abs(smiles[hits[:, 0]] - guesses[hits[:, 1]])
        rows.append((row.label, len(smiles), len(guesses), len(hits), errors))
    for label, title in ((None, "both"), (1, "spontaneous"), (0, "posed")):
        chosen = [row for row in rows if label in (None, row[0])]
        smiles, guesses, hits = (sum(row[k] for row in chosen) for k in (1, 2, 3))
        errors = np.concatenate([row[4] for row in chosen])
        start, end = np.median(errors, axis=0)
        print(
            f"{name}, {title}: {smiles} smiles, recall {hits / smiles:.3f}, precision {hits / max(guesses, 1):.3f}, "
            f"median error of boundaries {np.median(errors):.3f} s (start {start:.3f}, end {end:.3f})"
        )


def correlations(found: MomentDatabase, folder: Path, truth: Path, recordings: pd.DataFrame) -> None:
    """Print how the estimates go with the true action units, over the frames of each recording."""
    neutral = dict(zip(found.neutral["subject"], found.neutral["clip_id"], strict=True))
    values = []
    for row in recordings.itertuples():
        rest = folder / f"{file_stem(neutral[row.subject])}.npz"
        units = estimate(read_measures(folder / f"{file_stem(row.clip_id)}.npz"), read_measures(rest))
        with np.load(truth / f"{row.clip_id}.npz") as arrays:
            true = arrays["action_units"]
        valid = units.valid
        pairs = ((units.au12, true[:, 2:4].mean(1)), (units.au06, true[:, :2].mean(1)))
        values.append([np.corrcoef(own[valid], other[valid])[0, 1] for own, other in pairs])
        values[-1] += [float(np.polyfit(other[valid], own[valid], 1)[0]) for own, other in pairs]
    for name, column in zip(
        ("r of AU12", "r of AU06", "slope of AU12", "slope of AU06"), np.transpose(values), strict=True
    ):
        low, median, high = np.percentile(column, [10, 50, 90])
        print(f"{name} over recordings: median {median:.3f}, 10 % {low:.3f}, 90 % {high:.3f}")


def main() -> None:
    """Simulate, find, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=10, help="two recordings each")
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="keeps the videos and goes on with those that are there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        width, height = map(int, options.size.split("x"))
        start = time.perf_counter()
        root = simulate(
            "recordings", folder / "recordings", subjects=options.subjects, seed=options.seed,
            resolution=(width, height), jobs=options.jobs,
        )  # fmt: skip
        print(f"simulated in {time.perf_counter() - start:.0f} s")
        database = datasets.open("recordings", root)
        index, truth = database.index(), truth_folder(root)
        recordings = index[index["kind"] == "recording"]
        tables = folder / "openface"
        tables.mkdir(exist_ok=True)
        for row in recordings.itertuples():
            openface_table(truth / f"{row.clip_id}.npz").to_csv(tables / f"{Path(row.path).stem}.csv", index=False)
        by_truth = find(database, folder / "moments", openface=tables, jobs=options.jobs, progress=False)
        compare("true action units", by_truth, truth, recordings)
        start = time.perf_counter()
        for neutral in ("recording", "median"):
            found = find(database, folder / "moments", neutral=neutral, jobs=options.jobs, progress=False)
            compare(f"own estimate, neutral {neutral}", found, truth, recordings)
            if neutral == "recording":
                measures = next((folder / "moments").glob("recordings-measures-*"))
                correlations(found, measures, truth, recordings)
        print(f"measured and found in {time.perf_counter() - start:.0f} s")
    real = REAL_CLIPS / "single_face.mp4"
    if real.is_file():
        found = detect(estimate(measure(real)))
        print(f"{real.name}: {len(found)} moments, expected 1: {found}")


if __name__ == "__main__":
    main()
