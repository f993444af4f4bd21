"""Digits: images with their labels; what does not fit is refused, what looks wrong is told, both with counts."""

import hashlib
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from digitset.errors import InputError, some_of


@dataclass(frozen=True)
class Digits:
    """Images, white ink (255) on black (0), and the digit on each (0..9)."""

    images: UInt8[Tensor, "N 28 28"]
    labels: Int64[Tensor, " N"]

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Digits: {len(self):,} images of 28x28 with their labels, on {self.images.device}"

    def to(self, device: torch.device) -> "Digits":
        """The same on a device."""
        return Digits(self.images.to(device), self.labels.to(device))


def checked(images: Tensor, images_name: str, labels: Tensor, labels_name: str) -> Digits:
    """Images and labels that were read from what the names say.

    Raises InputError for images that are not 28x28, for labels outside 0..9 or fewer or more than there are images,
    and for no images.
    """
    if tuple(images.shape[1:]) != (28, 28):
        size = "x".join(map(str, images.shape[1:])) or "numbers"
        raise InputError(f"{images_name}: expected images of 28x28, found {size} ({count(len(images))})")
    if len(images) != len(labels):
        raise InputError(f"{labels_name}: expected {len(images)} labels, one an image, found {len(labels)}")
    if len(labels) == 0:
        raise InputError(f"{images_name}: expected at least one image, found none")
    others = labels[(labels < 0) | (labels > 9)]
    if len(others):
        counts = Counter(others.tolist())
        found = some_of([f"{label} ({count(counts[label])})" for label in sorted(counts)])
        raise InputError(f"{labels_name}: expected labels 0..9, found {found}; leave those images out")
    return Digits(images, labels.long())


def count(images: int) -> str:
    """Such as `1 image`, `5,000 images`."""
    return f"{images:,} image{'' if images == 1 else 's'}"


def by_content(digits: Digits) -> Digits:
    """The same images in an order that says nothing of their labels or files; equal images are neighbours."""
    pairs = zip(digits.images.numpy(), digits.labels.tolist(), strict=True)
    keys = [hashlib.sha256(image).digest() + bytes((label,)) for image, label in pairs]
    order = torch.tensor(sorted(range(len(keys)), key=keys.__getitem__))
    return Digits(digits.images[order], digits.labels[order])


def doubts(train: Digits, test: Digits) -> list[str]:
    """A sentence, with counts, on each thing that may be wrong with images which can be read.

    Images that are black all over, dark ink on light, equal ones, and digits without an image.
    """
    told, seen = list[str](), dict[int, tuple[str, int]]()
    for name, digits in (("training", train), ("test", test)):
        black = int((digits.images.amax(dim=(1, 2)) == 0).sum())
        if black:
            told.append(f"{name}: {count(black)} black all over")
        light = _light_at_the_edge(digits)
        if light > len(digits) / 2:
            told.append(f"{name}: {count(light)} light at the edge; ink is expected to be white (255) on black (0)")
        told += _repeated(name, digits, seen)
        missing = sorted(set(range(10)) - set(digits.labels.tolist()))
        if missing:
            told.append(f"{name}: no image of {', '.join(map(str, missing))}")
    return told


def _light_at_the_edge(digits: Digits) -> int:
    pixels = digits.images.numpy()
    edge = np.concatenate([pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]], axis=1)
    return int((edge.mean(axis=1) > 127).sum())


def _repeated(name: str, digits: Digits, seen: dict[int, tuple[str, int]]) -> list[str]:
    """On images that were there before; `seen` has the place and the label of each by its hash, and grows."""
    within = across = contrary = 0
    for image, label in zip(digits.images.numpy(), digits.labels.tolist(), strict=True):
        place, first = seen.setdefault(hash(image.tobytes()), ("", label))
        within += place == name
        across += place not in ("", name)
        contrary += first != label
        if not place:
            seen[hash(image.tobytes())] = (name, label)
    told = [f"{name}: {count(within)} equal to an earlier one"] if within else []
    told += [f"{name}: {count(across)} equal to one of training: scores on them say little"] if across else []
    return told + ([f"{name}: {count(contrary)} equal to an earlier one of another label"] if contrary else [])
