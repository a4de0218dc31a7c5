"""RealSmileNet: a small recurrent network that tells spontaneous from posed smiles (Yang et al. 2020)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from smilelab.models import register
from smilelab.models.backbones import Backbone
from smilelab.models.convlstm import ConvLSTM
from smilelab.models.convolution import BlockConvolution, BlockMean, RowConvolution
from smilelab.models.inputs import check_input

SIZE = 48  # side of the input in pixels, where nothing else is said


@dataclass(frozen=True)
class Packing:
    """Where the valid frames of a padded batch lie once they are packed one after another, time-major.

    Clips are sorted by length, longest first; packed are first all clips' frame 0, then frame 1 of those that have one,
    and so on. Frames of one time step are so contiguous, and the clips still running are always the first ones.

    Attributes
    ----------
    clip, time : Tensor (F,)
        Clip (row of the batch) and frame number of each packed frame; F = sum of lengths.
    previous : Tensor (F,)
        Packed position of the frame before; a clip's first frame points at itself.
    running : tuple of int, (T,)
        How many clips have a frame at each time step.
    last : Tensor (N,)
        Packed position of each clip's last frame.
    """

    clip: Tensor
    time: Tensor
    previous: Tensor
    running: tuple[int, ...]
    last: Tensor

    @classmethod
    def of(cls, lengths: Tensor, device: torch.device | str = "cpu") -> Packing:
        """Plan the packing of clips with these `lengths` (N,); the index tensors are put on `device`."""
        lengths = lengths.detach().to("cpu", torch.int64)
        order = torch.argsort(lengths, descending=True, stable=True)
        valid = torch.arange(int(lengths.max()))[:, None] < lengths[order][None, :]
        time, position = valid.nonzero(as_tuple=True)
        running = valid.sum(1)
        starts = running.cumsum(0) - running
        previous = torch.where(time > 0, starts[time - 1] + position, position)
        last = starts[lengths - 1] + torch.argsort(order)
        clip, time, previous, last = (x.to(device) for x in (order[position], time, previous, last))
        return cls(clip, time, previous, tuple(running.tolist()), last)

    def unpack(self, packed: Tensor) -> Tensor:
        """(F, C, H, W) -> (N, C, T, H, W), zero where a clip has no frame: a layer's output over time."""
        padded = packed.new_zeros(len(self.last), len(self.running), *packed.shape[1:])
        return padded.index_put((self.clip, self.time), packed).transpose(1, 2)


class TemporalSpatialAttention(nn.Module):
    """Weights each frame by a convolution of its difference from the one before (Eq. 2): C(x_t - x_(t-1)) * x_t + x_t.

    Our reading: the first frame's difference is zero, and C starts with weight 1 at the centre of every 3x3 kernel and
    bias 0, so that at first the summed change of the three channels is what weights the frame.
    """

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.conv = RowConvolution(channels, channels)
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.weight[:, :, 1, 1] = 1.0
            assert self.conv.bias is not None
            self.conv.bias.zero_()

    def forward(self, frames: Tensor, previous: Tensor) -> Tensor:
        """Frames (F, C, H, W) and the frames before them (F, C, H, W) -> (F, C, H, W)."""
        return torch.addcmul(frames, self.conv(frames - previous), frames)


class FeatureProcessing(Backbone):
    """The paper's FPN: two convolutions with pooling, frame by frame; (F, 3, S, S) -> (F, 6, S/4, S/4).

    Channel dropout acts on each frame by itself: a frame loses whole feature maps, its neighbours lose others.
    """

    out_channels = 6

    def __init__(self, channels: int = 3, dropout: float = 0.2) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv1 = BlockConvolution(channels, 4)
        self.norm1 = nn.BatchNorm2d(4)
        self.relu1 = nn.ReLU()
        self.pool1 = BlockMean()
        self.conv2 = BlockConvolution(4, self.out_channels)
        self.norm2 = nn.BatchNorm2d(self.out_channels)
        self.relu2 = nn.ReLU()
        self.pool2 = BlockMean()
        self.dropout = nn.Dropout2d(dropout)


