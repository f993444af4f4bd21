"""What a step does, against arithmetic written here: AdamW, clipping, rate, lengths, average, precision."""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from digitset.data.mnist import Digits, Splits
from digitset.data.sequences import Batch
from digitset.evaluation.evaluate import mean_scores, predict_sets, validation_set
from digitset.network import Experiment, Network
from digitset.run import Run
from digitset.training import loop
from digitset.training.loop import State, TrainingSet, initial_state, train, training_step

RUN = Run(
    *("sum", "exact", "lenet"),
    steps=20,
    images_per_step=60,
    sequences_per_step=60,
    learning_rate=1e-2,
    warmup_fraction=0.25,
    curriculum=0.5,
    precision="float32",
    device="cpu",  # a GPU promises no equal bits
)
Weights = dict[str, Tensor]


@pytest.fixture(scope="module")
def few(mnist: Splits) -> Splits:
    """So few images that validation takes no time."""
    parts = [Digits(part.images[:300], part.labels[:300]) for part in (mnist.train, mnist.val, mnist.test)]
    return Splits(*parts, checksum="few")


@pytest.fixture(autouse=True)
def _global_generator_kept() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        yield


def start(run: Run, precision: str = "float32") -> tuple[Experiment, State]:
    experiment = Experiment.of(run)
    state = initial_state(experiment, torch.device("cpu"), precision)
    state.network.train()
    return experiment, state


def weights_of(network: nn.Module) -> Weights:
    return {name: parameter.detach().double().clone() for name, parameter in network.named_parameters()}


def gradients_of(network: nn.Module) -> Weights:
    parameters = network.named_parameters()
    return {name: parameter.grad.double() for name, parameter in parameters if parameter.grad is not None}


def norm(gradients: Weights) -> float:
    return math.sqrt(sum(float(gradient.square().sum()) for gradient in gradients.values()))


def test_a_step_is_adamw_at_the_rate_of_the_schedule(few: Splits) -> None:
    """Loshchilov and Hutter 2019, algorithm 2, with the gradients that the steps leave."""
    experiment, state = start(replace(RUN, weight_decay=5.0))
    first, second = defaultdict[str, Any](float), defaultdict[str, Any](float)
    for step in range(4):
        before = weights_of(state.network)
        training_step(experiment, state, TrainingSet.of(experiment, few.train))
        after, rate = weights_of(state.network), 1e-2 * (step + 1) / 5
        for name, gradient in gradients_of(state.network).items():
            first[name] = 0.9 * first[name] + 0.1 * gradient
            second[name] = 0.99 * second[name] + 0.01 * gradient**2
            direction = first[name] / (1 - 0.9 ** (step + 1))
            direction /= (second[name] / (1 - 0.99 ** (step + 1))).sqrt() + 1e-8
            decay = 5.0 if name.endswith("weight") else 0.0
            expected = before[name] - rate * direction - rate * decay * before[name]
            torch.testing.assert_close(after[name], expected, rtol=1e-4, atol=1e-6, msg=f"step {step}: {name}")


def orthogonal(matrix: Tensor) -> Tensor:
    """Five Newton-Schulz steps towards the nearest orthogonal matrix, with the coefficients of Jordan et al. 2024."""
    wide = (matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T) / matrix.norm()
    for _ in range(5):
        gram = wide @ wide.T
        wide = 3.4445 * wide + (-4.7750 * gram + 2.0315 * gram @ gram) @ wide
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T


def test_a_step_of_muon_is_orthogonal_at_the_rate_of_the_schedule(few: Splits) -> None:
    """Of large matrices; with Nesterov's momentum, and scaled by .2 sqrt(longer side) (arXiv 2502.16982, 2.2)."""
    experiment, state = start(replace(RUN, optimizer="muon", weight_decay=5.0))
    layers = {name: each for name, each in state.network.named_modules() if isinstance(each, nn.Linear)}
    matrices = {f"{name}.weight" for name, each in layers.items() if min(each.weight.shape) >= 16}
    momentum = defaultdict[str, Any](float)
    for step in range(4):
        before = weights_of(state.network)
        training_step(experiment, state, TrainingSet.of(experiment, few.train))
        after, rate = weights_of(state.network), 1e-2 * (step + 1) / 5
        gradients = gradients_of(state.network)
        for name in matrices:
            momentum[name] = 0.95 * momentum[name] + 0.05 * gradients[name]
            direction = orthogonal(0.05 * gradients[name] + 0.95 * momentum[name])
            change = after[name] - before[name] * (1 - rate * 5.0)
            expected = -rate * 0.2 * math.sqrt(max(direction.shape)) * direction
            # the direction is computed in bfloat16, which disturbs its small singular values
            assert float((change - expected).norm() / expected.norm()) < 0.4, f"step {step}: {name}"
    assert len(matrices) >= 2


