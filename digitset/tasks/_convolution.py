"""The distribution of a sum of two integers, from logarithms to logarithms: right however improbable an answer is.

Plain sums of products lose what is below 1e-308, and a Fourier transform loses what is 1e-16 times less probable than
the mode. Here only positive numbers are added, and where they differ too much, blocks of them have their own scales.
"""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

IMPOSSIBLE = -1e30
"""The log of a chance of zero. It can be added up, and -inf would make gradients NaN."""
DIRECT = 150  # the longest distribution that is first tried without blocks; beyond, blocks are faster
LARGEST_BLOCK = 16
LIFT = 200  # the largest of any numbers is exp(200), so that three can be multiplied: double precision has exp(709)
LEAST = -700  # the log of a number that counts as zero; below exp(-708) it is slow, and below exp(-745) it is lost
RANGE = 800  # a sum is trusted down to exp(-800) of the largest possible: what was lost is less than exp(-90) of it


def log_convolve(long: Float[Tensor, "*B N"], short: Float[Tensor, "*B M"]) -> Float[Tensor, "*B K"]:
    """Log-chances of the sum of two independent integers, from theirs, in float64. N >= M, and K = N + M - 1.

    None is below IMPOSSIBLE. It takes about 2 N M multiplications, nearly all in products of matrices. Where
    neighbouring values differ so much that some would be lost, blocks are halved, if need be down to one value each.
    """
    return _LogConvolution.apply(long, short)  # pyright: ignore[reportReturnType]


@runtime_checkable
class Saved(Protocol):
    """What torch keeps from the way forward for the way back."""

    saved_tensors: tuple[Tensor, ...]

    def save_for_backward(self, *tensors: Tensor) -> None: ...


class _LogConvolution(torch.autograd.Function):
    """The gradient is made of the chances of the two integers when their sum is known."""

    @staticmethod
    def forward(ctx: Saved, long: Tensor, short: Tensor) -> Tensor:
        length = short.shape[-1]
        block = 0 if length <= DIRECT else LARGEST_BLOCK  # 0: no blocks
        log, trusted = _attempt(long, short, block)
        while not trusted and block != 1:
            block = block // 2 or min(LARGEST_BLOCK, length)
            log, trusted = _attempt(long, short, block)
        ctx.save_for_backward(long, short, log, torch.tensor(block))
        return log

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Saved, *gradients: Tensor
    ) -> tuple[Tensor, Tensor]:
        (gradient,), (long, short, log, block) = gradients, ctx.saved_tensors
        divisor = log.masked_fill(log <= IMPOSSIBLE / 2, -IMPOSSIBLE)  # what is impossible gives no gradient
        if block:
            return _gradients_by_blocks(gradient, long, short, divisor, int(block))
        (a, log_a), (b, log_b) = _scaled(long), _scaled(short)
        share = gradient * (log_a + log_b - 2 * LIFT - divisor).exp_()
        return a * _correlate(share, b), b * _correlate(share, a)


def _attempt(
    long: Float[Tensor, "*B N"], short: Float[Tensor, "*B M"], block: int
) -> tuple[Float[Tensor, "*B K"], bool]:
    """The convolution, with blocks of this size (0: without), and whether every value of it can be trusted."""
    if block == 0:
        (a, log_a), (b, log_b) = _scaled(long), _scaled(short)
        reach = short.shape[-1] - 1
        log, scale, top = _correlate(F.pad(a, (reach, reach)), b.flip(-1)).log_(), log_a + log_b, 2 * LIFT
    else:
        sums, scales = _sums_by_blocks(long, short, block)
        size = long.shape[-1] + short.shape[-1] - 1
        log, scale = sums.log_().flatten(-2)[..., :size], scales.repeat_interleave(block, dim=-1)[..., :size]
        top = 3 * LIFT
    lost = log < top - RANGE
    trusted = not bool(lost.any()) or not bool((lost & _possible(long, short)).any())
    return (log + scale).sub_(top).clamp_(min=IMPOSSIBLE), trusted


def _scaled(log: Float[Tensor, "*B N"]) -> tuple[Float[Tensor, "*B N"], Float[Tensor, "*B 1"]]:
    """Numbers whose largest is exp(LIFT), and the logs by which they were divided."""
    scale = log.amax(dim=-1, keepdim=True)
    return _lifted_exp(log - scale), scale


def _lifted_exp(log: Float[Tensor, "*B"]) -> Float[Tensor, "*B"]:
    """exp(log + LIFT) for logs that may be changed in place and are at most 0."""
    return F.threshold(log.add_(LIFT), LEAST, float("-inf"), inplace=True).exp_()


def _correlate(signal: Float[Tensor, "*B K"], kernel: Float[Tensor, "*B M"]) -> Float[Tensor, "*B N"]:
    """The product sum of the kernel with each of its places on the signal."""
    return (signal.unfold(-1, kernel.shape[-1], 1) @ kernel[..., None])[..., 0]


def _possible(long: Float[Tensor, "*B N"], short: Float[Tensor, "*B M"]) -> Bool[Tensor, "*B K"]:
    """Whether a sum lies between the least and the greatest that are possible."""
    place = torch.arange(long.shape[-1] + short.shape[-1] - 1, device=long.device)
    least, greatest = torch.zeros_like(place[:1]), torch.zeros_like(place[:1])
    for log in (long, short):
        size, possible = log.shape[-1], log > IMPOSSIBLE / 2
        least = least + place[:size].where(possible, size).amin(dim=-1, keepdim=True)
        greatest = greatest + place[:size].where(possible, -1).amax(dim=-1, keepdim=True)
    return (least <= place) & (place <= greatest)


