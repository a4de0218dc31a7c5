"""What the site shows of each artifact, read from the files in ``figures/<profile>``; nothing is computed."""

from __future__ import annotations

import csv
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smilelab.artifacts.catalogue import CATALOGUE, Artifact
from smilelab.artifacts.gallery import Gallery
from smilelab.artifacts.numbers import reported
from smilelab.artifacts.product import database_label
from smilelab.artifacts.site.markup import setting

_WIDE = 24  # characters of a column's title from which it asks for room
_CAPTION = re.compile(r"^\*\*(.+)\*\*$")
PRINTED_COLUMNS = ("database", "row", "quantity", "value", "unit", "place", "note")


@dataclass(frozen=True)
class Column:
    """A column's title, and how its cells are set."""

    title: str
    setting: str
    origin: str

    @property
    def wide(self) -> bool:
        """Whether the title would be a tower of words above narrow numbers."""
        return len(self.title) > _WIDE


@dataclass(frozen=True)
class Table:
    """A table as its file has it, text for text.

    Attributes
    ----------
    caption, file : str
        File is empty for a table that has none.
    columns : tuple of Column
    rows : tuple of (origin, cells)
        The origin of a row is "reported", "measured" or empty, as a cell of it begins.
    """

    caption: str
    file: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def origins(self) -> set[str]:
        """Which of "reported" and "measured" are told apart in it."""
        return ({column.origin for column in self.columns} | {origin for origin, _ in self.rows}) - {""}


@dataclass(frozen=True)
class Picture:
    """The smaller file of a picture, for showing it, with the size of its PNG in pixels."""

    file: str
    width: int
    height: int


@dataclass(frozen=True)
class Card:
    """One artifact of the catalogue in one profile.

    Attributes
    ----------
    artifact : Artifact
    state, detail : str
        As :meth:`smilelab.artifacts.gallery.Gallery.status` gives them: made, stale or waiting, and why.
    command : str
        What makes it.
    entry : mapping
        Its manifest; empty where it is not made.
    banner : str
        What its page says of simulated data.
    picture : Picture, optional
    tables : tuple of Table
        The artifact's own first.
    files : tuple of str
        To be downloaded; all of them are there.
    """

    artifact: Artifact
    state: str
    detail: str
    command: str
    entry: Mapping[str, Any] = field(default_factory=dict)
    banner: str = ""
    picture: Picture | None = None
    tables: tuple[Table, ...] = ()
    files: tuple[str, ...] = ()

    @property
    def made(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.files)

    @property
    def place(self) -> str:
        """Where the paper has it, such as "Figure 3"; empty where that is no figure or table."""
        found = re.fullmatch(r"\w+-(fig|table)(\d+)", self.artifact.id)
        return f"{'Figure' if found[1] == 'fig' else 'Table'} {found[2]}" if found else ""

    @property
    def simulated(self) -> bool:
        """Whether any of its data came from the simulator."""
        return bool(self.entry.get("simulated"))

    @property
    def real(self) -> bool:
        """Whether some of its data did not."""
        return any(not source["simulated"] for source in self.entry.get("databases", []))

    @property
    def alt(self) -> str:
        """What the picture is, in words, for those who do not see it."""
        place = f"{self.place}, " if self.place else ""
        return f"{place}{self.artifact.title} ({self.artifact.paper}){': simulated data' if self.simulated else ''}"

    @property
    def origins(self) -> set[str]:
        """Which of "reported" and "measured" its tables tell apart."""
        return set().union(*(table.origins for table in self.tables))

    @property
    def printed(self) -> Table | None:
        """The numbers that the paper prints for it."""
        numbers = reported(self.artifact.id)
        if numbers.empty:
            return None
        rows = [list(row) for row in numbers[list(PRINTED_COLUMNS)].itertuples(index=False)]
        return table_of("What the paper prints", "", [list(PRINTED_COLUMNS), *rows])

    @property
    def databases(self) -> list[str]:
        """What it was measured on, with what is known of each."""
        return list(dict.fromkeys(_database(source) for source in self.entry.get("databases", [])))


