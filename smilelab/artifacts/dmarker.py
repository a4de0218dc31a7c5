"""Landmark signals and phase statistics of smiles, as far as their time is measured and their course is drawn."""

from smilelab.baselines.landmark_signals import amplitudes, smoothed
from smilelab.baselines.phase_features import STATISTICS, statistics

__all__ = ["STATISTICS", "amplitudes", "smoothed", "statistics"]
