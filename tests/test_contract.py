"""Every part that the folders hold keeps the contract; broken toys do not.

A model meets an encoder in nothing but vectors, so each model is held with one encoder, each encoder with two models.
"""

import itertools
import math
from pathlib import Path
from typing import Any

import contract
import pytest
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from digitset import registry
from digitset.data.mnist import Splits
from digitset.encoders import Encoder
from digitset.layers import Block, masked_sum
from digitset.models import Model
from digitset.network import Experiment, Network
from digitset.rng import generator
from digitset.run import Run
from digitset.tasks import load_task

SMALLEST = "lenet"
TRIPLES = [
    *itertools.product(registry.names("tasks"), [SMALLEST], registry.names("models")),
    *itertools.product(
        ["classify"], [name for name in registry.names("encoders") if name != SMALLEST], ["transformer", "mlp"]
    ),
]


def stirred(network: Network) -> Network:
    """The network with noise on every parameter: what starts as the identity or as zeros would hide what it breaks."""
    noise = generator(0, "noise")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=noise))
    return network


@pytest.mark.parametrize(("task", "encoder", "model"), TRIPLES, ids=map("-".join, TRIPLES))
@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
def test_contract(task: str, encoder: str, model: str, check: Any, mnist: Splits) -> None:
    run = Run(task=task, encoder=encoder, model=model)
    learning = check is contract.eight_examples_are_memorised  # which is a promise about the initial weights
    check(
        lambda: Experiment.of(run).build() if learning else stirred(Experiment.of(run).build()),
        load_task(task),
        mnist.train,
    )


@pytest.mark.parametrize(("task", "encoder", "model"), TRIPLES, ids=map("-".join, TRIPLES))
def test_weights_survive_the_disk(task: str, encoder: str, model: str, mnist: Splits, tmp_path: Path) -> None:
    run = Run(task=task, encoder=encoder, model=model)
    contract.weights_survive_the_disk(
        lambda: stirred(Experiment.of(run).build()), load_task(task), mnist.train, tmp_path
    )


class Eye(Encoder):
    """A small encoder for the toys."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(28 * 28, 8)

    def forward(self, images: Float[Tensor, "N 1 28 28"]) -> Float[Tensor, "N D"]:
        return self.layer(images.flatten(1))


class Toy(Model):
    """A model that keeps the contract; each subclass below breaks one promise in `answer`."""

    output_kind = "numbers"
    any_length = True
    permutation_invariant = True

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 1))

    def forward(self, tokens: Tensor, mask: Bool[Tensor, "B L"], anchor: Tensor | None) -> Tensor:
        return masked_sum(self.head(tokens), mask)


class IgnoresTheMask(Toy):
    def forward(self, tokens: Tensor, mask: Tensor, anchor: Tensor | None) -> Tensor:
        return self.head(tokens).sum(dim=1)


class AttendsToPadding(Toy):
    """A self-attention that forgets the mask; where layers start as the identity, it shows nothing at first."""

    def __init__(self) -> None:
        super().__init__()
        self.block = Block(8, heads=2, hidden=16, dropout=0.0, start_as_identity=True)

    def forward(self, tokens: Tensor, mask: Tensor, anchor: Tensor | None) -> Tensor:
        return super().forward(self.block(tokens), mask, anchor)


class KeepsAWeightToItself(Toy):
    """A weight that no state_dict holds."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = [torch.randn(1)]

    def forward(self, tokens: Tensor, mask: Tensor, anchor: Tensor | None) -> Tensor:
        return super().forward(tokens, mask, anchor) * self.hidden[0]


class AveragesOverPadding(Toy):
    def forward(self, tokens: Tensor, mask: Tensor, anchor: Tensor | None) -> Tensor:
        return masked_sum(self.head(tokens), mask) / mask.shape[1]


class UsesTheGlobalGenerator(Toy):
    def forward(self, tokens: Tensor, mask: Tensor, anchor: Tensor | None) -> Tensor:
        return super().forward(tokens, mask, anchor) + torch.rand(1)


