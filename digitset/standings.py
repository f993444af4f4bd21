"""Standings: the tables of a benchmark as one verdict a task. Nothing here trains or reads an image."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from digitset import parts, statistics
from digitset.errors import InputError
from digitset.results import Row, is_floor, read_csv
from digitset.statistics import Difference, Mean

HEADLINE = ("published", "random", "test")  # the first that all models of a task have is what its table is about
CEILING = "ceiling"


@dataclass(frozen=True)
class Entrant:
    """One row of a table: a model with an encoder, over its seeds; its rows of results.csv by evaluation set."""

    task: str
    model: str
    encoder: str
    rows: Mapping[str, list[Row]]
    headline: str

    @property
    def scores(self) -> dict[int, float]:
        """Accuracy on the headline set by seed."""
        return {int(row["seed"]): float(row["accuracy"]) for row in self.rows[self.headline]}

    def mean(self, column: str, evaluation: str | None = None) -> Mean | None:
        """Over seeds; None where the rows have no such value."""
        rows = self.rows.get(evaluation or self.headline, [])
        values = [float(row[column]) for row in rows if row[column]]
        return statistics.mean(values) if values else None

    @property
    def accuracy(self) -> Mean:
        """On the headline set."""
        return statistics.mean(list(self.scores.values()))

    @property
    def test_error(self) -> float:
        """Standard error that the number of test images leaves in each accuracy.

        From random sequences where there are some: their interval counts every image once. Published windows overlap,
        and theirs does not know it.
        """
        rows = self.rows.get("random", self.rows[self.headline])
        errors = [statistics.error_of_test_set(float(row["accuracy_low"]), float(row["accuracy_high"])) for row in rows]
        return sum(errors) / len(errors)

    @property
    def kind(self) -> Literal["floor", "ceiling", "learned"]:
        """A floor is trained by its own recipe; a ceiling is the exact rule on what a classifier reads."""
        if self.model == CEILING:
            return "ceiling"
        return "floor" if is_floor(self.rows[self.headline][0]["protocol"]) else "learned"

    @property
    def learned(self) -> bool:
        return self.kind == "learned"


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
            if len(encoders) == 1:
                named[one.model] = one
            else:
                named[one.encoder if one.learned and len(models) == 1 else f"{one.model}-{one.encoder}"] = one
        return named

    @property
    def evaluation(self) -> str:
        """The name of the headline set, the same for all."""
        return self.entrants[0].headline

    @cached_property
    def pairs(self) -> list[Difference]:
        return statistics.differences({name: one.scores for name, one in self.names.items() if one.learned})

    @cached_property
    def ranks(self) -> dict[str, int]:
        return statistics.ranks({name: {} for name, one in self.names.items() if one.learned}, self.pairs)

    @property
    def best(self) -> str:
        return next(name for name, one in self.names.items() if one.learned)

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
        """Sentences on learned models whose mean is not between those of floor and ceiling; empty where all are."""
        found = []
        for name, one in self.names.items():
            for bound in self.entrants:
                sign = {"floor": 1, "ceiling": -1, "learned": 0}[bound.kind]
                if one.learned and sign * (one.accuracy.mean - bound.accuracy.mean) < 0:
                    where = _WHERE[bound.kind].format(bound.accuracy.mean)
                    found.append(f"The mean of {name}, {one.accuracy.mean:.4f}, is {where}")
        return found


_WHERE = {
    "floor": "below the floor, {:.4f}, which answers from the length alone",
    "ceiling": "above the ceiling, {:.4f}, which is no bound but the exact rule on the digits that the classifier "
    "of this benchmark reads",
}


def standings(folder: Path) -> list[Standing]:
    """A standing for each task that results.csv has a trained model of.

    Raises InputError if there is no such table, or it is not one that `bench` wrote.
    """
    path = folder / "results.csv"
    table = read_csv(path)
    if not table or not (folder / "curves.csv").exists():
        raise InputError(f"{folder}: expected the folder of tables that `digitset bench` wrote, found none")
    entrants: dict[str, dict[tuple[str, str], dict[str, list[Row]]]] = {}
    for row in table:
        _check(row, path)
        of_task = entrants.setdefault(row["task"], {})
        of_task.setdefault((row["model"], row["encoder"]), {}).setdefault(row["evaluation"], []).append(row)
    found = [standing for task, rows in entrants.items() if (standing := _standing(task, rows)) is not None]
    if not found:
        raise InputError(f"{path}: expected rows of a model beside floor and ceiling, found none")
    return found


def _check(row: Row, path: Path) -> None:
    for name in ("accuracy", "accuracy_low", "accuracy_high"):
        if row[name] == "":
            raise InputError(f"{path}: expected a number as {name}, got none")
    parts.check("tasks", row["task"])


def _standing(task: str, rows: dict[tuple[str, str], dict[str, list[Row]]]) -> Standing | None:
    """None for a task without a learned model. A ceiling is of a classifier with an encoder that a model here has."""
    found = [Entrant(task, model, encoder, sets, next(iter(sets))) for (model, encoder), sets in rows.items()]
    learned = [one for one in found if one.learned]
    headline = next((name for name in HEADLINE if all(name in one.rows for one in learned)), None)
    if not learned or headline is None:
        return None
    encoders = {one.encoder for one in learned}
    entrants = [
        replace(one, headline=headline)
        for one in found
        if headline in one.rows and (one.kind != "ceiling" or one.encoder in encoders)
    ]
    return Standing(task, sorted(entrants, key=lambda one: (-one.accuracy.mean, one.model, one.encoder)))
