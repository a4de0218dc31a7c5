"""Running the notebooks of a profile through papermill, strictly."""

from __future__ import annotations

import contextlib
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import papermill
import yaml
from jupyter_client.manager import KernelManager
from nbclient.exceptions import DeadKernelError
from nbconvert import HTMLExporter
from papermill.exceptions import PapermillExecutionError

from smilelab.artifacts.study import home

_TYPES: dict[str, type | tuple[type, ...]] = {
    "bool": bool,
    "dict": dict,
    "float": (float, int),
    "int": int,
    "list": list,
    "str": str,
}
# What all notebooks take longest to import.
_IMPORTS = "import torch, pandas, matplotlib.figure, scipy.stats, sklearn.svm, cv2"
_CLIENT = "jupyter_client.asynchronous.AsyncKernelClient"  # as papermill reads several channels at once
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class NotebookError(RuntimeError):
    """A profile that does not fit the notebooks, or a notebook that failed."""


class NotebookStopped(NotebookError):
    """Somebody pressed Ctrl-C."""


@dataclass(frozen=True)
class Executed:
    """One executed notebook."""

    notebook: Path
    html: Path
    seconds: float


def available(root: Path | None = None) -> list[Path]:
    """Notebooks of the project, in their order."""
    folder = (root or home()) / "notebooks"
    found = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise NotebookError(
            f"{folder}: no notebooks here, expected 01_preprocess.ipynb and others. "
            "Run this inside a clone of smilelab, or set SMILELAB_HOME to one."
        )
    return found


def profiles(root: Path | None = None) -> dict[str, Path]:
    """Profiles of the project by name."""
    return {path.stem: path for path in sorted(((root or home()) / "notebooks" / "profiles").glob("*.yaml"))}


