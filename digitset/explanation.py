"""One figure of an explanation: the images with what each says and adds, and below it distribution and attention."""

import math
from pathlib import Path

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec, SubplotSpec
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from digitset.explain import Explanation, verdict
from digitset.figures import COLOURS, INK, SHEET_STYLE, save
from digitset.predict import Images
from digitset.tasks import Task

LINE = 10  # images
LIKELY = 1e-3  # the least probable answer that is drawn


def draw(
    path: Path,
    name: str,
    task: Task,
    images: Images,
    anchor: Images | None,
    found: Explanation,
) -> None:
    """Draws an explanation of uint8 images [n, 28, 28] into a PNG, SVG or PDF, and [28, 28] for the anchor.

    Above each image is the answer to it alone; under it, what it adds. `path` ends in .png, .svg or .pdf; `name` is the
    model's, for the title; `found` is what `digitset.explain.explain` found for the same images.
    """
    n = len(images)
    columns, lines = min(n, LINE) + (anchor is not None), math.ceil(n / LINE)
    panels = [panel for panel in (_distribution, _weights, _pairwise) if _fits(panel, task, found)]
    width, below = max(6.5, 1.05 * columns), 2.9 if panels else 0
    with mpl.rc_context(SHEET_STYLE):
        figure = Figure(figsize=(width, 1.1 + 1.6 * lines + below), layout="constrained")
        grid = GridSpec(1 + bool(panels), 1, figure, height_ratios=[1.6 * lines, below][: 1 + bool(panels)])
        tiles = grid[0].subgridspec(lines, columns)
        if anchor is not None:
            axes = _tile(figure, tiles[0, 0], anchor)
            axes.set_title("anchor", fontsize=9)
        for place, image in enumerate(images):
            axes = _tile(figure, tiles[place // LINE, place % LINE + (anchor is not None)], image)
            _say(axes, task, found, place)
        if panels:
            row = grid[1].subgridspec(1, len(panels))
            for place, panel in enumerate(panels):
                panel(figure.add_subplot(row[place]), task, found)
        figure.suptitle(
            f"{name}: {task.QUESTION}  {verdict(task, found.answer, found.certainty, found.interval)}\n\n", fontsize=12
        )
        figure.text(0.5, 1 - 0.42 / figure.get_figheight(), _legend(found), ha="center", va="center", fontsize=9)
        save(figure, path)


def _legend(found: Explanation) -> str:
    if len(found.readings) == 1:
        return "above the image: what is read"
    frame = "" if found.attention is None else "; the thicker the frame, the more attention"
    return f"above each image: the answer to it alone; below: the answer to all, less that to all but this one{frame}"


def _tile(figure: Figure, place: SubplotSpec, image: Images) -> Axes:
    axes = figure.add_subplot(place)
    axes.imshow(255 - np.asarray(image), cmap="gray", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, color="#999999", linewidth=0.6)
    return axes


def _say(axes: Axes, task: Task, found: Explanation, place: int) -> None:
    """Above a tile the answer to it alone; below, what it adds to the answer to all."""
    alone, added = float(found.readings[place]), float(found.contributions[place])
    yes_no = task.DISCRETE and task.answers(1) == 2
    whole = not yes_no and found.distribution is not None
    axes.set_title(f"{alone:.0f}" if whole else f"{alone:.2f}", fontsize=9)
    if not math.isnan(added):
        text = f"{added:+.0f}" if whole else f"{round(added, 2) + 0.0:+.2f}"
        axes.set_xlabel(text, fontsize=9, color=INK if abs(added) >= 0.005 else "#999999")
    if found.attention is not None:
        share = float(found.attention.mean(dim=0)[place])
        for spine in axes.spines.values():
            spine.set(color=COLOURS[1], linewidth=0.6 + 5 * share)


def _fits(panel: object, task: Task, found: Explanation) -> bool:
    if panel is _distribution:
        return found.distribution is not None and task.answers(1) > 2
    if panel is _weights:
        return found.attention is not None and len(found.readings) > 1 and found.pairwise is None
    return found.pairwise is not None and len(found.readings) > 1


def _distribution(axes: Axes, task: Task, found: Explanation) -> None:
    """The probable answers; those outside the interval are paler."""
    assert found.distribution is not None
    likely = (found.distribution >= LIKELY).nonzero()[:, 0]
    low, high = max(0, int(likely.min()) - 2), min(len(found.distribution) - 1, int(likely.max()) + 2)
    first, last = found.interval or (0, len(found.distribution))
    for answer in range(low, high + 1):
        inside = first <= answer <= last
        axes.bar(answer, float(found.distribution[answer]), color=COLOURS[0], alpha=1 if inside else 0.4)
    axes.set(xlim=(low - 0.6, high + 0.6), xlabel="answer", title="probability of each answer")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _weights(axes: Axes, task: Task, found: Explanation) -> None:
    assert found.attention is not None
    title = "attention from the anchor" if task.ANCHORED else "attention received"
    _heat(axes, found.attention, title, "head")


def _pairwise(axes: Axes, task: Task, found: Explanation) -> None:
    assert found.pairwise is not None
    _heat(axes, found.pairwise.mean(dim=0), "attention from row to column", "image")


def _heat(axes: Axes, weights: Float[Tensor, "R n"], title: str, rows: str) -> None:
    axes.imshow(weights.numpy(), cmap="Reds", vmin=0, vmax=max(1e-6, float(weights.max())), aspect="auto")
    axes.set(title=f"{title} (at most {float(weights.max()):.2f})", xlabel="image", ylabel=rows)
    axes.set_xticks(range(weights.shape[1]), [str(place + 1) for place in range(weights.shape[1])])
    axes.set_yticks(range(weights.shape[0]), [str(place + 1) for place in range(weights.shape[0])])
