"""Whether probabilities mean what they say: reliability, expected calibration error, Brier score, coverage."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from digitset.probability import interval

BINS = 15
LEVEL = 0.9  # of the intervals whose coverage is counted


@dataclass(frozen=True)
class Bin:
    """The answers that were given with a certainty from `low` to `high`."""

    low: float
    high: float
    n: int
    certainty: float  # mean
    accuracy: float


def reliability(probabilities: Float[Tensor, "B A"], target: Int64[Tensor, " B"]) -> list[Bin]:
    """The bins of equal width that hold answers, by the probability of the most probable answer (Guo et al. 2017)."""
    certainty, said = probabilities.double().max(dim=1)
    right = (said == target).double()
    place = (certainty * BINS).long().clamp(max=BINS - 1)
    bins = []
    for number in place.unique().tolist():
        these = place == number
        low, high = number / BINS, (number + 1) / BINS
        bins.append(Bin(low, high, int(these.sum()), float(certainty[these].mean()), float(right[these].mean())))
    return bins


def expected_calibration_error(bins: list[Bin]) -> float:
    """The gap between certainty and accuracy, averaged over all answers (Guo et al. 2017, equation 3)."""
    return sum(part.n * abs(part.certainty - part.accuracy) for part in bins) / sum(part.n for part in bins)


def brier(probabilities: Float[Tensor, "B A"], target: Int64[Tensor, " B"]) -> float:
    """The squared distance of the probabilities from the truth, over all answers (Brier 1950): from 0 to 2.

    For yes or no it is halved, as is usual: the squared error of the probability of yes.
    """
    truth = torch.nn.functional.one_hot(target, probabilities.shape[1]).double()
    distance = float((probabilities.double() - truth).square().sum(dim=1).mean())
    return distance / 2 if probabilities.shape[1] == 2 else distance


def coverage(probabilities: Float[Tensor, "B A"], target: Int64[Tensor, " B"]) -> float:
    """How often the truth lies in the central 90 % interval. As answers are whole numbers, at least .9 is to be had."""
    low, high = interval(probabilities, LEVEL)
    return float(((low <= target) & (target <= high)).double().mean())


def scores(probabilities: Float[Tensor, "B A"] | None, target: Int64[Tensor, " B"], discrete: bool) -> dict[str, float]:
    """What `evaluate` reports: `ece` and `brier` for a class, `coverage90` for a quantity; nothing without chances."""
    if probabilities is None:
        return {}
    if not discrete:
        return {"coverage90": coverage(probabilities, target)}
    return {
        "ece": expected_calibration_error(reliability(probabilities, target)),
        "brier": brier(probabilities, target),
    }
