"""sum: what is the sum of the digits of the sequence?"""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from digitset.probability import distribution_of_sum
from digitset.tasks import DIGITS, Kind

VERSION = 1
QUESTION = "What is the sum of the digits?"
LENGTHS = (1, 10)
ANCHORED = False
NUMBERS = 1
LOSS = "mse"
DISCRETE = False
NAMELESS = False


def answers(longest: int) -> int:
    return 9 * longest + 1


def solve(digits: Int64[Tensor, "B L"], mask: Bool[Tensor, "B L"], anchor: None = None) -> Int64[Tensor, " B"]:
    """The sum over the sequence; padding counts nothing."""
    return (digits * mask).sum(dim=1)


def infer(digits: Float[Tensor, "B L 10"], mask: Bool[Tensor, "B L"], anchor: None = None) -> Float[Tensor, "B A"]:
    """The distribution of the sum of independent digits (PLIA, arXiv 2410.12389). Padding is a certain zero.

    A chance too small for float32 is taken as its smallest normal number, 1e-38.
    """
    zero = torch.arange(DIGITS, device=digits.device) == 0
    chances = digits.exp().where(mask[:, :, None], zero.to(digits.dtype))
    return distribution_of_sum(chances).clamp(min=torch.finfo(digits.dtype).tiny).log()


def loss(output: Float[Tensor, "B 1"], target: Int64[Tensor, " B"]) -> Float[Tensor, " B"]:
    """Squared error."""
    return (output[:, 0] - target).square()


def read(output: Float[Tensor, "B _"], kind: Kind) -> Float[Tensor, " B"]:
    """The sum: the number itself, or the most probable one of a distribution (which maximises the accuracy)."""
    return output[:, 0] if kind == "numbers" else output.argmax(dim=1).to(output.dtype)


def answer(reading: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """The predicted sum, not rounded."""
    return reading


def scores(reading: Float[Tensor, " B"], target: Int64[Tensor, " B"]) -> dict[str, Float[Tensor, " B"]]:
    """Accuracy (the rounded prediction equals the sum), squared error and absolute error."""
    error = reading - target
    return {
        "accuracy": (reading.round() == target).to(reading.dtype),
        "mse": error.square(),
        "mae": error.abs(),
    }


def summary(reading: Float[Tensor, " B"], target: Int64[Tensor, " B"]) -> dict[str, float]:
    return {}
