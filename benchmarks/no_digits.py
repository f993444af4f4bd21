"""What people's pictures have in place of one digit: letters, signs, several digits, lines, parts of digits, blots.

Each maker draws one as ink: 1 on 0, some 60 pixels high. Fonts are those of Matplotlib. `CHOOSING` ones are kept from
training, to choose steps and threshold with, and `HELD_OUT` ones from both, to measure with. Left out is what is a
digit in form: the letters O, o, I and l, strokes and lines that may be ones.
"""

import functools
import itertools
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image, ImageDraw, ImageFont
from rendering import enlarged, slanted
from scipy import ndimage

from digitset.pictures.normalize import picture

Ink = Float32[np.ndarray, "H W"]
Draw = np.random.Generator
FONTS = Path(matplotlib.get_data_path()) / "fonts/ttf"
LEARNED = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSansMono-Bold"),
    *("DejaVuSansMono-Oblique", "cmr10", "cmtt10", "cmti10", "cmmi10", "cmb10"),
)
CHOOSING = ("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "cmss10")
HELD_OUT = ("STIXGeneral", "STIXGeneralItalic", "STIXGeneralBol", "STIXGeneralBolIta")
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz"
GREEK = "αβγδελμπρστφψωΓΔΘΛΞΠΣΦΨΩ"
SIGNS = "+-=<>%&#@?*()[]{}$~^:\u00d7÷±√∑∞≈≠≤≥→←↑↓∂∇∈€£§¶†★♥✓✗□△"
DIGITS = "0123456789"
# Letters and signs as a pen draws them, stroke after stroke, on a square of side 1.
PEN_LETTERS: dict[str, list[list[tuple[float, float]]]] = {
    "A": [[(0, 1), (0.5, 0), (1, 1)], [(0.22, 0.6), (0.78, 0.6)]],
    "B": [[(0, 1), (0, 0), (0.7, 0.1), (0.7, 0.4), (0, 0.5), (0.9, 0.6), (0.9, 0.9), (0, 1)]],
    "C": [[(1, 0.1), (0.5, 0), (0.1, 0.25), (0, 0.6), (0.25, 0.95), (0.6, 1), (1, 0.85)]],
    "D": [[(0, 0), (0, 1), (0.6, 0.9), (0.9, 0.5), (0.6, 0.1), (0, 0)]],
    "E": [[(1, 0), (0, 0), (0, 1), (1, 1)], [(0, 0.5), (0.8, 0.5)]],
    "F": [[(1, 0), (0, 0), (0, 1)], [(0, 0.5), (0.8, 0.5)]],
    "H": [[(0, 0), (0, 1)], [(1, 0), (1, 1)], [(0, 0.5), (1, 0.5)]],
    "K": [[(0, 0), (0, 1)], [(0.9, 0), (0.05, 0.55), (1, 1)]],
    "L": [[(0, 0), (0, 1), (0.8, 1)]],
    "M": [[(0, 1), (0.1, 0), (0.5, 0.6), (0.9, 0), (1, 1)]],
    "N": [[(0, 1), (0, 0), (1, 1), (1, 0)]],
    "P": [[(0, 1), (0, 0), (0.7, 0.05), (0.8, 0.35), (0.6, 0.5), (0, 0.52)]],
    "R": [[(0, 1), (0, 0), (0.7, 0.05), (0.8, 0.3), (0.6, 0.48), (0, 0.5), (0.9, 1)]],
    "T": [[(0, 0), (1, 0)], [(0.5, 0), (0.5, 1)]],
    "U": [[(0, 0), (0, 0.7), (0.25, 1), (0.75, 1), (1, 0.7), (1, 0)]],
    "V": [[(0, 0), (0.5, 1), (1, 0)]],
    "W": [[(0, 0), (0.25, 1), (0.5, 0.3), (0.75, 1), (1, 0)]],
    "X": [[(0, 0), (1, 1)], [(1, 0), (0, 1)]],
    "t": [[(0.4, 0), (0.4, 0.85), (0.7, 1)], [(0, 0.3), (0.9, 0.3)]],
    "h": [[(0, 0), (0, 1)], [(0, 0.6), (0.4, 0.45), (0.7, 0.6), (0.7, 1)]],
    "k": [[(0, 0), (0, 1)], [(0.6, 0.4), (0.05, 0.7), (0.65, 1)]],
}
PEN_SIGNS: dict[str, list[list[tuple[float, float]]]] = {
    "+": [[(0, 0.5), (1, 0.5)], [(0.5, 0), (0.5, 1)]],
    "=": [[(0, 0.3), (1, 0.3)], [(0, 0.7), (1, 0.7)]],
    "\u00d7": [[(0, 0), (1, 1)], [(1, 0), (0, 1)]],
    "÷": [[(0, 0.5), (1, 0.5)], [(0.48, 0.1), (0.52, 0.12)], [(0.48, 0.9), (0.52, 0.92)]],
    "<": [[(1, 0.1), (0, 0.5), (1, 0.9)]],
    ">": [[(0, 0.1), (1, 0.5), (0, 0.9)]],
    "#": [[(0.3, 0), (0.25, 1)], [(0.75, 0), (0.7, 1)], [(0, 0.35), (1, 0.33)], [(0, 0.7), (1, 0.68)]],
    "√": [[(0, 0.6), (0.15, 0.55), (0.3, 1), (0.5, 0), (1, 0)]],
    "→": [[(0, 0.5), (1, 0.5)], [(0.7, 0.25), (1, 0.5), (0.7, 0.75)]],
    "*": [[(0.5, 0), (0.5, 1)], [(0, 0.25), (1, 0.75)], [(1, 0.25), (0, 0.75)]],
}
SIZE = 60  # pixels of a letter


@functools.cache
def font(name: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONTS / f"{name}.ttf"), SIZE)


