"""People's pictures: how many digits a trained model reads right, beside the same digits given directly.

    uv run benchmarks/pictures.py RUN [--count 500] [--seed 0] [--split test] [--out results/pictures.csv]

RUN is the folder of a finished run of `classify`. The pictures are MNIST's test digits as `rendering.py` renders them.
The settings of `digitset.ink` and `digitset.splitting` were chosen on validation digits (`--split val`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import rendering
import tyro
from measure import Rows, median, show, start

import digitset
from digitset.errors import InputError
from digitset.evaluation.evaluate import wilson
from digitset.pictures import normalize as ink
from digitset.pictures import segment as splitting

NOTHING = np.zeros((28, 28), np.uint8)  # in place of a digit where none was found: most likely read wrong


def main(
    run: tyro.conf.Positional[Path],
    count: int = 500,
    seed: int = 0,
    split: Literal["test", "val"] = "test",
    out: Path = Path("results/pictures.csv"),
) -> None:
    """Renders, reads and counts.

    Args:
        run: The folder of a finished run of classify.
        count: How many digits, drawn without repetition; each kind of picture shows the same ones.
        seed: The seed of the draw and of the rendering.
        split: Whose digits.
        out: The CSV to write.
    """
    predictor = digitset.load(run)
    if predictor.run.task != "classify":
        raise InputError(f"{run}: expected a run of classify, got one of {predictor.run.task}")
    digits = getattr(digitset.load_data(predictor.run.data), split)
    chosen = np.random.default_rng(seed).permutation(len(digits))[:count]
    images, labels = digits.images.numpy()[chosen], digits.labels.numpy()[chosen]

    def right(made: list[np.ndarray]) -> np.ndarray:
        return predictor.predict([image[None] for image in made]) == labels[: len(made)]

    rows = accuracy("given directly", right(list(images)))
    grey = [(image / np.float32(255)).astype(np.float32) for image in images]
    rows += accuracy("as pictures of 28x28", right([made(picture) for picture in grey]))
    rows += accuracy("as pictures of 28x28, dark on light", right([made(1 - picture) for picture in grey]))
    for name, render in {"clean": rendering.clean, "photographed": rendering.photographed}.items():
        pictures = rendered(render, images, seed)
        rows += accuracy(name, right([made(picture) for picture in pictures]))
        rows.append((f"{name}: ms a picture", 1e3 / 20 * median(lambda p=pictures: [made(x) for x in p[:20]], 3, 0)))
    show(f"{split}, {count} digits", rows + in_rows(predictor, images, labels, seed), out)


def rendered(render: Callable, images: np.ndarray, seed: int) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    return [render(image, draw) for image in images]


def made(grey: np.ndarray) -> np.ndarray:
    try:
        return ink.digit(grey)
    except InputError:
        return NOTHING


def accuracy(name: str, right: np.ndarray) -> Rows:
    """How many of all are right, with Wilson's 95 % interval."""
    low, high = wilson(float(right.mean()), len(right))
    return [(name, float(right.mean())), (f"{name}: low", low), (f"{name}: high", high)]


def in_rows(predictor: digitset.Predictor, images: np.ndarray, labels: np.ndarray, seed: int) -> Rows:
    """The same digits in rows of 2 to 8: rows with as many found as there are, and digits read right in those."""
    draw = np.random.default_rng(seed)
    ends = np.cumsum(draw.integers(2, 9, len(images) // 8))
    as_many, right = [], []
    for begin, end in zip(np.r_[0, ends[:-1]], ends, strict=True):
        found = splitting.split(rendering.row(images[begin:end], draw))
        as_many.append(len(found) == end - begin)
        if as_many[-1]:
            right.append(predictor.predict([each.digit[None] for each in found]) == labels[begin:end])
    return accuracy("in rows: rows with as many found", np.array(as_many)) + accuracy(
        "in rows: digits of those read right", np.concatenate(right)
    )


if __name__ == "__main__":
    start(main)
