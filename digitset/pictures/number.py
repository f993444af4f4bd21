"""A picture of numbers -> the numbers, row by row: digits in order, each with how certain it is and where it is."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from digitset.errors import InputError
from digitset.inference.predictor import Predictor
from digitset.pictures.ink import Box
from digitset.pictures.one_digit import look, look_at_marks, may_be_several
from digitset.pictures.read import NothingReadError, find_pictures, left_out, read_picture
from digitset.pictures.segment import AT_EDGE, LOOKS_LIKE, POINT, SIGN, WHOLE, Page, PageDigit, find_digits
from digitset.pictures.touching import Reader

UNREAD = "?"  # in a number, what is in a digit's place and was left out
CUT_OFF, BESIDE = 0.3, 1.0  # of a digit's height: a part of one at the edge is as high, and so near to the next
LEVEL = 0.6  # of a digit's height: marks of a row are so much higher or lower than the next at most
MIDDLE = 0.35  # of a digit's height: a bar or sign is so much higher or lower than the middle of the next at most
READER = "classify/any_hand"  # the packaged model that reads people's digits: on pages, and the parts of a cut
SURELY, CLEAR = 2.0, 0.6  # of a digit's height: a gap between numbers whatever the others are; the least there is
WIDER = 2.0  # gaps between numbers, on average, to those within them, at least
STEP = 0.1  # of a digit's height: from the widest gap within a number to the narrowest one between two, at least
NARROWEST = 0.1  # of a digit's height: gaps that are narrower are alike
OWN = 0.6  # of a digit's height: a 1 stands in as much room
SIGNS = (SIGN, f"{LOOKS_LIKE}a sign")  # what stands between numbers


@dataclass(frozen=True)
class _Unread:
    """A mark of a row that was left out."""

    box: Box
    kind: str


Mark = PageDigit | _Unread


@dataclass(frozen=True)
class ReadDigit:
    """`certainty` is the probability that there is one digit, and that it is this one.

    `box` is left, top, right and bottom in pixels of the picture, the last two one further than the ink.
    """

    digit: int
    certainty: float
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class LeftOut:
    """Ink that is no digit, and what it is: "at the edge", "too small", "in a bar or sign", "looks like letters" ..."""

    kind: str
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Number:
    """Digits that stand together. `certainty` is the probability that all are right, if they are independent.

    `text` has "?" in the place of each mark that was left out and is as high as a digit, or a point or comma, and
    `unread` these marks, from left to right. The certainty is then 0: what is told is not the number. A bar or sign,
    such as minus, is a number of its own: "?".
    """

    text: str
    certainty: float
    digits: list[ReadDigit]
    unread: list[LeftOut]


@dataclass(frozen=True)
class Numbers:
    """A picture's numbers: rows from top to bottom, in each the numbers from left to right."""

    name: str
    rows: list[list[Number]]
    left_out: list[LeftOut]


@dataclass(frozen=True)
class Pages:
    """The numbers on pictures, the page of each, and the fate of pictures that were not simply read."""

    numbers: list[Numbers]
    pages: list[Page]
    notes: list[str]
    refused: list[str]


def read_pages(paths: Iterable[str], read: Reader) -> Pages:
    """The numbers on pictures; of one that cannot be read, or has no ink or no digit, the reason.

    Raises InputError if that is so of all pictures.
    """
    paths = tuple(paths)
    found = Pages([], [], left_out(paths), [])
    for path in find_pictures(paths):
        try:
            page, notes = _only_digits(read_picture(path), read, str(path))
        except InputError as error:
            found.refused.append(str(error))
            continue
        found.numbers.append(numbers_on(page, read, str(path)))
        found.pages.append(page)
        found.notes.extend(notes)
    if not found.pages:
        raise NothingReadError(found.refused, found.notes)
    return found


def reader(predictor: Predictor) -> Reader:
    """A model that says which digit an image is, as a function. Raises InputError if it says something else."""
    task = predictor.task
    if not task.single_image or task.label_invariant or task.kind != "classes":
        raise InputError(f"expected a model that says which digit an image is, such as '{READER}', got '{task.name}'")
    return lambda images: predictor.predict_proba([image[None] for image in images])


