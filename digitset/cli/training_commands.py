"""What the command can do: one function a subcommand. Each imports what it needs when it runs: help needs no torch."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from digitset import registry
from digitset.errors import InputError, TrainingError
from digitset.run import Run

if TYPE_CHECKING:
    from digitset.bench.grid import Grid

# What help shows as the values of these options.
_MODELS = tyro.conf.arg(metavar=" ".join(registry.names("models")))
_ENCODERS = tyro.conf.arg(metavar=" ".join(registry.names("encoders")))


def train(
    run: Annotated[Run, tyro.conf.arg(name="")],
    out: Path | None = None,
    resume: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> None:
    """Train a model: digitset train TASK --model MODEL --encoder ENCODER.

    Args:
        run: The configuration.
        out: The run's folder; by default runs/TASK/MODEL-ENCODER/seedN.
        resume: Go on with an unfinished run, bit for bit as if it had not stopped.
    """
    from digitset.device import keep_freed_memory
    from digitset.training import distributed
    from digitset.training.loop import train

    keep_freed_memory()
    folder = out or Path("runs") / run.name
    with distributed.joined() as rank:
        if rank.first:
            _train_and_tell(run, folder, resume)
        else:
            train(run, folder, resume)


def _train_and_tell(run: Run, folder: Path, resume: bool) -> None:
    from digitset.cli.terminal import Watch, console
    from digitset.training.loop import train

    try:
        with Watch(run) as watch:
            run_folder = train(run, folder, resume, watch.listen)
    except KeyboardInterrupt:
        console.print(f"stopped; go on with the same command and --resume ({folder})", soft_wrap=True)
        raise
    console.print(f"{folder}: trained for {run_folder.summary().train_seconds:.0f} s", soft_wrap=True)
    console.print(f"next: digitset evaluate {folder}", soft_wrap=True)


def data(
    folder: tyro.conf.Positional[Path | None] = None,
    out: Path = Path("data.png"),
    transpose: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> None:
    """Show what --data would read: how many images of each label, a sheet of them, and what may be wrong.

    Args:
        folder: A folder with IDX files or with pictures by label, or an .npz; by default MNIST of the package.
        out: The sheet: PNG, SVG or PDF.
        transpose: The files hold rows as columns: set the images upright. EMNIST's own are, without this.
    """
    from digitset.cli.model_commands import check_figure
    from digitset.cli.terminal import console, print_table
    from digitset.data.mnist import load_data
    from digitset.report.figures import draw_samples

    check_figure("--out", out)
    splits = load_data(folder, transpose)
    parts = {"training": splits.train, "validation": splits.val, "test": splits.test}
    counts = [part.labels.bincount(minlength=10).tolist() for part in parts.values()]
    rows = [
        (str(label), name, *map("{:,}".format, of))
        for label, name, *of in zip(range(10), splits.class_names, *counts, strict=True)
    ]
    rows.append(("all", "", *(f"{len(part):,}" for part in parts.values())))
    name = "MNIST of the package" if folder is None else str(folder)
    print_table(name if folder is None else f"{name}: {splits.kind}", ("label", "name", *parts), rows)
    for note in splits.notes:
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    draw_samples(out, f"{name}: the first training images of each label", splits)
    console.print(f"sheet: {out}", highlight=False, markup=False, soft_wrap=True)


def evaluate(folder: tyro.conf.Positional[Path], device: str = "auto") -> None:
    """Score a finished run on the test images and keep the scores in its folder.

    Args:
        folder: The run's folder.
        device: auto, cpu, cuda, cuda:1, mps ...
    """
    from digitset.cli.terminal import print_scores
    from digitset.data.mnist import load_data
    from digitset.evaluation.evaluate import evaluate_run_folder
    from digitset.run_folder import RunFolder

    run_folder = RunFolder(folder)
    run = run_folder.run()
    splits = load_data(run.data, run.transpose)
    if splits.checksum != run_folder.data_checksum():
        raise InputError(f"{folder}: trained on other data than {run.data or 'the packaged MNIST'} holds now")
    print_scores(evaluate_run_folder(run_folder, splits, device))


def show(run: tyro.conf.Positional[str]) -> None:
    """Show what a run is, its scores and its curves.

    Args:
        run: The run's folder, a packaged model (`digitset models`), or hub:USER/NAME.
    """
    from digitset.cli.terminal import print_run
    from digitset.inference.predictor import locate
    from digitset.run_folder import RunFolder

    print_run(RunFolder(locate(run)))


def compare(
    out: Path = Path("compare"),
    tasks: tuple[str, ...] = ("classify", "sum", "contains"),
    models: Annotated[tuple[str, ...], _MODELS] = ("constant", "mlp", "transformer", "exact"),
    encoders: Annotated[tuple[str, ...], _ENCODERS] = ("cnn", "vit"),
    quick: tyro.conf.FlagCreatePairsOff[bool] = False,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    data: Path | None = None,
    transpose: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> None:
    """Train the rows of README's tables, set them beside the published numbers, and write a report.

    Args:
        out: The folder of the report, the results and the runs. What it already holds is not made again.
        tasks: Tasks to compare on; classify is always trained, for classifier + rule.
        models: Models to compare on sequences; any file in digitset/models.
        encoders: Encoders to compare on single images; the first is the one under every model on sequences.
        quick: The same in about a minute, with training too short to mean anything.
        seed: The seed of every run.
        device: auto, cpu, cuda, cuda:1, mps ...
        precision: auto, float32 or bfloat16.
        data: A folder with IDX files or with pictures by label, or an .npz; None is MNIST as it is in the package.
        transpose: The files of --data hold rows as columns: set the images upright. EMNIST's own are, without this.
    """
    from digitset.bench.compare import compare, plan
    from digitset.cli.terminal import Watch, console, print_table
    from digitset.device import keep_freed_memory
    from digitset.report.comparison import EXPLANATION, short_table, write_comparison

    keep_freed_memory()
    where = {"device": device, "precision": precision, "data": data, "transpose": transpose}
    runs = plan(tasks, models, encoders, quick, seed=seed, **where)

    @contextlib.contextmanager
    def watch(run: Run, index: int) -> Iterator[Watch]:
        with Watch(run, f"[{index + 1}/{len(runs)}] ") as shown:
            yield shown

    try:
        tables = compare(runs, out, watch)
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on where it was", soft_wrap=True)
        raise
    for task, rows in tables.items():
        print_table(task, *short_table(task, rows))
    if data is None:
        console.print(EXPLANATION, highlight=False, soft_wrap=True)
    console.print(f"report: {write_comparison(out, tables)}   numbers: {out / 'results.csv'}", soft_wrap=True)


def bench(
    grid: Path | None = None,
    tasks: tuple[str, ...] = (),
    models: Annotated[tuple[str, ...], _MODELS] = (),
    encoders: tuple[str, ...] | None = None,
    seeds: int | None = None,
    steps: int | None = None,
    learning_rates: tuple[float, ...] | None = None,
    quick: tyro.conf.FlagCreatePairsOff[bool] = False,
    out: Path = Path("bench"),
    jobs: int = 2,
    cluster: str | None = None,
    cpus: int = 1,
    gpus: float = 0.0,
    longest: int = 1_000,
) -> None:
    """Train a grid of tasks, models, encoders and seeds; write its tables, tests and page.

    Args:
        grid: A TOML file of tables [[grid]] with the options below and fields of a run; or, instead, these options.
        tasks: Tasks of the grid.
        models: Models of the grid.
        encoders: Encoders of the grid; cnn by default.
        seeds: How many seeds, from 0; 5 by default.
        steps: Optimiser steps of each cell but the length-only baseline's; by default those of `compare`.
        learning_rates: Rates that validation chooses from (not for `constant`); by default 0.001, 0.002, 0.004, 0.008.
        quick: A tiny grid in a minute or two, trained too briefly to mean anything.
        out: The folder of the tables, the page and the runs. What it holds already is not made again.
        jobs: How many runs at a time on this machine; its cores are divided among them.
        cluster: Address of a Ray cluster to make the cells on, or "local" for one of this machine. Needs digitset[ray].
        cpus: Cores of a cell there.
        gpus: GPUs of a cell there.
        longest: The longest sequences of the table of accuracy by length; cells that are made already keep theirs.
    """
    from digitset.bench.executors import choose_executor
    from digitset.bench.grid import described
    from digitset.bench.runner import bench
    from digitset.cli.terminal import GridWatch, console, print_verdicts

    more = {"encoders": encoders, "seeds": seeds, "steps": steps, "learning_rates": learning_rates}
    _tell_of_data(grids := described(grid, quick, tasks, models, **more))
    try:
        with choose_executor(cluster, jobs, cpus, gpus) as executor, GridWatch() as watch:
            failures = bench(grids, out, executor, watch.show, longest)
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on where it was", soft_wrap=True)
        raise
    print_verdicts(out)
    if failures:
        raise TrainingError(f"{len(failures)} runs could not be made: {'; '.join(failures)}")


def _tell_of_data(grids: "list[Grid]") -> None:
    """What may be wrong with the images of a benchmark; its runs, which keep it too, say nothing here."""
    from digitset.cli.terminal import console
    from digitset.data.mnist import load_data

    for data, transpose in {(run.data, run.transpose) for grid in grids for run in grid.cells() if run.data}:
        for note in load_data(data, transpose).notes:
            console.print(note, highlight=False, markup=False, soft_wrap=True)


def report(folder: tyro.conf.Positional[Path]) -> None:
    """Write the page of a benchmark again, from its tables and runs.

    Args:
        folder: The folder that `bench` wrote.
    """
    from digitset.cli.terminal import console
    from digitset.report.benchmark import write_benchmark

    console.print(f"page: {write_benchmark(folder)}", soft_wrap=True)


def lengths(
    folders: tyro.conf.Positional[tuple[Path, ...]],
    out: Path = Path("lengths"),
    longest: int = 1_000,
    device: str = "auto",
) -> None:
    """Measure accuracy on sequences of 1 to 1,000 images, however long those in training were.

    Args:
        folders: Folders of finished runs of one task.
        out: The folder of lengths.csv and lengths.png.
        longest: The longest sequences to try.
        device: auto, cpu, cuda, cuda:1, mps ...
    """
    from digitset.cli.terminal import console, print_table
    from digitset.data.mnist import load_data
    from digitset.inference.length_generalization import LITERATURE, curve, write_csv
    from digitset.inference.predictor import load
    from digitset.report.figures import draw_length_curves

    if not folders:
        raise InputError("expected the folders of one or more finished runs, got none")
    if not 1 <= longest <= 1_000:
        raise InputError(f"--longest: expected 1 to 1000, got {longest}")
    predictors = {str(folder): load(folder, device) for folder in folders}
    tasks = {predictor.run.task for predictor in predictors.values()}
    if len(tasks) > 1:
        raise InputError(f"expected runs of one task, got {', '.join(sorted(tasks))}; ask for one task at a time")
    short = [predictor.run.name for predictor in predictors.values()]
    if len(set(short)) == len(short):
        predictors = dict(zip(short, predictors.values(), strict=True))
    curves = {}
    for name, predictor in predictors.items():
        console.print(f"{name} ...", soft_wrap=True, highlight=False)
        curves[name] = curve(predictor, load_data(predictor.run.data, predictor.run.transpose).test, longest)
    out.mkdir(parents=True, exist_ok=True)
    write_csv(out / "lengths.csv", curves)
    (task,) = tasks
    draw_length_curves(out / "lengths.png", f"{task}: accuracy by length", curves, LITERATURE.get(task, {}))
    for name, points in curves.items():
        rows = [(f"{p.length}", f"{p.n}", f"{p.accuracy:.4f}", f"{p.per_image:.5f}") for p in points]
        print_table(name, ("images", "sequences", "accuracy", "per image"), rows)
    console.print(f"numbers: {out / 'lengths.csv'}   figure: {out / 'lengths.png'}", soft_wrap=True)
