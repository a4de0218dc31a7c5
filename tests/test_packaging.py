import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent


def name_of(requirement):
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~\[; ]", requirement.strip())[0]).lower()


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def pins():
    lines = (line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#"))
    return {name_of(line): line.partition("==")[2] for line in lines if line.strip()}


@pytest.fixture(scope="module")
def required(project):
    return [*project["dependencies"], *project["optional-dependencies"]["dev"]]


def test_every_requirement_is_pinned_within_its_range(required, pins):
    for requirement in required:
        lowest = re.search(r">=([\d.]+)", requirement)
        pinned = pins[name_of(requirement)]
        if lowest:
            as_numbers = [tuple(int(part) for part in re.findall(r"\d+", v)) for v in (lowest.group(1), pinned)]
            assert as_numbers[0] <= as_numbers[1], requirement
        else:
            assert requirement.endswith(f"=={pinned}")


def test_conda_environment_has_the_same_packages_at_the_same_pins(required, pins):
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    listed = {name_of(line): line.partition("==")[2] for line in pip if "==" in line}
    assert listed == {name_of(requirement): pins[name_of(requirement)] for requirement in required}


def test_torch_is_pinned_exactly_and_opencv_comes_once(project, pins):
    assert "torch==2.13.0" in project["dependencies"]
    assert [name for name in pins if name.startswith("opencv")] == ["opencv-python-headless"]


def test_installed_versions_are_the_pinned_ones(pins, required):
    from importlib.metadata import version

    for requirement in required:
        assert version(name_of(requirement)).partition("+")[0] == pins[name_of(requirement)], requirement


def test_citation_names_both_papers_and_the_project_version(project):
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    titles = " ".join(entry["title"] for entry in citation["references"])
    assert "RealSmileNet" in titles
    assert "Siamese" in titles
    assert citation["version"] == project["version"]


def test_version_is_the_same_everywhere(project):
    import smilelab

    assert smilelab.__version__ == project["version"]
