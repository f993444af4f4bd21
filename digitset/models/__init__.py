"""How the vectors of a sequence become an answer. One file is one model: `class Name(nn.Module)`, named like the file.

The contract, which `tests/contract.py` checks for every file here:

- the constructor takes `width` (of a vector), `task` (see `digitset.tasks.Task`), `longest` (the longest sequence it
  will be trained on) and options of its own, all with defaults;
- `forward(tokens, mask, anchor)` gives an output of the kind that `output` names; where the task is anchored, the
  anchor's vector comes as `anchor`, else None;
- what lies outside the mask changes nothing, and neither do the other sequences of a batch.
"""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor

from digitset.tasks import Kind


@runtime_checkable
class Model(Protocol):
    """The contract of a model: an `nn.Module` with these declarations as class attributes.

    A model that attends may also have `attention`, with the arguments of `forward`: the weights [B, H, L] that each
    head gives to the images of the sequence, from the anchor or, without one, on average over the images that attend.
    One that reads a posterior from each image alone may have `posteriors(tokens)`: log-probabilities [N, 10].
    """

    output: Kind
    extrapolates: bool  # takes sequences longer than it was trained on; else longer ones are refused
    symmetric: bool  # the order of a sequence changes nothing
    sees_images: bool  # False for a floor, which answers without looking

    def __call__(
        self, tokens: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"], anchor: Float[Tensor, "B D"] | None
    ) -> Float[Tensor, "B _"]:
        """The output for B sequences of L vectors, padding included."""
        ...

    def parameters(self) -> Any: ...
