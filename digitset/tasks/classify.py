"""classify: which digit is on the image? A sequence of length one."""

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from digitset.tasks._choice import DISCRETE, LOSS, answer, loss, read, scores, summary

VERSION = 1
QUESTION = "Which digit is it?"
LENGTHS = (1, 1)
ANCHORED = False
NUMBERS = 10
NAMELESS = False


def answers(longest: int) -> int:
    return 10


def solve(digits: Int64[Tensor, "B L"], mask: Bool[Tensor, "B L"], anchor: None = None) -> Int64[Tensor, " B"]:
    """The digit of the one image."""
    return (digits * mask).sum(dim=1)


def infer(digits: Float[Tensor, "B L 10"], mask: Bool[Tensor, "B L"], anchor: None = None) -> Float[Tensor, "B 10"]:
    """The posterior of the one image."""
    return digits[:, 0]
