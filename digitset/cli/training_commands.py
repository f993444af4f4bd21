"""What the command can do: one function a subcommand. Each imports what it needs when it runs: help needs no torch."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from digitset import registry
from digitset.cli.arguments import (
    ENCODERS,
    Device,
    Encoders,
    Flag,
    Folder,
    Models,
    Precision,
    Tasks,
    Trained,
    Transpose,
    Trust,
    TrustAll,
)
from digitset.errors import InputError, TrainingError
from digitset.run import Run

if TYPE_CHECKING:
    from digitset.data.mnist import Splits

LONGEST = {False: 1_000, True: 100}  # sequences of `bench`, and with --quick: longer ones took half of a quick cell


def train(
    run: Annotated[Run, tyro.conf.arg(name="")],
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None,
    resume: Flag = False,
    tensorboard: Flag = False,
) -> None:
    """Train a model: digitset train TASK --model MODEL --encoder ENCODER.

    Args:
        run: The configuration.
        out: The run's folder; by default runs/TASK/MODEL-ENCODER/seedN.
        resume: Go on with an unfinished run, bit for bit as if it had not stopped.
        tensorboard: Write the metrics for TensorBoard as well, into the run's folder. Needs digitset[tensorboard].
    """
    from digitset.device import keep_freed_memory
    from digitset.training import distributed
    from digitset.training.loop import train

    keep_freed_memory()
    folder = out or Path("runs") / run.name
    with distributed.joined() as rank:
        if rank.first:
            _train_and_tell(run, folder, resume, tensorboard)
        else:
            train(run, folder, resume, progress=False)


def options_of_parts() -> str:
    """What --model-options and --encoder-options take, with the defaults."""
    from digitset.encoders import load_encoder
    from digitset.models import load_model
    from digitset.network import part_options

    lines: list[str] = []
    loaders = {"models": load_model, "encoders": load_encoder}
    for folder, load in loaders.items():
        lines += ["", f"--{folder[:-1]}-options, with their defaults:"]
        for name in registry.names(folder):
            options = ", ".join(f"{option} {default}" for option, default in part_options(load(name)).items())
            lines.append(f"  {name:18}{options or 'none'}")
    return "\n".join(lines)


def _train_and_tell(run: Run, folder: Path, resume: bool, tensorboard: bool) -> None:
    from digitset.cli.terminal import evaluation_of, say
    from digitset.training.loop import train
    from digitset.training.progress import Watch

    try:
        with contextlib.ExitStack() as listeners:
            callbacks = [listeners.enter_context(Watch(run)).listen]
            if tensorboard:
                from digitset.training.tensorboard import EventFile

                callbacks.append(listeners.enter_context(EventFile(folder)).listen)
            run_folder = train(run, folder, resume, callbacks, progress=False)
    except KeyboardInterrupt:
        say(f"stopped; go on with the same command and --resume ({folder})")
        raise
    say(f"{folder}: trained for {run_folder.summary().train_seconds:.0f} s")
    say(f"next: {evaluation_of(run_folder)}")


def data(
    folder: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="FOLDER")] = None,
    out: Annotated[Path, tyro.conf.arg(metavar="FILE.png")] = Path("data.png"),
    transpose: Flag = False,
) -> None:
    """Show what --data would read: how many images of each label, a sheet of them, and what may be wrong.

    Args:
        folder: A folder with IDX files or with pictures by label, or an .npz; by default MNIST of the package.
        out: The sheet: PNG, SVG or PDF.
        transpose: The files hold rows as columns: set the images upright. EMNIST's own are, without this.
    """
    from digitset.cli.model_commands import check_figure
    from digitset.cli.terminal import print_table, say
    from digitset.data.mnist import load_data
    from digitset.files import as_text
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
    name = "MNIST of the package" if folder is None else as_text(folder)
    print_table(name if folder is None else f"{name}: {splits.kind}", ("label", "name", *parts), rows)
    for note in splits.notes:
        say(note)
    draw_samples(out, f"{name}: the first training images of each label", splits)
    say(f"sheet: {out}")


def evaluate(
    run: tyro.conf.Positional[Trained],
    data: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None,
    transpose: Transpose = False,
    device: Device = "auto",
    trust: Trust = False,
) -> None:
    """Score a finished run on the test images and keep the scores in its folder.

    Args:
        data: Where the images are, if not where they were in training. Scores on other images are not kept.
    """
    from digitset.cli.terminal import print_evaluation
    from digitset.device import choose_device
    from digitset.evaluation.evaluate import evaluate, evaluate_run_folder
    from digitset.inference.predictor import locate
    from digitset.network import Experiment
    from digitset.run_folder import RunFolder

    if transpose and data is None:
        raise InputError("--transpose goes with --data")
    run_folder = RunFolder(locate(run))
    trained = run_folder.take_code(trust)
    splits = _data_of(run, trained, data, transpose)
    own = splits.checksum == run_folder.data_checksum()
    if not own and data is None:
        where = trained.data or "the packaged MNIST"
        raise InputError(
            f"{run}: trained on other data than {where} holds now; name the images to score on with --data"
        )
    if own:
        scores = evaluate_run_folder(run_folder, splits, device)
    else:
        network = run_folder.network(trained).to(choose_device(device)).eval()
        scores = evaluate(network, Experiment.of(trained), splits)
    print_evaluation(scores, splits, data or trained.data, own)


def _data_of(run: str, trained: Run, data: Path | None, transpose: bool) -> "Splits":
    """The images to score a run on. Raises InputError if there are none, and says how to name them."""
    from digitset.data.mnist import load_data

    try:
        return load_data(trained.data, trained.transpose) if data is None else load_data(data, transpose)
    except InputError as error:
        if data is not None or trained.data is None:
            raise
        raise InputError(f"{error}. {run} was trained on that: --data says where it is now") from None


def show(run: tyro.conf.Positional[Trained], trust: Flag = False) -> None:
    """Show what a run is, its scores and its curves.

    Args:
        trust: Execute the code of the task that the folder has, if it is a file of somebody's own: read it first.
    """
    from digitset.cli.terminal import print_run
    from digitset.inference.predictor import locate
    from digitset.run_folder import RunFolder

    run_folder = RunFolder(locate(run))
    run_folder.take_code(trust, ("tasks",))  # says which version of the task the scores are of
    print_run(run_folder)


def compare(
    out: Folder = Path("compare"),
    tasks: Tasks = ("classify", "sum", "contains"),
    models: Models = ("constant", "mlp", "transformer", "exact"),
    encoders: Encoders = ("cnn", "vit"),
    quick: Flag = False,
    seed: int = 0,
    jobs: int = 2,
    device: Device = "auto",
    precision: Precision = "auto",
    data: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None,
    transpose: Transpose = False,
) -> None:
    """Train the rows of README's tables, set them beside the published numbers, and write a report.

    Args:
        out: The folder of the report, the results and the runs. What it already holds is not made again.
        tasks: Tasks to compare on; classify is always trained, for classifier + rule.
        models: Models to compare on sequences: names, or paths of files of your own.
        encoders: Encoders to compare on single images; the first is the one under every model on sequences.
        quick: The same in about a minute, with training too short to mean anything.
        seed: The seed of every run.
        jobs: How many runs at a time; the cores are divided among them, which does more than one run of all cores.
        data: A folder with IDX files or with pictures by label, or an .npz; None is MNIST as it is in the package.
    """
    from digitset.bench.compare import compare, plan
    from digitset.bench.executors import processes
    from digitset.cli.terminal import GridWatch, console, print_table
    from digitset.report.comparison import EXPLANATION, short_table, write_comparison

    where = {"device": device, "precision": precision, "data": data, "transpose": transpose}
    runs = plan(tasks, models, encoders, quick, seed=seed, **where)
    _tell_of_data(runs)
    with _goes_on(), processes(jobs) as workers:
        with GridWatch() as watch:
            tables = compare(runs, out, workers, watch.show)
        for task, rows in tables.items():
            print_table(task, *short_table(task, rows))
        if data is None:
            console.print(EXPLANATION, highlight=False, soft_wrap=True)
        page = write_comparison(out, tables, workers)
    console.print(f"report: {page}   numbers: {out / 'results.csv'}", soft_wrap=True)


def bench(
    grid: Annotated[Path | None, tyro.conf.arg(metavar="FILE.toml")] = None,
    tasks: Tasks = (),
    models: Models = (),
    encoders: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar=ENCODERS)] = None,
    seeds: Annotated[int | None, tyro.conf.arg(metavar="N")] = None,
    steps: Annotated[int | None, tyro.conf.arg(metavar="N")] = None,
    learning_rates: Annotated[tuple[float, ...] | None, tyro.conf.arg(metavar="RATE ...")] = None,
    quick: Flag = False,
    baseline: Annotated[str | None, tyro.conf.arg(metavar="MODEL")] = None,
    out: Folder = Path("bench"),
    jobs: int = 2,
    cluster: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS")] = None,
    cpus: int = 1,
    gpus: float = 0.0,
    longest: Annotated[int | None, tyro.conf.arg(metavar="N")] = None,
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
        quick: A tiny grid in a minute or two, trained too briefly to mean anything; also with --tasks and --models.
        baseline: One of the models: tell of each other one whether it is better, by how much, how many seeds decide.
        out: The folder of the tables, the page and the runs. What it holds already is not made again.
        jobs: How many runs at a time on this machine; its cores are divided among them.
        cluster: Address of a Ray cluster to make the cells on, or "local" for one of this machine. Needs digitset[ray].
        cpus: Cores of a cell there.
        gpus: GPUs of a cell there.
        longest: The longest sequences of accuracy by length; 1,000, or 100 with --quick. Made cells keep theirs.
    """
    from digitset.bench.executors import choose_executor
    from digitset.bench.grid import described, expect_baseline
    from digitset.bench.runner import bench as run_benchmark
    from digitset.cli.terminal import GridWatch, print_verdicts

    grids = described(grid, quick, tasks, models, encoders, seeds, steps, learning_rates)
    _tell_of_data([run for each in grids for run in each.cells()])
    baseline = None if baseline is None else expect_baseline(grids, baseline)
    with _goes_on(), choose_executor(cluster, jobs, cpus, gpus) as executor, GridWatch() as watch:
        failures = run_benchmark(grids, out, executor, watch.show, LONGEST[quick] if longest is None else longest)
    print_verdicts(out, baseline)
    if failures:
        raise TrainingError(f"{len(failures)} runs could not be made: {'; '.join(failures)}")


