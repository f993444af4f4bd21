"""constant: the floor. It answers from the length of a sequence alone and never looks at an image."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from digitset.tasks import Kind, Task

SCALE = 32.0  # of what it reads, so that a few hundred small steps of Adam can reach 4.5 a digit


class Constant(nn.Module):
    """A linear function of the length and its logarithm: what can be known without reading a single digit.

    For `sum` that is 4.5 a digit; for `contains` the chance of a match grows with the length.
    """

    output: Kind = "numbers"
    extrapolates = True
    symmetric = True
    sees_images = False

    def __init__(self, width: int, task: Task, longest: int) -> None:
        super().__init__()
        self.readout = nn.Linear(2, task.NUMBERS)

    def forward(
        self, tokens: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"], anchor: Float[Tensor, "B D"] | None
    ) -> Float[Tensor, "B K"]:
        length = mask.sum(dim=1, dtype=tokens.dtype)
        return self.readout(SCALE * torch.stack([length, length.log()], dim=1))
