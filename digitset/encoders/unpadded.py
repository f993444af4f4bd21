"""unpadded: convolutions without padding, so that maps get smaller; slower than `cnn` and more accurate."""

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn

from digitset.encoders import Encoder
from digitset.layers import convolution


class Unpadded(Encoder):
    """A 5x5 convolution of stride 2 to 14x14, then four of 3x3 without padding, to 6x6; batch normalisation in each.

    Without padding, no kernel covers zeros outside the image, and each position keeps its own features until the linear
    layer. The idea is that of An et al. 2020 (arXiv 2008.10400), whose ten such layers start at full resolution,
    without a stride, at many times the cost.
    """

    def __init__(self, width: int = 128, channels: int = 32) -> None:
        super().__init__()
        wide, deep = 2 * channels, 3 * channels
        self.layers = nn.Sequential(
            OrderedDict(
                stem=convolution(1, channels, 5, stride=2, padding=2),
                to12=convolution(channels, channels, 3),
                to10=convolution(channels, wide, 3),
                to8=convolution(wide, wide, 3),
                to6=convolution(wide, deep, 3),
            )
        )
        self.embedding = nn.Linear(deep * 6 * 6, width)

    def forward(self, images: Float[Tensor, "N 1 28 28"]) -> Float[Tensor, "N D"]:
        return self.embedding(self.layers(images).permute(0, 2, 3, 1).flatten(1))
