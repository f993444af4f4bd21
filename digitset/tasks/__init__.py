"""What is asked of a sequence of digits. Each file is one task: its rule, the rule in probability, loss and scores.

Offers `Task`, the contract; `load_task(name)`, the one way to a task; `DIGITS`, how many digits there are.

A model's *output* is of one of two kinds:

- "numbers": [B, output_size], for the task's own loss (10 logits; one sum; one logit);
- "distribution": [B, answer_count(L)], log-probabilities of all answers (10 digits; sums 0..9L; no and yes). Its loss
  is the negative log-likelihood of the true answer, for every task.

`decode` turns either into a *prediction*, so that all models are scored in the same way.
"""

import functools
from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from digitset import registry

OutputKind = Literal["numbers", "distribution"]
Kind = Literal["binary", "classes", "count", "quantity"]
DIGITS = 10


class Task(ABC):
    """The contract of a task.

    A task subclasses the base of its kind, which brings the loss, the decoding and the scores:

    - `digitset.tasks._binary.BinaryTask`: no or yes;
    - `digitset.tasks._classes.ClassTask`: one of some classes, such as a digit;
    - `digitset.tasks._classes.CountTask`: a small whole number, treated as classes;
    - `digitset.tasks._quantity.QuantityTask`: a number, by squared error.
    """

    kind: ClassVar[Kind]
    """The kind of answer. Figures, pages and the demo depend on it, not on the task's name."""
    loss_name: ClassVar[str]
    """The score that a table shows as the loss."""
    output_size: ClassVar[int]
    """How many numbers a model answers with, if its output is numbers."""

    version: ClassVar[int]
    """Raised by every change that changes a score."""
    question: ClassVar[str]
    """What is asked, in words."""
    lengths: ClassVar[tuple[int, int]]
    """The shortest and the longest sequence of training, by default."""
    single_image: ClassVar[bool] = False
    """Whether a sequence is always one image."""
    anchored: ClassVar[bool] = False
    """Whether the question is about an anchor: one more image beside the sequence."""
    label_invariant: ClassVar[bool] = False
    """Whether renaming the digits (all 2s to 3s and so on) changes no answer."""

    def __repr__(self) -> str:
        return f"task {self.name}: {self.question}"

    @property
    def name(self) -> str:
        """The name of the task's file."""
        return type(self).__module__.rpartition(".")[2]

    @abstractmethod
    def answer_count(self, longest: int) -> int:
        """The number of possible answers for sequences of up to `longest` images: they are 0 .. count - 1."""

    @abstractmethod
    def target(
        self, digits: Int64[Tensor, "B L"], mask: Bool[Tensor, "B L"], anchor: Int64[Tensor, " B"] | None
    ) -> Int64[Tensor, " B"]:
        """The rule itself: the true answer, from the digits. Padding (mask False) must not matter."""

    @abstractmethod
    def log_prob(
        self, digits: Float[Tensor, "B L 10"], mask: Bool[Tensor, "B L"], anchor: Float[Tensor, "B 10"] | None
    ) -> Float[Tensor, "B A"]:
        """The rule in probability: log-probabilities of all answers, from those of each image's digit.

        Images are taken as independent. For digits that are certain, this is `target`. It is right also for improbable
        answers; an impossible one has a finite log, -1e30.
        """

    @abstractmethod
    def loss(self, output: Float[Tensor, "B K"], target: Int64[Tensor, " B"]) -> Float[Tensor, " B"]:
        """The training loss of each example, for an output of numbers."""

    @abstractmethod
    def decode(self, output: Float[Tensor, "B _"], output_kind: OutputKind) -> Float[Tensor, "B *_"]:
        """The prediction that an output of either kind makes."""

    @abstractmethod
    def answer(self, prediction: Float[Tensor, "B *_"]) -> Float[Tensor, " B"]:
        """The answer that a person is told: the class, the count, the quantity, the probability of yes."""

    @abstractmethod
    def scores(self, prediction: Float[Tensor, "B *_"], target: Int64[Tensor, " B"]) -> dict[str, Float[Tensor, " B"]]:
        """The scores of each example, whose means are reported; among them "accuracy" and `loss_name`."""

    def set_scores(self, prediction: Float[Tensor, "B *_"], target: Int64[Tensor, " B"]) -> dict[str, float]:
        """Scores of a whole set that are not means over examples, such as the AUC."""
        return {}

    def training_loss(
        self, output: Float[Tensor, "B _"], output_kind: OutputKind, target: Int64[Tensor, " B"]
    ) -> Float[Tensor, " B"]:
        """The training loss of each example, for an output of either kind."""
        if output_kind == "numbers":
            return self.loss(output, target)
        return -output.gather(1, target[:, None])[:, 0]

    def probabilities(self, output: Float[Tensor, "B _"], output_kind: OutputKind) -> Float[Tensor, "B A"] | None:
        """The probabilities of all answers 0 .. A - 1; None if the output does not give them."""
        if output_kind == "distribution":
            return output.exp()
        return None if self.kind == "quantity" else self.decode(output, output_kind).exp()


@functools.cache
def load_task(name: str) -> Task:
    """The task of this name. Raises InputError, which lists the known ones, if there is none."""
    return registry.find("tasks", name, Task)()  # pyright: ignore[reportAbstractUsage]
