"""What README.md and the other pages name is there: files, commands with their options, profiles, Python."""

import re
import shlex
from pathlib import Path

import pytest

from smilelab import datasets
from smilelab.cli import main

PROJECT = Path(__file__).parent.parent
README = (PROJECT / "README.md").read_text(encoding="utf-8")
PAGES = [
    *("README.md", "data/README.md", "notebooks/extending.md", "figures/benchmarks/README.md"),
    *(str(path.relative_to(PROJECT)) for path in sorted(PROJECT.glob("smilelab/weights/*.md"))),
]


def text_of(page):
    return (PROJECT / page).read_text(encoding="utf-8")


def blocks(text, kind=""):
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(page):
    """Lines of fenced blocks and inline code that call smilelab; a comment ends each."""
    lines = [line for block in blocks(text_of(page), r"\w*") for line in block.replace("\\\n   ", "").splitlines()]
    inline = re.findall(r"`(smilelab [^`]+)`", text_of(page))
    called = [line.removeprefix("$ ") for line in lines] + [" ".join(text.split()) for text in inline]
    return [re.split(r"\s+#|\s{3,}", line)[0] for line in called if re.match(r"smilelab [a-z]", line)]


@pytest.mark.parametrize(("page", "command"), [(page, line) for page in PAGES for line in commands(page)])
def test_commands_have_the_arguments_and_options_that_are_shown(page, command):
    name, *arguments = shlex.split(command)[1:]
    if f"`{command}`" in text_of(page) and not arguments:
        assert name in main.commands
    else:
        main.commands[name].make_context(name, arguments)


def test_commands_are_found_at_all():
    shown = {command.split()[1] for page in PAGES for command in commands(page)}
    assert shown >= {"simulate", "check", "moments", "preprocess", "reproduce", "predict"}


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_lead_to_files_of_the_project(page):
    links = re.findall(r"\]\(([^)#:]+)\)", text_of(page))
    assert all((PROJECT / page).parent.joinpath(link).exists() for link in links), links


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist_or_are_made_by_a_run(page):
    made = ("figures/smoke/", "site/", "data/", "figures/my-study")
    named = re.findall(r"`((?:smilelab|notebooks|tests|figures|data)/[\w./-]+)`", text_of(page))
    own = set(re.findall(r"^`([^`]+)`$", text_of(page), re.MULTILINE)) | {"notebooks/06_mine.ipynb"}
    lost = [name for name in named if not (PROJECT / name).exists() and not name.startswith(made) and name not in own]
    assert not lost


def test_targets_of_make_are_those_of_the_makefile():
    targets = set(re.findall(r"^(\w+):", text_of("Makefile"), re.MULTILINE))
    assert set(re.findall(r"^make (\w+)|`make (\w+)", README, re.MULTILINE)) >= {("paper", ""), ("site", "")}
    assert {
        first or second for first, second in re.findall(r"^make (\w+)|`make (\w+)", README, re.MULTILINE)
    } <= targets


def test_the_table_of_profiles_lists_every_profile():
    listed = re.findall(r"^\| (\w+) \| `make paper(?: PROFILE=(\w+))?`", README, re.MULTILINE)
    assert {name for name, _ in listed} == {path.stem for path in PROJECT.glob("notebooks/profiles/*.yaml")}
    assert all(given in ("", name) for name, given in listed)


def test_three_pictures_are_shown():
    assert len(re.findall(r"^!\[[^\]]{20,}\]\(", README, re.MULTILINE)) == 3


def test_the_table_of_own_videos_can_be_read(tmp_path):
    table = next(block for block in blocks(README) if block.startswith("path,label"))
    (tmp_path / "clips.csv").write_text(table)
    index = datasets.open("recordings", tmp_path, require_videos=False).index()
    assert index["kind"].tolist() == ["recording", "recording", "neutral", "clip"]
    assert index["label"].tolist() == [1, 0, -1, 0]


def test_the_python_of_the_readme_runs(simulated_uva_nemo):
    (code,) = blocks(README, "python")
    names = {}
    exec(code.replace("path/to/UvA-NEMO_SMILE_DATABASE", str(simulated_uva_nemo)), names)
    assert len(names["database"].index()) == 10
    assert names["model"].anchor_rule == "neutral"


@pytest.mark.parametrize("word", ["lie detection", "hiring", "no evidence about real smiles", "CITATION.cff"])
def test_limits_are_said(word):
    assert word in " ".join(README.split())