@functools.cache
def glyphs(name: str, wanted: str) -> str:
    """Those of the wanted signs that a font has."""
    from matplotlib.ft2font import FT2Font

    has = FT2Font(str(FONTS / f"{name}.ttf")).get_charmap()
    return "".join(sign for sign in wanted if ord(sign) in has)


def written(text: str, name: str, draw: Draw) -> Ink:
    """A text in a font, turned and sheared a little."""
    left, top, right, bottom = (int(side) for side in font(name).getbbox(text))
    page = Image.new("L", (right - left + 24, bottom - top + 24))
    ImageDraw.Draw(page).text((12 - left, 12 - top), text, fill=255, font=font(name))
    return slanted(np.asarray(page, np.float32) / 255, draw)


def letter(draw: Draw, fonts: tuple[str, ...] = LEARNED) -> Ink:
    """A letter, at times a Greek one or two beside one another."""
    name = str(draw.choice(fonts))
    wanted = GREEK if draw.uniform() < 0.12 and glyphs(name, GREEK) and not name.startswith("cm") else LETTERS
    count = 1 if draw.uniform() < 0.85 else int(draw.integers(2, 5))
    return written("".join(draw.choice(list(glyphs(name, wanted)), count)), name, draw)


def sign(draw: Draw, fonts: tuple[str, ...] = LEARNED) -> Ink:
    """A sign of arithmetic, of a sentence, or of something else."""
    name = str(draw.choice([each for each in fonts if not each.startswith("cm")]))
    wanted = SIGNS[:5] + "\u00d7÷:" if draw.uniform() < 0.3 else SIGNS
    return written(str(draw.choice(list(glyphs(name, wanted)))), name, draw)


def by_pen(draw: Draw, marks: dict[str, list[list[tuple[float, float]]]]) -> Ink:
    """A letter or a sign by a pen of any width, of any proportions, whose strokes miss their places a little."""
    name = str(draw.choice(list(marks)))
    size = np.array([draw.uniform(0.35, 1.05), draw.uniform(0.7, 1)]) * 200
    page, pen = Image.new("L", (300, 300)), int(draw.integers(10, 40))
    bent = draw.uniform(0, 0.1)
    for stroke in marks[name]:
        points = np.array(stroke) + draw.normal(0, 0.035, (len(stroke), 2))
        if len(points) > 4:
            points = _rounded(points)
        else:
            ways = [np.linspace(a, b, 8) for a, b in itertools.pairwise(points)]
            points = np.concatenate(ways)
            points[:, 1] += bent * np.sin(3 * points[:, 0])
        ImageDraw.Draw(page).line([(float(x), float(y)) for x, y in 45 + size * points], 255, pen, "curve")
    return slanted(np.asarray(page.reduce(4), np.float32) / 255, draw)


