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

import dataclasses
from dataclasses import replace
from pathlib import Path

from digitset import registry
from digitset.bench.compare import classifier_rule
from digitset.bench.executors import Executor, Job, Watch, image_steps, make_runs
from digitset.bench.grid import TRIAL_SEED, Grid, check_cells, chosen_rates
from digitset.bench.tables import (
    CellRows,
    CurveRow,
    LengthRow,
    ResultTables,
    RowName,
    SearchRow,
    cell,
    data_name,
    identity,
    result_rows,
    row_name,
)
from digitset.data.mnist import PACKAGED_CHECKSUM, Splits, load_data
from digitset.device import choose_device
from digitset.errors import InputError, TrainingError
from digitset.evaluation.evaluate import evaluate_run_folder
from digitset.files import expect_folder, writing
from digitset.inference.length_generalization import curve
from digitset.inference.predictor import load
from digitset.network import Experiment
from digitset.run import Run
from digitset.run_folder import RunFolder
from digitset.tasks import load_task
from digitset.training.loop import TrainingSet, expect_trainable, initial_state, is_finished, train, training_step

CLASSIFIER = ("classify", "mlp")  # the task and model whose predicted digits make the rows of classifier + rule


def bench(grids: list[Grid], out: Path, executor: Executor, watch: Watch, longest: int = 1_000) -> list[str]:
    """Makes the cells of the grids that are missing under `out`; the reasons why cells could not be made, if any.

    Those are tried again next time. `watch` is told of progress every few seconds. Raises InputError, before anything
    is trained, if a cell cannot be made or `out` holds cells of other settings.
    """
    if longest < 1:
        raise InputError(f"--longest: expected at least 1, got {longest}")
    expect_folder(out)
    cells = [run for grid in grids for run in grid.cells()]
    check_cells(cells)
    missing = _missing_rows(grids, ResultTables(out))
    # All cells have the same data, and the package's own is known unread.
    folders = {run.data: run.transpose for run in cells if missing or run.data is not None}
    data = {path: load_data(path, transpose) for path, transpose in folders.items()}
    for run in missing:
        experiment = Experiment.of(run)
        expect_trainable(experiment, data[run.data])
        experiment.build()
    checksums = {None: PACKAGED_CHECKSUM} | {path: splits.checksum for path, splits in data.items()}
    with writing(out):
        return _bench(grids, out, executor, watch, longest, checksums)


def _missing_rows(grids: list[Grid], tables: ResultTables) -> list[Run]:
    """A cell of each row that has cells to be made, whatever its learning rate will be."""
    made = {name for name, rows in tables.cells.items() if rows.results}
    rows: dict[RowName, Run] = {}
    for grid in grids:
        for run in grid.cells():
            candidates = (replace(run, learning_rate=rate) for rate in grid.rates(run))
            if row_name(run) not in rows and not any(cell(each) in made for each in candidates):
                rows[row_name(run)] = run
    return list(rows.values())


def _bench(
    grids: list[Grid], out: Path, executor: Executor, watch: Watch, longest: int, checksums: dict[Path | None, str]
) -> list[str]:
    tables = ResultTables(out)
    all_cells = [run for grid in grids for run in grid.cells()]
    candidates = [
        replace(run, learning_rate=rate) for grid in grids for run in grid.cells() for rate in grid.rates(run)
    ]
    trials = [run for grid in grids for run in grid.trials()]
    _refuse_others(tables, candidates, trials, out, checksums)
    jobs = [Job(run, _folder(out, run), make_trial) for run in trials]
    later = sum(image_steps(run) for run in all_cells if run not in tables)
    failures = _make_all(tables, "learning rates", jobs, executor, watch, trials, later)
    # A row with a trial that could not be made, or whose every rate diverges, is left out; the others go on.
    failed = {row_name(run) for run in trials if run not in tables}
    rates = chosen_rates([run for run in trials if row_name(run) not in failed], tables.search(trials))
    untrained = {row_name(run) for run in trials} - failed - rates.keys()
    failures += [
        f"{'/'.join(name)}: trains with none of the learning rates; try lower ones" for name in sorted(untrained)
    ]
    kept = [run for run in all_cells if row_name(run) not in failed | untrained]
    cells = [replace(run, learning_rate=rates.get(row_name(run), run.learning_rate)) for run in kept]
    for run in cells:
        is_finished(RunFolder(_folder(out, run)), Experiment.of(run), checksums[run.data], resume=True)
    jobs = [Job(run, _folder(out, run), make_cell, (longest,)) for run in cells]
    return failures + _make_all(tables, "cells", jobs, executor, watch, trials + cells)


