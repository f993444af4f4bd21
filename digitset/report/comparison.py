"""The page of a comparison: its tables and figures, from run folders."""

import math
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from digitset.bench.executors import Executor
from digitset.bench.tables import CLASSIFIER_RULE, ClassifierImages, ComparisonRow
from digitset.data.mnist import Splits, load_data
from digitset.evaluation.calibration import reliability
from digitset.evaluation.evaluate import Predictions, evaluation_sets, predict_sets
from digitset.files import locked, write_whole
from digitset.inference.places import Places, look
from digitset.inference.predictor import Predictor, load
from digitset.models import Attends
from digitset.report import figures
from digitset.run import Run
from digitset.tasks import Task


@dataclass(frozen=True)
class Published:
    """What kobybibas/vit_for_mnist reports of a model, and what its curve says when it is read at the end."""

    loss: float
    accuracy: float
    last_epochs: float | None  # accuracy, mean of the last ten epochs, read off the published figure (about 0.005)


PUBLISHED = {
    ("sum", "mlp"): Published(1.69, 0.27, None),
    ("sum", "transformer"): Published(1.18, 0.66, 0.82),
    ("contains", "mlp"): Published(0.64, 0.77, None),
    ("contains", "transformer"): Published(0.12, 0.92, 0.96),
}
EXPLANATION = (
    "published: the README of kobybibas/vit_for_mnist, whose accuracies are means over all 50 epochs of training and "
    "whose losses are those of the last; last epochs: the mean accuracy of its last ten, read off its figures."
)
SHEET_ROWS = 5
HEADINGS = (
    "model",
    "encoder",
    "accuracy (95 %)",
    "loss",
    "AUC or mean error",
    "random sequences",
    "parameters",
    "training",
)
PUBLISHED_HEADINGS = ("published", "last epochs")