def load_profile(name: str, root: Path | None = None) -> dict[str, Any]:
    """Read a profile and check it against the parameter cells of all notebooks.

    Parameters
    ----------
    name : str
        File name without ``.yaml`` below ``notebooks/profiles``.
    root : Path, optional
        Project folder.

    Returns
    -------
    dict
        Parameter to value.

    Raises
    ------
    NotebookError
        An unknown profile, a parameter that no notebook has, or a value of another type than the notebook declares.
    """
    declared: dict[str, str] = {}
    for notebook in available(root):
        declared.update(declared_parameters(notebook))
    known = profiles(root)
    if name not in known:
        raise NotebookError(f"profile: found {name!r}, expected one of {', '.join(known) or 'none here'}.")
    try:
        content = yaml.safe_load(known[name].read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise NotebookError(f"{known[name]}: not readable as YAML: {error}") from None
    if not isinstance(content, dict):
        raise NotebookError(f"{known[name]}: expected parameters, one 'name: value' a line.")
    for key, value in content.items():
        if key not in declared:
            raise NotebookError(
                f"{known[name].name}: no notebook has a parameter {key!r}; known: {', '.join(declared)}."
            )
        expected = _TYPES.get(declared[key])
        misfit = expected is not None and not isinstance(value, expected)
        if misfit or (isinstance(value, bool) and declared[key] in ("int", "float")):
            raise NotebookError(f"{known[name].name}: {key} is {value!r}, expected {declared[key]}.")
    return content


def declared_parameters(notebook: Path) -> dict[str, str]:
    """Names and types of the parameters in a notebook's parameter cell.

    Raises
    ------
    NotebookError
        The notebook has no cell tagged ``parameters``.
    """
    found = papermill.inspect_notebook(str(notebook))
    if not found:
        raise NotebookError(f"{notebook.name}: no cell tagged 'parameters'; tag the one with the typed literals.")
    return {name: str(entry["inferred_type_name"]) for name, entry in found.items()}


def reproduce(
    profile: str,
    *,
    only: Sequence[str] = (),
    databases: Mapping[str, str] | None = None,
    root: Path | None = None,
    say: Callable[[str], None] = print,
) -> list[Executed]:
    """Execute the notebooks of a profile; executed copies and HTML go to ``data/runs/notebooks/<profile>``.

    Parameters
    ----------
    profile : str
        Name of the profile.
    only : sequence of str
        Numbers of notebooks, such as ``"02"``; empty means all.
    databases : mapping of str to str, optional
        Database name to folder, on top of the profile's.
    root : Path, optional
        Project folder.
    say : callable
        Takes one line of progress.

    Returns
    -------
    list of Executed

    Raises
    ------
    NotebookError
        See :func:`load_profile`; an unknown notebook number; or a cell that failed, with notebook, cell and error.
    NotebookStopped
        Somebody pressed Ctrl-C.
    """
    root = root or home()
    parameters = load_profile(profile, root)
    if databases:
        folders = {name: str(Path(folder).expanduser().resolve()) for name, folder in databases.items()}
        parameters["databases"] = {**parameters.get("databases", {}), **folders}
    notebooks = available(root)
    numbers = {path.name[:2]: path for path in notebooks}
    if unknown := [number for number in only if number not in numbers]:
        raise NotebookError(f"--only: found {unknown[0]!r}, expected one of {', '.join(numbers)}.")
    target = root / "data" / "runs" / "notebooks" / profile
    target.mkdir(parents=True, exist_ok=True)
    # 00 looks at what the others leave.
    wanted = sorted((one for one in numbers.items() if not only or one[0] in only), key=lambda one: one[0] == "00")
    done = []
    with _kernels(len(wanted), root) as kernels:
        for (_, path), kernel in zip(wanted, kernels, strict=True):
            say(f"{path.stem} ({profile})")
            done.append(_execute(path, target, parameters, root, kernel))
            say(f"{path.stem}: {done[-1].seconds:.0f} s, {done[-1].html.relative_to(root)}")
    return done


@contextlib.contextmanager
def _kernels(count: int, root: Path) -> Iterator[Iterator[KernelManager]]:
    """Give kernels one after the other, each started while the one before is at work: imports take seconds."""
    running: list[KernelManager] = []

    def give() -> Iterator[KernelManager]:
        for number in range(count):
            for _ in range(len(running), min(number + 2, count)):
                running.append(_started(root, Path(sockets) / f"{len(running)}.json"))
            yield running[number]
            running[number].shutdown_kernel(now=True)

    with tempfile.TemporaryDirectory(prefix="smilelab-") as sockets:
        try:
            yield give()
        finally:
            for kernel in running:
                kernel.shutdown_kernel(now=True)


def _started(root: Path, connection_file: Path) -> KernelManager:
    # Sockets are files beside the connection file: no port is opened.
    kernel = KernelManager(
        kernel_name="python3", transport="ipc", connection_file=str(connection_file), client_class=_CLIENT
    )
    kernel.start_kernel(cwd=str(root), extra_arguments=[f"--InteractiveShellApp.exec_lines={[_IMPORTS]}"])
    return kernel


def _execute(path: Path, target: Path, parameters: Mapping[str, Any], root: Path, kernel: KernelManager) -> Executed:
    declared = declared_parameters(path)
    executed = target / path.name
    started = time.perf_counter()
    try:
        papermill.execute_notebook(
            str(path),
            str(executed),
            parameters={name: value for name, value in parameters.items() if name in declared},
            cwd=str(root),
            progress_bar=False,
            stderr_file=sys.stderr,
            km=kernel,
        )
    except DeadKernelError:
        where = executed.relative_to(root)
        raise NotebookError(
            f"{path.name}: its kernel died; it may have run out of memory. The executed part is {where}. Run it again."
        ) from None
    except KeyboardInterrupt:
        raise NotebookStopped(
            f"stopped in {path.stem}. What was finished is kept: the same command goes on from there."
        ) from None
    except PapermillExecutionError as error:
        trace = _ANSI.sub("", "\n".join(error.traceback)).strip().splitlines()
        raise NotebookError(
            f"{path.name}, cell {error.cell_index + 1}: {error.ename}: {_ANSI.sub('', error.evalue)}\n"
            + "\n".join(f"    {line}" for line in trace[-12:])
            + f"\nThe executed copy is {executed.relative_to(root)}."
        ) from None
    return Executed(executed, _to_html(executed), time.perf_counter() - started)


def _to_html(executed: Path) -> Path:
    notebook = nbformat.read(executed, as_version=4)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.get("output_type") == "stream":
                output["text"] = "\n".join(line.rpartition("\r")[2] for line in output["text"].split("\n"))
    nbformat.write(notebook, executed)
    body, _ = HTMLExporter().from_notebook_node(notebook)
    page = executed.with_suffix(".html")
    page.write_text(body, encoding="utf-8")
    return page
