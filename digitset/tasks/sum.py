"""sum: what is the sum of the digits of the sequence?"""

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from digitset.tasks._probability import log_distribution_of_sum
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
        """The distribution of the sum of independent digits (PLIA, arXiv 2410.12389). Padding is a certain zero."""
        return log_distribution_of_sum(digits, mask)
