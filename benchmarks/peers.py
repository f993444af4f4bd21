"""Peers' protocols, with a fixed number of labelled sequences: `results/peers.csv`, our rows beside published ones.

    uv run benchmarks/peers.py [--seeds 5] [--settings bags-50 ...] [--jobs 2] [--out results/peers.csv]

A setting is what a group of papers measures. In all of them we draw from 55,000 images where others draw from 60,000,
since 5,000 are for validation; those were used to choose the learning rate and the number of steps, and are not trained
on. The weights of the last step are scored, on random partitions of the test images. Peers augment nothing; our rows
are with and without. What else differs is in the column `differs`.

What is made already is not made again. Seeds go round. In `results/`, only committed code writes.
"""

from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from addition import Addition
from measure import expect_committed, in_processes, known, start
from rich.console import Console
from rich.table import Table

from digitset.bench.statistics import mean
from digitset.bench.tables import read_csv, write_csv
from digitset.data.mnist import Splits, load_data
from digitset.data.sequences import partitions
from digitset.device import choose_device, choose_precision, commit, keep_freed_memory
from digitset.errors import TrainingError
from digitset.evaluation.evaluate import EVALUATION_SEED, ROUNDS, mean_scores, predict_digits, predict_sets
from digitset.models import ReadsDigits
from digitset.network import Experiment, Network
from digitset.run import Run
from digitset.tasks import Task
from digitset.training.loop import BATCH_NORM_IMAGES, TrainingSet, initial_state, training_step

AUGMENTATIONS = (0.0, 0.5)
RUNS = Path("runs/peers")  # names of cells; no folder is written
console = Console()


@dataclass(frozen=True)
class Setting:
    """What is trained in one of the peers' protocols: one run a model."""

    runs: tuple[Run, ...]
    differs: str
    task: Task | None = None
    """None is the run's own."""


@dataclass(frozen=True)
class PeerRow:
    """A row of peers.csv: a published value, with its source, or one of our runs, with its commit."""

    setting: str
    who: str
    seed: int | None = None
    augmentation: float | None = None
    accuracy: float | None = None
    spread: float | None = None
    """What a source says after ±, whose meaning is the source's."""
    auc: float | None = None
    digits: float | None = None
    """How often the most probable digit of a test image is its label; not trained on in any setting."""
    parameters: int | None = None
    sequences: int | None = None
    train_images: int | None = None
    source: str = ""
    differs: str = ""


