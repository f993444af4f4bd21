"""What this machine is and can do: the device, the precision that pays, and what a run's folder says of it."""

import contextlib
import ctypes
import functools
import os
import platform
import subprocess
from collections.abc import Callable, Generator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from digitset.errors import InputError

Device = torch.device  # `Machine` has a field named torch


def choose_device(name: str | torch.device = "auto") -> torch.device:
    """The device of that name; `auto` is cuda, else mps, else cpu. Raises InputError if it is not present."""
    name = str(name)
    present = ["cpu"]
    if torch.backends.mps.is_available():
        present.insert(0, "mps")
    if torch.cuda.is_available():
        present = ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count())), *present]
    if name == "auto":
        return torch.device(present[0])
    if name not in present:
        raise InputError(f"device '{name}' is not present: expected auto or one of {', '.join(present)}")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> str:
    """`auto` is bfloat16 where the device has instructions for it, else float32: always the same on one machine.

    Where a processor has none, bfloat16 works but is tens of times slower. Of processors, those with AVX-512 BF16 or
    AMX are known to gain; any other, and MPS, get float32.
    """
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    able = device.type == "cpu" and any(torch.cpu.get_capabilities().get(key) for key in ("avx512_bf16", "amx_bf16"))
    return "bfloat16" if able else "float32"


def wait_for(device: torch.device) -> None:
    """Returns when a device has done all that was queued for it. The CPU queues nothing."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


@contextlib.contextmanager
def plain_torch(learns: bool = False) -> Generator[None, None, None]:
    """A context in which torch is as it is when a program begins, whatever the caller has chosen, in this thread alone.

    New tensors are float32 and on the CPU, and there is no autocast. If it `learns`, there are gradients too.
    """
    with contextlib.ExitStack() as stack:
        if torch.get_default_dtype() != torch.float32:
            stack.enter_context(_Float32())
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for kind in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if learns:
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.enable_grad())
        yield


class _Float32(TorchFunctionMode):
    """A context in which functions that make tensors make float32 where they would take the default type.

    That type is of the whole process: to change it for a moment would change it for the caller's other threads too.
    """

    floating = (torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn, torch.linspace, torch.eye)
    by_value = (torch.tensor, torch.full, torch.arange)  # integers of integers

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if kwargs.get("dtype") is None:
            if func in self.floating:
                return func(*args, **kwargs | {"dtype": torch.float32})
            if func in self.by_value and func(*args, **kwargs).is_floating_point():
                return func(*args, **kwargs | {"dtype": torch.float32})
        return func(*args, **kwargs)


def keep_freed_memory() -> None:
    """Tells glibc to keep large blocks for the next step instead of giving them back to the system after each.

    Otherwise every step pays for fresh pages. It is for good and for the whole process, so commands and workers call
    it, and the functions of the library never do. Does nothing except on Linux with glibc.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        library.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD


def give_back_freed_memory() -> None:
    """Gives what `keep_freed_memory` has kept back to the system; for workers, between one run and the next.

    A run that needs little would otherwise hold the memory of the largest before it. Takes under a second.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


@dataclass(frozen=True)
class Machine:
    """Where a run was trained, and with which versions."""

    device: str
    device_name: str
    threads: int
    cores: int | None
    system: str
    python: str
    torch: str
    digitset: str
    commit: str | None
    """The commit of the source tree, with `+` if files differed from it; None for an installed package."""
    processes: int = 1

    @classmethod
    def here(cls, device: Device, processes: int = 1) -> "Machine":
        """This machine, of which so many processes train together on devices of this kind."""
        return cls(
            device=str(device),
            device_name=torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
            threads=torch.get_num_threads(),
            cores=os.cpu_count(),
            system=f"{platform.system()} {platform.machine()}",
            python=platform.python_version(),
            torch=torch.__version__,
            digitset=metadata.version("digitset"),
            commit=commit(),
            processes=processes,
        )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


@functools.cache
def commit() -> str | None:
    """The commit of the source tree, with `+` if code differs from it or is not in it; None for an installed package.

    Code is what decides numbers: the package, the benchmarks and pyproject.toml.
    """
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "digitset", "benchmarks", "pyproject.toml")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None
