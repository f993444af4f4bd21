"""What an install costs: the wheel in an empty environment, with torch as PyPI has it, or with a build for the CPU.

    uv run benchmarks/install.py pypi
    uv run benchmarks/install.py cpu --torch torch-2.15.0+cpu-...whl

Each build has its case in `results/install.csv`: megabytes (10^6 bytes, files of the environment), seconds to download
and install without uv's cache, and seconds of the first and of the second `digitset predict`. The first compiles
Python's files. `load` is that of the machine before and after, per core: other programs make the times longer.

A build for the CPU may be older than the package asks for: then the wheel is installed without asking.
"""

import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from time import monotonic

import tyro
from measure import expect_committed, show, start
from PIL import Image

from digitset.data.mnist import load_data
from digitset.errors import InputError

ROOT = Path(__file__).parent.parent
BUILDS = ("pypi", "cpu")


def main(build: tyro.conf.Positional[str], torch: str | None = None, out: Path = Path("results/install.csv")) -> None:
    """Installs, measures and writes; the environment is deleted again.

    Args:
        build: pypi, or cpu with --torch.
        torch: The file of a build for the CPU.
        out: The CSV to write.
    """
    expect_committed(out)
    if build not in BUILDS or (build == "cpu") != (torch is not None):
        raise InputError(
            f"expected pypi, or cpu and --torch FILE, got {build}{'' if torch is None else ' and --torch'}"
        )
    with tempfile.TemporaryDirectory() as folder:
        show(build, measured(Path(folder), torch), out)


def measured(folder: Path, torch: str | None) -> list[tuple[str, float]]:
    """The measures of an install in a folder that is empty."""
    run("uv", "build", "--quiet", "--wheel", "-o", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    run("uv", "venv", "--quiet", "--python", sys.executable, folder / "env")
    python = folder / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    install = ("uv", "pip", "install", "--quiet", "--no-cache", "--python", python)
    before, began = os.getloadavg()[0], monotonic()
    if torch is None:
        run(*install, wheel)
    else:
        asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
        run(*install, torch, *(each for each in asked if not each.startswith("torch")))
        run(*install, "--no-deps", wheel)
    seconds = monotonic() - began
    megabytes = sum(path.lstat().st_size for path in (folder / "env").rglob("*") if path.is_file()) / 1e6
    for number, image in enumerate(load_data().test.images[:3].numpy()):
        Image.fromarray(255 - image).resize((280, 280)).save(folder / f"{number}.png")
    times = []
    for _ in range(2):
        began = monotonic()
        run(python, "-m", "digitset", "predict", "sum/exact", *sorted(folder.glob("*.png")))
        times.append(monotonic() - began)
    cores = os.cpu_count() or 1
    return [
        ("wheel: MB", wheel.stat().st_size / 1e6),
        ("environment: MB", megabytes),
        ("install: s", seconds),
        ("first prediction: s", times[0]),
        ("second prediction: s", times[1]),
        ("load before, per core", before / cores),
        ("load after, per core", os.getloadavg()[0] / cores),
    ]


def run(*command: str | Path) -> None:
    """Runs a command outside the clone, where its package is not found by accident. Raises InputError if it fails."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)), cwd=tempfile.gettempdir(), env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise InputError(f"{command[0]} failed: {' '.join(done.stderr.split())[-300:]}")


if __name__ == "__main__":
    start(main)