def _addition(digits: int) -> Setting:
    """Sums of two numbers: each training image is in one of them. A step takes 128 images."""
    length = 2 * digits
    run = Run(
        "sum", "exact", lengths=(length, length), training_sequences=55_000 // length, steps=2_150, curriculum=0.0
    )
    run = replace(run, sequences_per_step=max(1, 128 // length), learning_rate=2e-3)
    differs = f"{run.training_sequences:,} sums, not {60_000 // length:,}"
    return Setting((run,), differs, Addition() if digits > 1 else None)


def _bags(count: int, exact: Run, attention: Run) -> Setting:
    """Ten bags a step."""
    fixed = {"training_sequences": count, "sequences_per_step": 10, "curriculum": 0.0}
    differs = "6 to 14 images a bag, all as often; there normal with deviation 2, images drawn with replacement"
    return Setting((replace(exact, **fixed), replace(attention, **fixed)), differs)


def _sum_of_ten() -> Setting:
    run = Run("sum", "exact", lengths=(10, 10), training_sequences=1_000, steps=1_250, sequences_per_step=16)
    run = replace(run, curriculum=0.0, encoder_options={"channels": 32})
    return Setting((run, replace(run, model="transformer", learning_rate=2e-3)), "")


SETTINGS = {
    "addition-1": _addition(1),
    "addition-4": _addition(4),
    "addition-15": _addition(15),
    "sum-of-10": _sum_of_ten(),
    "bags-50": _bags(
        50,
        Run("bags", "exact", "lenet", steps=400, learning_rate=1e-3),
        Run("bags", "attention_pool", steps=150, learning_rate=3e-4, encoder_options={"channels": 32}),
    ),
    "bags-200": _bags(
        200,
        Run("bags", "exact", "lenet", steps=600, learning_rate=1e-3),
        Run("bags", "attention_pool", "lenet", steps=1_200, learning_rate=1e-3),
    ),
}
TABLE_1 = "arXiv 2505.13138, table 1"
COUNTMIL = "bigchan22/countmil"
PUBLISHED = [
    PeerRow("addition-1", "ABLkit", accuracy=0.981, source="ABLkit"),
    PeerRow("addition-4", "DeepProofLog", accuracy=0.940, spread=0.003, source="arXiv 2511.08581"),
    PeerRow("addition-4", "DeepSoftLog", accuracy=0.935, source=TABLE_1),
    PeerRow("addition-4", "A-NeSI", accuracy=0.926, source=TABLE_1),
    PeerRow("addition-4", "NeSyDM", accuracy=0.925, source=TABLE_1),
    PeerRow("addition-4", "PLIA", accuracy=0.918, source=TABLE_1),
    PeerRow("addition-4", "EXAL", accuracy=0.917, source=TABLE_1),
    PeerRow("addition-4", "Scallop", accuracy=0.909, source=TABLE_1),
    PeerRow("addition-15", "DeepProofLog", accuracy=0.808, spread=0.011, source="arXiv 2511.08581"),
    PeerRow("addition-15", "PLIA", accuracy=0.790, source=TABLE_1),
    PeerRow("addition-15", "NeSyDM", accuracy=0.773, source=TABLE_1),
    PeerRow("addition-15", "DeepSoftLog", accuracy=0.771, source=TABLE_1),
    PeerRow("addition-15", "A-NeSI", accuracy=0.768, source=TABLE_1),
    PeerRow("addition-15", "EXAL", accuracy=0.733, source=TABLE_1),
    PeerRow("sum-of-10", "exact convolution", accuracy=0.846, digits=0.982, source=f"{COUNTMIL}, first tables"),
    PeerRow("sum-of-10", "Gaussian", accuracy=0.268, source=f"{COUNTMIL}, first tables"),
    PeerRow("sum-of-10", "squared error", accuracy=0.107, source=f"{COUNTMIL}, first tables"),
    PeerRow("sum-of-10", "exact convolution", accuracy=0.436, spread=0.272, source=f"{COUNTMIL}, stricter run"),
    PeerRow("sum-of-10", "Gaussian", accuracy=0.172, source=f"{COUNTMIL}, stricter run"),
    PeerRow("sum-of-10", "squared error", accuracy=0.121, source=f"{COUNTMIL}, stricter run"),
    PeerRow("bags-50", "attention", auc=0.768, source="arXiv 1802.04712"),
    PeerRow("bags-50", "attention", auc=0.898, source="AMLab-Amsterdam/AttentionDeepMIL, issue 14: its other loader"),
    PeerRow("bags-200", "attention", accuracy=0.918, spread=0.009, source="samrere/IOA-MIL"),
    PeerRow("bags-200", "attention, instance loss", accuracy=0.931, spread=0.009, source="samrere/IOA-MIL"),
]


def main(
    settings: tuple[str, ...] = tuple(SETTINGS), seeds: int = 5, jobs: int = 2, out: Path = Path("results/peers.csv")
) -> None:
    """Trains, scores and writes.

    Args:
        settings: Which protocols.
        seeds: How many seeds, from 0.
        jobs: How many runs at a time.
        out: The CSV to write.
    """
    known("--settings", settings, SETTINGS)
    expect_committed(out)
    table = [
        replace(row, differs=SETTINGS[row.setting].differs) for row in read_csv(out, PeerRow) if row.seed is not None
    ]
    done = {(row.setting, row.who, row.augmentation, row.seed) for row in table}
    cells = [
        (replace(run, augmentation_strength=strength, seed=seed), RUNS / name)
        for seed in range(seeds)
        for name in settings
        for run in SETTINGS[name].runs
        for strength in AUGMENTATIONS
    ]
    missing = [
        [(run, path)]
        for run, path in cells
        if (path.name, name_of(run), run.augmentation_strength, run.seed) not in done
    ]
    for row in in_processes(make, missing, jobs):
        table.append(row)
        write_csv(out, sorted([*PUBLISHED, *table], key=_order), PeerRow)
    show([*PUBLISHED, *table])


def name_of(run: Run) -> str:
    """The model, and the encoder where it is not the default one."""
    return run.model if run.encoder == Run.encoder else f"{run.model}, {run.encoder}"


def _order(row: PeerRow) -> tuple[Any, ...]:
    """By setting; the published rows first, in their order."""
    place = list(SETTINGS).index(row.setting)
    return place, row.seed is not None, row.who if row.seed is not None else "", row.augmentation or 0, row.seed or 0


def make(run: Run, path: Path) -> PeerRow:
    """Trains one run and scores it on test images; in a process of its own."""
    setting = SETTINGS[path.name]
    experiment = Experiment.of(run)
    experiment = experiment if setting.task is None else replace(experiment, task=setting.task)
    splits = load_data().to(choose_device(run.device))
    network, images = trained(experiment, splits)
    scores = scored(network, experiment, splits)
    return PeerRow(
        path.name,
        name_of(run),
        run.seed,
        run.augmentation_strength,
        scores["accuracy"],
        auc=scores.get("auc"),
        digits=scores.get("digits"),
        parameters=network.parameter_count(),
        sequences=run.training_sequences,
        train_images=images,
        source=f"commit {commit()}",
        differs=setting.differs,
    )


def trained(experiment: Experiment, splits: Splits) -> tuple[Network, int]:
    """The network at the end of training, and how many images it saw.

    `digitset.train` does the same for the tasks of the package, with a folder and checkpoints.
    """
    run, device = experiment.run, choose_device(experiment.run.device)
    keep_freed_memory()
    state = initial_state(experiment, device, choose_precision(run.precision, device))
    data = TrainingSet.of(experiment, splits.train)
    state.network.train()
    while state.step < run.steps:
        training_step(experiment, state, data)
        if not bool(state.window.pop()[0].isfinite()):
            raise TrainingError(f"{run.task}, {run.model}: the loss of step {state.step} is not finite")
    state.network.recompute_batch_norm(data.images[:BATCH_NORM_IMAGES])
    return state.network.eval(), state.images


def scored(network: Network, experiment: Experiment, splits: Splits) -> dict[str, float]:
    """Scores on ten random partitions of the test images; the accuracy of the digits for a model that reads them."""
    images = splits.test.to(network.device)
    test = partitions(images, experiment.lengths, experiment.task.anchored, ROUNDS, EVALUATION_SEED)
    (predictions,) = predict_sets(network, experiment.task, [test])
    scores = mean_scores(experiment.task, predictions)
    if isinstance(network.model, ReadsDigits) and experiment.run.task == "sum":  # a bag's label tells nines only
        with torch.inference_mode():
            digits = predict_digits(network, network.embed_in_parts(images.images))
        scores["digits"] = float((digits == images.labels.cpu()).double().mean())
    return scores


def show(rows: list[PeerRow]) -> None:
    """The published values, and means over our seeds."""
    ours: dict[tuple[str, str, float | None], list[PeerRow]] = defaultdict(list)
    table = Table("setting", "who", "augmentation", "seeds", "accuracy", "AUC", "source")
    for row in sorted(rows, key=_order):
        ours[row.setting, row.who + row.source * (row.seed is None), row.augmentation].append(row)
    for group in ours.values():
        first = group[0]
        means = [
            f"{mean(values).mean:.4f}"
            if (values := [value for row in group if (value := getattr(row, name)) is not None])
            else ""
            for name in ("accuracy", "auc")
        ]
        published = first.seed is None
        strength = "" if first.augmentation is None else f"{first.augmentation:g}"
        table.add_row(
            *(first.setting, first.who, strength, "" if published else str(len(group)), *means),
            first.source if published else "here",
        )
    console.print(table)


if __name__ == "__main__":
    start(main)
