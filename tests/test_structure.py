"""The shape of the project: imports go one way, extras stay in one file each, a part is one file and nothing else."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "digitset"

# Rooms (folders) and the single files beside them. Each imports only from those before it, and within itself.
ORDER = (
    *("errors", "files", "rng", "registry"),
    *("tasks", "data", "layers", "models", "encoders"),
    *("run", "recipes", "device", "network", "metrics", "run_folder"),
    *("evaluation", "training", "inference", "pictures", "bench", "report", "demo", "cli"),
)
IMPORT_TRAINING = {"bench", "cli"}
EXTRAS: dict[str, set[str]] = {  # the files that may import the libraries of an extra
    "ray": {"bench/executors.py"},
    "huggingface_hub": {"inference/hub.py"},
    "onnxruntime": {"inference/onnx_runtime.py"},
    "onnxscript": {"inference/onnx_ops.py"},
    "onnx": set(),
    "tensorboard": set(),
    "fastapi": {"demo/app.py"},
    "python_multipart": {"demo/app.py"},
    "pydantic": {"demo/schema.py"},
    "pydantic_core": {"demo/schema.py"},
    "starlette": {"demo/app.py", "demo/gate.py"},
    "uvicorn": {"demo/server.py"},
}


UNSEEN = "an import that cannot be seen"
HIDDEN = ("importlib.import_module", "import_module", "__import__", "exec")  # calls that may import anything


def modules(package: Path) -> list[Path]:
    """The files of the rooms; the package's face and `python -m digitset` belong to none."""
    face = ("__init__.py", "__main__.py")
    return [file for file in sorted(package.rglob("*.py")) if file.relative_to(package).as_posix() not in face]


def imports(file: Path) -> Iterator[str]:
    """The modules that a file imports by their full names, at its top or inside a function."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in HIDDEN and file.name != "registry.py":
            yield UNSEEN
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file.name}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(module: str) -> str | None:
    """The room of `digitset.tasks.sum`; None for another package, "digitset" for the package's face."""
    parts = module.split(".")
    if parts[0] != "digitset":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in ORDER else "digitset"


def wrong_imports(package: Path) -> list[str]:
    """A line for each import that goes the wrong way."""
    wrong: list[str] = []
    for file in modules(package):
        name = file.relative_to(package)
        room = name.parts[0].removesuffix(".py")
        for module in imports(file):
            other = room_of(module)
            if module == UNSEEN:
                wrong.append(f"{name}: {module}")
            elif other is None:
                library = module.split(".")[0]
                if library in EXTRAS and name.as_posix() not in EXTRAS[library]:
                    wrong.append(f"{name}: {library} is for {', '.join(EXTRAS[library])} alone")
            elif other == "digitset":
                wrong.append(f"{name}: imports the package's face ({module})")
            elif ORDER.index(other) > ORDER.index(room):
                wrong.append(f"{name}: imports {module}, which comes after it")
            elif other == "training" != room and room not in IMPORT_TRAINING:
                wrong.append(f"{name}: imports {module}, which only {', '.join(sorted(IMPORT_TRAINING))} may")
    return wrong


def test_every_file_is_in_a_room() -> None:
    names = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.suffix in ("", ".py")}
    assert names - {"__pycache__", "__init__", "__main__"} == set(ORDER)


def test_imports_go_one_way() -> None:
    assert wrong_imports(PACKAGE) == []


@pytest.mark.parametrize(
    ("file", "line", "complaint"),
    [
        ("tasks/sum.py", "from digitset.models import Model", "comes after it"),
        ("data/sequences.py", "def late():\n    from digitset.training import distributed", "comes after it"),
        ("report/figures.py", "from digitset.training.loop import train", "only bench, cli may"),
        ("inference/explain.py", "from digitset import load", "the package's face"),
        ("demo/app.py", "import digitset.cli.main", "comes after it"),
        ("inference/predictor.py", "import onnxruntime", "for inference/onnx_runtime.py alone"),
        ("evaluation/evaluate.py", "from digitset import training", "comes after it"),
        ("report/figures.py", "import importlib\nimportlib.import_module('digitset.training.loop')", "cannot be seen"),
    ],
)
def test_a_wrong_import_is_caught(tmp_path: Path, file: str, line: str, complaint: str) -> None:
    copy = shutil.copytree(PACKAGE, tmp_path / "digitset", ignore=shutil.ignore_patterns("__pycache__", "files"))
    (copy / file).write_text((copy / file).read_text() + "\n" + line + "\n")
    (wrong,) = wrong_imports(copy)
    assert wrong.startswith(file)
    assert complaint in wrong