def _refuse_others(
    tables: ResultTables, cells: list[Run], trials: list[Run], out: Path, checksums: dict[Path | None, str]
) -> None:
    """Raises InputError if results under `out` are of other settings than all of the cells.

    Those whose rate was not chosen among these trials are; so whatever a search has found fits the results at hand.
    """
    unsearched = {row_name(run) for run in trials if run not in tables}
    if others := tables.others(cells, checksums) | (tables.made() & unsearched):
        names = ", ".join("/".join(name) for name in sorted(others))
        raise InputError(f"{out}: its tables hold {names} with other settings or data: choose another --out")


def _folder(out: Path, run: Run) -> Path:
    return out / "runs" / (f"{run.name}-rate{run.learning_rate:g}" if run.seed == TRIAL_SEED else run.name)


def _make_all(
    tables: ResultTables,
    stage: str,
    jobs: list[Job[CellRows]],
    executor: Executor,
    watch: Watch,
    order: list[Run],
    later: int = 0,
) -> list[str]:
    """Makes what is not in the tables; the errors of runs that did not train. `later` is of `Progress`."""
    failures: list[str] = []
    done = {index for index, job in enumerate(jobs) if job.run in tables}
    for index, future in make_runs(jobs, done, executor, watch, stage, later):
        run = jobs[index].run
        try:
            tables.add(run, future.result(), order)
            done.add(index)
        except Exception as error:  # of one cell, whatever it is: the others can be made nevertheless
            failures.append(_failure(run, error))
    return failures


def _failure(run: Run, error: Exception) -> str:
    """One line; for an error in the code of a part, with what shows where it is."""
    if isinstance(error, InputError | TrainingError):
        return f"{run.name}: {error}"
    reason = str(error).splitlines()[0] if str(error) else "no message"
    task, model, encoder = map(registry.file_name, (run.task, run.model, run.encoder))
    where = f"digitset train {task} --model {model} --encoder {encoder}"
    return f"{run.name}: {type(error).__name__}: {reason} (`{where}` shows where)"


def make_trial(run: Run, folder: Path) -> CellRows:
    """Trains a short run; what validation says of its learning rate, nothing if it diverges."""
    accuracy = loss = None
    try:
        last = validations(Experiment.of(run), train(run, folder, resume=True, progress=False))[-1]
        accuracy, loss = last.accuracy, last.loss
    except TrainingError:
        pass
    data = data_name(RunFolder(folder).data_checksum())
    row = SearchRow(
        **identity(run), learning_rate=run.learning_rate, steps=run.steps, accuracy=accuracy, loss=loss, data=data
    )
    return CellRows(search=[row])


def make_cell(run: Run, folder: Path, longest: int) -> CellRows:
    """Trains and scores a cell. A classifier also gives the rows of classifier + rule for all tasks on sequences."""
    experiment = Experiment.of(run)
    splits = load_data(run.data, run.transpose)
    run_folder = train(run, folder, resume=True, splits=splits, progress=False)
    work = flops(experiment, splits) * run.steps
    results = result_rows(experiment, run_folder, evaluate_run_folder(run_folder, splits, run.device), flops=work)
    if (run.task, run.model) == CLASSIFIER:
        sequences = [task for task in map(load_task, registry.known("tasks")) if not task.single_image]
        results += [row for each in classifier_rule(experiment, run_folder, sequences, splits) for row in each.rows()]
    lengths: list[LengthRow] = []
    if not experiment.task.single_image and run.seed == 0:
        for point in curve(load(folder, run.device), splits.test, longest):
            lengths.append(LengthRow(**identity(run), **dataclasses.asdict(point), per_image=point.per_image))
    return CellRows(curves=validations(experiment, run_folder), lengths=lengths, results=results)


def validations(experiment: Experiment, run_folder: RunFolder) -> list[CurveRow]:
    """The rows of a run's learning curve."""
    loss, of_run = experiment.task.loss_name, identity(experiment.run)
    lines = [line for line in run_folder.metrics() if line.get("split") == "val"]
    return [CurveRow(**of_run, step=line["step"], loss=line[loss], accuracy=line["accuracy"]) for line in lines]


def flops(experiment: Experiment, splits: Splits) -> int:
    """Floating point operations of a training step with sequences of all lengths, as torch's own counter has them.

    Matrix products and convolutions, forward and backward; a multiplication with its addition is two.
    """
    if not experiment.model.uses_images:
        return 0
    from torch.utils.flop_counter import FlopCounterMode  # here, since it imports triton

    experiment = Experiment.of(replace(experiment.run, curriculum=0.0))
    device = choose_device(experiment.run.device)
    state = initial_state(experiment, device, "float32")
    with FlopCounterMode(display=False) as counter:
        training_step(experiment, state, TrainingSet.of(experiment, splits.train.to(device)))
    return counter.get_total_flops()
