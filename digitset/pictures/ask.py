"""Pictures that a person has -> an answer, with what each picture says alone and what it adds; as plain values.

Reading them needs no torch, which the functions import that do: by then, what a large picture took is free again.
"""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, UInt8

from digitset.errors import InputError
from digitset.inference.onnx_runtime import OnnxPredictor
from digitset.pictures.normalize import Picture, known_ink, normalize
from digitset.pictures.read import NothingReadError, find_pictures, left_out, read_picture
from digitset.pictures.segment import Page, count_digits, find_digits

if TYPE_CHECKING:
    from digitset.inference.predictor import Predictor
    from digitset.pictures.one_digit import Looks
    from digitset.pictures.touching import Reader
    from digitset.tasks import Task

MOST = 1_000  # pictures whose contributions are asked for one by one


@dataclass(frozen=True)
class Asked:
    """The digits that were found on pictures, and where each is from."""

    names: list[str]
    pictures: list[Picture]
    looks: "list[Looks | None]"  # of each picture; None where nobody asked
    anchor: Picture | None
    anchor_looks: "Looks | None"
    notes: list[str]  # what a person should know of what was found, and of files that were left out
    refused: list[str]  # why a picture could not be read, each with its name
    pages: dict[str, Page]  # of pictures that were split, by name

    @property
    def images(self) -> UInt8[np.ndarray, "n 28 28"]:
        return np.stack([picture.digit for picture in self.pictures])

    @property
    def anchor_image(self) -> UInt8[np.ndarray, "28 28"] | None:
        return None if self.anchor is None else self.anchor.digit

    def certainty(self, of_model: float | None, rows: Iterable[int]) -> float | None:
        """The probability of a model's answer to these pictures and that each of them, and the anchor, is one digit."""
        if of_model is None:
            return None
        looks = [*(self.looks[row] for row in rows), self.anchor_looks]
        return of_model * math.prod(each.one_digit for each in looks if each is not None)


@dataclass(frozen=True)
class Part:
    """One picture of a sequence: the answer to it alone, and the answer to all less that to all but it.

    `one_digit` is the probability that it shows one digit; None where nobody asked.
    """

    name: str
    alone: float
    adds: float | None
    one_digit: float | None


@dataclass(frozen=True)
class Answer:
    """`answer` is the digit, the sum or the probability of yes.

    `certainty` is the probability of what is answered and that every picture shows one digit.
    """

    task: str
    question: str
    answer: float
    certainty: float | None
    interval: tuple[int, int] | None
    pictures: list[Part]


@dataclass(frozen=True)
class Mark:
    """What was found on a picture and is asked about; `looks` is None where nobody asked what it looks like."""

    name: str
    digit: Picture
    looks: "Looks | None"

    @property
    def instead(self) -> str | None:
        """What it is instead of a digit, where it is refused."""
        return None if self.looks is None else self.looks.instead


def read_all(
    paths: Iterable[str], anchor: str | None, split: bool, of_digits: Callable[[], bool] = lambda: True
) -> Asked:
    """The digits on pictures; of one that cannot be read, or has no ink, the reason.

    If it is `of_digits`, what does not look like one digit is refused too, or left out where there are others beside
    it. If not, nobody asks: for a model of other things than digits. It is called when a picture has been read.
    With `split`, digits that touch are cut apart where the packaged classifier reads the parts best, whatever is asked.

    Raises InputError if all pictures are refused, or the anchor is.
    """
    paths, of_digits = tuple(paths), functools.cache(of_digits)
    found, notes, refused = list[tuple[str, list[Picture], Page | None, int]](), left_out(paths), list[str]()
    files = find_pictures(paths)
    if len(files) > MOST:
        raise InputError(f"expected at most {MOST:,} pictures, found {len(files):,}")
    for path in files:
        try:
            if split:
                found.append((str(path), *_page(str(path), notes, of_digits), 1))
            else:
                digit, among = digit_and_count(read_picture(path), str(path))
                found.append((str(path), [digit], None, among))
        except InputError as error:
            refused.append(str(error))
    anchored = None if anchor is None or not found else digit_and_count(read_picture(anchor), anchor)
    one_digit, marks, pages = bool(found) and of_digits(), list[Mark](), dict[str, Page]()
    for name, digits, page, among in found:
        try:
            seen = _marks(name, digits, notes, one_digit, "" if split else "--split reads each", among)
        except InputError as error:
            refused.append(str(error))
            continue
        if page is not None:
            pages[name] = page.without([each.instead for each in seen])
        marks += [each for each in seen if each.instead is None]
    if not marks:
        raise NothingReadError(refused, notes)
    if len(marks) > MOST:
        raise InputError(f"expected at most {MOST} digits, found {len(marks)}")
    names, pictures = [mark.name for mark in marks], [mark.digit for mark in marks]
    looks = [mark.looks for mark in marks]
    if anchor is None or anchored is None:
        return Asked(names, pictures, looks, None, None, notes, refused, pages)
    (mark,) = _marks(anchor, [anchored[0]], notes, one_digit, "an anchor is one", anchored[1])
    return Asked(names, pictures, looks, mark.digit, mark.looks, notes, refused, pages)


def _page(name: str, notes: list[str], of_digits: Callable[[], bool]) -> tuple[list[Picture], Page]:
    """The digits on a picture of several."""
    page = page_of(read_picture(name), name, of_digits)
    notes += [f"{name}: {note}; --show draws where" for note in page.notes()]
    return [each.picture for each in page.digits], page


