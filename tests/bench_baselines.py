"""Print what every method on whole clips costs on one core: features a frame, and learning and scoring a fold.

Run with ``OMP_NUM_THREADS=1 python tests/bench_baselines.py STORE [clips [folds]]``; a store is a folder below
data/clips. Features are computed anew for so many clips, the longest, the shortest and those between, and not kept;
learning and scoring take features from the store, and compute those that are missing. Times are the processor's.
"""

import sys
import time

import cv2
import numpy as np

from smilelab import baselines
from smilelab.baselines.clip_samples import ClipSamples, FeatureError, View, prepare
from smilelab.clips import ClipStore, ClipStoreError

LIMIT_MS = 60.0


def spread(store: ClipStore, count: int) -> list[str]:
    """So many clips of a store, from the shortest to the longest."""
    clips = store.usable["frames"].sort_values(kind="stable").index
    return [str(clips[at]) for at in np.unique(np.linspace(0, len(clips) - 1, count).round().astype(int))]


def per_frame(name: str, store: ClipStore, clips: list[str]) -> tuple[float, float]:
    """Milliseconds a frame that a method's features take: over all clips, and of the clip that takes longest."""
    spent, frames = [], []
    # The first clip is done twice: what is imported and set up then is not the method's.
    for clip_id in (clips[0], *clips):
        view = View(store, clip_id)
        # Reading the file is not the method's.
        frames.append(len(np.array(view.frames)))
        started = time.process_time()
        for extractor in baselines.extractors(name):
            extractor.compute(view, **extractor.options)
        spent.append(1e3 * (time.process_time() - started))
    return sum(spent[1:]) / sum(frames[1:]), max(np.divide(spent, frames)[1:])


def per_fold(name: str, store: ClipStore, folds: int) -> tuple[float, float, int]:
    """Seconds to learn a fold, seconds to score a clip, and the most bytes of what is kept."""
    prepare(store, baselines.extractors(name), jobs=1, progress=False)
    table = store.usable.reset_index()[["clip_id", "subject", "label"]]
    learned, scored, kept = [], [], []
    for test in [fold for fold in store.folds() if fold][:folds]:
        inside = table["clip_id"].isin(test)
        train, held_out = (ClipSamples(table[rows], [store]) for rows in (~inside, inside))
        baseline = baselines.build(name)
        started = time.process_time()
        baseline.fit(train, train.table["label"].to_numpy(), seed=0)
        between = time.process_time()
        baseline.score(held_out)
        learned.append(between - started)
        scored.append((time.process_time() - between) / len(held_out))
        kept.append(sum(value.nbytes for value in baseline.state().values()))
    return float(np.mean(learned)), float(np.mean(scored)), max(kept)


def main(path: str, clips: int = 8, folds: int = 3) -> None:
    """Print the table."""
    cv2.setNumThreads(1)
    store = ClipStore(path)
    chosen = spread(store, clips)
    crops = f"crops of {store.recipe['size']} px at {store.recipe['fps']:g} a second" if store.has_frames else "traces"
    data = "simulated " * store.simulated + store.database
    print(f"{data}, {crops}: features of {len(chosen)} of {len(store)} clips, {folds} folds")
    heads = ("method", "features, ms a frame", "costliest clip", f"share of {LIMIT_MS:g} ms")
    heads = (*heads, "learning a fold, s", "scoring a clip, ms", "kept, MB")
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    exceeding, apart = [], {}
    for name in baselines.names():
        if baselines.takes(name) != "clips":
            apart[name] = "is fitted on windows and has no features of clips"
            continue
        try:
            mean, most = per_frame(name, store, chosen)
            learning, scoring, kept = per_fold(name, store, folds)
        except (ClipStoreError, FeatureError) as error:
            apart[name] = str(error)
            continue
        exceeding += [name] * (mean > LIMIT_MS)
        cells = (f"{mean:.2f}", f"{most:.2f}", f"{mean / LIMIT_MS:.3f}", f"{learning:.2f}", f"{1e3 * scoring:.2f}")
        print(f"| {name} | {' | '.join(cells)} | {kept / 1e6:.2f} |", flush=True)
    for name, reason in apart.items():
        print(f"not timed here: {name}: {reason}")
    print(f"above the limit: {', '.join(exceeding) or 'none'}")


if __name__ == "__main__":
    main(sys.argv[1], *(int(argument) for argument in sys.argv[2:]))
