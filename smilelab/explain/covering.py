"""What a score loses when a part of every frame is covered: a check of maps and models that needs no map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from smilelab.explain.branch import explaining
from smilelab.scoring import batch_of

# The clip's mean colour would be skin, mostly: on the surroundings it paints a face instead of hiding one.
GREY = 127


class Covers(NamedTuple):
    """Places to cover, (T, S, S) bool each: as many in one as in the other, in every frame."""

    inside: NDArray[np.bool_]
    outside: NDArray[np.bool_]


def equal_covers(depth: NDArray[np.floating]) -> Covers:
    """Cover as much of an object as of what is around it.

    Parameters
    ----------
    depth : (T, S, S) array
        How deep in the object a place lies: positive inside of it, negative outside, larger the further from its edge.

    Returns
    -------
    Covers
        Of each frame the k deepest places and the k furthest outside; k is the largest that the smaller of the two
        regions of any frame allows, so that all covers of a clip have one area. A crop shows more face than
        surroundings: then the whole surroundings are covered, and of the face its middle.

    Raises
    ------
    ValueError
        A frame that shows the object or its surroundings alone.
    """
    count = int(min((depth > 0).sum((1, 2)).min(), (depth < 0).sum((1, 2)).min()))
    if not count:
        raise ValueError("found a frame without object or without surroundings; expected some of both: widen the crop")
    flat = depth.reshape(len(depth), -1)
    order = np.argsort(flat, axis=1, kind="stable")
    outside, inside = (np.zeros(flat.shape, bool) for _ in range(2))
    np.put_along_axis(outside, order[:, :count], True, 1)
    np.put_along_axis(inside, order[:, -count:], True, 1)
    return Covers(inside.reshape(depth.shape), outside.reshape(depth.shape))


def covered(frames: NDArray[np.uint8], cover: NDArray[np.bool_], colour: ArrayLike = GREY) -> NDArray[np.uint8]:
    """Paint places of a clip (T, S, S, 3) in one colour: a grey, or (3,) RGB."""
    return np.where(cover[..., None], np.asarray(colour, np.uint8), frames)


def drops(
    model: nn.Module,
    frames: NDArray[np.uint8],
    covers: Sequence[NDArray[np.bool_]],
    *,
    colour: ArrayLike = GREY,
    device: str = "cpu",
) -> tuple[float, NDArray[np.float64]]:
    """How much a clip's score falls when places of it are covered.

    Parameters
    ----------
    model : torch.nn.Module
        Of clips alone: ``model(frames, lengths)`` gives logits (N,).
    frames : (T, S, S, 3) uint8 array
        The clip.
    covers : sequence of (T, S, S) bool arrays
    colour : int or (3,) ints
        As in `covered`.
    device : str
        A torch device.

    Returns
    -------
    logit : float
        Of the clip as it is; positive is spontaneous.
    drops : (len(covers),) array
        What the score of the class that was decided, the logit or its negative, falls by under each cover; negative
        where it rises. Without any evidence a network still leans to one class, so clips of the other lose more: only
        a mean over both says something.
    """
    clips = [frames, *(covered(frames, cover, colour) for cover in covers)]
    with explaining(model.to(device)), torch.inference_mode():
        logits = model(*batch_of(clips, np.arange(len(clips))).inputs(device)).double().cpu().numpy()
    sign = 1 if logits[0] >= 0 else -1
    return float(logits[0]), np.asarray(sign * (logits[0] - logits[1:]))
