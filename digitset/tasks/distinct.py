"""distinct: how many different digits are in the sequence?"""

from typing import cast

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from digitset.tasks import DIGITS
from digitset.tasks._classes import CountTask
from digitset.tasks._probability import log_distribution_of_distinct


class Distinct(CountTask):
    version = 1
    question = "How many different digits are there?"
    lengths = (1, 10)
    label_invariant = True
    output_size = DIGITS + 1  # from none, which never happens, to ten

    def answer_count(self, longest: int) -> int:
        return cast(int, torch.sym_min(longest, DIGITS)) + 1  # min, also while a graph of unknown length is exported

    def target(
        self, digits: Int64[Tensor, "B L"], mask: Bool[Tensor, "B L"], anchor: Int64[Tensor, " B"] | None = None
    ) -> Int64[Tensor, " B"]:
        """How many of the ten digits occur."""
        occurs = (digits[:, :, None] == torch.arange(DIGITS, device=digits.device)) & mask[:, :, None]
        return occurs.any(dim=1).sum(dim=1)

    def log_prob(
        self,
        digits: Float[Tensor, "B L 10"],
        mask: Bool[Tensor, "B L"],
        anchor: Float[Tensor, "B 10"] | None = None,
    ) -> Float[Tensor, "B A"]:
        """The distribution of how many different digits independent images show."""
        return log_distribution_of_distinct(digits, mask)[:, : self.answer_count(digits.shape[1])]
