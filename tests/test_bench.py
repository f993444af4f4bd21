"""`digitset bench` as it is used: rows, resume, kill -9, and the page; on a grid of seconds."""

import dataclasses
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Outcome

from digitset.bench.executors import Progress, nodes, processes
from digitset.bench.grid import Grid
from digitset.bench.runner import _failure, bench
from digitset.bench.tables import KINDS, CellRow, CellRows, ResultRow, ResultTables, SearchRow, identity, read_csv
from digitset.cli.terminal import GridWatch, print_verdicts
from digitset.data import mnist
from digitset.errors import InputError, TrainingError
from digitset.run import Run
from digitset.run_folder import RunFolder

SMALL = ("--tasks", "sum", "--models", "constant", "exact", "--encoders", "lenet", "--steps", "4", "--seeds", "2")
SMALL += ("--learning-rates", "2e-3", "8e-3", "--longest", "5", "--jobs", "1")  # a process takes seconds to start
LONG = (
    "--tasks",
    "sum",
    "--models",
    "exact",
    "--encoders",
    "lenet",
    "--steps",
    "100000",
    "--learning-rates",
    "2e-3",
    "--jobs",
    "1",
)
MOMENTS = (  # files whose appearing is when a kill comes
    *("runs/sum/*/*rate*/run.json", "search.csv", "runs/sum/exact-lenet/seed0/metrics.jsonl"),
    *("results.csv", "runs/sum/*/seed1/metrics.jsonl"),
)
Command = Callable[..., Outcome]
CIRCUMSTANCES = {"train_seconds": 0.0, "images_per_second": 0.0, "commit": ""}


def process_of(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "digitset", *map(str, arguments)]


def run(*arguments: str | Path, code: int = 0) -> str:
    result = subprocess.run(process_of(*arguments), capture_output=True, text=True, check=False)
    assert result.returncode == code, result.stderr
    assert "leaked" not in result.stderr  # as nanobind says at the end of a process whose objects were frozen
    return result.stdout + result.stderr


def table(out: Path, name: str = "results") -> list[Any]:
    """The rows of a table, without what may differ from one day to the next."""
    rows = read_csv(out / f"{name}.csv", KINDS[name])
    return [dataclasses.replace(row, **CIRCUMSTANCES) for row in rows] if name == "results" else rows


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bench") / "out"
    run("bench", *SMALL, "--out", out)
    return out


def test_a_row_for_each_cell_and_set(made: Path) -> None:
    rows = read_csv(made / "results.csv", ResultRow)
    expected = []
    for seed in (0, 1):  # seeds go round
        for model in ("constant", "exact"):
            sets = ["published", "random", "single"] + ["digits"] * (model == "exact")
            expected += [(model, seed, name) for name in sets]
    assert [(row.model, row.seed, row.evaluation) for row in rows] == expected
    for row in rows:
        assert row.threads == 1  # OMP_NUM_THREADS
        assert row.length_only == (row.model == "constant")
        assert row.train_flops is not None
        assert (row.train_flops > 0) == (row.model == "exact")
        assert row.data == ""
    lengths = [(row.model, row.seed, row.length) for row in table(made, "lengths")]
    assert lengths == [(model, 0, length) for model in ("constant", "exact") for length in (1, 2, 5)]
    steps = {row.step for row in table(made, "curves") if row.model == "exact"}
    assert steps == set(range(1, 5))


def test_the_learning_rate_is_the_best_on_validation(made: Path) -> None:
    search = table(made, "search")
    assert [row.model for row in search] == ["exact", "exact"]  # the length-only baseline has a recipe of its own
    tried = {row.learning_rate: row.accuracy for row in search}
    (chosen,) = {row.learning_rate for row in table(made) if row.model == "exact"}
    assert tried[chosen] == max(tried.values())


def test_run_again_it_makes_and_reads_nothing(
    made: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist, "PACKAGED", tmp_path)  # no images there
    files = [path for path in made.rglob("*") if path.is_file()]  # the page too
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
    assert command("bench", *SMALL, "--out", made).code == 0
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_the_page_is_complete_and_the_same_each_time(made: Path, command: Command) -> None:
    page = (made / "report.html").read_bytes()
    text = page.decode()
    assert text.count("<svg") >= 5
    for words in ("exact has the highest mean accuracy", "± ", "Holm", "prefers-color-scheme: dark"):
        assert words in text
    outside = [link for link in re.findall(r'(?:src|href)="([^"]+)"', text) if not link.startswith(("#", "data:"))]
    assert not outside
    assert re.search(r"\| exact \| [^|]+\|( [^|]*\|)? lenet \| 2 \|", (made / "report.md").read_text())
    again = command("report", made)
    assert again.code == 0
    assert "no finished runs" not in again.output
    assert (made / "report.html").read_bytes() == page


