"""Figures from run folders, predictions and pictures: curves, accuracy by length, confusion, attention, steps."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from torch import Tensor

from digitset import registry
from digitset.bench.tables import CLASSIFIER_RULE
from digitset.data.mnist import DIGIT_NAMES, Splits
from digitset.evaluation.calibration import BINS, Bin
from digitset.evaluation.evaluate import Predictions
from digitset.inference.length_generalization import Point
from digitset.inference.places import Places
from digitset.pictures.normalize import Picture
from digitset.tasks import Task

# Each has a contrast of 3:1 or more on a white page and on a dark one (WCAG 1.4.11). Hues alone do not tell eight lines
# apart, least of all to people who are colour-blind: `styles` gives the second four a dash.
COLOURS = ("#4477AA", "#E0556A", "#228833", "#B8408A", "#0098A8", "#A97B00", "#C2410C", "#8866CC")
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
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
}
# Digits are kept as their 28x28 pixels, each for itself: enlarged, a sheet is several times the size.
SHEET_STYLE: dict[Any, Any] = {
    **STYLE,
    "axes.grid": False,
    "svg.fonttype": "none",
    "image.composite_image": False,
    "text.parse_math": False,  # a picture may be called $a$
    "image.interpolation": "none",
}
STEPS = {"grey": "as read", "flat": "without light", "ink": "this digit's", "cropped": "its box", "digit": "28x28"}
SAMPLES = 12  # images of a label on a sheet
LOSS_NAMES = {"mse": "squared error", "bce": "binary cross-entropy", "cross_entropy": "cross-entropy"}


def save(figure: Figure, path: Path) -> None:
    """An SVG is for a page of any colour, and without a date: the same results are to give the same bytes."""
    if path.suffix == ".svg":
        figure.savefig(path, metadata={"Date": None, "Creator": None}, transparent=True)
    else:
        figure.savefig(path)


def shortened(name: str, most: int) -> str:
    """A name of at most `most` characters: of a longer one the end, which tells files apart."""
    return name if len(name) <= most else f"...{name[3 - most :]}"


BASELINES = {"constant": ":", CLASSIFIER_RULE: "--"}  # dashes in ink


def styles(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Colour and dash of the line of each name. A model has the same in every figure, whatever stands beside it.

    A name may have a task before it (`sum/exact`). Names of no model get, in their order, those of models that are not
    there; a baseline is drawn in ink.
    """
    pairs = [(colour, "-" if index < 4 else "--") for index, colour in enumerate(COLOURS)]
    known = [name for name in registry.names("models") if name not in BASELINES]
    chosen: dict[str, tuple[str, str]] = {}
    names, others = list(names), list[str]()
    for name in names:
        model = name.rpartition("/")[2]
        if model in BASELINES:
            chosen[name] = INK, BASELINES[model]
        elif model in known:
            chosen[name] = pairs[known.index(model) % len(pairs)]
        else:
            others.append(name)
    left = [pair for pair in pairs if pair not in chosen.values()] or pairs
    chosen |= {name: left[index % len(left)] for index, name in enumerate(others)}
    return {name: {"color": chosen[name][0], "ls": chosen[name][1]} for name in names}


