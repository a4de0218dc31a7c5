"""Every table and figure of both papers that this companion makes or will make, and the functions that make them."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

PAPERS = {
    "lee2020": "Lee & Lee 2020, Applied Sciences 10:8934",
    "yang2020": "Yang et al. 2020, RealSmileNet, ACCV",
    "audit": "both papers",
    "folds": "both papers",
    "probes": "both papers",
    "inflation": "this companion alone",
    "combined": "this companion alone",
    "cues": "this companion alone",
    "auda": "Kawulok et al. 2021 (AUDA)",
}


@dataclass(frozen=True)
class Artifact:
    """One table or figure: its place in the paper, the notebook that makes it, and what that takes."""

    id: str
    title: str
    notebook: str
    needs: str

    @property
    def paper(self) -> str:
        """The paper it belongs to, in words."""
        return PAPERS[self.id.partition("-")[0]]


_CLIPS = "clips of a database"
_RUNS = "finished RealSmileNet runs"
_SIAMESE = "finished runs of the Siamese 3D DenseNets on windows"
_DENSENETS = "finished runs of the 3D DenseNets on windows"
_TIMES = "videos of a database and finished RealSmileNet runs"
_COMBINED = "finished runs of both networks with each anchor"
_CUES = "finished runs of methods on smiles that are simulated without some cue"
_AUDA = "finished runs of AUDA on traces of action units"
_MOMENTS = "smile moments of recordings"

CATALOGUE: dict[str, Artifact] = {
    artifact.id: artifact
    for artifact in (
        Artifact(
            "lee2020-fig1",
            "Feature points and regions of three hand-crafted methods",
            "05",
            "the face simulator alone",
        ),
        Artifact("lee2020-fig2", "Frames before and after facial region segmentation", "01", _MOMENTS),
        Artifact("lee2020-table1", "Subjects and windows per class and split", "01", _MOMENTS),
        Artifact("lee2020-fig3", "Overview of the Siamese model", "05", "the model alone"),
        Artifact("lee2020-table2", "Layers, output sizes and operators of the 3D DenseNet", "05", "the models alone"),
        Artifact("lee2020-table3", "Accuracy, precision, recall and AUC over depth", "03", _DENSENETS),
        Artifact("lee2020-fig4", "Grad-CAM of the Siamese model", "05", _SIAMESE),
        Artifact("lee2020-table4", "Neutral anchor, posed anchor and plain 3D CNN", "03", _DENSENETS),
        Artifact("lee2020-fig5", "ROC curves of the three structures", "05", _DENSENETS),
        Artifact("lee2020-fig6", "Grad-CAM of neutral against posed anchor", "05", _SIAMESE),
        Artifact("lee2020-fig7", "PCA of the L1 distance vector", "05", _SIAMESE),
        Artifact("yang2020-fig1", "Hand-crafted and end-to-end pipelines compared", "05", _TIMES),
        Artifact("yang2020-fig2", "Architecture of RealSmileNet", "05", "the model alone"),
        Artifact("yang2020-fig3", "State transition of the ConvLSTM", "05", "the model alone"),
        Artifact("yang2020-table1", "The smile databases", "01", _CLIPS),
        Artifact("yang2020-fig4", "Score-CAM on FPN features", "05", _RUNS),
        Artifact("yang2020-fig5", "t-SNE of the classification block, one panel per test fold", "05", _RUNS),
        Artifact(
            "yang2020-table2", "Benchmark comparison of methods", "02", "finished runs of RealSmileNet and the methods"
        ),
        Artifact("yang2020-table3", "Ablations", "03", "finished runs of the variants"),
        Artifact("yang2020-fig6", "Accuracy over input size and frame rate", "03", "runs over sizes and frame rates"),
        Artifact("yang2020-fig7", "Accuracy and errors per age and sex group", "04", "runs within groups"),
        Artifact(
            "yang2020-cross", "Training and testing on different databases and groups", "04", "runs across databases"
        ),
        Artifact("yang2020-fig8", "Model against human accuracy", "04", "runs on the 20- and 30-clip subsets"),
        Artifact("yang2020-time", "Wall time of the landmark and the end-to-end pipeline", "02", _TIMES),
        Artifact("folds", "Test folds of every database", "01", _CLIPS),
        Artifact("probes", "What tells the classes apart without a smile", "01", _CLIPS),
        Artifact("audit", "What the papers' own numbers imply", "05", "the printed numbers alone"),
        Artifact("auda-pieces", "AUDA whole and in pieces, on traces of action units", "02", _AUDA),
        Artifact("inflation", "Accuracy by the rule that chooses the epoch", "02", _RUNS),
        Artifact("combined", "Both networks with and without an anchor, on every database", "03", _COMBINED),
        Artifact("cues", "Which cue of a smile each method relies on", "03", _CUES),
    )
}

_Make = TypeVar("_Make", bound=Callable[..., Any])
MAKERS: dict[str, Callable[..., Any]] = {}
_CODE: dict[str, tuple[str, ...]] = {}


def makes(artifact_id: str, *code: ModuleType) -> Callable[[_Make], _Make]:
    """Register the decorated function as the one that makes an artifact.

    Parameters
    ----------
    artifact_id : str
        Its id in the catalogue.
    *code : module
        Modules whose code decides what the artifact shows, besides the function's own.

    Raises
    ------
    ValueError
        An id that the catalogue does not have, or one that another function makes already.
    """
    if artifact_id not in CATALOGUE:
        raise ValueError(f"found artifact {artifact_id!r}, expected one of {', '.join(CATALOGUE)}.")

    def register(function: _Make) -> _Make:
        if artifact_id in MAKERS:
            raise ValueError(f"{artifact_id} is made by {MAKERS[artifact_id].__qualname__} already.")
        MAKERS[artifact_id] = function
        _CODE[artifact_id] = (function.__module__, *(module.__name__ for module in code))
        return function

    return register


def maker_digest(artifact_id: str) -> str:
    """Sixteen hex digits over the code that makes an artifact: its maker's module and those registered with it."""
    digest = hashlib.sha256()
    for name in _CODE[artifact_id]:
        digest.update(inspect.getsource(sys.modules[name]).encode())
    return digest.hexdigest()[:16]
