"""How the vectors of a sequence become an answer. A file is a model: a subclass of `Model`, named like the file.

Offers `Model`, the contract; `Attends`, `SelfAttends` and `ReadsDigits`, optional interfaces of a model;
`load_model(name)`, the one way to a model's class. `tests/contract.py` checks every file here.
"""

import functools
from abc import ABC, abstractmethod
from typing import ClassVar

from jaxtyping import Bool, Float
from torch import Tensor, nn

from digitset import registry
from digitset.tasks import OutputKind


class Model(nn.Module, ABC):
    """The contract of a model.

    The constructor takes `width` (the length of a vector), `task` (see `digitset.tasks.Task`), `longest` (the longest
    sequence of training) and options of its own, all with defaults. What lies outside the mask changes nothing, and
    neither do the other sequences of a batch.
    """

    output_kind: ClassVar[OutputKind]
    """Whether `forward` gives numbers for the task's own loss, or log-probabilities of all answers."""
    any_length: ClassVar[bool]
    """Whether it takes sequences longer than those of training; if not, longer ones are refused."""
    permutation_invariant: ClassVar[bool]
    """Whether the answer is independent of the order of the images."""
    uses_images: ClassVar[bool] = True
    """False for a baseline that does not use the images."""

    @abstractmethod
    def forward(
        self, tokens: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"], anchor: Float[Tensor, "B D"] | None
    ) -> Float[Tensor, "B _"]:
        """The output for B sequences of L vectors, padding included.

        `mask` is True where there is an image. `anchor` is the anchor's vector, or None for a task without anchor.
        """


class Attends(ABC):
    """Interface of a model whose attention over a sequence can be shown."""

    @abstractmethod
    def attention(
        self, tokens: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"], anchor: Float[Tensor, "B D"] | None
    ) -> Float[Tensor, "B H L"]:
        """The weight of each image in each head: from the anchor or, without one, on average over the images."""


class SelfAttends(Attends):
    """Interface of a model with self-attention between the images."""

    @abstractmethod
    def self_attention(
        self, tokens: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"]
    ) -> list[Float[Tensor, "B H L L"]]:
        """The weights of each self-attention layer, from each image (row) to each image (column)."""


class ReadsDigits(ABC):
    """Interface of a model that predicts a distribution over the ten digits for each image separately."""

    @abstractmethod
    def digit_log_prob(self, tokens: Float[Tensor, "*B D"]) -> Float[Tensor, "*B 10"]:
        """Log-probabilities of the ten digits. For a label-invariant task the digits come in any order."""


@functools.cache
def load_model(name: str) -> type[Model]:
    """The class of this name. Raises InputError, which lists the known ones, if there is none."""
    return registry.find("models", name, Model)
