"""MNIST's digits as people's pictures would show: at any size, in ink on paper, in uneven light, alone or in a row.

Every draw comes from the generator that is given, so that a seed gives the same pictures again.
"""

import io
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import Image
from scipy import ndimage

Grey = Float32[np.ndarray, "H W"]


def clean(image: UInt8[np.ndarray, "28 28"], draw: np.random.Generator) -> Grey:
    """A digit of 20 to 400 pixels, with a margin of one pixel or of up to its own size, of either polarity."""
    rows, columns = np.nonzero(image)
    ink = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    size = 20 * 20 ** draw.uniform()
    ink = enlarged(ink, size / 20)
    margin = draw.integers(2, max(3, int(size)), 4) if draw.uniform() < 0.8 else np.array([1, 1, 1, 1])
    ink = np.pad(ink, (margin[:2], margin[2:]))
    return ink if draw.uniform() < 0.5 else 1 - ink


def photographed(image: UInt8[np.ndarray, "28 28"], draw: np.random.Generator) -> Grey:
    """A digit of 60 to 240 pixels somewhere on a larger sheet, turned and sheared by up to 10 degrees, as a JPEG."""
    size = draw.uniform(60, 240)
    ink = slanted(enlarged(np.pad(image, 2), size / 20), draw)
    sheet = np.zeros([int(side + draw.uniform(0, 2.5) * size) for side in ink.shape], np.float32)
    top, left = (draw.integers(0, whole - part + 1) for whole, part in zip(sheet.shape, ink.shape, strict=True))
    sheet[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return on_paper(sheet, draw)


def row(images: UInt8[np.ndarray, "n 28 28"], draw: np.random.Generator) -> Grey:
    """Digits beside one another, of somewhat different sizes, that do not touch; the row climbs or falls, as a JPEG."""
    size = draw.uniform(50, 120)
    parts, climb = [], np.tan(np.radians(draw.uniform(-8, 8)))
    for image in images:
        ink = slanted(enlarged(image, size * draw.uniform(0.85, 1.15) / 20), draw)
        columns = np.nonzero(ink.max(axis=0) > 0.1)[0]
        parts.append(ink[:, columns.min() : columns.max() + 1])
    gaps = draw.uniform(0.15, 0.7, len(parts)) * size
    wide = int(sum(part.shape[1] for part in parts) + gaps.sum() + 2 * size)
    sheet = np.zeros((int(size * 3.5 + abs(climb) * wide), wide), np.float32)
    left = size
    for part, gap in zip(parts, gaps, strict=True):
        middle = sheet.shape[0] / 2 + climb * (left - wide / 2) + draw.uniform(-0.1, 0.1) * size
        top = int(middle - part.shape[0] / 2)
        sheet[top : top + part.shape[0], int(left) : int(left) + part.shape[1]] += part
        left += part.shape[1] + gap
    return on_paper(np.clip(sheet, 0, 1), draw)


def enlarged(image: UInt8[np.ndarray, "h w"], scale: float) -> Grey:
    """0 paper .. 1 ink, by cubic splines between pixels."""
    high, wide = (max(1, round(side * scale)) for side in image.shape)
    ink = Image.fromarray(image.astype(np.float32) / 255).resize((wide, high), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(ink), 0, 1)


def slanted(ink: Grey, draw: np.random.Generator) -> Grey:
    """Turned and sheared about its middle, each by up to 10 degrees."""
    turn, shear = np.radians(draw.uniform(-10, 10, 2))
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ [[1, 0], [np.tan(shear), 1]]
    middle = (np.array(ink.shape) - 1) / 2
    shift: Any = middle - matrix @ middle  # one number an axis, which SciPy's types do not know
    return np.clip(ndimage.affine_transform(ink, matrix, shift, order=1), 0, 1)


def on_paper(ink: Float[np.ndarray, "H W"], draw: np.random.Generator) -> Grey:
    """Dark ink on grainy paper, in light that falls off to one side and under a soft shadow, with a camera's noise."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in ink.shape), indexing="ij")
    angle, shadow = draw.uniform(0, 2 * np.pi, 2)
    light = 1 - draw.uniform(0.05, 0.3) * (1 + np.cos(angle) * x + np.sin(angle) * y) / 2
    edge = np.cos(shadow) * x + np.sin(shadow) * y - draw.uniform(-0.5, 0.5)
    light *= 1 - draw.uniform(0, 0.25) / (1 + np.exp(-edge / draw.uniform(0.05, 0.3)))
    grain = ndimage.gaussian_filter(draw.normal(size=ink.shape), 2) * draw.uniform(0, 0.04)
    paper, dark = draw.uniform(0.75, 1), draw.uniform(0.1, 0.45)
    grey = (paper + grain) * light * (1 - (1 - dark) * ink)
    grey = ndimage.gaussian_filter(grey, draw.uniform(0, 1.2)) + draw.normal(0, draw.uniform(0.005, 0.04), ink.shape)
    return through_jpeg(np.clip(grey, 0, 1).astype(np.float32), int(draw.integers(40, 95)))


def through_jpeg(grey: Grey, quality: int) -> Grey:
    file = io.BytesIO()
    Image.fromarray(np.round(grey * 255).astype(np.uint8)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file), np.float32) / 255


# The kinds that go wrong: what people's pictures have beside a digit on plain paper. One digit each.


def bordered(image: UInt8[np.ndarray, "28 28"], draw: np.random.Generator) -> Grey:
    """A digit on paper with a dark edge, of one pixel or of a tenth of the picture, along one to four sides."""
    grey = photographed(image, draw) if draw.uniform() < 0.5 else 1 - _on_sheet(image, draw, 30, 120)
    wide = 1 if draw.uniform() < 0.4 else int(draw.integers(1, max(2, min(grey.shape) // 10)))
    sides = draw.uniform(size=4) < 0.6
    sides[draw.integers(4)] = True
    dark = draw.uniform(0, 0.3)
    grey = np.pad(grey, [(wide * sides[0], wide * sides[1]), (wide * sides[2], wide * sides[3])], constant_values=dark)
    return through_jpeg(grey.astype(np.float32), 90)


def cell(image: UInt8[np.ndarray, "28 28"], draw: np.random.Generator) -> Grey:
    """A cell of a printed grid, cut along its lines, so that parts of them are at the edges; turned a little."""
    side = int(draw.integers(36, 110))
    ink = enlarged(image, draw.uniform(0.5, 0.72) * side / 20)
    room = 2 * side
    sheet = np.zeros((room, room), np.float32)
    top, left = (int(room / 2 - part / 2 + draw.uniform(-0.06, 0.06) * side) for part in ink.shape)
    sheet[top : top + ink.shape[0], left : left + ink.shape[1]] = ink * draw.uniform(0.7, 1)
    line = draw.uniform(0.02, 0.07, 4) * side
    for edge, wide in zip((-0.5, 0.5), line[:2], strict=True):
        at = room / 2 + edge * side
        sheet[int(at - wide / 2) : max(int(at + wide / 2), int(at - wide / 2) + 1)] = 1
    for edge, wide in zip((-0.5, 0.5), line[2:], strict=True):
        at = room / 2 + edge * side
        sheet[:, int(at - wide / 2) : max(int(at + wide / 2), int(at - wide / 2) + 1)] = 1
    sheet = np.clip(ndimage.rotate(sheet, draw.uniform(-2, 2), reshape=False, order=1), 0, 1)
    half = side / 2 + draw.uniform(-0.04, 0.03) * side
    low, high = int(room / 2 - half), int(room / 2 + half)
    return on_paper(sheet[low:high, low:high], draw)


def tight(image: UInt8[np.ndarray, "28 28"], draw: np.random.Generator) -> Grey:
    """A digit that fills its picture: its ink reaches all four edges. 12 to 80 pixels, of either polarity."""
    rows, columns = np.nonzero(image)
    ink = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    ink = enlarged(ink, draw.uniform(12, 80) / 20)
    return ink if draw.uniform() < 0.5 else 1 - ink


def broken(image: UInt8[np.ndarray, "28 28"], draw: np.random.Generator) -> Grey:
    """A stroke with one or two gaps, as a pen leaves that skips; of 28 pixels or more, of either polarity."""
    ink = image.astype(np.float32) / 255
    points = np.argwhere(ink > 0.7)
    y, x = np.mgrid[:28, :28]
    for _ in range(int(draw.integers(1, 3))):
        row, column = points[draw.integers(len(points))]
        ink *= np.hypot(y - row, x - column) > draw.uniform(1.2, 2.2)
    scale = 1 if draw.uniform() < 0.5 else draw.uniform(2, 6)
    ink = np.pad(enlarged((ink * 255).astype(np.uint8), scale), int(draw.integers(0, int(3 * scale) + 1)))
    return ink if draw.uniform() < 0.5 else 1 - ink


def uneven(image: UInt8[np.ndarray, "28 28"], draw: np.random.Generator) -> Grey:
    """Ink that fades from one end to the other, to a quarter of itself, as a dry pen leaves."""
    ink = enlarged(np.pad(image, 6), draw.uniform(40, 200) / 20)
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in ink.shape), indexing="ij")
    angle = draw.uniform(0, 2 * np.pi)
    way = np.clip((np.cos(angle) * x + np.sin(angle) * y) / 0.8, -1, 1)
    return on_paper(ink * (0.625 + 0.375 * way), draw)


def faint(image: UInt8[np.ndarray, "28 28"], draw: np.random.Generator) -> Grey:
    """Ink that is 8 to 15 % darker than its paper, with a little noise."""
    ink = _on_sheet(image, draw, 40, 200)
    grey = draw.uniform(0.75, 0.98) * (1 - draw.uniform(0.08, 0.15) * ink)
    grey += draw.normal(0, draw.uniform(0.002, 0.01), ink.shape)
    return through_jpeg(np.clip(grey, 0, 1).astype(np.float32), 92)


def small(image: UInt8[np.ndarray, "28 28"], draw: np.random.Generator) -> Grey:
    """A digit of 16 to 30 pixels on a sheet of 800 to 2,000."""
    ink = enlarged(image, draw.uniform(16, 30) / 20)
    sheet = np.zeros(tuple(int(side) for side in draw.integers(800, 2_000, 2)), np.float32)
    top, left = (draw.integers(20, whole - part - 20) for whole, part in zip(sheet.shape, ink.shape, strict=True))
    sheet[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    grey = draw.uniform(0.8, 1) * (1 - draw.uniform(0.6, 0.9) * sheet) + draw.normal(0, 0.01, sheet.shape)
    return through_jpeg(np.clip(grey, 0, 1).astype(np.float32), 90)


def _on_sheet(image: UInt8[np.ndarray, "28 28"], draw: np.random.Generator, least: float, most: float) -> Grey:
    """Ink 1 on paper 0, with margins of up to its own size."""
    rows, columns = np.nonzero(image)
    ink = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    size = draw.uniform(least, most)
    ink = slanted(np.pad(enlarged(ink, size / 20), int(size / 6)), draw)
    return np.pad(ink, [tuple(draw.integers(2, max(3, int(size)), 2)) for _ in range(2)])


# Several digits each, in reading order.


def touching(images: UInt8[np.ndarray, "2 28 28"], draw: np.random.Generator) -> Grey:
    """Two digits whose ink meets."""
    size = draw.uniform(50, 120)
    left, right = (slanted(np.pad(enlarged(image, size / 20), 4), draw) for image in images)
    sheet = np.zeros((max(left.shape[0], right.shape[0]), left.shape[1] + right.shape[1]), np.float32)
    sheet[: left.shape[0], : left.shape[1]] = left
    for at in range(left.shape[1], 0, -1):  # closer until they meet
        over = sheet[: right.shape[0], at : at + right.shape[1]]
        if ((over > 0.5) & (right > 0.5)).any() or at == 1:
            over[:] = np.maximum(over, right)
            break
    return on_paper(np.pad(sheet, int(size / 2)), draw)


def boxed(images: UInt8[np.ndarray, "n 28 28"], draw: np.random.Generator) -> Grey:
    """Digits in a box of a form, or in one box each, which they do not touch."""
    size = draw.uniform(24, 80)
    step, high = 1.5 * size, int(2.2 * size)
    sheet = np.zeros((high, int(step * len(images) + size)), np.float32)
    line = max(1, int(draw.uniform(0.02, 0.07) * size))
    for index, image in enumerate(images):
        _put(sheet, image, size, (high / 2, size / 2 + step * (index + 0.5)), draw)
    top, bottom, left, right = (
        int(0.3 * size),
        high - int(0.3 * size),
        int(size / 2),
        int(size / 2 + step * len(images)),
    )
    sheet[top : top + line, left:right] = sheet[bottom - line : bottom, left:right] = 1
    each = draw.uniform() < 0.5
    for at in np.arange(left, right + 1, step if each else right - left):
        sheet[top:bottom, int(at) : int(at) + line] = 1
    return on_paper(np.pad(sheet, int(size / 2)), draw)


def ruled(images: UInt8[np.ndarray, "n 28 28"], draw: np.random.Generator) -> Grey:
    """A row on ruled paper, whose lines go from edge to edge and may touch the digits; lighter than ink."""
    size = draw.uniform(40, 90)
    sheet = np.zeros((int(4.5 * size), int(1.3 * size * len(images) + 2 * size)), np.float32)
    apart, line = draw.uniform(1.2, 1.7) * size, max(1, int(draw.uniform(0.01, 0.035) * size))
    base = sheet.shape[0] / 2 + size / 2
    for at in np.arange(base % apart, sheet.shape[0], apart):
        sheet[int(at) : int(at) + line] = draw.uniform(0.35, 0.6)
    ink = np.zeros_like(sheet)
    for index, image in enumerate(images):
        middle = base - size / 2 + draw.uniform(-0.12, 0.03) * size
        _put(ink, image, size, (middle, size + 1.3 * size * (index + 0.5)), draw)
    return on_paper(np.maximum(sheet, ink), draw)


def gridded(images: UInt8[np.ndarray, "n 28 28"], draw: np.random.Generator) -> Grey:
    """A grid of squares with a digit in each, three in a row, as a Sudoku has them."""
    side = int(draw.integers(40, 90))
    rows = -(-len(images) // 3)
    sheet = np.zeros((rows * side + 1, 3 * side + 1), np.float32)
    for index, image in enumerate(images):
        centre = ((index // 3 + 0.5) * side, (index % 3 + 0.5) * side)
        _put(sheet, image, draw.uniform(0.5, 0.62) * side, centre, draw)
    sheet = np.pad(sheet, side)
    line = draw.integers(1, max(2, side // 14), 2)
    for at in range(rows + 1):
        sheet[side + at * side : side + at * side + line[at % 2], side : 4 * side] = 1
    for at in range(4):
        sheet[side : side + rows * side, side + at * side : side + at * side + line[at % 2]] = 1
    return on_paper(sheet, draw)


def panels(images: UInt8[np.ndarray, "n 28 28"], draw: np.random.Generator) -> Grey:
    """A screenshot: the first half of the digits dark on light, the others light on dark beside them."""
    parts, size = [], draw.uniform(30, 80)
    for index, half in enumerate(np.array_split(np.arange(len(images)), 2)):
        sheet = np.zeros((int(2.2 * size), int(1.3 * size * len(half) + size)), np.float32)
        for place, number in enumerate(half):
            _put(sheet, images[number], size, (sheet.shape[0] / 2, size / 2 + 1.3 * size * (place + 0.5)), draw)
        paper, ink = (draw.uniform(0.9, 1), draw.uniform(0, 0.2))[:: 1 - 2 * index]
        parts.append(paper + (ink - paper) * sheet)
    return np.concatenate(parts, axis=1).astype(np.float32)


def signed(images: UInt8[np.ndarray, "n 28 28"], draw: np.random.Generator) -> Grey:
    """A row with a sign between two digits: divided by, minus, plus, equals."""
    size, signs = draw.uniform(40, 90), len(images) - 1
    sheet = np.zeros((int(2.5 * size), int(size * (2 * len(images) + 1))), np.float32)
    for index, image in enumerate(images):
        _put(sheet, image, size, (sheet.shape[0] / 2, size * (2 * index + 1)), draw)
    pen, half = max(2, int(0.09 * size)), int(0.28 * size)
    for index in range(signs):
        row, column = sheet.shape[0] // 2, int(size * (2 * index + 2))
        for kind in (("bar", "above", "below"), ("bar",), ("bar", "upright"), ("high", "low"))[draw.integers(4)]:
            top, left, high, wide = {
                "bar": (row, column - half, pen, 2 * half),
                "upright": (row - half, column, 2 * half, pen),
                "above": (row - half, column - pen // 2, pen, pen),
                "below": (row + half, column - pen // 2, pen, pen),
                "high": (row - half // 2, column - half, pen, 2 * half),
                "low": (row + half // 2, column - half, pen, 2 * half),
            }[kind]
            sheet[top : top + high, left : left + wide] = 1
    return on_paper(ndimage.gaussian_filter(sheet, 0.7), draw)


def dry(images: UInt8[np.ndarray, "n 28 28"], draw: np.random.Generator) -> Grey:
    """Rows of five in the thin strokes of a pen that runs dry: each fades to an eighth and back, again and again."""
    size, rows = draw.uniform(45, 80), -(-len(images) // 5)
    ink = np.zeros((int((2 * rows + 1) * size), int(8 * size)), np.float32)
    for index, image in enumerate(images):
        _put(ink, image, size, ((2 * (index // 5) + 1) * size, (1.5 * (index % 5) + 1) * size), draw)
    ink = np.maximum(ndimage.grey_erosion(ink, int(size / 20)), 0)
    flow = ndimage.gaussian_filter(draw.normal(size=ink.shape), size / 7)
    ink *= np.clip(0.55 + 0.45 * flow / flow.std(), 0.12, 1)
    grey = draw.uniform(0.9, 1) * (1 - draw.uniform(0.65, 0.85) * ink) + draw.normal(0, 0.004, ink.shape)
    return np.clip(grey, 0, 1).astype(np.float32)


def page(images: UInt8[np.ndarray, "n 28 28"], draw: np.random.Generator) -> Grey:
    """A scanned page: rows of ten digits of 30 to 50 pixels on a large sheet."""
    size = draw.uniform(30, 50)
    rows = -(-len(images) // 10)
    sheet = np.zeros((int(rows * 2.2 * size + 6 * size), int(25 * size)), np.float32)
    for index, image in enumerate(images):
        _put(sheet, image, size, ((index // 10 + 1.5) * 2.2 * size, (index % 10 + 1.5) * 2 * size), draw)
    return on_paper(sheet, draw)


def numbers(images: UInt8[np.ndarray, "n 28 28"], rows: list[list[int]], draw: np.random.Generator) -> Grey:
    """A page of numbers: `rows` says how many digits the numbers of each row have, from left to right."""
    size = draw.uniform(30, 60)
    widest = max(1.1 * sum(row) + 1.6 * len(row) for row in rows)
    sheet = np.zeros((int(2.1 * size * (len(rows) + 1)), int(1.15 * size * (widest + 1))), np.float32)
    each = iter(images)
    for line, row in enumerate(rows, 1):
        left = size
        for length in row:
            for _ in range(length):
                _put(sheet, next(each), size, (2.1 * size * line, left + size / 2), draw)
                left += size * draw.uniform(1.1, 1.25)
            left += size * draw.uniform(1.1, 1.5)
    return on_paper(sheet, draw)


def _put(
    sheet: Grey, image: UInt8[np.ndarray, "28 28"], size: float, centre: tuple[float, float], draw: np.random.Generator
) -> None:
    """Adds a digit of about this height whose box is in the middle of a place, somewhat slanted and displaced."""
    rows, columns = np.nonzero(image)
    ink = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    ink = enlarged(ink, draw.uniform(0.9, 1.05) * size / max(ink.shape))
    ink = slanted(np.pad(ink, 2), draw)
    top, left = (
        round(at - part / 2 + draw.uniform(-0.04, 0.04) * size) for at, part in zip(centre, ink.shape, strict=True)
    )
    there = sheet[max(0, top) : top + ink.shape[0], max(0, left) : left + ink.shape[1]]
    ink = ink[max(0, -top) :, max(0, -left) :][: there.shape[0], : there.shape[1]]
    np.maximum(there, ink, out=there)


ONE = {
    "clean": clean,
    "photographed": photographed,
    "with a dark edge": bordered,
    "cells cut along their lines": cell,
    "filling the picture": tight,
    "strokes in pieces": broken,
    "uneven ink": uneven,
    "faint pen": faint,
    "small on a large sheet": small,
}
SEVERAL = {  # and how many digits are on each picture
    "in rows": (row, 5),
    "touching": (touching, 2),
    "in boxes": (boxed, 4),
    "on ruled paper": (ruled, 5),
    "in a grid": (gridded, 9),
    "in two polarities": (panels, 6),
    "with signs between": (signed, 4),
    "a pen that runs dry": (dry, 10),
    "on a page": (page, 50),
}
