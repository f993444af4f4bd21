"""A picture in grey -> a digit as MNIST's were made: its ink cropped, made 20 pixels long, and laid in the middle.

MNIST (LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", 1998, III.A)
was made from scans in black and white: each digit was brought into a box of 20x20 pixels with its aspect kept, in grey
because of the filter, and laid on 28x28 so that its centre of mass is in the middle. Before that can be
done to a photograph, its ink has to be told from its paper: that is most of what is here.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int32, UInt8
from scipy import ndimage

from digitset.errors import InputError
from digitset.pictures.read import reduced, resized

SIDE, BOX, MIDDLE = 28, 20, 14  # of MNIST, in pixels; the centre of mass is within half a pixel of MIDDLE
LONGEST = 1200  # pixels; larger pictures are reduced before ink is looked for
COARSE = 96  # pixels on which the light is looked at
FAINTEST = 0.04  # ink differs from its paper by at least this
CUT = 0.4  # of the ink's level: what is darker is ink; lower than a half, so that faint strokes do not break
FINE = 2  # pixels of a picture in one of MNIST's, from which strokes have a width that can be measured and changed
THIN, THICK = 2.0, 5.0  # MNIST's pixels; of the validation images, 5 % have thinner strokes and 1 % have thicker ones
EIGHT = np.ones((3, 3), bool)  # a pixel and its neighbours

Grey = Float32[np.ndarray, "H W"]


@dataclass(frozen=True, eq=False)
class Picture:
    """One digit, and what it was made from: each step as a picture.

    `grey`: 0 black .. 1 white; `flat`: the same with the light removed and the polarity found, 0 paper .. 1 ink; `ink`:
    what of it is this digit's; `cropped`: its box, strokes made as thick as MNIST's; `digit`: the answer.
    """

    grey: Float32[np.ndarray, "H W"]
    flat: Float32[np.ndarray, "H W"]
    ink: Float32[np.ndarray, "H W"]
    cropped: Float32[np.ndarray, "h w"]
    digit: UInt8[np.ndarray, "28 28"]


def digit(grey: Float32[np.ndarray, "_ _"], name: str = "picture") -> UInt8[np.ndarray, "28 28"]:
    """The one digit of a picture, white ink (255) on black (0), as MNIST has it. See `normalize`."""
    return normalize(grey, name).digit


def normalize(grey: Float32[np.ndarray, "_ _"], name: str = "picture") -> Picture:
    """The one digit of a picture, with all that led to it.

    `grey`: 0 black .. 1 white, dark ink on light or light ink on dark, of any size. The largest piece of ink is the
    digit, with what is close to it; what touches the picture's edge is left out if there is a digit that does not. An
    image of MNIST comes out nearly as itself, of either polarity: most differ by two grey levels at most, a few by some
    dozens. A digit that is crossed by a line of the paper as dark as itself is taken with the line, and paper with
    blots or folds but no digit may be read as one.

    Raises InputError, which begins with `name`, if no ink is found.
    """
    grey = reduced(grey, LONGEST)
    flat, pieces = find_ink(grey, name)
    chosen = _one_digit(pieces)
    return picture(grey, flat, chosen)


def find_ink(grey: Float32[np.ndarray, "H W"], name: str) -> tuple[Grey, Int32[np.ndarray, "H W"]]:
    """The picture without its light, ink 1 and paper 0, and the pieces of ink in it, numbered from 1; 0 is paper.

    Raises InputError, which begins with `name`, if there is none.
    """
    raw = _without_light(grey)
    smooth = ndimage.gaussian_filter(raw, max(grey.shape) / 800) if max(grey.shape) > 200 else raw
    marked = smooth[smooth > max(FAINTEST, 4 * _noise(smooth))]
    if not marked.size:
        raise _no_ink(name)
    level = float(np.percentile(marked[marked >= _otsu(marked)], 70))
    pieces = _without_specks(labelled(smooth > CUT * level), max(3, max(grey.shape) / 50))
    if not pieces.any():
        raise _no_ink(name)
    return np.clip(smooth / level, 0, 1).astype(np.float32), pieces


def _no_ink(name: str) -> InputError:
    return InputError(f"{name}: expected a digit in ink that stands out from its paper, found none; use more contrast")


def _without_light(grey: Float32[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    """How far each pixel is from its paper towards ink: 0 paper, 1 as black (or, on dark paper, as white) as can be.

    The paper's grey is a quadratic surface through most of the pixels, and what blurred pixels of paper differ from it.
    Light multiplies: ink in a shadow is as much darker than its paper, in proportion, as ink in the light.
    """
    small = reduced(grey, COARSE).astype(np.float64)
    surface = _surface(small)
    rest = small - surface
    dark = np.sum(rest**3) < 0  # ink is what differs most
    towards = -rest if dark else rest
    paper = ndimage.binary_erosion(towards <= max(FAINTEST, 3 * _noise(towards)), EIGHT, border_value=1).astype(float)
    blur = max(small.shape) / 10
    weight = ndimage.gaussian_filter(paper, blur)
    surface += ndimage.gaussian_filter(rest * paper, blur) / (weight + 0.05)
    light = np.clip(resized(surface.astype(np.float32), *grey.shape), 0, 1)
    return (light - grey) / np.maximum(light, 0.1) if dark else (grey - light) / np.maximum(1 - light, 0.1)


def _noise(towards_ink: Float[np.ndarray, "H W"]) -> float:
    """The standard deviation of paper, from the half of it that differs away from ink, where no ink is."""
    away = towards_ink[towards_ink < 0]
    return 1.4826 * float(np.median(-away)) if away.size else 0.0


def _surface(grey: Float64[np.ndarray, "H W"]) -> Float64[np.ndarray, "H W"]:
    """The quadratic surface nearest to the grey in the sum of absolute differences, in which ink hardly counts.

    Pixels along the edge, where most is paper even if the digit fills the picture, count as much as all others three
    times. Found by least squares, weighted again and again by the inverse of the difference. Where most of the edge
    has one grey (a screen's white has no light on it), that is the surface.
    """
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in grey.shape), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).reshape(-1, 6)
    edge = np.maximum(np.abs(x), np.abs(y)).ravel() == 1
    level = np.median(grey.ravel()[edge])
    if np.mean(np.abs(grey.ravel()[edge] - level) < 0.01) > 0.5:
        return np.full_like(grey, level)
    values, share = grey.ravel(), np.where(edge, 3 / edge.sum(), 1 / max(1, (~edge).sum()))
    weight, fit = share, np.zeros(6)
    for _ in range(30):
        weighted = terms.T * weight
        fit = np.linalg.solve(weighted @ terms + 1e-9 * np.eye(6), weighted @ values)
        weight = share / np.maximum(np.abs(values - terms @ fit), 1e-3)
    return (terms @ fit).reshape(grey.shape)


def _otsu(values: Float32[np.ndarray, " n"]) -> float:
    """The threshold that leaves two groups as far apart as can be (Otsu 1979, equation 18)."""
    counts, edges = np.histogram(values, 128)
    middles = (edges[1:] + edges[:-1]) / 2
    below = counts.cumsum()
    above = below[-1] - below
    sums = (counts * middles).cumsum()
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1:][np.nanargmax(between)]) if np.isfinite(between[:-1]).any() else float(edges[0])


def labelled(ink: Bool[np.ndarray, "H W"]) -> Int32[np.ndarray, "H W"]:
    """Pieces of ink, numbered from 1; pixels that touch at a corner are of one piece."""
    pieces = np.zeros(ink.shape, np.int32)
    ndimage.label(ink, EIGHT, output=pieces)
    return pieces


def _without_specks(pieces: Int32[np.ndarray, "H W"], smallest: float) -> Int32[np.ndarray, "H W"]:
    """The pieces that are at least `smallest` pixels long or wide, numbered as before."""
    keep = [False] + [longest_side(box) >= smallest for box in ndimage.find_objects(pieces)]
    return np.where(np.array(keep)[pieces], pieces, 0).astype(np.int32)


def longest_side(box: tuple[slice, ...]) -> int:
    return max(part.stop - part.start for part in box)


def _one_digit(pieces: Int32[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """The pixels of the digit, where there is one: its largest piece and what is close to that."""
    boxes = {number: box for number, box in enumerate(ndimage.find_objects(pieces), 1) if box is not None}
    inside = {
        number: box
        for number, box in boxes.items()
        if all(part.start > 0 and part.stop < side for part, side in zip(box, pieces.shape, strict=True))
    }
    large = any(longest_side(box) > 0.08 * max(pieces.shape) for box in inside.values())
    candidates = inside if large else boxes
    area = np.bincount(pieces.ravel())
    main = max(candidates, key=lambda number: area[number])
    size = longest_side(boxes[main])
    chosen = [
        number
        for number, box in candidates.items()
        if longest_side(box) >= size / 10 and max(_gap(a, b) for a, b in zip(box, boxes[main], strict=True)) <= size / 3
    ]
    return np.isin(pieces, chosen)


def _gap(one: slice, other: slice) -> int:
    """Pixels between two ranges; 0 or less where they meet."""
    return max(one.start, other.start) - min(one.stop, other.stop)


def picture(
    grey: Float32[np.ndarray, "H W"], flat: Float32[np.ndarray, "H W"], chosen: Bool[np.ndarray, "H W"]
) -> Picture:
    """The digit that is made of the chosen pixels of ink, and of the grey at their edges."""
    box = ndimage.find_objects(chosen.astype(np.int32))[0]
    scale = longest_side(box) / BOX  # pixels of the picture in one of MNIST's
    near = ndimage.binary_dilation(chosen, EIGHT, iterations=max(1, round(scale)))
    ink = np.where(near, flat, 0).astype(np.float32)
    room = int(2 * scale)
    around = tuple(slice(max(0, part.start - room), part.stop + room) for part in box)
    strokes = _as_thick_as_mnist(ink[around], chosen[around], scale)
    rows, columns = np.nonzero(strokes > (0.3 if scale > 1.5 else 0.02))
    cropped = strokes[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return Picture(grey, flat, ink, cropped, _centred(cropped))


def _as_thick_as_mnist(
    ink: Float32[np.ndarray, "h w"], chosen: Bool[np.ndarray, "h w"], scale: float
) -> Float32[np.ndarray, "_ _"]:
    """Strokes thinner or thicker than nearly all of MNIST's are made wider or narrower, where pixels are fine enough.

    A stroke's width is twice the distance from its middle line, where that is greatest, to the paper.
    """
    if scale < FINE:
        return ink
    room = int(2 * scale)
    chosen = np.pad(chosen, room)
    depth = _distance(chosen)
    middle = (depth > 0) & (depth >= ndimage.maximum_filter(depth, 3))
    width = 2 * float(np.median(depth[middle])) / scale
    if THIN <= width <= THICK:
        return ink
    more = (float(np.clip(width, THIN, THICK)) - width) * scale / 2
    distance = depth - _distance(~chosen)  # above 0 in ink
    return np.clip(distance + more + 0.5, 0, 1).astype(np.float32)


def _distance(inside: Bool[np.ndarray, "h w"]) -> Float64[np.ndarray, "h w"]:
    """From each pixel within to the nearest without; 0 without."""
    return np.asarray(ndimage.distance_transform_edt(inside))


def _centred(cropped: Float32[np.ndarray, "h w"]) -> UInt8[np.ndarray, "28 28"]:
    """The longest side made 20 pixels, and the centre of mass brought within half a pixel of the middle."""
    scale = BOX / max(cropped.shape)
    high, wide = (max(1, round(side * scale)) for side in cropped.shape)
    small = np.clip(resized(cropped, high, wide), 0, 1)
    whole = np.zeros((SIDE, SIDE), np.uint8)
    centre = [float((small.sum(axis=1 - axis) * np.arange(small.shape[axis])).sum() / small.sum()) for axis in (0, 1)]
    top, left = (
        int(np.clip(round(MIDDLE - middle), 0, SIDE - side)) for middle, side in zip(centre, (high, wide), strict=True)
    )
    whole[top : top + high, left : left + wide] = np.round(small * 255)
    return whole
