"""cnn: the default encoder, a small convolutional network without a layer that works at full resolution."""

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn

from digitset.encoders import Encoder
from digitset.layers import convolution


class Cnn(Encoder):
    """Four convolutions with batch normalisation, 28x28 -> 14x14 -> 7x7 by strides of 2, then one linear layer.

    Strides instead of pooling, because on a CPU normalising and pooling large maps takes longer than convolutions. The
    last map is flattened with its channels last, as it is in memory. With channels first, its gradient has another
    memory layout than the map, and activation and normalisation take many times as long (LOG.md).
    """

    def __init__(self, width: int = 128, channels: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            OrderedDict(
                stem=convolution(1, channels // 2, 5, stride=2, padding=2),
                wide=convolution(channels // 2, channels, 3, stride=2, padding=1),
                deep=convolution(channels, channels, 3, padding=1),
                deeper=convolution(channels, channels, 3, padding=1),
            )
        )
        self.embedding = nn.Linear(channels * 7 * 7, width)

    def forward(self, images: Float[Tensor, "N 1 28 28"]) -> Float[Tensor, "N D"]:
        return self.embedding(self.layers(images).permute(0, 2, 3, 1).flatten(1))
