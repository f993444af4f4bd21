"""compare: trains the rows of README's table on this machine, for a report beside the published numbers."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from digitset import recipes, registry
from digitset.bench.executors import Executor, Job, Watch, make_runs
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
from digitset.training.loop import is_finished, train

QUICK_STEPS = 20
VALIDATIONS = 5


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


def compare(runs: list[Run], out: Path, executor: Executor, watch: Watch) -> dict[str, list[ComparisonRow]]:
    """Trains and evaluates what is missing under `out`; the rows of each task's table, with classifier + rule.

    Writes `out/results.csv` and the run folders. A folder that holds a run of other settings is refused before anything
    is trained. `watch` is told of progress every few seconds.
    """
    expect_folder(out)
    splits = load_data(runs[0].data, runs[0].transpose)
    experiments = [Experiment.of(run) for run in runs]
    folders = [RunFolder(out / "runs" / experiment.run.name) for experiment in experiments]
    queue = sorted(zip(experiments, folders, strict=True), key=_images_and_steps, reverse=True)
    done = {
        index
        for index, (experiment, folder) in enumerate(queue)
        if is_finished(folder, experiment, splits.checksum, resume=True)
    }
    with writing(out):
        jobs = [Job(experiment.run, folder.path, make) for experiment, folder in queue]
        for index, future in make_runs(jobs, done, executor, watch, "runs"):
            future.result()
            done.add(index)
        tables: dict[str, list[ComparisonRow]] = {}
        for experiment, folder in zip(experiments, folders, strict=True):
            scores = evaluate_run_folder(folder, splits, experiment.run.device)
            row = ComparisonRow(experiment, folder, scores, experiment.run.model)
            tables.setdefault(experiment.run.task, []).append(row)
        sequences = [task for task in map(load_task, tables) if not task.single_image]
        for row in classifier_rule(experiments[0], folders[0], sequences, splits):
            tables[row.experiment.task.name].append(row)
        results = [row for rows in tables.values() for each in rows for row in each.rows()]
        write_csv(out / "results.csv", results, ResultRow)
    return tables


def _images_and_steps(pair: tuple[Experiment, RunFolder]) -> tuple[int, int]:
    """What the longest run has most of: with these first, a core is not idle at the end for as long as one takes."""
    run = pair[0].run
    return run.steps * run.images_per_step, run.steps


def make(run: Run, folder: Path) -> None:
    """Trains and evaluates a run; in a process of its own."""
    splits = load_data(run.data, run.transpose)
    evaluate_run_folder(train(run, folder, resume=True, splits=splits, progress=False), splits, run.device)


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
