"""One figure of pages: each picture with a box around every digit, what is read there, and what was left out."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from jaxtyping import Bool
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from digitset.pictures.number import Numbers, ReadDigit
from digitset.pictures.segment import Page
from digitset.report.figures import COLOURS, INK, SHEET_STYLE, save, shortened

WIDE, TALLEST = 8.5, 11.0  # inches: a page's width, and its height at most
DOUBTFUL = 0.9  # certainty under which a digit's box has another colour
DIGIT, DOUBT, LEFT_OUT = COLOURS[0], "#EE7733", COLOURS[3]
SMALLEST, LARGEST = 4.0, 11.0  # points of text


def draw_pages(path: Path, title: str, pages: list[tuple[Page, Numbers]]) -> None:
    """Draws pages, one under the other, into a PNG, SVG or PDF: at least one, each with the numbers read on it."""
    sizes = [_size(page) for page, _ in pages]
    with mpl.rc_context(SHEET_STYLE):
        high = sum(size[1] + 0.4 for size in sizes) + 0.9
        figure = Figure(figsize=(WIDE, high), layout="constrained")
        rows = figure.subplots(len(pages), 1, squeeze=False, height_ratios=[size[1] for size in sizes])
        for axes, (page, numbers), (wide, _) in zip(rows[:, 0], pages, sizes, strict=True):
            _draw_page(axes, page, numbers, 72 * wide)
        keys = [
            Patch(fill=False, ec=DIGIT, label="a digit: what is read above, its certainty below"),
            Patch(fill=False, ec=DOUBT, label=f"certainty under {DOUBTFUL}"),
            Line2D([], [], color=LEFT_OUT, ls="--", label="left out"),
        ]
        figure.suptitle(title, fontsize=11)
        figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), fontsize=8)
        save(figure, path)


def _size(page: Page) -> tuple[float, float]:
    """Inches of a page: as wide as the figure, unless it were too tall."""
    high, wide = page.grey.shape
    by = min(WIDE / wide, TALLEST / high)
    return wide * by, high * by


def _draw_page(axes: Axes, page: Page, numbers: Numbers, points: float) -> None:
    """`points` is the width of the page in the figure."""
    high, wide = page.shape
    extent = (0, wide, high, 0)
    axes.imshow(page.grey, cmap="gray", vmin=0, vmax=1, extent=extent, interpolation="antialiased")
    if page.lines.any():
        axes.imshow(_tint(page.lines), extent=extent, interpolation="nearest")
    digits = [digit for row in numbers.rows for number in row for digit in number.digits]
    middle = float(np.median([digit.box[2] - digit.box[0] for digit in digits]))
    size = float(np.clip(0.6 * middle * points / wide, SMALLEST, LARGEST))
    for row in numbers.rows:
        for number in row:
            for digit in number.digits:
                _draw_digit(axes, digit, size)
    for other in numbers.left_out:
        _box(axes, other.box, LEFT_OUT, "--")
    axes.set_title(shortened(numbers.name, 90), fontsize=9, color=INK)
    axes.set(xticks=[], yticks=[], xlim=(0, wide), ylim=(high, 0))


def _draw_digit(axes: Axes, digit: ReadDigit, size: float) -> None:
    colour = DIGIT if digit.certainty >= DOUBTFUL else DOUBT
    left, top, right, bottom = digit.box
    _box(axes, digit.box, colour, "-")
    middle, halo = (left + right) / 2, {"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.4}
    above = {"ha": "center", "va": "bottom", "weight": "bold", "color": colour, "bbox": halo}
    axes.annotate(str(digit.digit), (middle, top), (0, 2), textcoords="offset points", fontsize=size, **above)
    below = {"ha": "center", "va": "top", "color": colour, "bbox": halo}
    words = f"{digit.certainty:.2f}".lstrip("0")
    axes.annotate(words, (middle, bottom), (0, -2), textcoords="offset points", fontsize=0.7 * size, **below)


def _box(axes: Axes, box: tuple[int, int, int, int], colour: str, style: str) -> None:
    left, top, right, bottom = box
    axes.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, ec=colour, lw=0.9, ls=style))


def _tint(ink: Bool[np.ndarray, "H W"]) -> np.ndarray:
    """The colour of what was left out where there is such ink, and nothing elsewhere."""
    rgba = np.zeros((*ink.shape, 4))
    rgba[ink] = to_rgba(LEFT_OUT)
    return rgba
