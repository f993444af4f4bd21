"""Laws of chance against one image after another in double precision: values and gradients, also of what is improbable.

The references add up, in logarithms, all ways to what was seen so far. torch makes their gradients.
"""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from digitset.rng import generator
from digitset.tasks import load_task
from digitset.tasks._convolution import IMPOSSIBLE, log_convolve
from digitset.tasks._probability import log_others

NEVER = -1e30


def sum_by_images(digits: Tensor) -> Tensor:
    total = digits.new_zeros(1)
    for one in digits:
        ways = [F.pad(total, (value, 9 - value), value=NEVER) + one[value] for value in range(10)]
        total = torch.stack(ways).logsumexp(dim=0)
    return total


def maximum_by_images(digits: Tensor) -> Tensor:
    most, new, old = digits[0], torch.ones(10, 10).tril().bool(), torch.ones(10, 10).tril(-1).bool()
    for one in digits[1:]:
        ways = [(most[:, None] + one).masked_fill(~new, NEVER), (one[:, None] + most).masked_fill(~old, NEVER)]
        most = torch.cat(ways, dim=1).logsumexp(dim=1)
    return most


def distinct_by_images(digits: Tensor) -> Tensor:
    sets, values = torch.arange(1024)[:, None], torch.arange(10)
    has, without = (sets >> values & 1).bool(), sets & ~(1 << values)
    seen = digits.new_full((1024,), NEVER).masked_fill(sets[:, 0] == 0, 0)
    for one in digits:
        ways = torch.cat([seen[:, None] + one, seen[without] + one], dim=1)
        seen = ways.masked_fill(~has.repeat(1, 2), NEVER).logsumexp(dim=1)
    counts = [seen[has.sum(dim=1) == count].logsumexp(dim=0) for count in range(min(10, len(digits)) + 1)]
    return torch.stack(counts)


def contains_by_images(digits: Tensor, wanted: int) -> Tensor:
    no, yes = digits.new_zeros(()), digits.new_full((), NEVER)
    for one in digits:
        is_other = torch.cat([one[:wanted], one[wanted + 1 :]]).logsumexp(dim=0)
        if one[wanted] < -0.6931:  # then 1 - p is precise, and float32 has rounded the greater chances more than that
            is_other = torch.log1p(-one[wanted].exp())
        yes = torch.stack([yes, no + one[wanted]]).logsumexp(dim=0)
        no = no + is_other
    return torch.stack([no, yes])


LAWS: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": sum_by_images,
    "maximum": maximum_by_images,
    "distinct": distinct_by_images,
    "bags": lambda digits: contains_by_images(digits, wanted=9),
    "contains": lambda digits: contains_by_images(digits, wanted=0),  # as padding is inside
}
KINDS = [("random", 25.0), ("random", 100.0), ("equal", 100.0), ("odd one out", 60.0), ("steep", 400.0)]


def log_chances(kind: str, length: int, spread: float) -> Tensor:
    """Log-chances [L, 10] in float32, as a network gives them, of which the least are about -spread."""
    logits = torch.rand(length, 10, generator=generator(length, kind)) * spread
    if kind == "equal":  # each image is a 1, so that each smaller or greater sum is far less probable than the next
        logits = torch.zeros(length, 10).index_fill(1, torch.tensor(1), spread)
    elif kind == "odd one out":  # small digits, and one great digit that is read with confidence
        logits = logits * 0.1 + (torch.arange(10) < 2) * spread
        logits[length // 2, 8] += 2 * spread
    elif kind == "steep":  # chances that fall from digit to digit
        logits = logits * 0.1 - torch.arange(10) * spread / 9
    return logits.log_softmax(dim=1)


def answers(name: str, digits: Tensor) -> Tensor:
    """The log-chances of all answers by the package: of one sequence, with padding that holds anything behind it."""
    task, length = load_task(name), len(digits)
    padded = F.pad(digits, (0, 0, 0, 2), value=float("nan"))[None]
    anchor = F.one_hot(torch.tensor([0]), 10).float().log() if task.anchored else None
    found = task.log_prob(padded, torch.arange(length + 2)[None] < length, anchor)[0]
    count = task.answer_count(length)
    assert (found[count:] == IMPOSSIBLE).all()
    return found[:count]


def values_are_right(found: Tensor, expected: Tensor) -> None:
    possible = expected > NEVER / 2
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[possible].double(), expected[possible], rtol=1e-6, atol=1e-12)
    assert (found[~possible] == IMPOSSIBLE).all()


