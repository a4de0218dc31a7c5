"""LSTM and GRU over packed clips, for flattened features."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

Kind = Literal["lstm", "gru"]


class PackedRecurrence(nn.Module):
    """torch's LSTM or GRU over the features of packed clips, each frame's flattened to one vector.

    torch packs clips as `Packing` does (time-major, longest first), so packed frames are handed over as they lie and no
    padding is computed. Hidden and cell state start at zero. Always computed in float32, as the ConvLSTM is.

    Parameters
    ----------
    kind : {"lstm", "gru"}
    in_features : int
        Numbers of a flattened frame.
    hidden : int
        Width of the hidden state. The published code's is 256; the paper has no such variant.
    """

    def __init__(self, kind: Kind, in_features: int, hidden: int = 256) -> None:
        super().__init__()
        self.hidden = hidden
        self.rnn = (nn.LSTM if kind == "lstm" else nn.GRU)(in_features, hidden)

    def forward(self, features: Tensor, running: tuple[int, ...]) -> Tensor:
        """Hidden state after each frame.

        Parameters
        ----------
        features : Tensor, float (F, C, h, w)
            Packed time-major, longest clip first.
        running : tuple of int, (T,)
            Number of clips that have a frame at each time step; sums to F.

        Returns
        -------
        Tensor, float32 (F, hidden)
        """
        with torch.autocast(features.device.type, enabled=False):
            states, _ = self.rnn(PackedSequence(features.flatten(1).float(), torch.tensor(running)))
        return states.data
