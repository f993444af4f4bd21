"""Parts outside the package: files of the user's own, and what other installed packages offer by entry points."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Outcome
from PIL import Image
from test_structure import ROOT, example_model

import digitset
from digitset import InputError, Run, registry
from digitset.data.mnist import load_data
from digitset.inference.publish import publish
from digitset.models import load_model
from digitset.run import digest
from digitset.run_folder import RunFolder

SHORT = ["--steps", "2", "--images-per-step", "32", "--sequences-per-step", "16"]
EYE = '''"""eye: the first pixels of an image."""

from torch import nn

from digitset.encoders import Encoder


class Eye(Encoder):
    def __init__(self, width=128):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, width))

    def forward(self, images):
        return self.layers(images)
'''


def python(code: str, cwd: Path, *folders: Path) -> str:
    """What a new process prints: one that was given no file, with more folders to import from."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, *folders)))}
    command = [sys.executable, "-c", "import digitset\n" + code]
    result = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """README's model and an encoder in a folder far from the package, and a finished run of both with its scores."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "mean_pool.py").write_text(example_model())
    (folder / "eye.py").write_text(EYE)
    run = Run("sum", str(folder / "mean_pool.py"), str(folder / "eye.py"), steps=2, images_per_step=32)
    digitset.train(replace(run, sequences_per_step=16), folder / "run")
    return folder


def test_it_is_trained_published_and_loaded_where_it_is_trusted(
    mine: Path, tmp_path: Path, command: Callable[..., Outcome]
) -> None:
    for arguments in (("evaluate", mine / "run"), ("publish", mine / "run", tmp_path / "shared")):
        outcome = command(*arguments)
        assert outcome.code == 0, outcome.errors
    shared = tmp_path / "shared"
    source = (mine / "mean_pool.py").read_bytes()
    assert (shared / "mean_pool.py").read_bytes() == source
    eye, sha256 = (
        registry.OwnFile(path, path.read_bytes()).sha256 for path in (mine / "eye.py", mine / "mean_pool.py")
    )
    assert json.loads((shared / "run.json").read_text())["code"]["model"] == {
        "file": "mean_pool.py",
        "sha256": sha256,
    }
    card = (shared / "README.md").read_text()
    assert f"`mean_pool.py` (SHA-256 {sha256})" in card
    assert 'digitset.load("shared", trust=True)' in card
    assert "no code" not in card

    images = load_data().test.images[:3]
    code = "try: digitset.load('shared')\nexcept digitset.InputError as error: print(error)\n"
    code += "import sys\nprint(any('mean_pool' in name for name in sys.modules))\n"
    code += "model = digitset.load('shared', trust=True)\n"
    code += "print(float(model.predict([digitset.load_data().test.images[:3]])[0]))"
    refused, executed, answer = python(code, tmp_path).splitlines()
    assert f"it has code, which would be executed: eye.py (SHA-256 {eye}), mean_pool.py (SHA-256 {sha256})" in refused
    assert "add --trust, in Python trust=True" in refused
    assert executed == "False"
    assert float(answer) == pytest.approx(float(digitset.load(mine / "run").predict([images])[0]), rel=1e-5)

    (shared / "mean_pool.py").write_bytes(source + b"\nprint('other')\n")
    with pytest.raises(InputError, match=r"mean_pool\.py: changed or missing"):
        digitset.load(shared, trust=True)
    (mine / "mean_pool.py").write_bytes(source + b"\n# a later version\n")
    assert command("publish", mine / "run", tmp_path / "again").code == 0, "the run has the file that was trained"
    (mine / "mean_pool.py").write_bytes(source)


def test_commands_need_trust_in_a_process_that_does_not_know_the_file(
    mine: Path, command: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_own_files", {})
    picture = mine / "digit.png"
    Image.fromarray(255 - load_data().test.images[0].numpy()).resize((280, 280)).save(picture)
    for arguments in (
        ("predict", mine / "run", picture),
        ("explain", mine / "run", picture, "--out", mine / "why.png"),
        ("lengths", mine / "run", "--longest", "1"),
        ("publish", mine / "run", mine / "shared"),
        ("export", mine / "run", mine / "model.onnx"),
        ("demo", mine / "run"),
        ("evaluate", mine / "run"),
    ):
        outcome = command(*arguments)
        assert outcome.code == 2, arguments
        assert "add --trust" in outcome.errors
    (mine / "run" / "scores.json").unlink(missing_ok=True)  # of another test
    shown = command("show", mine / "run")
    assert shown.code == 0, "to say what a run is needs no code of it"
    assert f"not evaluated yet: digitset evaluate {mine / 'run'} --trust\n" in shown.output
    outcome = command("evaluate", mine / "run", "--trust")
    assert outcome.code == 0, outcome.errors


def test_it_is_benchmarked(
    mine: Path, tmp_path: Path, command: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("bench", "--tasks", "sum", "--models", mine / "mean_pool.py", "--encoders", mine / "eye.py")
    more = ("--steps", "2", "--seeds", "1", "--learning-rates", "4e-3", "--longest", "1", "--jobs", "1")
    outcome = command(*arguments, *more, "--out", tmp_path)
    assert outcome.code == 0, outcome.errors
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    (name,) = {row["model"] for row in rows}
    assert name.startswith("mean_pool@")
    page = (tmp_path / "report.html").read_text()
    assert f"{name} has the highest mean accuracy" in page
    assert f"{name}: predictions" in page
    run_folder = RunFolder(tmp_path / "runs" / "sum" / f"{name}-{rows[0]['encoder']}" / "seed0")
    assert sorted(run_folder.own_files()) == ["eye.py", "mean_pool.py"]

    monkeypatch.setattr(registry, "_own_files", {})  # as in a process that comes later
    assert command("report", tmp_path).code == 0
    page = (tmp_path / "report.html").read_text()
    assert f"Predictions of {name}, which is code in the folder of its run, need report --trust" in page
    assert f"{name}: predictions" not in page


def test_another_version_is_another_part(mine: Path, tmp_path: Path) -> None:
    (tmp_path / "mean_pool.py").write_text(example_model())
    same = Run("sum", str(tmp_path / "mean_pool.py"))
    assert same.settings() == Run("sum", str(mine / "mean_pool.py")).settings(), "whatever the folder"
    (tmp_path / "mean_pool.py").write_text(example_model().replace("hidden: int = 256", "hidden: int = 32"))
    other = Run("sum", str(tmp_path / "mean_pool.py"))
    assert digest(other.settings()) != digest(same.settings())
    assert other.name != same.name
    assert load_model(other.model) is not load_model(same.model)
    assert same.command() == "digitset train sum --model mean_pool.py"
    assert Run.from_json(same.to_json()) == same


def test_a_run_does_not_go_on_with_a_changed_file(mine: Path, tmp_path: Path) -> None:
    """Else it would be trained to its end, and could never be loaded."""
    run = Run("sum", str(mine / "mean_pool.py"), "lenet", steps=4, images_per_step=32, sequences_per_step=16)
    with pytest.raises(KeyboardInterrupt):
        digitset.train(run, tmp_path / "run", stop=lambda: True)
    kept = tmp_path / "run/mean_pool.py"
    before = kept.read_bytes()
    kept.write_bytes(before + b"# changed")
    with pytest.raises(InputError, match=r"mean_pool\.py: changed or missing"):
        digitset.train(run, tmp_path / "run", resume=True)
    kept.write_bytes(before)
    assert digitset.train(run, tmp_path / "run", resume=True).finished


def test_what_a_kill_left_of_a_publication_is_written_again(
    mine: Path, tmp_path: Path, command: Callable[..., Outcome]
) -> None:
    assert command("evaluate", mine / "run", "--trust").code == 0
    publish(mine / "run", tmp_path / "shared", trust=True)
    for name in ("README.md", "scores.json", "model.json", "model.safetensors", "eye.py"):  # run.json is written first
        (tmp_path / "shared" / name).unlink()
    assert publish(mine / "run", tmp_path / "shared", trust=True).task.name == "sum"


def test_a_file_of_settings_cannot_choose_a_file(tmp_path: Path) -> None:
    (tmp_path / "trap.py").write_text("raise SystemExit('executed')")
    with pytest.raises(InputError, match="expected a name, got the path"):
        Run.from_json({"task": "sum", "model": str(tmp_path / "trap.py")})
    name = registry.OwnFile(tmp_path / "trap.py", b"other").sha256[:8]
    run = Run.from_json({"task": "sum", "model": f"trap@{name}"})
    with pytest.raises(InputError, match="is a file of somebody's own"):
        load_model(run.model)


BROKEN = {
    "import nothing_such": "line 1: ModuleNotFoundError",
    "x = 1\nclass Broken(:": "line 2: SyntaxError",
    "class Other: ...": "expected a subclass of Model named like the file",
    "from digitset.models import Model\nclass Broken(Model): ...": "expected output_kind",
}


@pytest.mark.parametrize("source", BROKEN)
def test_a_file_that_is_no_model_is_one_line(source: str, tmp_path: Path, command: Callable[..., Outcome]) -> None:
    (tmp_path / "broken.py").write_text(source)
    outcome = command("train", "sum", "--model", tmp_path / "broken.py", "--out", tmp_path / "run")
    assert (outcome.code, outcome.errors.count("\n")) == (2, 1)
    assert BROKEN[source] in outcome.errors
    assert "broken.py" in outcome.errors
    assert not (tmp_path / "run").exists()


def test_files_with_names_that_do_not_fit(tmp_path: Path) -> None:
    for name in ("my-model.py", "transformer.py", "a/same.py", "b/same.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"# {name}")
    cases = {
        "none.py": "there is no file",
        "my-model.py": "expected a name of letters",
        "transformer.py": "there is a model 'transformer' already",
    }
    for name, message in cases.items():
        with pytest.raises(InputError, match=message):
            Run("sum", str(tmp_path / name))
    with pytest.raises(InputError, match="files of different names"):
        Run("sum", str(tmp_path / "a/same.py"), str(tmp_path / "b/same.py"))


def test_no_file_of_the_user_is_replaced(mine: Path, tmp_path: Path, command: Callable[..., Outcome]) -> None:
    (tmp_path / "mean_pool.py").write_text("# other work")
    outcome = command("train", "sum", "--model", mine / "mean_pool.py", *SHORT, "--out", tmp_path)
    assert (outcome.code, outcome.errors.count("\n")) == (2, 1)
    assert "expected no such file, or the one that is trained" in outcome.errors
    assert [path.name for path in tmp_path.iterdir()] == ["mean_pool.py"]
    assert (tmp_path / "mean_pool.py").read_text() == "# other work"


def test_another_package_offers_parts(tmp_path: Path) -> None:
    """Installed packages are found by their entry points; a run of one says which package it needs."""
    (tmp_path / "lib/their_parts").mkdir(parents=True)
    (tmp_path / "lib/their_parts/eye.py").write_text(EYE)
    metadata = tmp_path / "lib/their_parts-1.5.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: their-parts\nVersion: 1.5\n")
    (metadata / "entry_points.txt").write_text("[digitset.encoders]\neye = their_parts.eye:Eye\n")
    code = "run = digitset.Run('classify', 'mlp', 'eye', steps=1, images_per_step=16)\n"
    code += "print('eye' in digitset.names('encoders'), digitset.train(run, 'run').finished)\n"
    assert python(code, tmp_path, tmp_path / "lib").split() == ["True", "True"]
    (tmp_path / "lib/their_parts/eye.py").write_text("import torch\nnothing_of_this_name\n")
    asks = "try:\n    digitset.Experiment.of(digitset.Run('classify', 'mlp', 'eye'))\n"
    said = python(asks + "except digitset.InputError as error:\n    print(error)\n", tmp_path, tmp_path / "lib")
    assert said.startswith("entry point 'eye' of digitset.encoders cannot be imported: NameError: ")
    with pytest.raises(InputError, match=r"its encoder 'eye' is of the package their-parts 1\.5: install it"):
        digitset.load(tmp_path / "run")
