"""Writing artifacts to ``figures/<profile>``: files, manifest, index, and whether each is still what its data say."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd

from smilelab import plans
from smilelab.artifacts.catalogue import CATALOGUE, maker_digest
from smilelab.artifacts.product import Product, database_label, digest
from smilelab.files import locked, write_atomically
from smilelab.runs import code_version

SIMULATED_STAMP = "simulated data"
_STYLE: dict[Any, Any] = {"svg.hashsalt": "smilelab", "svg.fonttype": "none", "font.size": 9, "figure.dpi": 150}


class Gallery:
    """The artifacts of one profile.

    Parameters
    ----------
    profile : str
        Name of the profile; its folder lies below ``root``.
    root : str or Path
        The figures folder.
    home : str or Path
        Folder that paths in the manifest are relative to.
    """

    def __init__(self, profile: str, root: str | Path = "figures", home: str | Path = ".") -> None:
        self.profile = profile
        self.home = Path(home).resolve()
        self.folder = Path(root).resolve() / profile

    @property
    def manifest(self) -> dict[str, Any]:
        """How each artifact was made, by id."""
        path = self.folder / "manifest.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def save(self, artifact_id: str, product: Product) -> Product:
        """Write an artifact's files, its entry in the manifest and the index.

        A product with simulated data gets that written on its picture and above its tables.

        Parameters
        ----------
        artifact_id : str
            An id of the catalogue with a registered maker.
        product : Product
            What the maker returned.

        Returns
        -------
        Product
            The same, for showing it in a notebook.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / ".lock"):
            files = self._write_files(artifact_id, product)
            manifest = {**self.manifest, artifact_id: self._entry(artifact_id, product, files)}
            write_atomically(self.folder / "index.md", self._index(manifest))
            write_atomically(self.folder / "manifest.json", json.dumps(manifest, indent=1, sort_keys=True) + "\n")
        return product

    def status(self) -> pd.DataFrame:
        """One row per artifact of the catalogue: made, stale or waiting, and for what."""
        manifest = self.manifest
        rows = []
        for artifact in CATALOGUE.values():
            entry = manifest.get(artifact.id)
            if entry is None:
                state, detail = "waiting", f"needs {artifact.needs}"
            elif reason := self._stale(artifact.id, entry):
                state, detail = "stale", f"{reason}; run: {entry['command']}"
            else:
                data = ", ".join(_labels(entry)) or "no database"
                elsewhere = not all((self.home / path).exists() for path in entry["inputs"])
                state = "made"
                detail = f"{entry['made']} from {data}" + (", whose files are not on this machine" if elsewhere else "")
            rows.append((artifact.id, artifact.notebook, state, detail))
        return pd.DataFrame(rows, columns=["artifact", "notebook", "state", "detail"])

    def _write_files(self, artifact_id: str, product: Product) -> list[str]:
        contents: dict[str, str | bytes] = {}
        if product.figure is not None:
            stamp(product)
            with mpl.rc_context(_STYLE):
                for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
                    picture = io.BytesIO()
                    product.figure.savefig(picture, format=suffix, bbox_inches="tight", dpi=150, metadata=metadata)
                    contents[f"{artifact_id}.{suffix}"] = picture.getvalue()
        for number, table in enumerate(product.tables.values(), start=1):
            name = f"{artifact_id}.csv" if number == 1 else f"{artifact_id}-{number}.csv"
            contents[name] = table.to_csv(index=False)
        contents[f"{artifact_id}.md"] = self._page(artifact_id, product)
        for name, content in contents.items():
            write_atomically(self.folder / name, content)
        return list(contents)

    def _entry(self, artifact_id: str, product: Product, files: list[str]) -> dict[str, Any]:
        artifact = CATALOGUE[artifact_id]
        return {
            "title": artifact.title,
            "paper": artifact.paper,
            "notebook": artifact.notebook,
            "files": files,
            "simulated": product.simulated,
            "databases": [vars(source) for source in product.sources()],
            "runs": sorted(run.spec.hash for run in product.runs),
            "inputs": {self._relative(path): value for path, value in product.inputs().items()},
            "code": maker_digest(artifact_id),
            "notes": product.notes,
            "command": f"smilelab reproduce --profile {self.profile} --only {artifact.notebook}",
            "commit": code_version(),
            "made": time.strftime("%Y-%m-%d %H:%M"),
        }

    def _stale(self, artifact_id: str, entry: dict[str, Any]) -> str:
        if missing := [name for name in entry["files"] if not (self.folder / name).is_file()]:
            return f"{missing[0]} is gone"
        if entry["code"] != maker_digest(artifact_id):
            return "the code that makes it changed"
        for path, value in entry["inputs"].items():
            if (self.home / path).exists() and digest(self.home / path) != value:
                return f"{path} changed"
        wanted, used = plans.planned(self.home / "data" / "runs", self.profile, artifact_id), set(entry["runs"])
        if wanted and used - set(wanted):
            return "other runs are planned for it by now"
        if late := [run for run, finished in wanted.items() if finished and run not in used]:
            return f"{len(late)} runs that are planned for it were finished since"
        return ""

    def _relative(self, path: str) -> str:
        resolved = Path(path).resolve()
        return str(resolved.relative_to(self.home)) if resolved.is_relative_to(self.home) else str(resolved)

    def _page(self, artifact_id: str, product: Product) -> str:
        artifact = CATALOGUE[artifact_id]
        lines = [f"# {artifact.title}", "", f"`{artifact_id}` of {artifact.paper}."]
        if product.banner:
            lines += ["", f"**{product.banner}**"]
        if product.figure is not None:
            lines += ["", f"![{artifact.title}]({artifact_id}.png)"]
        for caption, table in product.tables.items():
            lines += ["", f"**{caption}**", "", markdown(table)]
        if product.notes:
            lines += ["", *(f"- {note}" for note in product.notes)]
        return "\n".join(lines) + "\n"

    def _index(self, manifest: dict[str, Any]) -> str:
        rows = []
        for artifact in CATALOGUE.values():
            entry = manifest.get(artifact.id)
            if entry is None:
                continue
            files = ", ".join(f"[{Path(name).suffix[1:]}]({name})" for name in entry["files"])
            rows.append((artifact.id, artifact.title, ", ".join(_labels(entry)) or "none", files, entry["made"]))
        columns = ["artifact", "what", "measured on", "files", "made"]
        head = [
            f"# Artifacts of the {self.profile} profile",
            "",
            "`smilelab status` says which are still up to date.",
            "",
        ]
        return "\n".join([*head, markdown(pd.DataFrame(rows, columns=columns))]) + "\n"


