"""Several processes that train one run: which of them this is, and how they communicate.

`torchrun` starts them and says in the environment how they find each other. A single process is in no
group; every function here then works without communication.
"""

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Generator
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from digitset.data.sequences import ALONE, Rank
from digitset.errors import InputError

T = TypeVar("T")


def rank() -> Rank:
    """This process's rank; `ALONE` if it is in no group."""
    return Rank(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else ALONE


@contextlib.contextmanager
def joined() -> Generator[Rank, None, None]:
    """A context in which the processes that torchrun started are one group; no group where it started one or none."""
    if "TORCHELASTIC_RUN_ID" not in os.environ or os.environ["WORLD_SIZE"] == "1":
        yield ALONE
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield rank()
    finally:
        dist.destroy_process_group()


def own_device(device: torch.device) -> torch.device:
    """The device of this process. On a machine with several GPUs, each process has its own.

    Raises InputError for a device that processes cannot share: MPS, one GPU by its number, fewer GPUs than processes.
    """
    if rank().count == 1 or device.type == "cpu":
        return device
    if device.type != "cuda" or device.index is not None:  # pyright: ignore[reportUnnecessaryComparison]
        raise InputError(f"--device: expected cpu or cuda for several processes, got {device}")
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if local >= torch.cuda.device_count():
        raise InputError(
            f"--nproc-per-node: expected at most {torch.cuda.device_count()}, as many as there are GPUs; "
            "start fewer processes or choose --device cpu"
        )
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


def replicate(network: nn.Module, all_learn: bool) -> nn.Module:
    """What a step calls: the network itself, or one whose backward pass leaves the mean of all processes' gradients.

    `all_learn` says whether every parameter gets a gradient. Batch normalisation normalises by a process's own images;
    its running statistics are those of the first process, which every step starts from.
    """
    if rank().count == 1:
        return network
    replica = DistributedDataParallel(network, find_unused_parameters=not all_learn)
    replica.register_comm_hook(None, _mean_in_order)  # pyright: ignore[reportUnknownMemberType]
    return replica


def _mean_in_order(_: object, bucket: dist.GradBucket) -> Future[Tensor]:  # pyright: ignore[reportPrivateImportUsage]
    """The mean of some gradients, added in the order of the processes.

    In an all_reduce, the order depends on a gradient's place in its bucket, and DDP rebuilds the buckets after the
    first step: a run of three processes, resumed, would not have the bits of one that never stopped.
    """
    parts = [torch.empty_like(bucket.buffer()) for _ in range(rank().count)]
    gathered = dist.all_gather(parts, bucket.buffer(), async_op=True)
    assert gathered is not None
    future = cast(Future[Any], gathered.get_future())  # pyright: ignore[reportUnknownMemberType]

    def mean_of_parts(_: object) -> Tensor:
        return sum(parts[1:], start=parts[0]) / len(parts)

    return future.then(mean_of_parts)


def mean(values: Tensor) -> Tensor:
    """The mean over all processes, the same in all to the last bit."""
    if rank().count > 1:
        values = values.clone()
        dist.all_reduce(values)
        values /= rank().count
    return values


def greatest(value: int) -> int:
    """The greatest value that any process gives."""
    if rank().count == 1:
        return value
    values = torch.tensor(value)
    dist.all_reduce(values, dist.ReduceOp.MAX)
    return int(values)


def signals_come_twice() -> bool:
    """Whether a signal may reach this process twice: from a cluster, and passed on by the process that started it.

    That one, torchrun or the process of a pool's owner, then also ends it if it does not end by itself.
    """
    return "TORCHELASTIC_RUN_ID" in os.environ or multiprocessing.parent_process() is not None


def together(call: Callable[[], T]) -> T:
    """What a call returns in each process. An InputError or OSError of one of them is raised in all."""
    if rank().count == 1:
        return call()
    result, error = _attempt(call)
    errors: list[Any] = [None] * rank().count
    dist.all_gather_object(errors, error)
    for each in errors:
        if each is not None:
            raise each
    return result


def from_first(call: Callable[[], T]) -> T:
    """What a call returns in the first process, which alone makes it, in all; likewise an InputError or OSError."""
    if rank().count == 1:
        return call()
    outcome: list[Any] = list(_attempt(call)) if rank().first else [None, None]
    dist.broadcast_object_list(outcome)
    result, error = outcome
    if error is not None:
        raise error
    return result


def expect_same(value: object, what: str) -> None:
    """Raises InputError in all processes if a value is not the same in all of them."""
    if rank().count > 1:
        values: list[Any] = [None] * rank().count
        dist.all_gather_object(values, value)
        if any(other != values[0] for other in values):
            raise InputError(f"expected {what} to be the same for all processes, found different ones")


def _attempt(call: Callable[[], T]) -> tuple[Any, InputError | OSError | None]:
    try:
        return call(), None
    except (InputError, OSError) as error:
        return None, error
