"""The laws of `digitset.tasks._probability` for a length that is not known in advance, as in a graph that is exported.

How many rounds of pairs there are depends on the length, and a graph cannot be drawn for each. Here images come one
after another in a loop that the graph holds, or all at once. Only positive numbers are added, so that improbable
answers keep their relative precision. But these are chances in float32, not logs in double precision as in
`digitset.tasks._probability`: one below 1e-38 is told as 1e-38. tests/test_onnx.py compares the two.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F


def log_distribution_of_sum(log_chances: Float[Tensor, "B L V"], mask: Bool[Tensor, "B L"]) -> Float[Tensor, "B _"]:
    return _log(distribution_of_sum(_certain_zero(log_chances, mask)))


def log_distribution_of_maximum(log_chances: Float[Tensor, "B L V"], mask: Bool[Tensor, "B L"]) -> Float[Tensor, "B V"]:
    return _log(distribution_of_maximum(_certain_zero(log_chances, mask)))


def log_distribution_of_distinct(
    log_chances: Float[Tensor, "B L V"], mask: Bool[Tensor, "B L"]
) -> Float[Tensor, "B _"]:
    return _log(distribution_of_distinct(log_chances.exp().masked_fill(~mask[:, :, None], 0), mask))


def _certain_zero(log_chances: Float[Tensor, "B L V"], mask: Bool[Tensor, "B L"]) -> Float[Tensor, "B L V"]:
    """Chances; where the mask is False, those of a certain zero."""
    zero = torch.arange(log_chances.shape[2]) == 0
    return log_chances.exp().where(mask[:, :, None], zero.to(log_chances.dtype))


def _log(chances: Float[Tensor, "B A"]) -> Float[Tensor, "B A"]:
    return chances.clamp(min=torch.finfo(chances.dtype).tiny).log()


def distribution_of_sum(chances: Float[Tensor, "B L V"]) -> Float[Tensor, "B _"]:
    """The distribution [B, L (V - 1) + 1] of a sum, one image at a time."""
    rows, length, values = chances.shape
    most = values - 1
    window = (torch.arange(most * length + 1)[:, None] + torch.arange(values)).flatten()
    return _scan(
        lambda total, one: (F.pad(total, (most, 0)).index_select(1, window).view(rows, -1, values) @ one[:, :, None])[
            ..., 0
        ],
        F.pad(chances.new_ones(rows, 1), (0, most * length)),
        chances.flip(2),
    )


def distribution_of_maximum(chances: Float[Tensor, "B L V"]) -> Float[Tensor, "B V"]:
    """The distribution of the greatest, all images at once.

    None is above v with the chance F(v), a product over images. That the greatest is v, F(v) - F(v - 1), is taken as
    F(v) (1 - exp(sum of log(1 - p / f))), where p is an image's chance of v and f that of at most v.
    """
    at_most = chances.cumsum(dim=2)
    below = torch.log1p(-chances / at_most.clamp(min=torch.finfo(chances.dtype).tiny)).sum(dim=1)
    return at_most.prod(dim=1) * -torch.expm1(below)


def distribution_of_distinct(chances: Float[Tensor, "B L V"], mask: Bool[Tensor, "B L"]) -> Float[Tensor, "B _"]:
    """The distribution [B, V + 1] of how many values occur: a set with v was that set before, or the one without v."""
    values = chances.shape[2]
    subset = torch.arange(2**values)[:, None]
    bit = 2 ** torch.arange(values)
    contains = (subset & bit) > 0
    without = (subset & ~bit).flatten()

    nothing = (~mask).to(chances.dtype)[:, :, None]  # padding, whose chances are zeros, leaves what was seen
    seen = _scan(
        lambda seen, one: (
            (seen[:, :, None] + seen.index_select(1, without).view(-1, *contains.shape))
            .mul(contains)
            .matmul(one[:, :-1, None])[..., 0]
            .add(seen * one[:, -1:])
        ),
        F.pad(chances.new_ones(chances.shape[0], 1), (0, 2**values - 1)),
        torch.cat([chances, nothing], dim=2),
    )
    return seen @ F.one_hot(contains.sum(dim=1), values + 1).to(seen.dtype)


def _scan(
    step: Callable[[Tensor, Tensor], Tensor], state: Float[Tensor, "B S"], images: Float[Tensor, "B L V"]
) -> Float[Tensor, "B S"]:
    """The state after all images. ONNX has this loop by the same name; torch's own is still kept private."""
    from torch._higher_order_ops.scan import scan

    last, _ = scan(lambda state, image: (step(state, image), state[:, :1].clone()), state, images.transpose(0, 1))
    return last