def cards(gallery: Gallery) -> list[Card]:
    """Every artifact of the catalogue, as far as a profile has it.

    Parameters
    ----------
    gallery : Gallery
        Of the profile. The makers must be loaded, as for its ``status``.

    Returns
    -------
    list of Card
        In the catalogue's order.
    """
    manifest = gallery.manifest
    found = []
    for row in gallery.status().to_dict("records"):
        artifact = CATALOGUE[row["artifact"]]
        entry = manifest.get(artifact.id)
        if entry is None:
            command = f"smilelab reproduce --profile {gallery.profile} --only {artifact.notebook}"
            found.append(Card(artifact, row["state"], row["detail"], command))
            continue
        # The status ends in the command, which has a place of its own here.
        detail = row["detail"].partition("; run: ")[0] if row["state"] == "stale" else ""
        found.append(_made(gallery, artifact, row["state"], detail, entry))
    return found


def table_of(caption: str, file: str, lines: list[list[str]]) -> Table:
    """Set a table: which columns are numbers, which need room, and what is reported and what measured.

    Parameters
    ----------
    caption, file : str
    lines : list of list of str
        The titles, then the rows.
    """
    titles, *rows = lines or [[]]
    columns = []
    for number, title in enumerate(titles):
        cells = [row[number] for row in rows if number < len(row)]
        columns.append(Column(title, setting(cells), _origin_of_title(title)))
    return Table(caption, file, tuple(columns), tuple((_origin_of_row(row), tuple(row)) for row in rows))


def _made(gallery: Gallery, artifact: Artifact, state: str, detail: str, entry: Mapping[str, Any]) -> Card:
    files = tuple(name for name in entry["files"] if (gallery.folder / name).is_file())
    banner, captions = _page(gallery.folder / f"{artifact.id}.md")
    names = [name for name in entry["files"] if name.endswith(".csv")]
    tables = []
    for number, name in enumerate(names):
        if name in files:
            caption = captions[number] if number < len(captions) else artifact.title
            with (gallery.folder / name).open(encoding="utf-8", newline="") as handle:
                tables.append(table_of(caption, name, list(csv.reader(handle))))
    downloads = tuple(name for name in files if not name.endswith(".md"))
    picture = _picture(gallery.folder, [name for name in downloads if name.endswith((".png", ".svg"))])
    return Card(artifact, state, detail, entry["command"], entry, banner, picture, tuple(tables), downloads)


def _page(path: Path) -> tuple[str, list[str]]:
    """Banner and captions of an artifact's markdown: a bold line above a table is a caption."""
    if not path.is_file():
        return "", []
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line]
    banner, captions = "", []
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if not (bold := _CAPTION.match(line)):
            continue
        if after.startswith("|"):
            captions.append(bold[1])
        elif not captions:
            banner = banner or bold[1]
    return banner, captions


def _picture(folder: Path, names: list[str]) -> Picture | None:
    png = next((name for name in names if name.endswith(".png")), None)
    if png is None:
        return None
    head = (folder / png).read_bytes()[:24]
    if head[:8] != b"\x89PNG\r\n\x1a\n" or len(head) < 24:
        return None
    width, height = struct.unpack(">II", head[16:24])
    return Picture(min(names, key=lambda name: (folder / name).stat().st_size), width, height)


def _origin_of_title(title: str) -> str:
    words = title.lower()
    return next((word for word in ("reported", "measured") if word in words), "")


def _origin_of_row(row: list[str]) -> str:
    return next((word for cell in row for word in ("reported", "measured") if cell.startswith(f"{word} (")), "")


def _database(source: Mapping[str, Any]) -> str:
    label = database_label(source["database"], simulated=source["simulated"])
    settings = source.get("settings", {})
    options = settings.get("settings", {}) if source["simulated"] else {}
    known = [f"{options[name]} {name}" for name in ("subjects", "clips") if name in options]
    known += ["clip length matched between the classes"] if options.get("length_matched") else []
    known += [f"smiles without the cue {', '.join(options['cues_off'])}"] if options.get("cues_off") else []
    known += [f"seed {settings['seed']}"] if options and "seed" in settings else []
    return f"{label} ({', '.join(known)})" if known else label
