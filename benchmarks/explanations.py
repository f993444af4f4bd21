"""Whether explanations are right, on test images, whose digits are known: `results/explanations.csv`.

    uv run benchmarks/explanations.py [--models sum/exact sum/transformer contains/transformer] [--windows 2000]

Of the published windows, the first so many. For a sum: how often leaving one image out moves the answer by its digit
(to within a half), and how often the prediction for that image alone is its digit. For an anchor: over windows with
some image of the anchor's digit and some other, how much of the attention falls on matching images, how often the most
attended image matches, and what attention that looks at all images alike would have. For an encoder that shows where
it looks: how much of the attention (of the last layer, and through all layers) falls on the place whose erasing raises
the loss most, and how often the most attended place is that one. Images for which no place raises it by RAISED are left
out: there is nothing to find.
"""

import csv
from pathlib import Path

from measure import expect_committed, start
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from digitset.bench.statistics import mean
from digitset.data.mnist import load_data
from digitset.data.sequences import published
from digitset.inference.explain import Explanation, explain
from digitset.inference.places import Places
from digitset.inference.predictor import load

console = Console()
MODELS = ("sum/exact", "sum/transformer", "contains/transformer")
MODELS += ("classify/mlp-vit", "sum/transformer-vit", "contains/transformer-vit")
RAISED = 0.1  # of the loss
COLUMNS: tuple[str, ...] = ("model", "measure", "n", "mean")
Measured = dict[str, list[float]]  # values by measure


def main(
    models: tuple[str, ...] = MODELS,
    windows: int = 2_000,
    out: Path = Path("results/explanations.csv"),
) -> None:
    """Explains windows and counts.

    Args:
        models: Packaged models, or folders of runs, of tasks on sequences.
        windows: How many of the published windows.
        out: The CSV to write.
    """
    expect_committed(out)
    rows = [row for name in models for row in measured(name, windows)]
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(COLUMNS), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    table = Table(*COLUMNS)
    for row in rows:
        table.add_row(*(row[column] for column in COLUMNS))
    console.print(table)


def measured(name: str, windows: int) -> list[dict[str, str]]:
    """The rows of one model."""
    predictor = load(name)
    lengths = (1, 1) if predictor.task.single_image else (1, 10)
    batch = published(load_data(predictor.run.data, predictor.run.transpose).test, lengths, predictor.task.anchored)
    values_of: Measured = {}
    for row in track(range(min(windows, len(batch.index))), description=name, console=console):
        index = batch.index[row, batch.mask[row]]
        anchor = None if batch.anchor is None else batch.anchor[row]
        explanation = explain(predictor, batch.images[index], None if anchor is None else batch.images[anchor])
        if not predictor.task.single_image:
            count(values_of, explanation, batch.labels[index], None if anchor is None else batch.labels[anchor])
        if explanation.places is not None:
            count_places(values_of, explanation.places)
    return [
        {"model": name, "measure": measure, "n": str(len(values)), "mean": f"{mean(values).mean:.4f}"}
        for measure, values in values_of.items()
    ]


def count(values_of: Measured, explanation: Explanation, digits: Tensor, anchor: Tensor | None) -> None:
    """Adds what one explanation says to the lists of a model."""
    if anchor is None:
        for index, digit in enumerate(digits.tolist()):
            alone, contribution = float(explanation.single_answers[index]), float(explanation.contributions[index])
            add(values_of, "predicted alone as its digit", abs(alone - digit) < 0.5)
            if len(digits) > 1:
                add(values_of, "leaving it out moves the sum by its digit", abs(contribution - digit) < 0.5)
        return
    match = digits == anchor
    if explanation.attention is None or not match.any() or match.all():
        return
    weights = explanation.attention.mean(dim=0)
    add(values_of, "attention on matching images", float(weights[match].sum()))
    add(values_of, "the most attended image matches", bool(match[weights.argmax()]))
    add(values_of, "attention on them if it were uniform", float(match.double().mean()))


def count_places(values_of: Measured, places: Places) -> None:
    """Adds, for each image of an explanation, whether attention and erasing agree."""
    erased = places.erased.flatten(1)
    for name, attention in (("last layer", places.heads.mean(dim=1)), ("all layers", places.rollout)):
        for looks, matters in zip(attention.flatten(1), erased, strict=True):
            if matters.max() < RAISED:
                continue
            most = matters.argmax()
            add(values_of, f"attention on the place that matters most, {name}", float(looks[most]))
            add(values_of, f"the most attended place matters most, {name}", bool(looks.argmax() == most))
            if name == "all layers":
                add(values_of, "either, if attention were uniform", 1 / len(looks))


def add(values_of: Measured, measure: str, value: float) -> None:
    values_of.setdefault(measure, []).append(float(value))


if __name__ == "__main__":
    start(main)
