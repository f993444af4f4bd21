"""A training step: how long its parts take, and what share of the machine's matrix peak the whole is.

    uv run benchmarks/step.py [--task sum] [--model transformer] [--images-per-step 256] [--out results/step.csv]

The peak is that of a 2048 x 2048 matrix product in the precision of the encoder, measured in this very process before
and after. Work is counted by torch's own counter, forward and backward. Times are medians. Parts are timed apart, each
with its inputs ready, so that they need not add up to the whole exactly; the share of all but
the encoder is of the sum of the parts.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from measure import expect_committed, median, show, start
from torch.utils.flop_counter import FlopCounterMode

from digitset.data.augment import affine
from digitset.data.mnist import Digits, load_data
from digitset.data.sequences import sample
from digitset.device import choose_device, choose_precision, keep_freed_memory
from digitset.network import Experiment
from digitset.rng import generator
from digitset.run import Run
from digitset.training.loop import State, TrainingSet, initial_state, training_step


@dataclass(frozen=True)
class Options:
    task: str = "sum"
    model: str = "transformer"
    encoder: str = "cnn"
    images_per_step: int = Run.images_per_step
    sequences_per_step: int = Run.sequences_per_step
    repeats: int = 30
    out: Path = Path("results/step.csv")


def main(options: tyro.conf.OmitArgPrefixes[Options]) -> None:
    expect_committed(options.out)
    run = Run(
        options.task,
        options.model,
        options.encoder,
        images_per_step=options.images_per_step,
        sequences_per_step=options.sequences_per_step,
        curriculum=0.0,
    )
    device = choose_device()
    keep_freed_memory()
    experiment, precision = Experiment.of(run), choose_precision("auto", device)
    state = initial_state(experiment, device, precision)
    state.network.train()
    digits = load_data().train.to(device)
    data = TrainingSet.of(experiment, digits)

    def whole() -> None:
        training_step(experiment, state, data)
        float(state.window.pop()[0])  # reading a value waits for the device

    peak_before = matrix_peak(device, precision, options.repeats)
    seconds = median(whole, options.repeats)
    times = part_times(experiment, state, digits, options.repeats)
    peak = (peak_before + matrix_peak(device, precision, options.repeats)) / 2
    with FlopCounterMode(display=False) as counter:
        whole()
    flops = counter.get_total_flops()
    encoder = times["encoder, forward and backward"]
    rows = [("whole step, ms", seconds * 1e3), *((f"{name}, ms", value * 1e3) for name, value in times.items())]
    rows += [("images a second", run.images_per_step / seconds), ("GFLOP a step", flops / 1e9)]
    rows += [("GFLOP/s", flops / seconds / 1e9), (f"matrix peak, {precision}, GFLOP/s", peak / 1e9)]
    rows += [
        ("share of the peak", flops / seconds / peak),
        ("share of all but the encoder", 1 - encoder / sum(times.values())),
    ]
    case = f"{run.task} {run.model}-{run.encoder}, {run.images_per_step} images, {run.sequences_per_step} sequences"
    show(case, rows, options.out)


def part_times(experiment: Experiment, state: State, digits: Digits, repeats: int) -> dict[str, float]:
    """Median seconds of each part of a step."""
    run, task, network = experiment.run, experiment.task, state.network
    sizes = run.images_per_step, run.sequences_per_step

    def draw() -> object:
        return sample(digits, *sizes, experiment.lengths, task.anchored, run.seed, 0)

    batch = sample(digits, *sizes, experiment.lengths, task.anchored, run.seed, 0)
    target = batch.targets(task)
    vectors = network.embed(batch.images).detach().requires_grad_()

    def augment() -> None:
        affine(batch.images, run.augmentation_strength, generator(0, "augmentation"))

    def encode() -> None:
        network.embed(batch.images).square().mean().backward()

    def apply_model() -> None:
        output = network.apply_model(vectors, batch)
        task.training_loss(output, network.model.output_kind, target).mean().backward()

    def update() -> None:
        torch.nn.utils.clip_grad_norm_(network.parameters(), run.max_grad_norm)
        for optimizer in state.optimizers:
            optimizer.step()

    named = {"sampling": draw, "augmentation": augment, "encoder, forward and backward": encode}
    named |= {"model and loss, forward and backward": apply_model, "clipping and optimiser": update}
    return {name: median(part, repeats) for name, part in named.items()}


def matrix_peak(device: torch.device, precision: str, repeats: int) -> float:
    """Operations a second of a large matrix product; a multiplication with its addition is two."""
    size = 2048
    a, b = (torch.randn(size, size, device=device, dtype=getattr(torch, precision)) for _ in range(2))
    return 2 * size**3 / median(lambda: float((a @ b)[0, 0]), repeats)


if __name__ == "__main__":
    start(main)