def page_of(
    grey: Float32[np.ndarray, "_ _"], name: str = "picture", of_digits: Callable[[], bool] = lambda: True
) -> Page:
    """The digits on a picture, those that touch cut apart as the packaged classifier reads them best.

    If it is `of_digits`, what looks like something else is not cut. Raises InputError if no ink is found.
    """
    from digitset.pictures.one_digit import may_be_several

    return find_digits(grey, name, _reader(), may_be_several if of_digits() else None)


@functools.cache
def _reader() -> "Reader":
    from digitset.inference.predictor import load
    from digitset.pictures.number import READER, reader

    return reader(load(READER))


def digit_and_count(grey: Float32[np.ndarray, "_ _"], name: str) -> tuple[Picture, int]:
    """The digit on a picture, and how many there may be. Raises InputError if no ink is found."""
    known = known_ink(grey, name)
    return normalize(grey, name, known), count_digits(*(known or (grey, None)))


def _marks(
    name: str, digits: list[Picture], notes: list[str], one_digit: bool, of_several: str, among: int = 1
) -> list[Mark]:
    """A picture's marks; if each should be `one_digit`, with what they look like; notes tell what is none.

    `among` is how many digits are found where one mark is asked about. Raises InputError if none is one digit;
    `of_several` is the advice if it looks like several.
    """
    looks: list[Looks | None] = [None] * len(digits)
    if one_digit:
        from digitset.pictures.one_digit import CUT, look_at_marks

        looks[:], doubts = look_at_marks([digit.digit for digit in digits], name, of_several or CUT, among)
        notes += doubts
    elif among > 1:
        notes.append(f"{name}: read as one thing, but there may be {among} on it; {of_several}")
    names = [f"{name} {place}" for place in range(1, len(digits) + 1)] if len(digits) > 1 else [name]
    return [Mark(*each) for each in zip(names, digits, looks, strict=True)]


def by_torch(predictor: "Predictor", asked: Asked) -> list[Answer]:
    """One answer; for a task on single images, one for each."""
    from digitset.inference.explain import explain

    task, answers = predictor.task, []
    expect_anchor_if_asked(task, asked)
    for rows in _sequences(task, len(asked.names)):
        why = explain(predictor, asked.images[rows], asked.anchor_image)
        parts = _parts(asked, rows, why.single_answers.tolist(), why.contributions.tolist())
        certainty = asked.certainty(why.certainty, rows)
        answers.append(Answer(task.name, task.question, why.answer, certainty, why.interval, parts))
    return answers


def by_onnx(predictor: OnnxPredictor, asked: Asked) -> list[Answer]:
    """The same from an ONNX file; an older file does not say how certain it is."""
    import torch

    from digitset.inference.explain import certainty_of
    from digitset.tasks import load_task

    task, answers = load_task(predictor.metadata["task"]), []
    expect_anchor_if_asked(task, asked)
    for rows in _sequences(task, len(asked.names)):
        images = asked.images[rows]
        alone = [image[None] for image in images]
        left = [np.delete(images, index, axis=0) for index in range(len(rows))] if len(rows) > 1 else []
        everything = [images, *alone, *left]
        anchor = asked.anchor_image
        anchors = None if anchor is None else np.stack([anchor] * len(everything))
        answer, *others = predictor.predict(everything, anchors).tolist()
        certainty = interval = None
        if (kind := predictor.output_kind) is not None:
            (output,) = predictor.outputs(everything[:1], None if anchors is None else anchors[:1])
            _, of_model, interval = certainty_of(task, torch.from_numpy(output), kind)
            certainty = asked.certainty(of_model, rows)
        adds = [answer - other for other in others[len(rows) :]] or [math.nan]
        parts = _parts(asked, rows, others[: len(rows)], adds)
        answers.append(Answer(task.name, task.question, answer, certainty, interval, parts))
    return answers


def expect_anchor_if_asked(task: "Task", asked: Asked) -> None:
    """Raises InputError for an anchor that is missing or not asked for."""
    if task.anchored and asked.anchor is None:
        raise InputError(f"'{task.name}' asks about the digit of an anchor: add --anchor PICTURE")
    if not task.anchored and asked.anchor is not None:
        raise InputError(f"'{task.name}' has no anchor: leave out --anchor, or take a model of contains")


def sentence(answer: Answer) -> str:
    """The answer in words."""
    from digitset.inference.explain import answer_in_words
    from digitset.tasks import load_task

    words = answer_in_words(load_task(answer.task), answer.answer, answer.certainty, answer.interval)
    if len(answer.pictures) > 1:
        return words
    (part,) = answer.pictures
    return f"{part.name}: {words}" + ("" if part.one_digit is None else f"; one digit {part.one_digit:.3f}")


def table(answer: Answer) -> list[tuple[str, ...]]:
    """A row for each picture: its name, what is said of it alone, what it adds, how probably it is one digit."""
    return [
        (
            part.name,
            f"{part.alone:.2f}".removesuffix(".00"),
            "" if part.adds is None else f"{round(part.adds, 2) + 0.0:+.2f}",
            "" if part.one_digit is None else f"{part.one_digit:.3f}",
        )
        for part in answer.pictures
    ]


def _sequences(task: "Task", count: int) -> list[list[int]]:
    return [[index] for index in range(count)] if task.single_image else [list(range(count))]


def _parts(asked: Asked, rows: Sequence[int], alone: Sequence[float], adds: Sequence[float]) -> list[Part]:
    looks = [asked.looks[row] for row in rows]
    return [
        Part(asked.names[row], one, None if math.isnan(more) else more, None if each is None else each.one_digit)
        for row, one, more, each in zip(rows, alone, adds, looks, strict=True)
    ]
