"""A few small clips of noise and a RealSmileNet that is trained on them in a moment."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from smilelab import models
from smilelab.training import TrainingOptions, train

SIDE = 24


def random_clips(count: int, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    clips = [rng.integers(0, 256, (length, SIDE, SIDE, 3), dtype=np.uint8) for length in rng.integers(1, 7, count)]
    return clips, np.arange(count) % 2


def build(seed: int = 0, **options) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return models.build("realsmilenet", size=SIDE, **options)


def fit(seed=0, *, epochs=2, count=12, evaluated=False, **given_):
    clips, labels = random_clips(count)
    options = TrainingOptions(epochs=epochs, batch_size=5, **given_.pop("options", {}))
    if evaluated:
        given_["evaluate"] = {"validation": random_clips(7, seed=1)}
    model = build()
    return model, train(model, clips, labels, options, seed=seed, **given_)


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