def _tell_of_data(runs: list[Run]) -> None:
    """What may be wrong with the images of many runs; the runs themselves, which keep it too, say nothing here."""
    from digitset.cli.terminal import say
    from digitset.data.mnist import load_data

    for data, transpose in {(run.data, run.transpose) for run in runs if run.data}:
        for note in load_data(data, transpose).notes:
            say(note)


@contextlib.contextmanager
def _goes_on() -> Iterator[None]:
    """Says after Ctrl-C how to go on."""
    from digitset.cli.terminal import say

    try:
        yield
    except KeyboardInterrupt:
        say("stopped; the same command goes on where it was")
        raise


def report(folder: tyro.conf.Positional[Folder], trust: TrustAll = False) -> None:
    """Write the page of a benchmark again, from its tables and runs.

    Args:
        folder: The folder that `bench` wrote.
    """
    from digitset.cli.terminal import say, write_page

    say(f"page: {write_page(folder, trust)}")


def lengths(
    runs: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="RUN ...")]],
    out: Folder = Path("lengths"),
    longest: int = 1_000,
    device: Device = "auto",
    trust: TrustAll = False,
) -> None:
    """Measure accuracy on sequences of 1 to 1,000 images, however long those in training were.

    Args:
        runs: Finished runs of one task: folders, packaged models (`digitset models`), or hub:USER/NAME.
        out: The folder of lengths.csv and lengths.png.
        longest: The longest sequences to try.
    """
    from digitset.cli.terminal import print_table, say
    from digitset.data.mnist import load_data
    from digitset.files import as_text, writing
    from digitset.inference.length_generalization import LITERATURE, curve, write_csv
    from digitset.inference.predictor import load
    from digitset.report.figures import draw_length_curves

    if not runs:
        raise InputError("expected one or more finished runs, got none")
    if not 1 <= longest <= 1_000:
        raise InputError(f"--longest: expected 1 to 1000, got {longest}")
    predictors = {run: load(run, device, trust) for run in runs}
    tasks = {predictor.run.task for predictor in predictors.values()}
    if len(tasks) > 1:
        raise InputError(f"expected runs of one task, got {', '.join(sorted(tasks))}; ask for one task at a time")
    short = [predictor.run.name for predictor in predictors.values()]
    if len(set(short)) == len(short):
        predictors = dict(zip(short, predictors.values(), strict=True))
    (task,), curves = tasks, {}
    with writing(out):
        for name, predictor in predictors.items():
            say(f"{name} ...")
            curves[as_text(name)] = curve(
                predictor, load_data(predictor.run.data, predictor.run.transpose).test, longest
            )
        write_csv(out / "lengths.csv", curves)
        draw_length_curves(out / "lengths.png", f"{task}: accuracy by length", curves, LITERATURE.get(task, {}))
    for name, points in curves.items():
        rows = [(f"{p.length}", f"{p.n}", f"{p.accuracy:.4f}", f"{p.per_image:.5f}") for p in points]
        print_table(name, ("images", "sequences", "accuracy", "per image"), rows)
    say(f"numbers: {out / 'lengths.csv'}   figure: {out / 'lengths.png'}")
