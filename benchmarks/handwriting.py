"""Digits as hands write them that MNIST has few of: flags on ones, bars on sevens, open fours, hooks under nines.

And pens of any width, gaps in strokes, few pixels.

Images are float [N, 28, 28], paper 0 and ink 1, and places are (column, row) in pixels. Every draw comes from the
generator that is given.
"""

import math

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from digitset.data.augment import maps

SIDE, BOX, MIDDLE = 28, 20, 14  # of MNIST, in pixels
DRAWN = {1: 0.2, 2: 0.15, 4: 0.15, 7: 0.2, 9: 0.2}  # the share of a digit's images in whose place one is drawn
BEND = 0.08  # of half a side, about a pixel: how far a place is moved
ADDED = {1: 0.25, 7: 0.3}  # the share to which a flag or a bar is added
LOOP = 8  # straight strokes of which a loop is made
GAPS = 2  # at most, in a stroke
COARSE, PIXELS = 1 / 8, (10, 19)  # the share of images that are seen in few pixels, and how many on a side, of 28


def any_hand(
    images: UInt8[Tensor, "N 28 28"], labels: Int64[Tensor, " N"], generator: torch.Generator, bend: float = BEND
) -> UInt8[Tensor, "N 28 28"]:
    """MNIST's images, some with other forms of their digits, in another pen, under a random elastic and affine map."""
    ink = images.float() / 255
    for digit, share in ADDED.items():
        if len(some := _chosen(labels == digit, share, generator)):
            ink[some] = centred(torch.maximum(ink[some], ADDITIONS[digit](ink[some], generator)))
    for digit, share in DRAWN.items():
        if len(some := _chosen(labels == digit, share, generator)):
            ink[some] = drawn(digit, len(some), generator)
    return pen_and_map(ink, generator, bend)


def pen_and_map(
    ink: Float[Tensor, "N 28 28"], generator: torch.Generator, bend: float = BEND
) -> UInt8[Tensor, "N 28 28"]:
    """Ink of another width, fading, with gaps or in few pixels, each in some of the images, and under a random map."""
    ink = faded(of_width(ink, generator), generator)
    for _ in range(GAPS):
        ink = with_gap(ink, generator)
    return (255 * coarse(mapped(ink, generator, bend), generator)).round().to(torch.uint8)


def uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)


def _chosen(among: Bool[Tensor, " N"], share: float, generator: torch.Generator) -> Int64[Tensor, " n"]:
    """The places of about such a share of the true ones."""
    return (among & (torch.rand(len(among), generator=generator) < share)).nonzero()[:, 0]


# Other forms.


def strokes(
    starts: Float[Tensor, "N S 2"], ends: Float[Tensor, "N S 2"], width: Float[Tensor, " N"]
) -> Float[Tensor, "N 28 28"]:
    """Straight strokes of a round pen of this width in pixels."""
    row, column = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    place = torch.stack([column, row], dim=-1).float()[None, None]  # [1, 1, 28, 28, 2]
    start, way = starts[:, :, None, None], (ends - starts)[:, :, None, None]
    along = ((place - start) * way).sum(-1) / way.square().sum(-1).clamp(min=1e-6)
    distance = (place - start - along.clamp(0, 1)[..., None] * way).norm(dim=-1).amin(dim=1)
    return (width[:, None, None] / 2 + 0.5 - distance).clamp(0, 1)


def drawn(
    digit: int,
    count: int,
    generator: torch.Generator,
    widths: tuple[float, float] = (1.6, 4.2),
    stretch: tuple[float, float] = (-0.35, 0.6),
) -> Float[Tensor, "N 28 28"]:
    """A digit of `FORMS`, of any proportions, as large as MNIST's.

    Ones with a flag, twos that are narrow on a wide foot, open fours, sevens with a bar or an upright end, nines with a
    hook.

    `widths` of the pen are in pixels; `stretch` is the logarithm of how much wider they become.
    """
    return _as_large_as_mnist(*FORMS[digit](count, generator), widths, stretch, generator)


