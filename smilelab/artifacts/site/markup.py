"""Turning markdown and the HTML of notebooks into pages that need no network: tables that scroll, pictures as files."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Comment, Tag
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from smilelab.artifacts.product import NOT_RUN

_ACTIVE = ("script", "style", "iframe", "object", "embed", "link", "meta", "base", "form", "video", "audio")
_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif", "image/svg+xml": ".svg"}
_NUMBER = re.compile(r"[-+<]?\d")
_LONG = 28  # characters from which a cell's text needs room to wrap in
_INLINE = re.compile(r"data:(image/[\w+.-]+);base64,(.*)", re.DOTALL)


@dataclass(frozen=True)
class Pictures:
    """A folder of the site's pictures, each named by its content, so that equal ones are kept once."""

    folder: Path

    def keep(self, content: bytes, suffix: str) -> str:
        """Write a picture and return its address in the site."""
        name = f"{hashlib.sha256(content).hexdigest()[:16]}{suffix}"
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(content)
        return f"{self.folder.name}/{name}"


def from_markdown(text: str) -> BeautifulSoup:
    """Render markdown with tables as HTML; what is HTML in it stays."""
    renderer = IPythonRenderer(escape=False, exclude_anchor_links=True)
    return parse(MarkdownWithMath(renderer=renderer).render(text))


def parse(text: str) -> BeautifulSoup:
    """Parse HTML with the parser of the standard library."""
    return BeautifulSoup(text, "html.parser")


def tidy(soup: BeautifulSoup, pictures: Pictures, alt: str) -> None:
    """Make a fragment fit for the site, in place.

    Scripts, styles and frames go. Tables get a box of their own to scroll in, headings a name to link to, and pictures
    inside the HTML become files, loaded when they come into view; a picture from elsewhere becomes a link.

    Parameters
    ----------
    soup : BeautifulSoup
    pictures : Pictures
    alt : str
        What to call a picture that has no text of its own.
    """
    for comment in soup.find_all(string=lambda text: isinstance(text, Comment)):
        comment.extract()
    for tag in soup.find_all(_ACTIVE):
        tag.decompose()
    for tag in soup.find_all(True):
        for name in [name for name in tag.attrs if _acts(name, str(tag[name]))]:
            del tag[name]
    for image in soup.find_all("img"):
        _picture(soup, image, pictures, alt)
    for table in soup.find_all("table"):
        _scrolls(soup, table)
    name_headings(soup)


def _acts(name: str, value: str) -> bool:
    """Whether an attribute runs a script, also with the blanks that browsers skip in an address, or sets a style."""
    script = name.endswith("href") and re.sub(r"[\x00-\x20]", "", value).lower().startswith("javascript:")
    return name.startswith("on") or name in ("style", "border") or script


def name_headings(soup: BeautifulSoup) -> None:
    """Give every heading a name to link to that no other has."""
    taken: set[str] = set()
    for heading in soup.find_all(re.compile("^h[1-6]$")):
        name = slug(heading.get_text())
        number = 2
        while name in taken:
            name, number = f"{slug(heading.get_text())}-{number}", number + 1
        taken.add(name)
        heading["id"] = name


def slug(text: str) -> str:
    """Letters, digits and hyphens that stand for a heading."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "section"


def relink(soup: BeautifulSoup, address: Callable[[str], str | None], picture: Callable[[str], str | None]) -> None:
    """Point links and pictures of a project file to their place in the site; those without one become plain text.

    Parameters
    ----------
    soup : BeautifulSoup
    address, picture : callable
        From what the file says to an address in the site, or None where the site has none.
    """
    for image in soup.find_all("img"):
        found = picture(unquote(str(image.get("src", ""))))
        if found is None:
            image.replace_with(soup.new_string(str(image.get("alt", ""))))
        else:
            image["src"] = found
    for link in soup.find_all("a"):
        target = urlsplit(str(link.get("href", "")))
        if target.scheme in ("http", "https", "mailto") or (not target.path and target.fragment):
            continue
        found = None if target.scheme or not target.path else address(unquote(target.path))
        if found is None:
            link.unwrap()
        else:
            keep = f"#{target.fragment}" if target.fragment and "#" not in found else ""
            link["href"] = f"{found}{keep}"


def section(soup: BeautifulSoup, wanted: str) -> str:
    """What stands below the first second-level heading with one of some words, up to the next; empty without one."""
    heading = next((tag for tag in soup.find_all("h2") if re.search(wanted, tag.get_text(), re.IGNORECASE)), None)
    return "" if heading is None else _until_heading(heading)


def introduction(soup: BeautifulSoup) -> str:
    """What stands between the title and the first second-level heading, pictures left out."""
    title = soup.find("h1")
    if not isinstance(title, Tag):
        return ""
    found = parse(_until_heading(title))
    for image in found.find_all("img"):
        above = image.parent
        image.decompose()
        if isinstance(above, Tag) and above.name == "p" and not above.get_text(strip=True):
            above.decompose()
    return str(found)


def setting(texts: Iterable[str]) -> str:
    """How a table's column is set: "num" to the right, "long" with room to wrap in, else empty.

    Parameters
    ----------
    texts : iterable of str
        Its cells.
    """
    said = [text for text in texts if text not in ("", "-", NOT_RUN)]
    if any(len(text) > _LONG for text in said):
        return "long"
    return "num" if said and all(_NUMBER.match(text.replace(" ", "")) for text in said) else ""


def _until_heading(heading: Tag) -> str:
    parts = []
    for node in heading.next_siblings:
        if isinstance(node, Tag) and node.name in ("h1", "h2"):
            break
        parts.append(str(node))
    return "".join(parts).strip()


def _picture(soup: BeautifulSoup, image: Tag, pictures: Pictures, alt: str) -> None:
    source = str(image.get("src", ""))
    text = str(image.get("alt") or alt)
    if inline := _INLINE.match(source):
        kind = inline[1]
        try:
            content = base64.b64decode(inline[2])
        except binascii.Error:
            content = b""
        if not content or kind not in _SUFFIXES:
            image.replace_with(soup.new_string(f"({text})"))
            return
        image["src"] = pictures.keep(content, _SUFFIXES[kind])
    elif urlsplit(source).scheme or source.startswith("//"):
        link = soup.new_tag("a", href=source)
        link.string = f"{text} ({urlsplit(source).netloc})"
        image.replace_with(link)
        return
    image["alt"] = text
    image["loading"] = "lazy"


def _scrolls(soup: BeautifulSoup, table: Tag) -> None:
    caption = _caption(table)
    box = soup.new_tag("div", attrs={"class": "scroll", "tabindex": "0", "role": "region", "aria-label": caption})
    table.wrap(box)
    rows = [row.find_all(["td", "th"]) for row in table.find_all("tr")]
    for column in range(max(map(len, rows), default=0)):
        cells = [row[column] for row in rows if column < len(row)]
        if kind := setting(cell.get_text(strip=True) for cell in cells if cell.name == "td"):
            for cell in cells:
                cell["class"] = kind


def _caption(table: Tag) -> str:
    """What a table is called: the paragraph above it, as the project's own tables have one, else that it is one."""
    above = table.find_previous_sibling()
    if isinstance(above, Tag) and above.name == "p":
        return f"Table: {above.get_text(' ', strip=True)[:120]}"
    return "Table"
