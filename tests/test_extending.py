"""The walk-through of notebooks/extending.md, done as it says in a copy of the project."""

import doctest
import json
import os
import re
import shutil
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

import pytest

from smilelab.registry import discover

PROJECT = Path(__file__).parent.parent
PAGE = PROJECT / "notebooks" / "extending.md"
# Optional file name in a line of its own, and the block that follows.
_BLOCK = re.compile(r"(?:^`(?P<file>[^`\n]+)`\n\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_END = "\x1e"
_SESSION = f"""
import json, sys
names = {{"__name__": "__main__"}}
for place, block in json.load(sys.stdin):
    exec(compile(block, place, "exec"), names)
    print({_END!r}, end="", flush=True)
"""


@dataclass
class Block:
    kind: str
    text: str
    file: str | None
    place: str


def blocks_of(page):
    found = [
        Block(m["kind"], m["text"], m["file"], f"{PAGE.name}, line {page[: m.start('text')].count(chr(10))}")
        for m in _BLOCK.finditer(page)
    ]
    assert 2 * len(found) == len(re.findall(r"^```", page, re.MULTILINE)), "a fence that this test does not understand"
    return found


def commands_of(text):
    """Commands after "$ ", each with the lines that it is to print; a line that ends in a backslash goes on."""
    assert text.startswith("$ ")
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, output = re.split(r"(?<!\\)\n", part, maxsplit=1)
        yield command, output


def assert_printed(promised, printed, place):
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    example = doctest.Example("", promised)
    checker = doctest.OutputChecker()
    if not checker.check_output(promised, printed, options):
        pytest.fail(f"{place}:\n{checker.output_difference(example, printed, options)}")


@pytest.fixture
def project(tmp_path):
    """A copy of the package and the profiles, without any data."""
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT / "smilelab", tmp_path / "smilelab", ignore=skip)
    shutil.copytree(PROJECT / "notebooks" / "profiles", tmp_path / "notebooks" / "profiles")
    return tmp_path


def run(command, project, **options):
    environment = os.environ | {
        "PYTHONPATH": str(project),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "GIT_CEILING_DIRECTORIES": str(project.parent),
    }
    environment.pop("SMILELAB_HOME", None)
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, **options)
    return done.returncode, done.stdout, done.stderr


def follow(blocks, project):
    """Do what the blocks say, in their order, and compare what is printed with what is promised."""
    waiting = list(blocks)
    while waiting:
        block = waiting.pop(0)
        if block.file is not None:
            target = project / block.file
            assert not target.exists(), f"{block.place}: {block.file} is there already"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        elif block.kind == "console":
            for command, promised in commands_of(block.text):
                code, printed, errors = run(["bash", "-c", command], project)
                assert code == 0, f"{block.place}: {command}\n{printed}{errors}"
                assert_printed(promised, printed, f"{block.place}: {command}")
        elif block.kind == "python":
            session = [(block, "")]
            while waiting and waiting[0].file is None and waiting[0].kind in ("python", "text"):
                following = waiting.pop(0)
                if following.kind == "text":
                    session[-1] = (session[-1][0], following.text)
                else:
                    session.append((following, ""))
            given = json.dumps([(some.place, some.text) for some, _ in session])
            code, printed, errors = run([sys.executable, "-c", _SESSION], project, input=given)
            assert code == 0, errors
            for (some, promised), actual in zip(session, printed.split(_END), strict=False):
                assert_printed(promised, actual, some.place)
        else:
            pytest.fail(f"{block.place}: a block of kind {block.kind!r}, expected a file, console, python or text")


def test_the_walk_through_does_what_it_says(project):
    before = {path for path in project.rglob("*") if path.is_file()}
    follow(blocks_of(PAGE.read_text(encoding="utf-8")), project)
    left = {path.relative_to(project) for path in project.rglob("*") if path.is_file() and path not in before}
    elsewhere = {path for path in left if path.parts[:2] not in (("data", "clips"), ("data", "runs"))}
    assert {path for path in elsewhere if "__pycache__" not in path.parts} == set(), "clearing up leaves these"


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("```console\n$ echo one\ntwo\n```\n", "Expected:\n    two\nGot:\n    one"),
        ("```console\n$ echo broken >&2; false\n```\n", "broken"),
        ("```python\nprint(1)\n```\n\n```text\n2\n```\n", "Expected:\n    2\nGot:\n    1"),
        ("```python\nprint(1)\n```\n", "Expected nothing\nGot:\n    1"),
        ("```python\nraise ValueError('no')\n```\n", "ValueError: no"),
        ("```yaml\na: 1\n```\n", "a block of kind 'yaml'"),
        ("`smilelab/x.py`\n\n```python\n1\n```\n\n`smilelab/x.py`\n\n```python\n2\n```\n", "is there already"),
    ],
)
def test_what_does_not_happen_as_promised_fails(tmp_path, page, told):
    with pytest.raises((AssertionError, pytest.fail.Exception)) as caught:
        follow(blocks_of(page), tmp_path)
    assert told in str(caught.value)


def test_blocks_of_one_session_share_their_names_and_a_new_file_ends_it(tmp_path):
    page = "```python\na = 1\n```\n\n```python\nprint(a)\n```\n\n```text\n1\n```\n\n`x.txt`\n\n```text\nx\n```\n\n"
    follow(blocks_of(page + "```python\nprint('a' in globals())\n```\n\n```text\nFalse\n```\n"), tmp_path)
    assert (tmp_path / "x.txt").read_text() == "x\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An importable package `room` with two modules that say when they are imported."""
    folder = tmp_path / "room"
    folder.mkdir()
    (folder / "__init__.py").write_text("said = []\n")
    for name in ("b", "a", "ten", "nine"):
        (folder / f"{name}.py").write_text(f"from room import said\nsaid.append({name!r})\n")
    (folder / "notes.txt").write_text("no module")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "room"]:
        del sys.modules[name]


def test_every_module_of_a_package_is_imported_once_in_the_order_of_their_names(package):
    import room

    for _ in range(2):
        discover("room", room.__path__)
    assert room.said == ["a", "b", "nine", "ten"]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("import nowhere_to_be_found\n", ModuleNotFoundError),
        ("def broken(:\n", SyntaxError),
        ("1 / 0\n", ZeroDivisionError),
    ],
)
def test_what_a_module_raises_is_raised(package, content, error):
    import room

    (package / "c.py").write_text(content)
    with pytest.raises(error) as caught:
        discover("room", room.__path__)
    assert str(package / "c.py") in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("name", ["models", "baselines"])
def test_all_files_of_models_and_baselines_are_imported(name):
    folder = PROJECT / "smilelab" / name
    __import__(f"smilelab.{name}")
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert files == {module.rpartition(".")[2] for module in sys.modules if module.startswith(f"smilelab.{name}.")}
