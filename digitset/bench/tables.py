"""The rows that comparisons and benchmarks write about a run, their CSV files, and the tables of a benchmark."""

import csv
import dataclasses
import io
import math
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from digitset.data.mnist import PACKAGED_CHECKSUM
from digitset.errors import InputError
from digitset.files import write_whole
from digitset.models import load_model
from digitset.network import Experiment
from digitset.run import Run, digest
from digitset.run_folder import RunFolder, Scores

CLASSIFIER_RULE = "classifier + rule"  # the baseline's name in the column `model`
LENGTH_ONLY = "length-only-"  # how the protocol of a model that uses no images begins
RowName = tuple[str, str, str]  # task, model, encoder
Row = TypeVar("Row")


@dataclass(frozen=True)
class CellRow:
    """The columns that say which run a row is of. `recipe` is a digest of all its settings but the seed."""

    task: str
    model: str
    encoder: str
    seed: int
    recipe: str

    @property
    def row_name(self) -> RowName:
        """Which row of a leaderboard this is of."""
        return self.task, self.model, self.encoder

    @property
    def cell(self) -> str:
        """Which run this is of."""
        return f"{self.recipe}/{self.seed}"


@dataclass(frozen=True)
class ResultRow(CellRow):
    """results.csv: what a run reaches on one evaluation set of test images."""

    evaluation: str
    n: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    loss: float | None
    mae: float | None
    auc: float | None
    parameters: int
    train_steps: int
    train_images: int
    train_seconds: float
    images_per_second: float
    device: str
    precision: str
    threads: int
    commit: str
    learning_rate: float
    train_flops: int | None
    protocol: str
    data: str
    """Empty for MNIST as it is in the package, else the beginning of the data's checksum."""

    @property
    def length_only(self) -> bool:
        """Whether it is of a model that uses no images."""
        return self.protocol.startswith(LENGTH_ONLY)


@dataclass(frozen=True)
class CurveRow(CellRow):
    """curves.csv: loss and accuracy on validation images after a step."""

    step: int
    loss: float
    accuracy: float


@dataclass(frozen=True)
class LengthRow(CellRow):
    """lengths.csv: accuracy on sequences of one length."""

    length: int
    n: int
    accuracy: float
    per_image: float


@dataclass(frozen=True)
class SearchRow(CellRow):
    """search.csv: what validation says of a learning rate; nothing where the run diverged."""

    learning_rate: float
    steps: int
    accuracy: float | None
    loss: float | None
    data: str = ""
    """As in `ResultRow`."""


@dataclass(frozen=True)
class LabelRow(CellRow):
    """labels.csv: what a run on a fixed number of labelled sequences reaches on random test sequences."""

    labels: int
    accuracy: float
    loss: float | None
    auc: float | None
    n: int
    steps: int
    validation: float
    """Accuracy on validation images."""
    validation_other: float | None
    """That of the same training with another number of steps, which was not taken for it."""
    learning_rate: float
    train_images: int
    device: str
    precision: str
    commit: str


def identity(run: Run) -> dict[str, Any]:
    """The fields of a `CellRow`."""
    recipe = digest(run.settings(without=("seed",)))
    return {"task": run.task, "model": run.model, "encoder": run.encoder, "seed": run.seed, "recipe": recipe}


def cell(run: Run) -> str:
    """Which cell a run is, as `CellRow.cell`."""
    return f"{identity(run)['recipe']}/{run.seed}"


def row_name(run: Run) -> RowName:
    """Which row of a leaderboard a run belongs to, as `CellRow.row_name`."""
    return run.task, run.model, run.encoder


def protocol(run: Run) -> str:
    """A digest of what models of a task must have in common to be compared: all but themselves, seed and rate.

    The length-only baseline, which is trained in its own way, has another one, which says so.
    """
    own = ("model", "encoder", "model_options", "encoder_options", "seed", "learning_rate")
    common = digest(run.settings(without=own))
    return common if load_model(run.model).uses_images else LENGTH_ONLY + common


def data_name(checksum: str) -> str:
    """What the column `data` says of a data set with this checksum."""
    return "" if checksum == PACKAGED_CHECKSUM else checksum[:12]


