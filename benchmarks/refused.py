"""Pictures of no digit: how many are refused, or answered with a certainty below .5; and how many digits are refused.

    uv run benchmarks/refused.py RUN [--count 200] [--seed 0] [--split test] [--out results/refused.csv]

RUN is the folder of a finished run of `classify`, or a packaged one. Letters and signs are of fonts that
`digitset.pictures.one_digit` was not trained with. The threshold of refusal was chosen on validation digits and on
fonts of training (`benchmarks/one_digit.py` prints both).
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import no_digits
import numpy as np
import rendering
import tyro
from measure import Rows, expect_committed, show, start
from PIL import Image

import digitset
from digitset.errors import InputError
from digitset.evaluation.evaluate import wilson
from digitset.inference.explain import explain
from digitset.pictures.normalize import digit
from digitset.pictures.one_digit import look

AT_ONCE = 1_000


def main(
    run: tyro.conf.Positional[str],
    count: int = 200,
    seed: int = 0,
    split: Literal["test", "val"] = "test",
    out: Path = Path("results/refused.csv"),
) -> None:
    """Renders, asks and counts.

    Args:
        run: The model whose certainty is taken.
        count: How many pictures of each kind.
        seed: The seed of the pictures.
        split: Whose digits.
        out: The CSV to write.
    """
    expect_committed(out)
    predictor = digitset.load(run)
    if predictor.run.task != "classify":
        raise InputError(f"{run}: expected a run of classify, got one of {predictor.run.task}")
    digits = getattr(digitset.load_data(), split).images.numpy()
    refused = np.concatenate(
        [[each.refused for each in look(list(part))] for part in np.split(digits, len(digits) // AT_ONCE)]
    )
    rows = share(f"{split} digits given directly: refused", refused)
    some = digits[np.random.default_rng(seed).permutation(len(digits))[:count]]
    for name, render in rendering.ONE.items():
        draw = np.random.default_rng(seed)
        rows += share(f"{name}: refused", np.array([answer(predictor, render(image, draw)) is None for image in some]))
    makers: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
        "letters": functools.partial(no_digits.letter, fonts=no_digits.HELD_OUT),
        "signs": functools.partial(no_digits.sign, fonts=no_digits.HELD_OUT),
        "several digits": functools.partial(no_digits.several, digits=digits),
        "lines and curves": no_digits.lines,
        "blots": no_digits.blot,
        "blank paper": lambda draw: np.zeros(draw.integers(60, 200, 2), np.float32),
        "ruled paper": rules,
    }
    every = []
    for name, make in makers.items():
        draw = np.random.default_rng(seed)
        certain = [answer(predictor, pictured(make(draw), draw)) for _ in range(count)]
        doubted = np.array([one is None or one < 0.5 for one in certain])
        rows += share(f"{name}: refused", np.array([one is None for one in certain]))
        rows += share(f"{name}: refused or below .5", doubted)
        every.append(doubted)
    rows += share("all but several digits: refused or below .5", np.concatenate([*every[:2], *every[3:]]))
    show(f"{split}, {count} pictures a kind", rows, out)


def rules(draw: np.random.Generator) -> np.ndarray:
    """Lines of paper from edge to edge, and of squared paper in half of the cases."""
    sheet = np.zeros(draw.integers(90, 200, 2), np.float32)
    apart, shade = int(draw.integers(12, 40)), draw.uniform(0.3, 0.8)
    sheet[int(draw.integers(apart)) :: apart] = shade
    if draw.uniform() < 0.5:
        sheet[:, int(draw.integers(apart)) :: apart] = shade
    return sheet


def pictured(ink: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Half as a drawing on a screen, half as photographed; of 60 to 250 pixels."""
    scale = draw.uniform(1, 2.5)
    high, wide = (max(1, round(side * scale)) for side in ink.shape)
    large = np.asarray(Image.fromarray(ink.astype(np.float32)).resize((wide, high), Image.Resampling.BICUBIC))
    sheet = np.pad(np.clip(large, 0, 1), [tuple(draw.integers(4, 60, 2)) for _ in range(2)])
    return 1 - sheet if draw.uniform() < 0.5 else rendering.on_paper(sheet, draw)


def answer(predictor: digitset.Predictor, grey: np.ndarray) -> float | None:
    """The certainty of the answer to a picture; None if it is refused."""
    try:
        image = digit(grey.astype(np.float32))
    except InputError:
        return None
    (looks,) = look([image])
    certainty = explain(predictor, image[None]).certainty
    if looks.refused:
        return None
    return looks.one_digit * (1 if certainty is None else certainty)


def share(name: str, true: np.ndarray) -> Rows:
    """The share, with Wilson's 95 % interval."""
    low, high = wilson(float(true.mean()), len(true))
    return [(name, float(true.mean())), (f"{name}, low", low), (f"{name}, high", high)]


if __name__ == "__main__":
    start(main)