def is_right(name: str, digits: Tensor) -> None:
    """Holds all answers, and the gradients of three of them, against the reference."""
    ours, theirs = digits.clone().requires_grad_(), digits.double().requires_grad_()
    found, expected = answers(name, ours), LAWS[name](theirs)
    values_are_right(found, expected)
    places = (expected > NEVER / 2).nonzero()[:, 0].tolist()
    # whether an image that changes nothing is wanted or not is a difference of two ways
    least = 1e-14 if load_task(name).kind == "binary" else 1e-37
    for target in {places[0], places[2 * len(places) // 3], int(found.argmax())}:
        (gradient,) = torch.autograd.grad(found[target], ours, retain_graph=True)
        (truth,) = torch.autograd.grad(expected[target], theirs, retain_graph=True)
        torch.testing.assert_close(gradient.double(), truth, rtol=1e-5, atol=least)


@pytest.mark.parametrize(("kind", "spread"), KINDS, ids=str)
@pytest.mark.parametrize("length", [1, 2, 10, 15, 16, 17, 30])
@pytest.mark.parametrize("name", LAWS)
def test_all_answers_and_their_gradients(name: str, length: int, spread: float, kind: str) -> None:
    is_right(name, log_chances(kind, length, spread))


@pytest.mark.parametrize("length", [1, 10, 100])
def test_contains_with_an_anchor_that_is_uncertain(length: int) -> None:
    digits, wanted = log_chances("random", length + 1, 60.0).split([length, 1])
    anchor = wanted.clone().requires_grad_()
    found = load_task("contains").log_prob(digits[None], torch.ones(1, length, dtype=torch.bool), anchor)[0]
    double = wanted.double().requires_grad_()
    each = torch.stack([contains_by_images(digits.double(), value) for value in range(10)])
    expected = (each + double.T).logsumexp(dim=0)
    values_are_right(found, expected)
    for answer in range(2):
        (gradient,) = torch.autograd.grad(found[answer], anchor, retain_graph=True)
        (truth,) = torch.autograd.grad(expected[answer], double, retain_graph=True)
        torch.testing.assert_close(gradient.double(), truth, rtol=1e-5, atol=1e-37)


@pytest.mark.parametrize(("length", "spread", "kind"), [(40, 60.0, "odd one out"), (100, 15.0, "random")])
@pytest.mark.parametrize("name", LAWS)
def test_many_images(name: str, length: int, spread: float, kind: str) -> None:
    is_right(name, log_chances(kind, length, spread))


@pytest.mark.parametrize("name", ["maximum", "bags", "contains"])
def test_a_thousand_images(name: str) -> None:
    is_right(name, log_chances("odd one out", 1_000, 25.0))


def test_how_many_are_distinct_of_many_images() -> None:
    digits = log_chances("random", 200, 100.0)
    with torch.no_grad():
        values_are_right(answers("distinct", digits), distinct_by_images(digits.double()))


@pytest.mark.parametrize("kind", ["random", "odd one out"])
def test_a_sum_of_a_thousand_images(kind: str) -> None:
    """The gradient is the chance of an image's digit where the sum is known: here from the sum of all other images."""
    digits = log_chances(kind, 1_000, 25.0).requires_grad_()
    found, image = answers("sum", digits), 500
    with torch.no_grad():
        others = sum_by_images(torch.cat([digits[:image], digits[image + 1 :]]).double())
        ways = [F.pad(others, (value, 9 - value), value=NEVER) + digits[image, value] for value in range(10)]
        expected = torch.stack(ways).logsumexp(dim=0)
    values_are_right(found, expected)
    for target in (3, int(expected.argmax()), 8_000):
        (gradient,) = torch.autograd.grad(found[target], digits, retain_graph=True)
        truth = torch.stack([way[target] - expected[target] for way in ways]).exp()
        torch.testing.assert_close(gradient[image].double(), truth, rtol=1e-5, atol=1e-37)
        torch.testing.assert_close(gradient.sum(dim=1), torch.ones(1_000))


@pytest.mark.parametrize("length", [10, 16, 20, 30, 100])
@pytest.mark.parametrize(
    ("name", "answer", "ways"), [("sum", 1, 1), ("maximum", 4, 1), ("distinct", 2, 9), ("bags", 1, 1)]
)
def test_a_confident_error_costs_what_it_should(name: str, answer: int, ways: int, length: int) -> None:
    """Every image is read as a 3, and another digit has 1e-43; the true answer needs one such digit, in some ways."""
    logits = torch.zeros(1, length, 10).index_fill(2, torch.tensor(3), 100).requires_grad_()
    answer = 3 * length + answer if name == "sum" else answer
    log = load_task(name).log_prob(logits.log_softmax(dim=2), torch.ones(1, length, dtype=torch.bool), None)
    assert -log[0, answer].item() == pytest.approx(100 - math.log(ways * length), rel=1e-5)
    (gradient,) = torch.autograd.grad(-log[0, answer], logits)
    assert gradient[:, :, 3].sum().item() == pytest.approx(1, rel=1e-4)  # away from the digit that is read


@pytest.mark.parametrize("name", LAWS)
def test_certain_digits_have_a_certain_answer_and_no_gradient_that_is_nan(name: str) -> None:
    task, mask = load_task(name), torch.arange(20) < torch.tensor([[20], [7]])
    digits = torch.randint(10, (2, 20), generator=generator(0, "digits"))
    anchor = torch.tensor([4, 0]) if task.anchored else None
    log = F.one_hot(digits, 10).float().log().where(mask[:, :, None], float("nan")).requires_grad_()
    log_prob = task.log_prob(log, mask, None if anchor is None else F.one_hot(anchor, 10).float().log())
    target = task.target(digits, mask, anchor)
    assert torch.equal(log_prob, torch.full_like(log_prob, IMPOSSIBLE).scatter(1, target[:, None], 0))
    log_prob.sum().backward()
    assert log.grad is not None
    assert log.grad.isfinite().all()
    assert (log.grad[~mask] == 0).all()


def convolved(long: Tensor, short: Tensor) -> Tensor:
    rows = [F.pad(long + one, (place, len(short) - 1 - place), value=NEVER) for place, one in enumerate(short)]
    return torch.stack(rows).logsumexp(dim=0)


log = st.sampled_from([0.0, -1.0, -30.0, -400.0, -550.0, -1_000.0, -20_000.0, IMPOSSIBLE])


@settings(deadline=None, max_examples=30)
@given(st.lists(log, min_size=1, max_size=40), st.lists(log, min_size=1, max_size=40), st.booleans())
@example([0.0, -550.0, -1_000.0, -550.0], [0.0, -550.0], False)  # of exp(-1000) + exp(-1100), the first is lost first
@example([0.0, -550.0, -1_000.0, -550.0], [0.0, -550.0], True)
def test_convolution_of_anything(one: list[float], other: list[float], many: bool) -> None:
    """Also where some values between possible ones are impossible. `many` is more values than are tried at once."""
    longer, shorter = sorted((one, other), key=len, reverse=True)
    long, short = (torch.tensor(8 * part if many else part, dtype=torch.float64) for part in (longer, shorter))
    long, short, weight = long.requires_grad_(), short.requires_grad_(), torch.rand(len(long) + len(short) - 1)
    found, expected = log_convolve(long, short), convolved(long, short).clamp(min=IMPOSSIBLE)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-9)
    possible = expected > IMPOSSIBLE / 2
    ours = torch.autograd.grad((found * weight)[possible].sum(), (long, short))
    theirs = torch.autograd.grad((expected * weight)[possible].sum(), (long, short))
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-37)


@pytest.mark.parametrize(("long", "short"), [(7, 4), (170, 160)])  # without blocks, and with them
def test_the_gradient_of_a_convolution_is_that_of_finite_differences(long: int, short: int) -> None:
    draw = generator(0, "convolution")
    pair = [-torch.rand(2, size, generator=draw, dtype=torch.float64).requires_grad_() for size in (long, short)]
    assert torch.autograd.gradcheck(log_convolve, pair, fast_mode=long > 10)


@pytest.mark.parametrize("chance", [1e-30, 1e-9, 1e-3, 0.3, 0.5, 0.7, 0.999])
def test_log_others(chance: float) -> None:
    value = torch.tensor([chance, 1 - chance], dtype=torch.float64).log()
    torch.testing.assert_close(log_others(value)[0], torch.log1p(-value[0].exp()), rtol=1e-12, atol=0)


def test_log_others_is_precise_next_to_certainty() -> None:
    logits = torch.tensor([40.0, 0.0, 0.0])
    found = log_others(logits.log_softmax(dim=0)).double()
    exact = logits.double().softmax(dim=0)
    expected = torch.stack([exact[1] + exact[2], exact[0] + exact[2], exact[0] + exact[1]]).log()
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-12)
