"""Where on each image an encoder looks: pooling weights, attention rollout, and what happens if a place is erased."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from digitset.encoders import LooksAtPlaces
from digitset.inference.predictor import Images, Predictor


@dataclass(frozen=True)
class Places:
    """Of n images, on a grid of G x G squares, on the CPU."""

    heads: Float32[Tensor, "n K G G"]
    """What each pooling head takes from each place, after the last layer: sums to 1."""
    rollout: Float32[Tensor, "n G G"]
    """The same through all layers, on average over heads (Abnar and Zuidema 2020): sums to 1."""
    erased: Float32[Tensor, "n G G"]
    """By how much the loss of the answer to this image alone rises if the place is made paper."""


@torch.inference_mode()
def look(predictor: Predictor, images: Images, anchor: Images | None = None) -> Places | None:
    """Where the encoder looks on uint8 images [n, 28, 28]; None if it has no attention to show.

    `anchor` is [28, 28], for a task with one. A place is erased for the whole network: its answer to the rest of the
    image, alone and after the same anchor, is held against its answer to the whole image. Raises InputError as
    `Predictor.predict` does.
    """
    network = predictor.network
    if not isinstance(network.encoder, LooksAtPlaces):
        return None
    batch = predictor.batch([images], None if anchor is None else anchor[None])
    layers, pooling = network.encoder.attention(network.pixels(batch.images[: len(images)]))
    side = round(pooling.shape[-1] ** 0.5)
    return Places(
        heads=pooling.cpu().unflatten(-1, (side, side)),
        rollout=_rollout([layer.cpu() for layer in layers], pooling.cpu()).unflatten(-1, (side, side)),
        erased=_erased(predictor, images, anchor, side),
    )


def _rollout(layers: list[Float[Tensor, "n H T T"]], pooling: Float[Tensor, "n K T"]) -> Float[Tensor, "n T"]:
    """From the vector back to the places: in each layer half of the attention, half of the residual path."""
    flow = pooling.mean(dim=1, keepdim=True)
    for layer in reversed(layers):
        flow = 0.5 * flow + 0.5 * flow @ layer.mean(dim=1)
    return flow[:, 0]


def _erased(predictor: Predictor, images: Images, anchor: Images | None, side: int) -> Float[Tensor, "n G G"]:
    """The loss of what is answered to each image alone: without a place, less that with it."""
    network, task = predictor.network, predictor.task
    kind, size = network.model.output_kind, 28 // side
    singles: list[np.ndarray] = []
    for image in np.asarray(images):
        for row in range(0, 28, size):
            for column in range(0, 28, size):
                copy = image.copy()
                copy[row : row + size, column : column + size] = 0
                singles.append(copy[None])
    singles += [image[None] for image in np.asarray(images)]
    anchors = None if anchor is None else np.repeat(np.asarray(anchor)[None], len(singles), axis=0)
    batch = predictor.batch(singles, anchors)
    vectors = network.embed_in_parts(batch.images)
    output = torch.cat(list(network.apply_model_in_parts(vectors, batch)))
    n = len(images)
    answers = task.answer(task.decode(output[-n:], kind)).round().long()
    whole = task.training_loss(output[-n:], kind, answers)
    losses = task.training_loss(output[:-n], kind, answers.repeat_interleave(side**2))
    return (losses.view(n, side, side) - whole[:, None, None]).float().cpu()
