"""The rules against brute force; both kinds of output read as the same answer; scores against their definitions."""

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from digitset import registry
from digitset.evaluation.evaluate import tells_all_digits_apart
from digitset.rng import generator
from digitset.tasks import OutputKind, Task, load_task
from digitset.tasks._convolution import IMPOSSIBLE
from digitset.tasks.contains import Contains
from digitset.tasks.sum import Sum

REFERENCES = {  # the rules in plain Python, written apart from the package
    "classify": lambda digits, anchor: digits[0],
    "sum": lambda digits, anchor: sum(digits),
    "contains": lambda digits, anchor: int(anchor in digits),
    "bags": lambda digits, anchor: int(9 in digits),
    "maximum": lambda digits, anchor: max(digits),
    "distinct": lambda digits, anchor: len(set(digits)),
}


def rule_is(task: Task, reference: Any, digits: list[int], padding: list[int], anchor: int) -> None:
    """Holds `target` against a reference on one sequence with padding behind it."""
    row = torch.tensor([digits + padding])
    mask = torch.arange(row.shape[1])[None] < len(digits)
    anchors = torch.tensor([anchor]) if task.anchored else None
    answer = task.target(row, mask, anchors)
    assert answer.tolist() == [reference(digits, anchor)]
    assert 0 <= int(answer) < task.answer_count(len(digits))


digit = st.integers(0, 9)


@pytest.mark.parametrize("name", registry.names("tasks"))
@given(data=st.data())
def test_target_is_the_rule(name: str, data: st.DataObject) -> None:
    task = load_task(name)
    digits = data.draw(st.lists(digit, min_size=task.lengths[0], max_size=task.lengths[1]))
    padding = data.draw(st.lists(digit, max_size=5))
    rule_is(task, REFERENCES[name], digits, padding, data.draw(digit))


class OffByOne(Sum):
    """A broken toy: the sum forgets the last image."""

    def target(self, digits: torch.Tensor, mask: torch.Tensor, anchor: torch.Tensor | None = None) -> torch.Tensor:
        return super().target(digits[:, :-1], mask[:, 1:])


class CountsPadding(Contains):
    """A broken toy: the rule looks at padding too."""

    def target(self, digits: torch.Tensor, mask: torch.Tensor, anchor: torch.Tensor | None) -> torch.Tensor:
        return super().target(digits, torch.ones_like(mask), anchor)


@pytest.mark.parametrize(("toy", "name"), [(OffByOne(), "sum"), (CountsPadding(), "contains")])
def test_a_broken_rule_is_caught(toy: Any, name: str) -> None:
    with pytest.raises(AssertionError):
        rule_is(toy, REFERENCES[name], [1, 2, 3], [4], 4)


@pytest.mark.parametrize("name", registry.names("tasks"))
@pytest.mark.parametrize("length", [1, 2, 3])
def test_log_prob_is_target_in_probability(name: str, length: int) -> None:
    """Against the chances of all 10^n ways the digits could be, each answered by `target`."""
    task = load_task(name)
    if length > task.lengths[1]:
        return
    images = length + task.anchored
    chances = torch.randn(images, 10, generator=generator(0, name)).mul(3).double().softmax(dim=1)
    ways = torch.tensor(list(itertools.product(range(10), repeat=images)))
    chance = chances[torch.arange(images), ways].prod(dim=1)
    digits, anchor = (ways[:, 1:], ways[:, 0]) if task.anchored else (ways, None)
    answers = task.target(digits, torch.ones_like(digits, dtype=torch.bool), anchor)
    expected = torch.zeros(task.answer_count(length), dtype=torch.float64).index_add(0, answers, chance)

    log = chances.log().float()
    sequence = torch.cat([log[task.anchored :], torch.full((2, 10), float("nan"))])[None]  # padding holds anything
    padded = torch.arange(length + 2)[None] < length
    if task.single_image:
        sequence, padded = sequence[:, :1], padded[:, :1]
    log_prob = task.log_prob(sequence, padded, log[:1] if task.anchored else None)[0]
    expected = expected.log().clamp(min=IMPOSSIBLE).float()
    torch.testing.assert_close(log_prob[: len(expected)], expected, rtol=1e-4, atol=1e-5)
    assert (log_prob[len(expected) :] == IMPOSSIBLE).all()  # answers that padding would make possible


