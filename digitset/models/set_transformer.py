"""set_transformer: attention through inducing points, pooling by attention (Lee et al. 2019, arXiv 1810.00825)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from digitset.layers import Attention, Packing, beside_anchor, multilayer_perceptron, width_beside_anchor
from digitset.models import Attends, Model
from digitset.tasks import Task


class SetTransformer(Model, Attends):
    """ISAB, ISAB, PMA with one seed, SAB, linear: the paper's encoder and decoder (equations 6 to 13).

    Its cost is linear in the length. Pooling by attention is a mean, which loses the number of images. For a
    quantity, the head's output is therefore multiplied by the number of images. With an anchor, the sequence is of
    images compared with it. Differs from the paper in the encoder, and in the residual, which adds the query before its
    projection, not after.
    """

    output_kind = "numbers"
    any_length = True
    permutation_invariant = True

    def __init__(
        self, width: int, task: Task, longest: int, heads: int = 4, hidden: int = 256, inducing: int = 16
    ) -> None:
        super().__init__()
        self.counts = task.kind == "quantity"
        self.project = nn.Linear(width_beside_anchor(width, task.anchored), width)
        self.layers = nn.ModuleList(_InducedBlock(width, heads, hidden, inducing) for _ in range(2))
        self.seed = nn.Parameter(torch.randn(1, width) * width**-0.5)
        self.pooling = _AttentionBlock(width, heads, hidden)
        self.refined = _AttentionBlock(width, heads, hidden)
        self.head = nn.Linear(width, task.output_size)

    def forward(
        self, tokens: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"], anchor: Float[Tensor, "B D"] | None
    ) -> Float[Tensor, "B K"]:
        packing = Packing.of(mask)
        packed = self._encoded(tokens, packing, anchor)
        pooled = self.pooling(self.seed[None], packed, packing)
        answer = self.head(self.refined(pooled, pooled)[:, 0])
        return answer * mask.sum(dim=1, keepdim=True) if self.counts else answer

    def attention(
        self, tokens: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"], anchor: Float[Tensor, "B D"] | None
    ) -> Float[Tensor, "B H L"]:
        """The attention of the pooling seed."""
        packing = Packing.of(mask)
        packed = self._encoded(tokens, packing, anchor)
        return self.pooling.attention.weights(self.seed[None], packed, packing)[:, :, 0]

    def _encoded(
        self, tokens: Float[Tensor, "B L D"], packing: Packing, anchor: Float[Tensor, "B D"] | None
    ) -> Float[Tensor, "T D"]:
        packed = self.project(packing.pack(beside_anchor(tokens, anchor)))
        for layer in self.layers:
            packed = layer(packed, packing)
        return packed


class _AttentionBlock(nn.Module):
    """MAB: attention from queries to a context, then a perceptron, each with a residual and normalised after it."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.attention_norm = nn.LayerNorm(width)
        self.perceptron = multilayer_perceptron(width, hidden, width, dropout=0.0)
        self.perceptron_norm = nn.LayerNorm(width)

    def forward(self, query: Tensor, context: Tensor, packing: Packing | None = None) -> Tensor:
        attended = self.attention_norm(query + self.attention(query, context, packing))
        return self.perceptron_norm(attended + self.perceptron(attended))


class _InducedBlock(nn.Module):
    """ISAB: a few learned vectors attend to the sequence, then the sequence attends to them."""

    def __init__(self, width: int, heads: int, hidden: int, inducing: int) -> None:
        super().__init__()
        if inducing < 1:
            raise ValueError(f"expected inducing points of at least 1, got {inducing}")
        self.points = nn.Parameter(torch.randn(inducing, width) * width**-0.5)
        self.gather = _AttentionBlock(width, heads, hidden)
        self.spread = _AttentionBlock(width, heads, hidden)

    def forward(self, packed: Float[Tensor, "T D"], packing: Packing) -> Float[Tensor, "T D"]:
        gathered = self.gather(self.points[None], packed, packing)
        return self.spread(packed, gathered, packing)