def read_numbers(grey: Float32[np.ndarray, "_ _"], read: Reader, name: str = "picture") -> tuple[Numbers, Page]:
    """The numbers on a picture, and the page on which their digits were found.

    `grey`: 0 black .. 1 white, see `digitset.pictures.segment.find_digits`. A row's digits are one number, unless a
    gap between them is clearly wider than others on the page, or wider than two digits are high.

    What does not look like one digit, or like several that touch, is left out; if it is as high as a digit, or a point
    or comma, "?" stands for it in the number, and for a bar or sign before, between or after numbers. A slash is read
    as a 1 that leans.

    Raises InputError, which begins with `name`, if no ink is found, or nothing that looks like a digit.
    """
    page, _ = _only_digits(grey, read, name)
    return numbers_on(page, read, name), page


def _only_digits(grey: Float32[np.ndarray, "_ _"], read: Reader, name: str) -> tuple[Page, list[str]]:
    """The page on which a picture's digits were found, and what a person should know of it."""
    page = find_digits(grey, name, read, may_be_several)
    looks, doubts = look_at_marks([digit.picture.digit for digit in page.digits], name)
    notes = [f"{name}: {note}; --show draws where" for note in page.notes()] + doubts
    return page.without([each.instead for each in looks]), notes


def numbers_on(page: Page, read: Reader, name: str) -> Numbers:
    """The numbers on a page whose digits were found."""
    images = [digit.picture.digit for digit in page.digits]
    certainties = read(np.stack(images)) * np.array([[each.one_digit] for each in look(images)], np.float32)
    said = iter(zip(certainties.argmax(axis=1).tolist(), certainties.max(axis=1).tolist(), strict=True))
    rows = []
    marks, others = _with_unread(page)
    bars = [box for box, kind in others if kind == SIGN or kind.startswith(LOOKS_LIKE)]
    for numbers in _apart(marks, bars):
        told = [
            [
                ReadDigit(*next(said), _corners(mark.box))
                if isinstance(mark, PageDigit)
                else LeftOut(mark.kind, _corners(mark.box))
                for mark in number
            ]
            for number in numbers
        ]
        rows.append([_number(each) for each in told])
    return Numbers(name, rows, [LeftOut(kind, _corners(box)) for box, kind in page.left_out])


def _with_unread(page: Page) -> tuple[list[list[Mark]], list[tuple[Box, str]]]:
    """The rows of a page, with what was left out of a number or between two; and what else was left out."""
    rows, others = [list[Mark](row) for row in page.rows], list[tuple[Box, str]]()
    for box, kind in sorted(page.left_out, key=lambda each: each[1] == POINT):  # the dots of a sign are of it
        nearest = [(*_off(box, row), index) for index, row in enumerate(page.rows)]
        away, gap, index = min(nearest)
        if not _is_of_row(kind, away, gap, _height(box) / _high(page.rows[index])):
            others.append((box, kind))
        elif not any(_meets(box[1], mark.box[1]) for mark in rows[index] if isinstance(mark, _Unread)):
            rows[index].append(_Unread(box, kind))
    for row in rows:
        row.sort(key=lambda mark: mark.box[1].start + mark.box[1].stop)
    return rows, others


def _is_of_row(kind: str, away: float, gap: float, high: float) -> bool:
    """Whether a mark that was left out stands in a number or between two: by its kind, and see `_off`."""
    if kind == POINT or (kind in SIGNS and away < MIDDLE and gap < BESIDE):
        return gap < BESIDE
    if kind == AT_EDGE:
        return away < LEVEL and gap < BESIDE and high >= CUT_OFF
    return away < LEVEL and kind.startswith(LOOKS_LIKE) and high >= WHOLE


def _meets(one: slice, other: slice) -> bool:
    return one.start < other.stop and other.start < one.stop


def _off(box: Box, row: list[PageDigit]) -> tuple[float, float]:
    """How far a box is from the nearest digit of a row: its middle up or down, and the paper between; in heights."""

    def paper(digit: PageDigit) -> int:
        return max(0, digit.box[1].start - box[1].stop, box[1].start - digit.box[1].stop)

    near, high = min(row, key=paper), _high(row)
    middles = [(rows.start + rows.stop) / 2 for rows, _ in (box, near.box)]
    return abs(middles[0] - middles[1]) / high, paper(near) / high


