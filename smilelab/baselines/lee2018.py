"""Lee'18: a temporal stream on stacked optical flow, fused with a regression on facial geometry and asymmetry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from smilelab.allocator import tune_allocator
from smilelab.baselines import Samples, register
from smilelab.baselines.asymmetry import Geometry, features, geometry
from smilelab.baselines.flow import clip_flow, side_speeds, stack_starts
from smilelab.baselines.regression import Regression
from smilelab.baselines.temporal import TemporalStream, stream_logits, train_stream
from smilelab.clips import ClipStore
from smilelab.scoring import check_labels

__all__ = ["Lee2018"]

State = dict[str, NDArray[np.generic]]


class _Places(NamedTuple):
    """Where samples lie: clip ids (n,), first frames (n,) and numbers of frames (n,)."""

    clip_ids: NDArray[np.str_]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]


class _Clip(NamedTuple):
    """What is computed of a clip's frames, once."""

    flow: NDArray[np.int8]
    geometry: Geometry
    times: NDArray[np.float64]

    def features(self, start: int, length: int) -> NDArray[np.float64]:
        """What the regression is given of a sample."""
        frames = slice(start, start + length)
        shape = features(Geometry(*(values[frames] for values in self.geometry)), self.times[frames])
        return np.concatenate([shape, side_speeds(self.flow[start : start + length - 1])])

    def fields(self, start: int, length: int) -> NDArray[np.int8]:
        """(2 * length, H, W): the flow fields from `start` on, x and y in turn."""
        return self.flow[start : start + length].reshape(2 * length, *self.flow.shape[2:])


