"""The site in a real Chromium that cannot reach a network."""

import os
import shutil
from pathlib import Path

import pytest
from made_site import copy_of_results, project
from playwright.sync_api import sync_playwright

from smilelab.artifacts.catalogue import CATALOGUE
from smilelab.artifacts.site import build

pytestmark = pytest.mark.browser
WIDTHS = {"phone": (390, 844), "desktop": (1280, 900)}


@pytest.fixture(scope="module", params=["made for the test", "published"])
def site(request, tmp_path_factory):
    """A small site with everything on it, and that of the artifacts that are published with the project."""
    make = project if request.param == "made for the test" else copy_of_results
    return build(make(tmp_path_factory.mktemp("project")))


@pytest.fixture(scope="module")
def chromium():
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium):
    """Opens a page by its file and collects what went wrong in it."""
    contexts, faults = [], []

    def open_page(path, size, scheme="light"):
        width, height = size
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, offline=True, reduced_motion="reduce"
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("requestfailed", lambda request: faults.append(f"failed: {request.url}"))
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else faults.append(f"asked: {r.url}"))
        page.goto(Path(path).as_uri())
        return page

    yield open_page
    assert not faults
    for context in contexts:
        context.close()


def load_pictures(page):
    """Scroll every picture into view, so that the lazy ones are loaded, folded ones too."""
    page.evaluate("document.querySelectorAll('details').forEach(folded => folded.open = true)")
    page.evaluate(
        "Promise.all([...document.images].map(image => { image.scrollIntoView(); image.loading = 'eager';"
        " return image.complete || new Promise(done => { image.onload = image.onerror = done; }); }))"
    )


@pytest.mark.parametrize("form", WIDTHS)
def test_index_shows_every_artifact_and_picture_within_the_width(site, opened, form):
    page = opened(site.index, WIDTHS[form])
    for artifact_id in CATALOGUE:
        assert page.locator(f"article[id='{artifact_id}'] h3").is_visible()
    assert overflow(page) <= 0
    load_pictures(page)
    widths = page.evaluate("[...document.images].map(image => image.naturalWidth)")
    assert len(widths) > 1
    assert min(widths) > 0
    assert overflow(page) <= 0
    photograph(page, f"index-{form}", site)


@pytest.mark.parametrize("form", WIDTHS)
def test_every_page_opens_without_a_fault_within_the_width(site, opened, form):
    pages = sorted(site.index.parent.glob("*.html"))
    assert len(pages) == site.pages
    for path in pages:
        page = opened(path, WIDTHS[form])
        load_pictures(page)
        assert overflow(page) <= 0, path.name
        assert min(page.evaluate("[...document.images].map(image => image.naturalWidth)"), default=1) > 0, path.name
        page.context.close()


def test_the_keyboard_reaches_content_contents_and_tables(site, opened):
    page = opened(site.index, WIDTHS["desktop"])
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.url.endswith("#content")
    link = page.locator("nav.contents.wide a[href='#yang2020-table2']")
    link.focus()
    page.keyboard.press("Enter")
    top = page.evaluate("document.getElementById('yang2020-table2').getBoundingClientRect().top")
    bar = page.evaluate("document.querySelector('.top').getBoundingClientRect().bottom")
    assert bar <= top < 300, "below the bar at the top, and in view"
    reached = page.evaluate(
        "[...document.querySelectorAll('.scroll')].filter(box => box.scrollWidth > box.clientWidth)"
        ".every(box => box.tabIndex === 0)"
    )
    assert reached


def test_contents_fold_on_a_phone_and_stand_beside_on_a_desktop(site, opened):
    page = opened(site.index, WIDTHS["phone"])
    assert not page.locator("nav.contents.wide").is_visible()
    link = page.locator("details.contents a[href='#audit']")
    assert not link.is_visible()
    page.locator("details.contents summary").first.click()
    assert link.is_visible()
    page.set_viewport_size({"width": 1280, "height": 900})
    assert page.locator("nav.contents.wide").is_visible()
    assert not page.locator("details.contents").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(site, opened, scheme):
    """The contrast that WCAG 2 asks of text, 4.5 to 1, for every colour pair used on the index."""
    page = opened(site.index, WIDTHS["desktop"], scheme)
    pairs = page.evaluate(
        """() => {
        const ground = element => {
            for (let at = element; at; at = at.parentElement) {
                const color = getComputedStyle(at).backgroundColor;
                if (!color.endsWith(', 0)') && color !== 'transparent') return color;
            }
            return getComputedStyle(document.body).backgroundColor;
        };
        const found = new Set();
        for (const element of document.querySelectorAll('body *'))
            if ([...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
                found.add(getComputedStyle(element).color + '|' + ground(element));
        return [...found];
        }"""
    )
    assert len(pairs) > 4
    ratios = {pair: contrast(*map(rgb, pair.split("|"))) for pair in pairs}
    assert min(ratios.values()) >= 4.5, ratios
    photograph(page, f"index-{scheme}", site)


def overflow(page):
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


def rgb(text):
    return [float(part) / 255 for part in text.partition("(")[2].rstrip(")").split(",")[:3]]


def contrast(text, ground):
    light, dark = sorted(map(luminance, (text, ground)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(color):
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in color]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def photograph(page, name, site):
    """Keep pictures of a page from top to bottom, where somebody asks for them."""
    if not (folder := os.environ.get("SMILELAB_SCREENSHOTS")):
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    height = page.evaluate("document.body.scrollHeight")
    for number in range(6):
        page.evaluate(f"window.scrollTo(0, {height * number // 6})")
        page.wait_for_timeout(200)
        page.screenshot(path=Path(folder) / f"{name}-{site.pages}-pages-{number}.png")
