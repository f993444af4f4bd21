"""compare: trains the rows of README's table on this machine, for a report beside the published numbers."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from digitset import recipes, registry
from digitset.bench.tables import CLASSIFIER_RULE, ComparisonRow, ResultRow, write_csv
from digitset.data.mnist import Splits, load_data
from digitset.device import choose_device
from digitset.errors import InputError
from digitset.evaluation.evaluate import evaluate_classifier_rule, evaluate_run_folder
from digitset.files import expect_folder, writing
from digitset.models import load_model
from digitset.network import Experiment
from digitset.run import Run
from digitset.run_folder import RunFolder
from digitset.tasks import Task, load_task
from digitset.training.loop import Event, is_finished, train

QUICK_STEPS = 20
VALIDATIONS = 5


class Watcher(Protocol):
    """Shows the training of a run: see `digitset.training.progress.Watch`."""

    def listen(self, event: Event) -> None: ...


def plan(
    tasks: tuple[str, ...], models: tuple[str, ...], encoders: tuple[str, ...], quick: bool, **settings: Any
) -> list[Run]:
    """The runs of a comparison, the classifiers first: the first of them is in every row of classifier + rule.

    Tasks on single images compare encoders, the others compare models on the first encoder. `settings` are fields of
    Run that hold for all. Raises InputError for unknown names.
    """
    tasks, models, encoders = (tuple(dict.fromkeys(names)) for names in (("classify", *tasks), models, encoders))
    if not models or not encoders:
        raise InputError("expected one or more of --models and of --encoders")
    tasks = tuple(registry.resolve("tasks", name) for name in tasks)
    models = tuple(registry.resolve("models", name) for name in models)
    encoders = tuple(registry.resolve("encoders", name) for name in encoders)
    rows: list[tuple[str, str, str]] = []
    for task in tasks:
        if load_task(task).single_image:
            rows += [(task, "mlp", name) for name in encoders]
        else:
            rows += [(task, name, encoders[0]) for name in models]
    return [Run(*row, **_recipe(*row, quick), **settings) for row in rows]


def _recipe(task: str, model: str, encoder: str, quick: bool) -> dict[str, Any]:
    """The fields of Run that a comparison sets for a row."""
    recipe = recipes.brief(task, load_model(model).uses_images, encoder)
    if quick:
        recipe = {**recipe, "steps": QUICK_STEPS}
    return {**recipe, "validate_every": max(1, recipe["steps"] // VALIDATIONS)}


def compare(
    runs: list[Run], out: Path, watch: Callable[[Run, int], AbstractContextManager[Watcher]]
) -> dict[str, list[ComparisonRow]]:
    """Trains and evaluates what is missing under `out`; the rows of each task's table, with classifier + rule.

    Writes `out/results.csv` and the run folders. A folder that holds a run of other settings is refused before anything
    is trained. `watch` is given each run, and its index among them, as it starts.
    """
    expect_folder(out)
    splits = load_data(runs[0].data, runs[0].transpose)
    experiments = [Experiment.of(run) for run in runs]
    for experiment in experiments:
        is_finished(_run_folder(experiment, out), experiment, splits.checksum, resume=True)
    with writing(out):
        return _compare(experiments, splits, out, watch)


def _compare(
    experiments: list[Experiment],
    splits: Splits,
    out: Path,
    watch: Callable[[Run, int], AbstractContextManager[Watcher]],
) -> dict[str, list[ComparisonRow]]:
    tables: dict[str, list[ComparisonRow]] = {}
    for index, experiment in enumerate(experiments):
        run = experiment.run
        with watch(run, index) as watcher:
            folder = _run_folder(experiment, out).path
            run_folder = train(run, folder, True, [watcher.listen], splits, progress=False)
        scores = evaluate_run_folder(run_folder, splits, run.device)
        tables.setdefault(run.task, []).append(ComparisonRow(experiment, run_folder, scores, run.model))
    sequences = [task for task in map(load_task, tables) if not task.single_image]
    for row in classifier_rule(tables["classify"][0].experiment, tables["classify"][0].run_folder, sequences, splits):
        tables[row.experiment.task.name].append(row)
    write_csv(out / "results.csv", [row for rows in tables.values() for each in rows for row in each.rows()], ResultRow)
    return tables


def _run_folder(experiment: Experiment, out: Path) -> RunFolder:
    return RunFolder(out / "runs" / experiment.run.name)


def classifier_rule(
    classifier: Experiment, run_folder: RunFolder, tasks: Iterable[Task], splits: Splits
) -> list[ComparisonRow]:
    """For each task on sequences, the row of its exact rule on the digits that a trained classifier predicts."""
    device = choose_device(classifier.run.device)
    network, test = run_folder.network().to(device).eval(), splits.test.to(device)
    return [
        ComparisonRow(
            replace(classifier, task=task),
            run_folder,
            evaluate_classifier_rule(network, task, task.lengths, test),
            CLASSIFIER_RULE,
        )
        for task in tasks
    ]
