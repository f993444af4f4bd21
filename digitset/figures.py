"""Figures from records and readings: curves, predictions, accuracy by length, confusion, attention."""

import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from digitset.evaluation import Readings
from digitset.tasks import Task

# Paul Tol's "bright" scheme: told apart by people who are colour-blind, and in grey.
COLOURS = ("#4477AA", "#EE6677", "#228833", "#AA3377", "#66CCEE", "#CCBB44", "#BBBBBB")
RIGHT, WRONG, INK = "#228833", "#CC3311", "#222222"
STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "figure.dpi": 150,
    "savefig.bbox": "tight",
    "svg.hashsalt": "digitset",
}
SHEET_STYLE: dict[Any, Any] = {**STYLE, "axes.grid": False}
LOSS_NAMES = {"mse": "squared error", "bce": "binary cross-entropy", "cross_entropy": "cross-entropy"}


def curves(path: Path, title: str, loss: str, metrics: dict[str, list[dict[str, Any]]]) -> None:
    """Loss and accuracy over training: for each name, its train lines thin and its validation lines bold."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        for colour, (name, lines) in zip(COLOURS, metrics.items(), strict=False):
            train = [line for line in lines if line.get("split") == "train"]
            val = [line for line in lines if line.get("split") == "val"]
            for axes, in_train, in_val in ((left, "loss", loss), (right, "accuracy", "accuracy")):
                axes.plot(_column(train, "step"), _column(train, in_train), color=colour, alpha=0.45, lw=1)
                axes.plot(_column(val, "step"), _column(val, in_val), color=colour, lw=2, marker="o", ms=4, label=name)
        left.set(yscale="log", xlabel="step", ylabel=f"loss ({LOSS_NAMES.get(loss, loss)})")
        right.set(ylim=(0, 1.02), xlabel="step", ylabel="accuracy")
        right.legend(title="bold: validation; thin: training", loc="best")
        figure.suptitle(title)
        figure.savefig(path)


def by_length(path: Path, title: str, tables: dict[str, dict[int, dict[str, float]]]) -> None:
    """Accuracy by the length of the sequence, for each name a table from `scores_by_length`."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.subplots()
        for colour, (name, table) in zip(COLOURS, tables.items(), strict=False):
            dashed = name in ("constant", "ceiling")
            accuracy = [scores["accuracy"] for scores in table.values()]
            axes.plot(
                list(table), accuracy, color=colour, lw=2, ls="--" if dashed else "-", marker="o", ms=4, label=name
            )
        axes.set(ylim=(0, 1.02), xlabel="images in the sequence", ylabel="accuracy", title=title)
        axes.set_xticks(sorted({length for table in tables.values() for length in table}))
        axes.legend(loc="best")
        figure.savefig(path)


def confusion(path: Path, title: str, readings: Readings, task: Task) -> None:
    """How often each digit (row) is read as each (column), in counts; errors are coloured, the diagonal is not."""
    answer = task.answer(readings.reading).round().long().cpu()
    count = task.answers(1)
    table = (readings.target.cpu() * count + answer).bincount(minlength=count * count).view(count, count)
    errors = table.clone()
    errors.fill_diagonal_(0)
    with mpl.rc_context(SHEET_STYLE):
        figure = Figure(figsize=(6, 5.6), layout="constrained")
        axes = figure.subplots()
        axes.imshow(errors, cmap="Reds", vmax=max(1, int(errors.max())) * 1.4)
        for row in range(count):
            for column in range(count):
                value = int(table[row, column])
                weight = "bold" if row == column else "normal"
                if value:
                    axes.text(column, row, str(value), ha="center", va="center", fontsize=9, weight=weight, color=INK)
        axes.set(xlabel="read as", ylabel="digit", title=title, xticks=range(count), yticks=range(count))
        figure.savefig(path)


def predictions(path: Path, title: str, task: Task, readings: Readings, rows: list[int]) -> None:
    """Sequences in rows, their images in order (an anchor first), with answer and truth; padding is not drawn."""
    _sheet(path, title, task, readings, rows, None)


def attention(path: Path, title: str, task: Task, readings: Readings, rows: list[int], weights: Tensor) -> None:
    """The same, with the weight [rows, heads, L] of each image under it: a bar for the mean over heads."""
    _sheet(path, title, task, readings, rows, weights)


def _sheet(path: Path, title: str, task: Task, readings: Readings, rows: list[int], weights: Tensor | None) -> None:
    batch = readings.batch
    anchored = batch.anchor is not None
    columns = batch.index.shape[1] + 2 * anchored
    height = 0.95 if weights is None else 1.25
    answers = task.answer(readings.reading[rows])
    right = task.scores(readings.reading[rows], readings.target[rows])["accuracy"] == 1
    with mpl.rc_context(SHEET_STYLE):
        figure = Figure(figsize=(0.8 * columns + 3.2, height * len(rows) + 0.7))
        grid = figure.subplots(len(rows), columns + 1, squeeze=False, width_ratios=[1] * columns + [3.4])
        figure.suptitle(title, y=0.995)
        for line, row in enumerate(rows):
            for axes in grid[line]:
                axes.axis("off")
            if batch.anchor is not None:
                _tile(grid[line, 0], batch.images[batch.anchor[row]], None, "anchor" if line == 0 else "")
            for place in range(int(batch.lengths[row])):
                weight = None if weights is None else float(weights[line, :, place].mean())
                _tile(grid[line, place + 2 * anchored], batch.images[batch.index[row, place]], weight, "")
            text = _verdict(task, float(answers[line]), int(readings.target[row]), bool(right[line]))
            colour = RIGHT if right[line] else WRONG
            grid[line, -1].text(0.05, 0.5, text, va="center", color=colour, transform=grid[line, -1].transAxes)
        with warnings.catch_warnings():
            figure.subplots_adjust(
                left=0.01, right=0.99, top=1 - 0.55 / (height * len(rows) + 0.7), bottom=0.02, wspace=0.1
            )
        figure.savefig(path)


def _tile(axes: Axes, image: Tensor, weight: float | None, label: str) -> None:
    """One image, black on white as on paper, and under it its attention weight as a bar and a number."""
    extent = (0, 28, 0, 28)
    axes.imshow(255 - image.cpu(), cmap="gray", vmin=0, vmax=255, extent=extent)
    axes.add_patch(Rectangle((0, 0), 28, 28, fill=False, lw=0.6, ec="#999999"))
    low = 0
    if weight is not None:
        low = -13
        axes.add_patch(Rectangle((0, -4), 28 * weight, 3, color=COLOURS[0], lw=0))
        axes.text(14, -9, f"{weight:.2f}", ha="center", va="center", fontsize=8, color=INK)
    if label:
        axes.set_title(label, fontsize=9, pad=2)
    axes.set(xlim=(-0.5, 28.5), ylim=(low - 0.5, 28.5))


def _verdict(task: Task, answer: float, truth: int, right: bool) -> str:
    """What was answered, what is true, and by how much it is off."""
    if task.DISCRETE and task.answers(1) == 2:
        said = f"yes, {answer:.1%}" if answer > 0.5 else f"no, {1 - answer:.1%}"
        return f"{said}\ntruth: {'yes' if truth else 'no'}{'' if right else '   wrong'}"
    if task.DISCRETE:
        return f"answer {answer:.0f}\ntruth {truth}{'' if right else '   wrong'}"
    return f"answer {answer:.2f}\ntruth {truth}, error {answer - truth:+.2f}"


def _column(lines: list[dict[str, Any]], key: str) -> list[float]:
    return [line[key] for line in lines]
