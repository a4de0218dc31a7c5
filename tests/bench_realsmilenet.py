"""How fast RealSmileNet trains and scores here, against textbook implementations written for this comparison.

    python tests/bench_realsmilenet.py [--rounds 5] [--clips 64]

The textbook version reads each frame's JPEG file (a face crop) in every epoch, decodes and resizes it, pads the batch,
runs TSA and FPN over the padded frames and then goes through time, concatenating input and hidden state for one
convolution a step, as the paper writes it; "stepwise" runs TSA and FPN step by step too. Both give the same logits from
the same weights as ours, which is checked first. Each measurement runs in a process of its own, of one thread, the
versions in turn; the textbook's have the allocator as the system sets it, ours as `import smilelab.training` does.
Printed are medians over the rounds: processor time in milliseconds a clip, and ratios. "steps" are the training steps
alone, the textbook's with its frames already decoded in memory.
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

import cv2
import numpy as np
import torch
from torch import nn

# Faces in 1080p recordings of one person are 300 to 500 pixels wide; the crops on disk are taken to be smaller.
BATCH, SIZE, JPEG_SIZE = 16, 48, 256
LENGTHS = {
    "T = 20": lambda rng, n: [20] * n,
    "T = 40": lambda rng, n: [40] * n,
    "T = 9..71": lambda rng, n: spread(rng, n),
}
PARTS = {"train": ("an epoch", 0.4), "steps": ("  of it, steps", None), "score": ("scoring", 0.5)}
PASSES = 3


def spread(rng: np.random.Generator, n: int) -> list[int]:
    """Lengths as in a database of smiles of 1.8 to 14.2 s at 5 fps, 4 s on average."""
    return np.clip(rng.lognormal(np.log(18), 0.45, n), 9, 71).astype(int).tolist()


class TextbookCell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(14, 32, 3, padding=1)

    def forward(self, x, h, c):
        i, f, o, g = self.conv(torch.cat([x, h], dim=1)).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class TextbookNonLocal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.theta, self.phi, self.g = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 4, 1), nn.Conv2d(8, 4, 1)
        self.pool = nn.MaxPool2d(2)
        self.w = nn.Sequential(nn.Conv2d(4, 8, 1), nn.BatchNorm2d(8))

    def forward(self, x):
        n, _, h, w = x.shape
        theta = self.theta(x).view(n, 4, -1).permute(0, 2, 1)
        phi = self.pool(self.phi(x)).view(n, 4, -1)
        g = self.pool(self.g(x)).view(n, 4, -1).permute(0, 2, 1)
        attention = torch.matmul(theta, phi) / phi.shape[-1]
        return x + self.w(torch.matmul(attention, g).permute(0, 2, 1).reshape(n, 4, h, w))


class Textbook(nn.Module):
    """The same network over a padded batch (N, T, 3, 48, 48).

    `at_once`: TSA and FPN take all padded frames at once, as is usual, and the ConvLSTM goes step by step; otherwise
    all of it goes step by step, which a processor's cache likes better but takes batch statistics of single steps.
    """

    def __init__(self, *, at_once: bool) -> None:
        super().__init__()
        self.at_once = at_once
        self.tsa = nn.Conv2d(3, 3, 3, padding=1)
        self.fpn = nn.Sequential(
            nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(2),
            nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.AvgPool2d(2), nn.Dropout2d(0.2),
        )  # fmt: skip
        self.cell = TextbookCell()
        self.head = nn.Sequential(
            TextbookNonLocal(), nn.AvgPool2d(2), nn.Conv2d(8, 10, 2), nn.BatchNorm2d(10), nn.ReLU(), nn.Dropout(0.5),
            nn.Flatten(), nn.Linear(250, 1),
        )  # fmt: skip

    def forward(self, frames, lengths):
        n, steps = frames.shape[:2]
        h = c = frames.new_zeros(n, 8, 12, 12)
        if self.at_once:
            previous = torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
            flat = frames.reshape(n * steps, 3, SIZE, SIZE)
            difference = flat - previous.reshape(n * steps, 3, SIZE, SIZE)
            features = self.fpn(self.tsa(difference) * flat + flat).view(n, steps, 6, 12, 12)
        hidden = []
        for t in range(steps):
            if self.at_once:
                feature = features[:, t]
            else:
                x = frames[:, t]
                feature = self.fpn(self.tsa(x - frames[:, max(t - 1, 0)]) * x + x)
            h, c = self.cell(feature, h, c)
            hidden.append(h)
        last = torch.stack(hidden, dim=1)[torch.arange(n), lengths - 1]
        return self.head(last).squeeze(1)


class JpegClips(torch.utils.data.Dataset):
    def __init__(self, root: Path) -> None:
        self.folders = sorted(root.glob("clip*"))
        self.labels = np.load(root / "labels.npy")

    def __len__(self) -> int:
        return len(self.folders)

    def __getitem__(self, index):
        frames = []
        for path in sorted(self.folders[index].glob("*.jpg")):
            image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
            image = cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
            frames.append(torch.from_numpy(image).permute(2, 0, 1).float() / 255)
        return torch.stack(frames), float(self.labels[index])


def pad(items):
    frames = nn.utils.rnn.pad_sequence([clip for clip, _ in items], batch_first=True)
    return frames, torch.tensor([len(clip) for clip, _ in items]), torch.tensor([label for _, label in items])


def write_clips(root: Path, lengths: list[int], rng: np.random.Generator) -> None:
    """Smooth pictures that drift and brighten over time, as JPEG files and as bytes of 48x48."""
    labels = np.arange(len(lengths)) % 2
    np.save(root / "labels.npy", labels)
    for number, (length, label) in enumerate(zip(lengths, labels, strict=True)):
        folder = root / f"clip{number:03d}"
        folder.mkdir()
        base = cv2.resize(rng.integers(0, 200, (20, 20, 3), dtype=np.uint8), (300, 300), interpolation=cv2.INTER_CUBIC)
        small = []
        for t in range(length):
            image = base[t % 40 : t % 40 + JPEG_SIZE, 20 : 20 + JPEG_SIZE] + np.uint8(label * (t % 20))
            cv2.imwrite(str(folder / f"{t:04d}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
            small.append(cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA))
        np.save(root / f"store{number:03d}.npy", np.stack(small))


def train_textbook(root: Path, *, at_once: bool, in_memory: bool) -> list[float]:
    torch.manual_seed(0)
    model = Textbook(at_once=at_once).train()
    loader = torch.utils.data.DataLoader(JpegClips(root), batch_size=BATCH, shuffle=True, collate_fn=pad)
    if in_memory:
        loader = list(loader)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=0.005)
    seconds = []
    for _ in range(PASSES):
        start = time.process_time()
        for frames, lengths, labels in loader:
            loss = nn.functional.binary_cross_entropy_with_logits(model(frames, lengths), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        seconds.append(time.process_time() - start)
    return seconds


def train_ours(root: Path) -> list[float]:
    from smilelab import models, training

    torch.manual_seed(0)
    clips = [np.load(path, mmap_mode="r") for path in sorted(root.glob("store*.npy"))]
    stamps = [time.process_time()]
    options = training.TrainingOptions(epochs=PASSES, batch_size=BATCH)
    labels = np.load(root / "labels.npy")
    training.train(
        models.build("realsmilenet"), clips, labels, options, seed=0,
        progress=lambda row: stamps.append(time.process_time()),
    )  # fmt: skip
    return list(np.diff(stamps))


def infer(model: nn.Module, batches: list, score) -> list[float]:
    model.eval()
    seconds = []
    with torch.inference_mode():
        for _ in range(2 * PASSES):
            start = time.process_time()
            for batch in batches:
                score(model, batch)
            seconds.append(time.process_time() - start)
    return seconds


def infer_textbook(root: Path, *, at_once: bool) -> list[float]:
    loader = torch.utils.data.DataLoader(JpegClips(root), batch_size=BATCH, collate_fn=pad)
    return infer(Textbook(at_once=at_once), list(loader), lambda model, batch: model(batch[0], batch[1]))


def infer_ours(root: Path) -> list[float]:
    from smilelab import models, training

    clips = [np.load(path) for path in sorted(root.glob("store*.npy"))]
    batches = [training.collate(clips[i : i + BATCH]) for i in range(0, len(clips), BATCH)]
    return infer(
        models.build("realsmilenet"), batches, lambda model, batch: model(training.to_input(batch[0]), batch[1])
    )


VERSIONS = ("textbook", "stepwise", "ours")


def seconds_of_passes(part: str, version: str, root: Path) -> list[float]:
    at_once = version == "textbook"
    if part == "score":
        return infer_ours(root) if version == "ours" else infer_textbook(root, at_once=at_once)
    return train_ours(root) if version == "ours" else train_textbook(root, at_once=at_once, in_memory=part == "steps")


def largest_logit_difference() -> float:
    """Of the two versions with the same, random weights and statistics, on clips of several lengths."""
    from smilelab import models

    torch.manual_seed(1)
    textbook, ours = Textbook(at_once=True).eval(), models.build("realsmilenet").eval()
    stepwise = Textbook(at_once=False).eval()
    for value in textbook.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.5 if value.min() >= 0 else torch.randn_like(value) * 0.3)
    ours.load_state_dict(dict(zip(ours.state_dict(), textbook.state_dict().values(), strict=True)))
    stepwise.load_state_dict(textbook.state_dict())
    frames, lengths = torch.rand(6, 3, 15, SIZE, SIZE), torch.tensor([15, 1, 7, 15, 2, 11])
    with torch.inference_mode():
        logits = textbook(frames.transpose(1, 2), lengths)
        print(f"logits of the check: {logits.min():.3f} to {logits.max():.3f}")
        others = (stepwise(frames.transpose(1, 2), lengths), ours(frames, lengths))
        return max(float((logits - other).abs().max()) for other in others)


def measure(part: str, version: str, root: Path) -> float:
    """Milliseconds a clip, in a fresh process; the first pass over the clips is a warm-up."""
    command = [sys.executable, __file__, "--role", part, version, "--data", str(root)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--lengths", nargs="*", default=list(LENGTHS), choices=list(LENGTHS))
    parser.add_argument("--role", nargs=2)
    parser.add_argument("--data", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    if arguments.role:
        seconds = seconds_of_passes(*arguments.role, arguments.data)
        print(1000 * statistics.median(seconds[1:]) / len(list(arguments.data.glob("clip*"))))
        return
    difference = largest_logit_difference()
    print(f"largest difference of logits, same weights: {difference:.1e}")
    assert difference < 1e-4
    rng = np.random.default_rng(0)
    print(f"{'':26}" + "".join(f"{version:>10}" for version in VERSIONS) + "   ours/textbook (target)  ours/stepwise")
    for name in arguments.lengths:
        with tempfile.TemporaryDirectory() as folder:
            write_clips(Path(folder), LENGTHS[name](rng, arguments.clips), rng)
            for part, (what, target) in PARTS.items():
                rounds = [{v: measure(part, v, Path(folder)) for v in VERSIONS} for _ in range(arguments.rounds)]
                middle = {v: statistics.median(r[v] for r in rounds) for v in VERSIONS}
                ratios = [statistics.median(r["ours"] / r[v] for r in rounds) for v in VERSIONS[:2]]
                times = "".join(f"{middle[v]:8.1f}ms" for v in VERSIONS)
                print(f"{name:10} {what:15}{times}{ratios[0]:16.2f} ({target or '-'}){ratios[1]:15.2f}", flush=True)


if __name__ == "__main__":
    main()