def _sums_by_blocks(
    long: Float[Tensor, "*B N"], short: Float[Tensor, "*B M"], block: int
) -> tuple[Float[Tensor, "*B r T"], Float[Tensor, "*B r"]]:
    """Sums of products in blocks of T, and the log by which each block of them was divided."""
    (a, log_a), (b, log_b) = _blocks(long, block), _blocks(short, block)
    scale, kernels, count = _scales(log_a, log_b), _kernels(b), a.shape[-2]
    sums = a.new_zeros(*scale.shape, 2 * block - 1)  # of all blocks i and j of one i + j: values from (i + j) T on
    for j in range(b.shape[-2]):
        weight = _lifted_exp(log_a + log_b[..., j, None] - scale[..., j : j + count])[..., None]
        sums[..., j : j + count, :] += (a * weight) @ kernels[..., j, :, :]

    if block == 1:
        return sums, scale
    # each block of the result lies in two such sums, whose scales differ
    one, other = F.pad(scale, (0, 1), value=float("-inf")), F.pad(scale, (1, 0), value=float("-inf"))
    greater = torch.maximum(one, other)
    total = F.pad(sums[..., :block], (0, 0, 0, 1)) * (one - greater).exp_()[..., None]
    total += F.pad(sums[..., block:], (0, 1, 1, 0)) * (other - greater).exp_()[..., None]
    return total, greater


def _gradients_by_blocks(
    gradient: Float[Tensor, "*B K"],
    long: Float[Tensor, "*B N"],
    short: Float[Tensor, "*B M"],
    divisor: Float[Tensor, "*B K"],
    block: int,
) -> tuple[Float[Tensor, "*B N"], Float[Tensor, "*B M"]]:
    """Gradients of both, from those of the sum and its log-chances."""
    (a, log_a), (b, log_b) = _blocks(long, block), _blocks(short, block)
    scale, kernels, count = _scales(log_a, log_b), _kernels(b), a.shape[-2]
    share = (scale[..., None] - 3 * LIFT - _windows(divisor, block, scale.shape[-1], -IMPOSSIBLE)).exp_()
    share *= _windows(gradient, block, scale.shape[-1], 0.0)
    of_a, of_kernels = torch.zeros_like(a), torch.empty_like(kernels)
    for j in range(b.shape[-2]):
        weight = _lifted_exp(log_a + log_b[..., j, None] - scale[..., j : j + count])[..., None]
        reached = share[..., j : j + count, :]
        of_a.addcmul_(weight, reached @ kernels[..., j, :, :].mT)
        of_kernels[..., j, :, :] = (a * weight).mT @ reached
    of_b = _sums_of_kernels(of_kernels)
    return (a * of_a).flatten(-2)[..., : long.shape[-1]], (b * of_b).flatten(-2)[..., : short.shape[-1]]


def _blocks(log: Float[Tensor, "*B N"], block: int) -> tuple[Float[Tensor, "*B n T"], Float[Tensor, "*B n"]]:
    """Blocks of T values, scaled one by one."""
    count = -(-log.shape[-1] // block)
    padded = F.pad(log, (0, count * block - log.shape[-1]), value=2 * IMPOSSIBLE)
    blocks, scale = _scaled(padded.view(*log.shape[:-1], count, block))
    return blocks, scale[..., 0]


def _scales(log_a: Float[Tensor, "*B n"], log_b: Float[Tensor, "*B m"]) -> Float[Tensor, "*B q"]:
    """The largest scale of a product of block i and block j, for each i + j."""
    count, others = log_a.shape[-1], log_b.shape[-1]
    scale = log_a.new_full((*log_a.shape[:-1], count + others - 1), float("-inf"))
    for j in range(others):
        part = scale[..., j : j + count]
        part.copy_(torch.maximum(part, log_a + log_b[..., j, None]))
    return scale


def _kernels(blocks: Float[Tensor, "*B m T"]) -> Float[Tensor, "*B m T W"]:
    """The matrices whose row t holds the block, moved t places to the right: Toeplitz matrices, W = 2 T - 1."""
    size = blocks.shape[-1]
    rows = F.pad(blocks, (0, size))[..., None, :].expand(*blocks.shape, 2 * size)
    return rows.flatten(-2)[..., : size * (2 * size - 1)].reshape(*blocks.shape, 2 * size - 1)


def _sums_of_kernels(kernels: Float[Tensor, "*B m T W"]) -> Float[Tensor, "*B m T"]:
    """The transpose of `_kernels`: sums along the diagonals on which each value of the block lies."""
    size = kernels.shape[-2]
    moved_back = F.pad(kernels.flatten(-2), (0, size)).view(*kernels.shape[:-1], 2 * size)
    return moved_back[..., :size].sum(dim=-2)


def _windows(values: Float[Tensor, "*B K"], block: int, count: int, fill: float) -> Float[Tensor, "*B q W"]:
    """For each of so many blocks, its values and all but the last of the next."""
    missing = (count + 1) * block - 1 - values.shape[-1]
    return F.pad(values, (0, missing), value=fill).unfold(-1, 2 * block - 1, block)
