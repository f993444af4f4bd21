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
