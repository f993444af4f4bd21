"""The networks of kobybibas/vit_for_mnist, with what is wrong in them, and what they are fed.

They take padding for images. So they stand here and not in `digitset/models/`: they break its contract, and
tests/test_published.py holds that the contract notices. All take tokens [B, L, D] of which those after a sequence's end
are the vectors of a grey image; the mask, which every model is given, goes unused. Initial weights are torch's.
"""

import itertools

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from digitset.data.mnist import Digits, load_data
from digitset.data.sequences import Batch
from digitset.encoders import Encoder
from digitset.models import Model
from digitset.network import IMAGES_AT_ONCE, Network
from digitset.rng import derive
from digitset.tasks import Task, load_task

WIDTH, HEADS, LONGEST, BATCH = 128, 4, 10, 32
GREY = 0.5  # the padding image: zeros, put in after pixels of 0..1 have become -1..1


class PublishedEncoder(Encoder):
    """Pixels of 0..1, taken to -1..1; 5x5 convolutions of 6 and 16 channels, a pooling between them; a linear layer.

    `digitset.encoders.lenet` pools after the second convolution as well, as LeNet-5 does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 6, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16 * 8 * 8, WIDTH),
        )

    def forward(self, images: Float[Tensor, "N 1 28 28"]) -> Float[Tensor, "N D"]:
        return self.layers(2 * images - 1)


class PublishedModel(Model):
    """What the four have in common: what they declare, and the scale of the answer."""

    output_kind = "numbers"
    any_length = True
    permutation_invariant = True

    def __init__(self, anchored: bool) -> None:
        super().__init__()
        self.anchored = anchored

    def scaled(self, number: Float[Tensor, "B 1"]) -> Float[Tensor, "B 1"]:
        """A logit as it is; of a sum, the head gives how far it is from 45, in nineties."""
        return number if self.anchored else (number + 0.5) * 90


class SelfAttention(PublishedModel):
    """For `sum`: one Transformer layer, the mean over images and padding alike, a head.

    The layer is torch's: normalised after each part, 2,048 hidden units, here without dropout.
    """

    def __init__(self) -> None:
        super().__init__(anchored=False)
        self.layer = nn.TransformerEncoderLayer(WIDTH, HEADS, dropout=0.0, batch_first=True)
        self.head = perceptron(WIDTH, 64, 1)

    def forward(
        self, tokens: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"], anchor: Float[Tensor, "B D"] | None
    ) -> Float[Tensor, "B 1"]:
        return self.scaled(self.head(self.layer(tokens).mean(dim=1)))


class CrossAttention(PublishedModel):
    """For `contains`: the anchor attends to the sequence, and the head gets the result but not the anchor."""

    def __init__(self) -> None:
        super().__init__(anchored=True)
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.head = perceptron(WIDTH, 64, 1)

    def forward(
        self, tokens: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"], anchor: Float[Tensor, "B D"] | None
    ) -> Float[Tensor, "B 1"]:
        assert anchor is not None
        attended, _ = self.attention(anchor[:, None], tokens, tokens, need_weights=False)
        return self.scaled(self.head(attended[:, 0]))


class Concatenation(PublishedModel):
    """The fully connected one: ten vectors in a row, after the anchor's if the task has one."""

    any_length = False
    permutation_invariant = False

    def __init__(self, anchored: bool) -> None:
        super().__init__(anchored)
        self.layers = perceptron((LONGEST + anchored) * WIDTH, 128, 64, 1)

    def forward(
        self, tokens: Float[Tensor, "B 10 D"], mask: Bool[Tensor, "B 10"], anchor: Float[Tensor, "B D"] | None
    ) -> Float[Tensor, "B 1"]:
        row = tokens.flatten(1)
        return self.scaled(self.layers(row if anchor is None else torch.cat([anchor, row], dim=1)))


def perceptron(*widths: int) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.ReLU(), nn.Linear(inputs, outputs)]
    return nn.Sequential(*layers[1:])