class LooksAtItsBatchMates(Toy):
    def forward(self, tokens: Tensor, mask: Tensor, anchor: Tensor | None) -> Tensor:
        answer = super().forward(tokens, mask, anchor)
        return answer - answer.mean()


class HidesItsOrder(Toy):
    def forward(self, tokens: Tensor, mask: Tensor, anchor: Tensor | None) -> Tensor:
        return super().forward(tokens, mask, anchor) + self.head(tokens[:, 0])


class CannotBeCopied(Toy):
    """It keeps a module of Python as an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.module = math


class HasADeadParameter(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.dead = nn.Parameter(torch.zeros(3))


class TakesARootOfZero(Toy):
    def forward(self, tokens: Tensor, mask: Tensor, anchor: Tensor | None) -> Tensor:
        answer = super().forward(tokens, mask, anchor)
        return (answer - answer.detach()).sqrt()


class AnswersTooMuch(Toy):
    def forward(self, tokens: Tensor, mask: Tensor, anchor: Tensor | None) -> Tensor:
        return super().forward(tokens, mask, anchor).expand(-1, 2)


class CannotLearn(Toy):
    def forward(self, tokens: Tensor, mask: Tensor, anchor: Tensor | None) -> Tensor:
        return 0.0 * super().forward(tokens, mask, anchor)


class ForgetsTheEnd(Toy):
    def forward(self, tokens: Tensor, mask: Tensor, anchor: Tensor | None) -> Tensor:
        return super().forward(tokens[:, :10], mask[:, :10], anchor) / (mask.shape[1] <= 10)


class StartsAnywhere(Toy):
    def __init__(self) -> None:
        super().__init__()
        torch.seed()
        self.head = nn.Sequential(nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 1))


BROKEN = [
    (IgnoresTheMask, contract.padding_changes_nothing),
    (IgnoresTheMask, contract.batch_mates_change_nothing),
    (AttendsToPadding, contract.padding_changes_nothing),
    (AttendsToPadding, contract.batch_mates_change_nothing),
    (AveragesOverPadding, contract.batch_mates_change_nothing),
    (UsesTheGlobalGenerator, contract.the_same_is_said_twice),
    (LooksAtItsBatchMates, contract.batch_mates_change_nothing),
    (HidesItsOrder, contract.order_is_as_declared),
    (CannotBeCopied, contract.a_copy_answers_the_same),
    (HasADeadParameter, contract.gradients_are_finite),
    (TakesARootOfZero, contract.gradients_are_finite),
    (AnswersTooMuch, contract.output_has_its_shape),
    (CannotLearn, contract.eight_examples_are_memorised),
    (ForgetsTheEnd, contract.lengths_are_taken_or_refused),
    (StartsAnywhere, contract.five_steps_give_the_same_bits),
]


def toy_network(toy: type[Toy]) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return stirred(Network(Eye(), toy(), longest=10))


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
def test_an_honest_toy_passes(check: Any, mnist: Splits) -> None:
    check(lambda: toy_network(Toy), load_task("sum"), mnist.train)


@pytest.mark.parametrize(("toy", "check"), BROKEN, ids=lambda value: value.__name__)
def test_a_broken_toy_is_caught(toy: type[Toy], check: Any, mnist: Splits) -> None:
    with pytest.raises((AssertionError, TypeError, pytest.fail.Exception)):
        check(lambda: toy_network(toy), load_task("sum"), mnist.train)


def test_a_weight_outside_the_file_is_caught(mnist: Splits, tmp_path: Path) -> None:
    def different_each_time() -> Network:
        return Network(Eye(), KeepsAWeightToItself(), longest=10)

    with pytest.raises(AssertionError), torch.random.fork_rng(devices=[]):
        contract.weights_survive_the_disk(different_each_time, load_task("sum"), mnist.train, tmp_path)
