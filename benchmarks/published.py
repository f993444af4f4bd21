"""The recipe of kobybibas/vit_for_mnist, on our data path: its row, measured and not quoted.

    uv run benchmarks/published.py [--tasks sum contains] [--models mlp transformer] [--epochs 50] [--seed 0]

The recipe, with its defects: all windows of the 60,000 training images, in a new order each epoch, 32 at a time; each
image mirrored half of the time and turned by up to 5 degrees (nearest pixel, black outside); padding of grey images
that nothing masks, to ten for the fully connected model and to the longest sequence of the batch for the other, whose
answers so depend on their batch; Adam at 1e-3, at a tenth of it from epoch 30 and a hundredth from 40 (counted from 0),
with 1e-5 of the weights added to the gradient. The test windows are scored after each epoch, in order, 32 at a time.
The networks are in `published_models.py`.

What its README reports: the accuracy is the mean over all batches of all epochs, since its list of them is never
emptied; the loss is the mean over the batches of the last epoch (its figure for `sum` ends at the 1.18 of its table).

Where this differs: its code encodes each position of a batch, padding too; here each distinct image is encoded once a
step, with one draw of the augmentation (its code draws for each position; of 32 windows among 60,000 few overlap), the
grey image once, and each test image once an epoch. Sums so run in another order, and draws are of our generator: its
runs, which had no seed, cannot be met digit for digit. The mean over epochs leaves out the two batches that Lightning
scores before training, 2 of 15,652. Here all is on the processor, in float32.

A checkpoint is kept after each epoch under `--runs`; what was stopped goes on, and what `--out` holds is not made
again. To make all anew, remove both. On one thread the four take about 25, 53, 29 and 30 minutes, in the order of the
table (AMD EPYC, Zen 4: fifty times the fastest epoch). Give each an `--out` of its own to run them side by side.
"""

import csv
import functools
import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from measure import expect_committed, expect_committed_run, known, start
from published_models import BATCH, all_digits, augmented, build, losses, score, windows, with_grey
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from digitset.data.mnist import Digits
from digitset.data.sequences import Batch, published
from digitset.device import Machine, keep_freed_memory
from digitset.errors import InputError
from digitset.files import write_whole
from digitset.network import Network
from digitset.report.comparison import PUBLISHED
from digitset.rng import generator
from digitset.run_folder import RunFolder
from digitset.tasks import load_task

TASKS, MODELS = ("sum", "contains"), ("mlp", "transformer")
DROPS = (30, 40)  # epochs from which the learning rate is a tenth of what it was
IDENTITY = ("task", "model", "seed", "items")
SCORES = ("accuracy", "loss", "batch_accuracy", "batch_loss", "train_loss")
COLUMNS: tuple[str, ...] = (*IDENTITY, "epoch", *SCORES, "seconds", "threads", "commit")
Row = dict[str, str]
console = Console()


@dataclass(frozen=True)
class Cell:
    """One training run, and all windows of its images."""

    task: str
    model: str
    seed: int
    train: Batch
    test: Batch

    @property
    def identity(self) -> Row:
        """The columns that say which run a row is of; `items` are its training windows."""
        values = (self.task, self.model, self.seed, len(self.train.index))
        return dict(zip(IDENTITY, map(str, values), strict=True))

    @property
    def steps(self) -> int:
        """Steps an epoch."""
        return -(-len(self.train.index) // BATCH)


@dataclass
class State:
    """All that changes while a run trains; `rows` has one an epoch."""

    network: Network
    optimizer: torch.optim.Optimizer
    rows: list[Row] = field(default_factory=list)


def main(
    tasks: tuple[str, ...] = TASKS,
    models: tuple[str, ...] = MODELS,
    epochs: int = 50,
    seed: int = 0,
    images: int = 60_000,
    out: Path = Path("results/published.csv"),
    runs: Path = Path("runs/published"),
) -> None:
    """Trains, scores and writes.

    Args:
        tasks: Some of sum, contains.
        models: Some of mlp, transformer.
        epochs: How many epochs; more later go on from there.
        seed: The seed of all draws.
        images: How many training images, and at most as many test images, the first of each: fewer, to try it.
        out: The CSV to write, a row an epoch.
        runs: Where checkpoints are kept.
    """
    known("--tasks", tasks, TASKS)
    known("--models", models, MODELS)
    for option, value, least in (("--epochs", epochs, 1), ("--images", images, 12)):
        if value < least:
            raise InputError(f"{option}: expected at least {least}, got {value}")
    expect_committed(out)
    keep_freed_memory()
    out.parent.mkdir(parents=True, exist_ok=True)
    train, test = (Digits(part.images[:images], part.labels[:images]) for part in all_digits())
    cells = [cell(task, model, seed, train, test) for task in tasks for model in models]
    rows = kept(out)
    missing = [each for each in cells if len(of(each, rows)) < epochs]
    for each in missing:
        for row in checkpointed(each, runs):
            expect_committed_run(out, folder_of(each, runs).path, row["commit"])
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(elapsed_when_finished=True), console=console) as progress:
        bar = progress.add_task("steps", total=sum(epochs * each.steps for each in missing), visible=bool(missing))
        for each in missing:
            progress.update(bar, description=f"{each.task}, {each.model}")
            make(each, epochs, out, runs, functools.partial(progress.advance, bar))
    show(cells, kept(out))


