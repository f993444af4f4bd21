"""benchmarks/: every program starts, results/ takes rows of committed code only, and what is in it is readable."""

import csv
import dataclasses
import importlib
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import accuracy
import measure
import published
import pytest
from measure import expect_committed

from digitset import device, recipes
from digitset.device import Machine
from digitset.errors import InputError
from digitset.run_folder import RunFolder

ROOT = Path(__file__).parent.parent
PROGRAMS = sorted(path for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text())
# Of each program that writes into results/: arguments with which it neither trains nor writes.
IDLE = {
    "accuracy": ["--rows"],
    "attention": ["--keys"],
    "explanations": ["--models", "none"],
    "faults": ["--groups"],
    "inference": ["none"],
    "install": ["none"],
    "labels": ["--models"],
    "load": ["--clients", "0"],
    "mistakes": ["--models", "none"],
    "peers": ["--settings"],
    "pictures": ["none"],
    "published": ["--tasks"],
    "quality": ["--rows"],
    "refused": ["none"],
    "startup": ["none"],
    "step": ["--task", "none"],
}
FOLDERS = {"labels": "bench/"}  # of tables that do not lie in results/ itself
HELP_OF_ALL = """
import runpy, sys
for path in sys.argv[1:]:
    sys.argv = [path, "--help"]
    try:
        runpy.run_path(path, run_name="__main__")
        print("no exit", path)
    except SystemExit as stopped:
        print("exit", stopped.code, path)
"""


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the project's results, so that a broken program cannot write into those."""
    folder = tmp_path / "results"
    folder.mkdir()
    monkeypatch.setattr(measure, "RESULTS", folder)
    monkeypatch.chdir(tmp_path)
    return folder


