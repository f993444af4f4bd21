"""The tables of docs/results.md that are over seeds or of other measurements; docs/results.py has the rest."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from digitset.bench.leaderboard import HEADLINE, Leaderboard, leaderboards
from digitset.bench.statistics import mean
from digitset.bench.tables import LabelRow, LengthRow, ResultRow, RowName, read_csv
from digitset.data.mnist import load_data
from digitset.inference.length_generalization import LITERATURE
from digitset.report import verdicts
from digitset.report.comparison import PUBLISHED, markdown
from digitset.report.figures import STYLE, save, styles

ORDER = ("classify", "sum", "contains")  # of the tasks; others come after, by name
COLUMNS = (  # of a leaderboard, among those of `digitset bench`
    *("model", "accuracy", "group", "encoder", "seeds", "lowest to highest", "loss", "single images"),
    *("random sequences", "parameters", "images", "seconds", "learning rate"),
)
TEXTS = ("task", "model", "commit")  # the columns of published.csv that are no numbers
PROTOCOLS = {  # the settings of peers.csv, in words
    "addition-1": "The sum of two digits",
    "addition-4": "The sum of two numbers of 4 digits",
    "addition-15": "The sum of two numbers of 15 digits",
    "sum-of-10": "The sum of 10 digits, from 1,000 sequences",
    "bags-50": "Is there a 9? From 50 bags",
    "bags-200": "Is there a 9? From 200 bags",
}
TOLD_THE_RULE = ("exact", "transformer_exact")  # how an answer follows from digits
Cells = list[tuple[str, ...]]
Records = list[dict[str, str]]  # the rows of a CSV file
Curves = dict[str, dict[int, float]]  # by row, then length


def table(headings: Sequence[str], rows: Cells) -> str:
    """A Markdown table without the columns that are empty."""
    kept = [index for index in range(len(headings)) if any(row[index] for row in rows)]
    chosen = [tuple(row[index] for index in kept) for row in rows]
    return "\n".join(markdown(tuple(headings[index] for index in kept), chosen)) + "\n"


def number(value: float | None, form: str = ".4f") -> str:
    return "" if value is None else f"{value:{form}}"


# Several seeds: accuracy.csv and bench/


def over_seeds(values: Sequence[float | None]) -> str:
    """The mean with its 95 % t-interval, for which one value is not enough; empty without values."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    over = mean(known)
    return f"{over.mean:.4f}" + (f" ± {over.half:.4f}" if over.n > 1 else "")


def best(rows: list[ResultRow]) -> str:
    """A row for each best recipe."""
    cells: Cells = []
    by_name: dict[RowName, dict[str, list[ResultRow]]] = {}
    for row in rows:
        by_name.setdefault(row.row_name, {}).setdefault(row.evaluation, []).append(row)
    for name in sorted(by_name, key=lambda name: (ORDER.index(name[0]), name)):
        sets = by_name[name]
        main = next(sets[evaluation] for evaluation in HEADLINE if evaluation in sets)
        accuracies = {key: over_seeds([row.accuracy for row in of_set]) for key, of_set in sets.items()}
        seconds = [row.train_seconds for row in main]
        scores = (over_seeds([row.accuracy for row in main]), over_seeds([row.loss for row in main]))
        scores += tuple(accuracies.get(key, "") for key in ("random", "single", "digits"))
        cost = (
            f"{main[0].parameters:,}",
            f"{main[0].train_steps:,}",
            " to ".join(f"{each:,.0f}" for each in sorted({min(seconds), max(seconds)})),
        )
        cells.append((*name, str(len(main)), *scores, *cost))
    headings = ("task", "model", "encoder", "seeds", "accuracy", "loss", "random sequences", "single images", "digits")
    return table((*headings, "parameters", "steps", "seconds"), cells)


def by_labels(rows: list[LabelRow]) -> dict[str, dict[str, dict[int, list[float]]]]:
    """Accuracies of the seeds by task, model and number of labels; the models of a task with the best one first."""
    found: dict[str, dict[str, dict[int, list[float]]]] = {}
    for row in rows:
        found.setdefault(row.task, {}).setdefault(row.model, {}).setdefault(row.labels, []).append(row.accuracy)
    most = max((row.labels for row in rows), default=0)
    return {
        task: dict(sorted(models.items(), key=lambda item: -mean(item[1].get(most, [0.0])).mean))
        for task, models in found.items()
    }


def mean_and_range(values: Sequence[float]) -> str:
    """The mean, then from the lowest to the highest where there are several; empty without values."""
    if not values:
        return ""
    return f"{mean(values).mean:.3f}" + (f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else "")


def labels(rows: list[LabelRow]) -> dict[str, dict[str, Any]]:
    """By task: accuracy by number of labels, a row for each model, and how many seeds there are."""
    counts = sorted({row.labels for row in rows})
    tables: dict[str, dict[str, Any]] = {}
    for task, models in by_labels(rows).items():
        cells: Cells = [
            (name, *(mean_and_range(points.get(count, [])) for count in counts)) for name, points in models.items()
        ]
        seeds = sorted({len(accuracies) for points in models.values() for accuracies in points.values()})
        text = table(("labels", *(f"{count:,}" for count in counts)), cells)
        tables[task] = {"table": text, "seeds": " or ".join(map(str, seeds))}
    return tables