def _rounded(points: np.ndarray) -> np.ndarray:
    """Corners cut twice (Chaikin's curve)."""
    for _ in range(2):
        near, far = 0.75 * points[:-1] + 0.25 * points[1:], 0.25 * points[:-1] + 0.75 * points[1:]
        points = np.concatenate([points[:1], np.stack([near, far], axis=1).reshape(-1, 2), points[-1:]])
    return points


def printed_digit(draw: Draw, fonts: tuple[str, ...] = LEARNED) -> Ink:
    """One digit of a font: it is one, if not of a hand."""
    name = str(draw.choice([each for each in fonts if each != "cmmi10"]))  # which has figures of old style
    return written(str(draw.choice(list(DIGITS))), name, draw)


def several(draw: Draw, digits: UInt8[np.ndarray, "N 28 28"]) -> Ink:
    """Two to four digits that touch or nearly do."""
    count = int(draw.choice([2, 2, 2, 3, 4]))
    sheet, at = np.zeros((90, 60 * count + 30), np.float32), 5.0
    for image in digits[draw.integers(0, len(digits), count)]:
        rows, columns = np.nonzero(image > 60)
        ink = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        ink = enlarged(ink, draw.uniform(1.7, 2.6))
        top, left = int(45 - ink.shape[0] / 2 + draw.uniform(-6, 6)), int(at)
        there = sheet[top : top + ink.shape[0], left : left + ink.shape[1]]
        np.maximum(there, ink[: there.shape[0], : there.shape[1]], out=there)
        at = max(0, at + ink.shape[1] + draw.uniform(-5, 5))
    return sheet


def part_of_digit(draw: Draw, digits: UInt8[np.ndarray, "N 28 28"]) -> Ink:
    """What is left of a digit that was cut: three to six tenths of its ink."""
    while True:
        ink = enlarged(digits[draw.integers(len(digits))], 2.5)
        y, x = np.mgrid[: ink.shape[0], : ink.shape[1]]
        angle = draw.uniform(0, 2 * np.pi)
        along = np.cos(angle) * x + np.sin(angle) * y
        inside = along < np.quantile(along[ink > 0.5], draw.uniform(0.3, 0.6))
        rest = np.where(inside, ink, 0).astype(np.float32)
        wide, high = (np.ptp(side) + 1 for side in np.nonzero((rest > 0.5).T))
        if wide > 0.45 * high:  # what is narrower may be a one
            return rest


def lines(draw: Draw) -> Ink:
    """Straight or bent lines: of rules, grids, frames, figures, or a pen that plays."""
    makers = (_dashes, _dashes, _grid, _corner, _curve, _curve, _wave, _arc, _scribble)
    page = Image.new("L", (300, 300))
    pen = int(draw.integers(5, 22))
    for points in makers[draw.integers(len(makers))](draw):
        ImageDraw.Draw(page).line([(float(x), float(y)) for x, y in 30 + 240 * points], 255, pen, "curve")
    return np.asarray(page.reduce(4), np.float32) / 255


def _dashes(draw: Draw) -> list[np.ndarray]:
    """One to three level lines, above one another; as steep as 35 degrees."""
    slope, length = draw.uniform(-0.7, 0.7), draw.uniform(0.3, 1)
    if draw.uniform() < 0.5:
        slope *= 0.15
    apart = draw.uniform(0.12, 0.3)
    across = np.array([[0.5 - length / 2, 0.5 - slope * length / 2], [0.5 + length / 2, 0.5 + slope * length / 2]])
    count = int(draw.choice([1, 1, 1, 2, 3]))
    return [across + np.array([draw.uniform(-0.03, 0.03), apart * row]) for row in range(count)]


def _grid(draw: Draw) -> list[np.ndarray]:
    """Lines along rows and columns: a frame or a part of a grid."""
    rows, columns = (np.linspace(0, draw.uniform(0.4, 1), int(draw.integers(2, 5))) for _ in range(2))
    over = draw.uniform(0, 0.15) * (draw.uniform() < 0.5)
    level = [np.array([[columns[0] - over, row], [columns[-1] + over, row]]) for row in rows]
    return level + [np.array([[column, rows[0] - over], [column, rows[-1] + over]]) for column in columns]


