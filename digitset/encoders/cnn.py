"""cnn: the default encoder, a small convolutional network without a layer that works at full resolution."""

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn


class Cnn(nn.Module):
    """Four convolutions with batch normalisation: 28x28 -> 14x14 by stride -> 7x7 by pooling, then one linear layer.

    The first convolution is 5x5 with stride 2, because normalising and pooling at 28x28 costs more time on a processor
    than all the multiplications there.
    """

    def __init__(self, width: int = 128, channels: int = 64, dropout: float = 0.1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            OrderedDict(
                stem=_convolution(1, channels // 2, 5, stride=2),
                wide=_convolution(channels // 2, channels, 3),
                pool=nn.MaxPool2d(2),
                deep=_convolution(channels, channels, 3),
                deeper=_convolution(channels, channels, 3),
                flat=nn.Flatten(),
                dropout=nn.Dropout(dropout),
                embedding=nn.Linear(channels * 7 * 7, width),
            )
        )

    def forward(self, images: Float[Tensor, "N 1 28 28"]) -> Float[Tensor, "N D"]:
        return self.layers(images)


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