def cell(task: str, model: str, seed: int, train: Digits, test: Digits) -> Cell:
    lengths, anchored = load_task(task).lengths, load_task(task).anchored
    return Cell(task, model, seed, *(published(part, lengths, anchored) for part in (train, test)))


def folder_of(run: Cell, runs: Path) -> RunFolder:
    return RunFolder(runs / "-".join(run.identity.values()))


def checkpointed(run: Cell, runs: Path) -> list[Row]:
    """The rows in the checkpoint of a run; none without one."""
    run_folder = folder_of(run, runs)
    return run_folder.load_checkpoint()["rows"] if run_folder.has_checkpoint else []


def make(run: Cell, epochs: int, out: Path, runs: Path, advance: Callable[[float], None]) -> None:
    """Trains a run from its last checkpoint, and writes its rows after each epoch."""
    run_folder = folder_of(run, runs)
    run_folder.path.mkdir(parents=True, exist_ok=True)
    state = restored(run, run_folder)
    advance(len(state.rows) * run.steps)
    write(run, state.rows, out)
    while len(state.rows) < epochs:
        began = time.perf_counter()
        loss = train_epoch(run, state, len(state.rows), advance)
        scores = {**score(load_task(run.task), state.network, run.test), "train_loss": loss}
        row = {**run.identity, "epoch": str(len(state.rows) + 1)}
        row |= {column: f"{scores[column]:.6g}" for column in SCORES}
        row["seconds"] = f"{time.perf_counter() - began:.1f}"
        here = Machine.here(torch.device("cpu"))
        row |= {"threads": str(here.threads), "commit": here.commit or ""}
        state.rows.append(row)
        weights, adam = state.network.state_dict(), state.optimizer.state_dict()
        run_folder.save_checkpoint(
            {"step": len(state.rows) * run.steps, "rows": state.rows, "network": weights, "optimizer": adam}
        )
        write(run, state.rows, out)


def restored(run: Cell, run_folder: RunFolder) -> State:
    """Where the checkpoint of a run is, or its start."""
    network = build(run.task, run.model, run.seed)
    state = State(network, torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-5, fused=True))
    if run_folder.has_checkpoint:
        saved = run_folder.load_checkpoint()
        network.load_state_dict(saved["network"])
        state.optimizer.load_state_dict(saved["optimizer"])
        state.rows = saved["rows"]
    return state


def train_epoch(run: Cell, state: State, epoch: int, advance: Callable[[float], None]) -> float:
    """One pass over the training windows; the mean loss of its batches."""
    task = load_task(run.task)
    state.network.train()
    for group in state.optimizer.param_groups:
        group["lr"] = 1e-3 * 0.1 ** sum(epoch >= drop for drop in DROPS)
    order = torch.randperm(len(run.train.index), generator=generator(run.seed, "order", epoch))
    total = torch.zeros(())
    for index, items in enumerate(order.split(BATCH)):
        batch = windows(run.train, items)
        pixels = augmented(batch.images, generator(run.seed, "augment", epoch * run.steps + index))
        vectors = state.network.encoder(with_grey(pixels))
        loss = losses(task, state.network, vectors, batch)[0].mean()
        state.optimizer.zero_grad()
        loss.backward()
        state.optimizer.step()
        total += loss.detach()
        advance(1)
    return float(total) / run.steps


def kept(out: Path) -> list[Row]:
    """The rows of the CSV; none without such a file."""
    if not out.exists():
        return []
    with out.open(newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise InputError(f"{out}: expected the columns of this benchmark; choose another --out")
        return list(reader)


def of(run: Cell, rows: list[Row]) -> list[Row]:
    """Those rows that are of one run."""
    return [row for row in rows if row.items() >= run.identity.items()]


def write(run: Cell, rows: list[Row], out: Path) -> None:
    """Puts the rows of a run into the CSV, in place of those that it holds of it."""
    others = [row for row in kept(out) if not row.items() >= run.identity.items()]
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(others + rows)
    write_whole(out, text.getvalue().encode())


def mean(rows: list[Row], column: str) -> float:
    return sum(float(row[column]) for row in rows) / len(rows)


def show(cells: list[Cell], rows: list[Row]) -> None:
    """What its README would report of each run, the last epoch, the last ten; what is published beside it."""
    table = Table("task", "model", "epoch", "accuracy", "loss", "published", "loss", box=box.SIMPLE)

    for run in cells:
        epochs_of_run = of(run, rows)
        last, ten = epochs_of_run[-1:], epochs_of_run[-10:]
        count = len(epochs_of_run)
        quote = PUBLISHED[run.task, run.model]
        for epochs, values, quoted in (
            (
                f"1-{count}",
                (mean(epochs_of_run, "batch_accuracy"), mean(last, "batch_loss")),
                (quote.accuracy, quote.loss),
            ),
            (f"{count}", (mean(last, "accuracy"), mean(last, "loss")), (None, None)),
            (f"{count - len(ten) + 1}-{count}", (mean(ten, "accuracy"), mean(ten, "loss")), (quote.last_epochs, None)),
        ):
            beside = ("" if value is None else f"{value:.2f}" for value in quoted)
            table.add_row(run.task, run.model, epochs, *(f"{value:.4f}" for value in values), *beside)
    console.print(table)
    console.print("The first row of a run is as its README counts: accuracy over all epochs, loss of the last one.")


if __name__ == "__main__":
    start(main)