def run(program: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of a program."""
    module: ModuleType = importlib.import_module(program)
    monkeypatch.setattr(sys, "argv", [f"{program}.py", *arguments])
    try:
        measure.start(module.main)
    except SystemExit as stopped:
        return stopped.code if isinstance(stopped.code, int) else 1
    return 0


def test_every_program_answers_help() -> None:
    """In one process, since each alone would import torch again."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "benchmarks")}
    command = [sys.executable, "-c", HELP_OF_ALL, *map(str, PROGRAMS)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    lines = [line for line in result.stdout.splitlines() if line.startswith(("exit", "no exit"))]
    assert lines == [f"exit 0 {path}" for path in PROGRAMS]
    assert result.stdout.count("usage: ") == len(PROGRAMS)


def test_every_program_that_writes_into_results_is_tested() -> None:
    writing = {path.stem for path in PROGRAMS if 'Path("results/' in path.read_text()}
    assert writing == IDLE.keys()


@pytest.mark.parametrize("program", IDLE)
def test_uncommitted_code_writes_nothing_into_results(
    program: str, results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measure, "commit", lambda: "0123456789ab+")
    assert run(program, IDLE[program], monkeypatch) == 2
    assert capsys.readouterr().err == (
        f"results/{FOLDERS.get(program, '')}{program}.csv: expected a source tree without uncommitted changes; commit "
        "them first, or choose an --out that is not in results/\n"
    )
    run(program, [*IDLE[program], "--out", "elsewhere/table.csv"], monkeypatch)
    assert "uncommitted" not in capsys.readouterr().err
    monkeypatch.setattr(measure, "commit", lambda: "0123456789ab")
    run(program, IDLE[program], monkeypatch)
    assert "uncommitted" not in capsys.readouterr().err
    assert not any(results.iterdir())


@pytest.mark.parametrize("out", ["results/a.csv", "results/new/a.csv", "other/../results/a.csv", "linked/a.csv"])
def test_results_are_known_by_any_path(out: str, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (results.parent / "linked").symlink_to(results)
    monkeypatch.setattr(measure, "commit", lambda: "0123456789ab+")
    with pytest.raises(InputError, match="uncommitted"):
        expect_committed(Path(out))
    with pytest.raises(InputError, match="uncommitted"):
        expect_committed(results.parent / out)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A clone whose commit `digitset.device.commit` gives."""
    root = tmp_path / "clone"
    (root / "digitset").mkdir(parents=True)
    (root / "digitset" / "device.py").write_text("# as committed\n")
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for arguments in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "First"]):
        subprocess.run(["git", *arguments], cwd=root, check=True)
    monkeypatch.setattr(device, "__file__", str(root / "digitset" / "device.py"))
    device.commit.cache_clear()
    yield root
    device.commit.cache_clear()


def test_a_changed_file_is_noticed(repository: Path, results: Path) -> None:
    expect_committed(results / "a.csv")
    device.commit.cache_clear()
    (repository / "digitset" / "device.py").write_text("# changed\n")
    expect_committed(results.parent / "a.csv")
    with pytest.raises(InputError, match="uncommitted"):
        expect_committed(results / "a.csv")


def test_a_new_file_of_code_is_noticed_and_a_new_note_is_not(repository: Path, results: Path) -> None:
    (repository / "notes.txt").write_text("mine")
    expect_committed(results / "a.csv")
    device.commit.cache_clear()
    (repository / "digitset" / "mine.py").write_text("# a model\n")
    with pytest.raises(InputError, match="uncommitted"):
        expect_committed(results / "a.csv")


def test_an_unknown_commit_is_refused(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "commit", lambda: None)
    with pytest.raises(InputError, match="uncommitted"):
        expect_committed(results / "a.csv")


def no_work(*arguments: Any) -> list[Any]:
    return []


def test_a_run_of_uncommitted_code_is_not_continued_into_results(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders under runs/ are shared with programs and calls that write elsewhere."""
    monkeypatch.setattr(measure, "commit", lambda: "0123456789ab")
    monkeypatch.setattr(accuracy, "make_all", no_work)
    monkeypatch.setattr(accuracy, "RUNS", Path("runs"))
    first = recipes.BEST["sum/exact"]
    for commit, refused in (("0123456789ab+", True), ("0123456789ab", False)):
        machine = dataclasses.replace(Machine.here(device.choose_device("cpu")), commit=commit)
        RunFolder(Path("runs") / first.name).start(first, machine, "float32", 1, "")
        accuracy.main(("sum/exact",), 1, out=Path("elsewhere.csv"))
        if not refused:
            accuracy.main(("sum/exact",), 1, out=results / "a.csv")
            continue
        with pytest.raises(InputError, match=r"runs/sum/exact-unpadded/seed0: expected a run of committed code"):
            accuracy.main(("sum/exact",), 1, out=results / "a.csv")


def test_a_checkpoint_of_uncommitted_code_is_not_continued_into_results(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "commit", lambda: "0123456789ab")
    monkeypatch.setattr(device, "commit", lambda: "0123456789ab+")
    arguments: Any = {"tasks": ("sum",), "models": ("mlp",), "images": 12, "runs": Path("runs")}
    published.main(**arguments, epochs=1, out=Path("elsewhere.csv"))
    with pytest.raises(InputError, match=r"runs/sum-mlp-0-2: expected a run of committed code, found one of 01234"):
        published.main(**arguments, epochs=2, out=results / "a.csv")
    assert not any(results.iterdir())


@pytest.mark.parametrize("path", sorted((ROOT / "results").rglob("*.csv")), ids=lambda path: path.name)
def test_tables_in_results_are_whole(path: Path) -> None:
    """Every row has every column, none is there twice, and the numbers of measures are numbers."""
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert rows
    assert len(set(header)) == len(header)
    assert all(len(row) == len(header) for row in rows)
    assert len({tuple(row) for row in rows}) == len(rows)
    for name in {"value", "mean", "accuracy", "loss"} & set(header):
        values = [row[header.index(name)] for row in rows]
        assert all(math.isfinite(float(value)) for value in values if value)
    if header[:2] == ["case", "measure"]:
        assert len({tuple(row[:2]) for row in rows}) == len(rows)


@pytest.mark.parametrize("path", [ROOT / "results" / "accuracy.csv"], ids=lambda path: path.name)
def test_accuracies_are_of_the_columns_of_today(path: Path) -> None:
    if path.exists():  # a source distribution has no results
        assert accuracy.read_csv(path, accuracy.ResultRow)
