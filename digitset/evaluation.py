"""Scores of a network on sets of sequences, with intervals and by length."""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from digitset import calibration, parts
from digitset.data import Digits, Splits
from digitset.network import Network, lengths_of, solve
from digitset.rng import generator
from digitset.run import Run
from digitset.sequences import Batch, partitions, published
from digitset.tasks import DIGITS, Task, probabilities

VERSION = 3  # of the sets and what is reported on them; goes up with every change
ROUNDS = 10  # partitions of the test images in the set `random`
VALIDATION_ROUNDS = 4
EVALUATION_SEED = 0  # the same sets for every run, whatever its seed


@dataclass(frozen=True)
class Readings:
    """What a network read on a set, and what was true; on the CPU, where double precision is to be had everywhere."""

    batch: Batch
    reading: Float[Tensor, "B *_"]
    target: Int64[Tensor, " B"]
    probabilities: Float[Tensor, "B A"] | None = None  # of all answers, where the network gives them


def version(task: Task) -> dict[str, int]:
    """What decides, beside the weights, the scores that `evaluate` finds: others are not to be reused."""
    return {"evaluation": VERSION, "task": task.VERSION}


def evaluation_sets(
    digits: Digits, task: Task, lengths: tuple[int, int], longest: int | None = None
) -> dict[str, Batch]:
    """The sets that a table is made of, by name.

    `test`, every image once, for a task on single images. For sequences `published`, the windows of the repository that
    posed the tasks (left out for a task of other lengths, and for a model that takes only shorter ones);
    `random`, 10 random partitions of the images into sequences of the given lengths; and `single`, every image as a
    sequence of its own (after the image before it as the anchor, where there is one): what was learned of one digit.
    """
    if task.LENGTHS == (1, 1) and not task.ANCHORED:
        return {"test": published(digits, (1, 1), False)}
    sets = {
        "random": partitions(digits, lengths, task.ANCHORED, ROUNDS, EVALUATION_SEED),
        "single": published(digits, (1, 1), task.ANCHORED),
    }
    if task.LENGTHS == (1, 10):
        sets = {"published": published(digits, task.LENGTHS, task.ANCHORED)} | sets
    return {name: batch for name, batch in sets.items() if longest is None or batch.index.shape[1] <= longest}


def validation_set(digits: Digits, task: Task, lengths: tuple[int, int]) -> Batch:
    return partitions(digits, lengths, task.ANCHORED, VALIDATION_ROUNDS, EVALUATION_SEED)


@torch.inference_mode()
def read(network: Network, task: Task, batches: list[Batch]) -> list[Readings]:
    """Reads sets that share one pool, which is encoded once. Leaves the network in the mode it was in."""
    was_training = network.training
    network.eval()
    vectors = network.embed_in_parts(batches[0].images)
    readings = []
    for batch in batches:
        outputs = torch.cat(list(network.read_in_parts(vectors, batch)))
        kind = network.model.output
        chances = probabilities(task, kind, outputs)
        reading, target = task.read(outputs, kind).cpu(), solve(task, batch).cpu()
        readings.append(Readings(batch, reading, target, None if chances is None else chances.cpu()))
    network.train(was_training)
    return readings


def scores(task: Task, readings: Readings) -> dict[str, float]:
    """The mean of each example's scores, and the scores of the set as a whole."""
    means = {
        name: float(value.double().mean()) for name, value in task.scores(readings.reading, readings.target).items()
    }
    return means | task.summary(readings.reading, readings.target)


def scores_by_length(task: Task, readings: Readings) -> dict[int, dict[str, float]]:
    """The scores of the sequences of each length, and how many there are (`n`)."""
    lengths = readings.batch.lengths.cpu()
    table = {}
    for length in lengths.unique().tolist():
        these = lengths == length
        part = Readings(readings.batch, readings.reading[these], readings.target[these])
        table[length] = {"n": int(these.sum()), **scores(task, part)}
    return table


