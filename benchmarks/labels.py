"""How many labels does reading take? `results/bench/labels.csv`: a row a task, model, number of labels and seed.

    uv run benchmarks/labels.py [--seeds 5] [--tasks sum contains bags] [--counts 100 300] [--jobs 2] [--out FILE]

A cell trains on a fixed number of labelled sequences of training images (`Run.training_sequences`) and on nothing else.
It stops by a rule that was fixed before any was trained: it trains for 1 / SHORT of the steps and, from the start,
for all of them; the run with the higher accuracy on validation images is the cell, the shorter one if they are equal.
All steps are STEPS, or as many as one pass over the labels takes. Test images are read once a row, for that run alone.
All train with Muon, with which few steps teach more (LOG.md).
The learning rate of a model of a task is the one of RATES with the highest validation accuracy at SEARCHED labels, with
a seed that no row has; `labels_search.csv`, beside the table, has all that were tried.

"classifier + rule" stands on the same axis: a classifier of as many labelled images, trained by the same rule with
about as many images a step, and the task's rule on the digits that it predicts. There a label is a digit.

The page of `digitset bench` shows the table as curves where it lies in that benchmark's folder.

What is made already is not made again: rows in `--out`, runs under `runs/labels`. Seeds go round. In `results/`,
only committed code writes.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from measure import expect_committed, expect_committed_run, in_processes, known, start
from rich.console import Console
from rich.table import Table

from digitset import recipes
from digitset.bench.grid import TRIAL_SEED, chosen_rates
from digitset.bench.runner import make_trial
from digitset.bench.statistics import mean
from digitset.bench.tables import (
    CLASSIFIER_RULE,
    LabelRow,
    SearchRow,
    cell,
    identity,
    read_csv,
    row_name,
    write_csv,
)
from digitset.data.mnist import load_data
from digitset.device import choose_device
from digitset.errors import InputError
from digitset.evaluation.evaluate import evaluate_classifier_rule, evaluate_run_folder
from digitset.models import load_model
from digitset.network import Experiment
from digitset.run import Run
from digitset.run_folder import RunFolder, Scores
from digitset.tasks import load_task
from digitset.training.loop import train

TASKS = ("sum", "contains", "bags")
MODELS = ("exact", "transformer_exact", "transformer", "attention_pool", "deepsets", "mlp", "constant")
COUNTS = (100, 300, 1_000, 3_000, 10_000, 30_000)
CLASSIFIER = ("classify", "mlp")
RATES = (1e-3, 2e-3, 4e-3)
SEARCHED = 3_000  # labels, where the learning rate is chosen
STEPS, SHORT = 1_000, 4  # the longer of the two trainings, and how many times shorter the other is
IMAGES = 176  # about so many in a step: 32 sequences of 1 to 10
EVALUATION = "random"  # the set of every row: test sequences as long as those of training
RUNS = Path("runs/labels")
console = Console()


def main(
    tasks: tuple[str, ...] = TASKS,
    models: tuple[str, ...] = (*MODELS, CLASSIFIER_RULE),
    counts: tuple[int, ...] = COUNTS,
    seeds: int = 5,
    jobs: int = 2,
    out: Path = Path("results/bench/labels.csv"),
) -> None:
    """Trains, evaluates and writes.

    Args:
        tasks: Tasks on sequences.
        models: Models, or "classifier + rule".
        counts: Numbers of labelled sequences.
        seeds: How many seeds, from 0.
        jobs: How many cells at a time.
        out: The CSV to write.
    """
    known("--tasks", tasks, TASKS)
    known("--models", models, (*MODELS, CLASSIFIER_RULE))
    expect_committed(out)
    names = [(task, model) for task in tasks for model in models if model != CLASSIFIER_RULE]
    names += [CLASSIFIER] if CLASSIFIER_RULE in models else []
    for count in counts if names else ():  # a mistake there is told before anything is trained
        two_runs(*names[0], count, 0, RATES[0])
    rates = search(names, jobs, out.with_name(out.stem + "_search.csv"))
    table = read_csv(out, LabelRow)
    done = {row.cell for row in table}
    cells = [two_runs(*name, count, seed, rates[name]) for seed in range(seeds) for count in counts for name in names]
    missing = [runs for runs in cells if not {cell(run) for run in runs} & done]
    for run in (run for runs in missing for run in runs):
        if RunFolder(folder(run)).exists:
            expect_committed_run(out, folder(run), RunFolder(folder(run)).machine().commit)
    for row in table:
        if row.learning_rate != rates.get(
            CLASSIFIER if row.model == CLASSIFIER_RULE else (row.task, row.model), row.learning_rate
        ):
            raise InputError(
                f"{out}: expected rows of the learning rates that validation chose, found another; remove it"
            )
    order = {cell(run): index for index, runs in enumerate(cells) for run in runs}
    for rows in in_processes(make, [[(run, folder(run)) for run in runs] for runs in missing], jobs):
        out.parent.mkdir(parents=True, exist_ok=True)
        table = sorted([*table, *rows], key=lambda row: (order.get(row.cell, len(order)), row.task))
        write_csv(out, table, LabelRow)
    show(table)


def two_runs(task: str, model: str, count: int, seed: int, rate: float) -> tuple[Run, ...]:
    """The runs of a cell, the shorter first; one for the length-only baseline, which has a recipe of its own."""
    shared = Run(task, model, seed=seed, training_sequences=count, curriculum=0.5)
    if not load_model(model).uses_images:
        run = replace(shared, sequences_per_step=256, **recipes.LENGTH_ONLY)
        return (replace(run, validate_every=run.steps),)
    shortest, longest = load_task(task).lengths
    sequences = round(IMAGES / ((shortest + longest) / 2 + load_task(task).anchored))
    steps = max(STEPS, -(-count // sequences))
    run = replace(shared, sequences_per_step=sequences, learning_rate=rate, optimizer="muon")
    run = replace(run, encoder_options={"channels": 32})
    return tuple(replace(run, steps=each, validate_every=each) for each in (steps // SHORT, steps))


def folder(run: Run) -> Path:
    return RUNS / str(run.training_sequences) / f"{run.name}-{run.steps}-{run.learning_rate:g}"


def search(names: list[tuple[str, str]], jobs: int, out: Path) -> dict[tuple[str, str], float]:
    """The learning rate of each task and model, chosen on validation images; writes what was tried."""
    trials = [
        two_runs(*name, SEARCHED, TRIAL_SEED, rate)[-1]
        for name in names
        if load_model(name[1]).uses_images
        for rate in RATES
    ]
    table = read_csv(out, SearchRow)
    missing = [run for run in trials if cell(run) not in {row.cell for row in table}]
    for rows in in_processes(try_rate, [[(run, folder(run))] for run in missing], jobs):
        out.parent.mkdir(parents=True, exist_ok=True)
        table = sorted([*table, *rows], key=lambda row: (row.row_name, row.learning_rate))
        write_csv(out, table, SearchRow)
    chosen = chosen_rates(trials, table)
    rates = {name: chosen.get(row_name(Run(*name))) for name in names}
    rates |= {name: recipes.LENGTH_ONLY["learning_rate"] for name in names if not load_model(name[1]).uses_images}
    if diverged := ["/".join(name) for name, rate in rates.items() if rate is None]:
        raise InputError(f"{', '.join(diverged)}: trains with none of the learning rates {RATES}")
    return {name: rate for name, rate in rates.items() if rate is not None}


def try_rate(run: Run, path: Path) -> list[SearchRow]:
    """What validation says of one run."""
    return list(make_trial(run, path).search)


def make(run: Run, path: Path, *others: tuple[Run, Path]) -> list[LabelRow]:
    """Trains the runs of a cell and scores the one that validation prefers; in a process of its own."""
    splits = load_data()
    pairs = ((run, path), *others)
    trained = [train(each, where, resume=True, splits=splits, progress=False) for each, where in pairs]
    values = [validation(run_folder) for run_folder in trained]
    best = values.index(max(values))
    run, run_folder = pairs[best][0], trained[best]
    if (run.task, run.model) == CLASSIFIER:
        classifier = run_folder.network().to(choose_device(run.device)).eval()
        scores = {
            name: evaluate_classifier_rule(classifier, load_task(name), load_task(name).lengths, splits.test)
            for name in TASKS
        }
    else:
        scores = {run.task: evaluate_run_folder(run_folder, splits, run.device)}
    other = min(values) if len(values) > 1 else None
    return [label_row(run, run_folder, task, of_task, (values[best], other)) for task, of_task in scores.items()]


def validation(run_folder: RunFolder) -> float:
    """Accuracy on validation images at the end of a run."""
    return next(line["accuracy"] for line in reversed(run_folder.metrics()) if line.get("split") == "val")


def label_row(
    run: Run, run_folder: RunFolder, task: str, scores: Scores, values: tuple[float, float | None]
) -> LabelRow:
    """The row of a run; `task` is another than the run's where a rule stands on a classifier."""
    summary, of_set = run_folder.summary(), scores[EVALUATION]
    assert run.training_sequences is not None
    return LabelRow(
        **{**identity(run), "task": task, "model": run.model if task == run.task else CLASSIFIER_RULE},
        labels=run.training_sequences,
        accuracy=of_set.accuracy,
        loss=of_set.scores.get(Experiment.of(replace(run, task=task)).task.loss_name),
        auc=of_set.scores.get("auc"),
        n=of_set.n,
        steps=run.steps,
        validation=values[0],
        validation_other=values[1],
        learning_rate=run.learning_rate,
        train_images=summary.images,
        device=run_folder.machine().device,
        precision=run_folder.precision(),
        commit=run_folder.machine().commit or "",
    )


def show(rows: Iterable[LabelRow]) -> None:
    """Mean accuracies over seeds, a line a task and model."""
    groups: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        groups[row.task, row.model][row.labels].append(row.accuracy)
    counts = sorted({count for group in groups.values() for count in group})
    table = Table("task", "model", "seeds", *(f"{count:,}" for count in counts))
    for (task, model), by_count in sorted(groups.items()):
        seeds = {len(values) for values in by_count.values()}
        cells = [f"{mean(by_count[count]).mean:.4f}" if by_count[count] else "" for count in counts]
        table.add_row(task, model, " to ".join(map(str, sorted({min(seeds), max(seeds)}))), *cells)
    console.print(table)


if __name__ == "__main__":
    start(main)