def result_rows(
    experiment: Experiment, run_folder: RunFolder, scores: Scores, model: str | None = None, flops: int | None = None
) -> list[ResultRow]:
    """A row for each evaluation set. The task is the experiment's, which for the baseline is not that of its run.

    `model` overrides the model's name; `flops` are those of the whole training.
    """
    machine, summary = run_folder.machine(), run_folder.summary()
    return [
        ResultRow(
            **{**identity(experiment.run), "task": experiment.task.name, "model": model or experiment.run.model},
            evaluation=evaluation,
            n=of_set.n,
            accuracy=of_set.accuracy,
            accuracy_low=of_set.interval[0],
            accuracy_high=of_set.interval[1],
            loss=of_set.scores.get(experiment.task.loss_name),
            mae=of_set.scores.get("mae"),
            auc=of_set.scores.get("auc"),
            parameters=summary.parameters,
            train_steps=summary.steps,
            train_images=summary.images,
            train_seconds=summary.train_seconds,
            images_per_second=summary.images_per_second,
            device=machine.device,
            precision=run_folder.precision(),
            threads=machine.threads,
            commit=machine.commit or "",
            learning_rate=experiment.run.learning_rate,
            train_flops=flops,
            protocol=protocol(experiment.run),
            data=data_name(run_folder.data_checksum()),
        )
        for evaluation, of_set in scores.items()
    ]


@dataclass(frozen=True)
class ComparisonRow:
    """One row of a comparison's table: a trained run, or the exact rule on the digits that a classifier predicts.

    The experiment and the folder of the latter are the classifier's, but for the task.
    """

    experiment: Experiment
    run_folder: RunFolder
    scores: Scores
    model: str
    """The model's name, or `CLASSIFIER_RULE`."""

    def rows(self) -> list[ResultRow]:
        """Its rows of results.csv."""
        return result_rows(self.experiment, self.run_folder, self.scores, self.model)


@dataclass(frozen=True)
class ClassifierImages:
    """How many images the classifier of classifier + rule saw in training, beside the models of a task."""

    of_classifier: str
    relation: str
    """Such as "fewer than"."""
    of_models: str

    @classmethod
    def of(cls, rows: Iterable[ResultRow]) -> "ClassifierImages | None":
        """From the rows of one task; None if there is no such baseline, or no model that uses images."""
        rows = list(rows)
        rule = {row.train_images for row in rows if row.model == CLASSIFIER_RULE}
        models = {row.train_images for row in rows if row.model != CLASSIFIER_RULE and not row.length_only}
        if not rule or not models:
            return None
        if max(rule) < min(models):
            relation = "fewer than"
        elif min(rule) > max(models):
            relation = "more than"
        else:
            relation = "as many as" if rule == models and len(rule) == 1 else "neither fewer nor more than all"
        return cls(_span(rule), relation, _span(models))

    @property
    def sentence(self) -> str:
        """Without the point at its end."""
        return (
            f"The classifier of {CLASSIFIER_RULE} saw {self.of_classifier} images with their digits in training, "
            f"{self.relation} the models of this task, which saw {self.of_models} without their digits"
        )


