"""sum: what is the sum of the digits of the sequence?"""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from digitset.tasks import DIGITS
from digitset.tasks._probability import distribution_of_sum
from digitset.tasks._quantity import QuantityTask


class Sum(QuantityTask):
    """Squared error, decoding and scores are those of every quantity: `_quantity.py`."""

    version = 1
    question = "What is the sum of the digits?"
    lengths = (1, 10)

    def answer_count(self, longest: int) -> int:
        return 9 * longest + 1

    def target(
        self, digits: Int64[Tensor, "B L"], mask: Bool[Tensor, "B L"], anchor: Int64[Tensor, " B"] | None = None
    ) -> Int64[Tensor, " B"]:
        """The sum over the sequence."""
        return (digits * mask).sum(dim=1)

    def log_prob(
        self,
        digits: Float[Tensor, "B L 10"],
        mask: Bool[Tensor, "B L"],
        anchor: Float[Tensor, "B 10"] | None = None,
    ) -> Float[Tensor, "B A"]:
        """The distribution of the sum of independent digits (PLIA, arXiv 2410.12389). Padding is a certain zero.

        A probability too small for float32 is taken as its smallest normal number, 1e-38.
        """
        zero = torch.arange(DIGITS, device=digits.device) == 0
        probabilities = digits.exp().where(mask[:, :, None], zero.to(digits.dtype))
        return distribution_of_sum(probabilities).clamp(min=torch.finfo(digits.dtype).tiny).log()
