"""What every network must keep: one function a promise, run over all parts and, to show its teeth, over broken toys."""

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from digitset.data.mnist import Digits
from digitset.data.sequences import Batch, sample
from digitset.device import Machine
from digitset.encoders import LooksAtPlaces
from digitset.errors import InputError
from digitset.network import Network
from digitset.rng import generator
from digitset.run import Run
from digitset.run_folder import RunFolder, Summary
from digitset.tasks import Task

Factory = Callable[[], Network]  # makes the same network, initial weights included, at each call
LONGEST = 10


def batch_for(task: Task, digits: Digits, sequences: int = 16, longest: int | None = None, seed: int = 0) -> Batch:
    """Some sequences over few images."""
    lengths = task.lengths if longest is None else (longest, longest)
    return sample(digits, 4 * (lengths[1] + 1), sequences, lengths, task.anchored, seed, step=0)


@torch.inference_mode()
def outputs(network: Network, batch: Batch) -> Tensor:
    return network.eval()(batch)


def output_has_its_shape(make: Factory, task: Task, digits: Digits) -> None:
    network, batch = make(), batch_for(task, digits)
    output = outputs(network, batch)
    if network.model.output_kind == "numbers":
        assert output.shape == (len(batch.index), task.output_size)
    else:
        assert output.shape == (len(batch.index), task.answer_count(batch.index.shape[1]))
        torch.testing.assert_close(output.exp().sum(dim=1), torch.ones(len(output)))
    assert output.isfinite().all()


def gradients_are_finite(make: Factory, task: Task, digits: Digits) -> None:
    network, batch = make().train(), batch_for(task, digits)
    task.training_loss(network(batch), network.model.output_kind, batch.targets(task)).mean().backward()
    learning = network if network.model.uses_images else network.model
    for name, parameter in learning.named_parameters():
        assert parameter.grad is not None, f"no gradient reaches {name}"
        assert parameter.grad.isfinite().all(), f"the gradient of {name} is not finite"


def padding_changes_nothing(make: Factory, task: Task, digits: Digits) -> None:
    network, batch = make(), batch_for(task, digits)
    other = torch.randint(len(batch.images), batch.index.shape, generator=generator(0, "padding"))
    changed = replace(batch, index=batch.index.where(batch.mask, other))
    torch.testing.assert_close(outputs(network, changed), outputs(network, batch), rtol=0, atol=1e-6)


def batch_mates_change_nothing(make: Factory, task: Task, digits: Digits) -> None:
    network, batch = make(), batch_for(task, digits)
    together = outputs(network, batch)
    for row in range(4):
        alone = batch.slice(row, row + 1)
        length = int(alone.lengths)
        alone = replace(alone, index=alone.index[:, :length], mask=alone.mask[:, :length])
        used = together[row : row + 1, : outputs(network, alone).shape[1]]
        torch.testing.assert_close(outputs(network, alone), used, rtol=1e-4, atol=1e-4)


def lengths_are_taken_or_refused(make: Factory, task: Task, digits: Digits) -> None:
    network = make()
    shortest, longest = task.lengths
    for length in {shortest, longest}:
        assert outputs(network, batch_for(task, digits, longest=length)).isfinite().all()
    longer = batch_for(task, digits, longest=longest + 15)
    if network.model.any_length:
        assert outputs(network, longer).isfinite().all()
    else:
        with pytest.raises(InputError, match="at most"):
            outputs(network, longer)


def order_is_as_declared(make: Factory, task: Task, digits: Digits) -> None:
    network, batch = make(), batch_for(task, digits)
    if batch.index.shape[1] == 1:
        return
    noise = torch.rand(batch.index.shape, generator=generator(0, "order")) + 2.0 * ~batch.mask
    shuffled = replace(batch, index=batch.index.gather(1, noise.argsort(dim=1)))  # padding stays at the end
    same = torch.allclose(outputs(network, shuffled), outputs(network, batch), rtol=1e-4, atol=1e-4)
    assert same == network.model.permutation_invariant


def the_same_is_said_twice(make: Factory, task: Task, digits: Digits) -> None:
    network, batch = make(), batch_for(task, digits)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first = outputs(network, batch)
        torch.manual_seed(2)
        assert torch.equal(first, outputs(network, batch))


def five_steps_give_the_same_bits(make: Factory, task: Task, digits: Digits) -> None:
    def weights() -> dict[str, Tensor]:
        network = make().train()
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
        for step in range(5):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(step)
                batch = batch_for(task, digits, seed=step)
                task.training_loss(network(batch), network.model.output_kind, batch.targets(task)).mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        return network.state_dict()

    first, second = weights(), weights()
    assert all(torch.equal(first[name], second[name]) for name in first)


def weights_survive_the_disk(make: Factory, task: Task, digits: Digits, folder: Path) -> None:
    network, batch = make(), batch_for(task, digits)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.01)
    run_folder = RunFolder(folder)
    run_folder.start(Run(task="sum"), Machine.here(torch.device("cpu")), "float32", 1, "")
    run_folder.finish(network.state_dict(), Summary(1, 1, 1.0, 1.0, 1))
    other = make()
    other.load_state_dict(run_folder.weights())
    assert torch.equal(outputs(network, batch), outputs(other, batch))


def a_copy_answers_the_same(make: Factory, task: Task, digits: Digits) -> None:
    """Averages of weights are kept in a copy."""
    network, batch = make(), batch_for(task, digits)
    assert torch.equal(outputs(copy.deepcopy(network), batch), outputs(network, batch))


def eight_examples_are_memorised(make: Factory, task: Task, digits: Digits) -> None:
    network = make().train()
    if not network.model.uses_images:
        return
    lengths = task.lengths[0], max(task.lengths[0], min(task.lengths[1], 3))  # many digits say too little of each
    batch = sample(digits, 32, 8, lengths, task.anchored, seed=0, step=0).slice(0, 8)
    target = batch.targets(task)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(600):
            output = network(batch)
            prediction = task.decode(output, network.model.output_kind)
            if task.scores(prediction, target)["accuracy"].min() == 1:
                return
            optimizer.zero_grad()
            task.training_loss(output, network.model.output_kind, target).mean().backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
    raise AssertionError("eight examples could not be memorised in 600 steps")


def attention_over_places_is_weights(make: Factory, task: Task, digits: Digits) -> None:
    """If the encoder shows where it looks, its weights are at least 0, sum to 1, and lie on a square grid."""
    network = make().eval()
    if not isinstance(network.encoder, LooksAtPlaces):
        return
    with torch.inference_mode():
        layers, pooling = network.encoder.attention(network.pixels(digits.images[:3]))
    count = pooling.shape[2]
    assert math.isqrt(count) ** 2 == count
    assert pooling.shape[0] == 3
    for weights in (*layers, pooling):
        assert weights.shape[::3] == (3, count) or weights.shape[::2] == (3, count)
        assert (weights >= 0).all()
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:-1]))


CHECKS = (
    output_has_its_shape,
    gradients_are_finite,
    padding_changes_nothing,
    batch_mates_change_nothing,
    lengths_are_taken_or_refused,
    order_is_as_declared,
    the_same_is_said_twice,
    five_steps_give_the_same_bits,
    a_copy_answers_the_same,
    attention_over_places_is_weights,
    eight_examples_are_memorised,
)