def stamp(product: Product) -> None:
    """Write on the picture itself which data it shows, and that they are simulated where they are."""
    figure = product.figure
    if figure is None or getattr(figure, "smilelab_stamped", False):
        return
    labels = ", ".join(dict.fromkeys(source.label for source in product.sources()))
    if labels:
        figure.text(0.0, -0.02, f"Measured on: {labels}", fontsize=7, color="0.35", ha="left", va="top")
    if product.simulated:
        box = {"facecolor": "white", "edgecolor": "#b3261e", "boxstyle": "round,pad=0.25"}
        whole = all(source.simulated for source in product.sources())
        said = SIMULATED_STAMP if whole else f"what is called simulated: {SIMULATED_STAMP}"
        figure.text(1.0, -0.02, said, fontsize=8, color="#b3261e", ha="right", va="top", bbox=box)
    figure.smilelab_stamped = True  # type: ignore[attr-defined]  # a figure saved twice is stamped once


def markdown(table: pd.DataFrame) -> str:
    """Render a table as GitHub markdown; empty cells stay empty."""

    def cell(value: object) -> str:
        return "" if value is None or value != value else str(value).replace("|", "\\|")

    rows = [list(map(str, table.columns)), ["---"] * table.shape[1]]
    rows += [[cell(value) for value in row] for row in table.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _labels(entry: dict[str, Any]) -> list[str]:
    return sorted({database_label(s["database"], simulated=s["simulated"]) for s in entry["databases"]})
