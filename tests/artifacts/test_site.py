import csv
import re
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
from made_site import MADE, NASTY, card, project

from smilelab.artifacts.catalogue import CATALOGUE
from smilelab.artifacts.site import build, markup
from smilelab.artifacts.site import pages as building

_VOID = {"meta", "link", "img", "br", "hr", "input", "col"}


class Elements(HTMLParser):
    """Elements of a page with their attributes and text, by a parser that the site itself does not rely on."""

    def __init__(self, path):
        super().__init__()
        self.found, self.open, self.text = [], [], ""
        self.feed(path.read_text(encoding="utf-8"))
        assert not self.open, f"{path.name}: {self.open} not closed"

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in _VOID:
            return
        if tag in ("p", "li") and self.open[-1] != tag:
            return
        assert self.open.pop() == tag, f"{self.getpos()}: </{tag}>"

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.found if name == tag]

    def ids(self):
        return [attrs["id"] for _, attrs in self.found if "id" in attrs]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def site(home):
    return build(home)


@pytest.fixture(scope="module")
def pages(site):
    return {path.name: Elements(path) for path in site.index.parent.glob("*.html")}


@pytest.fixture(scope="module")
def texts(site):
    return {path.name: path.read_text(encoding="utf-8") for path in site.index.parent.glob("*.html")}


def test_every_artifact_of_the_catalogue_stands_on_every_profile_page(pages):
    for name in ("index.html", "profile-smoke.html"):
        ids = pages[name].ids()
        assert [found for found in ids if found in CATALOGUE] == list(CATALOGUE)
        linked = {attrs["href"] for attrs in pages[name].all("a") if "href" in attrs}
        assert {f"#{artifact_id}" for artifact_id in CATALOGUE} <= linked
        assert len(ids) == len(set(ids))


def test_an_artifact_shows_where_it_comes_from(texts):
    text = card(texts["index.html"], "lee2020-table1")
    for words in (
        "Windows &amp; subjects", "reported (Lee&#39;s own recordings)", "simulated UvA-NEMO", "commit <code>",
        "smilelab reproduce --profile laptop --only 01", "files/laptop/lee2020-table1.csv",
        "Measured on simulated data: no evidence about real smiles.",
    ):  # fmt: skip
        assert words in text
    assert 'class="reported"' in text
    assert 'class="measured"' in text


def test_the_readme_s_results_stand_above_with_reported_and_measured_told_apart(texts):
    text = texts["index.html"].partition('id="short"')[2].partition("</section>")[0]
    assert "called simulated (simulated UvA-NEMO)" in text
    rows = re.findall(r'<tr class="(\w+)">(.*?)</tr>', text, re.DOTALL)
    assert [(kind, "82.1" in row, "65.2 [59.7, 70.1]" in row) for kind, row in rows] == [
        ("measured", False, True), ("reported", True, False),
    ]  # fmt: skip
    assert "clip length 49.7" in text


def test_what_is_not_made_says_what_it_needs_and_the_command(texts):
    text = card(texts["index.html"], "yang2020-table3")
    assert "Not made: needs finished runs of the variants." in text
    assert "smilelab reproduce --profile laptop --only 03" in text
    assert "What the paper prints" in text
    smoke = texts["profile-smoke.html"]
    assert all("Not made" in card(smoke, name) for name in CATALOGUE if name != "yang2020-table2")


def test_simulated_data_are_called_so_and_real_data_are_not(texts):
    index = texts["index.html"]
    badge = '<span class="badge simulated">'
    simulated = {name for name in CATALOGUE if badge in card(index, name)}
    assert simulated == {"lee2020-table1", "lee2020-fig5", "yang2020-table2"}
    # Of both kinds: the banner of its own page, word for word.
    assert "Columns, rows and panels called simulated (simulated UvA-NEMO)" in card(index, "yang2020-table2")
    assert ": simulated data" in re.search(r'alt="([^"]+)"', card(index, "lee2020-fig5"))[1]
    assert "What this page measures, it measures on simulated data" in texts["notebook-laptop-02_train.html"]


