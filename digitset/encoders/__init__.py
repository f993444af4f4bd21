"""How one image becomes a vector. A file is an encoder: a subclass of `Encoder`, named like the file.

Offers `Encoder`, the contract; `LooksAtPlaces`, an optional interface of an encoder; `load_encoder(name)`, the one way
to an encoder's class.
"""

import functools
from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from digitset import registry


class Encoder(nn.Module, ABC):
    """The contract of an encoder.

    The constructor takes `width` (the length of the vector) and options of its own, all with defaults.
    """

    @abstractmethod
    def forward(self, images: Float[Tensor, "N 1 28 28"]) -> Float[Tensor, "N D"]:
        """The vector of each image. Ink is 1 and paper is 0."""


class LooksAtPlaces(ABC):
    """Interface of an encoder whose attention over the places of an image can be shown.

    Its T tokens stand for the squares of a G x G grid over the image, row by row; T is G^2.
    """

    @abstractmethod
    def attention(
        self, images: Float[Tensor, "N 1 28 28"]
    ) -> tuple[list[Float[Tensor, "N H T T"]], Float[Tensor, "N K T"]]:
        """The weights of each self-attention layer, H heads from token (row) to token, and of K heads that pool them.

        All are at least 0 and sum to 1 over the last axis.
        """


@functools.cache
def load_encoder(name: str) -> type[Encoder]:
    """The class of this name. Raises InputError, which lists the known ones, if there is none."""
    return registry.find("encoders", name, Encoder)
