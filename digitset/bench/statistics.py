"""What several seeds say: means with intervals, differences that hold, ranks with ties.

Seeds are paired: at one seed all models see the same batches, so that a difference is taken seed by seed. Everything is
Student's t over seeds, which covers what it says at five seeds where a bootstrap does not.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.01  # two models differ if the corrected p of their paired test is below
FEWEST = 3  # seeds of a test: accuracies come in steps, so that two differences are often equal by chance
EQUAL = 1e-9  # accuracies that differ by less are the same; no test set has so many items
Values = Mapping[int, float]  # a score by seed


@dataclass(frozen=True)
class Mean:
    """A mean over `n` seeds, half the width of its 95 % t-interval, and the standard deviation over seeds.

    With one seed the last two are not known: nan.
    """

    n: int
    mean: float
    half: float
    deviation: float


@dataclass(frozen=True)
class Difference:
    """`first` minus `second` over the seeds both have, with its 95 % t-interval and p after Holm's correction."""

    first: str
    second: str
    n: int
    mean: float
    half: float
    p: float

    @property
    def holds(self) -> bool:
        return self.p < LEVEL


def mean(values: Sequence[float]) -> Mean:
    """Raises ValueError for no values."""
    if not values:
        raise ValueError("expected the values of one seed or more, got none")
    n = len(values)
    deviation = float(np.std(values, ddof=1)) if n > 1 else math.nan
    return Mean(n, float(np.mean(values)), _half(deviation, n), deviation)


def differences(scores: Mapping[str, Values]) -> list[Difference]:
    """Every pair of rows, tested on the seeds they share, with p corrected over all pairs together (Holm 1979).

    All pairs are one family, although a table shows those with the best and the Transformer only: which row is the
    best is itself read off the data. A pair with fewer than three seeds in common is not tested: p is nan. Nor is
    one whose differences are all the same but not 0: that says nothing of how other seeds would scatter. If they are 0,
    p is 1.
    """
    pairs: list[tuple[str, str, Mean, float]] = []
    for first, second in itertools.combinations(scores, 2):
        seeds = sorted(scores[first].keys() & scores[second].keys())
        if not seeds:
            continue
        differences = [scores[first][seed] - scores[second][seed] for seed in seeds]
        over = mean(differences)
        pairs.append((first, second, over, _p(over)))
    corrected = holm([p for *_, p in pairs])
    return [
        Difference(first, second, over.n, over.mean, over.half, p)
        for (first, second, over, _), p in zip(pairs, corrected, strict=True)
    ]


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction: the chance of one false claim or more among all is held. A nan is left out."""
    known = sorted((value, index) for index, value in enumerate(p) if not math.isnan(value))
    corrected, so_far = [math.nan] * len(p), 0.0
    for rank, (value, index) in enumerate(known):
        so_far = max(so_far, min(1.0, (len(known) - rank) * value))
        corrected[index] = so_far
    return corrected


def ranks(scores: Mapping[str, Values], pairs: Sequence[Difference]) -> dict[str, int]:
    """A row's rank: one more than the number of rows that are better than it by a difference that holds.

    Rows that the data do not separate from any better one share rank 1, and so on: a tie is not a claim of equality.
    """
    beaten = dict.fromkeys(scores, 0)
    for pair in pairs:
        if pair.holds:
            beaten[pair.second if pair.mean > 0 else pair.first] += 1
    return {name: 1 + count for name, count in beaten.items()}


def error_of_test_set(low: float, high: float) -> float:
    """The standard error that a test set of this size leaves in one model's accuracy, from its Wilson interval.

    It does not shrink with more seeds: all of them are scored on the same images.
    """
    return (high - low) / (2 * float(stats.norm.ppf(0.975)))


def _half(deviation: float, n: int) -> float:
    return float(stats.t.ppf(0.975, n - 1)) * deviation / math.sqrt(n) if n > 1 else math.nan


def _p(over: Mean) -> float:
    """Two-sided, of the paired t-test."""
    if over.n < FEWEST:
        return math.nan
    if over.deviation < EQUAL:
        return 1.0 if abs(over.mean) < EQUAL else math.nan
    return float(2 * stats.t.sf(abs(over.mean) / over.deviation * math.sqrt(over.n), over.n - 1))