def table(task: str, rows: list[ComparisonRow]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and cells of a task's table. The main columns are for `published`, or `test` for single images."""
    compared = _compared(task, rows)
    headings = HEADINGS + (PUBLISHED_HEADINGS if compared else ())
    return headings, [_cells(row) + (_published(task, row) if compared else ()) for row in rows]


def _compared(task: str, rows: list[ComparisonRow]) -> bool:
    """Whether there are published numbers to stand beside: on MNIST alone."""
    return rows[0].experiment.run.data is None and any((task, row.model) in PUBLISHED for row in rows)


def short_table(task: str, rows: list[ComparisonRow]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The same in fewer columns, for a terminal."""
    headings, cells = table(task, rows)
    wanted = [name for name in ("model", "encoder", "accuracy (95 %)", "loss", *PUBLISHED_HEADINGS) if name in headings]
    return tuple(wanted), [tuple(line[headings.index(name)] for name in wanted) for line in cells]


def write_comparison(out: Path, tables: dict[str, list[ComparisonRow]], executor: Executor) -> Path:
    """Writes `out/report.md` and `out/figures/*.png`; the path of the page.

    The figures of predictions are drawn by the executor's processes. Raises InputError if another process writes
    there. `out` is there.
    """
    with locked(out):
        return _write_comparison(out, tables, executor)


def _write_comparison(out: Path, tables: dict[str, list[ComparisonRow]], executor: Executor) -> Path:
    folder = out / "figures"
    folder.mkdir(exist_ok=True)
    under_way = {task: _begin_to_draw(folder, rows, executor) for task, rows in tables.items()}
    first = next(iter(tables.values()))[0]
    machine = first.run_folder.machine()
    lines = [
        "# Digitset: a comparison",
        "",
        f"Made on {machine.device_name} ({machine.device}, {machine.threads} threads, {first.run_folder.precision()}), "
        f"torch {machine.torch}, commit {machine.commit or 'of an installed package'}; "
        f"seed {first.experiment.run.seed}. Training / validation / test images are fixed; test images were read once, "
        "with the weights of the last step.",
        "",
    ]
    for task, rows in tables.items():
        lines += [f"## {task}: {rows[0].experiment.task.question}", "", *markdown(*table(task, rows)), ""]
        lines += [EXPLANATION, ""] if _compared(task, rows) else []
        saw = ClassifierImages.of(row for each in rows for row in each.rows())
        lines += [f"{saw.sentence}.", ""] if saw else []
        drawn = _draw_curves(folder, rows[0].experiment.task, rows)
        for caption, figure in drawn + [each for future in under_way[task] for each in future.result()]:
            lines += [f"![{caption}](figures/{figure.name})", ""]
    lines += [_NOTES, ""]
    page = out / "report.md"
    write_whole(page, "\n".join(lines).encode())
    return page


_NOTES = (
    "Intervals are Wilson's for one trained model; they take items for independent and say nothing of other seeds. "
    "*constant* is the length-only baseline: it answers from the length of a sequence alone. *classifier + rule* is "
    "the exact rule applied to the digits that the first classifier above predicts; it was told the digit of each "
    "image it saw, and the models are told answers alone. Images went through the encoder in training, and are counted "
    "every time. *random sequences*: accuracy over 10 random partitions of the test images."
)


def markdown(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """The lines of a Markdown table."""
    lines = [headings, tuple("---" for _ in headings), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _cells(row: ComparisonRow) -> tuple[str, ...]:
    main = next(iter(row.scores.values()))
    low, high = main.interval
    loss = main.scores[row.experiment.task.loss_name]
    more = ("auc", "mae", "ece", "brier", "coverage90")
    other = [
        f"{name.upper()} {main.scores[name]:.4f}" for name in more if math.isfinite(main.scores.get(name, math.nan))
    ]
    summary = row.run_folder.summary()
    return (
        row.model,
        row.experiment.run.encoder,
        f"{main.accuracy:.4f} ({low:.4f} to {high:.4f})",
        f"{loss:.4f}" if math.isfinite(loss) else "",
        ", ".join(other),
        f"{row.scores['random'].accuracy:.4f}" if "random" in row.scores else "",
        f"{summary.parameters:,}",
        _training(row),
    )


def _training(row: ComparisonRow) -> str:
    """What it took to train a model; of classifier + rule, whose classifier has a row of its own, the images alone."""
    summary = row.run_folder.summary()
    images = [f"{summary.images:,} images"] if row.experiment.model.uses_images else []
    cost = [] if row.model == CLASSIFIER_RULE else [f"{summary.steps} steps", f"{summary.train_seconds:.0f} s"]
    return ", ".join(images + cost)


def _published(task: str, row: ComparisonRow) -> tuple[str, str]:
    known = PUBLISHED.get((task, row.model))
    if known is None:
        return "", ""
    return f"{known.accuracy:.2f} (loss {known.loss})", "" if known.last_epochs is None else f"{known.last_epochs:.2f}"


def _draw_curves(folder: Path, task: Task, rows: list[ComparisonRow]) -> list[tuple[str, Path]]:
    """Draws what is about all rows of a task: curves of training, and accuracy by length; captions and paths."""
    names = {name: row for name, row in _names(rows) if row.model != CLASSIFIER_RULE}
    path = folder / f"{task.name}_curves.png"
    metrics = {name: row.run_folder.metrics() for name, row in names.items()}
    figures.draw_curves(path, f"{task.name}: training", task.loss_name, metrics)
    drawn = [(f"{task.name}: loss and accuracy over training", path)]

    lengths = {name: _accuracy_by_length(row) for name, row in _names(rows)}
    if all(len(by_length) > 1 for by_length in lengths.values()):
        path = folder / f"{task.name}_by_length.png"
        figures.draw_accuracy_by_length(path, f"{task.name}: accuracy by length", lengths)
        drawn.append((f"{task.name}: accuracy by length", path))
    return drawn


def _begin_to_draw(
    folder: Path, rows: list[ComparisonRow], executor: Executor
) -> list["Future[list[tuple[str, Path]]]"]:
    """Has other processes draw the figures of each model's predictions; captions and paths, in the table's order."""
    return [
        executor.submit(_draw_run, row.experiment.run, row.run_folder.path, folder, name)
        for name, row in _names(rows)
        if row.model != CLASSIFIER_RULE and row.experiment.model.uses_images
    ]


def _draw_run(run: Run, run_folder: Path, folder: Path, name: str) -> list[tuple[str, Path]]:
    """Draws the figures of one run; in a process of its own."""
    return draw_prediction_figures(folder, name, load(run_folder, run.device), load_data(run.data, run.transpose))


def draw_prediction_figures(
    folder: Path, name: str, predictor: Predictor, splits: Splits, suffix: str = ".png"
) -> list[tuple[str, Path]]:
    """Captions and paths of the figures of one model: confusion, reliability, predictions (with attention if any)."""
    task, label = predictor.task, f"{predictor.task.name}_{name}"
    test = splits.test.to(predictor.device)
    sets = evaluation_sets(test, task, predictor.experiment.lengths, predictor.network.longest)
    (predictions,) = predict_sets(predictor.network, task, [next(iter(sets.values()))])
    drawn: list[tuple[str, Path]] = []
    if task.kind in ("classes", "count"):
        path = folder / f"{label}_confusion{suffix}"
        figures.draw_confusion(
            path, f"{task.name}, {name}: which answer to which truth", predictions, task, splits.class_names
        )
        drawn.append((f"{name}: confusion matrix", path))
    if task.kind != "quantity" and predictions.probabilities is not None:
        path = folder / f"{label}_reliability{suffix}"
        bins = reliability(predictions.probabilities, predictions.target)
        figures.draw_reliability(path, f"{task.name}, {name}: certainty and accuracy", bins)
        drawn.append((f"{name}: how often it is right, by its certainty", path))
    rows = _telling_rows(task, predictions)
    weights = _attention(predictor, predictions, rows) if task.anchored else None
    places = _places(predictor, predictions, rows)
    what, title = "predictions", "the worst errors, then the first of the test set"
    if weights is not None:
        what, title = "attention", "attention from the anchor to the sequence"
    if places is not None:
        rests = "; beside it what the answer rests on (blue speaks against it)" if task.single_image else ""
        title += f";\nred: where it looks{rests}"
    path = folder / f"{label}_{what}{suffix}"
    title = f"{task.name}, {name}: {title}"
    figures.draw_predictions(path, title, task, predictions, rows, weights, places, splits.class_names)
    return [*drawn, (f"{name}: {what}", path)]


def _telling_rows(task: Task, predictions: Predictions) -> list[int]:
    """The items with the greatest loss and, after them, the first of the set."""
    losses = task.scores(predictions.prediction, predictions.target)[task.loss_name]
    worst = losses.argsort(descending=True, stable=True)[:SHEET_ROWS].tolist()
    return [*worst, *(row for row in range(SHEET_ROWS) if row not in worst)]


@torch.inference_mode()
def _attention(predictor: Predictor, predictions: Predictions, rows: list[int]) -> Tensor | None:
    """The attention of some rows; None for a model that does not attend."""
    model = predictor.network.model
    if not isinstance(model, Attends):
        return None
    vectors = predictor.network.embed_in_parts(predictions.batch.images)
    tokens, mask, anchor = predictions.batch.gather(vectors)
    return model.attention(tokens[rows], mask[rows], None if anchor is None else anchor[rows])


def _places(predictor: Predictor, predictions: Predictions, rows: list[int]) -> list[Places] | None:
    """Where the encoder looks on the images of some rows; None for an encoder that does not show it."""
    batch, found = predictions.batch, list[Places]()
    for row in rows:
        anchor = None if batch.anchor is None else batch.images[batch.anchor[row]]
        places = look(predictor, batch.images[batch.index[row, batch.mask[row]]], anchor)
        if places is None:
            return None
        found.append(places)
    return found


def _names(rows: list[ComparisonRow]) -> list[tuple[str, ComparisonRow]]:
    """What tells each row of a table from the others: its model, or its encoder where models are the same."""
    models = [row.model for row in rows if row.model != CLASSIFIER_RULE]
    by_model = len(set(models)) == len(models)
    return [
        (row.model if by_model or row.model == CLASSIFIER_RULE else row.experiment.run.encoder, row) for row in rows
    ]


def _accuracy_by_length(row: ComparisonRow) -> dict[int, float]:
    """Accuracy by length on random sequences, where every length has many."""
    scores = row.scores.get("random") or next(iter(row.scores.values()))
    return {length: of_length.scores["accuracy"] for length, of_length in scores.by_length.items()}
