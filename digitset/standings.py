"""Standings: the tables of a benchmark as one verdict a task. Nothing here trains or reads an image."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from digitset import parts, statistics
from digitset.errors import InputError
from digitset.results import Row, read_csv
from digitset.statistics import Difference, Mean

HEADLINE = ("published", "random", "test")  # the first of these that a task has is what its table is about
FLOOR, CEILING = "constant", "ceiling"


@dataclass(frozen=True)
class Entrant:
    """One row of a table: a model with an encoder, over its seeds; its rows of results.csv by evaluation set."""

    task: str
    model: str
    encoder: str
    rows: Mapping[str, list[Row]]

    @property
    def headline(self) -> list[Row]:
        return next((self.rows[name] for name in HEADLINE if name in self.rows), [])

    @property
    def scores(self) -> dict[int, float]:
        """Accuracy on the headline set by seed."""
        return {int(row["seed"]): float(row["accuracy"]) for row in self.headline}

    def mean(self, column: str, evaluation: str | None = None) -> Mean | None:
        """Over seeds; None where the rows have no such value."""
        rows = self.headline if evaluation is None else self.rows.get(evaluation, [])
        values = [float(row[column]) for row in rows if row.get(column)]
        return statistics.mean(values) if values else None

    @property
    def test_error(self) -> float:
        """Standard error that the size of the test set leaves in each accuracy."""
        errors = [
            statistics.error_of_test_set(float(row["accuracy_low"]), float(row["accuracy_high"]))
            for row in self.headline
        ]
        return sum(errors) / len(errors)

    @property
    def learned(self) -> bool:
        return self.model not in (FLOOR, CEILING)


@dataclass(frozen=True)
class Standing:
    """A task: its entrants in the order of their accuracy, what holds between them, and their ranks.

    The floor and the ceiling are entrants that take no part in the tests.
    """

    task: str
    entrants: list[Entrant]

    @cached_property
    def names(self) -> dict[str, Entrant]:
        """What tells the entrants apart: the model, the encoder where all models are the same, else both."""
        learned = [one for one in self.entrants if one.learned]
        models, encoders = {one.model for one in learned}, {one.encoder for one in learned}
        named = {}
        for one in self.entrants:
            if not one.learned or len(encoders) == 1:
                named[one.model] = one
            else:
                named[one.encoder if len(models) == 1 else f"{one.model}-{one.encoder}"] = one
        return named

    @cached_property
    def evaluation(self) -> str:
        """The name of the headline set."""
        return self.entrants[0].headline[0]["evaluation"]

    @cached_property
    def pairs(self) -> list[Difference]:
        return statistics.differences({name: one.scores for name, one in self.names.items() if one.learned})

    @cached_property
    def ranks(self) -> dict[str, int]:
        return statistics.ranks({name: {} for name, one in self.names.items() if one.learned}, self.pairs)

    @property
    def best(self) -> str | None:
        return next((name for name, one in self.names.items() if one.learned), None)

    def against(self, name: str) -> list[Difference]:
        """The pairs of one entrant, as its differences from the others."""
        turned = []
        for pair in self.pairs:
            if pair.first == name:
                turned.append(pair)
            elif pair.second == name:
                turned.append(Difference(name, pair.first, pair.n, -pair.mean, pair.half, pair.p))
        return turned

    def bounds(self) -> list[str]:
        """Sentences on learned models that are not between the floor and the ceiling; empty where all are."""
        found = []
        for name, one in self.names.items():
            for bound, sign in ((self.names.get(FLOOR), 1), (self.names.get(CEILING), -1)):
                if one.learned and bound and sign * (_accuracy(one) - _accuracy(bound)) < 0:
                    found.append(f"{name} ({_accuracy(one):.4f}) is {_WHY[bound.model].format(_accuracy(bound))}")
        return found


_WHY = {
    FLOOR: "below the floor ({:.4f}), which answers from the length alone: it has not learned to read the images yet",
    CEILING: "above the ceiling ({:.4f}), which is no bound but the exact rule on the digits that the classifier "
    "of this benchmark reads: a model that reads digits better than this classifier passes it",
}


def standings(folder: Path) -> list[Standing]:
    """A standing for each task that results.csv has a trained row of.

    Raises InputError if there is no such table, or it is not one that `bench` wrote.
    """
    path = folder / "results.csv"
    table = read_csv(path)
    if not table:
        raise InputError(f"{path}: expected a table that `digitset bench` wrote, found none")
    entrants: dict[tuple[str, str, str], dict[str, list[Row]]] = {}
    for row in table:
        if None in row.values() or not {"task", "model", "encoder", "evaluation", "accuracy"} <= row.keys():
            raise InputError(f"{path}: expected the columns of a table that `digitset bench` wrote, got other ones")
        name = (row["task"], row["model"], row["encoder"])
        entrants.setdefault(name, {}).setdefault(row["evaluation"], []).append(row)
    found: dict[str, list[Entrant]] = {}
    for (task, model, encoder), rows in entrants.items():
        found.setdefault(task, []).append(Entrant(task, model, encoder, rows))
    known = [task for task in found if task in parts.names("tasks") and any(one.learned for one in found[task])]
    return [Standing(task, sorted(found[task], key=lambda one: -_accuracy(one))) for task in known]


def _accuracy(entrant: Entrant) -> float:
    found = entrant.mean("accuracy")
    return math.nan if found is None else found.mean
