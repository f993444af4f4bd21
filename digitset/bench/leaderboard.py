"""Leaderboards: the tables of a benchmark as one verdict for each task. Nothing here trains or reads an image."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from digitset import registry
from digitset.bench import statistics
from digitset.bench.statistics import Difference, Mean
from digitset.bench.tables import CLASSIFIER_RULE, ClassifierImages, ResultRow, read_csv
from digitset.errors import InputError

HEADLINE = ("published", "random", "test")  # the first that all models of a task have is what its table is about


@dataclass(frozen=True)
class Row:
    """One row of a leaderboard: a model with an encoder, over its seeds; its rows of results.csv by evaluation set."""

    task: str
    model: str
    encoder: str
    results: Mapping[str, list[ResultRow]]
    headline: str

    @property
    def accuracies(self) -> dict[int, float]:
        """Accuracy on the headline set by seed."""
        return {row.seed: row.accuracy for row in self.results[self.headline]}

    def mean(self, column: str, evaluation: str | None = None) -> Mean | None:
        """Over seeds; None where the rows have no such value."""
        rows = self.results.get(evaluation or self.headline, [])
        values = [float(value) for row in rows if (value := getattr(row, column)) is not None]
        return statistics.mean(values) if values else None

    @property
    def accuracy(self) -> Mean:
        """On the headline set."""
        return statistics.mean(list(self.accuracies.values()))

    @property
    def test_error(self) -> float:
        """Standard error that the number of test images leaves in each accuracy.

        From random sequences where there are some: their interval counts every image once. Published windows overlap,
        which their interval does not account for.
        """
        rows = self.results.get("random", self.results[self.headline])
        errors = [statistics.error_of_test_set(row.accuracy_low, row.accuracy_high) for row in rows]
        return sum(errors) / len(errors)

    @property
    def kind(self) -> Literal["length-only", "classifier + rule", "learned"]:
        """Two baselines, which take no part in the tests, and learned models."""
        if self.model == CLASSIFIER_RULE:
            return "classifier + rule"
        return "length-only" if self.results[self.headline][0].length_only else "learned"

    @property
    def learned(self) -> bool:
        return self.kind == "learned"


@dataclass(frozen=True)
class Leaderboard:
    """A task: its rows in the order of their mean accuracy, what holds between them, and groups not separated."""

    task: str
    rows: list[Row]

    @cached_property
    def names(self) -> dict[str, Row]:
        """What tells the rows apart: the model, the encoder where all models are the same, else both."""
        learned = [row for row in self.rows if row.learned]
        models, encoders = {row.model for row in learned}, {row.encoder for row in learned}
        named: dict[str, Row] = {}
        for row in self.rows:
            if len(encoders) == 1:
                named[row.model] = row
            else:
                named[row.encoder if row.learned and len(models) == 1 else f"{row.model}-{row.encoder}"] = row
        return named

    @property
    def evaluation(self) -> str:
        """The name of the headline set, the same for all."""
        return self.rows[0].headline

    @cached_property
    def pairs(self) -> list[Difference]:
        return statistics.differences({name: self.names[name].accuracies for name in self.learned})

    @property
    def learned(self) -> list[str]:
        """The names of the rows that are tested: all but the baselines."""
        return [name for name, row in self.names.items() if row.learned]

    @property
    def tested(self) -> set[frozenset[str]]:
        """The pairs that there is a test of."""
        return {frozenset((pair.first, pair.second)) for pair in self.pairs if not math.isnan(pair.p)}

    @cached_property
    def groups(self) -> dict[str, str]:
        """The letters of each learned row, see `statistics.letters`; none at all where no pair could be tested."""
        return statistics.letters(self.learned, self.pairs) if self.tested else {}

    @property
    def best(self) -> str:
        return self.learned[0]

    def against(self, name: str) -> list[Difference]:
        """The pairs of one row, as its differences from the others."""
        turned: list[Difference] = []
        for pair in self.pairs:
            if pair.first == name:
                turned.append(pair)
            elif pair.second == name:
                turned.append(replace(pair, first=name, second=pair.first, mean=-pair.mean))
        return turned

    def remarks(self) -> list[str]:
        """Sentences on pairs that were not tested though others were, on the baselines, and on what these saw."""
        tested = self.tested
        untested = [
            " and ".join(pair) for pair in itertools.combinations(self.learned, 2) if frozenset(pair) not in tested
        ]
        sentences = [f"Not tested, and so in one group: {', '.join(untested)}"] if tested and untested else []
        saw = ClassifierImages.of(result for row in self.rows for result in row.results[self.evaluation])
        return sentences + self.beyond_baselines() + ([saw.sentence] if saw else [])

    def beyond_baselines(self) -> list[str]:
        """Sentences on learned models below the length-only baseline or above classifier + rule; empty if none is."""
        sentences: list[str] = []
        for name, row in self.names.items():
            for baseline in self.rows:
                sign = {"length-only": 1, "classifier + rule": -1, "learned": 0}[baseline.kind]
                if row.learned and sign * (row.accuracy.mean - baseline.accuracy.mean) < 0:
                    where = _WHERE[baseline.kind].format(baseline.accuracy.mean)
                    sentences.append(f"The mean of {name}, {row.accuracy.mean:.4f}, is {where}")
        return sentences


_WHERE = {
    "length-only": "below {:.4f}, the length-only baseline",
    "classifier + rule": "above {:.4f}, the exact rule on the digits that the classifier of this benchmark predicts",
}


def leaderboards(folder: Path) -> list[Leaderboard]:
    """A leaderboard for each task that results.csv has a trained model of.

    Raises InputError if there is no such table, or it is not one that `bench` wrote.
    """
    path = folder / "results.csv"
    table = read_csv(path, ResultRow)
    if not table or not (folder / "curves.csv").exists():
        raise InputError(f"{folder}: expected the folder of tables that `digitset bench` wrote, found none")
    by_task: dict[str, dict[tuple[str, str], dict[str, list[ResultRow]]]] = {}
    for row in table:
        registry.expect_known("tasks", row.task)
        of_task = by_task.setdefault(row.task, {})
        of_task.setdefault((row.model, row.encoder), {}).setdefault(row.evaluation, []).append(row)
    boards = [board for task, rows in by_task.items() if (board := _leaderboard(task, rows)) is not None]
    if not boards:
        raise InputError(f"{path}: expected rows of a model that uses images, found none")
    return boards


def _leaderboard(task: str, results: dict[tuple[str, str], dict[str, list[ResultRow]]]) -> Leaderboard | None:
    """None for a task without a learned model. Classifier + rule is of an encoder that a model here has."""
    rows = [Row(task, model, encoder, sets, next(iter(sets))) for (model, encoder), sets in results.items()]
    learned = [row for row in rows if row.learned]
    headline = next((name for name in HEADLINE if all(name in row.results for row in learned)), None)
    if not learned or headline is None:
        return None
    encoders = {row.encoder for row in learned}
    shown = [
        replace(row, headline=headline)
        for row in rows
        if headline in row.results and (row.kind != "classifier + rule" or row.encoder in encoders)
    ]
    return Leaderboard(task, sorted(shown, key=lambda row: (-row.accuracy.mean, row.model, row.encoder)))
