"""maximum: which is the largest digit of the sequence?"""

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from digitset.tasks import DIGITS
from digitset.tasks._classes import ClassTask
from digitset.tasks._probability import log_distribution_of_maximum


class Maximum(ClassTask):
    version = 1
    question = "What is the largest digit?"
    lengths = (1, 10)
    output_size = DIGITS

    def target(
        self, digits: Int64[Tensor, "B L"], mask: Bool[Tensor, "B L"], anchor: Int64[Tensor, " B"] | None = None
    ) -> Int64[Tensor, " B"]:
        """The largest digit."""
        return (digits * mask).amax(dim=1)

    def log_prob(
        self,
        digits: Float[Tensor, "B L 10"],
        mask: Bool[Tensor, "B L"],
        anchor: Float[Tensor, "B 10"] | None = None,
    ) -> Float[Tensor, "B 10"]:
        """The distribution of the maximum of independent digits. Padding is a certain zero."""
        return log_distribution_of_maximum(digits, mask)
