"""What this machine is and can do: the device, the precision that pays, and what a record says about both."""

import ctypes
import functools
import os
import platform
import subprocess
import time
from importlib import metadata
from pathlib import Path

import torch

from digitset import distributed
from digitset.errors import InputError


def device(wanted: str = "auto") -> torch.device:
    """The device of that name; `auto` is cuda, else mps, else cpu. Raises InputError if it is not there."""
    present = ["cpu"]
    if torch.backends.mps.is_available():
        present.insert(0, "mps")
    if torch.cuda.is_available():
        present = ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count())), *present]
    if wanted == "auto":
        return torch.device(present[0])
    if wanted not in present:
        raise InputError(f"device '{wanted}' is not there: expected auto or one of {', '.join(present)}")
    return torch.device(wanted)


def precision(wanted: str, on: torch.device) -> str:
    """`auto` is bfloat16 where it is faster than float32 on that device by a probe of a convolution, else float32.

    Where a processor has no instructions for bfloat16, it works but is tens of times slower.
    """
    if wanted != "auto":
        return wanted
    if on.type == "mps":
        return "float32"
    return "bfloat16" if _speed(on, torch.bfloat16) > 1.2 * _speed(on, torch.float32) else "float32"


@functools.cache
def _speed(on: torch.device, dtype: torch.dtype) -> float:
    """Convolutions a second, the best of three, at a size that takes milliseconds."""
    images = torch.ones(32, 32, 14, 14, device=on, dtype=dtype).contiguous(memory_format=torch.channels_last)
    kernel = torch.ones(64, 32, 3, 3, device=on, dtype=dtype).contiguous(memory_format=torch.channels_last)
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        float(torch.nn.functional.conv2d(images, kernel, padding=1)[0, 0, 0, 0])  # reading a value waits for the device
        best = min(best, time.perf_counter() - start)
    return 1 / best


def keep_freed_memory() -> None:
    """Tells glibc to keep large blocks for the next step instead of giving them back to the system after each.

    Otherwise every step pays for fresh pages. Elsewhere than on Linux with glibc it does nothing.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        library.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD


def describe(on: torch.device) -> dict[str, str | int | None]:
    """What a run's record says about where it was made."""
    return {
        "device": str(on),
        "device_name": torch.cuda.get_device_name(on) if on.type == "cuda" else _processor(),
        "threads": torch.get_num_threads(),
        "processes": distributed.share().ranks,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "digitset": metadata.version("digitset"),
        "commit": _commit(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


@functools.cache
def _commit() -> str | None:
    """The commit of the source tree, with `+` if files differ from it; None for an installed package."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return None
    try:
        arguments = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
        return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
