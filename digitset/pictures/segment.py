"""A picture of several digits -> its digits, row by row, and what is no digit."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage
from scipy.spatial import KDTree

from digitset.errors import InputError
from digitset.pictures.ink import (
    CUT,
    EIGHT,
    Box,
    Ink,
    Pieces,
    around,
    box_of,
    ink_and_lines,
    labelled,
    longest_side,
    no_ink,
    panels,
    touches_edge,
    with_faint_strokes,
)
from digitset.pictures.normalize import Picture, picture
from digitset.pictures.read import reduced
from digitset.pictures.touching import MayCut, Reader, parts, suspected

WIDEST = 2400  # pixels; a row of digits has to keep more of them than one digit
WHOLE = 0.6  # of a digit's height: what is as high is a digit of its own
BESIDE = 0.2  # of a digit's height: how far to the right of a 5 its top stroke begins
BAR = 3.5  # times as long as thick
SPECK = 0.15  # of a digit's height: what is neither as high nor as wide is no ink that a person meant
NEAR = 0.3  # of a digit's height: a part of a digit is as close to the rest
STRIP = 0.6  # of its length: so much of a part of a border is at the picture's edge
DASH = 0.2  # of a digit's height: what is small, and as long as this along the row, is a bar
LOWEST, DEEPEST, FURTHEST = 0.3, 0.4, 0.9  # of a digit's height: from its foot up, down, and sideways, there are points
SOFT = 0.7  # pixels: grain is blurred by this where points are looked for
POINTED, LARGEST = 0.05, 0.4  # of a digit's height: a point is no smaller, a comma no larger
AT_EDGE, SMALL, SIGN = "at the edge", "too small", "in a bar or sign"  # what is left out
POINT = "a point or comma"
LOOKS_LIKE = "looks like "  # and then what, of a mark that is left out since it looks like no digit
Group = tuple[Box, list[int]]  # a digit: its box, and the numbers of its pieces
Left = tuple[Box, str]


@dataclass(frozen=True, eq=False)
class _Paper:
    """A part of a picture that has a paper of its own: its place, and within it the ink, digits and what is none."""

    place: Box
    ink: Ink
    digits: list[Group]
    left_out: list[Left]


@dataclass(frozen=True, eq=False)
class PageDigit:
    """A digit on a page: the box of its ink, rows and columns of the picture's own pixels, and the digit itself."""

    box: Box
    picture: Picture


@dataclass(frozen=True, eq=False)
class Page:
    """What was found on a picture of several digits.

    `grey`: the picture on which was looked, reduced if it was large; `shape`: rows and columns of the picture before
    that, in whose pixels all boxes are; `rows`: the digits, from top to bottom and from
    left to right; `left_out`: boxes of ink that is no digit, as `PageDigit` has them, each with what it is; `lines`:
    which pixels of `grey` are frames and lines of the paper.
    """

    grey: Float32[np.ndarray, "H W"]
    shape: tuple[int, ...]
    rows: list[list[PageDigit]]
    left_out: list[tuple[Box, str]]
    lines: Bool[np.ndarray, "H W"]

    @property
    def digits(self) -> list[PageDigit]:
        """All digits in reading order."""
        return [digit for row in self.rows for digit in row]

    def without(self, instead: Sequence[str | None]) -> "Page":
        """The page without some of its digits; `instead` says for each, in reading order, what it is if it is none."""
        marks = list(zip(self.digits, instead, strict=True))
        kept = {id(mark) for mark, kind in marks if kind is None}
        rows = [[mark for mark in row if id(mark) in kept] for row in self.rows]
        others = [(mark.box, kind) for mark, kind in marks if kind is not None]
        return replace(self, rows=[row for row in rows if row], left_out=self.left_out + others)

    def notes(self) -> list[str]:
        """What a person should know of ink that was left out although it is about as large as a digit."""
        high = float(np.median([_height(digit.box) for digit in self.digits]))
        kinds = [kind for box, kind in self.left_out if longest_side(box) >= WHOLE * high]
        counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
        return [f"left out ink as large as a digit: {counts}"] if kinds else []


def split_picture(grey: Float32[np.ndarray, "_ _"], name: str = "picture", read: Reader | None = None) -> list[Picture]:
    """The digits of a picture, each with the steps that led to it, in reading order. See `find_digits`."""
    return [digit.picture for digit in find_digits(grey, name, read).digits]