def table(numbers: Numbers) -> list[tuple[str, ...]]:
    """A row for each number: its row on the page, the number, how certain it is, and how certain each digit is."""
    return [
        (str(place), number.text, f"{number.certainty:.3f}", _words(number))
        for place, row in enumerate(numbers.rows, 1)
        for number in row
    ]


def _words(number: Number) -> str:
    """How certain each digit is, and what was not read."""
    certain, unread = (f"{digit.certainty:.2f}" for digit in number.digits), (mark.kind for mark in number.unread)
    return " ".join(f"({next(unread)})" if sign == UNREAD else next(certain) for sign in number.text)


def _number(marks: list[ReadDigit | LeftOut]) -> Number:
    text = "".join(str(mark.digit) if isinstance(mark, ReadDigit) else UNREAD for mark in marks)
    digits = [mark for mark in marks if isinstance(mark, ReadDigit)]
    unread = [mark for mark in marks if isinstance(mark, LeftOut)]
    return Number(text, 0.0 if unread else math.prod(digit.certainty for digit in digits), digits, unread)


def _corners(box: Box) -> tuple[int, int, int, int]:
    rows, columns = box
    return columns.start, rows.start, columns.stop, rows.stop


def _apart(rows: list[list[Mark]], bars: list[Box]) -> list[list[list[Mark]]]:
    """The numbers of each row: its marks, divided where the gap is clear, a bar stands in it, or a mark is a sign."""
    gaps = [_gaps(row) for row in rows]
    least = _least_gap(
        [
            gap
            for row, between in zip(rows, gaps, strict=True)
            for gap, *beside in zip(between, row, row[1:], strict=False)
            if not any(_is_small(mark) for mark in beside)
        ]
    )
    divided = []
    for row, between in zip(rows, gaps, strict=True):
        numbers = [[row[0]]]
        for mark, gap in zip(row[1:], between, strict=True):
            last = numbers[-1][-1]
            divided_by = _is_sign(last) or _is_sign(mark) or any(_is_between(bar, last.box, mark.box) for bar in bars)
            if gap >= least or divided_by:
                numbers.append([])
            numbers[-1].append(mark)
        divided.append(numbers)
    return divided


def _is_sign(mark: Mark) -> bool:
    return isinstance(mark, _Unread) and mark.kind in SIGNS


def _is_small(mark: Mark) -> bool:
    """Whether the gaps beside a mark say nothing of those between digits."""
    return isinstance(mark, _Unread) and mark.kind in (*SIGNS, POINT)


def _is_between(sign: Box, left: Box, right: Box) -> bool:
    """Whether the middle of a sign is in the gap of two digits of a row."""
    row, column = ((side.start + side.stop) / 2 for side in sign)
    top, bottom = min(left[0].start, right[0].start), max(left[0].stop, right[0].stop)
    return top <= row <= bottom and left[1].stop <= column <= right[1].start


def _height(box: Box) -> int:
    return box[0].stop - box[0].start


def _high(row: Sequence[Mark]) -> float:
    """How high the digits of a row are."""
    return float(np.median([_height(mark.box) for mark in row if isinstance(mark, PageDigit)]))


def _gaps(row: list[Mark]) -> list[float]:
    """The paper between marks of a row, in heights of its digits; beside a narrow digit, a part of it is its own."""
    high = _high(row)
    ends = [(mark.box[1].start / high, mark.box[1].stop / high) for mark in row]
    own = [max(0.0, OWN - (stop - start)) / 2 for start, stop in ends]
    return [ends[index + 1][0] - own[index + 1] - ends[index][1] - own[index] for index in range(len(row) - 1)]


def _least_gap(gaps: list[float]) -> float:
    """The narrowest gap between two numbers: of two groups of gaps, told apart as Otsu does, if they are far apart."""
    known = np.maximum(np.sort(gaps), NARROWEST)
    best, least = 0.0, SURELY
    for index in range(1, len(known)):
        inside, between = known[:index].mean(), known[index:].mean()
        spread = index * (len(known) - index) * (between - inside) ** 2
        if spread > best:
            clear = between > WIDER * inside and known[index] > known[index - 1] + STEP
            best, least = spread, float(known[index - 1] + known[index]) / 2 if clear else SURELY
    return min(max(least, CLEAR), SURELY)
