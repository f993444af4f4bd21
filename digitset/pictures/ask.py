"""Pictures that a person has -> an answer, with what each picture says alone and what it adds; as plain values."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8

from digitset.errors import InputError
from digitset.inference.explain import answer_in_words, explain
from digitset.inference.onnx_runtime import OnnxPredictor
from digitset.inference.predictor import Predictor
from digitset.pictures.normalize import Picture, normalize
from digitset.pictures.read import find_pictures, left_out, read_picture
from digitset.pictures.segment import split_picture
from digitset.tasks import Task, load_task

MOST = 1_000  # pictures whose contributions are asked for one by one


@dataclass(frozen=True)
class Asked:
    """The digits that were found on pictures, and where each is from."""

    names: list[str]
    pictures: list[Picture]
    anchor: Picture | None
    notes: list[str]  # what a person should know of what was found, and of files that were left out
    refused: list[str]  # why a picture could not be read, each with its name

    @property
    def images(self) -> UInt8[np.ndarray, "n 28 28"]:
        return np.stack([picture.digit for picture in self.pictures])

    @property
    def anchor_image(self) -> UInt8[np.ndarray, "28 28"] | None:
        return None if self.anchor is None else self.anchor.digit


@dataclass(frozen=True)
class Part:
    """One picture of a sequence: the answer to it alone, and the answer to all less that to all but it."""

    name: str
    alone: float
    adds: float | None


@dataclass(frozen=True)
class Answer:
    """`answer` is the digit, the sum or the probability of yes; `certainty` the probability of what is answered."""

    task: str
    question: str
    answer: float
    certainty: float | None
    interval: tuple[int, int] | None
    pictures: list[Part]


def read_all(paths: Iterable[str], anchor: str | None, split: bool) -> Asked:
    """The digits on pictures; of one that cannot be read, or has no ink, the reason.

    Raises InputError if that is so of all pictures, or of the anchor.
    """
    paths = tuple(paths)
    names, pictures, notes, refused = [], [], left_out(paths), []
    files = find_pictures(paths)
    if len(files) > MOST:
        raise InputError(f"expected at most {MOST:,} pictures, found {len(files):,}")
    for path in files:
        try:
            grey = read_picture(path)
            digits = split_picture(grey, str(path)) if split else [normalize(grey, str(path))]
        except InputError as error:
            refused.append(str(error))
            continue
        if not split and (count := _digits_on(grey)) > 1:
            notes.append(f"{path}: read as one digit, but there may be {count} on it; --split reads each")
        names += [f"{path} {index + 1}" for index in range(len(digits))] if len(digits) > 1 else [str(path)]
        pictures += digits
    if not pictures:
        raise InputError("; ".join(refused))
    if len(pictures) > MOST:
        raise InputError(f"expected at most {MOST} digits, found {len(pictures)}")
    if anchor is None:
        return Asked(names, pictures, None, notes, refused)
    grey = read_picture(anchor)
    if (count := _digits_on(grey)) > 1:
        notes.append(f"{anchor}: read as one digit, but there may be {count} on it; an anchor is one")
    return Asked(names, pictures, normalize(grey, anchor), notes, refused)


def _digits_on(grey: Float32[np.ndarray, "_ _"]) -> int:
    """How many digits splitting would find; 1 where it, which looks more closely, finds no ink."""
    try:
        return len(split_picture(grey))
    except InputError:
        return 1


def by_torch(predictor: Predictor, asked: Asked) -> list[Answer]:
    """One answer; for a task on single images, one for each."""
    task, answers = predictor.task, []
    expect_anchor_if_asked(task, asked)
    for rows in _sequences(task, len(asked.names)):
        why = explain(predictor, asked.images[rows], asked.anchor_image)
        parts = _parts([asked.names[row] for row in rows], why.single_answers.tolist(), why.contributions.tolist())
        answers.append(Answer(task.name, task.question, why.answer, why.certainty, why.interval, parts))
    return answers


def by_onnx(predictor: OnnxPredictor, asked: Asked) -> list[Answer]:
    """The same from an ONNX file, without how certain it is."""
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
        adds = [answer - other for other in others[len(rows) :]] or [math.nan]
        parts = _parts([asked.names[row] for row in rows], others[: len(rows)], adds)
        answers.append(Answer(task.name, task.question, answer, None, None, parts))
    return answers


def expect_anchor_if_asked(task: Task, asked: Asked) -> None:
    """Raises InputError for an anchor that is missing or not asked for."""
    if task.anchored and asked.anchor is None:
        raise InputError(f"'{task.name}' asks about the digit of an anchor: add --anchor PICTURE")
    if not task.anchored and asked.anchor is not None:
        raise InputError(f"'{task.name}' has no anchor: leave out --anchor, or take a model of contains")


def sentence(answer: Answer) -> str:
    """The answer in words."""
    words = answer_in_words(load_task(answer.task), answer.answer, answer.certainty, answer.interval)
    return f"{answer.pictures[0].name}: {words}" if len(answer.pictures) == 1 else words


def table(answer: Answer) -> list[tuple[str, ...]]:
    """A row for each picture: its name, what is said of it alone, what it adds."""
    return [
        (
            part.name,
            f"{part.alone:.2f}".removesuffix(".00"),
            "" if part.adds is None else f"{round(part.adds, 2) + 0.0:+.2f}",
        )
        for part in answer.pictures
    ]


def _sequences(task: Task, count: int) -> list[list[int]]:
    return [[index] for index in range(count)] if task.single_image else [list(range(count))]


def _parts(names: Sequence[str], alone: Sequence[float], adds: Sequence[float]) -> list[Part]:
    return [
        Part(name, one, None if math.isnan(more) else more) for name, one, more in zip(names, alone, adds, strict=True)
    ]
