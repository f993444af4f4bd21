"""Time to quality: seconds of training after which a model is as good as others are after hours.

    uv run benchmarks/quality.py [--seeds 5] [--out results/quality.csv]

Each run follows the quick recipe of its row (LOG.md tells how its length was chosen) and is scored on the test images
at its end. Seconds are those of the training steps; validation happens at the end only. The targets: what
the transformer of kobybibas/vit_for_mnist has at the end of its 50 epochs (.82 and .96, read off its figures), and what
pytorch/examples has for one digit after 14 epochs (.99185).
"""

import tempfile
from dataclasses import replace
from pathlib import Path

from measure import expect_committed, known, show, start

from digitset import recipes
from digitset.data.mnist import load_data
from digitset.device import keep_freed_memory
from digitset.evaluation.evaluate import evaluate
from digitset.inference.predictor import load
from digitset.training.loop import train

TARGETS = {"sum": 0.82, "contains": 0.96, "classify": 0.99185}


def main(rows: tuple[str, ...] = tuple(recipes.QUICK), seeds: int = 5, out: Path = Path("results/quality.csv")) -> None:
    """Trains each row with each seed into a temporary folder.

    Args:
        rows: TASK/MODEL, any that has a quick recipe.
        seeds: How many seeds, from 0.
        out: The CSV to write.
    """
    known("--rows", rows, recipes.QUICK)
    expect_committed(out)
    keep_freed_memory()
    splits = load_data()
    for name in rows:
        accuracies, seconds = [], []
        for seed in range(seeds):
            run = replace(recipes.QUICK[name], seed=seed)
            with tempfile.TemporaryDirectory() as folder:
                run_folder = train(run, Path(folder) / "run", progress=False)
                seconds.append(run_folder.summary().train_seconds)
                predictor = load(run_folder.path, run.device)
                by_set = evaluate(predictor.network, predictor.experiment, splits.to(predictor.device))
            accuracies.append(next(iter(by_set.values())).accuracy)
        target = TARGETS[name.split("/")[0]]
        table = [("seeds", seeds), ("target", target), ("seconds, mean", sum(seconds) / seeds)]
        table += [("seconds, longest", max(seconds)), ("accuracy, mean", sum(accuracies) / seeds)]
        table += [("accuracy, least", min(accuracies))]
        table.append(("runs at or above the target", sum(accuracy >= target for accuracy in accuracies)))
        show(name, table, out)


if __name__ == "__main__":
    start(main)
