"""vit: a Vision Transformer over the patches of one image (Dosovitskiy et al. 2021)."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from digitset.encoders import Encoder
from digitset.layers import Block


class Vit(Encoder):
    """Patches -> linear projection + learned positions -> Transformer layers -> class token (or mean) -> the vector.

    Differs from the paper only in size: 16 patches of 7x7, four layers of width 64 by default.
    """

    def __init__(
        self,
        width: int = 128,
        patch: int = 7,
        layers: int = 4,
        hidden: int = 64,
        heads: int = 4,
        pool: Literal["class", "mean"] = "class",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if patch < 1 or 28 % patch:
            raise ValueError(f"vit: expected a patch that divides 28, got {patch}; take 2, 4, 7 or 14")
        if pool not in ("class", "mean"):
            raise ValueError(f"vit: expected pool 'class' or 'mean', got '{pool}'")
        self.patch, self.pool = patch, pool
        self.project = nn.Linear(patch * patch, hidden)
        self.class_token = nn.Parameter(torch.zeros(1, 1, hidden)) if pool == "class" else None
        self.positions = nn.Parameter(torch.randn(1, (28 // patch) ** 2 + (pool == "class"), hidden) * 0.02)
        self.blocks = nn.ModuleList(Block(hidden, heads, 4 * hidden, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)
        self.embedding = nn.Linear(hidden, width)

    def forward(self, images: Float[Tensor, "N 1 28 28"]) -> Float[Tensor, "N D"]:
        patches = F.pixel_unshuffle(images, self.patch).flatten(2).transpose(1, 2)
        tokens = self.project(patches)
        if self.class_token is not None:
            tokens = torch.cat([self.class_token.expand(len(images), -1, -1), tokens], dim=1)
        tokens = tokens + self.positions
        for block in self.blocks:
            tokens = block(tokens)
        return self.embedding(self.norm(tokens[:, 0] if self.pool == "class" else tokens.mean(dim=1)))
