"""RealSmileNet and its variants as the code published with the paper has them, where that is not what is printed.

They are there to show the difference; nothing uses them by default. What the published code [1]_ does inside its model:

- Images are transposed: what the network sees as rows are columns of the picture.
- Batches are padded before the clips, and TSA runs over the padding too. The first frame of a clip that is shorter than
  the longest of its batch is compared with a black frame instead of with nothing, so a clip's score depends on whether
  a longer one shares its batch.
- LSTM and GRU run over the padding as well: from the start of the batch's longest clip they read features of zero.
- Only the main model has TSA. The other backbones have 64 maps, a ConvLSTM of 64 hidden maps and a head of their own,
  and no dropout; LSTM and GRU have a head of one neuron. Table 3 so compares networks that differ in several things.

What it does outside its model is not here: every 5th frame is taken, 10 a second of a video of 50; the offsets of the
clips are not shifted when a test batch is trimmed, which loses frames; the loss has no weights and is not a number at a
probability of 1; 0.001 times the sum of the norms (not squared) of all parameters, biases and batch norms included, is
added to it, and there is no weight decay; the best epoch on the test fold is reported; MMI's training and test folds
are exchanged; SPOS's fold "yi" takes "ying" too.

References
----------
.. [1] https://github.com/Yan98/Deep-learning-for-genuine-and-posed-smile-classification
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from smilelab.models import register
from smilelab.models.backbones import Backbone, MiniAlexNet, MiniDenseNet, MiniResNet
from smilelab.models.realsmilenet import Encoder, FeatureProcessing, FrameEncoder, Head, NonLocal, Packing, SmileNet
from smilelab.models.realsmilenet_variants import RecurrentEncoder, VectorHead
from smilelab.models.recurrent import Kind


class _Transposed(FrameEncoder):
    """Sees transposed images; the output of its FPN is transposed too."""

    def features(self, frames: Tensor, packing: Packing) -> Tensor:
        """Output of the FPN for every valid frame, packed: rows of the maps are columns of the pictures."""
        return super().features(frames.transpose(3, 4), packing)


class ReleasedEncoder(_Transposed, Encoder):
    """TSA over the padding, FPN and ConvLSTM: (N, 3, T, S, S) with lengths (N,) -> (N, hidden_channels, h, h)."""

    def _before(self, frames: Tensor, packing: Packing, block: slice) -> Tensor:
        lengths = packing.time[packing.last] + 1
        padded = (lengths < len(packing.running))[packing.clip[block]] & (packing.time[block] == 0)
        return super()._before(frames, packing, block).masked_fill(padded[:, None, None, None], 0)


class ReleasedRecurrentEncoder(_Transposed, RecurrentEncoder):
    """FPN, and an LSTM or GRU that starts with the batch's longest clip: (N, 3, T, S, S) -> (N, hidden)."""

    def states(self, features: Tensor, packing: Packing) -> Tensor:
        """Hidden state after each frame, (F, hidden); before a clip it read zeros from the longest one's start."""
        lengths, longest = packing.time[packing.last] + 1, len(packing.running)
        place = packing.time + (longest - lengths)[packing.clip]
        padded = features.new_zeros(longest, len(lengths), features[0].numel(), dtype=torch.float32)
        padded = padded.index_put((place, packing.clip), features.flatten(1).float())
        with torch.autocast(features.device.type, enabled=False):
            states, _ = self.recurrence.rnn(padded)
        return states[place, packing.clip]


