"""People's pictures: how many digits a trained model predicts correctly, beside the same digits given directly.

    uv run benchmarks/pictures.py RUN [--count 500] [--seed 0] [--split test] [--out results/pictures.csv]

RUN is the folder of a finished run of `classify`, or a packaged one. The pictures are MNIST's test digits as
`rendering.py` renders them, kind by kind: one digit each, or several in reading order. Of several, a digit is right if
it stands in its place among the others, as difflib aligns what is read with what is there; the rest of what is read is
not there.
The settings of `digitset.pictures.normalize` and `digitset.pictures.segment` were chosen on validation digits
(`--split val`).
"""

import difflib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import rendering
import tyro
from measure import Rows, expect_committed, median, show, start

import digitset
from digitset.errors import InputError
from digitset.evaluation.evaluate import wilson
from digitset.pictures.normalize import digit
from digitset.pictures.number import reader
from digitset.pictures.segment import split_picture

Render = Callable[..., np.ndarray]  # of an image, or of several, and a generator
NOTHING = np.zeros((28, 28), np.uint8)  # instead of a digit where no ink is found: its prediction is most likely wrong


def main(
    run: tyro.conf.Positional[Path],
    count: int = 500,
    seed: int = 0,
    split: Literal["test", "val"] = "test",
    out: Path = Path("results/pictures.csv"),
) -> None:
    """Renders, predicts and counts.

    Args:
        run: The folder of a finished run of classify.
        count: How many digits, drawn without repetition; each kind of picture shows the same ones.
        seed: The seed of the draw and of the rendering.
        split: Whose digits.
        out: The CSV to write.
    """
    expect_committed(out)
    predictor = digitset.load(run)
    if predictor.run.task != "classify":
        raise InputError(f"{run}: expected a run of classify, got one of {predictor.run.task}")
    digits = getattr(digitset.load_data(predictor.run.data, predictor.run.transpose), split)
    chosen = np.random.default_rng(seed).permutation(len(digits))[:count]
    images, labels = digits.images.numpy()[chosen], digits.labels.numpy()[chosen]

    def correct(normalized: list[np.ndarray]) -> np.ndarray:
        return predictor.predict([image[None] for image in normalized]) == labels

    rows = accuracy("given directly", correct(list(images)))
    grey = [(image / np.float32(255)).astype(np.float32) for image in images]
    rows += accuracy("as pictures of 28x28", correct([digit_or_nothing(picture) for picture in grey]))
    inverted = [digit_or_nothing(1 - picture) for picture in grey]
    rows += accuracy("as pictures of 28x28, dark on light", correct(inverted))
    for name, render in rendering.ONE.items():
        rows += accuracy(name, correct([digit_or_nothing(picture) for picture in rendered(render, images, seed)]))
        some = list(rendered(render, images[:20], seed))
        seconds = median(lambda some=some: [digit_or_nothing(picture) for picture in some], 3, 0)
        rows.append((f"{name}: ms a picture", 1e3 / 20 * seconds))
    for name, (render, several) in rendering.SEVERAL.items():
        rows += of_several(predictor, name, render, np.split(images, range(several, count, several)), labels, seed)
    show(f"{split}, {count} digits", rows, out)


def rendered(render: Render, images: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """One picture after the other: together they would fill the memory."""
    draw = np.random.default_rng(seed)
    for image in images:
        yield render(image, draw)


def digit_or_nothing(grey: np.ndarray) -> np.ndarray:
    try:
        return digit(grey)
    except InputError:
        return NOTHING


def accuracy(name: str, correct: np.ndarray) -> Rows:
    """The share of all that is correct, with Wilson's 95 % interval."""
    low, high = wilson(float(correct.mean()), len(correct))
    return [(name, float(correct.mean())), (f"{name}: low", low), (f"{name}: high", high)]


def of_several(
    predictor: digitset.Predictor, name: str, render: Render, groups: list[np.ndarray], labels: np.ndarray, seed: int
) -> Rows:
    """Which digits are read in their place, and how many digits are read that are not there."""
    draw = np.random.default_rng(seed)
    correct, extra, begin = [], 0, 0
    for images in groups:
        there = labels[begin : begin + len(images)].tolist()
        begin += len(images)
        read = predictions(predictor, render(images, draw))
        matches = difflib.SequenceMatcher(None, there, read, autojunk=False).get_matching_blocks()
        right = np.zeros(len(there), bool)
        for match in matches:
            right[match.a : match.a + match.size] = True
        correct.append(right)
        extra += len(read) - int(right.sum())
    digits = np.concatenate(correct)
    return [*accuracy(name, digits), (f"{name}: read, but not there", extra / len(digits))]


def predictions(predictor: digitset.Predictor, grey: np.ndarray) -> list[int]:
    """What is read on a picture; nothing where no ink is found."""
    try:
        found = split_picture(grey, read=reader(predictor))
    except InputError:
        return []
    return [int(answer) for answer in predictor.predict([each.digit[None] for each in found])]


if __name__ == "__main__":
    start(main)
