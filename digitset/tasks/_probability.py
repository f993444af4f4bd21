"""Laws of chance for independent digits, in logarithms: their sum, their maximum, which of them occur.

Every law takes log-chances [B, L, V] and gives log-chances of all answers, right at every length and however improbable
an answer is: inside, numbers have double precision, and only positive ones are added. An answer that is impossible has
the log IMPOSSIBLE, -1e30 (-inf in float16), and gives no gradient; -inf is taken as that too. Where the mask is False,
chances have no effect, even if they are NaN. While a graph is exported, some laws are those of `_probability_onnx`.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from digitset.tasks import _probability_onnx
from digitset.tasks._convolution import IMPOSSIBLE, log_convolve
from digitset.tasks._sets import log_chances_of_sets


def log_distribution_of_sum(log_chances: Float[Tensor, "B L V"], mask: Bool[Tensor, "B L"]) -> Float[Tensor, "B _"]:
    """The distribution of the sum of integers from 0 to V - 1: it has L (V - 1) + 1 values. Padding is a certain zero.

    Neighbours are convolved in pairs, then pairs of pairs. PLIA (arXiv 2410.12389) takes one Fourier transform of
    everything, in O(L log L); it loses improbable sums. Here it is O(L^2) with a small factor, see `_convolution`.
    """
    if torch.compiler.is_exporting():
        return _probability_onnx.log_distribution_of_sum(log_chances, mask)
    return _in_double(_sum, log_chances, mask)


def log_distribution_of_maximum(log_chances: Float[Tensor, "B L V"], mask: Bool[Tensor, "B L"]) -> Float[Tensor, "B V"]:
    """The distribution of the greatest of integers from 0 to V - 1. Padding is a certain zero."""
    if torch.compiler.is_exporting():
        return _probability_onnx.log_distribution_of_maximum(log_chances, mask)
    return _in_double(_maximum, log_chances, mask)


def log_distribution_of_distinct(
    log_chances: Float[Tensor, "B L V"], mask: Bool[Tensor, "B L"]
) -> Float[Tensor, "B _"]:
    """The distribution [B, V + 1] of how many different values occur."""
    if torch.compiler.is_exporting():
        return _probability_onnx.log_distribution_of_distinct(log_chances, mask)
    return _in_double(_distinct, log_chances, mask)


def log_at_least_one(log_chances: Float[Tensor, "B L V"], mask: Bool[Tensor, "B L"]) -> Float[Tensor, "B 2 V"]:
    """For each value, log of the chances that none of the integers is it, and that at least one is."""
    if torch.compiler.is_exporting():
        return _at_least_one(_certain_zero(log_chances, mask), mask)
    return _in_double(_at_least_one, log_chances, mask)


def log_contains(
    log_chances: Float[Tensor, "B L V"], mask: Bool[Tensor, "B L"], wanted: Float[Tensor, "B V"]
) -> Float[Tensor, "B 2"]:
    """The same for a value that is uncertain itself, with these log-chances: no integer is it, or at least one is."""

    def law(log_chances: Tensor, mask: Tensor) -> Tensor:
        each = _at_least_one(log_chances, mask)
        return (each + wanted.to(each).clamp(min=IMPOSSIBLE)[:, None]).logsumexp(dim=2)

    if torch.compiler.is_exporting():
        return law(_certain_zero(log_chances, mask), mask)
    return _in_double(law, log_chances, mask)


def _in_double(
    law: Callable[[Tensor, Tensor], Tensor], log_chances: Float[Tensor, "B L V"], mask: Bool[Tensor, "B L"]
) -> Float[Tensor, "B *_"]:
    """A law in double precision, on the CPU for a device that has none."""
    device = torch.device("cpu") if log_chances.device.type == "mps" else log_chances.device
    mask = mask.to(device)
    result = law(_certain_zero(log_chances.to(device, torch.float64), mask), mask)
    return result.clamp(min=IMPOSSIBLE).to(log_chances)


def _certain_zero(log_chances: Float[Tensor, "B L V"], mask: Bool[Tensor, "B L"]) -> Float[Tensor, "B L V"]:
    """Log-chances, none below IMPOSSIBLE; where the mask is False, those of a certain zero."""
    certain = torch.arange(log_chances.shape[2], device=mask.device).clamp(max=1) * IMPOSSIBLE
    return log_chances.clamp(min=IMPOSSIBLE).where(mask[:, :, None], certain.to(log_chances.dtype))


def _sum(log_chances: Float[Tensor, "B L V"], mask: Bool[Tensor, "B L"]) -> Float[Tensor, "B _"]:
    left_over: list[Tensor] = []
    while log_chances.shape[1] > 1:
        if log_chances.shape[1] % 2:
            left_over.append(log_chances[:, -1])
            log_chances = log_chances[:, :-1]
        log_chances = log_convolve(log_chances[:, ::2], log_chances[:, 1::2])
    total = log_chances[:, 0]
    for part in reversed(left_over):
        total = log_convolve(total, part)
    return total


def _maximum(log_chances: Float[Tensor, "B L V"], mask: Bool[Tensor, "B L"]) -> Float[Tensor, "B V"]:
    """Sums over the first image that shows the maximum: those before it show less, those after it show no more."""
    at_most = log_chances.logcumsumexp(dim=2)
    less = F.pad(at_most[:, :, :-1], (1, 0), value=IMPOSSIBLE)
    before = F.pad(less.cumsum(dim=1)[:, :-1], (0, 0, 1, 0))
    after = F.pad(at_most.flip(1).cumsum(dim=1).flip(1)[:, 1:], (0, 0, 0, 1))
    return (before + log_chances + after).logsumexp(dim=1)


def _at_least_one(log_chances: Float[Tensor, "B L V"], mask: Bool[Tensor, "B L"]) -> Float[Tensor, "B 2 V"]:
    """Sums over the first image that shows the value: those before it show another."""
    others = log_others(log_chances).masked_fill(~mask[:, :, None], 0).cumsum(dim=1)
    before = F.pad(others[:, :-1], (0, 0, 1, 0))
    first = (before + log_chances.masked_fill(~mask[:, :, None], IMPOSSIBLE)).logsumexp(dim=1)
    return torch.stack([others[:, -1], first], dim=1)


def log_others(log_chances: Float[Tensor, "*B V"]) -> Float[Tensor, "*B V"]:
    """log of the chance that it is not this value, for each value of a distribution; precise where log(1 - p) is not.

    A chance next to 1 has lost what is missing to 1; the sum of the others has not.
    """
    values = log_chances.shape[-1]
    own = torch.eye(values, dtype=torch.bool, device=log_chances.device)
    others = log_chances[..., None, :].masked_fill(own, float("-inf")).logsumexp(dim=-1)
    small = log_chances < -0.6931
    return torch.log1p(-log_chances.where(small, -1.0).exp()).where(small, others)


def _distinct(log_chances: Float[Tensor, "B L V"], mask: Bool[Tensor, "B L"]) -> Float[Tensor, "B _"]:
    sets = log_chances_of_sets(log_chances, mask)
    values = log_chances.shape[2]
    sizes = torch.tensor([subset.bit_count() for subset in range(2**values)], device=sets.device)
    of_size = sizes == torch.arange(values + 1, device=sets.device)[:, None]
    return sets[:, None].masked_fill(~of_size, 2 * IMPOSSIBLE).logsumexp(dim=2)
