"""Where on each image an encoder looks: pooling weights, attention rollout, and what happens if a place is erased."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from digitset.data.sequences import Batch
from digitset.device import plain_torch
from digitset.encoders import LooksAtPlaces
from digitset.inference.predictor import Images, Predictor

LEAST_LOSS = 0.1  # full colour is at least this change of the loss, so that small ones stay pale


@dataclass(frozen=True)
class Places:
    """Of n images, on a grid of G x G squares, on the CPU."""

    heads: Float32[Tensor, "n K G G"]
    """What each pooling head takes from each place, after the last layer: sums to 1."""
    rollout: Float32[Tensor, "n G G"]
    """The same through all layers, on average over heads (Abnar and Zuidema 2020): sums to 1."""
    erased: Float32[Tensor, "n G G"]
    """By how much the task's training loss rises if the place becomes paper, for this image alone (after the anchor).

    The target is what the network answers to the whole image. Negative if the loss falls.
    """

    @property
    def looks(self) -> Float32[Tensor, "n G G"]:
        """The rollout to draw: of each image the largest is 1."""
        return self.rollout / self.rollout.amax(dim=(1, 2), keepdim=True)

    @property
    def rests(self) -> Float32[Tensor, "n G G"]:
        """What the answer rests on, to draw: `erased` from -1 to 1."""
        most = self.erased.abs().amax(dim=(1, 2), keepdim=True)
        return self.erased / most.clamp(min=LEAST_LOSS)


@plain_torch()
@torch.inference_mode()
def look(predictor: Predictor, images: Images, anchor: Images | None = None) -> Places | None:
    """Where the encoder looks on uint8 images [n, 28, 28]; None if it has no attention to show or is not used.

    `anchor` is [28, 28], for a task with one. Raises InputError as `Predictor.predict` does.
    """
    network = predictor.network
    if not (network.model.uses_images and isinstance(network.encoder, LooksAtPlaces)):
        return None
    batch = predictor.batch([images], None if anchor is None else anchor[None])
    layers, pooling = network.encoder.attention(network.pixels(batch.images[: len(images)]))
    side, pooling = round(pooling.shape[-1] ** 0.5), pooling.cpu()
    rollout = rolled_out([layer.cpu() for layer in layers], pooling.mean(dim=1, keepdim=True))
    return Places(
        heads=pooling.unflatten(-1, (side, side)),
        rollout=rollout[:, 0].unflatten(-1, (side, side)),
        erased=_erased(predictor, batch, side),
    )


def kept(side: int) -> UInt8[Tensor, "P 28 28"]:
    """What to multiply an image with: 1, but 0 in one square of the grid, row by row. Before these, all of it."""
    edges = [round(28 * index / side) for index in range(side + 1)]
    masks = torch.ones(side**2 + 1, 28, 28, dtype=torch.uint8)
    for place in range(side**2):
        row, column = divmod(place, side)
        masks[place + 1, edges[row] : edges[row + 1], edges[column] : edges[column + 1]] = 0
    return masks


def rolled_out(layers: list[Float[Tensor, "*B H T T"]], flow: Float[Tensor, "*B Q T"]) -> Float[Tensor, "*B Q T"]:
    """Shares of T tokens in what is read, followed back through all layers (Abnar and Zuidema 2020).

    `flow` has the shares after the last layer. A layer is half attention, averaged over heads, and half residual path.
    """
    for layer in reversed(layers):
        flow = 0.5 * flow + 0.5 * flow @ layer.mean(dim=-3)
    return flow


def _erased(predictor: Predictor, batch: Batch, side: int) -> Float[Tensor, "n G G"]:
    """For each image and place, the loss with the place erased less that of the whole image: see `Places.erased`.

    `batch` is one sequence, with its anchor's image last.
    """
    network, task, n = predictor.network, predictor.task, batch.index.shape[1]
    copies = batch.images[:n] * kept(side).to(batch.images.device)[:, None]  # the first are whole
    images = torch.cat([copies.flatten(0, 1), batch.images[n:]])
    index = torch.arange((side**2 + 1) * n, device=images.device)[:, None]
    anchor = None if batch.anchor is None else torch.full_like(index[:, 0], len(index))
    alone = Batch(images, torch.zeros_like(images[:, 0, 0], dtype=torch.int64), index, index >= 0, anchor)
    output = torch.cat(list(network.apply_model_in_parts(network.embed_in_parts(images), alone)))
    kind = network.model.output_kind
    answers = task.answer(task.decode(output[:n], kind)).round().long()
    losses = task.training_loss(output, kind, answers.repeat(side**2 + 1)).view(-1, n)
    return (losses[1:] - losses[0]).T.reshape(n, side, side).float().cpu()