def find_digits(
    grey: Float32[np.ndarray, "_ _"], name: str = "picture", read: Reader | None = None, may_cut: MayCut | None = None
) -> Page:
    """The digits of a picture row by row, with the places where they were found, and what was left out.

    `grey`: 0 black .. 1 white, as for `digitset.pictures.normalize.normalize`. A digit is a piece of ink, with the
    smaller pieces that are close above or below it: the top stroke of a 5, a 4 in two strokes. Specks, bars, frames and
    lines of the paper are left out, and so is what touches the picture's edge, unless it is as high as the others. Rows
    may climb or fall, and digits may be slanted. Dark ink on light paper and light ink on dark paper may be on one
    picture, beside one another.

    Digits that touch one another are cut apart if `read` says which digits it sees (see
    `digitset.pictures.number.reader`); without it, they are taken for one. What may not be several digits by `may_cut`
    stays whole.

    Raises InputError, which begins with `name`, if no ink is found.
    """
    small = reduced(grey, WIDEST)
    found, left_out = list[PageDigit](), list[tuple[Box, str]]()
    lines = np.zeros(small.shape, bool)
    for each in _papers(small, name):
        part = small[each.place]
        _, pieces, lines[each.place] = each.ink
        inks = [np.isin(pieces[box], members) for box, members in each.digits]
        made = [
            PageDigit(box, _cut(part, each.ink[0], box, ink)) for (box, _), ink in zip(each.digits, inks, strict=True)
        ]
        if read is not None:
            made = _cut_apart(part, each.ink[0], made, inks, read, may_cut)
        found += [PageDigit(_on_page(digit.box, each.place), digit.picture) for digit in made]
        others = _with_points(each, [digit.box for digit in made])
        left_out += [(_on_page(box, each.place), kind) for box, kind in others]
    if not found:
        raise no_ink(name)
    scale = grey.shape[0] / small.shape[0], grey.shape[1] / small.shape[1]
    rows = [[PageDigit(_enlarged(digit.box, scale), digit.picture) for digit in row] for row in _in_rows(found)]
    return Page(small, grey.shape, rows, [(_enlarged(box, scale), kind) for box, kind in left_out], lines)


def count_digits(grey: Float32[np.ndarray, "_ _"], ink: Ink | None = None) -> int:
    """How many digits `find_digits` finds, of which touching ones are one; 1 where it finds no ink.

    `ink`: what `ink_and_lines` has found on this picture.
    """
    try:
        return sum(len(each.digits) for each in _papers(reduced(grey, WIDEST), "picture", ink)) or 1
    except InputError:
        return 1


def _papers(small: Float32[np.ndarray, "_ _"], name: str, ink: Ink | None = None) -> Iterator[_Paper]:
    """What is on each paper of a picture, if there is ink; `ink` is used if there is one paper. Raises InputError."""
    places = panels(small)
    for place in places:
        try:
            there = ink_and_lines(small[place], name) if ink is None or len(places) > 1 else ink
        except InputError:
            if len(places) == 1:
                raise
            continue
        there = with_faint_strokes(there)
        yield _Paper(place, there, *_joined(there[1], *_inside(there[1])))


def _inside(pieces: Pieces) -> tuple[dict[int, Box], list[Left]]:
    """The boxes of pieces that do not touch the picture's edge, and of those that do and are as long as a digit.

    And those at the edge that are left out.
    """
    boxes: dict[int, Box] = {
        number: box for number, box in enumerate(ndimage.find_objects(pieces), 1) if box is not None
    }
    sides = {number: longest_side(box) for number, box in boxes.items() if not touches_edge(box, pieces.shape)}
    if not sides:
        return boxes, []
    high = float(np.median([side for side in sides.values() if side >= max(sides.values()) / 2]))
    outside = {
        number
        for number, box in boxes.items()
        if number not in sides
        and (not WHOLE < longest_side(box) / high < 1.25 or _is_strip(pieces[box] == number, box, pieces.shape))
    }
    kept = {number: box for number, box in boxes.items() if number not in outside}
    return kept, [(boxes[number], AT_EDGE) for number in sorted(outside)]


def _is_strip(piece: Bool[np.ndarray, "h w"], box: Box, shape: tuple[int, ...]) -> bool:
    """Whether a piece at the edge is a part of a border: long and thin, and at the edge over most of its length."""
    for axis in (0, 1):
        if piece.shape[1 - axis] > BAR * piece.shape[axis]:
            lines = [line for line, at in ((0, 0), (-1, shape[axis])) if at in (box[axis].start, box[axis].stop)]
            return any(piece.take(line, axis=axis).mean() > STRIP for line in lines)
    return False


def _on_page(box: Box, part: Box) -> Box:
    rows, columns = (slice(side.start + at.start, side.stop + at.start) for side, at in zip(box, part, strict=True))
    return rows, columns


def _enlarged(box: Box, scale: tuple[float, float]) -> Box:
    rows, columns = (
        slice(math.floor(side.start * by), math.ceil(side.stop * by)) for side, by in zip(box, scale, strict=True)
    )
    return rows, columns


