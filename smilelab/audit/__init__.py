"""What printed numbers imply, and how far a label can be told without looking at the smile.

Artifacts whose code depends on one part name that part: `smilelab.audit.probes`, `smilelab.audit.matrices` or
`smilelab.audit.rounding`.
"""

from __future__ import annotations

from smilelab.audit import likeness, matrices, probes, rounding
from smilelab.audit.errors import AuditError
from smilelab.audit.likeness import anchor_likeness, anchor_probes, clip_probes
from smilelab.audit.matrices import (
    accident_rate,
    auc_range,
    confusion_matrices,
    fits,
    implied_share,
    misfit,
    precision_ceiling,
)
from smilelab.audit.probes import MAJORITY, PROBES, confound_probes, confounds, probe
from smilelab.audit.rounding import is_tie, numerators

__all__ = [
    "MAJORITY",
    "PROBES",
    "AuditError",
    "accident_rate",
    "anchor_likeness",
    "anchor_probes",
    "auc_range",
    "clip_probes",
    "confound_probes",
    "confounds",
    "confusion_matrices",
    "fits",
    "implied_share",
    "is_tie",
    "likeness",
    "matrices",
    "misfit",
    "numerators",
    "precision_ceiling",
    "probe",
    "probes",
    "rounding",
]