def test_tables_are_the_files_cell_for_cell(home, pages, texts):
    class Cells(HTMLParser):
        rows, cell = None, None

        def handle_starttag(self, tag, attrs):
            if tag == "tr":
                self.rows.append([])
            if tag in ("td", "th"):
                self.rows[-1].append("")
                self.cell = True

        def handle_endtag(self, tag):
            self.cell = None if tag in ("td", "th") else self.cell

        def handle_data(self, data):
            if self.cell:
                self.rows[-1][-1] += data

    for name, artifact_id, number in (
        ("lee2020-table1", "lee2020-table1", 0), ("yang2020-table2", "yang2020-table2", 0),
        ("yang2020-table2-2", "yang2020-table2", 1), ("lee2020-fig5", "lee2020-fig5", 0),
    ):  # fmt: skip
        parser = Cells()
        parser.rows = []
        parser.feed(card(texts["index.html"], artifact_id).split("<table>")[number + 1].partition("</table>")[0])
        with (home / "figures/laptop" / f"{name}.csv").open(newline="") as handle:
            assert parser.rows == list(csv.reader(handle))


def test_notes_and_cells_are_escaped(texts, pages):
    assert "&lt;script&gt;alert(&#39;note&#39;)" in texts["index.html"]
    assert NASTY in pages["index.html"].text
    assert "&lt;b&gt;65.2&lt;/b&gt;" in card(texts["index.html"], "yang2020-table2")
    assert not any(page.all("script") for page in pages.values())


def test_every_link_and_picture_leads_somewhere(site, pages):
    folder = site.index.parent
    seen = 0
    for name, page in pages.items():
        targets = [(attrs["href"], "a") for attrs in page.all("a")]
        targets += [(attrs["src"], "img") for attrs in page.all("img")]
        targets += [(attrs["href"], "link") for attrs in page.all("link")]
        for target, tag in targets:
            parts = urlsplit(target)
            if parts.scheme in ("http", "https"):
                assert tag == "a", f"{name}: {target} needs a network"
                continue
            if target == "data:,":  # an empty icon, so that the browser looks for none
                continue
            assert not parts.scheme, f"{name}: {target}"
            assert not parts.path.startswith("/"), f"{name}: {target}"
            file = folder / unquote(parts.path) if parts.path else folder / name
            assert file.is_file(), f"{name}: {target}"
            if parts.fragment:
                assert parts.fragment in pages[file.name].ids(), f"{name}: {target}"
            seen += 1
    assert seen > 100


def test_nothing_is_asked_of_a_network(site):
    style = (site.index.parent / "site.css").read_text()
    assert "url(" not in style
    assert "@import" not in style
    for path in site.index.parent.glob("*.html"):
        for tag, attrs in Elements(path).found:
            assert tag not in {"script", "iframe", "object", "embed", "style", "video", "audio", "source"}
            assert not {"srcset", "style", "onclick", "onload", "background"} & set(attrs), f"{path.name}: <{tag}>"


@pytest.mark.parametrize("address", ["javascript:alert(1)", " JavaScript:alert(1)", "java\nscript:alert(1)"])
def test_a_link_of_a_notebook_runs_nothing(tmp_path, address):
    soup = markup.parse(f'<a href="{address}">one</a><a href="javascript.html#a" onclick="b()">two</a>')
    markup.tidy(soup, markup.Pictures(tmp_path), "")
    assert [(link.get("href"), link.get_text()) for link in soup.find_all("a")] == [
        (None, "one"), ("javascript.html#a", "two"),
    ]  # fmt: skip
    assert "onclick" not in str(soup)


def test_pictures_have_words_a_size_and_wait_until_they_are_seen(pages):
    images = [attrs for page in pages.values() for attrs in page.all("img")]
    assert len(images) >= 5
    assert all(attrs["alt"] and attrs["loading"] == "lazy" for attrs in images)
    shown = pages["index.html"].all("img")
    assert all(int(attrs["width"]) > int(attrs["height"]) > 100 for attrs in shown)


