"""contains: does the anchor's digit occur in the sequence?"""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from digitset.probability import log_complement, log_others
from digitset.tasks import Kind

VERSION = 1
QUESTION = "Does the anchor's digit occur in the sequence?"
LENGTHS = (1, 10)
ANCHORED = True
NUMBERS = 1
LOSS = "bce"
DISCRETE = True
NAMELESS = True


def answers(longest: int) -> int:
    return 2


def solve(digits: Int64[Tensor, "B L"], mask: Bool[Tensor, "B L"], anchor: Int64[Tensor, " B"]) -> Int64[Tensor, " B"]:
    """1 where a digit of the sequence equals the anchor's, else 0."""
    return ((digits == anchor[:, None]) & mask).any(dim=1).long()


def infer(
    digits: Float[Tensor, "B L 10"], mask: Bool[Tensor, "B L"], anchor: Float[Tensor, "B 10"]
) -> Float[Tensor, "B 2"]:
    """Log-probabilities of no and yes: for each digit that the anchor may be, no image, or at least one, shows it."""
    none_is = log_others(digits).masked_fill(~mask[:, :, None], 0).sum(dim=1)
    return torch.stack([none_is, log_complement(none_is)], dim=1).add(anchor[:, None]).logsumexp(dim=2)


def loss(output: Float[Tensor, "B 1"], target: Int64[Tensor, " B"]) -> Float[Tensor, " B"]:
    """Binary cross-entropy of one logit, in nats."""
    return F.binary_cross_entropy_with_logits(output[:, 0], target.to(output.dtype), reduction="none")


def read(output: Float[Tensor, "B _"], kind: Kind) -> Float[Tensor, "B 2"]:
    """Log-probabilities of no and yes."""
    if kind == "distribution":
        return output
    return F.logsigmoid(torch.cat([-output, output], dim=1))


def answer(reading: Float[Tensor, "B 2"]) -> Float[Tensor, " B"]:
    """The probability that the digit occurs."""
    return reading[:, 1].exp()


def scores(reading: Float[Tensor, "B 2"], target: Int64[Tensor, " B"]) -> dict[str, Float[Tensor, " B"]]:
    """Accuracy (yes is said above one half), and the binary cross-entropy in nats."""
    return {
        "accuracy": ((reading[:, 1] > reading[:, 0]).long() == target).to(reading.dtype),
        "bce": F.nll_loss(reading, target, reduction="none"),
    }


def summary(reading: Float[Tensor, "B 2"], target: Int64[Tensor, " B"]) -> dict[str, float]:
    """The area under the ROC curve: the chance that a yes is ranked above a no, ties counting half (Mann-Whitney U)."""
    positive = int(target.sum())
    negative = len(target) - positive
    if positive == 0 or negative == 0:
        return {"auc": float("nan")}
    # The log-odds keep apart what probabilities next to 0 or 1 would make equal; -inf and inf stay in order.
    _, rank_of, ties = (reading[:, 1] - reading[:, 0]).unique(return_inverse=True, return_counts=True)
    last = ties.cumsum(0).double()
    rank = (last - (ties - 1) / 2)[rank_of]  # the mean rank of equal values, from 1
    above = rank[target == 1].sum() - positive * (positive + 1) / 2
    return {"auc": float(above / (positive * negative))}