class NonLocal(nn.Module):
    """Dot-product non-local block over the positions of a map: (N, C, h, w) -> the same shape.

    Every position gathers from all others, weighted by the dot product of their embeddings and divided by their number.
    Our reading: embeddings of width 4, keys and values max-pooled 2x2, and an output batch norm that starts at zero,
    so that the block begins as the identity.
    """

    def __init__(self, channels: int = 8, width: int = 4) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, width, 1)
        self.key = nn.Conv2d(channels, width, 1)
        self.value = nn.Conv2d(channels, width, 1)
        self.pool = nn.MaxPool2d(2)
        self.out = nn.Conv2d(width, channels, 1)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        query = self.query(x).flatten(2)
        key, value = (self.pool(embed(x)).flatten(2) for embed in (self.key, self.value))
        # No softmax stands between the two products, so value @ key' comes first: width x width instead of positions^2.
        gathered = (value @ key.transpose(1, 2) / key.shape[2]) @ query
        return x + self.norm(self.out(gathered.unflatten(2, x.shape[2:])))


class Head(nn.Sequential):
    """The classification block: last hidden state (N, 8, h, h) -> logit (N,). `relu` gives the embedding of Fig. 5."""

    def __init__(self, channels: int = 8, side: int = 12, width: int = 10, dropout: float = 0.5) -> None:
        super().__init__()
        out_side = side // 2 - 1
        self.nonlocal_block = NonLocal(channels)
        self.pool = nn.AvgPool2d(2)
        self.conv = nn.Conv2d(channels, width, 2)
        self.norm = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(width * out_side**2, 1)
        self.squeeze: nn.Module = nn.Flatten(0)


class FrameEncoder(nn.Module, ABC):
    """TSA and FPN, frame by frame, with some recurrence over their features (`states`) to follow.

    Parameters
    ----------
    tsa : bool
        False leaves the temporal spatial attention out; frames enter the FPN as they are.
    fpn : callable
        Makes the FPN, or what takes its place.

    Attributes
    ----------
    block : int
        Frames that go through TSA and FPN together when scoring on a CPU. Elsewhere, and whenever gradients are
        recorded or batch statistics taken, it is all frames of the batch; set it high for hooks that are to see all.
    """

    block = 512

    def __init__(self, *, tsa: bool = True, fpn: Callable[[], Backbone] = FeatureProcessing) -> None:
        super().__init__()
        self.tsa = TemporalSpatialAttention() if tsa else None
        self.fpn = fpn()

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Frames (N, 3, T, S, S), lengths (N,) -> the last hidden state of each clip, (N, 8, S/4, S/4) by default."""
        packing = Packing.of(lengths, frames.device)
        states = self.states(self.features(frames, packing), packing)
        return states.index_select(0, packing.last)

    @abstractmethod
    def states(self, features: Tensor, packing: Packing) -> Tensor:
        """Hidden state after each frame, packed as the features are."""

    def features(self, frames: Tensor, packing: Packing) -> Tensor:
        """Output of the FPN for every valid frame, packed: (F, 6, S/4, S/4); `Packing.unpack` puts it back in place."""
        frames = frames.transpose(1, 2)
        count = len(packing.clip)
        if self.training or torch.is_grad_enabled() or frames.device.type != "cpu":
            return self._features(frames, packing, slice(0, count))
        # Frames do not influence each other here, so blocks bound the memory that long clips take.
        blocks = (slice(start, start + self.block) for start in range(0, count, self.block))
        return torch.cat([self._features(frames, packing, block) for block in blocks])

    def _features(self, frames: Tensor, packing: Packing, block: slice) -> Tensor:
        packed = frames[packing.clip[block], packing.time[block]]
        if self.tsa is not None:
            packed = self.tsa(packed, self._before(frames, packing, block))
        return self.fpn(packed.contiguous())

    def _before(self, frames: Tensor, packing: Packing, block: slice) -> Tensor:
        """Return the frame before each frame; a clip's first frame has itself, so that its difference is zero."""
        return frames[packing.clip[block], (packing.time[block] - 1).clamp(min=0)]


class Encoder(FrameEncoder):
    """TSA, FPN and ConvLSTM: (N, 3, T, S, S) with lengths (N,) -> the last hidden state of each clip (N, 8, S/4, S/4).

    Parameters
    ----------
    tsa, fpn
        As in `FrameEncoder`.
    hidden_channels : int
        Maps of the hidden state.
    """

    def __init__(
        self, *, tsa: bool = True, fpn: Callable[[], Backbone] = FeatureProcessing, hidden_channels: int = 8
    ) -> None:
        super().__init__(tsa=tsa, fpn=fpn)
        self.convlstm = ConvLSTM(self.fpn.out_channels, hidden_channels)

    def states(self, features: Tensor, packing: Packing) -> Tensor:
        """Hidden state of the ConvLSTM after each frame, (F, hidden_channels, h, w)."""
        states: Tensor = self.convlstm(features, packing.previous, packing.running)
        return states