def draw_labels(path: Path, rows: list[LabelRow]) -> None:
    """Accuracy against the number of labels, a panel for each task; the mean over seeds, and from lowest to highest."""
    found = by_labels(rows)
    style = styles({name for models in found.values() for name in models})
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 4.6), layout="constrained")
        panels = figure.subplots(1, len(found), squeeze=False)[0]
        for axes, (task, models) in zip(panels, found.items(), strict=True):
            for name, points in models.items():
                counts = sorted(points)
                low, high = ([pick(points[count]) for count in counts] for pick in (min, max))
                means = [mean(points[count]).mean for count in counts]
                axes.fill_between(counts, low, high, color=style[name]["color"], alpha=0.2, lw=0)
                axes.plot(counts, means, **style[name], lw=2, marker="o", ms=4, label=name)
            axes.set(xscale="log", title=task, xlabel="labels", ylabel="accuracy (random sequences)")
            axes.xaxis.set_major_formatter("{x:,.0f}")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        save(figure, path)


def boards(folder: Path) -> list[dict[str, Any]]:
    """What the page says of each leaderboard."""
    by_length = read_csv(folder / "lengths.csv", LengthRow)
    found = {board.task: board for board in leaderboards(folder)}
    tasks = [*ORDER, *sorted(found.keys() - set(ORDER))]
    return [section(found[task], by_length) for task in tasks]


def section(board: Leaderboard, by_length: list[LengthRow]) -> dict[str, Any]:
    rows = [tuple(row[verdicts.HEADINGS.index(name)] for name in COLUMNS) for row in verdicts.table(board)]
    curves: Curves = {}
    for name, row in board.names.items():
        points = {
            each.length: each.accuracy for each in by_length if each.row_name == (row.task, row.model, row.encoder)
        }
        curves |= {name: points} if points else {}
    return {
        "task": board.task,
        "best": board.best,
        "verdict": verdicts.verdict(board),
        "table": table(COLUMNS, rows),
        "pairs": table(verdicts.PAIR_HEADINGS, verdicts.pair_table(board, board.best)),
        "remarks": board.remarks(),
        "lengths": by_length_table(curves) if curves else "",
    }


def simpler(folder: Path, trained: dict[str, str]) -> dict[str, str]:
    """The Transformer beside the models that are told as little: with one budget, and those of the package."""
    rows = {(row.task, row.model): row for board in leaderboards(folder) for row in board.rows if row.learned}
    models = [model for task, model in rows if task == "sum" and model not in TOLD_THE_RULE]
    cells: Cells = []
    for model in models:
        means = [number(row.accuracy.mean) for row in (rows["sum", model], rows["contains", model])]
        alone = rows["sum", model].mean("accuracy", "single")
        packaged = [trained.get(f"{task}/{model}", "") for task in ("sum", "contains")]
        cells.append((model, *means, "" if alone is None else number(alone.mean), *packaged))
    headings = ("sum", "contains", "one image", "sum, trained long", "contains, trained long")
    images = [rows[task, "transformer"].results["published"][0].train_images for task in ("sum", "contains")]
    texts = {"sum_images": f"{images[0]:,}", "contains_images": f"{images[1]:,}"}
    return texts | {"table": table(("model", *headings), cells)}


# Other measurements


def by_length_table(curves: Curves, form: str = ".4f") -> str:
    """A row for each curve, a column for each length."""
    columns = sorted({length for points in curves.values() for length in points})
    cells = [(name, *(number(points.get(length), form) for length in columns)) for name, points in curves.items()]
    return table(("images", *(f"{length:,}" for length in columns)), cells)


def lengths(rows: Records) -> dict[str, str]:
    """Accuracy by length of packaged models, and the accuracy on one image that it implies."""
    curves: dict[str, Curves] = {"accuracy": {}, "per_image": {}}
    for row in rows:
        for column, by_run in curves.items():
            by_run.setdefault(row["run"], {})[int(row["length"])] = float(row[column])
    accuracy = curves["accuracy"] | LITERATURE["sum"]
    return {"accuracy": by_length_table(accuracy), "implied": by_length_table(curves["per_image"], ".5f")}


def published(rows: Records) -> dict[str, str]:
    """The recipe of kobybibas/vit_for_mnist, run here."""
    cells: Cells = []
    for (task, model), report in PUBLISHED.items():
        epochs = [row for row in rows if (row["task"], row["model"]) == (task, model)]
        column = {name: [float(row[name]) for row in epochs] for name in epochs[0] if name not in TEXTS}
        everything = sum(column["batch_accuracy"]) / len(epochs)
        scores = (everything, report.accuracy, column["batch_loss"][-1], report.loss)
        at_end = (column["accuracy"][-1], column["loss"][-1], sum(column["accuracy"][-10:]) / 10, report.last_epochs)
        forms = (".4f", ".2f") * 2 + (".4f",) * 3 + (".2f",)
        values = (number(value, form) for value, form in zip((*scores, *at_end), forms, strict=True))
        cells.append((task, model, *values, f"{len(epochs) * min(column['seconds']) / 60:.0f}"))
    headings = ("task", "model", "all epochs", "its README", "last loss", "its README", "last epoch", "loss")
    texts = {"commit": rows[0]["commit"], "seed": rows[0]["seed"], "epochs": rows[-1]["epoch"]}
    return texts | {"table": table((*headings, "last ten epochs", "its figure", "minutes"), cells)}


