"""attention_pool: a weighted mean whose weights are learned, gated attention (Ilse et al. 2018, arXiv 1802.04712)."""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from digitset.layers import Packing, beside_anchor, multilayer_perceptron, width_beside_anchor
from digitset.models import Attends, Model
from digitset.tasks import Task


class AttentionPool(Model, Attends):
    """Weights softmax(w (tanh(V h) * sigmoid(U h))) of the paper's equation 9, over features h of each image.

    A mean loses the number of images. For a quantity, the head's output is therefore multiplied by that number. With an
    anchor, the features are those of each image compared with it. Differs from the paper in the encoder, and in a
    perceptron instead of one linear layer at the end.
    """

    output_kind = "numbers"
    any_length = True
    permutation_invariant = True

    def __init__(self, width: int, task: Task, longest: int, hidden: int = 256, dropout: float = 0.0) -> None:
        super().__init__()
        self.counts = task.kind == "quantity"
        inputs = width_beside_anchor(width, task.anchored)
        self.features = nn.Sequential(nn.Linear(inputs, hidden), nn.GELU())
        self.value = nn.Sequential(nn.Linear(hidden, width), nn.Tanh())
        self.gate = nn.Sequential(nn.Linear(hidden, width), nn.Sigmoid())
        self.score = nn.Linear(width, 1, bias=False)
        self.head = multilayer_perceptron(hidden, hidden, task.output_size, dropout)

    def forward(
        self, tokens: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"], anchor: Float[Tensor, "B D"] | None
    ) -> Float[Tensor, "B K"]:
        features, weights = self._weighted(tokens, mask, anchor)
        answer = self.head((weights[:, :, None] * features).sum(dim=1))
        return answer * mask.sum(dim=1, keepdim=True) if self.counts else answer

    def attention(
        self, tokens: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"], anchor: Float[Tensor, "B D"] | None
    ) -> Float[Tensor, "B 1 L"]:
        return self._weighted(tokens, mask, anchor)[1][:, None]

    def _weighted(
        self, tokens: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"], anchor: Float[Tensor, "B D"] | None
    ) -> tuple[Float[Tensor, "B L H"], Float[Tensor, "B L"]]:
        packing = Packing.of(mask)
        packed = self.features(packing.pack(beside_anchor(tokens, anchor)))
        scores = packing.unpack(self.score(self.value(packed) * self.gate(packed)))[:, :, 0]
        return packing.unpack(packed), scores.masked_fill(~mask, float("-inf")).softmax(dim=1)
