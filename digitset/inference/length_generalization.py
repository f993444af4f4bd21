"""Accuracy by length, far beyond the lengths of training: does what was learned of ten images hold for a thousand?"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from digitset.data.mnist import Digits
from digitset.data.sequences import Batch, partitions
from digitset.evaluation.evaluate import EVALUATION_SEED, mean_scores, predict_sets
from digitset.files import write_whole
from digitset.inference.predictor import Predictor

LENGTHS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)
SEQUENCES = 500  # at least, of each length

# Accuracies by length that others report, read off their figures (about .005), after training on up to ten images.
LITERATURE = {
    "sum": {
        "Deep Sets with a CNN (dpernes/deepsets-digitsum; warped training digits)": {
            5: 0.987,
            10: 0.978,
            20: 0.962,
            30: 0.950,
            50: 0.918,
            100: 0.789,
        },
        "Deep Sets (Zaheer et al. 2017)": {10: 0.964, 20: 0.926, 50: 0.79},
        "LSTM, GRU (Zaheer et al. 2017): at zero by 20": {20: 0.0},
    }
}


@dataclass(frozen=True)
class Point:
    """Accuracy on `n` sequences of `length` images each."""

    length: int
    n: int
    accuracy: float

    @property
    def per_image(self) -> float:
        """accuracy ** (1 / length): the accuracy on one image that explains it, if every image has to be right.

        Beyond some hundred images it flatters: errors cancel one another, and a sum is right by chance.
        """
        return self.accuracy ** (1 / self.length)


def curve(predictor: Predictor, test: Digits, longest: int = LENGTHS[-1]) -> list[Point]:
    """Accuracy on random partitions of test images into sequences of each length that the model takes.

    Lengths above `longest` are left out. Every image is encoded once, however many sequences it is in.
    """
    digits = test.to(predictor.device)
    most = min(predictor.network.longest or longest, longest, len(digits) - predictor.task.anchored)
    lengths = [length for length in LENGTHS if predictor.task.lengths[0] <= length <= most]
    if predictor.task.single_image:
        lengths = [1]
    batches: list[Batch] = []
    for length in lengths:
        rounds = -(-SEQUENCES * (length + predictor.task.anchored) // len(digits))
        batches.append(partitions(digits, (length, length), predictor.task.anchored, rounds, EVALUATION_SEED))
    if not batches:
        return []
    points: list[Point] = []
    for length, predictions in zip(lengths, predict_sets(predictor.network, predictor.task, batches), strict=True):
        accuracy = mean_scores(predictor.task, predictions)["accuracy"]
        points.append(Point(length, len(predictions.target), accuracy))
    return points


def write_csv(path: Path, curves: dict[str, list[Point]]) -> None:
    """Writes the points of each run by name: run, length, n, accuracy, per_image."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("run", "length", "n", "accuracy", "per_image"))
    for name, points in curves.items():
        writer.writerows((name, p.length, p.n, f"{p.accuracy:.6g}", f"{p.per_image:.6g}") for p in points)
    write_whole(path, text.getvalue().encode())
