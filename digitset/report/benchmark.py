"""The page of a benchmark: report.html, complete in itself, and report.md with its tables; from tables and run folders.

Nothing is trained. What needs a trained model, sheets of predictions and attention, is drawn for the runs that are
still there.
"""

import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jinja2

from digitset import registry
from digitset.bench import statistics
from digitset.bench.leaderboard import Leaderboard, leaderboards
from digitset.bench.statistics import LEVEL, POWER
from digitset.bench.tables import CellRow, CurveRow, LabelRow, LengthRow, ResultRow, read_csv
from digitset.data.mnist import load_data
from digitset.errors import InputError
from digitset.files import locked, write_whole
from digitset.inference.length_generalization import LITERATURE
from digitset.inference.predictor import load
from digitset.report import charts
from digitset.report.comparison import draw_prediction_figures, markdown
from digitset.report.seal import Inputs, seal
from digitset.report.verdicts import (
    HEADINGS,
    PAIR_HEADINGS,
    compared,
    pair_table,
    sheet_folders,
    table,
    verdict,
    without_empty,
)
from digitset.run_folder import RunFolder
from digitset.tasks import load_task

Point = TypeVar("Point", bound=CellRow)


def write_benchmark(folder: Path, trust: bool = False) -> Path:
    """Writes `report.html` and `report.md` of a benchmark's folder; the path of the first.

    Predictions are drawn for runs of parts that are files of somebody's own only with `trust`, see `digitset.load`, or
    if this process was given the files. Raises InputError if the folder holds no table that `bench` wrote, a task that
    is code which is not trusted, and if another process writes there.
    """
    leaderboards(folder)  # raises for any other folder, before there is a lock in it
    with locked(folder, otherwise=""):
        return _write_benchmark(folder, trust)