@register("lee2018")
class Lee2018:
    """Temporal stream and support vector regression, fused at the level of their scores (Lee & Lee 2018) [1]_.

    What is known of the method is one sentence of Lee & Lee 2020, section 4.1: fused are the scores of a temporal
    stream CNN (Simonyan & Zisserman 2014) that receives optical flow, and of a support vector regression that receives
    facial spatial and facial asymmetry information. Table 3 reports its performance. The abstract [1]_ is no source of
    layers, measures or settings, so that all of these are our choice:

    - Flow: Farneback's on grey crops of `size` px, mean of each field subtracted (as Simonyan & Zisserman do), kept in
      8 bits. A stack is `stack` consecutive fields. A sample's logit is the mean over as few evenly spaced stacks as
      cover it; its score is the logistic function of that.
    - Network: `temporal.TemporalStream` with Adam and binary cross-entropy, one stack of each drawn window. Nothing is
      mirrored: that would exchange the sides of the face.
    - Draws: both classes have the same chance, within a class all clips, within a clip all windows. Windows at a stride
      of 1 hardly differ, so that an epoch is a number of draws, not all windows.
    - Regression: RBF kernel on the standardised features of `asymmetry.features` and `flow.side_speeds`, target 1 or 0,
      score clipped to [0, 1]. C is the one of `costs` that inner folds by subject of the drawn training windows favour.
    - Fusion: weighted mean of the two scores.

    Parameters
    ----------
    size : int
        Pixels a side at which flow is computed, at least 16.
    limit : float
        Flow in px a frame (of `size`) that 8 bits reach to; 99.9 % of it is less in simulated faces at 30 frames a
        second, and half of it less than 0.02.
    stack : int
        Flow fields in a stack; samples need at least one frame more.
    width, dropout
        Of `temporal.TemporalStream`.
    epochs, windows_per_epoch, batch_size : int
        Length of the network's training, in draws.
    learning_rate, weight_decay : float
        Adam's; the rate falls linearly to zero.
    regression_windows : int
        Windows drawn for the regression, whose time grows with their square; all where there are fewer.
    costs : sequence of float
        Candidates for C; a single one is taken as it is.
    weight : float
        Of the temporal stream in the fusion, 0 to 1.

    Raises
    ------
    ValueError
        An option out of its range.

    References
    ----------
    .. [1] Lee, K., Lee, E.C. (2018). Facial asymmetry feature based spontaneous facial expression classification using
       temporal convolutional networks and support vector regression. Basic Clin. Pharmacol. Toxicol. 124(S2), 63-64.
    """

    def __init__(
        self,
        *,
        size: int = 56,
        limit: float = 1.0,
        stack: int = 10,
        width: int = 16,
        dropout: float = 0.5,
        epochs: int = 8,
        windows_per_epoch: int = 1500,
        batch_size: int = 32,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-4,
        regression_windows: int = 1500,
        costs: Sequence[float] = (0.1, 1.0, 10.0),
        weight: float = 0.5,
    ) -> None:
        least = {"size": (size, 16), "stack": (stack, 1), "width": (width, 1), "epochs": (epochs, 1)}
        least |= {"windows_per_epoch": (windows_per_epoch, 1), "batch_size": (batch_size, 1)}
        least |= {"regression_windows": (regression_windows, 2), "number of costs": (len(costs), 1)}
        for name, (found, bound) in least.items():
            if found < bound:
                raise ValueError(f"{name} is {found}; expected at least {bound}")
        if not 0 <= weight <= 1 or not 0 <= dropout < 1:
            raise ValueError(f"weight is {weight} and dropout {dropout}; expected 0 to 1, and dropout less than 1")
        if min(limit, learning_rate, *costs) <= 0 or weight_decay < 0:
            raise ValueError(
                f"limit is {limit}, learning_rate {learning_rate}, costs {tuple(costs)} and weight_decay "
                f"{weight_decay}; expected all above 0, and a decay of 0 or more"
            )
        self.size, self.limit, self.stack, self.weight = size, limit, stack, weight
        self.width, self.dropout, self.costs = width, dropout, tuple(costs)
        self.epochs, self.windows_per_epoch, self.batch_size = epochs, windows_per_epoch, batch_size
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.regression_windows = regression_windows
        self._fitted: tuple[TemporalStream, Regression] | None = None

    def fit(self, samples: Samples, labels: NDArray[np.int64] | Sequence[int], *, seed: int) -> None:
        """Fit both parts. The flow of all clips is held meanwhile, 6 kB a frame at 56 px.

        Parameters
        ----------
        samples : Samples
            Windows or clips of at least ``stack + 1`` frames.
        labels : int (n,)
            1 spontaneous, 0 posed.
        seed : int
            Draws the windows, the starting weights and the dropout.

        Raises
        ------
        ValueError
            Samples that are too short, without landmarks or of one class; several `costs` but one subject.
        """
        tune_allocator()
        targets = check_labels(labels, len(samples), "training samples")
        if len(np.unique(targets)) < 2:
            raise ValueError(f"all {len(targets)} training samples have one label; expected both 0 and 1")
        places = self._places(samples)
        clips = {str(clip_id): self._clip(samples.store, str(clip_id)) for clip_id in pd.unique(places.clip_ids)}
        chances = _chances(places.clip_ids, targets)
        rng = np.random.default_rng(seed)

        count = min(self.regression_windows, len(targets))
        chosen = rng.choice(len(targets), count, replace=False, p=chances)
        rows = np.stack([clips[places.clip_ids[n]].features(places.starts[n], places.lengths[n]) for n in chosen])
        subjects = samples.store.manifest["subject"].reindex(places.clip_ids[chosen]).to_numpy(str)
        regression = Regression.fit(rows, targets[chosen], subjects, self.costs)

        def draw(count: int) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
            windows = rng.choice(len(targets), count, p=chances)
            starts = places.starts[windows] + rng.integers(0, places.lengths[windows] - self.stack)
            ids = places.clip_ids[windows]
            stacks = [clips[clip_id].fields(start, self.stack) for clip_id, start in zip(ids, starts, strict=True)]
            return np.stack(stacks), targets[windows]

        with _own_random_state(seed):
            network = TemporalStream(self.size, self.stack, self.width, self.dropout)
            train_stream(
                network,
                draw,
                epochs=self.epochs,
                draws=self.windows_per_epoch,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay,
            )
        self._fitted = network, regression

    def score(self, samples: Samples) -> NDArray[np.float64]:
        """Probability that each sample's smile is spontaneous.

        Parameters
        ----------
        samples : Samples
            Windows or clips of at least ``stack + 1`` frames, each of any length.

        Returns
        -------
        (n,) float64 array

        Raises
        ------
        ValueError
            Not fitted; samples that are too short or without landmarks.
        """
        temporal, spatial = self.parts(samples)
        return self.weight * temporal + (1 - self.weight) * spatial

    def parts(self, samples: Samples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scores (n,) in [0, 1] of the temporal stream and of the regression, of which `score` is the weighted mean."""
        network, regression = self._both()
        places = self._places(samples)
        logits, spatial = np.empty(len(samples)), np.empty(len(samples))
        # Clip by clip, so that the flow of no more than one clip is held.
        for clip_id, chosen in pd.Series(places.clip_ids).groupby(places.clip_ids, sort=False).indices.items():
            clip = self._clip(samples.store, str(clip_id))
            starts, lengths = places.starts[chosen], places.lengths[chosen]
            # Windows that overlap share stacks.
            stacks = [
                start + stack_starts(length - 1, self.stack) for start, length in zip(starts, lengths, strict=True)
            ]
            distinct = np.unique(np.concatenate(stacks))
            of_stack = stream_logits(network, np.stack([clip.fields(start, self.stack) for start in distinct]))
            logits[chosen] = [of_stack[np.searchsorted(distinct, some)].mean() for some in stacks]
            spatial[chosen] = regression.predict(
                np.stack([clip.features(start, length) for start, length in zip(starts, lengths, strict=True)])
            )
        return torch.from_numpy(logits).sigmoid().numpy(), spatial

    def state(self) -> State:
        """Weights of both parts, and the options that they depend on, as arrays."""
        network, regression = self._both()
        weights = {f"network.{name}": value.numpy().copy() for name, value in network.state_dict().items()}
        return self._options() | weights | {f"regression.{name}": value for name, value in regression._asdict().items()}

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over what `state` returned of a baseline with the same options; it then gives the same scores.

        Parameters
        ----------
        state : mapping of str to array

        Raises
        ------
        ValueError
            If it is incomplete or of other options.
        """
        with torch.random.fork_rng(devices=[]):
            network = TemporalStream(self.size, self.stack, self.width, self.dropout).eval()
        weights = [f"network.{name}" for name in network.state_dict()]
        arrays = [f"regression.{name}" for name in Regression._fields]
        if lacking := {*self._options(), *weights, *arrays} - set(state):
            raise ValueError(f"the state lacks {', '.join(sorted(lacking))}; expected all that state() returned")
        for name, own in self._options().items():
            if not np.array_equal(state[name], own):
                raise ValueError(f"{name} of the state is {state[name]}, here {own}; build with the state's options")
        network.load_state_dict({name.partition(".")[2]: torch.from_numpy(np.array(state[name])) for name in weights})
        self._fitted = network, Regression(*(np.array(state[name], np.float64) for name in arrays))

    def _options(self) -> State:
        return {f"options.{name}": np.array(getattr(self, name)) for name in ("size", "limit", "stack", "width")}

    def _both(self) -> tuple[TemporalStream, Regression]:
        if self._fitted is None:
            raise ValueError("the baseline is not fitted; call fit or load_state first")
        return self._fitted

    def _clip(self, store: ClipStore, clip_id: str) -> _Clip:
        track = store.track(clip_id)
        try:
            measured = geometry(track["landmarks"])
        except ValueError as error:
            raise ValueError(f"clip {clip_id!r}: {error}. Leave it out.") from None
        flow = clip_flow(store.frames(clip_id), size=self.size, limit=self.limit)
        return _Clip(flow, measured, store.times(clip_id))

    def _places(self, samples: Samples) -> _Places:
        if not len(samples):
            raise ValueError("there are no samples; expected at least one")
        lengths = np.array([len(samples[number]) for number in range(len(samples))])
        table = samples.table
        places = _Places(table["clip_id"].to_numpy(str), table["start"].to_numpy(np.int64), lengths)
        if lengths.min() <= self.stack:
            number = int(lengths.argmin())
            raise ValueError(
                f"sample {number} (clip '{places.clip_ids[number]}') has {lengths[number]} frames; expected at least "
                f"{self.stack + 1}, as a stack is {self.stack} flow fields. Leave it out or lower the option stack."
            )
        return places


def _chances(clip_ids: NDArray[np.str_], targets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Chance (n,) that a draw is this sample: equal for both classes, a class's clips, and a clip's samples."""
    table = pd.DataFrame({"clip": clip_ids, "label": targets})
    windows = table.groupby(["clip", "label"])["label"].transform("size")
    clips = table.groupby("label")["clip"].transform("nunique")
    chances = (1 / (windows * clips)).to_numpy(np.float64)
    return chances / chances.sum()


@contextmanager
def _own_random_state(seed: int) -> Iterator[None]:
    """Seed torch's generator for what runs inside, and give it back as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
