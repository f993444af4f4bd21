"""transformer: self-attention over a sequence; cross-attention from the anchor to it where there is one."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from digitset.layers import Attention, Block, masked_sum, multilayer_perceptron
from digitset.tasks import Kind, Task


class Levels(nn.Module):
    """Self-attention layers without positions, then a head; the order of a sequence cannot matter.

    Without an anchor, each token gives numbers of its own and the answer is their sum over the sequence, so that a sum
    of digits can grow with the length. With an anchor, it attends to the sequence (one cross-attention layer) and the
    head compares it with what it found. kobybibas/vit_for_mnist differs: it pools by the mean over padding too.
    """

    output: Kind = "numbers"
    extrapolates = True
    symmetric = True
    sees_images = True

    def __init__(
        self,
        width: int,
        task: Task,
        longest: int,
        layers: int = 1,
        heads: int = 4,
        hidden: int = 256,
        levels: int = 10,
        spread: float = 4.5,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads, hidden, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        if task.ANCHORED:
            self.cross = Attention(width, heads)
        self.head = nn.Sequential(
            multilayer_perceptron((4 if task.ANCHORED else 1) * width, hidden, levels, dropout),
            nn.Softmax(dim=-1),
            nn.Linear(levels, task.NUMBERS),
        )
        with torch.no_grad():
            self.head[2].weight.copy_(torch.linspace(-1, 1, levels).expand(task.NUMBERS, -1) * spread)
            if spread > 2:
                self.head[2].bias.fill_(4.5)

    def forward(
        self, tokens: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"], anchor: Float[Tensor, "B D"] | None
    ) -> Float[Tensor, "B K"]:
        tokens = self._contextual(tokens, mask)
        if anchor is None:
            return masked_sum(self.head(tokens), mask)
        anchor = self.norm(anchor)
        found = self.cross(anchor[:, None], tokens, mask)[:, 0]
        return self.head(torch.cat([anchor, found, anchor * found, (anchor - found).square()], dim=1))

    def attention(
        self, tokens: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"], anchor: Float[Tensor, "B D"] | None
    ) -> Float[Tensor, "B H L"]:
        if anchor is not None:
            return self.cross.weights(self.norm(anchor)[:, None], self._contextual(tokens, mask), mask)[:, :, 0]
        for block in self.blocks[:-1]:
            tokens = block(tokens, mask)
        last = self.blocks[-1]
        normed = last.attention_norm(tokens)
        received = last.attention.weights(normed, normed, mask) * mask[:, None, :, None]
        return received.sum(dim=2) / mask.sum(dim=1)[:, None, None]

    def _contextual(self, tokens: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"]) -> Float[Tensor, "B L D"]:
        for block in self.blocks:
            tokens = block(tokens, mask)
        return self.norm(tokens)
