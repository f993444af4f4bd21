"""gru: a recurrent network over the sequence (Cho et al. 2014, arXiv 1406.1078), or an LSTM (`cell`)."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from digitset.layers import beside_anchor, multilayer_perceptron, width_beside_anchor
from digitset.models import Model
from digitset.tasks import Task


class Gru(Model):
    """Reads images in their order; a perceptron answers from the state after the last one.

    With two `directions`, a second network reads from the last image to the first, and the answer is from both. With
    an anchor, the input is each image compared with it. Padding comes after a sequence; the states there are not used.
    """

    output_kind = "numbers"
    any_length = True
    permutation_invariant = False

    def __init__(
        self,
        width: int,
        task: Task,
        longest: int,
        hidden: int = 128,
        cell: Literal["gru", "lstm"] = "gru",
        directions: Literal[1, 2] = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if cell not in ("gru", "lstm"):
            raise ValueError(f"gru: expected cell 'gru' or 'lstm', got '{cell}'")
        if directions not in (1, 2):
            raise ValueError(f"gru: expected directions 1 or 2, got {directions}")
        kind = nn.GRU if cell == "gru" else nn.LSTM
        inputs = width_beside_anchor(width, task.anchored)
        self.forwards = kind(inputs, hidden, batch_first=True)
        self.backwards = kind(inputs, hidden, batch_first=True) if directions == 2 else None
        self.head = multilayer_perceptron(directions * hidden, hidden, task.output_size, dropout)

    def forward(
        self, tokens: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"], anchor: Float[Tensor, "B D"] | None
    ) -> Float[Tensor, "B K"]:
        row = beside_anchor(tokens, anchor).masked_fill(~mask[:, :, None], 0)
        last = mask.sum(dim=1) - 1
        state = _after(self.forwards, row, last)
        if self.backwards is not None:
            turned = (last[:, None] - torch.arange(row.shape[1], device=row.device)).clamp(min=0)
            turned = row.gather(1, turned[:, :, None].expand_as(row))
            state = torch.cat([state, _after(self.backwards, turned, last)], dim=1)
        return self.head(state)


def _after(network: nn.Module, row: Float[Tensor, "B L E"], last: Tensor) -> Float[Tensor, "B H"]:
    """The state after the last image of each sequence."""
    states, _ = network(row)
    return states.gather(1, last[:, None, None].expand(-1, -1, states.shape[2]))[:, 0]
