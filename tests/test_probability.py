"""Laws of chance against brute force in double precision."""

from itertools import combinations

import numpy as np
import pytest
import torch

from digitset.rng import generator
from digitset.tasks._probability import (
    convolve,
    distribution_of_distinct,
    distribution_of_maximum,
    distribution_of_sum,
    log_complement,
    log_others,
)


def uneven(*shape: int) -> torch.Tensor:
    """Distributions with probable and improbable values, down to about 1e-12."""
    return torch.randn(*shape, generator=generator(0, "chances")).mul(5).softmax(dim=-1)


def by_convolution(chances: torch.Tensor) -> np.ndarray:
    total = np.ones(1)
    for row in chances.double().numpy():
        total = np.convolve(total, row)
    return total


@pytest.mark.parametrize("length", [1, 2, 3, 7, 10])
def test_sums_of_short_sequences_keep_their_relative_precision(length: int) -> None:
    chances = uneven(4, length, 10)
    found = distribution_of_sum(chances)
    for row, expected in zip(found, map(by_convolution, chances), strict=True):
        kept = expected > 1e-37
        np.testing.assert_allclose(row.double().numpy()[kept], expected[kept], rtol=2e-6)


@pytest.mark.parametrize("length", [15, 16, 33, 100, 1000])
def test_sums_of_long_sequences(length: int) -> None:
    chances = uneven(2, length, 10)
    found = distribution_of_sum(chances)
    assert found.shape == (2, 9 * length + 1)
    for row, expected in zip(found, map(by_convolution, chances), strict=True):
        np.testing.assert_allclose(row.double().numpy(), expected, atol=5e-5 * expected.max())


def test_convolution_by_fourier_transform_is_the_direct_one() -> None:
    long, short = uneven(3, 500), uneven(3, 90)
    expected = [np.convolve(a, b) for a, b in zip(long.double().numpy(), short.double().numpy(), strict=True)]
    np.testing.assert_allclose(convolve(long, short).numpy(), expected, atol=1e-7)


@pytest.mark.parametrize("length", [1, 2, 5, 30, 1000])
def test_maximum_is_a_difference_of_cumulative_chances(length: int) -> None:
    chances = uneven(3, length, 10)
    below = chances.double().cumsum(dim=2).prod(dim=1)
    torch.testing.assert_close(
        distribution_of_maximum(chances).double(), below.diff(dim=1, prepend=torch.zeros(3, 1)), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("length", [1, 4, 30])
def test_distinct_is_inclusion_and_exclusion(length: int) -> None:
    chances, values = uneven(3, length, 6), range(6)
    within = {
        s: chances[:, :, list(s)].double().sum(dim=2).prod(dim=1) for n in range(7) for s in combinations(values, n)
    }
    expected = torch.zeros(3, 7, dtype=torch.float64)
    for seen in within:
        for part in within:
            if set(part) <= set(seen):
                expected[:, len(seen)] += (-1) ** (len(seen) - len(part)) * within[part]
    mask = torch.arange(length + 2) < torch.full((3, 1), length)
    padded = torch.cat([chances, torch.ones(3, 2, 6)], dim=1)
    torch.testing.assert_close(distribution_of_distinct(padded, mask).double(), expected, rtol=1e-4, atol=1e-6)


def test_the_gradient_of_a_convolution_is_that_of_finite_differences() -> None:
    long, short = (uneven(2, 3, size).double().requires_grad_() for size in (7, 4))
    assert torch.autograd.gradcheck(convolve, (long, short))


@pytest.mark.parametrize("chance", [1e-30, 1e-9, 1e-3, 0.3, 0.5, 0.7, 0.999])
def test_log_complement(chance: float) -> None:
    value = torch.tensor(chance).log().requires_grad_()
    found = log_complement(value)
    exact = value.detach().double()
    torch.testing.assert_close(found.double(), torch.log1p(-exact.exp()), rtol=1e-5, atol=0)
    found.backward()
    assert value.grad is not None
    torch.testing.assert_close(value.grad.double(), -exact.exp() / -torch.expm1(exact), rtol=1e-5, atol=0)


def test_log_complement_of_certainty_is_finite() -> None:
    assert log_complement(torch.zeros(1)).isfinite().all()


def test_log_others_is_precise_next_to_certainty() -> None:
    logits = torch.tensor([40.0, 0.0, 0.0])
    found = log_others(logits.log_softmax(dim=0)).double()
    exact = logits.double().softmax(dim=0)
    expected = torch.stack([exact[1] + exact[2], exact[0] + exact[2], exact[0] + exact[1]]).log()
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-12)
