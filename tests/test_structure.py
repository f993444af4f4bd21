"""The shape of the project: imports go one way, README's map is the tree, a part is one file and nothing else."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "digitset"


def mapped() -> list[str]:
    """The rooms of README's map, in its order."""
    text = (ROOT / "README.md").read_text()
    block = re.search(r"```\ndigitset/\n(.*?)```", text, re.DOTALL)
    assert block, "README has no map of the package"
    return [line.split()[0] for line in block.group(1).splitlines() if re.match(r"  \S", line)]


def test_readme_maps_the_tree() -> None:
    tree = {path.name + "/" * path.is_dir() for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert sorted(mapped()) == sorted(tree)


def imported(file: Path) -> set[str]:
    """The rooms that a file imports, at its top or inside a function."""
    rooms = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            rooms |= {name[1] for name in names if name[0] == "digitset" and len(name) > 1}
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{file.name}: a relative import"
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "digitset":
            inner = node.module.split(".")[1:]
            rooms |= {inner[0]} if inner else {alias.name for alias in node.names}
    return rooms


def test_imports_go_up_the_map_only() -> None:
    order = [name.removesuffix("/").removesuffix(".py") for name in mapped()]
    for file in sorted(PACKAGE.rglob("*.py")):
        room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room in ("__init__", "__main__"):
            continue
        for other in imported(file):
            assert order.index(other) <= order.index(room), f"{file.name} imports {other}, which is below it"
            within = room in ("tasks", "encoders", "models", "demo")
            assert other != room or within, f"{file.name} imports itself"


def test_files_and_functions_stay_short() -> None:
    for file in PACKAGE.rglob("*.py"):
        text = file.read_text()
        assert len(text.splitlines()) <= 250, file
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                assert lines <= 50, f"{file.name}: {node.name} has {lines} lines"


def example_model() -> str:
    """The complete example of README's "Add a model"."""
    text = (ROOT / "README.md").read_text().split("## Add a model")[1]
    block = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert block
    return block.group(1)


@pytest.fixture(scope="module")
def copy_with_a_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which README's example has been added as one file."""
    root = copied(tmp_path_factory.mktemp("copy"))
    (root / "digitset/models/mean_pool.py").write_text(example_model())
    return root


def copied(root: Path) -> Path:
    """The project with its tests, in a folder that may be changed."""
    shutil.copytree(PACKAGE, root / "digitset", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("tests", "README.md", "pyproject.toml"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, root / name)
    return root


def python(root: Path, *arguments: str) -> str:
    command = [sys.executable, *arguments]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_a_model_is_one_file(copy_with_a_model: Path) -> None:
    assert "mean_pool" in python(copy_with_a_model, "-m", "digitset", "--help")
    assert "mean_pool" in python(copy_with_a_model, "-m", "digitset", "train", "--help")
    arguments = ["tests/test_contract.py", "-n", "0", "-p", "no:cacheprovider", "-k", "sum-lenet-mean_pool"]
    assert " passed" in python(copy_with_a_model, "-m", "pytest", *arguments)
    arguments = ["bench", "--tasks", "sum", "--models", "mean_pool", "constant", "--encoders", "lenet", "--steps", "4"]
    arguments += ["--seeds", "2", "--learning-rates", "4e-3", "--longest", "10", "--out", "bench"]
    python(copy_with_a_model, "-m", "digitset", *arguments)
    page = (copy_with_a_model / "bench/report.html").read_text()
    assert "mean_pool has the highest mean accuracy" in page
    assert "mean_pool: predictions" in page


@pytest.mark.slow
def test_a_model_is_a_row_of_a_comparison(copy_with_a_model: Path) -> None:
    arguments = ["compare", "--quick", "--tasks", "sum", "--models", "mean_pool", "--out", "out"]
    assert "mean_pool" in python(copy_with_a_model, "-m", "digitset", *arguments)
    assert "mean_pool" in (copy_with_a_model / "out/results.csv").read_text()
