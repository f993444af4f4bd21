"""What tasks have in common whose answer is yes or no: a logit, binary cross-entropy, accuracy and AUC."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from digitset.tasks import Kind

NUMBERS = 1
LOSS = "bce"
DISCRETE = True


def answers(longest: int) -> int:
    return 2


def loss(output: Float[Tensor, "B 1"], target: Int64[Tensor, " B"]) -> Float[Tensor, " B"]:
    """Binary cross-entropy of one logit, in nats."""
    return F.binary_cross_entropy_with_logits(output[:, 0], target.to(output.dtype), reduction="none")


def read(output: Float[Tensor, "B _"], kind: Kind) -> Float[Tensor, "B 2"]:
    """Log-probabilities of no and yes."""
    if kind == "distribution":
        return output
    return F.logsigmoid(torch.cat([-output, output], dim=1))


def answer(reading: Float[Tensor, "B 2"]) -> Float[Tensor, " B"]:
    """The probability of yes."""
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
