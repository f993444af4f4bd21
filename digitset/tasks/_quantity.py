"""Tasks whose answer is a number: squared error, accuracy of the rounded number, absolute error."""

from jaxtyping import Float, Int64
from torch import Tensor

from digitset.tasks import OutputKind, Task


class QuantityTask(Task):
    """A prediction is the number itself [B], not rounded."""

    kind = "quantity"
    loss_name = "mse"
    output_size = 1

    def loss(self, output: Float[Tensor, "B 1"], target: Int64[Tensor, " B"]) -> Float[Tensor, " B"]:
        """Squared error."""
        return (output[:, 0] - target).square()

    def decode(self, output: Float[Tensor, "B _"], output_kind: OutputKind) -> Float[Tensor, " B"]:
        """The number itself, or the most probable one of a distribution (which maximises the accuracy)."""
        return output[:, 0] if output_kind == "numbers" else output.argmax(dim=1).to(output.dtype)

    def answer(self, prediction: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        """The predicted number, not rounded."""
        return prediction

    def scores(self, prediction: Float[Tensor, " B"], target: Int64[Tensor, " B"]) -> dict[str, Float[Tensor, " B"]]:
        """Accuracy (the rounded prediction equals the target), squared error and absolute error."""
        error = prediction - target
        return {
            "accuracy": (prediction.round() == target).to(prediction.dtype),
            "mse": error.square(),
            "mae": error.abs(),
        }
