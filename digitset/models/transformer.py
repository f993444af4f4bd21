"""transformer: self-attention over a sequence; cross-attention from the anchor to it where there is one."""

from typing import cast

from jaxtyping import Bool, Float
from torch import Tensor, nn

from digitset.errors import InputError
from digitset.layers import Attention, Block, Levels, Packing, compared, multilayer_perceptron, width_beside_anchor
from digitset.models import Model, SelfAttends
from digitset.tasks import Task


class Transformer(Model, SelfAttends):
    """Self-attention layers without positions, then a head; the order of a sequence has no effect.

    Without an anchor, the head is applied to each token and the results are summed, so that a sum of digits can grow
    with the length. For a quantity, a token's number is a mixture of learned levels (`digitset.layers.Levels`). With an
    anchor, one cross-attention layer attends from the anchor to the sequence, and the head compares the anchor with the
    result. kobybibas/vit_for_mnist instead has a linear head after a mean that includes padding.

    `layers` is the number of self-attention layers: 1 by default, and none where there is an anchor. `readout` is
    "mean" or "mode" of the levels; it changes evaluation only, where "mode" makes each number whole.
    """

    output_kind = "numbers"
    any_length = True
    permutation_invariant = True

    def __init__(
        self,
        width: int,
        task: Task,
        longest: int,
        layers: int | None = None,
        heads: int = 4,
        hidden: int = 256,
        dropout: float = 0.0,
        readout: str = "mean",
    ) -> None:
        super().__init__()
        if readout not in ("mean", "mode"):
            raise ValueError(f"expected the readout mean or mode, got {readout}")
        layers = (0 if task.anchored else 1) if layers is None else layers
        if layers < 0:
            raise ValueError(f"expected layers of at least 0, got {layers}")
        self.blocks = nn.ModuleList(Block(width, heads, hidden, dropout, start_as_identity=True) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.cross = Attention(width, heads) if task.anchored else None
        if self.cross is not None:
            self.cross.start_as_comparison()
        inputs = width_beside_anchor(width, task.anchored)
        if task.kind != "quantity":
            self.head = multilayer_perceptron(inputs, hidden, task.output_size, dropout)
        else:
            share = (task.answer_count(longest) - 1) // longest  # the most that one image of a sequence can add
            self.head = Levels(inputs, hidden, share, dropout, mode=readout == "mode")

    def forward(
        self, tokens: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"], anchor: Float[Tensor, "B D"] | None
    ) -> Float[Tensor, "B K"]:
        packing = Packing.of(mask)
        packed = self._contextual(packing.pack(tokens), packing)
        if anchor is None or self.cross is None:
            return packing.unpack(self.head(packed)).sum(dim=1)
        query = self.norm(anchor)
        matched = self.cross(query[:, None], packed, packing)[:, 0]
        return self.head(compared(query, matched))

    def attention(
        self, tokens: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"], anchor: Float[Tensor, "B D"] | None
    ) -> Float[Tensor, "B H L"]:
        packing = Packing.of(mask)
        packed = packing.pack(tokens)
        if anchor is not None and self.cross is not None:
            query = self.norm(anchor)[:, None]
            return self.cross.weights(query, self._contextual(packed, packing), packing)[:, :, 0]
        if not self.blocks:
            raise InputError(
                "a transformer without layers and without an anchor has no attention; take one with layers"
            )
        received = self.self_attention(tokens, mask)[-1] * mask[:, None, :, None]
        return received.sum(dim=2) / mask.sum(dim=1)[:, None, None]

    def self_attention(
        self, tokens: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"]
    ) -> list[Float[Tensor, "B H L L"]]:
        """The weights of each self-attention layer, from each token of a sequence to each."""
        packing, weights = Packing.of(mask), list[Tensor]()
        packed = packing.pack(tokens)
        for block in (cast(Block, block) for block in self.blocks):
            normed = block.attention_norm(packed)
            weights.append(block.attention.weights(normed, normed, packing))
            packed = block(packed, packing)
        return weights

    def _contextual(self, packed: Float[Tensor, "T D"], packing: Packing) -> Float[Tensor, "T D"]:
        for block in self.blocks:
            packed = block(packed, packing)
        return self.norm(packed)
