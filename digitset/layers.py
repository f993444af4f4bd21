"""What several encoders and models use: convolutions, sums without padding, attention, Transformer layers.

Tokens come as [B, L, D] with a mask, or packed: the T tokens that are not padding, [T, D], with a `Packing`.
"""

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F


def masked_sum(tokens: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"]) -> Float[Tensor, "B D"]:
    """The sum over a sequence. Padding has no effect, even if it is NaN."""
    return tokens.masked_fill(~mask[:, :, None], 0).sum(dim=1)


def compared(vectors: Float[Tensor, "*B D"], other: Float[Tensor, "*B D"]) -> Float[Tensor, "*B 4*D"]:
    """Two vectors, their product and their squared difference: features that show whether the vectors are alike."""
    return torch.cat([vectors, other, vectors * other, (vectors - other).square()], dim=-1)


def beside_anchor(tokens: Float[Tensor, "B L D"], anchor: Float[Tensor, "B D"] | None) -> Float[Tensor, "B L E"]:
    """Each token compared with the anchor (E = 4 D), or as it is (E = D) where there is none.

    So any model of a sequence can use an anchor: its inputs are comparisons instead of images.
    """
    return tokens if anchor is None else compared(tokens, anchor[:, None].expand_as(tokens))


def width_beside_anchor(width: int, anchored: bool) -> int:
    """The length E of the vectors that `beside_anchor` makes of those of length `width`."""
    return 4 * width if anchored else width


@dataclass(frozen=True)
class Packing:
    """Where the T tokens that are not padding lie among those of B rows of L.

    Layers that work on each token separately can skip padding: 45 % of a batch of lengths 1 to 10.
    """

    mask: Bool[Tensor, "B L"]
    position: Int64[Tensor, " T"]

    @classmethod
    def of(cls, mask: Bool[Tensor, "B L"]) -> "Packing":
        return cls(mask, mask.flatten().nonzero()[:, 0])

    def pack(self, tokens: Float[Tensor, "B L D"]) -> Float[Tensor, "T D"]:
        return tokens.flatten(0, 1).index_select(0, self.position)

    def unpack(self, tokens: Float[Tensor, "T D"]) -> Float[Tensor, "B L D"]:
        """Back in their rows, with zeros where there is padding."""
        rows = tokens.new_zeros(self.mask.numel(), tokens.shape[1]).index_copy(0, self.position, tokens)
        return rows.view(*self.mask.shape, -1)


def multilayer_perceptron(inputs: int, hidden: int, outputs: int, dropout: float) -> nn.Sequential:
    """Two linear layers, GELU between them. Raises ValueError if `hidden` is below 1."""
    if hidden < 1:
        raise ValueError(f"expected hidden layers of at least 1 number, got {hidden}")
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, outputs))


def convolution(inputs: int, outputs: int, size: int, stride: int = 1, padding: int = 0) -> nn.Sequential:
    """A convolution with square kernels, batch normalisation, ReLU. Raises ValueError if `outputs` is below 1."""
    if outputs < 1:
        raise ValueError(f"expected convolutions of at least 1 channel, got {outputs}")
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


# On a CPU, where gradients are needed, plain products are faster than torch's fused attention up to so many keys.
# Forward and backward, with padding, the fused way takes in bfloat16 2.0 times as long at 10 keys, 15 at 17, 8 at 49
# and 2.5 at 200; in float32 1.1 times at 10 and 1.2 at 49, but less time at 100 (results/attention.csv). With more keys
# the weights would take much memory. Without gradients plain products win only for few keys; there, and on other
# devices, which were not measured, the fused way is taken.
PLAIN_KEYS = {torch.bfloat16: 200, torch.float32: 64}


def attend(
    query: Float[Tensor, "B H Q C"],
    key: Float[Tensor, "B H L C"],
    value: Float[Tensor, "B H L C"],
    visible: Bool[Tensor, "B 1 1 L"] | None,
) -> Float[Tensor, "B H Q C"]:
    """softmax(query key^T / sqrt(C)) value over the visible keys (None is all), by the way that is faster here.

    A value that is not visible must be 0, as it is after `Packing.unpack`: so a row without any visible key is 0.
    """
    few = key.shape[2] <= PLAIN_KEYS.get(query.dtype, 0)
    return (plain if few and query.device.type == "cpu" and query.requires_grad else fused)(query, key, value, visible)


def fused(query: Tensor, key: Tensor, value: Tensor, visible: Tensor | None) -> Tensor:
    """`attend` by torch's own function, which need not hold all weights."""
    return F.scaled_dot_product_attention(query, key, value, attn_mask=visible)


def plain(query: Tensor, key: Tensor, value: Tensor, visible: Tensor | None) -> Tensor:
    """`attend` by two matrix products and a softmax."""
    logits = (query * query.shape[-1] ** -0.5) @ key.transpose(2, 3)
    if visible is not None:  # not minus infinity: in a row without visible keys the softmax would be NaN
        lowest = torch.finfo(logits.dtype).min
        logits = logits + torch.zeros_like(visible, dtype=logits.dtype).masked_fill(~visible, lowest)
    # a softmax in bfloat16 is slower over few keys (LOG.md), and less precise
    return logits.softmax(dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32)).to(value.dtype) @ value


