"""Measure preprocessing: its cost against detecting a face on every frame, and how smooth its boxes are.

Run ``python tests/bench_preprocess.py``; needs no data, and uses a real video where there is one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import dlib
import numpy as np
from sample_videos import REAL_CLIPS

from smilelab.preprocess import video
from smilelab.preprocess.build import Recipe, process
from smilelab.preprocess.crops import iou
from smilelab.preprocess.faces import FaceTracker
from smilelab.simulator.dynamics import draw_clip, draw_subject
from smilelab.simulator.face import FaceRenderer
from smilelab.simulator.identity import draw_identity
from smilelab.simulator.scene import draw_scene


def simulated_clip(path: Path, seconds: float, seed: int) -> None:
    """Write one simulated 1920x1080 clip of 50 frames per second."""
    rng = np.random.default_rng(seed)
    renderer = FaceRenderer(draw_identity(rng, age=35, sex="male"), draw_scene(rng), width=1920, height=1080)
    clip = draw_clip(draw_subject(rng, age=35, sex="male"), 1, 50, rng, length_s=seconds)
    video.write(path, (renderer.render(a, p) for a, p in zip(clip.action_units, clip.pose, strict=True)), 50)


def cost(path: Path, rounds: int) -> None:
    """Alternate the two in one process of one thread, and print the ratio of their CPU times."""
    detector = dlib.get_frontal_face_detector()
    grays = [cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY) for frame in video.read(path)]
    process(path, Recipe())  # loads the landmark model, once per process
    ratios = []
    for _ in range(rounds):
        start = time.process_time()
        clip = process(path, Recipe())
        ours = time.process_time() - start
        start = time.process_time()
        found = sum(bool(detector(gray, 0)) for gray in grays)
        theirs = time.process_time() - start
        ratios.append(ours / theirs)
        print(
            f"  ours {ours:.2f} s ({len(clip.frames)} crops, {clip.status}), every full-size frame {theirs:.2f} s "
            f"({found} of {len(grays)} detected), ratio {ratios[-1]:.3f}"
        )
    print(f"ratio, median of {rounds}: {statistics.median(ratios):.3f} (target <= 0.1)")


MEMORY = """
import sys
from smilelab.preprocess.build import Recipe, process
recipe = Recipe(**eval(sys.argv[2]))
if sys.argv[1]:
    process(sys.argv[1], recipe)
else:
    from smilelab.preprocess import faces
    faces._predictor()
print(next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def memory(path: Path, **recipe: object) -> None:
    """Print the peak memory of a process that does one clip, and of one that only loads the model."""
    idle, peak = (
        int(subprocess.run([sys.executable, "-c", MEMORY, arg, repr(recipe)], capture_output=True, check=True).stdout)
        for arg in ("", str(path))
    )
    print(f"  {recipe}: peak memory {peak} MiB, of which {idle} MiB are libraries and the landmark model")


def smoothness(path: Path) -> None:
    """Print how the smooth boxes and the detector's own behave on a real video."""
    frames = list(video.read(path))
    smooth, own = FaceTracker().track(frames), FaceTracker(boxes="per-frame").track(frames)
    middle = np.median(own.boxes, 0)
    for name, track in (("smooth", smooth), ("per-frame", own)):
        inner = track.landmarks[:, 17:]
        inside = ((inner >= track.boxes[:, None, :2]) & (inner <= track.boxes[:, None, 2:])).all((1, 2)).mean()
        low, tenth = np.percentile(iou(track.boxes[1:], track.boxes[:-1]), [1, 10])
        print(
            f"  {name:9s} consecutive IoU 1st percentile {low:.3f}, 10th {tenth:.3f}; inner landmarks inside on "
            f"{inside:.1%} of frames; IoU with the detector's median box, lowest {iou(track.boxes, middle).min():.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "simulated.mp4"
        long = Path(folder) / "long.mp4"
        simulated_clip(long, 14.0, seed=5)
        print("1920x1080, 50 frames per second, 14 s:")
        memory(long, size=48, fps=5.0)
        memory(long, size=112, fps=None, crop="outline")
        simulated_clip(path, options.seconds, seed=4)
        print(f"1920x1080, 50 frames per second, {options.seconds:g} s; 5 crops of 48 px per second:")
        cost(path, options.rounds)
    real = REAL_CLIPS / "single_face.mp4"
    if real.is_file():
        print(f"{real.name}, every frame:")
        smoothness(real)


if __name__ == "__main__":
    main()
