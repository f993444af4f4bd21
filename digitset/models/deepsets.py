"""deepsets: a function of each image, their sum or mean, a function of that (Zaheer et al. 2017, arXiv 1703.06114)."""

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor, nn

from digitset.layers import Packing, beside_anchor, multilayer_perceptron, width_beside_anchor
from digitset.models import Model
from digitset.tasks import Task


class DeepSets(Model):
    """rho(sum of phi(x)): phi and rho are perceptrons; where the answer is a quantity, rho is linear, as in the paper.

    With an anchor, the input of phi is each image compared with it. Differs from the paper in the encoder, and in a
    perceptron for phi where the paper's digits have one layer.
    """

    output_kind = "numbers"
    any_length = True
    permutation_invariant = True

    def __init__(
        self,
        width: int,
        task: Task,
        longest: int,
        hidden: int = 256,
        pool: Literal["sum", "mean"] = "sum",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if pool not in ("sum", "mean"):
            raise ValueError(f"deepsets: expected pool 'sum' or 'mean', got '{pool}'")
        self.pool = pool
        self.phi = multilayer_perceptron(width_beside_anchor(width, task.anchored), hidden, hidden, dropout)
        if task.kind != "quantity":
            self.rho = nn.Sequential(
                nn.LayerNorm(hidden), multilayer_perceptron(hidden, hidden, task.output_size, dropout)
            )
        else:
            self.rho = nn.Linear(hidden, task.output_size)

    def forward(
        self, tokens: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"], anchor: Float[Tensor, "B D"] | None
    ) -> Float[Tensor, "B K"]:
        packing = Packing.of(mask)
        pooled = packing.unpack(self.phi(packing.pack(beside_anchor(tokens, anchor)))).sum(dim=1)
        if self.pool == "mean":
            pooled = pooled / mask.sum(dim=1, keepdim=True)
        return self.rho(pooled)