@pytest.mark.parametrize("name", registry.names("tasks"))
def test_label_invariant_is_a_law(name: str) -> None:
    """Renaming the digits changes no answer of a task that says so, and some answer of one that does not."""
    task = load_task(name)
    digits = torch.randint(10, (500, task.lengths[1]), generator=generator(0, "digits"))
    anchor = torch.randint(10, (500,), generator=generator(0, "anchors"))
    names = torch.randperm(10, generator=generator(0, "names"))
    mask = torch.ones_like(digits, dtype=torch.bool)
    before = task.target(digits, mask, anchor if task.anchored else None)
    after = task.target(names[digits], mask, names[anchor] if task.anchored else None)
    assert torch.equal(before, after) == task.label_invariant


def test_all_digits_are_told_apart_but_those_in_a_bag_without_a_nine() -> None:
    assert [name for name in registry.names("tasks") if not tells_all_digits_apart(load_task(name))] == ["bags"]


@pytest.mark.parametrize("name", registry.names("tasks"))
def test_a_certain_and_right_distribution_is_right(name: str) -> None:
    task = load_task(name)
    count = task.answer_count(task.lengths[1])
    target = torch.arange(count)
    certain = torch.nn.functional.one_hot(target, count).float().log()
    prediction = task.decode(certain, "distribution")
    assert task.scores(prediction, target)["accuracy"].min() == 1
    assert task.training_loss(certain, "distribution", target).abs().max() == 0
    assert task.loss_name in task.scores(prediction, target)
    wrong = task.scores(prediction, target.roll(1))
    assert wrong["accuracy"].max() == 0


def test_numbers_read_as_the_distribution_they_stand_for() -> None:
    logits = torch.randn(50, 10)
    classify, contains = load_task("classify"), load_task("contains")
    as_numbers = classify.decode(logits, "numbers")
    assert torch.equal(as_numbers, classify.decode(logits.log_softmax(1), "distribution"))
    logit = torch.randn(50, 1)
    yes = torch.sigmoid(logit)
    distribution = torch.cat([1 - yes, yes], dim=1).log()
    torch.testing.assert_close(contains.decode(logit, "numbers"), contains.decode(distribution, "distribution"))
    torch.testing.assert_close(contains.answer(contains.decode(logit, "numbers")), yes[:, 0])


KINDS: list[OutputKind] = ["numbers", "distribution"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_two_losses_of_contains_agree(kind: OutputKind) -> None:
    logit, target = torch.randn(40, 1), torch.arange(40) % 2
    contains = load_task("contains")
    output = logit if kind == "numbers" else contains.decode(logit, "numbers")
    expected = torch.nn.functional.softplus(torch.where(target == 1, -logit[:, 0], logit[:, 0]))
    torch.testing.assert_close(contains.training_loss(output, kind, target), expected)


def test_scores_of_sum() -> None:
    scores = Sum().scores(torch.tensor([3.4, 3.6, 7.0]), torch.tensor([3, 3, 9]))
    assert scores["accuracy"].tolist() == [1, 0, 0]
    torch.testing.assert_close(scores["mse"], torch.tensor([0.16, 0.36, 4.0]))
    torch.testing.assert_close(scores["mae"], torch.tensor([0.4, 0.6, 2.0]))


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=30))
def test_auc_is_the_chance_of_right_order(items: list[tuple[int, bool]]) -> None:
    logits = torch.tensor([[float(logit)] for logit, _ in items])
    target = torch.tensor([int(label) for _, label in items])
    yes = [logit for logit, label in items if label]
    no = [logit for logit, label in items if not label]
    contains = load_task("contains")
    auc = contains.set_scores(contains.decode(logits, "numbers"), target)["auc"]
    if not yes or not no:
        assert auc != auc
        return
    pairs = [(a > b) + (a == b) / 2 for a, b in itertools.product(yes, no)]
    assert auc == pytest.approx(sum(pairs) / len(pairs))