def draw_curves(path: Path, title: str, loss: str, metrics: dict[str, list[dict[str, Any]]]) -> None:
    """Loss and accuracy over training: for each name, its train lines thin and its validation lines bold."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        style = styles(metrics)
        for name, lines in metrics.items():
            train = [line for line in lines if line.get("split") == "train"]
            val = [line for line in lines if line.get("split") == "val"]
            for axes, in_train, in_val in ((left, "loss", loss), (right, "accuracy", "accuracy")):
                axes.plot(_column(train, "step"), _column(train, in_train), **style[name], alpha=0.45, lw=1)
                axes.plot(_column(val, "step"), _column(val, in_val), **style[name], lw=2, marker="o", ms=4, label=name)
        left.set(yscale="log", xlabel="step", ylabel=f"loss ({LOSS_NAMES.get(loss, loss)})")
        right.set(ylim=(0, 1.02), xlabel="step", ylabel="accuracy")
        right.legend(title="bold: validation; thin: training", loc="best")
        figure.suptitle(title)
        save(figure, path)


def draw_accuracy_by_length(path: Path, title: str, tables: dict[str, dict[int, float]]) -> None:
    """Accuracy by the length of the sequence; for each name a table of accuracies by length."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.subplots()
        style_of = styles(tables)
        for name, table in tables.items():
            style: dict[str, Any] = {**style_of[name], "lw": 2, "marker": "o", "ms": 4}
            axes.plot(list(table), list(table.values()), label=name, **style)
        axes.set(ylim=(0, 1.02), xlabel="images in the sequence", ylabel="accuracy", title=title)
        axes.set_xticks(sorted({length for table in tables.values() for length in table}))
        axes.legend(loc="best")
        save(figure, path)


def draw_length_curves(
    path: Path, title: str, curves: dict[str, list[Point]], literature: dict[str, dict[int, float]]
) -> None:
    """Accuracy by length, and the accuracy per image that it implies; what others report is dotted."""
    known = {
        name: [Point(length, 0, accuracy) for length, accuracy in table.items()] for name, table in literature.items()
    }
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 5.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        style_of, lines = styles(curves | known), list[Line2D]()
        for name, points in (curves | known).items():
            style: dict[str, Any] = {**style_of[name], "lw": 2, "marker": "o", "ms": 4}
            style |= {"lw": 1.2, "ls": ":"} if name in known else {}
            lengths = [point.length for point in points]
            lines += left.plot(lengths, [point.accuracy for point in points], **style)
            right.plot(lengths, [point.per_image if point.accuracy else math.nan for point in points], **style)
        for axes in (left, right):
            axes.set(xscale="log", xlabel="images in the sequence")
            axes.xaxis.set_major_formatter("{x:g}")
            axes.axvspan(1, 10, color=INK, alpha=0.06, lw=0)
        left.set(ylim=(-0.02, 1.02), ylabel="accuracy")
        right.set(ylim=(0.985, 1.0005), ylabel="accuracy ** (1 / images)")
        figure.suptitle(f"{title} (grey: the lengths of training)")
        legend = figure.legend(lines, [*(curves | known)], loc="outside lower center", ncols=1)
        for text in legend.get_texts():
            text.set_parse_math(False)  # a run may be called $a$
        save(figure, path)


def draw_confusion(
    path: Path, title: str, predictions: Predictions, task: Task, class_names: tuple[str, ...] = DIGIT_NAMES
) -> None:
    """How often each truth (row) gets each answer (column), in counts; errors are coloured, the diagonal is not.

    An answer that is a class has the name of the class.
    """
    answer = task.answer(predictions.prediction).round().long().cpu()
    longest = int(predictions.batch.lengths.max())
    count = task.answer_count(longest)
    table = (predictions.target.cpu() * count + answer).bincount(minlength=count * count).view(count, count)
    errors = table.clone()
    errors.fill_diagonal_(0)
    with mpl.rc_context(SHEET_STYLE):
        figure = Figure(figsize=(6, 5.6), layout="constrained")
        axes = figure.subplots()
        axes.imshow(errors.numpy(), cmap="Reds", vmax=max(1, int(errors.max())) * 1.4)
        for row in range(count):
            for column in range(count):
                value = int(table[row, column])
                weight = "bold" if row == column else "normal"
                if value:
                    axes.text(
                        column, row, str(value), ha="center", va="center", fontsize=9, weight=weight, color="black"
                    )
        axes.set(xlabel="answer", ylabel="truth", title=title, xticks=range(count), yticks=range(count))
        if task.kind == "classes" and class_names != DIGIT_NAMES:
            axes.set_xticks(range(count), class_names, rotation=45, ha="right")
            axes.set_yticks(range(count), class_names)
        save(figure, path)


