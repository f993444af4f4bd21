"""A picture in grey -> a digit as MNIST's were made: its ink cropped, made 20 pixels long, and laid in the middle.

MNIST (LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", 1998, III.A)
was made from scans in black and white: each digit was brought into a box of 20x20 pixels with its aspect kept, in grey
because of the filter, and laid on 28x28 so that its centre of mass is in the middle. Before that can be
done to a photograph, its ink has to be told from its paper: that is most of what is here.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from PIL import Image
from scipy import ndimage

from digitset.errors import InputError
from digitset.pictures.ink import (
    NEAR_EDGE,
    Box,
    Grey,
    Ink,
    Pieces,
    around,
    box_of,
    ink_and_lines,
    longest_side,
    to_paper,
    touches_edge,
)
from digitset.pictures.read import reduced, resized

SIDE, BOX, MIDDLE = 28, 20, 14  # of MNIST, in pixels; the centre of mass is within half a pixel of MIDDLE
CLOSE = 0.25  # of the picture's longest side: a smaller digit is looked at again from close by
FINER = 96  # pixels: tiny pictures are made so long before ink is looked for
LONGEST = 1000  # pixels; larger pictures are reduced before ink is looked for
FINE = 2  # pixels of a picture in one of MNIST's, from which strokes have a width that can be measured and changed
THIN, THICK = 2.0, 5.0  # MNIST's pixels; of the validation images, 5 % have thinner strokes and 1 % have thicker ones

Known = tuple[Grey, Ink]
"""A picture, reduced to `LONGEST`, and its ink."""


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


def normalize(grey: Float32[np.ndarray, "_ _"], name: str = "picture", known: Known | None = None) -> Picture:
    """The one digit of a picture, with all that led to it.

    `grey`: 0 black .. 1 white, dark ink on light or light ink on dark, of any size. The largest piece of ink is the
    digit, with what is close to it. Frames, lines of the paper and what touches the picture's edge are left out if
    there is a digit beside them. An image of MNIST comes out nearly as itself, of either polarity: most differ by two
    grey levels at most, a few by some dozens. Paper with blots or folds but no digit may be read as one.

    `known`: what `known_ink` has found on this picture, so that it is not looked for twice.

    Raises InputError, which begins with `name`, if no ink is found.
    """
    if max(grey.shape) < BOX:
        grey = _finer(grey)
    small, (flat, pieces, _) = known or _found(grey, name)
    chosen = _one_digit(pieces)
    box = box_of(chosen)
    if longest_side(box) > CLOSE * max(small.shape):
        return picture(small, flat, chosen)
    try:
        return picture(*_closer(grey, box, max(grey.shape) / max(small.shape), name))
    except InputError:  # nothing that stands out from close by
        return picture(small, flat, chosen)


def known_ink(grey: Float32[np.ndarray, "_ _"], name: str) -> Known | None:
    """The ink of a picture; None if the picture is first made finer. Raises InputError if it has none."""
    return _found(grey, name) if max(grey.shape) >= BOX else None


def _found(grey: Grey, name: str) -> Known:
    small = reduced(grey, LONGEST)
    return small, ink_and_lines(small, name)


def _finer(grey: Grey) -> Grey:
    """A picture with fewer pixels than a digit of MNIST has, made larger by cubic splines between its pixels."""
    high, wide = (max(1, round(side * FINER / max(grey.shape))) for side in grey.shape)
    larger = Image.fromarray(grey).resize((wide, high), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(larger), 0, 1).astype(np.float32)


def _closer(grey: Grey, box: Box, scale: float, name: str) -> tuple[Grey, Grey, Bool[np.ndarray, "h w"]]:
    """The same digit from all pixels of the picture around its box, whose light is more even, and its ink there.

    `box` is on a picture that is `scale` times smaller.
    """
    room = longest_side(box)
    rows, columns = (slice(max(0, int(scale * (part.start - room))), int(scale * (part.stop + room))) for part in box)
    around_it = reduced(grey[rows, columns], LONGEST)
    flat, pieces, _ = ink_and_lines(around_it, name)
    return around_it, flat, _one_digit(pieces)


def _one_digit(pieces: Pieces) -> Bool[np.ndarray, "H W"]:
    """The pixels of the digit, where there is one: its largest piece and, one after the other, what is close to it.

    A piece at the picture's edge begins only if none within has a quarter of its ink. To one that does not touch the
    edge, no piece that does belongs.
    """
    boxes = {number: box for number, box in enumerate(ndimage.find_objects(pieces), 1) if box is not None}
    area = np.bincount(pieces[box_of(pieces > 0)].ravel())
    outer = {number for number, box in boxes.items() if touches_edge(box, pieces.shape, NEAR_EDGE)}
    chosen = [max(boxes, key=lambda number: (area[number] / 4 if number in outer else area[number], -number))]
    whole, rest = boxes[chosen[0]], set(boxes) - set(chosen)
    if not touches_edge(whole, pieces.shape):
        rest -= {number for number in outer if touches_edge(boxes[number], pieces.shape)}
    while True:
        size = longest_side(whole)
        close = {
            number
            for number in rest
            if longest_side(boxes[number]) >= size / 10
            and max(_gap(a, b) for a, b in zip(boxes[number], whole, strict=True))
            <= max(size, longest_side(boxes[number])) / 3
        }
        if not close:
            digit = np.zeros(pieces.shape, bool)
            digit[whole] = np.isin(pieces[whole], chosen)
            return digit
        chosen, rest = [*chosen, *close], rest - close
        for number in close:
            whole = around(whole, boxes[number])


def _gap(one: slice, other: slice) -> int:
    """Pixels between two ranges; 0 or less where they meet."""
    return max(one.start, other.start) - min(one.stop, other.stop)


def picture(
    grey: Float32[np.ndarray, "H W"], flat: Float32[np.ndarray, "H W"], chosen: Bool[np.ndarray, "H W"]
) -> Picture:
    """The digit that is made of the chosen pixels of ink, and of the grey at their edges."""
    box = box_of(chosen)
    scale = longest_side(box) / BOX  # pixels of the picture in one of MNIST's
    room, reach = int(2 * scale), max(1, round(scale))
    around = tuple(slice(max(0, part.start - room), part.stop + room) for part in box)
    beside = tuple(slice(max(0, part.start - reach), part.stop + reach) for part in box)
    near = ndimage.maximum_filter(chosen[beside].astype(np.uint8), 2 * reach + 1, mode="constant") > 0
    ink = np.zeros_like(flat)
    ink[beside] = np.where(near, flat[beside], 0)
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
    depth = to_paper(chosen)
    middle = (depth > 0) & (depth >= ndimage.maximum_filter(depth, 3))
    width = 2 * float(np.median(depth[middle])) / scale
    if THIN <= width <= THICK:
        return ink
    more = (float(np.clip(width, THIN, THICK)) - width) * scale / 2
    distance = depth - to_paper(~chosen)  # above 0 in ink
    return np.clip(distance + more + 0.5, 0, 1).astype(np.float32)


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
