"""Smiles of a painted face: frames and landmarks that follow one function of place and time, at any size and rate."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from drawn_faces import symmetric_face

CORNERS = (48, 54)
# Of the crop: how far its eyes lie apart and where the middle between them is.
_EYES, _MIDDLE = 0.35, (0.5, 0.35)


def smile(seconds: float, *, rise: float = 0.3, onset: float = 0.6, start: float = 0.3):
    """Amplitude of a smile over time (s): it rises by a half cosine, is held, and falls again by as long."""
    end = seconds - start - onset

    def amplitude(at):
        up = np.clip((at - start) / onset, 0, 1)
        down = np.clip((at - end) / onset, 0, 1)
        return rise * (np.cos(np.pi * down) - np.cos(np.pi * up)) / 2

    return amplitude


class PaintedView:
    """A clip as methods look at it: a textured face whose lip corners move out and up."""

    def __init__(self, amplitude, *, seconds=3.0, fps=25.0, size=96, face=0, clip_id="painted", bridged=()):
        count = round(seconds * fps) + 1
        self.clip_id = clip_id
        self.store = SimpleNamespace(has_frames=True)
        self.times = 1.0 + np.arange(count) / fps
        course = np.broadcast_to(amplitude(self.times - 1.0), count)
        generator = np.random.default_rng(face)
        self._waves = generator.normal(0, 14, (24, 2))
        self._phases = generator.uniform(0, 2 * np.pi, 24)
        still = symmetric_face()
        points = np.repeat(still[None], count, 0)
        # Where the skin of each point is to be seen: what is painted there is what was painted at the point.
        for _ in range(100):
            points = still + self._moved(points, course[:, None], still)
        if len(bridged):
            points[list(bridged)] = points[bridged[0] - 1]
        scale = _EYES * size
        self.crop_landmarks = points * scale + np.array(_MIDDLE) * size - 0.5
        self.landmarks = 3 * self.crop_landmarks + [200, 100]
        x, y = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2)
        place = np.stack([x - _MIDDLE[0], y - _MIDDLE[1]], -1) / _EYES
        pictures = np.empty((count, size, size))
        for number, now in enumerate(course):
            pictures[number] = self._paint(place - self._moved(place, now, still))
        self.frames = np.repeat(np.rint(pictures)[..., None], 3, -1).astype(np.uint8)

    def _moved(self, place, amplitude, still):
        """By how much the skin that is seen at places (..., 2) has moved."""
        found = np.zeros(np.shape(place))
        for corner, outwards in zip(CORNERS, (-1.0, 1.0), strict=True):
            near = np.exp(-((place - still[corner]) ** 2).sum(-1) / (2 * 0.4**2))
            found += (near * amplitude)[..., None] * [outwards, -0.4]
        return found

    def _paint(self, place):
        waves = np.cos(place @ self._waves.T + self._phases)
        return 128 + 100 * np.tanh(waves.sum(-1) / np.sqrt(len(self._waves)))


def features_of(baseline, view):
    """Features of a clip by all extractors of a baseline, computed anew and as the store would give them back."""
    found = {}
    for extractor in baseline.extractors:
        found |= extractor.compute(view, **extractor.options)
    return {name: np.asarray(value, np.float64) for name, value in found.items()}
