"""Charts of a benchmark's page, as SVG text: the same bytes for the same results, in the page's own ink.

Each is one narrow pair of axes, so that a phone shows it as it is. What is drawn in INK takes the colour of the page's
text, light or dark.
"""

import base64
import html
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from digitset.bench.leaderboard import Leaderboard
from digitset.report.figures import COLOURS, INK, STYLE

Line = Sequence[tuple[float, float]]
MARKERS = {"-": "o", "--": "s", "-.": "D", ":": "^"}  # what a dash is to a line, to a point
WIDTH = 5.0  # inches: 360 pixels of a page
PAGE_STYLE: dict[Any, Any] = STYLE | {
    "font.size": 10,
    "legend.fontsize": 9,
    "svg.fonttype": "none",
    "savefig.transparent": True,
    "grid.color": INK,
    "grid.alpha": 0.15,
}


def svg(draw: Callable[[Axes], None], name: str, height: float = 3.4) -> str:
    """One pair of axes as an `<svg>` element. The name is for those who cannot see it, and for its ids."""
    with mpl.rc_context(PAGE_STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        draw(figure.subplots())
        handle = io.StringIO()
        figure.savefig(handle, format="svg", metadata={"Date": None, "Creator": None})
    return inline(handle.getvalue(), name)


def inline(text: str, name: str) -> str:
    """The `<svg>` element of an SVG file, in the ink of the page around it, with ids that no other element has.

    It is made smaller, since a page has dozens: numbers above 1, which are pixels, are to a hundredth (those below may
    be the scale of letters), and images of grey have one channel.
    """
    text = re.sub(r"<!--.*?-->", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r"(?<=data:image/png;base64,)[\w+/=\s]+", _smaller, text)
    text = re.sub(r"\b[1-9]\d*\.\d{4,}", lambda number: f"{float(number[0]):.2f}", text)
    text = re.sub(r">\s+<", "><", text)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda match: match[0] if match[1] in used else "", text)
    text = text.replace(INK, "currentColor").replace("'DejaVu Sans', ", "")
    prefix = re.sub(r"\W+", "-", name)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", text)
    return text.replace("<svg", f'<svg role="img" aria-label="{html.escape(name)}"', 1)


def _smaller(content: re.Match[str]) -> str:
    """A PNG in base64, of grey values alone where it is opaque and has no colour."""
    with Image.open(io.BytesIO(base64.b64decode(content[0]))) as image:
        red, green, blue, alpha = image.convert("RGBA").split()
        grey = alpha.getextrema() == (255, 255) and red.tobytes() == green.tobytes() == blue.tobytes()
        packed = io.BytesIO()
        (red if grey else image).save(packed, "PNG", optimize=True)
    return base64.b64encode(packed.getvalue()).decode()


def seeds(leaderboard: Leaderboard) -> str:
    """The accuracy of each seed as a dot, the mean as a bar across its t-interval; the best row on top."""
    rows = list(leaderboard.names.items())

    def draw(axes: Axes) -> None:
        for index, (name, row) in enumerate(rows):
            style, mean = _style(leaderboard, name), row.accuracy
            axes.plot(
                list(row.accuracies.values()), [index] * len(row.accuracies), "o", ms=5, alpha=0.6, color=style["color"]
            )
            if not math.isnan(mean.half):
                axes.plot([mean.mean - mean.half, mean.mean + mean.half], [index, index], lw=1.5, color=style["color"])
            axes.plot([mean.mean], [index], "|", ms=15, mew=2, color=style["color"])
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.set(ylim=(len(rows) - 0.5, -0.5), xlabel=f"accuracy ({leaderboard.evaluation})")

    return svg(draw, f"{leaderboard.task}: accuracy of each seed", 0.9 + 0.32 * len(rows))


def lines(
    leaderboard: Leaderboard,
    curves: Mapping[str, Sequence[Line]],
    horizontal: str,
    vertical: str,
    known: Mapping[str, Line] | None = None,
    **axes_settings: Any,
) -> str:
    """Curves by row, one for each seed; what others published, `known`, in ink and dashed."""

    def draw(axes: Axes) -> None:
        for name, all_seeds in curves.items():
            for index, line in enumerate(all_seeds):
                label = name if index == 0 else None
                axes.plot(*zip(*line, strict=True), lw=1.6, alpha=0.85, label=label, **_style(leaderboard, name))
        for (name, line), marker in zip((known or {}).items(), "xs^dv", strict=False):
            axes.plot(*zip(*line, strict=True), color=INK, lw=1, ls=":", marker=marker, ms=5, label=name)
        axes.set(xlabel=horizontal, ylabel=vertical, **axes_settings)
        if axes.get_xscale() == "log":
            axes.xaxis.set_major_formatter("{x:g}")
        _legend(axes, columns=1 if known else 3)

    legend = (len(curves) + 2) // 3 if not known else len(curves) + len(known)
    return svg(draw, f"{leaderboard.task}: {vertical} by {horizontal}", 2.9 + 0.2 * legend)


def frontier(leaderboard: Leaderboard, column: str, label: str) -> str:
    """Accuracy against a cost; the line goes through those that nobody beats at their cost or less."""
    points = {}
    for name, row in leaderboard.names.items():
        cost = row.mean(column)
        if row.learned and cost and cost.mean > 0:
            points[name] = (cost.mean, row.accuracy.mean)
    best, on_it = -math.inf, []
    for cost, accuracy in sorted(points.values(), key=lambda point: (point[0], -point[1])):
        if accuracy > best:
            best = accuracy
            on_it.append((cost, accuracy))

    def draw(axes: Axes) -> None:
        if len(on_it) > 1:
            axes.plot(*zip(*on_it, strict=True), drawstyle="steps-post", color=INK, lw=1, alpha=0.4)
        for name, (cost, accuracy) in points.items():
            style = _style(leaderboard, name)
            axes.plot([cost], [accuracy], MARKERS[style["ls"]], ms=7, label=name, color=style["color"])
        axes.margins(x=0.1, y=0.1)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set(xlabel=label, ylabel=f"accuracy ({leaderboard.evaluation})")
        _legend(axes, columns=3)

    return svg(draw, f"{leaderboard.task}: accuracy against {label}", 2.9 + 0.2 * ((len(points) + 2) // 3))


def _legend(axes: Axes, columns: int) -> None:
    """Names below the axes: in them, those of a dozen models would lie on one another."""
    figure = axes.get_figure()
    assert figure is not None
    figure.legend(loc="outside lower center", ncols=columns, handlelength=2.2)


def _style(leaderboard: Leaderboard, name: str) -> dict[str, Any]:
    """The same colour and dash for a row in all charts of a task: by the order of names, not of accuracies."""
    if not leaderboard.names[name].learned:
        return {"color": INK, "ls": ":" if leaderboard.names[name].kind == "length-only" else "--"}
    index = sorted(other for other, row in leaderboard.names.items() if row.learned).index(name)
    return {"color": COLOURS[index % len(COLOURS)], "ls": ("-", "--", "-.", ":")[index // len(COLOURS) % 4]}
