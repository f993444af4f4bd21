"""What tasks have in common whose answer is one of some classes: logits, cross-entropy, accuracy."""

from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from digitset.tasks import Kind

LOSS = "cross_entropy"
DISCRETE = True


def loss(output: Float[Tensor, "B C"], target: Int64[Tensor, " B"]) -> Float[Tensor, " B"]:
    """Cross-entropy of the logits of all classes, in nats."""
    return F.cross_entropy(output, target, reduction="none")


def read(output: Float[Tensor, "B C"], kind: Kind) -> Float[Tensor, "B C"]:
    """Log-probabilities of all classes."""
    return output.log_softmax(dim=1) if kind == "numbers" else output


def answer(reading: Float[Tensor, "B C"]) -> Float[Tensor, " B"]:
    """The most probable class."""
    return reading.argmax(dim=1).to(reading.dtype)


def scores(reading: Float[Tensor, "B C"], target: Int64[Tensor, " B"]) -> dict[str, Float[Tensor, " B"]]:
    """Accuracy, and the cross-entropy in nats."""
    return {
        "accuracy": (reading.argmax(dim=1) == target).to(reading.dtype),
        "cross_entropy": F.nll_loss(reading, target, reduction="none"),
    }


def summary(reading: Float[Tensor, "B C"], target: Int64[Tensor, " B"]) -> dict[str, float]:
    return {}
