"""A training step: how long its parts take, and what share of the machine's matrix peak the whole is.

    uv run benchmarks/step.py [--task sum] [--model transformer] [--pool 256] [--out results/step.csv]

The peak is that of a 2048 x 2048 matrix product in the precision of the encoder, measured in this very process before
and after. Work is counted by torch's own counter, forward and backward. Times are medians. Parts are timed apart, each
with its inputs ready, so that they need not add up to the whole exactly; the share of all but
the encoder is of the sum of the parts.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro
from digitset.training.state import State, initial_state
from measure import median, show, start
from torch.utils.flop_counter import FlopCounterMode

from digitset import device as machine
from digitset.data.augment import affine
from digitset.data.mnist import load_data
from digitset.data.sequences import sample
from digitset.network import lengths_of, rows_of
from digitset.rng import generator
from digitset.run import Run
from digitset.tasks import training_loss
from digitset.training.loop import step


@dataclass(frozen=True)
class Options:
    task: str = "sum"
    model: str = "transformer"
    encoder: str = "cnn"
    pool: int = Run.pool
    sequences: int = Run.sequences
    repeats: int = 30
    out: Path = Path("results/step.csv")


def main(options: tyro.conf.OmitArgPrefixes[Options]) -> None:
    on = machine.device()
    machine.keep_freed_memory()
    run = Run(
        options.task, options.model, options.encoder, images_per_step=options.pool, sequences_per_step=options.sequences
    )
    run = replace(run, curriculum=0.0)
    precision = machine.precision("auto", on)
    state = initial_state(run, on, precision)
    state.network.train()
    digits = load_data().train.to(on)
    task = load_task(run.task)

    def whole() -> None:
        step(run, task, state, digits)
        float(state.window.pop()[0])  # reading a value waits for the device

    peak_before = matrix_peak(on, precision, options.repeats)
    seconds = median(whole, options.repeats)
    times = part_times(run, state, options.repeats)
    peak = (peak_before + matrix_peak(on, precision, options.repeats)) / 2
    with FlopCounterMode(display=False) as counter:
        whole()
    flops = counter.get_total_flops()
    encoder = times["encoder, forward and backward"]
    rows = [("whole step, ms", seconds * 1e3), *((f"{name}, ms", value * 1e3) for name, value in times.items())]
    rows += [("images a second", run.pool / seconds), ("GFLOP a step", flops / 1e9)]
    rows += [("GFLOP/s", flops / seconds / 1e9), (f"matrix peak, {precision}, GFLOP/s", peak / 1e9)]
    rows += [
        ("share of the peak", flops / seconds / peak),
        ("share of all but the encoder", 1 - encoder / sum(times.values())),
    ]
    show(f"{run.task} {run.model}-{run.encoder}, pool {run.pool}, sequences {run.sequences}", rows, options.out)


def part_times(run: Run, state: State, repeats: int) -> dict[str, float]:
    """Median seconds of each part of a step."""
    network, task, device = state.network, load_task(run.task), next(state.network.parameters()).device
    digits = load_data().train.to(device)
    lengths, kind = lengths_of(run), network.model.output_kind

    def draw() -> object:
        return sample(digits, run.pool, run.sequences, lengths, task.anchored, run.seed, 0)

    batch = sample(digits, run.pool, run.sequences, lengths, task.anchored, run.seed, 0)
    target = batch.targets(task)
    vectors = network.embed(batch.images).detach().requires_grad_()

    def augment() -> None:
        affine(batch.images, run.augmentation, generator(0, "augmentation"))

    def encode() -> None:
        network.embed(batch.images).square().mean().backward()

    def read() -> None:
        training_loss(task, kind, network.model(*rows_of(vectors, batch)), target).mean().backward()

    def update() -> None:
        torch.nn.utils.clip_grad_norm_(network.parameters(), run.clip)
        state.optimizer.step()

    named = {"sampling": draw, "augmentation": augment, "encoder, forward and backward": encode}
    named |= {"model and loss, forward and backward": read, "clipping and optimiser": update}
    return {name: median(part, repeats) for name, part in named.items()}


def matrix_peak(on: torch.device, precision: str, repeats: int) -> float:
    """Operations a second of a large matrix product; a multiplication with its addition is two."""
    size = 2048
    a, b = (torch.randn(size, size, device=on, dtype=getattr(torch, precision)) for _ in range(2))
    return 2 * size**3 / median(lambda: float((a @ b)[0, 0]), repeats)


if __name__ == "__main__":
    start(main)
