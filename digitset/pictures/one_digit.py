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

from digitset.device import plain_torch
from digitset.encoders.unpadded import Unpadded
from digitset.errors import InputError
from digitset.pictures.segment import LOOKS_LIKE

WEIGHTS = Path(__file__).with_suffix(".safetensors")
KINDS = ("one digit", "letters", "a sign", "several digits", "a part of a digit", "lines", "a blot")
CUT = "cut the picture to one digit"
LEAST = 0.1  # what is less probably one digit is refused; chosen on validation images


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

    def among(self, count: int) -> "Looks":
        """The same of a picture on which so many digits are found: this is the one that is meant with 1 / count."""
        if count < 2:
            return self
        one_digit = self.one_digit / count
        return Looks(one_digit, self.like if self.like != KINDS[0] or one_digit >= 0.5 else "several digits")

    @property
    def refused(self) -> bool:
        return self.one_digit < LEAST

    @property
    def instead(self) -> str | None:
        """What it looks like, in words, if it is refused."""
        return f"{LOOKS_LIKE}{self.like}" if self.refused else None


@functools.cache
def network() -> OneDigit:
    """The network of the package, ready to answer."""
    with torch.device("meta"):  # its initial weights are drawn from nothing
        trained = OneDigit()
    weights = load(WEIGHTS.read_bytes())
    weights = {name: each.float() if each.is_floating_point() else each for name, each in weights.items()}
    trained.load_state_dict(weights, assign=True)
    return trained.eval()


def expect_one_digit(looks: Looks, name: str, advice: str = CUT) -> None:
    """Raises InputError, which begins with `name` and ends with what to do, for a picture that is refused."""
    if looks.refused:
        chance = f"probability of one digit {looks.one_digit:.3f}"
        raise InputError(f"{name}: expected one digit, found what looks like {looks.like} ({chance}); {advice}")


def may_be_several(images: UInt8[np.ndarray, "n 28 28"]) -> list[bool]:
    """Whether each of some marks may be digits that touch: what is almost certainly something else may not."""
    if not len(images):
        return []
    probabilities = _probabilities(images)
    digits = probabilities[:, 0] + probabilities[:, KINDS.index("several digits")]
    return (digits >= LEAST).tolist()


def look_at_marks(
    images: Sequence[UInt8[np.ndarray, "28 28"]], name: str = "picture", of_several: str = CUT, among: int = 1
) -> tuple[list[Looks], list[str]]:
    """What each of the marks of a picture looks like, and notes on those that are more probably no digit.

    `among` is how many digits are found where one is looked at. Raises InputError if all are refused, as
    `expect_one_digit` does for the first; `of_several` is its advice for several digits.
    """
    looks = [each.among(among) for each in look(images)]
    if looks and all(each.refused for each in looks):
        expect_one_digit(looks[0], name, of_several if looks[0].like == "several digits" else CUT)
    notes = list[str]()
    for place, each in enumerate(looks, 1):
        if among > 1 and each.like == "several digits":
            notes.append(f"{name}: read as one digit, but there may be {among} on it; {of_several}")
        elif each.one_digit < 0.5:
            which = "" if len(looks) == 1 else f"of {len(looks)} marks, number {place} "
            fate = "is left out: it" if each.refused else "is read as a digit, but"
            chance = f"probability of one digit {each.one_digit:.3f}"
            notes.append(f"{name}: {which}{fate} looks like {each.like} ({chance})")
    return looks, notes


@plain_torch()
@torch.inference_mode()
def _probabilities(images: UInt8[np.ndarray, "n 28 28"]) -> Float[Tensor, "n K"]:
    """Of each of `KINDS`."""
    return network()(torch.from_numpy(images)).softmax(dim=1)


def look(images: Sequence[UInt8[np.ndarray, "28 28"]]) -> list[Looks]:
    """What each of some images looks like: white ink (255) on black (0), as `normalize` makes them."""
    if not images:
        return []
    probabilities = _probabilities(np.stack(images))
    others = 1 + probabilities[:, 1:].argmax(dim=1)
    return [
        Looks(float(each[0]), KINDS[0 if each[0] >= 0.5 else int(other)])
        for each, other in zip(probabilities, others, strict=True)
    ]