def explanations(rows: Records) -> str:
    cells = [(row["model"], row["measure"], f"{int(row['n']):,}", number(float(row["mean"]))) for row in rows]
    return table(("model", "measure", "n", "mean"), cells)


def measured(rows: Records, part: str) -> str:
    """A table of case, measure, value: measures below each other, cases that have `part` in their name side by side.

    Bounds of an interval, the measures that end in ": low" and ": high", stand beside their value.
    """
    values = {(row["case"], row["measure"]): float(row["value"]) for row in rows if part in row["case"]}
    cases, measures = (list(dict.fromkeys(names)) for names in zip(*values, strict=True))
    cells: Cells = []
    for measure in measures:
        if measure.endswith((": low", ": high")):
            continue
        line = [measure]
        for case in cases:
            low, high = values.get((case, f"{measure}: low")), values.get((case, f"{measure}: high"))
            bounds = "" if low is None or high is None else f" ({low:.4f} to {high:.4f})"
            line.append(number(values.get((case, measure)), ",.4f" if bounds else ",.5g") + bounds)
        cells.append(tuple(line))
    return table(("measure", *cases), cells)


# What is read wrongly: mistakes.csv


def mistakes(rows: Records) -> dict[str, Any]:
    """How many models there are, how many images all of them read wrongly, and how many are wrong for so many."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    wrong = Counter(row["image"] for row in rows)
    by_model = Counter(row["model"] for row in rows)
    return {
        "models": len(models),
        "few": min(by_model.values()),
        "many": max(by_model.values()),
        "all": sum(count == len(models) for count in wrong.values()),
        "one": sum(count == 1 for count in wrong.values()),
        "any": len(wrong),
    }


def draw_mistakes(path: Path, rows: Records) -> None:
    """The test images that all models read wrongly: the label, and what they read, the most frequent first."""
    models, answers = {row["model"] for row in rows}, dict[int, list[str]]()
    for row in rows:
        answers.setdefault(int(row["image"]), []).append(row["answer"])
    labels = {int(row["image"]): row["label"] for row in rows}
    shown = [image for image in sorted(answers) if len(answers[image]) == len(models)]
    test = load_data().test
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 1.9), layout="constrained")
        for axes, image in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
            axes.imshow(255 - test.images[image].numpy(), cmap="gray", vmin=0, vmax=255)
            read = ", ".join(answer for answer, _ in Counter(answers[image]).most_common())
            axes.set_title(f"label {labels[image]}\nread as {read}", fontsize=10)
            axes.set_xlabel(f"image {image:,}", fontsize=8)
            axes.set(xticks=[], yticks=[])
        save(figure, path)


# Peers' protocols: peers.csv


def protocols(rows: Records) -> dict[str, str]:
    """A table for each of the peers' protocols, the published rows first."""
    return {title: _protocol([row for row in rows if row["setting"] == name]) for name, title in PROTOCOLS.items()}


def _protocol(rows: Records) -> str:
    groups: dict[tuple[str, ...], Records] = {}
    for row in rows:
        key = (row["who"], row["source"]) if not row["seed"] else (row["who"], row["augmentation"])
        groups.setdefault(key, []).append(row)
    cells = [_published_cells(group[0]) if not group[0]["seed"] else _our_cells(group) for group in groups.values()]
    headings = ("model", "made by", "augmentation", "seeds", "accuracy", "lowest to highest", "AUC", "digits")
    differs = sorted({row["differs"] for row in rows if row["differs"]})
    text = table((*headings, "sequences", "images"), cells)
    return text + (f"\nWhat differs here: {'; '.join(differs)}.\n" if differs else "")


def _published_cells(row: dict[str, str]) -> tuple[str, ...]:
    values = [number(float(row[name]), ".3f") if row[name] else "" for name in ("accuracy", "auc", "digits")]
    values[0] += f" ± {float(row['spread']):.3f}" if row["spread"] else ""
    values.insert(1, "")
    return (row["who"], row["source"], "", "", *values, "", "")


def _our_cells(rows: Records) -> tuple[str, ...]:
    values = [over_seeds([float(row[name]) for row in rows if row[name]]) for name in ("accuracy", "auc", "digits")]
    first, accuracies = rows[0], [float(row["accuracy"]) for row in rows]
    values.insert(1, f"{min(accuracies):.4f} to {max(accuracies):.4f}")
    cost = (f"{int(first['sequences']):,}", f"{int(first['train_images']):,}")
    return (first["who"], "Digitset", f"{float(first['augmentation']):g}", str(len(rows)), *values, *cost)