def _height(box: Box) -> int:
    return box[0].stop - box[0].start


def _joined(pieces: Pieces, boxes: dict[int, Box], outside: list[Left]) -> tuple[list[Group], list[Left]]:
    """Digits, each its box and its pieces: whole ones, with the parts that belong to them; then parts that make one.

    And what is left out, after what was `outside`.

    A digit's height is the median over the pieces that are at least half as long as the longest.
    """
    sides = {number: longest_side(box) for number, box in boxes.items()}
    high = float(np.median([side for side in sides.values() if side >= max(sides.values()) / 2]))
    digits = [(box, [number]) for number, box in boxes.items() if _height(box) >= WHOLE * high]
    parts = [number for number, box in boxes.items() if SPECK * high <= sides[number] and _height(box) < WHOLE * high]
    points = {number: np.argwhere(_edge_of(pieces, boxes[number], number)) for number in boxes}
    for part in sorted(parts, key=lambda number: -sides[number]):
        tree = KDTree(points[part] + [part_.start for part_ in boxes[part]])
        near = []
        for index, (box, members) in enumerate(digits):
            if not _belongs(boxes[part], box, high):
                continue
            gap = min(tree.query(points[m] + [side.start for side in boxes[m]])[0].min() for m in members)
            near.append((float(gap), index))
        if near and min(near)[0] <= NEAR * high:
            index = min(near)[1]
            box, members = digits[index]
            digits[index] = (around(box, boxes[part]), [*members, part])
        else:
            digits.append((boxes[part], [part]))
    small = [(box, SIGN if _is_dash(box, high) else SMALL) for box, _ in digits if longest_side(box) < 0.4 * high]
    large = [(box, members) for box, members in digits if longest_side(box) >= 0.4 * high]
    digits, signs = _without_bars(pieces, large, high)
    return digits, outside + small + signs


def _without_bars(pieces: Pieces, digits: list[Group], high: float) -> tuple[list[Group], list[Left]]:
    """No digit is a bar along the row: one is the top of the digit to its left or below, if it is close; or a sign."""
    bars = [digit for digit in digits if all(_is_bar(pieces[digit[0]] == member) for member in digit[1])]
    digits, signs = [digit for digit in digits if digit not in bars], list[Left]()
    for box, members in bars:
        for index, (other, others) in enumerate(digits):
            whole = around(box, other)
            gap = box[1].start - other[1].stop
            level = box[0].start < (other[0].start + other[0].stop) / 2
            if level and gap <= BESIDE * high and box[1].start >= other[1].start and _height(whole) <= 1.3 * high:
                digits[index] = (whole, [*others, *members])
                break
        else:
            signs.append((box, SIGN))
    return digits, signs


def _with_points(paper: _Paper, digits: list[Box]) -> list[Left]:
    """What is left out of a paper; and small dark marks at the feet of its digits, which may be points and commas."""
    near = [box for digit in digits for box in _points(paper, digit) if not _under(box, digits)]
    points = list({(box[0].start, box[1].start): box for box in near}.values())
    others = [each for each in paper.left_out if each[1] != SMALL or not any(_meet(each[0], box) for box in points)]
    return others + [(box, POINT) for box in points]


def _points(paper: _Paper, digit: Box) -> Iterator[Box]:
    """Small marks of ink, near the foot of a digit, that are of no digit."""
    flat, pieces, lines = paper.ink
    high, (low, wide) = _height(digit), digit
    window = (
        slice(int(low.stop - LOWEST * high), int(low.stop + DEEPEST * high)),
        slice(max(0, int(wide.start - FURTHEST * high)), int(wide.stop + FURTHEST * high)),
    )
    of_digits = np.isin(pieces[window], [number for _, members in paper.digits for number in members])
    # Bits of a faint line are darker than it, too: what paler ink joins to a digit or line is no mark of its own.
    soft = ndimage.gaussian_filter(flat[window], SOFT)
    pale = labelled(soft > CUT / 2)
    of_others = set(pale[of_digits | (lines[window])].tolist())
    for number, place in enumerate(ndimage.find_objects(pale), 1):
        sides = [part.stop - part.start for part in place]
        whole = number not in of_others and not touches_edge(place, pale.shape)
        dark = whole and soft[place][pale[place] == number].max() > CUT
        if dark and min(sides) >= max(2, POINTED * high) and max(sides) <= LARGEST * high:
            yield _on_page(place, window)


