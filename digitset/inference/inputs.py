"""What a predictor may be asked: checks of sequences and anchors, batches of bounded size. Knows torch by name only."""

import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from digitset.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

LIGHT, MOST_OF_EDGE = 200, 0.5  # images with this much light at their edges are dark ink on light paper


def check_inputs(
    sequences: Sequence[Any], anchors: Any, task: str, anchored: bool, model: str, longest: int | None = None
) -> None:
    """Raises InputError for what `digitset.Predictor.predict` says it refuses.

    `task` and `model` are names, for the message; `anchored` is whether the task has an anchor; `longest` is the most
    images that the model takes (None: any number).
    """
    for index, sequence in enumerate(sequences):
        _check_images(sequence, f"sequence {index}")
        if len(sequence) == 0:
            raise InputError(f"sequence {index}: expected at least one image, got none")
        if longest is not None and len(sequence) > longest:
            raise InputError(f"sequence {index}: expected at most {longest} images for '{model}', got {len(sequence)}")
    if anchored and anchors is None:
        raise InputError(f"task '{task}' expects anchors, one image a sequence; got none")
    if not anchored and anchors is not None:
        raise InputError(f"task '{task}' takes no anchors; leave them out")
    if anchors is not None:
        _check_images(anchors, "anchors")
        if len(anchors) != len(sequences):
            raise InputError(f"expected {len(sequences)} anchors, one a sequence, got {len(anchors)}")


def warn_of_scale(sequences: "Sequence[np.ndarray | Tensor]") -> None:
    """Warns the caller's caller if images that `check_inputs` takes look as if they were 0..1, or dark on light."""
    if max((int(images.max()) for images in sequences), default=0) == 1:
        warnings.warn("all pixels are 0 or 1: expected ink 255 on paper 0; scale the images by 255", stacklevel=3)
        return
    light = count = 0
    for images in sequences:
        for edge in (images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]):
            light, count = light + int((edge > LIGHT).sum()), count + edge.shape[0] * edge.shape[1]
    if light > MOST_OF_EDGE * count:
        warnings.warn("the edges are light: expected ink 255 on paper 0; invert the images", stacklevel=3)


def batches_by_length(lengths: Sequence[int], images: int) -> Iterator[list[int]]:
    """The indices of sequences, shorter ones first, in batches of at most so many images, padding included.

    A sequence that is longer by itself is a batch of its own.
    """
    rows: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: lengths[index]):
        if rows and (len(rows) + 1) * lengths[index] > images:
            yield rows
            rows = []
        rows.append(index)
    if rows:
        yield rows


def _check_images(images: Any, name: str) -> None:
    torch = sys.modules.get("torch")  # where nobody has imported it, nothing is a tensor
    if not isinstance(images, np.ndarray if torch is None else np.ndarray | torch.Tensor):
        raise InputError(f"{name}: expected an array or tensor of images [n, 28, 28], got {type(images).__name__}")
    if images.ndim != 3 or tuple(images.shape[1:]) != (28, 28):
        advice = "; one sequence stands in a list, and one image is image[None]" if images.ndim == 2 else ""
        raise InputError(f"{name}: expected images [n, 28, 28], got {list(images.shape)}{advice}")
    if str(images.dtype).removeprefix("torch.") != "uint8":
        raise InputError(f"{name}: expected uint8, ink 255 on 0, got {images.dtype}; scale to 0..255 and convert")