def test_a_large_gradient_is_scaled_to_the_limit_and_a_small_one_left(few: Splits) -> None:
    found: dict[float, Weights] = {}
    for limit in (1e-3, 1e3, 1e4):
        experiment, state = start(replace(RUN, max_grad_norm=limit))
        training_step(experiment, state, TrainingSet.of(experiment, few.train))
        found[limit] = gradients_of(state.network)
    whole = norm(found[1e4])
    assert 1e-2 < whole < 1e3
    assert norm(found[1e-3]) == pytest.approx(1e-3, rel=1e-3)
    for name, gradient in found[1e4].items():
        assert torch.equal(gradient, found[1e3][name])
        torch.testing.assert_close(found[1e-3][name], gradient * 1e-3 / whole, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize(("step", "longest"), [(0, 1), (5, 3), (8, 7), (10, 10), (19, 10)])
def test_the_sequences_of_a_step_are_as_long_as_the_curriculum_has_them(few: Splits, step: int, longest: int) -> None:
    experiment, state = start(replace(RUN, augmentation_strength=0.0, sequences_per_step=300))
    batches: list[Batch] = []
    state.network.register_forward_pre_hook(lambda _, given: batches.append(given[0]))
    state.step = step
    training_step(experiment, state, TrainingSet.of(experiment, few.train))
    (batch,) = batches
    assert set(batch.lengths.tolist()) == set(range(1, longest + 1))


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_the_images_of_a_step_are_moved_as_much_as_asked(few: Splits, strength: float) -> None:
    experiment, state = start(replace(RUN, augmentation_strength=strength))
    images: list[Tensor] = []
    state.network.register_forward_pre_hook(lambda _, given: images.append(given[0].images))
    training_step(experiment, state, TrainingSet.of(experiment, few.train))
    known = {image.numpy().tobytes() for image in few.train.images}
    assert sum(image.numpy().tobytes() in known for image in images[0]) == (60 if strength == 0 else 0)


def test_the_average_of_the_weights_is_what_is_validated_and_saved(
    few: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after: list[Weights] = []

    def watched(experiment: Experiment, state: State, data: TrainingSet) -> None:
        training_step(experiment, state, data)
        after.append(weights_of(state.network))

    monkeypatch.setattr(loop, "training_step", watched)
    run = replace(RUN, steps=6, ema_decay=0.7, validate_every=3, warmup_fraction=0.0)
    run_folder = train(run, tmp_path / "run", splits=few)
    averages = [after[0]]
    for weights in after[1:]:
        averages.append({name: 0.7 * averages[-1][name] + 0.3 * weights[name] for name in weights})
    saved = run_folder.weights()
    assert saved.keys() == averages[-1].keys()
    for name, weight in saved.items():
        torch.testing.assert_close(weight.double(), averages[-1][name], rtol=1e-5, atol=1e-7)
        assert not torch.allclose(weight.double(), after[-1][name], rtol=1e-3, atol=1e-5)
    lines = {line["step"]: line for line in run_folder.metrics() if line.get("split") == "val"}
    assert lines.keys() == {3, 6}
    for step, line in lines.items():
        of_average, of_last = (validated(run, few, weights) for weights in (averages[step - 1], after[step - 1]))
        assert line[Experiment.of(run).task.loss_name] == pytest.approx(of_average, rel=1e-4)
        assert of_last != pytest.approx(of_average, rel=1e-2)


def validated(run: Run, splits: Splits, weights: Weights) -> float:
    """The loss of these weights on validation images."""
    experiment = Experiment.of(run)
    network = experiment.build()
    network.load_state_dict({name: weight.float() for name, weight in weights.items()})
    (predictions,) = predict_sets(network, experiment.task, [validation_set(splits.val, experiment.task, (1, 10))])
    return mean_scores(experiment.task, predictions)[experiment.task.loss_name]


def types_of_layers(network: Network) -> dict[str, set[torch.dtype]]:
    """The types of what the layers of encoder and model compute from now on."""
    types: dict[str, set[torch.dtype]] = {"encoder": set(), "model": set()}
    for part, seen in types.items():
        for layer in network.get_submodule(part).modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.register_forward_hook(lambda _, given, output, seen=seen: seen.update({output.dtype}))  # pyright: ignore
    return types


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_only_the_encoder_and_only_in_training_computes_in_bfloat16(few: Splits, precision: str) -> None:
    experiment, state = start(replace(RUN, task="contains", model="transformer", encoder="cnn"), precision)
    types = types_of_layers(state.network)
    training_step(experiment, state, TrainingSet.of(experiment, few.train))
    assert types == {"encoder": {getattr(torch, precision)}, "model": {torch.float32}}
    assert {parameter.dtype for parameter in state.network.parameters()} == {torch.float32}
    for seen in types.values():
        seen.clear()
    predict_sets(state.evaluated(), experiment.task, [validation_set(few.val, experiment.task, (1, 10))])
    assert types == {"encoder": {torch.float32}, "model": {torch.float32}}
    types["encoder"].clear()
    state.network.recompute_batch_norm(few.train.images)
    assert types["encoder"] == {torch.float32}
