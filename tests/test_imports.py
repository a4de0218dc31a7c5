import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "smilelab"

# Floors from the bottom up: a module imports from its own floor and from those below.
FLOORS = [
    {
        *("models", "clips", "windows", "anchors", "signals", "datasets", "metrics", "checkpoint", "allocator"),
        *("scoring", "registry", "files", "parallel", "resampling", "roc", "comparison", "effort"),
    },
    {"preprocess", "training", "options", "sampling", "augmentation", "baselines", "audit"},
    {"simulator", "protocols", "specs", "parts", "fitting", "plans", "results", "runs", "explain"},
    {"artifacts", "prediction", "model_card"},
    {"notebooks", "inspector"},
    {"cli", "cli_simulate"},
]
FLOOR_OF = {name: number for number, floor in enumerate(FLOORS) for name in floor}


def modules():
    return sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.name != "__init__.py")


def imported_rooms(path):
    """Rooms of smilelab imported at the top of a module; imports inside functions count too."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            if node.module == "smilelab":
                rooms.update(alias.name for alias in node.names)
            elif node.module.startswith("smilelab."):
                rooms.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            rooms.update(alias.name.split(".")[1] for alias in node.names if alias.name.startswith("smilelab."))
    return rooms - {"__version__"}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert own in FLOOR_OF, f"{own} has no floor yet"
    upwards = {room for room in imported_rooms(path) if FLOOR_OF.get(room, 0) > FLOOR_OF[own]}
    assert not upwards


@pytest.mark.parametrize("path", sorted((PACKAGE / "models").glob("*.py")), ids=lambda path: path.name)
def test_models_import_torch_alone(path):
    tops = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            tops.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            tops.add(node.module.partition(".")[0])
    assert tops - set(sys.stdlib_module_names) <= {"torch", "smilelab"}


_BLOCKED = {"av", "cv2", "dlib", "captum", "matplotlib", "seaborn", "skimage", "papermill", "ipywidgets", "nbconvert"}
_BLOCKED |= {"click", "tqdm", "IPython", "yaml", "defusedxml"}
_GPU_NODE = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {blocked!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocked())
import smilelab.training, smilelab.runs, smilelab.models, smilelab.clips, smilelab.metrics, smilelab.windows
smilelab.models.build('realsmilenet')
print(*sorted(m for m in sys.modules if m.startswith('smilelab.')))
"""


def test_training_imports_on_a_node_with_torch_numpy_pandas_and_scikit_learn_alone():
    code = _GPU_NODE.format(blocked=_BLOCKED)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "smilelab.runs" in done.stdout
    assert "preprocess" not in done.stdout


def test_importing_the_package_is_light():
    code = "import smilelab, sys; print('torch' in sys.modules, 'pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
