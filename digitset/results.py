"""Rows of results: what comparisons and benchmarks write of a run, all in the same columns, and their CSV files."""

import csv
import dataclasses
import hashlib
import io
import json
import math
from pathlib import Path
from typing import Any

from digitset import parts
from digitset.errors import InputError
from digitset.record import Record, write_whole
from digitset.run import Run

IDENTITY = ("task", "model", "encoder", "seed", "recipe")
COLUMNS = (
    *(*IDENTITY, "evaluation", "n", "accuracy", "accuracy_low", "accuracy_high", "loss"),
    *("mae", "auc", "parameters", "train_steps", "train_images", "train_seconds", "images_per_second"),
    *("device", "precision", "threads", "commit", "learning_rate", "train_flops", "protocol", "data"),
)
# Of a benchmark: validation over training, accuracy by length, the search for a learning rate.
CURVES = (*IDENTITY, "step", "loss", "accuracy")
LENGTHS = (*IDENTITY, "length", "n", "accuracy", "per_image")
SEARCH = (*IDENTITY, "learning_rate", "steps", "accuracy", "loss")
WHOLE = ("seed", "n", "parameters", "train_steps", "train_images", "threads", "train_flops", "step", "steps", "length")
TEXT = ("task", "model", "encoder", "recipe", "evaluation", "device", "precision", "commit", "protocol", "data")
FLOOR = "floor-"  # what the protocol of a model that sees no image begins with
Row = dict[str, Any]


def identity(run: Run) -> Row:
    """The columns that say which run a row is of. `recipe` is a digest of all its settings but the seed."""
    recipe = _digest(dataclasses.replace(run, seed=0).to_json())
    return {"task": run.task, "model": run.model, "encoder": run.encoder, "seed": run.seed, "recipe": recipe}


def protocol(run: Run) -> str:
    """A digest of what models of a task must have in common to be compared: all but themselves, seed and rate.

    A floor, which sees no image and is trained in its own way, has another one than the models, and says what it is.
    """
    own = ("model", "encoder", "model_options", "encoder_options", "seed", "learning_rate")
    digest = _digest({name: value for name, value in run.to_json().items() if name not in own})
    return digest if parts.load("models", run.model).sees_images else FLOOR + digest


def is_floor(protocol: str) -> bool:
    """Whether a protocol is of a floor."""
    return protocol.startswith(FLOOR)


def _digest(settings: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]


def rows(run: Run, record: Record, loss: str, report: dict[str, Any], model: str | None = None) -> list[Row]:
    """A row for each evaluation set of a report by `evaluation`; `model` overrides the name, for the ceiling."""
    machine, summary = record.machine(), record.summary()
    made = []
    for evaluation, found in report.items():
        scores = found["scores"]
        row = {
            **identity(run),
            "model": model or run.model,
            "evaluation": evaluation,
            "n": found["n"],
            "accuracy": scores["accuracy"],
            "accuracy_low": found["interval"][0],
            "accuracy_high": found["interval"][1],
            "loss": scores.get(loss),
            "mae": scores.get("mae"),
            "auc": scores.get("auc"),
            "parameters": summary["parameters"],
            "train_steps": summary["steps"],
            "train_images": summary["images"],
            "train_seconds": summary["train_seconds"],
            "images_per_second": summary["images_per_second"],
            **{key: machine[key] for key in ("device", "precision", "threads", "commit")},
            "learning_rate": run.learning_rate,
            "protocol": protocol(run),
            "data": run.data,
        }
        made.append(row)
    return made


def read_csv(path: Path, columns: tuple[str, ...] = COLUMNS) -> list[Row]:
    """The rows of a CSV, all values as they are written; none if there is no file.

    Raises InputError if it is not a whole table of these columns, holds what is no number where one belongs, or a row
    twice.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            table = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not readable as CSV: {error}") from None
    if tuple(reader.fieldnames or ()) != columns or any(None in row or None in row.values() for row in table):
        raise InputError(f"{path}: expected a whole table with the columns {', '.join(columns)}; it is another one")
    keys = [name for name in (*IDENTITY, "evaluation", "step", "length") if name in columns]
    seen: set[tuple[str, ...]] = set()
    for row in table:
        _check_numbers(row, path)
        key = tuple(row[name] for name in keys)
        if key in seen:
            raise InputError(f"{path}: expected each row once, found {', '.join(key)} twice")
        seen.add(key)
    return table


def _check_numbers(row: Row, path: Path) -> None:
    for name, value in row.items():
        if name in TEXT or (value == "" and name != "seed"):
            continue
        try:
            fits = int(value) >= 0 if name in WHOLE else math.isfinite(float(value))
        except ValueError:
            fits = False
        if not fits:
            kind = "whole number" if name in WHOLE else "number"
            raise InputError(f"{path}: expected a {kind} as {name}, got '{value}'")


def write_csv(path: Path, table: list[Row], columns: tuple[str, ...] = COLUMNS) -> None:
    """Writes rows; a value that does not apply or is not finite (the loss of a rule that is certain) is left empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in table:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    write_whole(path, text.getvalue().encode())


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
