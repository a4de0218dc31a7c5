"""How the site is written and replaced: as a whole or not at all, and what is said where something is missing."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_site import card, project

from smilelab import cli
from smilelab.artifacts.site import LIMIT, SiteError, build
from smilelab.artifacts.site import pages as building


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return project(tmp_path_factory.mktemp("project"))


def test_a_site_built_twice_is_the_same(home, tmp_path):
    site, again = (build(home, tmp_path / name) for name in ("once", "again"))

    def content(folder):
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert content(again.index.parent) == content(site.index.parent)
    assert again.size == sum(map(len, content(again.index.parent).values())) < LIMIT


def test_the_first_profile_named_is_on_the_index_page(home, tmp_path):
    made = build(home, tmp_path / "site", ["smoke"])
    text = made.index.read_text()
    assert made.profiles == ["smoke"]
    assert "results of the smoke profile" in text
    assert not (made.index.parent / "files" / "laptop").exists()
    assert build(home, tmp_path / "site", ["smoke", "laptop"]).profiles == ["smoke", "laptop"]


def test_an_artifact_whose_files_went_away_is_told_so(home, tmp_path, monkeypatch):
    copy = project(tmp_path / "project")
    for path in (copy / "figures/laptop").glob("yang2020-fig5.*"):
        path.unlink()
    text = card(build(copy).index.read_text(), "yang2020-fig5")
    assert "its files are gone" in text


def test_a_stale_artifact_says_what_changed(home, tmp_path):
    copy = project(tmp_path / "project")
    (copy / "store" / "manifest.csv").write_text("clip_id\nanother\n")
    text = card(build(copy).index.read_text(), "lee2020-table1")
    assert "older than the code or its data" in text
    assert "Since then: store/manifest.csv changed" in text


def test_a_notebook_that_cannot_be_read_is_left_out_and_said(tmp_path):
    copy = project(tmp_path / "project")
    (copy / "data/runs/notebooks/laptop/03_ablations.ipynb").write_text('{"cells": [')
    made = build(copy)
    assert len(made.remarks) == 1
    assert "03_ablations.ipynb: found no notebook" in made.remarks[0]


@pytest.mark.parametrize("when", ["writing", "swapping"])
def test_a_site_that_fails_leaves_the_old_one_and_nothing_else(home, tmp_path, monkeypatch, when):
    place = tmp_path / "site"
    build(home, place)
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    if when == "writing":
        monkeypatch.setattr(building._Writer, "_document", lambda *_: 1 / 0)
    else:
        rename = Path.rename

        def broken(self, target):
            if self.name.endswith(".part"):
                raise ZeroDivisionError
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", broken)
    with pytest.raises(ZeroDivisionError):
        build(home, place)
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before
    assert os.listdir(tmp_path) == ["site"]


def test_an_older_site_is_replaced_as_a_whole(home, tmp_path):
    place = build(home, tmp_path / "site").index.parent
    (place / "old.html").write_text("from before")
    build(home, place)
    assert not (place / "old.html").exists()
    assert os.listdir(tmp_path) == ["site"]


def test_another_folder_is_never_replaced(home, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    with pytest.raises(SiteError, match="no earlier site"):
        build(home, tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "years of work"


def test_a_site_that_is_too_large_is_refused(home, tmp_path, monkeypatch):
    monkeypatch.setattr(building, "LIMIT", 10_000)
    with pytest.raises(SiteError, match="expected less than"):
        build(home, tmp_path / "site")
    assert not list(tmp_path.iterdir())


def test_missing_runs_give_a_clear_message(home, tmp_path, monkeypatch):
    def run(*arguments):
        return CliRunner().invoke(cli.main, ["site", *map(str, arguments)], catch_exceptions=False)

    monkeypatch.setenv("SMILELAB_HOME", str(tmp_path))
    empty = run()
    assert empty.exit_code == 1
    assert "found no artifacts" in empty.output
    assert "smilelab reproduce --profile smoke" in empty.output
    monkeypatch.setenv("SMILELAB_HOME", str(home))
    unknown = run("--profile", "paper")
    assert unknown.exit_code == 1
    assert "'paper'" in unknown.output
    assert "laptop, smoke" in unknown.output
    made = run("--out", tmp_path / "pages")
    assert made.exit_code == 0
    assert f"laptop, smoke; {len(list((tmp_path / 'pages').glob('*.html')))} pages, " in made.output
    assert " MB" in made.output
