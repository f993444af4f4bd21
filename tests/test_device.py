"""The allocator of a process is changed by commands and their workers, never by a call of the library."""

import ctypes
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Outcome

from digitset import device
from digitset.bench.executors import _run_away, processes
from digitset.data.mnist import Digits, Splits
from digitset.run import Run
from digitset.training.loop import train

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")

RUN = Run("sum", "exact", "lenet", steps=1, images_per_step=20, sequences_per_step=4, precision="float32")
LARGE = 1 << 26  # bytes: more than glibc ever keeps by itself


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The parameters that glibc was told to change, in place of changing them; 0 for giving back what it keeps."""
    parameters: list[int] = []

    class Library:
        def __init__(self, name: None) -> None:
            self.mallopt = lambda parameter, value: parameters.append(parameter)
            self.malloc_trim = parameters.append

    monkeypatch.setattr(device.ctypes, "CDLL", Library)
    return parameters


def test_a_call_of_the_library_leaves_it(told: list[int], mnist: Splits, tmp_path: Path) -> None:
    parts = [Digits(part.images[:60], part.labels[:60]) for part in (mnist.train, mnist.val, mnist.test)]
    train(RUN, tmp_path / "run", splits=Splits(*parts, checksum="few"))
    assert told == []


def test_the_command_that_trains_here_changes_it(
    told: list[int], command: Callable[..., Outcome], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    outcome = command("train", "sum", "--out", tmp_path / "file")
    assert (outcome.code, told) == (2, [-3, -1])


def test_cells_on_a_cluster_change_it(told: list[int]) -> None:
    assert _run_away(lambda run, folder: "made", RUN, (), {"a": b"1"}, {}) == ("made", {"a": b"1"})
    assert told == [-3, -1, 0]


class Allocations(ctypes.Structure):
    """What glibc's mallinfo2 returns."""

    _fields_ = [(name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", *"abcdef")]


def large_block_is_mapped(*_: Any) -> bool:
    """Whether a large block comes from the system, to which it goes back as soon as it is free."""
    library = ctypes.CDLL(None)
    library.mallinfo2.restype, library.malloc.restype = Allocations, ctypes.c_void_p
    library.malloc.argtypes, library.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
    before = library.mallinfo2().hblks
    block = library.malloc(LARGE)
    mapped = library.mallinfo2().hblks > before
    library.free(block)
    return mapped


def test_workers_change_it(tmp_path: Path) -> None:
    with processes(1) as workers:
        assert workers.submit(large_block_is_mapped, RUN, tmp_path).result() is False


def resident(*_: Any) -> int:
    """How much memory this process holds, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def take_much(*_: Any) -> int:
    """What a process holds that takes a gigabyte in blocks of a megabyte, all of which are free when this returns."""
    blocks = [torch.ones(250_000) for _ in range(1_000)]
    assert len(blocks) == 1_000
    return resident()


def test_workers_hold_no_memory_from_one_run_to_the_next(tmp_path: Path) -> None:
    with processes(1) as workers:
        before, most, after = (
            workers.submit(function, RUN, tmp_path).result() for function in (resident, take_much, resident)
        )
    assert most - before > 900e6
    assert after - before < 100e6
