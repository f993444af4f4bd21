"""transformer_exact: self-attention as in `transformer`, then digit distributions and the rule as in `exact`."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from digitset.layers import Block, Packing, multilayer_perceptron
from digitset.models import Model
from digitset.tasks import DIGITS, Task


class TransformerExact(Model):
    """Self-attention over the sequence, the anchor among it where there is one; then the task's rule in probability.

    It differs from `exact` by the attention layers and the normalisation after them, and from `transformer` on a
    sequence without an anchor by the readout and the loss, so that the effect of each can be measured separately.
    """

    output_kind = "distribution"
    any_length = True
    permutation_invariant = True

    def __init__(
        self,
        width: int,
        task: Task,
        longest: int,
        layers: int = 1,
        heads: int = 4,
        hidden: int = 256,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if layers < 0:
            raise ValueError(f"expected layers of at least 0, got {layers}")
        self.task = task
        self.blocks = nn.ModuleList(Block(width, heads, hidden, dropout, start_as_identity=True) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = multilayer_perceptron(width, hidden, DIGITS, dropout)

    def forward(
        self, tokens: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"], anchor: Float[Tensor, "B D"] | None
    ) -> Float[Tensor, "B A"]:
        if anchor is None:
            return self.task.log_prob(self._digit_log_prob(tokens, mask), mask, None)
        joined = self._digit_log_prob(torch.cat([anchor[:, None], tokens], dim=1), F.pad(mask, (1, 0), value=True))
        return self.task.log_prob(joined[:, 1:], mask, joined[:, 0])

    def _digit_log_prob(self, tokens: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"]) -> Float[Tensor, "B L 10"]:
        packing = Packing.of(mask)
        packed = packing.pack(tokens)
        for block in self.blocks:
            packed = block(packed, packing)
        return packing.unpack(self.head(self.norm(packed)).log_softmax(dim=-1))
