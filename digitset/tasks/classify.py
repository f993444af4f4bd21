"""classify: which digit is on the image? A sequence of length one."""

from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from digitset.tasks import Kind

VERSION = 1
QUESTION = "Which digit is it?"
LENGTHS = (1, 1)
ANCHORED = False
NUMBERS = 10
LOSS = "cross_entropy"
DISCRETE = True
NAMELESS = False


def answers(longest: int) -> int:
    return 10


def solve(digits: Int64[Tensor, "B L"], mask: Bool[Tensor, "B L"], anchor: None = None) -> Int64[Tensor, " B"]:
    """The digit of the one image."""
    return (digits * mask).sum(dim=1)


def infer(digits: Float[Tensor, "B L 10"], mask: Bool[Tensor, "B L"], anchor: None = None) -> Float[Tensor, "B 10"]:
    """The posterior of the one image."""
    return digits[:, 0]


def loss(output: Float[Tensor, "B 10"], target: Int64[Tensor, " B"]) -> Float[Tensor, " B"]:
    """Cross-entropy of ten logits, in nats."""
    return F.cross_entropy(output, target, reduction="none")


def read(output: Float[Tensor, "B 10"], kind: Kind) -> Float[Tensor, "B 10"]:
    """Log-probabilities of the ten digits."""
    return output.log_softmax(dim=1) if kind == "numbers" else output


def answer(reading: Float[Tensor, "B 10"]) -> Float[Tensor, " B"]:
    """The most probable digit."""
    return reading.argmax(dim=1).to(reading.dtype)


def scores(reading: Float[Tensor, "B 10"], target: Int64[Tensor, " B"]) -> dict[str, Float[Tensor, " B"]]:
    """Accuracy, and the cross-entropy in nats."""
    return {
        "accuracy": (reading.argmax(dim=1) == target).to(reading.dtype),
        "cross_entropy": F.nll_loss(reading, target, reduction="none"),
    }


def summary(reading: Float[Tensor, "B 10"], target: Int64[Tensor, " B"]) -> dict[str, float]:
    return {}
