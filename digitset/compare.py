"""compare: trains the rows of the mission's tables on this machine and sets them beside the published numbers."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from digitset import data, machine, parts, recipes, results
from digitset.data import Splits
from digitset.errors import InputError
from digitset.evaluation import ceiling
from digitset.network import Network, lengths_of
from digitset.predict import evaluated, load
from digitset.record import Record
from digitset.run import Run
from digitset.training import Listener, is_finished, train

QUICK_STEPS = 20
VALIDATIONS = 5


@dataclass(frozen=True)
class Published:
    """What kobybibas/vit_for_mnist reports of a model, and what its curve says when it is read at the end."""

    loss: float
    accuracy: float
    last_epochs: float | None  # accuracy, mean of the last ten epochs, read off the published figure (about .005)


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


@dataclass(frozen=True)
class Entry:
    """One row of a table: a trained run, or the exact rule on what the classifier reads."""

    run: Run
    record: Record
    report: dict[str, Any]
    model: str


class Watcher(Protocol):
    """Shows the training of a run: see `digitset.terminal.Watch`."""

    def listen(self, event: dict[str, Any]) -> None: ...


def plan(
    tasks: tuple[str, ...], models: tuple[str, ...], encoders: tuple[str, ...], quick: bool, **settings: Any
) -> list[Run]:
    """The runs of a comparison, the classifiers first: one of them is the eye of every ceiling row.

    Tasks on single images compare encoders, the others compare models on the first encoder. `settings` are fields of
    Run that hold for all. Raises InputError for unknown names.
    """
    tasks, models, encoders = (tuple(dict.fromkeys(names)) for names in (("classify", *tasks), models, encoders))
    if not models or not encoders:
        raise InputError("expected one or more of --models and of --encoders")
    for folder, names in (("tasks", tasks), ("models", models), ("encoders", encoders)):
        for name in names:
            parts.check(folder, name)
    rows: list[tuple[str, str, str]] = []
    for task in tasks:
        single = parts.load("tasks", task).LENGTHS[1] == 1
        rows += [(task, "mlp", name) for name in encoders] if single else [(task, name, encoders[0]) for name in models]
    return [Run(*row, **_recipe(row[0], row[1], quick), **settings) for row in rows]


def _recipe(task: str, model: str, quick: bool) -> dict[str, Any]:
    """The fields of Run that a comparison sets for a row."""
    recipe = recipes.brief(task, parts.load("models", model).sees_images)
    if quick:
        recipe = {**recipe, "steps": QUICK_STEPS}
    return {**recipe, "validate_every": max(1, recipe["steps"] // VALIDATIONS)}


def compare(
    runs: list[Run], out: Path, watch: Callable[[Run, int], AbstractContextManager[Watcher]]
) -> dict[str, list[Entry]]:
    """Trains and evaluates what is missing under `out`; the entries of each table, ceilings included.

    Writes `out/results.csv` and the run folders. A folder that holds a run of other settings is refused before anything
    is trained. `watch` is given each run, and its place among them, as it starts.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: expected a folder or nothing, found a file; choose another --out")
    splits = data.load(runs[0].data)
    for run in runs:
        is_finished(_record(run, out), run, splits.checksum, resume=True)
    entries: dict[str, list[Entry]] = {}
    for place, run in enumerate(runs):
        with watch(run, place) as watcher:
            record = _trained(run, out, watcher.listen)
        report = evaluated(record, splits, run.device)
        entries.setdefault(run.task, []).append(Entry(run, record, report, run.model))
    eye = entries["classify"][0]
    classifier = load(eye.record.folder, eye.run.device).network
    for task, rows in entries.items():
        if task != "classify":
            rows.append(_ceiling(task, rows[0].run, eye, classifier, splits))
    table = [row for rows in entries.values() for entry in rows for row in _rows(entry)]
    results.write_csv(out / "results.csv", table)
    return entries


def _trained(run: Run, out: Path, listener: Listener) -> Record:
    return train(run, _record(run, out).folder, resume=True, listener=listener)


def _record(run: Run, out: Path) -> Record:
    return Record(out / "runs" / run.name)


def _ceiling(task: str, like: Run, eye: Entry, classifier: Network, splits: Splits) -> Entry:
    on = machine.device(eye.run.device)
    report = ceiling(classifier, parts.load("tasks", task), lengths_of(like), splits.test.to(on))
    return Entry(like, eye.record, report, "ceiling")


def _rows(entry: Entry) -> list[results.Row]:
    loss = parts.load("tasks", entry.run.task).LOSS
    return results.rows(entry.run, entry.record, loss, entry.report, entry.model)
