"""bags: is there a nine among the images? MNIST-bags of multiple-instance learning (Ilse et al. 2018, section 4.2)."""

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from digitset.probability import log_at_least_one
from digitset.tasks._yes_no import DISCRETE, LOSS, NUMBERS, answer, answers, loss, read, scores, summary

VERSION = 1
QUESTION = "Is there a 9 in the bag?"
LENGTHS = (6, 14)  # ten on average, as in the paper, whose lengths are normal (deviation 2), not uniform
ANCHORED = False
NAMELESS = False
WANTED = 9


def solve(digits: Int64[Tensor, "B L"], mask: Bool[Tensor, "B L"], anchor: None = None) -> Int64[Tensor, " B"]:
    """1 where a digit of the bag is a nine, else 0."""
    return ((digits == WANTED) & mask).any(dim=1).long()


def infer(digits: Float[Tensor, "B L 10"], mask: Bool[Tensor, "B L"], anchor: None = None) -> Float[Tensor, "B 2"]:
    """Log-probabilities of no and yes: no image, or at least one, shows a nine."""
    return log_at_least_one(digits, mask)[:, :, WANTED]
