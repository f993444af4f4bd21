"""vit: a Vision Transformer over 16 places of one image (Dosovitskiy et al. 2021), pooled by attention."""

from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from digitset.encoders import Encoder, LooksAtPlaces
from digitset.layers import Block, convolution


class Vit(Encoder, LooksAtPlaces):
    """Image -> tokens, plus learned positions -> Transformer layers -> pooling by attention -> the vector.

    Differs from the paper in three ways. The tokens come from three convolutions of stride 2 (Xiao et al. 2021, arXiv
    2106.14881), so that there are 4x4, each from 18x18 pixels about its place: it learns faster (LOG.md). With the stem
    "patches" they are the paper's: separate squares, one linear map of each. No class token: the vector is made of
    weighted means of all tokens, one a pooling head (Hassani et al. 2021, arXiv 2104.05704, have one): as good, and the
    weights can be shown. And the perceptrons are 2 times as wide as a token, not 4, which takes less time.

    Raises ValueError for an unknown stem or a patch that does not fit.
    """

    def __init__(
        self,
        width: int = 128,
        stem: Literal["convolutions", "patches"] = "convolutions",
        patch: int = 7,
        layers: int = 3,
        hidden: int = 64,
        heads: int = 4,
        pooling_heads: int = 8,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if stem not in ("convolutions", "patches"):
            raise ValueError(f"vit: expected stem 'convolutions' or 'patches', got '{stem}'")
        if min(hidden, pooling_heads) < 1 or layers < 0:
            given = f"hidden {hidden}, pooling_heads {pooling_heads}, layers {layers}"
            raise ValueError(f"vit: expected hidden and pooling_heads of at least 1, layers of at least 0, got {given}")
        if stem == "convolutions" and patch != 7:
            raise ValueError(
                f"vit: expected a patch of 7 with the stem 'convolutions', got {patch}; others need the stem 'patches'"
            )
        if patch < 1 or 28 % patch:
            raise ValueError(f"vit: expected a patch that divides 28, got {patch}; take 2, 4, 7 or 14")
        self.stem = _convolutions(hidden) if stem == "convolutions" else nn.Conv2d(1, hidden, patch, patch)
        self.positions = nn.Parameter(torch.randn(1, (28 // patch) ** 2, hidden) * 0.02)
        self.blocks = nn.ModuleList(Block(hidden, heads, 2 * hidden, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)
        self.look = nn.Linear(hidden, pooling_heads)
        self.embedding = nn.Linear(pooling_heads * hidden, width)

    def forward(self, images: Float[Tensor, "N 1 28 28"]) -> Float[Tensor, "N D"]:
        tokens = self._tokens(images)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        weights = self.look(tokens).softmax(dim=1)
        return self.embedding((weights.transpose(1, 2) @ tokens.to(weights.dtype)).flatten(1))

    def attention(
        self, images: Float[Tensor, "N 1 28 28"]
    ) -> tuple[list[Float[Tensor, "N H T T"]], Float[Tensor, "N K T"]]:
        layers, tokens = list[Tensor](), self._tokens(images)
        for block in (cast(Block, block) for block in self.blocks):
            normed = block.attention_norm(tokens)
            layers.append(block.attention.weights(normed, normed))
            tokens = block(tokens)
        return layers, self.look(self.norm(tokens)).softmax(dim=1).transpose(1, 2)

    def _tokens(self, images: Float[Tensor, "N 1 28 28"]) -> Float[Tensor, "N T C"]:
        return self.stem(images).permute(0, 2, 3, 1).flatten(1, 2) + self.positions


def _convolutions(hidden: int) -> nn.Sequential:
    """28x28 -> 14x14 -> 7x7 -> 4x4. Two kernels of 4 and one of 3: the places lie symmetrically, 8 pixels apart."""
    return nn.Sequential(
        *convolution(1, 32, 4, stride=2, padding=1),
        *convolution(32, 64, 4, stride=2, padding=1),
        nn.Conv2d(64, hidden, 3, stride=2, padding=1),
    )