def _corner(draw: Draw) -> list[np.ndarray]:
    """Two or three sides of a frame, or a cross of lines."""
    wide, high = draw.uniform(0.35, 1, 2)
    sides = [np.array([[0, 0], [wide, 0]]), np.array([[0, 0], [0, high]]), np.array([[0, high], [wide, high]])]
    if draw.uniform() < 0.4:
        at, down = draw.uniform(0.1, 0.9, 2) * [wide, high]
        return [np.array([[0, down], [wide, down]]), np.array([[at, 0], [at, high]])]
    kept = [sides[1], sides[int(draw.choice([0, 2]))]] if draw.uniform() < 0.6 else sides
    turned = draw.uniform() < 0.5
    return [(wide - side) if turned else side for side in kept]


def _curve(draw: Draw) -> list[np.ndarray]:
    """A curve of a figure: falling or rising, smooth or not, with or without axes."""
    x = np.linspace(0, 1, 60)
    shapes = (
        np.exp(-x * draw.uniform(2, 9)),
        1 / (1 + np.exp(-draw.uniform(6, 18) * (x - 0.5))),
        x ** draw.uniform(2, 4),
    )
    y = shapes[draw.integers(3)] * draw.uniform(0.4, 1) + draw.normal(0, draw.uniform(0, 0.05), 60)
    y = y if draw.uniform() < 0.6 else y[::-1]
    curves = [np.stack([x, 0.95 - 0.9 * y], axis=1)]
    if draw.uniform() < 0.5:
        curves.append(np.array([[0, 0], [0, 1], [1, 1]], float))
    return curves


def _wave(draw: Draw) -> list[np.ndarray]:
    x = np.linspace(0, 1, 80)
    y = np.sin(2 * np.pi * (draw.uniform(0.9, 4) * x + draw.uniform())) * draw.uniform(0.06, 0.35)
    if draw.uniform() < 0.3:
        y = np.sign(y) * np.abs(y).max()
    return [np.stack([x, 0.5 + y * np.exp(-draw.uniform(0, 2) * x)], axis=1)]


def _arc(draw: Draw) -> list[np.ndarray]:
    """Up to two thirds of an ellipse that lies; what stands and is bent a little may be a one."""
    angles = np.linspace(0, draw.uniform(1.6, 4.2), 50) + draw.uniform(0, 2 * np.pi)
    arc = 0.5 + np.stack([0.5 * np.cos(angles), draw.uniform(0.15, 0.5) * np.sin(angles)], axis=1)
    wide, high = np.ptp(arc, axis=0)
    return [arc] if wide > 0.6 * high else [arc[:, ::-1]]


def _scribble(draw: Draw) -> list[np.ndarray]:
    """A smooth line that crosses itself many times."""
    path = ndimage.gaussian_filter1d(draw.normal(size=(120, 2)), draw.uniform(2.5, 5), axis=0)
    path -= path.min(axis=0)
    return [path / path.max()]


def blot(draw: Draw) -> Ink:
    """Stains, filled shapes, and specks that lie together, as of paper without ink."""
    kind = draw.integers(3)
    if kind == 0:
        noise = ndimage.gaussian_filter(draw.normal(size=(64, 64)), draw.uniform(2, 7))
        y, x = np.mgrid[-1:1:64j, -1:1:64j]
        noise = noise / noise.std() - draw.uniform(1, 3) * np.hypot(x, y)
        return (noise > np.quantile(noise, draw.uniform(0.6, 0.95))).astype(np.float32)
    if kind == 1:
        specks = draw.uniform(size=(64, 64)) > draw.uniform(0.8, 0.99)
        return ndimage.gaussian_filter(specks.astype(np.float32), draw.uniform(0.5, 1.5)) * draw.uniform(1, 3)
    page = Image.new("L", (64, 64))
    high, wide = draw.integers(12, 30, 2)
    shape = ImageDraw.Draw(page).ellipse if draw.uniform() < 0.5 else ImageDraw.Draw(page).rectangle
    shape((32 - wide, 32 - high, 32 + wide, 32 + high), fill=255)
    return slanted(np.asarray(page, np.float32) / 255, draw)


def as_mnist(ink: Ink) -> UInt8[np.ndarray, "28 28"] | None:
    """As the picture reader would lay it on 28x28 pixels; None if there is nothing to be seen."""
    ink = np.clip(ink, 0, 1).astype(np.float32)
    chosen = ink > 0.4
    return picture(1 - ink, ink, chosen).digit if chosen.sum() > 4 else None
