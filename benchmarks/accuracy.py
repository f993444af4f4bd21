"""The accuracy of the best recipes, over seeds: `results/accuracy.csv`, a row a run and evaluation set.

    uv run benchmarks/accuracy.py [--seeds 5] [--rows sum/exact contains/exact] [--jobs 2] [--out results/accuracy.csv]

The cores are divided among the jobs: two runs of one thread each get more done than one of two. A run whose rows are in
`--out`, made by the same recipe, is not made again; those under `runs/accuracy`, finished or stopped, are gone on with.
The table is written after each run. Seeds go round: all rows have seed 0 before 1. To make all anew, remove both.
"""

import csv
import multiprocessing
import os
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import torch
from measure import known, start
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table
from scipy import stats

from digitset import data, parts, recipes, results
from digitset.compare import evaluated
from digitset.run import Run
from digitset.training import train

RUNS = Path("runs/accuracy")
console = Console()


def main(
    rows: tuple[str, ...] = tuple(recipes.BEST), seeds: int = 5, jobs: int = 2, out: Path = Path("results/accuracy.csv")
) -> None:
    """Trains, evaluates and writes.

    Args:
        rows: TASK/MODEL, any that has a best recipe.
        seeds: How many seeds, from 0.
        jobs: How many runs at a time.
        out: The CSV to write.
    """
    known("--rows", rows, recipes.BEST)
    cells = [replace(recipes.BEST[name], seed=seed) for seed in range(seeds) for name in rows]
    found = kept(out, [replace(run, seed=seed) for run in recipes.BEST.values() for seed in range(100)])
    done = {identity(row) for row in found}
    missing = [run for run in cells if identity(results.identity(run)) not in done]
    for made in train_all(missing, jobs):
        found += made
        results.write_csv(out, found)
        show(found)
    show(found)


def identity(row: results.Row) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in results.IDENTITY)


def kept(out: Path, runs: list[Run]) -> list[results.Row]:
    """The rows of a CSV that recipes of today would make again."""
    if not out.exists():
        return []
    wanted = {identity(results.identity(run)) for run in runs}
    with out.open(newline="") as file:
        table = csv.DictReader(file)
        if tuple(table.fieldnames or ()) != results.COLUMNS:
            return []
        return [row for row in table if identity(row) in wanted]


@dataclass
class Cell:
    """Trains and evaluates one run in a process of its own; reports each finished step."""

    run: Run
    steps: "Queue[int]"

    def __call__(self) -> list[results.Row]:
        run, seen = self.run, 0

        def listen(event: dict[str, Any]) -> None:
            nonlocal seen
            self.steps.put(event["step"] - seen)  # 0 for a validation, more than 1 where a run goes on
            seen = event["step"]

        record = train(run, RUNS / run.name, resume=True, listener=listen)
        report = evaluated(run, record, data.load())
        return results.rows(run, record, parts.load("tasks", run.task).LOSS, report)


def train_all(runs: list[Run], jobs: int) -> Iterable[list[results.Row]]:
    """The rows of each run, as it ends; a bar of all steps, with an estimate, meanwhile."""
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with (
        context.Manager() as manager,
        ProcessPoolExecutor(jobs, context, initializer=torch.set_num_threads, initargs=(threads,)) as pool,
        Progress("steps", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(elapsed_when_finished=True)) as bar,
    ):
        steps: Queue[int] = manager.Queue()
        shown = bar.add_task("steps", total=sum(run.steps for run in runs))
        pending: set[Future[Any]] = {pool.submit(Cell(run, steps)) for run in runs}
        while pending:
            ended, pending = wait(pending, timeout=1)
            bar.update(shown, advance=sum(steps.get() for _ in range(steps.qsize())))
            yield from (future.result() for future in ended)


def show(found: list[results.Row]) -> None:
    """Mean over seeds with Student's 95 % interval, for each row and evaluation set."""
    groups: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for row in found:
        groups[row["task"], row["model"], row["evaluation"]].append(float(row["accuracy"]))
    table = Table("task", "model", "evaluation", "seeds", "accuracy", "95 % interval")
    for (task, model, evaluation), values in sorted(groups.items()):
        mean, interval = np.mean(values), ""
        if len(values) > 1:
            half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
            interval = f"{mean - half:.4f} to {mean + half:.4f}"
        table.add_row(task, model, evaluation, str(len(values)), f"{mean:.4f}", interval)
    console.print(table)


if __name__ == "__main__":
    start(main)
