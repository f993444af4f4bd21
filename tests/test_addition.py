"""benchmarks/addition.py: the dynamic programme over carries, against a list of all pairs of numbers."""

import itertools

import pytest
import torch
from addition import Addition
from hypothesis import given
from hypothesis import strategies as st

TASK = Addition()


def mask_of(batch: int, length: int) -> torch.Tensor:
    return torch.ones(batch, length, dtype=torch.bool)


@pytest.mark.parametrize("places", [1, 2])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_the_likelihood_of_a_sum_is_that_of_all_pairs_that_make_it(places: int, scale: float) -> None:
    torch.manual_seed(places)
    digits = (torch.randn(1, 2 * places, 10, dtype=torch.float64) * scale).log_softmax(dim=2)
    by_sum: dict[int, list[torch.Tensor]] = {}
    for figures in itertools.product(range(10), repeat=2 * places):
        number = [int("".join(map(str, part))) for part in (figures[:places], figures[places:])]
        chance = sum(digits[0, place, figure] for place, figure in enumerate(figures))
        assert isinstance(chance, torch.Tensor)
        by_sum.setdefault(sum(number), []).append(chance)
    output = TASK.log_prob(digits, mask_of(1, 2 * places))
    for total, chances in by_sum.items():
        loss = TASK.training_loss(output, "distribution", torch.tensor([total]))
        assert loss.item() == pytest.approx(-torch.stack(chances).logsumexp(dim=0).item(), rel=1e-9, abs=1e-12)


@given(st.integers(1, 15).flatmap(lambda n: st.lists(st.integers(0, 9), min_size=2 * n, max_size=2 * n)))
def test_certain_digits_give_the_sum(figures: list[int]) -> None:
    places = len(figures) // 2
    digits = torch.tensor([figures])
    total = sum(int("".join(map(str, part))) for part in (figures[:places], figures[places:]))
    mask = mask_of(1, 2 * places)
    assert TASK.target(digits, mask).item() == total
    certain = torch.nn.functional.one_hot(digits, 10).double().clamp(min=1e-12).log()
    output = TASK.log_prob(certain, mask)
    assert int(TASK.decode(output, "distribution").item()) == total
    assert TASK.training_loss(output, "distribution", torch.tensor([total])).item() == pytest.approx(0, abs=1e-9)


def test_gradients_are_right_and_finite() -> None:
    torch.manual_seed(0)
    digits = torch.randn(2, 6, 10, dtype=torch.float64).mul(3).log_softmax(dim=2).requires_grad_()
    target = torch.tensor([1_998, 407])

    def loss(chances: torch.Tensor) -> torch.Tensor:
        return TASK.training_loss(TASK.log_prob(chances, mask_of(2, 6)), "distribution", target)

    assert torch.autograd.gradcheck(loss, digits)
