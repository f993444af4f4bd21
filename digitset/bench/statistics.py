"""What several seeds say: means with intervals, differences that hold, groups that no test separates.

Seeds are paired: at one seed all models see the same batches, so that a difference is taken seed by seed. Everything is
Student's t over seeds, which covers what it says at five seeds where a bootstrap does not.
"""

import functools
import itertools
import math
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special  # not scipy.stats, whose import takes a second

LEVEL = 0.01  # two models differ if the corrected p of their paired test is below
FEWEST = 3  # seeds of a test: accuracies come in steps, so that two differences are often equal by chance
POWER = 0.8  # the probability with which a test shows the difference that is called detectable
EQUAL = 1e-9  # accuracies that differ by less are the same; no test set has so many items
MOST_TO_DECIDE = 200  # seeds: where more would be needed, none are named
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
    """`first` minus `second` over the seeds both have, with its 95 % t-interval and p after Holm's correction.

    `detectable` is the smallest true difference that this test shows with a probability of 80 % or more: see
    `detectable_effect`. It is nan where there is no test, and where the seeds do not differ.
    """

    first: str
    second: str
    n: int
    mean: float
    half: float
    p: float
    detectable: float

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
        over = mean([scores[first][seed] - scores[second][seed] for seed in seeds])
        pairs.append((first, second, over, _p(over)))
    corrected = holm([p for *_, p in pairs])
    tests = sum(not math.isnan(p) for p in corrected)
    return [
        Difference(first, second, over.n, over.mean, over.half, p, math.nan if math.isnan(p) else _least(over, tests))
        for (first, second, over, _), p in zip(pairs, corrected, strict=True)
    ]


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction: the chance of one false claim or more among all is held. A nan is left out."""
    known = sorted((value, index) for index, value in enumerate(p) if not math.isnan(value))
    corrected, so_far = [math.nan] * len(p), 0.0
    for smaller, (value, index) in enumerate(known):
        so_far = max(so_far, min(1.0, (len(known) - smaller) * value))
        corrected[index] = so_far
    return corrected


def letters(names: Sequence[str], pairs: Sequence[Difference]) -> dict[str, str]:
    """The groups of each row, as letters: two rows share a letter if and only if no test separates them.

    So a pair that is not tested shares one. The first letters are those of the first rows. After z comes a1. This is
    the compact letter display, made by inserting and absorbing (Piepho 2004).
    """
    groups = [frozenset(names)]
    for pair in (pair for pair in pairs if pair.holds):
        both = {pair.first, pair.second}
        whole = {group for group in groups if not both <= group}
        parted = whole | {group - {name} for group in groups if both <= group for name in both}
        groups = [group for group in parted if not any(group < other for other in parted)]
    ordered = sorted(groups, key=lambda group: sorted(map(names.index, group)))
    return {name: "".join(_letter(index) for index, group in enumerate(ordered) if name in group) for name in names}


@functools.cache
def detectable_effect(n: int, tests: int) -> float:
    """The smallest difference that the paired test of n seeds shows with a probability of 80 %, in standard deviations.

    The deviation is that of the differences of single seeds, which are taken as normal. The level is that of `LEVEL`
    divided by the number of tests, the strictest that Holm's correction may ask for. The power is that of the
    noncentral t distribution; a significant difference of the wrong sign does not count.
    """
    critical = special.stdtrit(n - 1, 1 - LEVEL / tests / 2)
    return float(special.nctdtrinc(n - 1, 1 - POWER, critical)) / math.sqrt(n)


def seeds_to_decide(difference: Difference, tests: int) -> int | None:
    """How many seeds would show the difference that was found, if it is the true one, with a probability of 80 %.

    All seeds are counted, also those there are. None where there is no test, no difference or no scatter, and where
    more than `MOST_TO_DECIDE` would be needed. It is a guess: both the difference and the scatter are estimates.
    """
    if math.isnan(difference.detectable) or difference.mean == 0:
        return None
    deviation = difference.detectable / detectable_effect(difference.n, tests)
    enough = [
        n
        for n in range(difference.n, MOST_TO_DECIDE + 1)
        if deviation * detectable_effect(n, tests) <= abs(difference.mean)
    ]
    return enough[0] if enough else None


def error_of_test_set(low: float, high: float) -> float:
    """The standard error that a test set of this size leaves in one model's accuracy, from its Wilson interval.

    It does not shrink with more seeds: all of them are scored on the same images.
    """
    return (high - low) / (2 * float(special.ndtri(0.975)))


def _half(deviation: float, n: int) -> float:
    return float(special.stdtrit(n - 1, 0.975)) * deviation / math.sqrt(n) if n > 1 else math.nan


def _letter(index: int) -> str:
    turn, letter = divmod(index, len(string.ascii_lowercase))
    return string.ascii_lowercase[letter] + (str(turn) if turn else "")


def _least(over: Mean, tests: int) -> float:
    """The detectable difference of a pair that is tested."""
    return math.nan if over.deviation < EQUAL else over.deviation * detectable_effect(over.n, tests)


def _p(over: Mean) -> float:
    """Two-sided, of the paired t-test."""
    if over.n < FEWEST:
        return math.nan
    if over.deviation < EQUAL:
        return 1.0 if abs(over.mean) < EQUAL else math.nan
    return float(2 * special.stdtr(over.n - 1, -abs(over.mean) / over.deviation * math.sqrt(over.n)))
