"""Pictures that a person has -> an answer, with what each picture says alone and what it adds; as plain values."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8

from digitset import parts
from digitset.errors import InputError
from digitset.explain import explain, verdict
from digitset.ink import Picture, steps
from digitset.onnx import OnnxPredictor
from digitset.pictures import find, read
from digitset.predict import Predictor
from digitset.splitting import split as split_picture

MOST = 1_000  # pictures whose contributions are asked for one by one


@dataclass(frozen=True)
class Asked:
    """The digits that were found on pictures, and where each is from."""

    names: list[str]
    pictures: list[Picture]
    anchor: Picture | None
    notes: list[str]  # what a person should know of what was found

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


def seen(paths: Iterable[str], anchor: str | None, split: bool) -> Asked:
    """The digits on pictures. Raises InputError for a picture that cannot be read, or has no ink."""
    names, pictures, notes = [], [], []
    for path in find(paths):
        grey = read(path)
        found = split_picture(grey, str(path)) if split else [steps(grey, str(path))]
        if not split and (count := _digits_on(grey)) > 1:
            notes.append(f"{path}: read as one digit, but there may be {count} on it; --split reads each")
        names += [f"{path} {place + 1}" for place in range(len(found))] if len(found) > 1 else [str(path)]
        pictures += found
    if len(pictures) > MOST:
        raise InputError(f"expected at most {MOST} digits, found {len(pictures)}")
    if anchor is None:
        return Asked(names, pictures, None, notes)
    grey = read(anchor)
    if (count := _digits_on(grey)) > 1:
        notes.append(f"{anchor}: read as one digit, but there may be {count} on it; an anchor is one")
    return Asked(names, pictures, steps(grey, anchor), notes)


def _digits_on(grey: Float32[np.ndarray, "_ _"]) -> int:
    """How many digits splitting would find; 1 where it, which looks more closely, finds no ink."""
    try:
        return len(split_picture(grey))
    except InputError:
        return 1


def by_torch(predictor: Predictor, asked: Asked) -> list[Answer]:
    """One answer; for a task on single images, one for each."""
    run, task, answers = predictor.run, predictor.task, []
    check(run.task, task.ANCHORED, asked)
    for rows in _sequences(task.LENGTHS, len(asked.names)):
        found = explain(predictor, asked.images[rows], asked.anchor_image)
        told = _parts([asked.names[row] for row in rows], found.readings.tolist(), found.contributions.tolist())
        answers.append(Answer(run.task, task.QUESTION, found.answer, found.certainty, found.interval, told))
    return answers


def by_onnx(predictor: OnnxPredictor, asked: Asked) -> list[Answer]:
    """The same from an ONNX file, without how certain it is."""
    name, answers = predictor.metadata["task"], []
    check(name, predictor.metadata["anchored"] == "true", asked)
    for rows in _sequences(parts.load("tasks", name).LENGTHS, len(asked.names)):
        images = asked.images[rows]
        alone = [image[None] for image in images]
        left = [np.delete(images, place, axis=0) for place in range(len(rows))] if len(rows) > 1 else []
        everything = [images, *alone, *left]
        anchor = asked.anchor_image
        anchors = None if anchor is None else np.stack([anchor] * len(everything))
        answer, *others = predictor.predict(everything, anchors).tolist()
        adds = [answer - other for other in others[len(rows) :]] or [math.nan]
        told = _parts([asked.names[row] for row in rows], others[: len(rows)], adds)
        answers.append(Answer(name, predictor.metadata["question"], answer, None, None, told))
    return answers


def check(task: str, anchored: bool, asked: Asked) -> None:
    """Raises InputError for an anchor that is missing or too much."""
    if anchored and asked.anchor is None:
        raise InputError(f"'{task}' asks about the digit of an anchor: add --anchor PICTURE")
    if not anchored and asked.anchor is not None:
        raise InputError(f"'{task}' has no anchor: leave out --anchor, or take a model of contains")


def sentence(answer: Answer) -> str:
    """The answer in words."""
    said = verdict(parts.load("tasks", answer.task), answer.answer, answer.certainty, answer.interval)
    return f"{answer.pictures[0].name}: {said}" if len(answer.pictures) == 1 else said


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


def _sequences(lengths: tuple[int, int], count: int) -> list[list[int]]:
    return [[place] for place in range(count)] if lengths == (1, 1) else [list(range(count))]


def _parts(names: Sequence[str], alone: Sequence[float], adds: Sequence[float]) -> list[Part]:
    return [
        Part(name, one, None if math.isnan(more) else more) for name, one, more in zip(names, alone, adds, strict=True)
    ]
