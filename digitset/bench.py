"""bench: tasks x models x encoders x seeds. A cell is a run's folder; what is made already is not made again.

    OUT/search.csv    the learning rates that were tried before, and what validation said of them
    OUT/curves.csv    loss and accuracy on validation images over training
    OUT/lengths.csv   accuracy on sequences of up to 1,000 images, of each row's first seed
    OUT/results.csv   a row for each cell and evaluation set
    OUT/runs          the folders of the runs

The tables are enough to go on: a cell whose rows are in results.csv is done, though its folder may be gone. They are
written after every cell, each as a whole and results.csv last, in the order of the grid whatever the order of making.
So a kill at any moment costs the steps since the last checkpoints, and no row is lost or there twice. On a cluster a
run comes home when it ends: there a kill costs the cells that are under way.
"""

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch.utils.flop_counter import FlopCounterMode

from digitset import data, machine, parts, results
from digitset.board import Board, Tables
from digitset.data import Splits
from digitset.errors import InputError, TrainingError
from digitset.evaluation import ceiling
from digitset.grid import TRIAL_SEED, Grid, check_cells, chosen_rates, row_name
from digitset.lengths import curve
from digitset.network import build
from digitset.predict import evaluated, load
from digitset.record import Record
from digitset.results import Row
from digitset.run import Run
from digitset.state import initial_state
from digitset.training import check, is_finished, step, train
from digitset.workers import Workers, alone

CLASSIFIER = ("classify", "mlp")  # the task and model whose readings of digits make the ceilings
LOOK_EVERY = 2.0  # seconds between two looks at how far the running cells are


@dataclass(frozen=True)
class Progress:
    """How far a benchmark is: its runs, the places of those that are done, and the step of those under way by place."""

    stage: str
    runs: list[Run]
    done: set[int] = field(default_factory=set)
    steps: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """A run, its folder, and the function that makes its rows, called with both and `arguments`."""

    run: Run
    folder: Path
    function: Callable[..., Tables]
    arguments: tuple[Any, ...] = ()


Watch = Callable[[Progress], None]


def bench(grids: list[Grid], out: Path, workers: Workers, watch: Watch, longest: int = 1_000) -> list[str]:
    """Makes the cells of the grids that are missing under `out`; why cells could not be made, if there are any.

    Those are tried again next time. `watch` is told of progress every few seconds. Raises InputError, before anything
    is trained, if a cell cannot be made or `out` holds cells of other settings.
    """
    if longest < 1:
        raise InputError(f"--longest: expected at least 1, got {longest}")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: expected a folder or nothing, found a file; choose another --out")
    found = [run for grid in grids for run in grid.cells()]
    check_cells(found)
    for run in found:
        if run.seed == 0:
            check(run, data.load(run.data))
            build(run)
    out.mkdir(parents=True, exist_ok=True)
    with alone(out):
        return _bench(grids, out, workers, watch, longest)


def _bench(grids: list[Grid], out: Path, workers: Workers, watch: Watch, longest: int) -> list[str]:
    board = Board(out)
    found = [run for grid in grids for run in grid.cells()]
    candidates = [
        replace(run, learning_rate=rate) for grid in grids for run in grid.cells() for rate in grid.rates(run)
    ]
    trials = [run for grid in grids for run in grid.trials()]
    _refuse_others(board, candidates, trials, out)
    jobs = [Job(run, _folder(out, run), make_trial) for run in trials]
    failures = _make_all(board, "learning rates", jobs, workers, watch, trials)
    # A row with a trial that could not be made, or whose every rate diverges, is left out; the others go on.
    failed = {row_name(run) for run in trials if run not in board}
    rates = chosen_rates([run for run in trials if row_name(run) not in failed], board.rows("search", trials))
    untrained = {row_name(run) for run in trials} - failed - rates.keys()
    failures += [
        f"{'/'.join(name)}: trains with none of the learning rates; try lower ones" for name in sorted(untrained)
    ]
    rows = [run for run in found if row_name(run) not in failed | untrained]
    cells = [replace(run, learning_rate=rates.get(row_name(run), run.learning_rate)) for run in rows]
    checksums = {run.data: data.load(run.data).checksum for run in cells}
    for run in cells:
        is_finished(Record(_folder(out, run)), run, checksums[run.data], resume=True)
    jobs = [Job(run, _folder(out, run), make_cell, (longest,)) for run in cells]
    return failures + _make_all(board, "cells", jobs, workers, watch, trials + cells)


def _refuse_others(board: Board, cells: list[Run], trials: list[Run], out: Path) -> None:
    """Raises InputError if results under `out` are of other settings than all of the cells.

    Those whose rate was not chosen among these trials are; so whatever a search has found fits the results at hand.
    """
    unsearched = {row_name(run) for run in trials if run not in board}
    if others := board.others(cells) | (board.made() & unsearched):
        names = ", ".join("/".join(name) for name in sorted(others))
        raise InputError(f"{out / 'results.csv'} holds {names} with other settings: choose another --out")


