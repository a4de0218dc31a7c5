"""Notebook 00 in a real JupyterLab and a real Chromium: the inspector used with mouse and keyboard."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from smilelab import datasets
from smilelab.preprocess.build import build
from smilelab.preprocess.recipe import Recipe

pytestmark = pytest.mark.browser

PROJECT = Path(__file__).parents[2]
REAL_CLIP = PROJECT.parent / "shared" / "clips" / "single_face.mp4"
SECONDS = 1000  # ms
WAIT = 90 * SECONDS  # what is waited for takes a few seconds on a machine with nothing else to do
WIDE, NARROW = 1200, 900
SIDE_BAR = 432  # px of JupyterLab beside the widget


@pytest.fixture(scope="module")
def home(simulated_uva_nemo, tmp_path_factory):
    """A project folder with notebook 00 and a preprocessed simulated database."""
    root = tmp_path_factory.mktemp("project")
    raw = root / "data" / "raw" / "simulated" / "uva-nemo-made"
    raw.parent.mkdir(parents=True)
    raw.symlink_to(simulated_uva_nemo)
    build(datasets.open("uva-nemo", raw), Recipe(), root / "data" / "clips", jobs=1, progress=False)
    (root / "notebooks" / "profiles").mkdir(parents=True)
    shutil.copy(PROJECT / "notebooks" / "00_inspect_clip.ipynb", root / "notebooks")
    return root


@pytest.fixture(scope="module")
def lab(home, tmp_path_factory):
    """Address of a JupyterLab of its own; nothing of the user's settings is read, and no network is asked."""
    own = tmp_path_factory.mktemp("home")
    settings = own / "config" / "labconfig"
    settings.mkdir(parents=True)
    quiet = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (settings / "page_config.json").write_text(json.dumps(quiet))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    places = {"HOME": own, "JUPYTER_CONFIG_DIR": own / "config", "JUPYTER_DATA_DIR": own / "data"}
    places |= {"JUPYTER_RUNTIME_DIR": own / "runtime", "IPYTHONDIR": own / "ipython", "SMILELAB_HOME": home}
    address = f"http://127.0.0.1:{port}"
    log = own / "lab.log"
    with log.open("w") as written:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.port={port}"),
                *("--ServerApp.port_retries=0", "--ServerApp.ip=127.0.0.1", f"--IdentityProvider.token={token}"),
                *(f"--ServerApp.root_dir={home / 'notebooks'}", "--LabApp.extension_manager=readonly"),
            ],
            env={**os.environ, **{name: str(path) for name, path in places.items()}},
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(f"{address}/api?token={token}", server, log)
        yield f"{address}/lab/tree/00_inspect_clip.ipynb?token={token}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def wait_for(address, server, log):
    deadline = time.monotonic() + WAIT / SECONDS
    while True:
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)


