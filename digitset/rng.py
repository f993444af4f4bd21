"""The only door for randomness: every draw is a function of a seed and a purpose, and of nothing that ran before."""

import contextlib
import hashlib
import threading
from collections.abc import Generator

import torch

_one_thread_at_a_time = threading.RLock()  # torch's own generators are of the process


def derive(seed: int, *purpose: str | int) -> int:
    """A 32-bit seed for one purpose, e.g. `derive(0, "augment", step)`. Different purposes give unrelated seeds.

    32 bits, because that is what torch's CPU generator (a Mersenne Twister) takes in.
    """
    digest = hashlib.sha256(repr((seed, *purpose)).encode()).digest()
    return int.from_bytes(digest[:4], "little")


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A fresh CPU generator for one purpose. Draws are made on the CPU so that every device sees the same ones."""
    return torch.Generator().manual_seed(derive(seed, *purpose))


def seed_torch(seed: int, device: torch.device) -> None:
    """Seeds torch's own generators of the CPU and of one device, for what takes no generator, such as dropout.

    `torch.manual_seed` also seeds all other devices of the process.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


@contextlib.contextmanager
def torch_state_kept(device: torch.device) -> Generator[None, None, None]:
    """A context after which torch's own generators of the CPU and of one device are as before. Touches no other."""
    others = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(others, device_type=device.type):  # pyright: ignore[reportUnknownMemberType]
        yield


@contextlib.contextmanager
def torch_seeded(seed: int, device: torch.device) -> Generator[None, None, None]:
    """A context in which torch's own generators, of the CPU and of one device, begin with a seed; after it, as before.

    One thread at a time is in it: others of this package wait. Whoever draws from torch's own generators in another
    thread meanwhile disturbs what is drawn here.
    """
    with _one_thread_at_a_time, torch_state_kept(device):
        seed_torch(seed, device)
        yield
