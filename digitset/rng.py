"""The only door for randomness: every draw is a function of a seed and a purpose, and of nothing that ran before."""

import hashlib

import torch


def derive(seed: int, *purpose: str | int) -> int:
    """A 32-bit seed for one purpose, e.g. `derive(0, "augment", step)`. Different purposes give unrelated seeds.

    32 bits, because that is what torch's CPU generator (a Mersenne Twister) takes in.
    """
    digest = hashlib.sha256(repr((seed, *purpose)).encode()).digest()
    return int.from_bytes(digest[:4], "little")


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A fresh CPU generator for one purpose. Draws are made on the CPU so that every device sees the same ones."""
    return torch.Generator().manual_seed(derive(seed, *purpose))