def test_the_tables_are_enough_to_go_on(made: Path, tmp_path: Path, command: Command) -> None:
    for name in ("results", "search", "curves", "lengths"):
        shutil.copy(made / f"{name}.csv", tmp_path)
    told = "no finished runs there, so the page shows no predictions"
    assert told in command("report", tmp_path).output
    more = ("--seeds", "3")
    assert command("bench", *SMALL, *more, "--out", tmp_path).code == 0
    assert {path.name for path in tmp_path.glob("runs/**/seed*")} == {"seed2"}
    rows = read_csv(tmp_path / "results.csv", ResultRow)
    assert [row for row in rows if row.seed != 2] == read_csv(made / "results.csv", ResultRow)
    assert len(table(tmp_path, "search")) == 2


@pytest.mark.parametrize(
    "moments",
    [("runs/sum/*/seed1/metrics.jsonl",), pytest.param(MOMENTS, marks=pytest.mark.slow)],
)
def test_killed_at_any_moment_nothing_is_lost_or_counted_twice(
    made: Path, tmp_path: Path, moments: tuple[str, ...], command: Command
) -> None:
    small = [name for name in SMALL if name != "constant"]

    def expected(name: str) -> list[CellRow]:
        return [row for row in table(made, name) if row.model == "exact"]

    for moment in moments:
        process = subprocess.Popen(process_of("bench", *small, "--out", tmp_path), stdout=subprocess.DEVNULL)
        wait_for(lambda moment=moment: list(tmp_path.glob(moment)))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert [row for row in table(tmp_path) if row not in expected("results")] == []
    assert command("bench", *small, "--out", tmp_path).code == 0
    for name in ("results", "search", "curves", "lengths"):
        assert table(tmp_path, name) == expected(name)