def test_the_smaller_of_two_files_is_shown_and_both_are_there(site, texts):
    files = site.index.parent / "files" / "laptop"
    sizes = {suffix: (files / f"lee2020-fig5.{suffix}").stat().st_size for suffix in ("png", "svg")}
    smaller = min(sizes, key=sizes.get)
    assert f'src="files/laptop/lee2020-fig5.{smaller}"' in card(texts["index.html"], "lee2020-fig5")


def test_wide_tables_scroll_in_a_box_that_the_keyboard_reaches(pages):
    for name, page in pages.items():
        boxes = [attrs for tag, attrs in page.found if attrs.get("class") == "scroll"]
        assert len(boxes) == len(page.all("table")), name
        assert all(attrs["tabindex"] == "0" and attrs["aria-label"] for attrs in boxes)


def test_markdown_is_rendered_and_its_links_stay_in_the_site(texts):
    about = texts["about.html"]
    assert "<td" in about
    assert "| --- |" not in about
    assert 'href="data.html"' in about
    assert 'href="index.html#yang2020-table2"' in about
    assert "smilelab/nowhere.py" not in about
    assert re.search(r'<img alt="Two faces"[^>]+src="pictures/\w{16}\.png"', about)
    assert 'href="about.html"' in texts["data.html"]
    assert "Do not use this to judge people." in texts["index.html"]
    assert "Two faces" not in texts["index.html"]


def test_notebooks_are_readable(texts, site, home):
    text = texts["notebook-laptop-02_train.html"]
    assert "<h1>02 Training</h1>" in text
    assert "Parameters of the laptop profile" in text
    assert "simulating uva-nemo: 100 %" in text
    assert text.count("preprocess:") == text.count("preprocess: 100 %") == 1, "of a progress bar only the last state"
    assert "moments:" not in text
    assert "moments: 0 %" in texts["notebook-laptop-05_figures.html"], "what had begun where it stopped"
    assert str(home) not in text
    assert "data/clips is done" in text
    assert "open in JupyterLab" in text
    assert f'alt="{CATALOGUE["yang2020-table2"].title}"' in text
    assert "&lt;1 &amp; 2&gt;" in text
    assert '<a href="https://example.org/a.png">' in text
    assert "base64" not in text
    assert "still running" not in text
    assert "still running" in texts["notebook-laptop-05_figures.html"]
    assert len(list((site.index.parent / "pictures").iterdir())) == 1, "equal pictures are kept once"


def test_the_audit_has_a_page_with_all_its_tables(texts):
    assert texts["audit.html"].count("<table>") == 2
    assert "audit.html" in card(texts["index.html"], "audit")


def test_models_have_cards_as_pages_where_there_are_some(home, tmp_path, monkeypatch):
    package = tmp_path / "package"
    (package / "weights").mkdir(parents=True)
    (package / "weights" / "small.md").write_text("# small\n\nTrained on simulated faces.\n")
    found = building.resources.files
    monkeypatch.setattr(building.resources, "files", lambda name: package if name == "smilelab" else found(name))
    made = build(home, tmp_path / "site")
    assert "Trained on simulated faces." in (made.index.parent / "model-small.html").read_text()
    assert "Model card: small" in made.index.read_text()


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["71.2", "", "65.2 [59.7, 70.1]", "not run"], "num"),
        (["< 0.01", "-", "3"], "num"),
        (["plain", "71.2"], ""),
        (["", "-"], ""),
        (["a sentence that is longer than a number"], "long"),
    ],
)
def test_columns_of_numbers_are_set_as_numbers(cells, expected):
    assert markup.setting(cells) == expected


def test_headings_of_one_name_are_told_apart():
    soup = markup.parse("<h2>Größe</h2><h2>Größe</h2><h3>?</h3>")
    markup.name_headings(soup)
    assert [tag["id"] for tag in soup.find_all(True)] == ["groe", "groe-2", "section"]


def test_what_was_made_is_what_is_shown(texts):
    shown = {name for name in CATALOGUE if "files/laptop/" in card(texts["index.html"], name)}
    assert shown == set(MADE)
