"""classify: which digit is on the image? A sequence of length one."""

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from digitset.tasks import DIGITS
from digitset.tasks._classes import ClassTask


class Classify(ClassTask):
    version = 1
    question = "Which digit is it?"
    lengths = (1, 1)
    single_image = True
    output_size = DIGITS

    def target(
        self, digits: Int64[Tensor, "B L"], mask: Bool[Tensor, "B L"], anchor: Int64[Tensor, " B"] | None = None
    ) -> Int64[Tensor, " B"]:
        """The digit of the one image."""
        return (digits * mask).sum(dim=1)

    def log_prob(
        self,
        digits: Float[Tensor, "B L 10"],
        mask: Bool[Tensor, "B L"],
        anchor: Float[Tensor, "B 10"] | None = None,
    ) -> Float[Tensor, "B 10"]:
        """The log-probabilities of the one image's digit."""
        return digits[:, 0]
