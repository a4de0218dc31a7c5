"""The Siamese 3D DenseNet: a smile is compared with an anchor of the same person (Lee & Lee 2020, Fig. 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from smilelab.models import register
from smilelab.models.densenet3d import DenseNet3D
from smilelab.models.inputs import check_anchor_of, check_frames, check_windows


class Distance(nn.Module):
    """Element by element |smile - anchor| of two embeddings (N, width): the L1 distance vector, (N, width)."""

    def forward(self, smile: Tensor, anchor: Tensor) -> Tensor:
        """(N, width), (N, width) -> (N, width)."""
        return (smile - anchor).abs()


class SiameseHead(nn.Module):
    """Embeddings of smile and anchor (N, width) -> logit (N,). Hook `distance` for the vector of Fig. 7."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.distance = Distance()
        self.fc = nn.Linear(width, 1)

    def forward(self, smile: Tensor, anchor: Tensor) -> Tensor:
        """(N, width), (N, width) -> (N,)."""
        return self.fc(self.distance(smile, anchor)).flatten()


class Siamese(DenseNet3D):
    """Two 3D DenseNets that share their weights, and the L1 distance of what they see [1]_.

    The network decides from the distance alone, so swapping smile and anchor changes nothing. The structures of
    Table 4 differ in the anchor: a neutral face of the subject ("siamese-neutral") or a posed smile
    ("siamese-posed"); `densenet3d-94` and its like have none.

    Parameters
    ----------
    depth, **options
        As in `DenseNet3D`, which also says what is printed and what is our reading.

    Attributes
    ----------
    anchor_rule : str
        Which anchor the structure takes; `smilelab.anchors.find` finds it.

    References
    ----------
    .. [1] Lee, K., Lee, E. C. (2020). Siamese Architecture-Based 3D DenseNet with Person-Specific Normalization Using
       Neutral Expression for Spontaneous and Posed Smile Classification. Applied Sciences 10(24), 8934.
    """

    def _head(self, width: int) -> nn.Module:
        return SiameseHead(width)

    def forward(  # type: ignore[override]  # a Siamese network takes an anchor as well
        self, frames: Tensor, lengths: Tensor, anchors: Tensor, anchor_of: Tensor | None = None
    ) -> Tensor:
        """Score windows against their anchors.

        Parameters
        ----------
        frames : Tensor, float (N, 3, frames, size, size)
            RGB in [0, 1].
        lengths : Tensor, int (N,)
            Valid frames of each clip; all must be `frames`.
        anchors : Tensor, float (A, 3, frames, size, size)
            The distinct anchors: what several windows of a person share is encoded once.
        anchor_of : Tensor, int (N,), optional
            Which of the anchors belongs to each window; by default window n has anchor n.

        Returns
        -------
        Tensor, float (N,)
            Logits; positive means spontaneous.

        Raises
        ------
        ValueError
            A shape, type or length that does not fit, or a window without an anchor.
        """
        check_windows(frames, lengths, channels=3, size=self.size, count=self.frames)
        check_frames(anchors, channels=3, size=self.size, what="anchors")
        if anchors.shape[2] != self.frames:
            raise ValueError(f"found anchors of {anchors.shape[2]} frames; this model takes exactly {self.frames}")
        anchor_of = check_anchor_of(anchor_of, frames, anchors)
        embeddings = self.encoder(torch.cat([frames, anchors]))
        smile, anchor = embeddings.split([len(frames), len(anchors)])
        return self.head(smile, anchor[anchor_of.to(anchor.device)])


@register("siamese-neutral")
class NeutralSiamese(Siamese):
    """The Siamese 3D DenseNet with a neutral face of the same person as its anchor: what the paper proposes."""

    anchor_rule = "neutral"


@register("siamese-posed")
class PosedSiamese(Siamese):
    """The Siamese 3D DenseNet with a posed smile of the same person as its anchor: genuine and impostor pairs."""

    anchor_rule = "posed"
