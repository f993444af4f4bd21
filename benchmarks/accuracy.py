"""The accuracy of the best recipes, over seeds: `results/accuracy.csv`, a row a run and evaluation set.

    uv run benchmarks/accuracy.py [--seeds 5] [--rows sum/exact contains/exact] [--jobs 2] [--out results/accuracy.csv]

The cores are divided among the jobs: two runs of one thread each get more done than one of two. A run whose rows are in
`--out`, made by the same recipe, is not made again; those under `runs/accuracy`, finished or stopped, are gone on with.
The table is written after each run. Seeds go round: all rows have seed 0 before 1. To make all anew, as
after a change of the code that moves numbers, remove both. In `results/`, only committed code writes.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from measure import expect_committed, expect_committed_run, in_processes, known, start
from rich.console import Console
from rich.table import Table

from digitset import recipes
from digitset.bench.statistics import mean
from digitset.bench.tables import ResultRow, cell, identity, read_csv, result_rows, write_csv
from digitset.data.mnist import load_data
from digitset.evaluation.evaluate import evaluate_run_folder
from digitset.network import Experiment
from digitset.run import Run
from digitset.run_folder import RunFolder
from digitset.training.loop import train

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
    expect_committed(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    table = kept(out)
    done = {row.cell for row in table}
    runs = [replace(recipes.BEST[name], seed=seed) for seed in range(seeds) for name in rows]
    missing = [run for run in runs if cell(run) not in done]
    for run_folder in (RunFolder(RUNS / run.name) for run in missing):
        if run_folder.exists:
            expect_committed_run(out, run_folder.path, run_folder.machine().commit)
    for of_run in make_all(missing, jobs):
        table += of_run
        write_csv(out, table, ResultRow)
        show(table)
    if not missing:
        show(table)


def kept(out: Path) -> list[ResultRow]:
    """The rows of a CSV whose recipes are those of today; says how many others there are, which will be lost."""
    today = {identity(run)["recipe"] for run in recipes.BEST.values()}
    table = read_csv(out, ResultRow)
    rows = [row for row in table if row.recipe in today]
    if len(rows) < len(table):
        console.print(f"{out}: {len(table) - len(rows)} rows of other recipes will be replaced")
    return rows


def make(run: Run, folder: Path) -> list[ResultRow]:
    """Trains and evaluates one run, in a process of its own."""
    run_folder = train(run, folder, resume=True, progress=False)
    return result_rows(Experiment.of(run), run_folder, evaluate_run_folder(run_folder, load_data(), run.device))


def make_all(runs: list[Run], jobs: int) -> Iterable[list[ResultRow]]:
    """The rows of each run, as it ends."""
    return in_processes(make, [[(run, RUNS / run.name)] for run in runs], jobs)


def show(rows: list[ResultRow]) -> None:
    """Mean over seeds with Student's 95 % interval, for each row and evaluation set."""
    groups: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for row in rows:
        groups[*row.row_name, row.evaluation].append(row.accuracy)
    table = Table("task", "model", "encoder", "evaluation", "seeds", "accuracy", "95 % interval")
    for names, values in sorted(groups.items()):
        over = mean(values)
        low, high = over.mean - over.half, over.mean + over.half
        interval = f"{low:.4f} to {high:.4f}" if over.n > 1 else ""
        table.add_row(*names, str(over.n), f"{over.mean:.4f}", interval)
    console.print(table)


if __name__ == "__main__":
    start(main)
