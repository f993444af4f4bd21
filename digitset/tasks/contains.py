"""contains: does the anchor's digit occur in the sequence?"""

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from digitset.probability import log_at_least_one
from digitset.tasks._yes_no import DISCRETE, LOSS, NUMBERS, answer, answers, loss, read, scores, summary

VERSION = 1
QUESTION = "Does the anchor's digit occur in the sequence?"
LENGTHS = (1, 10)
ANCHORED = True
NAMELESS = True


def solve(digits: Int64[Tensor, "B L"], mask: Bool[Tensor, "B L"], anchor: Int64[Tensor, " B"]) -> Int64[Tensor, " B"]:
    """1 where a digit of the sequence equals the anchor's, else 0."""
    return ((digits == anchor[:, None]) & mask).any(dim=1).long()


def infer(
    digits: Float[Tensor, "B L 10"], mask: Bool[Tensor, "B L"], anchor: Float[Tensor, "B 10"]
) -> Float[Tensor, "B 2"]:
    """Log-probabilities of no and yes: for each digit that the anchor may be, no image, or at least one, shows it."""
    return log_at_least_one(digits, mask).add(anchor[:, None]).logsumexp(dim=2)
