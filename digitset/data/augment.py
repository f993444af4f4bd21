"""One random affine map per image: rotation, shear, scale and shift. Never a flip: digits are not symmetric."""

import math

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F


def affine(images: UInt8[Tensor, "N 28 28"], strength: float, generator: torch.Generator) -> UInt8[Tensor, "N 28 28"]:
    """Each image under its own random affine map, bilinear, black outside.

    At strength 1: rotation and shear up to 15 degrees, scale .85 to 1.15 (each axis on its own), shift up to 2 pixels,
    all uniform. Strength scales every range; 0 returns the images as they are. Strength is at most 3 (`Run` refuses
    more): scales must be positive and angles below 90 degrees.
    """
    if strength == 0:
        return images
    theta = maps(len(images), strength, generator).to(images.device)
    moved = F.grid_sample(images[:, None].float(), _places(theta), align_corners=False)
    return moved[:, 0].round().to(torch.uint8)


def _places(theta: Float[Tensor, "N 2 3"]) -> Float[Tensor, "N 28 28 2"]:
    """Where each pixel comes from, as x and y in -1..1. torch's `affine_grid` takes three times as long."""
    centre = (2 * torch.arange(28, dtype=theta.dtype, device=theta.device)[:, None] + 1) / 28 - 1
    across, down, shift = theta[:, None].unbind(dim=-1)
    return (across * centre + shift)[:, None] + (down * centre)[:, :, None]


def maps(count: int, strength: float, generator: torch.Generator) -> Float[Tensor, "N 2 3"]:
    """The inverse maps, from output to input coordinates in -1..1, that `affine_grid` takes.

    Draws are of rotation (positive is counter-clockwise), shear (positive leans to the right), width, height, and
    shift to the left and up.
    """
    draws = (2 * torch.rand(6, count, generator=generator) - 1) * strength
    rotation, shear = draws[0] * math.radians(15), torch.tan(draws[1] * math.radians(15))
    wide, high = 1 / (1 + 0.15 * draws[2]), 1 / (1 + 0.15 * draws[3])
    cosine, sine = torch.cos(rotation), torch.sin(rotation)
    shift = draws[4:] * 2 / 14  # 14 pixels are one unit of the grid
    rows = [
        cosine * wide,
        (shear * cosine - sine) * high,
        shift[0],
        sine * wide,
        (shear * sine + cosine) * high,
        shift[1],
    ]
    return torch.stack(rows, dim=1).view(count, 2, 3)
