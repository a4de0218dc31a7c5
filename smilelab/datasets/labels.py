"""Labels of clips."""

from __future__ import annotations

SPONTANEOUS, POSED = 1, 0
NEUTRAL = -1  # of rows of kind "neutral", which show no smile and belong to no class