def _write_benchmark(folder: Path, trust: bool) -> Path:
    inputs = Inputs.of(folder)  # before they are read: what changes meanwhile leaves a seal that does not fit
    boards = leaderboards(folder)
    for board in boards:
        _take_task(board, folder, trust)
    sections = [_section(board, folder, trust) for board in boards]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("digitset.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    values = {"sections": sections, "made": _made(folder), "level": LEVEL, "power": POWER}
    text = _markdown(values).encode()
    content = environment.get_template("page.html").render(values).encode() + b"\n"
    write_whole(folder / "report.md", text)
    page = folder / "report.html"
    write_whole(page, content + seal(inputs, content, text))
    return page


def _take_task(board: Leaderboard, folder: Path, trust: bool) -> None:
    """Makes a task known that is a file of somebody's own, from the first of its runs that are there."""
    if not registry.is_own_file(board.task) or registry.own_file("tasks", board.task):
        return
    runs = sorted(path.parent for path in (folder / "runs" / board.task).glob("*/seed*/run.json"))
    if not runs:
        raise InputError(f"{folder}: expected a run of task '{board.task}', whose file it has, found none")
    RunFolder(runs[0]).take_code(trust, ("tasks",))


def _section(board: Leaderboard, folder: Path, trust: bool) -> dict[str, Any]:
    """All of a task, in the words and figures of the page."""
    sheets, untrusted = _sheets(board, folder, trust)
    return {
        "task": board.task,
        "question": load_task(board.task).question,
        "verdict": verdict(board),
        "table": without_empty(HEADINGS, table(board)),
        "pairs": [(name, (PAIR_HEADINGS, pairs)) for name in compared(board) if (pairs := pair_table(board, name))],
        "remarks": board.remarks() + untrusted,
        "charts": _charts(board, folder),
        "sheets": sheets,
    }


def _charts(board: Leaderboard, folder: Path) -> list[tuple[str, str]]:
    """Captions and SVG elements."""
    curves, by_length = read_csv(folder / "curves.csv", CurveRow), read_csv(folder / "lengths.csv", LengthRow)
    drawn = [("Each seed is a dot, the bar their mean, the line the 95 % interval of the mean.", charts.seeds(board))]
    training = _lines(board, curves, lambda row: (row.step, 1 - row.accuracy))
    caption = "Errors on validation images over training, a line a seed."
    steps = [
        step
        for name, all_seeds in training.items()
        if board.names[name].learned
        for line in all_seeds
        for step, _ in line
    ]
    if steps:  # the length-only baseline has steps of its own, perhaps more
        span = {"xlim": (0, 1.03 * max(steps)), "yscale": "log"}
        drawn.append((caption, charts.lines(board, training, "step", "1 - accuracy", **span)))
    drawn += _length_charts(board, by_length)
    drawn += _label_charts(board, read_csv(folder / "labels.csv", LabelRow))
    if len(board.learned) > 1:
        costs = (("train_seconds", "seconds of training"), ("parameters", "parameters, with the encoder's"))
        drawn += [(f"Accuracy against {label}.", charts.frontier(board, column, label)) for column, label in costs]
    return drawn


def _length_charts(board: Leaderboard, by_length: list[LengthRow]) -> list[tuple[str, str]]:
    """Accuracy by length and, where all images must be read for an answer, the accuracy on one image it implies."""
    task = load_task(board.task)
    long = _lines(board, by_length, lambda row: (row.length, row.accuracy))
    if task.single_image or not long:
        return []
    elsewhere = any(row.data for row in board.rows for row in row.results[row.headline])
    table = {} if elsewhere else LITERATURE.get(board.task, {})
    known = {name: list(points.items()) for name, points in table.items()}
    dotted = " Dotted: published by others." if known else ""
    caption = f"Accuracy by length, first seed; trained on {task.lengths[0]} to {task.lengths[1]} images.{dotted}"
    axes = {"xscale": "log", "horizontal": "images in the sequence"}
    drawn = [(caption, charts.lines(board, long, vertical="accuracy", known=known, ylim=(-0.02, 1.02), **axes))]
    if task.kind != "quantity":
        return drawn
    implied = _lines(board, by_length, lambda row: (row.length, row.per_image or math.nan))
    implied = {name: all_seeds for name, all_seeds in implied.items() if board.names[name].learned}
    known = {
        name: [(length, accuracy ** (1 / length)) for length, accuracy in points if accuracy]
        for name, points in known.items()
    }
    caption = (
        "The accuracy on one image that the accuracy by length implies: flat means that length costs nothing. Beyond "
        "some hundred images it flatters, because errors cancel."
    )
    vertical = "accuracy ** (1 / images)"
    drawn.append((caption, charts.lines(board, implied, vertical=vertical, known=known, **axes)))
    return drawn


def _label_charts(board: Leaderboard, rows: Sequence[LabelRow]) -> list[tuple[str, str]]:
    """Accuracy against the number of labels; nothing for a task without a row."""
    lines: dict[str, list[charts.Line]] = {}
    for name, all_seeds in _lines(board, rows, lambda row: (row.labels, row.accuracy)).items():
        by_count: dict[float, list[float]] = {}
        for labels, accuracy in (point for line in all_seeds for point in line):
            by_count.setdefault(labels, []).append(accuracy)
        lines[name] = [[(labels, statistics.mean(found).mean) for labels, found in sorted(by_count.items())]]
    if not lines:
        return []
    caption = (
        "Accuracy on random test sequences against how many labelled sequences there were to train on, drawn once; "
        "mean over seeds; the rows of the table above alone. Labels of classifier + rule are digits of single images. "
        "Models are trained as benchmarks/labels.py says, not as for the table above."
    )
    axes = {"xscale": "log", "ylim": (-0.02, 1.02), "horizontal": "labels"}
    return [(caption, charts.lines(board, lines, vertical="accuracy (random)", **axes))]


def _lines(
    board: Leaderboard, rows: Sequence[Point], point: Callable[[Point], tuple[float, float]]
) -> dict[str, list[charts.Line]]:
    """The curves of each row, a line for each seed."""
    by_row = {(row.task, row.model, row.encoder): name for name, row in board.names.items()}
    lines: dict[str, dict[int, list[tuple[float, float]]]] = {}
    for row in rows:
        if row.row_name in by_row:
            name = by_row[row.row_name]
            lines.setdefault(name, {}).setdefault(row.seed, []).append(point(row))
    return {name: list(lines[name].values()) for name in board.names if name in lines}


def _sheets(board: Leaderboard, folder: Path, trust: bool) -> tuple[list[tuple[str, str]], list[str]]:
    """Captions and SVG elements of the best row and the Transformer, where their first run is still there.

    Then sentences on runs whose code is not trusted.
    """
    sheets: list[tuple[str, str]] = []
    untrusted: list[str] = []
    for name, run_path in sheet_folders(board, folder).items():
        row, run_folder = board.names[name], RunFolder(run_path)
        if not run_folder.finished:
            continue
        if not (trust or run_folder.knows_code()):
            untrusted.append(f"Predictions of {name}, which is code in the folder of its run, need report --trust")
            continue
        predictor = load(run_folder.path, "cpu", trust)
        with tempfile.TemporaryDirectory() as temporary:
            splits = load_data(predictor.run.data, predictor.run.transpose)
            drawn = draw_prediction_figures(Path(temporary), name, predictor, splits, ".svg")
            commit = run_folder.machine().commit or ""
            first = min(row.accuracies)
            of_table = commit in {result.commit for result in row.results[row.headline] if result.seed == first}
            note = "" if of_table else f"; the same recipe, trained again (commit {commit or 'unknown'})"
            svgs = [(caption, path.read_text(encoding="utf-8")) for caption, path in drawn]
            sheets += [(caption + note, charts.inline(svg, caption)) for caption, svg in svgs]
    return sheets, untrusted


def _made(folder: Path) -> list[tuple[str, ...]]:
    """What was run where: commit, device, precision, threads, and how many cells."""
    cells: dict[tuple[str, ...], set[str]] = {}
    for row in read_csv(folder / "results.csv", ResultRow):
        where = (row.commit, row.device, row.precision, str(row.threads))
        cells.setdefault(where, set()).add(row.cell)
    return [(*where, str(len(of_machine))) for where, of_machine in sorted(cells.items())]


def _markdown(values: dict[str, Any]) -> str:
    lines = []
    for section in values["sections"]:
        lines += [f"## {section['task']}: {section['question']}", "", section["verdict"], ""]
        lines += [*markdown(*section["table"]), ""]
        for name, pairs in section["pairs"]:
            lines += [f"**{name}** against the others:", "", *markdown(*pairs), ""]
        lines += [f"{sentence}." for sentence in section["remarks"]]
        lines += [""] * bool(section["remarks"])
    return "\n".join(lines)
