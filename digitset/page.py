"""The page of a benchmark: report.html, complete in itself, and report.md with its tables; from tables and runs alone.

Nothing is trained. What needs a trained model, sheets of predictions and attention, is drawn for the runs that are
still there.
"""

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2

from digitset import charts, data, lengths, parts
from digitset.grid import row_name
from digitset.predict import load
from digitset.record import Record, write_whole
from digitset.report import markdown, readings_figures
from digitset.results import CURVES, LENGTHS, Row, read_csv
from digitset.standings import Standing, standings
from digitset.statistics import FEWEST, LEVEL, Difference, Mean

SHOWN = "transformer"  # beside the best model, the one whose sheets are shown and that others are tested against
HEADINGS = (
    *("rank", "model", "encoder", "seeds", "accuracy", "over seeds", "of the test set", "loss", "other"),
    *("single images", "random sequences", "parameters", "images", "seconds", "PFLOP", "learning rate"),
)
PAIR_HEADINGS = ("compared with", "difference in accuracy", "p (Holm)", "verdict")


def write(folder: Path) -> Path:
    """Writes `report.html` and `report.md` of a benchmark's folder; the path of the first.

    Raises InputError if the folder holds no table that `bench` wrote.
    """
    found = standings(folder)
    curves, by_length = read_csv(folder / "curves.csv", CURVES), read_csv(folder / "lengths.csv", LENGTHS)
    sections = [_section(standing, folder, curves, by_length) for standing in found]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("digitset", "templates"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    values = {"sections": sections, "made": _made(folder), "level": LEVEL}
    write_whole(folder / "report.md", _markdown(values).encode())
    page = folder / "report.html"
    write_whole(page, environment.get_template("page.html").render(values).encode())
    return page


def _section(standing: Standing, folder: Path, curves: list[Row], by_length: list[Row]) -> dict[str, Any]:
    """All of a task, in the words and figures of the page."""
    return {
        "task": standing.task,
        "question": parts.load("tasks", standing.task).QUESTION,
        "verdict": verdict(standing),
        "table": _without_empty(HEADINGS, table(standing)),
        "pairs": [
            (name, (PAIR_HEADINGS, pairs)) for name in _compared(standing) if (pairs := pair_table(standing, name))
        ],
        "bounds": standing.bounds(),
        "charts": _charts(standing, curves, by_length),
        "sheets": _sheets(standing, folder),
    }


def verdict(standing: Standing) -> str:
    """One sentence that claims no more than the tests carry."""
    first = standing.best
    text = f"{first} has the highest mean accuracy, {_interval(standing.names[first].accuracy)}"
    others = len(standing.ranks) - 1
    if not others:
        return text + "; there is nothing to compare it with."
    pairs = standing.against(first)
    better = [pair for pair in pairs if pair.holds and pair.mean > 0]
    tested = {pair.second: pair for pair in pairs if not math.isnan(pair.p)}
    if not tested:
        return text + f"; nothing could be tested: that takes {FEWEST} seeds or more, whose differences vary."
    if better:
        text += f"; on these test images it is better than {len(better)} of the {others} others (p < {LEVEL}, Holm)"
    tied = [name for name in standing.ranks if name in tested and not tested[name].holds]
    untested = [name for name in standing.ranks if name not in (first, *tested)]
    text += f"; not separated from it: {', '.join(tied)}" if tied else ""
    return text + (f"; not tested: {', '.join(untested)}." if untested else ".")


def table(standing: Standing) -> list[tuple[str, ...]]:
    """The cells of a task's table, the best first, under HEADINGS."""
    rows = []
    for name, one in standing.names.items():
        accuracy, work = one.accuracy, one.mean("train_flops")
        cost = one.kind != "ceiling"
        rows.append(
            (
                str(standing.ranks[name]) if name in standing.ranks else "",
                one.model,
                one.encoder if one.kind != "floor" else "",
                str(accuracy.n),
                _interval(accuracy),
                "" if math.isnan(accuracy.deviation) else f"{accuracy.deviation:.4f}",
                f"{one.test_error:.4f}",
                _number(one.mean("loss"), ".4f"),
                _other(one.mean("auc"), one.mean("mae")),
                _number(one.mean("accuracy", "single"), ".4f"),
                _number(one.mean("accuracy", "random"), ".4f") if standing.evaluation != "random" else "",
                _number(one.mean("parameters"), ",.0f") if cost else "",
                _number(one.mean("train_images"), ",.0f") if one.learned else "",
                _number(one.mean("train_seconds"), ",.0f") if cost else "",
                f"{work.mean / 1e15:,.3g}" if work and work.mean and cost else "",
                _number(one.mean("learning_rate"), "g") if cost else "",
            )
        )
    return rows


def _compared(standing: Standing) -> list[str]:
    """The best entrant and the Transformer: those that all others are set against."""
    shown = [name for name, one in standing.names.items() if one.model == SHOWN]
    return list(dict.fromkeys([standing.best, *shown]))


def pair_table(standing: Standing, name: str) -> list[tuple[str, ...]]:
    """What holds between one entrant and each other, under PAIR_HEADINGS; empty where there is no test at all."""
    pairs = standing.against(name)
    return [] if all(math.isnan(pair.p) for pair in pairs) else [_pair(name, pair) for pair in pairs]


def _pair(name: str, pair: Difference) -> tuple[str, ...]:
    if math.isnan(pair.p):
        return pair.second, f"{pair.mean:+.4f}", "", "not tested"
    said = f"{name} is {'better' if pair.mean > 0 else 'worse'}" if pair.holds else "not separated"
    return pair.second, f"{pair.mean:+.4f} ± {pair.half:.4f}", "< 1e-16" if pair.p < 1e-16 else f"{pair.p:.2g}", said


def _charts(standing: Standing, curves: list[Row], by_length: list[Row]) -> list[tuple[str, str]]:
    """Captions and SVG elements."""
    made = [("Each seed is a dot, the bar their mean, the line the 95 % interval of the mean.", charts.seeds(standing))]
    training = _lines(standing, curves, lambda row: (float(row["step"]), 1 - float(row["accuracy"])))
    caption = "Errors on validation images over training, a line a seed."
    steps = [
        step for name, found in training.items() if standing.names[name].learned for line in found for step, _ in line
    ]
    if steps:  # a floor has steps of its own, perhaps more
        span = {"xlim": (0, 1.03 * max(steps)), "yscale": "log"}
        made.append((caption, charts.lines(standing, training, "step", "1 - accuracy", **span)))
    made += _length_charts(standing, by_length)
    if len(standing.ranks) > 1:
        costs = (("train_seconds", "seconds of training"), ("parameters", "parameters, with the encoder's"))
        made += [(f"Accuracy against {label}.", charts.frontier(standing, column, label)) for column, label in costs]
    return made


def _length_charts(standing: Standing, by_length: list[Row]) -> list[tuple[str, str]]:
    """Accuracy by length and, where all images must be read for an answer, the accuracy on one image it implies."""
    task = parts.load("tasks", standing.task)
    long = _lines(standing, by_length, lambda row: (float(row["length"]), float(row["accuracy"])))
    if task.LENGTHS[1] == 1 or not long:
        return []
    elsewhere = any(row["data"] for one in standing.entrants for row in one.rows[one.headline])
    table = {} if elsewhere else lengths.LITERATURE.get(standing.task, {})
    known = {name: list(found.items()) for name, found in table.items()}
    dotted = " Dotted: published by others." if known else ""
    caption = f"Accuracy by length, first seed; trained on {task.LENGTHS[0]} to {task.LENGTHS[1]} images.{dotted}"
    axes = {"xscale": "log", "horizontal": "images in the sequence"}
    made = [(caption, charts.lines(standing, long, vertical="accuracy", known=known, ylim=(-0.02, 1.02), **axes))]
    if task.DISCRETE:
        return made
    implied = _lines(standing, by_length, lambda row: (float(row["length"]), float(row["per_image"]) or math.nan))
    implied = {name: found for name, found in implied.items() if standing.names[name].learned}
    known = {
        name: [(length, accuracy ** (1 / length)) for length, accuracy in found if accuracy]
        for name, found in known.items()
    }
    caption = (
        "The accuracy on one image that the accuracy by length implies: flat means that length costs nothing. Beyond "
        "some hundred images it flatters, because errors cancel."
    )
    vertical = "accuracy ** (1 / images)"
    made.append((caption, charts.lines(standing, implied, vertical=vertical, known=known, **axes)))
    return made


def _lines(
    standing: Standing, rows: list[Row], point: Callable[[Row], tuple[float, float]]
) -> dict[str, list[charts.Line]]:
    """The curves of each entrant, a line a seed."""
    by_row = {(one.task, one.model, one.encoder): name for name, one in standing.names.items()}
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in rows:
        if row_name(row) in by_row:
            name = by_row[row_name(row)]
            found.setdefault(name, {}).setdefault(row["seed"], []).append(point(row))
    order = [name for name in standing.names if name in found]
    return {name: list(found[name].values()) for name in order}


def _sheets(standing: Standing, folder: Path) -> list[tuple[str, str]]:
    """Captions and SVG elements of the best entrant and the Transformer, where their first run is still there."""
    made = []
    for name in _compared(standing):
        one = standing.names[name]
        record = Record(folder / "runs" / one.task / f"{one.model}-{one.encoder}" / f"seed{min(one.scores)}")
        if not record.finished:
            continue
        predictor = load(record.folder, "cpu")
        with tempfile.TemporaryDirectory() as place:
            drawn = readings_figures(Path(place), name, predictor, data.load(predictor.run.data), ".svg")
            made += [(caption, charts.inline(path.read_text(), caption)) for caption, path in drawn]
    return made


def _made(folder: Path) -> list[tuple[str, ...]]:
    """What was run where: commit, device, precision, threads, and how many cells."""
    cells: dict[tuple[str, ...], set[tuple[str, str]]] = {}
    for row in read_csv(folder / "results.csv"):
        where = tuple(row[name] for name in ("commit", "device", "precision", "threads"))
        cells.setdefault(where, set()).add((row["recipe"], row["seed"]))
    return [(*where, str(len(found))) for where, found in sorted(cells.items())]


def _markdown(values: dict[str, Any]) -> str:
    lines = []
    for section in values["sections"]:
        lines += [f"## {section['task']}: {section['question']}", "", section["verdict"], ""]
        lines += [*markdown(*section["table"]), ""]
        for name, pairs in section["pairs"]:
            lines += [f"**{name}** against the others:", "", *markdown(*pairs), ""]
        lines += [f"{sentence}." for sentence in section["bounds"]]
        lines += [""] * bool(section["bounds"])
    return "\n".join(lines)


def _without_empty(
    headings: tuple[str, ...], rows: list[tuple[str, ...]]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """A table without the columns that say nothing."""
    kept = [place for place in range(len(headings)) if any(row[place] for row in rows)]
    return tuple(headings[place] for place in kept), [tuple(row[place] for place in kept) for row in rows]


def _interval(found: Mean) -> str:
    return f"{found.mean:.4f}" + ("" if math.isnan(found.half) else f" ± {found.half:.4f}")


def _number(found: Mean | None, form: str) -> str:
    return "" if found is None else f"{found.mean:{form}}"


def _other(auc: Mean | None, mae: Mean | None) -> str:
    named = (("AUC", auc), ("MAE", mae))
    return ", ".join(f"{name} {found.mean:.4f}" for name, found in named if found)
