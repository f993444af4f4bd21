"""Writes docs/results.md and the table of README, from the CSV files of results/.

    uv run docs/results.py

The words of docs/results.md are in results.md.jinja. No measured number is typed there or here: all are read from those
files. What stands in no column, such as the name of the machine, is in results/machines.toml.
"""

import csv
import tomllib
from pathlib import Path
from typing import Any

import jinja2
from result_tables import (
    Cells,
    Records,
    best,
    boards,
    draw_labels,
    draw_mistakes,
    explanations,
    labels,
    lengths,
    measured,
    mistakes,
    number,
    protocols,
    published,
    simpler,
    table,
)

from digitset.bench.leaderboard import HEADLINE
from digitset.bench.tables import CLASSIFIER_RULE, ClassifierImages, LabelRow, ResultRow, read_csv
from digitset.inference.pretrained import packaged_models
from digitset.report.comparison import PUBLISHED
from digitset.tasks import load_task

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results"
BEGIN, END = "<!-- results: uv run docs/results.py -->\n", "<!-- end of results -->\n"


def page(results: Path = RESULTS) -> str:
    """The whole of docs/results.md."""
    files = jinja2.FileSystemLoader(HERE)
    environment = jinja2.Environment(loader=files, keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    tasks = compared(results)
    trained = {each.name: number(each.accuracy) for each in packaged_models()}
    values = {
        "task_of": load_task,
        "measured": lambda name, part="": measured(records(results, name), part),
        "machine": machines(results),
        "precision": {name: precision(results / f"{name}.csv") for name in ("accuracy", "bench/results")},
        "compare": {task: comparison(rows) for task, rows in tasks.items()},
        "made_by_compare": made_by(results, tasks),
        "best": best(read_csv(results / "accuracy.csv", ResultRow)),
        "boards": boards(results / "bench"),
        "simpler": simpler(results / "bench", trained),
        "trained": trained,
        "long_sum": {int(row["length"]): row for row in records(results, "lengths") if "transformer" in row["run"]},
        "labels": labels(read_csv(results / "bench/labels.csv", LabelRow)),
        "lengths": lengths(records(results, "lengths")),
        "published": published(records(results, "published")),
        "explanations": explanations(records(results, "explanations")),
        "mistakes": mistakes(records(results, "mistakes")),
        "peers": protocols(records(results, "peers")),
    }
    return environment.get_template("results.md.jinja").render(values).rstrip("\n") + "\n"


def readme(text: str, results: Path = RESULTS) -> str:
    """README with the part between the two comments replaced."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + short_comparison(results) + END + rest.split(END)[1]


def records(results: Path, name: str) -> Records:
    """The rows of a CSV file."""
    with (results / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def machines(results: Path) -> dict[str, Any]:
    return tomllib.loads((results / "machines.toml").read_text())


def precision(path: Path) -> str:
    return " and ".join(sorted({row.precision for row in read_csv(path, ResultRow)}))


# One run for each row: compare.csv, which is the results.csv of one `digitset compare`


def compared(results: Path) -> dict[str, list[dict[str, ResultRow]]]:
    """By task: the rows of the table, each by evaluation set. Raises ValueError unless one command made all."""
    rows = read_csv(results / "compare.csv", ResultRow)
    if len({(row.commit, row.device, row.precision, row.threads, row.seed) for row in rows}) > 1:
        raise ValueError("compare.csv: expected the rows of one commit, one machine and one seed")
    tasks: dict[str, dict[tuple[str, str], dict[str, ResultRow]]] = {}
    for row in rows:
        tasks.setdefault(row.task, {}).setdefault((row.model, row.encoder), {})[row.evaluation] = row
    return {task: list(models.values()) for task, models in tasks.items()}


def headline(sets: dict[str, ResultRow]) -> ResultRow:
    return next(sets[name] for name in HEADLINE if name in sets)


def made_by(results: Path, tasks: dict[str, list[dict[str, ResultRow]]]) -> str:
    """Where the comparison was made."""
    row = headline(tasks["classify"][0])
    threads = f"{row.threads} thread{'s' * (row.threads > 1)}"
    where = f"{machines(results)['compare']} ({row.device}, {threads}, {row.precision})"
    return f"{where}, commit {row.commit}, seed {row.seed}"


def wilson(row: ResultRow) -> str:
    return f"{row.accuracy:.4f} ({row.accuracy_low:.4f} to {row.accuracy_high:.4f})"


def quoted(row: ResultRow) -> tuple[str, str, str]:
    """The accuracy, the accuracy at the end and the loss that kobybibas/vit_for_mnist reports."""
    known = PUBLISHED.get((row.task, row.model))
    if known is None:
        return "", "", ""
    return f"{known.accuracy:.2f}", number(known.last_epochs, ".2f"), f"{known.loss:.2f}"


def short_comparison(results: Path) -> str:
    """What README shows: all tasks in one table."""
    tasks = compared(results)
    rows = [headline(sets) for models in tasks.values() for sets in models]
    cells: Cells = []
    for row in rows:
        model = row.model if row.encoder == rows[0].encoder else f"{row.model}, {row.encoder}"
        seconds = "" if row.model == CLASSIFIER_RULE else f"{row.train_seconds:.0f}"
        accuracy, at_end, loss = quoted(row)
        cells.append((row.task, model, wilson(row), number(row.loss), seconds, accuracy, at_end, loss))
    headings = ("task", "model", "accuracy (95 %)", "loss", "seconds", "published", "at the end", "published loss")
    made = f"Made on {made_by(results, tasks)}."
    return "\n\n".join([table(headings, cells).rstrip("\n"), *images_seen(tasks), made]) + "\n"


def images_seen(tasks: dict[str, list[dict[str, ResultRow]]]) -> list[str]:
    """What the classifier of classifier + rule saw beside the models of each task, in one short line."""
    known = {task: saw for task, sets in tasks.items() if (saw := ClassifierImages.of(map(headline, sets)))}
    models: dict[str, list[str]] = {}
    for task, saw in known.items():
        models.setdefault(saw.relation, []).append(f"{task} ({saw.of_models})")
    beside = ", ".join(f"{relation} the models of {' and '.join(of)}" for relation, of in models.items())
    return [f"Classifier + rule saw {saw.of_classifier} images: {beside}." for saw in [*known.values()][:1]]


def comparison(rows: list[dict[str, ResultRow]]) -> str:
    """The table of a task with all columns."""
    cells: Cells = []
    for sets in rows:
        row = headline(sets)
        random = number(sets["random"].accuracy) if "random" in sets else ""
        cost = (f"{row.parameters:,}", f"{row.train_steps:,}", f"{row.train_seconds:.0f}")
        costs = ("",) * 3 if row.model == CLASSIFIER_RULE else cost
        costs = ("" if row.length_only else f"{row.train_images:,}", *costs)
        cells.append((row.model, row.encoder, wilson(row), number(row.loss), random, *costs, *quoted(row)))
    headings = ("model", "encoder", "accuracy (95 %)", "loss", "random sequences", "images", "parameters", "steps")
    text = table((*headings, "seconds", "published", "at the end", "published loss"), cells)
    saw = ClassifierImages.of(map(headline, rows))
    return text + (f"\n{saw.sentence}.\n" if saw else "")


if __name__ == "__main__":
    (HERE / "results.md").write_text(page())
    draw_mistakes(HERE / "mistakes.png", records(RESULTS, "mistakes"))
    draw_labels(HERE / "labels.png", read_csv(RESULTS / "bench/labels.csv", LabelRow))
    path = HERE.parent / "README.md"
    path.write_text(readme(path.read_text()))
