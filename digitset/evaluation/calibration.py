"""Whether probabilities mean what they say: reliability, expected calibration error, Brier score, coverage."""

from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from digitset.tasks import Kind

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
    certainty, answer = probabilities.double().max(dim=1)
    right = (answer == target).double()
    index = (certainty * BINS).long().clamp(max=BINS - 1)
    bins = []
    for number in index.unique().tolist():
        these = index == number
        low, high = number / BINS, (number + 1) / BINS
        bins.append(Bin(low, high, int(these.sum()), float(certainty[these].mean()), float(right[these].mean())))
    return bins


def expected_calibration_error(bins: list[Bin]) -> float:
    """The gap between certainty and accuracy, averaged over all answers (Guo et al. 2017, equation 3)."""
    return sum(part.n * abs(part.certainty - part.accuracy) for part in bins) / sum(part.n for part in bins)


def brier(probabilities: Float[Tensor, "B A"], target: Int64[Tensor, " B"], kind: Kind) -> float:
    """The squared distance of the probabilities from the truth, over all answers (Brier 1950): from 0 to 2.

    For a binary answer it is halved, as is usual: the squared error of the probability of yes.
    """
    truth = F.one_hot(target, probabilities.shape[1]).double()
    distance = float((probabilities.double() - truth).square().sum(dim=1).mean())
    return distance / 2 if kind == "binary" else distance


def central_interval(
    probabilities: Float[Tensor, "B A"], level: float
) -> tuple[Int64[Tensor, " B"], Int64[Tensor, " B"]]:
    """The central interval of distributions over 0 .. A - 1: the lowest and the highest answer in it.

    At most (1 - level) / 2 lies below it, and as much above; answers are whole numbers, so it holds `level` or more.
    """
    tail = (1 - level) / 2
    below = probabilities.double().cumsum(dim=1)
    whole = below[:, -1:]
    low = (below <= tail * whole).sum(dim=1)
    high = (below < (1 - tail) * whole).sum(dim=1)
    return low, high


def coverage(probabilities: Float[Tensor, "B A"], target: Int64[Tensor, " B"]) -> float:
    """How often the truth lies in the central 90 % interval.

    True probabilities give 0.9 or more, since answers are whole numbers.
    """
    low, high = central_interval(probabilities, LEVEL)
    return float(((low <= target) & (target <= high)).double().mean())


def calibration_scores(
    probabilities: Float[Tensor, "B A"] | None, target: Int64[Tensor, " B"], kind: Kind
) -> dict[str, float]:
    """What `evaluate` reports: `coverage90` for a quantity, else `ece` and `brier`; nothing without probabilities."""
    if probabilities is None:
        return {}
    if kind == "quantity":
        return {"coverage90": coverage(probabilities, target)}
    return {
        "ece": expected_calibration_error(reliability(probabilities, target)),
        "brier": brier(probabilities, target, kind),
    }
