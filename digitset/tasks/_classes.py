"""Tasks whose answer is one of some classes, or a small count: logits, cross-entropy, accuracy."""

from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from digitset.tasks import OutputKind, Task


class ClassTask(Task):
    """A prediction is the log-probabilities of all classes [B, C]."""

    kind = "classes"
    loss_name = "cross_entropy"

    def answer_count(self, longest: int) -> int:
        return self.output_size

    def loss(self, output: Float[Tensor, "B C"], target: Int64[Tensor, " B"]) -> Float[Tensor, " B"]:
        """Cross-entropy of the logits of all classes, in nats."""
        return F.cross_entropy(output, target, reduction="none")

    def decode(self, output: Float[Tensor, "B C"], output_kind: OutputKind) -> Float[Tensor, "B C"]:
        """Log-probabilities of all classes."""
        return output.log_softmax(dim=1) if output_kind == "numbers" else output

    def answer(self, prediction: Float[Tensor, "B C"]) -> Float[Tensor, " B"]:
        """The most probable class."""
        return prediction.argmax(dim=1).to(prediction.dtype)

    def scores(self, prediction: Float[Tensor, "B C"], target: Int64[Tensor, " B"]) -> dict[str, Float[Tensor, " B"]]:
        """Accuracy, and the cross-entropy in nats."""
        return {
            "accuracy": (prediction.argmax(dim=1) == target).to(prediction.dtype),
            "cross_entropy": F.nll_loss(prediction, target, reduction="none"),
        }


class CountTask(ClassTask):
    """Each count is a class of its own; unlike classes, counts can be added and subtracted."""

    kind = "count"
