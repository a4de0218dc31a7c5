"""The readable companion: what the last runs left, as pages that open without a server and without a network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from smilelab import __version__
from smilelab.artifacts import load_makers
from smilelab.artifacts.catalogue import CATALOGUE
from smilelab.artifacts.gallery import Gallery
from smilelab.artifacts.readme import results_table, structures_table
from smilelab.artifacts.site.cards import Card, cards
from smilelab.artifacts.site.markup import Pictures, from_markdown, introduction, relink, section, tidy
from smilelab.artifacts.site.notebooks import NotebookReader, Page

LIMIT = 30_000_000  # bytes of the whole site
MARKER = ".smilelab-site"
_FIRST = ("laptop", "smoke")  # profiles that the index shows by preference
_DOCUMENTS = {
    "README.md": ("about.html", "About"),
    "data/README.md": ("data.html", "Data"),
    "notebooks/extending.md": ("extending.html", "Extending"),
}
_PICTURES = (".png", ".jpg", ".jpeg", ".svg", ".gif")


# What the README's short results are made of.
_SHORT = {"yang2020-table2": results_table, "lee2020-table4": structures_table}


class SiteError(RuntimeError):
    """There is nothing to show, or no place to put it."""


@dataclass(frozen=True)
class Site:
    """A site that was written.

    Attributes
    ----------
    index : Path
        The page to open.
    profiles : list of str
        Those shown, the index page's first.
    pages, size : int
        Number of pages; bytes in all.
    remarks : list of str
        What was found but could not be shown.
    """

    index: Path
    profiles: list[str]
    pages: int
    size: int
    remarks: list[str]


@dataclass
class _Profile:
    """A profile's page and what stands on it."""

    name: str
    page: str
    cards: list[Card]
    notebooks: list[Page] = field(default_factory=list)
    short: str = ""

    @property
    def groups(self) -> list[tuple[str, list[Card]]]:
        """Cards by paper, in the catalogue's order."""
        papers = dict.fromkeys(card.artifact.paper for card in self.cards)
        return [(paper, [card for card in self.cards if card.artifact.paper == paper]) for paper in papers]

    @property
    def compared(self) -> list[Card]:
        """Those that the short results are taken from."""
        return [card for card in self.cards if card.artifact.id in _SHORT and card.made]

    def notebook(self, number: str) -> Page | None:
        """The executed notebook of a number."""
        return next((page for page in self.notebooks if page.stem.startswith(number)), None)


