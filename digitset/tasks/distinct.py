"""distinct: how many different digits are in the sequence?"""

from typing import cast

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from digitset.probability import distribution_of_distinct
from digitset.tasks import DIGITS
from digitset.tasks._choice import DISCRETE, LOSS, answer, loss, read, scores, summary

VERSION = 1
QUESTION = "How many different digits are there?"
LENGTHS = (1, 10)
ANCHORED = False
NUMBERS = DIGITS + 1  # none, which never happens, to ten
NAMELESS = True


def answers(longest: int) -> int:
    return cast(int, torch.sym_min(longest, DIGITS)) + 1  # min, for a length that is not known yet too


def solve(digits: Int64[Tensor, "B L"], mask: Bool[Tensor, "B L"], anchor: None = None) -> Int64[Tensor, " B"]:
    """How many of the ten digits occur; padding counts nothing."""
    occurs = (digits[:, :, None] == torch.arange(DIGITS, device=digits.device)) & mask[:, :, None]
    return occurs.any(dim=1).sum(dim=1)


def infer(digits: Float[Tensor, "B L 10"], mask: Bool[Tensor, "B L"], anchor: None = None) -> Float[Tensor, "B A"]:
    """The distribution of how many different digits independent images show.

    A chance too small for float32 is taken as its smallest normal number, 1e-38.
    """
    chances = digits.exp().masked_fill(~mask[:, :, None], 0)
    found = distribution_of_distinct(chances, mask)[:, : answers(digits.shape[1])]
    return found.clamp(min=torch.finfo(digits.dtype).tiny).log()
