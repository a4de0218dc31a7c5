"""A clip store in memory, for tests of what is built on stores."""

import numpy as np
import pandas as pd

SUBJECTS, FOLDS = 12, 3


class MemoryStore:
    """A store without files: clips whose brightness rises (spontaneous) or falls (posed), and folds by subject."""

    database, hash, simulated, provenance, folds_source = "uva-nemo", "0123456789ab", True, {}, "seeded for a test"

    def __init__(self, path=""):
        self.path = path
        rows = [(f"s{s:02d}_{label}", label, f"s{s:02d}") for s in range(SUBJECTS) for label in (0, 1)]
        self.usable = self.manifest = pd.DataFrame(rows, columns=["clip_id", "label", "subject"]).set_index("clip_id")

    def frames(self, clip_id):
        label = int(clip_id[-1])
        generator = np.random.default_rng(sum(map(ord, clip_id)))
        ramp = np.linspace(60, 180, 5 + generator.integers(0, 3))[:: 1 if label else -1]
        noise = generator.integers(0, 20, (len(ramp), 16, 16, 3))
        return (ramp[:, None, None, None] + noise).astype(np.uint8)

    def folds(self):
        by_fold = self.usable.index.to_series().groupby([int(c[1:3]) % FOLDS for c in self.usable.index])
        return [list(group) for _, group in by_fold]