def build(home: Path, out: Path | None = None, profiles: Sequence[str] = ()) -> Site:
    """Write the site from artifacts, executed notebooks and documents; nothing is executed.

    It is written beside its place and put there when it is whole, so that a kill leaves the old one or the new one.

    Parameters
    ----------
    home : Path
        The project folder.
    out : Path, optional
        Where the site goes; ``site`` in the project folder by default. What an earlier call wrote there is replaced.
    profiles : sequence of str
        Whose artifacts are shown, the first on the index page; by default of every profile that has some, laptop first.

    Returns
    -------
    Site

    Raises
    ------
    SiteError
        No artifacts, a profile without any, a folder that holds something else, or a site of 30 MB or more.
    """
    names = _profiles(home, profiles)
    place = (out or home / "site").expanduser().resolve()
    if place.exists() and (not place.is_dir() or (any(place.iterdir()) and not (place / MARKER).is_file())):
        raise SiteError(
            f"{place}: found files that are no earlier site; expected a new or empty folder. Give another with --out."
        )
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir()
        remarks = _Writer(home, part, names).write()
        files = [path for path in part.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        if size >= LIMIT:
            raise SiteError(
                f"found {size / 1e6:.1f} MB for {', '.join(names)}, expected less than {LIMIT / 1e6:.0f} MB. "
                "Show fewer profiles: --profile."
            )
        _swap(part, place)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Site(place / "index.html", names, sum(path.suffix == ".html" for path in files), size, remarks)


def _profiles(home: Path, wanted: Sequence[str]) -> list[str]:
    found = sorted(path.parent.name for path in (home / "figures").glob("*/manifest.json"))
    if not found:
        raise SiteError(
            f"{home / 'figures'}: found no artifacts; expected those of a profile. "
            "Make some first: smilelab reproduce --profile smoke"
        )
    for name in wanted:
        if name not in found:
            raise SiteError(
                f"--profile: found {name!r}, which has no artifacts; expected one of {', '.join(found)}. "
                f"Make them first: smilelab reproduce --profile {name}"
            )
    order = [*_FIRST, *found]
    return list(dict.fromkeys(wanted)) or sorted(found, key=order.index)


def _swap(new: Path, place: Path) -> None:
    """Put a whole folder in the place of another."""
    old = new.with_suffix(".old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    try:
        new.rename(place)
    finally:
        if not place.exists() and old.exists():
            old.rename(place)
    shutil.rmtree(old, ignore_errors=True)


class _Writer:
    """Writes the pages of a site into an empty folder."""

    def __init__(self, home: Path, folder: Path, names: Sequence[str]) -> None:
        self.home = home
        self.folder = folder
        self.names = list(names)
        self.remarks: list[str] = []
        self.pictures = Pictures(folder / "pictures")
        self.pages = Environment(
            loader=PackageLoader("smilelab.artifacts.site"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.pages.filters["address"] = quote
        self.documents = {path: entry for path, entry in self._documents().items() if path.is_file()}

    def write(self) -> list[str]:
        """Write every page; return what could not be shown."""
        load_makers()
        reader = NotebookReader(self.pictures, self.home)
        profiles = [self._profile(name, reader, number) for number, name in enumerate(self.names)]
        audited = next((p for p in profiles for card in p.cards if card.artifact.id == "audit" and card.made), None)
        audit = next((card for card in audited.cards if card.artifact.id == "audit"), None) if audited else None
        menu = [("index.html", "Results")]
        menu += [("audit.html", "Audit")] if audit else []
        menu += list(self.documents.values())
        shared: dict[str, Any] = {
            "menu": menu, "profiles": profiles, "version": __version__, "audited": bool(audit),
        }  # fmt: skip
        about = from_markdown(_text(self.home / "README.md"))
        for table in about.find_all("table"):
            table.decompose()
        self._relink(about, self.home)
        start = {"introduction": introduction(about), "limits": section(about, r"limit|ethic")}
        for profile in profiles:
            self._write(profile.page, "index.html.j2", profile=profile, **start, **shared)
            for page in profile.notebooks:
                made = [card for card in profile.cards if card.made and card.artifact.notebook == page.stem[:2]]
                name = notebook_page(profile.name, page.stem)
                self._write(name, "notebook_page.html.j2", profile=profile, page=page, made=made, **shared)
        if audit and audited:
            self._write("audit.html", "audit.html.j2", profile=audited, card=audit, **shared)
        for path, (name, title) in self.documents.items():
            self._document(path, name, title, shared)
        style = resources.files("smilelab.artifacts.site").joinpath("templates/site.css").read_text(encoding="utf-8")
        (self.folder / "site.css").write_text(style, encoding="utf-8")
        (self.folder / MARKER).write_text("Written by smilelab site; the next call replaces this folder.\n")
        return self.remarks

    def _documents(self) -> dict[Path, tuple[str, str]]:
        found = {self.home / path: entry for path, entry in _DOCUMENTS.items()}
        weights = Path(str(resources.files("smilelab"))) / "weights"
        for path in sorted(weights.glob("*.md")):
            found[path] = (f"model-{path.stem}.html", f"Model card: {path.stem}")
        return found

    def _profile(self, name: str, reader: NotebookReader, number: int) -> _Profile:
        gallery = Gallery(name, self.home / "figures", self.home)
        page = "index.html" if number == 0 else f"profile-{name}.html"
        profile = _Profile(name, page, cards(gallery))
        target = self.folder / "files" / name
        target.mkdir(parents=True)
        for card in profile.cards:
            for file in card.files:
                shutil.copyfile(gallery.folder / file, target / file)
        for path in sorted((self.home / "data" / "runs" / "notebooks" / name).glob("*.ipynb")):
            try:
                profile.notebooks.append(reader.read(path, name))
            except (ValueError, OSError) as error:
                self.remarks.append(str(error))
        profile.short = self._short(profile)
        return profile

    def _short(self, profile: _Profile) -> str:
        """The README's tables of results, as far as the profile has what they are made of."""
        parts = []
        for card in profile.compared:
            try:
                parts.append(_SHORT[card.artifact.id](self.home / "figures", profile.name))
            except (KeyError, IndexError, OSError) as error:
                self.remarks.append(f"{card.artifact.id} of {profile.name} in the short results ({error!r}).")
        soup = from_markdown("\n\n".join(parts))
        tidy(soup, self.pictures, "")
        for row in soup.select("tbody tr"):
            row["class"] = "reported" if "as printed" in row.get_text() else "measured"
        return str(soup)

    def _document(self, path: Path, name: str, title: str, shared: dict[str, Any]) -> None:
        soup = from_markdown(_text(path))
        self._relink(soup, path.parent)
        tidy(soup, self.pictures, title)
        sections = [(str(tag["id"]), tag.get_text()) for tag in soup.find_all("h2")]
        self._write(name, "document.html.j2", title=title, body=str(soup), sections=sections, **shared)

    def _relink(self, soup: Any, base: Path) -> None:
        def address(target: str) -> str | None:
            path = (base / target).resolve()
            if path in self.documents:
                return self.documents[path][0]
            if not path.is_relative_to(self.home):
                return None
            return self._of_project(path.relative_to(self.home).parts)

        def picture(target: str) -> str | None:
            path = (base / target).resolve()
            if path.suffix.lower() not in _PICTURES or not path.is_relative_to(self.home) or not path.is_file():
                return None
            return self.pictures.keep(path.read_bytes(), path.suffix.lower())

        relink(soup, address, picture)

    def _of_project(self, parts: tuple[str, ...]) -> str | None:
        """Where the site has a file of the figures folder."""
        if len(parts) < 2 or parts[0] != "figures" or parts[1] not in self.names:
            return None
        page = "index.html" if parts[1] == self.names[0] else f"profile-{quote(parts[1])}.html"
        if len(parts) == 2 or parts[2] == "index.md":
            return page
        stem, _, suffix = parts[2].rpartition(".")
        if suffix == "md":
            return f"{page}#{stem}" if stem in CATALOGUE else None
        file = Path("files", parts[1], parts[2])
        return quote(str(file)) if (self.folder / file).is_file() else None

    def _write(self, name: str, template: str, **content: Any) -> None:
        text = self.pages.get_template(template).render(here=name, notebook_page=notebook_page, **content)
        (self.folder / name).write_text(text, encoding="utf-8")


def notebook_page(profile: str, stem: str) -> str:
    """Name of the page of an executed notebook."""
    return f"notebook-{profile}-{stem}.html"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
