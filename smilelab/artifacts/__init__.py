"""From finished runs to the papers' tables and figures."""

from __future__ import annotations

from importlib import import_module

_MAKERS = (
    *("data_tables", "data_figures", "tables", "figures", "diagrams"),
    *("lee_tables", "lee_curves", "lee_diagrams", "siamese_figures", "audit_page"),
    *("yang_tables", "yang_groups", "yang_sweep", "yang_cam", "yang_time"),
    *("auda_pieces", "combined", "cues"),
)


def load_makers() -> None:
    """Import the modules whose functions make artifacts, so that the catalogue knows all of them."""
    for module in _MAKERS:
        import_module(f"smilelab.artifacts.{module}")
