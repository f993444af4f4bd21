"""People's pictures: how many digits a trained model predicts correctly, beside the same digits given directly.

    uv run benchmarks/pictures.py RUN [--count 500] [--seed 0] [--split test] [--out results/pictures.csv]

RUN is the folder of a finished run of `classify`. The pictures are MNIST's test digits as `rendering.py` renders them.
The settings of `digitset.pictures.normalize` and `digitset.pictures.segment` were chosen on validation digits
(`--split val`).
"""

from collections.abc import Callable
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
from digitset.pictures.segment import split_picture

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
    digits = getattr(digitset.load_data(predictor.run.data), split)
    chosen = np.random.default_rng(seed).permutation(len(digits))[:count]
    images, labels = digits.images.numpy()[chosen], digits.labels.numpy()[chosen]

    def correct(normalized: list[np.ndarray]) -> np.ndarray:
        return predictor.predict([image[None] for image in normalized]) == labels

    rows = accuracy("given directly", correct(list(images)))
    grey = [(image / np.float32(255)).astype(np.float32) for image in images]
    rows += accuracy("as pictures of 28x28", correct([digit_or_nothing(picture) for picture in grey]))
    inverted = [digit_or_nothing(1 - picture) for picture in grey]
    rows += accuracy("as pictures of 28x28, dark on light", correct(inverted))
    for name, render in {"clean": rendering.clean, "photographed": rendering.photographed}.items():
        pictures = rendered(render, images, seed)
        rows += accuracy(name, correct([digit_or_nothing(picture) for picture in pictures]))
        seconds = median(lambda some=pictures[:20]: [digit_or_nothing(picture) for picture in some], 3, 0)
        rows.append((f"{name}: ms a picture", 1e3 / 20 * seconds))
    show(f"{split}, {count} digits", rows + in_rows(predictor, images, labels, seed), out)


def rendered(render: Callable, images: np.ndarray, seed: int) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    return [render(image, draw) for image in images]


def digit_or_nothing(grey: np.ndarray) -> np.ndarray:
    try:
        return digit(grey)
    except InputError:
        return NOTHING


def accuracy(name: str, correct: np.ndarray) -> Rows:
    """The share of all that is correct, with Wilson's 95 % interval."""
    low, high = wilson(float(correct.mean()), len(correct))
    return [(name, float(correct.mean())), (f"{name}: low", low), (f"{name}: high", high)]


def in_rows(predictor: digitset.Predictor, images: np.ndarray, labels: np.ndarray, seed: int) -> Rows:
    """The same digits in rows of 2 to 8: rows that are split into the right number, and accuracy on those."""
    draw = np.random.default_rng(seed)
    ends = np.cumsum(draw.integers(2, 9, len(images) // 8))
    right_number, correct = [], []
    for begin, end in zip(np.r_[0, ends[:-1]], ends, strict=True):
        pictures = split_picture(rendering.row(images[begin:end], draw))
        right_number.append(len(pictures) == end - begin)
        if right_number[-1]:
            correct.append(predictor.predict([each.digit[None] for each in pictures]) == labels[begin:end])
    return accuracy("in rows: rows split into the right number of digits", np.array(right_number)) + accuracy(
        "in rows: digits of those predicted correctly", np.concatenate(correct)
    )


if __name__ == "__main__":
    start(main)
