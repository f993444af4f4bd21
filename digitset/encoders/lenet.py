"""lenet: after LeNet-5 (LeCun et al. 1998); the one of kobybibas/vit_for_mnist has no second pooling."""

from jaxtyping import Float
from torch import Tensor, nn

from digitset.encoders import Encoder


class Lenet(Encoder):
    """Two 5x5 convolutions of 6 and 16 channels, each with ReLU and 2x2 max pooling, then one linear layer."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 6, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(16 * 4 * 4, width),
        )

    def forward(self, images: Float[Tensor, "N 1 28 28"]) -> Float[Tensor, "N D"]:
        return self.layers(images)