def _span(counts: set[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def read_csv(path: Path, kind: type[Row]) -> list[Row]:
    """The rows of a CSV file as dataclasses of this kind; none if there is no file.

    Raises InputError if it is not a whole table of these columns, holds what is no number where one belongs, or a row
    twice.
    """
    if not path.exists():
        return []
    columns = tuple(field.name for field in dataclasses.fields(cast(type[CellRow], kind)))
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            table: list[dict[Any, Any]] = list(reader)
            header = tuple(reader.fieldnames or ())
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not readable as CSV: {error}") from None
    if header != columns or any(None in row or None in row.values() for row in table):
        raise InputError(f"{path}: expected a whole table with the columns {', '.join(columns)}; it is another one")
    hints = typing.get_type_hints(kind)
    of_cells = ("task", "model", "encoder", "seed", "recipe", "evaluation", "step", "length")
    keys = of_cells if issubclass(kind, CellRow) else columns
    seen: set[tuple[str, ...]] = set()
    for row in table:
        key = tuple(row[name] for name in keys if name in columns)
        if key in seen:
            raise InputError(f"{path}: expected each row once, found {', '.join(key)} twice")
        seen.add(key)
    return [kind(**{name: _parse(hints[name], row[name], name, path) for name in columns}) for row in table]


def _parse(hint: Any, text: str, name: str, path: Path) -> Any:
    """The value of a cell, as the type of its column. Counts are at least 0, and numbers are finite."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if str in options:
        return text
    if not text and types.NoneType in options:
        return None
    try:
        value = int(text) if int in options else float(text)
        fits = value >= 0 if int in options else math.isfinite(value)
    except ValueError:
        value, fits = None, False
    if not fits:
        expected = "whole number" if int in options else "number"
        raise InputError(f"{path}: expected a {expected} as {name}, got {repr(text) if text else 'none'}")
    return value


def write_csv(path: Path, rows: Sequence[Row], kind: type[Row]) -> None:
    """Writes rows. A value that does not apply or is not finite (the loss of a rule that is certain) is left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [field.name for field in dataclasses.fields(cast(type[CellRow], kind))]
    writer.writerow(columns)
    writer.writerows([_format(getattr(row, name)) for name in columns] for row in rows)
    write_whole(path, text.getvalue().encode())


def _format(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class CellRows:
    """The rows that one cell adds to the tables of a benchmark."""

    search: Sequence[SearchRow] = ()
    curves: Sequence[CurveRow] = ()
    lengths: Sequence[LengthRow] = ()
    results: Sequence[ResultRow] = ()


KINDS: Mapping[str, type[CellRow]] = {
    "search": SearchRow,
    "curves": CurveRow,
    "lengths": LengthRow,
    "results": ResultRow,  # written last: a cell without results is one that a kill cut short
}


class ResultTables:
    """The tables of a benchmark's folder: they say which cells are made, and nothing else writes their files.

    They are read when the object is made, and written whenever a cell is added.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.cells: dict[str, CellRows] = {}
        by_cell: dict[str, dict[str, list[Any]]] = {}
        for name, kind in KINDS.items():
            for row in read_csv(out / f"{name}.csv", kind):
                by_cell.setdefault(row.cell, {}).setdefault(name, []).append(row)
        self.cells = {key: CellRows(**rows) for key, rows in by_cell.items() if rows.keys() & {"search", "results"}}

    def __contains__(self, run: Run) -> bool:
        return cell(run) in self.cells

    def add(self, run: Run, rows: CellRows, order: list[Run]) -> None:
        """Takes in the rows of a cell and writes all tables in this order of cells; cells not in it come after."""
        self.cells[cell(run)] = rows
        position = {cell(run): position for position, run in enumerate(order)}
        keys = sorted(self.cells, key=lambda key: (position.get(key, len(position)), key))
        for name, kind in KINDS.items():
            table = [row for key in keys for row in getattr(self.cells[key], name)]
            write_csv(self.out / f"{name}.csv", table, kind)

    def search(self, trials: list[Run]) -> list[SearchRow]:
        """The rows of the search for a learning rate that are of these runs, in their order."""
        return [row for run in trials if run in self for row in self.cells[cell(run)].search]

    def made(self) -> set[RowName]:
        """Which rows of a leaderboard have results."""
        return {row.row_name for rows in self.cells.values() for row in rows.results}

    def others(self, cells: list[Run], checksums: Mapping[Path | None, str]) -> set[RowName]:
        """Which rows with results cannot stand beside these cells, or would then be there twice.

        `checksums` has that of the data of each cell.
        """
        recipes: dict[RowName, set[str]] = {}
        protocols: dict[tuple[str, bool], str] = {}
        data = {run.task: data_name(checksums[run.data]) for run in cells}
        for run in cells:
            recipes.setdefault(row_name(run), set()).add(identity(run)["recipe"])
            protocols[run.task, protocol(run).startswith(LENGTH_ONLY)] = protocol(run)
        others: set[RowName] = set()
        for row in (row for rows in self.cells.values() for row in rows.results):
            alike = protocols.get((row.task, row.length_only), row.protocol) == row.protocol
            known = row.recipe in recipes.get(row.row_name, {row.recipe})
            if row.model != CLASSIFIER_RULE and not (alike and known):
                others.add(row.row_name)
        rows = [row for rows in self.cells.values() for row in (*rows.search, *rows.results)]
        return others | {row.row_name for row in rows if data.get(row.task, row.data) != row.data}
