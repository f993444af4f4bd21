"""What the command can do: one function a subcommand. Each imports what it needs when it runs: help needs no torch."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import tyro

from digitset import parts
from digitset.errors import InputError
from digitset.run import Run


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
    from digitset import distributed
    from digitset.training import train

    folder = out or Path("runs") / run.name
    with distributed.joined() as share:
        if share.first:
            _train_and_tell(run, folder, resume)
        else:
            train(run, folder, resume)


def _train_and_tell(run: Run, folder: Path, resume: bool) -> None:
    from digitset.terminal import Watch, console
    from digitset.training import train

    try:
        with Watch(run) as watch:
            record = train(run, folder, resume, watch.listen)
    except KeyboardInterrupt:
        console.print(f"stopped; go on with the same command and --resume ({folder})", soft_wrap=True)
        raise
    summary = record.summary()
    console.print(f"{record.folder}: trained for {summary['train_seconds']:.0f} s", soft_wrap=True)
    console.print(f"next: digitset evaluate {record.folder}", soft_wrap=True)


def evaluate(folder: tyro.conf.Positional[Path], device: str = "auto") -> None:
    """Score a finished run on the test images and keep the scores in its folder.

    Args:
        folder: The run's folder.
        device: auto, cpu, cuda, cuda:1, mps ...
    """
    from digitset import data
    from digitset.evaluation import evaluate, version
    from digitset.predict import load
    from digitset.record import Record

    record = Record(folder)
    predictor = load(folder, device)
    splits = data.load(predictor.run.data)
    if splits.checksum != record.data_checksum():
        raise InputError(f"{folder}: trained on other data than {predictor.run.data or 'the packaged MNIST'} holds now")
    report = evaluate(predictor.network, predictor.run, splits.to(predictor.device))
    record.save_scores(report, version(predictor.task))
    _print_scores(report)


def show(folder: tyro.conf.Positional[Path]) -> None:
    """Show what a run is, its scores and its curves.

    Args:
        folder: The run's folder.
    """
    from digitset.evaluation import version
    from digitset.record import Record
    from digitset.terminal import console, curve

    record = Record(folder)
    run, machine, metrics = record.run(), record.machine(), record.metrics()
    defaults = Run(task=run.task)
    changed = [f"{name}={value}" for name, value in vars(run).items() if value != getattr(defaults, name)]
    last = metrics[-1]["step"] if metrics else 0
    state = f"finished, {record.summary()['train_seconds']:.0f} s" if record.finished else "not finished"
    lines = {
        "run": f"{run.task}, model {run.model}, encoder {run.encoder}, seed {run.seed}",
        "settings": ", ".join(changed) or "the defaults",
        "state": f"step {last} of {run.steps}, {state}",
        "machine": ", ".join(str(machine[key]) for key in ("device_name", "device", "precision"))
        + f", {machine['threads']} threads"
        + (f" in each of {machine['processes']} processes" if machine.get("processes", 1) > 1 else ""),
        "versions": f"digitset {machine['digitset']}, torch {machine['torch']}, commit {machine['commit'] or '-'}",
    }
    for name, text in lines.items():
        console.print(f"{name:10}{text}", highlight=False, soft_wrap=True)
    for split, score in (("train", "loss"), ("train", "accuracy"), ("val", "accuracy")):
        values = [line[score] for line in metrics if line.get("split") == split]
        if values:
            ends = f"{values[0]:.4f} -> {values[-1]:.4f}"
            console.print(f"{split} {score:10}{curve(values)}  {ends}", highlight=False, soft_wrap=True)
    report = record.scores(version(parts.load("tasks", run.task))) if record.finished else None
    if report is None:
        console.print(f"not evaluated yet: digitset evaluate {folder}", soft_wrap=True)
    else:
        _print_scores(report)


def compare(
    out: Path = Path("compare"),
    tasks: tuple[str, ...] = ("classify", "sum", "contains"),
    models: Annotated[tuple[str, ...], tyro.conf.arg(metavar=" ".join(parts.names("models")))] = (
        *("constant", "mlp", "transformer", "exact"),
    ),
    encoders: Annotated[tuple[str, ...], tyro.conf.arg(metavar=" ".join(parts.names("encoders")))] = ("cnn", "vit"),
    quick: tyro.conf.FlagCreatePairsOff[bool] = False,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    data: Path | None = None,
) -> None:
    """Train the rows of the mission's tables, set them beside the published numbers, and write a report.

    Args:
        out: The folder of the report, the results and the runs. What it already holds is not made again.
        tasks: Tasks to compare on; classify is always trained, for the ceiling.
        models: Models to compare on sequences; any file in digitset/models.
        encoders: Encoders to compare on single images; the first is the one under every model on sequences.
        quick: The same in about a minute, with training too short to mean anything.
        seed: The seed of every run.
        device: auto, cpu, cuda, cuda:1, mps ...
        precision: auto, float32 or bfloat16.
        data: A folder with four IDX files; None is MNIST as it is in the package.
    """
    from digitset.compare import EXPLANATION, compare, plan
    from digitset.report import short_table, write
    from digitset.terminal import Watch, console, print_table

    runs = plan(tasks, models, encoders, quick, seed=seed, device=device, precision=precision, data=data)

    @contextlib.contextmanager
    def watch(run: Run, place: int) -> Iterator[Watch]:
        with Watch(run, f"[{place + 1}/{len(runs)}] ") as shown:
            yield shown

    try:
        entries = compare(runs, out, watch)
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on where it was", soft_wrap=True)
        raise
    page = write(out, entries)
    for task, rows in entries.items():
        print_table(task, *short_table(task, rows))
    if data is None:
        console.print(EXPLANATION, highlight=False, soft_wrap=True)
    console.print(f"report: {page}   numbers: {out / 'results.csv'}", soft_wrap=True)


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
    from digitset.figures import length_curves
    from digitset.lengths import LITERATURE, curve, write_csv
    from digitset.predict import load
    from digitset.terminal import console, print_table

    if not folders:
        raise InputError("expected the folders of one or more finished runs, got none")
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
        curves[name] = curve(predictor, longest)
    out.mkdir(parents=True, exist_ok=True)
    write_csv(out / "lengths.csv", curves)
    (task,) = tasks
    length_curves(out / "lengths.png", f"{task}: accuracy by length", curves, LITERATURE.get(task, {}))
    for name, points in curves.items():
        rows = [(f"{p.length}", f"{p.n}", f"{p.accuracy:.4f}", f"{p.per_image:.5f}") for p in points]
        print_table(name, ("images", "sequences", "accuracy", "per image"), rows)
    console.print(f"numbers: {out / 'lengths.csv'}   figure: {out / 'lengths.png'}", soft_wrap=True)


def _print_scores(report: dict[str, Any]) -> None:
    from digitset.terminal import console

    for name, found in report.items():
        low, high = found["interval"]
        scores = "  ".join(f"{score} {value:.4f}" for score, value in found["scores"].items())
        console.print(f"{name:10}{scores}  (accuracy {low:.4f} to {high:.4f}, n {found['n']:,})", highlight=False)