class SmileNet(nn.Module):
    """An encoder of clips and a head that scores what it returns: what RealSmileNet and its variants share.

    Parameters
    ----------
    size : int
        Side of the square input frames in pixels: a multiple of 4, at least `least`.
    encoder : torch.nn.Module
        ``encoder(frames, lengths)``.
    head : torch.nn.Module
    """

    least = 24
    anchor_rule = "none"

    def __init__(self, size: int, encoder: FrameEncoder, head: nn.Module) -> None:
        super().__init__()
        self.size = size
        self.encoder = encoder
        self.head = head

    @classmethod
    def check_size(cls, size: int) -> None:
        """Raise a ValueError unless a network can be built for frames of this side."""
        if size < cls.least or size % 4:
            raise ValueError(
                f"size is {size}; expected a multiple of 4 pixels, {cls.least} or more: the FPN halves it twice"
            )

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Score clips.

        Parameters
        ----------
        frames : Tensor, float (N, 3, T, size, size)
            RGB in [0, 1]. Frames of clip n from ``lengths[n]`` on are padding and never read.
        lengths : Tensor, int (N,)
            Valid frames of each clip, 1..T. Keep them on the CPU: they plan the computation.

        Returns
        -------
        Tensor, float (N,)
            Logits; 0 or more is decided as spontaneous (Eq. 1).

        Raises
        ------
        ValueError
            A shape, type or length that does not fit.
        """
        check_input(frames, lengths, channels=3, size=self.size)
        return self.head(self.encoder(frames, lengths))


@register("realsmilenet")
class RealSmileNet(SmileNet):
    """RealSmileNet from Yang et al. (2020) [1]_.

    An end-to-end network for clips of any length. Only valid frames are computed: they are packed before the first
    layer, so padding changes neither a result nor the batch statistics, whatever it holds.

    =========== ============================================================================= ================
    stage       operation                                                                     output
    =========== ============================================================================= ================
    TSA         3x3 conv of x_t - x_(t-1), times x_t, plus x_t (Eq. 2)                        3 x 48 x 48
    FPN         BN; [3x3 conv 4, BN, ReLU, 2x2 mean]; [3x3 conv 6, BN, ReLU, 2x2 mean]        6 x 12 x 12
    ConvLSTM    3x3 conv of concat(e_t, h_(t-1)) to 4 gates of 8; last hidden state           8 x 12 x 12
    head        non-local block; 2x2 mean; [2x2 conv 10, BN, ReLU]; dropout; flatten; linear  1
    =========== ============================================================================= ================

    With the defaults it has 5,273 parameters.

    Parameters
    ----------
    size : int
        Side of the square input frames in pixels: a multiple of 4, at least 24; the paper's is 48. Only the last layer
        depends on it.
    tsa : bool
        False leaves the temporal spatial attention out (an ablation of Table 3).
    feature_dropout : float
        Probability that a feature map of a frame is dropped after the FPN.
    dropout : float
        Probability that an element is dropped before the last layer. The paper's is 0.5.

    Notes
    -----
    Printed in the paper: the four stages, Eq. 2, the ConvLSTM equations, kernel sizes and channel numbers
    (Fig. 2), dropout 0.5, the dot-product form of the non-local block. Our reading, where the paper is silent: frames
    scaled to [0, 1], the batch norm before the FPN, channel dropout 0.2 after it (frame by frame), how the TSA
    convolution starts, the non-local block's width and pooling, first difference and first states zero.
    A clip of one frame is allowed; its difference is zero.

    References
    ----------
    .. [1] Yang, Y., Hossain, M. Z., Gedeon, T., Rahman, S. (2020). RealSmileNet: A Deep End-To-End Network for
       Spontaneous and Posed Smile Recognition. ACCV 2020.
    """

    def __init__(
        self, *, size: int = SIZE, tsa: bool = True, feature_dropout: float = 0.2, dropout: float = 0.5
    ) -> None:
        self.check_size(size)
        encoder = Encoder(tsa=tsa, fpn=partial(FeatureProcessing, dropout=feature_dropout))
        super().__init__(size, encoder, Head(encoder.convlstm.hidden_channels, size // 4, dropout=dropout))
