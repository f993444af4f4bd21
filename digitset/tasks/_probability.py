"""Laws of chance for independent digits, exact and safe in float32: their sum, their maximum, which of them occur."""

from collections.abc import Callable
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F

from digitset.tasks import _probability_onnx

# torch does not say their types
rfft = cast(Callable[..., Tensor], torch.fft.rfft)  # pyright: ignore[reportUnknownMemberType]
irfft = cast(Callable[..., Tensor], torch.fft.irfft)  # pyright: ignore[reportUnknownMemberType]

DIRECT = 64  # the longest kernel that is summed directly; beyond, a Fourier transform is faster


def distribution_of_sum(chances: Float[Tensor, "B L V"]) -> Float[Tensor, "B _"]:
    """The distribution of the sum of L independent integers, each 0 .. V - 1: it has L (V - 1) + 1 values.

    Neighbours are convolved in pairs, then pairs of pairs, in O(L log^2 L). PLIA (arXiv 2410.12389) takes one Fourier
    transform of everything; here short kernels, which is all there is in training, are summed directly: sums of
    positive numbers keep their relative precision, so that the logarithm of an improbable sum is right too.
    """
    if torch.compiler.is_exporting():
        return _probability_onnx.distribution_of_sum(chances)
    left_over: list[Tensor] = []
    while chances.shape[1] > 1:
        if chances.shape[1] % 2:
            left_over.append(chances[:, -1])
            chances = chances[:, :-1]
        chances = convolve(chances[:, ::2], chances[:, 1::2])
    total = chances[:, 0]
    for part in reversed(left_over):
        total = convolve(total, part)
    return total


def convolve(long: Float[Tensor, "*B N"], short: Float[Tensor, "*B M"]) -> Float[Tensor, "*B _"]:
    """The distribution [*B, N + M - 1] of the sum of two independent integers; N >= M >= 1."""
    size = long.shape[-1] + short.shape[-1] - 1
    if short.shape[-1] > DIRECT:
        spectrum = rfft(long, n=size) * rfft(short, n=size)
        return irfft(spectrum, n=size).clamp(min=0)  # rounding leaves some chances just below zero
    return _DirectConvolution.apply(long, short)  # pyright: ignore[reportReturnType]


class _DirectConvolution(torch.autograd.Function):
    """Sums of products. Gradients are correlations; torch's own, through `unfold`, took half as long again."""

    @staticmethod
    def forward(ctx: FunctionCtx, long: Tensor, short: Tensor) -> Tensor:
        ctx.save_for_backward(long, short)
        reach = short.shape[-1] - 1
        return _correlate(F.pad(long, (reach, reach)), short.flip(-1))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        (gradient,), (long, short) = gradients, ctx.saved_tensors
        return _correlate(gradient, short), _correlate(gradient, long)


def _correlate(signal: Tensor, kernel: Tensor) -> Tensor:
    """The product sum of the kernel with each of its places on the signal."""
    return (signal.unfold(-1, kernel.shape[-1], 1) @ kernel[..., None])[..., 0]


def log_complement(log_chance: Float[Tensor, "*B"]) -> Float[Tensor, "*B"]:
    """log(1 - p) from log p <= 0, precise for small and for large p (Maechler 2012).

    p = 1 is taken as the float32 just below, so that values and gradients stay finite.
    """
    log_chance = log_chance.clamp(max=-torch.finfo(log_chance.dtype).eps / 2)
    small = log_chance < -0.6931
    of_small = torch.log1p(-log_chance.where(small, -1.0).exp())
    of_large = torch.log(-torch.expm1(log_chance.where(~small, -0.5)))
    return of_small.where(small, of_large)


def log_others(log_chances: Float[Tensor, "*B V"]) -> Float[Tensor, "*B V"]:
    """log of the chance that it is not this value, for each value of a distribution; precise where log(1 - p) is not.

    A chance next to 1 has lost what is missing to 1; the sum of the others has not.
    """
    values = log_chances.shape[-1]
    own = torch.eye(values, dtype=torch.bool, device=log_chances.device)
    others = log_chances[..., None, :].masked_fill(own, float("-inf")).logsumexp(dim=-1)
    small = log_chances < -0.6931
    return torch.log1p(-log_chances.where(small, -1.0).exp()).where(small, others)


def log_at_least_one(log_chances: Float[Tensor, "B L V"], mask: Bool[Tensor, "B L"]) -> Float[Tensor, "B 2 V"]:
    """For each value, log of the chances that none of the independent integers is it, and that at least one is."""
    none_is = log_others(log_chances).masked_fill(~mask[:, :, None], 0).sum(dim=1)
    return torch.stack([none_is, log_complement(none_is)], dim=1)


def distribution_of_maximum(chances: Float[Tensor, "B L V"]) -> Float[Tensor, "B V"]:
    """The distribution of the greatest of L independent integers, by pairs, then pairs of pairs.

    Differences of cumulative chances would lose small ones; here only positive numbers are added.
    """
    if torch.compiler.is_exporting():
        return _probability_onnx.distribution_of_maximum(chances)
    while chances.shape[1] > 1:
        pairs = chances.shape[1] // 2
        a, b = chances[:, : 2 * pairs : 2], chances[:, 1 : 2 * pairs : 2]
        a_below = F.pad(a[..., :-1], (1, 0)).cumsum(dim=-1)
        chances = torch.cat([a * b.cumsum(dim=-1) + a_below * b, chances[:, 2 * pairs :]], dim=1)
    return chances[:, 0]


def distribution_of_distinct(chances: Float[Tensor, "B L V"], mask: Bool[Tensor, "B L"]) -> Float[Tensor, "B _"]:
    """The distribution [B, V + 1] of how many different values L independent integers take.

    The chance of each of the 2^V sets of values seen so far is carried from image to image; only positive numbers are
    added. Where the mask is False, nothing is seen.
    """
    if torch.compiler.is_exporting():
        return _probability_onnx.distribution_of_distinct(chances, mask)
    values = chances.shape[2]
    seen = F.pad(chances.new_ones(len(chances), 1), (0, 2**values - 1))
    for image in range(chances.shape[1]):
        after = torch.zeros_like(seen)
        for value in range(values):
            halves = seen.view(len(seen), -1, 2, 2**value)  # sets without this value, sets with it
            reached = halves.sum(dim=2) * chances[:, image, value, None, None]
            after = after + torch.stack([torch.zeros_like(reached), reached], dim=2).view_as(seen)
        seen = after.where(mask[:, image, None], seen)
    sizes = torch.tensor([subset.bit_count() for subset in range(2**values)], device=chances.device)
    return seen.new_zeros(len(seen), values + 1).index_add(1, sizes, seen)
