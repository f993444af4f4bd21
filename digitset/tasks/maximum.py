"""maximum: which is the largest digit of the sequence?"""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from digitset.probability import distribution_of_maximum
from digitset.tasks import DIGITS
from digitset.tasks._choice import DISCRETE, LOSS, answer, loss, read, scores, summary

VERSION = 1
QUESTION = "What is the largest digit?"
LENGTHS = (1, 10)
ANCHORED = False
NUMBERS = DIGITS
NAMELESS = False


def answers(longest: int) -> int:
    return DIGITS


def solve(digits: Int64[Tensor, "B L"], mask: Bool[Tensor, "B L"], anchor: None = None) -> Int64[Tensor, " B"]:
    """The largest digit; padding counts nothing."""
    return (digits * mask).amax(dim=1)


def infer(digits: Float[Tensor, "B L 10"], mask: Bool[Tensor, "B L"], anchor: None = None) -> Float[Tensor, "B 10"]:
    """The distribution of the maximum of independent digits. Padding is a certain zero.

    A chance too small for float32 is taken as its smallest normal number, 1e-38.
    """
    zero = torch.arange(DIGITS, device=digits.device) == 0
    chances = digits.exp().where(mask[:, :, None], zero.to(digits.dtype))
    return distribution_of_maximum(chances).clamp(min=torch.finfo(digits.dtype).tiny).log()
