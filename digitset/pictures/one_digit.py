"""Does a picture show one digit? The probability, and what it looks like if not; for pictures that people open.

The models themselves answer with a digit whatever they see. This small network saw digits beside letters, signs, lines
and the like; `benchmarks/one_digit.py` makes it. `benchmarks/refused.py` measures it.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors.torch import load
from torch import Tensor, nn

from digitset.encoders.unpadded import Unpadded
from digitset.errors import InputError

WEIGHTS = Path(__file__).with_suffix(".safetensors")
KINDS = ("one digit", "letters", "a sign", "several digits", "a part of a digit", "lines", "a blot")
CUT = "cut the picture to one digit"
LEAST = 0.2  # what is less probably one digit is refused; chosen on validation images


class OneDigit(nn.Module):
    """Images -> a logit for each of `KINDS`."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Unpadded(width=64, channels=16)
        self.head = nn.Linear(64, len(KINDS))

    def forward(self, images: UInt8[Tensor, "N 28 28"]) -> Float[Tensor, "N K"]:
        pixels = (images[:, None].float() / 255).contiguous(memory_format=torch.channels_last)
        return self.head(self.encoder(pixels).relu())


@dataclass(frozen=True)
class Looks:
    """`one_digit` is the probability that a picture shows one digit.

    `like` is "one digit" if that is at least .5, and else the most probable of the other `KINDS`.
    """

    one_digit: float
    like: str

    @property
    def refused(self) -> bool:
        return self.one_digit < LEAST


@functools.cache
def network() -> OneDigit:
    """The network of the package, ready to answer."""
    trained = OneDigit()
    trained.load_state_dict({name: tensor.float() for name, tensor in load(WEIGHTS.read_bytes()).items()})
    return trained.eval()


def expect_one_digit(looks: Looks, name: str, advice: str = CUT) -> None:
    """Raises InputError, which begins with `name` and ends with what to do, for a picture that is refused."""
    if looks.refused:
        chance = f"probability of one digit {looks.one_digit:.3f}"
        raise InputError(f"{name}: expected one digit, found what looks like {looks.like} ({chance}); {advice}")


@torch.inference_mode()
def look(images: Sequence[UInt8[np.ndarray, "28 28"]]) -> list[Looks]:
    """What each of some images looks like: white ink (255) on black (0), as `normalize` makes them."""
    if not images:
        return []
    probabilities = network()(torch.from_numpy(np.stack(images))).softmax(dim=1)
    others = 1 + probabilities[:, 1:].argmax(dim=1)
    return [
        Looks(float(each[0]), KINDS[0 if each[0] >= 0.5 else int(other)])
        for each, other in zip(probabilities, others, strict=True)
    ]
