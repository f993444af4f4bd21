"""Charts of a benchmark's page, as SVG text: the same bytes for the same results, in the page's own ink.

Each is one narrow pair of axes, so that a phone shows it as it is. What is drawn in INK takes the colour of the page's
text, light or dark.
"""

import base64
import html
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from PIL import Image

from digitset.bench.leaderboard import Leaderboard
from digitset.report.figures import INK, STYLE, styles

Line = Sequence[tuple[float, float]]
MARKERS = {"-": "o", "--": "s", "-.": "D", ":": "^"}  # what a dash is to a line, to a point
LEAST_ERROR = 1e-5  # one of the 10,000 test images is 1e-4
MARKED_ERRORS = (1.0, 0.8, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 5e-4, 2e-4, 1e-4, 1e-5)
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
    """The accuracy of each seed as a dot, the mean as a bar across its t-interval; the best row on top.

    The scale is that of the logarithm of errors, so that rows near 1 are spread.
    """
    rows = list(leaderboard.names.items())

    def draw(axes: Axes) -> None:
        for index, (name, row) in enumerate(rows):
            style, mean = _style(leaderboard, name), row.accuracy
            errors = [_error(accuracy) for accuracy in row.accuracies.values()]
            axes.plot(errors, [index] * len(errors), "o", ms=5, alpha=0.6, color=style["color"])
            if not math.isnan(mean.half):
                ends = [_error(mean.mean - mean.half), _error(mean.mean + mean.half)]
                axes.plot(ends, [index, index], lw=1.5, color=style["color"])
            axes.plot([_error(mean.mean)], [index], "|", ms=15, mew=2, color=style["color"])
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.set(ylim=(len(rows) - 0.5, -0.5), xlabel=f"accuracy ({leaderboard.evaluation})")
        _scale_of_errors(axes, "x", (accuracy for _, row in rows for accuracy in row.accuracies.values()))

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
            line = [(cost, _error(accuracy)) for cost, accuracy in on_it]
            axes.plot(*zip(*line, strict=True), drawstyle="steps-post", color=INK, lw=1, alpha=0.4)
        for name, (cost, accuracy) in points.items():
            style = _style(leaderboard, name)
            axes.plot([cost], [_error(accuracy)], MARKERS[style["ls"]], ms=7, label=name, color=style["color"])
        axes.margins(x=0.1, y=0.1)
        _scale_of_errors(axes, "y", (accuracy for _, accuracy in points.values()))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set(xlabel=label, ylabel=f"accuracy ({leaderboard.evaluation})")
        _legend(axes, columns=3)

    return svg(draw, f"{leaderboard.task}: accuracy against {label}", 2.9 + 0.2 * ((len(points) + 2) // 3))


def _error(accuracy: float) -> float:
    """1 - accuracy, and no less than a logarithm can show."""
    return max(1 - accuracy, LEAST_ERROR)


def _scale_of_errors(axes: Axes, which: Literal["x", "y"], accuracies: Iterable[float]) -> None:
    """Makes an axis one of errors, on a logarithmic scale, that says accuracies; the better is right or on top."""
    errors = [_error(accuracy) for accuracy in accuracies]
    low, high = min(errors) / 1.25, min(1.0, max(errors) * 1.25)
    axis = axes.xaxis if which == "x" else axes.yaxis
    axes.set(**{f"{which}scale": "log", f"{which}lim": (high, low)})
    axis.set_major_locator(FixedLocator([error for error in MARKED_ERRORS if low <= error <= high]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda error, _: f"{1 - error:.4g}"))


def _legend(axes: Axes, columns: int) -> None:
    """Names below the axes: in them, those of a dozen models would lie on one another."""
    figure = axes.get_figure()
    assert figure is not None
    figure.legend(loc="outside lower center", ncols=columns, handlelength=2.2)


def _style(leaderboard: Leaderboard, name: str) -> dict[str, Any]:
    """The same colour and dash for a row in all charts of a task, and for a model on the whole page."""
    if not leaderboard.names[name].learned:
        return {"color": INK, "ls": ":" if leaderboard.names[name].kind == "length-only" else "--"}
    return styles(sorted(leaderboard.learned))[name]
