"""One figure of an explanation: the images with what each says and adds, and below it distribution and attention."""

import math
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec, SubplotSpec
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from digitset.inference.explain import Explanation, answer_in_words
from digitset.inference.explain import explain as explanation_of
from digitset.inference.places import Places
from digitset.inference.predictor import Images, Predictor
from digitset.report.figures import COLOURS, INK, SHEET_STYLE, colours, save
from digitset.tasks import Task

LINE = 10  # images
LIKELY = 1e-3  # the least probable answer that is drawn
MAPS = (
    "where it looks: attention, through all layers; what it rests on: to erase red makes the answer worse, blue better"
)


@dataclass(frozen=True)
class Explained(Explanation):
    """An explanation with what it is of, so that it can be drawn."""

    model: Predictor
    images: Images
    anchor: Images | None

    def __repr__(self) -> str:
        task = self.model.task
        words = answer_in_words(task, self.answer, self.certainty, self.interval)
        return f"explanation: {task.question} {words}; plot() draws it"

    def plot(self) -> Figure:
        """The figure that `digitset explain` writes."""
        run = self.model.run
        with mpl.rc_context(SHEET_STYLE):
            return figure_of(f"{run.task}/{run.model}", self.model.task, self.images, self.anchor, self)


def explain(model: Predictor, images: Images, anchor: Images | None = None) -> Explained:
    """Explains the answer for one sequence: uint8 images [n, 28, 28], and [28, 28] as the anchor where there is one.

    As `digitset.inference.explain.explain`, with a method `plot()` that gives a figure of matplotlib.
    """
    values = vars(explanation_of(model, images, anchor))
    return Explained(**values, model=model, images=images, anchor=anchor)


def draw_explanation(
    path: Path,
    name: str,
    task: Task,
    images: Images,
    anchor: Images | None,
    explanation: Explanation,
) -> None:
    """Draws an explanation of uint8 images [n, 28, 28] into a PNG, SVG or PDF, and [28, 28] for the anchor.

    `path` ends in .png, .svg or .pdf; `name` is the model's, for the title; `explanation` is of the same images.
    """
    with mpl.rc_context(SHEET_STYLE):
        save(figure_of(name, task, images, anchor, explanation), path)


def figure_of(name: str, task: Task, images: Images, anchor: Images | None, explanation: Explanation) -> Figure:
    """Above each image is the answer to it alone; under it, what it adds; then where on it the encoder looks, and what
    the answer rests on there, for an encoder that shows it. To be called in the style of sheets.
    """
    n, places = len(images), explanation.places
    one = n == 1 and anchor is None  # its maps stand beside it, not under it
    lines, rows = math.ceil(n / LINE), 1 if one or places is None else 3
    columns = 3 if one and places is not None else min(n, LINE) + (anchor is not None)
    panels = [panel for panel in (_distribution, _weights, _pairwise, _heads) if _fits(panel, task, explanation)]
    width, below = max(6.5, 1.05 * columns), 2.9 if panels else 0
    above = lines * (1.6 + 1.15 * (rows - 1))
    figure = Figure(figsize=(width, 1.1 + above + below), layout="constrained")
    grid = GridSpec(1 + bool(panels), 1, figure, height_ratios=[above, below][: 1 + bool(panels)])
    tiles = grid[0].subgridspec(lines * rows, columns)
    if anchor is not None:
        axes = _tile(figure, tiles[0, 0], anchor)
        axes.set_title("anchor", fontsize=9)
    for index, image in enumerate(images):
        row, column = index // LINE * rows, index % LINE + (anchor is not None)
        _label(_tile(figure, tiles[row, column], image), task, explanation, index)
        if places is not None:
            spots = [(0, 1), (0, 2)] if one else [(row + 1, column), (row + 2, column)]
            pair = [_tile(figure, tiles[spot], image) for spot in spots]
            _places(pair, places, index, one, first=index % LINE == 0)
    if panels:
        row = grid[1].subgridspec(1, len(panels))
        for index, panel in enumerate(panels):
            panel(figure.add_subplot(row[index]), task, explanation)
    legend = _legend(explanation)
    words = answer_in_words(task, explanation.answer, explanation.certainty, explanation.interval)
    figure.suptitle(f"{name}: {task.question}  {words}\n\n{legend.count(chr(10)) * chr(10)}", fontsize=12)
    figure.text(0.5, 1 - 0.34 / figure.get_figheight(), legend, ha="center", va="top", fontsize=9)
    return figure


def _legend(explanation: Explanation) -> str:
    maps = "" if explanation.places is None else f"\n{MAPS}"
    if len(explanation.single_answers) == 1:
        return f"above the image: what is read{maps}"
    frame = "" if explanation.attention is None else "; the thicker the frame, the more attention"
    below = "the answer to all, less that to all but this one"
    return f"above each image: the answer to it alone; below: {below}{frame}{maps}"


