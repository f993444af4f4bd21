"""The accuracy of the best recipes, over seeds: `results/accuracy.csv`, a row a run and evaluation set.

    uv run benchmarks/accuracy.py [--seeds 5] [--rows sum/exact contains/exact] [--out results/accuracy.csv]

Runs are kept under `runs/accuracy`; a run that is there, finished, is not made again, and one that was stopped goes on.
The table is written after each run, from all that are finished. Seeds go round: every row has seed 0 before any has 1.
"""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from measure import known, start
from rich.console import Console
from rich.table import Table
from scipy import stats

from digitset import data, parts, recipes, results
from digitset.compare import evaluated
from digitset.terminal import Watch
from digitset.training import train

RUNS = Path("runs/accuracy")


def main(rows: tuple[str, ...] = tuple(recipes.BEST), seeds: int = 5, out: Path = Path("results/accuracy.csv")) -> None:
    """Trains, evaluates and writes.

    Args:
        rows: TASK/MODEL, any that has a best recipe.
        seeds: How many seeds, from 0.
        out: The CSV to write.
    """
    known("--rows", rows, recipes.BEST)
    splits = data.load()
    found: list[results.Row] = []
    for seed in range(seeds):
        for name in rows:
            run = replace(recipes.BEST[name], seed=seed)
            with Watch(run) as watch:
                record = train(run, RUNS / run.name, resume=True, listener=watch.listen)
            found += results.rows(run, record, parts.load("tasks", run.task).LOSS, evaluated(run, record, splits))
            results.write_csv(out, found)
            show(found)


def show(found: list[results.Row]) -> None:
    """Mean over seeds with Student's 95 % interval, for each row and evaluation set."""
    groups: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for row in found:
        groups[row["task"], row["model"], row["evaluation"]].append(row["accuracy"])
    table = Table("task", "model", "evaluation", "seeds", "accuracy", "95 % interval")
    for (task, model, evaluation), values in groups.items():
        mean, interval = np.mean(values), ""
        if len(values) > 1:
            half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
            interval = f"{mean - half:.4f} to {mean + half:.4f}"
        table.add_row(task, model, evaluation, str(len(values)), f"{mean:.4f}", interval)
    Console().print(table)


if __name__ == "__main__":
    start(main)