def build(task: str, model: str, seed: int) -> Network:
    """Encoder and model with the initial weights of a seed; `model` is "mlp" or "transformer"."""
    anchored = load_task(task).anchored
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "initial weights"))
        encoder = PublishedEncoder()
        if model == "mlp":
            return Network(encoder, Concatenation(anchored), LONGEST)
        return Network(encoder, CrossAttention() if anchored else SelfAttention(), LONGEST)


@torch.inference_mode()
def score(task: Task, network: Network, test: Batch) -> dict[str, float]:
    """Accuracy and loss on the test windows, over items and as the mean of the means of batches."""
    network.eval()
    pixels = with_grey(test.images[:, None].float() / 255)
    vectors = torch.cat([network.encoder(part) for part in pixels.split(IMAGES_AT_ONCE)])
    of_batches = []
    for first in range(0, len(test.index), BATCH):
        loss, accuracy = losses(task, network, vectors, test.slice(first, first + BATCH))
        of_batches.append((accuracy, loss))
    scores = {}
    for index, name in enumerate(("accuracy", "loss")):
        batches = [values[index] for values in of_batches]
        scores[name] = float(torch.cat(batches).mean())
        scores[f"batch_{name}"] = float(torch.stack([batch.mean() for batch in batches]).mean())
    return scores


def losses(
    task: Task, network: Network, vectors: Float[Tensor, "N+1 D"], batch: Batch
) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
    """Loss and accuracy of each item of a batch of N images, with the grey image's vector last, where padding goes."""
    longest = network.longest or int(batch.lengths.max())
    index = batch.index.where(batch.mask, len(vectors) - 1)[:, :longest]
    anchor = None if batch.anchor is None else F.embedding(batch.anchor, vectors)
    output = network.model(F.embedding(index, vectors), batch.mask[:, :longest], anchor)
    target = batch.targets(task)
    prediction = task.decode(output.detach(), "numbers")
    return task.training_loss(output, "numbers", target), task.scores(prediction, target)["accuracy"]


def all_digits() -> tuple[Digits, Digits]:
    """All 60,000 training images, validation among them as in the recipe, and the 10,000 for testing."""
    splits = load_data()
    both = splits.train, splits.val
    train = Digits(torch.cat([part.images for part in both]), torch.cat([part.labels for part in both]))
    return train, splits.test


def windows(every: Batch, items: Int64[Tensor, " B"]) -> Batch:
    """Some windows, over a pool of only the images that they show."""
    of_images, mask = every.index[items], every.mask[items]
    anchor = None if every.anchor is None else every.anchor[items]
    shown = torch.cat([of_images[mask], *([] if anchor is None else [anchor])]).unique()
    index = torch.searchsorted(shown, of_images).where(mask, 0)
    anchor = None if anchor is None else torch.searchsorted(shown, anchor)
    return Batch(every.images[shown], every.labels[shown], index, mask, anchor)


def augmented(images: UInt8[Tensor, "N 28 28"], draw: torch.Generator) -> Float[Tensor, "N 1 28 28"]:
    """Pixels of 0..1: mirrored half of the time, then turned by up to 5 degrees, nearest pixel, black outside."""
    mirror = 1.0 - 2.0 * (torch.rand(len(images), generator=draw) < 0.5)
    angle = torch.deg2rad(10 * torch.rand(len(images), generator=draw) - 5)
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros(len(images))
    theta = torch.stack([mirror * cosine, -mirror * sine, zero, sine, cosine, zero], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(theta, [len(images), 1, 28, 28], align_corners=False)
    return F.grid_sample(images[:, None].float() / 255, grid, mode="nearest", align_corners=False)


def with_grey(pixels: Float[Tensor, "N 1 28 28"]) -> Float[Tensor, "N+1 1 28 28"]:
    return torch.cat([pixels, torch.full_like(pixels[:1], GREY)])
