"""RealSmileNet with one thing changed: the ablations of Table 3, and alternatives that only the published code has.

Each keeps everything else as it is in RealSmileNet, so that a difference in accuracy has one cause. In the published
code every other backbone and recurrence also loses TSA and gets another head: `realsmilenet_released` has those.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from torch import Tensor, nn

from smilelab.models import register
from smilelab.models.backbones import MiniAlexNet, MiniDenseNet, MiniResNet
from smilelab.models.realsmilenet import (
    Encoder,
    FeatureProcessing,
    FrameEncoder,
    Head,
    Packing,
    RealSmileNet,
    SmileNet,
)
from smilelab.models.recurrent import Kind, PackedRecurrence


@register("realsmilenet-no-tsa")
class NoAttention(RealSmileNet):
    """RealSmileNet without temporal spatial attention (Table 3, "No TSA"): frames enter the FPN as they are.

    It has 5,189 parameters.

    Parameters
    ----------
    size, feature_dropout, dropout
        As in `RealSmileNet`.
    """

    def __init__(self, *, size: int = 48, feature_dropout: float = 0.2, dropout: float = 0.5) -> None:
        super().__init__(size=size, tsa=False, feature_dropout=feature_dropout, dropout=dropout)


@register("realsmilenet-unweighted")
class Unweighted(RealSmileNet):
    """RealSmileNet trained without weights in its loss (Table 3, "No Weighted Loss": alpha = beta = 1 in Eq. 3).

    The network is `RealSmileNet`; `smilelab.models.training_of` names what differs in its training.
    """

    training_options: ClassVar = {"loss": "unweighted"}


class LogitDifference(nn.Module):
    """Two neurons' outputs (N, 2), posed and spontaneous, -> the logit that their softmax implies, (N,)."""

    def forward(self, outputs: Tensor) -> Tensor:
        """(N, 2) -> (N,)."""
        return outputs[:, 1] - outputs[:, 0]


class SoftmaxHead(Head):
    """The classification block with two neurons at its end, (N, 8, h, h) -> (N,). Hook `linear` for the neurons."""

    def __init__(self, channels: int = 8, side: int = 12, width: int = 10, dropout: float = 0.5) -> None:
        super().__init__(channels, side, width, dropout)
        self.linear = nn.Linear(self.linear.in_features, 2)
        self.squeeze = LogitDifference()


