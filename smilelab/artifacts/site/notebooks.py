"""Executed notebooks as pages: their text, code and outputs, without what only a running kernel could fill."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat
from bs4 import BeautifulSoup, Tag
from jinja2 import PackageLoader
from nbconvert import HTMLExporter
from nbformat import NotebookNode

from smilelab.artifacts.catalogue import CATALOGUE
from smilelab.artifacts.site.markup import Pictures, parse, tidy

_BAR = re.compile(r"^(?P<what>.*?):?\s*(?P<share>\d+)%\|.*\|\s*\S+/\S+ \[")
_SAVED = re.compile(r"gallery\.save\(\s*[\"']([\w-]+)[\"']")
_WIDGET = "application/vnd.jupyter.widget-view+json"
_LONG_LOG = 12  # lines from which what a cell printed is folded


@dataclass(frozen=True)
class Page:
    """An executed notebook, ready to be put on a page.

    Attributes
    ----------
    stem, title : str
    body : str
        HTML of its cells.
    sections : list of (name, text)
        Its second-level headings.
    executed : str
        Day and time in UTC at which it ended, else began; empty where the notebook does not say.
    seconds : float, optional
        How long it took; None where it has not ended.
    failed : bool
        Whether a cell raised an error.
    databases : list of str
        Those given as folders; every other one was simulated.
    """

    stem: str
    title: str
    body: str
    sections: list[tuple[str, str]]
    executed: str
    seconds: float | None
    failed: bool
    databases: list[str]

    @property
    def state(self) -> str:
        """What is to be said of how it ended; empty where all went well."""
        if self.failed:
            return "A cell of it failed."
        return "" if self.seconds is not None else "It was stopped, or is still running: this is what it had done."


class NotebookReader:
    """Renders executed notebooks; one exporter serves them all.

    Parameters
    ----------
    pictures : Pictures
        Takes the pictures of their outputs.
    home : Path
        The project folder; paths in it are printed relative to it.
    """

    def __init__(self, pictures: Pictures, home: Path) -> None:
        self.pictures = pictures
        self.home = home
        self.exporter = HTMLExporter(
            extra_loaders=[PackageLoader("smilelab.artifacts.site")],
            template_file="notebook.html.j2",
            template_name="basic",
            exclude_anchor_links=True,
        )
        # It warns of every picture without words; here they get some afterwards.
        self.exporter.log = logging.getLogger(f"{__name__}.nbconvert")
        self.exporter.log.setLevel(logging.ERROR)

    def read(self, path: Path, profile: str) -> Page:
        """Render one notebook.

        Parameters
        ----------
        path : Path
            An executed notebook.
        profile : str
            With whose parameters it was executed.

        Raises
        ------
        ValueError
            The file is no notebook.
        """
        try:
            notebook = nbformat.read(path, as_version=4)
        except (ValueError, nbformat.ValidationError) as error:
            raise ValueError(f"{path}: found no notebook ({str(error)[:80]}); run it again.") from None
        run: Mapping[str, Any] = notebook.metadata.get("papermill", {})
        self._quieten(notebook, run)
        html, _ = self.exporter.from_notebook_node(notebook)
        soup = parse(html)
        _name_pictures(soup)
        tidy(soup, self.pictures, f"Picture of notebook {path.stem}")
        title = soup.find("h1")
        heading = title.get_text() if isinstance(title, Tag) else path.stem
        if isinstance(title, Tag):
            title.decompose()
        for summary in soup.select("summary.profile"):
            summary.string = f"Parameters of the {profile} profile"
        return Page(
            path.stem,
            heading,
            str(soup),
            [(str(tag["id"]), tag.get_text()) for tag in soup.find_all("h2")],
            _moment(run.get("end_time") or run.get("start_time")),
            run.get("duration"),
            bool(run.get("exception")),
            sorted(run.get("parameters", {}).get("databases") or {}),
        )

    def _quieten(self, notebook: NotebookNode, run: Mapping[str, Any]) -> None:
        """Join what a cell printed, keep the last state of progress bars alone, and shorten paths of this machine."""
        roots = [f"{self.home}/"]
        if str(run.get("output_path", "")).endswith(".ipynb") and len(Path(run["output_path"]).parents) > 4:
            roots.append(f"{Path(run['output_path']).parents[4]}/")
        for cell in notebook.cells:
            outputs: list[NotebookNode] = []
            for output in cell.get("outputs", []):
                data = output.get("data", {})
                if _WIDGET in data:
                    output = _instead_of_widget(data)
                if output["output_type"] == "stream" and outputs and outputs[-1]["output_type"] == "stream":
                    outputs[-1]["text"] += output["text"]
                else:
                    outputs.append(output)
            for output in outputs:
                if output["output_type"] == "stream":
                    output["name"] = "stdout"
                    output["text"] = "\n".join(
                        _last_of_bars(output["text"].splitlines(), ended=run.get("duration") is not None)
                    )
                    output["lines"] = output["text"].count("\n") + 1
                    output["folded"] = output["lines"] > _LONG_LOG
                for root in roots:
                    _shorten(output, root)
            cell["outputs"] = [out for out in outputs if out["output_type"] != "stream" or out["text"].strip()]


def _instead_of_widget(data: Mapping[str, Any]) -> NotebookNode:
    text = str(data.get("text/plain", ""))
    if _BAR.match(text):
        return NotebookNode(output_type="stream", name="stdout", text=f"{text}\n")
    said = '<p class="widget">An interactive widget stands here when the notebook is open in JupyterLab.</p>'
    return NotebookNode(output_type="display_data", metadata={}, data=NotebookNode({"text/html": said}))


def _last_of_bars(lines: list[str], *, ended: bool) -> list[str]:
    """Keep, of each progress bar, the last line, as "what: 100 %".

    Bars are not always drawn to their end: where all has ended, those that seem unfinished say nothing and go.
    """
    kept: list[tuple[str, str | None]] = []  # a line, and whose bar it is
    for line in lines:
        bar = _BAR.match(line)
        if bar and kept and kept[-1][1] == bar["what"]:
            kept.pop()
        kept.append((f"{bar['what']}: {bar['share']} %".removeprefix(": ") if bar else line, bar and bar["what"]))
    said = [line for line, bar in kept if bar is None or not ended or line.endswith("100 %")]
    while said and not said[-1].strip():
        said.pop()
    return said


def _shorten(output: NotebookNode, root: str) -> None:
    if "text" in output:
        output["text"] = output["text"].replace(root, "")
    for kind, content in output.get("data", {}).items():
        if kind.startswith("text/") and isinstance(content, str):
            output["data"][kind] = content.replace(root, "")


def _name_pictures(soup: BeautifulSoup) -> None:
    """Call a picture by the artifact that its cell saves."""
    for cell in soup.select("section.cell"):
        saved = [CATALOGUE[name].title for name in _SAVED.findall(cell.get_text()) if name in CATALOGUE]
        for number, image in enumerate(cell.find_all("img")):
            if saved:
                image["alt"] = saved[min(number, len(saved) - 1)]


def _moment(stamp: str | None) -> str:
    try:
        return datetime.fromisoformat(stamp).strftime("%Y-%m-%d %H:%M UTC") if stamp else ""
    except ValueError:
        return ""
