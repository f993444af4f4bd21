"""bags: is there a nine among the images? MNIST-bags of multiple-instance learning (Ilse et al. 2018, section 4.2)."""

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from digitset.tasks._binary import BinaryTask
from digitset.tasks._probability import log_at_least_one

WANTED = 9


class Bags(BinaryTask):
    """Lengths are uniform over 6 to 14, ten on average; the paper's are normal with mean 10 and deviation 2."""

    version = 1
    question = "Is there a 9 in the bag?"
    lengths = (6, 14)

    def target(
        self, digits: Int64[Tensor, "B L"], mask: Bool[Tensor, "B L"], anchor: Int64[Tensor, " B"] | None = None
    ) -> Int64[Tensor, " B"]:
        """1 where a digit of the bag is a nine, else 0."""
        return ((digits == WANTED) & mask).any(dim=1).long()

    def log_prob(
        self,
        digits: Float[Tensor, "B L 10"],
        mask: Bool[Tensor, "B L"],
        anchor: Float[Tensor, "B 10"] | None = None,
    ) -> Float[Tensor, "B 2"]:
        """No image shows a nine, or at least one does."""
        return log_at_least_one(digits, mask)[:, :, WANTED]