@pytest.fixture(scope="module")
def page(lab):
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        opened = browser.new_page(viewport={"width": WIDE + SIDE_BAR, "height": 2100})
        opened.set_default_timeout(WAIT)
        expect.set_options(timeout=WAIT)
        opened.goto(lab)
        yield opened
        browser.close()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Where screenshots go."""
    folder = Path(os.environ.get("SMILELAB_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def widget(page: Page):
    """The widget, after all cells were run."""
    # Cells that are run before the kernel is there are forgotten.
    expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    found = page.locator(".smilelab").first
    expect(found.locator("table.smilelab-scores")).to_be_visible()
    expect(page.locator(".jp-RenderedImage img")).to_have_count(1)
    expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible()
    settled(found)
    return found


def control(widget, name):
    return widget.locator(f".smilelab-control-{name}")


def settled(widget):
    """Wait until nothing is being computed."""
    expect(widget.locator(".smilelab-busy")).to_have_count(0)


def source(widget, name):
    return widget.locator(f"img.smilelab-control-{name}").get_attribute("src")


def wait_for_another(widget, name, before):
    expect(widget.locator(f"img.smilelab-control-{name}")).not_to_have_attribute("src", before)


def saved(widget, pictures, name):
    settled(widget)
    path = pictures / f"{name}.png"
    widget.screenshot(path=path)
    assert path.stat().st_size > 20_000


def test_all_cells_run_and_the_widget_shows_a_clip(page, widget, pictures):
    assert page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']").count() == 0
    for name in ("picture", "crop", "curves", "anchor"):
        image = widget.locator(f"img.smilelab-control-{name}")
        assert image.evaluate("image => image.complete && image.naturalWidth") > 90
    assert re.search(r"0\.\d{3}", control(widget, "scores").inner_text())
    assert "simulated weights" in control(widget, "scores").inner_text()
    saved(widget, pictures, "opened-1200")


def test_a_chosen_clip_is_shown(widget):
    before, title = source(widget, "picture"), control(widget, "title").inner_text()
    control(widget, "clip").locator("select").select_option(index=3)
    expect(control(widget, "title")).not_to_have_text(title)
    wait_for_another(widget, "picture", before)
    expect(control(widget, "time")).to_contain_text("frame 1 of")
    settled(widget)
    assert re.search(r"0\.\d{3}", control(widget, "scores").inner_text())


def test_arrow_keys_on_the_slider_step_frame_by_frame(page, widget, pictures):
    before = source(widget, "picture")
    cursor = widget.locator(".smilelab-control-cursor i")
    left = cursor.bounding_box()["x"]
    handle = control(widget, "frame").locator(".noUi-handle[role=slider]")
    handle.focus()
    for number in (2, 3, 4):
        page.keyboard.press("ArrowRight")
        expect(control(widget, "time")).to_contain_text(f"frame {number} of")
    wait_for_another(widget, "picture", before)
    page.keyboard.press("ArrowLeft")
    expect(control(widget, "time")).to_contain_text("frame 3 of")
    page.keyboard.press("End")
    frames = int(re.search(r"of (\d+)", control(widget, "time").inner_text())[1])
    expect(control(widget, "time")).to_contain_text(f"frame {frames} of {frames}")
    curves = widget.locator("img.smilelab-control-curves").bounding_box()
    right = cursor.bounding_box()["x"]
    assert curves["x"] < left < right < curves["x"] + curves["width"]
    page.keyboard.press("Home")
    expect(control(widget, "time")).to_contain_text("frame 1 of")
    for _ in range(3):
        page.keyboard.press("PageUp")
    expect(control(widget, "time")).not_to_contain_text("frame 1 of")


def test_the_player_plays(widget):
    before = control(widget, "time").inner_text()
    play = control(widget, "play").locator("button").first
    play.click()
    expect(control(widget, "time")).not_to_have_text(before)
    play.click()


def test_the_next_clip_opened_while_playing_starts_at_its_first_frame(page, widget):
    play = control(widget, "play").locator("button").first
    at = control(widget, "time")
    before, title = at.inner_text(), control(widget, "title").inner_text()
    play.click()
    expect(at).not_to_have_text(before)
    control(widget, "following").click()
    expect(control(widget, "title")).not_to_have_text(title)
    settled(widget)
    page.wait_for_timeout(SECONDS)
    expect(at).to_contain_text("frame 1 of")


def test_the_map_is_switched_on_and_off(widget, pictures):
    plain = source(widget, "crop")
    toggle = control(widget, "show-map")
    toggle.click()
    wait_for_another(widget, "crop", plain)
    control(widget, "over-time").click()
    settled(widget)
    control(widget, "find-nearest").click()
    expect(control(widget, "neighbours").locator("button")).to_have_count(5)
    saved(widget, pictures, "map-1200")
    laid = source(widget, "crop")
    toggle.click()
    wait_for_another(widget, "crop", laid)
    control(widget, "over-time").click()
    settled(widget)


def test_a_neighbour_is_opened_by_its_button(widget):
    button = control(widget, "neighbours").locator("button").nth(1)
    name = button.inner_text().strip()
    button.click()
    expect(control(widget, "title")).to_contain_text(name)
    settled(widget)


def test_an_upload_is_tracked_and_scored(page, widget, pictures, home):
    videos = (home / "data" / "raw" / "simulated" / "uva-nemo-made").rglob("*.mp4")
    path = REAL_CLIP if REAL_CLIP.is_file() else min(videos)
    curves = source(widget, "curves")
    with page.expect_file_chooser() as chosen:
        control(widget, "upload").click()
    chosen.value.set_files(path)
    expect(control(widget, "title")).to_contain_text(path.name)
    wait_for_another(widget, "curves", curves)
    settled(widget)
    expect(control(widget, "scores")).to_contain_text(re.compile(r"0\.\d{3}"))
    assert widget.locator("img.smilelab-control-picture").evaluate("image => image.naturalWidth") > 90
    saved(widget, pictures, "upload-1200")


def test_an_upload_that_is_no_video_is_told_inside_the_widget(page, widget, tmp_path):
    path = tmp_path / "notes.mp4"
    path.write_text("not a video")
    title = control(widget, "title").inner_text()
    with page.expect_file_chooser() as chosen:
        control(widget, "upload").click()
    chosen.value.set_files(path)
    expect(control(widget, "message")).to_contain_text("not a video")
    assert control(widget, "title").inner_text() == title


def test_the_view_is_saved_where_it_says(widget, home):
    control(widget, "save-picture").click()
    expect(control(widget, "saved")).to_contain_text(str(home / "data" / "inspected"))
    assert [path.suffix for path in (home / "data" / "inspected").iterdir()] == [".png"]


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_nothing_is_cut_off_at_either_width(page, widget, pictures, width):
    page.set_viewport_size({"width": width + SIDE_BAR, "height": 2100})
    expect(widget).to_be_visible()
    page.wait_for_function("[...document.querySelectorAll('.smilelab')][0].getBoundingClientRect().width > 500")
    control(widget, "following").click()
    settled(widget)
    control(widget, "find-nearest").click()
    expect(control(widget, "neighbours").locator("button")).to_have_count(5)
    assert widget.evaluate("box => box.scrollWidth - box.clientWidth") <= 1
    right = widget.bounding_box()["x"] + widget.bounding_box()["width"]
    boxes = widget.locator("button:visible, select:visible, img:visible").all()
    assert all(box.bounding_box()["x"] + box.bounding_box()["width"] <= right + 1 for box in boxes)
    cut = "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.innerText)"
    assert widget.locator("button:visible").evaluate_all(cut) == []
    saved(widget, pictures, f"width-{width}")