class Attention(nn.Module):
    """Multi-head scaled dot-product attention (Vaswani et al. 2017, 3.2.2), from queries to a masked context."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"expected a number of heads that divides the width {width}, got {heads}")
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        query: Float[Tensor, "S Q D"] | Float[Tensor, "T D"],
        context: Float[Tensor, "B L D"] | Float[Tensor, "T D"],
        packing: Packing | None = None,
    ) -> Float[Tensor, "B Q D"] | Float[Tensor, "T D"]:
        """What each query finds. Either side may be packed; an unpacked context has no padding.

        S is B, or 1 where all contexts have the same queries, which are then projected once.
        """
        q, k, v = self._projected(query, context)
        if packing is not None:
            q, k, v = (packing.unpack(x) if x.dim() == 2 else x for x in (q, k, v))
        q = q.expand(k.shape[0], -1, -1)
        attended = attend(self._split(q), self._split(k), self._split(v), _visible(context, packing))
        attended = attended.transpose(1, 2).flatten(2)
        return self.out(packing.pack(attended) if packing is not None and query.dim() == 2 else attended)

    def weights(
        self,
        query: Float[Tensor, "S Q D"] | Float[Tensor, "T D"],
        context: Float[Tensor, "B L D"] | Float[Tensor, "T D"],
        packing: Packing | None = None,
    ) -> Float[Tensor, "B H Q L"]:
        """The attention weights that `forward` uses: each row sums to 1, padding has exactly 0."""
        q, k = self.query(query), self.key(context)
        if packing is not None:
            q, k = (packing.unpack(x) if x.dim() == 2 else x for x in (q, k))
        q, k = self._split(q).expand(k.shape[0], -1, -1, -1), self._split(k)
        logits = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5
        visible = _visible(context, packing)
        return (logits if visible is None else logits.masked_fill(~visible, float("-inf"))).softmax(dim=-1)

    @torch.no_grad()
    def start_as_comparison(self, gain: float = 1.5) -> None:
        """Initial weights with which a query attends to similar vectors and gets them unchanged.

        Queries and keys are the same random projection, scaled up by `gain` so that attention is sharp enough to tell
        vectors apart; values pass unchanged. With torch's default initialisation, attention stays uniform
        for hundreds of steps.
        """
        self.query.weight.mul_(gain)
        self.key.weight.copy_(self.query.weight)
        for linear in (self.value, self.out):
            nn.init.eye_(linear.weight)
        for linear in (self.query, self.key, self.value, self.out):
            nn.init.zeros_(linear.bias)

    def _projected(self, query: Tensor, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values; for self-attention by one matrix product instead of three."""
        if query is not context:
            return self.query(query), self.key(context), self.value(context)
        parts = (self.query, self.key, self.value)
        weight, bias = torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts])
        q, k, v = F.linear(query, weight, bias).chunk(3, dim=-1)
        return q, k, v

    def _split(self, tokens: Float[Tensor, "B L D"]) -> Float[Tensor, "B H L C"]:
        return tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)


def _visible(context: Tensor, packing: Packing | None) -> Bool[Tensor, "B 1 1 L"] | None:
    """The positions that a query may attend to; None is all."""
    return packing.mask[:, None, None, :] if packing is not None and context.dim() == 2 else None


class Levels(nn.Module):
    """A number as a mixture of learned levels: softmax over logits, times the level of each.

    A regression head for a quantity that takes few values: it settles on these. The output of a linear head keeps
    varying around them, and the errors add up in a sum. The levels start at 0, 1 .. `most` and are learned like any
    weight.

    The mean of the mixture minimises the squared error, and lies between two levels if both are probable. With `mode`,
    evaluation takes the most probable level: more often right, with larger errors when wrong. It takes the whole number
    that is nearest to that level: what squared error leaves of a level, some thousandths, makes half a unit in the sum
    of some hundred images.
    """

    def __init__(self, inputs: int, hidden: int, most: int, dropout: float, mode: bool = False) -> None:
        super().__init__()
        self.mode = mode
        self.logits = multilayer_perceptron(inputs, hidden, most + 1, dropout)
        self.levels = nn.Parameter(torch.arange(most + 1, dtype=torch.float32))

    def forward(self, tokens: Float[Tensor, "*B D"]) -> Float[Tensor, "*B 1"]:
        logits = self.logits(tokens)
        if self.mode and not self.training:
            return self.levels.round()[logits.argmax(dim=-1)][..., None]
        return (logits.softmax(dim=-1) @ self.levels)[..., None]


class Block(nn.Module):
    """A Transformer layer, normalised before each part (Xiong et al. 2020): self-attention, then a perceptron.

    With `start_as_identity` both parts end in zeros: at first a layer is the identity.
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float, start_as_identity: bool = False) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.perceptron_norm = nn.LayerNorm(width)
        self.perceptron = multilayer_perceptron(width, hidden, width, dropout)
        self.dropout = nn.Dropout(dropout)
        if start_as_identity:
            for last in (self.attention.out, cast(nn.Linear, self.perceptron[-1])):
                nn.init.zeros_(last.weight)
                nn.init.zeros_(last.bias)

    def forward(
        self, tokens: Float[Tensor, "B L D"] | Float[Tensor, "T D"], packing: Packing | None = None
    ) -> Float[Tensor, "B L D"] | Float[Tensor, "T D"]:
        """Tokens without padding, or packed ones with their packing."""
        normed = self.attention_norm(tokens)
        tokens = tokens + self.dropout(self.attention(normed, normed, packing))
        return tokens + self.dropout(self.perceptron(self.perceptron_norm(tokens)))
