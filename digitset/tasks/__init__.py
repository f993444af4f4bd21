"""What is asked of a sequence of digits. One file is one task; it owns everything about itself.

A task is a module with the names of `Task` below. An *output* is what a model gives, of one of two kinds:

- "numbers": [B, NUMBERS], which go into the task's own loss (10 logits; one sum; one logit);
- "distribution": [B, answers(L)], log-probabilities over the finite set of answers (10 digits; sums 0..9L; no, yes),
  whose loss is the negative log-likelihood of the true answer, for every task alike.

A task also says how its answer follows from uncertain digits (`infer`), which is what `exact` models answer with.

A *reading* is what a task makes of either kind, so that all models are scored on the same footing.
"""

from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int64
from torch import Tensor

Kind = Literal["numbers", "distribution"]
DIGITS = 10


@runtime_checkable
class Task(Protocol):
    """The contract of a task. `VERSION` goes up with every change that moves a score."""

    VERSION: int
    QUESTION: str
    LENGTHS: tuple[int, int]  # shortest and longest sequence it trains on by default
    ANCHORED: bool  # whether there is an anchor image beside the sequence
    NUMBERS: int  # how many numbers a model answers with
    LOSS: str  # the score that a table shows as the loss
    DISCRETE: bool  # whether answers are classes (a confusion matrix makes sense)
    NAMELESS: bool  # whether calling the digits by other names changes no answer

    def answers(self, longest: int) -> int:
        """How many answers are possible for sequences of up to `longest` images: they are 0 .. answers - 1."""
        ...

    def solve(
        self, digits: Int64[Tensor, "B L"], mask: Bool[Tensor, "B L"], anchor: Int64[Tensor, " B"] | None
    ) -> Int64[Tensor, " B"]:
        """The rule itself, in digits: the true answer."""
        ...

    def infer(
        self,
        digits: Float[Tensor, "B L 10"],
        mask: Bool[Tensor, "B L"],
        anchor: Float[Tensor, "B 10"] | None,
    ) -> Float[Tensor, "B A"]:
        """The rule in probability: log-probabilities of all answers, given those of each image's digit.

        Images are independent. On certain digits it is `solve`.
        """
        ...

    def loss(self, output: Float[Tensor, "B K"], target: Int64[Tensor, " B"]) -> Float[Tensor, " B"]:
        """The training loss of each example, for outputs of the kind "numbers"."""
        ...

    def read(self, output: Float[Tensor, "B _"], kind: Kind) -> Float[Tensor, "B *_"]:
        """The reading of an output of either kind."""
        ...

    def answer(self, reading: Float[Tensor, "B *_"]) -> Float[Tensor, " B"]:
        """What a person is told: the digit, the sum, the probability of yes."""
        ...

    def scores(self, reading: Float[Tensor, "B *_"], target: Int64[Tensor, " B"]) -> dict[str, Float[Tensor, " B"]]:
        """Scores of each example, whose means are reported; "accuracy" is one of them, `LOSS` another."""
        ...

    def summary(self, reading: Float[Tensor, "B *_"], target: Int64[Tensor, " B"]) -> dict[str, float]:
        """Scores of a whole set that are no means over examples, such as the AUC."""
        ...


def training_loss(
    task: Task, kind: Kind, output: Float[Tensor, "B _"], target: Int64[Tensor, " B"]
) -> Float[Tensor, " B"]:
    """The loss of each example for an output of either kind."""
    if kind == "numbers":
        return task.loss(output, target)
    return -output.gather(1, target[:, None])[:, 0]


def probabilities(task: Task, kind: Kind, output: Float[Tensor, "B _"]) -> Float[Tensor, "B A"] | None:
    """Those of all answers 0 .. A - 1; None for numbers that say nothing of any."""
    reading = output if kind == "distribution" else task.read(output, kind)
    return reading.exp() if reading.dim() == 2 else None
