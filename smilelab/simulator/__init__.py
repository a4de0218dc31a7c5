"""Simulated databases in the layouts of the real ones."""
