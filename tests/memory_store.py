"""A clip store in memory, for tests of what is built on stores."""

from pathlib import Path

import numpy as np
import pandas as pd

SUBJECTS, FOLDS = 12, 3


class MemoryStore:
    """A store without files: clips whose brightness rises (spontaneous) or falls (posed), and folds by subject."""

    database, hash, simulated, provenance, folds_source = (
        "uva-nemo",
        "0123456789ab",
        True,
        {"seed": 1},
        "seeded for a test",
    )
    has_frames = True
    recipe = {"crop": "box", "size": 24, "fps": 5.0}  # noqa: RUF012  # never changed

    def __init__(self, path="memory"):
        self.path = Path(path)
        rows = [(f"s{s:02d}_{label}", label, f"s{s:02d}") for s in range(SUBJECTS) for label in (0, 1)]
        table = pd.DataFrame(rows, columns=["clip_id", "label", "subject"]).set_index("clip_id")
        table = table.assign(width=640, height=360, fps_source=50.0, status="ok", reason="", frames=5, length_s=1.0)
        self.usable = self.manifest = table
        self.neutral = table.iloc[:0]

    def frames(self, clip_id):
        label = int(clip_id[-1])
        generator = np.random.default_rng(sum(map(ord, clip_id)))
        ramp = np.linspace(60, 180, 5 + generator.integers(0, 3))[:: 1 if label else -1]
        noise = generator.integers(0, 20, (len(ramp), 24, 24, 3))
        return (ramp[:, None, None, None] + noise).astype(np.uint8)

    def times(self, clip_id):
        return np.arange(len(self.frames(clip_id))) / 5.0

    def folds(self):
        by_fold = self.usable.index.to_series().groupby([int(c[1:3]) % FOLDS for c in self.usable.index])
        return [list(group) for _, group in by_fold]
