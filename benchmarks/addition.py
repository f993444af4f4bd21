"""addition: the sum of two numbers of several digits each, a task in which order matters; for peers.py.

The likelihood of a sum needs no list of all sums: given the sum of the digits of each column, only carries link the
columns, and a dynamic programme over them is exact. So the "distribution" of this task is that of each column.
"""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from digitset.tasks import OutputKind
from digitset.tasks._quantity import QuantityTask

SUMS = 19  # of two digits: 0 to 18
LEAST = -1e30  # the logarithm of a chance of zero, finite so that its gradient is


class Addition(QuantityTask):
    """The first half of the images is one number, the second half the other; the digit of the highest value is first.

    All sequences have the same, even number of images. Only models with the output "distribution" fit it.
    """

    version = 1
    question = "What is the sum of the two numbers?"
    lengths = (2, 2)

    def answer_count(self, longest: int) -> int:
        return 2 * 10 ** (longest // 2) - 1

    def target(
        self, digits: Int64[Tensor, "B L"], mask: Bool[Tensor, "B L"], anchor: Int64[Tensor, " B"] | None = None
    ) -> Int64[Tensor, " B"]:
        """The sum of the two numbers."""
        columns = digits.unflatten(1, (2, -1)).sum(dim=1)
        return (columns * _places(columns)).sum(dim=1)

    def log_prob(
        self,
        digits: Float[Tensor, "B L 10"],
        mask: Bool[Tensor, "B L"],
        anchor: Float[Tensor, "B 10"] | None = None,
    ) -> Float[Tensor, "B A"]:
        """Log-probabilities of the sums 0 to 18 of each column, one column after the other."""
        first, second = digits.unflatten(1, (2, -1)).unbind(dim=1)
        pairs = F.pad(first[..., None] + second[..., None, :], (0, 10), value=LEAST)
        by_sum = pairs.flatten(-2)[..., : 10 * SUMS].unflatten(-1, (10, SUMS))  # row a holds a + b in column a + b
        return by_sum.logsumexp(dim=-2).flatten(1)

    def training_loss(
        self, output: Float[Tensor, "B _"], output_kind: OutputKind, target: Int64[Tensor, " B"]
    ) -> Float[Tensor, " B"]:
        """The negative log-likelihood of the true sum, over all carries."""
        assert output_kind == "distribution"
        columns = F.pad(output.unflatten(1, (-1, SUMS)), (1, 2), value=LEAST)  # sums -1 to 20, of which some cannot be
        carry = torch.full((len(output), 2), LEAST, device=output.device, dtype=output.dtype)
        carry = torch.cat([torch.zeros_like(carry[:, :1]), carry[:, 1:]], dim=1)
        rest = target
        for column in columns.flip(1).unbind(dim=1):
            digit, rest = rest % 10, rest // 10
            ways = [
                [
                    carry[:, given] + column.gather(1, (digit + 10 * passed - given + 1)[:, None])[:, 0]
                    for given in (0, 1)
                ]
                for passed in (0, 1)
            ]
            carry = torch.stack([torch.logaddexp(*way) for way in ways], dim=1)
        return -carry.gather(1, rest[:, None])[:, 0]

    def decode(self, output: Float[Tensor, "B _"], output_kind: OutputKind) -> Float[Tensor, " B"]:
        """The sum that the most probable columns make, in double precision: exact for numbers of up to 15 digits."""
        columns = output.unflatten(1, (-1, SUMS)).argmax(dim=2).cpu()
        return (columns * _places(columns)).sum(dim=1).double()


def _places(columns: Int64[Tensor, "B N"]) -> Int64[Tensor, " N"]:
    """What a digit of each column is worth: ..., 100, 10, 1."""
    return 10 ** torch.arange(columns.shape[1] - 1, -1, -1, device=columns.device)
