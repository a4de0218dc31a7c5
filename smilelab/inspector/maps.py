"""Maps of what speaks for the class that a network predicts, one a crop, scaled for show."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from smilelab import models, scoring
from smilelab.datasets import POSED, SPONTANEOUS
from smilelab.explain import cam
from smilelab.explain.score_cam import score_cam
from smilelab.inspector.clip import OpenedClip
from smilelab.inspector.inputs import CannotScoreError, Samples, samples_of
from smilelab.inspector.scorer import Scorer
from smilelab.scoring import Batch

__all__ = ["MAPS", "MapKind", "overlay_map", "why_no_map"]

MapKind = Literal["grad-cam", "score-cam", "guided"]
MAPS: tuple[MapKind, ...] = ("grad-cam", "score-cam", "guided")

Floats = NDArray[np.float32]

_TOGETHER = 4  # windows explained at once
# Of a map's values; above it, all are shown alike. Gradients are sparse, and their largest would leave the rest unseen.
_PERCENTILE = {"grad-cam": 99.9, "score-cam": 99.9, "guided": 99.0}


def overlay_map(scorer: Scorer, clip: OpenedClip, kind: MapKind) -> Floats | None:
    """Map of what speaks for the class that the network predicts, one a crop.

    Parameters
    ----------
    scorer : Scorer
    clip : OpenedClip
    kind : {"grad-cam", "score-cam", "guided"}
        `smilelab.explain.cam.grad_cam` (averaged over the time of a window, so that its crops share a map),
        `smilelab.explain.score_cam.score_cam`, or the size of `smilelab.explain.cam.guided_backpropagation`, summed
        over the colours.

    Returns
    -------
    (T, S, S) float32 array or None
        In [0, 1], for show: divided by the map's 99.9th percentile over the clip (guided: 99th) and cut there. Networks
        on windows are explained on windows laid side by side over the clip, the last one up to its end, each for the
        class predicted of the whole clip; crops in no window have zeros. None where `why_no_map` has a reason.
    """
    if why_no_map(scorer, clip, kind):
        return None
    samples = _side_by_side(scorer, clip)
    target = _predicted(scorer, samples)
    count, size = np.asarray(clip.crops).shape[:2]
    shown = np.zeros((count, size, size), np.float32)
    for chosen in np.array_split(np.arange(len(samples.starts)), -(-len(samples.starts) // _TOGETHER)):
        batch = scoring.batch_of(samples.clips, chosen)
        for start, maps in zip(samples.starts[chosen], _maps(scorer.model, batch, kind, target), strict=True):
            large = cam.upsample(maps, (size, size))
            # A window may hold every other crop only, and a layer every so manieth of these.
            crop = np.arange(samples.length) * len(large) // samples.length
            shown[start : start + samples.length] = large[crop]
    top = float(np.percentile(shown, _PERCENTILE[kind])) or float(shown.max())
    return np.clip(shown / top, 0, 1).astype(np.float32) if top > 0 else shown


def why_no_map(scorer: Scorer, clip: OpenedClip, kind: MapKind) -> str:
    """Return why there is no map of a kind, in one sentence; empty where there is one.

    Raises
    ------
    ValueError
        No such kind.
    """
    if kind not in MAPS:
        raise ValueError(f"kind is {kind!r}; expected one of {', '.join(MAPS)}")
    windowed = hasattr(scorer.model.encoder, "target")
    if kind == "grad-cam" and not windowed:
        return "Grad-CAM here explains 3D networks; of recurrent ones see Score-CAM."
    if kind == "score-cam" and models.anchor_rule(scorer.model) != "none":
        return "Score-CAM masks one clip, and this network compares two; see the other maps."
    try:
        samples_of(scorer, clip)
    except CannotScoreError as error:
        return str(error)
    return ""


class _OfFrames(nn.Module):
    """A network on whole clips as a function of one clip's frames alone, its length and its anchor held.

    Parameters
    ----------
    model : torch.nn.Module
        Of the RealSmileNet family.
    frames : int
        Length of the clip.
    anchor : Tensor, float (1, 3, K, S, S), optional
    """

    def __init__(self, model: nn.Module, frames: int, anchor: Tensor | None) -> None:
        super().__init__()
        self.encoder = _EncoderOfFrames(model.get_submodule("encoder"))
        self.head = model.head if anchor is None else _HeadBeside(model.get_submodule("head"), self.encoder, anchor)
        self.size, self.frames = model.size, frames


class _EncoderOfFrames(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.inner = encoder

    def forward(self, frames: Tensor) -> Tensor:
        """(N, 3, T, S, S) -> the last hidden states, all T frames being valid."""
        return self.inner(frames, torch.full((len(frames),), frames.shape[2]))


class _HeadBeside(nn.Module):
    """The head of a network with an anchor, whose state is a constant."""

    held: Tensor

    def __init__(self, head: nn.Module, encoder: nn.Module, anchor: Tensor) -> None:
        super().__init__()
        self.inner = head
        with torch.no_grad():
            self.register_buffer("held", encoder(anchor))

    def forward(self, state: Tensor) -> Tensor:
        """(N, ...) -> logits (N,)."""
        return self.inner(state, self.held.expand_as(state))


def _side_by_side(scorer: Scorer, clip: OpenedClip) -> Samples:
    options = scorer.spec.windows
    if options is None:
        return samples_of(scorer, clip)
    every = samples_of(scorer, clip, stride=1)
    kept: list[int] = []
    for number, start in enumerate(every.starts):
        if not kept or start >= every.starts[kept[-1]] + every.length:
            kept.append(number)
    if kept[-1] != len(every.starts) - 1:
        kept.append(len(every.starts) - 1)
    return every.take(np.array(kept))


def _predicted(scorer: Scorer, samples: Samples) -> int:
    mean = float(scoring.predict(scorer.model, samples.clips, batch_size=8).mean())
    return SPONTANEOUS if mean >= 0.5 else POSED


def _maps(model: nn.Module, batch: Batch, kind: MapKind, target: int) -> list[Floats]:
    """Maps (T', h, w) of each clip of a batch; T' is 1 where they have no time."""
    frames, lengths, *beside = batch.inputs()
    if kind == "score-cam":
        return list(score_cam(model, frames, lengths, target=target))
    if kind == "grad-cam":
        anchors, anchor_of = beside or (None, None)
        return list(cam.grad_cam(model, frames, anchors, anchor_of, target=target).spatial[:, None])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if hasattr(model.encoder, "target"):
            anchors, anchor_of = beside or (None, None)
            found = cam.guided_backpropagation(model, frames, anchors, anchor_of, target=target)
        else:
            anchor = beside[0][beside[1]] if beside else None
            alone = _OfFrames(model, frames.shape[2], anchor).eval()
            found = cam.guided_backpropagation(alone, frames, target=target)
    return list(np.abs(found).sum(1))