def _under(box: Box, digits: list[Box]) -> bool:
    """Whether more than half of a mark is above or under one of the digits, by its columns, or in it."""
    return any(
        2 * (min(box[1].stop, wide.stop) - max(box[1].start, wide.start)) > box[1].stop - box[1].start
        and box[0].start < low.stop + DEEPEST * (low.stop - low.start)
        and low.start < box[0].stop
        for low, wide in digits
    )


def _meet(one: Box, other: Box) -> bool:
    return all(a.start < b.stop and b.start < a.stop for a, b in zip(one, other, strict=True))


def _is_bar(ink: Bool[np.ndarray, "h w"]) -> bool:
    """Whether ink is long along the row and thin across it."""
    rows, columns = np.nonzero(ink)
    (wide, slope), (_, high) = np.cov(columns, rows)
    turned = math.atan2(2 * slope, wide - high) / 2
    across = (wide + high - math.hypot(wide - high, 2 * slope)) / 2
    along = (wide + high + math.hypot(wide - high, 2 * slope)) / 2
    return abs(turned) < math.radians(30) and across < along / BAR**2


def _is_dash(box: Box, high: float) -> bool:
    """Whether a small mark may be a short minus sign."""
    wide = box[1].stop - box[1].start
    return wide >= max(DASH * high, 2 * _height(box))


def _edge_of(pieces: Pieces, box: Box, number: int) -> np.ndarray:
    """The pixels of a piece that touch paper, within its box."""
    mask = pieces[box] == number
    return mask & ~np.asarray(ndimage.binary_erosion(mask, EIGHT), bool)


def _belongs(part: Box, digit: Box, high: float) -> bool:
    """Whether a part can be of a digit: over or under it in some columns, and both together no larger than a digit."""
    whole = around(part, digit)
    overlap = min(part[1].stop, digit[1].stop) - max(part[1].start, digit[1].start)
    narrower = min(part[1].stop - part[1].start, digit[1].stop - digit[1].start)
    limit = 1.3 * max(high, _height(digit))
    return overlap >= 0.25 * narrower - 0.05 * high and _height(whole) <= limit and longest_side(whole) <= 1.2 * limit


def _in_rows(digits: list[PageDigit]) -> list[list[PageDigit]]:
    """A digit is in the row whose last digit, to its left, it is level with."""

    def middle(digit: PageDigit, axis: int) -> float:
        return (digit.box[axis].start + digit.box[axis].stop) / 2

    rows: list[list[PageDigit]] = []
    for digit in sorted(digits, key=lambda digit: middle(digit, 1)):
        level = [
            (abs(middle(row[-1], 0) - middle(digit, 0)), index)
            for index, row in enumerate(rows)
            if abs(middle(row[-1], 0) - middle(digit, 0)) < 0.6 * max(_height(row[-1].box), _height(digit.box))
        ]
        if level:
            rows[min(level)[1]].append(digit)
        else:
            rows.append([digit])
    rows.sort(key=lambda row: float(np.mean([middle(digit, 0) for digit in row])))
    return rows


def _cut_apart(
    grey: Float32[np.ndarray, "H W"],
    flat: Float32[np.ndarray, "H W"],
    digits: list[PageDigit],
    inks: list[Bool[np.ndarray, "h w"]],
    read: Reader,
    may_cut: MayCut | None,
) -> list[PageDigit]:
    """The digits, whose ink within their boxes is `inks`; those that look like several are replaced by these."""
    high = float(np.median([_height(digit.box) for digit in digits]))
    images = np.stack([digit.picture.digit for digit in digits])
    certainties = read(images).max(axis=1).tolist()
    several = [True] * len(digits) if may_cut is None else may_cut(images)
    apart = list[PageDigit]()
    for digit, ink, certainty, may in zip(digits, inks, certainties, several, strict=True):
        inside = [ink]
        if may and suspected(ink.shape[1] / high, certainty):
            inside = parts(flat[digit.box], ink, high, certainty, read, alone=len(digits) == 1)
        if len(inside) == 1:
            apart.append(digit)
            continue
        for each in inside:
            place = box_of(each)
            box = _on_page(place, digit.box)
            apart.append(PageDigit(box, _cut(grey, flat, box, each[place])))
    return apart


def _cut(
    grey: Float32[np.ndarray, "H W"], flat: Float32[np.ndarray, "H W"], box: Box, ink: Bool[np.ndarray, "h w"]
) -> Picture:
    """One digit with the paper around it; its neighbours' ink is seen in `grey` and `flat`, and in nothing after."""
    room = max(2, longest_side(box) // 5)
    rows, columns = (slice(max(0, part.start - room), part.stop + room) for part in box)
    chosen = np.zeros(flat[rows, columns].shape, bool)
    top, left = box[0].start - rows.start, box[1].start - columns.start
    chosen[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return picture(grey[rows, columns], flat[rows, columns], chosen)