def test_reading_results_never_imports_the_loop() -> None:
    """Not even through another room."""
    readers = [file for room in ("report", "demo", "inference", "pictures") for file in (PACKAGE / room).rglob("*.py")]
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in readers]
    code = f"import importlib, sys\nfor name in {names}: importlib.import_module(name)\n"
    code += "print([name for name in sys.modules if name.startswith('digitset.training')])"
    assert python(ROOT, "-c", code).strip() == "[]"


def test_rooms_say_what_they_are_for() -> None:
    for room in ORDER:
        path = PACKAGE / room / "__init__.py" if (PACKAGE / room).is_dir() else PACKAGE / f"{room}.py"
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_functions_stay_short() -> None:
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                assert lines <= 50, f"{file.name}: {node.name} has {lines} lines"


def test_text_is_read_and_written_as_utf_8() -> None:
    """Otherwise the machine decides, and decides otherwise on Windows."""
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                call, named = ast.unparse(node), {keyword.arg for keyword in node.keywords}
                text = node.func.attr in ("read_text", "write_text") or re.search(r"\.open\((newline|'[arw]t?')", call)
                assert not text or "encoding" in named, f"{file.name}: {call}"


def test_public_signatures_say_their_types() -> None:
    """`Any` in a public signature says nothing: the number may fall and not grow."""
    assert len(list(vague_signatures(PACKAGE))) <= 21


def vague_signatures(package: Path) -> Iterator[str]:
    """The public functions and methods with `Any` in their signature."""
    for file in package.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                extra = [argument for argument in (node.args.vararg, node.args.kwarg) if argument]
                written = [argument.annotation for argument in [*arguments, *extra] if argument.annotation]
                text = " ".join(ast.unparse(annotation) for annotation in [*written, *filter(None, [node.returns])])
                if re.search(r"\bAny\b", text):
                    yield f"{file.relative_to(package)}:{node.name}"


def example_model() -> str:
    """The complete example of README's "Add a model"."""
    text = (ROOT / "README.md").read_text().split("## Add a model")[1]
    block = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert block
    return block.group(1)


A_TASK = '''"""spread: how far apart are the largest and the smallest digit?"""

import torch

from digitset.tasks import DIGITS
from digitset.tasks._classes import CountTask


class Spread(CountTask):
    version = 1
    question = "How far apart are the largest and the smallest digit?"
    lengths = (1, 10)
    output_size = DIGITS

    def answer_count(self, longest):
        return DIGITS

    def target(self, digits, mask, anchor=None):
        """The largest digit less the smallest."""
        return (digits * mask).amax(dim=1) - digits.masked_fill(~mask, 9).amin(dim=1)

    def log_prob(self, digits, mask, anchor=None):
        raise NotImplementedError
'''


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with README's model and a task, each added as one file."""
    root = copied(tmp_path_factory.mktemp("copy"))
    (root / "digitset/models/mean_pool.py").write_text(example_model())
    (root / "digitset/tasks/spread.py").write_text(A_TASK)
    return root


