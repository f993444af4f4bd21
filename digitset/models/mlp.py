"""mlp: the fully connected baseline, on the concatenated vectors of a sequence of fixed length."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from digitset.layers import multilayer_perceptron
from digitset.models import Model
from digitset.tasks import Task


class Mlp(Model):
    """Concatenates `longest` vectors (zeros after a shorter sequence; the anchor's first) -> hidden layer -> answer.

    For `classify`, where one vector is all there is, it is the plain classification head on the encoder. Difference
    from kobybibas/vit_for_mnist: padding is zeros after the encoder, not grey images before it.
    """

    output_kind = "numbers"
    any_length = False
    permutation_invariant = False

    def __init__(self, width: int, task: Task, longest: int, hidden: int = 256, dropout: float = 0.0) -> None:
        super().__init__()
        self.longest = longest
        self.layers = multilayer_perceptron((longest + task.anchored) * width, hidden, task.output_size, dropout)

    def forward(
        self, tokens: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"], anchor: Float[Tensor, "B D"] | None
    ) -> Float[Tensor, "B K"]:
        row = tokens.masked_fill(~mask[:, :, None], 0)
        row = F.pad(row, (0, 0, 0, self.longest - row.shape[1])).flatten(1)
        return self.layers(row if anchor is None else torch.cat([anchor, row], dim=1))
