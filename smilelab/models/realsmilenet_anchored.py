"""RealSmileNet with an anchor: a smile is compared with another clip of the same person. Neither paper has it."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from smilelab.models import register
from smilelab.models.inputs import check_anchor_of, check_frames, check_input, check_lengths
from smilelab.models.realsmilenet import Encoder, FeatureProcessing, Head, SmileNet
from smilelab.models.siamese import Distance


class AnchoredHead(Head):
    """The classification block over |smile - anchor| of two last hidden states. Hook `distance` for the difference.

    Its other layers have the names that they have in `Head`: weights of a RealSmileNet fit.
    """

    def __init__(self, channels: int = 8, side: int = 12, width: int = 10, dropout: float = 0.5) -> None:
        super().__init__(channels, side, width, dropout)
        self.distance = Distance()

    def forward(self, smile: Tensor, anchor: Tensor) -> Tensor:  # type: ignore[override]  # two branches meet here
        """(N, C, h, h), (N, C, h, h) -> (N,)."""
        x = self.distance(smile, anchor)
        for layer in self:
            if layer is not self.distance:
                x = layer(x)
        return x


class AnchoredRealSmileNet(SmileNet):
    """RealSmileNet [1]_ as a Siamese network, after the person-specific normalisation of Lee & Lee (2020) [2]_.

    Smile and anchor go through the same TSA, FPN and ConvLSTM; what their last hidden states differ by, element by
    element and without sign, goes through the classification block. The output so depends on the distance alone, and
    swapping smile and anchor changes nothing. It has the 5,273 parameters of `RealSmileNet`.

    Anchors may have any length, each its own. Clips and anchors are packed together, so that the encoder runs once
    over the valid frames of both. In training the batch norms of the FPN take their statistics over these frames; an
    anchor that several clips share counts once.

    Parameters
    ----------
    size, feature_dropout, dropout
        As in `RealSmileNet`, which also says what is printed and what is our reading.

    Attributes
    ----------
    anchor_rule : str
        Which anchor it takes; `smilelab.anchors.find` finds it.

    References
    ----------
    .. [1] Yang, Y., Hossain, M. Z., Gedeon, T., Rahman, S. (2020). RealSmileNet: A Deep End-To-End Network for
       Spontaneous and Posed Smile Recognition. ACCV 2020.
    .. [2] Lee, K., Lee, E. C. (2020). Siamese Architecture-Based 3D DenseNet with Person-Specific Normalization Using
       Neutral Expression for Spontaneous and Posed Smile Classification. Applied Sciences 10(24), 8934.
    """

    def __init__(self, *, size: int = 48, feature_dropout: float = 0.2, dropout: float = 0.5) -> None:
        self.check_size(size)
        encoder = Encoder(fpn=partial(FeatureProcessing, dropout=feature_dropout))
        super().__init__(size, encoder, AnchoredHead(encoder.convlstm.hidden_channels, size // 4, dropout=dropout))

    def forward(  # type: ignore[override]  # a network with an anchor takes it as well
        self,
        frames: Tensor,
        lengths: Tensor,
        anchors: Tensor,
        anchor_of: Tensor | None = None,
        anchor_lengths: Tensor | None = None,
    ) -> Tensor:
        """Score clips against their anchors.

        Parameters
        ----------
        frames : Tensor, float (N, 3, T, size, size)
            RGB in [0, 1]. Frames of clip n from ``lengths[n]`` on are padding and never read.
        lengths : Tensor, int (N,)
            Valid frames of each clip, 1..T. Keep them on the CPU: they plan the computation.
        anchors : Tensor, float (A, 3, Ta, size, size)
            The distinct anchors: what several clips of a person share is encoded once.
        anchor_of : Tensor, int (N,), optional
            Which of the anchors belongs to each clip; by default clip n has anchor n.
        anchor_lengths : Tensor, int (A,), optional
            Valid frames of each anchor, 1..Ta; by default all. On the CPU, as `lengths`.

        Returns
        -------
        Tensor, float (N,)
            Logits; 0 or more is decided as spontaneous.

        Raises
        ------
        ValueError
            A shape, type or length that does not fit, or a clip without an anchor.
        """
        check_input(frames, lengths, channels=3, size=self.size)
        check_frames(anchors, channels=3, size=self.size, what="anchors")
        if anchor_lengths is None:
            anchor_lengths = torch.full((len(anchors),), anchors.shape[2])
        check_lengths(anchors, anchor_lengths, what="anchor_lengths")
        anchor_of = check_anchor_of(anchor_of, frames, anchors)
        both = _stacked(frames, anchors)
        states = self.encoder(both, torch.cat([lengths.cpu(), anchor_lengths.cpu()]))
        smile, anchor = states.split([len(frames), len(anchors)])
        return self.head(smile, anchor.index_select(0, anchor_of.to(anchor.device)))


def _stacked(frames: Tensor, anchors: Tensor) -> Tensor:
    """Clips and anchors below each other, zero after the end of the shorter ones; channels last, as bytes come."""
    longest = max(frames.shape[2], anchors.shape[2])
    both = frames.new_zeros(len(frames) + len(anchors), longest, *frames.shape[3:], frames.shape[1])
    both = both.permute(0, 4, 1, 2, 3)
    both[: len(frames), :, : frames.shape[2]] = frames
    both[len(frames) :, :, : anchors.shape[2]] = anchors
    return both


@register("realsmilenet-neutral")
class NeutralRealSmileNet(AnchoredRealSmileNet):
    """RealSmileNet with a neutral clip of the same person as its anchor."""

    anchor_rule = "neutral"


@register("realsmilenet-posed")
class PosedRealSmileNet(AnchoredRealSmileNet):
    """RealSmileNet with a posed smile of the same person as its anchor."""

    anchor_rule = "posed"