class ReleasedHead(nn.Sequential):
    """The published code's head for other backbones: (N, 64, h, h) -> (N,), h at least 4.

    Non-local block of inner width 32, 3x3 convolution to 80 maps without padding, BN, ReLU, mean over the four quarters
    of the map (they share a row and a column where the side is odd), and one neuron.
    """

    def __init__(self, channels: int, side: int, width: int = 80, dropout: float = 0.0) -> None:
        super().__init__()
        side -= 2
        self.nonlocal_block = NonLocal(channels, channels // 2)
        self.conv = nn.Conv2d(channels, width, 3)
        self.norm = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        # As adaptive pooling to 2x2, whose backward pass is not deterministic on CUDA.
        self.pool = nn.AvgPool2d((side + 1) // 2, side // 2)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(4 * width, 1)
        self.squeeze = nn.Flatten(0)


@register("realsmilenet-released")
class Released(SmileNet):
    """RealSmileNet as in the published code: images transposed, and TSA over the padding before each clip.

    A clip's score depends on its companions: its first frame is compared with a black one where a longer clip shares
    the batch, and with itself otherwise. So a clip may score differently alone, and in batches of another size. The
    layers are those of `RealSmileNet`, 5,273 parameters; only what they see differs.

    Parameters
    ----------
    size, feature_dropout, dropout
        As in `RealSmileNet`.
    """

    def __init__(self, *, size: int = 48, feature_dropout: float = 0.2, dropout: float = 0.5) -> None:
        self.check_size(size)
        encoder = ReleasedEncoder(fpn=partial(FeatureProcessing, dropout=feature_dropout))
        super().__init__(size, encoder, Head(encoder.convlstm.hidden_channels, size // 4, dropout=dropout))


class _ReleasedBackbone(SmileNet):
    """No TSA, a backbone of 64 maps, a ConvLSTM of 64 hidden maps, and the head that goes with them."""

    least = 28

    def __init__(self, size: int, fpn: Callable[[], Backbone], dropout: float) -> None:
        self.check_size(size)
        encoder = ReleasedEncoder(tsa=False, fpn=fpn, hidden_channels=64)
        super().__init__(size, encoder, ReleasedHead(64, encoder.fpn.side(size), dropout=dropout))


@register("realsmilenet-mini-resnet-released")
class ReleasedMiniResNet(_ReleasedBackbone):
    """The published code's "resnet": two residual blocks in each stage, no TSA, another head; 524,897 parameters.

    Parameters
    ----------
    size : int
        As in `RealSmileNet`, at least 28.
    feature_dropout, dropout : float
        The published code has neither.
    """

    def __init__(self, *, size: int = 48, feature_dropout: float = 0.0, dropout: float = 0.0) -> None:
        fpn = partial(MiniResNet, blocks=2, input_norm=False, dropout=feature_dropout)
        super().__init__(size, fpn, dropout)


@register("realsmilenet-mini-densenet-released")
class ReleasedMiniDenseNet(_ReleasedBackbone):
    """The published code's "minidensenet": features of S/4 - 1, no TSA, another head; 382,417 parameters.

    Parameters
    ----------
    size, feature_dropout, dropout
        As in `ReleasedMiniResNet`.
    """

    def __init__(self, *, size: int = 48, feature_dropout: float = 0.0, dropout: float = 0.0) -> None:
        fpn = partial(MiniDenseNet, third_mean=True, input_norm=False, dropout=feature_dropout)
        super().__init__(size, fpn, dropout)


@register("realsmilenet-mini-alexnet-released")
class ReleasedMiniAlexNet(_ReleasedBackbone):
    """The published code's "miniAlexnet": three poolings, no batch norm, no TSA, another head; 503,841 parameters.

    Parameters
    ----------
    size, feature_dropout, dropout
        As in `ReleasedMiniResNet`.
    """

    def __init__(self, *, size: int = 48, feature_dropout: float = 0.0, dropout: float = 0.0) -> None:
        fpn = partial(MiniAlexNet, third_pool=True, input_norm=False, dropout=feature_dropout)
        super().__init__(size, fpn, dropout)


class _ReleasedRecurrence(SmileNet):
    def __init__(self, kind: Kind, size: int, feature_dropout: float, dropout: float) -> None:
        self.check_size(size)
        encoder = ReleasedRecurrentEncoder(kind, size, tsa=False, dropout=feature_dropout)
        super().__init__(size, encoder, VectorHead(encoder.recurrence.hidden, dropout))


@register("realsmilenet-lstm-released")
class ReleasedLSTM(_ReleasedRecurrence):
    """The published code's "LSTM": no TSA, FPN, an LSTM of width 256, one neuron; 1,149,545 parameters.

    A clip's score depends on its companions: the LSTM reads zeros for as many steps as the clip is shorter than the
    longest of its batch.

    Parameters
    ----------
    size, feature_dropout
        As in `RealSmileNet`.
    dropout : float
        The published code has none here.
    """

    def __init__(self, *, size: int = 48, feature_dropout: float = 0.2, dropout: float = 0.0) -> None:
        super().__init__("lstm", size, feature_dropout, dropout)


@register("realsmilenet-gru-released")
class ReleasedGRU(_ReleasedRecurrence):
    """The published code's "GRU": as `ReleasedLSTM`, with 862,313 parameters.

    Parameters
    ----------
    size, feature_dropout, dropout
        As in `ReleasedLSTM`.
    """

    def __init__(self, *, size: int = 48, feature_dropout: float = 0.2, dropout: float = 0.0) -> None:
        super().__init__("gru", size, feature_dropout, dropout)
