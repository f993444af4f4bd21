"""The page of a comparison: tables and figures from entries and records. Nothing that trains knows of it."""

import math
from pathlib import Path
from typing import Any

import torch

from digitset import calibration, data, figures, parts
from digitset.compare import EXPLANATION, PUBLISHED, Entry
from digitset.data import Splits
from digitset.evaluation import Readings, evaluation_sets, read
from digitset.network import lengths_of, rows_of
from digitset.predict import Predictor, load
from digitset.record import write_whole
from digitset.tasks import Task

SHEET_ROWS = 5
HEADINGS = ("model", "encoder", "accuracy (95 %)", "loss", "other", "random sequences", "parameters", "training")
PUBLISHED_HEADINGS = ("published", "last epochs")


def table(task: str, entries: list[Entry]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and cells of a task's table. The main columns are for `published`, or `test` for single images."""
    compared = _compared(task, entries)
    headings = HEADINGS + (PUBLISHED_HEADINGS if compared else ())
    return headings, [_cells(task, entry) + (_published(task, entry) if compared else ()) for entry in entries]


def _compared(task: str, entries: list[Entry]) -> bool:
    """Whether there are published numbers to stand beside: on MNIST alone."""
    return entries[0].run.data is None and any((task, entry.model) in PUBLISHED for entry in entries)


def short_table(task: str, entries: list[Entry]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The same in fewer columns, for a terminal."""
    headings, rows = table(task, entries)
    wanted = [name for name in ("model", "encoder", "accuracy (95 %)", "loss", *PUBLISHED_HEADINGS) if name in headings]
    return tuple(wanted), [tuple(row[headings.index(name)] for name in wanted) for row in rows]


def write(out: Path, entries: dict[str, list[Entry]]) -> Path:
    """Writes `out/report.md` and `out/figures/*.png`; the path of the page."""
    (out / "figures").mkdir(parents=True, exist_ok=True)
    first = next(iter(entries.values()))[0]
    splits = data.load(first.run.data)
    machine = first.record.machine()
    lines = [
        "# Digitset: a comparison",
        "",
        f"Made on {machine['device_name']} ({machine['device']}, {machine['threads']} threads, "
        f"{machine['precision']}), torch {machine['torch']}, commit {machine['commit'] or 'of an installed package'}; "
        f"seed {first.run.seed}. "
        "Training / validation / test images are fixed; test images were read once, with the weights of the last step.",
        "",
    ]
    for task, rows in entries.items():
        module = parts.load("tasks", task)
        lines += [f"## {task}: {module.QUESTION}", "", *markdown(*table(task, rows)), ""]
        lines += [EXPLANATION, ""] if _compared(task, rows) else []
        for caption, figure in _figures(out / "figures", task, module, rows, splits):
            lines += [f"![{caption}](figures/{figure.name})", ""]
    lines += [_NOTES, ""]
    page = out / "report.md"
    write_whole(page, "\n".join(lines).encode())
    return page


_NOTES = (
    "Intervals are Wilson's for one trained model; they take items for independent and say nothing of other seeds. "
    "*constant* answers from the length alone, the floor; *ceiling* is the exact rule applied to the digits that the "
    "first classifier above reads. *random sequences*: accuracy over 10 random partitions of the test images."
)


def markdown(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """The lines of a Markdown table."""
    lines = [headings, tuple("---" for _ in headings), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _cells(task: str, entry: Entry) -> tuple[str, ...]:
    names = list(entry.report)
    main = entry.report[names[0]]
    scores, (low, high) = main["scores"], main["interval"]
    loss = scores[parts.load("tasks", task).LOSS]
    more = ("auc", "mae", "ece", "brier", "coverage90")
    other = [f"{name.upper()} {scores[name]:.4f}" for name in more if math.isfinite(scores.get(name, math.nan))]
    summary = entry.record.summary()
    trained = "" if entry.model == "ceiling" else f"{summary['steps']} steps, {summary['train_seconds']:.0f} s"
    return (
        entry.model,
        entry.run.encoder,
        f"{scores['accuracy']:.4f} ({low:.4f} to {high:.4f})",
        f"{loss:.4f}" if math.isfinite(loss) else "",
        ", ".join(other),
        f"{entry.report['random']['scores']['accuracy']:.4f}" if "random" in names else "",
        f"{summary['parameters']:,}",
        trained,
    )


def _published(task: str, entry: Entry) -> tuple[str, str]:
    known = PUBLISHED.get((task, entry.model))
    if known is None:
        return "", ""
    return f"{known.accuracy:.2f} (loss {known.loss})", "" if known.last_epochs is None else f"{known.last_epochs:.2f}"


def _figures(folder: Path, task: str, module: Task, entries: list[Entry], splits: Splits) -> list[tuple[str, Path]]:
    """Draws every figure that fits a task; captions and paths, in the order of the page."""
    made = []
    trained = [entry for entry in entries if entry.model != "ceiling"]
    names = [_name(entry, trained) for entry in trained]
    path = folder / f"{task}_curves.png"
    metrics = {name: entry.record.metrics() for name, entry in zip(names, trained, strict=True)}
    figures.curves(path, f"{task}: training", module.LOSS, metrics)
    made.append((f"{task}: loss and accuracy over training", path))

    lengths = {_name(entry, trained): _by_length(entry) for entry in entries}
    if all(len(by_length) > 1 for by_length in lengths.values()):
        path = folder / f"{task}_by_length.png"
        figures.by_length(path, f"{task}: accuracy by length", lengths)
        made.append((f"{task}: accuracy by length", path))

    for name, entry in zip(names, trained, strict=True):
        predictor = load(entry.record.folder, entry.run.device)
        if predictor.network.model.sees_images:
            made += readings_figures(folder, name, predictor, splits)
    return made


def readings_figures(
    folder: Path, name: str, predictor: Predictor, splits: Splits, suffix: str = ".png"
) -> list[tuple[str, Path]]:
    """Captions and paths of the figures of one model: confusion, reliability, predictions (with attention if any)."""
    task, label = predictor.run.task, f"{predictor.run.task}_{name}"
    sets = evaluation_sets(
        splits.test.to(predictor.device), predictor.task, lengths_of(predictor.run), predictor.network.longest
    )
    (readings,) = read(predictor.network, predictor.task, [next(iter(sets.values()))])
    made = []
    if predictor.task.DISCRETE and predictor.task.answers(1) > 2:
        path = folder / f"{label}_confusion{suffix}"
        figures.confusion(path, f"{task}, {name}: what is read as what", readings, predictor.task)
        made.append((f"{name}: confusion matrix", path))
    if predictor.task.DISCRETE and readings.probabilities is not None:
        path = folder / f"{label}_reliability{suffix}"
        bins = calibration.reliability(readings.probabilities, readings.target)
        figures.reliability(path, f"{task}, {name}: certainty and accuracy", bins)
        made.append((f"{name}: how often it is right, by its certainty", path))
    rows = _telling_rows(predictor.task, readings)
    if readings.batch.anchor is None or not hasattr(predictor.network.model, "attention"):
        path = folder / f"{label}_predictions{suffix}"
        title = f"{task}, {name}: the worst errors, then the first of the test set"
        figures.predictions(path, title, predictor.task, readings, rows)
        made.append((f"{name}: predictions", path))
    else:  # the same sequences and answers, and where it looked
        path = folder / f"{label}_attention{suffix}"
        weights = _attention(predictor, readings, rows)
        figures.attention(
            path, f"{task}, {name}: attention from the anchor to the sequence", predictor.task, readings, rows, weights
        )
        made.append((f"{name}: attention", path))
    return made


def _telling_rows(task: Task, readings: Readings) -> list[int]:
    """The items with the greatest loss and, after them, the first of the set."""
    losses = task.scores(readings.reading, readings.target)[task.LOSS]
    worst = losses.argsort(descending=True, stable=True)[:SHEET_ROWS].tolist()
    return [*worst, *(row for row in range(SHEET_ROWS) if row not in worst)]


@torch.inference_mode()
def _attention(predictor: Predictor, readings: Readings, rows: list[int]) -> torch.Tensor:
    vectors = predictor.network.embed_in_parts(readings.batch.images)
    tokens, mask, anchor = rows_of(vectors, readings.batch)
    return predictor.network.model.attention(tokens[rows], mask[rows], None if anchor is None else anchor[rows])


def _name(entry: Entry, among: list[Entry]) -> str:
    """What tells an entry from the others of its table: its model, or its encoder where the model is the same."""
    if entry.model == "ceiling" or len({other.run.model for other in among}) == len(among):
        return entry.model
    return entry.run.encoder


def _by_length(entry: Entry) -> dict[int, dict[str, float]]:
    """Accuracy by length on random sequences, where every length has many; lengths are strings after JSON."""
    report: dict[str, Any] = entry.report.get("random") or next(iter(entry.report.values()))
    return {int(length): scores for length, scores in report["by_length"].items()}
