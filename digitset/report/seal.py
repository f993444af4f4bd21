"""Whether the page of a benchmark is still of its tables, its runs and this code: then it is not drawn again.

The last line of the page is a seal: a digest of all that the page is made of, and one of what was written.
"""

import hashlib
import importlib.metadata
import platform
from collections.abc import Iterator
from pathlib import Path

from digitset.bench.leaderboard import leaderboards
from digitset.data.mnist import load_data
from digitset.report.verdicts import sheet_folders
from digitset.run_folder import RunFolder

PACKAGE = Path(__file__).resolve().parents[1]
TABLES = ("results.csv", "curves.csv", "lengths.csv", "labels.csv")
LIBRARIES = ("jinja2", "matplotlib", "numpy", "pillow", "scipy", "torch")  # what computes, draws and writes


def inputs_digest(folder: Path) -> str:
    """A digest of all that the page of a benchmark's folder is made of.

    That is its tables, the runs whose predictions are shown, their data, the package's code, and the libraries.
    Raises InputError if the folder holds no table that `bench` wrote.
    """
    total = hashlib.sha256()
    for part in _inputs(folder):
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()


def _inputs(folder: Path) -> Iterator[bytes]:
    yield " ".join([platform.python_version(), *map(importlib.metadata.version, LIBRARIES)]).encode()
    for path in sorted((*PACKAGE.rglob("*.py"), *(PACKAGE / "report/templates").iterdir())):
        yield str(path.relative_to(PACKAGE)).encode()
        yield path.read_bytes()
    for name in TABLES:
        yield name.encode()
        yield (folder / name).read_bytes() if (folder / name).exists() else b""
    for path in (path for board in leaderboards(folder) for path in sheet_folders(board, folder).values()):
        for file in sorted(file for file in path.rglob("*") if file.is_file()):
            yield str(file.relative_to(folder)).encode()
            yield file.read_bytes()
        run_folder = RunFolder(path)
        if run_folder.finished and (data := run_folder.run().data) is not None:
            yield load_data(data).checksum.encode()


def seal(inputs: str, page: bytes, *others: bytes) -> bytes:
    """The line that ends a page which was written with others."""
    return f"<!-- made of {inputs} as {_joint_digest(page, *others)} -->\n".encode()


def is_current(folder: Path) -> bool:
    """Whether `report.html` and `report.md` are there as they were written, of what the folder holds now."""
    page, text = folder / "report.html", folder / "report.md"
    if not (page.exists() and text.exists()):
        return False
    lines = page.read_bytes().splitlines(keepends=True)
    return lines[-1:] == [seal(inputs_digest(folder), b"".join(lines[:-1]), text.read_bytes())]


def _joint_digest(*contents: bytes) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(content).digest() for content in contents)).hexdigest()
