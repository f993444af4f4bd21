"""Which test images the packaged models read wrongly: `results/mistakes.csv`, a row an image and model.

    uv run benchmarks/mistakes.py [--models classify/mlp sum/exact]

Each test image is asked about alone, also of the models of `sum`, whose answer is then the digit. Rows are of wrong
answers only. Nothing is chosen by this table: it says what is left, and how much of it is left for all.
"""

import csv
from pathlib import Path

import numpy as np
from measure import expect_committed, start
from rich.console import Console

from digitset.data.mnist import load_data
from digitset.inference.predictor import load

MODELS = (
    "classify/mlp",
    "classify/mlp-vit",
    "classify/any_hand",
    "sum/exact",
    "sum/transformer",
    "sum/transformer-vit",
)
COLUMNS = ("image", "label", "model", "answer")


def main(models: tuple[str, ...] = MODELS, out: Path = Path("results/mistakes.csv")) -> None:
    """Asks and writes.

    Args:
        models: Packaged models of `classify` and `sum`, or folders of runs.
        out: The CSV to write.
    """
    expect_committed(out)
    test, console = load_data().test, Console()
    rows: list[tuple[int, int, str, int]] = []
    for name in models:
        answers = np.rint(load(name).predict(list(test.images[:, None]))).astype(int).tolist()
        labels = test.labels.tolist()
        wrong = [
            (image, label, name, answer)
            for image, (label, answer) in enumerate(zip(labels, answers, strict=True))
            if label != answer
        ]
        console.print(f"{name}: {len(wrong)} of {len(labels):,} wrong", highlight=False)
        rows += wrong
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *sorted(rows)])


if __name__ == "__main__":
    start(main)
