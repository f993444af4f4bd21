"""The chances of all sets of values that independent integers can show, carried from image to image.

A set was seen before and the next image's value is in it, or it was seen without that value. Set number S has the value
v where bit v of S is 1. Only the sets before each image are kept for the gradient; torch would keep thirty times more.
"""

from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from digitset.tasks._convolution import IMPOSSIBLE, Saved

DEPTH = 640  # chances down to exp(-640) are carried as they are, three times faster; smaller ones as logs


def log_chances_of_sets(log_chances: Float[Tensor, "B L V"], mask: Bool[Tensor, "B L"]) -> Float[Tensor, "B S"]:
    """Log-chances of the S = 2^V sets, from those of each image's value, in float64. Padding shows nothing."""
    padding = ~mask[:, :, None]
    least = log_chances.detach().masked_fill((log_chances <= IMPOSSIBLE / 2) | padding, 0).amin(dim=2).sum(dim=1)
    if bool((least > -DEPTH).all()):
        chances = log_chances.exp()
        inside = chances.new_zeros(*mask.shape, 1)  # the chance that the image's value is in the set
        for value in range(chances.shape[2]):
            inside = torch.cat([inside, inside + chances[:, :, value, None]], dim=2)
        of_sets = cast(Tensor, _Sets.apply(chances.masked_fill(padding, 0), inside.masked_fill(padding, 1)))
        return of_sets.where(of_sets > 0, 1).log().masked_fill(of_sets == 0, IMPOSSIBLE)
    inside = log_chances.new_full((*mask.shape, 1), IMPOSSIBLE)
    for value in range(log_chances.shape[2]):
        inside = torch.cat([inside, torch.logaddexp(inside, log_chances[:, :, value, None])], dim=2)
    shown = log_chances.masked_fill(padding, IMPOSSIBLE)
    return cast(Tensor, _LogSets.apply(shown, inside.masked_fill(padding, 0)))


class _Sets(torch.autograd.Function):
    """From the chances of values [B, L, V], and those that it is in each set [B, L, S], to those of sets [B, S]."""

    @staticmethod
    def forward(ctx: Saved, chances: Tensor, inside: Tensor) -> Tensor:
        values, within = chances.permute(1, 2, 0).contiguous(), inside.permute(1, 2, 0).contiguous()
        seen = [(torch.arange(within.shape[1], device=inside.device) == 0).to(inside)[:, None].expand_as(within[0])]
        for one, stays in zip(values, within, strict=True):
            after = seen[-1] * stays
            for value, chance in enumerate(one):
                _with(after, value).addcmul_(_without(seen[-1], value), chance)
            seen.append(after)
        ctx.save_for_backward(values, within, *seen)
        return seen[-1].mT.clone()

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Saved, *gradients: Tensor
    ) -> tuple[Tensor, Tensor]:
        values, within, *seen = ctx.saved_tensors
        gradient = gradients[0].mT.contiguous()
        of_values, of_within = torch.empty_like(values), torch.empty_like(within)
        for image in reversed(range(len(values))):
            torch.mul(gradient, seen[image], out=of_within[image])
            before = gradient * within[image]
            for value, chance in enumerate(values[image]):
                reached = _with(gradient, value)
                of_values[image, value] = (reached * _without(seen[image], value)).sum(dim=(0, 1))
                _without(before, value).addcmul_(reached, chance)
            gradient = before
        return of_values.permute(2, 0, 1), of_within.permute(2, 0, 1)


class _LogSets(torch.autograd.Function):
    """The same from logs to logs."""

    @staticmethod
    def forward(ctx: Saved, log_chances: Tensor, inside: Tensor) -> Tensor:
        values, within = log_chances.permute(1, 2, 0).contiguous(), inside.permute(1, 2, 0).contiguous()
        nothing = torch.arange(within.shape[1], device=inside.device)[:, None] == 0
        seen = [torch.full_like(within[0], IMPOSSIBLE).masked_fill(nothing, 0)]
        for one, stays in zip(values, within, strict=True):
            reached = _ways(seen[-1], one).logsumexp(dim=0)
            seen.append(torch.logaddexp(seen[-1] + stays, reached).clamp_(min=IMPOSSIBLE))
        ctx.save_for_backward(values, within, *seen)
        return seen[-1].mT.clone()

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Saved, *gradients: Tensor
    ) -> tuple[Tensor, Tensor]:
        values, within, *seen = ctx.saved_tensors
        gradient = gradients[0].mT.contiguous()
        of_values, of_within = torch.empty_like(values), torch.empty_like(within)
        for image in reversed(range(len(values))):
            before, after = seen[image], seen[image + 1]
            of_ways = _ways(before, values[image]).sub_(after).exp_().mul_(gradient)
            of_values[image] = of_ways.sum(dim=1)
            torch.mul(gradient, (before + within[image] - after).exp_(), out=of_within[image])
            gradient = of_within[image].clone()
            for value, of_way in enumerate(of_ways):
                _without(gradient, value).add_(_with(of_way, value))
        return of_values.permute(2, 0, 1), of_within.permute(2, 0, 1)


def _ways(seen: Float[Tensor, "S B"], log_chances: Float[Tensor, "V B"]) -> Float[Tensor, "V S B"]:
    """For each value, the log-chance that it makes the set from the set without it."""
    ways = seen.new_full((len(log_chances), *seen.shape), 2 * IMPOSSIBLE)
    for value, log_chance in enumerate(log_chances):
        torch.add(_without(seen, value), log_chance, out=_with(ways[value], value))
    return ways


def _without(of_sets: Float[Tensor, "S B"], value: int) -> Float[Tensor, "s v B"]:
    """A view of the sets that do not have the value, in order."""
    return of_sets.view(-1, 2, 2**value, of_sets.shape[1])[:, 0]


def _with(of_sets: Float[Tensor, "S B"], value: int) -> Float[Tensor, "s v B"]:
    """A view of the sets that have the value, in the order of those to which it was added."""
    return of_sets.view(-1, 2, 2**value, of_sets.shape[1])[:, 1]