def draw_reliability(path: Path, title: str, bins: list[Bin]) -> None:
    """Accuracy against certainty in bins, and below how many answers each holds, on a logarithmic scale."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 5.6), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        certainty = [part.certainty for part in bins]
        upper.plot([0, 1], [0, 1], color=INK, lw=1, ls="--", alpha=0.5, label="as certain as right")
        upper.plot(certainty, [part.accuracy for part in bins], color=COLOURS[0], lw=2, marker="o", ms=5)
        upper.set(xlim=(0, 1.02), ylim=(-0.02, 1.02), ylabel="accuracy", title=title)
        upper.legend(loc="upper left")
        middle = [(part.low + part.high) / 2 for part in bins]
        lower.bar(middle, [part.n for part in bins], width=0.9 / BINS, color=COLOURS[0], alpha=0.5)
        lower.set(yscale="log", ylim=(0.5, None), xlabel="certainty", ylabel="answers")
        save(figure, path)


def draw_predictions(
    path: Path,
    title: str,
    task: Task,
    predictions: Predictions,
    rows: list[int],
    weights: Float[Tensor, "R H L"] | None = None,
    places: list[Places] | None = None,
    class_names: tuple[str, ...] = DIGIT_NAMES,
) -> None:
    """Sequences in rows, their images in order (an anchor first), with answer and truth; padding is not drawn.

    With `weights`, under each image is a bar for its attention, the mean over heads. With `places`, one for each row,
    each image is coloured where the encoder looks; a single image stands beside that, and beside what the answer to it
    rests on.
    """
    batch, single = predictions.batch, task.single_image and places is not None
    first = 0 if batch.anchor is None else 2  # the anchor's column, then a gap
    most = 3 if single else batch.index.shape[1]  # tiles
    wide, high = most + first + 3.2, 1.15 if weights is None else 1.45  # in images
    answers = task.answer(predictions.prediction[rows])
    right = task.scores(predictions.prediction[rows], predictions.target[rows])["accuracy"] == 1
    with mpl.rc_context(SHEET_STYLE):
        figure = Figure(figsize=(max(6.0, 0.85 * wide), 0.85 * (high * len(rows) + 0.6)), layout="constrained")
        axes = figure.subplots()
        axes.set_title(title)
        axes.axis("off")
        for line, row in enumerate(rows):
            top = high * line
            if batch.anchor is not None:
                _tile(axes, 0, top, batch.images[batch.anchor[row]], None)
                axes.text(1.45, top + 0.5, "in ?", ha="center", va="center", color=INK)
            for index in range(int(batch.lengths[row])):
                weight = None if weights is None else float(weights[line, :, index].mean())
                image = batch.images[batch.index[row, index]]
                looks = None if places is None else places[line].looks[index]
                rests = None if places is None else places[line].rests[index]
                for column, over in enumerate((None, looks, rests) if single else (looks,), start=index):
                    _tile(axes, first + 1.08 * column, top, image, weight, over)
            truth = int(predictions.target[row])
            text = _answer_and_truth(task, float(answers[line]), truth, bool(right[line]), class_names)
            end = first + 1.08 * most + 0.15
            axes.text(end, top + 0.5, text, va="center", color=RIGHT if right[line] else WRONG)
        axes.set(xlim=(-0.05, 1.08 * most + first + 3.2), ylim=(high * len(rows), -0.1), aspect="equal")
        save(figure, path)


def draw_samples(path: Path, title: str, splits: Splits) -> None:
    """The first training images of each label, a row for each, black on white as on paper."""
    names = splits.class_names
    with mpl.rc_context(SHEET_STYLE):
        figure = Figure(figsize=(9, 7.5), layout="constrained")
        axes = figure.subplots()
        for label in range(len(names)):
            for column, image in enumerate(splits.train.images[splits.train.labels == label][:SAMPLES]):
                _tile(axes, 1.08 * column, 1.08 * label, image, None)
        middles = [1.08 * label + 0.5 for label in range(len(names))]
        axes.set_yticks(
            middles, [str(label) if name == str(label) else f"{label} {name}" for label, name in enumerate(names)]
        )
        axes.set(xticks=[], title=title, xlim=(-0.05, 1.08 * SAMPLES), ylim=(1.08 * len(names), -0.1), aspect="equal")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        save(figure, path)


def draw_steps(path: Path, title: str, pictures: list[Picture], names: list[str]) -> None:
    """How digits were made of pictures: a row each, from the picture in grey to the digit that a model is given.

    `names` say what each row is of, such as a file and what was read. At least one picture.
    """
    with mpl.rc_context(SHEET_STYLE):
        figure = Figure(figsize=(8.5, 1.7 * len(pictures) + 0.6), layout="constrained")
        table = figure.subplots(len(pictures), len(STEPS), squeeze=False)
        for line, picture, name in zip(table, pictures, names, strict=True):
            for axes, step in zip(line, STEPS, strict=True):
                axes.imshow(getattr(picture, step), cmap="gray", vmin=0, vmax=255 if step == "digit" else 1)
                axes.set(xticks=[], yticks=[])
            line[0].set_ylabel(name, rotation=0, ha="right", va="center")
        for axes, (step, meaning) in zip(table[0], STEPS.items(), strict=True):
            axes.set_title(f"{step}: {meaning}", fontsize=9)
        figure.suptitle(title)
        save(figure, path)


def _tile(
    axes: Axes, x: float, y: float, image: Tensor, weight: float | None, places: Float[Tensor, "G G"] | None = None
) -> None:
    """One image, black on white as on paper; colours over it; under it its attention weight as a bar and a number."""
    extent = (x, x + 1, y + 1, y)
    axes.imshow(255 - image.cpu().numpy(), cmap="gray", vmin=0, vmax=255, extent=extent)
    if places is not None:
        axes.imshow(colours(places), extent=extent)
    axes.add_patch(Rectangle((x, y), 1, 1, fill=False, lw=0.6, ec="#999999"))
    if weight is not None:
        axes.add_patch(Rectangle((x, y + 1.03), weight, 0.1, color=COLOURS[0], lw=0))
        axes.text(x + 0.5, y + 1.25, f"{weight:.2f}", ha="center", va="center", fontsize=8, color=INK)


def colours(values: Float[Tensor, "G G"]) -> np.ndarray:
    """Colours to lie over an image [G, G, 4]: red for up to 1, blue for down to -1, nothing for 0."""
    rgba = np.empty((*values.shape, 4))
    for sign, colour in ((1, COLOURS[1]), (-1, COLOURS[0])):
        rgba[(values * sign >= 0).numpy(), :3] = to_rgb(colour)
    rgba[..., 3] = 0.75 * values.abs().clamp(max=1).numpy()
    return rgba


def _answer_and_truth(task: Task, answer: float, truth: int, right: bool, class_names: tuple[str, ...]) -> str:
    """What was answered, what is true, and by how much it is off."""
    if task.kind == "quantity":
        return f"answer {answer:.2f}\ntruth {truth}, error {answer - truth:+.2f}"
    wrong = "" if right else "   wrong"
    if task.kind == "binary":
        words = f"yes, {answer:.1%}" if answer > 0.5 else f"no, {1 - answer:.1%}"
        return f"{words}\ntruth: {'yes' if truth else 'no'}{wrong}"
    if task.kind == "classes":
        return f"answer {class_names[round(answer)]}\ntruth {class_names[truth]}{wrong}"
    return f"answer {answer:.0f}\ntruth {truth}{wrong}"


def _column(lines: list[dict[str, Any]], key: str) -> list[float]:
    return [line[key] for line in lines]