def upright(
    count: int, generator: torch.Generator, widths: tuple[float, float], stretch: tuple[float, float]
) -> Float[Tensor, "N 28 28"]:
    """Ones that are a stem alone, or in half of them a stem on a foot, as some learn it and as print has it.

    The foot may be on one side alone.
    """
    lean, footed = uniform((count,), -0.08, 0.15, generator), torch.rand(count, generator=generator) < 0.5
    left, right = (uniform((count,), 0, 0.42, generator) * footed for _ in range(2))
    starts, ends = _segments((lean, 0), (-left, 1), count=count), _segments((0, 1), (right, 1), count=count)
    return _as_large_as_mnist(starts, ends, widths, stretch, generator)


def _as_large_as_mnist(
    starts: Float[Tensor, "N S 2"],
    ends: Float[Tensor, "N S 2"],
    widths: tuple[float, float],
    stretch: tuple[float, float],
    generator: torch.Generator,
) -> Float[Tensor, "N 28 28"]:
    """Strokes by pens of these widths, made wider by these logarithms, as large as MNIST's digits and in the middle."""
    count = len(starts)
    width = uniform((count,), *widths, generator)
    points = torch.stack([starts, ends], dim=2)
    points += 0.025 * torch.randn(points.shape, generator=generator)
    points[..., 0] *= torch.exp(uniform((count, 1, 1), *stretch, generator))
    flat = points.flatten(1, 2)
    low, high = flat.amin(dim=1, keepdim=True), flat.amax(dim=1, keepdim=True)
    scale = (BOX - width)[:, None, None] / (high - low).amax(dim=2, keepdim=True)
    points = ((flat - (low + high) / 2) * scale + MIDDLE - 0.5).unflatten(1, (-1, 2))
    return centred(strokes(points[:, :, 0], points[:, :, 1], width))


def _segments(*points: tuple[Tensor | float, Tensor | float], count: int) -> Float[Tensor, "N S 2"]:
    """One place a stroke, each of two numbers or of N of them, as one tensor."""
    columns = [[torch.as_tensor(value, dtype=torch.float32).expand(count) for value in point] for point in points]
    return torch.stack([torch.stack(column, dim=-1) for column in columns], dim=1)


def _path(*points: tuple[Tensor | float, Tensor | float], count: int) -> tuple[Tensor, Tensor]:
    """The strokes from each place to the next."""
    places = _segments(*points, count=count)
    return places[:, :-1], places[:, 1:]