def _folder(out: Path, run: Run) -> Path:
    return out / "runs" / (f"{run.name}-rate{run.learning_rate:g}" if run.seed == TRIAL_SEED else run.name)


def _make_all(board: Board, stage: str, jobs: list[Job], workers: Workers, watch: Watch, order: list[Run]) -> list[str]:
    """Makes what the board has not; the errors of runs that did not train."""
    runs, failures = [job.run for job in jobs], []
    missing = [place for place, run in enumerate(runs) if run not in board]
    done = set(range(len(runs))) - set(missing)
    pending: dict[Future[Tables], int] = {}
    for place in missing:
        job = jobs[place]
        pending[workers.submit(job.function, job.run, job.folder, *job.arguments)] = place
    while pending:
        steps = {place: made for place in pending.values() if (made := Record(jobs[place].folder).last_step())}
        watch(Progress(stage, runs, done, steps))
        for future in wait(pending, timeout=LOOK_EVERY, return_when=FIRST_COMPLETED).done:
            place = pending.pop(future)
            try:
                board.add(runs[place], future.result(), order)
                done.add(place)
            except BrokenExecutor:
                raise TrainingError(
                    "a process was killed, perhaps for lack of memory: go on with the same command, or with --jobs 1"
                ) from None
            except Exception as error:  # of one cell, whatever it is: the others can be made nevertheless
                failures.append(_failure(runs[place], error))
    watch(Progress(stage, runs, done))
    return failures


def _failure(run: Run, error: Exception) -> str:
    """One line; for an error in the code of a part, with what shows where it is."""
    if isinstance(error, InputError | TrainingError):
        return f"{run.name}: {error}"
    reason = str(error).splitlines()[0] if str(error) else "no message"
    where = f"digitset train {run.task} --model {run.model} --encoder {run.encoder}"
    return f"{run.name}: {type(error).__name__}: {reason} (`{where}` shows where)"


def make_trial(run: Run, folder: Path) -> Tables:
    """Trains a short run; what validation says of its learning rate, nothing if it does not train."""
    row = {**results.identity(run), "learning_rate": run.learning_rate, "steps": run.steps}
    try:
        last = validations(run, train(run, folder, resume=True))[-1]
    except TrainingError:
        return {"search": [row]}
    return {"search": [row | {"accuracy": last["accuracy"], "loss": last["loss"]}]}


def make_cell(run: Run, folder: Path, longest: int) -> Tables:
    """Trains and scores a cell. A classifier also gives the ceilings of all tasks on sequences."""
    task = parts.load("tasks", run.task)
    record = train(run, folder, resume=True)
    splits = data.load(run.data)
    rows = results.rows(run, record, task.LOSS, evaluated(record, splits, run.device))
    work = flops(run, splits) * run.steps
    tables = {"results": [row | {"train_flops": work} for row in rows], "curves": validations(run, record)}
    if (run.task, run.model) == CLASSIFIER:
        tables["results"] += ceilings(run, record, splits)
    if task.LENGTHS[1] > 1 and run.seed == 0:
        points = curve(load(folder, run.device), longest)
        values = [{name: getattr(point, name) for name in ("length", "n", "accuracy", "per_image")} for point in points]
        tables["lengths"] = [results.identity(run) | value for value in values]
    return tables


def validations(run: Run, record: Record) -> list[Row]:
    """The rows of a run's learning curve."""
    loss = parts.load("tasks", run.task).LOSS
    lines = [line for line in record.metrics() if line.get("split") == "val"]
    return [
        results.identity(run) | {"step": line["step"], "loss": line[loss], "accuracy": line["accuracy"]}
        for line in lines
    ]


def ceilings(run: Run, record: Record, splits: Splits) -> list[Row]:
    """For each task on sequences, what its exact rule makes of the digits that this classifier reads."""
    on = machine.device(run.device)
    classifier, rows = load(record.folder, run.device).network, []
    for name in parts.names("tasks"):
        task = parts.load("tasks", name)
        if task.LENGTHS[1] > 1:
            report = ceiling(classifier, task, task.LENGTHS, splits.test.to(on))
            rows += [row | {"task": name} for row in results.rows(run, record, task.LOSS, report, "ceiling")]
    return rows


def flops(run: Run, splits: Splits) -> int:
    """Floating point operations of a training step with sequences of all lengths, as torch's own counter has them.

    Matrix products and convolutions, forward and backward; a multiplication with its addition is two.
    """
    if not parts.load("models", run.model).sees_images:
        return 0
    run = replace(run, curriculum=0.0)
    task, on = parts.load("tasks", run.task), machine.device(run.device)
    state = initial_state(run, on, "float32")
    with FlopCounterMode(display=False) as counter:
        step(run, task, state, splits.train.to(on))
    return counter.get_total_flops()
