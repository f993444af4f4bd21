"""exact: a distribution over ten digits for each image, and from these the answer by the task's rule in probability."""

from jaxtyping import Bool, Float
from torch import Tensor

from digitset.layers import multilayer_perceptron
from digitset.models import Model, ReadsDigits
from digitset.tasks import DIGITS, Task


class Exact(Model, ReadsDigits):
    """No attention. Only the digit of one image is learned; the gradient reaches it through the task's rule.

    The likelihood of a sum of independent digits is that of PLIA (De Smet et al. 2024, arXiv 2410.12389).
    """

    output_kind = "distribution"
    any_length = True
    permutation_invariant = True

    def __init__(self, width: int, task: Task, longest: int, hidden: int = 256, dropout: float = 0.0) -> None:
        super().__init__()
        self.task = task
        self.head = multilayer_perceptron(width, hidden, DIGITS, dropout)

    def forward(
        self, tokens: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"], anchor: Float[Tensor, "B D"] | None
    ) -> Float[Tensor, "B A"]:
        return self.task.log_prob(
            self.digit_log_prob(tokens), mask, None if anchor is None else self.digit_log_prob(anchor)
        )

    def digit_log_prob(self, tokens: Float[Tensor, "*B D"]) -> Float[Tensor, "*B 10"]:
        """Log-probabilities of the ten digits; for a label-invariant task their order is arbitrary."""
        return self.head(tokens).log_softmax(dim=-1)