def _one(count: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """A stroke that rises to the top, the stem, and in a third of them a foot."""
    length, angle = uniform((count,), 0.2, 0.75, g), torch.deg2rad(uniform((count,), 32, 68, g))
    begin = (-length * torch.cos(angle), length * torch.sin(angle))
    foot = uniform((count,), 0.1, 0.35, g) * (torch.rand(count, generator=g) < 0.33)
    return _segments(begin, (0, 0), (-foot, 1), count=count), _segments((0, 0), (0, 1), (foot, 1), count=count)


def _two(count: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """An arch of any depth, the stroke down to the left, and a straight foot, which may be the widest part."""
    wide, deep = uniform((count,), 0.25, 0.6, g), uniform((count,), 0.05, 0.3, g)
    turn, back = uniform((count,), 0.12, 0.3, g), uniform((count,), -0.1, 0.15, g)
    foot, tilt = uniform((count,), 0.35, 0.8, g), uniform((count,), -0.06, 0.06, g)
    arch = [(0 * wide, deep), (0.2 * wide, deep / 4), (0.6 * wide, 0), (wide, turn), (0.85 * wide, 1.7 * turn)]
    return _path(*arch, (back, 1), (back + foot, 1 + tilt), count=count)


def _nine(count: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """A loop, the stem at its right, and a hook that comes back to the left and may rise."""
    wide, high = uniform((count,), 0.15, 0.35, g), uniform((count,), 0.17, 0.3, g)
    turns = [2 * math.pi * part / LOOP for part in range(LOOP + 1)]
    loop = [(wide * math.cos(turn), high - high * math.sin(turn)) for turn in turns]
    foot, back = wide - uniform((count,), -0.1, 0.15, g), uniform((count,), 0.2, 0.7, g)
    rise, low = uniform((count,), 0, 0.15, g), uniform((count,), 0.7, 0.9, g)
    hook = [(foot, low), (foot - back / 3, 1), (foot - 0.7 * back, 1), (foot - back, 1 - rise)]
    return _path(*loop, *hook, count=count)


def _seven(count: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """The top, the stem, a bar through the stem or up to it, and in a third of them a short stroke at the left end."""
    wide, left = uniform((count,), 0.35, 0.9, g), uniform((count,), -0.05, 0.1, g)
    foot, at = wide * uniform((count,), 0.1, 1, g), uniform((count,), 0.4, 0.72, g)
    middle = wide + (foot - wide) * at
    back, on = wide * uniform((count,), 0.25, 0.75, g), wide * uniform((count,), 0, 0.4, g)
    tilt = uniform((count,), -0.08, 0.08, g)
    serif = uniform((count,), 0.08, 0.22, g) * (torch.rand(count, generator=g) < 0.33)
    starts = _segments((0, left), (wide, 0), (middle - back, at + tilt), (0, left), count=count)
    ends = _segments((wide, 0), (foot, 1), (middle + on, at - tilt), (0, left + serif), count=count)
    return starts, ends


def _four(count: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """A stroke down, one to the right, and a stem that crosses it or only begins above it."""
    lean, at = uniform((count,), 0, 0.4, g), uniform((count,), 0.4, 0.7, g)
    wide, rise = uniform((count,), 0.45, 0.8, g), uniform((count,), -0.08, 0.04, g)
    stem = wide * uniform((count,), 0.55, 0.95, g) + lean / 3
    top, foot = uniform((count,), 0, 0.95, g) * (at - 0.12), stem - uniform((count,), -0.05, 0.2, g)
    starts = _segments((lean, 0), (0, at), (stem, top), count=count)
    return starts, _segments((0, at), (wide, at + rise), (foot, 1), count=count)


FORMS = {1: _one, 2: _two, 4: _four, 7: _seven, 9: _nine}


def _flag(ink: Float[Tensor, "N 28 28"], g: torch.Generator) -> Float[Tensor, "N 28 28"]:
    """A stroke that falls to the left from the top of the ink."""
    top, high = _extent(ink)
    start = torch.stack([_column(ink, top + 1), top + 1], dim=-1)
    length, angle = high * uniform((len(ink),), 0.2, 0.6, g), torch.deg2rad(uniform((len(ink),), 32, 65, g))
    end = start + torch.stack([-length * torch.cos(angle), length * torch.sin(angle)], dim=-1)
    return strokes(start[:, None], end[:, None], uniform((len(ink),), 2, 3.2, g))


def _bar(ink: Float[Tensor, "N 28 28"], g: torch.Generator) -> Float[Tensor, "N 28 28"]:
    """A stroke across the stem, between four and seven tenths of the height."""
    top, high = _extent(ink)
    row = (top + high * uniform((len(ink),), 0.4, 0.7, g)).round()
    middle, tilt = torch.stack([_column(ink, row), row], dim=-1), uniform((len(ink),), -1, 1, g)
    left = torch.stack([-uniform((len(ink),), 3, 6.5, g), tilt], dim=-1)
    right = torch.stack([uniform((len(ink),), 2, 5, g), -tilt], dim=-1)
    return strokes((middle + left)[:, None], (middle + right)[:, None], uniform((len(ink),), 2, 3.2, g))


ADDITIONS = {1: _flag, 7: _bar}


def _extent(ink: Float[Tensor, "N 28 28"]) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
    """The first row of ink, and how many rows there are to the last."""
    rows = (ink.amax(dim=2) > 0.5).float()
    top = rows.argmax(dim=1)
    return top.float(), (SIDE - 1 - rows.flip(1).argmax(dim=1) - top).float()


def _column(ink: Float[Tensor, "N 28 28"], row: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Where the ink of a row has its middle; the image's middle where the row has none."""
    line = ink[torch.arange(len(ink)), row.long().clamp(0, SIDE - 1)] + 1e-4
    return (line * torch.arange(SIDE)).sum(dim=1) / line.sum(dim=1)


def centred(ink: Float[Tensor, "N 28 28"]) -> Float[Tensor, "N 28 28"]:
    """The centre of mass in the middle."""
    places = torch.arange(SIDE, dtype=torch.float32)
    mass = ink.sum(dim=(1, 2)).clamp(min=1e-6)
    off = torch.stack([(ink.sum(dim=axis) * places).sum(dim=1) / mass - MIDDLE for axis in (1, 2)], dim=-1)
    theta = torch.eye(2, 3).repeat(len(ink), 1, 1)
    theta[:, :, 2] = off * 2 / SIDE
    grid = F.affine_grid(theta, [len(ink), 1, SIDE, SIDE], align_corners=False)
    return F.grid_sample(ink[:, None], grid, align_corners=False)[:, 0]


# Another pen, and the map.


def of_width(ink: Float[Tensor, "N 28 28"], generator: torch.Generator) -> Float[Tensor, "N 28 28"]:
    """Half of the images with strokes thinner by up to most of a pixel or thicker by up to two."""
    some = _chosen(torch.ones(len(ink), dtype=torch.bool), 0.5, generator)
    change, old = uniform((len(some), 1, 1), -0.4, 1, generator), ink[some]
    thick, thin = _highest(old), -_highest(-old)
    changed = ink.clone()
    changed[some] = old + change.clamp(min=0) * (thick - old) + change.clamp(max=0) * (old - thin)
    return changed


def _highest(ink: Float[Tensor, "N 28 28"]) -> Float[Tensor, "N 28 28"]:
    """Of each pixel and its eight neighbours; faster than pooling on a CPU."""
    wide = F.pad(ink, (1, 1, 1, 1), value=-1.0)
    rows = torch.maximum(torch.maximum(wide[:, :-2], wide[:, 1:-1]), wide[:, 2:])
    return torch.maximum(torch.maximum(rows[:, :, :-2], rows[:, :, 1:-1]), rows[:, :, 2:])


def faded(ink: Float[Tensor, "N 28 28"], generator: torch.Generator) -> Float[Tensor, "N 28 28"]:
    """A quarter of the images with ink that fades from one side to the other, to a third at least."""
    angle = uniform((len(ink), 1, 1), 0, 2 * math.pi, generator)
    row, column = torch.meshgrid(torch.linspace(-1, 1, SIDE), torch.linspace(-1, 1, SIDE), indexing="ij")
    way = ((torch.cos(angle) * column + torch.sin(angle) * row) / 0.75).clamp(-1, 1)
    loss = uniform((len(ink), 1, 1), 0, 0.67, generator) * (torch.rand(angle.shape, generator=generator) < 0.25)
    return ink * (1 - loss * (1 + way) / 2)


def with_gap(ink: Float[Tensor, "N 28 28"], generator: torch.Generator) -> Float[Tensor, "N 28 28"]:
    """A sixth of the images with a gap of two to four pixels in a stroke."""
    noise = torch.rand(ink.shape, generator=generator) * (ink > 0.7)
    place = noise.flatten(1).argmax(dim=1)
    row, column = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    distance = torch.hypot(row - (place // SIDE)[:, None, None], (column - (place % SIDE)[:, None, None]).float())
    radius = uniform((len(ink), 1, 1), 1.1, 2.1, generator)
    gap = (distance < radius) & (torch.rand(radius.shape, generator=generator) < 1 / 6)
    return ink.masked_fill(gap, 0)


def mapped(ink: Float[Tensor, "N 28 28"], generator: torch.Generator, bend: float = BEND) -> Float[Tensor, "N 28 28"]:
    """Under random affine maps of strength 1, bent by `bend` of half a side at most (Simard et al. 2003)."""
    grid = F.affine_grid(maps(len(ink), 1, generator), [len(ink), 1, SIDE, SIDE], align_corners=False)
    bends = torch.randn(len(ink), 2, 6, 6, generator=generator) * uniform((len(ink), 1, 1, 1), 0, bend, generator)
    bends = F.interpolate(bends, size=(SIDE, SIDE), mode="bicubic", align_corners=False)
    return F.grid_sample(ink[:, None], grid + bends.permute(0, 2, 3, 1), align_corners=False)[:, 0].clamp(0, 1)


def coarse(ink: Float[Tensor, "N 28 28"], generator: torch.Generator) -> Float[Tensor, "N 28 28"]:
    """Some of the images in as few pixels as small pictures have, made larger again by cubic splines."""
    some = _chosen(torch.ones(len(ink), dtype=torch.bool), COARSE, generator)
    if not len(some):
        return ink
    side = int(torch.randint(*PIXELS, (), generator=generator))
    few = F.interpolate(ink[some][:, None], size=(side, side), mode="area")
    seen = ink.clone()
    seen[some] = F.interpolate(few, size=(SIDE, SIDE), mode="bicubic", align_corners=False)[:, 0].clamp(0, 1)
    return seen
