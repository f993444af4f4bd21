"""Augmentation does what it says: ranges, directions, a draw for each image, black outside, never a flip.

The map of an image is read off what comes out. Of a ramp of greys that rises to the right, an output pixel tells how
far to the right in the input it comes from; of one that rises downwards, how far down.
"""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from digitset.data.augment import affine, maps
from digitset.data.mnist import Splits
from digitset.errors import InputError
from digitset.rng import generator
from digitset.run import STRONGEST, Run

COUNT = 1_000
OFFSET = torch.arange(28.0) - 13.5  # pixels from the middle of the image
ACROSS = OFFSET.expand(28, 28)
DOWN = ACROSS.T


def moved(image: Tensor, strength: float) -> Tensor:
    """Many copies of an image, each under its own map; the same maps for every image."""
    return affine(image.round().to(torch.uint8).expand(COUNT, 28, 28), strength, generator(0, "test")).float()


@dataclass(frozen=True)
class Maps:
    """input = matrix @ output + shift, in pixels from the middle, x to the right and y down."""

    matrix: Tensor
    shift: Tensor

    @classmethod
    def of(cls, strength: float) -> "Maps":
        sources = [(moved(9 * ramp + 128.5, strength) - 128.5) / 9 for ramp in (ACROSS, DOWN)]
        inside = torch.maximum(ACROSS.abs(), DOWN.abs()) < (5 if strength <= 1.5 else 2)  # comes from inside the image
        outputs = torch.stack([ACROSS[inside], DOWN[inside], torch.ones(int(inside.sum()))], dim=1)
        solved = (torch.linalg.pinv(outputs) @ torch.stack([each[:, inside] for each in sources], dim=2)).mT
        return cls(solved[:, :, :2], solved[:, :, 2])

    @property
    def determinant(self) -> Tensor:
        return torch.linalg.det(self.matrix)

    @property
    def parts(self) -> dict[str, Tensor]:
        """Angles in degrees, factors of the size, pixels."""
        across, down = self.matrix[:, :, 0], self.matrix[:, :, 1]
        width = 1 / across.norm(dim=1)
        height = 1 / (self.determinant * width)
        return {
            "rotation": torch.rad2deg(torch.atan2(across[:, 1], across[:, 0])),
            "shear": torch.rad2deg(torch.atan((across * down).sum(dim=1) * width * height)),
            "width": width,
            "height": height,
            "left": self.shift[:, 0],
            "up": self.shift[:, 1],
        }


RANGES = {"rotation": (0, 15), "shear": (0, 15), "width": (1, 0.15), "height": (1, 0.15), "left": (0, 2), "up": (0, 2)}


@pytest.mark.parametrize("strength", [0.5, 1.0, 1.5])
def test_ranges_are_those_of_the_docstring_times_the_strength(strength: float) -> None:
    parts = Maps.of(strength).parts
    assert parts.keys() == RANGES.keys()
    for name, (middle, half) in RANGES.items():
        draws = (parts[name] - middle) / (half * strength)
        assert 0.97 < draws.max() < 1.06, name
        assert -1.06 < draws.min() < -0.97, name
        assert abs(draws.mean()) < 0.06, name
        assert draws.std() == pytest.approx(3**-0.5, abs=0.04), f"{name} is not uniform"
    together = torch.corrcoef(torch.stack(list(parts.values())))
    assert (together - torch.eye(6)).abs().max() < 0.12, "two draws depend on each other"


def test_each_image_has_its_own_draw() -> None:
    assert len(Maps.of(1.0).matrix.unique(dim=0)) == COUNT


def test_directions() -> None:
    """A positive draw of rotation turns counter-clockwise; shear leans to the right; a shift is to the left and up."""
    draws = 2 * torch.rand(6, COUNT, generator=generator(0, "test")) - 1
    parts = Maps.of(1.0).parts
    for draw, (name, (middle, half)) in zip(draws, RANGES.items(), strict=True):
        torch.testing.assert_close(parts[name], middle + half * draw, rtol=0, atol=0.1 * half, msg=name)

    def place(x: int, y: int) -> tuple[Tensor, Tensor]:
        """Where a dot of the input is in the output."""
        dot = torch.zeros(28, 28)
        dot[y - 1 : y + 2, x - 1 : x + 2] = 255
        ink = moved(dot, 1.0)
        across, down = ((ink * axis).sum(dim=(1, 2)) / ink.sum(dim=(1, 2)) for axis in (ACROSS, DOWN))
        return across, down

    (left, right), clear = (place(6, 14), place(21, 14)), draws.abs() > 0.1
    higher = left[1] - right[1]  # by how much the right end of a level line is above its left end
    assert torch.equal(higher[clear[0]] > 0, draws[0][clear[0]] > 0)
    middle = [(a + b) / 2 for a, b in zip(left, right, strict=True)]
    assert torch.corrcoef(torch.stack([middle[0], draws[4]]))[0, 1] < -0.9
    assert torch.corrcoef(torch.stack([middle[1], draws[5]]))[0, 1] < -0.9


def test_outside_is_black() -> None:
    maps = Maps.of(1.5)
    outputs = torch.stack([ACROSS, DOWN], dim=-1)
    farthest = (outputs @ maps.matrix.mT[:, None] + maps.shift[:, None, None]).abs().amax(dim=3)
    white = moved(torch.full((28, 28), 255.0), 1.5)
    assert (white[farthest > 14.8] == 0).all()
    assert (white[farthest < 13.2] == 255).all()
    assert (farthest > 14.8).any(dim=(1, 2)).float().mean() > 0.9


def test_an_image_is_never_flipped_and_an_upright_stroke_never_points_down() -> None:
    Run("sum", augmentation_strength=STRONGEST)
    maps = Maps.of(STRONGEST)
    assert maps.determinant.min() > 0
    assert maps.parts["rotation"].abs().max() < 48
    up = torch.linalg.solve(maps.matrix, torch.tensor([0.0, -1.0]).expand(COUNT, 2))
    assert up[:, 1].max() < 0


@pytest.mark.parametrize("strength", [-0.1, STRONGEST + 0.1, float("nan"), float("inf")])
def test_a_strength_that_maps_cannot_have_is_refused(strength: float) -> None:
    with pytest.raises(
        InputError, match=r"--augmentation-strength: expected a (number from 0 to 3|finite number), got"
    ):
        Run("sum", augmentation_strength=strength)


def test_it_is_a_function_of_its_generator(mnist: Splits) -> None:
    images = mnist.train.images[:64]
    first = affine(images, 1.0, generator(0, "a"))
    assert torch.equal(first, affine(images, 1.0, generator(0, "a")))
    assert not torch.equal(first, affine(images, 1.0, generator(0, "b")))
    assert torch.equal(affine(images, 0, generator(0, "a")), images)
    assert (affine(images, 1e-4, generator(0, "a")).float() - images.float()).abs().max() <= 2


def test_the_maps_are_applied_as_torch_applies_them(mnist: Splits) -> None:
    images = mnist.train.images[:256]
    grid = F.affine_grid(maps(len(images), 1.0, generator(0, "a")), [len(images), 1, 28, 28], align_corners=False)
    expected = F.grid_sample(images[:, None].float(), grid, align_corners=False)[:, 0]
    assert (affine(images, 1.0, generator(0, "a")).float() - expected).abs().max() <= 0.501  # rounded
