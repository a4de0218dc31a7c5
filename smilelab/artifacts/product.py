"""What a maker returns: tables or a figure, with everything their honesty needs."""

from __future__ import annotations

import base64
import hashlib
import html
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from smilelab import datasets
from smilelab.clips import ClipStore
from smilelab.runs import RunFailure, RunResult

NOT_RUN = "not run"
_SHORT = {"uva-nemo": "UvA-NEMO", "bbc": "BBC", "mmi": "MMI", "spos": "SPOS", "recordings": "recordings"}


@dataclass(frozen=True)
class Source:
    """The data behind an artifact."""

    database: str
    simulated: bool
    store: str
    settings: dict[str, Any]

    @property
    def label(self) -> str:
        """How the database is called on the artifact."""
        return database_label(self.database, simulated=self.simulated)


@dataclass
class Product:
    """Tables or a figure, the notes under them, and the stores and runs they come from.

    Attributes
    ----------
    tables : dict of str to pandas.DataFrame
        Caption to table; the first is the artifact's own, the others go with it.
    figure : matplotlib.figure.Figure, optional
        The picture.
    notes : list of str
        Sentences printed under it.
    stores, runs : list
        What it was computed from.
    """

    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    figure: Figure | None = None
    notes: list[str] = field(default_factory=list)
    stores: list[ClipStore] = field(default_factory=list)
    runs: list[RunResult | RunFailure] = field(default_factory=list)

    def sources(self) -> list[Source]:
        """Databases behind it, each once."""
        found = {s.hash: Source(s.database, s.simulated, s.hash, dict(s.provenance)) for s in self.stores}
        return list(found.values())

    @property
    def simulated(self) -> bool:
        """Whether any of its data came from the simulator."""
        return any(source.simulated for source in self.sources())

    @property
    def banner(self) -> str:
        """What stands above its tables where some of its data, or all, came from the simulator; else empty."""
        sources = self.sources()
        made = [source for source in sources if source.simulated]
        if len(made) == len(sources):
            return "Measured on simulated data: no evidence about real smiles." if made else ""
        names = ", ".join(dict.fromkeys(source.label for source in made))
        return (
            f"Columns, rows and panels called simulated ({names}) were measured on simulated data: no evidence about "
            "real smiles."
            if made
            else ""
        )

    def _repr_html_(self) -> str:
        parts = []
        if self.figure is not None:
            buffer = io.BytesIO()
            self.figure.savefig(buffer, format="png", bbox_inches="tight", dpi=110)
            encoded = base64.b64encode(buffer.getvalue()).decode()
            parts.append(f'<img src="data:image/png;base64,{encoded}" alt="" style="max-width: 100%">')
        if self.tables and self.simulated:
            parts.append(f"<p><b>{html.escape(self.banner)}</b></p>")
        for caption, table in self.tables.items():
            parts.append(f"<p><b>{html.escape(caption)}</b></p>{table.to_html(index=False, na_rep='')}")
        parts += [f"<p>{html.escape(note)}</p>" for note in self.notes]
        return "\n".join(parts)

    def inputs(self) -> dict[str, str]:
        """Files it was read from, each with a digest of the content."""
        paths = [store.path / "manifest.csv" for store in self.stores]
        runs = [run for run in self.runs if isinstance(run, RunResult)]
        paths += [file for run in runs for file in (run.folder / "predictions.csv", run.weights)]
        return {str(path): digest(path) for path in paths}


def database_label(name: str, *, simulated: bool) -> str:
    """Return how a database is called on artifacts: "UvA-NEMO", or "simulated UvA-NEMO"."""
    short = _SHORT.get(name) or datasets.kind(name).title.removeprefix("the ")
    return f"simulated {short}" if simulated else short


def digest(path: Path) -> str:
    """Sixteen hex digits over a file's content; empty where it is gone."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ""