@register("realsmilenet-softmax")
class Softmax(SmileNet):
    """RealSmileNet with a softmax over two neurons at its end (Table 3, "Softmax Function").

    It returns the difference of the two, z1 - z0: the sigmoid of it is the softmax's share of z1, and binary
    cross-entropy on it is the softmax's cross-entropy. So this is the function class of RealSmileNet with a redundant
    parametrisation; what can differ is how it starts, how fast it moves and what weight decay asks of it.
    It has 5,524 parameters.

    Parameters
    ----------
    size, feature_dropout, dropout
        As in `RealSmileNet`.
    """

    def __init__(self, *, size: int = 48, feature_dropout: float = 0.2, dropout: float = 0.5) -> None:
        self.check_size(size)
        encoder = Encoder(fpn=partial(FeatureProcessing, dropout=feature_dropout))
        super().__init__(size, encoder, SoftmaxHead(encoder.convlstm.hidden_channels, size // 4, dropout=dropout))


class _OtherBackbone(SmileNet):
    """RealSmileNet with the two convolution blocks of its FPN replaced.

    The batch norm before them and the channel dropout after them stay. So does the output side, S/4; the ConvLSTM reads
    64 maps instead of 6 and keeps its 8 hidden ones, and the head is the same.
    """

    def __init__(self, size: int, encoder: Encoder, dropout: float) -> None:
        self.check_size(size)
        head = Head(encoder.convlstm.hidden_channels, encoder.fpn.side(size), dropout=dropout)
        super().__init__(size, encoder, head)


@register("realsmilenet-mini-resnet")
class MiniResNetVariant(_OtherBackbone):
    """RealSmileNet with a small ResNet as its FPN (Table 3, "miniResNet").

    What is printed is in `MiniResNet`. Our reading is one residual block in each stage, 99,015 parameters; with two, as
    in the published code, it has 196,231.

    Parameters
    ----------
    size, feature_dropout, dropout
        As in `RealSmileNet`.
    blocks : int
        Residual blocks in each of the three stages.
    """

    def __init__(self, *, size: int = 48, feature_dropout: float = 0.2, dropout: float = 0.5, blocks: int = 1) -> None:
        super().__init__(size, Encoder(fpn=partial(MiniResNet, blocks=blocks, dropout=feature_dropout)), dropout)


@register("realsmilenet-mini-densenet")
class MiniDenseNetVariant(_OtherBackbone):
    """RealSmileNet with a small DenseNet as its FPN (Table 3, "miniDenseNet").

    What is printed, and what is our reading, is in `MiniDenseNet`. It has 53,751 parameters.

    Parameters
    ----------
    size, feature_dropout, dropout
        As in `RealSmileNet`.
    """

    def __init__(self, *, size: int = 48, feature_dropout: float = 0.2, dropout: float = 0.5) -> None:
        super().__init__(size, Encoder(fpn=partial(MiniDenseNet, dropout=feature_dropout)), dropout)


@register("realsmilenet-mini-alexnet")
class MiniAlexNetVariant(_OtherBackbone):
    """RealSmileNet with a small AlexNet as its FPN: not in the paper, only in the published code.

    What is theirs, and what is our reading, is in `MiniAlexNet`. It has 175,175 parameters.

    Parameters
    ----------
    size, feature_dropout, dropout
        As in `RealSmileNet`.
    """

    def __init__(self, *, size: int = 48, feature_dropout: float = 0.2, dropout: float = 0.5) -> None:
        super().__init__(size, Encoder(fpn=partial(MiniAlexNet, dropout=feature_dropout)), dropout)


class RecurrentEncoder(FrameEncoder):
    """TSA, FPN, and an LSTM or GRU over its flattened output: (N, 3, T, S, S) -> the last hidden state (N, hidden)."""

    def __init__(self, kind: Kind, size: int, *, tsa: bool = True, hidden: int = 256, dropout: float = 0.2) -> None:
        super().__init__(tsa=tsa, fpn=partial(FeatureProcessing, dropout=dropout))
        self.recurrence = PackedRecurrence(kind, self.fpn.out_channels * self.fpn.side(size) ** 2, hidden)

    def states(self, features: Tensor, packing: Packing) -> Tensor:
        """Hidden state after each frame, (F, hidden)."""
        states: Tensor = self.recurrence(features, packing.running)
        return states


class VectorHead(nn.Sequential):
    """What is left of the classification block where there is no map: dropout and one neuron; (N, width) -> (N,)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, 1)
        self.squeeze = nn.Flatten(0)


class _OtherRecurrence(SmileNet):
    """RealSmileNet with its ConvLSTM replaced by a recurrence over the FPN's flattened output, (S/4)^2 * 6 numbers.

    Its hidden state is a vector, so the parts of the classification block that work on a map (non-local block, pooling,
    2x2 convolution) fall away with the ConvLSTM, and dropout and the last layer remain. TSA and FPN are RealSmileNet's.
    """

    def __init__(self, kind: Kind, size: int, feature_dropout: float, dropout: float) -> None:
        self.check_size(size)
        encoder = RecurrentEncoder(kind, size, dropout=feature_dropout)
        super().__init__(size, encoder, VectorHead(encoder.recurrence.hidden, dropout))


@register("realsmilenet-lstm")
class LSTMVariant(_OtherRecurrence):
    """RealSmileNet with an LSTM of width 256 over flattened features: not in the paper, only in the published code.

    Its hidden state is a vector: non-local block, pooling and 2x2 convolution, which work on maps, fall away with the
    ConvLSTM; dropout and the last layer remain. It has 1,149,629 parameters at 48 pixels, and the LSTM grows with the
    square of the size.

    Parameters
    ----------
    size, feature_dropout, dropout
        As in `RealSmileNet`.
    """

    def __init__(self, *, size: int = 48, feature_dropout: float = 0.2, dropout: float = 0.5) -> None:
        super().__init__("lstm", size, feature_dropout, dropout)


@register("realsmilenet-gru")
class GRUVariant(_OtherRecurrence):
    """RealSmileNet with a GRU of width 256 over flattened features; as `LSTMVariant`, with 862,397 parameters.

    Parameters
    ----------
    size, feature_dropout, dropout
        As in `RealSmileNet`.
    """

    def __init__(self, *, size: int = 48, feature_dropout: float = 0.2, dropout: float = 0.5) -> None:
        super().__init__("gru", size, feature_dropout, dropout)
