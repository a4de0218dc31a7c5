import re
from pathlib import Path

import nbformat
import pytest

from smilelab import notebooks
from smilelab.notebooks import NotebookError, NotebookStopped

PROJECT = Path(__file__).parent.parent
PARAMETERS = """profile: str = "tiny"  # name
databases: dict = {}  # folders
count: int = 2  # how many
rate: float = 0.5  # how fast
deep: bool = False  # or not"""


def write_notebook(path, *cells, parameters=PARAMETERS):
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    first = nbformat.v4.new_code_cell(parameters)
    first.metadata["tags"] = ["parameters"]
    notebook.cells = [first, *(nbformat.v4.new_code_cell(source) for source in cells)]
    nbformat.write(notebook, path)


@pytest.fixture
def project(tmp_path):
    (tmp_path / "notebooks" / "profiles").mkdir(parents=True)
    write_notebook(tmp_path / "notebooks" / "01_first.ipynb", "print('count is', count)")
    write_notebook(tmp_path / "notebooks" / "02_second.ipynb", "print(databases)", "other = 1")
    write_profile(tmp_path, "profile: tiny\ncount: 3\n")
    return tmp_path


def write_profile(root, text):
    (root / "notebooks" / "profiles" / "tiny.yaml").write_text(text)


@pytest.mark.parametrize("name", ["smoke", "laptop", "overnight", "paper"])
def test_shipped_profiles_fit_the_shipped_notebooks(name):
    content = notebooks.load_profile(name, PROJECT)
    assert content["profile"] == name
    declared = set()
    for path in notebooks.available(PROJECT):
        declared |= set(notebooks.declared_parameters(path))
    assert set(content) == declared


def test_paper_profile_has_the_papers_settings():
    content = notebooks.load_profile("paper", PROJECT)
    assert (content["epochs"], content["batch_size"], content["trials"]) == (60, 16, 10)
    assert (content["image_size"], content["sampling_fps"], content["learning_rate"]) == (48, 5.0, 1e-3)
    assert content["loss"] == "paper"


def test_shared_parameters_have_one_default_in_all_notebooks():
    seen = {}
    for path in notebooks.available(PROJECT):
        source = next(
            cell.source
            for cell in nbformat.read(path, as_version=4).cells
            if "parameters" in cell.metadata.get("tags", [])
        )
        for line in source.splitlines():
            name, value = re.match(r"(\w+): \w+ = (.+)", line).groups()
            assert "  # " in line, f"{path.name}: {name} has no comment"
            assert seen.setdefault(name, value) == value, f"{path.name}: {name}"


def test_notebooks_hold_no_logic_and_no_outputs():
    for path in notebooks.available(PROJECT):
        for cell in nbformat.read(path, as_version=4).cells:
            assert "def " not in cell.source or cell.cell_type == "markdown"
            if cell.cell_type == "code":
                assert not cell.outputs
                assert cell.execution_count is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("profile: tiny\ncuont: 3\n", "no notebook has a parameter 'cuont'"),
        ("profile: tiny\ncount: many\n", "count is 'many', expected int"),
        ("profile: tiny\ncount: true\n", "count is True, expected int"),
        ("profile: tiny\ndeep: 1\n", "deep is 1, expected bool"),
        ("- a\n- b\n", "expected parameters"),
        ("a: [\n", "not readable as YAML"),
    ],
)
def test_a_profile_that_does_not_fit_is_refused(project, text, message):
    write_profile(project, text)
    with pytest.raises(NotebookError, match=re.escape(message)):
        notebooks.reproduce("tiny", root=project)


def test_whole_numbers_are_fine_where_a_float_is_expected(project):
    write_profile(project, "profile: tiny\nrate: 1\n")
    assert notebooks.load_profile("tiny", project)["rate"] == 1


def test_unknown_profile_and_number_are_refused(project):
    with pytest.raises(NotebookError, match="expected one of tiny"):
        notebooks.load_profile("tinny", project)
    with pytest.raises(NotebookError, match="expected one of 01, 02"):
        notebooks.reproduce("tiny", only=["03"], root=project)


def test_outside_a_clone_the_error_says_what_to_do(tmp_path):
    with pytest.raises(NotebookError, match="SMILELAB_HOME"):
        notebooks.available(tmp_path)


def test_a_notebook_without_a_parameter_cell_is_refused(project):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1")])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(notebook, project / "notebooks" / "03_third.ipynb")
    with pytest.raises(NotebookError, match="tagged 'parameters'"):
        notebooks.load_profile("tiny", project)


def test_running_leaves_executed_copies_and_pages_with_the_profiles_values(project):
    done = notebooks.reproduce("tiny", databases={"uva-nemo": str(project)}, root=project, say=lambda line: None)
    assert [run.notebook.name for run in done] == ["01_first.ipynb", "02_second.ipynb"]
    folder = project / "data" / "runs" / "notebooks" / "tiny"
    assert "count is 3" in (folder / "01_first.html").read_text()
    assert str(project) in (folder / "02_second.html").read_text()
    assert "outputs" in (folder / "01_first.ipynb").read_text()
    source = nbformat.read(project / "notebooks" / "01_first.ipynb", as_version=4)
    assert not source.cells[1].outputs


def test_only_runs_what_was_asked_for(project):
    done = notebooks.reproduce("tiny", only=["02"], root=project, say=lambda line: None)
    assert [run.notebook.name for run in done] == ["02_second.ipynb"]


def test_a_failing_cell_is_named_with_its_error(project):
    write_notebook(project / "notebooks" / "02_second.ipynb", "fine = 1", "raise KeyError('no such clip')")
    with pytest.raises(NotebookError) as caught:
        notebooks.reproduce("tiny", root=project, say=lambda line: None)
    message = str(caught.value)
    assert "02_second.ipynb, cell " in message
    assert "KeyError: 'no such clip'" in message
    assert "\x1b" not in message


def test_stopping_says_so_and_leaves_no_kernel(project, monkeypatch):
    kernels, start = [], notebooks._started

    def kept(*args):
        kernels.append(start(*args))
        return kernels[-1]

    def interrupted(*args, km, **kwargs):
        assert km is kernels[0]
        assert km.is_alive()
        raise KeyboardInterrupt

    monkeypatch.setattr(notebooks, "_started", kept)
    monkeypatch.setattr(notebooks.papermill, "execute_notebook", interrupted)
    with pytest.raises(NotebookStopped, match=r"stopped in 01_first.*the same command goes on"):
        notebooks.reproduce("tiny", root=project, say=lambda line: None)
    assert len(kernels) == 2
    assert not any(kernel.is_alive() for kernel in kernels)