def copied(root: Path) -> Path:
    """The project with its tests, in a folder that may be changed."""
    shutil.copytree(PACKAGE, root / "digitset", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("tests", "README.md", "pyproject.toml"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, root / name)
    return root


def python(root: Path, *arguments: str) -> str:
    """What `python` prints in a folder. Fails if its exit code is not 0."""
    command = [sys.executable, *arguments]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_a_model_is_one_file(extended: Path) -> None:
    assert "mean_pool" in python(extended, "-m", "digitset", "--help")
    assert "mean_pool" in python(extended, "-m", "digitset", "train", "--help")
    arguments = ["tests/test_contract.py", "-n", "0", "-p", "no:cacheprovider", "-k", "sum-lenet-mean_pool"]
    assert " passed" in python(extended, "-m", "pytest", *arguments)


def test_a_model_and_a_task_are_on_the_page_of_a_benchmark(extended: Path) -> None:
    """The task's answers are told as its kind says: as counts, not as yes or no."""
    arguments = ["bench", "--tasks", "spread", "--models", "mean_pool", "--encoders", "lenet", "--steps", "3"]
    arguments += ["--seeds", "1", "--learning-rates", "4e-3", "--longest", "10", "--jobs", "1", "--out", "bench"]
    python(extended, "-m", "digitset", *arguments)
    page = (extended / "bench/report.html").read_text()
    assert "mean_pool has the highest mean accuracy" in page
    assert "mean_pool: predictions" in page
    assert "How far apart are the largest and the smallest digit?" in page
    assert "mean_pool: confusion matrix" in page
    assert len(re.findall(r">answer \d<", page)) >= 5
    assert not re.search(r"(yes|no), \d", page)
    code = "import digitset\nfrom digitset.inference.explain import explain, answer_in_words\n"
    code += "model = digitset.load('bench/runs/spread/mean_pool-lenet/seed0')\n"
    code += "why = explain(model, digitset.load_data().test.images[:3].numpy())\n"
    code += "print(answer_in_words(model.task, why.answer, why.certainty, why.interval))\n"
    code += "from digitset.demo.answers import describe\nprint(describe('spread/mean_pool', model, True).kind)"
    words, kind = python(extended, "-c", code).split("\n")[:2]
    assert re.fullmatch(r"\d, probability [01]\.\d{3}", words)
    assert kind == "count"


@pytest.mark.slow
def test_a_model_and_a_task_are_in_a_comparison(extended: Path) -> None:
    arguments = ["compare", "--quick", "--tasks", "sum", "spread", "--models", "mean_pool", "--out", "out"]
    assert "mean_pool" in python(extended, "-m", "digitset", *arguments)
    assert "mean_pool" in (extended / "out/results.csv").read_text()
    assert "## spread: How far apart" in (extended / "out/report.md").read_text()
    assert (extended / "out/figures/spread_mean_pool_confusion.png").exists()


BROKEN_PARTS = {
    "models/other.py": ("from digitset.models import Model\nclass Another(Model): ...", "named like the file"),
    "models/empty.py": (
        "from digitset.models import Model\nclass Empty(Model): ...",
        "expected output_kind, any_length",
    ),
    "models/odd.py": (
        "from digitset.models import Model\nclass Odd(Model):\n    output_kind = 'number'\n    any_length = True\n"
        "    permutation_invariant = True\n    def forward(self, tokens, mask, anchor): ...",
        "output_kind: expected one of 'numbers', 'distribution', got 'number'",
    ),
    "tasks/bare.py": ("from digitset.tasks._binary import BinaryTask\nclass Bare(BinaryTask): ...", "log_prob, target"),
    "encoders/blind.py": ("from digitset.encoders import Encoder\nclass Blind(Encoder): ...", "expected forward"),
}


@pytest.mark.parametrize("file", BROKEN_PARTS)
def test_a_part_that_is_not_whole_is_one_line(tmp_path: Path, file: str) -> None:
    shutil.copytree(PACKAGE, tmp_path / "digitset", ignore=shutil.ignore_patterns("__pycache__", "files", "pretrained"))
    source, complaint = BROKEN_PARTS[file]
    (tmp_path / "digitset" / file).write_text(source + "\n")
    folder, name = file.removesuffix(".py").split("/")
    code = f"from digitset.{folder} import load_{folder[:-1]}\nfrom digitset.errors import InputError\n"
    code += f"try: load_{folder[:-1]}('{name}')\nexcept InputError as error: print(error)"
    line = python(tmp_path, "-c", code).strip()
    assert file in line
    assert complaint in line
    assert "\n" not in line
