"""Whether the page of a benchmark is still of its tables, its runs and this code: then it is not drawn again.

The last line of the page is a seal: digests of the tables and the code, of the runs, and of what was written.
"""

import hashlib
import importlib.metadata
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from digitset.bench.leaderboard import leaderboards
from digitset.data.mnist import load_data
from digitset.report.verdicts import sheet_folders
from digitset.run_folder import RunFolder

PACKAGE = Path(__file__).resolve().parents[1]
TABLES = ("results.csv", "curves.csv", "lengths.csv", "labels.csv")
ROOMS = ("bench", "inference", "report", "tasks")  # the code that makes the page of tables
LIBRARIES = ("jinja2", "matplotlib", "numpy", "pillow", "scipy", "torch")  # what computes, draws and writes


@dataclass(frozen=True)
class Inputs:
    """Digests of all that the page of a benchmark's folder is made of."""

    tables: str
    """Of its tables, the code that reads and draws them, and the libraries."""
    runs: str
    """Of the runs whose predictions are shown, their data and all code; empty if none of them is there."""

    @classmethod
    def of(cls, folder: Path) -> "Inputs":
        """Raises InputError if the folder holds no table that `bench` wrote."""
        shown = [path for board in leaderboards(folder) for path in sheet_folders(board, folder).values()]
        there = [path for path in shown if path.exists()]
        return cls(_joint_digest(*_tables(folder)), _joint_digest(*_runs(folder, there)) if there else "")


def _tables(folder: Path) -> Iterator[bytes]:
    yield " ".join([platform.python_version(), *map(importlib.metadata.version, LIBRARIES)]).encode()
    yield from _code(ROOMS)
    for name in TABLES:
        yield name.encode()
        yield (folder / name).read_bytes() if (folder / name).exists() else b""


def _code(folders: tuple[str, ...]) -> Iterator[bytes]:
    files = [path for folder in folders for kind in ("*.py", "*.html") for path in (PACKAGE / folder).rglob(kind)]
    for path in sorted(files):
        yield str(path.relative_to(PACKAGE)).encode()
        yield path.read_bytes()


def _runs(folder: Path, paths: list[Path]) -> Iterator[bytes]:
    yield from _code((".",))  # any of it may be in what a run predicts
    for path in paths:
        for file in sorted(file for file in path.rglob("[!.]*") if file.is_file()):
            yield str(file.relative_to(folder)).encode()
            yield file.read_bytes()
        run_folder = RunFolder(path)
        if run_folder.finished and (run := run_folder.run()).data is not None:
            yield load_data(run.data, run.transpose).checksum.encode()


def seal(inputs: Inputs, page: bytes, *others: bytes) -> bytes:
    """The line that ends a page which was written with others."""
    return f"<!-- made of {inputs.tables} and {inputs.runs} as {_joint_digest(page, *others)} -->\n".encode()


def is_current(folder: Path) -> bool:
    """Whether `report.html` and `report.md` are there as they were written, of what the folder holds now.

    If all runs that are shown are gone, as in a copy of tables and page, they count as unchanged: the page shows more
    than could be drawn again.
    """
    page, text = folder / "report.html", folder / "report.md"
    if not (page.exists() and text.exists()):
        return False
    lines = page.read_bytes().splitlines(keepends=True)
    inputs, written = Inputs.of(folder), re.match(rb"<!-- made of \w+ and (\w*) as ", lines[-1] if lines else b"")
    if written is None:
        return False
    inputs = replace(inputs, runs=inputs.runs or written[1].decode())
    return lines[-1] == seal(inputs, b"".join(lines[:-1]), text.read_bytes())


def _joint_digest(*contents: bytes) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(content).digest() for content in contents)).hexdigest()
