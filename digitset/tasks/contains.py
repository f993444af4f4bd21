"""contains: does the anchor's digit occur in the sequence?"""

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from digitset.tasks._binary import BinaryTask
from digitset.tasks._probability import log_contains


class Contains(BinaryTask):
    version = 1
    question = "Does the anchor's digit occur in the sequence?"
    lengths = (1, 10)
    anchored = True
    label_invariant = True

    def target(
        self, digits: Int64[Tensor, "B L"], mask: Bool[Tensor, "B L"], anchor: Int64[Tensor, " B"] | None
    ) -> Int64[Tensor, " B"]:
        """1 where a digit of the sequence equals the anchor's, else 0."""
        assert anchor is not None
        return ((digits == anchor[:, None]) & mask).any(dim=1).long()

    def log_prob(
        self, digits: Float[Tensor, "B L 10"], mask: Bool[Tensor, "B L"], anchor: Float[Tensor, "B 10"] | None
    ) -> Float[Tensor, "B 2"]:
        """For each digit that the anchor may be: no image shows it, or at least one does."""
        assert anchor is not None
        return log_contains(digits, mask, anchor)
