"""What the benchmarks share: medians of times, a small table that also goes to a CSV file, and what guards results/."""

import csv
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from digitset.device import commit
from digitset.errors import InputError

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
    except KeyboardInterrupt:
        sys.exit(130)
