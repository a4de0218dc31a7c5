"""From finished runs to the papers' tables and figures."""

from __future__ import annotations

from importlib import import_module


def load_makers() -> None:
    """Import the modules whose functions make artifacts, so that the catalogue knows all of them."""
    for module in ("data_tables", "tables", "figures", "data_figures", "diagrams"):
        import_module(f"smilelab.artifacts.{module}")