def wilson(accuracy: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % score interval of a proportion of n independent trials (Wilson 1927)."""
    centre = (accuracy + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(accuracy * (1 - accuracy) / n + z * z / (4 * n * n))
    return (0.0 if accuracy == 0 else centre - half), (1.0 if accuracy == 1 else centre + half)


def evaluate(network: Network, run: Run, splits: Splits) -> dict[str, Any]:
    """All scores of a run on the test images: by evaluation set, `n`, scores, Wilson interval, scores by length.

    A model that reads a posterior from each image also has the set `digits`: how often its most probable digit is the
    true one, though no label ever told it a digit. Where the task never names the digits, their names are those that
    fit the validation images best; where it does not tell all of them apart, there is no such set.
    """
    task = parts.load("tasks", run.task)
    sets = evaluation_sets(splits.test, task, lengths_of(run), network.longest)
    report = {}
    for name, readings in zip(sets, read(network, task, list(sets.values())), strict=True):
        report[name] = report_on(task, readings, ROUNDS if name == "random" else 1)
    if hasattr(network.model, "posteriors") and tells_apart(task):
        report["digits"] = _digits(network, task, splits)
    return report


def report_on(task: Task, readings: Readings, rounds: int = 1) -> dict[str, Any]:
    """What `evaluate` says of one set.

    The interval takes the items of one round for independent, and further rounds over the same images for no news. On
    `published`, items overlap, so that the true interval is somewhat wider.
    """
    found = scores(task, readings)
    interval = wilson(found["accuracy"], len(readings.target) // rounds)
    return {
        "n": len(readings.target),
        "scores": found | calibration.scores(readings.probabilities, readings.target, task.DISCRETE),
        "interval": list(interval),
        "by_length": scores_by_length(task, readings),
    }


def tells_apart(task: Task) -> bool:
    """Whether no two digits could be taken for one another: then some answer among many would change."""
    draw = generator(EVALUATION_SEED, "tells apart")
    shortest, longest = task.LENGTHS
    digits = torch.randint(DIGITS, (2_000, longest), generator=draw)
    anchor = torch.randint(DIGITS, (2_000,), generator=draw) if task.ANCHORED else None
    mask = torch.arange(longest) < torch.randint(shortest, longest + 1, (2_000, 1), generator=draw)

    def answers(names: Tensor) -> Tensor:
        return task.solve(names[digits], mask, None if anchor is None else names[anchor])

    pairs = itertools.combinations(range(DIGITS), 2)
    own = torch.arange(DIGITS)
    return not any(torch.equal(answers(own), answers(own.where(own != one, other))) for one, other in pairs)


def _digits(network: Network, task: Task, splits: Splits) -> dict[str, Any]:
    names = torch.arange(DIGITS)
    if task.NAMELESS:
        counts = torch.zeros(DIGITS, DIGITS, dtype=torch.int64)
        counts.index_put_(
            (_read_digits(network, splits.val), splits.val.labels.cpu()), torch.tensor(1), accumulate=True
        )
        names = torch.from_numpy(linear_sum_assignment(counts.numpy(), maximize=True)[1])
    accuracy = float((names[_read_digits(network, splits.test)] == splits.test.labels.cpu()).double().mean())
    n = len(splits.test)
    return {"n": n, "scores": {"accuracy": accuracy}, "interval": list(wilson(accuracy, n)), "by_length": {}}


@torch.inference_mode()
def _read_digits(network: Network, digits: Digits) -> Int64[Tensor, " N"]:
    """The most probable digit of each image, on the CPU, for a model with `posteriors`."""
    network.eval()
    return network.model.posteriors(network.embed_in_parts(digits.images)).argmax(dim=1).cpu()


def ceiling(classifier: Network, task: Task, lengths: tuple[int, int], digits: Digits) -> dict[str, Any]:
    """What `task` scores when its exact rule is applied to the digits that a trained `classify` network reads.

    An answer by rule is certain, so a loss in nats is infinite where one is wrong.
    """
    classify = parts.load("tasks", "classify")
    (single,) = read(classifier, classify, [published(digits, (1, 1), False)])
    seen = classify.answer(single.reading).long().to(digits.labels.device)
    report = {}
    for name, batch in evaluation_sets(digits, task, lengths).items():
        anchor = None if batch.anchor is None else seen[batch.anchor]
        answer = task.solve(seen[batch.index], batch.mask, anchor)
        certain = torch.nn.functional.one_hot(answer, task.answers(batch.index.shape[1])).float().log()
        report[name] = report_on(
            task,
            Readings(batch, task.read(certain, "distribution").cpu(), solve(task, batch).cpu()),
            ROUNDS if name == "random" else 1,
        )
    return report
