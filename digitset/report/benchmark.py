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

from digitset.bench.leaderboard import Leaderboard, leaderboards
from digitset.bench.statistics import FEWEST, LEVEL, Difference, Mean
from digitset.bench.tables import CellRow, CurveRow, LengthRow, ResultRow, read_csv
from digitset.data.mnist import load_data
from digitset.inference.length_generalization import LITERATURE
from digitset.inference.predictor import load
from digitset.report import charts
from digitset.report.comparison import draw_prediction_figures, markdown
from digitset.run_folder import RunFolder, write_whole
from digitset.tasks import load_task

Point = TypeVar("Point", bound=CellRow)
SHOWN = "transformer"  # beside the best model, the one whose sheets are shown and that others are tested against
HEADINGS = (
    *("rank", "model", "encoder", "seeds", "accuracy", "over seeds", "of the test set", "loss", "other"),
    *("single images", "random sequences", "parameters", "images", "seconds", "PFLOP", "learning rate"),
)
PAIR_HEADINGS = ("compared with", "difference in accuracy", "p (Holm)", "verdict")


def write_benchmark(folder: Path) -> Path:
    """Writes `report.html` and `report.md` of a benchmark's folder; the path of the first.

    Raises InputError if the folder holds no table that `bench` wrote.
    """
    boards = leaderboards(folder)
    curves, by_length = read_csv(folder / "curves.csv", CurveRow), read_csv(folder / "lengths.csv", LengthRow)
    sections = [_section(board, folder, curves, by_length) for board in boards]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("digitset.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    values = {"sections": sections, "made": _made(folder), "level": LEVEL}
    write_whole(folder / "report.md", _markdown(values).encode())
    page = folder / "report.html"
    write_whole(page, environment.get_template("page.html").render(values).encode())
    return page


def _section(board: Leaderboard, folder: Path, curves: list[CurveRow], by_length: list[LengthRow]) -> dict[str, Any]:
    """All of a task, in the words and figures of the page."""
    return {
        "task": board.task,
        "question": load_task(board.task).question,
        "verdict": verdict(board),
        "table": _without_empty(HEADINGS, table(board)),
        "pairs": [(name, (PAIR_HEADINGS, pairs)) for name in _compared(board) if (pairs := pair_table(board, name))],
        "beyond": board.beyond_baselines(),
        "charts": _charts(board, curves, by_length),
        "sheets": _sheets(board, folder),
    }


def verdict(board: Leaderboard) -> str:
    """One sentence that claims no more than the tests carry."""
    first = board.best
    text = f"{first} has the highest mean accuracy, {_interval(board.names[first].accuracy)}"
    others = len(board.ranks) - 1
    if not others:
        return text + "; there is nothing to compare it with."
    pairs = board.against(first)
    better = [pair for pair in pairs if pair.holds and pair.mean > 0]
    tested = {pair.second: pair for pair in pairs if not math.isnan(pair.p)}
    if not tested:
        return text + f"; nothing could be tested: that takes {FEWEST} seeds or more, whose differences vary."
    if better:
        text += f"; on these test images it is better than {len(better)} of the {others} others (p < {LEVEL}, Holm)"
    tied = [name for name in board.ranks if name in tested and not tested[name].holds]
    untested = [name for name in board.ranks if name not in (first, *tested)]
    text += f"; not separated from it: {', '.join(tied)}" if tied else ""
    return text + (f"; not tested: {', '.join(untested)}." if untested else ".")


def table(board: Leaderboard) -> list[tuple[str, ...]]:
    """The cells of a task's table, the best first, under HEADINGS."""
    rows = []
    for name, row in board.names.items():
        accuracy, work = row.accuracy, row.mean("train_flops")
        cost = row.kind != "classifier + rule"
        rows.append(
            (
                str(board.ranks[name]) if name in board.ranks else "",
                row.model,
                row.encoder if row.kind != "length-only" else "",
                str(accuracy.n),
                _interval(accuracy),
                "" if math.isnan(accuracy.deviation) else f"{accuracy.deviation:.4f}",
                f"{row.test_error:.4f}",
                _number(row.mean("loss"), ".4f"),
                _other(row.mean("auc"), row.mean("mae")),
                _number(row.mean("accuracy", "single"), ".4f"),
                _number(row.mean("accuracy", "random"), ".4f") if board.evaluation != "random" else "",
                _number(row.mean("parameters"), ",.0f") if cost else "",
                _number(row.mean("train_images"), ",.0f") if row.learned else "",
                _number(row.mean("train_seconds"), ",.0f") if cost else "",
                f"{work.mean / 1e15:,.3g}" if work and work.mean and cost else "",
                _number(row.mean("learning_rate"), "g") if cost else "",
            )
        )
    return rows


def _compared(board: Leaderboard) -> list[str]:
    """The best row and the Transformer: those that all others are set against."""
    shown = [name for name, row in board.names.items() if row.model == SHOWN]
    return list(dict.fromkeys([board.best, *shown]))


def pair_table(board: Leaderboard, name: str) -> list[tuple[str, ...]]:
    """What holds between one row and each other, under PAIR_HEADINGS; empty where there is no test at all."""
    pairs = board.against(name)
    return [] if all(math.isnan(pair.p) for pair in pairs) else [_pair(name, pair) for pair in pairs]


def _pair(name: str, pair: Difference) -> tuple[str, ...]:
    if math.isnan(pair.p):
        return pair.second, f"{pair.mean:+.4f}", "", "not tested"
    verdict = f"{name} is {'better' if pair.mean > 0 else 'worse'}" if pair.holds else "not separated"
    return pair.second, f"{pair.mean:+.4f} ± {pair.half:.4f}", "< 1e-16" if pair.p < 1e-16 else f"{pair.p:.2g}", verdict


def _charts(board: Leaderboard, curves: list[CurveRow], by_length: list[LengthRow]) -> list[tuple[str, str]]:
    """Captions and SVG elements."""
    made = [("Each seed is a dot, the bar their mean, the line the 95 % interval of the mean.", charts.seeds(board))]
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
        made.append((caption, charts.lines(board, training, "step", "1 - accuracy", **span)))
    made += _length_charts(board, by_length)
    if len(board.ranks) > 1:
        costs = (("train_seconds", "seconds of training"), ("parameters", "parameters, with the encoder's"))
        made += [(f"Accuracy against {label}.", charts.frontier(board, column, label)) for column, label in costs]
    return made


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
    made = [(caption, charts.lines(board, long, vertical="accuracy", known=known, ylim=(-0.02, 1.02), **axes))]
    if task.kind != "quantity":
        return made
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
    made.append((caption, charts.lines(board, implied, vertical=vertical, known=known, **axes)))
    return made


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


def _sheets(board: Leaderboard, folder: Path) -> list[tuple[str, str]]:
    """Captions and SVG elements of the best row and the Transformer, where their first run is still there."""
    made = []
    for name in _compared(board):
        row = board.names[name]
        seed = min(row.accuracies)
        run_folder = RunFolder(folder / "runs" / row.task / f"{row.model}-{row.encoder}" / f"seed{seed}")
        if not run_folder.finished:
            continue
        predictor = load(run_folder.path, "cpu")
        with tempfile.TemporaryDirectory() as temporary:
            splits = load_data(predictor.run.data)
            drawn = draw_prediction_figures(Path(temporary), name, predictor, splits, ".svg")
            commit = run_folder.machine().commit or ""
            of_table = commit in {result.commit for result in row.results[row.headline] if result.seed == seed}
            note = "" if of_table else f"; the same recipe, trained again (commit {commit or 'unknown'})"
            made += [(caption + note, charts.inline(path.read_text(), caption)) for caption, path in drawn]
    return made


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
        lines += [f"{sentence}." for sentence in section["beyond"]]
        lines += [""] * bool(section["beyond"])
    return "\n".join(lines)


def _without_empty(
    headings: tuple[str, ...], rows: list[tuple[str, ...]]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """A table without the columns that say nothing."""
    kept = [index for index in range(len(headings)) if any(row[index] for row in rows)]
    return tuple(headings[index] for index in kept), [tuple(row[index] for index in kept) for row in rows]


def _interval(over: Mean) -> str:
    return f"{over.mean:.4f}" + ("" if math.isnan(over.half) else f" ± {over.half:.4f}")


def _number(over: Mean | None, form: str) -> str:
    return "" if over is None else f"{over.mean:{form}}"


def _other(auc: Mean | None, mae: Mean | None) -> str:
    named = (("AUC", auc), ("MAE", mae))
    return ", ".join(f"{name} {over.mean:.4f}" for name, over in named if over)
