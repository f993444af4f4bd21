"""What the benchmarks share: medians of times, a small table that is also a CSV file, processes, guards of results/."""

import csv
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from pathlib import Path
from typing import TypeVar

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

from digitset.bench.executors import processes
from digitset.device import commit
from digitset.errors import InputError, TrainingError
from digitset.run import Run
from digitset.run_folder import RunFolder

Result = TypeVar("Result")
Rows = list[tuple[str, float]]
RESULTS = Path(__file__).resolve().parent.parent / "results"


def median(work: Callable[[], object], repeats: int, warm: int = 3) -> float:
    """Median seconds of a call, after some calls that do not count."""
    times = []
    for turn in range(repeats + warm):
        start = time.perf_counter()
        work()
        if turn >= warm:
            times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def show(case: str, rows: Rows, out: Path) -> None:
    """Prints the rows and writes them to `out`, in place of the rows that it holds of the same case."""
    table = Table("measure", "value", title=case, title_justify="left")
    for name, value in rows:
        table.add_row(name, f"{value:,.3f}")
    Console().print(table)
    kept = []
    if out.exists():
        with out.open(newline="") as file:
            kept = [row for row in csv.reader(file) if row[0] not in ("case", case)]
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("case", "measure", "value"))
        writer.writerows(kept)
        writer.writerows((case, name, f"{value:.6g}") for name, value in rows)


def in_processes(
    make: Callable[..., Result], cells: Sequence[Sequence[tuple[Run, Path]]], jobs: int
) -> Iterator[Result]:
    """The results of cells, as they end, from processes that share the cores. A cell is one run or more, with folders.

    `make` is called with the first run, its folder, and the other pairs. Meanwhile there is a bar of all steps, read
    off the run folders, with an estimate of the time that is left.
    """
    columns = ("steps", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(elapsed_when_finished=True))
    if not cells:
        return
    with processes(jobs) as workers, Progress(*columns, console=Console()) as progress:
        pending = {workers.submit(make, *first, *others): (first, *others) for first, *others in cells}
        total = sum(run.steps for pairs in cells for run, _ in pairs)
        bar = progress.add_task("steps", total=total)
        while pending:
            for future in wait(pending, timeout=5, return_when=FIRST_COMPLETED).done:
                del pending[future]
                yield future.result()
            left = sum(run.steps - RunFolder(folder).last_step() for pairs in pending.values() for run, folder in pairs)
            progress.update(bar, completed=total - left)


def known(option: str, names: Collection[str], among: Collection[str]) -> None:
    """Raises InputError for a name that is not among the known ones."""
    for name in names:
        if name not in among:
            raise InputError(f"{option}: unknown '{name}': expected some of {', '.join(among)}")


def expect_committed(out: Path) -> None:
    """Raises InputError if `out` lies in the project's results and files of the source tree are not committed.

    Whoever reads a row there must be able to get the code that made it. Call it before any work.
    """
    if _in_results(out) and _uncommitted(commit()):
        raise InputError(
            f"{out}: expected a source tree without uncommitted changes; commit them first, or choose an --out that is "
            "not in results/"
        )


def expect_committed_run(out: Path, folder: Path, trained_by: str | None) -> None:
    """Raises InputError if `out` lies in the project's results and a run that goes on began with uncommitted code."""
    if _in_results(out) and _uncommitted(trained_by):
        raise InputError(
            f"{folder}: expected a run of committed code, found one of {trained_by}; remove the folder, or choose an "
            "--out that is not in results/"
        )


def _in_results(out: Path) -> bool:
    return out.resolve().is_relative_to(RESULTS)


def _uncommitted(commit: str | None) -> bool:
    """Also where git does not answer: then nobody knows."""
    return commit is None or commit.endswith("+")


def start(main: Callable[..., None]) -> None:
    """Runs a benchmark with the arguments of the command line; a mistake there is one line and exit code 2."""
    try:
        tyro.cli(main)
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except TrainingError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
