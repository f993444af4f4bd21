"""Tasks whose answer is no or yes: one logit, binary cross-entropy, accuracy and AUC."""

from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from digitset.tasks import OutputKind, Task


class BinaryTask(Task):
    """A prediction is the log-probabilities of no and yes [B, 2]."""

    kind = "binary"
    loss_name = "bce"
    output_size = 1

    def answer_count(self, longest: int) -> int:
        return 2

    def loss(self, output: Float[Tensor, "B 1"], target: Int64[Tensor, " B"]) -> Float[Tensor, " B"]:
        """Binary cross-entropy of one logit, in nats."""
        return F.binary_cross_entropy_with_logits(output[:, 0], target.to(output.dtype), reduction="none")

    def decode(self, output: Float[Tensor, "B _"], output_kind: OutputKind) -> Float[Tensor, "B 2"]:
        """Log-probabilities of no and yes."""
        if output_kind == "distribution":
            return output
        return F.logsigmoid(torch.cat([-output, output], dim=1))

    def answer(self, prediction: Float[Tensor, "B 2"]) -> Float[Tensor, " B"]:
        """The probability of yes."""
        return prediction[:, 1].exp()

    def scores(self, prediction: Float[Tensor, "B 2"], target: Int64[Tensor, " B"]) -> dict[str, Float[Tensor, " B"]]:
        """Accuracy (the answer is yes above one half), and the binary cross-entropy in nats."""
        return {
            "accuracy": ((prediction[:, 1] > prediction[:, 0]).long() == target).to(prediction.dtype),
            "bce": F.nll_loss(prediction, target, reduction="none"),
        }

    def set_scores(self, prediction: Float[Tensor, "B 2"], target: Int64[Tensor, " B"]) -> dict[str, float]:
        """The area under the ROC curve (Mann-Whitney U).

        It is the fraction of pairs of a yes and a no in which the yes has the higher score; a tie counts one half.
        """
        positive = int(target.sum())
        negative = len(target) - positive
        if positive == 0 or negative == 0:
            return {"auc": float("nan")}
        # Log-odds separate what probabilities next to 0 or 1 would make equal; -inf and inf stay in order.
        log_odds = prediction[:, 1] - prediction[:, 0]
        unique = cast(Callable[..., tuple[Tensor, Tensor, Tensor]], torch.unique)
        _, rank_of, ties = unique(log_odds, return_inverse=True, return_counts=True)
        last = ties.cumsum(0).double()
        rank = (last - (ties - 1) / 2)[rank_of]  # the mean rank of equal values, from 1
        above = rank[target == 1].sum() - positive * (positive + 1) / 2
        return {"auc": float(above / (positive * negative))}