def wait_for(look: Callable[[], Any], seconds: float = 100.0) -> Any:
    """What is looked for, once it is there."""
    for _ in range(int(seconds * 10)):
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not come")


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    process = subprocess.Popen(process_of("bench", *LONG, "--out", tmp_path), stdout=subprocess.DEVNULL)
    run_folder = RunFolder(tmp_path / "runs/sum/exact-lenet/seed0")
    wait_for(run_folder.last_step)
    process.send_signal(signal.SIGKILL)
    process.wait()

    def nothing_is_written() -> bool:
        step = run_folder.last_step()
        time.sleep(4)
        return run_folder.last_step() == step

    wait_for(nothing_is_written, seconds=2.0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_keeps_what_was_trained(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C in a terminal, and the end of a cluster's job: `--checkpoint-every` is far away."""
    process = subprocess.Popen(
        process_of("bench", *LONG, "--out", tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    run_folder = RunFolder(tmp_path / "runs/sum/exact-lenet/seed0")
    wait_for(run_folder.last_step)
    os.killpg(process.pid, number)
    output, errors = process.communicate(timeout=100)
    assert process.returncode == 128 + number, errors
    assert output.index("stopping after the steps under way") < output.index("the same command goes on")
    assert "Traceback" not in errors
    assert run_folder.has_checkpoint


def test_mistakes_are_one_line(made: Path, tmp_path: Path, command: Command) -> None:
    mlp = ("--tasks", "sum", "--models", "mlp", "--steps", "9")
    for arguments, words in (
        (("bench",), "--grid FILE"),
        (("bench", "--tasks", "sum", "--models", "exact", "--jobs", "0"), "--jobs: expected 1 to 1,024"),
        (("bench", "--tasks", "sum", "--models", "exact", "--jobs", str(2**31)), "--jobs: expected 1 to 1,024"),
        (("bench", "--tasks", "sum", "--models", "exact", "--gpus", "inf"), "--cpus and --gpus go with --cluster"),
        (
            ("bench", "--tasks", "sum", "--models", "exact", "--cluster", "local", "--gpus", "nan"),
            "--cpus, --gpus: expect",
        ),
        (("bench", *SMALL, "--steps", "9", "--learning-rates", "2e-3", "--out", made), "choose another --out"),
        (("bench", *SMALL, "--learning-rates", "1e-3", "--out", made), "choose another --out"),
        (("bench", *SMALL, "--learning-rates", "2e-3", "8e-3", "9e-3", "--out", made), "choose another --out"),
        (("bench", *mlp, "--out", made), "with other settings"),  # before any learning rate is searched for
        (("bench", *mlp, "--longest", "0", "--out", tmp_path / "new"), "--longest: expected at least 1"),
        (("report", tmp_path), "expected the folder of tables that `digitset bench` wrote"),
    ):
        outcome = command(*arguments)
        assert outcome.code == 2
        assert words in outcome.errors
        assert len(outcome.errors.strip().splitlines()) == 1
    assert len(table(made, "search")) == 2
    assert not list(made.glob("runs/sum/mlp*"))


def test_a_benchmark_without_a_cell_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = SearchRow(**identity(Run("sum")), learning_rate=1e-3, steps=1, accuracy=None, loss=None)
    ResultTables(tmp_path).add(Run("sum"), CellRows(search=[row]), [])
    print_verdicts(tmp_path)
    assert capsys.readouterr().out.startswith("no page yet: ")


def test_a_rate_that_diverges_does_not_end_the_grid(tmp_path: Path) -> None:
    rates = (1e30, 2e-3)
    grid = Grid(("sum",), ("exact",), ("lenet",), seeds=1, learning_rates=rates, search_steps=2, settings={"steps": 2})
    hopeless = dataclasses.replace(grid, models=("mlp",), learning_rates=(1e30, 1e31))
    with processes(jobs=1) as executor:
        (failure,) = bench([grid, hopeless], tmp_path, executor, lambda _: None, longest=5)
    assert failure == "sum/mlp/lenet: trains with none of the learning rates; try lower ones"
    assert {row.learning_rate for row in table(tmp_path)} == {0.002}
    diverged = {row.learning_rate: row.accuracy is None for row in table(tmp_path, "search")}
    assert diverged == {1e30: True, 2e-3: False, 1e31: True}


def test_no_estimate_is_negative(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [dataclasses.replace(Run("sum", steps=10), seed=seed) for seed in range(3)]
    with GridWatch() as watch:
        for done, steps in (set[int](), {0: 9, 1: 9}), ({2}, {0: 0, 1: 0}), ({0, 2}, {1: 4}):
            watch.show(Progress("cells", runs, done, steps))
    first, second = capsys.readouterr().out.splitlines()
    assert first == "cells: 1 of 3 done, 33% of the steps"
    assert second.startswith("cells: 2 of 3 done, 80% of the steps, about")


def test_a_length_only_baseline_is_nothing_to_wait_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Its steps are 25 times as many with --quick, and take no time: an estimate by them began at an hour."""
    runs = [Run("sum", "constant", steps=500), Run("sum", "mlp", steps=20), Run("sum", "exact", steps=20)]
    with GridWatch() as watch:
        for done, steps in (set[int](), dict[int, int]()), ({1}, {0: 400}), ({1, 2}, {0: 400}):
            watch.show(Progress("cells", runs, done, steps))
        watch.show(Progress("constant", runs[:1], {0}))
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.startswith("cells: 1 of 3 done, 50% of the steps, about")
    assert second == "cells: 2 of 3 done, 100% of the steps"
    assert third == "constant: 1 of 1 done, 100% of the steps"


def test_quick_looks_at_shorter_sequences(tmp_path: Path, command: Command) -> None:
    outcome = command("bench", "--quick", "--tasks", "sum", "--models", "constant", "--jobs", "1", "--out", tmp_path)
    assert outcome.code == 0, outcome.errors
    assert max(row.length for row in table(tmp_path, "lengths")) == 100


def test_an_estimate_covers_what_comes_after_the_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"steps": 2, "images_per_step": 16, "sequences_per_step": 8}
    rates = (1e-3, 2e-3)
    grid = Grid(("sum",), ("mlp",), ("lenet",), seeds=3, learning_rates=rates, search_steps=2, settings=settings)
    told: list[Progress] = []
    with processes(jobs=1) as executor:
        bench([grid], tmp_path, executor, told.append, longest=5)
    assert {(each.stage, each.later) for each in told} == {("learning rates", 6), ("cells", 0)}
    with GridWatch() as watch:
        for done in (set[int](), {0}):
            watch.show(Progress("learning rates", told[0].runs, done, later=6))
    assert capsys.readouterr().out.rstrip().endswith("left for all")


def test_a_killed_worker_is_one_line_and_what_was_made_stays(tmp_path: Path) -> None:
    grid = Grid(("sum",), ("constant", "exact"), ("lenet",), seeds=1, learning_rates=(4e-3,), settings={"steps": 300})

    def kill(progress: Progress) -> None:
        if progress.steps and progress.done:
            for child in multiprocessing.active_children():
                child.kill()

    with processes(jobs=1) as executor, pytest.raises(TrainingError, match="a process was killed"):
        bench([grid], tmp_path, executor, kill, longest=5)
    assert {row.model for row in table(tmp_path)} == {"constant"}


def _without_a_handler(run: Run, folder: Path) -> None:
    """What a cell does before its first step or after its last, for longer than a cell would."""
    folder.touch()
    time.sleep(100)
    folder.with_name("ended").touch()


def _stopped_by_ctrl_c(begun: Path) -> None:
    with processes(jobs=1) as executor:
        executor.submit(_without_a_handler, Run("sum"), begun)
        wait_for(begun.exists)
        raise KeyboardInterrupt


def test_ctrl_c_also_ends_a_cell_that_is_not_in_its_steps(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _stopped_by_ctrl_c(tmp_path / "begun")
    assert not (tmp_path / "ended").exists()


@pytest.mark.parametrize(
    ("address", "words"), [("127.0.0.1:1", "nobody answers"), ("nowhere", "expected HOST:PORT"), ("a:b", "HOST:PORT")]
)
def test_a_cluster_that_is_not_there(address: str, words: str) -> None:
    with pytest.raises(InputError, match=words), nodes(address, 1, 0.0):
        pass


def test_an_error_in_a_part_says_what_shows_it() -> None:
    said = _failure(Run("sum", "exact"), KeyError("x"))
    assert said == "sum/exact-cnn/seed0: KeyError: 'x' (`digitset train sum --model exact --encoder cnn` shows where)"
    assert _failure(Run("sum"), InputError("wrong")).endswith("seed0: wrong")