def _tile(figure: Figure, index: SubplotSpec, image: Images) -> Axes:
    axes = figure.add_subplot(index)
    axes.imshow(255 - np.asarray(image), cmap="gray", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, color="#999999", linewidth=0.6)
    return axes


def _label(axes: Axes, task: Task, explanation: Explanation, index: int) -> None:
    """Above a tile the answer to it alone; below, what it adds to the answer to all."""
    alone, added = float(explanation.single_answers[index]), float(explanation.contributions[index])
    whole = task.kind != "binary" and explanation.distribution is not None
    axes.set_title(f"{alone:.0f}" if whole else f"{alone:.2f}", fontsize=9)
    if not math.isnan(added):
        text = f"{added:+.0f}" if whole else f"{round(added, 2) + 0.0:+.2f}"
        axes.set_xlabel(text, fontsize=9, color=INK if abs(added) >= 0.005 else "#999999")
    if explanation.attention is not None:
        share = float(explanation.attention.mean(dim=0)[index])
        for spine in axes.spines.values():
            spine.set(color=COLOURS[1], linewidth=0.6 + 5 * share)


def _places(pair: list[Axes], places: Places, index: int, one: bool, first: bool) -> None:
    """Over an image, in the first axes, where the encoder looks; in the second, what the answer to it rests on."""
    for axes, values in zip(pair, (places.looks[index], places.rests[index]), strict=True):
        axes.imshow(colours(values), extent=(-0.5, 27.5, 27.5, -0.5))
    for axes, words in zip(pair, ("where it looks", "what it rests on"), strict=True):
        if one:
            axes.set_title(words, fontsize=9)
        elif first:
            axes.set_ylabel(words.replace("it ", "it\n"), fontsize=9)


def _fits(panel: object, task: Task, explanation: Explanation) -> bool:
    several = len(explanation.single_answers) > 1
    if panel is _distribution:
        return explanation.distribution is not None and task.kind != "binary"
    if panel is _heads:
        return not several and explanation.places is not None
    if panel is _weights:
        return several and explanation.attention is not None and explanation.pairwise is None
    return several and explanation.pairwise is not None


def _distribution(axes: Axes, task: Task, explanation: Explanation) -> None:
    """The probable answers; those outside the interval are paler."""
    assert explanation.distribution is not None
    likely = (explanation.distribution >= LIKELY).nonzero()[:, 0]
    low, high = max(0, int(likely.min()) - 2), min(len(explanation.distribution) - 1, int(likely.max()) + 2)
    first, last = explanation.interval or (0, len(explanation.distribution))
    for answer in range(low, high + 1):
        inside = first <= answer <= last
        axes.bar(answer, float(explanation.distribution[answer]), color=COLOURS[0], alpha=1 if inside else 0.4)
    axes.set(xlim=(low - 0.6, high + 0.6), xlabel="answer", title="probability of each answer")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _weights(axes: Axes, task: Task, explanation: Explanation) -> None:
    assert explanation.attention is not None
    title = "attention from the anchor" if task.anchored else "attention received"
    _heat(axes, explanation.attention, title, "head")


def _pairwise(axes: Axes, task: Task, explanation: Explanation) -> None:
    assert explanation.pairwise is not None
    _heat(axes, explanation.pairwise.mean(dim=0), "attention from row to column", "image")


def _heads(axes: Axes, task: Task, explanation: Explanation) -> None:
    """What each pooling head takes from each place of the only image, one small map a head."""
    assert explanation.places is not None
    heads = explanation.places.heads[0]
    side, columns = heads.shape[-1], math.ceil(len(heads) / 2)
    sheet = np.full((2 * (side + 1) - 1, columns * (side + 1) - 1), np.nan)
    for index, head in enumerate(heads.numpy()):
        top, left = index // columns * (side + 1), index % columns * (side + 1)
        sheet[top : top + side, left : left + side] = head
    axes.imshow(sheet, cmap="Reds", vmin=0, vmax=float(heads.max()))
    axes.set(
        title=f"{len(heads)} head{'s' * (len(heads) > 1)} (at most {float(heads.max()):.2f} of a place)",
        xticks=[],
        yticks=[],
    )
    for spine in axes.spines.values():
        spine.set_visible(False)


def _heat(axes: Axes, weights: Float[Tensor, "R n"], title: str, rows: str) -> None:
    axes.imshow(weights.numpy(), cmap="Reds", vmin=0, vmax=max(1e-6, float(weights.max())), aspect="auto")
    axes.set(title=f"{title} (at most {float(weights.max()):.2f})", xlabel="image", ylabel=rows)
    axes.set_xticks(range(weights.shape[1]), [str(index + 1) for index in range(weights.shape[1])])
    axes.set_yticks(range(weights.shape[0]), [str(index + 1) for index in range(weights.shape[0])])
